//! Your own music: a CSV file with one row per track.
//!
//! The columns are `id,path,split,tags,artist,offset_s,duration_s`, in any order; the last three are optional.
//! Tags are separated by `|`, paths are relative to the manifest and stay below its directory (unless
//! [`absolute_paths`](ManifestConfig::absolute_paths) allows others), and `split` is train, valid, test or empty.
//! The file is UTF-8, with or without a byte order mark, with any line ends.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::quoted;
use crate::tracks::{folders, tag_notes};
use crate::{Audio, Collection, DatasetError, Track};

mod reader;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use reader::ManifestRow;
pub use writer::{Paths, remove_unwritable, to_csv};

/// The columns in the order of writing; the first four are required.
pub const COLUMNS: [&str; 7] = ["id", "path", "split", "tags", "artist", "offset_s", "duration_s"];

/// The name of the manifest in a directory.
pub(crate) const FILE_NAME: &str = "manifest.csv";

/// `[dataset] name = "manifest"`: your own music, one CSV row per track.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ManifestConfig {
    /// The CSV file, or a directory with a `manifest.csv`, relative to the data directory. Required.
    pub root: PathBuf,
    /// The vocabulary in the order of the outputs. Default: all tags of the manifest, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Smallest number of tracks per tag; rarer tags are dropped. Default: 0.
    pub min_count: usize,
    /// Whether paths may be absolute or lead outside the manifest's directory, as for audio on a read-only disk.
    /// Default: false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub absolute_paths: bool,
}

impl ManifestConfig {
    /// Loads the manifest at `root`; a relative root is resolved against `data_dir` if given.
    ///
    /// # Errors
    /// If the file is missing or a row is wrong. Audio files may be missing.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        let remedy = "name the CSV file, or a directory with a manifest.csv";
        let path = crate::resolve(data_dir, ("manifest", "root", &self.root), remedy)?;
        let path = if path.is_dir() { path.join(FILE_NAME) } else { path };
        let rows = reader::read(&path, self.absolute_paths)?;
        let mut notes = Vec::new();
        let tags = self.vocabulary(&path, &rows, &mut notes)?;
        notes.extend(tag_notes::of(&tags));
        notes.extend(shared_files(&rows));
        let index_of: HashMap<&str, usize> =
            tags.iter().enumerate().map(|(index, tag)| (tag.as_str(), index)).collect();
        let tracks = rows
            .into_iter()
            .map(|row| {
                let ManifestRow { id, path, split, tags, artist, offset_s, duration_s } = row;
                let mut tags: Vec<usize> =
                    tags.iter().filter_map(|tag| index_of.get(tag.as_str()).copied()).collect();
                tags.sort_unstable();
                let audio = Audio::File { path, offset_s, duration_s };
                Track { id, audio, split, tags, artist }
            })
            .collect();
        Ok(Collection { name: name_of(&path), tags, tracks, notes })
    }

    fn vocabulary(
        &self,
        path: &Path,
        rows: &[ManifestRow],
        notes: &mut Vec<String>,
    ) -> Result<Vec<String>, DatasetError> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for tag in rows.iter().flat_map(|row| &row.tags) {
            *counts.entry(tag).or_default() += 1;
        }
        let Some(most) = counts.values().copied().max() else {
            let problem = "no track has a tag: fill the column tags, separated by |";
            return Err(DatasetError::content(path, problem));
        };
        let invalid = |key: &str, value: String, remedy: String| {
            DatasetError::config(&path.display().to_string(), key, value, remedy)
        };
        let mut tags: Vec<String> = if self.tags.is_empty() {
            counts.keys().map(|tag| tag.to_string()).collect()
        } else {
            let mut seen = HashSet::new();
            for tag in &self.tags {
                if !seen.insert(tag) {
                    return Err(invalid("tags", quoted(tag), "remove the repetition".into()));
                }
                if !counts.contains_key(tag.as_str()) {
                    let remedy = format!("no track has this tag; use {}", first_tags(&counts));
                    return Err(invalid("tags", quoted(tag), remedy));
                }
            }
            let dropped = counts.len() - self.tags.len();
            crate::note_count(
                notes,
                "tags dropped because dataset.tags does not contain them",
                dropped,
            );
            self.tags.clone()
        };
        let all = tags.len();
        tags.retain(|tag| counts[tag.as_str()] >= self.min_count);
        if tags.is_empty() {
            let remedy = format!("lower it; the most frequent tag has {most} tracks");
            return Err(invalid("min_count", self.min_count.to_string(), remedy));
        }
        let what = format!("tags dropped because they have fewer than {} tracks", self.min_count);
        crate::note_count(notes, &what, all - tags.len());
        Ok(tags)
    }
}

/// A note on the audio files below a manifest's directory that are not in the manifest; `collection` was loaded from it.
///
/// # Errors
/// If a directory cannot be listed, or the name of a file contains a control character.
pub fn unlisted(directory: &Path, collection: &Collection) -> Result<Option<String>, DatasetError> {
    let real = directory.canonicalize().map_err(DatasetError::io("open", directory))?;
    // A path with `..` is listed under the name that the directories have.
    let resolved = |path: &Path| {
        let goes_up = path.components().any(|part| part.as_os_str() == "..");
        let found = goes_up.then(|| path.canonicalize().ok()).flatten();
        let below = found.and_then(|path| path.strip_prefix(&real).map(Path::to_owned).ok());
        below.map_or_else(|| path.to_owned(), |below| directory.join(below))
    };
    let listed: HashSet<PathBuf> = collection
        .tracks
        .iter()
        .filter_map(|track| match &track.audio {
            Audio::File { path, .. } => Some(resolved(path)),
            _ => None,
        })
        .collect();
    let files = folders::audio_below(directory)?;
    let mut missing = files.iter().filter(|file| !listed.contains(&file.path));
    let first = missing.next();
    Ok(first.map(|first| {
        format!(
            "audio files below {} that are not in {FILE_NAME}: {} (first: {}); add them to it, or rename it to read the \
             directories instead",
            directory.display(),
            1 + missing.count(),
            quoted(&first.name)
        )
    }))
}

/// The directory of a file; that of a bare file name is `.`.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The first tags, for an error message.
fn first_tags(counts: &BTreeMap<&str, usize>) -> String {
    const MOST: usize = 12;
    let first: Vec<&str> = counts.keys().take(MOST).copied().collect();
    match counts.len().saturating_sub(MOST) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// A note on audio files with rows in several splits, which make scores too optimistic.
fn shared_files(rows: &[ManifestRow]) -> Option<String> {
    let mut splits = HashMap::with_capacity(rows.len());
    let mut files = HashSet::new();
    let mut first = None;
    for row in rows {
        let Some(split) = row.split else { continue };
        if *splits.entry(row.path.as_path()).or_insert(split) != split {
            files.insert(row.path.as_path());
            first.get_or_insert(&row.id);
        }
    }
    let count = files.len();
    first.map(|id| {
        format!("audio files in more than one split: {count} (first: track {id}); the splits are not independent")
    })
}

/// `directory/stem`, or `directory` for `manifest.csv`.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let Some(directory) = absolute.parent().and_then(Path::file_name) else { return stem };
    let directory = directory.to_string_lossy();
    match stem.as_str() {
        "manifest" => directory.into_owned(),
        stem => format!("{directory}/{}", stem.strip_prefix("manifest-").unwrap_or(stem)),
    }
}
