//! Tags and genres of the Million Song Dataset's tracks, from tables and from Last.fm's folders.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::track_number;
use crate::DatasetError;
use crate::error::shown;
use crate::lines::each_line;

/// Folders below one of Last.fm's: three, and one for the folder itself.
const DEEPEST: usize = 4;

/// What was said of the tracks.
#[derive(Default)]
pub(super) struct Annotations {
    /// Tags in the order in which they first appear.
    pub tags: Vec<String>,
    numbers: HashMap<String, u32>,
    /// Tags of each track, rising, without repeats; none is empty.
    pub tracks: HashMap<u128, Vec<u32>>,
    /// What was passed over, with counts.
    pub notes: Vec<String>,
}

/// A file of Last.fm's; what else stands in it is passed over.
#[derive(Deserialize)]
struct LastFm {
    track_id: String,
    tags: Vec<(String, Strength)>,
}

/// As published a text; a number in what others made of it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Strength {
    Text(String),
    Number(f64),
}

impl Annotations {
    /// Adds a table, or a folder of Last.fm's.
    pub(super) fn read(&mut self, path: &Path, min_strength: u32) -> Result<(), DatasetError> {
        if path.is_dir() {
            return self.read_folder(path, min_strength);
        }
        if !path.is_file() {
            return Err(DatasetError::Missing {
                path: path.to_owned(),
                remedy: "name tables of track<TAB>tag|tag, genre tables or Last.fm's folders as \
                         annotations"
                    .into(),
            });
        }
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
                        return Err(format!(
                            "a tag in {} is empty: put one | between tags, and none around them",
                            shown(value)
                        ));
                    }
                    if tag.contains(char::is_control) {
                        return Err(format!(
                            "the tag {} holds a control character: remove it",
                            shown(tag)
                        ));
                    }
                    own.push(self.number(tag)?);
                }
            }
            untagged += usize::from(own.is_empty());
            self.add(track, own);
            Ok(())
        })?;
        self.note("lines without a tag", path, untagged);
        Ok(())
    }

    fn read_folder(&mut self, folder: &Path, min_strength: u32) -> Result<(), DatasetError> {
        let (mut files, mut others) = (Vec::new(), 0);
        list(folder, DEEPEST, &mut files, &mut others)?;
        if files.is_empty() {
            return Err(DatasetError::Table {
                path: folder.to_owned(),
                problem: "it holds no A/B/C/TRABC....json: unpack Last.fm's archive there".into(),
            });
        }
        // The order in which a disk lists them must not tell.
        files.sort_unstable();
        let (mut untagged, mut weak, mut empty) = (0, 0, 0);
        for path in files {
            let wrong = |problem: String| DatasetError::Table { path: path.clone(), problem };
            let bytes = fs::read(&path).map_err(|source| DatasetError::Io {
                action: "read",
                path: path.clone(),
                source,
            })?;
            let song: LastFm = serde_json::from_slice(&bytes).map_err(|error| {
                wrong(format!(
                    "{error}: it must hold track_id, and tags as pairs of tag and strength"
                ))
            })?;
            let track = track_number(&song.track_id).map_err(wrong)?;
            if path.file_stem().is_none_or(|stem| stem != song.track_id.as_str()) {
                return Err(wrong(format!(
                    "it is of the track {}, and its name says another: get the file again",
                    shown(&song.track_id)
                )));
            }
            let mut own = Vec::new();
            for (tag, strength) in &song.tags {
                let value = match strength {
                    Strength::Text(text) => text.trim().parse().unwrap_or(f64::NAN),
                    Strength::Number(number) => *number,
                };
                if !(0.0..=100.0).contains(&value) {
                    let text = match strength {
                        Strength::Text(text) => shown(text),
                        Strength::Number(number) => number.to_string(),
                    };
                    return Err(wrong(format!(
                        "the strength {text} of {} is no number from 0 to 100",
                        shown(tag)
                    )));
                }
                let tag = tag.trim();
                if tag.is_empty() || tag.contains(char::is_control) {
                    empty += 1;
                } else if value < f64::from(min_strength) {
                    weak += 1;
                } else {
                    own.push(self.number(tag).map_err(wrong)?);
                }
            }
            untagged += usize::from(own.is_empty());
            self.add(track, own);
        }
        self.note("tracks without a tag", folder, untagged);
        self.note(&format!("tags weaker than {min_strength}, passed over"), folder, weak);
        self.note("tags that are empty or hold a control character, passed over", folder, empty);
        self.note("files that are no .json or lie too deep, passed over", folder, others);
        Ok(())
    }

    fn number(&mut self, tag: &str) -> Result<u32, String> {
        if let Some(&number) = self.numbers.get(tag) {
            return Ok(number);
        }
        let number = u32::try_from(self.tags.len())
            .map_err(|_| format!("there are more than {} tags", u32::MAX))?;
        self.tags.push(tag.to_owned());
        self.numbers.insert(tag.to_owned(), number);
        Ok(number)
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
        if number > 0 {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            self.notes.push(format!("{what} in {name}: {number}"));
        }
    }
}

/// The `.json` files at most `depth` folders down, and how many things are none.
fn list(
    folder: &Path,
    depth: usize,
    files: &mut Vec<PathBuf>,
    others: &mut usize,
) -> Result<(), DatasetError> {
    let io = |source| DatasetError::Io { action: "list", path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_dir() && depth > 1 {
            list(&path, depth - 1, files, others)?;
        } else if path.is_file() && path.extension().is_some_and(|ending| ending == "json") {
            files.push(path);
        } else {
            *others += 1;
        }
    }
    Ok(())
}
