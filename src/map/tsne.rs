//! t-SNE: a projection of high-dimensional points to a plane that preserves neighbourhoods.
//!
//! Exact nearest neighbours, affinities of a given perplexity, initialisation with principal components,
//! early exaggeration, then gradient descent with momentum and gains. All sums have a fixed order, so
//! the map does not depend on the number of threads.
//!
//! # References
//! van der Maaten, Hinton: "Visualizing data using t-SNE", JMLR 9, 2008 (affinities, gradient,
//! gains). Kobak, Berens: "The art of using t-SNE for single-cell transcriptomics", Nature
//! Communications 10, 2019 (initialisation and learning rate). The settings are those of openTSNE.

use rayon::prelude::*;

use super::MapError;
use super::neighbours::{Affinities, affinities};
use super::repulsion::Repulsion;
use crate::listening::matrix::{Matrix, products};
use crate::rng::philox;

/// Settings of t-SNE. The defaults suit hundreds to hundreds of thousands of points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TsneConfig {
    /// Effective number of neighbours per point. At most a third of the number of other points is used,
    /// but not less than 1.5.
    pub perplexity: f32,
    /// Steps with exaggerated attraction.
    pub exaggerated_steps: usize,
    /// Factor of the attraction in these steps.
    pub exaggeration: f32,
    /// Steps after the exaggerated ones.
    pub steps: usize,
    /// Random seed of the noise in the initialisation, one hundredth of its width, which separates equal
    /// points.
    pub seed: u64,
}

impl Default for TsneConfig {
    fn default() -> Self {
        Self { perplexity: 30.0, exaggerated_steps: 250, exaggeration: 12.0, steps: 500, seed: 1 }
    }
}

/// A finished map.
#[derive(Clone, Debug, PartialEq)]
pub struct Tsne {
    /// Coordinates `[point, 2]`, centred at the origin.
    pub points: Matrix,
    /// Perplexity of the affinities.
    pub perplexity: f32,
    /// Kullback-Leibler divergence between the affinities of the points and of the map in nats, which
    /// the steps minimize.
    pub kl_divergence: f64,
}

/// Below it, only the nearest neighbour would count.
const MIN_PERPLEXITY: f32 = 1.5;
const MOMENTUM: f32 = 0.8;
/// Gains grow by a step and shrink by a factor, to a minimum.
const GAIN_STEP: f32 = 0.2;
const GAIN_FACTOR: f32 = 0.8;
const MIN_GAIN: f32 = 0.01;
/// Longest move of a point per step.
const MAX_STEP: f32 = 5.0;
/// Standard deviation of the first coordinate of the initialisation.
const START_WIDTH: f64 = 1e-4;

/// Projects `points`, `[point, dimension]`, to a plane. `progress` receives the number of finished
/// steps.
///
/// # Errors
/// If there are no points, a value is NaN or infinite, or a setting is invalid.
pub fn tsne(
    points: &Matrix,
    config: &TsneConfig,
    mut progress: impl FnMut(usize),
) -> Result<Tsne, MapError> {
    check(points, config)?;
    let n = points.rows();
    if n == 1 {
        let points = Matrix::new(1, 2, vec![0.0; 2])?;
        return Ok(Tsne { points, perplexity: 1.0, kl_divergence: 0.0 });
    }
    let points = centred(points);
    let perplexity = config.perplexity.min((n - 1) as f32 / 3.0).max(MIN_PERPLEXITY);
    let affinities = affinities(&points, perplexity)?;
    let mut map = start(&points, config.seed);

    let mut repulsion = Repulsion::new();
    let mut forces = vec![[0.0; 2]; n];
    let mut steps = vec![[0.0; 2]; n];
    let mut gains = vec![[1.0; 2]; n];
    let total = config.exaggerated_steps + config.steps;
    for step in 0..total {
        let exaggeration = if step < config.exaggerated_steps { config.exaggeration } else { 1.0 };
        if step == config.exaggerated_steps {
            // Momentum and gains belong to the exaggerated gradient.
            steps.fill([0.0; 2]);
            gains.fill([1.0; 2]);
        }
        let rate = n as f32 / exaggeration;
        let sum = repulsion.forces(&map, &mut forces);
        let scale = (1.0 / sum) as f32;
        let old = &map;
        steps.par_iter_mut().zip(&mut gains).zip(&forces).enumerate().with_min_len(64).for_each(
            |(i, ((step, gain), push))| {
                let pull = attraction(&affinities, old, i);
                for axis in 0..2 {
                    let gradient = exaggeration * pull[axis] - scale * push[axis];
                    gain[axis] = if (gradient > 0.0) == (step[axis] > 0.0) {
                        (gain[axis] * GAIN_FACTOR).max(MIN_GAIN)
                    } else {
                        gain[axis] + GAIN_STEP
                    };
                    step[axis] = MOMENTUM * step[axis] - rate * gain[axis] * gradient;
                }
                let length = step[0].hypot(step[1]);
                if length > MAX_STEP {
                    *step = step.map(|value| value * MAX_STEP / length);
                }
            },
        );
        for (point, step) in map.iter_mut().zip(&steps) {
            *point = [point[0] + step[0], point[1] + step[1]];
        }
        let mean = [0, 1].map(|axis| {
            (map.iter().map(|point| f64::from(point[axis])).sum::<f64>() / n as f64) as f32
        });
        map.iter_mut().for_each(|point| *point = [point[0] - mean[0], point[1] - mean[1]]);
        progress(step + 1);
    }
    let sum = repulsion.forces(&map, &mut forces);
    let kl_divergence = divergence(&affinities, &map, sum);
    let points = Matrix::new(n, 2, map.into_flattened())?;
    Ok(Tsne { points, perplexity, kl_divergence })
}

fn check(points: &Matrix, config: &TsneConfig) -> Result<(), MapError> {
    if points.rows() == 0 {
        return Err(MapError::NoPoints);
    }
    if u32::try_from(points.rows()).is_err() {
        let error =
            crate::listening::matrix::MatrixError::TooMany { what: "points", rows: points.rows() };
        return Err(MapError::Matrix(error));
    }
    points.check_finite("points")?;
    for (name, value) in [("perplexity", config.perplexity), ("exaggeration", config.exaggeration)]
    {
        if !(value.is_finite() && value >= 1.0) {
            return Err(MapError::Setting { name, value });
        }
    }
    Ok(())
}

/// The points minus their mean, scaled so that products do not overflow; t-SNE is invariant to both.
fn centred(points: &Matrix) -> Matrix {
    let columns = points.columns().max(1);
    let mut means = vec![0.0; columns];
    for row in points.data().chunks_exact(columns) {
        for (mean, &value) in means.iter_mut().zip(row) {
            *mean += f64::from(value) / points.rows() as f64;
        }
    }
    let apart = |(i, &value): (usize, &f32)| f64::from(value) - means[i % columns];
    let largest = points.data().iter().enumerate().map(apart).fold(0.0, |a: f64, b| a.max(b.abs()));
    let scale = if largest > 0.0 { 1.0 / largest } else { 1.0 };
    let data = points.data().iter().enumerate().map(|pair| (apart(pair) * scale) as f32).collect();
    Matrix::new(points.rows(), points.columns(), data).expect("same shape as a valid matrix")
}

/// The attraction of point `i` by its neighbours: the sum of `p_ij (y_i - y_j) / (1 + |y_i - y_j|^2)`.
pub(super) fn attraction(affinities: &Affinities, map: &[[f32; 2]], i: usize) -> [f32; 2] {
    let [x, y] = map[i];
    let mut pull = [0.0; 2];
    for (&j, &p) in affinities.row(i) {
        let [a, b] = map[j as usize];
        let (a, b) = (x - a, y - b);
        let factor = p / (1.0 + a * a + b * b);
        pull = [pull[0] + factor * a, pull[1] + factor * b];
    }
    pull
}

/// The sum of `p_ij ln(p_ij / q_ij)`, where `q_ij` is `1 / (1 + |y_i - y_j|^2)` over `sum`.
fn divergence(affinities: &Affinities, map: &[[f32; 2]], sum: f64) -> f64 {
    let of_point = |i: usize| {
        let terms = affinities.row(i).filter(|(_, p)| **p > 0.0).map(|(&j, &p)| {
            let d = [0, 1].map(|axis| f64::from(map[i][axis]) - f64::from(map[j as usize][axis]));
            let p = f64::from(p);
            p * (p * sum * (1.0 + d[0] * d[0] + d[1] * d[1])).ln()
        });
        terms.sum()
    };
    let each: Vec<f64> = (0..map.len()).into_par_iter().map(of_point).collect();
    each.iter().sum()
}

/// The first two principal components, [`START_WIDTH`] wide, with a hundredth of noise.
fn start(points: &Matrix, seed: u64) -> Vec<[f32; 2]> {
    let (n, columns) = (points.rows(), points.columns());
    let mut transposed = vec![0.0; n * columns];
    for (i, row) in points.data().chunks_exact(columns.max(1)).enumerate() {
        for (column, &value) in row.iter().enumerate() {
            transposed[column * n + i] = value;
        }
    }
    let mut covariance = vec![0.0; columns * columns];
    products(&transposed, &transposed, n, &mut covariance);
    let axes = principal_axes(&covariance, columns);
    let dot = |row: &[f32], axis: &[f64]| -> f64 {
        row.iter().zip(axis).map(|(&value, &a)| f64::from(value) * a).sum()
    };
    let mut scores: Vec<[f64; 2]> =
        (0..n).map(|i| [0, 1].map(|axis| dot(points.row(i), &axes[axis]))).collect();
    // The points have mean 0, and so have the scores.
    let square: f64 = scores.iter().map(|score| score[0] * score[0]).sum();
    let width = (square / n as f64).sqrt();
    let scale = if width > 1e-12 { START_WIDTH / width } else { 0.0 };
    for (i, score) in scores.iter_mut().enumerate() {
        let noise = philox([seed, PURPOSE], [i as u64, 0, 0, 0]);
        for axis in 0..2 {
            let noise = noise[axis] as f64 / u64::MAX as f64 - 0.5;
            score[axis] = score[axis] * scale + 0.01 * START_WIDTH * noise;
        }
    }
    scores.into_iter().map(|score| score.map(|value| value as f32)).collect()
}

/// Separates this use of the seed from others.
const PURPOSE: u64 = 0x74_73_6e_65;
/// Steps of the orthogonal iteration. Axes of nearly equal variance need not be separated.
const ITERATIONS: usize = 200;

/// The two eigenvectors of the largest eigenvalues of a covariance, by orthogonal iteration; the
/// largest component of each is positive.
fn principal_axes(covariance: &[f32], size: usize) -> [Vec<f64>; 2] {
    let mut axes = [0, 1].map(|axis| -> Vec<f64> {
        (0..size)
            .map(|i| philox([1, PURPOSE], [i as u64, 1, 0, 0])[axis] as f64 / u64::MAX as f64 - 0.5)
            .collect()
    });
    let normalise = |axis: &mut Vec<f64>| {
        let length = axis.iter().map(|value| value * value).sum::<f64>().sqrt();
        axis.iter_mut().for_each(|value| *value = if length > 0.0 { *value / length } else { 0.0 });
    };
    for _ in 0..ITERATIONS {
        for axis in &mut axes {
            let turned = covariance.chunks_exact(size.max(1)).map(|row| {
                row.iter().zip(axis.iter()).map(|(&c, &a)| f64::from(c) * a).sum::<f64>()
            });
            *axis = turned.collect();
        }
        let [first, second] = &mut axes;
        normalise(first);
        let along: f64 = first.iter().zip(second.iter()).map(|(a, b)| a * b).sum();
        second.iter_mut().zip(first.iter()).for_each(|(b, a)| *b -= along * a);
        normalise(second);
    }
    for axis in &mut axes {
        let largest =
            axis.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        if largest < 0.0 {
            axis.iter_mut().for_each(|value| *value = -*value);
        }
    }
    axes
}
