//! Audio files as mono waveforms at one sample rate, decoded once and cached.
//!
//! - [`decode()`]: any supported file to a mono [`Waveform`], packet by packet;
//! - [`mod@resample`]: to another sample rate, at once or as a stream;
//! - [`cache`]: decoded audio on disk, from which training reads excerpts;
//! - [`scan()`]: a whole dataset into the cache, on all cores;
//! - [`quarantine`]: tracks that cannot be used, and why.
//!
//! Nothing here prints: progress goes to a callback and failures are values.

mod aac;
pub mod cache;
pub mod decode;
mod entry;
pub mod error;
mod file_type;
mod flac;
mod hash_index;
mod limits;
mod opus;
mod pcm;
pub mod quarantine;
pub mod resample;
pub mod scan;
mod section;
mod source;
mod stream_end;
mod symphonia;
#[cfg(test)]
pub(crate) mod tests;

pub use cache::{AudioCache, CachedAudio, Loaded};
pub use decode::{decode, decode_at, decode_resampled, decode_usable};
pub use error::{AudioError, Reason};
pub use limits::Limits;
pub use quarantine::{QuarantineEntry, quarantine_csv};
pub use resample::{StreamingResampler, is_sample, resample};
pub use scan::{ScanOptions, ScanProgress, ScanReport, scan};
pub use source::{Decoded, SourceInfo};

/// A mono signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Waveform {
    /// Nominally in `[-1, 1]`. Lossy formats overshoot slightly and are not clipped.
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
