//! Reads delimited tables of user, item and count row by row.

use std::borrow::Cow;
use std::io::{BufRead, Read};
use std::path::Path;

use csv::ByteRecord;

use super::Interactions;
use super::columns::{Columns, FirstLine};
use super::counts::{Counts, is_number};
use super::rows::Rows;
use crate::DatasetError;
use crate::error::{line_at, quoted};
use crate::text_files::open;

/// Longest first line in bytes.
const LONGEST_LINE: u64 = 1 << 20;

pub(super) fn read(path: &Path) -> Result<Interactions, DatasetError> {
    read_as(path, None)
}

/// Reads the table. `forced` says what the first line is; `None` finds it out.
fn read_as(path: &Path, forced: Option<FirstLine>) -> Result<Interactions, DatasetError> {
    let table = |problem: String| DatasetError::content(path, problem);
    let io = DatasetError::io("read", path);
    let first = first_line(path).map_err(io)?;
    let delimiter = delimiter(&first);
    let values = Values::new(&first, delimiter);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .quoting(delimiter != b'\t')
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(1 << 18)
        .from_reader(open(path).map_err(io)?);

    let mut record = ByteRecord::new();
    let (mut rows, mut counts) = (Rows::default(), Counts::new(delimiter == b','));
    let mut layout: Option<Layout> = None;
    let (mut named_instead, mut nameless) = (0, 0);
    // Of a table of two columns: whether the values of the first row, and all others, are numbers.
    let (mut first_numbers, mut numbers) = ([true; 2], [true; 2]);
    while reader.read_byte_record(&mut record).map_err(|error| table(error.to_string()))? {
        let wrong = |problem: String| {
            let byte = record.position().map_or(0, csv::Position::byte);
            match line_of(path, byte) {
                Ok(line) => DatasetError::Line { path: path.to_owned(), line, problem },
                Err(source) => io(source),
            }
        };
        let layout = match &layout {
            Some(layout) => layout,
            None => {
                let found = Layout::of(&record, &values, forced).map_err(wrong)?;
                let found = layout.insert(found);
                if found.kind != FirstLine::Play {
                    continue;
                }
                &*found
            }
        };
        if record.len() != layout.names.len() {
            let row_number =
                rows.len() == 0 && values.of(record.get(0).unwrap_or_default())[..] == *b"1";
            return Err(wrong(layout.wrong_width(record.len(), row_number)));
        }
        let Columns { user, item, instead, count } = &layout.columns;
        let value = |at: usize| values.of(record.get(at).unwrap_or_default());
        let (user, mut item) = (value(*user), value(*item));
        if layout.names.len() == 2 {
            let now = [&user, &item].map(|id| is_number(&String::from_utf8_lossy(id)));
            match rows.len() {
                0 => first_numbers = now,
                _ => numbers = [0, 1].map(|at| numbers[at] && now[at]),
            }
        }
        if !instead.is_empty() && item.trim_ascii().is_empty() {
            let parts: Vec<Cow<'_, [u8]>> = instead.iter().map(|&at| value(at)).collect();
            if parts.iter().all(|part| part.trim_ascii().is_empty()) {
                nameless += 1;
                continue;
            }
            item = parts.join(&b" - "[..]).into();
            named_instead += 1;
        }
        if let Some(problem) = [&user, &item].into_iter().find_map(|id| values.escaped_quote(id)) {
            return Err(wrong(problem));
        }
        let count = count.map_or(Ok(1.0), |at| counts.parse(&value(at))).map_err(wrong)?;
        rows.add(&user, &item, count).map_err(wrong)?;
    }
    let number = rows.len();
    let Some(layout) = layout.filter(|_| number > 0) else {
        return Err(table(match number {
            0 if first.is_empty() => {
                "the file is empty: write a row user,item,count for every song that a user played"
            }
            _ => "the table has no rows below the header: add rows of user, item and count",
        }
        .into()));
    };
    let is_pair = layout.kind == FirstLine::Play && layout.names.len() == 2;
    let differs = |at: usize| numbers[at] && !first_numbers[at];
    if is_pair && number > 1 && (differs(0) || differs(1)) {
        return read_as(path, Some(FirstLine::LikelyHeader));
    }
    let may_be_header = is_pair && number > 2 && first_numbers == [false; 2];
    let may_be_header = may_be_header && rows.first_row_is_alone();
    let mut interactions = rows.into_interactions();
    if interactions.is_empty() {
        return Err(table(format!(
            "all {number} counts are 0: select another column, or write only rows of songs that were played"
        )));
    }
    let names = quoted(&layout.names.join(", "));
    let mut notes = Vec::new();
    if layout.columns.count.is_none() {
        notes.push(format!("the table has no counts: each of the {number} rows is one play"));
    }
    if layout.kind == FirstLine::LikelyHeader {
        notes.push(format!(
            "the first line, {names}, is taken as a header, and the columns as {}",
            if layout.columns.user < layout.columns.item {
                "user and item"
            } else {
                "item and user"
            }
        ));
    }
    if may_be_header {
        notes.push(format!(
            "the first line, {names}, is counted as a play; if it is a header, rename its columns to user and item"
        ));
    }
    notes.extend(counts.notes());
    crate::note_count(
        &mut notes,
        "items named by their text because their id is empty",
        named_instead,
    );
    crate::note_count(
        &mut notes,
        "rows skipped because neither id nor text names their item",
        nameless,
    );
    interactions.notes.splice(0..0, notes);
    Ok(interactions)
}

/// What the first line says about the table.
struct Layout {
    columns: Columns,
    kind: FirstLine,
    /// The values of the first line.
    names: Vec<String>,
}

impl Layout {
    fn of(
        first: &ByteRecord,
        values: &Values,
        forced: Option<FirstLine>,
    ) -> Result<Layout, String> {
        let text = |field| String::from_utf8_lossy(&values.of(field)).trim().to_owned();
        let names: Vec<String> = first.iter().map(text).collect();
        let (columns, kind) = match forced {
            Some(kind) => (Columns::pair(), kind),
            None => Columns::of_first_line(&names)?,
        };
        Ok(Layout { columns, kind, names })
    }

    /// The message for a row of another width; `row_number` if it begins with its own number.
    fn wrong_width(&self, width: usize, row_number: bool) -> String {
        let expected = self.names.len();
        if row_number && self.kind != FirstLine::Play && width == expected + 1 {
            return format!(
                "the row has {width} values, the header has {expected}: if R wrote the names of the rows, write the \
                 table with row.names = FALSE"
            );
        }
        format!(
            "the row has {width} values, the first line has {expected}: put values that contain a separator in \
             quotes, close every quote, and write decimals with a point and thousands without a separator"
        )
    }
}

/// How the values of a table are written.
struct Values {
    tabs: bool,
    /// Whether text is in quotes between tabs, as R and others write it.
    quotes: bool,
}

impl Values {
    fn new(first_line: &[u8], delimiter: u8) -> Values {
        let tabs = delimiter == b'\t';
        let line = first_line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first_line).trim_ascii_end();
        // In published files between tabs, quotes are a part of some names.
        let mut texts = line
            .split(|c| *c == b'\t')
            .filter(|field| !is_number(&String::from_utf8_lossy(field)))
            .peekable();
        let quotes = tabs && texts.peek().is_some() && texts.all(|field| inside(field).is_some());
        Values { tabs, quotes }
    }

    /// A value without the quotes around it.
    fn of<'a>(&self, field: &'a [u8]) -> Cow<'a, [u8]> {
        // The CSV reader removes quotes, but not behind a blank.
        let may_have_quotes = match self.tabs {
            true => self.quotes,
            false => field.starts_with(b" "),
        };
        match inside(field.trim_ascii()).filter(|_| may_have_quotes) {
            None => field.into(),
            Some(inside) if !inside.contains(&b'"') => inside.into(),
            Some(inside) => {
                // A quote within is doubled, or follows a backslash.
                let mut text = Vec::with_capacity(inside.len());
                let mut rest = inside;
                while let [first, others @ ..] = rest {
                    let escapes = matches!(first, b'"' | b'\\') && others.first() == Some(&b'"');
                    text.push(if escapes { b'"' } else { *first });
                    rest = &others[usize::from(escapes)..];
                }
                text.into()
            }
        }
    }

    /// A message if the CSV reader took a quote behind a backslash for the end of a value.
    fn escaped_quote(&self, id: &[u8]) -> Option<String> {
        let broken =
            !self.tabs && id.ends_with(b"\"") && !id.starts_with(b"\"") && id.contains(&b'\\');
        broken.then(|| {
            format!(
                "{} has a backslash before a quote: double the quote instead (in R, qmethod = \"double\")",
                quoted(&String::from_utf8_lossy(id))
            )
        })
    }
}

/// The bytes between two quotes.
fn inside(field: &[u8]) -> Option<&[u8]> {
    field.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// The first line that is not empty.
fn first_line(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = open(path)?.take(LONGEST_LINE);
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line)? > 0 && matches!(line[..], [b'\n'] | [b'\r', b'\n']) {
        line.clear();
    }
    Ok(line)
}

/// The delimiter of a line: a tab if it has one, else the more frequent of semicolon and comma, and of equally many the semicolon if there are
/// several. Quoted text does
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
    // In a count with two commas, these separate thousands.
    if semicolons > commas || semicolons >= 2 && semicolons == commas { b';' } else { b',' }
}

/// The line, from 1, of the record that begins at a byte; needed only for error messages.
fn line_of(path: &Path, byte: u64) -> std::io::Result<u64> {
    let mut text = Vec::new();
    let mut file = open(path)?;
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
