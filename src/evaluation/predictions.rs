//! Predictions of tags for tracks, and their file `predictions.csv`.
//!
//! The file is CSV (RFC 4180): a header `id,<tag>,...`, then one row per track with one number per
//! tag. Numbers have as many digits as are needed to read the same `f32` back.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::io::files::write_atomic;

/// Probabilities of tags for tracks.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// Distinct ids, one per row.
    pub ids: Vec<String>,
    /// Distinct tags, one per column.
    pub tags: Vec<String>,
    /// `[track, tag]`, row-major.
    pub values: Vec<f32>,
}

/// Why predictions are invalid, or cannot be read or written.
#[allow(missing_docs, reason = "the message of a variant describes it")]
#[derive(Debug, thiserror::Error)]
pub enum PredictionsError {
    #[error("cannot open {path}: {source}; `tonotopy evaluate RUN` writes it")]
    Open { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Write(#[from] crate::error::Error),
    #[error("{path}: {source}")]
    Invalid { path: PathBuf, source: Box<PredictionsError> },
    #[error("reading or writing failed: {0}")]
    Csv(csv::Error),
    #[error("line {line}: not UTF-8; save the file as UTF-8")]
    NotUtf8 { line: u64 },
    #[error("the file is empty; the first line must be `id,<tag>,...`")]
    NoHeader,
    #[error("line 1: the first column is {0:?}; it must be \"id\"")]
    NotAnIdColumn(String),
    #[error(
        "line {line}: {found} columns, but the header has {expected}; \
         a row needs one number per tag after the id"
    )]
    Columns { line: u64, expected: usize, found: usize },
    #[error(
        "line {line}: track {id:?} is already in line {first}; each track needs exactly one row"
    )]
    DuplicateLine { line: u64, first: u64, id: String },
    #[error(
        "line {line}: track {id:?}, tag {tag:?}: {text:?} is not a number from 0 to 1; \
         predictions are probabilities"
    )]
    NotAProbability { line: u64, id: String, tag: String, text: String },
    #[error("line {line}: the id is empty")]
    EmptyIdLine { line: u64 },
    #[error("duplicate {what} {name:?}; each must be unique")]
    Duplicate { what: &'static str, name: String },
    #[error("row {row} has an empty id")]
    EmptyId { row: usize },
    #[error("{tracks} tracks times {tags} tags do not match {values} values")]
    Shape { tracks: usize, tags: usize, values: usize },
    #[error("track {id:?}, tag {tag:?}: {value} is not a probability (a number from 0 to 1)")]
    OutOfRange { id: String, tag: String, value: f32 },
}

impl From<csv::Error> for PredictionsError {
    fn from(error: csv::Error) -> Self {
        match error.kind() {
            csv::ErrorKind::Utf8 { pos: Some(position), .. } => {
                Self::NotUtf8 { line: position.line() }
            }
            _ => Self::Csv(error),
        }
    }
}

impl Predictions {
    /// Validated predictions.
    ///
    /// # Errors
    /// See [`Predictions::validate`].
    pub fn new(
        ids: Vec<String>,
        tags: Vec<String>,
        values: Vec<f32>,
    ) -> Result<Self, PredictionsError> {
        let predictions = Self { ids, tags, values };
        predictions.validate()?;
        Ok(predictions)
    }

    /// Checks that the number of values is ids times tags, that ids and tags are distinct, and that no
    /// id is empty. Values are not checked.
    ///
    /// # Errors
    /// If a check fails.
    pub fn validate(&self) -> Result<(), PredictionsError> {
        check_matrix(&self.ids, &self.tags, self.values.len())
    }

    /// The values of a track, one per tag; `None` past the end.
    pub fn row(&self, track: usize) -> Option<&[f32]> {
        let start = track.checked_mul(self.tags.len())?;
        (track < self.ids.len()).then(|| self.values.get(start..start + self.tags.len()))?
    }

    /// Reads a `predictions.csv`.
    ///
    /// # Errors
    /// If the file cannot be read, or a line is invalid; the message names path, line, track and tag.
    pub fn read(path: &Path) -> Result<Self, PredictionsError> {
        let file = File::open(path)
            .map_err(|source| PredictionsError::Open { path: path.to_owned(), source })?;
        Self::from_reader(file).map_err(|source| PredictionsError::Invalid {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Reads the format of [`Predictions::to_writer`]. Line ends may be LF or CRLF, and a byte order mark
    /// at the start is ignored.
    ///
    /// # Errors
    /// As [`Predictions::read`].
    pub fn from_reader(reader: impl Read) -> Result<Self, PredictionsError> {
        let mut csv =
            csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(reader);
        let mut record = csv::StringRecord::new();
        if !csv.read_record(&mut record)? {
            return Err(PredictionsError::NoHeader);
        }
        let mut header = record.iter().map(str::to_owned);
        match header.next() {
            Some(first) if first == "id" => {}
            first => return Err(PredictionsError::NotAnIdColumn(first.unwrap_or_default())),
        }
        let tags: Vec<String> = header.collect();
        let (mut ids, mut values) = (Vec::new(), Vec::new());
        let mut seen: HashMap<String, u64> = HashMap::new();
        while csv.read_record(&mut record)? {
            let line = record.position().map_or(0, csv::Position::line);
            if record.len() != tags.len() + 1 {
                return Err(PredictionsError::Columns {
                    line,
                    expected: tags.len() + 1,
                    found: record.len(),
                });
            }
            let id = record[0].to_owned();
            if id.is_empty() {
                return Err(PredictionsError::EmptyIdLine { line });
            }
            for (text, tag) in record.iter().skip(1).zip(&tags) {
                match text.trim_ascii().parse::<f32>() {
                    // Also false for NaN.
                    Ok(value) if (0.0..=1.0).contains(&value) => values.push(value),
                    _ => {
                        return Err(PredictionsError::NotAProbability {
                            line,
                            id,
                            tag: tag.clone(),
                            text: text.to_owned(),
                        });
                    }
                }
            }
            if let Some(first) = seen.insert(id.clone(), line) {
                return Err(PredictionsError::DuplicateLine { line, first, id });
            }
            ids.push(id);
        }
        Self::new(ids, tags, values)
    }

    /// Writes a `predictions.csv` atomically.
    ///
    /// # Errors
    /// If the predictions are invalid, a value is not in `[0, 1]`, or writing fails.
    pub fn write(&self, path: &Path) -> Result<(), PredictionsError> {
        let mut text = Vec::new();
        self.to_writer(&mut text).map_err(|source| PredictionsError::Invalid {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        Ok(write_atomic(path, &text)?)
    }

    /// Writes the format of `predictions.csv` to any writer, such as standard output.
    ///
    /// # Errors
    /// As [`Predictions::write`].
    pub fn to_writer(&self, writer: impl Write) -> Result<(), PredictionsError> {
        self.check_probabilities()?;
        let mut csv = csv::WriterBuilder::new().buffer_capacity(1 << 16).from_writer(writer);
        csv.write_field("id")?;
        csv.write_record(&self.tags)?;
        let mut text = Vec::new();
        for (track, id) in self.ids.iter().enumerate() {
            csv.write_field(id)?;
            for value in self.row(track).unwrap_or_default() {
                text.clear();
                // Debug is the shortest text that reads back as the same number, with an exponent
                // where there would be many zeros.
                write!(text, "{value:?}").map_err(csv::Error::from)?;
                csv.write_field(&text)?;
            }
            csv.write_record(None::<&[u8]>)?;
        }
        csv.flush().map_err(csv::Error::from)?;
        Ok(())
    }

    /// Clamps the outputs of a regression to [0, 1]; NaN stays NaN.
    pub fn clamp_to_probabilities(&mut self) {
        for value in &mut self.values {
            *value = value.clamp(0.0, 1.0);
        }
    }

    fn check_probabilities(&self) -> Result<(), PredictionsError> {
        self.validate()?;
        match self.values.iter().position(|value| !(0.0..=1.0).contains(value)) {
            None => Ok(()),
            Some(at) => Err(PredictionsError::OutOfRange {
                id: self.ids[at / self.tags.len()].clone(),
                tag: self.tags[at % self.tags.len()].clone(),
                value: self.values[at],
            }),
        }
    }
}

/// Checks the ids, tags and number of values of a `[track, tag]` matrix.
pub(crate) fn check_matrix(
    ids: &[String],
    tags: &[String],
    values: usize,
) -> Result<(), PredictionsError> {
    if ids.len().checked_mul(tags.len()) != Some(values) {
        return Err(PredictionsError::Shape { tracks: ids.len(), tags: tags.len(), values });
    }
    if let Some(row) = ids.iter().position(String::is_empty) {
        return Err(PredictionsError::EmptyId { row });
    }
    for (what, names) in [("track", ids), ("tag", tags)] {
        let mut seen = HashSet::with_capacity(names.len());
        if let Some(name) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(PredictionsError::Duplicate { what, name: name.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    fn example() -> Predictions {
        let smallest = f32::from_bits(1);
        let below_one = 1.0 - f32::EPSILON / 2.0;
        Predictions::new(
            names(&["plain", "comma, \"quotes\" and\nnewline", " spaces ", "cr\r", "é"]),
            names(&["no vocal", "a,b", "quo\"te", "new\r\nline"]),
            vec![
                0.0,
                1.0,
                0.1,
                0.3,
                1e-30,
                smallest,
                below_one,
                0.5,
                1.0 / 3.0,
                1e-5,
                1e-4,
                9e-6,
                0.25,
                0.75,
                0.125,
                2e-45,
                0.7,
                0.2,
                0.9,
                -0.0,
            ],
        )
        .unwrap()
    }

    fn bits(predictions: &Predictions) -> Vec<u32> {
        predictions.values.iter().map(|value| value.to_bits()).collect()
    }

    fn read(text: &str) -> Result<Predictions, PredictionsError> {
        Predictions::from_reader(text.as_bytes())
    }

    #[test]
    fn written_predictions_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.csv");
        let written = example();
        written.write(&path).unwrap();
        let back = Predictions::read(&path).unwrap();
        assert_eq!((&back.ids, &back.tags), (&written.ids, &written.tags));
        assert_eq!(bits(&back), bits(&written));
    }

    #[test]
    fn outputs_of_a_regression_are_clamped_to_0_and_1() {
        let ids = names(&["a", "b"]);
        let found =
            |values: [f32; 2]| Predictions::new(ids.clone(), names(&["tag"]), values.into());
        let mut predictions = found([-0.003, 1.2]).unwrap();
        assert!(predictions.to_writer(Vec::new()).is_err());
        predictions.clamp_to_probabilities();
        assert_eq!(predictions.values, [0.0, 1.0]);
        predictions.to_writer(Vec::new()).unwrap();
        let mut predictions = found([0.25, f32::NAN]).unwrap();
        predictions.clamp_to_probabilities();
        assert!(predictions.values[0] == 0.25 && predictions.values[1].is_nan());
    }

    #[test]
    fn every_f32_survives() {
        // A walk with a large odd stride through all bit patterns from 0.0 to 1.0.
        let values: Vec<f32> =
            (0..20_000u32).map(|i| f32::from_bits(i * 53_281 % (1.0f32.to_bits() + 1))).collect();
        let ids = (0..values.len()).map(|i| i.to_string()).collect();
        let written = Predictions::new(ids, names(&["tag"]), values).unwrap();
        let mut text = Vec::new();
        written.to_writer(&mut text).unwrap();
        let back = Predictions::from_reader(text.as_slice()).unwrap();
        assert_eq!(bits(&back), bits(&written));
    }

    #[test]
    fn the_text_is_plain_csv() {
        let predictions = Predictions::new(
            names(&["2", "a,b"]),
            names(&["piano", "x\"y"]),
            vec![0.5, 1.0, 0.25, 1e-9],
        )
        .unwrap();
        let mut text = Vec::new();
        predictions.to_writer(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text, "id,piano,\"x\"\"y\"\n2,0.5,1.0\n\"a,b\",0.25,1e-9\n");
    }

    #[test]
    fn files_of_other_programs_are_read() {
        let read = read("\u{feff}id,a,b\r\n7, 0.5,1e-3\r\n\r\n8,1,0").unwrap();
        assert_eq!(read.ids, names(&["7", "8"]));
        assert_eq!(read.values, [0.5, 1e-3, 1.0, 0.0]);
        assert_eq!(super::Predictions::from_reader(&b"id,a,b"[..]).unwrap().ids.len(), 0);
        assert_eq!(super::Predictions::from_reader(&b"id\nx\n"[..]).unwrap().ids, names(&["x"]));
    }

    #[test]
    fn errors_name_line_track_and_tag() {
        for (text, message) in [
            ("", "the file is empty"),
            ("track,a\n", "line 1: the first column is \"track\""),
            ("id,a,b\nx,0.5\n", "line 2: 2 columns, but the header has 3"),
            ("id,a\nx,0.5\ny,0.5,0.5\n", "line 3: 3 columns, but the header has 2"),
            ("id,a\n\"x\ny\",0.5\nz,0.5\nz,0.5\n", "line 5: track \"z\" is already in line 4"),
            (
                "id,a\nx,NaN\n",
                "line 2: track \"x\", tag \"a\": \"NaN\" is not a number from 0 to 1",
            ),
            ("id,a\nx,inf\n", "\"inf\" is not a number"),
            ("id,a\nx,1.0001\n", "\"1.0001\" is not a number"),
            ("id,a\nx,-1e-9\n", "\"-1e-9\" is not a number"),
            ("id,a\nx,\n", "\"\" is not a number"),
            ("id,a\nx,0,5\n", "3 columns"),
            ("id,a\nx,0.5a\n", "\"0.5a\" is not a number"),
            ("id,a\n,0.5\n", "line 2: the id is empty"),
            ("id,a,a\nx,0.5,0.5\n", "duplicate tag \"a\""),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text:?}: {error}");
        }
        let error = Predictions::from_reader(&b"id,a\nx\xff,0.5\n"[..]).unwrap_err().to_string();
        assert!(error.contains("line 2: not UTF-8"), "{error}");
        let error = Predictions::read(Path::new("/absent/predictions.csv")).unwrap_err();
        assert!(error.to_string().contains("/absent/predictions.csv"), "{error}");
    }

    #[test]
    fn invalid_predictions_are_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.csv");
        for value in [f32::NAN, f32::INFINITY, -0.1, 1.5] {
            let predictions =
                Predictions::new(names(&["x", "y"]), names(&["a"]), vec![0.5, value]).unwrap();
            let error = predictions.write(&path).unwrap_err().to_string();
            assert!(error.contains("track \"y\", tag \"a\""), "{error}");
            assert!(predictions.to_writer(Vec::new()).is_err());
        }
        assert!(!path.exists());
        assert!(Predictions::new(names(&["x"]), names(&["a"]), vec![]).is_err());
        assert!(Predictions::new(names(&["x", "x"]), names(&["a"]), vec![0.1, 0.2]).is_err());
        assert!(Predictions::new(names(&[""]), names(&["a"]), vec![0.1]).is_err());
    }
}
