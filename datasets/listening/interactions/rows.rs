//! The plays of a table, collected row by row.

use indexmap::IndexSet;

use super::{Interactions, Play};
use crate::error::quoted;

/// The plays of a table; users and items are numbered in order of appearance.
#[derive(Default)]
pub(super) struct Rows {
    users: Ids,
    items: Ids,
    plays: Vec<Play>,
}

impl Rows {
    /// Adds a row. Blanks around ids are removed.
    pub fn add(&mut self, user: &[u8], item: &[u8], count: f32) -> Result<(), String> {
        let user = self.users.index("user", user)?;
        let item = self.items.index("item", item)?;
        self.plays.push(Play { user, item, count });
        Ok(())
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.plays.len()
    }

    /// Whether neither the user nor the item of the first row is in another row.
    pub fn first_row_is_alone(&self) -> bool {
        self.plays.iter().skip(1).all(|play| play.user > 0 && play.item > 0)
    }

    /// The matrix, with notes on what was changed.
    pub fn into_interactions(self) -> Interactions {
        let trimmed = self.users.trimmed + self.items.trimmed;
        let (users, items) = (self.users.into_vec(), self.items.into_vec());
        let mut interactions = Interactions::from_plays(users, items, self.plays);
        crate::note_count(&mut interactions.notes, "ids without the blanks around them", trimmed);
        interactions
    }
}

/// Ids in order of appearance.
#[derive(Default)]
struct Ids {
    ids: IndexSet<String>,
    /// Index of the preceding row's id. Tables are often sorted by user, so this saves many look-ups.
    last: usize,
    /// The number of values with blanks around the id.
    trimmed: usize,
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
            let id = text.trim_matches([' ', '\t', '\u{a0}', '\u{3000}', '\u{feff}']);
            self.trimmed += usize::from(id.len() < text.len());
            self.last = match self.ids.get_index_of(id) {
                Some(index) => index,
                None if id.trim().is_empty() => {
                    return Err(format!("the {what} is empty: give every {what} an id"));
                }
                // An unclosed quote turns all following lines into one value.
                None if id.contains(is_line_break) => {
                    return Err(format!(
                        "the {what} {} contains a line break: remove it, or close the quote",
                        quoted(id)
                    ));
                }
                None if id.contains('\0') => {
                    return Err(format!(
                        "the {what} {} contains a zero byte: get the file again, or save it as UTF-8",
                        quoted(id)
                    ));
                }
                None => self.ids.insert_full(id.to_owned()).0,
            };
        }
        u32::try_from(self.last)
            .map_err(|_| format!("the table has more than {} {what}s", u32::MAX))
    }
}

fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r')
}
