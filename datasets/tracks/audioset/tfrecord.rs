//! TFRecord files: messages with their lengths and checksums.
//!
//! A record is the message's length (8 bytes), the length's checksum (4), the message, and the message's checksum
//! (4), all little-endian. A checksum is CRC-32C, masked: rotated right by 15 bits, plus a constant.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::DatasetError;

/// The longest message in bytes; AudioSet's have up to 1530. A longer one is an error, before memory is allocated.
const LONGEST: u64 = 1 << 20;

/// Passes every message, and the byte at which it begins, to `take`.
pub(super) fn each_record(
    path: &Path,
    mut take: impl FnMut(&[u8], u64) -> Result<(), String>,
) -> Result<(), DatasetError> {
    let io = DatasetError::io("read", path);
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
            found => {
                let what = "12 bytes of a record's header";
                return Err(wrong(
                    at,
                    format!("the file ends after {found} of the {what}: get it again"),
                ));
            }
        }
        let (length, checksum) = head.split_at(8);
        let bytes = u64::from_le_bytes(length.try_into().unwrap_or_default());
        if masked_crc(length) != u32::from_le_bytes(checksum.try_into().unwrap_or_default()) {
            let problem = "the checksum of the record's length is wrong: this is not a TFRecord file, or it is \
                           damaged; get it again";
            return Err(wrong(at, problem.into()));
        }
        if bytes > LONGEST {
            let problem =
                format!("the record has {bytes} bytes, more than {LONGEST}: get the file again");
            return Err(wrong(at, problem));
        }
        record.clear();
        (&mut file).take(bytes + 4).read_to_end(&mut record).map_err(io)?;
        let (found, expected) = (record.len() as u64, bytes + 4);
        if found < expected {
            let problem = format!(
                "the file ends after {found} of the {expected} bytes of a record: get it again"
            );
            return Err(wrong(at, problem));
        }
        let (message, checksum) = record.split_at(bytes as usize);
        if masked_crc(message) != u32::from_le_bytes(checksum.try_into().unwrap_or_default()) {
            let problem = "the checksum of the record is wrong: the file is damaged; get it again";
            return Err(wrong(at, problem.into()));
        }
        take(message, at + 12).map_err(|problem| wrong(at + 12, problem))?;
        at += 12 + expected;
    }
}

/// Fills the buffer as far as the file has bytes; returns their number.
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

/// The masked CRC-32C of `data`.
pub(super) fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}
