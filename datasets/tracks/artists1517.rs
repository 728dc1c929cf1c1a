//! 1517-Artists: 3180 songs of 1517 artists, 19 genres.
//!
//! From K. Seyerlehner's work on block-level features (K. Seyerlehner, G. Widmer and T. Pohle, *Fusing
//! block-level features for music similarity estimation*, DAFx 2010), published on his page. The audio is not
//! part of this repository.
//!
//! The layout is one directory of mp3 files per genre, in the root or in its `1517-Artists`. The names of the
//! directories below are those that other programs read; the counts are from memory. Directories with other
//! names are genres too; notes report them.
//!
//! **Artists**: no public description of the file names was found. The text before the first ` - ` of a name
//! is taken as the artist (`artist = "name"`), and a note counts the songs with other names. Check this count
//! before splitting by artist; `artist = "none"` ignores artists. A published split does not exist: the papers
//! cross-validate.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::tracks::find_place;
use crate::tracks::folders::{self, ArtistSource};
use crate::{Collection, DatasetError};

/// The directories, in the order of the outputs.
pub const GENRES: [&str; 19] = [
    "Alternative & Punk",
    "Blues",
    "Childrens",
    "Classical",
    "Comedy & Spoken Word",
    "Country",
    "Easy Listening & Vocals",
    "Electronic & Dance",
    "Folk",
    "Hip-Hop",
    "Jazz",
    "Latin",
    "New Age",
    "R&B & Soul",
    "Reggae",
    "Religious",
    "Rock & Pop",
    "Soundtracks & More",
    "World",
];

/// Published number of songs.
pub const SONGS: usize = 3_180;

/// Possible parents of the genres' directories, relative to the root.
const PLACES: [&str; 2] = ["", "1517-Artists"];

/// `[dataset] name = "artists1517"`: 1517-Artists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Artists1517Config {
    /// The directory with the directories `Alternative & Punk` to `World`, or with `1517-Artists`, relative to
    /// the data directory. Default: `1517-artists`.
    pub root: PathBuf,
    /// The place of the artist in a file's path: `none`, `name` (before the first ` - ` of the file name) or
    /// `folder` (the directory below the genre's). Default: `name`.
    pub artist: ArtistSource,
    /// The split, `artist:8/1/1` or `random:8/1/1` (shares of train, valid and test); empty for none. Default:
    /// empty.
    pub split: String,
    /// Seed of the split. Default: 1.
    pub split_seed: u64,
}

impl Default for Artists1517Config {
    fn default() -> Self {
        Self {
            root: "1517-artists".into(),
            artist: ArtistSource::Name,
            split: String::new(),
            split_seed: 1,
        }
    }
}

impl Artists1517Config {
    /// Loads the dataset at `root`; a relative root is resolved against `data_dir` if given. Genres and songs are
    /// in the order of their names. Notes count missing songs and genres.
    ///
    /// # Errors
    /// If the root is missing or contains no audio, or the split cannot be made.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        let remedy = "name the directory of 1517-Artists, with one directory per genre";
        let root = crate::resolve(data_dir, ("artists1517", "root", &self.root), remedy)?;
        let has_any = |place: &Path| GENRES.iter().any(|genre| place.join(genre).is_dir());
        let root = find_place(&root, &PLACES, has_any).unwrap_or(root);
        let split = (self.split.as_str(), self.split_seed);
        folders::load("artists1517", &root, remedy, self.artist, split, |all| {
            folders::compare(all, &GENRES, GENRES.len(), SONGS);
        })
    }
}

/// Whether a directory has the layout of the dataset.
pub(crate) fn is_root(root: &Path) -> bool {
    let has_all = |place: &Path| GENRES.iter().all(|genre| place.join(genre).is_dir());
    find_place(root, &PLACES, has_all).is_some()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::test_support::touch;

    /// A small dataset for the tests of all datasets: a song of each of two artists in every genre.
    pub(crate) fn small(directory: &Path) -> Artists1517Config {
        for genre in GENRES {
            let songs =
                ["Ana Ñ - One.mp3", "Bo - Two - Three.mp3"].map(|name| format!("{genre}/{name}"));
            touch(directory, songs.iter().map(String::as_str));
        }
        Artists1517Config { root: directory.to_owned(), ..Artists1517Config::default() }
    }

    #[test]
    fn genre_is_the_directory_and_artist_is_in_the_name() {
        for place in PLACES {
            let directory = tempfile::tempdir().unwrap();
            small(&directory.path().join(place));
            assert!(is_root(directory.path()));
            let root = directory.path().to_owned();
            let config = Artists1517Config { root, ..Artists1517Config::default() };
            let all = config.load(None).unwrap();
            assert_eq!((&all.tags[..], all.tracks.len()), (&GENRES.map(String::from)[..], 38));
            assert_eq!(all.tracks[27].id, "R&B & Soul/Bo - Two - Three.mp3");
            assert_eq!(all.tracks[26].artist.as_deref(), Some("Ana Ñ"));
            assert_eq!(all.notes, ["tracks: 38 instead of the published 3180"]);
        }
    }

    #[test]
    fn differences_from_the_published_dataset_are_noted() {
        let directory = tempfile::tempdir().unwrap();
        let config = small(directory.path());
        std::fs::remove_dir_all(directory.path().join("World")).unwrap();
        std::fs::create_dir(directory.path().join("World")).unwrap();
        touch(directory.path(), ["Polka/untitled.mp3", "Jazz/cover.jpg", "index.txt"]);
        let all = config.load(None).unwrap();
        assert_eq!(all.tags.len(), 19);
        assert_eq!(all.tags[16], "Religious");
        assert_eq!(
            all.notes,
            [
                "files skipped because they are not audio: 1 (jpg 1)",
                "files skipped because they are not in a tag's directory: 1 (first: \"index.txt\")",
                "directories skipped because they contain no audio: 1 (\"World\")",
                "tracks without an artist because their file names are not `artist - title`: 1",
                "genres that the published dataset does not have: 1 (\"Polka\")",
                "missing genres: 1 (\"World\")",
                "tracks: 37 instead of the published 3180",
            ]
        );
    }

    #[test]
    fn split_by_artist_needs_artists() {
        let directory = tempfile::tempdir().unwrap();
        let config = Artists1517Config { split: "random:8/1/1".into(), ..small(directory.path()) };
        let report = crate::SplitReport::of(&config.load(None).unwrap());
        assert_eq!(report.tracks, [30, 4, 4]);
        let by_artist = Artists1517Config { split: "artist:8/1/1".into(), ..config.clone() };
        let error = by_artist.load(None).unwrap_err().to_string();
        assert!(error.contains("only 2 artists"), "{error}");
        touch(directory.path(), ["Jazz/Cy - x.mp3"]);
        assert_eq!(crate::SplitReport::of(&by_artist.load(None).unwrap()).shared_artists, 0);
        let none = Artists1517Config { artist: ArtistSource::None, ..by_artist };
        assert!(none.load(None).unwrap_err().to_string().contains("has no artist"));
    }

    #[test]
    fn missing_root_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let load = |root: &str| {
            let config = Artists1517Config { root: root.into(), ..Artists1517Config::default() };
            config.load(Some(directory.path())).unwrap_err().to_string()
        };
        assert!(load("").contains("artists1517: root is empty"), "{}", load(""));
        assert!(load("gone").contains("gone is missing: name the directory of 1517-Artists"));
        assert!(load(".").contains("no directory contains audio"), "{}", load("."));
        assert!(!is_root(directory.path()));
    }
}
