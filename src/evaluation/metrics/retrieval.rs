//! Retrieval metrics of factors: mean average precision, AUC, nDCG and recall of held-out items.
//!
//! The score of an item for a user is the inner product of their factors. For every user with a
//! held-out item, all items are ranked. The held-out items of the user are the positives; all other
//! items are the negatives.
//!
//! Conventions:
//! - **Ranks** start at 1 for the highest score; of equal scores, the item with the lower index comes
//!   first. mAP, nDCG and recall use the ranks up to `k`, which is [`CUTOFF`].
//! - **AP@k** is the sum of the precision at the rank of each positive up to rank `k`, divided by the
//!   smaller of `k` and the number of positives.
//! - **nDCG@k** is the sum of `1 / log2(rank + 1)` over the same positives, divided by its value with
//!   all positives at the first ranks.
//! - **Recall@k** is the share of the positives at ranks up to `k`.
//! - **AUC** uses all items: the share of (positive, negative) pairs in which the positive has the
//!   higher score; a tie counts one half.
//! - **Means** are unweighted, over the users with at least one positive; for AUC, over those who also
//!   have a negative. Both numbers of users are part of the result.
//!
//! scikit-learn's `roc_auc_score` and `ndcg_score` compute the same (`ndcg_score` averages the
//! discounts of tied items, so it differs with ties around rank `k`); `retrieval/reference.json` holds
//! its values for the tests.
//!
//! Only the positives of a user are sorted, and scores are computed in blocks of users and items, so
//! memory does not grow with users times items.
//!
//! # References
//! van den Oord, Dieleman, Schrauwen: "Deep content-based music recommendation", NIPS 2013, section
//! 5 (mAP with a cut-off at 500, and AUC). The cut-off is from McFee, Bertin-Mahieux, Ellis,
//! Lanckriet: "The Million Song Dataset Challenge", AdMIRe 2012.

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::mean;
use crate::listening::item_lists::ItemLists;
use crate::listening::matrix::{Matrix, MatrixError, products};

/// The last rank of mAP, nDCG and recall.
pub const CUTOFF: usize = 500;

/// Scores of one user.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UserScores {
    /// Number of held-out items.
    pub positives: usize,
    /// Number of other items; 0 for a user without positives.
    pub negatives: usize,
    /// AP@k; `None` without a positive, as are nDCG and recall.
    pub average_precision: Option<f64>,
    /// nDCG@k.
    pub ndcg: Option<f64>,
    /// Recall@k.
    pub recall: Option<f64>,
    /// AUC; `None` without a positive or without a negative.
    pub auc: Option<f64>,
}

/// Means over users.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecommendationScores {
    /// Mean of AP@[`CUTOFF`]; `None` if no user has a positive, as are nDCG and recall.
    #[serde(rename = "map@500", deserialize_with = "Option::deserialize")]
    pub map: Option<f64>,
    /// Mean AUC; `None` if no user has both a positive and a negative.
    #[serde(deserialize_with = "Option::deserialize")]
    pub auc: Option<f64>,
    /// Mean of nDCG@[`CUTOFF`].
    #[serde(rename = "ndcg@500", deserialize_with = "Option::deserialize")]
    pub ndcg: Option<f64>,
    /// Mean of recall@[`CUTOFF`].
    #[serde(rename = "recall@500", deserialize_with = "Option::deserialize")]
    pub recall: Option<f64>,
    /// Number of users, with and without positives.
    pub n_users: usize,
    /// Number of users with at least one positive.
    pub n_users_scored: usize,
    /// Number of users with at least one positive and one negative.
    pub n_users_auc: usize,
}

/// Why factors cannot be scored.
#[allow(missing_docs, reason = "the message of a variant describes it")]
#[derive(Debug, thiserror::Error)]
pub enum RecommendationError {
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    #[error(
        "held-out items of {lists} users do not match factors of {users}; every user needs a list, \
         which may be empty"
    )]
    Users { lists: usize, users: usize },
    #[error(
        "user {user}, held-out items: item {item} does not exist; there are factors of {items} items"
    )]
    NoSuchItem { user: usize, item: u32, items: usize },
    #[error(
        "the score of user {user} for item {item} is {score}; only finite numbers can be ranked: \
         look for factors that have diverged"
    )]
    NotFinite { user: usize, item: u32, score: f32 },
}

/// Ranks the items for every user with a held-out item and scores the ranks: one result per user, in
/// the order of the users. Results do not depend on the number of threads. `k` is at least 1.
fn score_users(
    users: &Matrix,
    items: &Matrix,
    held_out: &ItemLists,
    k: usize,
) -> Result<Vec<UserScores>, RecommendationError> {
    let task = Task::new(users, items, held_out, k)?;
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

/// Scores how factors rank the held-out items of every user among all items.
///
/// # Shapes
/// - `users`: `[user, factor]`, `items`: `[item, factor]`, `held_out`: one list per user
///
/// # Errors
/// If the arguments do not match, or a score is not finite.
pub fn score_recommendation(
    users: &Matrix,
    items: &Matrix,
    held_out: &ItemLists,
) -> Result<RecommendationScores, RecommendationError> {
    Ok(RecommendationScores::of(&score_users(users, items, held_out, CUTOFF)?))
}

impl RecommendationScores {
    fn of(users: &[UserScores]) -> Self {
        Self {
            map: mean(users.iter().filter_map(|user| user.average_precision)),
            auc: mean(users.iter().filter_map(|user| user.auc)),
            ndcg: mean(users.iter().filter_map(|user| user.ndcg)),
            recall: mean(users.iter().filter_map(|user| user.recall)),
            n_users: users.len(),
            n_users_scored: users.iter().filter(|user| user.positives > 0).count(),
            n_users_auc: users.iter().filter(|user| user.auc.is_some()).count(),
        }
    }
}

/// Users and items of a block of scores: half a megabyte, which fits the cache of a core.
const USERS: usize = 64;
const ITEMS: usize = 2048;

/// Up to this many thresholds, every score is compared with each, which vectorizes; with more, the
/// threshold is found by binary search.
const FEW_THRESHOLDS: usize = 64;

/// The data that all users share.
struct Task<'a> {
    users: &'a Matrix,
    items: &'a Matrix,
    held_out: &'a ItemLists,
    k: usize,
    /// Sums of the discounts of the first ranks, by their number.
    ideal: Vec<f64>,
}

/// Counts of one user's negatives above and at the scores of the positives.
struct Counter<'a> {
    /// Positive items in ascending order, and their scores.
    positives: &'a [u32],
    scores: Vec<f32>,
    /// Distinct scores of the positives, ascending.
    thresholds: Vec<f32>,
    /// Number of negatives above each threshold, and at it.
    above: Vec<u64>,
    tied: Vec<u64>,
    /// For each positive, the number of negatives with the same score and a lower index.
    tied_before: Vec<u64>,
}

impl<'a> Task<'a> {
    fn new(
        users: &'a Matrix,
        items: &'a Matrix,
        held_out: &'a ItemLists,
        k: usize,
    ) -> Result<Self, RecommendationError> {
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
        if held_out.users() != users.rows() {
            let (lists, users) = (held_out.users(), users.rows());
            return Err(RecommendationError::Users { lists, users });
        }
        // Lists are sorted: the last item is the highest.
        for user in 0..held_out.users() {
            if let Some(&item) = held_out.row(user).last()
                && item as usize >= items.rows()
            {
                return Err(RecommendationError::NoSuchItem { user, item, items: items.rows() });
            }
        }
        let most = (0..held_out.users()).map(|user| held_out.row(user).len()).max().unwrap_or(0);
        let mut ideal = vec![0.0];
        for rank in 1..=most.min(k) {
            ideal.push(ideal[rank - 1] + discount(rank as u64));
        }
        Ok(Self { users, items, held_out, k, ideal })
    }

    /// The scores of a block of users, each with at least one positive.
    fn score(&self, block: &[usize]) -> Result<Vec<UserScores>, RecommendationError> {
        let factors = self.users.columns();
        let counters = block.iter().map(|&user| self.counter(user));
        let mut counters = counters.collect::<Result<Vec<_>, _>>()?;
        let rows: Vec<f32> = block.iter().flat_map(|&user| self.users.row(user)).copied().collect();
        let mut scores = vec![0.0; block.len() * ITEMS];
        for start in (0..self.items.rows()).step_by(ITEMS) {
            let range = start..(start + ITEMS).min(self.items.rows());
            let scores = &mut scores[..block.len() * range.len()];
            products(&rows, self.items.rows_at(range.clone()), factors, scores);
            let by_user = scores.chunks_exact_mut(range.len());
            for ((row, counter), &user) in by_user.zip(&mut counters).zip(block) {
                check_finite(user, row, |at| (range.start + at) as u32)?;
                counter.count(row, range.clone());
            }
        }
        Ok(counters.into_iter().map(|counter| self.finish(counter)).collect())
    }

    fn counter(&self, user: usize) -> Result<Counter<'a>, RecommendationError> {
        let positives = self.held_out.row(user);
        let mut scores = vec![0.0; positives.len()];
        let rows = self.items.gather(positives);
        products(self.users.row(user), rows.data(), rows.columns(), &mut scores);
        check_finite(user, &scores, |at| positives[at])?;
        let mut thresholds = scores.clone();
        // Finite scores compare, and -0.0 equals 0.0.
        thresholds.sort_unstable_by(|a, b| a.partial_cmp(b).expect("finite"));
        thresholds.dedup();
        let (above, tied) = (vec![0; thresholds.len()], vec![0; thresholds.len()]);
        let tied_before = vec![0; positives.len()];
        Ok(Counter { positives, scores, thresholds, above, tied, tied_before })
    }

    fn finish(&self, counter: Counter<'_>) -> UserScores {
        let p = counter.positives.len();
        let negatives = self.items.rows() - p;
        // In descending order of score; the stable sort keeps equal scores in the order of the items.
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

/// `item` is that of each score.
fn check_finite(
    user: usize,
    scores: &[f32],
    item: impl Fn(usize) -> u32,
) -> Result<(), RecommendationError> {
    // Counting vectorizes; a search that stops early does not.
    if scores.iter().map(|score| u32::from(!score.is_finite())).sum::<u32>() == 0 {
        return Ok(());
    }
    let at = scores.iter().position(|score| !score.is_finite()).unwrap_or(0);
    Err(RecommendationError::NotFinite { user, item: item(at), score: scores[at] })
}

/// The discounted gain of a positive at `rank`.
fn discount(rank: u64) -> f64 {
    1.0 / (rank as f64 + 1.0).log2()
}

impl Counter<'_> {
    /// Counts the negatives among the items `range`, whose finite scores are `row`.
    fn count(&mut self, row: &mut [f32], range: Range<usize>) {
        let first = self.positives.partition_point(|&item| (item as usize) < range.start);
        for &item in &self.positives[first..] {
            if item as usize >= range.end {
                break;
            }
            // Below every threshold, because these are finite.
            row[item as usize - range.start] = f32::NEG_INFINITY;
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
                    self.count_ties(at, row, range.start);
                }
            }
        } else {
            // The number of scores per number of passed thresholds; their sum from the end is the
            // number of scores above each threshold.
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
                    self.count_ties(at, row, range.start);
                }
            }
        }
    }

    /// Counts the scores in `row` that equal threshold `at`; `start` is the item of the first score.
    fn count_ties(&mut self, at: usize, row: &[f32], start: usize) {
        let threshold = self.thresholds[at];
        let ties: Vec<usize> =
            (0..row.len()).filter(|&i| row[i] == threshold).map(|i| start + i).collect();
        self.tied[at] += ties.len() as u64;
        for (positive, &score) in self.scores.iter().enumerate() {
            if score == threshold {
                let item = self.positives[positive] as usize;
                self.tied_before[positive] += ties.partition_point(|&tie| tie < item) as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests;
