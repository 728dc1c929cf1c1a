//! What the decoders share: the requested excerpt, the description of the source, mixing, and checks of the samples.

use std::path::Path;

use super::error::{AudioError, Reason};
use super::resample::first_non_sample;

/// A header may declare this many seconds more than the file contains, because encoders count frames loosely.
pub(super) const TOLERANCE_S: f64 = 0.1;

/// The properties of an audio source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceInfo {
    /// Short name of the codec: `mp3`, `vorbis`, `pcm_s16le`.
    pub codec: String,
    /// In Hz, before resampling.
    pub sample_rate: u32,
    /// Number of channels before mixing.
    pub channels: u32,
    /// Whether the file ends inside its last frame, which is left out. What is before it is used.
    pub ends_early: bool,
}

impl SourceInfo {
    /// A source with one channel that is not a file.
    pub(super) fn mono(codec: &str) -> SourceInfo {
        SourceInfo { codec: codec.into(), channels: 1, ..SourceInfo::default() }
    }
}

/// The result of decoding a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The properties of the source.
    pub source: SourceInfo,
    /// The largest absolute sample of any channel, before mixing.
    pub channel_peak: f32,
}

/// Receives mono samples and their rate in Hz.
pub(super) type Sink<'a> = dyn FnMut(&[f32], u32) -> Result<(), AudioError> + 'a;

/// The part of a file to decode, in seconds.
#[derive(Clone, Copy)]
pub(super) struct Excerpt {
    pub offset_s: f64,
    /// `None` for the rest of the file.
    pub duration_s: Option<f64>,
}

impl Excerpt {
    /// Index of the sample after the last one, at `rate` Hz.
    pub fn end(&self, rate: u32) -> u64 {
        let end = |duration| samples(self.offset_s + duration, rate);
        self.duration_s.map_or(u64::MAX, end)
    }

    /// The part of `mono` inside the excerpt; `mono` starts with the sample of index `start`.
    pub fn clip<'m>(&self, mono: &'m [f32], start: u64, rate: u32) -> &'m [f32] {
        let length = mono.len() as u64;
        let from = samples(self.offset_s, rate).saturating_sub(start).min(length);
        let to = self.end(rate).saturating_sub(start).min(length);
        &mono[from.min(to) as usize..to as usize]
    }

    /// The error of a file that ends before the excerpt, after `seconds`.
    pub fn nothing_decoded(&self, path: &Path, seconds: f64) -> AudioError {
        if seconds > 0.0 {
            let message = format!(
                "ends after {seconds:.2} s, before the excerpt at {:.2} s; correct its offset",
                self.offset_s
            );
            return AudioError::file(path, Reason::TooShort, message);
        }
        AudioError::file(path, Reason::Empty, "contains no samples; download or copy it again")
    }
}

/// Seconds as a number of samples.
pub(super) fn samples(seconds: f64, rate: u32) -> u64 {
    (seconds * f64::from(rate)).round() as u64
}

/// The error of a file that ends too early: after `seconds`, of `declared` where a header says so.
pub(super) fn truncated(path: &Path, how: &str, seconds: f64, declared: Option<f64>) -> AudioError {
    let declared = declared.map(|seconds| format!(" of {seconds:.2} s")).unwrap_or_default();
    let message = format!(
        "{how}: {seconds:.2} s{declared} can be decoded; download or copy it again, or re-encode it"
    );
    AudioError::file(path, Reason::Truncated, message)
}

/// The largest absolute sample, 0 if there is none.
pub(super) fn peak(samples: &[f32]) -> f32 {
    samples.iter().fold(0.0, |peak, sample| peak.max(sample.abs()))
}

/// Replaces `mono` by the mean of the channels.
pub(super) fn mix(interleaved: &[f32], channels: usize, mono: &mut Vec<f32>) {
    mono.clear();
    match channels {
        1 => mono.extend_from_slice(interleaved),
        // A special case because the compiler vectorises a fixed number of channels.
        2 => {
            let frames = interleaved.as_chunks::<2>().0;
            mono.extend(frames.iter().map(|[left, right]| (left + right) / 2.0));
        }
        _ => mono.extend(
            interleaved
                .chunks_exact(channels)
                .map(|frame| frame.iter().sum::<f32>() / channels as f32),
        ),
    }
}

/// Checks that all values are samples; `mono` starts with the sample of index `start`.
pub(super) fn check_samples(
    path: &Path,
    mono: &[f32],
    start: u64,
    rate: u32,
) -> Result<(), AudioError> {
    let Some(index) = first_non_sample(mono) else { return Ok(()) };
    let number = start + index as u64;
    let message = format!(
        "sample {number} (at {:.3} s) is {:e}; write the file again from its source, scaled to [-1, 1]",
        number as f64 / f64::from(rate),
        mono[index]
    );
    Err(AudioError::file(path, Reason::NonFinite, message))
}
