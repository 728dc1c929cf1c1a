//! The decoder that reads compressed formats through symphonia; [`decode`](super::decode) describes its rules.

use std::io;
use std::path::Path;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_AC3, CODEC_ID_EAC3, CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3,
    CODEC_ID_OPUS, CODEC_ID_SPEEX,
};
use symphonia::core::codecs::audio::{
    AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions,
};
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{
    FORMAT_ID_ADTS, FORMAT_ID_FLAC, FORMAT_ID_ISOMP4, FORMAT_ID_OGG,
};
use symphonia::core::formats::{FormatId, FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use super::aac::{self, SbrDetector};
use super::error::{AudioError, Reason};
use super::file_type::{unknown_codec, unrecognised};
use super::limits::Limits;
use super::opus::OpusDecoder;
use super::section::{Section, Stream};
use super::source::{
    Decoded, Excerpt, Sink, SourceInfo, TOLERANCE_S, check_samples, mix, peak, samples, truncated,
};
use super::stream_end::{OggEnd, adts_is_cut, mp4_is_cut, mpeg_is_cut, ogg_end, same_mpeg_stream};

/// Decoding stops after this many packets in a row without a sample.
const MAX_EMPTY_PACKETS: usize = 4096;

/// Frames of another format that an MPEG stream may contain, which are tags that look like frames.
const MAX_FOREIGN_FRAMES: usize = 8;

/// Samples after the declared end that are padding: a LAME tag declares at most 4095, and a frame or two may be extra.
const MAX_PADDING: usize = 4_095 + 3 * 1_152;

fn probe(path: &Path, source: Stream) -> Result<Box<dyn FormatReader>, Symphonia> {
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
        hint.with_extension(extension);
    }
    let stream = MediaSourceStream::new(Box::new(source), MediaSourceStreamOptions::default());
    let (format, metadata) = (FormatOptions::default(), MetadataOptions::default());
    symphonia::default::get_probe().probe(&hint, stream, format, metadata)
}

/// Decodes the excerpt to mono and passes it to `sink` piece by piece.
pub(super) fn decode(
    path: &Path,
    section: Section,
    excerpt: Excerpt,
    limits: &Limits,
    sink: &mut Sink<'_>,
) -> Result<Decoded, AudioError> {
    Decoder::open(path, section, excerpt, limits)?.run(sink)
}

/// A file that is being decoded.
struct Decoder<'a> {
    path: &'a Path,
    section: Section,
    excerpt: Excerpt,
    limits: &'a Limits,
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    codec: AudioCodecId,
    /// Samples that the header declares, without delay and padding.
    declared: Option<u64>,
    /// Samples to drop at the start.
    delay: u64,
    source: SourceInfo,
    /// Samples decoded so far, including the delay.
    position: u64,
    /// Samples after the declared end of an MPEG stream.
    padding: Vec<f32>,
    /// Whether more than padding follows the declared end, so that the header is wrong.
    ignore_declared: bool,
    emitted: bool,
    /// Whether symphonia found the end of the file inside a packet.
    cut: bool,
    /// Number of samples in the longest packet.
    longest: u64,
    /// Bytes in packets.
    bytes: u64,
    /// Time of the first packet, in samples.
    first_time: Option<i64>,
    sbr: SbrDetector,
    channel_peak: f32,
    packets: usize,
    failed: usize,
    /// Frames of another MPEG format.
    foreign: usize,
    first_failure: Option<String>,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
}

impl<'a> Decoder<'a> {
    /// Opens a file and selects its first audio stream.
    fn open(
        path: &'a Path,
        section: Section,
        excerpt: Excerpt,
        limits: &'a Limits,
    ) -> Result<Self, AudioError> {
        let open = |seekable| {
            let stream = section.open(path, seekable);
            stream.map_err(|error| AudioError::unreadable(path, &error))
        };
        let format = probe(path, open(true)?).map_err(|error| unrecognised(path, &error))?;
        let track = format.first_track_known_codec(TrackType::Audio);
        let Some((track, params)) = track.and_then(|track| Some((track, audio(track)?))) else {
            return Err(unknown_codec(path, format.format_info().short_name));
        };
        let codec = params.codec;
        let mut declared = track.num_frames;
        let mut delay = 0;
        if is_mpeg(codec) {
            // With a seekable source, symphonia would declare a length that it estimates from the file size.
            declared = match probe(path, open(false)?) {
                Ok(forward) => forward.tracks().first().and_then(|track| track.num_frames),
                Err(_) => None,
            };
            delay = track.delay.map_or(0, u64::from);
        } else if format.format_info().format == FORMAT_ID_ADTS {
            declared = None;
        }
        if format.format_info().format == FORMAT_ID_ISOMP4
            && codec == CODEC_ID_AAC
            && let Some(name) = params.extra_data.as_deref().and_then(aac::other_type)
        {
            return Err(AudioError::unsupported(path, &name));
        }
        // MPEG audio is trimmed here, because symphonia would trim by its estimate.
        let options = AudioDecoderOptions::default().gapless(!is_mpeg(codec)).verify(true);
        let decoder = make_decoder(path, params, &options)?;
        let channels = params.channels.as_ref().map_or(0, |channels| channels.count());
        // MP4 files declare 0 Hz if the rate does not fit into 16 bits; the decoder knows it.
        let rate = params.sample_rate.filter(|rate| *rate > 0);
        limits.check_format(path, rate, channels)?;
        if let (Some(frames), Some(rate), None) = (declared, rate, excerpt.duration_s) {
            limits.check_seconds(path, frames as f64 / f64::from(rate))?;
        }
        let source =
            SourceInfo { codec: decoder.codec_info().short_name.into(), ..SourceInfo::default() };
        Ok(Decoder {
            path,
            section,
            excerpt,
            limits,
            track: track.id,
            codec,
            declared,
            delay,
            source,
            position: 0,
            padding: Vec::new(),
            ignore_declared: false,
            emitted: false,
            cut: false,
            longest: 0,
            bytes: 0,
            first_time: None,
            sbr: SbrDetector::default(),
            channel_peak: 0.0,
            packets: 0,
            failed: 0,
            foreign: 0,
            first_failure: None,
            interleaved: Vec::new(),
            mono: Vec::new(),
            decoder,
            format,
        })
    }

    fn refuse(&self, reason: Reason, message: impl Into<String>) -> AudioError {
        AudioError::file(self.path, reason, message)
    }

    fn is_in(&self, container: FormatId) -> bool {
        self.format.format_info().format == container
    }

    fn seconds(&self, samples: u64) -> f64 {
        match self.source.sample_rate {
            0 => 0.0,
            rate => samples as f64 / f64::from(rate),
        }
    }

    /// Samples decoded so far, without the delay.
    fn decoded(&self) -> u64 {
        self.position.saturating_sub(self.delay)
    }

    /// Decodes to the end of the excerpt or of the file.
    fn run(mut self, sink: &mut Sink<'_>) -> Result<Decoded, AudioError> {
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
                Err(Symphonia::IoError(error))
                    if error.kind() == io::ErrorKind::UnexpectedEof && self.position > 0 =>
                {
                    self.cut = true;
                    break;
                }
                Err(error) => return Err(self.unreadable_container(&error)),
            };
            if packet.track_id != self.track {
                continue;
            }
            self.bytes += packet.data.len() as u64;
            self.check_continuity(packet.pts.get());
            if self.codec == CODEC_ID_AAC && self.sbr.add(&packet.data) {
                return Err(AudioError::unsupported(self.path, aac::HE_AAC));
            }
            if is_mpeg(self.codec) {
                if first.is_empty() {
                    first = packet.data.to_vec();
                } else if !same_mpeg_stream(&packet.data, &first) {
                    // A tag that looks like a frame. If it was a damaged frame, samples are missing at the end.
                    self.foreign += 1;
                    continue;
                }
            }
            if is_mpeg(self.codec) || self.is_in(FORMAT_ID_ADTS) {
                last.clear();
                last.extend_from_slice(&packet.data);
            }
            self.packets += 1;
            let before = self.position;
            let result = self.decoder.decode(&packet).map(|buffer| {
                let (rate, channels) = (buffer.spec().rate(), buffer.spec().channels().count());
                match channels <= self.limits.max_channels {
                    true => buffer.copy_to_vec_interleaved(&mut self.interleaved),
                    false => self.interleaved.clear(),
                }
                (rate, channels)
            });
            match result {
                Ok((rate, channels)) => {
                    if !self.interleaved.is_empty() || channels > self.limits.max_channels {
                        self.accept(rate, channels, sink)?;
                    }
                }
                Err(Symphonia::ResetRequired) => self.next_stream()?,
                Err(Symphonia::Unsupported(feature)) => return Err(self.unsupported(feature)),
                Err(error) => {
                    self.failed += 1;
                    self.first_failure.get_or_insert_with(|| error.to_string());
                }
            }
            if self.is_done() {
                return self.finish();
            }
            self.longest = self.longest.max(self.position - before);
            empty = if self.position > before { 0 } else { empty + 1 };
            if empty > MAX_EMPTY_PACKETS {
                self.first_failure
                    .get_or_insert_with(|| format!("{empty} packets without a sample"));
                self.failed = self.failed.max(empty);
                break;
            }
        }
        self.source.ends_early = self.check_end(&last)?;
        if !self.emitted {
            return Err(self.nothing_decoded());
        }
        self.finish()
    }

    /// Counts a packet of a FLAC file as failed if frames are missing before it, which symphonia skips if they are damaged.
    fn check_continuity(&mut self, time: i64) {
        if !self.is_in(FORMAT_ID_FLAC) {
            return;
        }
        let first = *self.first_time.get_or_insert(time);
        if time.saturating_sub(first) != self.position as i64 && self.failed == 0 {
            self.failed = 1;
            self.first_failure.get_or_insert_with(|| "a frame is damaged".into());
        }
    }

    /// Whether the whole excerpt is decoded.
    fn is_done(&self) -> bool {
        let rate = self.source.sample_rate;
        rate > 0 && self.position >= self.delay.saturating_add(self.excerpt.end(rate))
    }

    /// The description of the source, if no packet failed.
    fn finish(self) -> Result<Decoded, AudioError> {
        match self.failed {
            0 => Ok(Decoded { source: self.source, channel_peak: self.channel_peak }),
            _ => Err(self.damaged()),
        }
    }

    /// Mixes and emits the decoded packet in `self.interleaved`.
    fn accept(
        &mut self,
        rate: u32,
        channels: usize,
        sink: &mut Sink<'_>,
    ) -> Result<(), AudioError> {
        if self.source.sample_rate == 0 {
            self.limits.check_format(self.path, Some(rate), channels)?;
            self.source.sample_rate = rate;
            self.source.channels = channels as u32;
        }
        if rate != self.source.sample_rate || channels > self.limits.max_channels {
            return Err(self.refuse(
                Reason::Unsupported,
                format!(
                    "changes from {} Hz to {rate} Hz and {channels} channels after {:.2} s; convert \
                     it to one sample rate",
                    self.source.sample_rate,
                    self.seconds(self.position)
                ),
            ));
        }
        let mut mono = std::mem::take(&mut self.mono);
        mix(&self.interleaved, channels, &mut mono);
        check_samples(self.path, &mono, self.position, rate)?;
        if self.trim(&mono, sink)? {
            self.channel_peak = self.channel_peak.max(peak(&self.interleaved));
        }
        self.mono = mono;
        Ok(())
    }

    /// Removes delay and padding, and emits the rest. Returns whether a part was emitted.
    fn trim(&mut self, mut mono: &[f32], sink: &mut Sink<'_>) -> Result<bool, AudioError> {
        let dropped = self.delay.saturating_sub(self.position).min(mono.len() as u64);
        mono = &mono[dropped as usize..];
        // Counts from the first sample after the delay.
        let start = (self.position + dropped).saturating_sub(self.delay);
        self.position += dropped + mono.len() as u64;
        self.limits.check_seconds(self.path, self.seconds(self.position))?;
        if let Some(end) = self.declared
            && is_mpeg(self.codec)
            && !self.ignore_declared
        {
            let inside = end.saturating_sub(start).min(mono.len() as u64);
            let (inside, after) = mono.split_at(inside as usize);
            self.padding.extend_from_slice(after);
            let mut emitted = self.emit(start, inside, sink)?;
            if self.padding.len() > MAX_PADDING {
                self.ignore_declared = true;
                let after = std::mem::take(&mut self.padding);
                emitted |= self.emit(end, &after, sink)?;
            }
            return Ok(emitted);
        }
        self.emit(start, mono, sink)
    }

    /// Passes on the samples inside the excerpt. Returns whether there are any.
    fn emit(&mut self, start: u64, mono: &[f32], sink: &mut Sink<'_>) -> Result<bool, AudioError> {
        let piece = self.excerpt.clip(mono, start, self.source.sample_rate);
        if piece.is_empty() {
            return Ok(false);
        }
        self.emitted = true;
        sink(piece, self.source.sample_rate)?;
        Ok(true)
    }

    /// Continues with the next stream of the file, as in chained Ogg files.
    fn next_stream(&mut self) -> Result<(), AudioError> {
        let track = self.format.first_track_known_codec(TrackType::Audio);
        let Some((track, params)) = track.and_then(|track| Some((track, audio(track)?))) else {
            return Err(self.refuse(
                Reason::Unsupported,
                format!("changes to an unknown codec after {:.2} s", self.seconds(self.position)),
            ));
        };
        let channels = params.channels.as_ref().map_or(0, |channels| channels.count());
        self.limits.check_format(self.path, params.sample_rate, channels)?;
        let options = AudioDecoderOptions::default().verify(true);
        self.decoder = make_decoder(self.path, params, &options)?;
        self.declared = match (self.declared, track.num_frames) {
            (Some(before), Some(more)) => Some(before.saturating_add(more)),
            _ => None,
        };
        self.track = track.id;
        self.codec = params.codec;
        Ok(())
    }

    fn unreadable_container(&self, error: &Symphonia) -> AudioError {
        let at = self.seconds(self.position);
        if self.is_in(FORMAT_ID_ISOMP4) && mp4_is_cut(self.path).unwrap_or(false) {
            return self.truncated("the file ends inside its content");
        }
        match error {
            Symphonia::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.truncated("the file ends inside a packet")
            }
            Symphonia::IoError(error) => self.refuse(
                Reason::Unreadable,
                format!("cannot be read after {at:.2} s: {error}; check the disk"),
            ),
            Symphonia::LimitError(limit) => self.refuse(
                Reason::LimitExceeded,
                format!("exceeds a limit of the decoder after {at:.2} s ({limit})"),
            ),
            Symphonia::Unsupported(feature) => self.unsupported(feature),
            error => self.refuse(
                Reason::Damaged,
                format!(
                    "cannot be decoded after {at:.2} s: {error}; download or copy it again, or re-encode it"
                ),
            ),
        }
    }

    fn unsupported(&self, feature: &str) -> AudioError {
        let message = format!("uses a feature that is not supported ({feature}); convert it");
        self.refuse(Reason::Unsupported, message)
    }

    fn damaged(&self) -> AudioError {
        self.refuse(
            Reason::Damaged,
            format!(
                "{} of {} packets cannot be decoded ({}), {:.2} s can; download or copy it again, or re-encode it",
                self.failed,
                self.packets,
                self.first_failure.as_deref().unwrap_or("unknown cause"),
                self.seconds(self.position)
            ),
        )
    }

    fn truncated(&self, how: &str) -> AudioError {
        let known = self.declared.filter(|_| self.source.sample_rate > 0);
        let declared = known.map(|samples| self.seconds(samples));
        truncated(self.path, how, self.seconds(self.decoded()), declared)
    }

    fn nothing_decoded(&self) -> AudioError {
        self.excerpt.nothing_decoded(self.path, self.seconds(self.decoded()))
    }

    /// Checks that the stream ended where it should. Returns whether its last frame is cut short and was left out.
    fn check_end(&mut self, last: &[u8]) -> Result<bool, AudioError> {
        if self.failed > 0 {
            return Err(self.damaged());
        }
        if self.foreign > MAX_FOREIGN_FRAMES {
            return Err(self.refuse(
                Reason::Unsupported,
                format!(
                    "{} of its frames have another sample rate, layer or number of channels than the first; \
                     convert it to one format",
                    self.foreign
                ),
            ));
        }
        let is_ogg = self.is_in(FORMAT_ID_OGG);
        let lossy = is_mpeg(self.codec) || is_ogg || self.codec == CODEC_ID_AAC;
        // A lossless file that is cut inside its last frame lacks at most one frame.
        let loose = samples(TOLERANCE_S, self.source.sample_rate);
        let tolerance = if lossy { loose } else { self.longest.max(loose) };
        let missing = self.declared.map_or(0, |all| all.saturating_sub(self.decoded()));
        if missing > tolerance || missing > 0 && self.decoded() == 0 {
            return Err(match self.declared {
                Some(declared) if self.decoded() == 0 && declared <= tolerance => {
                    self.nothing_decoded()
                }
                _ => self.truncated("the file is shorter than its header declares"),
            });
        }
        let mut ends_early = self.cut || !lossy && missing > 0;
        let read = |error: io::Error| AudioError::unreadable(self.path, &error);
        if is_ogg {
            match ogg_end(self.path, &self.section).map_err(read)? {
                OggEnd::Marked => {}
                OggEnd::InsideLastPage => ends_early = true,
                OggEnd::Unmarked => return Err(self.truncated("the last page is missing")),
                OggEnd::InsidePage => return Err(self.truncated("the file ends inside a page")),
            }
        }
        if is_mpeg(self.codec) {
            ends_early |= mpeg_is_cut(self.path, &self.section, last).map_err(read)?;
        }
        if self.is_in(FORMAT_ID_ADTS) {
            ends_early |= adts_is_cut(self.path, &self.section, last).map_err(read)?;
        }
        // Without a declared length, bytes behind the last frame are all that shows the loss of a frame.
        ends_early |= self.declared.is_none() && self.section.frames_end_before(self.bytes);
        if !ends_early && self.decoder.finalize().verify_ok == Some(false) {
            return Err(self.refuse(
                Reason::Damaged,
                "the decoded samples do not match the checksum in the file; download or copy it again",
            ));
        }
        Ok(ends_early)
    }
}

fn is_mpeg(codec: AudioCodecId) -> bool {
    [CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3].contains(&codec)
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
    let damaged = |error: Symphonia| {
        AudioError::file(
            path,
            Reason::Damaged,
            format!("the codec's header is damaged ({error}); download or copy it again"),
        )
    };
    if params.codec == CODEC_ID_OPUS {
        return match OpusDecoder::new(params) {
            Ok(decoder) => Ok(Box::new(decoder)),
            Err(Symphonia::Unsupported(what)) => Err(AudioError::unsupported(path, what)),
            Err(error) => Err(damaged(error)),
        };
    }
    let decoder = symphonia::default::get_codecs().make_audio_decoder(params, options);
    decoder.map_err(|error| match error {
        Symphonia::Unsupported(_) => AudioError::unsupported(
            path,
            &match params.codec {
                CODEC_ID_SPEEX => "Speex".to_string(),
                CODEC_ID_AC3 => "Dolby AC-3".to_string(),
                CODEC_ID_EAC3 => "Dolby E-AC-3".to_string(),
                CODEC_ID_AAC => "this kind of AAC (only AAC-LC, mono or stereo, is)".to_string(),
                other => format!("codec {other}"),
            },
        ),
        error => damaged(error),
    })
}
