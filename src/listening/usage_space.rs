//! The space of usage patterns, in which songs with the same listeners are close.
//!
//! van den Oord, Dieleman & Schrauwen (2013), Deep content-based music recommendation, NIPS, section on qualitative
//! results: the similarity of two songs is the cosine between their usage patterns `X y`, the scores of all users (`X`:
//! factors of the users, `y`: factors of a song). There can be a million users, but
//! `(X y)'(X z) = y'(X'X) z`: with `X'X = L L'`, the short vectors `L'y` have the same inner products, lengths and cosines.

use rayon::prelude::*;

use crate::listening::matrix::{Matrix, products};

/// Tracks per task of a thread; the result does not depend on it.
const ROWS: usize = 1024;

/// `L'y` for every row `y` of `factors`.
///
/// # Shapes
/// - `users`: `[user, factor]`, `factors`: `[track, factor]`
/// - returns: `[track, factor]`
///
/// # Panics
/// If users and tracks have different numbers of factors.
pub fn usage_space(users: &Matrix, factors: &Matrix) -> Matrix {
    let width = users.columns();
    assert_eq!(width, factors.columns(), "both sides must have the same number of factors");
    // Row j of L' is column j of L.
    let root = cholesky(&users.gram(), width);
    let transposed: Vec<f32> =
        (0..width * width).map(|at| root[at % width * width + at / width] as f32).collect();
    let mut data = vec![0.0; factors.data().len()];
    let block = ROWS * width.max(1);
    data.par_chunks_mut(block)
        .zip(factors.data().par_chunks(block))
        .for_each(|(out, rows)| products(rows, &transposed, width, out));
    Matrix::new(factors.rows(), width, data).expect("as many values as the factors have")
}

/// Lower triangular `L` with `L L' = gram`. `gram` is singular if there are fewer users than factors; libraries then
/// report an error, but here the columns without a positive pivot are 0.
fn cholesky(gram: &[f64], n: usize) -> Vec<f64> {
    let largest = (0..n).map(|i| gram[i * n + i]).fold(0.0, f64::max);
    let mut l = vec![0.0; n * n];
    for j in 0..n {
        let product = |l: &[f64], i: usize| -> f64 {
            (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum::<f64>()
        };
        let pivot = gram[j * n + j] - product(&l, j);
        if pivot <= largest * 1e-12 {
            continue;
        }
        let root = pivot.sqrt();
        for i in j..n {
            l[i * n + j] = (gram[i * n + j] - product(&l, i)) / root;
        }
    }
    l
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listening::matrix::tests::noise;

    #[test]
    fn products_equal_those_of_the_usage_patterns() {
        for (users, width) in [(40, 7), (3, 7), (1, 2), (500, 50)] {
            let (x, y) = (noise(1, users, width), noise(2, 9, width));
            let space = usage_space(&x, &y);
            let pattern = |row: usize| -> Vec<f64> {
                let score = |user| -> f64 {
                    let pairs = x.row(user).iter().zip(y.row(row));
                    pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                };
                (0..users).map(score).collect()
            };
            for a in 0..9 {
                for b in 0..9 {
                    let exact: f64 = pattern(a).iter().zip(pattern(b)).map(|(a, b)| a * b).sum();
                    let pairs = space.row(a).iter().zip(space.row(b));
                    let ours: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    let size = (users * width) as f64;
                    assert!((ours - exact).abs() < 1e-6 * size, "{users} {width}: {ours} {exact}");
                }
            }
        }
    }
}
