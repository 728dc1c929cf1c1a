//! Music datasets: the files on disk and their annotations.
//!
//! [`tracks`] has sets of tracks with tags and splits, [`listening`] has play counts of users. This crate
//! neither decodes audio nor uses tensors: a [`Track`] names the source of its samples.

pub mod error;
pub mod listening;
mod math;
mod random;
pub mod split;
#[cfg(test)]
mod test_support;
mod text_files;
pub mod tracks;

use std::path::{Path, PathBuf};

pub use error::DatasetError;
pub use listening::interactions::Interactions;
pub use listening::{InteractionsConfig, read_interactions};
pub use split::{Split, SplitReport, SplitSpec, assign_splits};
pub use tracks::{Audio, Collection, DatasetConfig, Frames, Track, discover};

/// The configured path, relative to `data_dir` if given.
///
/// # Errors
/// If the path is empty.
fn resolve(
    data_dir: Option<&Path>,
    (dataset, key, path): (&str, &str, &Path),
    remedy: &str,
) -> Result<PathBuf, DatasetError> {
    match path.as_os_str().is_empty() {
        false => Ok(data_dir.map_or_else(|| path.to_owned(), |data| data.join(path))),
        true => Err(DatasetError::config(dataset, key, "empty", remedy)),
    }
}

/// Adds the note `what: count` unless the count is 0.
fn note_count(notes: &mut Vec<String>, what: &str, count: usize) {
    if count > 0 {
        notes.push(format!("{what}: {count}"));
    }
}
