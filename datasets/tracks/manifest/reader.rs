//! Reads and checks the rows of a manifest.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use super::{COLUMNS, directory_of};
use crate::error::{line_at, quoted};
use crate::text_files::read_file;
use crate::{DatasetError, Split};

/// Number of required columns, the first of [`COLUMNS`].
const REQUIRED: usize = 4;

/// A row of a manifest.
pub(super) struct ManifestRow {
    pub id: String,
    pub path: PathBuf,
    pub split: Option<Split>,
    pub tags: BTreeSet<String>,
    pub artist: Option<String>,
    pub offset_s: f64,
    pub duration_s: Option<f64>,
}

/// Reads all rows. With `anywhere`, audio files may be outside the manifest's directory.
pub(super) fn read(path: &Path, anywhere: bool) -> Result<Vec<ManifestRow>, DatasetError> {
    let bytes = read_file(path, "write a CSV file with the columns id,path,split,tags")?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut paths =
        PathCheck::new(directory_of(path), anywhere).map_err(DatasetError::io("read", path))?;
    let mut reader = csv::Reader::from_reader(bytes);
    let table = |problem: String| DatasetError::content(path, problem);

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
        let row = row(&record, &columns, &mut paths).map_err(wrong)?;
        if let Some(first) = first.insert(row.id.clone(), byte) {
            return Err(wrong(format!(
                "the id {} is already in line {}: ids must be unique",
                quoted(&row.id),
                line_at(bytes, first)
            )));
        }
        rows.push(row);
    }
    match rows.is_empty() {
        true => Err(table("the table has no rows below the header: add your tracks".into())),
        false => Ok(rows),
    }
}

/// The index of each of [`COLUMNS`] in the header.
fn columns(headers: &csv::StringRecord) -> Result<[Option<usize>; COLUMNS.len()], String> {
    let mut columns = [None; COLUMNS.len()];
    for (index, header) in headers.iter().enumerate() {
        let name = header.trim();
        let Some(known) = COLUMNS.iter().position(|column| *column == name) else {
            return Err(format!(
                "the column {} is not one of {}: rename or remove it, and separate columns by commas",
                quoted(header),
                COLUMNS.join(", ")
            ));
        };
        if columns[known].replace(index).is_some() {
            return Err(format!("the column {name} occurs twice: remove one"));
        }
    }
    match (0..REQUIRED).find(|&column| columns[column].is_none()) {
        Some(missing) => Err(format!(
            "the column {} is missing: write the first line {}",
            COLUMNS[missing],
            COLUMNS.join(",")
        )),
        None => Ok(columns),
    }
}

/// Checks a row.
fn row(
    record: &csv::StringRecord,
    columns: &[Option<usize>; COLUMNS.len()],
    paths: &mut PathCheck,
) -> Result<ManifestRow, String> {
    let field = |column: usize| columns[column].and_then(|index| record.get(index)).unwrap_or("");
    // An unclosed quote turns all following lines into one value.
    if let Some(column) = (0..COLUMNS.len()).find(|&c| field(c).trim().contains(char::is_control)) {
        return Err(format!(
            "the {} {} contains a line break or another control character: remove it, or close the quote",
            COLUMNS[column],
            quoted(field(column))
        ));
    }
    let id = field(0).trim().to_string();
    if id.is_empty() {
        return Err("the id is empty: give every track an id".into());
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
                    "a tag in {} is empty: write one | between two tags, and none before or after",
                    quoted(field(3))
                ));
            }
            tags.insert(tag.to_string());
        }
    }
    let seconds = |column: usize| match field(column).trim() {
        "" => Ok(None),
        text => match text.parse::<f64>() {
            // Adding 0 turns -0 into 0.
            Ok(value) if value.is_finite() && value >= 0.0 => Ok(Some(value + 0.0)),
            _ => Err(format!(
                "{} is {}: write a number of seconds, at least 0",
                COLUMNS[column],
                quoted(text)
            )),
        },
    };
    let (offset_s, duration_s) = (seconds(5)?.unwrap_or(0.0), seconds(6)?);
    if duration_s == Some(0.0) {
        return Err("duration_s is 0: leave it empty for the whole file".into());
    }
    Ok(ManifestRow {
        path: paths.check(field(1))?,
        id,
        split,
        tags,
        artist: Some(field(4).trim().to_string()).filter(|artist| !artist.is_empty()),
        offset_s,
        duration_s,
    })
}

/// Checks that paths, with links resolved, are below the manifest's directory.
struct PathCheck {
    /// The manifest's directory as given.
    directory: PathBuf,
    /// The same without links.
    resolved: PathBuf,
    /// Whether a directory with audio files is below it; missing ones are.
    known: HashMap<PathBuf, bool>,
    /// Whether other paths are allowed too.
    anywhere: bool,
}

impl PathCheck {
    fn new(directory: &Path, anywhere: bool) -> std::io::Result<PathCheck> {
        let (directory, resolved) = (directory.to_owned(), directory.canonicalize()?);
        Ok(PathCheck { directory, resolved, known: HashMap::new(), anywhere })
    }

    /// The path of a row's audio file.
    fn check(&mut self, text: &str) -> Result<PathBuf, String> {
        let outside = |why: &str| {
            let remedy = "put the file below the manifest's directory, or set absolute_paths = true in [dataset]";
            Err(format!("the path {} {why}: {remedy}", quoted(text)))
        };
        if text.trim().is_empty() {
            return Err("the path is empty: name the audio file".into());
        }
        let path = Path::new(text);
        let mut depth = 0i64;
        let mut goes_up = false;
        for component in path.components() {
            match component {
                Component::Normal(_) => depth += 1,
                Component::CurDir => {}
                Component::ParentDir => {
                    depth -= 1;
                    goes_up = true;
                }
                Component::RootDir | Component::Prefix(_) if self.anywhere => {}
                Component::RootDir | Component::Prefix(_) => return outside("is absolute"),
            }
            if depth < 0 && !self.anywhere {
                return outside("leads outside");
            }
        }
        if !matches!(path.components().next_back(), Some(Component::Normal(_))) {
            return Err(format!("the path {} is a directory: name the audio file", quoted(text)));
        }
        let joined = self.directory.join(path);
        if self.anywhere {
            return Ok(joined);
        }
        // Looking at every file is slow on a network: directories are resolved once, and files only if they are
        // links or their path contains `..`.
        let is_inside = match joined.parent() {
            Some(parent) if !goes_up => {
                let known = match self.known.get(parent) {
                    Some(known) => *known,
                    None => {
                        let known = is_below(parent, &self.resolved);
                        self.known.insert(parent.to_owned(), known);
                        known
                    }
                };
                let is_link = || joined.symlink_metadata().is_ok_and(|about| about.is_symlink());
                known && (!is_link() || is_below(&joined, &self.resolved))
            }
            _ => is_below(&joined, &self.resolved),
        };
        if is_inside { Ok(joined) } else { outside("is a link that leads outside") }
    }
}

/// Whether a file or directory, with links resolved, is below `directory` or missing.
fn is_below(path: &Path, directory: &Path) -> bool {
    path.canonicalize().map_or(true, |path| path.starts_with(directory))
}
