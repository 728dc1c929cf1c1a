//! The errors that reach a user, and their exit codes.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// An error with a message that says what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag, an experiment file or one of its values is wrong.
    #[error("{0}")]
    Config(String),
    /// A dataset, audio file, run directory or checkpoint cannot be used.
    #[error("{0}")]
    Data(String),
    /// The compute device is missing or failed.
    #[error("{0}")]
    Device(String),
    /// Training produced NaN or infinity.
    #[error("{0}")]
    Diverged(String),
    /// The user interrupted the work; finished parts are saved.
    #[error("{0}")]
    Interrupted(String),
    /// Reading or writing failed.
    #[allow(missing_docs, reason = "the message names the fields")]
    #[error("cannot {action} {}: {source}{}", path.display(), remedy(source.kind()))]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
}

impl Error {
    /// The exit code of the process after this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Data(_) | Self::Io { .. } => 3,
            Self::Device(_) => 4,
            Self::Diverged(_) => 5,
            Self::Interrupted(_) => 130,
        }
    }

    /// A conversion for `map_err` after a call to `std::fs`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// The end of an I/O error message: what to do.
pub(crate) fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; free disk space and try again",
        ErrorKind::ReadOnlyFilesystem => "; choose another directory, or mount it for writing",
        ErrorKind::PermissionDenied => "; check its permissions, or choose another directory",
        ErrorKind::NotFound => "; check the spelling, and whether it was moved",
        ErrorKind::InvalidData => "; it is not a text file: is this the right path?",
        ErrorKind::IsADirectory => "; give the path of a file",
        ErrorKind::NotADirectory => "; give the path of a directory",
        _ => "",
    }
}

/// A result with an [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
