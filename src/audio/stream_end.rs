//! Detects streams that are cut off at the end and have no length in their header.
//!
//! MPEG audio and Ogg declare their length only in optional headers, if at all. The last bytes show whether a frame started
//! and did not end, or the mark of the last page is missing. MP4 declares the length of its boxes, but symphonia reads
//! nothing from a file whose last box is cut, unless the length of that box is left open.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::section::Section;

/// Length of the longest Ogg page: header, 255 lengths, 255 segments of 255 bytes.
const MAX_OGG_PAGE: u64 = 27 + 255 + 255 * 255;

/// Most bytes of tags after the last MPEG frame. A cut before longer tags is not detected.
const MAX_TAGS: u64 = 1 << 16;

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
pub(super) fn mpeg_is_cut(path: &Path, section: &Section, last: &[u8]) -> io::Result<bool> {
    let bytes = section.tail(path, MAX_TAGS + 2 * last.len() as u64)?;
    if last.len() < 4 {
        return Ok(false);
    }
    let Some(start) = last_position(&bytes, last) else { return Ok(false) };
    let rest = &bytes[start + last.len()..];
    Ok(match rest {
        [] => false,
        [a] => *a == last[0],
        [a, b] | [a, b, _] => *a == last[0] && b | 1 == last[1] | 1,
        _ => same_mpeg_stream(rest, last),
    })
}

/// Whether the file ends inside the ADTS frame after `last`, the contents of the last complete one.
pub(super) fn adts_is_cut(path: &Path, section: &Section, last: &[u8]) -> io::Result<bool> {
    let bytes = section.tail(path, MAX_TAGS + 2 * last.len() as u64)?;
    let Some(start) = last_position(&bytes, last) else { return Ok(false) };
    Ok(match &bytes[start + last.len()..] {
        [] => false,
        [a] => *a == 0xff,
        // Twelve bits of synchronisation; the layer is 0.
        [a, b, ..] => *a == 0xff && b & 0xf6 == 0xf0,
    })
}

/// The top-level boxes of an MP4 file up to the first one that is cut or damaged.
struct Mp4Boxes {
    has_index: bool,
    /// Offset, type and length of the head of the box inside which the file ends.
    cut: Option<(u64, [u8; 4], u64)>,
}

fn mp4_boxes(file: &mut File) -> io::Result<Mp4Boxes> {
    let end = file.metadata()?.len();
    let mut at = 0u64;
    let mut boxes = Mp4Boxes { has_index: false, cut: None };
    while at < end {
        let mut head = [0; 16];
        let known = (end - at).min(16) as usize;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head[..known])?;
        let name = head[4..8].try_into().expect("four bytes");
        let word = u32::from_be_bytes(head[..4].try_into().expect("four bytes"));
        let wide = u64::from_be_bytes(head[8..].try_into().expect("eight bytes"));
        let (length, head) = match word {
            // The box extends to the end of the file.
            0 => (end - at, 8),
            1 => (wide, 16),
            length => (u64::from(length), 8),
        };
        if (known as u64) < head || length > end - at {
            boxes.cut = Some((at, name, head));
            return Ok(boxes);
        }
        boxes.has_index |= &name == b"moov";
        // A box shorter than its own head is damaged, not cut.
        if length < head {
            boxes.has_index = true;
            return Ok(boxes);
        }
        at += length;
    }
    Ok(boxes)
}

/// Whether an MP4 file ends inside one of its top-level boxes or has no index (`moov`).
pub(super) fn mp4_is_cut(path: &Path) -> io::Result<bool> {
    let boxes = mp4_boxes(&mut File::open(path)?)?;
    Ok(boxes.cut.is_some() || !boxes.has_index)
}

/// The offset of the content (`mdat`) of an MP4 file that has its index and ends inside its content.
pub(super) fn cut_mp4_content(file: &mut File) -> io::Result<Option<u64>> {
    let mut head = [0; 8];
    file.seek(SeekFrom::Start(0))?;
    if file.read_exact(&mut head).is_err() || &head[4..] != b"ftyp" {
        return Ok(None);
    }
    let boxes = mp4_boxes(file)?;
    Ok(match boxes.cut {
        Some((at, name, 8)) if boxes.has_index && &name == b"mdat" => Some(at),
        _ => None,
    })
}

/// How an Ogg file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OggEnd {
    /// After a page that is marked as the last one.
    Marked,
    /// After a complete page without that mark.
    Unmarked,
    /// Inside the page that is marked as the last one.
    InsideLastPage,
    /// Inside another page.
    InsidePage,
}

/// Examines the last page of an Ogg file.
pub(super) fn ogg_end(path: &Path, section: &Section) -> io::Result<OggEnd> {
    let bytes = section.tail(path, 2 * MAX_OGG_PAGE)?;
    let Some(start) = last_position(&bytes, b"OggS\0") else { return Ok(OggEnd::InsidePage) };
    let page = &bytes[start..];
    let is_last = page.get(5).is_some_and(|flags| flags & 0x04 != 0);
    let is_whole = page.get(26).is_some_and(|&segments| {
        let lengths = page.get(27..27 + usize::from(segments));
        lengths.is_some_and(|lengths| {
            let body: usize = lengths.iter().copied().map(usize::from).sum();
            page.len() >= 27 + lengths.len() + body
        })
    });
    Ok(match (is_whole, is_last) {
        (true, true) => OggEnd::Marked,
        (true, false) => OggEnd::Unmarked,
        (false, true) => OggEnd::InsideLastPage,
        (false, false) => OggEnd::InsidePage,
    })
}
