//! Headers of CAF files with uncompressed samples; symphonia reads those with compressed ones.
//!
//! Source: Apple's "Apple Core Audio Format Specification 1.0".

use super::{Contents, Encoding, Header, MAX_CHUNKS, Problem, Reader, Uncompressed};

/// Reads the chunks up to the samples; `None` if they are compressed.
pub(super) fn read(file: &mut Reader) -> Result<Option<Contents>, Problem> {
    let mut at = file.start + 8;
    let mut description = None;
    for _ in 0..MAX_CHUNKS {
        let head = file.bytes(at, 12)?;
        let length = u64::from_be_bytes(head[4..].try_into().expect("eight bytes"));
        let body = at + 12;
        match (&head[..4], &description) {
            (b"desc", _) => match self::description(&file.bytes(body, 32)?)? {
                Some(found) => description = Some(found),
                None => return Ok(None),
            },
            (b"data", Some(header)) => {
                // A counter of edits precedes the samples. The length of the last chunk may be open: -1.
                let start = body + 4;
                let bytes = file.length(start, length.saturating_sub(4))?;
                let header = Header { start, bytes, ..header.clone() };
                return Ok(Some(Contents::Uncompressed(Uncompressed(header))));
            }
            (b"data", None) => {
                return Err(Problem::Damaged("its samples come before its format".into()));
            }
            _ => {}
        }
        at = body.checked_add(length).ok_or(Problem::Cut)?;
    }
    Err(Problem::Damaged(format!("{MAX_CHUNKS} chunks contain no samples")))
}

/// The `desc` chunk; `None` if the samples are compressed.
fn description(bytes: &[u8]) -> Result<Option<Header>, Problem> {
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let rate = f64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
    let (flags, packet, channels, bits) = (word(12), word(16), word(24), word(28));
    let is_float = flags & 1 != 0;
    let encoding = match (&bytes[8..12], is_float, bits) {
        (b"alaw", ..) => Encoding::ALaw,
        (b"ulaw", ..) => Encoding::MuLaw,
        (b"lpcm", true, 32) => Encoding::Float,
        (b"lpcm", true, 64) => Encoding::Double,
        // Bits may be aligned to the top of more bytes.
        (b"lpcm", false, 1..=32) => {
            let width = packet.checked_div(channels).unwrap_or(0);
            let least = bits.div_ceil(8);
            Encoding::Signed(if (least..=4).contains(&width) { width } else { least } as usize)
        }
        (b"lpcm", ..) => {
            return Err(Problem::Unsupported(format!("caf with {bits} bits per sample")));
        }
        _ => return Ok(None),
    };
    Ok(Some(Header {
        container: "caf",
        encoding,
        big_endian: flags & 2 == 0,
        // Values out of range are clamped, and refused later.
        rate: rate as u32,
        channels: channels as usize,
        start: 0,
        bytes: None,
    }))
}
