//! Reads delimited tables of user, item and count row by row.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use csv::ByteRecord;
use indexmap::IndexSet;

use super::{Interactions, Play};
use crate::DatasetError;
use crate::error::{line_at, quoted};
use crate::text_files::require_file;

/// Known names of the user column, reduced to letters in lower case; so the next two.
const USER: &[&str] = &[
    "user",
    "userid",
    "uid",
    "listener",
    "listenerid",
    "username",
    "person",
    "customer",
    "member",
];
const ITEM: &[&str] = &[
    "item", "itemid", "track", "trackid", "song", "songid", "artist", "artistid", "album",
    "albumid", "id", "iid",
];
const COUNT: &[&str] = &[
    "count",
    "counts",
    "plays",
    "playcount",
    "listens",
    "listencount",
    "weight",
    "rating",
    "value",
];

/// Longest first line in bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// Indices of the columns.
struct Columns {
    user: usize,
    item: usize,
    /// `None` if every row is one play.
    count: Option<usize>,
}

pub(super) fn read(path: &Path) -> Result<Interactions, DatasetError> {
    let table = |problem: String| DatasetError::content(path, problem);
    let io = DatasetError::io("read", path);
    require_file(
        path,
        "write a table with a row user,item,count for every song that a user played",
    )?;
    let first = first_line(path).map_err(io)?;
    let delimiter = delimiter(&first);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .quoting(delimiter != b'\t')
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(1 << 18)
        .from_path(path)
        .map_err(|error| table(error.to_string()))?;

    let mut record = ByteRecord::new();
    let mut rows = Rows::default();
    let mut columns: Option<(Columns, usize)> = None;
    let mut header = false;
    while reader.read_byte_record(&mut record).map_err(|error| table(error.to_string()))? {
        let wrong = |problem: String| {
            let byte = record.position().map_or(0, csv::Position::byte);
            match line_of(path, byte) {
                Ok(line) => DatasetError::Line { path: path.to_owned(), line, problem },
                Err(source) => io(source),
            }
        };
        let (columns, width) = match &columns {
            Some((columns, width)) => (columns, *width),
            None => {
                let found = columns_of(&record).map_err(wrong)?;
                header = found.1;
                let (columns, width) = columns.insert((found.0, record.len()));
                if header {
                    continue;
                }
                (&*columns, *width)
            }
        };
        if record.len() != width {
            return Err(wrong(format!(
                "the row has {} values, the first line has {width}: put values that contain a separator in \
                 quotes, close every quote, and write decimals with a point",
                record.len()
            )));
        }
        rows.take(&record, columns).map_err(wrong)?;
    }
    let counted = columns.as_ref().is_some_and(|(columns, _)| columns.count.is_some());
    if rows.plays.is_empty() {
        return Err(table(match header {
            true => "the table has no rows below the header: add rows of user, item and count",
            false => "the file is empty: write a row user,item,count for every song that a user played",
        }
        .into()));
    }
    let number = rows.plays.len();
    let mut interactions =
        Interactions::from_plays(rows.users.into_vec(), rows.items.into_vec(), rows.plays);
    if interactions.is_empty() {
        return Err(table(format!(
            "all {number} counts are 0: select another column, or write only rows of songs that were played"
        )));
    }
    if !counted {
        let note = format!("the table has no counts: each of the {number} rows is one play");
        interactions.notes.insert(0, note);
    }
    Ok(interactions)
}

/// The plays of a table; users and items are numbered in order of appearance.
#[derive(Default)]
struct Rows {
    users: Ids,
    items: Ids,
    plays: Vec<Play>,
}

impl Rows {
    fn take(&mut self, record: &ByteRecord, columns: &Columns) -> Result<(), String> {
        let field = |index: usize| record.get(index).unwrap_or_default();
        let user = self.users.index("user", field(columns.user))?;
        let item = self.items.index("item", field(columns.item))?;
        let count = columns.count.map_or(Ok(1.0), |index| count(field(index)))?;
        self.plays.push(Play { user, item, count });
        Ok(())
    }
}

/// Ids in order of appearance.
#[derive(Default)]
struct Ids {
    ids: IndexSet<String>,
    /// Index of the preceding row's id. Tables are often sorted by user, so this saves many look-ups.
    last: usize,
}

impl Ids {
    fn into_vec(self) -> Vec<String> {
        self.ids.into_iter().collect()
    }

    /// The index of an id, which is added if it is new; `what` ("user") is for error messages.
    fn index(&mut self, what: &str, id: &[u8]) -> Result<u32, String> {
        if self.ids.get_index(self.last).is_none_or(|last| last.as_bytes() != id) {
            let text = std::str::from_utf8(id).map_err(|_| {
                let text = String::from_utf8_lossy(id);
                format!("the {what} {} is not UTF-8: save the file as UTF-8", quoted(&text))
            })?;
            self.last = match self.ids.get_index_of(text) {
                Some(index) => index,
                None if text.trim().is_empty() => {
                    return Err(format!("the {what} is empty: give every {what} an id"));
                }
                // An unclosed quote turns all following lines into one value.
                None if text.contains(char::is_control) => {
                    return Err(format!(
                        "the {what} {} contains a line break or another control character: remove it, \
                         or close the quote",
                        quoted(text)
                    ));
                }
                None => self.ids.insert_full(text.to_owned()).0,
            };
        }
        u32::try_from(self.last)
            .map_err(|_| format!("the table has more than {} {what}s", u32::MAX))
    }
}

/// Parses a play count.
fn count(field: &[u8]) -> Result<f32, String> {
    let text = std::str::from_utf8(field).unwrap_or("\u{fffd}").trim();
    let wrong = |what: &str| {
        format!("the count {} is {what}: write a number of plays, at least 0", quoted(text))
    };
    match text.parse::<f32>() {
        Err(_) if text.contains(',') => Err(wrong("not a number: write decimals with a point")),
        Err(_) => Err(wrong("not a number")),
        Ok(count) if !count.is_finite() => Err(wrong("not finite")),
        Ok(count) if count < 0.0 => Err(wrong("negative")),
        Ok(count) => Ok(count),
    }
}

/// Finds the columns from the first line; the flag tells whether it is a header.
fn columns_of(first: &ByteRecord) -> Result<(Columns, bool), String> {
    let fields: Vec<String> =
        first.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
    let width = fields.len();
    if width < 2 {
        let problem = "the first line has one value: separate user, item and count by commas, semicolons or tabs";
        return Err(problem.into());
    }
    let names: Vec<String> = fields
        .iter()
        .map(|name| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase())
        .collect();
    let find = |known: &[&str]| -> Result<Option<usize>, String> {
        let found: Vec<usize> =
            (0..width).filter(|&i| known.contains(&names[i].as_str())).collect();
        match found[..] {
            [] => Ok(None),
            [column] => Ok(Some(column)),
            [a, b, ..] => Err(format!(
                "the columns {} and {} are both names for {}: rename one of them",
                quoted(&fields[a]),
                quoted(&fields[b]),
                known[0]
            )),
        }
    };
    let is_header = match width {
        2 => {
            let known =
                |name: &String| [USER, ITEM].iter().any(|list| list.contains(&name.as_str()));
            names.iter().any(known)
        }
        _ => {
            names.iter().any(|name| USER.contains(&name.as_str()))
                || fields.iter().all(|field| field.trim().parse::<f64>().is_err())
        }
    };
    if !is_header {
        return match width {
            2 => Ok((Columns { user: 0, item: 1, count: None }, false)),
            3 => Ok((Columns { user: 0, item: 1, count: Some(2) }, false)),
            _ => Err(format!(
                "the table has {width} columns and no header: add a header that names user, item and count, \
                 or keep only these three columns"
            )),
        };
    }
    let missing = |what: &str| {
        format!(
            "the header {} has no {what} column: name the columns user, item and count",
            quoted(&fields.join(", "))
        )
    };
    let user = find(USER)?.ok_or_else(|| missing("user"))?;
    let item = find(ITEM)?.ok_or_else(|| missing("item"))?;
    let count = find(COUNT)?;
    if count.is_none() && width > 2 {
        return Err(missing("count"));
    }
    Ok((Columns { user, item, count }, true))
}

/// The first line that is not empty.
fn first_line(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = BufReader::new(File::open(path)?.take(LONGEST_LINE));
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line)? > 0 && matches!(line[..], [b'\n'] | [b'\r', b'\n']) {
        line.clear();
    }
    Ok(line)
}

/// The delimiter of a line: a tab if it has one, else the more frequent of semicolon and comma. Quoted text does
/// not count.
fn delimiter(line: &[u8]) -> u8 {
    let (mut tabs, mut semicolons, mut commas) = (0_usize, 0_usize, 0_usize);
    let mut quoted = false;
    for byte in line {
        match byte {
            b'"' => quoted = !quoted,
            b'\t' if !quoted => tabs += 1,
            b';' if !quoted => semicolons += 1,
            b',' if !quoted => commas += 1,
            _ => {}
        }
    }
    // In a table with tabs a quote is an ordinary character, and may be the only one.
    if tabs > 0 || quoted && line.contains(&b'\t') {
        return b'\t';
    }
    if semicolons > commas { b';' } else { b',' }
}

/// The line, from 1, of the record that begins at a byte; needed only for error messages.
fn line_of(path: &Path, byte: u64) -> std::io::Result<u64> {
    let mut text = Vec::new();
    let mut file = BufReader::new(File::open(path)?);
    let (mut line, mut rest) = (0, byte);
    const BLOCK: u64 = 1 << 24;
    while rest > BLOCK {
        text.clear();
        file.by_ref().take(BLOCK).read_to_end(&mut text)?;
        // A block must not end between CR and LF.
        if text.last() == Some(&b'\r') {
            file.by_ref().take(1).read_to_end(&mut text)?;
            rest -= 1;
        }
        line += line_at(&text, text.len() as u64) - 1;
        rest -= BLOCK;
    }
    text.clear();
    // `line_at` needs the line ends after the record's start as well.
    file.take(rest + 16).read_to_end(&mut text)?;
    Ok(line + line_at(&text, rest))
}
