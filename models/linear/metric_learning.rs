//! Metric learning to rank (MLR): a Mahalanobis metric under which the relevant items of each query are the
//! nearest.
//!
//! McFee & Lanckriet (2010), Metric learning to rank, ICML: a structural support vector machine over
//! positive semidefinite matrices `W`. The score of an item for a query `q` is `-(q - x)'W(q - x)`. The features
//! of a ranking `y` (`y_ij` is 1 if the relevant `i` precedes the irrelevant `j`, else -1) are
//!
//! ```text
//! psi(q, y) = sum over i, j of y_ij [f(q, x_i) - f(q, x_j)] / (|R| |I|),   f(q, x) = -(q - x)(q - x)'
//! ```
//!
//! and the learned `W` minimises
//!
//! ```text
//! tr W + C xi   subject to, for every choice of one ranking y_q per query, with means over queries,
//! mean <W, psi(q, y*_q) - psi(q, y_q)>  >=  mean loss(y_q) - xi,   W positive semidefinite, xi >= 0
//! ```
//!
//! There are too many rankings to enumerate. The one-slack cutting-plane algorithm (Joachims, Finley & Yu
//! 2009) solves the problem for few constraints, adds the most violated constraint, and stops when no
//! constraint is violated by more than `epsilon`. The alternating direction method of multipliers (Lim, McFee
//! & Lanckriet 2013) solves the small problems: it alternates a quadratic programme in as many variables as
//! constraints with a projection onto the positive semidefinite matrices. Any feasible point of the dual
//! problem is a lower bound, which tells the distance from the minimum.
//!
//! In P2 (van den Oord, Dieleman & Schrauwen 2013, Deep content-based music recommendation, table 2,
//! row MLR) it is a baseline on the bag of words, without its settings.

use std::ops::ControlFlow;

use faer::{Mat, MatRef, Side};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::error::{NotFinite, all_finite, in_range};

/// The loss of a ranking.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RankingLoss {
    /// The share of pairs of a relevant and an irrelevant item that are in the wrong order.
    #[default]
    Auc,
    /// One minus the average precision.
    Map,
}

/// Settings of metric learning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricLearningConfig {
    /// `C`: weight of the ranking loss relative to the trace of the metric; 100 by default.
    pub c: f64,
    /// Loss of a ranking; `"auc"` by default.
    pub loss: RankingLoss,
    /// Largest violation of a constraint at which the algorithm stops; 0.01 by default.
    pub epsilon: f64,
    /// Largest number of constraints; 100 by default.
    pub max_constraints: usize,
}

impl Default for MetricLearningConfig {
    fn default() -> Self {
        Self { c: 100.0, loss: RankingLoss::Auc, epsilon: 0.01, max_constraints: 100 }
    }
}

/// The state before a constraint is added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Iteration {
    /// `tr W + C xi` of the current metric.
    pub objective: f64,
    /// Lower bound of the objective under the current constraints.
    pub lower_bound: f64,
    /// Mean loss of the most violating rankings.
    pub loss: f64,
    /// Violation of the constraint beyond `xi`.
    pub violation: f64,
}

/// The learned metric.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedMetric {
    /// `[column, column]`, positive semidefinite.
    pub metric: Vec<f64>,
    /// One entry per constraint, in order.
    pub iterations: Vec<Iteration>,
}

/// Why metric learning failed.
#[allow(missing_docs, reason = "the messages describe the variants")]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MetricLearningError {
    #[error(transparent)]
    Config(#[from] ModelError),
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
    #[error("there are lists of relevant items for {lists} queries, and {rows} rows")]
    Lists { lists: usize, rows: usize },
    #[error("query {query}: relevant item {item} does not exist; there are {rows} items")]
    NoSuchItem { query: usize, item: u32, rows: usize },
    #[error("no query has both a relevant and an irrelevant item: there is nothing to rank")]
    NothingToRank,
    #[error("the eigendecomposition of the metric did not converge")]
    Eigenvalues,
    #[error("stopped after {0} constraints")]
    Stopped(usize),
}

impl MetricLearningConfig {
    /// # Errors
    /// Names the first invalid value.
    pub fn validate(&self) -> Result<(), ModelError> {
        in_range("c", self.c, 1e-9, 1e12)?;
        in_range("epsilon", self.epsilon, 1e-9, 1.0)?;
        in_range("max_constraints", self.max_constraints, 1, 10_000)
    }

    /// Learns a metric. Every row is a query whose items are all other rows; `relevant` lists its relevant
    /// items. `progress` can stop the algorithm.
    ///
    /// # Shapes
    /// - `rows`: `[row, column]`; `relevant`: one list per row
    ///
    /// # Errors
    /// If a value is invalid, or no query has both relevant and irrelevant items.
    pub fn fit(
        &self,
        rows: &[f32],
        columns: usize,
        relevant: &[Vec<u32>],
        mut progress: impl FnMut(&Iteration) -> ControlFlow<()>,
    ) -> Result<LearnedMetric, MetricLearningError> {
        self.validate()?;
        let count = rows.len().checked_div(columns).unwrap_or(0);
        all_finite(rows.iter().copied(), columns)?;
        if relevant.len() != count {
            return Err(MetricLearningError::Lists { lists: relevant.len(), rows: count });
        }
        for (query, list) in relevant.iter().enumerate() {
            if let Some(&item) = list.iter().find(|item| **item as usize >= count) {
                return Err(MetricLearningError::NoSuchItem { query, item, rows: count });
            }
        }
        let x = Mat::from_fn(count, columns, |i, j| f64::from(rows[i * columns + j]));
        let task = Task::new(x, relevant, self.loss);
        if task.queries == 0 {
            return Err(MetricLearningError::NothingToRank);
        }
        let mut problem = Problem::new(columns, self.c, self.epsilon);
        let mut iterations = Vec::new();
        loop {
            let (loss, constraint) = task.most_violated(&problem.metric)?;
            let slack = problem.slack_of(&problem.metric);
            let violation = loss - inner(&problem.metric, &constraint) - slack;
            let iteration = Iteration {
                objective: problem.objective_of(&problem.metric),
                lower_bound: problem.lower_bound,
                loss,
                violation,
            };
            iterations.push(iteration);
            if progress(&iteration).is_break() {
                return Err(MetricLearningError::Stopped(iterations.len()));
            }
            let more = violation > self.epsilon && problem.losses.len() < self.max_constraints;
            // Also if the violation is NaN.
            if !more {
                break;
            }
            problem.add(loss, constraint)?;
        }
        let metric = problem.metric.row_iter().flat_map(|row| row.iter().copied()).collect();
        Ok(LearnedMetric { metric, iterations })
    }
}

impl LearnedMetric {
    /// `L` with `W = L'L`: distances under the metric are Euclidean distances of `L x`.
    ///
    /// # Shapes
    /// - returns: `[rank, column]`, at least one row, without eigenvalues below 1e-9 of the largest
    ///
    /// # Errors
    /// If the eigendecomposition does not converge.
    pub fn projection(&self, columns: usize) -> Result<Vec<f32>, MetricLearningError> {
        let w = MatRef::from_row_major_slice(&self.metric, columns, columns);
        let (values, vectors) = eigen(w)?;
        let largest = values.last().copied().unwrap_or(0.0);
        let mut rows = Vec::new();
        for (at, value) in values.iter().enumerate().rev() {
            if *value <= largest.max(0.0) * 1e-9 && !rows.is_empty() {
                break;
            }
            let root = value.max(0.0).sqrt();
            rows.extend((0..columns).map(|column| (root * vectors[(column, at)]) as f32));
        }
        Ok(rows)
    }
}

/// Items, and the relevant items of each query.
struct Task {
    x: Mat<f64>,
    /// For every query, its relevant items in ascending order; empty if there is nothing to rank.
    relevant: Vec<Vec<u32>>,
    /// Number of queries with both relevant and irrelevant items.
    queries: usize,
    loss: RankingLoss,
}

impl Task {
    fn new(x: Mat<f64>, relevant: &[Vec<u32>], loss: RankingLoss) -> Self {
        let count = x.nrows();
        let list = |(query, list): (usize, &Vec<u32>)| -> Vec<u32> {
            let mut list: Vec<u32> =
                list.iter().copied().filter(|item| *item as usize != query).collect();
            list.sort_unstable();
            list.dedup();
            // Without an irrelevant item there is nothing to rank.
            if list.len() + 1 >= count { Vec::new() } else { list }
        };
        let relevant: Vec<Vec<u32>> = relevant.iter().enumerate().map(list).collect();
        let queries = relevant.iter().filter(|list| !list.is_empty()).count();
        Self { x, relevant, queries, loss }
    }

    /// The mean loss of the most violating rankings, and the mean of `psi(y*) - psi(y)`.
    fn most_violated(&self, metric: &Mat<f64>) -> Result<(f64, Mat<f64>), MetricLearningError> {
        let (count, columns) = (self.x.nrows(), self.x.ncols());
        // Distances under the metric up to |x_q|^2, which does not change the ranking of a query.
        let xw = &self.x * metric;
        let norms: Vec<f64> =
            (0..count).map(|i| (0..columns).map(|j| xw[(i, j)] * self.x[(i, j)]).sum()).collect();
        let scale = 1.0 / self.queries as f64;
        // The loss of a query and its weight of each item.
        let weigh = |query: usize| -> (f64, Vec<f64>) {
            let mut weights = vec![0.0; count];
            if self.relevant[query].is_empty() {
                return (0.0, weights);
            }
            let score = |item: usize| -> f64 {
                let product: f64 = (0..columns).map(|j| xw[(query, j)] * self.x[(item, j)]).sum();
                2.0 * product - norms[item]
            };
            let scores: Vec<f64> = (0..count).map(score).collect();
            let loss = rank(self.loss, query, &scores, &self.relevant[query], &mut weights);
            weights.iter_mut().for_each(|weight| *weight *= scale);
            (loss, weights)
        };
        let weighed: Vec<(f64, Vec<f64>)> = (0..count).into_par_iter().map(weigh).collect();
        let loss = weighed.iter().map(|(loss, _)| loss).sum::<f64>() * scale;
        // The sum over q, i of a_qi f(q, x_i), where the a of a query sum to 0, is
        // X'(A + A')X - X' diag(sum over q of a_q) X.
        let a = Mat::from_fn(count, count, |query, item| weighed[query].1[item]);
        let sums: Vec<f64> = (0..count).map(|i| (0..count).map(|q| a[(q, i)]).sum()).collect();
        let ax = &a * &self.x;
        let half = Mat::from_fn(count, columns, |i, j| ax[(i, j)] - 0.5 * sums[i] * self.x[(i, j)]);
        let m = self.x.transpose() * &half;
        Ok((loss, &m + m.transpose()))
    }
}

/// The ranking that maximises loss plus score, as the weights `a` with
/// `psi(y*) - psi(y) = sum over items of a_i f(q, x_i)`. Returns its loss.
fn rank(loss: RankingLoss, query: usize, scores: &[f64], relevant: &[u32], a: &mut [f64]) -> f64 {
    let by_score = |items: &mut Vec<usize>| {
        items.sort_by(|p, q| scores[*q].total_cmp(&scores[*p]).then(p.cmp(q)));
    };
    let mut good: Vec<usize> = relevant.iter().map(|item| *item as usize).collect();
    let mut known = relevant.iter().peekable();
    let mut bad: Vec<usize> = Vec::with_capacity(scores.len());
    for item in 0..scores.len() {
        if known.next_if(|relevant| **relevant as usize == item).is_none() && item != query {
            bad.push(item);
        }
    }
    by_score(&mut good);
    by_score(&mut bad);
    let (n_good, n_bad) = (good.len(), bad.len());
    let pair = 2.0 / (n_good as f64 * n_bad as f64);
    // `before[j]`: number of relevant items before irrelevant item j.
    let before: Vec<usize> = match loss {
        // A pair is best in the wrong order if its scores differ by less than one half.
        RankingLoss::Auc => {
            let mut at = 0;
            bad.iter()
                .map(|&item| {
                    while at < n_good && scores[good[at]] - scores[item] >= 0.5 {
                        at += 1;
                    }
                    at
                })
                .collect()
        }
        // Yue, Finley, Radlinski & Joachims (2007): the rank of each irrelevant item is independent.
        RankingLoss::Map => {
            let place = |(j, &item): (usize, &usize)| {
                let j = j as f64 + 1.0;
                let (mut sum, mut best, mut place) = (0.0, 0.0, n_good);
                for k in (0..n_good).rev() {
                    // The gain of preceding relevant item k.
                    let i = k as f64 + 1.0;
                    let lost = (j / (j + i) - (j - 1.0) / (j + i - 1.0)) / n_good as f64;
                    sum += lost - pair * (scores[good[k]] - scores[item]);
                    if sum > best {
                        (best, place) = (sum, k);
                    }
                }
                place
            };
            bad.iter().enumerate().map(place).collect()
        }
    };
    // Pairs in the wrong order: irrelevant item j with the relevant items from `before[j]`.
    let mut wrong = vec![0_usize; n_good + 1];
    for (j, &place) in before.iter().enumerate() {
        a[bad[j]] -= pair * (n_good - place) as f64;
        wrong[place] += 1;
    }
    let mut so_far = 0;
    for (i, &item) in good.iter().enumerate() {
        so_far += wrong[i];
        a[item] += pair * so_far as f64;
    }
    match loss {
        RankingLoss::Auc => {
            let wrong: usize = before.iter().map(|place| n_good - place).sum();
            wrong as f64 * pair / 2.0
        }
        RankingLoss::Map => {
            let mut irrelevant = 0;
            let mut precision = 0.0;
            for (i, wrong) in wrong.iter().take(n_good).enumerate() {
                irrelevant += wrong;
                precision += (i + 1) as f64 / (i + 1 + irrelevant) as f64;
            }
            1.0 - precision / n_good as f64
        }
    }
}

fn inner(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    a.col_iter()
        .zip(b.col_iter())
        .map(|(a, b)| a.iter().zip(b.iter()).map(|(a, b)| a * b).sum::<f64>())
        .sum()
}

fn eigen(matrix: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>), MetricLearningError> {
    let found =
        matrix.self_adjoint_eigen(Side::Lower).map_err(|_| MetricLearningError::Eigenvalues)?;
    let values = (0..matrix.nrows()).map(|at| found.S()[at]).collect();
    Ok((values, found.U().to_owned()))
}

/// `tr W + C max(0, max over k of loss_k - <W, M_k>)` over positive semidefinite `W`.
struct Problem {
    c: f64,
    losses: Vec<f64>,
    constraints: Vec<Mat<f64>>,
    /// `<M_k, M_l>`
    products: Vec<Vec<f64>>,
    metric: Mat<f64>,
    /// Scaled dual variable of the method of multipliers, kept as a warm start.
    scaled_dual: Mat<f64>,
    weights: Vec<f64>,
    rho: f64,
    lower_bound: f64,
    /// Gap between objective and bound that is too small to affect the search for constraints.
    small_gap: f64,
}

/// Largest number of iterations of the method of multipliers per problem.
const ROUNDS: usize = 4000;
/// Gap between objective and bound, relative to the objective, at which a problem counts as solved.
const GAP: f64 = 1e-3;

impl Problem {
    fn new(columns: usize, c: f64, epsilon: f64) -> Self {
        Self {
            c,
            small_gap: 0.1 * epsilon * c,
            losses: Vec::new(),
            constraints: Vec::new(),
            products: Vec::new(),
            metric: Mat::zeros(columns, columns),
            scaled_dual: Mat::zeros(columns, columns),
            weights: Vec::new(),
            rho: 1.0,
            lower_bound: 0.0,
        }
    }

    fn slack_of(&self, metric: &Mat<f64>) -> f64 {
        let violations = self.losses.iter().zip(&self.constraints);
        violations.map(|(loss, m)| loss - inner(metric, m)).fold(0.0, f64::max)
    }

    fn objective_of(&self, metric: &Mat<f64>) -> f64 {
        let trace: f64 = (0..metric.nrows()).map(|at| metric[(at, at)]).sum();
        trace + self.c * self.slack_of(metric)
    }

    /// Adds a constraint and solves the problem again.
    fn add(&mut self, loss: f64, constraint: Mat<f64>) -> Result<(), MetricLearningError> {
        let row: Vec<f64> = self.constraints.iter().map(|m| inner(m, &constraint)).collect();
        for (products, value) in self.products.iter_mut().zip(&row) {
            products.push(*value);
        }
        self.products.push(row.into_iter().chain([inner(&constraint, &constraint)]).collect());
        self.losses.push(loss);
        self.constraints.push(constraint);
        self.weights.push(0.0);
        if self.losses.len() == 1 {
            // The scale at which one step satisfies the first constraint.
            let size = self.products[0][0].sqrt().max(1e-300);
            self.rho = size.max(1e-12);
        }
        self.solve()
    }

    fn solve(&mut self) -> Result<(), MetricLearningError> {
        let n = self.metric.nrows();
        let mut z = self.metric.clone();
        let (mut best, mut best_value) = (self.metric.clone(), self.objective_of(&self.metric));
        self.lower_bound = 0.0;
        for round in 0..ROUNDS {
            // W: a quadratic programme over the weights of the constraints.
            let from = &z - &self.scaled_dual;
            let linear: Vec<f64> = self
                .losses
                .iter()
                .zip(&self.constraints)
                .map(|(loss, m)| loss - inner(&from, m))
                .collect();
            quadratic(&self.products, &linear, self.rho, self.c, &mut self.weights);
            let mut w = from;
            for (weight, m) in self.weights.iter().zip(&self.constraints) {
                if *weight > 0.0 {
                    w += faer::Scale(weight / self.rho) * m;
                }
            }
            // Z: the trace, and the projection.
            let shifted = Mat::from_fn(n, n, |i, j| {
                let trace = if i == j { 1.0 / self.rho } else { 0.0 };
                w[(i, j)] + self.scaled_dual[(i, j)] - trace
            });
            let next = positive(&shifted)?;
            let (primal, dual) = ((&w - &next).norm_l2(), self.rho * (&next - &z).norm_l2());
            z = next;
            self.scaled_dual += &w - &z;
            let value = self.objective_of(&z);
            if value < best_value {
                (best, best_value) = (z.clone(), value);
            }
            if round % 5 == 4 {
                self.lower_bound = self.lower_bound.max(self.bound()?);
                if best_value - self.lower_bound <= self.small_gap.max(GAP * best_value) {
                    break;
                }
            }
            // Balanced residuals (Boyd et al. 2011, section 3.4.1).
            let factor = match (primal > 10.0 * dual, dual > 10.0 * primal) {
                (true, _) => 2.0,
                (_, true) => 0.5,
                _ => 1.0,
            };
            if factor != 1.0 {
                self.rho *= factor;
                self.scaled_dual = faer::Scale(1.0 / factor) * &self.scaled_dual;
            }
        }
        self.metric = best;
        Ok(())
    }

    /// Lower bound. The dual problem maximises `sum of weight_k loss_k` over non-negative weights of sum at
    /// most C with `I - sum of weight_k M_k` positive semidefinite; the current weights are scaled until
    /// they are feasible.
    fn bound(&self) -> Result<f64, MetricLearningError> {
        let n = self.metric.nrows();
        let mut sum = Mat::<f64>::zeros(n, n);
        for (weight, m) in self.weights.iter().zip(&self.constraints) {
            sum += faer::Scale(*weight) * m;
        }
        let values = sum
            .self_adjoint_eigenvalues(Side::Lower)
            .map_err(|_| MetricLearningError::Eigenvalues)?;
        let largest = values.last().copied().unwrap_or(0.0);
        let scale = if largest > 1.0 { 1.0 / largest } else { 1.0 };
        let value: f64 = self.weights.iter().zip(&self.losses).map(|(w, loss)| w * loss).sum();
        Ok(scale * value)
    }
}

/// Projection onto the positive semidefinite matrices.
fn positive(matrix: &Mat<f64>) -> Result<Mat<f64>, MetricLearningError> {
    let n = matrix.nrows();
    let (values, vectors) = eigen(matrix.as_ref())?;
    let first = values.iter().position(|value| *value > 0.0).unwrap_or(n);
    let kept = vectors.subcols(first, n - first);
    let scaled = Mat::from_fn(n, n - first, |i, j| kept[(i, j)] * values[first + j]);
    let out = &scaled * kept.transpose();
    // Exactly symmetric.
    Ok(Mat::from_fn(n, n, |i, j| 0.5 * (out[(i, j)] + out[(j, i)])))
}

/// Maximises `linear'w - w'Hw / (2 rho)` over `w >= 0`, `sum w <= c`, starting from `w`, by accelerated
/// projected gradients (Beck & Teboulle 2009).
fn quadratic(products: &[Vec<f64>], linear: &[f64], rho: f64, c: f64, w: &mut [f64]) {
    let n = w.len();
    // The trace bounds all eigenvalues.
    let bound: f64 = (0..n).map(|k| products[k][k]).sum::<f64>() / rho;
    let step = 1.0 / bound.max(1e-300);
    let (mut ahead, mut momentum) = (w.to_vec(), 1.0_f64);
    let scale = linear.iter().fold(0.0_f64, |m, x| m.max(x.abs())).max(1e-300);
    for _ in 0..200 {
        let gradient = |k: usize| {
            linear[k] - products[k].iter().zip(&ahead).map(|(h, w)| h * w).sum::<f64>() / rho
        };
        let moved: Vec<f64> = (0..n).map(|k| ahead[k] + step * gradient(k)).collect();
        let next = simplex(&moved, c);
        let change = next.iter().zip(w.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let grown = (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) / 2.0;
        for k in 0..n {
            ahead[k] = next[k] + (momentum - 1.0) / grown * (next[k] - w[k]);
            w[k] = next[k];
        }
        momentum = grown;
        if change <= 1e-6 * step * scale || change <= 1e-12 * c {
            break;
        }
    }
}

/// Projection onto the non-negative vectors of sum at most `c`.
fn simplex(point: &[f64], c: f64) -> Vec<f64> {
    let cut = |threshold: f64| point.iter().map(move |x| (x - threshold).max(0.0));
    if cut(0.0).sum::<f64>() <= c {
        return cut(0.0).collect();
    }
    let mut sorted = point.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let (mut sum, mut threshold) = (0.0, 0.0);
    for (count, value) in sorted.iter().enumerate() {
        sum += value;
        let candidate = (sum - c) / (count + 1) as f64;
        if *value > candidate {
            threshold = candidate;
        }
    }
    cut(threshold).collect()
}

#[cfg(test)]
mod tests;
