//! The format of a file of listening data, from its first bytes.

use std::io::Read;
use std::path::Path;

use crate::DatasetError;
use crate::text_files::open;

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Rows of values between separators.
    Delimited,
    /// One JSON object per line.
    JsonLines,
}

/// Formats that are not read: their first bytes, their name, and the remedy.
const OTHERS: &[(&[u8], &str, &str)] = &[
    (b"PK\x03\x04", "a zip archive or a spreadsheet", "unpack it, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet", "save the sheet as CSV"),
    (b"\xfd7zXZ\0", "compressed with xz", "unpack it, or compress it with gzip instead"),
    (b"BZh91AY&SY", "compressed with bzip2", "unpack it, or compress it with gzip instead"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it, or compress it with gzip instead"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (
        b"PAR1",
        "a Parquet file",
        "write it as CSV: in pandas, table.to_csv(\"plays.csv\", index=False)",
    ),
    (
        b"ARROW1",
        "an Arrow file",
        "write it as CSV: in pandas, table.to_csv(\"plays.csv\", index=False)",
    ),
    (
        b"FEA1",
        "a Feather file",
        "write it as CSV: in pandas, table.to_csv(\"plays.csv\", index=False)",
    ),
    (
        b"\x89HDF",
        "an HDF5 file",
        "write it as CSV: a row user,item,count for every song that a user played",
    ),
    (
        b"\x93NUMPY",
        "a NumPy array",
        "write it as CSV: a row user,item,count for every song that a user played",
    ),
    (b"SQLite format 3\0", "an SQLite database", "export the table of plays as CSV"),
    (
        b"RDX",
        "R's own format",
        "write it as CSV: write.csv(plays, \"plays.csv\", row.names = FALSE)",
    ),
    (
        b"X\n\0\0",
        "R's own format",
        "write it as CSV: write.csv(plays, \"plays.csv\", row.names = FALSE)",
    ),
    (b"\xff\xfe", "text in UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "save it as UTF-8"),
];

/// Where a tar archive has the word `ustar`.
const TAR: usize = 257;

/// The format of the file at `path`, which may be compressed with gzip.
///
/// # Errors
/// If the file cannot be read, or has a format that is not read; the message names the format.
pub(super) fn format_of(path: &Path) -> Result<Format, DatasetError> {
    let mut start = Vec::new();
    let file = open(path).map_err(DatasetError::io("read", path))?;
    file.take(512).read_to_end(&mut start).map_err(DatasetError::io("read", path))?;
    let refuse = |what: &str, remedy: &str| {
        DatasetError::content(path, format!("the file is {what}, which is not read: {remedy}"))
    };
    if let Some((_, what, remedy)) = OTHERS.iter().find(|(magic, ..)| start.starts_with(magic)) {
        return Err(refuse(what, remedy));
    }
    if start.get(TAR..TAR + 5) == Some(b"ustar") {
        return Err(refuse("a tar archive", "unpack it, and name the table in it"));
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start).trim_ascii_start();
    // An id of a table may begin with a bracket, too.
    let opens = |bracket: &[u8], next: &[u8]| {
        let rest = text.strip_prefix(bracket).map(<[u8]>::trim_ascii_start);
        rest.is_some_and(|rest| rest.first().is_none_or(|first| next.contains(first)))
    };
    if opens(b"[", b"{") {
        return Err(refuse(
            "a JSON array",
            "write one object per line: jq -c '.[]' FILE.json > FILE.jsonl",
        ));
    }
    Ok(if opens(b"{", b"\"}") { Format::JsonLines } else { Format::Delimited })
}
