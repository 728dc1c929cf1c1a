//! A subset of listening data: the items that most users play, and a sample of the users.
//!
//! van den Oord, Dieleman & Schrauwen (2013), Deep content-based music recommendation, NIPS, use the
//! 9 330 most popular songs and 20 000 users in their smaller experiment. The paper states neither how
//! popularity was measured nor how users were chosen: here popularity is the number of users who play an item,
//! and users are drawn at random from those who play any of these items.

use serde::{Deserialize, Serialize};

use crate::listening::interactions::Play;
use crate::random::{Purpose, Stream};
use crate::{DatasetError, Interactions};

/// The most played items and a sample of the users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Subset {
    /// Number of items to keep, those with the most users first; 0 keeps all. Default: 0.
    pub most_played: usize,
    /// Number of users to draw from those who play any of these items; 0 keeps all. Default: 0.
    pub users: usize,
    /// Seed of the draw. Default: 1.
    pub seed: u64,
}

impl Default for Subset {
    fn default() -> Self {
        Self { most_played: 0, users: 0, seed: 1 }
    }
}

impl Subset {
    pub(crate) fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// The subset of `plays`. Items and users keep their order; a note is added.
    ///
    /// # Errors
    /// If the data has fewer items or users than requested.
    pub fn of(&self, plays: Interactions) -> Result<Interactions, DatasetError> {
        if self.most_played == 0 && self.users == 0 {
            return Ok(plays);
        }
        let too_few = |key: &str, value: usize, available: usize| {
            let remedy = format!("the data has only {available}; lower it, or set it to 0 for all");
            DatasetError::config("subset", key, value, remedy)
        };
        let mut listeners = vec![0_usize; plays.items().len()];
        plays.plays().for_each(|play| listeners[play.item as usize] += 1);
        let mut order: Vec<usize> =
            (0..listeners.len()).filter(|&item| listeners[item] > 0).collect();
        // The sort is stable: of equally popular items the first are kept.
        order.sort_by_key(|&item| std::cmp::Reverse(listeners[item]));
        if self.most_played > order.len() {
            return Err(too_few("most_played", self.most_played, order.len()));
        }
        if self.most_played > 0 {
            order.truncate(self.most_played);
        }
        let mut item_kept = vec![false; listeners.len()];
        order.iter().for_each(|&item| item_kept[item] = true);

        let plays_any =
            |user: &usize| plays.of_user(*user).0.iter().any(|&item| item_kept[item as usize]);
        let mut users: Vec<usize> = (0..plays.users().len()).filter(plays_any).collect();
        let available = users.len();
        if self.users > available {
            return Err(too_few("users", self.users, available));
        }
        if self.users > 0 {
            let mut stream = Stream::new(self.seed, 0, Purpose::Subset, 0);
            // The first steps of a Fisher-Yates shuffle.
            for index in 0..self.users {
                users.swap(index, index + stream.below(available - index));
            }
            users.truncate(self.users);
            users.sort_unstable();
        }

        let mut number = vec![0_u32; listeners.len()];
        let mut items = Vec::new();
        for (item, id) in plays.items().iter().enumerate().filter(|(item, _)| item_kept[*item]) {
            number[item] = items.len() as u32;
            items.push(id.clone());
        }
        let mut kept = Vec::new();
        for (row, &user) in users.iter().enumerate() {
            let (columns, counts) = plays.of_user(user);
            let pairs = columns.iter().zip(counts).filter(|pair| item_kept[*pair.0 as usize]);
            kept.extend(pairs.map(|(&item, &count)| Play {
                user: row as u32,
                item: number[item as usize],
                count,
            }));
        }
        let ids: Vec<String> = users.iter().map(|&user| plays.users()[user].clone()).collect();
        let (all_users, all_items) = (plays.users().len(), plays.items().len());
        let mut subset = Interactions::from_plays(ids, items, kept);
        let mut notes = plays.notes.clone();
        notes.push(format!(
            "subset of the listening data: {} of {all_users} users, the {} most played of {all_items} \
             items",
            subset.users().len(),
            subset.items().len()
        ));
        notes.append(&mut subset.notes);
        subset.notes = notes;
        Ok(subset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plays() -> Interactions {
        let ids = |kind: &str, count| (0..count).map(|at| format!("{kind}{at}")).collect();
        let mut all = Vec::new();
        // Users 0 to 9 play item 0, users 0 to 8 play item 1, and so on; user 10 plays only item 9.
        for item in 0..10_u32 {
            for user in 0..10 - item {
                all.push(Play { user, item, count: (1 + user) as f32 });
            }
        }
        all.push(Play { user: 10, item: 9, count: 7.0 });
        Interactions::from_plays(ids("u", 11), ids("i", 10), all)
    }

    #[test]
    fn most_played_items_and_their_users_are_kept() {
        let subset = Subset { most_played: 3, ..Subset::default() }.of(plays()).unwrap();
        assert_eq!(subset.items(), ["i0", "i1", "i2"]);
        // User 10 plays none of them.
        assert_eq!(subset.users().len(), 10);
        assert_eq!(subset.of_user(9), (&[0][..], &[10.0][..]));
        assert_eq!(subset.of_user(0).0, [0, 1, 2]);
        assert!(
            subset.notes.iter().any(|note| note.contains("10 of 11 users")),
            "{:?}",
            subset.notes
        );

        let draw = |seed| Subset { most_played: 3, users: 4, seed }.of(plays()).unwrap();
        assert_eq!(draw(1).users().len(), 4);
        assert_eq!(draw(1).users(), draw(1).users());
        assert!((2..30).any(|seed| draw(seed).users() != draw(1).users()));
        for user in 0..4 {
            let id = draw(1).users()[user].clone();
            let whole = plays();
            let row = whole.users().iter().position(|other| *other == id).unwrap();
            let expected: Vec<u32> =
                whole.of_user(row).0.iter().copied().filter(|item| *item < 3).collect();
            assert_eq!(draw(1).of_user(user).0, expected);
        }
        let all = Subset::default().of(plays()).unwrap();
        assert_eq!((all.users().len(), all.items().len(), all.len()), (11, 10, plays().len()));
    }

    #[test]
    fn popularity_is_the_number_of_users_not_of_plays() {
        let play = |user, item, count| Play { user, item, count };
        let plays = [play(0, 0, 1_000.0), play(0, 1, 1.0), play(1, 1, 1.0)];
        let ids = |names: [&str; 2]| names.map(String::from).to_vec();
        let all = Interactions::from_plays(ids(["u", "v"]), ids(["a", "b"]), plays.to_vec());
        let subset = Subset { most_played: 1, ..Subset::default() }.of(all).unwrap();
        assert_eq!((subset.items(), subset.users().len()), (&["b".to_owned()][..], 2));
    }

    #[test]
    fn sizes_above_those_of_the_data_are_refused() {
        let error = Subset { most_played: 11, ..Subset::default() }.of(plays()).unwrap_err();
        assert!(error.to_string().contains("the data has only 10"), "{error}");
        let error = Subset { most_played: 1, users: 11, seed: 1 }.of(plays()).unwrap_err();
        assert!(error.to_string().contains("the data has only 10"), "{error}");
    }
}
