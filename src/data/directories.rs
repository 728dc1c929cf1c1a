//! Where data is on this machine: the root of data sets, and the audio cache.

use std::path::{Path, PathBuf};

use datasets::{Collection, DatasetConfig, Interactions, InteractionsConfig, locate};

use crate::audio::AudioCache;
use crate::error::{Error, Result};

/// Where data sets and the audio cache are on this machine. Experiments must not depend on it.
#[derive(Clone, Debug, Default)]
pub struct DataDirectories {
    /// Prefix of relative data set roots; absolute ones that do not exist are looked up in it (see [`locate`]).
    pub data: Option<PathBuf>,
    /// The audio cache; a directory in the user's cache directory if `None`.
    pub cache: Option<PathBuf>,
}

impl DataDirectories {
    /// Opens the audio cache.
    ///
    /// # Errors
    /// [`Error::Config`] if no directory is given and the account has none; [`Error::Data`] if it cannot be used.
    pub fn open_cache(&self) -> Result<AudioCache> {
        let folder = match &self.cache {
            Some(folder) => folder.clone(),
            None => user_cache().ok_or_else(|| {
                Error::Config(
                    "no cache directory is known for this account: name one with --cache-dir or TONOTOPY_CACHE"
                        .into(),
                )
            })?,
        };
        AudioCache::open(&folder).map_err(|error| Error::Data(error.to_string()))
    }

    /// Resolves a path of an experiment on this machine.
    pub fn at(&self, path: &Path) -> PathBuf {
        locate(self.data.as_deref(), path)
    }

    /// Loads listening data; simulated listeners play the tracks of `collection`.
    ///
    /// # Errors
    /// See [`InteractionsConfig::load`].
    pub fn listening(
        &self,
        config: &InteractionsConfig,
        collection: &Collection,
    ) -> Result<Interactions> {
        config.load(self.data.as_deref(), collection).map_err(from_dataset)
    }

    /// Loads a data set.
    ///
    /// # Errors
    /// See [`DatasetConfig::load`].
    pub fn load(&self, dataset: &DatasetConfig) -> Result<Collection> {
        dataset.load(self.data.as_deref()).map_err(from_dataset)
    }
}

/// The platform's directory for caches.
fn user_cache() -> Option<PathBuf> {
    let variable =
        |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Caches"))
    } else {
        variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")))
    };
    Some(base?.join("tonotopy/audio"))
}

/// Maps a wrong value in `[dataset]` to a configuration error and everything else to a data error.
pub fn from_dataset(error: datasets::DatasetError) -> Error {
    match error {
        datasets::DatasetError::InvalidConfig { .. } => Error::Config(error.to_string()),
        _ => Error::Data(error.to_string()),
    }
}
