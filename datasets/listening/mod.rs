//! Listening data: one file per source, and what is derived from it.

pub mod hetrec;
pub mod hold_out;
pub mod interactions;
pub mod subset;
pub mod synthetic_listeners;
pub mod tag_interactions;
pub mod taste_profile;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Collection, DatasetError};
use interactions::Interactions;

/// The listening data that an experiment may name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum InteractionsConfig {
    /// One's own table.
    File(interactions::file::FileConfig),
    /// Last.fm, as HetRec 2011 has it.
    Hetrec(hetrec::HetrecConfig),
    /// The Echo Nest Taste Profile.
    TasteProfile(taste_profile::TasteProfileConfig),
    /// Listeners made by the program.
    SyntheticListeners(synthetic_listeners::SyntheticListenersConfig),
    /// The data set's own tags, each in the place of a listener.
    Tags(tag_interactions::TagInteractionsConfig),
}

impl InteractionsConfig {
    /// What an experiment may name, each with a line for help texts.
    pub const MEMBERS: [(&'static str, &'static str); 5] = [
        ("file", "your own table of user, item and count"),
        ("hetrec", "HetRec 2011, Last.fm: 1 892 users and 17 632 artists"),
        ("taste_profile", "Echo Nest Taste Profile: 1 019 318 users and 384 546 songs"),
        ("synthetic_listeners", "listeners that the program makes for the data set's tracks"),
        ("tags", "the data set's own tags: each is a user that plays the tracks that have it"),
    ];

    /// As an experiment names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Hetrec(_) => "hetrec",
            Self::TasteProfile(_) => "taste_profile",
            Self::SyntheticListeners(_) => "synthetic_listeners",
            Self::Tags(_) => "tags",
        }
    }

    /// Where it lies on disk, if it does.
    pub fn root(&self) -> Option<&Path> {
        match self {
            Self::File(config) => Some(&config.path),
            Self::Hetrec(config) => Some(&config.root),
            Self::TasteProfile(config) => Some(&config.root),
            Self::SyntheticListeners(_) | Self::Tags(_) => None,
        }
    }

    /// Loads the listening data; a relative root lies below `data_dir` if given. Simulated listeners
    /// hear the tracks of `collection`, and tags are its own; the others do not look at it.
    ///
    /// # Errors
    /// If a file is missing or wrong, with its line, or a setting is out of bounds.
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

/// Reads listening data from a table, or from a folder whose layout is known: HetRec's Last.fm data, the
/// Taste Profile (by tracks where its other files are there, else by songs).
///
/// # Errors
/// If it is none of these, or a line is not what it should be.
pub fn read_interactions(path: &Path) -> Result<Interactions, DatasetError> {
    if hetrec::is_root(path) {
        return Ok(hetrec::load(path)?.plays);
    }
    if taste_profile::is_root(path) {
        let named = [taste_profile::SONG_TO_TRACKS, taste_profile::MISMATCHES];
        return match named.iter().all(|name| path.join(name).is_file()) {
            true => taste_profile::load_tracks(path),
            false => taste_profile::load_songs(path),
        };
    }
    if path.is_dir() {
        return Err(DatasetError::Table {
            path: path.to_owned(),
            problem: format!(
                "this folder holds no listening data that is known ({} or {}): name a table of user, item \
                 and count",
                hetrec::PLAYS,
                taste_profile::TRIPLETS
            ),
        });
    }
    Interactions::read(path)
}
