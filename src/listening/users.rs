//! The users to recommend to, with one vector each.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use datasets::Interactions;

use crate::error::{Error, Result};
use crate::listening::catalogue::Item;
use crate::listening::factors::FactorTable;
use crate::listening::matrix::Matrix;

/// Users with their factors and the items that each has played.
#[derive(Clone, Debug)]
pub struct Users {
    /// In the order of the factors.
    pub ids: Vec<String>,
    /// `[user, factor]`
    pub factors: Matrix,
    /// Item ids by user id.
    played: HashMap<String, HashSet<String>>,
}

impl Users {
    /// The users of a table of factors. Without `plays`, no user has played anything.
    ///
    /// # Errors
    /// If the table has biases, or its factors are not whole rows. `folder` is named in the message.
    pub fn new(
        table: FactorTable,
        n_factors: usize,
        folder: &Path,
        plays: Option<&Interactions>,
    ) -> Result<Users> {
        let (ids, factors) = table.without_biases(n_factors, folder)?;
        Ok(Users { ids, factors, played: plays.map(items_by_user).unwrap_or_default() })
    }

    /// The row of a user.
    ///
    /// # Errors
    /// If the id does not exist; the message names the most similar ids.
    pub fn position(&self, id: &str) -> Result<usize> {
        if let Some(row) = self.ids.iter().position(|known| known == id) {
            return Ok(row);
        }
        let mut similar: Vec<(usize, &String)> =
            self.ids.iter().map(|known| (strsim::damerau_levenshtein(id, known), known)).collect();
        similar.sort();
        let similar: Vec<String> =
            similar.iter().take(3).map(|(_, id)| format!("{id:?}")).collect();
        Err(Error::Data(format!(
            "user {id:?} does not exist; the most similar of the {} users with factors are {}",
            self.ids.len(),
            similar.join(", ")
        )))
    }

    /// The row of a user with factors.
    ///
    /// # Errors
    /// If the id does not exist, or all its factors are 0.
    pub fn position_with_factors(&self, id: &str) -> Result<usize> {
        let row = self.position(id)?;
        match self.factors.is_zero(row) {
            false => Ok(row),
            true => Err(Error::Data(format!(
                "user {id:?} has no factors (all are 0), because none of its plays was used to compute them: every item \
                 has the same score for it, so that nothing can be recommended; choose another user"
            ))),
        }
    }

    /// The users with factors: `[row]`, ascending.
    pub fn with_factors(&self) -> Vec<u32> {
        (0..self.ids.len())
            .filter(|&row| !self.factors.is_zero(row))
            .map(|row| row as u32)
            .collect()
    }

    /// Rows of the items that a user has played, in ascending order.
    pub fn played(&self, user: usize, items: &[Item]) -> Vec<u32> {
        let Some(played) = self.played.get(&self.ids[user]) else { return Vec::new() };
        let rows = (0..).zip(items).filter(|(_, item)| played.contains(&item.id));
        rows.map(|(row, _)| row).collect()
    }
}

fn items_by_user(plays: &Interactions) -> HashMap<String, HashSet<String>> {
    let items = |user| {
        let (items, _) = plays.of_user(user);
        items.iter().map(|&item| plays.items()[item as usize].clone()).collect()
    };
    plays.users().iter().enumerate().map(|(user, id)| (id.clone(), items(user))).collect()
}
