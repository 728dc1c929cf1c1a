//! Limits on files, checked before and during decoding.

use std::fs;
use std::path::Path;

use super::error::{AudioError, Reason};

/// Limits on files; a file beyond them goes into quarantine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Largest number of channels.
    pub max_channels: usize,
    /// In Hz.
    pub min_sample_rate: u32,
    /// In Hz.
    pub max_sample_rate: u32,
    /// Longest duration, as declared by a header or found by decoding.
    pub max_seconds: f64,
    /// Largest file size in bytes.
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

impl Limits {
    /// Checks everything that the file system knows about a file.
    pub(super) fn check_file(&self, path: &Path) -> Result<(), AudioError> {
        let metadata = fs::metadata(path).map_err(|error| AudioError::unreadable(path, &error))?;
        let (reason, message) = match metadata.len() {
            _ if metadata.is_dir() => {
                (Reason::IsDirectory, "is a directory; give the path of an audio file".into())
            }
            // Reading a pipe or a device could block forever.
            _ if !metadata.is_file() => (
                Reason::Unreadable,
                "is a device, pipe or socket; give the path of an audio file".into(),
            ),
            0 => {
                (Reason::Empty, "the file is empty; download or copy it again, or remove it".into())
            }
            length if length > self.max_bytes => (
                Reason::LimitExceeded,
                format!("the file has {length} bytes; the limit is {}: split it", self.max_bytes),
            ),
            _ => return Ok(()),
        };
        Err(AudioError::file(path, reason, message))
    }

    /// Checks the sample rate, in Hz, and the number of channels.
    pub(super) fn check_format(
        &self,
        path: &Path,
        rate: Option<u32>,
        channels: usize,
    ) -> Result<(), AudioError> {
        let rates = self.min_sample_rate..=self.max_sample_rate;
        let message = match rate {
            _ if channels > self.max_channels => {
                format!("has {channels} channels; the limit is {}: mix it down", self.max_channels)
            }
            Some(rate) if !rates.contains(&rate) => format!(
                "has a sample rate of {rate} Hz, which is not from {} to {} Hz; convert it",
                self.min_sample_rate, self.max_sample_rate
            ),
            _ => return Ok(()),
        };
        Err(AudioError::file(path, Reason::LimitExceeded, message))
    }

    /// Checks the duration.
    pub(super) fn check_seconds(&self, path: &Path, seconds: f64) -> Result<(), AudioError> {
        if seconds > self.max_seconds {
            let message = format!(
                "is at least {seconds:.0} s long; the limit is {:.0} s: split it",
                self.max_seconds
            );
            return Err(AudioError::file(path, Reason::LimitExceeded, message));
        }
        Ok(())
    }
}
