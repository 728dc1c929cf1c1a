//! Uncompressed audio: AU, AIFF, CAF, and WAV with its relatives RF64, BW64, RIFX and Wave64.
//!
//! Writers of these formats are careless about lengths, and some cannot know them: a program that writes to a pipe puts a
//! placeholder into the header. The rules here: the samples start where the chunks say; their length is the declared one if
//! the file has it, and extends to the end of the file if it is a placeholder. All other lengths in headers are ignored
//! where the chunks contradict them. symphonia refuses such files.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::error::{AudioError, Reason};
use super::limits::Limits;
use super::section::Section;
use super::source::{
    Decoded, Excerpt, Sink, SourceInfo, TOLERANCE_S, check_samples, mix, peak, truncated,
};

mod aiff;
mod au;
mod caf;
#[cfg(test)]
mod tests;
mod wav;

/// Frames per read.
const FRAMES: usize = 4_096;

/// Most chunks before the samples.
const MAX_CHUNKS: usize = 10_000;

/// How samples are stored. Numbers are bytes per sample.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Encoding {
    Unsigned8,
    Signed(usize),
    Float,
    Double,
    MuLaw,
    ALaw,
}

impl Encoding {
    fn bytes(self) -> usize {
        match self {
            Self::Unsigned8 | Self::MuLaw | Self::ALaw => 1,
            Self::Signed(bytes) => bytes,
            Self::Float => 4,
            Self::Double => 8,
        }
    }

    /// The name of the codec, as FFmpeg writes it.
    fn name(self, big_endian: bool) -> String {
        let order = if big_endian { "be" } else { "le" };
        match self {
            Self::Unsigned8 => "pcm_u8".into(),
            Self::MuLaw => "pcm_mulaw".into(),
            Self::ALaw => "pcm_alaw".into(),
            Self::Signed(1) => "pcm_s8".into(),
            Self::Signed(bytes) => format!("pcm_s{}{order}", 8 * bytes),
            Self::Float => format!("pcm_f32{order}"),
            Self::Double => format!("pcm_f64{order}"),
        }
    }

    /// Appends the samples in `bytes`; integers are scaled to `[-1, 1)`. `bytes` is reordered if it is big-endian.
    fn convert(self, big_endian: bool, bytes: &mut [u8], samples: &mut Vec<f32>) {
        if big_endian && self.bytes() > 1 {
            bytes.chunks_exact_mut(self.bytes()).for_each(<[u8]>::reverse);
        }
        match self {
            Self::Unsigned8 => {
                samples.extend(bytes.iter().map(|&b| (f32::from(b) - 128.0) / 128.0))
            }
            Self::MuLaw => samples.extend(bytes.iter().map(|&b| mu_law(b))),
            Self::ALaw => samples.extend(bytes.iter().map(|&b| a_law(b))),
            Self::Signed(1) => samples.extend(bytes.iter().map(|&b| f32::from(b as i8) / 128.0)),
            Self::Signed(2) => {
                let words = bytes.as_chunks().0.iter();
                samples.extend(words.map(|&word| f32::from(i16::from_le_bytes(word)) / 32_768.0));
            }
            Self::Signed(3) => {
                let words = bytes.as_chunks::<3>().0.iter();
                let wide = |&[a, b, c]: &[u8; 3]| i32::from_le_bytes([0, a, b, c]) >> 8;
                samples.extend(words.map(|word| wide(word) as f32 / 8_388_608.0));
            }
            Self::Signed(_) => {
                let words = bytes.as_chunks().0.iter();
                let value = |&word| f64::from(i32::from_le_bytes(word)) / 2_147_483_648.0;
                samples.extend(words.map(|word| value(word) as f32));
            }
            Self::Float => {
                samples.extend(bytes.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)));
            }
            Self::Double => {
                let words = bytes.as_chunks().0.iter();
                samples.extend(words.map(|&word| f64::from_le_bytes(word) as f32));
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

/// ITU-T G.711: as mu-law, but every other bit is inverted, and the lowest segment is linear.
fn a_law(byte: u8) -> f32 {
    let bits = byte ^ 0x55;
    let (exponent, mantissa) = (u32::from(bits >> 4 & 7), i32::from(bits & 15));
    let size = match exponent {
        0 => 2 * mantissa + 1,
        _ => (2 * mantissa + 33) << (exponent - 1),
    };
    let size = size as f32 / 4_096.0;
    if bits & 0x80 == 0 { -size } else { size }
}

/// What the header of an uncompressed file says.
#[derive(Clone, Debug, PartialEq)]
struct Header {
    /// `wav`, `w64`, `aiff`, `au` or `caf`, for messages.
    container: &'static str,
    encoding: Encoding,
    big_endian: bool,
    rate: u32,
    channels: usize,
    /// Offset of the samples.
    start: u64,
    /// Bytes of samples; `None` up to the end of the file.
    bytes: Option<u64>,
}

/// A file of one of these containers.
pub(super) enum Contents {
    Uncompressed(Uncompressed),
    /// MPEG audio inside a WAV file.
    Mpeg(Section),
}

/// A file whose header has been read.
pub(super) struct Uncompressed(Header);

/// Why a header cannot be used.
enum Problem {
    /// The file ends inside the header.
    Cut,
    /// The header contradicts itself.
    Damaged(String),
    /// The codec or the encoding has no decoder here.
    Unsupported(String),
    Unreadable(io::Error),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Problem {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Problem::Cut,
            _ => Problem::Unreadable(error),
        }
    }
}

/// Reads the header of an AU, AIFF, CAF or WAV file; `None` for other files and compressed CAF. `start` is the length of a tag in front.
pub(super) fn open(path: &Path, start: u64) -> Result<Option<Contents>, AudioError> {
    let unreadable = |error: io::Error| AudioError::unreadable(path, &error);
    let mut file = Reader::open(path, start).map_err(unreadable)?;
    let mut magic = Vec::new();
    (&mut file.file).take(12).read_to_end(&mut magic).map_err(unreadable)?;
    let (name, contents) = match magic.as_slice() {
        [b'.', b's', b'n', b'd', ..] => ("au", au::read(&mut file)),
        [b'F', b'O', b'R', b'M', _, _, _, _, b'A', b'I', b'F', b'F' | b'C'] => {
            ("aiff", aiff::read(&mut file))
        }
        [b'R', b'I', b'F', b'F' | b'X', _, _, _, _, b'W', b'A', b'V', b'E']
        | [b'R', b'F', b'6', b'4', ..]
        | [b'B', b'W', b'6', b'4', ..] => ("wav", wav::read(&mut file)),
        [b'c', b'a', b'f', b'f', ..] => match caf::read(&mut file) {
            Ok(None) => return Ok(None),
            Ok(Some(contents)) => ("caf", Ok(contents)),
            Err(problem) => ("caf", Err(problem)),
        },
        head if head == &wav::WAVE64[..12] => ("w64", wav::read(&mut file)),
        [b'R', b'I', b'F', b'F', ..] | [b'F', b'O', b'R', b'M', ..] if magic.len() < 12 => {
            ("wav or aiff", Err(Problem::Cut))
        }
        _ => return Ok(None),
    };
    contents.map(Some).map_err(|problem| match problem {
        Problem::Cut => {
            let message =
                format!("the {name} file ends inside its header; download or copy it again");
            AudioError::file(path, Reason::Truncated, message)
        }
        Problem::Damaged(what) => {
            let message = format!(
                "the header of the {name} file is damaged: {what}; download or copy it again"
            );
            AudioError::file(path, Reason::Damaged, message)
        }
        Problem::Unsupported(what) => AudioError::unsupported(path, &what),
        Problem::Unreadable(error) => unreadable(error),
    })
}

/// A file that is read from front to back.
struct Reader {
    file: BufReader<File>,
    /// Length of the file.
    end: u64,
    /// Where the header starts.
    start: u64,
}

impl Reader {
    fn open(path: &Path, start: u64) -> io::Result<Reader> {
        let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
        let end = file.get_ref().metadata()?.len();
        file.seek(SeekFrom::Start(start))?;
        Ok(Reader { file, end, start })
    }

    /// `count` bytes from `offset` on.
    fn bytes(&mut self, offset: u64, count: usize) -> Result<Vec<u8>, Problem> {
        if offset.saturating_add(count as u64) > self.end {
            return Err(Problem::Cut);
        }
        self.file.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![0; count];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The declared length of the samples at `offset`, or `None` if it is a placeholder for an unknown one.
    fn length(&mut self, offset: u64, declared: u64) -> Result<Option<u64>, Problem> {
        let left = self.end.saturating_sub(offset);
        Ok(match declared {
            // Samples follow if it is not another chunk.
            0 if left > 0 && !self.is_chunk(offset)? => None,
            // 0xffffffff (FFmpeg), 0x80000000, 0x7ffff000 (SoX), all of them also less the length of the header.
            0x7fff_0000..=0x8000_ffff | 0xffff_0000.. if declared > left => None,
            declared => Some(declared),
        })
    }

    /// Whether a chunk with a printable name and a possible length starts at `offset`.
    fn is_chunk(&mut self, offset: u64) -> Result<bool, Problem> {
        let Ok(head) = self.bytes(offset, 8) else { return Ok(false) };
        let left = self.end - offset - 8;
        let word: [u8; 4] = head[4..].try_into().expect("four bytes");
        let fits = |length: u32| u64::from(length) <= left;
        Ok(head[..4].iter().all(|byte| matches!(byte, b' '..=b'~'))
            && (fits(u32::from_le_bytes(word)) || fits(u32::from_be_bytes(word))))
    }
}

impl Uncompressed {
    /// Decodes the excerpt to mono and passes it to `sink` piece by piece.
    pub fn decode(
        self,
        path: &Path,
        excerpt: Excerpt,
        limits: &Limits,
        sink: &mut Sink<'_>,
    ) -> Result<Decoded, AudioError> {
        let Header { container, encoding, big_endian, rate, channels, start, bytes } = self.0;
        let unreadable = |error: io::Error| AudioError::unreadable(path, &error);
        limits.check_format(path, Some(rate), channels)?;
        if channels == 0 {
            let message = format!(
                "the header of the {container} file is damaged: 0 channels; download or copy it again"
            );
            return Err(AudioError::file(path, Reason::Damaged, message));
        }
        let mut file = Reader::open(path, start).map_err(unreadable)?;
        let frame_bytes = encoding.bytes() * channels;
        let declared = bytes.map(|bytes| bytes / frame_bytes as u64);
        let available = file.end.saturating_sub(start);
        let seconds = |samples: u64| samples as f64 / f64::from(rate);
        if excerpt.duration_s.is_none() {
            limits.check_seconds(path, seconds(declared.unwrap_or(0)))?;
        }
        let end = excerpt.end(rate).min(declared.unwrap_or(u64::MAX));
        let (mut position, mut emitted) = (0, false);
        let mut channel_peak = 0f32;
        let (mut raw, mut interleaved, mut mono) = (Vec::new(), Vec::new(), Vec::new());
        while position < end {
            let wanted = (end - position).min(FRAMES as u64) * frame_bytes as u64;
            raw.clear();
            let read = (&mut file.file).take(wanted).read_to_end(&mut raw).map_err(unreadable)?;
            let frames = read / frame_bytes;
            interleaved.clear();
            encoding.convert(big_endian, &mut raw[..frames * frame_bytes], &mut interleaved);
            mix(&interleaved, channels, &mut mono);
            check_samples(path, &mono, position, rate)?;
            let piece = excerpt.clip(&mono, position, rate);
            position += frames as u64;
            limits.check_seconds(path, seconds(position))?;
            if !piece.is_empty() {
                emitted = true;
                channel_peak = channel_peak.max(peak(&interleaved));
                sink(piece, rate)?;
            }
            if (read as u64) < wanted {
                break;
            }
        }
        let missing = declared.unwrap_or(0).min(end).saturating_sub(position);
        // Writers count loosely, and some files lack a few bytes. One frame may be longer than the tolerance.
        if missing > 1 && seconds(missing) > TOLERANCE_S {
            let how = "the file is shorter than its header declares";
            return Err(truncated(path, how, seconds(position), declared.map(seconds)));
        }
        let is_part = declared.is_none() && !available.is_multiple_of(frame_bytes as u64);
        let ends_early = missing > 0 || is_part && position < end;
        match emitted {
            true => Ok(Decoded {
                source: SourceInfo {
                    codec: encoding.name(big_endian),
                    sample_rate: rate,
                    channels: channels as u32,
                    ends_early,
                },
                channel_peak,
            }),
            false => Err(excerpt.nothing_decoded(path, seconds(position))),
        }
    }
}
