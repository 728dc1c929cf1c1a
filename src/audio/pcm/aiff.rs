//! Headers of AIFF and AIFF-C files, whose numbers are big-endian.
//!
//! Source: Apple's "Audio Interchange File Format AIFF-C", 1991, and the compression types that QuickTime added.

use super::{Contents, Encoding, Header, MAX_CHUNKS, Problem, Reader, Uncompressed};

/// The `COMM` chunk.
struct Common {
    channels: usize,
    frames: u64,
    rate: u32,
    encoding: Encoding,
    big_endian: bool,
}

/// Reads the chunks up to the samples. They may come before the format.
pub(super) fn read(file: &mut Reader) -> Result<Contents, Problem> {
    let is_compressed = file.bytes(file.start, 12)?.ends_with(b"C");
    let mut at = file.start + 12;
    let (mut common, mut sound) = (None, None);
    for _ in 0..MAX_CHUNKS {
        if let (Some(common), Some((start, bytes))) = (&common, sound) {
            return Ok(contents(common, start, bytes));
        }
        let head = file.bytes(at, 8)?;
        let length = u64::from(word(&head[4..]));
        let body = at + 8;
        match &head[..4] {
            b"COMM" => common = Some(self::common(file, body, length, is_compressed)?),
            b"SSND" => {
                let skipped = 8 + u64::from(word(&file.bytes(body, 8)?));
                let declared = match length {
                    0 => 0,
                    // SoX declares 0x7f000000 bytes and the length of the header where it writes to a pipe.
                    0x7f00_0000..0x7f01_0000 if length > file.end.saturating_sub(body) => {
                        u64::from(u32::MAX)
                    }
                    length => length.saturating_sub(skipped),
                };
                sound = Some((body + skipped, file.length(body + skipped, declared)?));
            }
            _ => {}
        }
        let end = body + length;
        at = match length % 2 {
            1 if file.is_chunk(end)? && !file.is_chunk(end + 1)? => end,
            odd => end + odd,
        };
    }
    Err(Problem::Damaged(format!("{MAX_CHUNKS} chunks contain no samples")))
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn common(file: &mut Reader, at: u64, length: u64, is_compressed: bool) -> Result<Common, Problem> {
    let bytes = file.bytes(at, length.clamp(18, 22) as usize)?;
    let short = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let channels = usize::from(short(0));
    let bits = usize::from(short(6));
    let integer = match bits {
        1..=32 => Ok((Encoding::Signed(bits.div_ceil(8)), true)),
        _ => Err(Problem::Unsupported(format!("aiff with {bits} bits per sample"))),
    };
    let kind = if is_compressed && bytes.len() >= 22 { &bytes[18..22] } else { b"NONE" };
    let (encoding, big_endian) = match kind {
        b"NONE" | b"twos" => integer?,
        b"sowt" => (integer?.0, false),
        b"raw " => (Encoding::Unsigned8, true),
        b"in24" => (Encoding::Signed(3), true),
        b"in32" => (Encoding::Signed(4), true),
        b"42ni" => (Encoding::Signed(3), false),
        b"23ni" => (Encoding::Signed(4), false),
        b"fl32" | b"FL32" => (Encoding::Float, true),
        b"fl64" | b"FL64" => (Encoding::Double, true),
        b"alaw" | b"ALAW" => (Encoding::ALaw, true),
        b"ulaw" | b"ULAW" => (Encoding::MuLaw, true),
        other => {
            let name = other.escape_ascii();
            return Err(Problem::Unsupported(format!("aiff with compression {name}")));
        }
    };
    let frames = u64::from(word(&bytes[2..]));
    Ok(Common { channels, frames, rate: extended(&bytes[8..18]), encoding, big_endian })
}

/// An 80-bit float as an integer: sign, exponent with a bias of 16383, mantissa with its leading one.
fn extended(bytes: &[u8]) -> u32 {
    let exponent = i32::from(u16::from_be_bytes([bytes[0], bytes[1]])) - 16_383;
    let mantissa = bytes[2..10].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    match exponent {
        0..=31 => (mantissa >> (63 - exponent)) as u32,
        _ => 0,
    }
}

fn contents(common: &Common, start: u64, bytes: Option<u64>) -> Contents {
    let Common { channels, frames, rate, encoding, big_endian } = *common;
    // The chunk may be longer than its frames.
    let counted = frames * (encoding.bytes() * channels) as u64;
    let bytes = bytes.map(|bytes| if counted > 0 { bytes.min(counted) } else { bytes });
    let header = Header { container: "aiff", encoding, big_endian, rate, channels, start, bytes };
    Contents::Uncompressed(Uncompressed(header))
}
