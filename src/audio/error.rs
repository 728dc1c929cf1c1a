//! What can go wrong with audio: with one track, or with the work as a whole.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a track cannot be used. The names are those of `quarantine.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// There is no such file.
    Missing,
    /// The path names a folder.
    IsDirectory,
    /// The operating system refuses to read it, or it is no regular file.
    Unreadable,
    /// No supported container or codec.
    Unsupported,
    /// No bytes, or no samples.
    Empty,
    /// Ends before its own header says, or inside a packet.
    Truncated,
    /// Part of it cannot be decoded, or its checksum does not match.
    Damaged,
    /// Peak below [`SILENCE`](super::decode::SILENCE).
    Silent,
    /// Shorter than asked for.
    TooShort,
    /// A sample is NaN or infinite.
    NonFinite,
    /// More channels, samples or bytes than [`Limits`](super::Limits) allows, or an absurd rate.
    LimitExceeded,
    /// The decoder panicked: a bug in it, contained.
    Panicked,
}

impl Reason {
    /// All of them, in order.
    pub const ALL: [Reason; 12] = [
        Reason::Missing,
        Reason::IsDirectory,
        Reason::Unreadable,
        Reason::Unsupported,
        Reason::Empty,
        Reason::Truncated,
        Reason::Damaged,
        Reason::Silent,
        Reason::TooShort,
        Reason::NonFinite,
        Reason::LimitExceeded,
        Reason::Panicked,
    ];

    /// As written to `quarantine.csv`.
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
#[allow(missing_docs, reason = "a field is what its message says")]
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// This track cannot be used; others can. `message` says what is wrong and what to do.
    #[error("{place}: {message}")]
    Unusable {
        /// The file, or the name of a synthetic piece.
        place: String,
        reason: Reason,
        message: String,
    },
    /// The disk of the audio cache is full. No track can be decoded until there is room.
    #[error(
        "the disk of the audio cache {} is full: this track needs {}{}; free space, or choose \
         another cache folder with --cache-dir or TONOTOPY_CACHE",
        folder.display(), bytes(*needed),
        remaining.map(|all| format!(", and all that are left about {}", bytes(all)))
            .unwrap_or_default()
    )]
    CacheFull {
        folder: PathBuf,
        /// Bytes of the entry that could not be written.
        needed: u64,
        /// Estimate for all tracks that are still to come, this one included.
        remaining: Option<u64>,
    },
    /// The audio cache cannot be read or written.
    #[error("cannot {action} {}: {source}{}", path.display(), elsewhere(source))]
    Cache { action: &'static str, path: PathBuf, source: io::Error },
    /// An argument is out of range.
    #[error("{0}")]
    Argument(String),
    /// The user asked to stop; what was decoded so far is in the cache.
    #[error("interrupted; what was decoded so far is kept in the audio cache")]
    Interrupted,
}

impl AudioError {
    /// A track that cannot be used.
    pub(super) fn unusable(
        place: impl fmt::Display,
        reason: Reason,
        message: impl Into<String>,
    ) -> AudioError {
        AudioError::Unusable { place: place.to_string(), reason, message: message.into() }
    }

    /// For `map_err` on an operation on a file of the cache.
    pub(super) fn cache(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AudioError {
        let path = path.to_owned();
        move |source| AudioError::Cache { action, path, source }
    }

    /// Whether the failure concerns one track only.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            AudioError::Unusable { reason, .. } => Some(*reason),
            _ => None,
        }
    }

    /// The program's error of the same kind.
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

/// The remedy where the cache cannot be written.
fn elsewhere(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose another cache folder with --cache-dir or TONOTOPY_CACHE"
        }
        _ => "",
    }
}

/// A number of bytes for people.
fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} bytes"),
        10_000..10_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}
