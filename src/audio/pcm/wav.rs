//! Headers of WAV files (RIFF), of their big-endian form (RIFX), and of their forms for more than 4 GiB (RF64, BW64 and
//! Sony Wave64).
//!
//! Sources: Microsoft's "Multimedia Programming Interface and Data Specifications 1.0" and `WAVEFORMATEXTENSIBLE`; EBU Tech
//! 3306 (RF64); ITU-R BS.2088 (BW64); Sony's Wave64 specification.

use super::{Contents, Encoding, Header, MAX_CHUNKS, Problem, Reader, Section, Uncompressed};

/// The identifier of a Wave64 file, in which identifiers have 16 bytes and lengths 8.
pub(super) const WAVE64: [u8; 16] = [
    b'r', b'i', b'f', b'f', 0x2e, 0x91, 0xcf, 0x11, 0xa5, 0xd6, 0x28, 0xdb, 0x04, 0xc1, 0x00, 0x00,
];

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const MPEG: u16 = 0x50;
const MP3: u16 = 0x55;
const EXTENSIBLE: u16 = 0xfffe;

/// The `fmt` chunk.
struct Format {
    tag: u16,
    channels: usize,
    rate: u32,
    /// Bytes per frame.
    align: usize,
    bits: usize,
}

/// Reads the chunks up to the samples.
pub(super) fn read(file: &mut Reader) -> Result<Contents, Problem> {
    let magic = file.bytes(file.start, 16)?;
    let big_endian = magic.starts_with(b"RIFX");
    let wide = magic == WAVE64;
    // Identifier and length.
    let head = if wide { 24 } else { 8 };
    let mut at = file.start + if wide { 40 } else { 12 };
    // Length of the samples from the `ds64` chunk of RF64.
    let mut long = None;
    let mut format = None;
    for _ in 0..MAX_CHUNKS {
        let bytes = file.bytes(at, head as usize)?;
        let name: [u8; 4] = bytes[..4].try_into().expect("four bytes");
        let length = match wide {
            // Wave64 counts the head.
            true => number(&bytes[16..], false).saturating_sub(head),
            false => number(&bytes[4..], big_endian),
        };
        let body = at + head;
        match &name {
            b"fmt " => format = Some(self::format(file, body, length, big_endian)?),
            b"ds64" if length >= 16 => {
                long = Some(number(&file.bytes(body, 16)?[8..], false));
            }
            b"data" => {
                let Some(format) = format else {
                    return Err(Problem::Damaged("its samples come before its format".into()));
                };
                let length = match long {
                    Some(long) if length == 0xffff_ffff => long,
                    _ => length,
                };
                let bytes = file.length(body, length)?;
                return contents(format, file, body, bytes, big_endian, wide);
            }
            _ => {}
        }
        let Some(end) = body.checked_add(length) else {
            return Err(Problem::Damaged(format!("a chunk at byte {at} has {length} bytes")));
        };
        // Chunks are padded, which some writers forget.
        at = match wide {
            true => end.checked_next_multiple_of(8).unwrap_or(end),
            false if length.is_multiple_of(2) => end,
            false if file.is_chunk(end)? && !file.is_chunk(end + 1)? => end,
            false => end + 1,
        };
    }
    Err(Problem::Damaged(format!("{MAX_CHUNKS} chunks contain no samples")))
}

/// A number of up to 8 bytes.
fn number(bytes: &[u8], big_endian: bool) -> u64 {
    let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    match big_endian {
        true => bytes.iter().fold(0, add),
        false => bytes.iter().rev().fold(0, add),
    }
}

fn format(file: &mut Reader, at: u64, length: u64, big_endian: bool) -> Result<Format, Problem> {
    if length < 14 {
        return Err(Problem::Damaged(format!("its fmt chunk has {length} bytes instead of 16")));
    }
    let bytes = file.bytes(at, length.min(40) as usize)?;
    let field = |at: usize, count: usize| number(&bytes[at..at + count], big_endian);
    let mut format = Format {
        tag: field(0, 2) as u16,
        channels: field(2, 2) as usize,
        rate: field(4, 4) as u32,
        align: field(12, 2) as usize,
        bits: if bytes.len() < 16 { 0 } else { field(14, 2) as usize },
    };
    if format.tag == EXTENSIBLE {
        // The identifier of the sub-format starts with the tag. The number of valid bits does not change the scale.
        format.tag = if bytes.len() < 26 { PCM } else { field(24, 2) as u16 };
    }
    if format.bits == 0 {
        format.bits = 8 * format.align.checked_div(format.channels).unwrap_or(0);
    }
    Ok(format)
}

fn contents(
    format: Format,
    file: &Reader,
    start: u64,
    bytes: Option<u64>,
    big_endian: bool,
    wide: bool,
) -> Result<Contents, Problem> {
    let Format { tag, channels, rate, align, bits } = format;
    let encoding = match (tag, bits) {
        (PCM, 1..=8) => Encoding::Unsigned8,
        // 24 bits are also stored in 4 bytes, aligned to the top.
        (PCM, 17..=24) if align == 4 * channels => Encoding::Signed(4),
        (PCM, 9..=32) => Encoding::Signed(bits.div_ceil(8)),
        (FLOAT, 32) => Encoding::Float,
        (FLOAT, 64) => Encoding::Double,
        (A_LAW, _) => Encoding::ALaw,
        (MU_LAW, _) => Encoding::MuLaw,
        (MPEG | MP3, _) => {
            let end = bytes.map_or(file.end, |bytes| start.saturating_add(bytes).min(file.end));
            return Ok(Contents::Mpeg(Section::new(start, end)));
        }
        (PCM | FLOAT, bits) => {
            return Err(Problem::Unsupported(format!("wav with {bits} bits per sample")));
        }
        (tag, _) => {
            let name = codec(tag).map(|name| format!(" ({name})")).unwrap_or_default();
            return Err(Problem::Unsupported(format!("wav with codec 0x{tag:04x}{name}")));
        }
    };
    let container = if wide { "w64" } else { "wav" };
    let header = Header { container, encoding, big_endian, rate, channels, start, bytes };
    Ok(Contents::Uncompressed(Uncompressed(header)))
}

/// The name of a codec that is found in WAV files and not supported.
fn codec(tag: u16) -> Option<&'static str> {
    Some(match tag {
        0x0002 => "Microsoft ADPCM",
        0x0011 => "IMA ADPCM",
        0x0031 => "GSM 6.10",
        0x0040 | 0x0045 => "G.726",
        0x0092 => "Dolby AC-3 over S/PDIF",
        0x00ff | 0x1610 | 0x706d => "AAC",
        0x0160..=0x0163 => "Windows Media Audio",
        0x0270 => "ATRAC3",
        0x2000 => "Dolby AC-3",
        0x2001 => "DTS",
        0x674f..=0x6771 => "Vorbis",
        0xf1ac => "FLAC",
        _ => return None,
    })
}
