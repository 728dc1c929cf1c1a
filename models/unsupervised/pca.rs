//! Principal components, fitted in one pass over any number of rows.
//!
//! Rows are collected until there are more rows than columns; from then on only their covariance is stored.
//! If there are fewer rows, the components follow from the smaller matrix of inner products of rows. All
//! sums are in double precision.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par, Side};

use crate::ModelError;
use crate::error::{NotFinite, all_finite};
use crate::unsupervised::moments::add_gram;

/// Principal components of rows of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    /// `[column]`
    pub mean: Vec<f64>,
    /// `[component, column]`, each of length one with a positive largest entry, in order of decreasing
    /// variance.
    pub components: Vec<f64>,
    /// Variance along each component (divided by the number of rows less one).
    pub variances: Vec<f64>,
}

/// Why the fit failed.
#[allow(missing_docs, reason = "the messages describe the variants")]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PcaError {
    #[error(transparent)]
    Config(#[from] ModelError),
    #[error("{0} rows are too few for principal components; at least two are needed")]
    TooFewRows(usize),
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
    #[error("all {rows} rows are equal: nothing varies")]
    Constant { rows: usize },
    #[error("the eigendecomposition of the covariance did not converge")]
    Eigenvectors,
}

/// Accumulates rows for a fit.
#[derive(Clone, Debug)]
pub struct PcaFit {
    columns: usize,
    rows: usize,
    /// Rows that are not yet part of the sums.
    waiting: Vec<f32>,
    /// Mean of the first rows, which is subtracted from every row so that sums of squares stay accurate.
    pilot: Vec<f64>,
    /// Sum of the rows relative to the pilot.
    sum: Vec<f64>,
    /// Gram matrix of the rows relative to the pilot, lower triangle; empty until there are enough rows.
    products: Mat<f64>,
}

impl PcaFit {
    /// # Panics
    /// If `columns` is 0.
    pub fn new(columns: usize) -> PcaFit {
        assert!(columns > 0, "rows need at least one column");
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
    /// If a value is not finite.
    ///
    /// # Panics
    /// If `rows` does not consist of whole rows.
    pub fn add(&mut self, rows: &[f32]) -> Result<(), PcaError> {
        assert!(rows.len().is_multiple_of(self.columns), "whole rows");
        all_finite(rows.iter().copied(), self.columns)
            .map_err(|error| NotFinite { row: self.rows + error.row, ..error })?;
        self.rows += rows.len() / self.columns;
        for row in rows.chunks_exact(self.columns) {
            self.waiting.extend_from_slice(row);
            // More rows than columns; `finish` handles fewer.
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
        add_gram(&mut self.products, centred.as_ref(), 1.0);
    }

    /// The rows relative to the pilot.
    fn centred(&self, rows: &[f32]) -> Mat<f64> {
        Mat::from_fn(rows.len() / self.columns, self.columns, |row, column| {
            f64::from(rows[row * self.columns + column]) - self.pilot[column]
        })
    }

    /// The smallest number of components with this share of the variance.
    ///
    /// # Errors
    /// If there were fewer than two rows, or all are equal.
    pub fn finish(mut self, share: f64) -> Result<Pca, PcaError> {
        if self.rows < 2 {
            return Err(PcaError::TooFewRows(self.rows));
        }
        let degrees = (self.rows - 1) as f64;
        let (mean, variances, components) = if self.pilot.is_empty() {
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
        // Rounding leaves small variances in directions without any.
        let rank = variances.iter().take_while(|&&value| value > largest.max(0.0) * 1e-12).count();
        if rank == 0 {
            return Err(PcaError::Constant { rows: self.rows });
        }
        let total: f64 = variances[..rank].iter().sum();
        let mut held = 0.0;
        let enough = variances[..rank].iter().position(|value| {
            held += value;
            held >= share * total
        });
        let kept = enough.map_or(rank, |last| last + 1);
        let mut flat = Vec::with_capacity(kept * self.columns);
        for component in 0..kept {
            let row: Vec<f64> = components.row(component).iter().copied().collect();
            let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
            let peak =
                row.iter().fold(0.0, |peak: f64, v| if v.abs() > peak.abs() { *v } else { peak });
            let scale = if peak < 0.0 { -length } else { length };
            flat.extend(row.iter().map(|value| value / scale));
        }
        Ok(Pca { mean, components: flat, variances: variances[..kept].to_vec() })
    }
}

/// The mean of rows.
fn mean(rows: &[f32], columns: usize) -> Vec<f64> {
    let mut mean = vec![0.0; columns];
    for row in rows.chunks_exact(columns) {
        mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value));
    }
    let count = (rows.len() / columns) as f64;
    mean.iter_mut().for_each(|value| *value /= count);
    mean
}

/// Eigenvalues in decreasing order, and eigenvectors as columns.
fn eigen(matrix: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>), PcaError> {
    let found = matrix.self_adjoint_eigen(Side::Lower).map_err(|_| PcaError::Eigenvectors)?;
    let n = matrix.nrows();
    let values = (0..n).rev().map(|at| found.S()[at]).collect();
    let vectors = Mat::from_fn(n, n, |i, j| found.U()[(i, n - 1 - j)]);
    Ok((values, vectors))
}

#[cfg(test)]
mod tests;
