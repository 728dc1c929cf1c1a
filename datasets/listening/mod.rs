//! Listening data: play counts of users and items, one file per source.

pub mod file;
pub mod hetrec;
pub mod interactions;
pub mod subset;
pub mod synthetic_listeners;
pub mod tag_interactions;
pub mod taste_profile;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Collection, DatasetError};
use interactions::Interactions;

/// Listening data, selected by `name`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum InteractionsConfig {
    /// Your own table of user, item and count.
    File(file::FileConfig),
    /// HetRec 2011, Last.fm: 1 892 users and 17 632 artists.
    Hetrec(hetrec::HetrecConfig),
    /// Echo Nest Taste Profile: 1 019 318 users and 384 546 songs.
    TasteProfile(taste_profile::TasteProfileConfig),
    /// Simulated listeners of the dataset's tracks.
    SyntheticListeners(synthetic_listeners::SyntheticListenersConfig),
    /// The dataset's own tags: every tag is a user that plays the tracks with this tag.
    Tags(tag_interactions::TagInteractionsConfig),
}

impl InteractionsConfig {
    /// The name that selects this source in an experiment.
    pub fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Hetrec(_) => "hetrec",
            Self::TasteProfile(_) => "taste_profile",
            Self::SyntheticListeners(_) => "synthetic_listeners",
            Self::Tags(_) => "tags",
        }
    }

    /// The configured file or directory; `None` if the source needs no files.
    pub fn root(&self) -> Option<&Path> {
        match self {
            Self::File(config) => Some(&config.path),
            Self::Hetrec(config) => Some(&config.root),
            Self::TasteProfile(config) => Some(&config.root),
            Self::SyntheticListeners(_) | Self::Tags(_) => None,
        }
    }

    /// Loads the listening data; a relative root is resolved against `data_dir` if given. Only synthetic
    /// listeners and tags depend on `collection`.
    ///
    /// # Errors
    /// If a file is missing or wrong, or a setting is out of bounds.
    pub fn load(
        &self,
        data_dir: Option<&Path>,
        collection: &Collection,
    ) -> Result<Interactions, DatasetError> {
        match self {
            Self::File(config) => config.load(data_dir),
            Self::Hetrec(config) => config.load(data_dir),
            Self::TasteProfile(config) => config.load(data_dir),
            Self::SyntheticListeners(config) => Ok(config.listeners(collection)?.interactions()),
            Self::Tags(config) => config.load(collection),
        }
    }
}

/// Reads listening data from a table, or from a directory with the layout of HetRec's Last.fm data or of the
/// Taste Profile. The items of the latter are tracks if the files that map songs to tracks exist, else songs.
///
/// # Errors
/// If the directory has neither layout, or a line is wrong.
pub fn read_interactions(path: &Path) -> Result<Interactions, DatasetError> {
    if path.join(hetrec::PLAYS).is_file() {
        return hetrec::load(path);
    }
    if path.join(taste_profile::TRIPLETS).is_file() {
        let mapping = [taste_profile::SONG_TO_TRACKS, taste_profile::MISMATCHES];
        return match mapping.iter().all(|name| path.join(name).is_file()) {
            true => taste_profile::load_tracks(path),
            false => taste_profile::load_songs(path),
        };
    }
    if path.is_dir() {
        let problem = format!(
            "this directory contains no known listening data ({} or {}): name a table of user, item and count",
            hetrec::PLAYS,
            taste_profile::TRIPLETS
        );
        return Err(DatasetError::content(path, problem));
    }
    Interactions::read(path)
}
