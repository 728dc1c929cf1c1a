//! The rows of a manifest, each checked.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{COLUMNS, folder_of};
use crate::error::{line_at, shown};
use crate::{DatasetError, Split};

/// Columns that must be there: the first of [`COLUMNS`].
const NEEDED: usize = 4;

pub(super) struct Row {
    pub id: String,
    pub path: PathBuf,
    pub split: Option<Split>,
    pub tags: BTreeSet<String>,
    pub artist: Option<String>,
    pub offset_s: f64,
    pub duration_s: Option<f64>,
}

pub(super) fn read(path: &Path) -> Result<Vec<Row>, DatasetError> {
    if !path.is_file() {
        return Err(DatasetError::Missing {
            path: path.to_owned(),
            remedy: "a manifest is a CSV file with the columns id,path,split,tags".into(),
        });
    }
    let io = |source| DatasetError::Io { action: "read", path: path.to_owned(), source };
    let bytes = fs::read(path).map_err(io)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut inside = Inside::new(folder_of(path)).map_err(io)?;
    let mut reader = csv::Reader::from_reader(bytes);
    let table = |problem: String| DatasetError::Table { path: path.to_owned(), problem };

    let headers = reader.headers().map_err(|error| DatasetError::csv(path, bytes, &error))?;
    let columns = columns(headers).map_err(table)?;
    let mut rows = Vec::new();
    let mut first: HashMap<String, u64> = HashMap::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| DatasetError::csv(path, bytes, &error))? {
        let byte = record.position().map_or(0, csv::Position::byte);
        let wrong = |problem: String| DatasetError::Line {
            path: path.to_owned(),
            line: line_at(bytes, byte),
            problem,
        };
        let row = row(&record, &columns, &mut inside).map_err(wrong)?;
        if let Some(first) = first.insert(row.id.clone(), byte) {
            return Err(wrong(format!(
                "the id {} stands in line {} already: ids must differ",
                shown(&row.id),
                line_at(bytes, first)
            )));
        }
        rows.push(row);
    }
    match rows.is_empty() {
        true => Err(table("there is no row below the header: add your tracks".into())),
        false => Ok(rows),
    }
}

/// Where each of [`COLUMNS`] stands.
fn columns(headers: &csv::StringRecord) -> Result<[Option<usize>; COLUMNS.len()], String> {
    let mut columns = [None; COLUMNS.len()];
    for (index, header) in headers.iter().enumerate() {
        let name = header.trim();
        let Some(known) = COLUMNS.iter().position(|column| *column == name) else {
            return Err(format!(
                "the column {} is not known: there are {}, separated by commas",
                shown(header),
                COLUMNS.join(", ")
            ));
        };
        if columns[known].replace(index).is_some() {
            return Err(format!("there are two columns {name}: remove one"));
        }
    }
    match (0..NEEDED).find(|&column| columns[column].is_none()) {
        Some(missing) => Err(format!(
            "the column {} is missing: the first line must be {}",
            COLUMNS[missing],
            COLUMNS.join(",")
        )),
        None => Ok(columns),
    }
}

fn row(
    record: &csv::StringRecord,
    columns: &[Option<usize>; COLUMNS.len()],
    inside: &mut Inside,
) -> Result<Row, String> {
    let field = |column: usize| columns[column].and_then(|index| record.get(index)).unwrap_or("");
    // A quote that is not closed makes one value of all lines that follow; it shows here.
    if let Some(column) = (0..COLUMNS.len()).find(|&c| field(c).trim().contains(char::is_control)) {
        return Err(format!(
            "the {} {} holds a line break or another control character: remove it, or close the quote",
            COLUMNS[column],
            shown(field(column))
        ));
    }
    let id = field(0).trim().to_string();
    if id.is_empty() {
        return Err("the id is empty: give every track one".into());
    }
    let split = match field(2).trim() {
        "" => None,
        word => Some(word.parse()?),
    };
    let mut tags = BTreeSet::new();
    if !field(3).trim().is_empty() {
        for tag in field(3).split('|').map(str::trim) {
            if tag.is_empty() {
                return Err(format!(
                    "a tag in {} is empty: put one | between tags, and none around them",
                    shown(field(3))
                ));
            }
            tags.insert(tag.to_string());
        }
    }
    let seconds = |column: usize| match field(column).trim() {
        "" => Ok(None),
        text => match text.parse::<f64>() {
            // Adding zero turns -0 into 0.
            Ok(value) if value.is_finite() && value >= 0.0 => Ok(Some(value + 0.0)),
            _ => Err(format!(
                "{} is {}: it must be a number of seconds, 0 or more",
                COLUMNS[column],
                shown(text)
            )),
        },
    };
    let (offset_s, duration_s) = (seconds(5)?.unwrap_or(0.0), seconds(6)?);
    if duration_s == Some(0.0) {
        return Err("duration_s is 0: leave it empty for the whole file".into());
    }
    Ok(Row {
        path: inside.check(field(1))?,
        id,
        split,
        tags,
        artist: Some(field(4).trim().to_string()).filter(|artist| !artist.is_empty()),
        offset_s,
        duration_s,
    })
}

/// Keeps paths below the manifest's folder, links included.
struct Inside {
    /// As the user wrote it.
    folder: PathBuf,
    /// The same without links.
    real: PathBuf,
    /// Whether a folder of the manifest lies inside; those that do not exist do.
    folders: HashMap<PathBuf, bool>,
}

impl Inside {
    fn new(folder: &Path) -> std::io::Result<Inside> {
        let real = folder.canonicalize()?;
        Ok(Inside { folder: folder.to_owned(), real, folders: HashMap::new() })
    }

    /// The path of the audio file that a row names.
    fn check(&mut self, text: &str) -> Result<PathBuf, String> {
        let outside = |why: &str| {
            Err(format!("the path {} {why}: put the file below the manifest's folder", shown(text)))
        };
        if text.trim().is_empty() {
            return Err("the path is empty: name the audio file".into());
        }
        let path = Path::new(text);
        let mut depth = 0i64;
        let mut winding = false;
        for component in path.components() {
            match component {
                Component::Normal(_) => depth += 1,
                Component::CurDir => {}
                Component::ParentDir => {
                    depth -= 1;
                    winding = true;
                }
                Component::RootDir | Component::Prefix(_) => return outside("is absolute"),
            }
            if depth < 0 {
                return outside("leads outside");
            }
        }
        if !matches!(path.components().next_back(), Some(Component::Normal(_))) {
            return Err(format!("the path {} names a folder: name the audio file", shown(text)));
        }
        let joined = self.folder.join(path);
        // A look at the file itself is dear on a network: folders are resolved once, and a file is
        // resolved only if it is a link or if its path goes up.
        let is_inside = match joined.parent() {
            Some(parent) if !winding => {
                let known = match self.folders.get(parent) {
                    Some(known) => *known,
                    None => {
                        let known = is_below(parent, &self.real);
                        self.folders.insert(parent.to_owned(), known);
                        known
                    }
                };
                let is_link = || joined.symlink_metadata().is_ok_and(|about| about.is_symlink());
                known && (!is_link() || is_below(&joined, &self.real))
            }
            _ => is_below(&joined, &self.real),
        };
        if is_inside { Ok(joined) } else { outside("is a link that leads outside") }
    }
}

/// Whether a file or folder, links resolved, lies below `real`, or is not there at all.
fn is_below(path: &Path, real: &Path) -> bool {
    path.canonicalize().map_or(true, |path| path.starts_with(real))
}
