//! The errors of the audio pipeline: a track that cannot be used, or a failure that concerns all tracks.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a track cannot be used; `quarantine.csv` contains the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The file does not exist.
    Missing,
    /// The path leads to a directory.
    IsDirectory,
    /// The operating system refuses to read it, or it is not a regular file.
    Unreadable,
    /// The container or codec is not supported.
    Unsupported,
    /// The file has no bytes or no samples.
    Empty,
    /// The file ends before its header declares, or inside a packet.
    Truncated,
    /// Part of the file cannot be decoded, or a checksum does not match.
    Damaged,
    /// The peak is below [`SILENCE`](super::decode::SILENCE), perhaps because the channels cancel.
    Silent,
    /// The file is shorter than required.
    TooShort,
    /// A sample is NaN, infinite or absurdly large.
    NonFinite,
    /// The file exceeds [`Limits`](super::Limits).
    LimitExceeded,
    /// The decoder panicked, which is a bug in it.
    Panicked,
}

impl Reason {
    /// The name in `quarantine.csv`.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Missing => "missing",
            Reason::IsDirectory => "is_directory",
            Reason::Unreadable => "unreadable",
            Reason::Unsupported => "unsupported",
            Reason::Empty => "empty",
            Reason::Truncated => "truncated",
            Reason::Damaged => "damaged",
            Reason::Silent => "silent",
            Reason::TooShort => "too_short",
            Reason::NonFinite => "non_finite",
            Reason::LimitExceeded => "limit_exceeded",
            Reason::Panicked => "panicked",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failure of the audio pipeline.
#[allow(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// This track cannot be used; others can. `message` says what is wrong and what to do.
    #[error("{name}: {message}")]
    Unusable {
        /// The path of the file, or the name of a synthetic piece.
        name: String,
        reason: Reason,
        message: String,
    },
    /// The disk of the audio cache is full, so no track can be decoded.
    #[error(
        "the disk of the audio cache {} is full: this track needs {}{}; free disk space, or choose \
         another cache directory with --cache-dir or TONOTOPY_CACHE",
        folder.display(), bytes(*needed),
        remaining.map(|all| format!(", all remaining tracks about {}", bytes(all)))
            .unwrap_or_default()
    )]
    CacheFull {
        folder: PathBuf,
        /// Bytes of the entry that could not be written.
        needed: u64,
        /// Estimated bytes of all tracks that are not decoded yet, including this one.
        remaining: Option<u64>,
    },
    /// The audio cache cannot be read or written.
    #[error("cannot {action} {}: {source}{}", path.display(), remedy(source))]
    Cache { action: &'static str, path: PathBuf, source: io::Error },
    /// An argument is out of range.
    #[error("{0}")]
    Argument(String),
    /// The user interrupted the work; the decoded tracks are in the cache.
    #[error("interrupted; the audio cache keeps the tracks decoded so far")]
    Interrupted,
}

impl AudioError {
    /// A track that cannot be used.
    pub(super) fn unusable(
        name: impl fmt::Display,
        reason: Reason,
        message: impl Into<String>,
    ) -> AudioError {
        AudioError::Unusable { name: name.to_string(), reason, message: message.into() }
    }

    /// A file that cannot be used.
    pub(super) fn file(path: &Path, reason: Reason, message: impl Into<String>) -> AudioError {
        AudioError::unusable(path.display(), reason, message)
    }

    /// A file in a format or with a codec that has no decoder here.
    pub(super) fn unsupported(path: &Path, what: &str) -> AudioError {
        let message = format!(
            "{what} is not supported; convert it to flac, for example with `ffmpeg -i INPUT OUTPUT.flac`"
        );
        AudioError::file(path, Reason::Unsupported, message)
    }

    /// A file that the operating system cannot read.
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> AudioError {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => AudioError::file(
                path,
                Reason::Missing,
                "the file does not exist; check the path, or download the dataset again",
            ),
            _ => AudioError::file(
                path,
                Reason::Unreadable,
                format!("cannot be read: {error}; check its permissions and the disk"),
            ),
        }
    }

    /// A conversion for `map_err` after an operation on a file of the cache.
    pub(super) fn cache(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AudioError {
        let path = path.to_owned();
        move |source| AudioError::Cache { action, path, source }
    }

    /// Why the track cannot be used; `None` if the failure concerns all tracks.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            AudioError::Unusable { reason, .. } => Some(*reason),
            _ => None,
        }
    }

    /// The corresponding error of the program.
    pub fn into_error(self) -> crate::error::Error {
        use crate::error::Error;
        match self {
            AudioError::Unusable { .. }
            | AudioError::CacheFull { .. }
            | AudioError::Cache { .. } => Error::Data(self.to_string()),
            AudioError::Argument(message) => Error::Config(message),
            AudioError::Interrupted => Error::Interrupted(self.to_string()),
        }
    }
}

/// The end of the message about a cache that cannot be written: what to do.
fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose another cache directory with --cache-dir or TONOTOPY_CACHE"
        }
        _ => "",
    }
}

/// A number of bytes in a readable unit.
fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} bytes"),
        10_000..10_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}
