//! Tables, as HTML and as plain text.

use std::fmt::Write;

use maud::{Markup, html};

use super::{figures, format};
use crate::evaluation::spread::Spread;

/// A table cell, which has a plain and an HTML form.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    html: Markup,
    /// What the column is sorted by; the text without it.
    value: Option<f64>,
    /// Shown when the pointer is over the cell.
    hint: Option<String>,
    /// Share of the strongest background, from 0 to 1.
    heat: Option<f64>,
    bold: bool,
}

impl Cell {
    /// Text, escaped in HTML.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { html: html! { (text) }, text, value: None, hint: None, heat: None, bold: false }
    }

    /// A number as text, and as what the column is sorted by.
    pub fn number(text: impl Into<String>, value: f64) -> Self {
        Self { value: Some(value), ..Self::new(text) }
    }

    /// A dash where a value is not defined.
    pub fn or_dash<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
        value.map_or_else(|| Self::new(format::NONE), cell)
    }

    /// A number and, less prominent, what belongs to it.
    pub fn with_detail(text: String, detail: &str, value: f64) -> Self {
        let html = html! { (text) span class="deviation" { " " (detail) } };
        Self { html, ..Self::number(format!("{text} {detail}"), value) }
    }

    /// Mean and standard deviation.
    pub fn spread(spread: Option<Spread>) -> Self {
        Self::or_dash(spread, |spread| match spread.deviation {
            None => Self::number(format::score(spread.mean), spread.mean),
            Some(deviation) => {
                let detail = format!("± {}", format::score(deviation));
                Self::with_detail(format::score(spread.mean), &detail, spread.mean)
            }
        })
    }

    /// Name of a group with its colour.
    pub fn group(index: usize, name: &str) -> Self {
        let html = html! { (figures::swatch(index)) (name) };
        Self { html, ..Self::new(name) }
    }

    /// Another form in HTML.
    pub fn with_html(self, html: Markup) -> Self {
        Self { html, ..self }
    }

    /// A second line in HTML.
    pub fn with_note(self, note: &str) -> Self {
        let html = html! { (self.html) @if !note.is_empty() { small { (note) } } };
        Self { html, ..self }
    }

    /// What appears when the pointer is over the cell.
    pub fn with_hint(self, hint: String) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// Background in proportion to a number from 0 to 1.
    pub fn with_heat(self, heat: f64) -> Self {
        Self { heat: Some(heat), ..self }
    }

    /// Bold in HTML if `bold`.
    pub fn bold_if(self, bold: bool) -> Self {
        Self { bold, ..self }
    }

    fn data(&self, column: &Column) -> Markup {
        let class = match (column.number, self.bold) {
            (true, true) => Some("n best"),
            (true, false) => Some("n"),
            (false, true) => Some("best"),
            (false, false) => None,
        };
        let shade = self.heat.map(|heat| {
            format!("background:color-mix(in srgb,var(--c0) {:.0}%,transparent)", 45.0 * heat)
        });
        html! { td class=[class] data-value=[self.value] title=[self.hint.as_deref()] style=[shade] { (self.html) } }
    }
}

/// Heading of a table column.
#[derive(Clone, Debug)]
pub struct Column {
    title: String,
    /// Heading that neighbouring columns share.
    over: Option<String>,
    /// Group whose colour is shown.
    group: Option<usize>,
    number: bool,
}

impl Column {
    /// A column of text, aligned to the left.
    pub fn text(title: impl Into<String>) -> Self {
        Self { title: title.into(), over: None, group: None, number: false }
    }

    /// A column of numbers, aligned to the right.
    pub fn number(title: impl Into<String>) -> Self {
        Self { number: true, ..Self::text(title) }
    }

    /// Shows the colour of a group.
    pub fn of_group(self, group: usize) -> Self {
        Self { group: Some(group), ..self }
    }

    /// Sets the heading that neighbouring columns share.
    pub fn below(self, over: impl Into<String>) -> Self {
        Self { over: Some(over.into()), ..self }
    }
}

/// A table; every row has one cell per column.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// CSS classes.
    pub class: &'static str,
    pub columns: Vec<Column>,
    /// A row that sorting leaves on top.
    pub pinned: Option<Vec<Cell>>,
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// The table in HTML; the first cell of a row is its heading.
    pub fn html(&self) -> Markup {
        let levels = 1 + usize::from(self.columns.iter().any(|column| column.over.is_some()));
        let head = |column: &Column| {
            let rows = if column.over.is_none() { levels } else { 1 };
            html! {
                th rowspan=[(rows > 1).then_some(rows)] class=[column.number.then_some("n")] {
                    @if let Some(group) = column.group { (figures::swatch(group)) }
                    (column.title)
                }
            }
        };
        html! {
            div class=(if self.class.contains("tags") { "scroll tall" } else { "scroll" }) {
                table class=[(!self.class.is_empty()).then_some(self.class)] {
                    thead {
                        tr {
                            @for columns in self.columns.chunk_by(|a, b| a.over == b.over) {
                                @match &columns[0].over {
                                    Some(over) => th colspan=(columns.len()) class="over" { (over) },
                                    None => @for column in columns { (head(column)) },
                                }
                            }
                        }
                        @if levels > 1 {
                            tr { @for column in self.columns.iter().filter(|c| c.over.is_some()) { (head(column)) } }
                        }
                        @if let Some(row) = &self.pinned {
                            tr class="mean" { @for (cell, column) in row.iter().zip(&self.columns) { (cell.data(column)) } }
                        }
                    }
                    tbody {
                        @for row in &self.rows {
                            tr {
                                @for (index, (cell, column)) in row.iter().zip(&self.columns).enumerate() {
                                    @if index == 0 { th scope="row" { (cell.html) } } @else { (cell.data(column)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// The table in aligned columns of plain text. Control characters are replaced by U+FFFD.
    pub fn text(&self) -> String {
        let titles = self.columns.iter().map(|column| column.title.as_str()).collect();
        let cells = |row: &'_ Vec<Cell>| row.iter().map(|cell| cell.text.clone()).collect();
        let rows: Vec<Vec<String>> = std::iter::once(titles)
            .map(|titles: Vec<&str>| titles.into_iter().map(str::to_owned).collect())
            .chain(self.rows.iter().map(cells))
            .map(|row: Vec<String>| row.iter().map(|text| printable(text)).collect())
            .collect();
        let width =
            |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for row in &rows {
            let mut line = String::new();
            for ((cell, &width), column) in row.iter().zip(&widths).zip(&self.columns) {
                let _ = match column.number {
                    true => write!(line, "{cell:>width$}  "),
                    false => write!(line, "{cell:<width$}  "),
                };
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}

/// The text without characters that control a terminal.
pub fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
