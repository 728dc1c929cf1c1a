//! The side that is fixed while the other is solved, in coordinates in which that is easy.
//!
//! Let `G = Y'Y + lambda I = L L'` (without `lambda` for the bias). A row of the other side solves
//! `(G + Y' S Y) x = Y' c` with `S` diagonal, zero but for the row's few entries. With `z = L^-1 y`
//! for every item and `w = L' x` that is `(I + Z' S Z) w = Z' c`: `G` is gone, what is left
//! concerns the row's entries alone, and since `Z'Z <= I` its condition number is at most the
//! largest confidence, so 32 bits are plenty. `G` itself is summed and factorised in `f64`.

#![allow(clippy::needless_range_loop, reason = "matrices by row and column, as in the formulas")]

use kernels::linalg::{Triangle, Width, padded, padded_rows};
use rayon::prelude::*;

use super::{WmfConfig, WmfError};

/// Rows that `G` sums in `f32` before it goes on in `f64`.
const ROWS_PER_SUM: usize = 128;
/// Parts that `G` is summed in, whatever the number of threads, so that it has the same bits.
const PARTS: usize = 32;
/// Rows that one task transforms.
const ROWS_PER_TASK: usize = 128;

pub(super) struct Side {
    pub width: Width,
    /// Length of a row of factors, the bias included.
    pub columns: usize,
    /// Values from one row of `rows` to the next.
    pub ld: usize,
    /// The transformed rows, `[row, ld]`; zero beyond `columns`.
    pub rows: Vec<f32>,
    /// `L^-1`, `[column, ld]`: turns solutions back, `x' = w' L^-1`.
    pub back: Vec<f32>,
    /// `L`, for those who need a first guess, `w' = x' L`.
    pub forward: Vec<f32>,
    /// The biases of the fixed side, one a row, if there are any.
    pub offsets: Option<Vec<f32>>,
    /// `-L^-1 Y' d`: what biases `d` that no play explains do to every right side.
    pub pull: Vec<f32>,
    /// Sum of the squared biases.
    pub offset_squares: f64,
    penalty: f64,
}

impl Side {
    /// # Shapes
    /// - `factors`: `[row, column]`
    ///
    /// `memory` is used for the transformed rows.
    pub fn new(
        config: &WmfConfig,
        width: Width,
        factors: &[f32],
        memory: Vec<f32>,
    ) -> Result<Side, WmfError> {
        let columns = config.columns();
        let ld = padded(columns);
        let wide = columns + usize::from(config.bias);
        let mut sums = products(width, factors, columns, config.bias);
        let lower = regularised(&sums, config, wide).or_else(|| {
            // Where fewer rows than columns hold anything, only the regularization keeps the matrix
            // definite, and sums in 32 bits may lose it. Exact ones are slow, and rarely needed.
            sums = exact_products(factors, columns, config.bias);
            regularised(&sums, config, wide)
        });
        let lower = lower.ok_or(WmfError::Indefinite { regularization: config.regularization })?;
        let at = |i: usize, j: usize| sums[i.min(j) * wide + i.max(j)];
        let squares: f64 = (0..config.factors).map(|i| at(i, i)).sum();
        let inverse = invert_lower(&lower, columns);

        let mut back = vec![0.0; columns * ld];
        let mut forward = vec![0.0; columns * ld];
        let mut turn = vec![0.0; columns * ld];
        for i in 0..columns {
            for j in 0..=i {
                back[i * ld + j] = inverse[i * columns + j] as f32;
                forward[i * ld + j] = lower[i * columns + j] as f32;
                turn[j * ld + i] = inverse[i * columns + j] as f32;
            }
        }
        let mut pull = vec![0.0; ld];
        if config.bias {
            for i in 0..columns {
                let sum: f64 = (0..=i).map(|j| inverse[i * columns + j] * at(j, columns)).sum();
                pull[i] = -sum as f32;
            }
        }

        let mut rows = memory;
        let n = factors.len() / columns;
        rows.resize(n * ld, 0.0);
        rows.par_chunks_mut(ROWS_PER_TASK * ld)
            .zip(factors.par_chunks(ROWS_PER_TASK * columns))
            .for_each(|(out, block)| {
                let n = block.len() / columns;
                if config.bias {
                    let mut block = block.to_vec();
                    for row in block.chunks_mut(columns) {
                        row[config.factors] = 1.0;
                    }
                    width.multiply(&block, columns, n, &turn, Triangle::Upper, columns, out, ld);
                } else {
                    width.multiply(block, columns, n, &turn, Triangle::Upper, columns, out, ld);
                }
                // The memory may hold other things.
                for row in out.chunks_mut(ld) {
                    row[columns..].fill(0.0);
                }
            });
        let offsets = config
            .bias
            .then(|| factors.par_chunks(columns).map(|row| row[config.factors]).collect());
        Ok(Side {
            width,
            columns,
            ld,
            rows,
            back,
            forward,
            offsets,
            pull,
            offset_squares: if config.bias { at(columns, columns) } else { 0.0 },
            penalty: config.regularization * squares,
        })
    }

    /// What this side's factors add to the objective.
    pub fn penalty(&self) -> f64 {
        self.penalty
    }

    pub fn into_memory(self) -> Vec<f32> {
        self.rows
    }
}

/// `A'A`, its upper triangle, where a row of `A` is a row of factors; with a bias `d` its last
/// column is made 1, and `d` becomes one more column.
fn products(width: Width, factors: &[f32], columns: usize, bias: bool) -> Vec<f64> {
    let wide = columns + usize::from(bias);
    let ld = padded(wide);
    let rows = factors.len() / columns;
    let part = rows.div_ceil(PARTS).max(1) * columns;
    let parts: Vec<Vec<f64>> = factors
        .par_chunks(part)
        .map(|part| {
            let mut sums = vec![0.0; wide * wide];
            let mut block = vec![0.0; ROWS_PER_SUM * ld];
            let mut product = vec![0.0; padded_rows(wide) * ld];
            for some in part.chunks(ROWS_PER_SUM * columns) {
                for (to, from) in block.chunks_mut(ld).zip(some.chunks(columns)) {
                    to[..columns].copy_from_slice(from);
                    if bias {
                        to[columns - 1] = 1.0;
                        to[columns] = from[columns - 1];
                    }
                }
                let n = some.len() / columns;
                width.gram(&block, ld, n, &mut product, wide, wide, false);
                for i in 0..wide {
                    for j in i..wide {
                        sums[i * wide + j] += f64::from(product[i * ld + j]);
                    }
                }
            }
            sums
        })
        .collect();
    let mut sums = vec![0.0; wide * wide];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    }
    sums
}

/// `L` of `A'A` with the regularization on its diagonal, biases apart; `None` if that is not
/// positive definite.
fn regularised(products: &[f64], config: &WmfConfig, wide: usize) -> Option<Vec<f64>> {
    let columns = config.columns();
    let mut lower = vec![0.0; columns * columns];
    for i in 0..columns {
        for j in 0..=i {
            lower[i * columns + j] = products[j * wide + i];
        }
        if i < config.factors {
            lower[i * columns + i] += config.regularization;
        }
    }
    factorise(&mut lower, columns).then_some(lower)
}

/// As [`products`], in 64 bits throughout.
fn exact_products(factors: &[f32], columns: usize, bias: bool) -> Vec<f64> {
    let wide = columns + usize::from(bias);
    let part = (factors.len() / columns).div_ceil(PARTS).max(1) * columns;
    let parts: Vec<Vec<f64>> = factors
        .par_chunks(part)
        .map(|part| {
            let mut sums = vec![0.0; wide * wide];
            let mut row = vec![0.0; wide];
            for from in part.chunks(columns) {
                row.iter_mut().zip(from).for_each(|(to, from)| *to = f64::from(*from));
                if bias {
                    row[columns] = row[columns - 1];
                    row[columns - 1] = 1.0;
                }
                for i in 0..wide {
                    let scale = row[i];
                    let sums = &mut sums[i * wide + i..(i + 1) * wide];
                    sums.iter_mut().zip(&row[i..]).for_each(|(sum, x)| *sum += scale * x);
                }
            }
            sums
        })
        .collect();
    let mut sums = vec![0.0; wide * wide];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    }
    sums
}

/// `L` with `L L' = a`, in place, of the lower triangle; false if `a` is not positive definite.
fn factorise(a: &mut [f64], n: usize) -> bool {
    for i in 0..n {
        let (above, row) = a.split_at_mut(i * n);
        for j in 0..i {
            let other = &above[j * n..j * n + j];
            let sum: f64 = row[..j].iter().zip(other).map(|(x, y)| x * y).sum();
            row[j] = (row[j] - sum) / above[j * n + j];
        }
        let rest = row[i] - row[..i].iter().map(|x| x * x).sum::<f64>();
        // Written so that NaN fails.
        if !(rest > 0.0 && rest.is_finite()) {
            return false;
        }
        row[i] = rest.sqrt();
    }
    true
}

/// The inverse of a lower triangle.
fn invert_lower(l: &[f64], n: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; n * n];
    for i in 0..n {
        // Row i of the inverse: (e_i - sum over k < i of l[i][k] row k) / l[i][i].
        let (above, row) = inverse.split_at_mut(i * n);
        for k in 0..i {
            let factor = l[i * n + k];
            for (x, y) in row[..=k].iter_mut().zip(&above[k * n..]) {
                *x -= factor * y;
            }
        }
        row[i] = 1.0;
        row[..=i].iter_mut().for_each(|x| *x /= l[i * n + i]);
    }
    inverse
}
