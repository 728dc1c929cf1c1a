//! Unique: 3 115 excerpts of 30 s of popular songs, 14 genres, no artist twice.
//!
//! From K. Seyerlehner's work on block-level features (K. Seyerlehner, G. Widmer and T. Pohle, *Fusing
//! block-level features for music similarity estimation*, DAFx 2010). The audio was not published with
//! it, and is not shipped here.
//!
//! How a copy is laid out, and what its genres are called, is written nowhere that could be found, and
//! the counts are from memory. What is read is a folder a genre, as the same author's
//! [1517-Artists](crate::tracks::artists1517) has it; other counts than 14 and 3 115 are said in the notes. Each
//! excerpt is by another artist (from memory too), hence the name: a random split is a split by artist,
//! and artists are not looked for. There is no published split: the papers cross-validate.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tracks::folders::{self, ArtistSource};
use crate::{Collection, DatasetError, assign_splits, split};

#[cfg(test)]
pub(crate) mod tests;

/// Genres, as published.
pub const GENRES: usize = 14;

/// Excerpts, as published.
pub const EXCERPTS: usize = 3_115;

/// `[dataset] name = "unique"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UniqueConfig {
    /// The folder with a folder a genre.
    pub root: PathBuf,
    /// `random:8/1/1`; empty leaves the split to the user.
    pub split: String,
    /// The seed of the split.
    pub split_seed: u64,
}

impl Default for UniqueConfig {
    fn default() -> Self {
        Self { root: "unique".into(), split: String::new(), split_seed: 1 }
    }
}

impl UniqueConfig {
    /// Loads the data set at `root`, relative to `data_dir` if given: genres and excerpts in the order
    /// of their names.
    ///
    /// # Errors
    /// If the root is missing or holds no audio, or the split cannot be made.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        let remedy = "name the folder of Unique, with a folder a genre";
        crate::named("unique", "root", &self.root, remedy)?;
        let split = split::asked("unique", &self.split)?;
        let listing = folders::list(&crate::below(data_dir, &self.root), remedy)?;
        let mut all = folders::collection("unique".into(), listing, ArtistSource::None);
        folders::compare(&mut all, &[], GENRES, EXCERPTS);
        if let Some(split) = split {
            assign_splits(&mut all, &split, self.split_seed)?;
        }
        Ok(all)
    }
}
