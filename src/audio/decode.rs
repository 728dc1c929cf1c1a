//! Any supported audio file to a mono signal, packet by packet.
//!
//! symphonia reads containers and codecs, but for AU files. The policies are ours:
//!
//! - Of several audio streams in a file, the first is taken. Channels are averaged.
//! - Encoder delay and padding are cut off where the file declares them in a way that symphonia
//!   understands: MP3 (LAME tag), Ogg Vorbis, ALAC, FLAC. An AAC stream keeps its priming samples
//!   (typically 1024 or 2112), for symphonia does not read edit lists.
//! - A file is used whole or not at all. A packet that cannot be decoded makes it
//!   [`Reason::Damaged`], an end before the one that its header declares [`Reason::Truncated`].
//!   FLAC's checksum of the decoded samples is compared.
//! - An excerpt is decoded from the start of the file and decoding stops at its end: what lies
//!   behind is not judged.
//! - A panic inside symphonia is contained and becomes [`Reason::Panicked`].

use std::path::Path;

use super::Waveform;
use super::au;
use super::decoding::{Decoding, Excerpt, Sink, SourceInfo};
use super::error::{AudioError, Reason};
use super::limits::{Limits, check_file};
use super::resample::StreamingResampler;
use crate::io::catch_panic::contain;

/// Names the decoder and all that its output depends on; part of the cache key.
pub const DECODER: &str = "symphonia 0.6.1; mean of channels; trimmed; 1";

/// A track whose peak is below this (-80 dBFS) is silent.
pub const SILENCE: f32 = 1e-4;

/// Decodes a stretch of a file at its own sample rate: `duration_s` seconds from `offset_s` on, or
/// what there is of them; to the end of the file if `duration_s` is `None`.
///
/// # Errors
/// [`AudioError::Unusable`] with the reason, [`AudioError::Argument`] if the stretch is no stretch.
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

/// As [`decode`], resampled to `sample_rate` on the way; the signal at the file's own rate is never
/// held as a whole.
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

/// Hands the signal at `sample_rate` to `sink`, piece by piece: nothing is ever held as a whole.
///
/// # Errors
/// As [`decode`], and those of `sink`.
pub fn decode_resampled(
    path: &Path,
    offset_s: f64,
    duration_s: Option<f64>,
    sample_rate: u32,
    limits: &Limits,
    sink: &mut dyn FnMut(&[f32]) -> Result<(), AudioError>,
) -> Result<SourceInfo, AudioError> {
    // Refuses a bad rate before the file is read.
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
            "{}: cannot take {} seconds from second {offset_s} on: the offset must be at least 0 and \
             the duration above 0",
            path.display(),
            duration_s.map_or("all".into(), |s| s.to_string()),
        )));
    }
    check_file(path, limits)?;
    let excerpt = Excerpt { offset_s, duration_s };
    let decoded = contain(|| match au::is_au(path) {
        true => au::decode(path, excerpt, limits, sink),
        false => Decoding::open(path, excerpt, limits)?.run(sink),
    });
    match decoded {
        Ok(result) => result,
        Err(panic) => Err(AudioError::unusable(
            path.display(),
            Reason::Panicked,
            format!(
                "the decoder failed on this file ({panic}); it is probably damaged: download or copy \
                 it again, or convert it to another format"
            ),
        )),
    }
}
