//! A decoder for Sun's AU files, in which GTZAN is distributed and which symphonia does not read.
//!
//! The header has at least 24 bytes, all numbers big-endian: `.snd`, offset of the samples, their length in bytes
//! (`0xffffffff` if unknown), encoding, sample rate, channels. Supported encodings are mu-law, 8 to 32-bit integers and
//! 32 and 64-bit floating point.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::error::{AudioError, Reason};
use super::limits::Limits;
use super::source::{Excerpt, Sink, SourceInfo, TOLERANCE_S, check_samples, mix, truncated};

const MAGIC: [u8; 4] = *b".snd";
/// Length of the samples where the writer did not know it.
const UNKNOWN: u32 = u32::MAX;
/// Frames per read.
const FRAMES: usize = 4_096;
/// Largest offset of the samples, which follow a comment of any length.
const MAX_OFFSET: u32 = 1 << 20;

/// The encoding of a sample.
#[derive(Clone, Copy)]
enum Encoding {
    MuLaw,
    Linear { bytes: usize },
    Float,
    Double,
}

impl Encoding {
    fn new(number: u32) -> Option<(Self, &'static str)> {
        Some(match number {
            1 => (Self::MuLaw, "pcm_mulaw"),
            2 => (Self::Linear { bytes: 1 }, "pcm_s8"),
            3 => (Self::Linear { bytes: 2 }, "pcm_s16be"),
            4 => (Self::Linear { bytes: 3 }, "pcm_s24be"),
            5 => (Self::Linear { bytes: 4 }, "pcm_s32be"),
            6 => (Self::Float, "pcm_f32be"),
            7 => (Self::Double, "pcm_f64be"),
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::MuLaw => 1,
            Self::Linear { bytes } => bytes,
            Self::Float => 4,
            Self::Double => 8,
        }
    }

    /// One sample; integers are scaled to `[-1, 1)`.
    fn sample(self, bytes: &[u8]) -> f32 {
        match self {
            Self::MuLaw => mu_law(bytes[0]),
            Self::Linear { bytes: count } => {
                let mut wide = [0; 4];
                wide[..count].copy_from_slice(bytes);
                (f64::from(i32::from_be_bytes(wide)) / 2_147_483_648.0) as f32
            }
            Self::Float => f32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            Self::Double => {
                let mut eight = [0; 8];
                eight.copy_from_slice(bytes);
                f64::from_be_bytes(eight) as f32
            }
        }
    }
}

/// ITU-T G.711: sign, three bits of exponent, four bits of mantissa, all inverted.
fn mu_law(byte: u8) -> f32 {
    let bits = !byte;
    let (exponent, mantissa) = (u32::from(bits >> 4 & 7), i32::from(bits & 15));
    let size = ((2 * mantissa + 33) << exponent) - 33;
    let size = size as f32 / 8_192.0;
    if bits & 0x80 == 0 { size } else { -size }
}

/// Whether the file starts with the magic bytes.
pub(super) fn is_au(path: &Path) -> bool {
    let mut head = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == MAGIC
}

/// Decodes the excerpt to mono and passes it to `sink` piece by piece.
pub(super) fn decode(
    path: &Path,
    excerpt: Excerpt,
    limits: &Limits,
    sink: &mut Sink<'_>,
) -> Result<SourceInfo, AudioError> {
    let unreadable = |error: io::Error| AudioError::unreadable(path, &error);
    let cut = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            let message = "the au file ends inside its header; download or copy it again";
            AudioError::file(path, Reason::Truncated, message)
        }
        _ => unreadable(error),
    };
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut header = [0; 24];
    file.read_exact(&mut header).map_err(cut)?;
    let word = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let (offset, size, rate, channels) = (word(4), word(8), word(16), word(20) as usize);
    let Some((encoding, codec)) = Encoding::new(word(12)) else {
        let message = format!(
            "the au file has the unsupported encoding {}; convert it to wav or flac",
            word(12)
        );
        return Err(AudioError::file(path, Reason::Unsupported, message));
    };
    limits.check_format(path, Some(rate), channels)?;
    if channels == 0 || !(24..=MAX_OFFSET).contains(&offset) {
        let message = format!(
            "the header of the au file is damaged: {channels} channels, samples at byte {offset}; download or copy \
             it again"
        );
        return Err(AudioError::file(path, Reason::Damaged, message));
    }
    let comment = u64::from(offset) - header.len() as u64;
    let skipped = io::copy(&mut (&mut file).take(comment), &mut io::sink());
    if skipped.map_err(unreadable)? < comment {
        return Err(cut(io::ErrorKind::UnexpectedEof.into()));
    }

    let frame_bytes = encoding.bytes() * channels;
    let declared = (size != UNKNOWN).then(|| u64::from(size) / frame_bytes as u64);
    let end = excerpt.end(rate).min(declared.unwrap_or(u64::MAX));
    let seconds = |samples: u64| samples as f64 / f64::from(rate);
    let (mut position, mut emitted) = (0, false);
    let (mut bytes, mut interleaved, mut mono) = (Vec::new(), Vec::new(), Vec::new());
    while position < end {
        let wanted = (end - position).min(FRAMES as u64) * frame_bytes as u64;
        bytes.clear();
        let read = (&mut file).take(wanted).read_to_end(&mut bytes).map_err(unreadable)?;
        let frames = read / frame_bytes;
        let whole = &bytes[..frames * frame_bytes];
        interleaved.clear();
        interleaved.extend(whole.chunks_exact(encoding.bytes()).map(|one| encoding.sample(one)));
        mix(&interleaved, channels, &mut mono);
        check_samples(path, &mono, position, rate)?;
        let piece = excerpt.clip(&mono, position, rate);
        position += frames as u64;
        limits.check_seconds(path, seconds(position))?;
        if !piece.is_empty() {
            emitted = true;
            sink(piece, rate)?;
        }
        if (read as u64) < wanted {
            break;
        }
    }
    if let Some(declared) = declared
        && position < end
        && seconds(declared - position) > TOLERANCE_S
    {
        let how = "the file is shorter than its header declares";
        return Err(truncated(path, how, seconds(position), Some(seconds(declared))));
    }
    match emitted {
        true => {
            Ok(SourceInfo { codec: codec.into(), sample_rate: rate, channels: channels as u32 })
        }
        false => Err(excerpt.nothing_decoded(path, seconds(position))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::decode::decode as decode_file;

    fn au(encoding: u32, rate: u32, channels: u32, size: u32, samples: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for word in [28, size, encoding, rate, channels] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(b"text");
        bytes.extend(samples);
        bytes
    }

    fn decoded(bytes: &[u8]) -> Result<(Vec<f32>, u32), AudioError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.au");
        std::fs::write(&path, bytes).unwrap();
        let wave = decode_file(&path, 0.0, None, &Limits::default())?;
        Ok((wave.samples, wave.sample_rate))
    }

    #[test]
    fn every_encoding_is_decoded() {
        let floats =
            |values: &[f32]| values.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>();
        let doubles =
            |values: &[f64]| values.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>();
        for (encoding, bytes) in [
            (2, vec![64, 0xc0]),
            (3, vec![0x40, 0, 0xc0, 0]),
            (4, vec![0x40, 0, 0, 0xc0, 0, 0]),
            (5, vec![0x40, 0, 0, 0, 0xc0, 0, 0, 0]),
            (6, floats(&[0.5, -0.5])),
            (7, doubles(&[0.5, -0.5])),
        ] {
            for size in [bytes.len() as u32, UNKNOWN] {
                let (samples, rate) = decoded(&au(encoding, 22_050, 1, size, &bytes)).unwrap();
                assert_eq!((samples, rate), (vec![0.5, -0.5], 22_050), "{encoding}");
            }
            // Two channels are averaged.
            let (samples, _) = decoded(&au(encoding, 8_000, 2, UNKNOWN, &bytes)).unwrap();
            assert_eq!(samples, [0.0]);
        }
        // The ends and the middle of the table in G.711, as 14-bit integers.
        let (samples, _) =
            decoded(&au(1, 8_000, 1, UNKNOWN, &[0x80, 0x00, 0xff, 0x7f, 0xef])).unwrap();
        let wanted = [8_031.0, -8_031.0, 0.0, 0.0, 33.0].map(|value| value / 8_192.0);
        assert_eq!(samples, wanted);
    }

    #[test]
    fn excerpt_is_part_of_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.au");
        let bytes: Vec<u8> = (0..20_000_i16).flat_map(i16::to_be_bytes).collect();
        std::fs::write(&path, au(3, 8_000, 1, bytes.len() as u32, &bytes)).unwrap();
        let whole = decode_file(&path, 0.0, None, &Limits::default()).unwrap().samples;
        assert_eq!(whole.len(), 20_000);
        let part = decode_file(&path, 0.75, Some(1.0), &Limits::default()).unwrap().samples;
        assert_eq!(part, whole[6_000..14_000]);
    }

    #[test]
    fn unusable_file_has_a_reason() {
        let samples = [1; 4_000];
        let reason = |bytes: &[u8]| match decoded(bytes).unwrap_err() {
            AudioError::Unusable { reason, .. } => reason,
            other => panic!("{other}"),
        };
        let whole = au(3, 8_000, 1, 4_000, &samples);
        assert_eq!(reason(&whole[..12]), Reason::Truncated);
        assert_eq!(reason(&whole[..26]), Reason::Truncated);
        assert_eq!(reason(&whole[..2_000]), Reason::Truncated);
        assert_eq!(reason(&au(3, 8_000, 1, 0, &[])), Reason::Empty);
        assert_eq!(reason(&au(23, 8_000, 1, 4_000, &samples)), Reason::Unsupported);
        assert_eq!(reason(&au(3, 10, 1, 4_000, &samples)), Reason::LimitExceeded);
        assert_eq!(reason(&au(3, 8_000, 255, 4_000, &samples)), Reason::LimitExceeded);
        assert_eq!(reason(&au(3, 8_000, 0, 4_000, &samples)), Reason::Damaged);
        assert_eq!(reason(&au(6, 8_000, 1, 4, &f32::NAN.to_be_bytes())), Reason::NonFinite);
        let mut wild = whole.clone();
        wild[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(reason(&wild), Reason::Damaged);
    }
}
