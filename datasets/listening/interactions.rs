//! Who listened to what, and how often: listening data as a sparse matrix, a row a user.
//!
//! [`Interactions::read`] takes a table of user, item and count from anywhere; data sets with files of
//! their own have files of their own here.

pub mod file;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::DatasetError;

/// Listening data. Rows are in the order in which users first appear, columns in that of items.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interactions {
    users: Vec<String>,
    items: Vec<String>,
    /// Where each user's interactions begin in the two lists below, and where the last end.
    offsets: Vec<usize>,
    /// Items, rising within a user, without repeats.
    columns: Vec<u32>,
    /// Above 0.
    counts: Vec<f32>,
    /// What was added up or left out while reading, one sentence each, with counts.
    pub notes: Vec<String>,
}

/// One user's plays of one item, before they are put in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Play {
    /// Row.
    pub user: u32,
    /// Column.
    pub item: u32,
    /// Finite, 0 or more.
    pub count: f32,
}

/// The parts of [`Interactions`]: `offsets`, `columns` and `counts` are a matrix in compressed
/// sparse rows, `[users, items]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// Ids of the rows.
    pub users: Vec<String>,
    /// Ids of the columns.
    pub items: Vec<String>,
    /// Where each row begins in the two lists below, and where the last ends.
    pub offsets: Vec<usize>,
    /// Rising within a row, without repeats.
    pub columns: Vec<u32>,
    /// Finite and above 0.
    pub counts: Vec<f32>,
}

impl Interactions {
    /// Reads a table of user, item and count (`.csv`, `.tsv` or any other name).
    ///
    /// - Values are separated by commas, semicolons or tabs, whichever the first line has. Between
    ///   commas and semicolons, values may stand in double quotes; between tabs quotes are letters.
    /// - A first line that names a column of users is a header, as is one of three values or more with
    ///   no number among them. Columns are then found by name (`user`, `item`, `count` and what
    ///   others call these), and further ones are passed over. Without a header they are user, item
    ///   and count, in this order.
    /// - Two columns are users and items that were played once a row.
    /// - Ids are any text. Rows of one user and item are added up; rows with a count of 0 are left
    ///   out.
    ///
    /// # Errors
    /// If the file cannot be read, or a line is not what it should be; the message has the line.
    pub fn read(path: &Path) -> Result<Interactions, DatasetError> {
        table::read(path)
    }

    /// Puts plays in order. Those of one user and item are added up, those with a count of 0 are
    /// left out; the notes say how many.
    ///
    /// # Panics
    /// If a play names a user or an item that is not there.
    pub fn from_plays(users: Vec<String>, items: Vec<String>, plays: Vec<Play>) -> Interactions {
        // Sorting by counting: rows keep the order of the plays, in linear time and one copy.
        let mut offsets = vec![0_usize; users.len() + 1];
        let total = plays.len();
        for play in plays.iter().filter(|play| play.count > 0.0) {
            assert!((play.item as usize) < items.len(), "item {} does not exist", play.item);
            offsets[play.user as usize + 1] += 1;
        }
        for user in 0..users.len() {
            offsets[user + 1] += offsets[user];
        }
        let kept = offsets[users.len()];
        let mut next = offsets.clone();
        let mut pairs = vec![(0_u32, 0.0_f32); kept];
        for play in plays.iter().filter(|play| play.count > 0.0) {
            let place = &mut next[play.user as usize];
            pairs[*place] = (play.item, play.count);
            *place += 1;
        }
        drop(plays);

        let (mut columns, mut counts) = (Vec::with_capacity(kept), Vec::with_capacity(kept));
        let (mut begins, mut too_large) = (0, 0);
        for user in 0..users.len() {
            let ends = offsets[user + 1];
            let row = &mut pairs[begins..ends];
            // Stable: sums do not depend on how the sort is done.
            row.sort_by_key(|pair| pair.0);
            for same in row.chunk_by(|a, b| a.0 == b.0) {
                columns.push(same[0].0);
                let sum: f64 = same.iter().map(|pair| f64::from(pair.1)).sum();
                too_large += usize::from(sum > f64::from(f32::MAX));
                counts.push(sum.min(f64::from(f32::MAX)) as f32);
            }
            begins = ends;
            offsets[user + 1] = columns.len();
        }
        let mut notes = Vec::new();
        if total > kept {
            notes.push(format!("rows with a count of 0, left out: {}", total - kept));
        }
        if kept > columns.len() {
            notes.push(format!(
                "rows whose user and item stood in an earlier row, added to it: {}",
                kept - columns.len()
            ));
        }
        if too_large > 0 {
            notes.push(format!("sums above {:e}, cut to that: {too_large}", f32::MAX));
        }
        Interactions { users, items, offsets, columns, counts, notes }
    }

    /// Ids of the users, in the order of the rows.
    pub fn users(&self) -> &[String] {
        &self.users
    }

    /// Ids of the items, in the order of the columns.
    pub fn items(&self) -> &[String] {
        &self.items
    }

    /// Pairs of a user and an item that the user played.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether nobody played anything.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The items that a user played, rising, and how often each.
    ///
    /// # Panics
    /// If there is no such user.
    pub fn of_user(&self, user: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[user]..self.offsets[user + 1];
        (&self.columns[range.clone()], &self.counts[range])
    }

    /// All plays, by user and then by item.
    pub fn plays(&self) -> impl Iterator<Item = Play> {
        (0..self.users.len()).flat_map(|user| {
            let (items, counts) = self.of_user(user);
            items.iter().zip(counts).map(move |(&item, &count)| Play {
                user: user as u32,
                item,
                count,
            })
        })
    }

    /// The parts, for a matrix without copying.
    pub fn into_parts(self) -> Parts {
        let Interactions { users, items, offsets, columns, counts, .. } = self;
        Parts { users, items, offsets, columns, counts }
    }
}
