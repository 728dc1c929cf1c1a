//! Principal components, fitted in one pass over any number of rows.
//!
//! Rows are gathered until there are as many as columns; from then on only their covariance is
//! kept. Where fewer rows came than there are columns, the components come from the products of the
//! rows with each other, a smaller matrix. Everything is summed in double precision.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par, Side};
use rayon::prelude::*;

use crate::ModelError;

/// Principal components of rows of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    /// `[column]`
    pub mean: Vec<f64>,
    /// `[component, column]`, each of length one, its largest entry positive; the component along
    /// which the rows vary most comes first.
    pub components: Vec<f64>,
    /// Variance along each component (divided by rows less one).
    pub variances: Vec<f64>,
    /// Of all components, kept or not.
    pub total_variance: f64,
}

/// How many components are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keep {
    /// As few as hold this share of the variance.
    Variance(f64),
    /// So many; fewer where the rows span fewer dimensions.
    Components(usize),
}

/// Why there are no components.
#[allow(missing_docs, reason = "a variant is what its message says")]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PcaError {
    #[error(transparent)]
    Config(#[from] ModelError),
    #[error("{0} rows are too few for principal components; bring at least two")]
    TooFewRows(usize),
    #[error("row {row}, column {column} is {value}; only finite numbers have components")]
    NotFinite { row: usize, column: usize, value: f32 },
    #[error("all {rows} rows are the same: nothing varies")]
    Constant { rows: usize },
    #[error("the eigenvectors of the covariance were not found")]
    Eigenvectors,
}

/// Columns of the covariance that a thread sums at a time.
const BLOCK: usize = 64;

/// Gathers rows.
#[derive(Clone, Debug)]
pub struct PcaFit {
    columns: usize,
    rows: usize,
    /// Rows not yet in the sums.
    waiting: Vec<f32>,
    /// Subtracted from every row, so that sums of squares lose nothing: the mean of the first rows.
    pilot: Vec<f64>,
    /// Of rows less the pilot.
    sum: Vec<f64>,
    /// Products of the columns of rows less the pilot; empty until there are enough rows.
    products: Mat<f64>,
}

impl PcaFit {
    /// # Panics
    /// If there are no columns.
    pub fn new(columns: usize) -> PcaFit {
        assert!(columns > 0, "principal components of nothing");
        PcaFit {
            columns,
            rows: 0,
            waiting: Vec::new(),
            pilot: Vec::new(),
            sum: vec![0.0; columns],
            products: Mat::new(),
        }
    }

    /// Adds rows, `[row, column]`.
    ///
    /// # Errors
    /// If a number is not finite.
    ///
    /// # Panics
    /// If the rows are not whole.
    pub fn add(&mut self, rows: &[f32]) -> Result<(), PcaError> {
        assert!(rows.len().is_multiple_of(self.columns), "whole rows");
        if let Some(at) = rows.iter().position(|value| !value.is_finite()) {
            let (row, column) = (self.rows + at / self.columns, at % self.columns);
            return Err(PcaError::NotFinite { row, column, value: rows[at] });
        }
        self.rows += rows.len() / self.columns;
        for row in rows.chunks_exact(self.columns) {
            self.waiting.extend_from_slice(row);
            // One more than columns: what is fewer has the smaller matrix below.
            if self.waiting.len() > self.columns * self.columns {
                self.flush();
            }
        }
        Ok(())
    }

    fn flush(&mut self) {
        if self.pilot.is_empty() {
            self.pilot = mean(&self.waiting, self.columns);
            self.products = Mat::zeros(self.columns, self.columns);
        }
        let rows = std::mem::take(&mut self.waiting);
        let centred = self.centred(&rows);
        for row in centred.row_iter() {
            self.sum.iter_mut().zip(row.iter()).for_each(|(sum, value)| *sum += value);
        }
        // Below the diagonal only, some columns a thread: in one order, whatever the number of threads.
        let rows = centred.nrows();
        let columns = self.columns;
        let mut blocks = Vec::new();
        let mut rest = self.products.as_mut();
        while rest.ncols() > 0 {
            let count = BLOCK.min(rest.ncols());
            let (block, others) = rest.split_at_col_mut(count);
            blocks.push(block);
            rest = others;
        }
        blocks.into_par_iter().enumerate().for_each(|(number, block)| {
            let (first, count) = (number * BLOCK, block.ncols());
            let below = columns - first;
            let left = centred.submatrix(0, first, rows, below).transpose();
            let right = centred.submatrix(0, first, rows, count);
            let below = block.submatrix_mut(first, 0, below, count);
            matmul(below, Accum::Add, left, right, 1.0, Par::Seq);
        });
    }

    /// Rows less the pilot.
    fn centred(&self, rows: &[f32]) -> Mat<f64> {
        Mat::from_fn(rows.len() / self.columns, self.columns, |row, column| {
            f64::from(rows[row * self.columns + column]) - self.pilot[column]
        })
    }

    /// The components.
    ///
    /// # Errors
    /// If there were fewer than two rows, or all are the same.
    pub fn finish(mut self, keep: Keep) -> Result<Pca, PcaError> {
        if self.rows < 2 {
            return Err(PcaError::TooFewRows(self.rows));
        }
        let degrees = (self.rows - 1) as f64;
        let (mean, variances, components) = if self.pilot.is_empty() {
            // Centred on the very mean.
            self.pilot = mean(&self.waiting, self.columns);
            let rows = self.centred(&self.waiting);
            let mut gram = Mat::zeros(self.rows, self.rows);
            matmul(gram.as_mut(), Accum::Replace, &rows, rows.transpose(), 1.0 / degrees, Par::Seq);
            let (values, vectors) = eigen(gram.as_ref())?;
            let mut components = Mat::zeros(self.rows, self.columns);
            matmul(components.as_mut(), Accum::Replace, vectors.transpose(), &rows, 1.0, Par::Seq);
            (self.pilot, values, components)
        } else {
            if !self.waiting.is_empty() {
                self.flush();
            }
            let count = self.rows as f64;
            let shift: Vec<f64> = self.sum.iter().map(|sum| sum / count).collect();
            let covariance = Mat::from_fn(self.columns, self.columns, |i, j| {
                (self.products[(i, j)] - count * shift[i] * shift[j]) / degrees
            });
            let (values, vectors) = eigen(covariance.as_ref())?;
            let mean = self.pilot.iter().zip(&shift).map(|(pilot, shift)| pilot + shift).collect();
            (mean, values, vectors.transpose().to_owned())
        };
        let largest = variances.first().copied().unwrap_or(0.0);
        // Rounding leaves traces of variance in directions that have none.
        let rank = variances.iter().take_while(|&&value| value > largest.max(0.0) * 1e-12).count();
        // Also where it is NaN.
        if rank == 0 {
            return Err(PcaError::Constant { rows: self.rows });
        }
        let total: f64 = variances[..rank].iter().sum();
        let kept = match keep {
            Keep::Components(count) => count.min(rank),
            Keep::Variance(share) => {
                let mut held = 0.0;
                let enough = variances[..rank].iter().position(|value| {
                    held += value;
                    held >= share * total
                });
                enough.map_or(rank, |last| last + 1)
            }
        };
        let mut flat = Vec::with_capacity(kept * self.columns);
        for component in 0..kept {
            let row: Vec<f64> = components.row(component).iter().copied().collect();
            let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
            let peak =
                row.iter().fold(0.0, |peak: f64, v| if v.abs() > peak.abs() { *v } else { peak });
            let scale = if peak < 0.0 { -length } else { length };
            flat.extend(row.iter().map(|value| value / scale));
        }
        Ok(Pca {
            mean,
            components: flat,
            variances: variances[..kept].to_vec(),
            total_variance: total,
        })
    }
}

/// Mean of rows.
fn mean(rows: &[f32], columns: usize) -> Vec<f64> {
    let mut mean = vec![0.0; columns];
    for row in rows.chunks_exact(columns) {
        mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value));
    }
    let count = (rows.len() / columns) as f64;
    mean.iter_mut().for_each(|value| *value /= count);
    mean
}

/// Eigenvalues, largest first, and their vectors, a column each.
fn eigen(matrix: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>), PcaError> {
    let found = matrix.self_adjoint_eigen(Side::Lower).map_err(|_| PcaError::Eigenvectors)?;
    let n = matrix.nrows();
    let values = (0..n).rev().map(|at| found.S()[at]).collect();
    let vectors = Mat::from_fn(n, n, |i, j| found.U()[(i, n - 1 - j)]);
    Ok((values, vectors))
}

#[cfg(test)]
mod tests;
