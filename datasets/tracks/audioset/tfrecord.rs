//! TFRecord: messages one after the other, each with its length and two checksums.
//!
//! A record is its length (8 bytes), the length's checksum (4), that many bytes, and their checksum
//! (4), all little-endian. A checksum is CRC-32C, masked: rotated right by 15 bits, plus a constant.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::DatasetError;

/// The longest record that is read, in bytes; AudioSet's have up to 1 530. A longer one is taken for
/// damage before memory is set aside for it.
const LONGEST: u64 = 1 << 20;

/// Hands every record, and the byte at which it begins, to `take`, one at a time; what `take` complains
/// of, with the byte, becomes an error.
pub(super) fn each_record(
    path: &Path,
    mut take: impl FnMut(&[u8], u64) -> Result<(), (u64, String)>,
) -> Result<(), DatasetError> {
    let io = |source| DatasetError::Io { action: "read", path: path.to_owned(), source };
    let wrong =
        |byte: u64, problem: String| DatasetError::Record { path: path.to_owned(), byte, problem };
    let mut file = BufReader::with_capacity(1 << 18, File::open(path).map_err(io)?);
    let mut at = 0;
    let mut record = Vec::new();
    loop {
        let mut head = [0; 12];
        match fill(&mut file, &mut head).map_err(io)? {
            0 => return Ok(()),
            12 => {}
            some => {
                let problem = format!(
                    "the file ends after {some} of the 12 bytes that begin a record: get it again"
                );
                return Err(wrong(at, problem));
            }
        }
        let (length, checksum) = head.split_at(8);
        let bytes = u64::from_le_bytes(length.try_into().unwrap_or_default());
        if masked_crc(length) != u32::from_le_bytes(checksum.try_into().unwrap_or_default()) {
            return Err(wrong(
                at,
                "the length of the record does not fit its checksum: this is no TFRecord file, or it is \
                 damaged; get it again"
                    .into(),
            ));
        }
        if bytes > LONGEST {
            return Err(wrong(
                at,
                format!(
                    "the record has {bytes} bytes, and those of AudioSet have no more than {LONGEST}: get \
                     the file again"
                ),
            ));
        }
        record.clear();
        (&mut file).take(bytes + 4).read_to_end(&mut record).map_err(io)?;
        let there = record.len() as u64;
        if there < bytes + 4 {
            let problem = format!(
                "the file ends after {there} of the {} bytes of the record: get it again",
                bytes + 4
            );
            return Err(wrong(at, problem));
        }
        let (message, checksum) = record.split_at(bytes as usize);
        if masked_crc(message) != u32::from_le_bytes(checksum.try_into().unwrap_or_default()) {
            let problem = "the record does not fit its checksum: the file is damaged; get it again";
            return Err(wrong(at, problem.into()));
        }
        take(message, at + 12).map_err(|(byte, problem)| wrong(byte, problem))?;
        at += 12 + bytes + 4;
    }
}

/// As many bytes as are there, up to all.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The checksum of data that may hold checksums itself.
pub(super) fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}
