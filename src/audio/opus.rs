//! Opus for symphonia, which reads its packets from Ogg, MP4 and CAF files and has no decoder for them.
//!
//! ropus is a port of the reference decoder for integers. Its samples differ from the reference decoder's by at most 2e-4
//! in all modes (`benches/faults/audio_reference.sh`). opus-decoder 0.1.1 differs by 0.01 in hybrid mode and refuses more
//! than two channels; the crates that contain libopus need cmake.
//!
//! Source: RFC 7845, section 5.1 (identification header).

use ropus::OpusMSDecoder;
use symphonia::core::audio::{
    AsGenericAudioBufferRef, AudioBuffer, AudioMut, AudioSpec, Channels, GenericAudioBufferRef,
};
use symphonia::core::codecs::CodecInfo;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, FinalizeResult};
use symphonia::core::errors::{Error, Result};
use symphonia::core::packet::PacketRef;

/// In Hz: Opus is decoded at this rate, whatever the rate before encoding was.
const RATE: u32 = 48_000;
/// Samples per channel of the longest packet, 120 ms.
const LONGEST: usize = 5_760;

/// A decoder of Opus packets.
pub(super) struct OpusDecoder {
    parameters: AudioCodecParameters,
    decoder: OpusMSDecoder,
    channels: usize,
    /// Value of one step of the decoded integers, with the gain of the header.
    step: f32,
    /// Samples to drop at the start.
    pre_skip: usize,
    /// Decoded samples as integers of 24 bits.
    integers: Vec<i32>,
    interleaved: Vec<f32>,
    buffer: AudioBuffer<f32>,
}

impl OpusDecoder {
    /// A decoder for the stream that the header describes.
    ///
    /// # Errors
    /// If the header is missing, damaged, or maps channels in a way that is not supported.
    pub fn new(parameters: &AudioCodecParameters) -> Result<OpusDecoder> {
        let damaged = Error::DecodeError("the header of the Opus stream is damaged");
        let header = parameters.extra_data.as_deref().unwrap_or_default();
        let [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', version, channels, rest @ ..] = header
        else {
            return Err(damaged);
        };
        let [a, b, _, _, _, _, c, d, family, mapping @ ..] = rest else { return Err(damaged) };
        // MP4 files have version 0, and their numbers are big-endian.
        let short = |a: u8, b: u8| match version {
            0 => u16::from_be_bytes([a, b]),
            _ => u16::from_le_bytes([a, b]),
        };
        let channels = usize::from(*channels);
        let (streams, coupled, mapping) = match (family, channels, mapping) {
            (0, 1, _) => (1, 0, &[0][..]),
            (0, 2, _) => (1, 1, &[0, 1][..]),
            (1 | 255, 1.., [streams, coupled, mapping @ ..]) if mapping.len() >= channels => {
                (i32::from(*streams), i32::from(*coupled), &mapping[..channels])
            }
            (2.., ..) => {
                return Err(Error::Unsupported("Opus with ambisonic channels"));
            }
            _ => return Err(damaged),
        };
        let decoder = OpusMSDecoder::new(RATE as i32, channels as i32, streams, coupled, mapping);
        let decoder = decoder.map_err(|_| damaged)?;
        // A number of eight fractional bits, in dB.
        let gain = f32::from(short(*c, *d) as i16) / 256.0;
        let layout = Channels::Discrete(channels as u16);
        Ok(OpusDecoder {
            parameters: parameters.clone(),
            decoder,
            channels,
            step: 10f32.powf(gain / 20.0) / 8_388_608.0,
            pre_skip: usize::from(short(*a, *b)),
            integers: vec![0; LONGEST * channels],
            interleaved: Vec::with_capacity(LONGEST * channels),
            buffer: AudioBuffer::new(AudioSpec::new(RATE, layout), LONGEST),
        })
    }
}

impl AudioDecoder for OpusDecoder {
    fn reset(&mut self) {
        self.decoder.reset();
    }

    fn codec_info(&self) -> &CodecInfo {
        const INFO: CodecInfo = CodecInfo { short_name: "opus", long_name: "Opus", profiles: &[] };
        &INFO
    }

    fn codec_params(&self) -> &AudioCodecParameters {
        &self.parameters
    }

    fn decode_ref(&mut self, packet: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
        self.buffer.clear();
        let damaged = || Error::DecodeError("the Opus packet is damaged");
        let length = i32::try_from(packet.data.len()).map_err(|_| damaged())?;
        // Without data, the decoder would conceal a lost packet.
        if length == 0 {
            return Err(damaged());
        }
        let longest = LONGEST as i32;
        let decoded =
            self.decoder.decode24(Some(packet.data), length, &mut self.integers, longest, false);
        let samples = usize::try_from(decoded.map_err(|_| damaged())?).map_err(|_| damaged())?;
        let integers = &self.integers[..samples * self.channels];
        self.interleaved.clear();
        self.interleaved.extend(integers.iter().map(|&sample| sample as f32 * self.step));
        self.buffer.render_uninit(Some(samples));
        self.buffer.copy_from_slice_interleaved(&self.interleaved);
        let skipped = self.pre_skip.min(samples);
        self.pre_skip -= skipped;
        self.buffer.trim(skipped, packet.trim_end.get() as usize);
        Ok(self.buffer.as_generic_audio_buffer_ref())
    }

    fn finalize(&mut self) -> FinalizeResult {
        FinalizeResult::default()
    }

    fn last_decoded(&self) -> GenericAudioBufferRef<'_> {
        self.buffer.as_generic_audio_buffer_ref()
    }
}
