//! How well factors recommend: mean average precision, AUC, nDCG and recall of items held out.
//!
//! A user's score for an item is the inner product of their factors. Every user with a held-out
//! item ranks the candidates: the items of [`Options::candidates`], less those that
//! [`Options::exclude`] lists for the user. The user's held-out items are the positives, all other
//! candidates the negatives.
//!
//! The conventions:
//! - **Ranks** count from 1, from the highest score down; of equal scores the item that comes first
//!   is ranked first. mAP, nDCG and recall look at the ranks up to `k`.
//! - **AP@k** is the sum, over the positives at ranks up to `k`, of the share of positives among
//!   the ranks up to theirs, divided by the smaller of `k` and the number of positives.
//! - **nDCG@k** is the sum of `1 / log2(rank + 1)` over the same positives, divided by what it would
//!   be with the positives at the first ranks.
//! - **Recall@k** is the share of the positives that have such a rank.
//! - **AUC** is over all candidates: the share of (positive, negative) pairs in which the positive
//!   has the higher score; a tie counts half.
//! - **Means** are unweighted, over the users with at least one positive; that of AUC over those
//!   who also have a negative. Both numbers of users are part of the result.
//!
//! scikit-learn's `roc_auc_score` and `ndcg_score` define the same (`ndcg_score` gives tied items
//! the mean of their discounts, so it is the same only where none tie around rank `k`);
//! `metrics/recommendation/reference.json` holds its numbers for the tests.
//!
//! Nothing is sorted but a user's positives, and no more scores are held at once than a block of
//! users has for a stretch of items, so users times items may be of any size.
//!
//! # References
//! van den Oord, Dieleman, Schrauwen: "Deep content-based music recommendation", NIPS 2013, section
//! 5 (mAP with a cut-off at 500, and AUC). The cut-off is of McFee, Bertin-Mahieux, Ellis,
//! Lanckriet: "The Million Song Dataset Challenge", AdMIRe 2012.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::mean;
use crate::listening::item_lists::{ItemListError, ItemLists};
use crate::listening::matrix::{Matrix, MatrixError, products};

/// What is ranked, and how far down the ranks count.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The last rank that mAP, nDCG and recall look at.
    pub k: usize,
    /// The items that are ranked, in any order; all of them if `None`.
    pub candidates: Option<&'a [u32]>,
    /// Items that are no candidates for a user: mostly those that the user has in training.
    pub exclude: Option<&'a ItemLists>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { k: 500, candidates: None, exclude: None }
    }
}

/// How one user's positives are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UserScores {
    /// Held-out items.
    pub positives: usize,
    /// 0 for a user without positives, for whom nothing is ranked.
    pub negatives: usize,
    /// `None` without a positive, as are the next two.
    pub average_precision: Option<f64>,
    /// nDCG@k.
    pub ndcg: Option<f64>,
    /// Recall@k.
    pub recall: Option<f64>,
    /// `None` without a positive or without a negative.
    pub auc: Option<f64>,
}

/// Means over users. In JSON the keys say `k`: `map@500`, `ndcg@500`, `recall@500`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecommendationScores {
    /// The last rank that counts; see [`Options::k`].
    pub k: usize,
    /// `None` where no user has a positive, as are the next two.
    pub map: Option<f64>,
    /// Mean of nDCG@k.
    pub ndcg: Option<f64>,
    /// Mean of recall@k.
    pub recall: Option<f64>,
    /// `None` where no user has a positive and a negative.
    pub auc: Option<f64>,
    /// All users, with and without positives.
    pub n_users: usize,
    /// Users with at least one positive.
    pub n_users_scored: usize,
    /// Users with at least one positive and one negative.
    pub n_users_auc: usize,
}

/// Why nothing can be scored.
#[allow(missing_docs, reason = "a variant is what its message says")]
#[derive(Debug, thiserror::Error)]
pub enum RecommendationError {
    #[error("k is 0; mAP, nDCG and recall need at least one rank (500 is usual)")]
    NoRanks,
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    #[error(
        "there are {what} of {lists} users and factors of {users}; give every user a list, empty \
         where there is nothing"
    )]
    Users { what: &'static str, lists: usize, users: usize },
    #[error(transparent)]
    Lists(#[from] ItemListError),
    #[error("candidate {item} is there twice; name each once")]
    CandidateTwice { item: u32 },
    #[error("{whose}: item {item} does not exist; there are factors of {items}")]
    NoSuchItem { whose: String, item: u32, items: usize },
    #[error(
        "user {user}: the held-out item {item} is {why}, so it can never be recommended; leave it \
         out of one of the two lists"
    )]
    NotACandidate { user: usize, item: u32, why: &'static str },
    #[error(
        "the score of user {user} for item {item} is {score}; only finite numbers can be ranked, \
         so look for factors that have grown without bound"
    )]
    NotFinite { user: usize, item: u32, score: f32 },
}

/// Ranks the candidates for every user with a held-out item, and scores the ranks: one result a
/// user, in the order of the users, the same for any number of threads.
///
/// # Shapes
/// - `users`: `[user, factor]`, `items`: `[item, factor]`, `held_out`: a list a user
///
/// # Errors
/// If the parts do not fit together, a held-out item is no candidate, or a score is not finite.
pub fn score_users(
    users: &Matrix,
    items: &Matrix,
    held_out: &ItemLists,
    options: &Options,
) -> Result<Vec<UserScores>, RecommendationError> {
    let task = Task::new(users, items, held_out, options)?;
    let active: Vec<usize> =
        (0..users.rows()).filter(|&user| !held_out.row(user).is_empty()).collect();
    let blocks: Vec<_> = active.par_chunks(USERS).map(|block| task.score(block)).collect();
    let mut scores = vec![UserScores::default(); users.rows()];
    for (block, users) in blocks.into_iter().zip(active.chunks(USERS)) {
        for (result, &user) in block?.into_iter().zip(users) {
            scores[user] = result;
        }
    }
    Ok(scores)
}

/// The means of what [`score_users`] gives for the same arguments.
///
/// # Errors
/// As [`score_users`].
pub fn score_recommendation(
    users: &Matrix,
    items: &Matrix,
    held_out: &ItemLists,
    options: &Options,
) -> Result<RecommendationScores, RecommendationError> {
    let scores = score_users(users, items, held_out, options)?;
    Ok(RecommendationScores::of(&scores, options.k))
}

impl RecommendationScores {
    /// The means of users' scores that were made with this `k`.
    pub fn of(users: &[UserScores], k: usize) -> Self {
        Self {
            k,
            map: mean(users.iter().filter_map(|user| user.average_precision)),
            ndcg: mean(users.iter().filter_map(|user| user.ndcg)),
            recall: mean(users.iter().filter_map(|user| user.recall)),
            auc: mean(users.iter().filter_map(|user| user.auc)),
            n_users: users.len(),
            n_users_scored: users.iter().filter(|user| user.positives > 0).count(),
            n_users_auc: users.iter().filter(|user| user.auc.is_some()).count(),
        }
    }
}

impl Serialize for RecommendationScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(7))?;
        map.serialize_entry(&format!("map@{}", self.k), &self.map)?;
        map.serialize_entry("auc", &self.auc)?;
        map.serialize_entry(&format!("ndcg@{}", self.k), &self.ndcg)?;
        map.serialize_entry(&format!("recall@{}", self.k), &self.recall)?;
        map.serialize_entry("n_users", &self.n_users)?;
        map.serialize_entry("n_users_scored", &self.n_users_scored)?;
        map.serialize_entry("n_users_auc", &self.n_users_auc)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for RecommendationScores {
    /// Other keys are passed over: these scores stand among others in `scores.json`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
        let k = keys.keys().find_map(|key| key.strip_prefix("map@")?.parse().ok());
        let k: usize = k.ok_or_else(|| D::Error::missing_field("map@..."))?;
        let wrong = |key: &str| D::Error::custom(format!("{key} is not what it should be"));
        let value = |key: &str| match keys.get(key) {
            Some(serde_json::Value::Null) => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| wrong(key)),
            None => Err(wrong(key)),
        };
        let count =
            |key: &str| keys.get(key).and_then(|value| value.as_u64()).ok_or_else(|| wrong(key));
        Ok(Self {
            k,
            map: value(&format!("map@{k}"))?,
            ndcg: value(&format!("ndcg@{k}"))?,
            recall: value(&format!("recall@{k}"))?,
            auc: value("auc")?,
            n_users: count("n_users")? as usize,
            n_users_scored: count("n_users_scored")? as usize,
            n_users_auc: count("n_users_auc")? as usize,
        })
    }
}

/// Users and items of a block of scores: half a megabyte, for the cache of one core.
const USERS: usize = 64;
const ITEMS: usize = 2048;

/// Up to this many thresholds every score is compared with each, which runs on several scores at
/// once; beyond, it is looked up among them.
const FEW_THRESHOLDS: usize = 64;

/// Stands for an item that the row has no candidate at.
const NOWHERE: u32 = u32::MAX;

/// What is the same for all users.
struct Task<'a> {
    users: &'a Matrix,
    /// The candidates' factors, in the order of the items.
    candidates: Cow<'a, Matrix>,
    /// The candidate that each item is, and the item that each candidate is; `None` if all are.
    places: Option<(Vec<u32>, Vec<u32>)>,
    held_out: &'a ItemLists,
    exclude: Option<&'a ItemLists>,
    k: usize,
    /// The sum of the discounts of the first ranks, by how many they are.
    ideal: Vec<f64>,
}

/// What the negatives of one user have shown so far.
struct Counter {
    /// Candidates that are positives, ascending, and their scores.
    positives: Vec<u32>,
    scores: Vec<f32>,
    /// Candidates that are not to be counted as negatives: positives and excluded, ascending.
    masked: Vec<u32>,
    /// The different scores of the positives, ascending.
    thresholds: Vec<f32>,
    /// The negatives above each threshold, and those that equal it.
    above: Vec<u64>,
    tied: Vec<u64>,
    /// For each positive the negatives of its score that come before it.
    tied_before: Vec<u64>,
}

impl<'a> Task<'a> {
    fn new(
        users: &'a Matrix,
        items: &'a Matrix,
        held_out: &'a ItemLists,
        options: &Options<'a>,
    ) -> Result<Self, RecommendationError> {
        if options.k == 0 {
            return Err(RecommendationError::NoRanks);
        }
        if users.columns() != items.columns() {
            return Err(RecommendationError::Matrix(MatrixError::Columns {
                what: "user factors",
                columns: users.columns(),
                other: "item factors",
                other_columns: items.columns(),
            }));
        }
        if u32::try_from(items.rows()).is_err() {
            let error = MatrixError::TooMany { what: "items", rows: items.rows() };
            return Err(RecommendationError::Matrix(error));
        }
        users.check_finite("user factors")?;
        items.check_finite("item factors")?;
        let lists = [("held-out items", Some(held_out)), ("excluded items", options.exclude)];
        for (what, lists) in lists {
            let Some(lists) = lists else { continue };
            if lists.users() != users.rows() {
                let (lists, users) = (lists.users(), users.rows());
                return Err(RecommendationError::Users { what, lists, users });
            }
            // Lists are sorted, so the last item of each is the highest.
            for user in 0..lists.users() {
                if let Some(&item) = lists.row(user).last()
                    && item as usize >= items.rows()
                {
                    let whose = format!("user {user}, {what}");
                    let items = items.rows();
                    return Err(RecommendationError::NoSuchItem { whose, item, items });
                }
            }
        }
        let (candidates, places) = match options.candidates {
            None => (Cow::Borrowed(items), None),
            Some(candidates) => {
                let mut candidates = candidates.to_vec();
                candidates.sort_unstable();
                if let Some(&item) = candidates.last()
                    && item as usize >= items.rows()
                {
                    let whose = "candidates".to_owned();
                    let items = items.rows();
                    return Err(RecommendationError::NoSuchItem { whose, item, items });
                }
                if let Some(pair) = candidates.windows(2).find(|pair| pair[0] == pair[1]) {
                    return Err(RecommendationError::CandidateTwice { item: pair[0] });
                }
                let mut places = vec![NOWHERE; items.rows()];
                for (place, &item) in candidates.iter().enumerate() {
                    places[item as usize] = place as u32;
                }
                let matrix = items.gather(&candidates);
                (Cow::Owned(matrix), Some((places, candidates)))
            }
        };
        let most = (0..held_out.users()).map(|user| held_out.row(user).len()).max().unwrap_or(0);
        let mut ideal = vec![0.0];
        for rank in 1..=most.min(options.k) {
            ideal.push(ideal[rank - 1] + discount(rank as u64));
        }
        let (k, exclude) = (options.k, options.exclude);
        Ok(Self { users, candidates, places, held_out, exclude, k, ideal })
    }

    fn place(&self, item: u32) -> u32 {
        self.places.as_ref().map_or(item, |(places, _)| places[item as usize])
    }

    fn item(&self, place: u32) -> u32 {
        self.places.as_ref().map_or(place, |(_, items)| items[place as usize])
    }

    /// The scores of a block of users, each with at least one positive.
    fn score(&self, block: &[usize]) -> Result<Vec<UserScores>, RecommendationError> {
        let factors = self.users.columns();
        let counters = block.iter().map(|&user| self.counter(user));
        let mut counters = counters.collect::<Result<Vec<_>, _>>()?;
        let rows: Vec<f32> = block.iter().flat_map(|&user| self.users.row(user)).copied().collect();
        let mut scores = vec![0.0; block.len() * ITEMS];
        for start in (0..self.candidates.rows()).step_by(ITEMS) {
            let places = start..(start + ITEMS).min(self.candidates.rows());
            let scores = &mut scores[..block.len() * places.len()];
            products(&rows, self.candidates.rows_at(places.clone()), factors, scores);
            let by_user = scores.chunks_exact_mut(places.len());
            for ((row, counter), &user) in by_user.zip(&mut counters).zip(block) {
                self.check_finite(user, row, |at| (places.start + at) as u32)?;
                counter.count(row, places.clone());
            }
        }
        Ok(counters.into_iter().map(|counter| self.finish(counter)).collect())
    }

    fn check_finite(
        &self,
        user: usize,
        scores: &[f32],
        place: impl Fn(usize) -> u32,
    ) -> Result<(), RecommendationError> {
        // Counted, because a search that may end early is done one by one.
        if scores.iter().map(|score| u32::from(!score.is_finite())).sum::<u32>() == 0 {
            return Ok(());
        }
        let at = scores.iter().position(|score| !score.is_finite()).unwrap_or(0);
        Err(RecommendationError::NotFinite { user, item: self.item(place(at)), score: scores[at] })
    }

    fn counter(&self, user: usize) -> Result<Counter, RecommendationError> {
        let excluded = self.exclude.map_or(&[][..], |exclude| exclude.row(user));
        let held_out = self.held_out.row(user);
        let mut positives = Vec::with_capacity(held_out.len());
        for &item in held_out {
            let place = self.place(item);
            let why = if place == NOWHERE {
                "not among the candidates"
            } else if excluded.binary_search(&item).is_ok() {
                "excluded for this user"
            } else {
                positives.push(place);
                continue;
            };
            return Err(RecommendationError::NotACandidate { user, item, why });
        }
        let mut masked = positives.clone();
        let excluded = excluded.iter().map(|&item| self.place(item));
        masked.extend(excluded.filter(|&place| place != NOWHERE));
        masked.sort_unstable();

        let mut scores = vec![0.0; positives.len()];
        let rows = self.candidates.gather(&positives);
        products(self.users.row(user), rows.data(), rows.columns(), &mut scores);
        self.check_finite(user, &scores, |at| positives[at])?;
        let mut thresholds = scores.clone();
        // Finite scores compare, and -0.0 equals 0.0.
        thresholds.sort_unstable_by(|a, b| a.partial_cmp(b).expect("finite"));
        thresholds.dedup();
        let (above, tied) = (vec![0; thresholds.len()], vec![0; thresholds.len()]);
        let tied_before = vec![0; positives.len()];
        Ok(Counter { positives, scores, masked, thresholds, above, tied, tied_before })
    }

    fn finish(&self, counter: Counter) -> UserScores {
        let p = counter.positives.len();
        let negatives = self.candidates.rows() - counter.masked.len();
        // From the highest score down; a stable sort leaves equal ones in the order of the items.
        let mut order: Vec<usize> = (0..p).collect();
        order.sort_by(|&a, &b| counter.scores[b].partial_cmp(&counter.scores[a]).expect("finite"));
        let (mut precisions, mut gain, mut hits) = (0.0, 0.0, 0usize);
        let mut twice_lost: u128 = 0;
        for (before, &positive) in order.iter().enumerate() {
            let score = counter.scores[positive];
            let threshold = counter.thresholds.partition_point(|&threshold| threshold < score);
            let above = counter.above[threshold];
            twice_lost += u128::from(2 * above + counter.tied[threshold]);
            let rank = above + counter.tied_before[positive] + before as u64 + 1;
            if rank <= self.k as u64 {
                hits += 1;
                precisions += hits as f64 / rank as f64;
                gain += discount(rank);
            }
        }
        let twice_pairs = 2 * p as u128 * negatives as u128;
        UserScores {
            positives: p,
            negatives,
            average_precision: Some(precisions / p.min(self.k) as f64),
            ndcg: Some(gain / self.ideal[p.min(self.k)]),
            recall: Some(hits as f64 / p as f64),
            auc: (negatives > 0).then(|| (twice_pairs - twice_lost) as f64 / twice_pairs as f64),
        }
    }
}

/// What a positive at `rank` adds to the cumulative gain.
fn discount(rank: u64) -> f64 {
    1.0 / (rank as f64 + 1.0).log2()
}

impl Counter {
    /// Counts the negatives among the candidates at `places`, whose finite scores are `row`.
    fn count(&mut self, row: &mut [f32], places: Range<usize>) {
        let first = self.masked.partition_point(|&place| (place as usize) < places.start);
        for &place in &self.masked[first..] {
            if place as usize >= places.end {
                break;
            }
            // Below every threshold, for those are finite.
            row[place as usize - places.start] = f32::NEG_INFINITY;
        }
        if self.thresholds.len() <= FEW_THRESHOLDS {
            for at in 0..self.thresholds.len() {
                let threshold = self.thresholds[at];
                let (mut above, mut reached) = (0u32, 0u32);
                for &score in row.iter() {
                    above += u32::from(score > threshold);
                    reached += u32::from(score >= threshold);
                }
                self.above[at] += u64::from(above);
                if reached > above {
                    self.count_ties(at, row, places.start);
                }
            }
        } else {
            // Scores by how many thresholds they are above; summed up from the end, that is how
            // many scores are above each threshold.
            let mut passed = vec![0u64; self.thresholds.len() + 1];
            let mut tied = vec![false; self.thresholds.len()];
            for &score in row.iter() {
                let below = self.thresholds.partition_point(|&threshold| threshold < score);
                passed[below] += 1;
                if let Some(threshold) = self.thresholds.get(below) {
                    tied[below] |= *threshold == score;
                }
            }
            let mut above = 0;
            for at in (0..self.thresholds.len()).rev() {
                above += passed[at + 1];
                self.above[at] += above;
                if tied[at] {
                    self.count_ties(at, row, places.start);
                }
            }
        }
    }

    /// Counts the scores in `row` that equal threshold number `at`; its first is of the candidate
    /// `start`.
    fn count_ties(&mut self, at: usize, row: &[f32], start: usize) {
        let threshold = self.thresholds[at];
        let ties: Vec<usize> =
            (0..row.len()).filter(|&i| row[i] == threshold).map(|i| start + i).collect();
        self.tied[at] += ties.len() as u64;
        for (positive, &score) in self.scores.iter().enumerate() {
            if score == threshold {
                let place = self.positives[positive] as usize;
                self.tied_before[positive] += ties.partition_point(|&tie| tie < place) as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests;
