//! Headers of Sun's AU files, in which GTZAN is distributed.
//!
//! The header has at least 24 bytes, all numbers big-endian: `.snd`, offset of the samples, their length in bytes
//! (`0xffffffff` if unknown), encoding, sample rate, channels. Supported encodings are mu-law, A-law, 8 to 32-bit integers
//! and 32 and 64-bit floating point.

use super::{Contents, Encoding, Header, Problem, Reader, Uncompressed};

/// Largest offset of the samples, which follow a comment of any length.
const MAX_OFFSET: u32 = 1 << 20;

/// Reads the header.
pub(super) fn read(file: &mut Reader) -> Result<Contents, Problem> {
    let bytes = file.bytes(file.start, 24)?;
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let (offset, size, rate, channels) = (word(4), word(8), word(16), word(20) as usize);
    let encoding = match word(12) {
        1 => Encoding::MuLaw,
        number @ 2..=5 => Encoding::Signed(number as usize - 1),
        6 => Encoding::Float,
        7 => Encoding::Double,
        27 => Encoding::ALaw,
        other => return Err(Problem::Unsupported(format!("au with encoding {other}"))),
    };
    if !(24..=MAX_OFFSET).contains(&offset) {
        return Err(Problem::Damaged(format!("its samples start at byte {offset}")));
    }
    let start = file.start + u64::from(offset);
    if start > file.end {
        return Err(Problem::Cut);
    }
    let bytes = file.length(start, u64::from(size))?;
    let header =
        Header { container: "au", encoding, big_endian: true, rate, channels, start, bytes };
    Ok(Contents::Uncompressed(Uncompressed(header)))
}
