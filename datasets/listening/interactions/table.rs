//! Tables of user, item and count, read row by row.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use csv::ByteRecord;

use super::{Interactions, Play};
use crate::DatasetError;
use crate::error::{line_at, shown};

/// What the columns are called elsewhere, letters only and in lower case.
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

/// Bytes of the first line, at most.
const LONGEST_LINE: u64 = 1 << 20;

/// Where the values stand in a row.
struct Columns {
    user: usize,
    item: usize,
    /// `None`: every row is one play.
    count: Option<usize>,
}

pub(super) fn read(path: &Path) -> Result<Interactions, DatasetError> {
    let table = |problem: String| DatasetError::Table { path: path.to_owned(), problem };
    let io = |source| DatasetError::Io { action: "read", path: path.to_owned(), source };
    if !path.is_file() {
        let remedy = "a table has a row user,item,count for every song that a user played";
        return Err(DatasetError::Missing { path: path.to_owned(), remedy: remedy.into() });
    }
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
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err(table(error.to_string())),
        }
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
                "there are {} values, the first line has {width}: add or remove some; a value with a \
                 separator in it needs quotes, a quote an end, and a decimal a point",
                record.len()
            )));
        }
        rows.take(&record, columns).map_err(wrong)?;
    }
    let counted = columns.as_ref().is_some_and(|(columns, _)| columns.count.is_some());
    if rows.plays.is_empty() {
        return Err(table(match header {
            true => "there is no row below the header: add rows of user, item and count".into(),
            false => {
                "the file is empty: write a row of user, item and count for every song that a \
                      user played"
                    .to_string()
            }
        }));
    }
    let number = rows.plays.len();
    let mut interactions = Interactions::from_plays(rows.users.ids, rows.items.ids, rows.plays);
    if interactions.is_empty() {
        return Err(table(format!(
            "nobody played anything: all {number} counts are 0; leave out what was not played, or take \
             another column"
        )));
    }
    if !counted {
        let note = format!("the table has no counts: each of its {number} rows is one play");
        interactions.notes.insert(0, note);
    }
    Ok(interactions)
}

/// The plays of a table, users and items numbered as they come.
#[derive(Default)]
struct Rows {
    users: Numbers,
    items: Numbers,
    plays: Vec<Play>,
}

impl Rows {
    fn take(&mut self, record: &ByteRecord, columns: &Columns) -> Result<(), String> {
        let field = |index: usize| record.get(index).unwrap_or_default();
        let user = self.users.number("user", field(columns.user))?;
        let item = self.items.number("item", field(columns.item))?;
        let count = columns.count.map_or(Ok(1.0), |index| count(field(index)))?;
        self.plays.push(Play { user, item, count });
        Ok(())
    }
}

/// Ids and their numbers, in order of appearance.
#[derive(Default)]
struct Numbers {
    ids: Vec<String>,
    numbers: HashMap<Box<[u8]>, u32>,
    /// Tables are often sorted by user: the number of the row before saves a search.
    last: Option<u32>,
}

impl Numbers {
    fn number(&mut self, what: &str, id: &[u8]) -> Result<u32, String> {
        if let Some(last) = self.last
            && self.ids[last as usize].as_bytes() == id
        {
            return Ok(last);
        }
        let number = match self.numbers.get(id) {
            Some(&number) => number,
            None => {
                let text = std::str::from_utf8(id).map_err(|_| {
                    let text = String::from_utf8_lossy(id);
                    format!("the {what} {} is not UTF-8: save the file as UTF-8", shown(&text))
                })?;
                if text.trim().is_empty() {
                    return Err(format!("the {what} is empty: give every {what} an id"));
                }
                // A quote that is not closed makes one value of all lines that follow.
                if text.contains(char::is_control) {
                    return Err(format!(
                        "the {what} {} holds a line break or another control character: remove it, \
                         or close the quote",
                        shown(text)
                    ));
                }
                let number = u32::try_from(self.ids.len())
                    .map_err(|_| format!("there are more than {} {what}s", u32::MAX))?;
                self.ids.push(text.to_owned());
                self.numbers.insert(id.into(), number);
                number
            }
        };
        self.last = Some(number);
        Ok(number)
    }
}

/// How often something was played.
fn count(field: &[u8]) -> Result<f32, String> {
    let text = std::str::from_utf8(field).unwrap_or("\u{fffd}").trim();
    let wrong = |what: &str| {
        format!("the count {} is {what}: write how often it was played, 0 or more", shown(text))
    };
    match text.parse::<f32>() {
        Err(_) if text.contains(',') => Err(wrong("no number: write decimals with a point")),
        Err(_) => Err(wrong("no number")),
        Ok(count) if !count.is_finite() => Err(wrong("not finite")),
        Ok(count) if count < 0.0 => Err(wrong("negative")),
        Ok(count) => Ok(count),
    }
}

/// The columns of a table from its first line, and whether that is a header.
fn columns_of(first: &ByteRecord) -> Result<(Columns, bool), String> {
    let fields: Vec<String> =
        first.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
    let width = fields.len();
    if width < 2 {
        return Err(
            "there is one value in the first line: write user, item and count, separated by \
                    commas, semicolons or tabs"
                .into(),
        );
    }
    let names: Vec<String> = fields
        .iter()
        .map(|name| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase())
        .collect();
    let find = |known: &[&str]| -> Result<Option<usize>, String> {
        // The first name of a list is the best: `item` before `artist`.
        let places: Vec<usize> =
            (0..width).filter(|&place| known.contains(&names[place].as_str())).collect();
        match places[..] {
            [] => Ok(None),
            [place] => Ok(Some(place)),
            [a, b, ..] => Err(format!(
                "the columns {} and {} could both be meant: rename one to {}, and the others to \
                 something else",
                shown(&fields[a]),
                shown(&fields[b]),
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
                "there are {width} columns and no header: write a first line that names user, item and \
                 count, or leave these three"
            )),
        };
    }
    let missing = |what: &str| {
        format!(
            "the header {} has no column {what}: name the columns user, item and count",
            shown(&fields.join(", "))
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

/// The first line with anything on it.
fn first_line(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = BufReader::new(File::open(path)?.take(LONGEST_LINE));
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line)? > 0 && matches!(line[..], [b'\n'] | [b'\r', b'\n']) {
        line.clear();
    }
    Ok(line)
}

/// A tab if the line has one, else what there is more of; what stands in quotes does not count.
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
    // A lone quote is a letter of a table with tabs, where quotes mean nothing.
    if tabs > 0 || quoted && line.contains(&b'\t') {
        return b'\t';
    }
    if semicolons > commas { b';' } else { b',' }
}

/// The line, from 1, of the record that begins at a byte. Only errors ask for it.
fn line_of(path: &Path, byte: u64) -> std::io::Result<u64> {
    // The byte after the record's start tells line ends from the record itself.
    let mut text = Vec::new();
    let mut file = BufReader::new(File::open(path)?);
    let (mut line, mut rest) = (0, byte);
    const PIECE: u64 = 1 << 24;
    while rest > PIECE {
        text.clear();
        file.by_ref().take(PIECE).read_to_end(&mut text)?;
        // A piece must not end between CR and LF.
        if text.last() == Some(&b'\r') {
            file.by_ref().take(1).read_to_end(&mut text)?;
            rest -= 1;
        }
        line += line_at(&text, text.len() as u64) - 1;
        rest -= PIECE;
    }
    text.clear();
    file.take(rest + 16).read_to_end(&mut text)?;
    Ok(line + line_at(&text, rest))
}
