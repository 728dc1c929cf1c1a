//! AudioSet's features: 128 bytes per second of clips of 10 s, and labels.
//!
//! J. F. Gemmeke et al., *Audio Set: an ontology and human-labeled dataset for audio events*, ICASSP 2017. The
//! features come from a network trained on other clips (S. Hershey et al., *CNN architectures for large-scale
//! audio classification*, ICASSP 2017), whitened and quantised to 8 bits. The clips are not published: a track
//! has [`Frames`] instead of audio, for the front end `frames`.
//!
//! The published files are read:
//!
//! - `bal_train` and `eval`, for training and evaluation: a file `bal_train.tfrecord`, or a directory
//!   `bal_train` of such files (possibly in `audioset_v1_embeddings`). A record is a `tf.train.SequenceExample`
//!   with `video_id` and `labels` in its context, and the list `audio_embedding` with 128 bytes per second;
//! - `class_labels_indices.csv`: `index,mid,display_name` of the 527 labels;
//! - `ontology.json`, for the labels of music or a part of it.
//!
//! `eval` is the test split; a share of `bal_train`, drawn by video id, is the validation split.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{line_at, quoted};
use crate::text_files::read_file;
use crate::{Audio, Collection, DatasetError, Frames, Split, Track};

mod sequence_example;
#[cfg(test)]
pub(crate) mod tests;
mod tfrecord;

use sequence_example::Clip;

/// Features per frame.
pub const DIMENSION: usize = 128;

/// The file of the labels' names.
pub(crate) const LABELS: &str = "class_labels_indices.csv";
/// The file of the hierarchy of labels.
pub(crate) const ONTOLOGY: &str = "ontology.json";

/// The directory in the published archive.
const ARCHIVE: &str = "audioset_v1_embeddings";

/// A set of labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Vocabulary {
    /// "Music" and everything below it in the ontology: genres, instruments, moods, roles; 150 labels.
    #[default]
    Music,
    /// "Music genre" and below.
    Genres,
    /// "Musical instrument" and below.
    Instruments,
    /// "Music mood" and below.
    Moods,
    /// All 527 labels.
    All,
}

impl Vocabulary {
    /// The id in the ontology of the label above all others of the set.
    fn root(self) -> Option<&'static str> {
        match self {
            Self::Music => Some("/m/04rlf"),
            Self::Genres => Some("/m/0kpv1t"),
            Self::Instruments => Some("/m/04szw"),
            Self::Moods => Some("/t/dd00030"),
            Self::All => None,
        }
    }

    /// The indices of its labels, ascending.
    fn choose(self, root: &Path, index: &[(String, String)]) -> Result<Vec<usize>, DatasetError> {
        let Some(top) = self.root() else { return Ok((0..index.len()).collect()) };
        let wanted = descendants(&root.join(ONTOLOGY), top)?;
        let chosen: Vec<usize> =
            (0..index.len()).filter(|&label| wanted.contains(&index[label].0)).collect();
        match chosen.is_empty() {
            false => Ok(chosen),
            true => {
                let problem =
                    format!("no label is below {top} in {ONTOLOGY}: use both files as published");
                Err(DatasetError::content(&root.join(LABELS), problem))
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Music => "music",
            Self::Genres => "genres",
            Self::Instruments => "instruments",
            Self::Moods => "moods",
            Self::All => "all",
        }
    }
}

/// `[dataset] name = "audioset"`: AudioSet's features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AudiosetConfig {
    /// The directory with `class_labels_indices.csv`, relative to the data directory. Default: `audioset`.
    pub root: PathBuf,
    /// The labels that are tags: `music` (150), `genres`, `instruments`, `moods` or `all` (527). Default:
    /// `music`.
    pub labels: Vocabulary,
    /// Share of `bal_train` used for validation, above 0 and below 1. Default: 0.1.
    pub valid: f64,
}

impl Default for AudiosetConfig {
    fn default() -> Self {
        Self { root: "audioset".into(), labels: Vocabulary::default(), valid: 0.1 }
    }
}

/// The feature of byte 0.
const LOWEST: f32 = -2.0;
/// The difference between the features of consecutive bytes.
const STEP: f32 = 4.0 / 255.0;

impl AudiosetConfig {
    /// Loads the features at `root`; a relative root is resolved against `data_dir` if given. Clips without any of
    /// the labels and clips without a frame are skipped and counted.
    ///
    /// # Errors
    /// If `valid` is out of bounds, a file is missing or damaged (the checksums of every record are compared), a
    /// label is not in the index, or a video occurs twice.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        let remedy = "name the directory with bal_train.tfrecord";
        let root = &crate::resolve(data_dir, ("audioset", "root", &self.root), remedy)?;
        if !(self.valid > 0.0 && self.valid < 1.0) {
            let remedy = "set it above 0 and below 1: validation and training both need clips";
            return Err(DatasetError::config("audioset", "valid", self.valid, remedy));
        }
        let index = label_index(&root.join(LABELS))?;
        let chosen = self.labels.choose(root, &index)?;
        let mut output_of = vec![None; index.len()];
        chosen.iter().enumerate().for_each(|(output, &label)| output_of[label] = Some(output));

        let (mut notes, mut tracks) = (Vec::new(), Vec::new());
        let mut seen: HashMap<String, (PathBuf, u64)> = HashMap::new();
        for subset in ["bal_train", "eval"] {
            let (mut unlabelled, mut empty) = (0, 0);
            for path in files(root, subset, &mut notes)? {
                tfrecord::each_record(&path, |record, at| {
                    let Clip { id, labels, frames } = Clip::from_record(record)?;
                    if let Some((file, byte)) = seen.insert(id.clone(), (path.clone(), at)) {
                        return Err(format!(
                            "the video {} is already at byte {byte} of {}: get the files again",
                            quoted(&id),
                            file.display()
                        ));
                    }
                    let mut tags = Vec::new();
                    for label in labels {
                        let output =
                            usize::try_from(label).ok().and_then(|label| output_of.get(label));
                        tags.extend(output.ok_or_else(|| {
                            format!(
                                "the video {} has the label {label}, and {LABELS} has {} labels, from 0: use \
                                 files of the same release",
                                quoted(&id),
                                index.len()
                            )
                        })?);
                    }
                    tags.sort_unstable();
                    tags.dedup();
                    if tags.is_empty() {
                        unlabelled += 1;
                    } else if frames.is_empty() {
                        empty += 1;
                    } else {
                        let split = match subset {
                            "eval" => Split::Test,
                            _ if uniform(&id) < self.valid => Split::Valid,
                            _ => Split::Train,
                        };
                        let (bytes, lowest, step) = (frames.into(), LOWEST, STEP);
                        let audio = Audio::Frames(Frames {
                            width: DIMENSION,
                            per_second: 1,
                            bytes,
                            lowest,
                            step,
                        });
                        tracks.push(Track { id, audio, split: Some(split), tags, artist: None });
                    }
                    Ok(())
                })?;
            }
            let reason =
                |reason: &str| format!("clips of {subset} skipped because they have no {reason}");
            crate::note_count(&mut notes, &reason("tag"), unlabelled);
            crate::note_count(&mut notes, &reason("frame"), empty);
        }
        let tags = chosen.into_iter().map(|label| index[label].1.clone()).collect();
        let name = format!("audioset/{}", self.labels.name());
        Ok(Collection { name, tags, tracks, notes })
    }
}

/// A number from 0 to below 1 that depends only on the id.
fn uniform(id: &str) -> f64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(id.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(first) as f64 / 2.0_f64.powi(64)
}

/// The TFRecord files of a subset, ordered by name.
fn files(root: &Path, subset: &str, notes: &mut Vec<String>) -> Result<Vec<PathBuf>, DatasetError> {
    let single = root.join(format!("{subset}.tfrecord"));
    if single.is_file() {
        return Ok(vec![single]);
    }
    let directories = [root.join(subset), root.join(ARCHIVE).join(subset)];
    let Some(directory) = directories.into_iter().find(|directory| directory.is_dir()) else {
        let remedy = format!(
            "get AudioSet's features, and name the directory with {subset}.tfrecord, or with the directory \
             {subset} of such files"
        );
        return Err(DatasetError::Missing { path: single, remedy });
    };
    let io = DatasetError::io("list", &directory);
    let (mut files, mut others) = (Vec::new(), 0);
    for entry in fs::read_dir(&directory).map_err(io)? {
        let path = entry.map_err(io)?.path();
        match path.extension().is_some_and(|extension| extension == "tfrecord") && path.is_file() {
            true => files.push(path),
            false => others += 1,
        }
    }
    crate::note_count(
        notes,
        &format!("files in {subset} skipped because they are not .tfrecord"),
        others,
    );
    files.sort();
    match files.is_empty() {
        false => Ok(files),
        true => {
            let problem = "the directory contains no .tfrecord file: unpack the features there";
            Err(DatasetError::content(&directory, problem))
        }
    }
}

/// The remedy for a missing table.
const TABLE: &str = "get it from AudioSet's page, and put it beside the features";

/// The id in the ontology and the name of every label, in the order of their numbers.
fn label_index(path: &Path) -> Result<Vec<(String, String)>, DatasetError> {
    let text = read_file(path, TABLE)?;
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let broken = |error: csv::Error| DatasetError::csv(path, &text, &error);
    let content =
        |problem: &str| DatasetError::content(path, format!("{problem}: use the published file"));
    if reader.headers().map_err(broken)? != ["index", "mid", "display_name"].as_slice() {
        return Err(content("the first line is not index,mid,display_name"));
    }
    let mut labels = Vec::new();
    let mut seen = HashSet::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(broken)? {
        let byte = record.position().map_or(0, csv::Position::byte);
        let wrong = |problem: String| DatasetError::Line {
            path: path.to_owned(),
            line: line_at(&text, byte),
            problem: format!("{problem}: use the published file"),
        };
        let value = |column: usize| record.get(column).unwrap_or_default();
        let (number, mid, name) = (value(0), value(1), value(2));
        if number.parse() != Ok(labels.len()) {
            return Err(wrong(format!("the index is {}, not {}", quoted(number), labels.len())));
        }
        for value in [mid, name] {
            if value.trim().is_empty() || !seen.insert(value.to_owned()) {
                return Err(wrong(format!("{} is empty or occurs twice", quoted(value))));
            }
        }
        labels.push((mid.to_owned(), name.to_owned()));
    }
    match labels.is_empty() {
        true => Err(content("the table has no labels below the first line")),
        false => Ok(labels),
    }
}

/// The fields of an entry of the ontology that are used.
#[derive(Deserialize)]
struct Entry {
    id: String,
    child_ids: Vec<String>,
}

/// The ids of a label and of all labels below it in the ontology.
fn descendants(path: &Path, id: &str) -> Result<HashSet<String>, DatasetError> {
    let content =
        |problem: String| DatasetError::content(path, format!("{problem}: use the published file"));
    let entries: Vec<Entry> = serde_json::from_slice(&read_file(path, TABLE)?)
        .map_err(|error| content(format!("this is not an ontology ({error})")))?;
    let children: HashMap<&str, &[String]> =
        entries.iter().map(|entry| (entry.id.as_str(), entry.child_ids.as_slice())).collect();
    let mut found = HashSet::new();
    let mut pending = vec![id];
    while let Some(id) = pending.pop() {
        let own =
            children.get(id).ok_or_else(|| content(format!("entry {} is missing", quoted(id))))?;
        // A label can be below several others.
        if found.insert(id.to_owned()) {
            pending.extend(own.iter().map(String::as_str));
        }
    }
    Ok(found)
}
