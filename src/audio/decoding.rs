//! One file on its way through symphonia; the policies are told in [`decode`](super::decode).

use std::fs::File;
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

use super::error::{AudioError, Reason};
use super::limits::{Limits, check_limits, check_seconds, unreadable};
use super::recognise::not_recognised;
use super::resample::first_non_sample;
use super::stream_end::{OggEnd, mp4_is_cut, mpeg_is_cut, ogg_end, same_mpeg_stream};

/// A header may promise this much more than there is, in seconds: encoders count frames loosely.
const TOLERANCE_S: f64 = 0.1;

/// Packets in a row that give no sample; then the rest is not worth trying.
const MAX_EMPTY_PACKETS: usize = 4096;

/// Frames of another kind in an MPEG stream that may be tags taken for frames.
const MAX_STRANGE_FRAMES: usize = 8;

/// The wanted stretch, in seconds.
#[derive(Clone, Copy)]
pub(super) struct Excerpt {
    pub offset_s: f64,
    /// To the end of the file if `None`.
    pub duration_s: Option<f64>,
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

/// What a file turned out to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceInfo {
    /// Short name of the codec: `mp3`, `vorbis`, `pcm_s16le`.
    pub codec: String,
    /// In Hz, before resampling.
    pub sample_rate: u32,
    /// Before they were mixed down.
    pub channels: u32,
}

/// Receives mono samples and their rate in Hz.
pub(super) type Sink<'a> = dyn FnMut(&[f32], u32) -> Result<(), AudioError> + 'a;

/// One file being decoded.
pub(super) struct Decoding<'a> {
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
    /// Frames that are not of this MPEG stream.
    strange: usize,
    first_failure: Option<String>,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
}

impl<'a> Decoding<'a> {
    /// Opens a file and finds its first audio stream.
    pub fn open(path: &'a Path, excerpt: Excerpt, limits: &'a Limits) -> Result<Self, AudioError> {
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
            strange: 0,
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
    pub fn run(mut self, sink: &mut Sink<'_>) -> Result<SourceInfo, AudioError> {
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
                    self.strange += 1;
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
            // As below; with their number known, the compiler makes vectors of it.
            2 => {
                let frames = self.interleaved.as_chunks::<2>().0;
                mono.extend(frames.iter().map(|[left, right]| (left + right) / 2.0));
            }
            _ => mono.extend(
                self.interleaved
                    .chunks_exact(channels)
                    .map(|frame| frame.iter().sum::<f32>() / channels as f32),
            ),
        }
        if let Some(place) = first_non_sample(&mono) {
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
        if self.strange > MAX_STRANGE_FRAMES {
            return Err(self.refuse(
                Reason::Unsupported,
                format!(
                    "{} of its frames have another rate, layer or number of channels than the first; \
                     convert it to one format",
                    self.strange
                ),
            ));
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
