//! A file as symphonia reads it: from one byte to another, with the bytes of headers replaced that it refuses although
//! the audio is whole.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use symphonia::core::io::MediaSource;

use super::flac;
use super::stream_end::cut_mp4_content;

/// Length of an ID3v1 tag at the end of a file.
const ID3V1: u64 = 128;
/// Length of the footer of an APEv2 tag.
const APE_FOOTER: u64 = 32;

/// The part of a file that contains the audio stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Section {
    start: u64,
    end: u64,
    /// Bytes to replace, by their offset in the file.
    patches: Vec<(u64, Vec<u8>)>,
    /// Offset of the first frame of a FLAC file.
    first_frame: Option<u64>,
}

impl Section {
    /// The bytes from `start` to `end` of a file.
    pub fn new(start: u64, end: u64) -> Section {
        Section { start, end, ..Section::default() }
    }

    /// The section of a file that is not uncompressed. `start` is the length of an ID3v2 tag in front.
    pub fn of(path: &Path, start: u64) -> io::Result<Section> {
        let mut file = File::open(path)?;
        let end = file.metadata()?.len();
        let mut section = Section::new(0, end);
        if is_at(&mut file, start, b"fLaC")? {
            // symphonia takes tags behind the last frame for a part of it.
            section = Section::new(start, before_tags(&mut file, end)?);
            if let Some(header) = flac::Header::read(&mut file, start)? {
                section.first_frame = Some(header.first_frame);
                section.patches.extend(header.repair());
            }
        } else if let Some(at) = cut_mp4_content(&mut file)? {
            // A length of 0 extends to the end of the file.
            section.patches.push((at, vec![0; 4]));
        }
        Ok(section)
    }

    /// Opens the file. If it is not `seekable`, symphonia reads lengths from headers only, instead of estimating them from
    /// the file size.
    pub fn open(&self, path: &Path, seekable: bool) -> io::Result<Stream> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.start))?;
        Ok(Stream { file, section: self.clone(), at: self.start, seekable })
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether the frames of a FLAC file, of this many bytes in all, end before the file does.
    pub fn frames_end_before(&self, bytes: u64) -> bool {
        self.first_frame.is_some_and(|first| first.saturating_add(bytes) < self.end)
    }

    /// Up to `length` bytes at the end.
    pub fn tail(&self, path: &Path, length: u64) -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = length.min(self.length());
        file.seek(SeekFrom::Start(self.end - length))?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Length of an ID3v2 tag at the start of a file, 0 if it has none.
pub(super) fn id3v2_length(path: &Path) -> io::Result<u64> {
    let mut head = Vec::new();
    File::open(path)?.take(10).read_to_end(&mut head)?;
    Ok(match head[..] {
        [b'I', b'D', b'3', _, _, flags, a, b, c, d] if (a | b | c | d) < 0x80 => {
            let size = [a, b, c, d].iter().fold(0, |sum, byte| sum << 7 | u64::from(*byte));
            10 + size + if flags & 0x10 != 0 { 10 } else { 0 }
        }
        _ => 0,
    })
}

fn is_at(file: &mut File, at: u64, wanted: &[u8]) -> io::Result<bool> {
    let mut found = vec![0; wanted.len()];
    file.seek(SeekFrom::Start(at))?;
    match file.read_exact(&mut found) {
        Ok(()) => Ok(found == wanted),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The end of a stream that ends at `end` with its tags: ID3v1, APEv2 and Lyrics3v2, in any order.
fn before_tags(file: &mut File, mut end: u64) -> io::Result<u64> {
    loop {
        let before = end;
        if end >= ID3V1 && is_at(file, end - ID3V1, b"TAG")? {
            end -= ID3V1;
        }
        if end >= APE_FOOTER && is_at(file, end - APE_FOOTER, b"APETAGEX")? {
            let mut rest = [0; 16];
            file.read_exact(&mut rest)?;
            let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().expect("four"));
            // Items and footer; the highest flag says whether a header precedes them.
            let header = if word(12) >> 31 == 1 { APE_FOOTER } else { 0 };
            let length = u64::from(word(4)) + header;
            if (APE_FOOTER..=end).contains(&length) {
                end -= length;
            }
        }
        if end >= 15 && is_at(file, end - 9, b"LYRICS200")? {
            let mut digits = [0; 6];
            file.seek(SeekFrom::Start(end - 15))?;
            file.read_exact(&mut digits)?;
            let length =
                std::str::from_utf8(&digits).ok().and_then(|text| text.parse::<u64>().ok());
            if let Some(length) = length.filter(|length| length + 15 <= end) {
                end -= length + 15;
            }
        }
        if end == before {
            return Ok(end);
        }
    }
}

/// An open [`Section`].
pub(super) struct Stream {
    file: File,
    section: Section,
    /// Position in the file.
    at: u64,
    seekable: bool,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.section.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read(&mut buffer[..wanted])?;
        for (offset, bytes) in &self.section.patches {
            for (place, byte) in (*offset..).zip(bytes) {
                if (self.at..self.at + read as u64).contains(&place) {
                    buffer[(place - self.at) as usize] = *byte;
                }
            }
        }
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Stream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if !self.seekable {
            return Err(io::Error::other("this source cannot seek"));
        }
        let Section { start, end, .. } = self.section;
        let (base, offset) = match to {
            SeekFrom::Start(offset) => (start, i64::try_from(offset).ok()),
            SeekFrom::Current(offset) => (self.at, Some(offset)),
            SeekFrom::End(offset) => (end, Some(offset)),
        };
        let to = offset.and_then(|offset| base.checked_add_signed(offset));
        let to = to.filter(|to| *to >= start).ok_or(io::ErrorKind::InvalidInput)?;
        self.at = self.file.seek(SeekFrom::Start(to))?;
        Ok(to - start)
    }
}

impl MediaSource for Stream {
    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.seekable.then(|| self.section.length())
    }
}
