//! Sets of tracks: one module per dataset.
//!
//! A dataset turns a directory (or, for [`synthetic`], a seed) into a [`Collection`] of tracks with tags and
//! splits.

pub mod artists1517;
pub mod audioset;
pub mod folders;
pub mod gtzan;
pub mod magnatagatune;
pub mod manifest;
pub mod msd;
pub mod synthetic;
pub(crate) mod tag_notes;
#[cfg(test)]
mod tests;
pub mod unique;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::artists1517::Artists1517Config;
use self::audioset::AudiosetConfig;
use self::folders::FoldersConfig;
use self::gtzan::GtzanConfig;
use self::magnatagatune::MagnatagatuneConfig;
use self::manifest::ManifestConfig;
use self::msd::MsdConfig;
use self::synthetic::SyntheticConfig;
use self::unique::UniqueConfig;
use crate::{DatasetError, Split};

/// The source of a track's samples.
#[derive(Clone, Debug, PartialEq)]
pub enum Audio {
    /// An excerpt of a file: `duration_s` seconds (`None`: to the end) from `offset_s` seconds on.
    #[allow(missing_docs, reason = "the sentence above describes them")]
    File { path: PathBuf, offset_s: f64, duration_s: Option<f64> },
    /// A piece of synthetic music.
    Synthetic(synthetic::Piece),
    /// Precomputed features instead of audio.
    Frames(Frames),
}

impl Audio {
    /// The whole of a file.
    pub(crate) fn file(path: PathBuf) -> Audio {
        Audio::File { path, offset_s: 0.0, duration_s: None }
    }
}

/// Precomputed features of a track in 8 bits, `[frame, width]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Frames {
    /// Features per frame.
    pub width: usize,
    /// Frames per second.
    pub per_second: u32,
    /// Row-major `[frame, width]`; a byte stands for the feature `lowest + byte * step`.
    pub bytes: Arc<[u8]>,
    /// The feature of byte 0.
    pub lowest: f32,
    /// The difference between the features of consecutive bytes.
    pub step: f32,
}

/// A recording or an excerpt of one, with its annotations.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Unique in the collection; identifies the track in `predictions.csv`.
    pub id: String,
    /// The source of the samples.
    pub audio: Audio,
    /// `None` if the dataset has no split of its own.
    pub split: Option<Split>,
    /// Indices into [`Collection::tags`], ascending, without duplicates.
    pub tags: Vec<usize>,
    /// The artist if known; a split by artist keeps their tracks together.
    pub artist: Option<String>,
}

/// A loaded dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// The dataset's name, followed by its split if it has several: `magnatagatune/pons2017`.
    pub name: String,
    /// The vocabulary, in the order of the model's outputs.
    pub tags: Vec<String>,
    /// In the order of the dataset's own index.
    pub tracks: Vec<Track>,
    /// What was skipped while loading and why, one note each, with counts.
    pub notes: Vec<String>,
}

/// A dataset, selected by `name`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum DatasetConfig {
    /// Synthetic music; needs no files.
    Synthetic(SyntheticConfig),
    /// Your own files, listed in a `manifest.csv` with the columns id, path, split, tags and artist.
    Manifest(ManifestConfig),
    /// MagnaTagATune: 25 863 clips with 188 tags, from its own tables.
    Magnatagatune(MagnatagatuneConfig),
    /// Million Song Dataset: tracks by their ids, with tags or genres of your choice.
    Msd(MsdConfig),
    /// Your own files, sorted into directories: `jazz/01.mp3` has the tag `jazz`.
    Folders(FoldersConfig),
    /// GTZAN: 1000 excerpts of 30 s in 10 genres, complete or fault-filtered.
    Gtzan(GtzanConfig),
    /// 1517-Artists: 3180 songs in 19 genres, one directory per genre.
    Artists1517(Artists1517Config),
    /// Unique: 3115 excerpts of 30 s in 14 genres, one directory per genre.
    Unique(UniqueConfig),
    /// AudioSet's music: features of 10 s clips (no audio) with up to 150 labels.
    Audioset(AudiosetConfig),
}

impl DatasetConfig {
    /// The name that selects this dataset in an experiment.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Synthetic(_) => "synthetic",
            Self::Manifest(_) => "manifest",
            Self::Magnatagatune(_) => "magnatagatune",
            Self::Msd(_) => "msd",
            Self::Folders(_) => "folders",
            Self::Gtzan(_) => "gtzan",
            Self::Artists1517(_) => "artists1517",
            Self::Unique(_) => "unique",
            Self::Audioset(_) => "audioset",
        }
    }

    /// The configured file or directory; `None` if the dataset needs no files.
    pub fn root(&self) -> Option<&Path> {
        match self {
            Self::Synthetic(_) => None,
            Self::Manifest(config) => Some(&config.root),
            Self::Magnatagatune(config) => Some(&config.root),
            Self::Msd(config) => Some(&config.root),
            Self::Folders(config) => Some(&config.root),
            Self::Gtzan(config) => Some(&config.root),
            Self::Artists1517(config) => Some(&config.root),
            Self::Unique(config) => Some(&config.root),
            Self::Audioset(config) => Some(&config.root),
        }
    }

    /// Loads the dataset; a relative root is resolved against `data_dir` if given.
    ///
    /// # Errors
    /// If a file is missing or wrong, or a setting is out of bounds.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        match self {
            Self::Synthetic(config) => config.load(),
            Self::Manifest(config) => config.load(data_dir),
            Self::Magnatagatune(config) => config.load(data_dir),
            Self::Msd(config) => config.load(data_dir),
            Self::Folders(config) => config.load(data_dir),
            Self::Gtzan(config) => config.load(data_dir),
            Self::Artists1517(config) => config.load(data_dir),
            Self::Unique(config) => config.load(data_dir),
            Self::Audioset(config) => config.load(data_dir),
        }
    }
}

/// Finds out which dataset a directory (or a `.csv` file, a manifest) is, by its layout.
///
/// The root becomes absolute, so that it does not depend on the data directory.
///
/// # Errors
/// If the layout is unknown.
pub fn discover(root: &Path) -> Result<DatasetConfig, DatasetError> {
    // MagnaTagATune's table may be named instead of its directory.
    let root = match root.parent() {
        Some(parent) if root.ends_with(magnatagatune::ANNOTATIONS) && root.is_file() => parent,
        _ => root,
    };
    let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
    let absolute = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let is_csv = root.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let has = |name: &str| root.join(name).is_file();
    let config = if has(magnatagatune::ANNOTATIONS) {
        DatasetConfig::Magnatagatune(MagnatagatuneConfig { root: absolute, ..Default::default() })
    } else if has(msd::TRACKS) {
        let annotations = msd::annotations_in(root);
        DatasetConfig::Msd(MsdConfig { root: absolute, annotations, ..Default::default() })
    } else if is_csv || has(manifest::FILE_NAME) {
        DatasetConfig::Manifest(ManifestConfig { root: absolute, ..Default::default() })
    } else if has(audioset::LABELS) && has(audioset::ONTOLOGY) {
        DatasetConfig::Audioset(AudiosetConfig { root: absolute, ..Default::default() })
    } else if gtzan::is_root(root) {
        DatasetConfig::Gtzan(GtzanConfig { root: absolute, ..Default::default() })
    } else if artists1517::is_root(root) {
        DatasetConfig::Artists1517(Artists1517Config { root: absolute, ..Default::default() })
    } else if folders::is_root(root) {
        // Tested last, because any music collection is directories of audio. Its artists are unknown, so it is
        // not split by default.
        let split = String::new();
        DatasetConfig::Folders(FoldersConfig { root: absolute, split, ..Default::default() })
    } else {
        let remedy = "a dataset is a manifest (a .csv file), or a directory with manifest.csv (your own music), \
                      annotations_final.csv (MagnaTagATune), unique_tracks.txt (Million Song Dataset), \
                      class_labels_indices.csv (AudioSet's features), the directories blues to rock (GTZAN) or \
                      one directory of audio per tag";
        return Err(match root.exists() {
            true => {
                DatasetError::content(&absolute, format!("this is not a known dataset: {remedy}"))
            }
            false => DatasetError::Missing { path: absolute, remedy: remedy.into() },
        });
    };
    Ok(config)
}

/// The first of `places`, relative to `root`, for which `is_right` holds; "" is the root itself.
fn find_place(root: &Path, places: &[&str], is_right: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let path = |place: &&str| if place.is_empty() { root.to_owned() } else { root.join(place) };
    places.iter().map(path).find(|path| is_right(path))
}
