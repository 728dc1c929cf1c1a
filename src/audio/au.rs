//! Sun's AU files, which symphonia does not read; GTZAN was published in them.
//!
//! A header of at least 24 bytes, all big-endian: `.snd`, where the samples begin, how many bytes they are
//! (`0xffffffff` where it was not known), encoding, rate, channels. Encodings here: mu-law, linear of
//! 8 to 32 bits, floating point of 32 and 64 bits.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::decoding::{Excerpt, Sink, SourceInfo};
use super::error::{AudioError, Reason};
use super::limits::{Limits, check_limits, check_seconds, unreadable};
use super::resample::first_non_sample;

const MAGIC: [u8; 4] = *b".snd";
/// Where the length of the samples was not known when the header was written.
const UNKNOWN: u32 = u32::MAX;
/// Frames that are read at once.
const FRAMES: usize = 4_096;
/// A header may promise this much more than there is, in seconds.
const TOLERANCE_S: f64 = 0.1;
/// The longest header, with its text, that is believed.
const MAX_OFFSET: u32 = 1 << 20;

/// How a sample is written.
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

    /// One sample, in `[-1, 1)` where it is an integer.
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

/// ITU-T G.711: sign, three bits of exponent, four of mantissa, all inverted.
fn mu_law(byte: u8) -> f32 {
    let bits = !byte;
    let (exponent, mantissa) = (u32::from(bits >> 4 & 7), i32::from(bits & 15));
    let size = ((2 * mantissa + 33) << exponent) - 33;
    let size = size as f32 / 8_192.0;
    if bits & 0x80 == 0 { size } else { -size }
}

/// Whether the file begins as one of these.
pub(super) fn is_au(path: &Path) -> bool {
    let mut head = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == MAGIC
}

/// Hands the wanted stretch to `sink`, channels averaged, piece by piece.
pub(super) fn decode(
    path: &Path,
    excerpt: Excerpt,
    limits: &Limits,
    sink: &mut Sink<'_>,
) -> Result<SourceInfo, AudioError> {
    let refuse = |reason, message: String| AudioError::unusable(path.display(), reason, message);
    let mut file = BufReader::new(File::open(path).map_err(|error| unreadable(path, &error))?);
    let mut header = [0; 24];
    let cut = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => refuse(
            Reason::Truncated,
            "the au file ends inside its header; download or copy it again".into(),
        ),
        _ => unreadable(path, &error),
    };
    file.read_exact(&mut header).map_err(cut)?;
    let word = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let (offset, size, rate, channels) = (word(4), word(8), word(16), word(20) as usize);
    let Some((encoding, codec)) = Encoding::new(word(12)) else {
        return Err(refuse(
            Reason::Unsupported,
            format!("the au file has encoding {}; convert it to wav or flac", word(12)),
        ));
    };
    check_limits(path, limits, Some(rate), channels)?;
    if channels == 0 || !(24..=MAX_OFFSET).contains(&offset) {
        let problem = format!(
            "the au file has {channels} channels, and samples from byte {offset} on; its header is damaged: \
             download or copy it again"
        );
        return Err(refuse(Reason::Damaged, problem));
    }
    let text = u64::from(offset) - header.len() as u64;
    let skipped = io::copy(&mut (&mut file).take(text), &mut io::sink());
    if skipped.map_err(|error| unreadable(path, &error))? < text {
        return Err(cut(io::ErrorKind::UnexpectedEof.into()));
    }

    let frame_bytes = encoding.bytes() * channels;
    let promised = (size != UNKNOWN).then(|| u64::from(size) / frame_bytes as u64);
    let at = |seconds: f64| (seconds * f64::from(rate)).round() as u64;
    let first = at(excerpt.offset_s);
    let end = excerpt.duration_s.map_or(u64::MAX, |duration| at(excerpt.offset_s + duration));
    let end = end.min(promised.unwrap_or(u64::MAX));
    let (mut position, mut emitted) = (0_u64, 0_u64);
    let mut bytes = vec![0; FRAMES * frame_bytes];
    let mut mono = Vec::with_capacity(FRAMES);
    while position < end {
        let wanted = (end - position).min(FRAMES as u64) as usize * frame_bytes;
        let got = read_up_to(&mut file, &mut bytes[..wanted])
            .map_err(|error| unreadable(path, &error))?;
        let frames = got / frame_bytes;
        mono.clear();
        for frame in bytes[..frames * frame_bytes].chunks_exact(frame_bytes) {
            let sum: f32 =
                frame.chunks_exact(encoding.bytes()).map(|one| encoding.sample(one)).sum();
            mono.push(sum / channels as f32);
        }
        if let Some(place) = first_non_sample(&mono) {
            let number = position + place as u64;
            let problem = format!("sample {number} is {:e}; convert the file again", mono[place]);
            return Err(refuse(Reason::NonFinite, problem));
        }
        let skip = first.saturating_sub(position).min(frames as u64) as usize;
        position += frames as u64;
        check_seconds(path, limits, position as f64 / f64::from(rate))?;
        if skip < mono.len() {
            emitted += (mono.len() - skip) as u64;
            sink(&mono[skip..], rate)?;
        }
        if got < wanted {
            break;
        }
    }
    if let Some(promised) = promised
        && position < end
        && (promised - position) as f64 > TOLERANCE_S * f64::from(rate)
    {
        let (is, says) = (position as f64 / f64::from(rate), promised as f64 / f64::from(rate));
        return Err(refuse(
            Reason::Truncated,
            format!(
                "ends after {is:.2} s of the {says:.2} s that its header declares; download or copy it again"
            ),
        ));
    }
    if emitted == 0 {
        return Err(match position {
            0 => refuse(Reason::Empty, "holds no samples; download or copy it again".into()),
            _ => refuse(
                Reason::TooShort,
                format!(
                    "ends after {:.2} s, before the excerpt that starts at {:.2} s; correct its offset",
                    position as f64 / f64::from(rate),
                    excerpt.offset_s
                ),
            ),
        });
    }
    Ok(SourceInfo { codec: codec.into(), sample_rate: rate, channels: channels as u32 })
}

fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
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
    fn samples_are_their_numbers() {
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
            // Two channels become their mean.
            let (samples, _) = decoded(&au(encoding, 8_000, 2, UNKNOWN, &bytes)).unwrap();
            assert_eq!(samples, [0.0]);
        }
        // The ends and the middle of the table in G.711, at 14 bits.
        let (samples, _) =
            decoded(&au(1, 8_000, 1, UNKNOWN, &[0x80, 0x00, 0xff, 0x7f, 0xef])).unwrap();
        let wanted = [8_031.0, -8_031.0, 0.0, 0.0, 33.0].map(|value| value / 8_192.0);
        assert_eq!(samples, wanted);
    }

    #[test]
    fn a_stretch_is_a_part_of_the_whole() {
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
    fn what_cannot_be_used_is_told_with_its_reason() {
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
