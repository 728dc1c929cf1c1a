//! What can go wrong, and the exit code that tells a script which kind it was.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Every failure that reaches a user. Each message names the value, the place and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag, an experiment file or a value in one is wrong.
    #[error("{0}")]
    Config(String),
    /// A data set, an audio file, a run folder or a checkpoint cannot be used.
    #[error("{0}")]
    Data(String),
    /// The compute device is missing or failed.
    #[error("{0}")]
    Device(String),
    /// Training produced a number that is not finite.
    #[error("{0}")]
    Diverged(String),
    /// The user asked to stop; what was done so far is saved.
    #[error("{0}")]
    Interrupted(String),
    /// Reading or writing failed.
    #[allow(missing_docs, reason = "a field is what its message says")]
    #[error("cannot {action} {}: {source}{}", path.display(), remedy(source.kind()))]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
}

impl Error {
    /// The process exit code of this kind of failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Data(_) | Self::Io { .. } => 3,
            Self::Device(_) => 4,
            Self::Diverged(_) => 5,
            Self::Interrupted(_) => 130,
        }
    }

    /// For `map_err` on an operation of `std::fs`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// What to do about a place, after what is wrong with it.
pub(crate) fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; make room, then go on",
        ErrorKind::ReadOnlyFilesystem => "; choose another place, or mount it for writing",
        ErrorKind::PermissionDenied => "; see to its permissions, or choose another place",
        ErrorKind::NotFound => "; see to how it is spelt, and whether it was moved",
        ErrorKind::InvalidData => "; it is no text, so see whether it is the file that you mean",
        ErrorKind::IsADirectory => "; a file is wanted",
        ErrorKind::NotADirectory => "; a folder is wanted",
        _ => "",
    }
}

/// A result whose error a user can act on.
pub type Result<T, E = Error> = std::result::Result<T, E>;
