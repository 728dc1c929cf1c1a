//! What factors know of tags: a logistic regression a tag, with 10-fold cross-validation.
//!
//! van den Oord, Dieleman & Schrauwen (2013), Deep content-based music recommendation, NIPS, section on
//! qualitative results: whether the factors of 9 330 songs hold what the 50 most popular tags say;
//! mean AUC 0.86703 from latent factors, 0.69365 from the bag-of-words representation of the audio.
//!
//! The paper does not say how the folds were cut, or how strong the regularisation was. Here each
//! tag's tracks are dealt to the folds at random, positives and negatives apart; features get mean 0 and
//! deviation 1 on the nine folds that are learned from; `C` is 1, as is scikit-learn's default; a tag's
//! AUC is the mean over the folds.

use std::collections::BTreeMap;

use faer::Mat;
use models::linear::logistic::Logistic;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::evaluation::metrics::{areas, mean};
use crate::listening::matrix::Matrix;
use crate::rng::{below, philox};

/// Parts of a cross-validation; a tag needs as many positives and negatives.
pub const FOLDS: usize = 10;
/// The tags that are looked at: the most frequent ones.
pub const TAGS: usize = 50;
/// Of scikit-learn's `LogisticRegression`.
const C: f64 = 1.0;

/// What two kinds of factors of the same tracks know of their tags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagProbe {
    /// Tracks whose factors are compared, with and without tags.
    pub n_tracks: usize,
    /// Tags that were looked at.
    pub n_tags: usize,
    /// Tags with too few positives or negatives for so many folds.
    pub n_tags_left_out: usize,
    /// [`FOLDS`].
    pub folds: usize,
    /// Mean AUC over the tags, from the factors that who listened tells.
    pub listening: Option<f64>,
    /// The same from predicted factors.
    pub predicted: Option<f64>,
    /// Of the tags that were looked at, by name.
    pub per_tag: BTreeMap<String, TagAuc>,
}

/// AUC of one tag.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagAuc {
    /// From the factors that who listened tells.
    pub listening: f64,
    /// From predicted factors.
    pub predicted: f64,
    /// Tracks that have the tag.
    pub positives: usize,
}

/// Compares factors of the same tracks.
///
/// # Shapes
/// - `listening`, `predicted`: `[track, factor]`
/// - `tags`: of each track, positions in `names`
///
/// # Errors
/// If a factor is not finite.
pub fn check(
    names: &[String],
    tags: &[Vec<usize>],
    listening: &Matrix,
    predicted: &Matrix,
    seed: u64,
) -> Result<TagProbe> {
    let mut counts: Vec<(usize, usize)> = (0..names.len()).map(|tag| (0, tag)).collect();
    tags.iter().flatten().for_each(|&tag| counts[tag].0 += 1);
    let carried = counts.iter().filter(|(count, _)| *count > 0).count();
    let enough = |count: usize| count >= FOLDS && tags.len() - count >= FOLDS;
    counts.retain(|(count, _)| enough(*count));
    counts.sort_by_key(|(count, tag)| (std::cmp::Reverse(*count), *tag));
    let left_out = carried - counts.len();
    counts.truncate(TAGS);

    let one = |&(positives, tag): &(usize, usize)| -> Result<(String, TagAuc)> {
        let truth: Vec<bool> = tags.iter().map(|tags| tags.contains(&tag)).collect();
        let folds = folds(&truth, seed, tag as u64);
        let found = TagAuc {
            listening: cross_validate(listening, &truth, &folds)?,
            predicted: cross_validate(predicted, &truth, &folds)?,
            positives,
        };
        Ok((names[tag].clone(), found))
    };
    let per_tag: BTreeMap<String, TagAuc> = counts.par_iter().map(one).collect::<Result<_>>()?;
    Ok(TagProbe {
        n_tracks: tags.len(),
        n_tags: per_tag.len(),
        n_tags_left_out: left_out,
        folds: FOLDS,
        listening: mean(per_tag.values().map(|tag| tag.listening)),
        predicted: mean(per_tag.values().map(|tag| tag.predicted)),
        per_tag,
    })
}

/// The fold of each track: positives and negatives are shuffled, each kind by itself, and dealt.
fn folds(truth: &[bool], seed: u64, tag: u64) -> Vec<usize> {
    const PURPOSE: u64 = 12;
    let mut folds = vec![0; truth.len()];
    let mut dealt = 0;
    for kind in [true, false] {
        let mut tracks: Vec<usize> = (0..truth.len()).filter(|&at| truth[at] == kind).collect();
        for j in (1..tracks.len()).rev() {
            let draw = philox([seed, PURPOSE], [tag, j as u64, u64::from(kind), 0])[0];
            tracks.swap(j, below(draw, j as u64 + 1) as usize);
        }
        for track in tracks {
            folds[track] = dealt % FOLDS;
            dealt += 1;
        }
    }
    folds
}

/// Mean AUC over the folds.
fn cross_validate(factors: &Matrix, truth: &[bool], folds: &[usize]) -> Result<f64> {
    let columns = factors.columns();
    let value = |row: usize, column: usize| f64::from(factors.row(row)[column]);
    let mut sum = 0.0;
    let count = folds.iter().max().map_or(0, |last| last + 1);
    for fold in 0..count {
        let (held, learned): (Vec<usize>, Vec<usize>) =
            (0..truth.len()).partition(|&row| folds[row] == fold);
        let size = learned.len() as f64;
        let scale: Vec<(f64, f64)> = (0..columns)
            .map(|column| {
                let mean = learned.iter().map(|&row| value(row, column)).sum::<f64>() / size;
                let square = learned.iter().map(|&row| (value(row, column) - mean).powi(2));
                let deviation = (square.sum::<f64>() / size).sqrt();
                // What does not vary says nothing.
                (mean, if deviation > 0.0 { deviation } else { 1.0 })
            })
            .collect();
        let scaled = |row: usize, column: usize| {
            let (mean, deviation) = scale[column];
            (value(row, column) - mean) / deviation
        };
        let x = Mat::from_fn(learned.len(), columns, |i, j| scaled(learned[i], j));
        let known: Vec<bool> = learned.iter().map(|&row| truth[row]).collect();
        let broken = |error: &dyn std::fmt::Display| {
            Error::Data(format!("tags cannot be told from factors: {error}"))
        };
        let model = Logistic::fit(x.as_ref(), &known, C).map_err(|error| broken(&error))?;
        let logit = |&row: &usize| model.logit((0..columns).map(|j| scaled(row, j))) as f32;
        let logits: Vec<f32> = held.iter().map(logit).collect();
        let held_truth: Vec<bool> = held.iter().map(|&row| truth[row]).collect();
        let areas = areas(&logits, &held_truth).map_err(|error| broken(&error))?;
        sum += areas.roc_auc.ok_or_else(|| broken(&"a fold has one kind of tracks only"))?;
    }
    Ok(sum / count as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::listening::matrix::tests::noise;

    /// Rows that `tag_check/reference.py` repeats.
    fn rows(count: usize, columns: usize) -> Matrix {
        let value = |i: usize, j: usize| {
            let (x, y) = (i as f64, j as f64);
            ((1.7 * x + 0.9 * y * y).sin() * (y + 1.0) + 0.5 * (0.3 * x * (y + 1.0)).cos() + y)
                as f32
        };
        let data = (0..count).flat_map(|i| (0..columns).map(move |j| value(i, j))).collect();
        Matrix::new(count, columns, data).unwrap()
    }

    #[test]
    fn cross_validation_is_that_of_scikit_learn() {
        let reference: Value =
            serde_json::from_str(include_str!("tag_probe/reference.json")).unwrap();
        for case in reference.as_array().unwrap() {
            let whole = |key: &str| case[key].as_u64().unwrap() as usize;
            let (count, columns, every) = (whole("rows"), whole("columns"), whole("folds"));
            let data = rows(count, columns);
            let truth: Vec<bool> = (0..count)
                .map(|i| f64::from(data.row(i)[0]) + 0.8 * (2.3 * i as f64).sin() > 0.2)
                .collect();
            let folds: Vec<usize> = (0..count).map(|row| row * 7 % every).collect();
            let ours = cross_validate(&data, &truth, &folds).unwrap();
            let theirs = case["auc"].as_f64().unwrap();
            assert!((ours - theirs).abs() < 1e-6, "{ours} {theirs}");
        }
    }

    #[test]
    fn folds_share_positives_and_negatives_evenly() {
        let truth: Vec<bool> = (0..137).map(|i| i % 6 == 0).collect();
        let folds = folds(&truth, 1, 3);
        for fold in 0..FOLDS {
            let of =
                |kind: bool| (0..137).filter(|&i| folds[i] == fold && truth[i] == kind).count();
            assert!((2..=3).contains(&of(true)) && (11..=12).contains(&of(false)), "{fold}");
        }
        assert_ne!(folds, super::folds(&truth, 2, 3));
    }

    /// Factors that hold a tag are told from those that do not; rare tags are left out.
    #[test]
    fn factors_that_know_a_tag_are_found() {
        let names: Vec<String> = ["loud", "rare", "silent"].map(String::from).to_vec();
        let (factors, other) = (noise(1, 200, 6), noise(2, 200, 6));
        let tags: Vec<Vec<usize>> = (0..200)
            .map(|track| match (factors.row(track)[2] > 0.3, track) {
                (true, 0..5) => vec![0, 1],
                (true, _) => vec![0],
                (false, _) => vec![],
            })
            .collect();
        let found = check(&names, &tags, &factors, &other, 1).unwrap();
        assert_eq!((found.n_tracks, found.n_tags, found.n_tags_left_out), (200, 1, 1));
        let loud = found.per_tag["loud"];
        assert!(loud.listening > 0.97 && (loud.predicted - 0.5).abs() < 0.15, "{loud:?}");
        assert_eq!(
            (found.listening, found.predicted),
            (Some(loud.listening), Some(loud.predicted))
        );
        let none = check(&names, &vec![vec![]; 200], &factors, &other, 1).unwrap();
        assert_eq!((none.n_tags, none.listening), (0, None));
    }
}
