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

/// A configured path on this machine. Relative paths are below `data_dir` if given. An absolute path that does not
/// exist, because the data was moved or is on another machine, is looked up in `data_dir` by its last parts: for
/// `/mnt/a/music` and the data directory `/data`, that is `/data/mnt/a/music`, `/data/a/music` or `/data/music`, or
/// `/data` itself if it has the last name.
pub fn locate(data_dir: Option<&Path>, path: &Path) -> PathBuf {
    let Some(data) = data_dir else { return path.to_owned() };
    // `join` keeps absolute paths.
    let joined = data.join(path);
    let text = path.to_string_lossy();
    // A path of Windows is not absolute on other systems.
    let is_drive =
        matches!(text.as_bytes(), [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    if !(path.is_absolute() || is_drive) || joined.exists() {
        return joined;
    }
    let is_separator = |c: char| c == '/' || (c == '\\' && (is_drive || cfg!(windows)));
    let parts: Vec<&str> = text.split(is_separator).filter(|part| !part.is_empty()).collect();
    if parts.contains(&"..") {
        return joined;
    }
    let ends = (0..parts.len()).map(|first| data.join(parts[first..].iter().collect::<PathBuf>()));
    let itself = data.file_name().zip(parts.last()).is_some_and(|(name, last)| name == *last);
    let found = ends.chain(itself.then(|| data.to_owned())).find(|place| place.exists());
    found.unwrap_or(joined)
}

/// The configured path as [`locate`] finds it.
///
/// # Errors
/// If the path is empty.
fn resolve(
    data_dir: Option<&Path>,
    (dataset, key, path): (&str, &str, &Path),
    remedy: &str,
) -> Result<PathBuf, DatasetError> {
    match path.as_os_str().is_empty() {
        false => Ok(locate(data_dir, path)),
        true => Err(DatasetError::config(dataset, key, "empty", remedy)),
    }
}

/// Adds the note `what: count` unless the count is 0.
fn note_count(notes: &mut Vec<String>, what: &str, count: usize) {
    if count > 0 {
        notes.push(format!("{what}: {count}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_path_of_another_place_is_found_below_the_data_directory() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("music");
        test_support::touch(&data, ["jazz/manifest.csv", "mnt/jazz/1.wav"]);
        let at = |path: &str| locate(Some(&data), Path::new(path));
        assert_eq!(at("jazz"), data.join("jazz"));
        assert_eq!(at("gone"), data.join("gone"));
        assert_eq!(at("/old/jazz/manifest.csv"), data.join("jazz/manifest.csv"));
        // The longest end counts.
        assert_eq!(at("/mnt/jazz"), data.join("mnt/jazz"));
        assert_eq!(at("/old/place/music"), data);
        assert_eq!(at("/old/place/rock"), Path::new("/old/place/rock"));
        assert_eq!(at("/old/../jazz"), Path::new("/old/../jazz"));
        assert_eq!(at(r"D:\old\jazz\manifest.csv"), data.join("jazz/manifest.csv"));
        let existing = directory.path().to_str().unwrap();
        assert_eq!(at(existing), directory.path());
        assert_eq!(locate(None, Path::new("/old/jazz")), Path::new("/old/jazz"));
    }
}
