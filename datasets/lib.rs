//! Music data sets: what is on disk and what is said of it.
//!
//! One file a data set. A data set turns a folder (or, for [`synthetic`], a seed) into a
//! [`Collection`]: tracks with their tags and splits. Nothing here decodes audio or knows of
//! tensors; a [`Track`] says where its samples come from, and the pipeline fetches them.

use std::path::PathBuf;

pub mod error;

pub use error::DatasetError;

/// The part of a data set that a track belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    Train,
    Valid,
    Test,
}

/// Where the samples of a track come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Audio {
    /// `duration_s` seconds of a file from `offset_s` on; to its end if `None`.
    File { path: PathBuf, offset_s: f64, duration_s: Option<f64> },
    /// Music made by the program.
    Synthetic(synthetic::Piece),
}

/// A recording, or a stretch of one, and what is said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Unique in its collection; used in `predictions.csv`.
    pub id: String,
    pub audio: Audio,
    /// `None` where the data set leaves the split to the user.
    pub split: Option<Split>,
    /// Indices into [`Collection::tags`], rising, without repeats.
    pub tags: Vec<usize>,
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
