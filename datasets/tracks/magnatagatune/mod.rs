//! MagnaTagATune: 25 863 clips of 29 s with 188 tags collected in a game.
//!
//! E. Law, K. West, M. Mandel, M. Bay and J. S. Downie, *Evaluation of algorithms using games: the case of music
//! tagging*, ISMIR 2009. For research; the audio and the files below come from its authors and are not part of this
//! repository.
//!
//! The published files are read: `annotations_final.csv` (tab-separated: `clip_id`, 188 columns of 0 or 1,
//! `mp3_path`), `clip_info_final.csv` for the artists, and sixteen directories of mp3 files, `0` to `9` and `a` to
//! `f`, in the root or in its `mp3`, `audio`, `raw` or `mtat/mp3`.
//!
//! Splits are by directory: 0 to b train, c valid, d to f test. They do not divide tracks and albums, but 56 of 230
//! artists are in more than one. `pons2017` has all clips except three broken files; `won2020` also skips clips
//! without any of the 50 most frequent tags. Scores on the two are not comparable (tags are a fifth rarer on the
//! first).

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{line_at, quoted};
use crate::text_files::read_file;
use crate::tracks::find_place;
use crate::{Audio, Collection, DatasetError, Split, Track};

#[cfg(test)]
pub(crate) mod tests;

/// Clips whose mp3 files cannot be decoded, in the directories 6, 8 and 9.
const BROKEN: [&str; 3] = ["35644", "55753", "57881"];

/// The 50 most frequent tags in the published order, most frequent first.
pub const TOP_50: [&str; 50] = [
    "guitar",
    "classical",
    "slow",
    "techno",
    "strings",
    "drums",
    "electronic",
    "rock",
    "fast",
    "piano",
    "ambient",
    "beat",
    "violin",
    "vocal",
    "synth",
    "female",
    "indian",
    "opera",
    "male",
    "singing",
    "vocals",
    "no vocals",
    "harpsichord",
    "loud",
    "quiet",
    "flute",
    "woman",
    "male vocal",
    "no vocal",
    "pop",
    "soft",
    "sitar",
    "solo",
    "man",
    "classic",
    "choir",
    "voice",
    "new age",
    "dance",
    "male voice",
    "female vocal",
    "beats",
    "harp",
    "cello",
    "no voice",
    "weird",
    "country",
    "metal",
    "female voice",
    "choral",
];

/// The file of clips and tags.
pub(crate) const ANNOTATIONS: &str = "annotations_final.csv";
/// The file of artists.
const CLIP_INFO: &str = "clip_info_final.csv";

/// The clips and their split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClipSelection {
    /// All clips except the broken ones (Pons et al. 2017, and probably Dieleman and Schrauwen 2014).
    #[default]
    Pons2017,
    /// Without clips that have none of the 50 tags (Won et al. 2020, Lee et al. 2017).
    Won2020,
}

/// `[dataset] name = "magnatagatune"`: MagnaTagATune.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MagnatagatuneConfig {
    /// The directory with `annotations_final.csv`, relative to the data directory. Default: `magnatagatune`.
    pub root: PathBuf,
    /// The clips and their split: `pons2017` (all clips) or `won2020` (clips with at least one of the 50 most
    /// frequent tags). Default: `pons2017`.
    pub split: ClipSelection,
    /// Number of tags: 50 (the most frequent) or 188 (all). Default: 50.
    pub tags: usize,
}

impl Default for MagnatagatuneConfig {
    fn default() -> Self {
        Self { root: "magnatagatune".into(), split: ClipSelection::default(), tags: 50 }
    }
}

/// A row of the annotations.
struct Clip {
    id: String,
    /// `f/artist-album-01-title-0-29.mp3`
    path: String,
    /// Indices of the tags that are 1, ascending.
    tags: Vec<usize>,
}

impl MagnatagatuneConfig {
    /// Loads the dataset at `root`; a relative root is resolved against `data_dir` if given.
    ///
    /// # Errors
    /// If a setting is out of bounds, or a table is missing or wrong. mp3 files may be missing.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        let remedy = "name the directory with annotations_final.csv";
        let root = crate::resolve(data_dir, ("magnatagatune", "root", &self.root), remedy)?;
        if self.tags != 50 && self.tags != 188 {
            let remedy = "set it to 50 (the most frequent) or 188 (all)";
            return Err(DatasetError::config("magnatagatune", "tags", self.tags, remedy));
        }
        let path = root.join(ANNOTATIONS);
        let (columns, clips) = annotations(&path)?;
        if self.tags == 188 && columns.len() != 188 {
            let problem = format!(
                "the table has {} tags, not 188: use the published file, or set dataset.tags to 50",
                columns.len()
            );
            return Err(DatasetError::content(&path, problem));
        }
        let column_of = |tag: &&str| {
            let missing = || format!("column {tag:?} is missing: use the published file");
            let column = columns.iter().position(|column| column == tag);
            column.ok_or_else(|| DatasetError::content(&path, missing()))
        };
        let top: Vec<usize> = TOP_50.iter().map(column_of).collect::<Result<_, _>>()?;
        let outputs: Vec<usize> =
            if self.tags == 50 { top.clone() } else { (0..columns.len()).collect() };
        let mut output_of = vec![None; columns.len()];
        for (output, &column) in outputs.iter().enumerate() {
            output_of[column] = Some(output);
        }
        let mut is_top = vec![false; columns.len()];
        top.iter().for_each(|&column| is_top[column] = true);

        let mut notes: Vec<String> =
            other_frequent_tags(&columns, &clips, &is_top).into_iter().collect();
        let artists = artists(&root.join(CLIP_INFO), &mut notes)?;
        let audio = audio_directory(&root).unwrap_or_else(|| {
            notes.push(format!(
                "{} contains none of the directories 0 to f, nor do mp3, audio, raw and mtat/mp3 in it: \
                 unpack the audio there",
                root.display()
            ));
            root.clone()
        });
        let (mut broken, mut untagged) = (0, 0);
        let mut tracks = Vec::with_capacity(clips.len());
        for clip in clips {
            if BROKEN.contains(&clip.id.as_str()) {
                broken += 1;
                continue;
            }
            if self.split == ClipSelection::Won2020 && !clip.tags.iter().any(|&tag| is_top[tag]) {
                untagged += 1;
                continue;
            }
            let mut tags: Vec<usize> = clip.tags.iter().filter_map(|&tag| output_of[tag]).collect();
            tags.sort_unstable();
            tracks.push(Track {
                audio: Audio::file(audio.join(&clip.path)),
                split: Some(split_of(&clip.path)),
                tags,
                artist: artists.get(&clip.id).cloned(),
                id: clip.id,
            });
        }
        crate::note_count(&mut notes, "clips skipped because their files are broken", broken);
        let what = "clips skipped because they have none of the 50 tags";
        crate::note_count(&mut notes, what, untagged);
        if self.tags == 188 {
            notes.push(tag_frequencies(&tracks, outputs.len()));
        }
        let split = match self.split {
            ClipSelection::Pons2017 => "pons2017",
            ClipSelection::Won2020 => "won2020",
        };
        let suffix = if self.tags == 50 { "" } else { ", 188 tags" };
        Ok(Collection {
            name: format!("magnatagatune/{split}{suffix}"),
            tags: outputs.iter().map(|&column| columns[column].clone()).collect(),
            tracks,
            notes,
        })
    }
}

/// The split of a clip, from the directory at the start of its path.
fn split_of(path: &str) -> Split {
    match path.as_bytes().first() {
        Some(b'c') => Split::Valid,
        Some(b'd'..=b'f') => Split::Test,
        _ => Split::Train,
    }
}

/// The directory with at least one of the sixteen directories of clips.
fn audio_directory(root: &Path) -> Option<PathBuf> {
    find_place(root, &["", "mp3", "audio", "raw", "mtat/mp3"], |place| {
        (0..16).any(|number| place.join(format!("{number:x}")).is_dir())
    })
}

/// A note if the 50 tags are not the most frequent in this table, which is then not the published one, or a part.
fn other_frequent_tags(columns: &[String], clips: &[Clip], is_top: &[bool]) -> Option<String> {
    let mut counts = vec![0usize; columns.len()];
    clips.iter().flat_map(|clip| &clip.tags).for_each(|&tag| counts[tag] += 1);
    let rarest = (0..columns.len()).filter(|&tag| is_top[tag]).min_by_key(|&tag| counts[tag])?;
    let other = (0..columns.len()).filter(|&tag| !is_top[tag]).max_by_key(|&tag| counts[tag])?;
    (counts[other] > counts[rarest]).then(|| {
        format!(
            "the 50 published tags are not the most frequent in {ANNOTATIONS}: {} has {} clips, {} has {}",
            columns[rarest], counts[rarest], columns[other], counts[other]
        )
    })
}

/// A note on the frequency of the tags: tags with few clips are not learned, tags without a clip have no score.
fn tag_frequencies(tracks: &[Track], tags: usize) -> String {
    let mut counts = vec![0_usize; tags];
    tracks.iter().flat_map(|track| &track.tags).for_each(|&tag| counts[tag] += 1);
    counts.sort_unstable();
    let below = |least: usize| counts.partition_point(|&count| count < least);
    format!(
        "clips per tag for {tags} tags: median {}, maximum {}; tags with fewer than 50 clips: {}; tags without a \
         clip: {}",
        counts[(tags - 1) / 2],
        counts[tags - 1],
        below(50),
        below(1)
    )
}

fn read(path: &Path) -> Result<Vec<u8>, DatasetError> {
    read_file(path, "get MagnaTagATune from its authors, and set root to its directory")
}

fn tab_separated(text: &[u8]) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().delimiter(b'\t').from_reader(text)
}

/// The tags (columns) and the clips (rows) of the annotations.
fn annotations(path: &Path) -> Result<(Vec<String>, Vec<Clip>), DatasetError> {
    let text = read(path)?;
    let mut reader = tab_separated(&text);
    let broken = |error: csv::Error| DatasetError::csv(path, &text, &error);
    let table = |problem: String| DatasetError::content(path, problem);
    let header = reader.headers().map_err(broken)?.clone();
    let columns = header.len();
    if columns < 3
        || header.get(0) != Some("clip_id")
        || header.get(columns - 1) != Some("mp3_path")
    {
        return Err(table(
            "the first line is not clip_id, tags and mp3_path, separated by tabs: use the published file"
                .into(),
        ));
    }
    let tags: Vec<String> = header.iter().skip(1).take(columns - 2).map(str::to_string).collect();
    let mut names = HashSet::new();
    if let Some(twice) = tags.iter().find(|tag| !names.insert(tag.as_str())) {
        return Err(table(format!("the column {} occurs twice: remove one", quoted(twice))));
    }
    let mut clips = Vec::new();
    let mut seen: HashMap<String, u64> = HashMap::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(broken)? {
        let byte = record.position().map_or(0, csv::Position::byte);
        let wrong = |problem: String| DatasetError::Line {
            path: path.to_owned(),
            line: line_at(&text, byte),
            problem,
        };
        let clip = clip(&record, &tags).map_err(wrong)?;
        if let Some(first) = seen.insert(clip.id.clone(), byte) {
            return Err(wrong(format!(
                "clip {} is already in line {}: remove one",
                clip.id,
                line_at(&text, first)
            )));
        }
        clips.push(clip);
    }
    match clips.is_empty() {
        true => {
            Err(table("the table has no clips below the first line: use the published file".into()))
        }
        false => Ok((tags, clips)),
    }
}

/// A clip from a row with as many values as the header.
fn clip(record: &csv::StringRecord, tags: &[String]) -> Result<Clip, String> {
    let id = record.get(0).unwrap_or_default();
    if id.is_empty() || !id.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(format!("the clip_id {} is not a number: use the published file", quoted(id)));
    }
    let path = record.get(record.len() - 1).unwrap_or_default();
    let is_valid = path.len() > 2
        && matches!(path.as_bytes(), [b'0'..=b'9' | b'a'..=b'f', b'/', ..])
        && !path.contains(char::is_control)
        && !path.split('/').any(|part| part == "..");
    if !is_valid {
        return Err(format!(
            "the mp3_path {} of clip {id} is not in one of the directories 0 to f: use the published file",
            quoted(path)
        ));
    }
    let mut own = Vec::new();
    for (tag, value) in record.iter().skip(1).take(tags.len()).enumerate() {
        match value {
            "0" => {}
            "1" => own.push(tag),
            _ => {
                let tag = quoted(&tags[tag]);
                return Err(format!("{tag} of clip {id} is {}: it must be 0 or 1", quoted(value)));
            }
        }
    }
    Ok(Clip { id: id.to_string(), path: path.to_string(), tags: own })
}

/// The artists by clip id; none, with a note, if the table is missing.
fn artists(path: &Path, notes: &mut Vec<String>) -> Result<HashMap<String, String>, DatasetError> {
    if !path.exists() {
        notes.push(format!("{CLIP_INFO} is missing: artists are unknown"));
        return Ok(HashMap::new());
    }
    let text = read(path)?;
    let mut reader = tab_separated(&text);
    let broken = |error: csv::Error| DatasetError::csv(path, &text, &error);
    let header = reader.headers().map_err(broken)?.clone();
    let column = |name: &str| {
        header.iter().position(|column| column == name).ok_or_else(|| {
            let problem =
                format!("column {name} is missing: use the published file, or remove this one");
            DatasetError::content(path, problem)
        })
    };
    let (id, artist) = (column("clip_id")?, column("artist")?);
    let mut artists = HashMap::new();
    let mut record = csv::ByteRecord::new();
    // Titles and addresses, which are not used, may be in any encoding.
    while reader.read_byte_record(&mut record).map_err(broken)? {
        let value = |column: usize| {
            let bytes = record.get(column).unwrap_or_default();
            // Text that is not UTF-8 is read as Latin-1, so that different names stay different.
            let latin_1 = || bytes.iter().copied().map(char::from).collect();
            std::str::from_utf8(bytes).map_or_else(|_| latin_1(), |text| text.trim().to_string())
        };
        let (id, artist) = (value(id), value(artist));
        if !artist.is_empty() {
            artists.insert(id, artist);
        }
    }
    Ok(artists)
}
