//! Any supported audio file to a mono signal, packet by packet.
//!
//! symphonia reads containers and codecs. The policies are ours:
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

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_AC3, CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3, CODEC_ID_OPUS,
    CODEC_ID_SPEEX,
};
use symphonia::core::codecs::audio::{
    AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions,
};
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{FORMAT_ID_ADTS, FORMAT_ID_ISOMP4, FORMAT_ID_OGG};
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use super::Waveform;
use super::contain::contain;
use super::error::{AudioError, Reason};
use super::resample::{StreamingResampler, is_sample};
use super::stream_end::{OggEnd, mp4_is_cut, mpeg_is_cut, ogg_end, same_mpeg_stream};

/// Names the decoder and all that its output depends on; part of the cache key.
pub const DECODER: &str = "symphonia 0.6.1; mean of channels; trimmed; 1";

/// A track whose peak is below this (-80 dBFS) is silent.
pub const SILENCE: f32 = 1e-4;

/// A header may promise this much more than there is, in seconds: encoders count frames loosely.
const TOLERANCE_S: f64 = 0.1;

/// Packets in a row that give no sample; then the rest is not worth trying.
const MAX_EMPTY_PACKETS: usize = 4096;

/// What a file may ask of us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub max_channels: usize,
    /// In Hz.
    pub min_sample_rate: u32,
    /// In Hz.
    pub max_sample_rate: u32,
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

/// What a file turned out to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceInfo {
    /// Short name of the codec: `mp3`, `vorbis`, `pcm_s16le`.
    pub codec: String,
    /// In Hz, before resampling.
    pub sample_rate: u32,
    pub channels: u32,
}

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

/// Hands the signal at `sample_rate` to `sink`, piece by piece.
pub(super) fn decode_resampled(
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

/// Receives mono samples and their rate in Hz.
type Sink<'a> = dyn FnMut(&[f32], u32) -> Result<(), AudioError> + 'a;

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
    match contain(|| Decoding::open(path, excerpt, limits)?.run(sink)) {
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

fn unreadable(path: &Path, error: &io::Error) -> AudioError {
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

#[derive(Clone, Copy)]
struct Excerpt {
    offset_s: f64,
    duration_s: Option<f64>,
}

/// A file that cannot be sought, so that symphonia takes lengths from headers only instead of
/// estimating them from the size of the file.
struct Forward(File);

impl Read for Forward {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for Forward {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::Error::other("this source goes forward only"))
    }
}

impl MediaSource for Forward {
    fn is_seekable(&self) -> bool {
        false
    }

    fn byte_len(&self) -> Option<u64> {
        None
    }
}

fn probe(path: &Path, source: Box<dyn MediaSource>) -> Result<Box<dyn FormatReader>, Symphonia> {
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
        hint.with_extension(extension);
    }
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    symphonia::default::get_probe().probe(
        &hint,
        stream,
        FormatOptions::default(),
        MetadataOptions::default(),
    )
}

/// One file being decoded.
struct Decoding<'a> {
    path: &'a Path,
    excerpt: Excerpt,
    limits: &'a Limits,
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    codec: AudioCodecId,
    /// Samples that the header promises, delay and padding not counted.
    promise: Option<u64>,
    /// Samples to drop at the start.
    delay: u64,
    source: SourceInfo,
    /// Samples decoded so far, delay included.
    position: u64,
    /// Samples behind the promised end: padding, unless too many of them follow.
    behind: Vec<f32>,
    /// More came than was promised and padded: the header is wrong and is not obeyed.
    outran: bool,
    emitted: u64,
    packets: usize,
    failed: usize,
    first_failure: Option<String>,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
}

impl<'a> Decoding<'a> {
    fn open(path: &'a Path, excerpt: Excerpt, limits: &'a Limits) -> Result<Self, AudioError> {
        let open = || File::open(path).map_err(|error| unreadable(path, &error));
        let format =
            probe(path, Box::new(open()?)).map_err(|error| not_recognised(path, &error))?;
        let track = format.first_track_known_codec(TrackType::Audio);
        let Some((track, params)) = track.and_then(|track| Some((track, audio(track)?))) else {
            return Err(AudioError::unusable(
                path.display(),
                Reason::Unsupported,
                format!(
                    "the {} file holds no audio of a known codec; convert it, or leave it out",
                    format.format_info().short_name
                ),
            ));
        };
        let codec = params.codec;
        let is_mpeg = [CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3].contains(&codec);
        let mut promise = track.num_frames;
        let mut delay = 0;
        if is_mpeg {
            // Without a header, symphonia would promise what it estimates from the size.
            promise = match probe(path, Box::new(Forward(open()?))) {
                Ok(forward) => forward.tracks().first().and_then(|track| track.num_frames),
                Err(_) => None,
            };
            delay = track.delay.map_or(0, u64::from);
        } else if format.format_info().format == FORMAT_ID_ADTS {
            promise = None;
        }
        // MPEG audio is trimmed here, for symphonia would trim by its estimate.
        let options = AudioDecoderOptions::default().gapless(!is_mpeg).verify(true);
        let decoder = make_decoder(path, params, &options)?;
        let channels = params.channels.as_ref().map_or(0, |channels| channels.count());
        check_limits(path, limits, params.sample_rate, channels)?;
        if let (Some(frames), Some(rate), None) = (promise, params.sample_rate, excerpt.duration_s)
        {
            check_seconds(path, limits, frames as f64 / f64::from(rate))?;
        }
        Ok(Decoding {
            path,
            excerpt,
            limits,
            track: track.id,
            codec,
            promise,
            delay,
            source: SourceInfo {
                codec: decoder.codec_info().short_name.into(),
                ..SourceInfo::default()
            },
            position: 0,
            behind: Vec::new(),
            outran: false,
            emitted: 0,
            packets: 0,
            failed: 0,
            first_failure: None,
            interleaved: Vec::new(),
            mono: Vec::new(),
            decoder,
            format,
        })
    }

    fn refuse(&self, reason: Reason, message: impl Into<String>) -> AudioError {
        AudioError::unusable(self.path.display(), reason, message)
    }

    fn is_mpeg(&self) -> bool {
        [CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3].contains(&self.codec)
    }

    /// Samples at the file's rate.
    fn samples(&self, seconds: f64) -> u64 {
        (seconds * f64::from(self.source.sample_rate)).round() as u64
    }

    fn seconds(&self, samples: u64) -> f64 {
        match self.source.sample_rate {
            0 => 0.0,
            rate => samples as f64 / f64::from(rate),
        }
    }

    /// Decodes to the end of the excerpt or of the file.
    fn run(mut self, sink: &mut Sink<'_>) -> Result<SourceInfo, AudioError> {
        let mut first = Vec::new();
        let mut last = Vec::new();
        let mut empty = 0;
        loop {
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(Symphonia::ResetRequired) => {
                    self.next_stream()?;
                    continue;
                }
                Err(error) => return Err(self.broken(&error)),
            };
            if packet.track_id != self.track {
                continue;
            }
            if self.is_mpeg() {
                if first.is_empty() {
                    first = packet.data.to_vec();
                } else if !same_mpeg_stream(&packet.data, &first) {
                    // Not of this stream: a tag that looks like a frame. If a frame was lost
                    // instead, samples are missing in the end.
                    continue;
                }
                last.clear();
                last.extend_from_slice(&packet.data);
            }
            self.packets += 1;
            let before = self.position;
            let result = self.decoder.decode(&packet).map(|buffer| {
                let spec = buffer.spec();
                let shape = (spec.rate(), spec.channels().count());
                match shape.1 <= self.limits.max_channels {
                    true => buffer.copy_to_vec_interleaved(&mut self.interleaved),
                    false => self.interleaved.clear(),
                }
                shape
            });
            match result {
                Ok((rate, channels)) => {
                    if !self.interleaved.is_empty() || channels > self.limits.max_channels {
                        self.accept(rate, channels, sink)?;
                    }
                }
                Err(Symphonia::ResetRequired) => self.next_stream()?,
                Err(Symphonia::Unsupported(feature)) => {
                    return Err(self.refuse(
                        Reason::Unsupported,
                        format!("uses a feature that is not supported ({feature}); convert it"),
                    ));
                }
                Err(error) => {
                    self.failed += 1;
                    self.first_failure.get_or_insert_with(|| error.to_string());
                }
            }
            if self.is_done() {
                return self.finish_excerpt();
            }
            empty = if self.position > before { 0 } else { empty + 1 };
            if empty > MAX_EMPTY_PACKETS {
                self.first_failure
                    .get_or_insert_with(|| format!("{empty} packets without a sample"));
                self.failed = self.failed.max(empty);
                break;
            }
        }
        self.judge_end(&last)?;
        if self.emitted == 0 {
            return Err(self.too_short());
        }
        self.finish_excerpt()
    }

    /// Whether all of the excerpt came out.
    fn is_done(&self) -> bool {
        let Some(duration) = self.excerpt.duration_s else { return false };
        self.source.sample_rate > 0
            && self.position >= self.delay + self.samples(self.excerpt.offset_s + duration)
    }

    /// An excerpt that came out, if nothing was lost on the way.
    fn finish_excerpt(self) -> Result<SourceInfo, AudioError> {
        match self.failed {
            0 => Ok(self.source),
            _ => Err(self.damaged()),
        }
    }

    /// Takes the decoded packet in `self.interleaved`.
    fn accept(
        &mut self,
        rate: u32,
        channels: usize,
        sink: &mut Sink<'_>,
    ) -> Result<(), AudioError> {
        if self.source.sample_rate == 0 {
            check_limits(self.path, self.limits, Some(rate), channels)?;
            self.source.sample_rate = rate;
            self.source.channels = channels as u32;
        }
        if rate != self.source.sample_rate || channels > self.limits.max_channels {
            return Err(self.refuse(
                Reason::Unsupported,
                format!(
                    "changes from {} Hz to {rate} Hz and {channels} channels after {:.2} s; convert \
                     it to one rate",
                    self.source.sample_rate,
                    self.seconds(self.position)
                ),
            ));
        }
        let mut mono = std::mem::take(&mut self.mono);
        mono.clear();
        match channels {
            1 => mono.extend_from_slice(&self.interleaved),
            _ => mono.extend(
                self.interleaved
                    .chunks_exact(channels)
                    .map(|frame| frame.iter().sum::<f32>() / channels as f32),
            ),
        }
        if let Some(place) = mono.iter().position(|sample| !is_sample(*sample)) {
            return Err(self.refuse(
                Reason::NonFinite,
                format!(
                    "sample {} (at {:.3} s) is {:e}; write the file again from its source, in [-1, 1]",
                    self.position + place as u64,
                    self.seconds(self.position + place as u64),
                    mono[place]
                ),
            ));
        }
        let result = self.place(&mono, sink);
        self.mono = mono;
        result
    }

    /// Puts samples where they belong: before the start, inside, or behind the promised end.
    fn place(&mut self, mut mono: &[f32], sink: &mut Sink<'_>) -> Result<(), AudioError> {
        let start = self.position;
        self.position += mono.len() as u64;
        check_seconds(self.path, self.limits, self.seconds(self.position))?;
        let dropped = self.delay.saturating_sub(start).min(mono.len() as u64);
        mono = &mono[dropped as usize..];
        if self.is_mpeg()
            && !self.outran
            && let Some(promise) = self.promise
        {
            let end = self.delay + promise;
            let inside = end.saturating_sub(start + dropped).min(mono.len() as u64);
            let (inside, behind) = mono.split_at(inside as usize);
            self.behind.extend_from_slice(behind);
            self.emit(start + dropped, inside, sink)?;
            // A LAME tag can declare 4095 samples of padding, and a frame may be off.
            if self.behind.len() > 4_095 + 3 * 1_152 {
                self.outran = true;
                let behind = std::mem::take(&mut self.behind);
                self.emit(end, &behind, sink)?;
            }
            return Ok(());
        }
        self.emit(start + dropped, mono, sink)
    }

    /// Hands on what lies in the excerpt; `start` counts from the start of the stream.
    fn emit(&mut self, start: u64, mono: &[f32], sink: &mut Sink<'_>) -> Result<(), AudioError> {
        let from = self.delay + self.samples(self.excerpt.offset_s);
        let to = self.excerpt.duration_s.map_or(u64::MAX, |duration| {
            self.delay + self.samples(self.excerpt.offset_s + duration)
        });
        let length = mono.len() as u64;
        let first = from.saturating_sub(start).min(length) as usize;
        let end = to.saturating_sub(start).min(length) as usize;
        if first < end {
            self.emitted += (end - first) as u64;
            sink(&mono[first..end], self.source.sample_rate)?;
        }
        Ok(())
    }

    /// Another stream follows in the same file, as in chained Ogg files.
    fn next_stream(&mut self) -> Result<(), AudioError> {
        let track = self.format.first_track_known_codec(TrackType::Audio);
        let Some((track, params)) = track.and_then(|track| Some((track, audio(track)?))) else {
            return Err(self.refuse(
                Reason::Unsupported,
                format!("changes to an unknown codec after {:.2} s", self.seconds(self.position)),
            ));
        };
        let channels = params.channels.as_ref().map_or(0, |channels| channels.count());
        check_limits(self.path, self.limits, params.sample_rate, channels)?;
        let options = AudioDecoderOptions::default().verify(true);
        self.decoder = make_decoder(self.path, params, &options)?;
        self.promise = match (self.promise, track.num_frames) {
            (Some(before), Some(more)) => Some(before.saturating_add(more)),
            _ => None,
        };
        self.track = track.id;
        self.codec = params.codec;
        Ok(())
    }

    /// The container cannot be read on.
    fn broken(&self, error: &Symphonia) -> AudioError {
        let at = self.seconds(self.position);
        if self.format.format_info().format == FORMAT_ID_ISOMP4
            && mp4_is_cut(self.path).unwrap_or(false)
        {
            return self.truncated("the file ends inside its content");
        }
        match error {
            Symphonia::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.truncated("the file ends inside a packet")
            }
            Symphonia::IoError(error) => self.refuse(
                Reason::Unreadable,
                format!("cannot be read beyond {at:.2} s: {error}; check the disk"),
            ),
            Symphonia::LimitError(limit) => self.refuse(
                Reason::LimitExceeded,
                format!("exceeds a limit of the decoder after {at:.2} s ({limit})"),
            ),
            Symphonia::Unsupported(feature) => self.refuse(
                Reason::Unsupported,
                format!("uses a feature that is not supported ({feature}); convert it"),
            ),
            error => self.refuse(
                Reason::Damaged,
                format!(
                    "cannot be read beyond {at:.2} s: {error}; download or copy it again, or \
                     re-encode what there is"
                ),
            ),
        }
    }

    fn damaged(&self) -> AudioError {
        self.refuse(
            Reason::Damaged,
            format!(
                "{} of {} packets cannot be decoded ({}); {:.2} s came out: download or copy it \
                 again, or re-encode what there is",
                self.failed,
                self.packets,
                self.first_failure.as_deref().unwrap_or("no reason given"),
                self.seconds(self.position)
            ),
        )
    }

    fn truncated(&self, how: &str) -> AudioError {
        let promised = match self.promise {
            Some(promise) if self.source.sample_rate > 0 => {
                format!(" of {:.2} s", self.seconds(promise))
            }
            _ => String::new(),
        };
        let have = self.seconds(self.position.saturating_sub(self.delay));
        self.refuse(
            Reason::Truncated,
            format!(
                "{how}: {have:.2} s{promised} can be decoded; download or copy it again, or \
                 re-encode what there is"
            ),
        )
    }

    fn too_short(&self) -> AudioError {
        if self.position <= self.delay {
            return self.refuse(Reason::Empty, "holds no samples; download or copy it again");
        }
        self.refuse(
            Reason::TooShort,
            format!(
                "ends after {:.2} s, before the excerpt that starts at {:.2} s; correct its offset",
                self.seconds(self.position - self.delay),
                self.excerpt.offset_s
            ),
        )
    }

    /// The stream ended by itself: as it should?
    fn judge_end(&mut self, last: &[u8]) -> Result<(), AudioError> {
        if self.failed > 0 {
            return Err(self.damaged());
        }
        let have = self.position.saturating_sub(self.delay);
        let is_ogg = self.format.format_info().format == FORMAT_ID_OGG;
        let lossy = self.is_mpeg() || is_ogg || self.codec == CODEC_ID_AAC;
        let tolerance = if lossy { self.samples(TOLERANCE_S) } else { 0 };
        if let Some(promise) = self.promise
            && promise > have.saturating_add(tolerance)
        {
            return Err(match have {
                0 if promise <= tolerance => self.too_short(),
                _ => self.truncated("the file holds less than its header promises"),
            });
        }
        if self.decoder.finalize().verify_ok == Some(false) {
            return Err(self.refuse(
                Reason::Damaged,
                "the decoded samples do not match the checksum in the file; download or copy it \
                 again",
            ));
        }
        let read = |error: io::Error| unreadable(self.path, &error);
        if is_ogg {
            match ogg_end(self.path).map_err(read)? {
                OggEnd::Marked => {}
                OggEnd::Unmarked => return Err(self.truncated("the last page is missing")),
                OggEnd::InsidePage => return Err(self.truncated("the file ends inside a page")),
            }
        }
        if self.is_mpeg() && self.promise.is_none() && mpeg_is_cut(self.path, last).map_err(read)? {
            return Err(self.truncated("the file ends inside a frame"));
        }
        Ok(())
    }
}

fn audio(track: &Track) -> Option<&AudioCodecParameters> {
    match &track.codec_params {
        Some(CodecParameters::Audio(params)) => Some(params),
        _ => None,
    }
}

fn make_decoder(
    path: &Path,
    params: &AudioCodecParameters,
    options: &AudioDecoderOptions,
) -> Result<Box<dyn AudioDecoder>, AudioError> {
    let codec = match params.codec {
        CODEC_ID_OPUS => "Opus".to_string(),
        CODEC_ID_SPEEX => "Speex".to_string(),
        CODEC_ID_AC3 => "AC-3".to_string(),
        CODEC_ID_AAC => "this kind of AAC (only AAC-LC, mono or stereo)".to_string(),
        other => format!("codec {other}"),
    };
    symphonia::default::get_codecs().make_audio_decoder(params, options).map_err(
        |error| match error {
            Symphonia::Unsupported(_) => AudioError::unusable(
                path.display(),
                Reason::Unsupported,
                format!("{codec} is not supported ({error}); convert it, for example to flac"),
            ),
            error => AudioError::unusable(
                path.display(),
                Reason::Damaged,
                format!("the codec's header is damaged ({error}); download or copy it again"),
            ),
        },
    )
}

fn check_limits(
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

fn check_seconds(path: &Path, limits: &Limits, seconds: f64) -> Result<(), AudioError> {
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

/// No container was found, or one whose header cannot be read.
fn not_recognised(path: &Path, error: &Symphonia) -> AudioError {
    let mut head = [0; 512];
    let length = File::open(path).and_then(|mut file| read_up_to(&mut file, &mut head));
    let head = match length {
        Ok(length) => &head[..length],
        Err(error) => return unreadable(path, &error),
    };
    match error {
        Symphonia::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return unreadable(path, error);
        }
        _ => {}
    }
    if let Some(container) = container_by_magic(head) {
        let (reason, what) = match error {
            _ if container == "mp4" && mp4_is_cut(path).unwrap_or(false) => {
                (Reason::Truncated, "has lost its end, and with it its index")
            }
            Symphonia::IoError(_) => (Reason::Truncated, "ends inside its header"),
            Symphonia::LimitError(_) => (Reason::LimitExceeded, "exceeds a limit of the decoder"),
            Symphonia::Unsupported(_) => (Reason::Unsupported, "has a header that cannot be used"),
            _ => (Reason::Damaged, "has a damaged header"),
        };
        return AudioError::unusable(
            path.display(),
            reason,
            format!(
                "the {container} file {what} ({error}); download or copy it again, or convert it to \
                 another format"
            ),
        );
    }
    let text = !head.is_empty()
        && head.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..));
    let guess = match text
        && std::str::from_utf8(head).map_or_else(|e| e.error_len().is_none(), |_| true)
    {
        true => "it holds text",
        false => "no known format was recognised",
    };
    AudioError::unusable(
        path.display(),
        Reason::Unsupported,
        format!(
            "is no audio file: {guess}; supported are mp3, aac and alac (m4a), flac, ogg vorbis, wav \
             and aiff: convert it, or leave it out"
        ),
    )
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Containers by their first bytes.
fn container_by_magic(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [b'R', b'I', b'F', b'F', ..] => "wav",
        [b'F', b'O', b'R', b'M', ..] => "aiff",
        [b'f', b'L', b'a', b'C', ..] => "flac",
        [b'O', b'g', b'g', b'S', ..] => "ogg",
        [b'I', b'D', b'3', ..] => "mp3",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "mp4",
        [0xff, second, ..] if second & 0xe0 == 0xe0 => "mpeg audio",
        _ => return None,
    })
}
