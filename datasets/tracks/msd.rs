//! The Million Song Dataset: a million tracks by their ids, with tags and genres that others gave.
//!
//! T. Bertin-Mahieux, D. P. W. Ellis, B. Whitman and P. Lamere, *The Million Song Dataset*, ISMIR
//! 2011. The audio is not part of it: clips of 29 s came from a music shop, and go by track id here.
//!
//! The layouts below are recalled from memory, not checked against the files themselves; a line that
//! differs is an error that names it.
//!
//! - `unique_tracks.txt`: track, song, artist and title, separated by `<SEP>` (confident);
//! - clips: `A/B/C/TRABC....mp3`, by the third to fifth letters of the track (confident for the data
//!   set's own files, which end in `.h5`; the usual place for clips);
//! - Last.fm tags: the folders `lastfm_train` and `lastfm_test`, with `A/B/C/TRABC....json` a track,
//!   which holds `track_id` and `tags`, pairs of a tag and its strength from 0 to 100, the strength
//!   as a text (confident);
//! - tagtraum's genres: `msd_tagtraum_cd1.cls`, `cd2` and `cd2c`: lines that begin with `#`, then
//!   track, genre and, for some, a second genre, separated by tabs (confident);
//! - MAGD, topMAGD and MASD: `msd-MAGD-genreAssignment.cls` and so on: track and genre, separated by
//!   a tab (confident for the lines, less so for the names of the files).
//!
//! A table of one's own is like these, with `|` between tags: `track<TAB>tag|tag`.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::shown;
use crate::lines::each_line;
use crate::{Audio, Collection, DatasetError, Track, assign_splits, split};

mod annotations;
#[cfg(test)]
pub(crate) mod tests;

use annotations::Annotations;

/// The list of all tracks.
pub(crate) const TRACKS: &str = "unique_tracks.txt";

/// Annotations to look for in a folder, best first; those of one line belong together.
const KNOWN: [&[&str]; 8] = [
    &["tags.tsv"],
    &["lastfm_train", "lastfm_test"],
    &["msd_tagtraum_cd2c.cls"],
    &["msd_tagtraum_cd2.cls"],
    &["msd_tagtraum_cd1.cls"],
    &["msd-topMAGD-genreAssignment.cls"],
    &["msd-MAGD-genreAssignment.cls"],
    &["msd-MASD-styleAssignment.cls"],
];

/// `[dataset] name = "msd"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MsdConfig {
    /// The folder with `unique_tracks.txt`.
    pub root: PathBuf,
    /// Tables of tags or genres, and folders of Last.fm's tags, relative to the root. A track has
    /// the tags of all of them, and one that has none is left out; with no tables at all every track
    /// is there, without tags (for recommendation).
    pub annotations: Vec<PathBuf>,
    /// The folder with the folders `A` to `Z` of clips, relative to the root.
    pub clips: PathBuf,
    /// A table of track and file, separated by a tab or a comma, the file relative to `clips`: for
    /// clips that go by other names, such as the music shop's. Tracks that it does not name are left
    /// out. Empty for `A/B/C/TRABC....mp3`.
    #[serde(skip_serializing_if = "is_empty")]
    pub clip_table: PathBuf,
    /// As many of the most frequent tags; 0 for all.
    pub tags: usize,
    /// Last.fm's tags below this strength, from 0 to 100, are passed over.
    pub min_strength: u32,
    /// `artist:8/1/1` or `random:8/1/1`; empty leaves the split to the user. The data set has none
    /// of its own.
    pub split: String,
    /// The seed of the split.
    pub split_seed: u64,
}

impl Default for MsdConfig {
    fn default() -> Self {
        Self {
            root: "msd".into(),
            annotations: vec!["tags.tsv".into()],
            clips: "clips".into(),
            clip_table: PathBuf::new(),
            tags: 50,
            min_strength: 0,
            split: "artist:8/1/1".into(),
            split_seed: 1,
        }
    }
}

impl MsdConfig {
    /// Loads the data set at `root`, relative to `data_dir` if given: tracks with at least one of
    /// the tags, in the order of `unique_tracks.txt`; tags with the most frequent first.
    ///
    /// # Errors
    /// If a file is missing or a line of it is wrong, or the split cannot be made. A missing clip is
    /// no error here.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        crate::named("msd", "root", &self.root, "name the folder with unique_tracks.txt")?;
        let invalid = |key: &str, value: String, remedy: &str| DatasetError::InvalidConfig {
            dataset: "msd".into(),
            key: key.into(),
            value,
            remedy: remedy.into(),
        };
        if self.min_strength > 100 {
            let value = self.min_strength.to_string();
            return Err(invalid("min_strength", value, "give a number from 0 to 100"));
        }
        let split = split::asked("msd", &self.split)?;

        let root = crate::below(data_dir, &self.root);
        let list = root.join(TRACKS);
        if !list.is_file() {
            let remedy = "get it from the Million Song Dataset (additional files)".into();
            return Err(DatasetError::Missing { path: list, remedy });
        }
        let mut annotations = Annotations::default();
        for path in &self.annotations {
            annotations.read(&root.join(path), self.min_strength)?;
        }
        let mut notes = std::mem::take(&mut annotations.notes);
        let clips = root.join(&self.clips);
        if !clips.is_dir() {
            notes.push(format!(
                "{} is not there: put the clips below it, as A/B/C/TRABC....mp3",
                clips.display()
            ));
        }

        let table = match self.clip_table.as_os_str().is_empty() {
            true => None,
            false => Some(clip_table(&root.join(&self.clip_table))?),
        };
        let all = self.annotations.is_empty();
        let mut listed = HashSet::new();
        let mut annotated: Vec<Listed> = Vec::new();
        each_line(&list, |line| {
            let row = Listed::from_line(line)?;
            if !listed.insert(row.number) {
                return Err(format!("the track {} stands in an earlier line: remove one", row.id));
            }
            if all || annotations.tracks.contains_key(&row.number) {
                annotated.push(row);
            }
            Ok(())
        })?;
        let unlisted = if all { 0 } else { annotations.tracks.len() - annotated.len() };
        let (tags, output_of) = vocabulary(&annotations, &annotated, self.tags);
        let mut tracks = Vec::with_capacity(annotated.len());
        let (mut without, mut without_clip) = (0, 0);
        for row in annotated {
            let own = annotations.tracks.get(&row.number).map_or(&[][..], |own| own);
            let mut own: Vec<usize> =
                own.iter().filter_map(|&tag| output_of[tag as usize]).collect();
            if own.is_empty() && !all {
                without += 1;
                continue;
            }
            own.sort_unstable();
            let path = match table.as_ref().map(|table| table.get(&row.id)) {
                None => clip_path(&clips, &row.id),
                Some(Some(file)) => clips.join(file),
                Some(None) => {
                    without_clip += 1;
                    continue;
                }
            };
            tracks.push(Track {
                id: row.id,
                audio: Audio::File { path, offset_s: 0.0, duration_s: None },
                split: None,
                tags: own,
                artist: row.artist,
            });
        }
        if tracks.is_empty() {
            return Err(DatasetError::Table {
                path: list,
                problem: format!(
                    "none of its {} tracks has a tag: {} tracks are annotated; take files that \
                     belong together",
                    listed.len(),
                    annotations.tracks.len()
                ),
            });
        }
        if unlisted > 0 {
            notes.push(format!(
                "annotated tracks that {TRACKS} does not list, left out: {unlisted}"
            ));
        }
        if without_clip > 0 {
            let table = self.clip_table.display();
            notes.push(format!(
                "tracks left out because {table} does not name them: {without_clip}"
            ));
        }
        if without > 0 {
            let number = tags.len();
            notes.push(format!(
                "tracks left out because they have none of the {number} tags: {without}"
            ));
        }
        let stem =
            |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let sources: Vec<String> = self.annotations.iter().map(stem).collect();
        let name = match all {
            true => "msd".to_string(),
            false => format!("msd/{}", sources.join("+")),
        };
        let mut collection = Collection { name, tags, tracks, notes };
        if let Some(split) = split {
            assign_splits(&mut collection, &split, self.split_seed)?;
        }
        Ok(collection)
    }
}

/// A line of `unique_tracks.txt`.
struct Listed {
    id: String,
    number: u128,
    artist: Option<String>,
}

impl Listed {
    fn from_line(line: &str) -> Result<Listed, String> {
        let mut values = line.split("<SEP>");
        let (Some(id), Some(_song), Some(artist), Some(_title)) =
            (values.next(), values.next(), values.next(), values.next())
        else {
            return Err(format!(
                "{} is not track<SEP>song<SEP>artist<SEP>title: get the file again",
                shown(line)
            ));
        };
        let artist = artist.trim();
        Ok(Listed {
            id: id.to_owned(),
            number: track_number(id)?,
            artist: (!artist.is_empty()).then(|| artist.to_owned()),
        })
    }
}

/// Whether a folder looks like the data set.
pub(crate) fn is_root(root: &Path) -> bool {
    root.join(TRACKS).is_file()
}

/// The annotations that lie in a folder; those of the default if there are none.
pub(crate) fn annotations_in(root: &Path) -> Vec<PathBuf> {
    let there = |names: &[&str]| -> Vec<PathBuf> {
        names.iter().filter(|name| root.join(name).exists()).map(PathBuf::from).collect()
    };
    let found = KNOWN.iter().map(|names| there(names)).find(|found| !found.is_empty());
    found.unwrap_or_else(|| MsdConfig::default().annotations)
}

fn is_empty(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

/// Files by track, from lines of both; a first line without a track is a header.
fn clip_table(path: &Path) -> Result<HashMap<String, PathBuf>, DatasetError> {
    if !path.is_file() {
        let remedy = "name the table of track and file, or leave clip_table out".into();
        return Err(DatasetError::Missing { path: path.to_owned(), remedy });
    }
    let mut files = HashMap::new();
    let mut first = true;
    each_line(path, |line| {
        let header = std::mem::replace(&mut first, false);
        let cut = line.find(['\t', ',']).ok_or("there is no tab and no comma: track, then file")?;
        let (track, file) = (line[..cut].trim(), line[cut + 1..].trim());
        if !is_id(track, "TR") {
            return match header {
                true => Ok(()),
                false => Err(format!("{} is no track of the data set", shown(track))),
            };
        }
        let inside = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
        if file.is_empty() || !inside {
            return Err(format!("the file {} does not lie below the folder of clips", shown(file)));
        }
        match files.insert(track.to_string(), PathBuf::from(file)) {
            None => Ok(()),
            Some(_) => Err(format!("the track {track} stands in an earlier line: remove one")),
        }
    })?;
    Ok(files)
}

/// `clips/A/B/C/TRABC....mp3`, for an id that was checked.
fn clip_path(clips: &Path, id: &str) -> PathBuf {
    let mut path = clips.to_owned();
    id.chars().skip(2).take(3).for_each(|letter| path.push(letter.to_string()));
    path.push(format!("{id}.mp3"));
    path
}

/// Two letters that tell the kind, then capital letters and digits, 18 in all.
pub(crate) fn is_id(text: &str, kind: &str) -> bool {
    text.len() == 18
        && text.starts_with(kind)
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// A track's id as a number: sixteen letters and digits after `TR`, in base 36, take 83 bits.
fn track_number(id: &str) -> Result<u128, String> {
    match is_id(id, "TR") {
        true => Ok(u128::from_str_radix(&id[2..], 36).unwrap_or_default()),
        false => Err(format!(
            "{} is no track: an id is TR and sixteen capital letters and digits",
            shown(id)
        )),
    }
}

/// The tags that are on most of the tracks, equal ones by name, and the place of every tag among
/// them.
fn vocabulary(
    annotations: &Annotations,
    tracks: &[Listed],
    number: usize,
) -> (Vec<String>, Vec<Option<usize>>) {
    let mut counts = vec![0_usize; annotations.tags.len()];
    for tag in tracks.iter().filter_map(|track| annotations.tracks.get(&track.number)).flatten() {
        counts[*tag as usize] += 1;
    }
    // A tag may be on no track of the list.
    let mut order: Vec<usize> = (0..counts.len()).filter(|&tag| counts[tag] > 0).collect();
    order.sort_by(|&a, &b| {
        counts[b].cmp(&counts[a]).then_with(|| annotations.tags[a].cmp(&annotations.tags[b]))
    });
    if number > 0 {
        order.truncate(number);
    }
    let mut output_of = vec![None; counts.len()];
    order.iter().enumerate().for_each(|(output, &tag)| output_of[tag] = Some(output));
    (order.into_iter().map(|tag| annotations.tags[tag].clone()).collect(), output_of)
}
