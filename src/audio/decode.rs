//! Audio files as mono signals, decoded packet by packet.
//!
//! symphonia reads all containers and codecs except AU. The rules:
//!
//! - The first audio stream of a file is used. Its channels are averaged.
//! - Encoder delay and padding are removed where the file declares them in a way that symphonia understands: MP3 (LAME
//!   tag), Ogg Vorbis, ALAC, FLAC. An AAC stream keeps its priming samples (typically 1024 or 2112), because symphonia
//!   does not read edit lists.
//! - A file is used completely or not at all. A packet that cannot be decoded makes it [`Reason::Damaged`], an end before
//!   the declared length [`Reason::Truncated`]. The checksum of the decoded samples in FLAC files is verified.
//! - An excerpt is decoded from the start of the file. Decoding stops at its end, so later faults are not noticed.
//! - A panic inside symphonia is caught and becomes [`Reason::Panicked`].

use std::path::Path;

use super::error::{AudioError, Reason};
use super::limits::Limits;
use super::resample::StreamingResampler;
use super::source::{Excerpt, Sink, SourceInfo};
use super::{Waveform, au, symphonia};
use crate::io::catch_panic::catch_panic;

/// Names everything that the decoded samples depend on; part of the cache key.
pub const DECODER: &str = "symphonia 0.6.1; mean of channels; trimmed; 1";

/// A track with a peak below this (-80 dBFS) is silent.
pub const SILENCE: f32 = 1e-4;

/// Decodes an excerpt at the sample rate of the file. It starts at `offset_s` seconds and lasts `duration_s` seconds, or to
/// the end of the file if that is earlier or `duration_s` is `None`.
///
/// # Errors
/// [`AudioError::Unusable`] with the reason, [`AudioError::Argument`] if offset or duration is out of range.
pub fn decode(
    path: &Path,
    offset_s: f64,
    duration_s: Option<f64>,
    limits: &Limits,
) -> Result<Waveform, AudioError> {
    let mut samples = Vec::new();
    let source = decode_into(path, offset_s, duration_s, limits, &mut |piece, _| {
        samples.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(Waveform { samples, sample_rate: source.sample_rate })
}

/// Decodes an excerpt as [`decode`] does and resamples it to `sample_rate` Hz, without holding all samples at the rate of
/// the file.
///
/// # Errors
/// As [`decode`]; [`AudioError::Argument`] if `sample_rate` is outside [`RATES`](super::resample::RATES).
pub fn decode_at(
    path: &Path,
    offset_s: f64,
    duration_s: Option<f64>,
    sample_rate: u32,
    limits: &Limits,
) -> Result<Waveform, AudioError> {
    let mut samples = Vec::new();
    decode_resampled(path, offset_s, duration_s, sample_rate, limits, &mut |piece| {
        samples.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(Waveform { samples, sample_rate })
}

/// Decodes and resamples an excerpt as [`decode_at`] does and passes it to `sink` piece by piece, in constant memory.
///
/// # Errors
/// As [`decode_at`], and those of `sink`.
pub fn decode_resampled(
    path: &Path,
    offset_s: f64,
    duration_s: Option<f64>,
    sample_rate: u32,
    limits: &Limits,
    sink: &mut dyn FnMut(&[f32]) -> Result<(), AudioError>,
) -> Result<SourceInfo, AudioError> {
    // Refuses an invalid rate before the file is read.
    StreamingResampler::new(sample_rate, sample_rate)?;
    let mut resampler = None;
    let mut out = Vec::new();
    let source = decode_into(path, offset_s, duration_s, limits, &mut |piece, rate| {
        let resampler = match &mut resampler {
            Some(resampler) => resampler,
            none => none.insert(StreamingResampler::new(rate, sample_rate)?),
        };
        resampler.push(piece, &mut out)?;
        sink(&out)?;
        out.clear();
        Ok(())
    })?;
    if let Some(resampler) = resampler {
        resampler.finish(&mut out)?;
        sink(&out)?;
    }
    Ok(source)
}

fn decode_into(
    path: &Path,
    offset_s: f64,
    duration_s: Option<f64>,
    limits: &Limits,
    sink: &mut Sink<'_>,
) -> Result<SourceInfo, AudioError> {
    let is_length = |seconds: f64| seconds.is_finite() && seconds >= 0.0;
    if !is_length(offset_s) || !duration_s.is_none_or(|s| is_length(s) && s > 0.0) {
        return Err(AudioError::Argument(format!(
            "{}: cannot decode {} seconds from second {offset_s} on: the offset must be at least 0 and the duration \
             above 0",
            path.display(),
            duration_s.map_or("all".into(), |s| s.to_string()),
        )));
    }
    limits.check_file(path)?;
    let excerpt = Excerpt { offset_s, duration_s };
    let decoded = catch_panic(|| match au::is_au(path) {
        true => au::decode(path, excerpt, limits, sink),
        false => symphonia::decode(path, excerpt, limits, sink),
    });
    decoded.unwrap_or_else(|panic| {
        let message = format!(
            "the decoder failed on this file ({panic}), which is probably damaged; download or copy it again, or \
             convert it to another format"
        );
        Err(AudioError::file(path, Reason::Panicked, message))
    })
}
