//! t-SNE: points of many dimensions on a plane, neighbours beside neighbours.
//!
//! Exact nearest neighbours, affinities of a given perplexity, the principal components as a
//! start, early exaggeration, then gradient descent with momentum and gains. All sums have a fixed
//! order, so a seed gives the same map for any number of threads.
//!
//! # References
//! van der Maaten, Hinton: "Visualizing data using t-SNE", JMLR 9, 2008 (affinities, gradient,
//! gains). Kobak, Berens: "The art of using t-SNE for single-cell transcriptomics", Nature
//! Communications 10, 2019 (start and learning rate). The settings are openTSNE's.

use rayon::prelude::*;

use super::MapError;
use super::neighbours::{Affinities, affinities};
use super::repulsion::Repulsion;
use crate::listening::matrix::{Matrix, products};
use crate::rng::philox;

/// How the map is made. The defaults suit maps of hundreds to hundreds of thousands of points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TsneConfig {
    /// About how many neighbours a point is to keep beside it. With fewer than three times as
    /// many points it is lowered to a third of the others (but not below 1.5).
    pub perplexity: f32,
    /// Steps with exaggerated attraction, in which clusters form.
    pub exaggerated_steps: usize,
    /// What the attraction is multiplied with in those steps.
    pub exaggeration: f32,
    /// Steps after those.
    pub steps: usize,
    /// Moves the start by a hundredth, so that equal points part and maps can be repeated
    /// otherwise.
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
    /// `[point, 2]`, around the origin.
    pub points: Matrix,
    /// The perplexity that the affinities have.
    pub perplexity: f32,
    /// Kullback-Leibler divergence of the map's affinities from those of the points, in nats: what
    /// the steps lower.
    pub kl_divergence: f64,
}

/// With less, a point of a handful would heed its nearest neighbour alone.
const MIN_PERPLEXITY: f32 = 1.5;
const MOMENTUM: f32 = 0.8;
/// Gains grow by a step and shrink by a factor, down to the least.
const GAIN_STEP: f32 = 0.2;
const GAIN_FACTOR: f32 = 0.8;
const MIN_GAIN: f32 = 0.01;
/// No point moves further than this in a step.
const MAX_STEP: f32 = 5.0;
/// Standard deviation of the first coordinate at the start.
const START_WIDTH: f64 = 1e-4;

/// Lays `points`, `[point, dimension]`, out on a plane. `progress` is told the number of steps
/// done, after each.
///
/// # Errors
/// If there are no points, a value is NaN or infinite, or a setting cannot be used.
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
            // The landscape has changed, so what was learned of it is forgotten.
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

/// The points about their mean, scaled so that no product of them overflows: t-SNE heeds neither.
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
    Matrix::new(points.rows(), points.columns(), data).expect("as many as before")
}

/// The pull of its neighbours on point `i`: the sum of `p_ij (y_i - y_j) / (1 + |y_i - y_j|^2)`.
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
    // The points are about their mean, and so are the scores.
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

/// Keeps this use of a seed apart from others.
const PURPOSE: u64 = 0x74_73_6e_65;
/// Turns of the orthogonal iteration: enough for a start, where axes of nearly equal variance need
/// not be told apart.
const TURNS: usize = 200;

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
    for _ in 0..TURNS {
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
