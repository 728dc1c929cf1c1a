//! What is kept from a recommender to judge it by: whole items, or some of each user's plays.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::listening::interactions::Play;
use crate::random::{Purpose, Stream};
use crate::{DatasetError, Interactions, Split};

/// Shares of the items that are for validation and for testing; the rest is for training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// From 0 to 1, like that of the test split.
    pub valid: f64,
    /// With that for validation at most 1.
    pub test: f64,
}

/// Gives whole items to splits, by chance: as many to each as its share says, to one.
///
/// # Errors
/// If the shares leave nothing for training, or there are so few items that a split whose share is
/// above 0 gets none.
pub fn hold_out_items(items: usize, shares: Shares, seed: u64) -> Result<Vec<Split>, DatasetError> {
    let Shares { valid, test } = shares;
    let fits = |share: f64| (0.0..1.0).contains(&share);
    if !(fits(valid) && fits(test) && valid + test < 1.0) {
        return Err(DatasetError::InvalidConfig {
            dataset: "hold_out".into(),
            key: "valid and test".into(),
            value: format!("{valid} and {test}"),
            remedy: "give shares from 0 to below 1 that leave something for training".into(),
        });
    }
    let count = |share: f64| (share * items as f64).round() as usize;
    let (tests, valids) = (count(test), count(valid));
    let lacks = |share: f64, number: usize| share > 0.0 && number == 0;
    if lacks(test, tests) || lacks(valid, valids) || tests + valids >= items {
        return Err(DatasetError::Split {
            dataset: format!("{items} items"),
            problem: format!(
                "shares of {valid} and {test} give {valids} to validation and {tests} to testing: \
                 each split needs one at least; add items, or give other shares"
            ),
        });
    }
    let mut stream = Stream::new(seed, 0, Purpose::HoldOut, 0);
    let mut order: Vec<usize> = (0..items).collect();
    // Fisher and Yates.
    for last in (1..items).rev() {
        order.swap(last, stream.below(last + 1));
    }
    let mut splits = vec![Split::Train; items];
    for (place, item) in order.into_iter().enumerate() {
        if place < tests {
            splits[item] = Split::Test;
        } else if place < tests + valids {
            splits[item] = Split::Valid;
        }
    }
    Ok(splits)
}

/// Gives whole items to splits by their ids, such as those of a collection's own split; items that
/// `split_of` does not know are left to training. Returns a split an item, and how many items it did
/// not know.
///
/// # Errors
/// If no item is for testing, or none for training.
pub fn hold_out_ids(
    plays: &Interactions,
    split_of: impl Fn(&str) -> Option<Split>,
) -> Result<(Vec<Split>, usize), DatasetError> {
    let mut unknown = 0;
    let splits: Vec<Split> = plays
        .items()
        .iter()
        .map(|id| {
            split_of(id).unwrap_or_else(|| {
                unknown += 1;
                Split::Train
            })
        })
        .collect();
    for needed in [Split::Train, Split::Test] {
        if !splits.contains(&needed) {
            return Err(DatasetError::Split {
                dataset: format!("{} items", splits.len()),
                problem: format!(
                    "none of them is for {needed}, and {unknown} are not known: name items by the ids \
                     that the listening data has"
                ),
            });
        }
    }
    Ok((splits, unknown))
}

/// The plays of some items only; users and items stay what they are.
pub fn only_items(plays: &Interactions, keep: impl Fn(usize) -> bool) -> Interactions {
    let kept = plays.plays().filter(|play| keep(play.item as usize)).collect();
    Interactions::from_plays(plays.users().to_vec(), plays.items().to_vec(), kept)
}

/// Takes a share of every user's plays away, by chance: what is left, and what was taken. Users with
/// one play keep it.
///
/// # Errors
/// If the share is not from 0 to below 1.
pub fn hold_out_plays(
    plays: &Interactions,
    share: f64,
    seed: u64,
) -> Result<(Interactions, Interactions), DatasetError> {
    if !(0.0..1.0).contains(&share) {
        return Err(DatasetError::InvalidConfig {
            dataset: "hold_out".into(),
            key: "share".into(),
            value: share.to_string(),
            remedy: "give a share from 0 to below 1".into(),
        });
    }
    let (mut left, mut taken) = (Vec::new(), Vec::new());
    for user in 0..plays.users().len() {
        let (items, counts) = plays.of_user(user);
        // Beside the numbers of `hold_out_items`, which belong to no user.
        let mut stream = Stream::new(seed, user as u64, Purpose::HoldOut, 1);
        let number = ((share * items.len() as f64).round() as usize).min(items.len().max(1) - 1);
        let mut order: Vec<usize> = (0..items.len()).collect();
        for last in (1..items.len()).rev() {
            order.swap(last, stream.below(last + 1));
        }
        for (place, at) in order.into_iter().enumerate() {
            let play = Play { user: user as u32, item: items[at], count: counts[at] };
            if place < number { &mut taken } else { &mut left }.push(play);
        }
    }
    let matrix =
        |kept| Interactions::from_plays(plays.users().to_vec(), plays.items().to_vec(), kept);
    Ok((matrix(left), matrix(taken)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(users: usize, items: usize) -> Interactions {
        let names = |what: &str, n: usize| (0..n).map(|i| format!("{what}{i}")).collect();
        let mut plays = Vec::new();
        for user in 0..users {
            for item in (0..items).filter(|item| (item * 7 + user * 3) % 4 != 0) {
                let count = (1 + item + user) as f32;
                plays.push(Play { user: user as u32, item: item as u32, count });
            }
        }
        Interactions::from_plays(names("u", users), names("i", items), plays)
    }

    #[test]
    fn items_are_held_out_whole_and_in_their_shares() {
        let shares = Shares { valid: 0.1, test: 0.2 };
        let splits = hold_out_items(1_000, shares, 7).unwrap();
        let count = |split| splits.iter().filter(|s| **s == split).count();
        assert_eq!([Split::Train, Split::Valid, Split::Test].map(count), [700, 100, 200]);
        assert_eq!(splits, hold_out_items(1_000, shares, 7).unwrap());
        assert_ne!(splits, hold_out_items(1_000, shares, 8).unwrap());
        // By chance, not by place: each tenth of the items loses about a fifth.
        for tenth in splits.chunks(100) {
            let tests = tenth.iter().filter(|s| **s == Split::Test).count();
            assert!((6..=36).contains(&tests), "{tests}");
        }
        let plays = matrix(20, 1_000);
        let train = only_items(&plays, |item| splits[item] == Split::Train);
        assert_eq!((train.users(), train.items()), (plays.users(), plays.items()));
        assert!(train.plays().all(|play| splits[play.item as usize] == Split::Train));
        let rest = only_items(&plays, |item| splits[item] != Split::Train);
        assert_eq!(train.len() + rest.len(), plays.len());
    }

    #[test]
    fn items_are_held_out_by_their_ids() {
        let plays = matrix(3, 6);
        let given = |id: &str| match id {
            "i1" | "i4" => Some(Split::Test),
            "i2" => Some(Split::Valid),
            "i0" => Some(Split::Train),
            _ => None,
        };
        let (splits, unknown) = hold_out_ids(&plays, given).unwrap();
        use Split::{Test, Train, Valid};
        assert_eq!((splits, unknown), (vec![Train, Test, Valid, Train, Test, Train], 2));
        let error = hold_out_ids(&plays, |_| None).unwrap_err().to_string();
        assert!(error.contains("for test, and 6 are not known"), "{error}");
        let error = hold_out_ids(&plays, |_| Some(Test)).unwrap_err().to_string();
        assert!(error.contains("for train, and 0 are not known"), "{error}");
    }

    #[test]
    fn plays_are_held_out_of_every_user() {
        let plays = matrix(30, 40);
        let (left, taken) = hold_out_plays(&plays, 0.2, 3).unwrap();
        let mut all: Vec<Play> = left.plays().chain(taken.plays()).collect();
        all.sort_by_key(|play| (play.user, play.item));
        assert_eq!(all, plays.plays().collect::<Vec<_>>());
        for user in 0..30 {
            let number = plays.of_user(user).0.len() as f64;
            assert_eq!(taken.of_user(user).0.len(), (0.2 * number).round() as usize);
        }
        assert_eq!(hold_out_plays(&plays, 0.2, 3).unwrap().1, taken);
        // One play is not taken away.
        let one = matrix(1, 2);
        assert_eq!(one.len(), 1);
        assert_eq!(hold_out_plays(&one, 0.9, 1).unwrap().1.len(), 0);
    }

    #[test]
    fn shares_out_of_bounds_are_refused() {
        for (valid, test) in [(0.5, 0.5), (-0.1, 0.2), (0.1, f64::NAN), (0.0, 1.0)] {
            let error = hold_out_items(10, Shares { valid, test }, 1).unwrap_err().to_string();
            assert!(error.contains(&format!("{valid} and {test}")), "{error}");
        }
        assert!(hold_out_plays(&matrix(2, 2), 1.0, 1).is_err());
        for (items, valid, test) in [(0, 0.1, 0.1), (3, 0.1, 0.4), (4, 0.4, 0.1), (1, 0.0, 0.9)] {
            let error = hold_out_items(items, Shares { valid, test }, 1).unwrap_err().to_string();
            assert!(error.contains(&format!("{items} items")), "{error}");
        }
        let no_valid = hold_out_items(10, Shares { valid: 0.0, test: 0.1 }, 1).unwrap();
        assert!(!no_valid.contains(&Split::Valid));
    }
}
