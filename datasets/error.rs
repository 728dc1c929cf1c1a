//! Errors of loading datasets. Every message names the place, the value and the remedy.

use std::io;
use std::path::{Path, PathBuf};

/// The reason why a dataset cannot be used. Every message is one line.
#[allow(missing_docs, reason = "the messages describe the fields")]
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A setting is out of bounds.
    #[error("dataset {dataset}: {key} is {value}: {remedy}")]
    InvalidConfig { dataset: String, key: String, value: String, remedy: String },
    /// A file or directory of the dataset does not exist.
    #[error("{} is missing{}: {remedy}", path.display(), searched_from(path))]
    Missing { path: PathBuf, remedy: String },
    /// The operating system refused an operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// A line of a text file is wrong; lines count from 1.
    #[error("{} line {line}: {problem}", path.display())]
    Line { path: PathBuf, line: u64, problem: String },
    /// A record of a binary file is wrong; bytes count from 0.
    #[error("{} byte {byte}: {problem}", path.display())]
    Record { path: PathBuf, byte: u64, problem: String },
    /// A file or directory is wrong as a whole.
    #[error("{}: {problem}", path.display())]
    Content { path: PathBuf, problem: String },
    /// The requested split cannot be made.
    #[error("cannot split {dataset}: {problem}")]
    Split { dataset: String, problem: String },
}

impl DatasetError {
    /// [`DatasetError::InvalidConfig`].
    pub(crate) fn config(
        dataset: &str,
        key: &str,
        value: impl ToString,
        remedy: impl Into<String>,
    ) -> Self {
        let (dataset, key) = (dataset.to_owned(), key.to_owned());
        Self::InvalidConfig { dataset, key, value: value.to_string(), remedy: remedy.into() }
    }

    /// [`DatasetError::Io`] from the error that `action` ("read", "list") gave.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self + Copy {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// [`DatasetError::Content`].
    pub(crate) fn content(path: &Path, problem: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), problem: problem.into() }
    }

    /// An error of the CSV reader in `text`, the content of the file at `path`.
    pub(crate) fn csv(path: &Path, text: &[u8], error: &csv::Error) -> Self {
        let problem = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!(
                "the row has {len} columns, the header has {expected_len}: put values that contain a \
                 separator in quotes, and close every quote"
            ),
            csv::ErrorKind::Utf8 { .. } => "the row is not UTF-8: save the file as UTF-8".into(),
            _ => error.to_string(),
        };
        match error.position() {
            Some(position) => {
                Self::Line { path: path.to_owned(), line: line_at(text, position.byte()), problem }
            }
            None => Self::content(path, problem),
        }
    }
}

/// The line, from 1, of the record that begins at a byte of `text`. Lines end in LF, CR LF or CR.
///
/// The CSV reader's own count is one too low for CR LF, because it lets a record begin at the LF of
/// the preceding line.
pub(crate) fn line_at(text: &[u8], byte: u64) -> u64 {
    let start = usize::try_from(byte).unwrap_or(usize::MAX).min(text.len());
    let breaks = text[start..].iter().take_while(|c| **c == b'\r' || **c == b'\n').count();
    let ends_a_line = |at: &usize| match text[*at] {
        b'\n' => true,
        b'\r' => text.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    1 + (0..start + breaks).filter(ends_a_line).count() as u64
}

/// A value in quotes, escaped to one line and cut after 80 characters.
pub(crate) fn quoted(value: &str) -> String {
    const LONGEST: usize = 80;
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}...", &value[..end]),
        None => format!("{value:?}"),
    }
}

/// The directory that a relative path was resolved against, with a remedy.
fn searched_from(path: &Path) -> String {
    match std::env::current_dir() {
        Ok(here) if path.is_relative() => format!(
            " in {} (run from the directory that contains it, or pass --data-dir)",
            here.display()
        ),
        _ => String::new(),
    }
}
