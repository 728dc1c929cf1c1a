//! One's own music: a CSV file with a row a track.
//!
//! `id,path,split,tags,artist,offset_s,duration_s`; tags are separated by `|`, paths are relative to
//! the manifest and stay below its folder, `split` is train, valid, test or empty. The last three
//! columns may be left out, and the order of the columns does not matter. UTF-8, with or without a
//! byte order mark, any line ends.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::shown;
use crate::{Audio, Collection, DatasetError, Track};

mod table;
#[cfg(test)]
mod tests;
mod write;

use table::Row;
pub use write::{Paths, to_csv, write_manifest};

/// In the order in which they are written; the first four must be there.
pub const COLUMNS: [&str; 7] = ["id", "path", "split", "tags", "artist", "offset_s", "duration_s"];

/// The manifest of a folder.
pub(crate) const FILE_NAME: &str = "manifest.csv";

/// `[dataset] name = "manifest"`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ManifestConfig {
    /// The CSV file, or a folder that holds a `manifest.csv`.
    pub root: PathBuf,
    /// The vocabulary, in the order of the outputs; all tags of the manifest, sorted, if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Tags on fewer tracks than this are left out.
    pub min_count: usize,
}

impl ManifestConfig {
    /// Loads the manifest at `root`, relative to `data_dir` if given.
    ///
    /// # Errors
    /// If the file is missing, or any row of it is wrong. A missing audio file is no error here.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        if self.root.as_os_str().is_empty() {
            return Err(DatasetError::InvalidConfig {
                dataset: "manifest".into(),
                key: "root".into(),
                value: "empty".into(),
                remedy: "name the CSV file, or a folder with a manifest.csv".into(),
            });
        }
        let path = crate::below(data_dir, &self.root);
        let path = if path.is_dir() { path.join(FILE_NAME) } else { path };
        let rows = table::read(&path)?;
        let mut notes = Vec::new();
        let tags = self.vocabulary(&path, &rows, &mut notes)?;
        notes.extend(straddling(&rows));
        let number: HashMap<&str, usize> =
            tags.iter().enumerate().map(|(index, tag)| (tag.as_str(), index)).collect();
        let tracks = rows
            .into_iter()
            .map(|row| {
                let mut own: Vec<usize> =
                    row.tags.iter().filter_map(|tag| number.get(tag.as_str()).copied()).collect();
                own.sort_unstable();
                Track {
                    id: row.id,
                    audio: Audio::File {
                        path: row.path,
                        offset_s: row.offset_s,
                        duration_s: row.duration_s,
                    },
                    split: row.split,
                    tags: own,
                    artist: row.artist,
                }
            })
            .collect();
        Ok(Collection { name: name_of(&path), tags, tracks, notes })
    }

    fn vocabulary(
        &self,
        path: &Path,
        rows: &[Row],
        notes: &mut Vec<String>,
    ) -> Result<Vec<String>, DatasetError> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for tag in rows.iter().flat_map(|row| &row.tags) {
            *counts.entry(tag).or_default() += 1;
        }
        let Some(most) = counts.values().copied().max() else {
            return Err(DatasetError::Table {
                path: path.to_owned(),
                problem: "no track has a tag: write tags into the column, separated by |".into(),
            });
        };
        let invalid = |key: &str, value: String, remedy: String| DatasetError::InvalidConfig {
            dataset: path.display().to_string(),
            key: key.into(),
            value,
            remedy,
        };
        let wanted: Vec<String> = if self.tags.is_empty() {
            counts.keys().map(|tag| tag.to_string()).collect()
        } else {
            let mut seen = HashSet::new();
            for tag in &self.tags {
                if !seen.insert(tag) {
                    return Err(invalid("tags", shown(tag), "name it once".into()));
                }
                if !counts.contains_key(tag.as_str()) {
                    let remedy = format!("no track has this tag; there are {}", some_of(&counts));
                    return Err(invalid("tags", shown(tag), remedy));
                }
            }
            let unwanted = counts.len() - self.tags.len();
            if unwanted > 0 {
                notes.push(format!("tags left out because dataset.tags lacks them: {unwanted}"));
            }
            self.tags.clone()
        };
        let before = wanted.len();
        let kept: Vec<String> = wanted
            .into_iter()
            .filter(|tag| counts.get(tag.as_str()).is_some_and(|&count| count >= self.min_count))
            .collect();
        if kept.is_empty() {
            let remedy = format!("no tag is on so many tracks; the most frequent is on {most}");
            return Err(invalid("min_count", self.min_count.to_string(), remedy));
        }
        if kept.len() < before {
            let (rare, least) = (before - kept.len(), self.min_count);
            notes.push(format!(
                "tags left out because they are on fewer than {least} tracks: {rare}"
            ));
        }
        Ok(kept)
    }
}

/// The folder of a file; that of a bare name is the current one.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The first tags, for a message.
fn some_of(counts: &BTreeMap<&str, usize>) -> String {
    const SHOWN: usize = 12;
    let first: Vec<&str> = counts.keys().take(SHOWN).copied().collect();
    let more = counts.len().saturating_sub(SHOWN);
    match more {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// A sentence on audio files that several splits share: scores on them are too good.
fn straddling(rows: &[Row]) -> Option<String> {
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
    first.map(|id| {
        format!(
            "audio files that more than one split uses: {} (the first at track {id}); the splits are \
             not independent",
            files.len()
        )
    })
}

/// `folder/stem`, or `folder` for a plain `manifest.csv`.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().and_then(Path::file_name).map(|name| name.to_string_lossy());
    match (folder, stem.as_str()) {
        (Some(folder), "manifest") => folder.into_owned(),
        (Some(folder), stem) => {
            format!("{folder}/{}", stem.strip_prefix("manifest-").unwrap_or(stem))
        }
        (None, stem) => stem.to_string(),
    }
}
