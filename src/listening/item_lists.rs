//! Lists of items, one per user or query.

use crate::error::Error;

/// Lists of items, one per user or query; lists can be empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemLists {
    /// List `r` is `items[starts[r]..starts[r + 1]]`.
    starts: Vec<usize>,
    /// In ascending order within a list.
    items: Vec<u32>,
}

/// Why item lists are invalid.
#[allow(missing_docs, reason = "a variant is what its message says")]
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum ItemListError {
    #[error("user {user}: item {item} is listed twice; merge its plays into one")]
    Twice { user: usize, item: u32 },
    #[error("user {user} does not exist; there are {users} users")]
    NoSuchUser { user: u32, users: usize },
}

impl From<ItemListError> for Error {
    fn from(error: ItemListError) -> Self {
        Self::Data(error.to_string())
    }
}

impl ItemLists {
    /// One list per row; the items of a row can be in any order.
    ///
    /// # Errors
    /// If a row lists an item twice.
    pub fn from_rows<R: AsRef<[u32]>>(
        rows: impl IntoIterator<Item = R>,
    ) -> Result<Self, ItemListError> {
        let mut lists = Self { starts: vec![0], items: Vec::new() };
        for row in rows {
            lists.items.extend_from_slice(row.as_ref());
            lists.starts.push(lists.items.len());
        }
        lists.sorted()
    }

    /// Lists for `users` users from pairs of user and item, in any order.
    ///
    /// # Errors
    /// If a user is not below `users`, or a pair occurs twice.
    pub fn from_pairs(users: usize, pairs: &[(u32, u32)]) -> Result<Self, ItemListError> {
        let mut starts = vec![0; users + 1];
        for &(user, _) in pairs {
            match starts.get_mut(user as usize + 1) {
                Some(count) => *count += 1,
                None => return Err(ItemListError::NoSuchUser { user, users }),
            }
        }
        for user in 0..users {
            starts[user + 1] += starts[user];
        }
        let mut next = starts.clone();
        let mut items = vec![0; pairs.len()];
        for &(user, item) in pairs {
            items[next[user as usize]] = item;
            next[user as usize] += 1;
        }
        Self { starts, items }.sorted()
    }

    fn sorted(mut self) -> Result<Self, ItemListError> {
        for user in 0..self.users() {
            let row = &mut self.items[self.starts[user]..self.starts[user + 1]];
            row.sort_unstable();
            if let Some(pair) = row.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(ItemListError::Twice { user, item: pair[0] });
            }
        }
        Ok(self)
    }

    /// The number of lists.
    pub fn users(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The number of items in all lists together.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether all lists are empty.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The items of `user`, in ascending order.
    ///
    /// # Panics
    /// If `user` is not below [`ItemLists::users`].
    pub fn row(&self, user: usize) -> &[u32] {
        &self.items[self.starts[user]..self.starts[user + 1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_mistakes_are_named() {
        let pairs = ItemLists::from_pairs(3, &[(2, 3), (0, 5), (0, 1)]).unwrap();
        assert_eq!(pairs, ItemLists::from_rows([vec![5, 1], vec![], vec![3]]).unwrap());
        assert_eq!((pairs.row(0), pairs.users(), pairs.len()), (&[1, 5][..], 3, 3));
        let error = ItemLists::from_pairs(2, &[(0, 1), (2, 0)]).unwrap_err().to_string();
        assert_eq!(error, "user 2 does not exist; there are 2 users");
        let error = ItemLists::from_rows([vec![4, 4]]).unwrap_err().to_string();
        assert!(error.starts_with("user 0: item 4 is listed twice"), "{error}");
        assert_eq!(ItemLists::default().users(), 0);
    }
}
