//! Detects streams that are cut off at the end and have no length in their header.
//!
//! MPEG audio and Ogg declare their length only in optional headers, if at all. The last bytes show whether a frame started
//! and did not end, or the mark of the last page is missing. MP4 declares the length of its boxes, but symphonia reads
//! nothing from a file whose last box is cut.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Length of the longest Ogg page: header, 255 lengths, 255 segments of 255 bytes.
const MAX_OGG_PAGE: u64 = 27 + 255 + 255 * 255;

/// Most bytes of tags after the last MPEG frame. A cut before longer tags is not detected.
const MAX_TAGS: u64 = 1 << 16;

fn tail(path: &Path, length: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(end.saturating_sub(length)))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn last_position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return None;
    }
    haystack.windows(needle.len()).rposition(|window| window == needle)
}

/// Whether two MPEG audio frames have the same version, layer, sample rate and either one channel or two.
pub(super) fn same_mpeg_stream(a: &[u8], b: &[u8]) -> bool {
    let is_mono = |frame: &[u8]| frame[3] >> 6 == 3;
    match (a, b) {
        ([a0, a1, a2, _, ..], [b0, b1, b2, _, ..]) => {
            // The lowest bit of the second byte only says whether a checksum follows.
            a0 == b0 && a1 | 1 == b1 | 1 && a2 & 0x0c == b2 & 0x0c && is_mono(a) == is_mono(b)
        }
        _ => false,
    }
}

/// Whether the file ends inside the MPEG audio frame after `last`, the last complete one.
pub(super) fn mpeg_is_cut(path: &Path, last: &[u8]) -> io::Result<bool> {
    let bytes = tail(path, MAX_TAGS + 2 * last.len() as u64)?;
    let Some(start) = last_position(&bytes, last) else { return Ok(false) };
    let rest = &bytes[start + last.len()..];
    Ok(match rest {
        [] => false,
        [a] => *a == last[0],
        [a, b] | [a, b, _] => *a == last[0] && b | 1 == last[1] | 1,
        _ => same_mpeg_stream(rest, last),
    })
}

/// Whether an MP4 file ends inside one of its top-level boxes or has no index (`moov`).
pub(super) fn mp4_is_cut(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let end = file.metadata()?.len();
    let mut at = 0u64;
    let mut has_index = false;
    while at < end {
        let mut head = [0; 16];
        let known = (end - at).min(16) as usize;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head[..known])?;
        if known < 8 {
            return Ok(true);
        }
        has_index |= &head[4..8] == b"moov";
        let word = u32::from_be_bytes(head[..4].try_into().expect("four bytes"));
        let length = match word {
            // The box extends to the end of the file.
            0 => end - at,
            1 if known < 16 => return Ok(true),
            1 => u64::from_be_bytes(head[8..].try_into().expect("eight bytes")),
            length => u64::from(length),
        };
        // A box shorter than its own header is damaged, not cut.
        if length < 8 {
            return Ok(false);
        }
        if length > end - at {
            return Ok(true);
        }
        at += length;
    }
    Ok(!has_index)
}

/// How an Ogg file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OggEnd {
    /// After a page that is marked as the last one.
    Marked,
    /// After a complete page without that mark.
    Unmarked,
    /// Inside a page.
    InsidePage,
}

/// Examines the last page of an Ogg file.
pub(super) fn ogg_end(path: &Path) -> io::Result<OggEnd> {
    let bytes = tail(path, 2 * MAX_OGG_PAGE)?;
    let Some(start) = last_position(&bytes, b"OggS\0") else { return Ok(OggEnd::InsidePage) };
    let page = &bytes[start..];
    let Some(&segments) = page.get(26) else { return Ok(OggEnd::InsidePage) };
    let Some(lengths) = page.get(27..27 + usize::from(segments)) else {
        return Ok(OggEnd::InsidePage);
    };
    let body: usize = lengths.iter().copied().map(usize::from).sum();
    Ok(match () {
        () if page.len() < 27 + lengths.len() + body => OggEnd::InsidePage,
        () if page[5] & 0x04 != 0 => OggEnd::Marked,
        () => OggEnd::Unmarked,
    })
}
