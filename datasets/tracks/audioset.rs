//! AudioSet's features: a vector of 128 bytes for each second of clips of 10 s, and their labels.
//!
//! J. F. Gemmeke et al., *Audio Set: an ontology and human-labeled dataset for audio events*, ICASSP
//! 2017. The features are those of a network that was trained on other clips (S. Hershey et al., *CNN
//! architectures for large-scale audio classification*, ICASSP 2017), after whitening and in eight
//! bits. The clips themselves are not published: a track has [`Frames`] in the place of audio, for the
//! front end `frames`.
//!
//! What is read, as published:
//!
//! - `bal_train` and `eval`, for training and evaluation: either a file `bal_train.tfrecord`, or a
//!   folder `bal_train` of such files (which may lie in `audioset_v1_embeddings`). A record is a
//!   `tf.train.SequenceExample` with `video_id`, `start_time_seconds`, `end_time_seconds` and `labels`
//!   as its context, and the list `audio_embedding`, an entry of 128 bytes a second;
//! - `class_labels_indices.csv`: `index,mid,display_name` of the 527 labels;
//! - `ontology.json`, for the labels of music, or of a part of it, alone.
//!
//! `eval` is the test split; of `bal_train` a share that is drawn by the videos' ids is for validation.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{line_at, shown};
use crate::{Audio, Collection, DatasetError, Frames, Split, Track};

mod example;
#[cfg(test)]
pub(crate) mod tests;
mod tfrecord;

use example::Example;

/// Values of a frame.
pub const DIMENSION: usize = 128;

/// The names of the labels.
pub(crate) const LABELS: &str = "class_labels_indices.csv";
/// What label is a kind of what.
pub(crate) const ONTOLOGY: &str = "ontology.json";

/// The splits, as their files are called.
const SPLITS: [&str; 2] = ["bal_train", "eval"];
/// The folder that the published archive unpacks to.
const ARCHIVE: &str = "audioset_v1_embeddings";

/// Which labels are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Vocabulary {
    /// "Music" and all that the ontology has below it: genres, instruments, moods, roles; 150 labels.
    #[default]
    Music,
    /// "Music genre" and below.
    Genres,
    /// "Musical instrument" and below.
    Instruments,
    /// "Music mood" and below.
    Moods,
    /// All 527.
    All,
}

impl Vocabulary {
    /// What all of its labels are below, in the ontology.
    fn root(self) -> Option<&'static str> {
        match self {
            Self::Music => Some("/m/04rlf"),
            Self::Genres => Some("/m/0kpv1t"),
            Self::Instruments => Some("/m/04szw"),
            Self::Moods => Some("/t/dd00030"),
            Self::All => None,
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

/// Where the features lie, and which labels are wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AudiosetConfig {
    /// The folder with `class_labels_indices.csv`.
    pub root: PathBuf,
    /// Which of the labels are tags.
    pub labels: Vocabulary,
    /// Share of `bal_train` that is for validation.
    pub valid: f64,
}

impl Default for AudiosetConfig {
    fn default() -> Self {
        Self { root: "audioset".into(), labels: Vocabulary::default(), valid: 0.1 }
    }
}

/// A byte stands for `LOWEST + byte * STEP`.
const LOWEST: f32 = -2.0;
const STEP: f32 = 4.0 / 255.0;

impl AudiosetConfig {
    /// Loads the features at `root`, relative to `data_dir` if given.
    ///
    /// # Errors
    /// As [`load`]; also if `valid` is no share.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        crate::named("audioset", "root", &self.root, "name the folder with bal_train.tfrecord")?;
        if !(self.valid > 0.0 && self.valid < 1.0) {
            return Err(DatasetError::InvalidConfig {
                dataset: "audioset".into(),
                key: "valid".into(),
                value: self.valid.to_string(),
                remedy: "set it above 0 and below 1: validation needs clips, and training too"
                    .into(),
            });
        }
        let Audioset { labels, train, eval, notes } =
            load(&crate::below(data_dir, &self.root), self.labels)?;
        let parts = train.into_iter().map(|clip| (true, clip));
        let parts = parts.chain(eval.into_iter().map(|clip| (false, clip)));
        let tracks = parts.map(|(is_training, clip)| {
            let split = match is_training {
                false => Split::Test,
                true if share(&clip.id) < self.valid => Split::Valid,
                true => Split::Train,
            };
            let frames = Frames {
                width: DIMENSION,
                per_second: 1,
                bytes: Arc::from(clip.frames.as_flattened()),
                lowest: LOWEST,
                step: STEP,
            };
            Track {
                id: clip.id,
                audio: Audio::Frames(frames),
                split: Some(split),
                tags: clip.labels,
                artist: None,
            }
        });
        let name = format!("audioset/{}", self.labels.name());
        Ok(Collection { name, tags: labels, tracks: tracks.collect(), notes })
    }
}

/// A number from 0 to 1 that an id alone decides.
fn share(id: &str) -> f64 {
    let hash = blake3::hash(id.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first) as f64 / 2.0_f64.powi(64)
}

/// Whether a folder is laid out as these features are.
pub(crate) fn is_root(root: &Path) -> bool {
    root.join(LABELS).is_file() && root.join(ONTOLOGY).is_file()
}

/// Ten seconds of a video, or less at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// The video's; no video is there twice.
    pub id: String,
    /// Where the clip begins in the video, in seconds.
    pub start_s: f32,
    /// Indices into [`Audioset::labels`], rising, without repeats.
    pub labels: Vec<usize>,
    /// One for each second, at least one. A byte stands for a value between -2 and 2.
    pub frames: Vec<[u8; DIMENSION]>,
}

/// The features as loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Audioset {
    /// Names, in the order of the label index.
    pub labels: Vec<String>,
    /// In the order of the files, and that of their names.
    pub train: Vec<Clip>,
    /// The clips that are for testing, in the same order.
    pub eval: Vec<Clip>,
    /// What was left out while reading, one sentence each, with counts.
    pub notes: Vec<String>,
}

/// Loads the features in a folder. Clips with none of the labels, and clips without a frame, are left
/// out and counted.
///
/// # Errors
/// If a file is missing or damaged (every record has checksums, and they are compared), a record is not
/// as published, a label is not in the index, or a video is there twice.
pub fn load(root: &Path, vocabulary: Vocabulary) -> Result<Audioset, DatasetError> {
    let index = label_index(&root.join(LABELS))?;
    let chosen: Vec<usize> = match vocabulary.root() {
        None => (0..index.len()).collect(),
        Some(top) => {
            let wanted = below(&root.join(ONTOLOGY), top)?;
            let chosen: Vec<usize> =
                (0..index.len()).filter(|&label| wanted.contains(&index[label].0)).collect();
            if chosen.is_empty() {
                return Err(DatasetError::Table {
                    path: root.join(LABELS),
                    problem: format!(
                        "none of its labels is below {top} in {ONTOLOGY}: take both as published"
                    ),
                });
            }
            chosen
        }
    };
    let mut output_of = vec![None; index.len()];
    chosen.iter().enumerate().for_each(|(output, &label)| output_of[label] = Some(output));

    let mut notes = Vec::new();
    let mut seen: HashMap<String, (PathBuf, u64)> = HashMap::new();
    let mut read = |split: &str| -> Result<Vec<Clip>, DatasetError> {
        let mut clips = Vec::new();
        let (mut unlabelled, mut empty) = (0, 0);
        for path in files(root, split, &mut notes)? {
            tfrecord::each_record(&path, |record, at| {
                let example = Example::read(record, at)?;
                if let Some((other, byte)) = seen.insert(example.id.clone(), (path.clone(), at)) {
                    return Err((
                        at,
                        format!(
                            "the video {} stands at byte {byte} of {} already: no video is there twice; \
                             get the files again",
                            shown(&example.id),
                            other.display()
                        ),
                    ));
                }
                if let Some(label) =
                    example.labels.iter().find(|&&label| label >= index.len() as u64)
                {
                    return Err((
                        at,
                        format!(
                            "the video {} has the label {label}: {LABELS} has {} labels, from 0; take \
                             files that belong together",
                            shown(&example.id),
                            index.len()
                        ),
                    ));
                }
                let mut labels: Vec<usize> =
                    example.labels.iter().filter_map(|&label| output_of[label as usize]).collect();
                labels.sort_unstable();
                labels.dedup();
                if labels.is_empty() {
                    unlabelled += 1;
                } else if example.frames.is_empty() {
                    empty += 1;
                } else {
                    clips.push(Clip {
                        id: example.id,
                        start_s: example.start_s,
                        labels,
                        frames: example.frames,
                    });
                }
                Ok(())
            })?;
        }
        for (number, why) in
            [(unlabelled, "have none of the labels"), (empty, "have not a single frame")]
        {
            if number > 0 {
                notes.push(format!("clips of {split} left out because they {why}: {number}"));
            }
        }
        Ok(clips)
    };
    let [train, eval] = SPLITS;
    let (train, eval) = (read(train)?, read(eval)?);
    let labels = chosen.into_iter().map(|label| index[label].1.clone()).collect();
    Ok(Audioset { labels, train, eval, notes })
}

/// The files of a split, in the order of their names.
fn files(root: &Path, split: &str, notes: &mut Vec<String>) -> Result<Vec<PathBuf>, DatasetError> {
    let single = root.join(format!("{split}.tfrecord"));
    if single.is_file() {
        return Ok(vec![single]);
    }
    let folders = [root.join(split), root.join(ARCHIVE).join(split)];
    let Some(folder) = folders.into_iter().find(|folder| folder.is_dir()) else {
        let remedy = format!(
            "get the features of AudioSet, and name the folder with {split}.tfrecord, or with the folder \
             {split} of such files"
        );
        return Err(DatasetError::Missing { path: single, remedy });
    };
    let io = |source| DatasetError::Io { action: "list", path: folder.clone(), source };
    let (mut files, mut others) = (Vec::new(), 0);
    for entry in fs::read_dir(&folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        match path.extension().is_some_and(|ending| ending == "tfrecord") && path.is_file() {
            true => files.push(path),
            false => others += 1,
        }
    }
    if others > 0 {
        notes.push(format!("files in {split} left out because they are no .tfrecord: {others}"));
    }
    files.sort();
    match files.is_empty() {
        false => Ok(files),
        true => Err(DatasetError::Table {
            path: folder,
            problem: "there is no .tfrecord file in it: unpack the features there".into(),
        }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, DatasetError> {
    fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => DatasetError::Missing {
            path: path.to_owned(),
            remedy: "get it from AudioSet's page, and put it beside the features".into(),
        },
        _ => DatasetError::Io { action: "read", path: path.to_owned(), source },
    })
}

/// The id in the ontology and the name of every label, in the order of their numbers.
fn label_index(path: &Path) -> Result<Vec<(String, String)>, DatasetError> {
    let text = read(path)?;
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let broken = |error: csv::Error| DatasetError::csv(path, &text, &error);
    let table = |problem: &str| DatasetError::Table {
        path: path.to_owned(),
        problem: format!("{problem}: take the published file"),
    };
    if reader.headers().map_err(broken)? != ["index", "mid", "display_name"].as_slice() {
        return Err(table("the first line is not index,mid,display_name"));
    }
    let mut labels = Vec::new();
    let mut seen = HashSet::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(broken)? {
        let byte = record.position().map_or(0, csv::Position::byte);
        let wrong = |problem: String| DatasetError::Line {
            path: path.to_owned(),
            line: line_at(&text, byte),
            problem: format!("{problem}: take the published file"),
        };
        let value = |column: usize| record.get(column).unwrap_or_default();
        let (number, mid, name) = (value(0), value(1), value(2));
        if number.parse() != Ok(labels.len()) {
            return Err(wrong(format!("the index is {}, not {}", shown(number), labels.len())));
        }
        for value in [mid, name] {
            if value.trim().is_empty() || !seen.insert(value.to_owned()) {
                return Err(wrong(format!("{} is empty or stands twice", shown(value))));
            }
        }
        labels.push((mid.to_owned(), name.to_owned()));
    }
    match labels.is_empty() {
        true => Err(table("there is no label below the first line")),
        false => Ok(labels),
    }
}

/// An entry of the ontology, as far as it is needed.
#[derive(Deserialize)]
struct Kind {
    id: String,
    child_ids: Vec<String>,
}

/// The ids of a label and of all below it.
fn below(path: &Path, id: &str) -> Result<HashSet<String>, DatasetError> {
    let text = read(path)?;
    let table = |problem: String| DatasetError::Table {
        path: path.to_owned(),
        problem: format!("{problem}: take the published file"),
    };
    let kinds: Vec<Kind> = serde_json::from_slice(&text)
        .map_err(|error| table(format!("this is no ontology ({error})")))?;
    let children: HashMap<&str, &[String]> =
        kinds.iter().map(|kind| (kind.id.as_str(), kind.child_ids.as_slice())).collect();
    let mut found = HashSet::new();
    let mut waiting = vec![id];
    while let Some(id) = waiting.pop() {
        let Some(own) = children.get(id) else {
            return Err(table(format!("there is no entry {}", shown(id))));
        };
        // Some are below several others.
        if found.insert(id.to_owned()) {
            waiting.extend(own.iter().map(String::as_str));
        }
    }
    Ok(found)
}
