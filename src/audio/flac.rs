//! Headers of FLAC files that symphonia refuses although the frames are whole.
//!
//! The STREAMINFO block declares the smallest and the largest number of samples per block, and each frame says whether all
//! blocks have the same size. Some writers leave the sizes empty or contradict their frames; the frames are right.
//!
//! Source: RFC 9639, sections 8.2 and 9.1.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Offset of the two block sizes behind the magic bytes: after those and the header of the block.
const BLOCK_SIZES: u64 = 8;

/// The smallest block that symphonia accepts.
const SMALLEST: u16 = 16;

/// What matters here of the start of a FLAC file.
pub(super) struct Header {
    start: u64,
    /// The declared smallest and largest block.
    sizes: [u16; 2],
    /// Offset of the first frame.
    pub first_frame: u64,
    /// The start of the first frame.
    frame: [u8; 16],
}

impl Header {
    /// Reads the header of a FLAC file that starts at `start`; `None` if it does not start with STREAMINFO or has no frame.
    pub fn read(file: &mut File, start: u64) -> io::Result<Option<Header>> {
        match read(file, start) {
            // The decoder says what is missing.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            header => header,
        }
    }

    /// The offset and the replacement of the block sizes, if they contradict the first frame.
    pub fn repair(&self) -> Option<(u64, Vec<u8>)> {
        let sizes = block_sizes(self.sizes, &self.frame)?;
        Some((self.start + BLOCK_SIZES, sizes.map(u16::to_be_bytes).concat()))
    }
}

fn read(file: &mut File, start: u64) -> io::Result<Option<Header>> {
    let mut head = [0; 8];
    file.seek(SeekFrom::Start(start + 4))?;
    file.read_exact(&mut head)?;
    let [kind, .., a, b, c, d] = head;
    if kind & 0x7f != 0 {
        return Ok(None);
    }
    let mut at = start + 4;
    let first_frame = loop {
        let mut head = [0; 4];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head)?;
        at += 4 + u64::from(u32::from_be_bytes([0, head[1], head[2], head[3]]));
        if head[0] & 0x80 != 0 {
            break at;
        }
    };
    let mut frame = [0; 16];
    file.seek(SeekFrom::Start(first_frame))?;
    file.read_exact(&mut frame)?;
    let sizes = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
    Ok(Some(Header { start, sizes, first_frame, frame }))
}

/// Block sizes that agree with the first frame; `None` if the declared ones do, or the frame is not one.
fn block_sizes([smallest, largest]: [u16; 2], frame: &[u8; 16]) -> Option<[u16; 2]> {
    // Fourteen bits of synchronisation, one that is 0, and whether the size varies.
    let varies = match frame[..2] {
        [0xff, 0xf8] => false,
        [0xff, 0xf9] => true,
        _ => return None,
    };
    let agrees = smallest >= SMALLEST && largest >= smallest && varies == (smallest < largest);
    if agrees {
        return None;
    }
    match varies {
        true => Some([SMALLEST, if largest > SMALLEST { largest } else { u16::MAX }]),
        // Times are multiples of the size, so it must be the true one. The only block may be shorter than declared.
        false => Some([block_size(frame)?.max(SMALLEST); 2]),
    }
}

/// The number of samples in the block of a frame.
fn block_size(frame: &[u8; 16]) -> Option<u16> {
    // A number in the manner of UTF-8 is between the fixed fields and a block size that has no code.
    let after = 4 + match frame[4].leading_ones() {
        0 => 1,
        count @ 2..=7 => count as usize,
        _ => return None,
    };
    match frame[2] >> 4 {
        1 => Some(192),
        code @ 2..=5 => Some(144 << code),
        6 => Some(u16::from(frame[after]) + 1),
        7 => u16::from_be_bytes([frame[after], frame[after + 1]]).checked_add(1),
        code @ 8.. => Some(1 << code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of a frame of the given block size, whose number is 0.
    fn frame(varies: bool, code: u8, size: [u8; 2]) -> [u8; 16] {
        let mut frame = [0; 16];
        frame[..7].copy_from_slice(&[
            0xff,
            0xf8 | u8::from(varies),
            code << 4 | 9,
            8,
            0,
            size[0],
            size[1],
        ]);
        frame
    }

    #[test]
    fn block_sizes_are_those_of_the_table_in_rfc_9639() {
        // Section 9.1.1, table 14.
        for (code, size) in [
            (1, 192),
            (2, 576),
            (3, 1_152),
            (4, 2_304),
            (5, 4_608),
            (8, 256),
            (12, 4_096),
            (15, 32_768),
        ] {
            assert_eq!(block_size(&frame(false, code, [0, 0])), Some(size), "{code}");
        }
        assert_eq!(block_size(&frame(false, 6, [99, 0])), Some(100));
        assert_eq!(block_size(&frame(false, 7, [0x0f, 0x9f])), Some(4_000));
        assert_eq!(block_size(&frame(false, 0, [0, 0])), None);
    }

    #[test]
    fn only_sizes_that_contradict_the_frames_are_replaced() {
        let fixed = frame(false, 12, [0, 0]);
        let varies = frame(true, 12, [0, 0]);
        assert_eq!(block_sizes([4_096, 4_096], &fixed), None);
        assert_eq!(block_sizes([16, 4_608], &varies), None);
        assert_eq!(block_sizes([0, 4_096], &fixed), Some([4_096; 2]));
        assert_eq!(block_sizes([0, 0], &fixed), Some([4_096; 2]));
        assert_eq!(block_sizes([1_000, 4_096], &fixed), Some([4_096; 2]));
        assert_eq!(block_sizes([0, 4_608], &varies), Some([16, 4_608]));
        assert_eq!(block_sizes([4_608, 4_608], &varies), Some([16, 4_608]));
        assert_eq!(block_sizes([0, 0], &varies), Some([16, 65_535]));
        assert_eq!(block_sizes([0, 0], &[0; 16]), None);
    }
}
