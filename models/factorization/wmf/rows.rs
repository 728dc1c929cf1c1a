//! Solutions of the rows of one side, which are independent.
//!
//! In the coordinates of `side.rs` a row with entries `k = 1..n` solves `(I + A'A) w = h + A'b`:
//! row `k` of `A` is `sqrt(s_k) z_k` with `s = c - 1`, `b_k = (c_k - s_k d_k) / sqrt(s_k)`, and
//! `h` and `d` come from the biases (0 without). There are two exact methods, of which the cheaper is used:
//!
//! - primal: factorise `I + A'A`, of size columns x columns;
//! - dual: `w = h + A't` with `(I + A A') t = b - A h`, of size `n x n`.
//!
//! The dual makes many factors cheap, since most users and items have far fewer entries than there are
//! factors.

#![allow(clippy::needless_range_loop, reason = "vectors by component, as in the formulas")]

use kernels::csr::Csr;
use kernels::linalg::{ALIGNMENT, Triangle, padded, padded_rows};
use rayon::prelude::*;

use super::side::FixedSide;
use super::{Solver, WmfConfig, WmfError};

/// Rows that one task solves and transforms back together.
const ROWS_PER_TASK: usize = 32;
/// Entries of a row that are gathered at once.
const BLOCK: usize = 128;
/// Values that stay in a core's private cache between passes.
const CACHED: usize = 1 << 17;
/// Steps of conjugate gradients.
const CG_STEPS: usize = 3;
/// Columns of a row that are prefetched; the hardware prefetcher finds the rest.
const PREFETCH_COLUMNS: usize = 64;
/// Entries of the next row that are prefetched.
const PREFETCH_ENTRIES: usize = 64;

/// Solves every row of `by_row` against `side`; returns the objective without the penalty of the fixed side.
///
/// # Shapes
/// - `out`: `[row, column]`; its values are the initial guess of [`Solver::Cg`]
pub(super) fn solve(
    config: &WmfConfig,
    side: &FixedSide,
    by_row: &Csr,
    out: &mut [f32],
    progress: &(dyn Fn(usize) + Sync),
) -> Result<f64, WmfError> {
    let columns = side.columns;
    let dual_limit = dual_limit(columns);
    let parts: Vec<Result<f64, WmfError>> = out
        .par_chunks_mut(ROWS_PER_TASK * columns)
        .enumerate()
        .map_init(
            || Scratch::new(side, dual_limit),
            |scratch, (task, out)| {
                let first = task * ROWS_PER_TASK;
                let n = out.len() / columns;
                if config.solver == Solver::Cg {
                    let (width, forward, ld) = (side.width, &side.forward, side.ld);
                    let to = &mut scratch.solutions;
                    width.multiply(out, columns, n, forward, Triangle::Lower, columns, to, ld);
                }
                let mut sum = 0.0;
                for index in 0..n {
                    let next = match first + index + 1 < by_row.n_rows() {
                        true => by_row.row(first + index + 1).0,
                        false => &[],
                    };
                    if config.solver == Solver::Cholesky {
                        let next = &next[..next.len().min(PREFETCH_ENTRIES)];
                        let near = columns.min(PREFETCH_COLUMNS);
                        side.width.prefetch(&side.rows, side.ld, near, next);
                    }
                    let (entries, more) = by_row.row(first + index);
                    let objective = match config.solver {
                        Solver::Cg => {
                            Some(scratch.conjugate_gradients(side, entries, more, next, index))
                        }
                        Solver::Cholesky if entries.len() <= dual_limit => {
                            scratch.dual(side, entries, more, index)
                        }
                        Solver::Cholesky => scratch.primal(side, entries, more, index),
                    };
                    sum += objective.ok_or(WmfError::Breakdown { row: first + index })?;
                }
                let (solutions, factors) = (&scratch.solutions, &mut scratch.factors);
                let (ld, back) = (side.ld, &side.back);
                side.width.multiply(solutions, ld, n, back, Triangle::Lower, columns, factors, ld);
                for (to, from) in out.chunks_mut(columns).zip(factors.chunks(ld)) {
                    to.copy_from_slice(&from[..columns]);
                }
                progress(n);
                Ok(sum)
            },
        )
        .collect();
    // In order, so that the sum does not depend on the threads.
    parts.into_iter().sum()
}

/// Largest number of entries for which the dual is cheaper, in multiply-adds of whole registers.
fn dual_limit(columns: usize) -> usize {
    // Registers of a triangle of order `n`; each pivot depends on the previous one.
    let triangle = |n: usize| (n as f64 + 16.0) * (n as f64 + 16.0) / 32.0;
    let factorise = |n: usize| n as f64 * triangle(n) / 3.0 + 60.0 * n as f64;
    let (f, register) = (columns as f64, columns.div_ceil(ALIGNMENT) as f64);
    let primal = |n: usize| n as f64 * (triangle(columns) + register) + factorise(columns);
    let dual = |n: usize| f * triangle(n) + factorise(n) + 10.0 * n as f64 * register;
    (1..4 * columns).take_while(|&n| dual(n) <= primal(n)).last().unwrap_or(0)
}

/// Working memory of a thread, and the solvers.
struct Scratch {
    /// Gathered rows: `A` in blocks, or its transpose.
    gathered: Vec<f32>,
    /// The system with its right side as the last column.
    system: Vec<f32>,
    inverse_diagonal: Vec<f32>,
    /// Square roots of `s`.
    roots: Vec<f32>,
    /// `b`.
    targets: Vec<f32>,
    /// One value per entry: the solution of the dual, or products with `A`.
    per_entry: Vec<f32>,
    more_per_entry: Vec<f32>,
    /// `w` of the rows of a task, `[row, ld]`.
    solutions: Vec<f32>,
    /// The same rows transformed back.
    factors: Vec<f32>,
    /// Conjugate gradients: residual, direction, product.
    vectors: [Vec<f32>; 3],
}

impl Scratch {
    fn new(side: &FixedSide, dual_limit: usize) -> Scratch {
        let (columns, ld) = (side.columns, side.ld);
        let wide = padded(columns + 1);
        let (dual_ld, across) = (padded(dual_limit + 1), columns.div_ceil(ALIGNMENT) * ALIGNMENT);
        let system = (padded_rows(columns) * wide).max(padded_rows(dual_limit) * dual_ld);
        Scratch {
            gathered: vec![0.0; (BLOCK * wide).max(across * dual_ld)],
            system: vec![0.0; system],
            inverse_diagonal: vec![0.0; padded_rows(columns).max(padded_rows(dual_limit))],
            roots: Vec::new(),
            targets: Vec::new(),
            per_entry: vec![0.0; dual_ld],
            more_per_entry: vec![0.0; dual_ld],
            solutions: vec![0.0; ROWS_PER_TASK * ld],
            factors: vec![0.0; ROWS_PER_TASK * ld],
            vectors: std::array::from_fn(|_| vec![0.0; wide]),
        }
    }

    /// Fills `roots` and `targets`; returns the sum over the entries of `c (1 - d)^2 - d^2`, their contribution
    /// to the objective if scores are the fixed biases alone.
    fn weigh(&mut self, side: &FixedSide, entries: &[u32], more: &[f32]) -> f64 {
        self.roots.clear();
        self.targets.clear();
        self.roots.extend(more.iter().map(|s| s.sqrt()));
        match &side.biases {
            None => {
                let roots = self.roots.iter();
                self.targets.extend(more.iter().zip(roots).map(|(s, root)| (1.0 + s) / root));
                more.iter().map(|&s| 1.0 + f64::from(s)).sum()
            }
            Some(biases) => {
                let mut sum = 0.0;
                for ((&entry, &s), root) in entries.iter().zip(more).zip(&self.roots) {
                    let d = biases[entry as usize];
                    self.targets.push((1.0 + s - s * d) / root);
                    let (s, d) = (f64::from(s), f64::from(d));
                    sum += (1.0 + s) * (1.0 - d) * (1.0 - d) - d * d;
                }
                sum
            }
        }
    }

    fn primal(
        &mut self,
        side: &FixedSide,
        entries: &[u32],
        more: &[f32],
        index: usize,
    ) -> Option<f64> {
        let constant = self.weigh(side, entries, more);
        let (width, columns) = (side.width, side.columns);
        let ld = padded(columns + 1);
        for (block, some) in entries.chunks(BLOCK).enumerate() {
            let first = block * BLOCK;
            let roots = &self.roots[first..first + some.len()];
            let a = &mut self.gathered;
            width.gather(&side.rows, side.ld, columns, some, roots, a, ld);
            // With the targets as a further column, the product contains the right side.
            for (row, target) in a.chunks_mut(ld).zip(&self.targets[first..first + some.len()]) {
                row[columns] = *target;
            }
            let system = &mut self.system;
            width.gram(a, ld, some.len(), system, columns, columns + 1, block > 0);
        }
        for (i, row) in self.system.chunks_mut(ld).take(columns).enumerate() {
            row[i] += 1.0;
            row[columns] += side.pull[i];
        }
        if !width.cholesky(&mut self.system, ld, columns, &mut self.inverse_diagonal) {
            return None;
        }
        let w = &mut self.vectors[0];
        width.back_substitute(&self.system, ld, columns, &self.inverse_diagonal, w);
        self.solutions[index * side.ld..][..columns].copy_from_slice(&w[..columns]);
        // The minimum of the quadratic form is |z|^2 below its value at 0.
        let gain: f64 =
            self.system.chunks(ld).take(columns).map(|row| f64::from(row[columns]).powi(2)).sum();
        Some(side.squared_biases + constant - gain)
    }

    fn dual(
        &mut self,
        side: &FixedSide,
        entries: &[u32],
        more: &[f32],
        index: usize,
    ) -> Option<f64> {
        self.weigh(side, entries, more);
        let (width, columns, n) = (side.width, side.columns, entries.len());
        let w = &mut self.solutions[index * side.ld..][..side.ld];
        w.copy_from_slice(&side.pull);
        if n == 0 {
            return Some(objective(side, entries, more, &self.roots, &[], w));
        }
        let ld = padded(n + 1);
        let a = &mut self.gathered;
        width.gather_transposed(&side.rows, side.ld, columns, entries, &self.roots, a, ld);
        let system = &mut self.system;
        width.gram(a, ld, columns, system, n, n + 1, false);
        if side.biases.is_some() {
            width.apply_transposed(a, ld, columns, n, w, &mut self.per_entry);
        }
        for (k, row) in system.chunks_mut(ld).take(n).enumerate() {
            row[k] += 1.0;
            row[n] = self.targets[k];
            if side.biases.is_some() {
                row[n] -= self.per_entry[k];
            }
        }
        if !width.cholesky(system, ld, n, &mut self.inverse_diagonal) {
            return None;
        }
        let t = &mut self.per_entry;
        width.back_substitute(system, ld, n, &self.inverse_diagonal, &mut t[..ld]);
        for (t, root) in t.iter_mut().zip(&self.roots) {
            *t *= root;
        }
        width.combine(&side.rows, side.ld, columns, entries, &t[..n], w);
        width.apply_transposed(a, ld, columns, n, w, &mut self.more_per_entry);
        Some(objective(side, entries, more, &self.roots, &self.more_per_entry[..n], w))
    }

    /// Conjugate gradients from the initial guess in `solutions`. The eigenvalues of the system are between 1 and
    /// the largest confidence, most of them near 1, so that few steps suffice.
    fn conjugate_gradients(
        &mut self,
        side: &FixedSide,
        entries: &[u32],
        more: &[f32],
        next: &[u32],
        index: usize,
    ) -> f64 {
        self.weigh(side, entries, more);
        let (width, columns, n) = (side.width, side.columns, entries.len());
        let grown = n.max(self.per_entry.len());
        self.per_entry.resize(grown, 0.0);
        self.more_per_entry.resize(grown, 0.0);
        let (scores, steps) = (&mut self.per_entry[..n], &mut self.more_per_entry[..n]);
        // Whole registers, which stay zero beyond `columns`.
        let whole = columns.div_ceil(ALIGNMENT) * ALIGNMENT;
        let w = &mut self.solutions[index * side.ld..][..whole];
        w[columns..].fill(0.0);
        let [residual, direction, product] = &mut self.vectors;
        let (residual, direction) = (&mut residual[..whole], &mut direction[..whole]);
        let product = &mut product[..whole];
        let (rows, roots, ld) = (&side.rows, &self.roots, side.ld);
        // Rows that fit into the cache are read from memory in the first pass only; later passes prefetch
        // those of the next row.
        let fits = n <= CACHED / ld;
        let rest = &entries[n.min(8)..];
        let ahead = |pass: usize| match pass {
            1.. if fits => {
                let begin = next.len().min((pass - 1) * n);
                &next[begin..next.len().min(begin + n)]
            }
            _ => rest,
        };
        let normal_product = |pass, targets, x: &[f32], dots: &mut [f32], sum: &mut [f32]| {
            let ahead = ahead(pass);
            width.normal_product(rows, ld, columns, entries, ahead, roots, targets, x, dots, sum);
        };

        // Residual h - w + A'(b - A w); `scores` follows `A w`.
        residual.copy_from_slice(&side.pull[..whole]);
        width.add_scaled(-1.0, w, residual);
        normal_product(0, Some(&self.targets), w, scores, residual);
        direction.copy_from_slice(residual);
        let mut size = width.dot(residual, residual);
        for step in 1..=CG_STEPS {
            if size <= 1e-20 {
                break;
            }
            product.copy_from_slice(direction);
            normal_product(step, None, direction, steps, product);
            let length = size / width.dot(product, direction);
            width.add_scaled(length, direction, w);
            width.add_scaled(-length, product, residual);
            width.add_scaled(length, steps, scores);
            let next = width.dot(residual, residual);
            width.scale_and_add(next / size, residual, direction);
            size = next;
        }
        objective(side, entries, more, &self.roots, scores, &w[..columns])
    }
}

/// The contribution of a row with solution `w` to the objective: `(d + z'w)^2` over all columns with the
/// penalty, which is `|d|^2 - 2 h'w + |w|^2`, and `c (1 - score)^2 - score^2` over the entries.
///
/// `products` is `A w`, so that an entry's score is `d + products / sqrt(s)`.
fn objective(
    side: &FixedSide,
    entries: &[u32],
    more: &[f32],
    roots: &[f32],
    products: &[f32],
    w: &[f32],
) -> f64 {
    let mut sum = side.squared_biases;
    for (&w, &pull) in w.iter().zip(&side.pull) {
        let (w, pull) = (f64::from(w), f64::from(pull));
        sum += w * w - 2.0 * pull * w;
    }
    for ((&entry, &s), (&root, &product)) in
        entries.iter().zip(more).zip(roots.iter().zip(products))
    {
        let d = side.biases.as_ref().map_or(0.0, |biases| biases[entry as usize]);
        let score = f64::from(d + product / root);
        sum += (1.0 + f64::from(s)) * (1.0 - score) * (1.0 - score) - score * score;
    }
    sum
}
