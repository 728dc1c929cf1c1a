//! Tags and genres of tracks, from tables and from Last.fm's directories.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use indexmap::IndexSet;
use serde::Deserialize;

use super::track_number;
use crate::DatasetError;
use crate::error::quoted;
use crate::text_files::{each_line, require_file};

/// Depth of Last.fm's files: three directories below `lastfm_train`.
const DEPTH: usize = 4;

/// The tags of tracks.
#[derive(Default)]
pub(super) struct Annotations {
    /// In order of appearance.
    pub tags: IndexSet<String>,
    /// Indices into `tags` by track number, ascending, without duplicates, never empty.
    pub tracks: HashMap<u128, Vec<u32>>,
    /// What was skipped, with counts.
    pub notes: Vec<String>,
}

/// The fields of a Last.fm file that are used.
#[derive(Deserialize)]
struct LastFm {
    track_id: String,
    tags: Vec<(String, Strength)>,
}

/// Text in the published files; a number in some derived ones.
#[derive(Deserialize)]
#[serde(untagged)]
enum Strength {
    Text(String),
    Number(f64),
}

impl Annotations {
    /// Adds a table, or a directory of Last.fm's files.
    pub(super) fn read(&mut self, path: &Path, min_strength: u32) -> Result<(), DatasetError> {
        if path.is_dir() {
            return self.read_directory(path, min_strength);
        }
        let remedy =
            "set annotations to tables of track<TAB>tag|tag, genre tables or Last.fm's directories";
        require_file(path, remedy)?;
        let mut untagged = 0;
        each_line(path, |line| {
            if line.starts_with('#') {
                return Ok(());
            }
            let mut values = line.split('\t');
            let track = track_number(values.next().unwrap_or_default().trim())?;
            let mut own = Vec::new();
            for value in values.filter(|value| !value.trim().is_empty()) {
                for tag in value.split('|').map(str::trim) {
                    if tag.is_empty() {
                        let remedy = "write one | between two tags, and none before or after";
                        return Err(format!("a tag in {} is empty: {remedy}", quoted(value)));
                    }
                    if tag.contains(char::is_control) {
                        let problem = "contains a control character: remove it";
                        return Err(format!("the tag {} {problem}", quoted(tag)));
                    }
                    own.push(self.index_of(tag));
                }
            }
            untagged += usize::from(own.is_empty());
            self.add(track, own);
            Ok(())
        })?;
        self.note("lines without a tag", path, untagged);
        Ok(())
    }

    fn read_directory(&mut self, root: &Path, min_strength: u32) -> Result<(), DatasetError> {
        let (mut files, mut others) = (Vec::new(), 0);
        list(root, DEPTH, &mut files, &mut others)?;
        if files.is_empty() {
            let problem =
                "the directory contains no A/B/C/TRABC....json: unpack Last.fm's archive there";
            return Err(DatasetError::content(root, problem));
        }
        // The order of a directory listing is not defined.
        files.sort_unstable();
        let (mut untagged, mut weak, mut invalid) = (0, 0, 0);
        for path in files {
            let wrong = |problem: String| DatasetError::content(&path, problem);
            let bytes = fs::read(&path).map_err(DatasetError::io("read", &path))?;
            let song: LastFm = serde_json::from_slice(&bytes).map_err(|error| {
                wrong(format!("{error}: write track_id, and tags as pairs of tag and strength"))
            })?;
            let track = track_number(&song.track_id).map_err(wrong)?;
            if path.file_stem().is_none_or(|stem| stem != song.track_id.as_str()) {
                let id = quoted(&song.track_id);
                return Err(wrong(format!(
                    "track_id is {id}, unlike the file name: get the file again"
                )));
            }
            let mut own = Vec::new();
            for (tag, strength) in &song.tags {
                let (text, value) = match strength {
                    Strength::Text(text) => (quoted(text), text.trim().parse().unwrap_or(f64::NAN)),
                    Strength::Number(number) => (number.to_string(), *number),
                };
                if !(0.0..=100.0).contains(&value) {
                    let tag = quoted(tag);
                    return Err(wrong(format!(
                        "the strength {text} of {tag} is not a number from 0 to 100"
                    )));
                }
                let tag = tag.trim();
                if tag.is_empty() || tag.contains(char::is_control) {
                    invalid += 1;
                } else if value < f64::from(min_strength) {
                    weak += 1;
                } else {
                    own.push(self.index_of(tag));
                }
            }
            untagged += usize::from(own.is_empty());
            self.add(track, own);
        }
        self.note("tracks without a tag", root, untagged);
        self.note(&format!("tags skipped because they are weaker than {min_strength}"), root, weak);
        self.note(
            "tags skipped because they are empty or contain a control character",
            root,
            invalid,
        );
        self.note("files skipped because they are not .json or too deep", root, others);
        Ok(())
    }

    fn index_of(&mut self, tag: &str) -> u32 {
        let index = self.tags.get_index_of(tag);
        index.unwrap_or_else(|| self.tags.insert_full(tag.to_owned()).0) as u32
    }

    fn add(&mut self, track: u128, tags: Vec<u32>) {
        if tags.is_empty() {
            return;
        }
        let own = self.tracks.entry(track).or_default();
        own.extend(tags);
        own.sort_unstable();
        own.dedup();
    }

    fn note(&mut self, what: &str, path: &Path, number: usize) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        crate::note_count(&mut self.notes, &format!("{what} in {name}"), number);
    }
}

/// Adds the `.json` files at most `depth` levels below a directory, and counts all other files.
fn list(
    directory: &Path,
    depth: usize,
    files: &mut Vec<PathBuf>,
    others: &mut usize,
) -> Result<(), DatasetError> {
    let io = DatasetError::io("list", directory);
    for entry in fs::read_dir(directory).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_dir() && depth > 1 {
            list(&path, depth - 1, files, others)?;
        } else if path.is_file() && path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        } else {
            *others += 1;
        }
    }
    Ok(())
}
