//! The fixed side of a half sweep, in coordinates that make the systems of the other side easy to solve.
//!
//! Let `G = Y'Y + lambda I = L L'` (without `lambda` for the bias). A row of the other side solves
//! `(G + Y' S Y) x = Y' c`, where `S` is diagonal and non-zero only for the entries of the row. With
//! `z = L^-1 y` for every item and `w = L' x` the system becomes `(I + Z' S Z) w = Z' c`: it contains only the
//! entries of the row, and since `Z'Z <= I` its condition number is at most the largest confidence, so that
//! single precision suffices. `G` itself is summed and factorised in double precision.

#![allow(clippy::needless_range_loop, reason = "matrices by row and column, as in the formulas")]

use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::{Mat, MatRef, Par, Side};
use kernels::linalg::{Triangle, Width, padded};
use rayon::prelude::*;

use super::{WmfConfig, WmfError};
use crate::unsupervised::moments::add_gram;

/// Rows per product of the Gram matrix.
const ROWS_PER_PRODUCT: usize = 256;
/// Parts of the rows whose Gram matrices are summed separately, so that the result does not depend on the number
/// of threads.
const PARTS: usize = 32;
/// Rows that one task transforms.
const ROWS_PER_TASK: usize = 128;

/// The transformed factors of the fixed side.
pub(super) struct FixedSide {
    pub width: Width,
    /// Length of a row of factors, including the bias.
    pub columns: usize,
    /// Distance between rows in `rows`.
    pub ld: usize,
    /// The transformed rows `z`, `[row, ld]`; zero beyond `columns`.
    pub rows: Vec<f32>,
    /// `L^-1`, `[column, ld]`, which transforms solutions back: `x' = w' L^-1`.
    pub back: Vec<f32>,
    /// `L`, which transforms initial guesses: `w' = x' L`.
    pub forward: Vec<f32>,
    /// The biases of the fixed side, one per row, if there are any.
    pub biases: Option<Vec<f32>>,
    /// `-L^-1 Y' d`: the part of every right side that comes from the biases `d`.
    pub pull: Vec<f32>,
    /// Sum of the squared biases.
    pub squared_biases: f64,
    /// Contribution of the factors of this side to the objective.
    pub penalty: f64,
}

impl FixedSide {
    /// Transforms `factors`, `[row, column]`; `memory` is reused for the transformed rows.
    pub fn new(
        config: &WmfConfig,
        width: Width,
        factors: &[f32],
        memory: Vec<f32>,
    ) -> Result<FixedSide, WmfError> {
        let columns = config.columns();
        let ld = padded(columns);
        let gram = gram(factors, columns, config.bias);
        let squares: f64 = (0..config.factors).map(|i| gram[(i, i)]).sum();
        let mut regularised = gram.submatrix(0, 0, columns, columns).to_owned();
        for i in 0..config.factors {
            regularised[(i, i)] += config.regularization;
        }
        let regularization = config.regularization;
        let cholesky =
            regularised.llt(Side::Lower).map_err(|_| WmfError::Indefinite { regularization })?;
        let lower = cholesky.L();
        let mut inverse = Mat::zeros(columns, columns);
        invert_lower_triangular(inverse.as_mut(), lower, Par::Seq);

        let mut back = vec![0.0; columns * ld];
        let mut forward = vec![0.0; columns * ld];
        let mut transform = vec![0.0; columns * ld];
        for i in 0..columns {
            for j in 0..=i {
                back[i * ld + j] = inverse[(i, j)] as f32;
                forward[i * ld + j] = lower[(i, j)] as f32;
                transform[j * ld + i] = inverse[(i, j)] as f32;
            }
        }
        let mut pull = vec![0.0; ld];
        if config.bias {
            for i in 0..columns {
                let sum: f64 = (0..=i).map(|j| inverse[(i, j)] * gram[(columns, j)]).sum();
                pull[i] = -sum as f32;
            }
        }

        let mut rows = memory;
        rows.resize(factors.len() / columns * ld, 0.0);
        rows.par_chunks_mut(ROWS_PER_TASK * ld)
            .zip(factors.par_chunks(ROWS_PER_TASK * columns))
            .for_each(|(out, block)| {
                let n = block.len() / columns;
                let mut with_ones;
                let block = match config.bias {
                    false => block,
                    true => {
                        with_ones = block.to_vec();
                        with_ones.chunks_mut(columns).for_each(|row| row[config.factors] = 1.0);
                        &with_ones
                    }
                };
                width.multiply(block, columns, n, &transform, Triangle::Upper, columns, out, ld);
                // The reused memory is not zero.
                out.chunks_mut(ld).for_each(|row| row[columns..].fill(0.0));
            });
        let biases = config
            .bias
            .then(|| factors.par_chunks(columns).map(|row| row[config.factors]).collect());
        Ok(FixedSide {
            width,
            columns,
            ld,
            rows,
            back,
            forward,
            biases,
            pull,
            squared_biases: if config.bias { gram[(columns, columns)] } else { 0.0 },
            penalty: regularization * squares,
        })
    }
}

/// `A'A`, lower triangle, where a row of `A` is a row of factors. With a bias, the column of biases is replaced by
/// ones and appended as a further column.
fn gram(factors: &[f32], columns: usize, bias: bool) -> Mat<f64> {
    let wide = columns + usize::from(bias);
    let part = (factors.len() / columns).div_ceil(PARTS).max(1) * columns;
    let parts: Vec<Mat<f64>> = factors
        .par_chunks(part)
        .map(|part| {
            let mut gram = Mat::zeros(wide, wide);
            for some in part.chunks(ROWS_PER_PRODUCT * columns) {
                let mut rows = Vec::with_capacity(some.len() / columns * wide);
                for row in some.chunks(columns) {
                    rows.extend(row.iter().copied().map(f64::from));
                    if bias {
                        let last = rows.len() - 1;
                        let own = std::mem::replace(&mut rows[last], 1.0);
                        rows.push(own);
                    }
                }
                let rows = MatRef::from_row_major_slice(&rows, some.len() / columns, wide);
                add_gram(&mut gram, rows, 1.0);
            }
            gram
        })
        .collect();
    parts.iter().fold(Mat::zeros(wide, wide), |sum, part| sum + part)
}
