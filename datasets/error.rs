//! What can be wrong with a data set: each message names the place, the value and the remedy.

use std::path::{Path, PathBuf};

/// Why a data set cannot be used. Each is one line when displayed.
#[allow(missing_docs, reason = "a field is what its message says")]
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A setting of `[dataset]` makes no sense.
    #[error("dataset {dataset}: {key} is {value}: {remedy}")]
    InvalidConfig { dataset: String, key: String, value: String, remedy: String },
    /// A file that the data set consists of is not there.
    #[error("{} is missing{}: {remedy}", path.display(), sought(path))]
    Missing { path: PathBuf, remedy: String },
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    /// A line of a table is wrong.
    #[error("{} line {line}: {problem}", path.display())]
    Line { path: PathBuf, line: u64, problem: String },
    /// A record of a binary file is wrong; bytes count from 0.
    #[error("{} byte {byte}: {problem}", path.display())]
    Record { path: PathBuf, byte: u64, problem: String },
    /// A table is wrong as a whole.
    #[error("{}: {problem}", path.display())]
    Table { path: PathBuf, problem: String },
    /// A split cannot be made.
    #[error("cannot split {dataset}: {problem}")]
    Split { dataset: String, problem: String },
}

impl DatasetError {
    /// A CSV error with the line where it happened; `text` is what was read.
    pub(crate) fn csv(path: &Path, text: &[u8], error: &csv::Error) -> DatasetError {
        let path = path.to_owned();
        let line = error.position().map(|position| line_at(text, position.byte()));
        let problem = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!(
                "there are {len} columns, the header has {expected_len}: add or remove some; a value \
                 with a separator in it needs quotes, and a quote an end"
            ),
            csv::ErrorKind::Utf8 { .. } => "this is not UTF-8: save the file as UTF-8".into(),
            _ => error.to_string(),
        };
        match line {
            Some(line) => DatasetError::Line { path, line, problem },
            None => DatasetError::Table { path, problem },
        }
    }
}

/// The line, from 1, of the record that begins at a byte of `text`.
///
/// Lines end in LF, CR LF or CR. The CSV reader's own count is one short for CR LF: there a record
/// begins, for it, at the LF of the line before.
pub(crate) fn line_at(text: &[u8], byte: u64) -> u64 {
    let start = usize::try_from(byte).unwrap_or(usize::MAX).min(text.len());
    let breaks = text[start..].iter().take_while(|c| **c == b'\r' || **c == b'\n').count();
    let end = start + breaks;
    let ends_a_line = |at: &usize| match text[*at] {
        b'\n' => true,
        b'\r' => text.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    1 + (0..end).filter(ends_a_line).count() as u64
}

/// A value in quotes, on one line, cut where it is long.
pub(crate) fn shown(value: &str) -> String {
    const LONGEST: usize = 80;
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}...", &value[..end]),
        None => format!("{value:?}"),
    }
}

/// Where a relative path was sought, for the folder that a program is started in is easily another than the last time.
fn sought(path: &Path) -> String {
    match std::env::current_dir() {
        Ok(here) if path.is_relative() => format!(
            " below {} (start there where it is, or name the folder above it with --data-dir)",
            here.display()
        ),
        _ => String::new(),
    }
}
