//! From audio files to mono waveforms at one sample rate, decoded once.
//!
//! - [`decode()`]: any supported file to a mono [`Waveform`], packet by packet;
//! - [`mod@resample`]: to another sample rate, in one go or as a stream;
//! - [`cache`]: decoded audio on disk, of which training reads excerpts;
//! - [`scan()`]: a whole data set into the cache, on all cores;
//! - [`quarantine`]: what could not be used, and why.
//!
//! Nothing here prints: progress goes to a callback, failures are values.

mod au;
pub mod cache;
pub mod decode;
mod decoding;
mod entry;
pub mod error;
mod hashes;
mod limits;
pub mod quarantine;
mod recognise;
pub mod resample;
pub mod scan;
mod stream_end;
#[cfg(test)]
pub(crate) mod tests;

pub use cache::{AudioCache, CachedAudio, Loaded};
pub use decode::{decode, decode_at, decode_resampled};
pub use decoding::SourceInfo;
pub use error::{AudioError, Reason};
pub use limits::Limits;
pub use quarantine::{QuarantineEntry, quarantine_csv};
pub use resample::{StreamingResampler, is_sample, resample};
pub use scan::{ScanOptions, ScanProgress, ScanReport, scan};

/// A mono signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Waveform {
    /// Nominally in `[-1, 1]`; lossy formats overshoot a little, and are not clipped.
    pub samples: Vec<f32>,
    /// In Hz.
    pub sample_rate: u32,
}

impl Waveform {
    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate)
    }
}
