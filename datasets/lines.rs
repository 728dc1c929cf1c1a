//! Text files read line by line, for tables that are no CSV.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::DatasetError;

/// Hands every line that is not empty to `take`, without its end (LF or CR LF) and without a byte
/// order mark; what `take` complains of becomes an error with the line. One line is held at a time.
pub(crate) fn each_line_of_bytes(
    path: &Path,
    mut take: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), DatasetError> {
    let io = |source| DatasetError::Io { action: "read", path: path.to_owned(), source };
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
        if line.is_empty() {
            continue;
        }
        take(line).map_err(|problem| DatasetError::Line {
            path: path.to_owned(),
            line: number,
            problem,
        })?;
    }
}

/// The same for files in UTF-8; a line that is not is an error.
pub(crate) fn each_line(
    path: &Path,
    mut take: impl FnMut(&str) -> Result<(), String>,
) -> Result<(), DatasetError> {
    each_line_of_bytes(path, |line| {
        let text = std::str::from_utf8(line)
            .map_err(|_| "this is not UTF-8: get the file again, or save it as UTF-8".to_owned())?;
        take(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_an_editor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, b"\xef\xbb\xbfone\r\n\n two\t\n\xe9\nlast").unwrap();
        let mut lines = Vec::new();
        each_line_of_bytes(&path, |line| {
            lines.push(line.to_vec());
            Ok(())
        })
        .unwrap();
        assert_eq!(lines, [&b"one"[..], b" two\t", b"\xe9", b"last"]);
        let error = each_line(&path, |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("a.txt line 4: this is not UTF-8"), "{error}");
        let refuse = |line: &str| if line == " two\t" { Err("no".into()) } else { Ok(()) };
        assert!(each_line(&path, refuse).unwrap_err().to_string().contains("line 3: no"));
        let error = each_line(&folder.path().join("gone"), |_| Ok(())).unwrap_err().to_string();
        assert!(error.starts_with("cannot read"), "{error}");
    }
}
