//! K-means: plain, and spherical; by all rows at once, or by batches of them.
//!
//! Plain (Lloyd's algorithm): a row belongs to the mean with the least squared distance, a mean is
//! that of its rows. Spherical (Coates & Ng 2012, Learning feature representations with K-means):
//! means have length one, a row belongs to the mean with the largest inner product, and a mean
//! becomes the direction of the sum of its rows and of what it was before; the old mean, added
//! once, damps the step.
//!
//! By batches, a mean is made of all rows that went to it since the beginning, those of earlier passes
//! over the rows counting half as much with each pass, so that it settles.
//!
//! A mean without rows is put onto the row that is worst served, so that all of them are used. The
//! result depends on rows, config, first means and the kind of device alone; on the host bit for bit, for
//! any number of threads.

mod assign;

use std::ops::ControlFlow;

use burn::tensor::Device;
use kernels::philox::philox;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::assign::Rows;
use crate::ModelError;
use crate::error::in_range;

/// How many means, and how long to look for them.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeansConfig {
    /// How many are looked for; as many rows are needed at least.
    pub means: usize,
    /// Most updates.
    pub iterations: usize,
    /// Stops when fewer than this share of the rows change their mean.
    pub tolerance: f64,
    /// Directions instead of places.
    pub spherical: bool,
    /// How much a row counts in its mean.
    pub weight: Weight,
    /// Rows an update, drawn anew without repeats in every pass over them; all by default.
    pub batch: Option<usize>,
    /// Decides which rows are the first means.
    pub seed: u64,
}

/// How much a row counts in a spherical mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// All alike: what is maximised is the mean of the products.
    #[default]
    One,
    /// By its product with the mean, as Coates & Ng have it: the mean of the squared products.
    Product,
}

/// One update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Iteration {
    /// Before the update: the mean squared distance to the own mean; if spherical, the mean inner
    /// product with it.
    pub objective: f64,
    /// Rows whose mean is another than before.
    pub changed: usize,
    /// Means that had no rows; by batches, told at the end of each pass.
    pub dead: usize,
}

/// Means, and how they were found.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeans {
    /// `[mean, column]`
    pub means: Vec<f32>,
    /// One for each update, in their order.
    pub iterations: Vec<Iteration>,
}

/// Why there are no means.
#[allow(missing_docs, reason = "a variant is what its message says")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KMeansError {
    #[error(transparent)]
    Config(#[from] ModelError),
    #[error("{rows} rows are too few for {means} means; ask for fewer means, or bring more audio")]
    TooFewRows { rows: usize, means: usize },
    #[error("row {row}, column {column} is {value}; only finite numbers have means")]
    NotFinite { row: usize, column: usize, value: String },
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
            weight: Weight::One,
            batch: None,
            seed: 1,
        }
    }
}

/// Of the totals that mini-batches have gathered, what is kept when the next pass over the rows begins.
const KEPT: f64 = 0.5;

impl KMeansConfig {
    /// # Errors
    /// Names the first value that cannot be used.
    pub fn validate(&self) -> Result<(), ModelError> {
        in_range("means", self.means, 1, 1 << 20)?;
        in_range("iterations", self.iterations, 1, 1_000_000)?;
        in_range("tolerance", self.tolerance, 0.0, 1.0)?;
        if let Some(batch) = self.batch {
            in_range("batch", batch, 1, 1 << 30)?;
        }
        if !self.spherical && self.weight == Weight::Product {
            let remedy = "ask for spherical means, or for weight = \"one\"";
            return Err(ModelError::new(
                "weight",
                "product",
                "plain means have no such weights",
                remedy,
            ));
        }
        Ok(())
    }

    /// Finds the means of `rows`, from randomly chosen rows on. Products of rows and means are made on
    /// `device`, all else on the host. `progress` may stop it.
    ///
    /// # Shapes
    /// - `rows`: `[row, column]`
    ///
    /// # Errors
    /// If a value of the config cannot be used, there are fewer rows than means, or a number is not
    /// finite.
    pub fn fit(
        &self,
        rows: &[f32],
        columns: usize,
        device: &Device,
        progress: impl FnMut(&Iteration) -> ControlFlow<()>,
    ) -> Result<KMeans, KMeansError> {
        self.validate()?;
        let count = rows.len().checked_div(columns).unwrap_or(0);
        if count < self.means {
            return Err(KMeansError::TooFewRows { rows: count, means: self.means });
        }
        let mut means = Vec::with_capacity(self.means * columns);
        for row in distinct(count, self.means, self.seed) {
            means.extend_from_slice(&rows[row * columns..][..columns]);
        }
        self.fit_from(rows, columns, means, device, progress)
    }

    /// The same from given first means, `[mean, column]`.
    ///
    /// # Errors
    /// As [`KMeansConfig::fit`].
    ///
    /// # Panics
    /// If `rows` or `means` are not whole rows of `columns` numbers, or there are not as many means as the config asks.
    pub fn fit_from(
        &self,
        rows: &[f32],
        columns: usize,
        mut means: Vec<f32>,
        device: &Device,
        progress: impl FnMut(&Iteration) -> ControlFlow<()>,
    ) -> Result<KMeans, KMeansError> {
        self.validate()?;
        let count = rows.len().checked_div(columns).unwrap_or(0);
        assert_eq!(count * columns, rows.len(), "whole rows");
        assert_eq!(means.len(), self.means * columns, "first means of the same width");
        if count < self.means {
            return Err(KMeansError::TooFewRows { rows: count, means: self.means });
        }
        if let Some(at) = rows.iter().position(|value| !value.is_finite()) {
            let (row, column, value) = (at / columns, at % columns, rows[at].to_string());
            return Err(KMeansError::NotFinite { row, column, value });
        }
        if self.spherical {
            means.chunks_exact_mut(columns).for_each(normalise);
        }
        let iterations = match self.batch {
            Some(batch) if batch < count => {
                self.in_batches(rows, columns, &mut means, batch, device, progress)?
            }
            _ => self.at_once(rows, columns, &mut means, device, progress)?,
        };
        Ok(KMeans { means, iterations })
    }

    /// Updates by all rows.
    fn at_once(
        &self,
        rows: &[f32],
        columns: usize,
        means: &mut [f32],
        device: &Device,
        mut progress: impl FnMut(&Iteration) -> ControlFlow<()>,
    ) -> Result<Vec<Iteration>, KMeansError> {
        let count = rows.len() / columns;
        let there = Rows::new(rows, columns, device);
        let (mut owner, mut before) = (vec![u32::MAX; count], vec![u32::MAX; count]);
        let mut served = vec![0.0; count];
        let mut iterations = Vec::new();
        for done in 0..self.iterations {
            std::mem::swap(&mut owner, &mut before);
            there.assign(means, columns, &self.bias(means, columns), &mut owner, &mut served);
            let changed = different(&owner, &before);
            let objective = self.objective(rows, columns, &served);
            let mut totals = Totals::new(self, means, columns);
            let used = totals.add(self, rows, columns, &owner, &served);
            totals.means(self, means, columns);
            let dead: Vec<usize> = (0..self.means).filter(|&mean| !used[mean]).collect();
            self.revive(&dead, rows, columns, &served, means);
            let iteration = Iteration { objective, changed, dead: dead.len() };
            iterations.push(iteration);
            if progress(&iteration).is_break() {
                return Err(KMeansError::Stopped(done + 1));
            }
            if dead.is_empty() && (changed as f64) < self.tolerance * count as f64 || changed == 0 {
                break;
            }
        }
        Ok(iterations)
    }

    /// Updates by some rows at a time.
    fn in_batches(
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
                let (mut owner, mut served) = (vec![0; batch], vec![0.0; batch]);
                let there = Rows::new(&gathered, columns, device);
                there.assign(means, columns, &self.bias(means, columns), &mut owner, &mut served);
                let before: Vec<u32> = chosen.iter().map(|&row| owner_of[row]).collect();
                let changed = different(&owner, &before);
                chosen.iter().zip(&owner).for_each(|(&row, &mean)| owner_of[row] = mean);
                changed_in_pass += changed;
                let objective = self.objective(&gathered, columns, &served);
                let now = totals.add(self, &gathered, columns, &owner, &served);
                used.iter_mut().zip(now).for_each(|(used, now)| *used |= now);
                totals.means(self, means, columns);
                // Only a whole pass tells which means have no rows.
                let dead: Vec<usize> = match number + 1 == whole {
                    true => (0..self.means).filter(|&mean| !used[mean]).collect(),
                    false => Vec::new(),
                };
                for &mean in &self.revive(&dead, &gathered, columns, &served, means) {
                    totals.restart(mean, self, means, columns);
                }
                let iteration = Iteration { objective, changed, dead: dead.len() };
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
            totals.fade();
        }
        Ok(iterations)
    }

    fn bias(&self, means: &[f32], columns: usize) -> Vec<f32> {
        let half = |mean: &[f32]| -(squares(mean) / 2.0) as f32;
        let plain = means.chunks_exact(columns).map(half);
        if self.spherical { vec![0.0; self.means] } else { plain.collect() }
    }

    fn objective(&self, rows: &[f32], columns: usize, served: &[f32]) -> f64 {
        let rows = rows.chunks_exact(columns);
        let each = rows.zip(served).map(|(row, score)| self.fit_of(row, *score));
        each.sum::<f64>() / served.len() as f64
    }

    /// A row's part of the objective.
    fn fit_of(&self, row: &[f32], score: f32) -> f64 {
        match self.spherical {
            true => f64::from(score),
            false => (squares(row) - 2.0 * f64::from(score)).max(0.0),
        }
    }

    /// Puts means that have no rows onto those that are worst served; returns the ones that were put.
    fn revive(
        &self,
        dead: &[usize],
        rows: &[f32],
        columns: usize,
        served: &[f32],
        means: &mut [f32],
    ) -> Vec<usize> {
        if dead.is_empty() {
            return Vec::new();
        }
        // The worst served first; of equals the one that comes first.
        let cost = |row: usize| {
            let fit = self.fit_of(&rows[row * columns..][..columns], served[row]);
            // Of directions, loud rows are served well by any: it is the angle that counts.
            let length = squares(&rows[row * columns..][..columns]).sqrt();
            match self.spherical {
                true if length > 0.0 => -fit / length,
                true => f64::NEG_INFINITY,
                false => fit,
            }
        };
        let mut worst: Vec<(f64, usize)> =
            (0..served.len()).into_par_iter().map(|row| (cost(row), row)).collect();
        worst.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (&mean, &(_, row)) in dead.iter().zip(&worst) {
            let mean = &mut means[mean * columns..][..columns];
            mean.copy_from_slice(&rows[row * columns..][..columns]);
            if self.spherical {
                normalise(mean);
            }
        }
        dead[..dead.len().min(worst.len())].to_vec()
    }
}

fn different(a: &[u32], b: &[u32]) -> usize {
    a.par_iter().zip(b).filter(|(a, b)| a != b).count()
}

/// What the means are made of: sums of their rows, and how many these were.
struct Totals {
    /// `[mean, column]`
    sums: Vec<f64>,
    counts: Vec<f64>,
}

impl Totals {
    /// Spherical means count as one row of their own: that damps the step.
    fn new(config: &KMeansConfig, means: &[f32], columns: usize) -> Self {
        let mut totals = Self { sums: vec![0.0; means.len()], counts: vec![0.0; config.means] };
        (0..config.means).for_each(|mean| totals.restart(mean, config, means, columns));
        totals
    }

    /// Nothing but the mean as it is.
    fn restart(&mut self, mean: usize, config: &KMeansConfig, means: &[f32], columns: usize) {
        let range = mean * columns..(mean + 1) * columns;
        self.counts[mean] = 0.0;
        for (sum, value) in self.sums[range.clone()].iter_mut().zip(&means[range]) {
            *sum = if config.spherical { f64::from(*value) } else { 0.0 };
        }
    }

    fn fade(&mut self) {
        self.sums.iter_mut().chain(&mut self.counts).for_each(|value| *value *= KEPT);
    }

    /// Adds rows to the means that own them; returns which means had any.
    fn add(
        &mut self,
        config: &KMeansConfig,
        rows: &[f32],
        columns: usize,
        owner: &[u32],
        served: &[f32],
    ) -> Vec<bool> {
        // Rows in the order of their means, so that each sum runs by itself and in one order.
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
                match config.weight {
                    Weight::One => {
                        sum.iter_mut()
                            .zip(values)
                            .for_each(|(sum, value)| *sum += f64::from(*value));
                    }
                    Weight::Product => {
                        let weight = f64::from(served[row as usize]);
                        let both = sum.iter_mut().zip(values);
                        both.for_each(|(sum, value)| *sum += weight * f64::from(*value));
                    }
                }
                *count += 1.0;
            }
        });
        (0..config.means).map(|mean| starts[mean] < starts[mean + 1]).collect()
    }

    /// Moves the means to what they are made of; those without rows stay.
    fn means(&self, config: &KMeansConfig, means: &mut [f32], columns: usize) {
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

/// `wanted` different numbers below `count`, drawn from `seed`.
fn distinct(count: usize, wanted: usize, seed: u64) -> Vec<usize> {
    const PURPOSE: u64 = 0x6b6d_6561_6e73;
    // The first of a shuffle, of which only the places that were touched are kept.
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
