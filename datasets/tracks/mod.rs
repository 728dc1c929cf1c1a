//! Sets of tracks: one file per data set.
//!
//! A data set turns a directory (or, for [`synthetic`], a seed) into a [`Collection`]: tracks with their tags and splits.

pub mod artists1517;
pub mod audioset;
pub mod folders;
pub mod gtzan;
pub mod magnatagatune;
pub mod manifest;
pub mod msd;
pub mod synthetic;
pub mod unique;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DatasetError, Split};

/// Where the samples of a track come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Audio {
    /// `duration_s` seconds of a file from `offset_s` on; to its end if `None`.
    #[allow(missing_docs, reason = "the sentence above names them")]
    File { path: PathBuf, offset_s: f64, duration_s: Option<f64> },
    /// Music made by the program.
    Synthetic(synthetic::Piece),
    /// No audio, but features that were computed from it elsewhere.
    Frames(Frames),
}

/// Features of a track in eight bits: `per_second` frames a second, of `width` numbers each.
#[derive(Clone, Debug, PartialEq)]
pub struct Frames {
    /// Numbers a frame.
    pub width: usize,
    /// Frames a second.
    pub per_second: u32,
    /// Frame after frame; `byte` stands for `lowest + byte * step`.
    pub bytes: Arc<[u8]>,
    /// What the byte 0 stands for.
    pub lowest: f32,
    /// What a byte more adds.
    pub step: f32,
}

/// A recording, or a stretch of one, and what is said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Unique in its collection; used in `predictions.csv`.
    pub id: String,
    /// Where its samples come from.
    pub audio: Audio,
    /// `None` where the data set leaves the split to the user.
    pub split: Option<Split>,
    /// Indices into [`Collection::tags`], rising, without repeats.
    pub tags: Vec<usize>,
    /// Who made it, as far as is known; splits by artist keep them together.
    pub artist: Option<String>,
}

/// A data set as loaded: its vocabulary and its tracks.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// The data set's name, with its split where it has several: `magnatagatune/pons2017`.
    pub name: String,
    /// The vocabulary, in the order of the model's outputs.
    pub tags: Vec<String>,
    /// In a fixed order: that of the data set's own index.
    pub tracks: Vec<Track>,
    /// What was left out while loading and why, one sentence each, with counts.
    pub notes: Vec<String>,
}

/// The data sets that an experiment may name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum DatasetConfig {
    /// Music made by the program.
    Synthetic(synthetic::SyntheticConfig),
    /// One's own files, listed in a CSV.
    Manifest(manifest::ManifestConfig),
    /// MagnaTagATune.
    Magnatagatune(magnatagatune::MagnatagatuneConfig),
    /// The Million Song Dataset.
    Msd(msd::MsdConfig),
    /// One's own files, a folder a tag.
    Folders(folders::FoldersConfig),
    /// GTZAN.
    Gtzan(gtzan::GtzanConfig),
    /// 1517-Artists.
    Artists1517(artists1517::Artists1517Config),
    /// Unique.
    Unique(unique::UniqueConfig),
    /// AudioSet's features.
    Audioset(audioset::AudiosetConfig),
}

impl DatasetConfig {
    /// What an experiment may name, each with a line for help texts.
    pub const MEMBERS: [(&'static str, &'static str); 9] = [
        ("synthetic", "music that the program makes; needs no files"),
        ("manifest", "your own files, listed in a manifest.csv: id,path,split,tags,artist"),
        ("magnatagatune", "MagnaTagATune: 25 863 clips with 188 tags, from its own tables"),
        ("msd", "Million Song Dataset: tracks by their ids, with tags or genres of your choice"),
        ("folders", "your own files, sorted into folders: jazz/01.mp3 has the tag jazz"),
        ("gtzan", "GTZAN: 1 000 excerpts of 30 s in 10 genres, whole or fault-filtered"),
        ("artists1517", "1517-Artists: 3 180 songs in 19 genres, a folder a genre"),
        ("unique", "Unique: 3 115 excerpts of 30 s in 14 genres, a folder a genre"),
        ("audioset", "AudioSet's music: features of 10 s clips (no audio) with up to 150 labels"),
    ];

    /// As an experiment names it.
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

    /// Where it lies on disk, if it does.
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

    /// Loads the data set; a relative root lies below `data_dir` if given.
    ///
    /// # Errors
    /// If a file is missing or wrong, with its line.
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

/// Recognises the layout of a folder (or of a CSV file).
///
/// The root is made absolute: it is seen from here, and no data folder is put before it.
///
/// # Errors
/// If it is none of the known ones.
pub fn discover(root: &Path) -> Result<DatasetConfig, DatasetError> {
    // The table itself is as good as its folder.
    let root = match root.parent() {
        Some(parent) if root.ends_with(magnatagatune::ANNOTATIONS) && root.is_file() => parent,
        _ => root,
    };
    let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
    let owned = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    if magnatagatune::is_root(root) {
        let config = magnatagatune::MagnatagatuneConfig { root: owned, ..Default::default() };
        return Ok(DatasetConfig::Magnatagatune(config));
    }
    if msd::is_root(root) {
        let annotations = msd::annotations_in(root);
        let config = msd::MsdConfig { root: owned, annotations, ..Default::default() };
        return Ok(DatasetConfig::Msd(config));
    }
    let is_csv = root.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    if is_csv || root.join(manifest::FILE_NAME).is_file() {
        let config = manifest::ManifestConfig { root: owned, ..Default::default() };
        return Ok(DatasetConfig::Manifest(config));
    }
    if audioset::is_root(root) {
        let config = audioset::AudiosetConfig { root: owned, ..Default::default() };
        return Ok(DatasetConfig::Audioset(config));
    }
    if gtzan::is_root(root) {
        let config = gtzan::GtzanConfig { root: owned, ..Default::default() };
        return Ok(DatasetConfig::Gtzan(config));
    }
    if artists1517::is_root(root) {
        let config = artists1517::Artists1517Config { root: owned, ..Default::default() };
        return Ok(DatasetConfig::Artists1517(config));
    }
    // The last guess: any collection of music is folders with audio in them. It is not split unasked,
    // for its artists are not known.
    if folders::is_root(root) {
        let split = String::new();
        let config = folders::FoldersConfig { root: owned, split, ..Default::default() };
        return Ok(DatasetConfig::Folders(config));
    }
    let remedy = "a data set is a folder with manifest.csv (your own music), \
                  annotations_final.csv (MagnaTagATune), unique_tracks.txt (Million Song \
                  Dataset), class_labels_indices.csv (AudioSet's features), the folders blues to rock (GTZAN) or a folder of audio for each tag, or a \
                  manifest as a .csv file";
    Err(match root.exists() {
        true => DatasetError::Table {
            path: owned,
            problem: format!("this is no data set: {remedy}; none of these is there"),
        },
        false => DatasetError::Missing { path: owned, remedy: remedy.into() },
    })
}
