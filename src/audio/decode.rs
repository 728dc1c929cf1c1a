//! Audio files as mono signals, decoded packet by packet.
//!
//! Uncompressed formats are read here, compressed ones by symphonia, and Opus packets by ropus. The rules:
//!
//! - The first audio stream of a file is used. Its channels are averaged.
//! - Encoder delay and padding are removed where the file declares them in a way that symphonia understands: MP3 (LAME
//!   tag), Ogg Vorbis and Opus, ALAC, FLAC. An AAC stream keeps its priming samples (typically 1024 or 2112), because symphonia
//!   does not read edit lists.
//! - A file is used completely or not at all. A packet that cannot be decoded makes it [`Reason::Damaged`], an end before
//!   the declared length [`Reason::Truncated`]. The checksum of the decoded samples in FLAC files is verified. The only
//!   exception is a file that ends inside its last frame: that frame is left out, and [`SourceInfo::ends_early`] is set.
//!   Where no length is declared (MP3 without a Xing header, AAC in ADTS), any frame may be the last.
//! - Headers that contradict the frames are repaired where the frames are whole (`section.rs`).
//! - HE-AAC is refused, because symphonia would decode half of its bandwidth.
//! - An excerpt is decoded from the start of the file. Decoding stops at its end, so later faults are not noticed.
//! - A panic inside symphonia is caught and becomes [`Reason::Panicked`].

use std::io;
use std::path::Path;

use super::error::{AudioError, Reason};
use super::limits::Limits;
use super::pcm::{self, Contents};
use super::resample::StreamingResampler;
use super::section::{Section, id3v2_length};
use super::source::{Decoded, Excerpt, Sink, SourceInfo, peak};
use super::{Waveform, symphonia};
use crate::io::catch_panic::catch_panic;

/// Names everything that the decoded samples depend on; part of the cache key.
pub const DECODER: &str = "symphonia 0.6.1; mean of channels; trimmed; 2";

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
    let decoded = decode_into(path, offset_s, duration_s, limits, &mut |piece, _| {
        samples.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(Waveform { samples, sample_rate: decoded.source.sample_rate })
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
) -> Result<Decoded, AudioError> {
    // Refuses an invalid rate before the file is read.
    StreamingResampler::new(sample_rate, sample_rate)?;
    let mut resampler = None;
    let mut out = Vec::new();
    let decoded = decode_into(path, offset_s, duration_s, limits, &mut |piece, rate| {
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
    Ok(decoded)
}

/// Decodes and resamples a whole file as [`decode_resampled`] does, and refuses what [`scan`](super::scan()) would put
/// into quarantine: silence, channels that cancel, and less than `min_seconds`.
///
/// # Errors
/// As [`decode_resampled`]; these come after the samples.
pub fn decode_usable(
    path: &Path,
    sample_rate: u32,
    min_seconds: f64,
    limits: &Limits,
    sink: &mut dyn FnMut(&[f32]) -> Result<(), AudioError>,
) -> Result<SourceInfo, AudioError> {
    let (mut samples, mut loudest) = (0, 0f32);
    let decoded = decode_resampled(path, 0.0, None, sample_rate, limits, &mut |piece| {
        samples += piece.len();
        loudest = loudest.max(peak(piece));
        sink(piece)
    })?;
    let name = path.display().to_string();
    check_loudness(&name, loudest, decoded.channel_peak)?;
    check_duration(&name, samples as f64 / f64::from(sample_rate), min_seconds)?;
    if decoded.source.ends_early {
        tracing::warn!("{name}: {ENDS_EARLY}");
    }
    Ok(decoded.source)
}

/// What is said about files with [`SourceInfo::ends_early`].
pub(super) const ENDS_EARLY: &str =
    "the file ends inside its last frame, which is left out; if it should be longer, copy it again";

/// Refuses silence: a mixed signal with a `peak` below [`SILENCE`].
pub(super) fn check_loudness(name: &str, peak: f32, channel_peak: f32) -> Result<(), AudioError> {
    if peak >= SILENCE {
        return Ok(());
    }
    let message = match channel_peak < SILENCE {
        true => format!(
            "is silent: its peak of {peak:e} is below {SILENCE:e} (-80 dBFS); check the file, or remove it"
        ),
        false => format!(
            "is silent after mixing to mono: its channels cancel (peak {channel_peak:.3} before and {peak:e} after); \
             invert one channel, or keep only one"
        ),
    };
    Err(AudioError::unusable(name, Reason::Silent, message))
}

/// Refuses audio that is too short.
pub(super) fn check_duration(name: &str, seconds: f64, least: f64) -> Result<(), AudioError> {
    match seconds >= least {
        true => Ok(()),
        false => Err(AudioError::unusable(
            name,
            Reason::TooShort,
            format!(
                "is {seconds:.3} s long and at least {least} s are required; lower the limit, or remove it"
            ),
        )),
    }
}

fn decode_into(
    path: &Path,
    offset_s: f64,
    duration_s: Option<f64>,
    limits: &Limits,
    sink: &mut Sink<'_>,
) -> Result<Decoded, AudioError> {
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
    let decoded = catch_panic(|| {
        let unreadable = |error: io::Error| AudioError::unreadable(path, &error);
        let start = id3v2_length(path).map_err(unreadable)?;
        let section = match pcm::open(path, start)? {
            Some(Contents::Uncompressed(file)) => return file.decode(path, excerpt, limits, sink),
            Some(Contents::Mpeg(section)) => section,
            None => Section::of(path, start).map_err(unreadable)?,
        };
        symphonia::decode(path, section, excerpt, limits, sink)
    });
    decoded.unwrap_or_else(|panic| {
        let message = format!(
            "the decoder failed on this file ({panic}), which is probably damaged; download or copy it again, or \
             convert it to another format"
        );
        Err(AudioError::file(path, Reason::Panicked, message))
    })
}
