//! Linear probe: cross-validated accuracy of a linear support vector machine on constant features.
//!
//! P4 (van den Oord, Dieleman & Schrauwen 2014, Transfer learning by supervised pre-training) evaluates genre
//! classification with ten folds. Each fold is held out once; the other rows alone decide how features are
//! standardised and, by inner folds, which `C` of a list is used to train the classifier.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::error::{ensure, in_range};
use crate::linear::folds::{stratified, stratified_by_group};
use crate::linear::svm::{Svm, SvmConfig, SvmError, SvmRows};
use crate::unsupervised::moments::Moments;

/// Settings of the cross-validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CrossValidationConfig {
    /// Number of folds, each of which is held out once; 10 by default.
    pub folds: usize,
    /// Number of folds of the remaining rows, which select `C`; 3 by default.
    pub inner_folds: usize,
    /// Candidate values of `C`, of which the smallest among equally good ones is used; `[1e-5, 1e-4, 0.001, 0.01,
    /// 0.1, 1]` by default.
    pub costs: Vec<f64>,
    /// Whether all tracks of an artist are in the same fold; false by default.
    pub by_artist: bool,
    /// Random seed for the assignment of tracks to folds; 1 by default.
    pub seed: u64,
}

impl Default for CrossValidationConfig {
    fn default() -> Self {
        Self {
            folds: 10,
            inner_folds: 3,
            costs: vec![1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0],
            by_artist: false,
            seed: 1,
        }
    }
}

/// The result of one fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fold {
    /// Number of held-out rows.
    pub rows: usize,
    /// Share of correctly classified rows.
    pub accuracy: f64,
    /// The selected `C`.
    pub cost: f64,
}

/// The result of a cross-validation.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossValidated {
    /// One entry per fold that has rows.
    pub folds: Vec<Fold>,
    /// `[row, class]`: decision values of the classifier that was trained without the row.
    pub decisions: Vec<f32>,
    /// Warnings, one sentence each.
    pub notes: Vec<String>,
}

/// A classifier with the standardisation of its features.
#[derive(Clone, Debug, PartialEq)]
pub struct Classifier {
    /// The classifier of standardised features.
    pub svm: Svm,
    /// `[column]`: mean of each feature.
    pub mean: Vec<f64>,
    /// `[column]`: standard deviation of each feature; 1 for constants.
    pub deviation: Vec<f64>,
    /// The selected `C`.
    pub cost: f64,
}

/// Why a cross-validation failed.
#[allow(missing_docs, reason = "the messages describe the variants")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrossValidationError {
    #[error(transparent)]
    Config(#[from] ModelError),
    #[error("{folds} folds need as many {what}, but there are {count}: use fewer folds")]
    TooFew { folds: usize, count: usize, what: &'static str },
    #[error(transparent)]
    Svm(#[from] SvmError),
    #[error("stopped after {0} folds")]
    Stopped(usize),
}

/// Labelled rows, optionally in groups that folds must not split.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// `[row, column]`
    pub rows: &'a [f32],
    /// Features per row.
    pub columns: usize,
    /// `[row]`, below `n_classes`
    pub classes: &'a [u32],
    /// Number of classes, at least two of which have rows.
    pub n_classes: usize,
    /// `[row]`: rows of the same group are in the same fold.
    pub groups: Option<&'a [u32]>,
}

impl CrossValidationConfig {
    /// # Errors
    /// Names the first invalid value.
    pub fn validate(&self) -> Result<(), ModelError> {
        in_range("folds", self.folds, 2, 10_000)?;
        in_range("inner_folds", self.inner_folds, 2, 10_000)?;
        let remedy = "list at least one number above 0";
        ensure(!self.costs.is_empty(), "costs", "[]", "no candidate for C", remedy)?;
        for (i, &cost) in self.costs.iter().enumerate() {
            in_range(&format!("costs[{i}]"), cost, 1e-12, 1e12)?;
        }
        Ok(())
    }

    fn folds_of(
        &self,
        of: &Labelled<'_>,
        count: usize,
        seed: u64,
    ) -> Result<Vec<usize>, CrossValidationError> {
        let (have, what) = match of.groups {
            None => (of.classes.len(), "tracks"),
            Some(groups) => {
                let mut groups = groups.to_vec();
                groups.sort_unstable();
                groups.dedup();
                (groups.len(), "groups")
            }
        };
        if have < count {
            return Err(CrossValidationError::TooFew { folds: count, count: have, what });
        }
        Ok(match of.groups {
            None => stratified(of.classes, count, seed),
            Some(groups) => stratified_by_group(of.classes, groups, count, seed),
        })
    }

    /// Holds every fold out once. `progress` receives the result of each and can stop the cross-validation.
    ///
    /// # Errors
    /// If a value is invalid, there are fewer rows or groups than folds, a feature is not finite, or all
    /// rows outside a fold have the same class.
    pub fn run(
        &self,
        of: &Labelled<'_>,
        mut progress: impl FnMut(usize, &Fold) -> ControlFlow<()>,
    ) -> Result<CrossValidated, CrossValidationError> {
        self.validate()?;
        let folds = self.folds_of(of, self.folds, self.seed)?;
        let (columns, n_classes) = (of.columns, of.n_classes);
        let mut decisions = vec![0.0_f32; of.classes.len() * n_classes];
        let (mut done, mut notes) = (Vec::new(), Vec::new());
        let (mut unfinished, mut absent) = (0, 0);
        for fold in 0..self.folds {
            let (train, held): (Vec<usize>, Vec<usize>) =
                (0..folds.len()).partition(|row| folds[*row] != fold);
            if held.is_empty() {
                // Large groups can leave a fold empty.
                notes.push(format!("fold {} has no tracks", fold + 1));
                continue;
            }
            let own = Subset::new(of, &train);
            absent += (0..n_classes)
                .filter(|class| {
                    let has = |classes: &[u32]| classes.iter().any(|c| *c as usize == *class);
                    !has(&own.classes) && held.iter().any(|row| of.classes[*row] as usize == *class)
                })
                .count();
            let classifier = self.fit(&own.labelled(of))?;
            unfinished += classifier.svm.unfinished;
            let rows = Subset::new(of, &held);
            let found = classifier.decide(&rows.rows, columns);
            let mut right = 0;
            for (row, decided) in held.iter().zip(found.chunks_exact(n_classes)) {
                right += usize::from(argmax(decided) == of.classes[*row] as usize);
                let out = &mut decisions[row * n_classes..][..n_classes];
                out.iter_mut().zip(decided).for_each(|(out, value)| *out = *value as f32);
            }
            let accuracy = right as f64 / held.len() as f64;
            let found = Fold { rows: held.len(), accuracy, cost: classifier.cost };
            done.push(found);
            if let Some(found) = done.last()
                && progress(done.len(), found).is_break()
            {
                return Err(CrossValidationError::Stopped(done.len()));
            }
        }
        if absent > 0 {
            notes.push(format!(
                "{absent} times a held-out class has no tracks outside the fold, so that it cannot be \
                 predicted there"
            ));
        }
        if unfinished > 0 {
            notes.push(format!("{unfinished} classifiers did not converge"));
        }
        Ok(CrossValidated { folds: done, decisions, notes })
    }

    /// A classifier for all rows, with the `C` that the inner folds select.
    ///
    /// # Errors
    /// As [`CrossValidationConfig::run`].
    pub fn fit(&self, of: &Labelled<'_>) -> Result<Classifier, CrossValidationError> {
        self.validate()?;
        let mut costs = self.costs.clone();
        costs.sort_by(f64::total_cmp);
        let mut right = vec![0_usize; costs.len()];
        if costs.len() > 1 {
            let folds = self.folds_of(of, self.inner_folds, self.seed ^ 0x5eed)?;
            for fold in 0..self.inner_folds {
                let (train, held): (Vec<usize>, Vec<usize>) =
                    (0..folds.len()).partition(|row| folds[*row] != fold);
                let (own, held) = (Subset::new(of, &train), Subset::new(of, &held));
                if own.classes.iter().all(|class| Some(class) == own.classes.first()) {
                    // A single class cannot be learned; the other inner folds decide.
                    continue;
                }
                let (scaled, mean, deviation) = standardised(&own.rows, of.columns);
                let prepared = SvmRows::new(&scaled, of.columns, &own.classes, of.n_classes)?;
                let held_rows = standardise(&held.rows, of.columns, &mean, &deviation);
                let mut svm: Option<Svm> = None;
                for (&cost, right) in costs.iter().zip(&mut right) {
                    // Warm start from the next smaller cost.
                    let found = config(cost).fit_rows(&prepared, svm.as_ref())?;
                    let decided = found.decide(&held_rows, of.columns);
                    *right += decided
                        .chunks_exact(of.n_classes)
                        .zip(&held.classes)
                        .filter(|(row, class)| argmax(row) == **class as usize)
                        .count();
                    svm = Some(found);
                }
            }
        }
        let most = right.iter().max().copied().unwrap_or(0);
        let cost = right.iter().position(|right| *right == most).map_or(costs[0], |at| costs[at]);
        let (scaled, mean, deviation) = standardised(of.rows, of.columns);
        let svm = config(cost).fit(&scaled, of.columns, of.classes, of.n_classes)?;
        Ok(Classifier { svm, mean, deviation, cost })
    }
}

fn config(cost: f64) -> SvmConfig {
    // A smaller tolerance changes no decision.
    SvmConfig { cost, tolerance: 1e-6 }
}

impl Classifier {
    /// Weights and biases for features that are not standardised.
    ///
    /// # Shapes
    /// - returns: `[class, column]`, `[class]`
    pub fn plain(&self) -> (Vec<f32>, Vec<f32>) {
        let columns = self.mean.len();
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for (row, bias) in self.svm.weights.chunks_exact(columns).zip(&self.svm.biases) {
            let mut bias = *bias;
            for ((weight, mean), deviation) in row.iter().zip(&self.mean).zip(&self.deviation) {
                weights.push((weight / deviation) as f32);
                bias -= weight * mean / deviation;
            }
            biases.push(bias as f32);
        }
        (weights, biases)
    }

    /// `[row, class]`
    fn decide(&self, rows: &[f32], columns: usize) -> Vec<f64> {
        self.svm.decide(&standardise(rows, columns, &self.mean, &self.deviation), columns)
    }
}

/// A subset of the rows.
struct Subset {
    rows: Vec<f32>,
    classes: Vec<u32>,
    groups: Option<Vec<u32>>,
}

impl Subset {
    fn new(of: &Labelled<'_>, rows: &[usize]) -> Self {
        let row = |&row: &usize| &of.rows[row * of.columns..][..of.columns];
        Self {
            rows: rows.iter().flat_map(row).copied().collect(),
            classes: rows.iter().map(|&row| of.classes[row]).collect(),
            groups: of.groups.map(|groups| rows.iter().map(|&row| groups[row]).collect()),
        }
    }

    fn labelled<'a>(&'a self, of: &Labelled<'_>) -> Labelled<'a> {
        Labelled {
            rows: &self.rows,
            columns: of.columns,
            classes: &self.classes,
            n_classes: of.n_classes,
            groups: self.groups.as_deref(),
        }
    }
}

/// Standardised rows, means and standard deviations.
fn standardised(rows: &[f32], columns: usize) -> (Vec<f32>, Vec<f64>, Vec<f64>) {
    let mut moments = Moments::new(columns);
    rows.chunks_exact(columns).for_each(|row| moments.add(row));
    let (mean, deviation) = moments.finish();
    (standardise(rows, columns, &mean, &deviation), mean, deviation)
}

fn standardise(rows: &[f32], columns: usize, mean: &[f64], deviation: &[f64]) -> Vec<f32> {
    let one = |(at, value): (usize, &f32)| {
        ((f64::from(*value) - mean[at % columns]) / deviation[at % columns]) as f32
    };
    rows.iter().enumerate().map(one).collect()
}

/// Index of the first maximum.
fn argmax(row: &[f64]) -> usize {
    (0..row.len()).rev().max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0)
}

#[cfg(test)]
mod tests;
