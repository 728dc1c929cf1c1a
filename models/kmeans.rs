//! K-means on the host: plain, and spherical.
//!
//! Plain (Lloyd's algorithm): a row belongs to the mean with the least squared distance, a mean is
//! that of its rows. Spherical (Coates & Ng 2012, Learning feature representations with K-means):
//! means have length one, a row belongs to the mean with the largest inner product, and a mean
//! becomes the direction of the sum of its rows and of what it was before; the old mean, added
//! once, damps the step.
//!
//! A mean without rows is put onto the row that is worst served, so that all of them are used. The
//! result depends on rows, config and first means alone, bit for bit, for any number of threads.

use std::ops::ControlFlow;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use kernels::philox::philox;
use rayon::prelude::*;

use crate::ModelError;
use crate::error::in_range;

/// How many means, and how long to look for them.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeansConfig {
    pub means: usize,
    /// Most updates.
    pub iterations: usize,
    /// Stops when fewer than this share of the rows change their mean.
    pub tolerance: f64,
    /// Directions instead of places.
    pub spherical: bool,
    /// Decides which rows are the first means.
    pub seed: u64,
}

/// One update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Iteration {
    /// Before the update: the mean squared distance to the own mean; if spherical, the mean inner
    /// product with it.
    pub objective: f64,
    /// Rows whose mean is another than before.
    pub changed: usize,
    /// Means that had no rows.
    pub dead: usize,
}

/// Means, and how they were found.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeans {
    /// `[mean, column]`
    pub means: Vec<f32>,
    pub iterations: Vec<Iteration>,
}

/// Why there are no means.
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

/// Rows that one product of rows and means takes: its scores stay in a core's cache.
const BLOCK: usize = 64;

impl KMeansConfig {
    /// # Errors
    /// Names the first value that cannot be used.
    pub fn validate(&self) -> Result<(), ModelError> {
        in_range("means", self.means, 1, 1 << 20)?;
        in_range("iterations", self.iterations, 1, 1_000_000)?;
        in_range("tolerance", self.tolerance, 0.0, 1.0)
    }

    /// Finds the means of `rows`, from randomly chosen rows on. `progress` may stop it.
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
        self.fit_from(rows, columns, means, progress)
    }

    /// The same from given first means, `[mean, column]`.
    ///
    /// # Errors
    /// As [`KMeansConfig::fit`].
    pub fn fit_from(
        &self,
        rows: &[f32],
        columns: usize,
        mut means: Vec<f32>,
        mut progress: impl FnMut(&Iteration) -> ControlFlow<()>,
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
        let mut owner = vec![u32::MAX; count];
        let mut served = vec![0.0; count];
        let mut iterations = Vec::new();
        for done in 0..self.iterations {
            let changed = self.assign(rows, columns, &means, &mut owner, &mut served);
            let objective = self.objective(rows, columns, &served);
            let dead = self.update(rows, columns, &mut means, &owner, &served);
            let iteration = Iteration { objective, changed, dead };
            iterations.push(iteration);
            if progress(&iteration).is_break() {
                return Err(KMeansError::Stopped(done + 1));
            }
            if dead == 0 && (changed as f64) < self.tolerance * count as f64 || changed == 0 {
                break;
            }
        }
        Ok(KMeans { means, iterations })
    }

    /// The nearest mean of every row, and the score by which it is: `x'm` of it, less half of
    /// `|m|^2` if not spherical. Returns how many rows have another one than before.
    fn assign(
        &self,
        rows: &[f32],
        columns: usize,
        means: &[f32],
        owner: &mut [u32],
        served: &mut [f32],
    ) -> usize {
        let bias = self.bias(means, columns);
        let rows = rows.par_chunks(BLOCK * columns);
        let owners = owner.par_chunks_mut(BLOCK);
        let served = served.par_chunks_mut(BLOCK);
        rows.zip(owners)
            .zip(served)
            .map_init(
                || vec![0.0; BLOCK * self.means],
                |scores, ((rows, owners), served)| {
                    let scores = &mut scores[..owners.len() * self.means];
                    products(rows, means, columns, scores);
                    let mut changed = 0;
                    for ((scores, owner), served) in
                        scores.chunks_exact(self.means).zip(owners).zip(served)
                    {
                        let (best, score) = largest(scores, &bias);
                        changed += usize::from(*owner != best);
                        (*owner, *served) = (best, score);
                    }
                    changed
                },
            )
            .sum()
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

    /// Moves the means to their rows; returns how many had none.
    fn update(
        &self,
        rows: &[f32],
        columns: usize,
        means: &mut [f32],
        owner: &[u32],
        served: &[f32],
    ) -> usize {
        // Rows in the order of their means, so that each sum runs by itself and in one order.
        let mut starts = vec![0_usize; self.means + 1];
        owner.iter().for_each(|&mean| starts[mean as usize + 1] += 1);
        (0..self.means).for_each(|mean| starts[mean + 1] += starts[mean]);
        let mut order = vec![0_u32; owner.len()];
        let mut next = starts.clone();
        for (row, &mean) in owner.iter().enumerate() {
            order[next[mean as usize]] = row as u32;
            next[mean as usize] += 1;
        }
        means.par_chunks_exact_mut(columns).enumerate().for_each(|(number, mean)| {
            let own = &order[starts[number]..starts[number + 1]];
            if own.is_empty() {
                return;
            }
            let mut sum = vec![0.0_f64; columns];
            for &row in own {
                let row = &rows[row as usize * columns..][..columns];
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            if self.spherical {
                sum.iter_mut().zip(mean.iter()).for_each(|(sum, old)| *sum += f64::from(*old));
                let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
                if length > 0.0 {
                    mean.iter_mut().zip(&sum).for_each(|(m, s)| *m = (s / length) as f32);
                }
            } else {
                let count = own.len() as f64;
                mean.iter_mut().zip(&sum).for_each(|(m, s)| *m = (s / count) as f32);
            }
        });
        let dead: Vec<usize> =
            (0..self.means).filter(|&mean| starts[mean] == starts[mean + 1]).collect();
        if dead.is_empty() {
            return 0;
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
            (0..owner.len()).into_par_iter().map(|row| (cost(row), row)).collect();
        worst.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (&mean, &(_, row)) in dead.iter().zip(&worst) {
            let mean = &mut means[mean * columns..][..columns];
            mean.copy_from_slice(&rows[row * columns..][..columns]);
            if self.spherical {
                normalise(mean);
            }
        }
        dead.len()
    }
}

/// `out[i, j]` is the product of row `i` of `left` and row `j` of `right`.
pub(crate) fn products(left: &[f32], right: &[f32], columns: usize, out: &mut [f32]) {
    let (m, n) = (left.len() / columns, right.len() / columns);
    let out = MatMut::from_row_major_slice_mut(out, m, n);
    let left = MatRef::from_row_major_slice(left, m, columns);
    let right = MatRef::from_row_major_slice(right, n, columns);
    matmul(out, Accum::Replace, left, right.transpose(), 1.0, Par::Seq);
}

/// Position and value of the largest sum of a score and its bias; the first of equals.
fn largest(scores: &[f32], bias: &[f32]) -> (u32, f32) {
    // The maximum first, without its place: that is done many at a time.
    const LANES: usize = 16;
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, biases) = (scores.chunks_exact(LANES), bias.chunks_exact(LANES));
    let rest = chunks.remainder().iter().zip(biases.remainder());
    for (chunk, bias) in chunks.zip(biases) {
        for lane in 0..LANES {
            let value = chunk[lane] + bias[lane];
            lanes[lane] = if value > lanes[lane] { value } else { lanes[lane] };
        }
    }
    let top = rest.map(|(score, bias)| score + bias).chain(lanes).fold(f32::NEG_INFINITY, f32::max);
    let at = scores.iter().zip(bias).position(|(score, bias)| score + bias == top);
    (at.unwrap_or(0) as u32, top)
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
