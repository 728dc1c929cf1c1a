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

use serde::{Deserialize, Serialize};

use crate::error::{line_at, shown};
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

pub(crate) const ANNOTATIONS: &str = "annotations_final.csv";
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::tests::shared;

    /// The layout as published: every value in quotes, tabs, 188 tags in no order.
    fn table(clips: &[(&str, &str, &[&str])]) -> String {
        let mut columns: Vec<String> = TOP_50.iter().rev().map(|tag| tag.to_string()).collect();
        columns.insert(7, "rare tag".into());
        columns.extend((51..188).map(|number| format!("tag {number}")));
        let mut text = String::from("\"clip_id\"");
        for column in columns.iter().map(String::as_str).chain(["mp3_path"]) {
            text += &format!("\t\"{column}\"");
        }
        for (id, path, tags) in clips {
            text += &format!("\n\"{id}\"");
            for column in &columns {
                text += if tags.contains(&column.as_str()) { "\t\"1\"" } else { "\t\"0\"" };
            }
            text += &format!("\t\"{path}\"");
        }
        text + "\n"
    }

    fn fixture(folder: &Path, clips: &[(&str, &str, &[&str])]) {
        std::fs::write(folder.join(ANNOTATIONS), table(clips)).unwrap();
    }

    /// For the contract of all data sets.
    pub(crate) fn small(folder: &Path) -> MagnatagatuneConfig {
        fixture(folder, CLIPS);
        MagnatagatuneConfig { root: folder.to_owned(), ..MagnatagatuneConfig::default() }
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
        let notes = all.notes.join("; ");
        assert!(notes.contains("files are broken: 1"), "{notes}");
        assert!(notes.contains("artists are not known"), "{notes}");

        let cleaned = load(folder.path(), ClipSelection::Won2020, 50);
        assert_eq!(cleaned.tracks.len(), 2);
        assert!(cleaned.notes.iter().any(|note| note.ends_with("none of the 50 tags: 2")));
        let every = load(folder.path(), ClipSelection::Pons2017, 188);
        assert_eq!(every.tags.len(), 188);
        let names = every.tracks[3].tags.iter().map(|&tag| every.tags[tag].as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["rare tag"]);
    }

    #[test]
    fn line_ends_and_a_byte_order_mark_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fixture(folder.path(), CLIPS);
        let expected = load(folder.path(), ClipSelection::Won2020, 188);
        let text = table(CLIPS);
        for text in [text.replace('\n', "\r\n"), format!("\u{feff}{text}"), text.replace('"', "")] {
            std::fs::write(folder.path().join(ANNOTATIONS), text).unwrap();
            assert_eq!(load(folder.path(), ClipSelection::Won2020, 188), expected);
        }
    }

    #[test]
    fn audio_is_found_where_people_unpack_it() {
        for place in ["", "mp3", "audio", "raw", "mtat/mp3"] {
            let folder = tempfile::tempdir().unwrap();
            fixture(folder.path(), CLIPS);
            let noted = load(folder.path(), ClipSelection::Pons2017, 50).notes;
            assert!(noted.iter().any(|note| note.contains("unpack the audio")), "{noted:?}");
            // One folder is enough: downloads come in parts.
            std::fs::create_dir_all(folder.path().join(place).join("3")).unwrap();
            let all = load(folder.path(), ClipSelection::Pons2017, 50);
            assert!(!all.notes.iter().any(|note| note.contains("unpack")), "{:?}", all.notes);
            let Audio::File { path, .. } = &all.tracks[0].audio else { panic!() };
            assert_eq!(*path, folder.path().join(place).join("f/bach-aria-30-59.mp3"));
        }
    }

    #[test]
    fn a_table_with_other_frequent_tags_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let noted = |tags: &[&str]| {
            fixture(folder.path(), &["0", "1", "2"].map(|id| (id, "0/a.mp3", tags)));
            let notes = load(folder.path(), ClipSelection::Pons2017, 50).notes;
            notes.iter().any(|note| note.contains("not the most frequent"))
        };
        let with_rare: Vec<&str> = TOP_50.iter().copied().chain(["rare tag"]).collect();
        assert!(!noted(&TOP_50));
        assert!(!noted(&with_rare), "a tie is none");
        assert!(noted(&with_rare[1..]));
    }

    #[test]
    fn artists_come_from_the_clip_table() {
        let folder = tempfile::tempdir().unwrap();
        fixture(folder.path(), CLIPS);
        let columns = "clip_id track_number title artist album url segmentStart segmentEnd \
                       original_url mp3_path";
        let rows = [
            &columns.split(' ').collect::<Vec<_>>()[..],
            &["2", "1", "Aria \"\"I\"\"", "Bach, J. S.", "A", "", "30", "59", "", "f/a.mp3"],
            &["7", "2", "X", "", "B", "", "0", "29", "", "c/b.mp3"],
            &["8", "3", "Caf\u{e9}", "Zo\u{eb}", "B", "", "0", "29", "", "b/b.mp3"],
            &["99", "3", "not annotated", "Z", "B", "", "0", "29", "", ""],
        ];
        let text: String =
            rows.iter().map(|row| format!("\"{}\"\r\n", row.join("\"\t\""))).collect();
        let latin_1: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        for bytes in [text.as_bytes(), &latin_1] {
            std::fs::write(folder.path().join(CLIP_INFO), bytes).unwrap();
            let all = load(folder.path(), ClipSelection::Pons2017, 50);
            let artists: Vec<_> = all.tracks.iter().map(|track| track.artist.as_deref()).collect();
            assert_eq!(artists, [Some("Bach, J. S."), None, Some("Zo\u{eb}"), None]);
            assert!(!all.notes.iter().any(|note| note.contains("artists")), "{:?}", all.notes);
        }
        std::fs::write(folder.path().join(CLIP_INFO), "clip_id\tname\n").unwrap();
        let config = MagnatagatuneConfig { root: folder.path().into(), ..Default::default() };
        let error = config.load(None).unwrap_err().to_string();
        assert!(error.contains(CLIP_INFO) && error.contains("no column artist"), "{error}");
    }

    #[test]
    fn wrong_tables_are_refused_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |text: String, tags: usize, words: &[&str]| {
            std::fs::write(folder.path().join(ANNOTATIONS), text).unwrap();
            let root = folder.path().to_owned();
            let config = MagnatagatuneConfig { root, tags, ..MagnatagatuneConfig::default() };
            let error = config.load(None).unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word), "no {word:?} in: {error}");
            }
            assert_eq!(error.lines().count(), 1, "{error}");
        };
        let good = table(&[("2", "f/a.mp3", &["guitar"])]);
        let twice = table(&[("2", "f/a.mp3", &[]), ("2", "e/b.mp3", &[])]);
        refused(twice.clone(), 50, &["line 3: clip 2", "line 2 already"]);
        refused(twice.replace('\n', "\r\n"), 50, &["line 3: clip 2", "line 2 already"]);
        refused(table(&[("2", "g/a.mp3", &[])]), 50, &["line 2", "g/a.mp3", "folders 0 to f"]);
        refused(table(&[("2", "f/../../a.mp3", &[])]), 50, &["line 2", "../"]);
        refused(table(&[("2", "/etc/passwd", &[])]), 50, &["line 2", "/etc/passwd"]);
        refused(table(&[("2", "\u{e4}/a.mp3", &[])]), 50, &["line 2", "folders"]);
        refused(table(&[("", "f/a.mp3", &[])]), 50, &["line 2", "not a number"]);
        refused(table(&[]), 50, &["no clip"]);
        refused(String::new(), 50, &["mp3_path", "published"]);
        refused(good.replace("\t\"0\"", "\t\"2\""), 50, &["line 2", "\"2\"", "0 or 1"]);
        refused(good.replace("tag 60", "tag 61"), 50, &["two columns \"tag 61\""]);
        refused(good.replace("\"guitar\"", "\"gitar\""), 50, &["no column \"guitar\""]);
        refused(good.replace("\t\"f/a.mp3\"", ""), 50, &["line 2", "189 columns", "190"]);
        let no_last = good.replace("\t\"tag 187\"", "").replacen("\"2\"\t\"0\"", "\"2\"", 1);
        refused(no_last.clone(), 188, &["187 tags, not 188"]);
        refused(good.clone(), 49, &["tags is 49", "50", "188"]);
        std::fs::remove_file(folder.path().join(ANNOTATIONS)).unwrap();
        let config = MagnatagatuneConfig { root: folder.path().into(), ..Default::default() };
        assert!(config.load(None).unwrap_err().to_string().contains("is missing"));
        let config = MagnatagatuneConfig { root: PathBuf::new(), ..Default::default() };
        assert!(config.load(None).unwrap_err().to_string().contains("root is empty"));
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

        // The labels as published by others, clip by clip: a different file in a different form.
        for (name, split) in [("val_gt_mtt.tsv", Split::Valid), ("test_gt_mtt.tsv", Split::Test)] {
            let text = std::fs::read_to_string(folder.join(name)).unwrap();
            let truth: HashMap<&str, Vec<usize>> = text
                .lines()
                .map(|line| {
                    let (id, values) = line.split_once('\t').unwrap();
                    let values = values.trim_matches(['[', ']']).split(", ");
                    let on = values.enumerate().filter(|(_, value)| *value == "1.0");
                    (id, on.map(|(tag, _)| tag).collect())
                })
                .collect();
            let tracks = all.tracks.iter().filter(|track| track.split == Some(split));
            assert_eq!(tracks.clone().count(), truth.len());
            for track in tracks {
                assert_eq!(track.tags, truth[track.id.as_str()], "clip {}", track.id);
            }
        }
        assert!(!all.notes.iter().any(|note| note.contains("most frequent")), "{:?}", all.notes);

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
