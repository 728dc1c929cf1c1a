//! How well features tell classes apart: a linear support vector machine, cross-validated.
//!
//! P4 (van den Oord, Dieleman & Schrauwen 2014, Transfer learning by supervised pre-training) scores
//! genres by ten folds. Each fold in turn is held out; on the other rows alone features are standardised,
//! `C` is chosen from a list by folds among them, and a machine is trained with the best.

use std::ops::ControlFlow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::error::in_range;
use crate::linear::folds::{stratified, stratified_by_group};
use crate::linear::svm::{Svm, SvmConfig, SvmError, SvmRows};

/// How it is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CrossValidationConfig {
    /// Parts, each of which is held out once.
    pub folds: usize,
    /// Parts of the rows that are not held out, by which `C` is chosen.
    pub inner_folds: usize,
    /// The values of `C` to choose from; of equally good ones the smallest is taken.
    pub costs: Vec<f64>,
    /// Whether all tracks of an artist are in one fold; whoever calls has to hand the artists over.
    pub by_artist: bool,
    /// Decides which rows are in which fold.
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

/// One part held out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fold {
    /// How many were held out.
    pub rows: usize,
    /// Share of them whose class was found.
    pub accuracy: f64,
    /// The `C` that was chosen.
    pub cost: f64,
}

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossValidated {
    /// In the order in which they were held out; a part without rows is left out.
    pub folds: Vec<Fold>,
    /// `[row, class]`: what the machine that had not seen the row decides.
    pub decisions: Vec<f32>,
    /// What could not be done as asked, a sentence each.
    pub notes: Vec<String>,
}

/// A classifier of rows as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Classifier {
    /// Of features that are standardised by the two below.
    pub svm: Svm,
    /// `[column]`: taken from a feature before it is weighted.
    pub mean: Vec<f64>,
    /// `[column]`: what is left is divided by this; 1 where a feature does not vary.
    pub deviation: Vec<f64>,
    /// The `C` that was chosen.
    pub cost: f64,
}

/// Why there is no result.
#[allow(missing_docs, reason = "a variant is what its message says")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrossValidationError {
    #[error(transparent)]
    Config(#[from] ModelError),
    #[error("{folds} folds of {what}, of which there are {count}: ask for fewer folds")]
    TooFew { folds: usize, count: usize, what: &'static str },
    #[error(transparent)]
    Svm(#[from] SvmError),
    #[error("stopped after {0} folds")]
    Stopped(usize),
}

/// Rows with their classes, and what must not be torn apart.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// `[row, column]`
    pub rows: &'a [f32],
    /// Features a row.
    pub columns: usize,
    /// `[row]`, below `n_classes`
    pub classes: &'a [u32],
    /// How many classes there are; two of them at least have rows.
    pub n_classes: usize,
    /// `[row]`: rows of one group are in one fold.
    pub groups: Option<&'a [u32]>,
}

impl CrossValidationConfig {
    /// # Errors
    /// Names the first value that cannot be used.
    pub fn validate(&self) -> Result<(), ModelError> {
        in_range("folds", self.folds, 2, 10_000)?;
        in_range("inner_folds", self.inner_folds, 2, 10_000)?;
        if self.costs.is_empty() {
            let remedy = "list at least one number above 0";
            return Err(ModelError::new("costs", "[]", "there is no C to choose", remedy));
        }
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
            None => (of.classes.len(), "the tracks"),
            Some(groups) => {
                let mut groups = groups.to_vec();
                groups.sort_unstable();
                groups.dedup();
                (groups.len(), "the groups")
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

    /// Holds every fold out once. `progress` hears of each that is done, and may stop it.
    ///
    /// # Errors
    /// If a value cannot be used, there are fewer rows or groups than folds, a number is not finite, or
    /// the rows outside of a fold are all of one class.
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
                // Of groups, some may be too large for all folds to have one.
                notes.push(format!("fold {} has no track", fold + 1));
                continue;
            }
            let own = Picked::new(of, &train);
            absent += (0..n_classes)
                .filter(|class| {
                    let has = |classes: &[u32]| classes.iter().any(|c| *c as usize == *class);
                    !has(&own.classes) && held.iter().any(|row| of.classes[*row] as usize == *class)
                })
                .count();
            let classifier = self.fit(&own.labelled(of))?;
            unfinished += classifier.svm.unfinished;
            let rows = Picked::new(of, &held);
            let found = classifier.decide(&rows.rows, columns);
            let mut right = 0;
            for (row, decided) in held.iter().zip(found.chunks_exact(n_classes)) {
                right += usize::from(largest(decided) == of.classes[*row] as usize);
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
                "{absent} times a class that is held out has no track outside of the fold: there it cannot be \
                 found"
            ));
        }
        if unfinished > 0 {
            notes.push(format!("{unfinished} machines ended short of their minimum"));
        }
        Ok(CrossValidated { folds: done, decisions, notes })
    }

    /// A machine for all rows, with the `C` that folds among them choose.
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
                let (own, held) = (Picked::new(of, &train), Picked::new(of, &held));
                if own.classes.iter().all(|class| Some(class) == own.classes.first()) {
                    // Nothing can be told apart without this fold; the others choose.
                    continue;
                }
                let (scaled, mean, deviation) = standardised(&own.rows, of.columns);
                let prepared = SvmRows::new(&scaled, of.columns, &own.classes, of.n_classes)?;
                let held_rows = apply(&held.rows, of.columns, &mean, &deviation);
                let mut svm: Option<Svm> = None;
                for (&cost, right) in costs.iter().zip(&mut right) {
                    // From the minimum of the smaller cost it is not far.
                    let found = config(cost).fit_rows(&prepared, svm.as_ref())?;
                    let decided = found.decide(&held_rows, of.columns);
                    *right += decided
                        .chunks_exact(of.n_classes)
                        .zip(&held.classes)
                        .filter(|(row, class)| largest(row) == **class as usize)
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
    // What is left below this moves no decision.
    SvmConfig { cost, tolerance: 1e-6 }
}

impl Classifier {
    /// Weights and biases for rows as they are, not standardised.
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
        self.svm.decide(&apply(rows, columns, &self.mean, &self.deviation), columns)
    }
}

/// Some of the rows.
struct Picked {
    rows: Vec<f32>,
    classes: Vec<u32>,
    groups: Option<Vec<u32>>,
}

impl Picked {
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

/// Rows less their mean over their deviation; what does not vary is only moved.
fn standardised(rows: &[f32], columns: usize) -> (Vec<f32>, Vec<f64>, Vec<f64>) {
    let mut moments = crate::unsupervised::moments::Moments::new(columns);
    rows.chunks_exact(columns).for_each(|row| moments.add(row));
    let (mean, deviation) = moments.finish();
    (apply(rows, columns, &mean, &deviation), mean, deviation)
}

fn apply(rows: &[f32], columns: usize, mean: &[f64], deviation: &[f64]) -> Vec<f32> {
    let one = |(at, value): (usize, &f32)| {
        ((f64::from(*value) - mean[at % columns]) / deviation[at % columns]) as f32
    };
    rows.iter().enumerate().map(one).collect()
}

/// The first of the largest.
fn largest(row: &[f64]) -> usize {
    (0..row.len()).rev().max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0)
}

#[cfg(test)]
mod tests;
