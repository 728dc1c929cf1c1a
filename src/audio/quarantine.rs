//! Tracks that cannot be used, and why; `quarantine.csv`.

use super::error::Reason;

/// One row of `quarantine.csv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// The id of the track in its dataset.
    pub id: String,
    /// The path of its file, or the name of a synthetic piece.
    pub path: String,
    /// The kind of fault.
    pub reason: Reason,
    /// What is wrong, where, and what to do.
    pub message: String,
}

/// The entries as CSV with the header `id,path,reason,message`.
pub fn quarantine_csv(entries: &[QuarantineEntry]) -> Vec<u8> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut write = |row: [&str; 4]| csv.write_record(row).expect("rows have four fields");
    write(["id", "path", "reason", "message"]);
    for QuarantineEntry { id, path, reason, message } in entries {
        write([id, path, reason.name(), message]);
    }
    csv.into_inner().expect("a vector can always be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_reader_returns_what_was_written() {
        let texts = ["plain", "a,b", "say \"no\"", "two\nlines\r\n", " spaces ", "", "é中"];
        let entries = texts.map(|text| QuarantineEntry {
            id: text.to_string(),
            path: format!("dir/{text}"),
            reason: Reason::TooShort,
            message: text.repeat(2),
        });
        let bytes = quarantine_csv(&entries);
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        assert_eq!(reader.headers().unwrap(), vec!["id", "path", "reason", "message"]);
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), entries.len());
        for (row, entry) in rows.iter().zip(&entries) {
            assert_eq!(row, &[&entry.id, &entry.path, "too_short", &entry.message][..]);
        }
        assert_eq!(quarantine_csv(&[]), b"id,path,reason,message\n");
    }
}
