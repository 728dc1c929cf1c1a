//! One's own music: a CSV file with a row a track.
//!
//! `id,path,split,tags,artist,offset_s,duration_s`; tags are separated by `|`, paths are relative to
//! the manifest and stay below its folder, `split` is train, valid, test or empty. The last three
//! columns may be left out, and the order of the columns does not matter. UTF-8, with or without a
//! byte order mark, any line ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::line_at;
use crate::{Audio, Collection, DatasetError, Split, Track};

const COLUMNS: [&str; 7] = ["id", "path", "split", "tags", "artist", "offset_s", "duration_s"];

/// `[dataset] name = "manifest"`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ManifestConfig {
    /// The CSV file, or a folder that holds a `manifest.csv`.
    pub root: PathBuf,
    /// The vocabulary, in the order of the outputs; all tags of the manifest, sorted, if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Tags on fewer tracks than this are left out.
    pub min_count: usize,
}

impl ManifestConfig {
    /// Loads the manifest at `root`, relative to `data_dir` if given.
    ///
    /// # Errors
    /// If the file is missing, or any row of it is wrong. A missing audio file is no error here.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        if self.root.as_os_str().is_empty() {
            return Err(DatasetError::InvalidConfig {
                dataset: "manifest".into(),
                key: "root".into(),
                value: "empty".into(),
                remedy: "name the CSV file, or a folder with a manifest.csv".into(),
            });
        }
        let path = crate::below(data_dir, &self.root);
        let path = if path.is_dir() { path.join("manifest.csv") } else { path };
        let rows = read(&path)?;
        let mut notes = Vec::new();
        let tags = self.vocabulary(&path, &rows, &mut notes)?;
        let number: HashMap<&str, usize> =
            tags.iter().enumerate().map(|(index, tag)| (tag.as_str(), index)).collect();
        let tracks = rows
            .into_iter()
            .map(|row| {
                let mut own: Vec<usize> =
                    row.tags.iter().filter_map(|tag| number.get(tag.as_str()).copied()).collect();
                own.sort_unstable();
                Track {
                    id: row.id,
                    audio: Audio::File {
                        path: row.path,
                        offset_s: row.offset_s,
                        duration_s: row.duration_s,
                    },
                    split: row.split,
                    tags: own,
                    artist: row.artist,
                }
            })
            .collect();
        Ok(Collection { name: name_of(&path), tags, tracks, notes })
    }

    fn vocabulary(
        &self,
        path: &Path,
        rows: &[Row],
        notes: &mut Vec<String>,
    ) -> Result<Vec<String>, DatasetError> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for tag in rows.iter().flat_map(|row| &row.tags) {
            *counts.entry(tag).or_default() += 1;
        }
        let invalid = |value: &str, remedy: &str| DatasetError::InvalidConfig {
            dataset: path.display().to_string(),
            key: "tags".into(),
            value: value.into(),
            remedy: remedy.into(),
        };
        let wanted: Vec<String> = if self.tags.is_empty() {
            counts.keys().map(|tag| tag.to_string()).collect()
        } else {
            let mut seen = BTreeSet::new();
            for tag in &self.tags {
                if !seen.insert(tag) {
                    return Err(invalid(tag, "it is named twice"));
                }
                if !counts.contains_key(tag.as_str()) {
                    return Err(invalid(tag, "no track has this tag"));
                }
            }
            let unwanted = counts.len() - self.tags.len();
            if unwanted > 0 {
                notes.push(format!("{unwanted} tags are not in the vocabulary and left out"));
            }
            self.tags.clone()
        };
        let before = wanted.len();
        let kept: Vec<String> = wanted
            .into_iter()
            .filter(|tag| counts.get(tag.as_str()).is_some_and(|&count| count >= self.min_count))
            .collect();
        if kept.len() < before {
            let (rare, least) = (before - kept.len(), self.min_count);
            notes.push(format!("{rare} tags on fewer than {least} tracks are left out"));
        }
        match kept.is_empty() {
            true => Err(DatasetError::Table {
                path: path.to_owned(),
                problem: "no track has a tag: write tags into the column, separated by |".into(),
            }),
            false => Ok(kept),
        }
    }
}

/// `folder/stem`, or `folder` for a plain `manifest.csv`.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().and_then(Path::file_name).map(|name| name.to_string_lossy());
    match (folder, stem.as_str()) {
        (Some(folder), "manifest") => folder.into_owned(),
        (Some(folder), stem) => {
            format!("{folder}/{}", stem.strip_prefix("manifest-").unwrap_or(stem))
        }
        (None, stem) => stem.to_string(),
    }
}

struct Row {
    id: String,
    path: PathBuf,
    split: Option<Split>,
    tags: BTreeSet<String>,
    artist: Option<String>,
    offset_s: f64,
    duration_s: Option<f64>,
}

fn read(path: &Path) -> Result<Vec<Row>, DatasetError> {
    if !path.is_file() {
        return Err(DatasetError::Missing {
            path: path.to_owned(),
            remedy: "write a CSV file with the columns id,path,split,tags there".into(),
        });
    }
    let bytes = fs::read(path).map_err(|source| DatasetError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let folder = path.parent().unwrap_or(Path::new("."));
    let root = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mut reader = csv::Reader::from_reader(bytes);
    let table = |problem: String| DatasetError::Table { path: path.to_owned(), problem };

    let headers = reader.headers().map_err(|error| DatasetError::csv(path, bytes, &error))?.clone();
    let mut columns: [Option<usize>; 7] = [None; 7];
    for (index, header) in headers.iter().enumerate() {
        let known =
            COLUMNS.iter().position(|column| *column == header.trim()).ok_or_else(|| {
                table(format!(
                    "the column {header:?} is not known: there are {}",
                    COLUMNS.join(", ")
                ))
            })?;
        if columns[known].replace(index).is_some() {
            return Err(table(format!("there are two columns {header}")));
        }
    }
    if let Some(missing) = (0..4).find(|&column| columns[column].is_none()) {
        return Err(table(format!(
            "the column {} is missing: the header is {}",
            COLUMNS[missing],
            COLUMNS.join(",")
        )));
    }

    let mut rows = Vec::new();
    let mut first: HashMap<String, u64> = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| DatasetError::csv(path, bytes, &error))?;
        let byte = record.position().map_or(0, csv::Position::byte);
        let wrong = |problem: String| DatasetError::Line {
            path: path.to_owned(),
            line: line_at(bytes, byte),
            problem,
        };
        let field =
            |column: usize| columns[column].and_then(|index| record.get(index)).unwrap_or("");
        let id = field(0).to_string();
        if id.is_empty() {
            return Err(wrong("the id is empty: give every track one".into()));
        }
        if let Some(first) = first.insert(id.clone(), byte) {
            return Err(wrong(format!(
                "the id {id} stands in line {} already: ids must differ",
                line_at(bytes, first)
            )));
        }
        let split = match field(2).trim() {
            "" => None,
            word => Some(word.parse().map_err(&wrong)?),
        };
        let mut tags = BTreeSet::new();
        if !field(3).trim().is_empty() {
            for tag in field(3).split('|') {
                let tag = tag.trim();
                if tag.is_empty() {
                    return Err(wrong(format!(
                        "a tag in {:?} is empty: separate tags by one |",
                        field(3)
                    )));
                }
                if tag.contains(['\n', '\r']) {
                    return Err(wrong(format!("the tag {tag:?} holds a line break: remove it")));
                }
                tags.insert(tag.to_string());
            }
        }
        let seconds = |column: usize| -> Result<Option<f64>, DatasetError> {
            let text = field(column).trim();
            if text.is_empty() {
                return Ok(None);
            }
            match text.parse::<f64>() {
                Ok(value) if value.is_finite() && value >= 0.0 => Ok(Some(value)),
                _ => Err(wrong(format!(
                    "{} is {text:?}: it must be a number of seconds, 0 or more",
                    COLUMNS[column]
                ))),
            }
        };
        let duration_s = seconds(6)?;
        if duration_s == Some(0.0) {
            return Err(wrong("duration_s is 0: leave it empty for the whole file".into()));
        }
        rows.push(Row {
            path: inside(&root, folder, field(1)).map_err(&wrong)?,
            id,
            split,
            tags,
            artist: Some(field(4).trim().to_string()).filter(|artist| !artist.is_empty()),
            offset_s: seconds(5)?.unwrap_or(0.0),
            duration_s,
        });
    }
    match rows.is_empty() {
        true => Err(table("there is no row below the header: add your tracks".into())),
        false => Ok(rows),
    }
}

/// The path of an audio file, which must stay below the manifest's folder, links included.
fn inside(root: &Path, folder: &Path, text: &str) -> Result<PathBuf, String> {
    let outside = |why: &str| {
        Err(format!("the path {text:?} {why}: put the file below the manifest's folder"))
    };
    if text.is_empty() {
        return Err("the path is empty: name the audio file".into());
    }
    let path = Path::new(text);
    let mut depth = 0i64;
    for component in path.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => depth -= 1,
            Component::RootDir | Component::Prefix(_) => return outside("is absolute"),
        }
        if depth < 0 {
            return outside("leads outside");
        }
    }
    let joined = folder.join(path);
    match joined.canonicalize() {
        Ok(real) if !real.starts_with(root) => outside("is a link that leads outside"),
        _ => Ok(joined),
    }
}

/// Writes a collection as a manifest; whole, or not at all.
///
/// Paths are relative to the manifest where the files lie below its folder, so that it can be
/// loaded again; absolute elsewhere. Music made by the program is named `synthetic:SEED:INDEX`.
///
/// # Errors
/// If the file cannot be written.
pub fn write_manifest(collection: &Collection, path: &Path) -> Result<(), DatasetError> {
    let io = |source: std::io::Error| DatasetError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = folder.canonicalize().map_err(io)?;
    let mut writer = csv::Writer::from_writer(Vec::new());
    let broken = |error: csv::Error| DatasetError::csv(path, &[], &error);
    writer.write_record(COLUMNS).map_err(broken)?;
    for track in &collection.tracks {
        let (file, offset, duration) = match &track.audio {
            Audio::File { path, offset_s, duration_s } => {
                let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                // The folder resolved, not the file: a link stays the name that the user gave.
                let resolved = match (absolute.parent(), absolute.file_name()) {
                    (Some(parent), Some(name)) => {
                        parent.canonicalize().map_or_else(|_| absolute.clone(), |p| p.join(name))
                    }
                    _ => absolute.clone(),
                };
                let shown = resolved.strip_prefix(&root).unwrap_or(&resolved);
                (shown.display().to_string(), *offset_s, *duration_s)
            }
            Audio::Synthetic(piece) => (piece.to_string(), 0.0, None),
        };
        let tags: Vec<&str> = track.tags.iter().map(|&tag| collection.tags[tag].as_str()).collect();
        writer
            .write_record([
                track.id.as_str(),
                &file,
                &track.split.map(|split| split.to_string()).unwrap_or_default(),
                &tags.join("|"),
                track.artist.as_deref().unwrap_or_default(),
                &if offset == 0.0 { String::new() } else { offset.to_string() },
                &duration.map(|seconds| seconds.to_string()).unwrap_or_default(),
            ])
            .map_err(broken)?;
    }
    let bytes = writer.into_inner().map_err(|error| io(error.into_error()))?;
    let staging = folder.join(format!(".manifest-{}.tmp", std::process::id()));
    let written = fs::File::create(&staging)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&staging, path));
    if written.is_err() {
        // The cause is reported below; a leftover would only add to it.
        let _ = fs::remove_file(&staging);
    }
    written.map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(content: impl AsRef<[u8]>) -> Result<Collection, DatasetError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("manifest.csv"), content).unwrap();
        let root = folder.path().to_owned();
        ManifestConfig { root, ..ManifestConfig::default() }.load(None)
    }

    #[track_caller]
    fn refused(content: impl AsRef<[u8]>, words: &[&str]) {
        let error = load(content).unwrap_err().to_string();
        for word in words.iter().chain(&["manifest.csv"]) {
            assert!(error.contains(word), "no {word:?} in: {error}");
        }
    }

    #[test]
    fn rows_become_tracks_whatever_the_order_of_columns_and_line_ends() {
        let text = "\u{feff}tags,id,split,path,duration_s,offset_s,artist\r\n\
                    b|a|b,one,train,\"x, y.mp3\",3.5,1,\"Guns \"\"N\"\" Roses\"\r\n\
                    ,two,,sub/z.flac,,,\r\n";
        let collection = load(text).unwrap();
        assert_eq!(collection.tags, ["a", "b"]);
        let [one, two] = &collection.tracks[..] else { panic!() };
        assert_eq!(
            (one.id.as_str(), one.split, &one.tags[..]),
            ("one", Some(Split::Train), &[0, 1][..])
        );
        assert_eq!(one.artist.as_deref(), Some("Guns \"N\" Roses"));
        let Audio::File { path, offset_s, duration_s } = &one.audio else { panic!() };
        assert!(path.ends_with("x, y.mp3"));
        assert_eq!((*offset_s, *duration_s), (1.0, Some(3.5)));
        assert_eq!((two.split, two.artist.as_deref(), two.tags.len()), (None, None, 0));
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_line() {
        let head = "id,path,split,tags,artist,offset_s,duration_s\n";
        let row = |row: &str| format!("{head}ok,ok.mp3,train,a,,,\n{row}\n");
        refused(row("ok,b.mp3,train,a,,,"), &["line 3", "ok", "line 2"]);
        refused(row("x,../b.mp3,train,a,,,"), &["line 3", "../b.mp3", "outside"]);
        refused(row("x,a/../../b.mp3,train,a,,,"), &["line 3", "outside"]);
        refused(row("x,/etc/passwd,train,a,,,"), &["line 3", "absolute"]);
        refused(row("x,,train,a,,,"), &["line 3", "path is empty"]);
        refused(row(",b.mp3,train,a,,,"), &["line 3", "id is empty"]);
        refused(row("x,b.mp3,training,a,,,"), &["line 3", "training", "train, valid or test"]);
        refused(row("x,b.mp3,train,a||b,,,"), &["line 3", "empty"]);
        refused(row("x,b.mp3,train,a,,-1,"), &["line 3", "offset_s", "-1"]);
        refused(row("x,b.mp3,train,a,,,nan"), &["line 3", "duration_s", "nan"]);
        refused(row("x,b.mp3,train,a,,,inf"), &["line 3", "duration_s"]);
        refused(row("x,b.mp3,train,a,,,0"), &["line 3", "duration_s is 0"]);
        refused(row("x,b.mp3,train"), &["line 3", "3 columns", "7"]);
        refused(head, &["no row"]);
        refused("id,path,split\na,b,train\n", &["column tags is missing"]);
        refused("id,path,split,tags,genre\n", &["\"genre\" is not known"]);
        refused("id,path,split,tags,id\n", &["two columns id"]);
        refused([head.as_bytes(), b"x,caf\xe9.mp3,train,a,,,\n"].concat(), &["line 2", "UTF-8"]);
        refused(format!("{head}x,x.mp3,train,,,,\n"), &["no track has a tag"]);
    }

    #[test]
    fn lines_are_counted_right_whatever_ends_them() {
        let text = "id,path,split,tags\na,a.mp3,train,\"x\"\n\nb,b.mp3,train,y\na,c.mp3,train,z\n";
        refused(text, &["line 5:", "line 2 already"]);
        refused(text.replace('\n', "\r\n"), &["line 5:", "line 2 already"]);
    }

    #[test]
    fn a_missing_manifest_says_what_to_write() {
        let config = ManifestConfig { root: "no/such".into(), ..ManifestConfig::default() };
        let error = config.load(Some(Path::new("data"))).unwrap_err().to_string();
        assert!(error.contains("data/no/such") && error.contains("id,path,split,tags"), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn a_link_that_leads_outside_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(folder.path().join("secret.wav"), b"x").unwrap();
        std::os::unix::fs::symlink("../secret.wav", inner.join("link.wav")).unwrap();
        fs::write(inner.join("manifest.csv"), "id,path,split,tags\na,link.wav,train,t\n").unwrap();
        let config = ManifestConfig { root: inner, ..ManifestConfig::default() };
        let error = config.load(None).unwrap_err().to_string();
        assert!(error.contains("leads outside"), "{error}");
    }

    #[test]
    fn the_vocabulary_can_be_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let text = "id,path,split,tags\n1,a,train,x|y\n2,b,train,x\n3,c,test,z|x\n";
        fs::write(folder.path().join("m.csv"), text).unwrap();
        let mut config = ManifestConfig { root: "m.csv".into(), ..ManifestConfig::default() };
        config.min_count = 2;
        let rare = config.load(Some(folder.path())).unwrap();
        assert_eq!(rare.tags, ["x"]);
        assert!(rare.notes[0].contains("2 tags on fewer than 2"), "{:?}", rare.notes);
        config.min_count = 0;
        config.tags = vec!["z".into(), "x".into()];
        let chosen = config.load(Some(folder.path())).unwrap();
        assert_eq!(chosen.tags, ["z", "x"]);
        assert_eq!(chosen.tracks[2].tags, [0, 1]);
        config.tags.push("q".into());
        assert!(config.load(Some(folder.path())).unwrap_err().to_string().contains("no track has"));
    }

    #[test]
    fn what_is_written_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let text = "id,path,split,tags,artist,offset_s,duration_s\n\
                    \"a,1\",\"s/\"\"q\"\".mp3\",train,x|y,Ä,1.5,2\nb,b.mp3,,,,,\n";
        fs::write(folder.path().join("in.csv"), text).unwrap();
        let load = |name: &str| {
            let root = folder.path().join(name);
            ManifestConfig { root, ..ManifestConfig::default() }.load(None).unwrap()
        };
        let collection = load("in.csv");
        write_manifest(&collection, &folder.path().join("out.csv")).unwrap();
        assert_eq!(load("out.csv").tracks, collection.tracks);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_million_rows_load_in_seconds() {
        let mut text = String::from("id,path,split,tags\n");
        for i in 0..1_000_000 {
            text += &format!("{i},{i}.mp3,train,t{}|t{}\n", i % 50, i % 7);
        }
        let started = std::time::Instant::now();
        assert_eq!(load(text).unwrap().tracks.len(), 1_000_000);
        // A tenth of this on an idle machine.
        assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    }
}
