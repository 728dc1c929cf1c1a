//! Nearest neighbours of points and their t-SNE affinities.

use rayon::prelude::*;

use super::MapError;
use crate::listening::item_lists::ItemLists;
use crate::listening::matrix::Matrix;
use crate::listening::top_k::{Index, Measure};

/// A sparse symmetric matrix of affinities between points, which sum to 1.
pub(super) struct Affinities {
    /// Offsets of the neighbours of each point; the last is the end.
    starts: Vec<usize>,
    neighbours: Vec<u32>,
    values: Vec<f32>,
}

impl Affinities {
    /// The neighbours of a point and their affinities.
    pub(super) fn row(&self, point: usize) -> impl Iterator<Item = (&u32, &f32)> {
        let range = self.starts[point]..self.starts[point + 1];
        self.neighbours[range.clone()].iter().zip(&self.values[range])
    }
}

/// Points per search.
const BLOCK: usize = 64;

/// The affinities of at least two points: for each point a Gaussian over its `3 * perplexity` nearest
/// neighbours, with the width that gives the perplexity; then the mean of both directions.
///
/// # References
/// van der Maaten, Hinton, "Visualizing data using t-SNE", 2008, section 2 and equation 12.
pub(super) fn affinities(points: &Matrix, perplexity: f32) -> Result<Affinities, MapError> {
    let n = points.rows();
    let count = ((3.0 * perplexity).ceil() as usize).min(n - 1);
    let nearest = nearest(points, count)?;
    let rows: Vec<Vec<(u32, f32)>> = nearest
        .par_chunks(count)
        .enumerate()
        .map(|(i, nearest)| {
            let squares: Vec<f64> = nearest
                .iter()
                .map(|&j| squared_distance(points.row(i), points.row(j as usize)))
                .collect();
            let weights = gaussian(&squares, f64::from(perplexity));
            let share = |weight: f64| (weight / (2 * n) as f64) as f32;
            let mut row: Vec<(u32, f32)> =
                nearest.iter().zip(weights).map(|(&j, weight)| (j, share(weight))).collect();
            row.sort_unstable_by_key(|pair| pair.0);
            row
        })
        .collect();

    // The transpose: for each point, the points that have it as a neighbour, in ascending order.
    let mut starts = vec![0; n + 1];
    rows.iter().flatten().for_each(|&(j, _)| starts[j as usize + 1] += 1);
    for i in 0..n {
        starts[i + 1] += starts[i];
    }
    let (mut next, mut back) = (starts.clone(), vec![(0u32, 0.0f32); n * count]);
    for (i, row) in rows.iter().enumerate() {
        for &(j, value) in row {
            back[next[j as usize]] = (i as u32, value);
            next[j as usize] += 1;
        }
    }
    let merged: Vec<Vec<(u32, f32)>> = rows
        .into_par_iter()
        .enumerate()
        .map(|(i, row)| merge(&row, &back[starts[i]..starts[i + 1]]))
        .collect();
    let mut result = Affinities { starts: vec![0], neighbours: vec![], values: vec![] };
    for row in merged {
        result.neighbours.extend(row.iter().map(|pair| pair.0));
        result.values.extend(row.iter().map(|pair| pair.1));
        result.starts.push(result.neighbours.len());
    }
    Ok(result)
}

/// The sum of two sparse rows in ascending order.
fn merge(a: &[(u32, f32)], b: &[(u32, f32)]) -> Vec<(u32, f32)> {
    let mut all = [a, b].concat();
    // At most two entries are equal, and their sum does not depend on their order.
    all.sort_unstable_by_key(|pair| pair.0);
    all.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    all
}

/// The `count` nearest neighbours of every point, `[point, count]`.
///
/// The nearest points `y` to `x` have the highest `x'y - y'y / 2`: a search by inner product with one
/// more factor.
fn nearest(points: &Matrix, count: usize) -> Result<Vec<u32>, MapError> {
    let (n, columns) = (points.rows(), points.columns());
    let widened = |last: &dyn Fn(&[f32]) -> f32, rows: std::ops::Range<usize>| {
        let mut data = Vec::with_capacity(rows.len() * (columns + 1));
        for row in rows.clone() {
            data.extend_from_slice(points.row(row));
            data.push(last(points.row(row)));
        }
        Matrix::new(rows.len(), columns + 1, data)
    };
    let half_square = |row: &[f32]| {
        (row.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>() * -0.5) as f32
    };
    let items = widened(&half_square, 0..n)?;
    let index = Index::new(&items, Measure::InnerProduct)?;
    let blocks: Vec<Result<Vec<u32>, MapError>> = (0..n.div_ceil(BLOCK))
        .into_par_iter()
        .map(|block| {
            let rows = block * BLOCK..((block + 1) * BLOCK).min(n);
            let itself = ItemLists::from_rows(rows.clone().map(|row| [row as u32]))?;
            let hits = index.search(&widened(&|_| 1.0, rows)?, count, Some(&itself))?;
            Ok(hits.into_iter().flatten().map(|hit| hit.item).collect())
        })
        .collect();
    let mut nearest = Vec::with_capacity(n * count);
    for block in blocks {
        nearest.extend(block?);
    }
    Ok(nearest)
}

fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
}

/// Most steps of the search for a width.
const HALVINGS: usize = 100;
/// Tolerance of the logarithm of the perplexity.
const TOLERANCE: f64 = 1e-6;

/// Weights `exp(-beta d^2)` that sum to 1, with the `beta` for which their entropy is the logarithm of
/// `perplexity`, or closest to it: the entropy of equal distances is constant.
fn gaussian(squares: &[f64], perplexity: f64) -> Vec<f64> {
    let least = squares.iter().copied().fold(f64::INFINITY, f64::min);
    let mean = squares.iter().map(|square| square - least).sum::<f64>() / squares.len() as f64;
    if mean <= 0.0 {
        return vec![1.0 / squares.len() as f64; squares.len()];
    }
    let (mut low, mut high, mut beta) = (0.0, f64::INFINITY, 1.0 / mean);
    let mut weights = vec![0.0; squares.len()];
    for _ in 0..HALVINGS {
        let (mut sum, mut moment) = (0.0, 0.0);
        for (weight, square) in weights.iter_mut().zip(squares) {
            let exponent = beta * (square - least);
            *weight = (-exponent).exp();
            sum += *weight;
            moment += *weight * exponent;
        }
        let entropy = f64::ln(sum) + moment / sum;
        weights.iter_mut().for_each(|weight| *weight /= sum);
        let excess = entropy - perplexity.ln();
        if excess.abs() <= TOLERANCE {
            break;
        }
        if excess > 0.0 {
            low = beta;
            beta = if high.is_finite() { 0.5 * (low + high) } else { (2.0 * beta).min(1e300) };
        } else {
            high = beta;
            beta = 0.5 * (low + high);
        }
    }
    weights
}
