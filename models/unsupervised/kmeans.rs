//! K-means: Lloyd's algorithm and spherical K-means, with full updates or mini-batches.
//!
//! Lloyd's algorithm: a row belongs to the nearest mean, and a mean is the mean of its rows. Spherical K-means
//! (Coates & Ng 2012, Learning feature representations with K-means): means have length one, a row belongs
//! to the mean with the largest inner product, and a mean becomes the direction of the sum of its rows and
//! its previous value, which damps the update.
//!
//! With mini-batches, a mean is computed from all rows assigned to it so far. The weight of earlier rows
//! is halved after every pass, so that the means converge.
//!
//! An empty mean moves to the row with the largest error. The result depends only on rows, config, initial
//! means and the kind of device; on the CPU it is bit-identical for any number of threads.

mod assign;

use std::ops::ControlFlow;

use burn::tensor::Device;
use kernels::philox::philox;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::assign::Rows;
use crate::ModelError;
use crate::error::{NotFinite, all_finite, ensure, in_range};
use crate::fitted::{Corpus, FitError, ProgressReporter};

/// Number of means, and when to stop.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeansConfig {
    /// Number of means; at least as many rows are needed.
    pub means: usize,
    /// Largest number of updates.
    pub iterations: usize,
    /// Share of rows that change their mean below which the algorithm stops.
    pub tolerance: f64,
    /// Whether to use spherical K-means.
    pub spherical: bool,
    /// Weight of a row in its mean.
    pub weight: RowWeight,
    /// Rows per update, drawn without replacement in every pass; all rows if `None`.
    pub batch: Option<usize>,
    /// Random seed for the rows that are the initial means.
    pub seed: u64,
}

/// The weight of a row in a spherical mean.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RowWeight {
    /// Equal weights, which maximises the mean product.
    #[default]
    One,
    /// The product with the mean, as in Coates & Ng, which maximises the mean squared product.
    Product,
}

/// One update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Iteration {
    /// Before the update: the mean squared distance of a row to its mean, or the mean inner product if
    /// spherical.
    pub objective: f64,
    /// Rows that changed their mean.
    pub changed: usize,
    /// Empty means; with mini-batches, counted at the end of each pass.
    pub empty: usize,
}

/// The means, and the updates that led to them.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeans {
    /// `[mean, column]`
    pub means: Vec<f32>,
    /// One entry per update, in order.
    pub iterations: Vec<Iteration>,
}

/// Why K-means failed.
#[allow(missing_docs, reason = "the messages describe the variants")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KMeansError {
    #[error(transparent)]
    Config(#[from] ModelError),
    #[error("{rows} rows are too few for {means} means; use fewer means or more audio")]
    TooFewRows { rows: usize, means: usize },
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
    #[error("stopped after {0} updates")]
    Stopped(usize),
}

impl Default for KMeansConfig {
    fn default() -> Self {
        Self {
            means: 500,
            iterations: 20,
            tolerance: 0.001,
            spherical: true,
            weight: RowWeight::One,
            batch: None,
            seed: 1,
        }
    }
}

/// Factor by which the weight of earlier rows decreases after every pass of mini-batches.
const DECAY: f64 = 0.5;

impl KMeansConfig {
    /// # Errors
    /// Names the first invalid value.
    pub fn validate(&self) -> Result<(), ModelError> {
        in_range("means", self.means, 1, 1 << 20)?;
        in_range("iterations", self.iterations, 1, 1_000_000)?;
        in_range("tolerance", self.tolerance, 0.0, 1.0)?;
        if let Some(batch) = self.batch {
            in_range("batch", batch, 1, 1 << 30)?;
        }
        let weighted = self.spherical || self.weight == RowWeight::One;
        let remedy = "use spherical means, or weight = \"one\"";
        ensure(weighted, "weight", "product", "needs spherical K-means", remedy)
    }

    /// The number of rows, if the config is valid and they are enough.
    fn count(&self, rows: &[f32], columns: usize) -> Result<usize, KMeansError> {
        self.validate()?;
        match rows.len().checked_div(columns).unwrap_or(0) {
            rows if rows < self.means => Err(KMeansError::TooFewRows { rows, means: self.means }),
            rows => Ok(rows),
        }
    }

    /// Finds the means of `rows`, starting from randomly chosen rows. Products of rows and means are computed on
    /// `device`, everything else on the CPU. `progress` can stop the algorithm.
    ///
    /// # Shapes
    /// - `rows`: `[row, column]`
    ///
    /// # Errors
    /// If a value of the config is invalid, there are fewer rows than means, or a value is not finite.
    pub fn fit(
        &self,
        rows: &[f32],
        columns: usize,
        device: &Device,
        progress: impl FnMut(&Iteration) -> ControlFlow<()>,
    ) -> Result<KMeans, KMeansError> {
        let count = self.count(rows, columns)?;
        let mut means = Vec::with_capacity(self.means * columns);
        for row in distinct(count, self.means, self.seed) {
            means.extend_from_slice(&rows[row * columns..][..columns]);
        }
        self.fit_from(rows, columns, means, device, progress)
    }

    /// The means of `rows` of training audio. Reports progress to `corpus` with the given `label`; `key` names the
    /// number of means in the config, and `unit` what a row is.
    pub(crate) fn fit_to_corpus<C: Corpus>(
        &self,
        rows: &[f32],
        columns: usize,
        device: &Device,
        corpus: &C,
        label: &str,
        (key, unit): (&str, &str),
    ) -> Result<Vec<f32>, FitError<C::Error>> {
        let mut reporter = ProgressReporter::new(corpus);
        let objective = if self.spherical { "mean product" } else { "mean squared distance" };
        let found = self.fit(rows, columns, device, |iteration| {
            reporter.report(&format!("{label}, {objective} {:.4}", iteration.objective))
        });
        reporter.finish()?;
        match found {
            Ok(found) => Ok(found.means),
            Err(KMeansError::Config(error)) => Err(FitError::Model(error)),
            Err(KMeansError::TooFewRows { rows, means }) => Err(FitError::Model(ModelError::new(
                key,
                means,
                format!("more than the {rows} {unit} of all training excerpts"),
                format!("lower {key}, or use more audio"),
            ))),
            Err(error) => Err(FitError::Data(format!("{label}: {error}"))),
        }
    }

    /// [`KMeansConfig::fit`] with given initial means, `[mean, column]`.
    ///
    /// # Errors
    /// As [`KMeansConfig::fit`].
    ///
    /// # Panics
    /// If `rows` or `means` do not consist of rows of `columns` values, or the number of means differs from
    /// the config.
    pub fn fit_from(
        &self,
        rows: &[f32],
        columns: usize,
        mut means: Vec<f32>,
        device: &Device,
        progress: impl FnMut(&Iteration) -> ControlFlow<()>,
    ) -> Result<KMeans, KMeansError> {
        let count = self.count(rows, columns)?;
        assert_eq!(count * columns, rows.len(), "whole rows");
        assert_eq!(means.len(), self.means * columns, "initial means of the same width");
        all_finite(rows.iter().copied(), columns)?;
        if self.spherical {
            means.chunks_exact_mut(columns).for_each(normalise);
        }
        let iterations = match self.batch {
            Some(batch) if batch < count => {
                self.fit_batches(rows, columns, &mut means, batch, device, progress)?
            }
            _ => self.fit_full(rows, columns, &mut means, device, progress)?,
        };
        Ok(KMeans { means, iterations })
    }

    /// Updates from all rows.
    fn fit_full(
        &self,
        rows: &[f32],
        columns: usize,
        means: &mut [f32],
        device: &Device,
        mut progress: impl FnMut(&Iteration) -> ControlFlow<()>,
    ) -> Result<Vec<Iteration>, KMeansError> {
        let count = rows.len() / columns;
        let on_device = Rows::new(rows, columns, device);
        let (mut owner, mut before) = (vec![u32::MAX; count], vec![u32::MAX; count]);
        let mut score = vec![0.0; count];
        let mut iterations = Vec::new();
        for done in 0..self.iterations {
            std::mem::swap(&mut owner, &mut before);
            on_device.assign(means, columns, &self.bias(means, columns), &mut owner, &mut score);
            let changed = different(&owner, &before);
            let objective = self.objective(rows, columns, &score);
            let mut totals = Totals::new(self, means, columns);
            let used = totals.add(self, rows, columns, &owner, &score);
            totals.update(self, means, columns);
            let empty: Vec<usize> = (0..self.means).filter(|&mean| !used[mean]).collect();
            self.revive(&empty, rows, columns, &score, means);
            let iteration = Iteration { objective, changed, empty: empty.len() };
            iterations.push(iteration);
            if progress(&iteration).is_break() {
                return Err(KMeansError::Stopped(done + 1));
            }
            if empty.is_empty() && (changed as f64) < self.tolerance * count as f64 || changed == 0
            {
                break;
            }
        }
        Ok(iterations)
    }

    /// Updates from mini-batches.
    fn fit_batches(
        &self,
        rows: &[f32],
        columns: usize,
        means: &mut [f32],
        batch: usize,
        device: &Device,
        mut progress: impl FnMut(&Iteration) -> ControlFlow<()>,
    ) -> Result<Vec<Iteration>, KMeansError> {
        let count = rows.len() / columns;
        let mut totals = Totals::new(self, means, columns);
        let (mut owner_of, mut iterations) = (vec![u32::MAX; count], Vec::new());
        let mut gathered = Vec::with_capacity(batch * columns);
        for pass in 0.. {
            let order = distinct(count, count, self.seed ^ (pass + 1));
            let mut used = vec![false; self.means];
            let mut changed_in_pass = 0;
            let whole = count / batch;
            for (number, chosen) in order.chunks_exact(batch).enumerate() {
                gathered.clear();
                for &row in chosen {
                    gathered.extend_from_slice(&rows[row * columns..][..columns]);
                }
                let (mut owner, mut score) = (vec![0; batch], vec![0.0; batch]);
                let on_device = Rows::new(&gathered, columns, device);
                on_device.assign(
                    means,
                    columns,
                    &self.bias(means, columns),
                    &mut owner,
                    &mut score,
                );
                let before: Vec<u32> = chosen.iter().map(|&row| owner_of[row]).collect();
                let changed = different(&owner, &before);
                chosen.iter().zip(&owner).for_each(|(&row, &mean)| owner_of[row] = mean);
                changed_in_pass += changed;
                let objective = self.objective(&gathered, columns, &score);
                let now = totals.add(self, &gathered, columns, &owner, &score);
                used.iter_mut().zip(now).for_each(|(used, now)| *used |= now);
                totals.update(self, means, columns);
                // Only after a whole pass is it known which means are empty.
                let empty: Vec<usize> = match number + 1 == whole {
                    true => (0..self.means).filter(|&mean| !used[mean]).collect(),
                    false => Vec::new(),
                };
                for &mean in &self.revive(&empty, &gathered, columns, &score, means) {
                    totals.restart(mean, self, means, columns);
                }
                let iteration = Iteration { objective, changed, empty: empty.len() };
                iterations.push(iteration);
                if progress(&iteration).is_break() {
                    return Err(KMeansError::Stopped(iterations.len()));
                }
                if iterations.len() == self.iterations {
                    return Ok(iterations);
                }
            }
            let seen = whole * batch;
            if (changed_in_pass as f64) < self.tolerance * seen as f64 || changed_in_pass == 0 {
                break;
            }
            totals.decay();
        }
        Ok(iterations)
    }

    /// With this added to the product of row and mean, the largest score belongs to the row's mean.
    fn bias(&self, means: &[f32], columns: usize) -> Vec<f32> {
        let half = |mean: &[f32]| -(squares(mean) / 2.0) as f32;
        let plain = means.chunks_exact(columns).map(half);
        if self.spherical { vec![0.0; self.means] } else { plain.collect() }
    }

    fn objective(&self, rows: &[f32], columns: usize, score: &[f32]) -> f64 {
        let rows = rows.chunks_exact(columns);
        let each = rows.zip(score).map(|(row, score)| self.fit_of(row, *score));
        each.sum::<f64>() / score.len() as f64
    }

    /// The contribution of a row to the objective.
    fn fit_of(&self, row: &[f32], score: f32) -> f64 {
        match self.spherical {
            true => f64::from(score),
            false => (squares(row) - 2.0 * f64::from(score)).max(0.0),
        }
    }

    /// Moves empty means to the rows with the largest errors; returns the means that moved.
    fn revive(
        &self,
        empty: &[usize],
        rows: &[f32],
        columns: usize,
        score: &[f32],
        means: &mut [f32],
    ) -> Vec<usize> {
        if empty.is_empty() {
            return Vec::new();
        }
        // Largest error first; the earlier row among equals.
        let cost = |row: usize| {
            let fit = self.fit_of(&rows[row * columns..][..columns], score[row]);
            // The product grows with the length of a row; the error of a direction is the angle.
            let length = squares(&rows[row * columns..][..columns]).sqrt();
            match self.spherical {
                true if length > 0.0 => -fit / length,
                true => f64::NEG_INFINITY,
                false => fit,
            }
        };
        let mut worst: Vec<(f64, usize)> =
            (0..score.len()).into_par_iter().map(|row| (cost(row), row)).collect();
        worst.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (&mean, &(_, row)) in empty.iter().zip(&worst) {
            let mean = &mut means[mean * columns..][..columns];
            mean.copy_from_slice(&rows[row * columns..][..columns]);
            if self.spherical {
                normalise(mean);
            }
        }
        empty[..empty.len().min(worst.len())].to_vec()
    }
}

fn different(a: &[u32], b: &[u32]) -> usize {
    a.par_iter().zip(b).filter(|(a, b)| a != b).count()
}

/// Sums and counts of the rows of each mean.
struct Totals {
    /// `[mean, column]`
    sums: Vec<f64>,
    counts: Vec<f64>,
}

impl Totals {
    /// A spherical mean counts as one of its own rows, which damps the update.
    fn new(config: &KMeansConfig, means: &[f32], columns: usize) -> Self {
        let mut totals = Self { sums: vec![0.0; means.len()], counts: vec![0.0; config.means] };
        (0..config.means).for_each(|mean| totals.restart(mean, config, means, columns));
        totals
    }

    /// Resets a mean to its current value without rows.
    fn restart(&mut self, mean: usize, config: &KMeansConfig, means: &[f32], columns: usize) {
        let range = mean * columns..(mean + 1) * columns;
        self.counts[mean] = 0.0;
        for (sum, value) in self.sums[range.clone()].iter_mut().zip(&means[range]) {
            *sum = if config.spherical { f64::from(*value) } else { 0.0 };
        }
    }

    fn decay(&mut self) {
        self.sums.iter_mut().chain(&mut self.counts).for_each(|value| *value *= DECAY);
    }

    /// Adds rows to their means; returns which means are not empty.
    fn add(
        &mut self,
        config: &KMeansConfig,
        rows: &[f32],
        columns: usize,
        owner: &[u32],
        score: &[f32],
    ) -> Vec<bool> {
        // Rows sorted by mean, so that each sum has its own thread and a fixed order.
        let mut starts = vec![0_usize; config.means + 1];
        owner.iter().for_each(|&mean| starts[mean as usize + 1] += 1);
        (0..config.means).for_each(|mean| starts[mean + 1] += starts[mean]);
        let mut order = vec![0_u32; owner.len()];
        let mut next = starts.clone();
        for (row, &mean) in owner.iter().enumerate() {
            order[next[mean as usize]] = row as u32;
            next[mean as usize] += 1;
        }
        let sums = self.sums.par_chunks_exact_mut(columns).zip(&mut self.counts);
        sums.enumerate().for_each(|(mean, (sum, count))| {
            for &row in &order[starts[mean]..starts[mean + 1]] {
                let values = &rows[row as usize * columns..][..columns];
                let weight = match config.weight {
                    RowWeight::One => 1.0,
                    RowWeight::Product => f64::from(score[row as usize]),
                };
                sum.iter_mut().zip(values).for_each(|(sum, x)| *sum += weight * f64::from(*x));
                *count += 1.0;
            }
        });
        (0..config.means).map(|mean| starts[mean] < starts[mean + 1]).collect()
    }

    /// Updates the means from sums and counts; empty means stay.
    fn update(&self, config: &KMeansConfig, means: &mut [f32], columns: usize) {
        let totals = self.sums.chunks_exact(columns).zip(&self.counts);
        for (mean, (sum, count)) in means.chunks_exact_mut(columns).zip(totals) {
            let size = match config.spherical {
                true => sum.iter().map(|value| value * value).sum::<f64>().sqrt(),
                false => *count,
            };
            if *count > 0.0 && size > 0.0 {
                mean.iter_mut().zip(sum).for_each(|(mean, sum)| *mean = (sum / size) as f32);
            }
        }
    }
}

fn squares(row: &[f32]) -> f64 {
    row.iter().map(|value| f64::from(*value).powi(2)).sum()
}

fn normalise(row: &mut [f32]) {
    let length = squares(row).sqrt();
    if length > 0.0 {
        row.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
}

/// `wanted` distinct random numbers below `count`.
fn distinct(count: usize, wanted: usize, seed: u64) -> Vec<usize> {
    const PURPOSE: u64 = 0x6b6d_6561_6e73;
    // The first elements of a Fisher-Yates shuffle; only positions that moved are stored.
    let mut moved = std::collections::HashMap::new();
    let mut chosen = Vec::with_capacity(wanted);
    for i in 0..wanted {
        let draw = philox([seed, PURPOSE], [i as u64, 0, 0, 0])[0];
        let j = i + ((u128::from(draw) * (count - i) as u128) >> 64) as usize;
        let at_j = moved.get(&j).copied().unwrap_or(j);
        let at_i = moved.get(&i).copied().unwrap_or(i);
        moved.insert(j, at_i);
        chosen.push(at_j);
    }
    chosen
}

#[cfg(test)]
mod tests;
