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

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::line_at;
use crate::{Audio, Collection, DatasetError, Split, Track};

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

const ANNOTATIONS: &str = "annotations_final.csv";
const CLIP_INFO: &str = "clip_info_final.csv";

/// Which clips are used, and how they are split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MagnatagatuneConfig {
    /// The folder with `annotations_final.csv`.
    pub root: PathBuf,
    pub split: ClipSelection,
    /// 50 for the most frequent tags, or 188 for all.
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
        let path = root.join(ANNOTATIONS);
        let (columns, clips) = annotations(&path)?;
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

        let mut notes = Vec::new();
        let artists = artists(&root.join(CLIP_INFO), &mut notes)?;
        let audio = audio_folder(&root);
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
            notes.push(format!("{broken} clips whose files are known to be broken are left out"));
        }
        if untagged > 0 {
            notes.push(format!("{untagged} clips without any of the 50 tags are left out"));
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

/// The folder that holds the sixteen.
fn audio_folder(root: &Path) -> PathBuf {
    ["", "mp3", "audio", "raw", "mtat/mp3"]
        .iter()
        .map(|folder| if folder.is_empty() { root.to_owned() } else { root.join(folder) })
        .find(|folder| folder.join("0").is_dir() || folder.join("f").is_dir())
        .unwrap_or_else(|| root.to_owned())
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
    let header = reader.headers().map_err(broken)?.clone();
    let columns = header.len();
    if columns < 3
        || header.get(0) != Some("clip_id")
        || header.get(columns - 1) != Some("mp3_path")
    {
        return Err(DatasetError::Table {
            path: path.to_owned(),
            problem: "the header is not clip_id, tags, mp3_path (tab-separated)".into(),
        });
    }
    let tags = header.iter().skip(1).take(columns - 2).map(str::to_string).collect();
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
        let id = record[0].to_string();
        if let Some(first) = seen.insert(id.clone(), byte) {
            return Err(wrong(format!(
                "clip {id} stands in line {} already",
                line_at(&text, first)
            )));
        }
        let mp3 = record[columns - 1].to_string();
        let folder = mp3.as_bytes();
        let in_folder = folder.len() > 2
            && matches!(folder[0], b'0'..=b'9' | b'a'..=b'f')
            && folder[1] == b'/'
            && !mp3.split('/').any(|part| part == "..");
        if !in_folder {
            return Err(wrong(format!("{mp3:?} does not lie in one of the folders 0 to f")));
        }
        let mut own = Vec::new();
        for (tag, value) in record.iter().skip(1).take(columns - 2).enumerate() {
            match value {
                "0" => {}
                "1" => own.push(tag),
                _ => {
                    return Err(wrong(format!(
                        "{:?} of clip {id} is {value:?}: it must be 0 or 1",
                        &header[tag + 1]
                    )));
                }
            }
        }
        clips.push(Clip { id, path: mp3, tags: own });
    }
    match clips.is_empty() {
        true => Err(DatasetError::Table {
            path: path.to_owned(),
            problem: "there is no clip below the header".into(),
        }),
        false => Ok((tags, clips)),
    }
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
            problem: format!("there is no column {name}"),
        })
    };
    let (id, artist) = (column("clip_id")?, column("artist")?);
    let mut artists = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        if !record[artist].is_empty() {
            artists.insert(record[id].to_string(), record[artist].to_string());
        }
    }
    Ok(artists)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::shared;

    /// The layout as published, small: quoted values, CRLF, every kind of clip.
    fn fixture(folder: &Path, clips: &[(&str, &str, &[&str])]) {
        let mut columns: Vec<&str> = TOP_50.iter().rev().copied().collect();
        columns.insert(7, "rare tag");
        let mut text = String::from("\"clip_id\"");
        for column in columns.iter().chain(&["mp3_path"]) {
            text += &format!("\t\"{column}\"");
        }
        for (id, path, tags) in clips {
            text += &format!("\r\n\"{id}\"");
            for column in &columns {
                text += if tags.contains(column) { "\t\"1\"" } else { "\t\"0\"" };
            }
            text += &format!("\t\"{path}\"");
        }
        std::fs::write(folder.join(ANNOTATIONS), text + "\r\n").unwrap();
    }

    const CLIPS: &[(&str, &str, &[&str])] = &[
        ("2", "f/bach-aria-30-59.mp3", &["opera", "violin"]),
        ("7", "c/lvx-x-0-29.mp3", &[]),
        ("8", "b/a-b-0-29.mp3", &["guitar", "rare tag"]),
        ("9", "0/a-b-0-29.mp3", &["rare tag"]),
        ("35644", "6/norine-0-29.mp3", &["guitar"]),
    ];

    fn load(folder: &Path, split: ClipSelection, tags: usize) -> Collection {
        MagnatagatuneConfig { root: folder.to_owned(), split, tags }.load(None).unwrap()
    }

    #[test]
    fn clips_are_split_by_folder_and_the_broken_ones_left_out() {
        let folder = tempfile::tempdir().unwrap();
        fixture(folder.path(), CLIPS);
        std::fs::create_dir_all(folder.path().join("audio/f")).unwrap();
        let all = load(folder.path(), ClipSelection::Pons2017, 50);
        let splits: Vec<_> = all.tracks.iter().map(|t| (t.id.as_str(), t.split.unwrap())).collect();
        assert_eq!(
            splits,
            [("2", Split::Test), ("7", Split::Valid), ("8", Split::Train), ("9", Split::Train)]
        );
        assert_eq!(all.tags, TOP_50);
        let names: Vec<&str> = all.tracks[0].tags.iter().map(|&t| all.tags[t].as_str()).collect();
        assert_eq!(names, ["violin", "opera"]);
        let Audio::File { path, .. } = &all.tracks[0].audio else { panic!() };
        assert_eq!(*path, folder.path().join("audio/f/bach-aria-30-59.mp3"));
        assert_eq!(all.notes.len(), 2, "{:?}", all.notes);

        let cleaned = load(folder.path(), ClipSelection::Won2020, 50);
        assert_eq!(cleaned.tracks.len(), 2);
        let every = load(folder.path(), ClipSelection::Pons2017, 188);
        assert_eq!(every.tags.len(), 51);
        assert_eq!(every.tracks[3].tags.len(), 1);
    }

    #[test]
    fn artists_come_from_the_clip_table() {
        let folder = tempfile::tempdir().unwrap();
        fixture(folder.path(), CLIPS);
        let text = "\"clip_id\"\t\"title\"\t\"artist\"\n\"2\"\t\"Aria\"\t\"Bach, J. S.\"\n\"7\"\t\"X\"\t\"\"\n";
        std::fs::write(folder.path().join(CLIP_INFO), text).unwrap();
        let all = load(folder.path(), ClipSelection::Pons2017, 50);
        assert_eq!(all.tracks[0].artist.as_deref(), Some("Bach, J. S."));
        assert_eq!(all.tracks[1].artist, None);
    }

    #[test]
    fn wrong_tables_are_refused_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let error = |clips: &[(&str, &str, &[&str])]| {
            fixture(folder.path(), clips);
            let root = folder.path().to_owned();
            let config = MagnatagatuneConfig { root, ..MagnatagatuneConfig::default() };
            config.load(None).unwrap_err().to_string()
        };
        assert!(error(&[("2", "f/a.mp3", &[]), ("2", "e/b.mp3", &[])]).contains("line 3: clip 2"));
        assert!(error(&[("2", "g/a.mp3", &[])]).contains("folders 0 to f"));
        assert!(error(&[("2", "f/../../a.mp3", &[])]).contains("line 2"));
        assert!(error(&[]).contains("no clip"));
        std::fs::remove_file(folder.path().join(ANNOTATIONS)).unwrap();
        let config = MagnatagatuneConfig { root: folder.path().into(), ..Default::default() };
        assert!(config.load(None).unwrap_err().to_string().contains("is missing"));
    }

    /// The counts of the real index, over all folders.
    #[test]
    fn the_real_index_has_the_published_counts() {
        let Some(folder) = shared("mtat") else { return };
        let index = std::fs::read_to_string(folder.join("index_mtt.tsv")).unwrap();
        let mut per_folder = [0; 16];
        let (mut all, mut broken) = ([0; 3], 0);
        for line in index.lines() {
            let (id, path) = line.split_once('\t').unwrap();
            per_folder[usize::from_str_radix(&path[..1], 16).unwrap()] += 1;
            all[split_of(path) as usize] += 1;
            broken += usize::from(BROKEN.contains(&id) && split_of(path) == Split::Train);
        }
        assert_eq!(
            per_folder,
            [
                1108, 1543, 1562, 1238, 2421, 1604, 1788, 1163, 1144, 1773, 1417, 1948, 1825, 1677,
                1547, 2105
            ]
        );
        assert_eq!((all, broken), ([18_709, 1_825, 5_329], 3));
    }

    /// The real labels of the valid and test folders, through the loader.
    #[test]
    fn the_real_labels_give_both_splits() {
        let Some(folder) = shared("mtat") else { return };
        let names = std::fs::read_to_string(folder.join("tags_top50.txt")).unwrap();
        assert_eq!(names.lines().filter(|tag| !tag.is_empty()).collect::<Vec<_>>(), TOP_50);
        let root = tempfile::tempdir().unwrap();
        let labels = folder.join("annotations_top50_valtest.csv");
        std::fs::copy(labels, root.path().join(ANNOTATIONS)).unwrap();
        let count = |collection: &Collection, split: Split| {
            collection.tracks.iter().filter(|track| track.split == Some(split)).count()
        };
        let all = load(root.path(), ClipSelection::Pons2017, 50);
        assert_eq!((count(&all, Split::Valid), count(&all, Split::Test)), (1_825, 5_329));
        let cleaned = load(root.path(), ClipSelection::Won2020, 50);
        assert_eq!((count(&cleaned, Split::Valid), count(&cleaned, Split::Test)), (1_529, 4_332));
        let every = load(root.path(), ClipSelection::Pons2017, 188);
        assert_eq!(every.tags.len(), 188);

        // Positives a clip of the test folders, with and without the untagged clips.
        let density = |collection: &Collection| {
            let test = collection.tracks.iter().filter(|track| track.split == Some(Split::Test));
            let tags: usize = test.clone().map(|track| track.tags.len()).sum();
            tags as f64 / test.count() as f64
        };
        assert!((density(&all) - 2.66).abs() < 0.005, "{}", density(&all));
        assert!((density(&cleaned) - 3.27).abs() < 0.005, "{}", density(&cleaned));
    }
}
