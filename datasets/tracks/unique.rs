//! Unique: 3115 excerpts of 30 s of popular songs, 14 genres, every artist once.
//!
//! From K. Seyerlehner's work on block-level features (K. Seyerlehner, G. Widmer and T. Pohle, *Fusing
//! block-level features for music similarity estimation*, DAFx 2010). The audio was not published with it and
//! is not part of this repository.
//!
//! No public description of the directory layout and the genres' names was found, and the counts are from
//! memory. This module reads one directory per genre, the layout of the same author's
//! [1517-Artists](crate::tracks::artists1517); notes report counts other than 14 and 3115. Every excerpt is by
//! a different artist (from memory), hence the name: a random split is a split by artist, and artists are not
//! read. A published split does not exist: the papers cross-validate.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::tracks::folders::{self, ArtistSource};
use crate::{Collection, DatasetError};

/// Published number of genres.
pub const GENRES: usize = 14;

/// Published number of excerpts.
pub const EXCERPTS: usize = 3_115;

/// `[dataset] name = "unique"`: Unique.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UniqueConfig {
    /// The directory with one directory per genre, relative to the data directory. Default: `unique`.
    pub root: PathBuf,
    /// The split, such as `random:8/1/1` (shares of train, valid and test); empty for none. Default: empty.
    pub split: String,
    /// Seed of the split. Default: 1.
    pub split_seed: u64,
}

impl Default for UniqueConfig {
    fn default() -> Self {
        Self { root: "unique".into(), split: String::new(), split_seed: 1 }
    }
}

impl UniqueConfig {
    /// Loads the dataset at `root`; a relative root is resolved against `data_dir` if given. Genres and excerpts
    /// are in the order of their names.
    ///
    /// # Errors
    /// If the root is missing or contains no audio, or the split cannot be made.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        let remedy = "name the directory of Unique, with one directory per genre";
        let root = crate::resolve(data_dir, ("unique", "root", &self.root), remedy)?;
        let split = (self.split.as_str(), self.split_seed);
        folders::load("unique", &root, remedy, ArtistSource::None, split, |all| {
            folders::compare(all, &[], GENRES, EXCERPTS);
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::test_support::touch;

    /// A small dataset for the tests of all datasets.
    pub(crate) fn small(directory: &Path) -> UniqueConfig {
        let songs: Vec<String> =
            (0..28).map(|song| format!("genre {:02}/{song}.mp3", song % GENRES)).collect();
        touch(directory, songs.iter().map(String::as_str));
        UniqueConfig { root: directory.to_owned(), ..UniqueConfig::default() }
    }

    #[test]
    fn directory_is_a_genre_and_counts_are_compared() {
        let directory = tempfile::tempdir().unwrap();
        let config = small(directory.path());
        let all = config.load(None).unwrap();
        assert_eq!((all.name.as_str(), all.tags.len(), all.tracks.len()), ("unique", 14, 28));
        assert_eq!((&all.tags[3][..], &all.tracks[7].id[..]), ("genre 03", "genre 03/3.mp3"));
        assert!(all.tracks.iter().all(|track| track.artist.is_none() && track.split.is_none()));
        assert_eq!(all.notes, ["tracks: 28 instead of the published 3115"]);

        touch(directory.path(), ["Ünique/x.mp3"]);
        let notes = config.load(None).unwrap().notes;
        assert_eq!(
            notes,
            ["genres: 15 instead of the published 14", "tracks: 29 instead of the published 3115"]
        );
        let split = UniqueConfig { split: "random:8/1/1".into(), ..config };
        let report = crate::SplitReport::of(&split.load(None).unwrap());
        assert_eq!(report.tracks.iter().sum::<usize>(), 29);
    }

    #[test]
    fn missing_root_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let load = |root: &str| {
            let config = UniqueConfig { root: root.into(), ..UniqueConfig::default() };
            config.load(Some(directory.path())).unwrap_err().to_string()
        };
        assert!(load("").contains("unique: root is empty"), "{}", load(""));
        assert!(load("gone").contains("gone is missing: name the directory of Unique"));
        assert!(load(".").contains("no directory contains audio"), "{}", load("."));
    }
}
