//! Retrieval metrics of factors: mean average precision, AUC, nDCG and recall of held-out items.
//!
//! The score of an item for a user is the inner product of their factors. For every user with a
//! held-out item, the candidates are ranked: the items of [`Options::candidates`] without those that
//! [`Options::exclude`] lists for the user. The held-out items of the user are the positives; all
//! other candidates are the negatives.
//!
//! Conventions:
//! - **Ranks** start at 1 for the highest score. mAP, nDCG and recall use the ranks up to `k`. With
//!   equal scores, every metric is its expected value over all orders of the tied items, so that
//!   results do not depend on the order of the items.
//! - **Users without factors**, whose factors are all 0, score every item the same. They are left out and
//!   counted: as ties, each would count one half in AUC, whatever the items' factors are.
//! - **AP@k** is the sum of the precision at the rank of each positive up to rank `k`, divided by the
//!   smaller of `k` and the number of positives.
//! - **nDCG@k** is the sum of `1 / log2(rank + 1)` over the same positives, divided by its value with
//!   all positives at the first ranks.
//! - **Recall@k** is the share of the positives at ranks up to `k`.
//! - **AUC** uses all candidates: the share of (positive, negative) pairs in which the positive has the
//!   higher score; a tie counts one half.
//! - **Means** are unweighted, over the users with at least one positive; for AUC, over those who also
//!   have a negative. Both numbers of users are part of the result.
//!
//! scikit-learn's `roc_auc_score` and `ndcg_score` compute the same; `retrieval/reference.json` holds
//! its values for the tests.
//!
//! Only the positives of a user are sorted, and scores are computed in blocks of users and items, so
//! memory does not grow with users times items.
//!
//! # References
//! van den Oord, Dieleman, Schrauwen: "Deep content-based music recommendation", NIPS 2013, section
//! 5 (mAP with a cut-off at 500, and AUC). The cut-off is from McFee, Bertin-Mahieux, Ellis,
//! Lanckriet: "The Million Song Dataset Challenge", AdMIRe 2012. Expected values with ties: McSherry,
//! Najork: "Computing information retrieval performance measures efficiently in the presence of tied
//! scores", ECIR 2008.

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

/// Which items are ranked, and up to which rank.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The last rank of mAP, nDCG and recall.
    pub k: usize,
    /// Items to rank, in any order; `None` for all.
    pub candidates: Option<&'a [u32]>,
    /// Items to leave out per user, usually those of the training data.
    pub exclude: Option<&'a ItemLists>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { k: 500, candidates: None, exclude: None }
    }
}

/// Scores of one user.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UserScores {
    /// Number of held-out items.
    pub positives: usize,
    /// Number of other candidates; 0 for a user without positives.
    pub negatives: usize,
    /// AP@k; `None` without a positive, as are nDCG and recall.
    pub average_precision: Option<f64>,
    /// nDCG@k.
    pub ndcg: Option<f64>,
    /// Recall@k.
    pub recall: Option<f64>,
    /// AUC; `None` without a positive or without a negative.
    pub auc: Option<f64>,
    /// Whether the user has held-out items but no factors. Nothing else is computed then.
    pub without_factors: bool,
}

/// Means over users. The keys in JSON contain `k`: `map@500`, `ndcg@500`, `recall@500`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecommendationScores {
    /// See [`Options::k`].
    pub k: usize,
    /// Mean of AP@k; `None` if no user has a positive, as are nDCG and recall.
    pub map: Option<f64>,
    /// Mean of nDCG@k.
    pub ndcg: Option<f64>,
    /// Mean of recall@k.
    pub recall: Option<f64>,
    /// Mean AUC; `None` if no user has both a positive and a negative.
    pub auc: Option<f64>,
    /// Number of users, with and without positives.
    pub n_users: usize,
    /// Number of users with at least one positive, and factors.
    pub n_users_scored: usize,
    /// Number of users with at least one positive and one negative.
    pub n_users_auc: usize,
    /// Number of users with held-out items whose factors are all 0; they are left out. 0 in runs of
    /// earlier versions, which scored them.
    pub n_users_without_factors: usize,
}

/// Why factors cannot be scored.
#[allow(missing_docs, reason = "the message of a variant describes it")]
#[derive(Debug, thiserror::Error)]
pub enum RecommendationError {
    #[error("k is 0; mAP, nDCG and recall need at least one rank (500 is usual)")]
    NoRanks,
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    #[error(
        "{what} of {lists} users do not match factors of {users}; every user needs a list, which \
         may be empty"
    )]
    Users { what: &'static str, lists: usize, users: usize },
    #[error(transparent)]
    Lists(#[from] ItemListError),
    #[error("duplicate candidate {item}; each must be unique")]
    CandidateTwice { item: u32 },
    #[error("{whose}: item {item} does not exist; there are factors of {items} items")]
    NoSuchItem { whose: String, item: u32, items: usize },
    #[error(
        "user {user}: the held-out item {item} is {why}, so it cannot be recommended; remove it \
         from one of the two lists"
    )]
    NotACandidate { user: usize, item: u32, why: &'static str },
    #[error(
        "the score of user {user} for item {item} is {score}; only finite numbers can be ranked: \
         look for factors that have diverged"
    )]
    NotFinite { user: usize, item: u32, score: f32 },
}

/// Ranks the candidates for every user with a held-out item and factors, and scores the ranks: one result
/// per user, in the order of the users. Results do not depend on the number of threads.
///
/// # Shapes
/// - `users`: `[user, factor]`, `items`: `[item, factor]`, `held_out`: one list per user
///
/// # Errors
/// If the arguments do not match, a held-out item is not a candidate, or a score is not finite.
pub fn score_users(
    users: &Matrix,
    items: &Matrix,
    held_out: &ItemLists,
    options: &Options,
) -> Result<Vec<UserScores>, RecommendationError> {
    let task = Task::new(users, items, held_out, options)?;
    let (active, without_factors): (Vec<usize>, Vec<usize>) = (0..users.rows())
        .filter(|&user| !held_out.row(user).is_empty())
        .partition(|&user| !users.is_zero(user));
    let blocks: Vec<_> = active.par_chunks(USERS).map(|block| task.score(block)).collect();
    let mut scores = vec![UserScores::default(); users.rows()];
    for (block, users) in blocks.into_iter().zip(active.chunks(USERS)) {
        for (result, &user) in block?.into_iter().zip(users) {
            scores[user] = result;
        }
    }
    without_factors.iter().for_each(|&user| scores[user].without_factors = true);
    Ok(scores)
}

/// The means of [`score_users`] for the same arguments.
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
    /// The means of scores that were computed with this `k`.
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
            n_users_without_factors: users.iter().filter(|user| user.without_factors).count(),
        }
    }
}

impl Serialize for RecommendationScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(8))?;
        map.serialize_entry(&format!("map@{}", self.k), &self.map)?;
        map.serialize_entry("auc", &self.auc)?;
        map.serialize_entry(&format!("ndcg@{}", self.k), &self.ndcg)?;
        map.serialize_entry(&format!("recall@{}", self.k), &self.recall)?;
        map.serialize_entry("n_users", &self.n_users)?;
        map.serialize_entry("n_users_scored", &self.n_users_scored)?;
        map.serialize_entry("n_users_auc", &self.n_users_auc)?;
        map.serialize_entry("n_users_without_factors", &self.n_users_without_factors)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for RecommendationScores {
    /// Other keys are ignored: `scores.json` contains more than these scores.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
        let k = keys.keys().find_map(|key| key.strip_prefix("map@")?.parse().ok());
        let k: usize = k.ok_or_else(|| D::Error::missing_field("map@..."))?;
        let wrong = |key: &str| D::Error::custom(format!("invalid value of {key}"));
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
            n_users_without_factors: match keys.contains_key("n_users_without_factors") {
                true => count("n_users_without_factors")? as usize,
                false => 0,
            },
        })
    }
}

/// Users and items of a block of scores: half a megabyte, which fits the cache of a core.
const USERS: usize = 64;
const ITEMS: usize = 2048;

/// Up to this many thresholds, every score is compared with each, which vectorizes; with more, the
/// threshold is found by binary search.
const FEW_THRESHOLDS: usize = 64;

/// Marks an item that is not a candidate.
const NO_CANDIDATE: u32 = u32::MAX;

/// The data that all users share.
struct Task<'a> {
    users: &'a Matrix,
    /// Factors of the candidates, in the order of the items.
    candidates: Cow<'a, Matrix>,
    /// Maps items to candidates, and candidates to items; `None` if all items are candidates.
    maps: Option<(Vec<u32>, Vec<u32>)>,
    held_out: &'a ItemLists,
    exclude: Option<&'a ItemLists>,
    k: usize,
    /// Sums of the discounts of the first ranks, by their number.
    ideal: Vec<f64>,
}

/// Counts of one user's negatives above and at the scores of the positives.
struct Counter {
    /// Scores of the positives.
    scores: Vec<f32>,
    /// Candidates that are not negatives, in ascending order: positive and excluded ones.
    masked: Vec<u32>,
    /// Distinct scores of the positives, ascending.
    thresholds: Vec<f32>,
    /// Number of negatives above each threshold, and at it.
    above: Vec<u64>,
    tied: Vec<u64>,
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
            // Lists are sorted: the last item is the highest.
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
        let (candidates, maps) = match options.candidates {
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
                let mut candidate_of = vec![NO_CANDIDATE; items.rows()];
                for (candidate, &item) in candidates.iter().enumerate() {
                    candidate_of[item as usize] = candidate as u32;
                }
                let matrix = items.gather(&candidates);
                (Cow::Owned(matrix), Some((candidate_of, candidates)))
            }
        };
        let most = (0..held_out.users()).map(|user| held_out.row(user).len()).max().unwrap_or(0);
        let mut ideal = vec![0.0];
        for rank in 1..=most.min(options.k) {
            ideal.push(ideal[rank - 1] + discount(rank as u64));
        }
        let (k, exclude) = (options.k, options.exclude);
        Ok(Self { users, candidates, maps, held_out, exclude, k, ideal })
    }

    fn candidate(&self, item: u32) -> u32 {
        self.maps.as_ref().map_or(item, |(candidate_of, _)| candidate_of[item as usize])
    }

    fn item(&self, candidate: u32) -> u32 {
        self.maps.as_ref().map_or(candidate, |(_, items)| items[candidate as usize])
    }

    /// The scores of a block of users, each with at least one positive.
    fn score(&self, block: &[usize]) -> Result<Vec<UserScores>, RecommendationError> {
        let factors = self.users.columns();
        let counters = block.iter().map(|&user| self.counter(user));
        let mut counters = counters.collect::<Result<Vec<_>, _>>()?;
        let rows: Vec<f32> = block.iter().flat_map(|&user| self.users.row(user)).copied().collect();
        let mut scores = vec![0.0; block.len() * ITEMS];
        for start in (0..self.candidates.rows()).step_by(ITEMS) {
            let range = start..(start + ITEMS).min(self.candidates.rows());
            let scores = &mut scores[..block.len() * range.len()];
            products(&rows, self.candidates.rows_at(range.clone()), factors, scores);
            let by_user = scores.chunks_exact_mut(range.len());
            for ((row, counter), &user) in by_user.zip(&mut counters).zip(block) {
                self.check_finite(user, row, |at| (range.start + at) as u32)?;
                counter.count(row, range.clone());
            }
        }
        Ok(counters.into_iter().map(|counter| self.finish(counter)).collect())
    }

    fn check_finite(
        &self,
        user: usize,
        scores: &[f32],
        candidate: impl Fn(usize) -> u32,
    ) -> Result<(), RecommendationError> {
        // Counting vectorizes; a search that stops early does not.
        if scores.iter().map(|score| u32::from(!score.is_finite())).sum::<u32>() == 0 {
            return Ok(());
        }
        let at = scores.iter().position(|score| !score.is_finite()).unwrap_or(0);
        Err(RecommendationError::NotFinite {
            user,
            item: self.item(candidate(at)),
            score: scores[at],
        })
    }

    fn counter(&self, user: usize) -> Result<Counter, RecommendationError> {
        let excluded = self.exclude.map_or(&[][..], |exclude| exclude.row(user));
        let held_out = self.held_out.row(user);
        let mut positives = Vec::with_capacity(held_out.len());
        for &item in held_out {
            let candidate = self.candidate(item);
            let why = if candidate == NO_CANDIDATE {
                "not among the candidates"
            } else if excluded.binary_search(&item).is_ok() {
                "excluded for this user"
            } else {
                positives.push(candidate);
                continue;
            };
            return Err(RecommendationError::NotACandidate { user, item, why });
        }
        let rows = self.candidates.gather(&positives);
        let mut masked = positives.clone();
        let excluded = excluded.iter().map(|&item| self.candidate(item));
        masked.extend(excluded.filter(|&candidate| candidate != NO_CANDIDATE));
        masked.sort_unstable();

        let mut scores = vec![0.0; positives.len()];
        products(self.users.row(user), rows.data(), rows.columns(), &mut scores);
        self.check_finite(user, &scores, |at| positives[at])?;
        let mut thresholds = scores.clone();
        // Finite scores compare, and -0.0 equals 0.0.
        thresholds.sort_unstable_by(|a, b| a.partial_cmp(b).expect("finite"));
        thresholds.dedup();
        let (above, tied) = (vec![0; thresholds.len()], vec![0; thresholds.len()]);
        Ok(Counter { scores, masked, thresholds, above, tied })
    }

    fn finish(&self, counter: Counter) -> UserScores {
        let p = counter.scores.len();
        let negatives = self.candidates.rows() - counter.masked.len();
        let mut positives = vec![0_u64; counter.thresholds.len()];
        for &score in &counter.scores {
            positives[counter.thresholds.partition_point(|&threshold| threshold < score)] += 1;
        }
        let (mut precisions, mut gain, mut found) = (0.0, 0.0, 0.0);
        // Positives above the threshold, and twice the lost pairs.
        let (mut hits, mut twice_lost) = (0_u64, 0_u128);
        for at in (0..counter.thresholds.len()).rev() {
            let (own, above, tied) = (positives[at], counter.above[at], counter.tied[at]);
            twice_lost += u128::from(own) * u128::from(2 * above + tied);
            // The tied items take the ranks after `before` in any order: each is a positive with the
            // probability `share`, and each before a positive in them with `share_before`.
            let (before, block) = (above + hits, own + tied);
            let share = own as f64 / block as f64;
            let share_before = (own - 1) as f64 / (block - 1).max(1) as f64;
            let ranks = block.min((self.k as u64).saturating_sub(before));
            for place in 0..ranks {
                let rank = before + place + 1;
                let expected_hits = (hits + 1) as f64 + place as f64 * share_before;
                precisions += share * expected_hits / rank as f64;
                gain += share * discount(rank);
            }
            found += share * ranks as f64;
            hits += own;
        }
        let twice_pairs = 2 * p as u128 * negatives as u128;
        UserScores {
            positives: p,
            negatives,
            average_precision: Some(precisions / p.min(self.k) as f64),
            ndcg: Some(gain / self.ideal[p.min(self.k)]),
            recall: Some(found / p as f64),
            auc: (negatives > 0).then(|| (twice_pairs - twice_lost) as f64 / twice_pairs as f64),
            without_factors: false,
        }
    }
}

/// The discounted gain of a positive at `rank`.
fn discount(rank: u64) -> f64 {
    1.0 / (rank as f64 + 1.0).log2()
}

impl Counter {
    /// Counts the negatives among the candidates `range`, whose finite scores are `row`.
    fn count(&mut self, row: &mut [f32], range: Range<usize>) {
        let first = self.masked.partition_point(|&candidate| (candidate as usize) < range.start);
        for &candidate in &self.masked[first..] {
            if candidate as usize >= range.end {
                break;
            }
            // Below every threshold, because these are finite.
            row[candidate as usize - range.start] = f32::NEG_INFINITY;
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
                self.tied[at] += u64::from(reached - above);
            }
        } else {
            // The number of scores per number of passed thresholds; their sum from the end is the
            // number of scores above each threshold.
            let mut passed = vec![0u64; self.thresholds.len() + 1];
            for &score in row.iter() {
                let below = self.thresholds.partition_point(|&threshold| threshold < score);
                passed[below] += 1;
                if let Some(threshold) = self.thresholds.get(below) {
                    self.tied[below] += u64::from(*threshold == score);
                }
            }
            let mut above = 0;
            for at in (0..self.thresholds.len()).rev() {
                above += passed[at + 1];
                self.above[at] += above;
            }
        }
    }
}

#[cfg(test)]
mod tests;
