//! The Million Song Dataset: a million tracks by their ids, with tags and genres from other sources.
//!
//! T. Bertin-Mahieux, D. P. W. Ellis, B. Whitman and P. Lamere, *The Million Song Dataset*, ISMIR 2011. It does not
//! contain the audio: clips of 29 s came from a music shop; here their names contain the track id.
//!
//! The layouts below are from memory and were not compared with the files; an error names any line that differs.
//!
//! - `unique_tracks.txt`: track, song, artist and title, separated by `<SEP>` (confident);
//! - clips: `A/B/C/TRABC....mp3`, by the third to fifth letters of the track id (confident for the dataset's own
//!   `.h5` files; the usual layout of clips);
//! - Last.fm tags: the directories `lastfm_train` and `lastfm_test` with one `A/B/C/TRABC....json` per track, which
//!   contains `track_id` and `tags`, pairs of a tag and its strength from 0 to 100 as text (confident);
//! - tagtraum's genres: `msd_tagtraum_cd1.cls`, `cd2` and `cd2c`: comment lines with `#`, then track, genre and
//!   sometimes a second genre, separated by tabs (confident);
//! - MAGD, topMAGD and MASD: `msd-MAGD-genreAssignment.cls` and so on: track and genre, separated by a tab
//!   (confident for the lines, less for the file names).
//!
//! Your own table has the same form, with `|` between tags: `track<TAB>tag|tag`.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::quoted;
use crate::text_files::{each_line, require_file};
use crate::{Audio, Collection, DatasetError, Track, assign_splits, split};

mod annotations;
#[cfg(test)]
pub(crate) mod tests;

use annotations::Annotations;

/// The file that lists all tracks.
pub(crate) const TRACKS: &str = "unique_tracks.txt";

/// Annotations that [`annotations_in`] looks for, best first; those in one line belong together.
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

/// `[dataset] name = "msd"`: the Million Song Dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MsdConfig {
    /// The directory with `unique_tracks.txt`, relative to the data directory. Default: `msd`.
    pub root: PathBuf,
    /// Tables of tags or genres, and directories of Last.fm's tags, relative to the root. A track has the tags of all
    /// of them, and tracks without a tag are skipped. An empty list keeps every track, without tags (for
    /// recommendation). Default: `tags.tsv`.
    pub annotations: Vec<PathBuf>,
    /// The directory with the directories `A` to `Z` of clips, relative to the root. Default: `clips`.
    pub clips: PathBuf,
    /// A table of track and file, separated by a tab or a comma, for clips with other names than
    /// `A/B/C/TRABC....mp3`. Files are relative to `clips`; tracks without a row are skipped. Default: none.
    #[serde(skip_serializing_if = "is_empty")]
    pub clip_table: PathBuf,
    /// Number of tags to keep, the most frequent first; 0 keeps all. Default: 50.
    pub tags: usize,
    /// Smallest strength of Last.fm's tags, from 0 to 100; weaker ones are ignored. Default: 0.
    pub min_strength: u32,
    /// The split, `artist:8/1/1` or `random:8/1/1` (shares of train, valid and test); empty for none. The dataset
    /// has no split of its own. Default: `artist:8/1/1`.
    pub split: String,
    /// Seed of the split. Default: 1.
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
    /// Loads the dataset at `root`; a relative root is resolved against `data_dir` if given. Tracks with at least one
    /// of the tags are in the order of `unique_tracks.txt`, tags by frequency.
    ///
    /// # Errors
    /// If a setting is out of bounds, a file is missing or wrong, or the split cannot be made. Clips may be missing.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        let remedy = "name the directory with unique_tracks.txt";
        let root = crate::resolve(data_dir, ("msd", "root", &self.root), remedy)?;
        if self.min_strength > 100 {
            let remedy = "set it to a number from 0 to 100";
            return Err(DatasetError::config("msd", "min_strength", self.min_strength, remedy));
        }
        let split = split::parse_setting("msd", &self.split)?;
        let list = root.join(TRACKS);
        require_file(&list, "get it from the Million Song Dataset (additional files)")?;
        let mut annotations = Annotations::default();
        for path in &self.annotations {
            annotations.read(&root.join(path), self.min_strength)?;
        }
        let mut notes = std::mem::take(&mut annotations.notes);
        let clips = root.join(&self.clips);
        if !clips.is_dir() {
            let place = clips.display();
            notes.push(format!("{place} is missing: put the clips there, as A/B/C/TRABC....mp3"));
        }
        let table = match is_empty(&self.clip_table) {
            true => None,
            false => Some(clip_table(&root.join(&self.clip_table))?),
        };

        let keep_all = self.annotations.is_empty();
        let mut seen = HashSet::new();
        let mut listed: Vec<ListedTrack> = Vec::new();
        each_line(&list, |line| {
            let track = ListedTrack::from_line(line)?;
            if !seen.insert(track.number) {
                return Err(format!("the track {} has an earlier line: remove one", track.id));
            }
            if keep_all || annotations.tracks.contains_key(&track.number) {
                listed.push(track);
            }
            Ok(())
        })?;
        let unlisted = if keep_all { 0 } else { annotations.tracks.len() - listed.len() };
        let (tags, output_of) = vocabulary(&annotations, &listed, self.tags);
        let mut tracks = Vec::with_capacity(listed.len());
        let (mut without_tag, mut without_clip) = (0, 0);
        for ListedTrack { id, number, artist } in listed {
            let own = annotations.tracks.get(&number).map_or(&[][..], |own| own);
            let mut own: Vec<usize> =
                own.iter().filter_map(|&tag| output_of[tag as usize]).collect();
            if own.is_empty() && !keep_all {
                without_tag += 1;
                continue;
            }
            own.sort_unstable();
            let path = match &table {
                None => Some(clip_path(&clips, &id)),
                Some(table) => table.get(&id).map(|file| clips.join(file)),
            };
            match path {
                Some(path) => {
                    tracks.push(Track {
                        id,
                        audio: Audio::file(path),
                        split: None,
                        tags: own,
                        artist,
                    });
                }
                None => without_clip += 1,
            }
        }
        if tracks.is_empty() {
            let problem = format!(
                "none of its {} tracks is used, and the annotations have {}: use files of the same release",
                seen.len(),
                annotations.tracks.len()
            );
            return Err(DatasetError::content(&list, problem));
        }
        let table = self.clip_table.display();
        for (what, count) in [
            (format!("annotated tracks skipped because {TRACKS} does not list them"), unlisted),
            (format!("tracks skipped because {table} does not contain them"), without_clip),
            (
                format!("tracks skipped because they have none of the {} tags", tags.len()),
                without_tag,
            ),
        ] {
            crate::note_count(&mut notes, &what, count);
        }
        let stems = self.annotations.iter().map(|path| path.file_stem().unwrap_or_default());
        let stems: Vec<_> = stems.map(|stem| stem.to_string_lossy()).collect();
        let name = if keep_all { "msd".into() } else { format!("msd/{}", stems.join("+")) };
        let mut collection = Collection { name, tags, tracks, notes };
        if let Some(split) = split {
            assign_splits(&mut collection, &split, self.split_seed)?;
        }
        Ok(collection)
    }
}

/// A line of `unique_tracks.txt`.
struct ListedTrack {
    id: String,
    number: u128,
    artist: Option<String>,
}

impl ListedTrack {
    fn from_line(line: &str) -> Result<ListedTrack, String> {
        let mut values = line.split("<SEP>");
        let (Some(id), Some(_song), Some(artist), Some(_title)) =
            (values.next(), values.next(), values.next(), values.next())
        else {
            return Err(format!(
                "{} is not track<SEP>song<SEP>artist<SEP>title: get the file again",
                quoted(line)
            ));
        };
        let artist = artist.trim();
        Ok(ListedTrack {
            id: id.to_owned(),
            number: track_number(id)?,
            artist: (!artist.is_empty()).then(|| artist.to_owned()),
        })
    }
}

/// The known annotations in a directory; the default ones if it has none.
pub(crate) fn annotations_in(root: &Path) -> Vec<PathBuf> {
    let existing = |names: &[&str]| -> Vec<PathBuf> {
        names.iter().filter(|name| root.join(name).exists()).map(PathBuf::from).collect()
    };
    let found = KNOWN.iter().map(|names| existing(names)).find(|found| !found.is_empty());
    found.unwrap_or_else(|| MsdConfig::default().annotations)
}

fn is_empty(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

/// Files by track id, from a table of both; the first line may be a header.
fn clip_table(path: &Path) -> Result<HashMap<String, PathBuf>, DatasetError> {
    require_file(path, "name the table of track and file, or remove clip_table")?;
    let mut files = HashMap::new();
    let mut first = true;
    each_line(path, |line| {
        let may_be_header = std::mem::take(&mut first);
        let pair = line.split_once(['\t', ',']);
        let (track, file) = pair.ok_or("the line has no tab or comma: write track, tab, file")?;
        let (track, file) = (track.trim(), file.trim());
        if !is_id(track, "TR") {
            return match may_be_header {
                true => Ok(()),
                false => Err(not_a_track(track)),
            };
        }
        let inside = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
        if file.is_empty() || !inside {
            return Err(format!("the file {} is not below the directory of clips", quoted(file)));
        }
        match files.insert(track.to_string(), PathBuf::from(file)) {
            None => Ok(()),
            Some(_) => Err(format!("the track {track} has an earlier line: remove one")),
        }
    })?;
    Ok(files)
}

/// `clips/A/B/C/TRABC....mp3` for a valid id.
fn clip_path(clips: &Path, id: &str) -> PathBuf {
    let mut path = clips.to_owned();
    id.chars().skip(2).take(3).for_each(|letter| path.push(letter.to_string()));
    path.push(format!("{id}.mp3"));
    path
}

/// Whether a text is an id: the two letters of `kind` and 16 capital letters or digits.
pub(crate) fn is_id(text: &str, kind: &str) -> bool {
    text.len() == 18
        && text.starts_with(kind)
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// A track id as a number: its 16 letters and digits in base 36 take 83 bits.
fn track_number(id: &str) -> Result<u128, String> {
    match is_id(id, "TR") {
        true => Ok(u128::from_str_radix(&id[2..], 36).unwrap_or_default()),
        false => Err(not_a_track(id)),
    }
}

fn not_a_track(text: &str) -> String {
    format!("{} is not a track id, TR and 16 capital letters and digits", quoted(text))
}

/// The most frequent tags, those of equal frequency by name, and the index of every tag among them.
fn vocabulary(
    annotations: &Annotations,
    tracks: &[ListedTrack],
    number: usize,
) -> (Vec<String>, Vec<Option<usize>>) {
    let mut counts = vec![0_usize; annotations.tags.len()];
    for tag in tracks.iter().filter_map(|track| annotations.tracks.get(&track.number)).flatten() {
        counts[*tag as usize] += 1;
    }
    // A tag may be on unlisted tracks only.
    let mut order: Vec<usize> = (0..counts.len()).filter(|&tag| counts[tag] > 0).collect();
    order.sort_by_key(|&tag| (std::cmp::Reverse(counts[tag]), &annotations.tags[tag]));
    if number > 0 {
        order.truncate(number);
    }
    let mut output_of = vec![None; counts.len()];
    order.iter().enumerate().for_each(|(output, &tag)| output_of[tag] = Some(output));
    (order.into_iter().map(|tag| annotations.tags[tag].clone()).collect(), output_of)
}
