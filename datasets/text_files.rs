//! Text files: read at once, or line by line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::DatasetError;

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

/// Passes every line that is not empty to `take`, without line end (LF or CR LF) and byte order mark. A line that
/// is not UTF-8, and an error of `take`, become an error with file and line. Memory holds one line at a time.
pub(crate) fn each_line(
    path: &Path,
    mut take: impl FnMut(&str) -> Result<(), String>,
) -> Result<(), DatasetError> {
    let io = DatasetError::io("read", path);
    let mut file = BufReader::with_capacity(1 << 18, File::open(path).map_err(io)?);
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
