//! What a file may ask of us, and what is asked of it before and while it is decoded.

use std::fs;
use std::io;
use std::path::Path;

use super::error::{AudioError, Reason};

/// What a file may ask of us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Most channels that a file may have.
    pub max_channels: usize,
    /// In Hz.
    pub min_sample_rate: u32,
    /// In Hz.
    pub max_sample_rate: u32,
    /// Longest audio, as a header tells it or as decoding finds it.
    pub max_seconds: f64,
    /// Size of the file.
    pub max_bytes: u64,
}

impl Default for Limits {
    /// 64 channels, 1 kHz to 768 kHz, 12 hours, 16 GiB.
    fn default() -> Limits {
        Limits {
            max_channels: 64,
            min_sample_rate: 1_000,
            max_sample_rate: 768_000,
            max_seconds: 12.0 * 3600.0,
            max_bytes: 1 << 34,
        }
    }
}

/// Everything that can be known without looking inside.
pub(super) fn check_file(path: &Path, limits: &Limits) -> Result<(), AudioError> {
    let refuse =
        |reason, message: String| Err(AudioError::unusable(path.display(), reason, message));
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return Err(unreadable(path, &error)),
    };
    if metadata.is_dir() {
        return refuse(Reason::IsDirectory, "is a folder; give the path of an audio file".into());
    }
    // Reading a pipe or a device could wait for ever.
    if !metadata.is_file() {
        return refuse(
            Reason::Unreadable,
            "is a device, pipe or socket; give the path of an audio file".into(),
        );
    }
    match metadata.len() {
        0 => refuse(
            Reason::Empty,
            "the file has no bytes; download or copy it again, or leave it out".into(),
        ),
        length if length > limits.max_bytes => refuse(
            Reason::LimitExceeded,
            format!(
                "the file has {length} bytes, more than the limit of {}; split it",
                limits.max_bytes
            ),
        ),
        _ => Ok(()),
    }
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> AudioError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => AudioError::unusable(
            path.display(),
            Reason::Missing,
            "there is no such file; check the path, or get the data set again",
        ),
        _ => AudioError::unusable(
            path.display(),
            Reason::Unreadable,
            format!("cannot be read: {error}; check its permissions and the disk"),
        ),
    }
}

pub(super) fn check_limits(
    path: &Path,
    limits: &Limits,
    rate: Option<u32>,
    channels: usize,
) -> Result<(), AudioError> {
    let refuse =
        |message| Err(AudioError::unusable(path.display(), Reason::LimitExceeded, message));
    if channels > limits.max_channels {
        return refuse(format!(
            "has {channels} channels, more than the limit of {}; mix it down first",
            limits.max_channels
        ));
    }
    match rate {
        Some(rate) if !(limits.min_sample_rate..=limits.max_sample_rate).contains(&rate) => {
            refuse(format!(
                "has a sample rate of {rate} Hz, outside {} to {} Hz; convert it",
                limits.min_sample_rate, limits.max_sample_rate
            ))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_seconds(path: &Path, limits: &Limits, seconds: f64) -> Result<(), AudioError> {
    if seconds > limits.max_seconds {
        return Err(AudioError::unusable(
            path.display(),
            Reason::LimitExceeded,
            format!(
                "lasts {:.0} s or more, above the limit of {:.0} s; split it",
                seconds, limits.max_seconds
            ),
        ));
    }
    Ok(())
}
