//! Tracks that cannot be used, and why; `quarantine.csv`.

use super::error::Reason;

/// One line of `quarantine.csv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// The track's id in its data set.
    pub id: String,
    /// Its file, or the name of a synthetic piece.
    pub path: String,
    /// The kind of fault, as a program sorts them.
    pub reason: Reason,
    /// What is wrong, where, and what to do.
    pub message: String,
}

/// The entries as CSV with the header `id,path,reason,message`.
pub fn quarantine_csv(entries: &[QuarantineEntry]) -> Vec<u8> {
    let mut text = String::from("id,path,reason,message\n");
    for entry in entries {
        let fields = [&entry.id, &entry.path, entry.reason.name(), &entry.message];
        text += &fields.map(quoted).join(",");
        text.push('\n');
    }
    text.into_bytes()
}

/// Quotes a field where RFC 4180 asks for it.
fn quoted(field: &str) -> String {
    let plain =
        !field.contains([',', '"', '\n', '\r']) && !field.starts_with(' ') && !field.ends_with(' ');
    match plain {
        true => field.to_string(),
        false => format!("\"{}\"", field.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_csv_reader_gets_back_what_was_written() {
        let nasty = ["plain", "a,b", "say \"no\"", "two\nlines\r\n", " spaces ", "", "é中"];
        let entries: Vec<QuarantineEntry> = nasty
            .iter()
            .zip(Reason::ALL)
            .map(|(text, reason)| QuarantineEntry {
                id: text.to_string(),
                path: format!("dir/{text}"),
                reason,
                message: text.repeat(2),
            })
            .collect();
        let bytes = quarantine_csv(&entries);
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        assert_eq!(reader.headers().unwrap(), vec!["id", "path", "reason", "message"]);
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), entries.len());
        for (row, entry) in rows.iter().zip(&entries) {
            let expected = [&entry.id, &entry.path, entry.reason.name(), &entry.message];
            assert_eq!(row, &expected[..]);
        }
    }
}
