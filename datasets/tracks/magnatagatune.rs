//! MagnaTagATune: 25 863 clips of 29 s with 188 tags collected by a game.
//!
//! E. Law, K. West, M. Mandel, M. Bay and J. S. Downie, *Evaluation of algorithms using games: the
//! case of music tagging*, ISMIR 2009. For research; the audio and the files below come from its
//! authors and are not shipped here.
//!
//! What is read, as published: `annotations_final.csv` (tab-separated: `clip_id`, 188 columns of 0 or
//! 1, `mp3_path`), `clip_info_final.csv` for the artists, and sixteen folders of mp3 files, `0` to `9`
//! and `a` to `f`, below the root or below its `mp3`, `audio`, `raw` or `mtat/mp3`.
//!
//! Splits go by folder: 0 to b train, c valid, d to f test. Tracks and albums stay whole, artists do
//! not: 56 of 230 are on more than one side. `pons2017` takes all clips but three broken files,
//! `won2020` also leaves out those without any of the 50 most frequent tags; scores on the two are not
//! comparable (the tags are a fifth rarer on the first).

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{line_at, shown};
use crate::{Audio, Collection, DatasetError, Split, Track};

#[cfg(test)]
pub(crate) mod tests;

/// Clips whose mp3 files do not decode, in folders 6, 8 and 9.
const BROKEN: [&str; 3] = ["35644", "55753", "57881"];

/// The 50 most frequent tags, most frequent first, in the published order.
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

pub(crate) const ANNOTATIONS: &str = "annotations_final.csv";
const CLIP_INFO: &str = "clip_info_final.csv";

/// Which clips are used, and how they are split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClipSelection {
    /// All clips but the broken ones (Pons et al. 2017, and, as far as is known, Dieleman and
    /// Schrauwen 2014).
    #[default]
    Pons2017,
    /// The same without the clips that have none of the 50 tags (Won et al. 2020, Lee et al. 2017).
    Won2020,
}

/// `[dataset] name = "magnatagatune"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MagnatagatuneConfig {
    /// The folder with `annotations_final.csv`.
    pub root: PathBuf,
    /// Which clips are used, and how they are divided.
    pub split: ClipSelection,
    /// 50 for the most frequent tags, or 188 for all; the notes say how frequent all are.
    pub tags: usize,
}

impl Default for MagnatagatuneConfig {
    fn default() -> Self {
        Self { root: "magnatagatune".into(), split: ClipSelection::default(), tags: 50 }
    }
}

struct Clip {
    id: String,
    /// `f/artist-album-01-title-0-29.mp3`
    path: String,
    /// Columns that are 1.
    tags: Vec<usize>,
}

impl MagnatagatuneConfig {
    /// Loads the data set at `root`, relative to `data_dir` if given.
    ///
    /// # Errors
    /// If a table is missing or a line of it is wrong. A missing mp3 is no error here.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        let root = crate::below(data_dir, &self.root);
        if self.tags != 50 && self.tags != 188 {
            return Err(DatasetError::InvalidConfig {
                dataset: "magnatagatune".into(),
                key: "tags".into(),
                value: self.tags.to_string(),
                remedy: "it must be 50 (the most frequent) or 188 (all)".into(),
            });
        }
        if self.root.as_os_str().is_empty() {
            return Err(DatasetError::InvalidConfig {
                dataset: "magnatagatune".into(),
                key: "root".into(),
                value: "empty".into(),
                remedy: "name the folder with annotations_final.csv".into(),
            });
        }
        let path = root.join(ANNOTATIONS);
        let (columns, clips) = annotations(&path)?;
        if self.tags == 188 && columns.len() != 188 {
            return Err(DatasetError::Table {
                path,
                problem: format!(
                    "there are {} tags, not 188: take the published file, or set dataset.tags to 50",
                    columns.len()
                ),
            });
        }
        let top: Vec<usize> = TOP_50
            .iter()
            .map(|tag| {
                columns.iter().position(|column| column == tag).ok_or_else(|| DatasetError::Table {
                    path: path.clone(),
                    problem: format!("there is no column {tag:?}: take the published file"),
                })
            })
            .collect::<Result<_, _>>()?;
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
        let audio = audio_folder(&root).unwrap_or_else(|| {
            notes.push(format!(
                "{} holds none of the folders 0 to f, nor do mp3, audio, raw and mtat/mp3 in it: unpack \
                 the audio there",
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
                audio: Audio::File {
                    path: audio.join(&clip.path),
                    offset_s: 0.0,
                    duration_s: None,
                },
                split: Some(split_of(&clip.path)),
                tags,
                artist: artists.get(&clip.id).cloned(),
                id: clip.id,
            });
        }
        if broken > 0 {
            notes.push(format!("clips left out because their files are broken: {broken}"));
        }
        if untagged > 0 {
            notes.push(format!("clips left out because they have none of the 50 tags: {untagged}"));
        }
        if self.tags == 188 {
            notes.push(clips_per_tag(&tracks, outputs.len()));
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

/// Whether a folder looks like the data set.
pub(crate) fn is_root(root: &Path) -> bool {
    root.join(ANNOTATIONS).is_file()
}

/// The split of a clip, by the folder that its path begins with; checked on reading.
fn split_of(path: &str) -> Split {
    match path.as_bytes().first() {
        Some(b'c') => Split::Valid,
        Some(b'd'..=b'f') => Split::Test,
        _ => Split::Train,
    }
}

/// The folder that holds the sixteen, or those of them that are there.
fn audio_folder(root: &Path) -> Option<PathBuf> {
    ["", "mp3", "audio", "raw", "mtat/mp3"]
        .iter()
        .map(|folder| if folder.is_empty() { root.to_owned() } else { root.join(folder) })
        .find(|folder| (0..16).any(|number| folder.join(format!("{number:x}")).is_dir()))
}

/// A sentence if the 50 tags are not the most frequent in this table: then it is not the published
/// one, or a part of it.
fn other_frequent_tags(columns: &[String], clips: &[Clip], is_top: &[bool]) -> Option<String> {
    let mut counts = vec![0usize; columns.len()];
    clips.iter().flat_map(|clip| &clip.tags).for_each(|&tag| counts[tag] += 1);
    let rarest = (0..columns.len()).filter(|&tag| is_top[tag]).min_by_key(|&tag| counts[tag])?;
    let other = (0..columns.len()).filter(|&tag| !is_top[tag]).max_by_key(|&tag| counts[tag])?;
    (counts[other] > counts[rarest]).then(|| {
        format!(
            "the 50 published tags are not the most frequent in {ANNOTATIONS}: {} is on {} clips, {} \
             on {}",
            columns[rarest], counts[rarest], columns[other], counts[other]
        )
    })
}

/// A sentence on how frequent the tags are: what is on a handful of clips is not learned, and what is
/// on none cannot be scored.
fn clips_per_tag(tracks: &[Track], tags: usize) -> String {
    let mut counts = vec![0_usize; tags];
    tracks.iter().flat_map(|track| &track.tags).for_each(|&tag| counts[tag] += 1);
    counts.sort_unstable();
    let below = |least: usize| counts.partition_point(|&count| count < least);
    format!(
        "of the {tags} tags half are on {} clips or fewer, the most frequent on {}; on fewer than 50: {}; \
         on none: {}",
        counts[(tags - 1) / 2],
        counts[tags - 1],
        below(50),
        below(1)
    )
}

fn read(path: &Path) -> Result<Vec<u8>, DatasetError> {
    std::fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => DatasetError::Missing {
            path: path.to_owned(),
            remedy: "get MagnaTagATune from its authors and name its folder as root".into(),
        },
        _ => DatasetError::Io { action: "read", path: path.to_owned(), source },
    })
}

fn tab_separated(text: &[u8]) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().delimiter(b'\t').from_reader(text)
}

/// Tag columns and clips.
fn annotations(path: &Path) -> Result<(Vec<String>, Vec<Clip>), DatasetError> {
    let text = read(path)?;
    let mut reader = tab_separated(&text);
    let broken = |error: csv::Error| DatasetError::csv(path, &text, &error);
    let table = |problem: String| DatasetError::Table { path: path.to_owned(), problem };
    let header = reader.headers().map_err(broken)?.clone();
    let columns = header.len();
    if columns < 3
        || header.get(0) != Some("clip_id")
        || header.get(columns - 1) != Some("mp3_path")
    {
        return Err(table(
            "the first line is not clip_id, tags, mp3_path, separated by tabs: take the published file"
                .into(),
        ));
    }
    let tags: Vec<String> = header.iter().skip(1).take(columns - 2).map(str::to_string).collect();
    let mut names = HashSet::new();
    if let Some(twice) = tags.iter().find(|tag| !names.insert(tag.as_str())) {
        return Err(table(format!("there are two columns {}: remove one", shown(twice))));
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
                "clip {} stands in line {} already: remove one",
                clip.id,
                line_at(&text, first)
            )));
        }
        clips.push(clip);
    }
    match clips.is_empty() {
        true => Err(table("there is no clip below the first line: take the published file".into())),
        false => Ok((tags, clips)),
    }
}

/// A row of as many values as the header has.
fn clip(record: &csv::StringRecord, tags: &[String]) -> Result<Clip, String> {
    let id = record.get(0).unwrap_or_default();
    if id.is_empty() || !id.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(format!("the clip_id {} is not a number: take the published file", shown(id)));
    }
    let path = record.get(record.len() - 1).unwrap_or_default();
    let in_folder = path.len() > 2
        && matches!(path.as_bytes(), [b'0'..=b'9' | b'a'..=b'f', b'/', ..])
        && !path.contains(char::is_control)
        && !path.split('/').any(|part| part == "..");
    if !in_folder {
        return Err(format!(
            "the mp3_path {} of clip {id} does not lie in one of the folders 0 to f: take the published \
             file",
            shown(path)
        ));
    }
    let mut own = Vec::new();
    for (tag, value) in record.iter().skip(1).take(tags.len()).enumerate() {
        match value {
            "0" => {}
            "1" => own.push(tag),
            _ => {
                return Err(format!(
                    "{} of clip {id} is {}: it must be 0 or 1",
                    shown(&tags[tag]),
                    shown(value)
                ));
            }
        }
    }
    Ok(Clip { id: id.to_string(), path: path.to_string(), tags: own })
}

/// The artist of each clip; none, with a note, where the table is absent.
fn artists(path: &Path, notes: &mut Vec<String>) -> Result<HashMap<String, String>, DatasetError> {
    if !path.exists() {
        notes.push(format!("{CLIP_INFO} is absent: artists are not known"));
        return Ok(HashMap::new());
    }
    let text = read(path)?;
    let mut reader = tab_separated(&text);
    let broken = |error: csv::Error| DatasetError::csv(path, &text, &error);
    let header = reader.headers().map_err(broken)?.clone();
    let column = |name: &str| {
        header.iter().position(|column| column == name).ok_or_else(|| DatasetError::Table {
            path: path.to_owned(),
            problem: format!(
                "there is no column {name}: take the published file, or remove this one"
            ),
        })
    };
    let (id, artist) = (column("clip_id")?, column("artist")?);
    let mut artists = HashMap::new();
    let mut record = csv::ByteRecord::new();
    // Bytes: titles and addresses, which are not used, may hold anything.
    while reader.read_byte_record(&mut record).map_err(broken)? {
        let value = |column: usize| {
            let bytes = record.get(column).unwrap_or_default();
            // What is not UTF-8 is taken as Latin-1: names that differ stay different.
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
