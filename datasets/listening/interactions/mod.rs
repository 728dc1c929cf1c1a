//! Play counts as a sparse matrix with one row per user and one column per item.

mod columns;
mod counts;
mod delimited;
mod format;
mod json_lines;
mod rows;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::DatasetError;
use crate::text_files::require_file;

/// Play counts. Rows are in the order in which the users first appear, columns in the order of the items.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interactions {
    users: Vec<String>,
    items: Vec<String>,
    /// Start of every user's interactions in the two lists below, and the end of the last, `[users + 1]`.
    offsets: Vec<usize>,
    /// Items, ascending within a user, without duplicates.
    columns: Vec<u32>,
    /// Finite and above 0.
    counts: Vec<f32>,
    /// What was merged or skipped while reading, one note each, with counts.
    pub notes: Vec<String>,
}

/// The number of times that a user played an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Play {
    /// The user's row.
    pub user: u32,
    /// The item's column.
    pub item: u32,
    /// Finite, at least 0.
    pub count: f32,
}

/// [`Interactions`] as a matrix in compressed sparse rows, `[users, items]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// Ids of the rows, `[users]`.
    pub users: Vec<String>,
    /// Ids of the columns, `[items]`.
    pub items: Vec<String>,
    /// Start of every row in the two lists below, and the end of the last, `[users + 1]`.
    pub offsets: Vec<usize>,
    /// Ascending within a row, without duplicates.
    pub columns: Vec<u32>,
    /// Finite and above 0.
    pub counts: Vec<f32>,
}

impl Interactions {
    /// Reads a table of user, item and count. The name of the file does not matter; gzip is decompressed.
    ///
    /// - Commas, semicolons or tabs separate the values, whichever the first line contains. Values may be in
    ///   double quotes; between tabs only if all text in the first line is.
    /// - The first line is a header if it names a user column, or if it has at least three values and none is
    ///   a number; in a table of two columns, if it names user and item, or if a column has numbers only below it.
    ///   Columns are then found by name (`user`, `item`, `count` or a common synonym; types as in RecBole's
    ///   `user_id:token` are ignored), and other columns are ignored. Without a header the columns are user, item
    ///   and count, in this order, or those of the Last.fm data sets 360K and 1K.
    /// - In a table of two columns, and in a log with a column of times and no counts, every row is one play.
    /// - Ids are any text without line breaks; blanks around them are removed. Rows of the same user and item are
    ///   summed; rows with a count of 0 are skipped. Separators between thousands are removed if they cannot be
    ///   decimal points.
    ///
    /// JSON lines are read as well: objects with keys for user, item and count, or listens of ListenBrainz, of which
    /// each is one play.
    ///
    /// # Errors
    /// If the file cannot be read or has another format, or a line is wrong.
    pub fn read(path: &Path) -> Result<Interactions, DatasetError> {
        require_file(
            path,
            "write a table with a row user,item,count for every song that a user played",
        )?;
        match format::format_of(path)? {
            format::Format::Delimited => delimited::read(path),
            format::Format::JsonLines => json_lines::read(path),
        }
    }

    /// Builds the matrix. Plays of the same user and item are summed, plays with a count of 0 are skipped; the
    /// notes have the numbers.
    ///
    /// # Panics
    /// If a play's user or item is out of range.
    pub fn from_plays(users: Vec<String>, items: Vec<String>, plays: Vec<Play>) -> Interactions {
        // A counting sort keeps the order of the plays within a row, in linear time and with one copy.
        let mut offsets = vec![0_usize; users.len() + 1];
        let total = plays.len();
        for play in plays.iter().filter(|play| play.count > 0.0) {
            assert!((play.item as usize) < items.len(), "item {} is out of range", play.item);
            offsets[play.user as usize + 1] += 1;
        }
        for user in 0..users.len() {
            offsets[user + 1] += offsets[user];
        }
        let kept = offsets[users.len()];
        let mut next = offsets.clone();
        let mut pairs = vec![(0_u32, 0.0_f32); kept];
        for play in plays.iter().filter(|play| play.count > 0.0) {
            let index = &mut next[play.user as usize];
            pairs[*index] = (play.item, play.count);
            *index += 1;
        }
        drop(plays);

        let (mut columns, mut counts) = (Vec::with_capacity(kept), Vec::with_capacity(kept));
        let (mut begins, mut too_large) = (0, 0);
        for user in 0..users.len() {
            let ends = offsets[user + 1];
            let row = &mut pairs[begins..ends];
            // The sort is stable, so that sums do not depend on the algorithm.
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
        crate::note_count(&mut notes, "rows skipped because their count is 0", total - kept);
        let merged = "rows added to an earlier row of the same user and item";
        crate::note_count(&mut notes, merged, kept - columns.len());
        crate::note_count(&mut notes, &format!("sums clamped to {:e}", f32::MAX), too_large);
        Interactions { users, items, offsets, columns, counts, notes }
    }

    /// Ids of the users in the order of the rows, `[users]`.
    pub fn users(&self) -> &[String] {
        &self.users
    }

    /// Ids of the items in the order of the columns, `[items]`.
    pub fn items(&self) -> &[String] {
        &self.items
    }

    /// Number of pairs of a user and an item that the user played.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether nobody played anything.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The items that a user played, ascending, and their counts.
    ///
    /// # Panics
    /// If `user` is out of range.
    pub fn of_user(&self, user: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[user]..self.offsets[user + 1];
        (&self.columns[range.clone()], &self.counts[range])
    }

    /// All plays, ordered by user, then by item.
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

    /// The plays of some items; the lists of users and items do not change.
    pub fn only_items(&self, keep: impl Fn(usize) -> bool) -> Interactions {
        let kept = self.plays().filter(|play| keep(play.item as usize)).collect();
        Interactions::from_plays(self.users.clone(), self.items.clone(), kept)
    }

    /// The matrix, without copying.
    pub fn into_parts(self) -> Parts {
        let Interactions { users, items, offsets, columns, counts, .. } = self;
        Parts { users, items, offsets, columns, counts }
    }
}
