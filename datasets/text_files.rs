//! Text files: read at once, or line by line. Those that are read line by line may be compressed with gzip.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::DatasetError;

/// Bytes of a file in memory.
const BUFFER: usize = 1 << 18;

/// Checks that `path` is a file.
pub(crate) fn require_file(path: &Path, remedy: &str) -> Result<(), DatasetError> {
    match path.is_file() {
        true => Ok(()),
        false => Err(DatasetError::Missing { path: path.to_owned(), remedy: remedy.to_owned() }),
    }
}

/// The bytes of a file.
pub(crate) fn read_file(path: &Path, remedy: &str) -> Result<Vec<u8>, DatasetError> {
    require_file(path, remedy)?;
    std::fs::read(path).map_err(DatasetError::io("read", path))
}

/// Opens a text file; one that is compressed with gzip is decompressed.
pub(crate) fn open(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
    Ok(match file.fill_buf()?.starts_with(b"\x1f\x8b") {
        true => Box::new(BufReader::with_capacity(BUFFER, Gunzip(MultiGzDecoder::new(file)))),
        false => Box::new(file),
    })
}

/// Decompresses gzip, with errors that say so.
struct Gunzip<R>(MultiGzDecoder<R>);

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(bytes).map_err(|error| match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                let problem = "the gzip file is damaged or cut off";
                std::io::Error::new(error.kind(), format!("{problem} ({error}); get it again"))
            }
            _ => error,
        })
    }
}

/// Passes every line that is not empty to `take`, without line end (LF or CR LF) and byte order mark. A line that
/// is not UTF-8, and an error of `take`, become an error with file and line. Memory holds one line at a time.
/// The file may be compressed with gzip.
pub(crate) fn each_line(
    path: &Path,
    mut take: impl FnMut(&str) -> Result<(), String>,
) -> Result<(), DatasetError> {
    let io = DatasetError::io("read", path);
    let mut file = open(path).map_err(io)?;
    let mut bytes = Vec::new();
    let mut number = 0;
    loop {
        bytes.clear();
        if file.read_until(b'\n', &mut bytes).map_err(io)? == 0 {
            return Ok(());
        }
        number += 1;
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mark: &[u8] = if number == 1 { b"\xef\xbb\xbf" } else { b"" };
        let line = line.strip_prefix(mark).unwrap_or(line);
        let taken = match std::str::from_utf8(line) {
            Ok("") => Ok(()),
            Ok(text) => take(text),
            Err(_) => Err("the line is not UTF-8: get the file again, or save it as UTF-8".into()),
        };
        taken.map_err(|problem| DatasetError::Line {
            path: path.to_owned(),
            line: number,
            problem,
        })?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_files_are_decompressed_and_damaged_ones_refused() {
        // `gzip -n` of "one\ntwo\n", twice: a file may have several members.
        let member = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\xcfK\xe5*)\xcf\xe7\x02\x00\xe6\x0b\xba\x12\x08\x00\x00\x00";
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt.gz");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let mut lines = Vec::new();
            each_line(&path, |line| {
                lines.push(line.to_owned());
                Ok(())
            })
            .map(|()| lines)
        };
        assert_eq!(read(&[*member, *member].concat()).unwrap(), ["one", "two", "one", "two"]);
        for end in [12, member.len() - 5, member.len() - 1] {
            let error = read(&member[..end]).unwrap_err().to_string();
            assert!(error.contains("damaged or cut off") && error.contains("a.txt.gz"), "{error}");
        }
        let mut flipped = *member;
        flipped[20] ^= 1;
        assert!(read(&flipped).unwrap_err().to_string().contains("get it again"));
    }

    #[test]
    fn lines_are_numbered_as_in_an_editor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        std::fs::write(&path, b"\xef\xbb\xbfone\r\n\n two\t\n\xc3\xa9\nlast\n\xe9").unwrap();
        let mut lines = Vec::new();
        let error = each_line(&path, |line| {
            lines.push(line.to_owned());
            Ok(())
        });
        assert_eq!(lines, ["one", " two\t", "é", "last"]);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("a.txt line 6: the line is not UTF-8"), "{error}");
        let refuse = |line: &str| if line == " two\t" { Err("no".into()) } else { Ok(()) };
        assert!(each_line(&path, refuse).unwrap_err().to_string().contains("line 3: no"));
        let error = each_line(&directory.path().join("gone"), |_| Ok(())).unwrap_err().to_string();
        assert!(error.starts_with("cannot read"), "{error}");
    }
}
