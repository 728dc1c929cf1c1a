//! 1517-Artists: 3 180 songs of 1 517 artists, 19 genres.
//!
//! From K. Seyerlehner's work on block-level features (K. Seyerlehner, G. Widmer and T. Pohle, *Fusing
//! block-level features for music similarity estimation*, DAFx 2010); it came from his page. The audio
//! is not shipped here.
//!
//! What is read: a folder a genre, with the songs as mp3, in the root or in its `1517-Artists`. The
//! names of the folders below are those that others' programs read; the counts are from memory.
//! Folders with other names are genres too, and said in the notes.
//!
//! **Artists**: how the files are called is written nowhere that could be found. What stands before
//! the first ` - ` of a name is taken for the artist (`artist = "name"`), and songs that are called
//! otherwise are counted as having none. Look at the count before you split by artist; `artist =
//! "none"` leaves artists out. There is no published split: the papers cross-validate.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tracks::folders::{self, ArtistSource};
use crate::{Collection, DatasetError, assign_splits, split};

#[cfg(test)]
pub(crate) mod tests;

/// The folders, in the order of the outputs.
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

/// Songs, as published.
pub const SONGS: usize = 3_180;

/// Where the folders may lie.
const PLACES: [&str; 2] = ["", "1517-Artists"];

/// `[dataset] name = "artists1517"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Artists1517Config {
    /// The folder with the folders `Alternative & Punk` to `World`, or with `1517-Artists`.
    pub root: PathBuf,
    /// Where the name of a track's artist is found.
    pub artist: ArtistSource,
    /// `artist:8/1/1` or `random:8/1/1`; empty leaves the split to the user.
    pub split: String,
    /// The seed of the split.
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
    /// Loads the data set at `root`, relative to `data_dir` if given: genres and songs in the order of
    /// their names. Songs and genres that are missing are counted in the notes.
    ///
    /// # Errors
    /// If the root is missing or holds no audio, or the split cannot be made.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        let remedy = "name the folder of 1517-Artists, with a folder a genre";
        crate::named("artists1517", "root", &self.root, remedy)?;
        let split = split::asked("artists1517", &self.split)?;
        let root = crate::below(data_dir, &self.root);
        let root = place(&root).unwrap_or(root);
        let listing = folders::list(&root, remedy)?;
        let mut all = folders::collection("artists1517".into(), listing, self.artist);
        folders::compare(&mut all, &GENRES, GENRES.len(), SONGS);
        if let Some(split) = split {
            assign_splits(&mut all, &split, self.split_seed)?;
        }
        Ok(all)
    }
}

/// Whether a folder looks like the data set.
pub(crate) fn is_root(root: &Path) -> bool {
    place(root).is_some_and(|place| GENRES.iter().all(|genre| place.join(genre).is_dir()))
}

/// The folder that holds the genres, or some of them.
fn place(root: &Path) -> Option<PathBuf> {
    let holds_one = |folder: &PathBuf| GENRES.iter().any(|genre| folder.join(genre).is_dir());
    PLACES
        .iter()
        .map(|folder| if folder.is_empty() { root.to_owned() } else { root.join(folder) })
        .find(holds_one)
}
