//! The repulsion between all points of a t-SNE map, by interpolation on a grid.
//!
//! The forces are sums of a smooth kernel of the distance over all other points. Cubic interpolation
//! distributes the points over the nodes of a grid, a Fourier transform applies the kernel between
//! nodes, and the force on each point is interpolated from the nodes around it.
//!
//! # References
//! Linderman, Rachh, Hoskins, Steinerberger, Kluger: "Fast interpolation-based t-SNE for improved
//! visualization of single-cell RNA-seq data", Nature Methods 16, 2019. Departures: the spacing of the
//! nodes is constant while the map grows, so that the transform of the kernel is rarely recomputed; the
//! kernel of the force itself is transformed; and the normalizer is computed from the spectrum, without
//! an inverse transform.

use std::sync::Arc;

use rayon::prelude::*;
use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

/// Distance between nodes in units of the map. The width of the kernel is about 1.
const SPACING: f32 = 0.3;
/// Fewest nodes per axis; a smaller map has a smaller spacing.
const MIN_NODES: usize = 64;
/// About the most nodes per axis; a larger map has a larger spacing.
const MAX_NODES: usize = 4096;
/// Nodes per axis over which a point is distributed.
const SUPPORT: usize = 4;
/// Up to this many points, direct summation is faster, and exact.
const FEW: usize = 1024;
/// Lines of the grid that are transposed together: the values of a cache line.
const LINES: usize = 8;

/// The grid with its kernels and buffers, which is replaced when the map outgrows it.
pub(super) struct Repulsion {
    planner: FftPlanner<f32>,
    grid: Option<Grid>,
}

struct Grid {
    /// Nodes per axis; transforms have twice this length, so that convolutions are not circular.
    nodes: usize,
    spacing: f32,
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
    /// Transforms of `1 / (1 + d^2)`, which is real, and of `(d_0 + i d_1) / (1 + d^2)^2`:
    /// `[column, row]`.
    potential: Vec<f32>,
    force: Vec<Complex32>,
    /// The kernel `1 / (1 + d^2)` between the nodes of one point.
    near: [[f32; SUPPORT]; SUPPORT],
    /// `[row, column of the transform]`
    rows: Vec<Complex32>,
    /// `[column of the transform, row]`
    columns: Vec<Complex32>,
    /// `[row, column]`, both forces as one complex number.
    field: Vec<Complex32>,
}

/// Interpolation of a point: its first node on each axis, and the weights of four nodes.
struct Stencil {
    node: [usize; 2],
    weights: [[f32; SUPPORT]; 2],
}

impl Repulsion {
    pub(super) fn new() -> Self {
        Self { planner: FftPlanner::new(), grid: None }
    }

    /// Writes the sum of `(y_i - y_j) / (1 + |y_i - y_j|^2)^2` over all others for every point, and
    /// returns the sum of `1 / (1 + |y_i - y_j|^2)` over all ordered pairs of different points. Results
    /// do not depend on the number of threads.
    pub(super) fn forces(&mut self, points: &[[f32; 2]], forces: &mut [[f32; 2]]) -> f64 {
        if points.len() <= FEW {
            return directly(points, forces);
        }
        let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
        for point in points {
            for axis in 0..2 {
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
        let extent = (high[0] - low[0]).max(high[1] - low[1]).max(0.0);
        let grid = self.grid(extent);
        let stencil_of = |point: &[f32; 2]| stencil(point, &low, grid.spacing, grid.nodes);

        let length = 2 * grid.nodes;
        let mut charges = vec![0.0; grid.nodes * grid.nodes];
        for point in points {
            let Stencil { node, weights } = stencil_of(point);
            for (i, a) in weights[0].iter().enumerate() {
                let first = (node[0] + i) * grid.nodes + node[1];
                for (charge, b) in charges[first..first + SUPPORT].iter_mut().zip(&weights[1]) {
                    *charge += a * b;
                }
            }
        }
        grid.rows.par_chunks_mut(length).zip(charges.par_chunks(grid.nodes)).for_each(
            |(row, charges)| {
                row.fill(Complex32::ZERO);
                for (value, &charge) in row.iter_mut().zip(charges) {
                    value.re = charge;
                }
                grid.forward.process(row);
            },
        );

        // Along columns: transform, multiply by the kernel, transform back. The sum over all pairs of
        // points is a quadratic form of the charges, given by the spectrum (Parseval's theorem).
        let sums: Vec<f64> = grid
            .columns
            .par_chunks_mut(LINES * grid.nodes)
            .enumerate()
            .map(|(block, kept)| {
                let first = block * LINES;
                let count = kept.len() / grid.nodes;
                let mut buffer = vec![Complex32::ZERO; count * length];
                for row in 0..grid.nodes {
                    for column in 0..count {
                        buffer[column * length + row] = grid.rows[row * length + first + column];
                    }
                }
                let mut sum = 0.0;
                for (column, values) in buffer.chunks_exact_mut(length).enumerate() {
                    grid.forward.process(values);
                    let kernels = (first + column) * length..(first + column + 1) * length;
                    let potential = &grid.potential[kernels.clone()];
                    let force = &grid.force[kernels];
                    for ((value, potential), force) in values.iter_mut().zip(potential).zip(force) {
                        sum += f64::from(value.norm_sqr()) * f64::from(*potential);
                        *value *= force;
                    }
                    grid.inverse.process(values);
                    kept[column * grid.nodes..(column + 1) * grid.nodes]
                        .copy_from_slice(&values[..grid.nodes]);
                }
                sum
            })
            .collect();
        grid.field.par_chunks_mut(LINES * grid.nodes).enumerate().for_each(|(block, kept)| {
            let first = block * LINES;
            let count = kept.len() / grid.nodes;
            let mut buffer = vec![Complex32::ZERO; count * length];
            for column in 0..length {
                for row in 0..count {
                    buffer[row * length + column] = grid.columns[column * grid.nodes + first + row];
                }
            }
            for (row, values) in buffer.chunks_exact_mut(length).enumerate() {
                grid.inverse.process(values);
                kept[row * grid.nodes..(row + 1) * grid.nodes]
                    .copy_from_slice(&values[..grid.nodes]);
            }
        });

        // The transforms are not normalised.
        let scale = 1.0 / (length * length) as f32;
        let grid = &*grid;
        let mut selves = vec![0.0; points.len()];
        let results = forces.par_iter_mut().zip(&mut selves);
        results.zip(points).with_min_len(256).for_each(|((force, itself), point)| {
            let Stencil { node, weights } = stencil_of(point);
            let mut sum = Complex32::ZERO;
            for (i, a) in weights[0].iter().enumerate() {
                let first = (node[0] + i) * grid.nodes + node[1];
                for (field, b) in grid.field[first..first + SUPPORT].iter().zip(&weights[1]) {
                    sum += field * (a * b);
                }
            }
            *force = [sum.re * scale, sum.im * scale];
            *itself = grid.self_potential(&weights);
        });
        // The minimum guards against rounding when all points are far apart.
        let all = sums.iter().sum::<f64>() / (length * length) as f64;
        (all - selves.iter().sum::<f64>()).max(1e-6 * points.len() as f64)
    }

    /// A grid that covers `extent`, but not much more if the map is small.
    fn grid(&mut self, extent: f32) -> &mut Grid {
        let room = |nodes: usize, spacing: f32| (nodes - SUPPORT - 1) as f32 * spacing;
        let fits = |grid: &Grid| {
            let room = room(grid.nodes, grid.spacing);
            extent <= room && (grid.nodes > MIN_NODES || extent >= 0.5 * room)
        };
        if !self.grid.as_ref().is_some_and(fits) {
            // With a margin, because the map grows, and a positive size.
            let extent = (1.2 * extent).max(f32::MIN_POSITIVE * 1e6);
            let nodes = (extent / SPACING) as usize;
            let nodes = smooth(nodes.min(MAX_NODES) + SUPPORT + 2);
            let spacing = if nodes > MIN_NODES { SPACING } else { 0.0 };
            let spacing = spacing.max(extent / room(nodes, 1.0));
            self.grid = Some(Grid::new(&mut self.planner, nodes, spacing));
        }
        self.grid.as_mut().expect("created above")
    }
}

/// The smallest even number with no prime factors but 2, 3 and 5 that is at least `least` and
/// [`MIN_NODES`]: such transforms are fast.
fn smooth(least: usize) -> usize {
    let is_smooth = |n: &usize| {
        let mut rest = *n;
        for factor in [2, 3, 5] {
            while rest.is_multiple_of(factor) {
                rest /= factor;
            }
        }
        rest == 1 && n.is_multiple_of(2)
    };
    (least.max(MIN_NODES)..).find(is_smooth).unwrap_or(least)
}

fn stencil(point: &[f32; 2], low: &[f32; 2], spacing: f32, nodes: usize) -> Stencil {
    let mut found = Stencil { node: [0; 2], weights: [[0.0; SUPPORT]; 2] };
    for axis in 0..2 {
        // One node is below the lowest point.
        let at = (point[axis] - low[axis]) / spacing;
        let node = (at as usize).min(nodes - SUPPORT);
        let t = at - node as f32;
        found.node[axis] = node;
        // Lagrange polynomials for nodes at -1, 0, 1 and 2.
        found.weights[axis] = [
            -t * (t - 1.0) * (t - 2.0) / 6.0,
            (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0,
            -(t + 1.0) * t * (t - 2.0) / 2.0,
            (t + 1.0) * t * (t - 1.0) / 6.0,
        ];
    }
    found
}

impl Grid {
    fn new(planner: &mut FftPlanner<f32>, nodes: usize, spacing: f32) -> Self {
        let length = 2 * nodes;
        let (forward, inverse) =
            (planner.plan_fft_forward(length), planner.plan_fft_inverse(length));
        // Non-negative lags come first, then negative ones. A lag of `nodes` does not occur.
        let lag = |i: usize| if i < nodes { i as f32 } else { i as f32 - length as f32 } * spacing;
        let transformed = |kernel: &(dyn Fn(f32, f32) -> Complex32 + Sync)| {
            let mut rows = vec![Complex32::ZERO; length * length];
            rows.par_chunks_mut(length).enumerate().for_each(|(row, values)| {
                for (column, value) in values.iter_mut().enumerate() {
                    *value = kernel(lag(row), lag(column));
                }
                forward.process(values);
            });
            let mut columns = vec![Complex32::ZERO; length * length];
            columns.par_chunks_mut(LINES * length).enumerate().for_each(|(block, values)| {
                let (first, count) = (block * LINES, values.len() / length);
                for row in 0..length {
                    for column in 0..count {
                        values[column * length + row] = rows[row * length + first + column];
                    }
                }
                values.chunks_exact_mut(length).for_each(|values| forward.process(values));
            });
            columns
        };
        let potential = transformed(&|a, b| Complex32::new(1.0 / (1.0 + a * a + b * b), 0.0));
        let force = transformed(&|a, b| Complex32::new(a, b) / (1.0 + a * a + b * b).powi(2));
        Self {
            nodes,
            spacing,
            forward,
            inverse,
            potential: potential.into_iter().map(|value| value.re).collect(),
            force,
            near: std::array::from_fn(|a| {
                std::array::from_fn(|b| 1.0 / (1.0 + lag(a).powi(2) + lag(b).powi(2)))
            }),
            rows: vec![Complex32::ZERO; nodes * length],
            columns: vec![Complex32::ZERO; length * nodes],
            field: vec![Complex32::ZERO; nodes * nodes],
        }
    }

    /// The contribution of a point to the potential at itself: 1 up to interpolation error.
    fn self_potential(&self, weights: &[[f32; SUPPORT]; 2]) -> f64 {
        // Sums of the weights of node pairs by distance.
        let pairs = |weights: &[f32; SUPPORT]| -> [f32; SUPPORT] {
            std::array::from_fn(|lag| {
                let sum: f32 = (lag..SUPPORT).map(|i| weights[i] * weights[i - lag]).sum();
                if lag == 0 { sum } else { 2.0 * sum }
            })
        };
        let (a, b) = (pairs(&weights[0]), pairs(&weights[1]));
        let rows = self.near.iter().zip(a);
        f64::from(
            rows.map(|(row, a)| a * row.iter().zip(b).map(|(k, b)| k * b).sum::<f32>())
                .sum::<f32>(),
        )
    }
}

/// [`Repulsion::forces`] by direct summation.
fn directly(points: &[[f32; 2]], forces: &mut [[f32; 2]]) -> f64 {
    let sums = forces.par_iter_mut().enumerate().with_min_len(16).map(|(i, force)| {
        let [x, y] = points[i];
        let (mut sum, mut push) = (0.0, [0.0; 2]);
        for &[a, b] in points {
            let (a, b) = (x - a, y - b);
            let kernel = 1.0 / (1.0 + a * a + b * b);
            sum += kernel;
            push = [push[0] + kernel * kernel * a, push[1] + kernel * kernel * b];
        }
        *force = push;
        // Without the point itself.
        f64::from(sum) - 1.0
    });
    let sums: Vec<f64> = sums.collect();
    sums.iter().sum::<f64>().max(1e-6 * points.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listening::matrix::tests::noise;

    /// Direct summation in double precision.
    fn by_definition(points: &[[f32; 2]]) -> (Vec<[f64; 2]>, f64) {
        let mut total = 0.0;
        let forces = points.iter().enumerate().map(|(i, a)| {
            let mut force = [0.0; 2];
            for (j, b) in points.iter().enumerate() {
                let d = [f64::from(a[0]) - f64::from(b[0]), f64::from(a[1]) - f64::from(b[1])];
                let kernel = 1.0 / (1.0 + d[0] * d[0] + d[1] * d[1]);
                total += if i == j { 0.0 } else { kernel };
                force = [force[0] + d[0] * kernel * kernel, force[1] + d[1] * kernel * kernel];
            }
            force
        });
        let forces = forces.collect();
        (forces, total)
    }

    /// Interpolation error relative to the root mean square of the forces.
    const FORCE_TOLERANCE: f64 = 0.02;
    const SUM_TOLERANCE: f64 = 0.005;

    /// Maps of increasing size with one `Repulsion`, so that grids are replaced.
    #[test]
    fn forces_equal_direct_sums() {
        let mut repulsion = Repulsion::new();
        for width in [1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 4.0, 20.0, 90.0, 30.0] {
            let points: Vec<[f32; 2]> = noise(1, 1500, 2)
                .data()
                .chunks_exact(2)
                .map(|p| [p[0] * width + 3.0, p[1] * width * 0.4])
                .collect();
            let mut ours = vec![[0.0; 2]; points.len()];
            let total = repulsion.forces(&points, &mut ours);
            let (theirs, expected) = by_definition(&points);
            assert!((total / expected - 1.0).abs() <= SUM_TOLERANCE, "{width}: {total} {expected}");
            let (mut error, mut size) = (0.0, 0.0);
            for (ours, theirs) in ours.iter().zip(&theirs) {
                for axis in 0..2 {
                    error += (f64::from(ours[axis]) - theirs[axis]).powi(2);
                    size += theirs[axis].powi(2);
                }
            }
            let mean = |sum: f64| (sum / points.len() as f64).sqrt();
            let (error, size) = (mean(error), mean(size));
            assert!(error <= FORCE_TOLERANCE * size, "width {width}: {error} of {size}");
        }
    }

    #[test]
    fn few_points_are_summed_directly() {
        let points: Vec<[f32; 2]> =
            noise(4, 300, 2).data().chunks_exact(2).map(|p| [9.0 * p[0], 5.0 * p[1]]).collect();
        let mut ours = vec![[0.0; 2]; 300];
        let sum = Repulsion::new().forces(&points, &mut ours);
        let (theirs, expected) = by_definition(&points);
        assert!((sum / expected - 1.0).abs() < 1e-5, "{sum} {expected}");
        for (ours, theirs) in ours.iter().flatten().zip(theirs.iter().flatten()) {
            assert!((f64::from(*ours) - theirs).abs() < 1e-4, "{ours} {theirs}");
        }
    }

    #[test]
    fn a_very_large_map_fits_the_grid() {
        let mut repulsion = Repulsion::new();
        let mut points = vec![[0.0, 0.5]; FEW + 1];
        points[0] = [1e4, -1e4];
        let mut forces = vec![[0.0; 2]; FEW + 1];
        assert!(repulsion.forces(&points, &mut forces).is_finite());
        assert!(forces.iter().flatten().all(|force| force.is_finite()));
        let nodes = repulsion.grid.unwrap().nodes;
        assert!((MAX_NODES..MAX_NODES + 300).contains(&nodes), "{nodes}");
    }

    #[test]
    fn lengths_have_small_prime_factors() {
        assert_eq!([0, 32, 33, 37, 61, 130].map(smooth), [64, 64, 64, 64, 64, 144]);
    }
}
