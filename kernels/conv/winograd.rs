//! Winograd's fast convolution F(4, 4) on the CPU: 7 products where the definition has 16.
//!
//! A convolution whose length is a multiple of its stride is a convolution of `taps = length / stride` rows of
//! `stride * channels` values (its polyphase form). For `taps = 4 parts`, four outputs at a time:
//!
//! ```text
//! v[p, i]     = sum_j B[p][j] row[4 i + j]                    seven rows of the input per tile i
//! u[p, o, m]  = sum_k G[p][k] weights[o, 4 m + k]             m = 0, ..., parts - 1
//! y[p, i, o]  = sum_m v[p, i + m] u[p, o, m]                  7 parts products instead of 16 parts
//! a[4 i + r, o] = sum_p A[r][p] y[p, i, o]
//! ```
//!
//! The matrices belong to the points 0, 1, -1, 2, -2, 1/2 and infinity (Winograd 1980, *Arithmetic complexity of
//! computations*; Lavin and Gray 2016, *Fast algorithms for convolutional neural networks*). The gradient of the
//! weights is the transposed algorithm and has the same number of products.
//!
//! The root mean square of the rounding errors is 1.1e-6 of that of the outputs for 256 channels (direct sums of burn:
//! 2.9e-7; a test prints both), so products in bfloat16 are always direct.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::Geometry;
use super::gradients::{OutputGradient, window_products};
use super::packed::Packed;
use super::product::{finish, passed, tile};
use crate::precision::Precision;
use crate::simd::{Kernel, Simd, Width};

/// Outputs per tile.
const OUTPUTS: usize = 4;
/// Taps per part.
const TAPS: usize = 4;
/// Products per tile and part.
const POINTS: usize = OUTPUTS + TAPS - 1;

/// Outputs from products.
const A: [[f32; POINTS]; OUTPUTS] = [
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
    [0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 0.0],
    [0.0, 1.0, 1.0, 4.0, 4.0, 0.25, 0.0],
    [0.0, 1.0, -1.0, 8.0, -8.0, 0.125, 1.0],
];

/// Transformed rows from rows.
const B: [[f32; POINTS]; POINTS] = [
    [-2.0, 4.0, 2.5, -5.0, -0.5, 1.0, 0.0],
    [0.0, 2.0, -2.0, -4.5, 0.5, 1.0, 0.0],
    [0.0, -2.0, 6.0, -3.5, -1.5, 1.0, 0.0],
    [0.0, 1.0, -1.5, -2.0, 1.5, 1.0, 0.0],
    [0.0, -1.0, 2.5, 0.0, -2.5, 1.0, 0.0],
    [0.0, 4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
    [0.0, -2.0, 4.0, 2.5, -5.0, -0.5, 1.0],
];

/// Transformed weights from weights.
const G: [[f32; TAPS]; POINTS] = [
    [-1.0 / 2.0, 0.0, 0.0, 0.0],
    [-1.0 / 3.0, -1.0 / 3.0, -1.0 / 3.0, -1.0 / 3.0],
    [1.0 / 9.0, -1.0 / 9.0, 1.0 / 9.0, -1.0 / 9.0],
    [1.0 / 36.0, 1.0 / 18.0, 1.0 / 9.0, 2.0 / 9.0],
    [-1.0 / 60.0, 1.0 / 30.0, -1.0 / 15.0, 2.0 / 15.0],
    [32.0 / 45.0, 16.0 / 45.0, 8.0 / 45.0, 4.0 / 45.0],
    [0.0, 0.0, 0.0, 1.0],
];

const A_TRANSPOSED: [[f32; OUTPUTS]; POINTS] = transposed(A);
const G_TRANSPOSED: [[f32; POINTS]; TAPS] = transposed(G);

/// The point whose row of `A` transposed sums the four outputs of a tile.
const SUM: usize = 1;

const fn transposed<const N: usize, const M: usize>(matrix: [[f32; N]; M]) -> [[f32; M]; N] {
    let mut out = [[0.0; M]; N];
    let mut at = 0;
    while at < N * M {
        out[at % N][at / N] = matrix[at / N][at % N];
        at += 1;
    }
    out
}

impl Geometry {
    /// The sizes of one of the seven products of this convolution, per item; `None` where direct sums are faster or
    /// more precise.
    pub fn winograd(&self) -> Option<Geometry> {
        let taps = self.length / self.stride;
        let tiles = self.windows.div_ceil(OUTPUTS);
        let fits = self.length.is_multiple_of(self.stride)
            && taps.is_multiple_of(TAPS)
            && self.precision == Precision::Single
            && self.hop().is_multiple_of(16)
            && self.filters >= 16
            // Windows beyond the end are computed too: at most three quarters of the products must remain.
            && POINTS * tiles <= 3 * self.windows
            // With fewer rows, transforming the weights takes as long as the products that it saves.
            && self.batch * tiles >= 40;
        fits.then(|| {
            let (windows, length) = (tiles, taps / TAPS);
            Geometry {
                channels: self.hop(),
                frames: windows + length - 1,
                length,
                stride: 1,
                windows,
                rectify: false,
                pool: 1,
                pools: windows,
                ..*self
            }
        })
    }

    /// The same for the gradient of the weights. With pools it is sparse, and sums over the windows with a gradient are
    /// faster.
    pub fn winograd_gradient(&self) -> Option<Geometry> {
        self.winograd().filter(|_| self.pool == 1)
    }
}

/// `to[p] = sum_j matrix[p][j] from[j]` over `count` values.
///
/// # Safety
/// The processor supports the instructions of `S`, and the pointers are valid for `count` values.
#[inline(always)]
unsafe fn transform<S: Simd, const N: usize, const M: usize>(
    matrix: &[[f32; N]; M],
    from: [*const f32; N],
    to: [*mut f32; M],
    count: usize,
) {
    let mut at = 0;
    // SAFETY: the caller's.
    unsafe {
        while at + S::LANES <= count {
            combine::<S, N, M>(matrix, from.map(|x| x.add(at)), to.map(|x| x.add(at)));
            at += S::LANES;
        }
        if at < count {
            let rest = count - at;
            let (mut rows, mut out) = ([[0.0; 16]; N], [[0.0; 16]; M]);
            for (row, from) in rows.iter_mut().zip(from) {
                from.add(at).copy_to(row.as_mut_ptr(), rest);
            }
            let mut ends = [std::ptr::null_mut(); M];
            for (end, row) in ends.iter_mut().zip(&mut out) {
                *end = row.as_mut_ptr();
            }
            combine::<S, N, M>(matrix, rows.each_ref().map(|row| row.as_ptr()), ends);
            for (row, to) in out.iter().zip(to) {
                to.add(at).copy_from(row.as_ptr(), rest);
            }
        }
    }
}

/// One register of [`transform`].
///
/// # Safety
/// As [`transform`]'s.
#[inline(always)]
unsafe fn combine<S: Simd, const N: usize, const M: usize>(
    matrix: &[[f32; N]; M],
    from: [*const f32; N],
    to: [*mut f32; M],
) {
    // SAFETY: the caller's.
    unsafe {
        let rows = from.map(|row| S::load(row));
        for (factors, to) in matrix.iter().zip(to) {
            let mut sum = S::zero();
            for (factor, row) in factors.iter().zip(rows) {
                // Constant after inlining.
                if *factor == 1.0 {
                    sum = S::add(sum, row);
                } else if *factor != 0.0 {
                    sum = S::multiply_add(S::splat(*factor), row, sum);
                }
            }
            S::store(to, sum);
        }
    }
}

/// The transformed input.
///
/// # Shapes
/// - `x`: `[batch, frame, channel]`
/// - returns: `[point, batch, tile, stride * channel]`
pub(super) fn input(geometry: &Geometry, tiled: &Geometry, x: &[f32], width: Width) -> Vec<f32> {
    assert_eq!(x.len(), geometry.batch * geometry.item());
    let mut out = Vec::with_capacity(POINTS * tiled.batch * tiled.item());
    by_items(&mut out, tiled.item(), tiled.batch, |item, planes| {
        let x = &x[item * geometry.item()..][..geometry.item()];
        width.run(Input { x, hop: tiled.channels, planes });
    });
    out
}

/// Fills a vector of `[point, batch, size]` by calling `write` once per item, in parallel, with its values of each point,
/// all of which must be written.
fn by_items(
    out: &mut Vec<f32>,
    size: usize,
    batch: usize,
    write: impl Fn(usize, [&mut [MaybeUninit<f32>]; POINTS]) + Sync,
) {
    let total = POINTS * batch * size;
    let mut planes: Vec<_> =
        out.spare_capacity_mut()[..total].chunks_exact_mut(batch * size).collect();
    let mut planes: [_; POINTS] = std::array::from_fn(|_| planes.remove(0).chunks_exact_mut(size));
    let items: Vec<[_; POINTS]> = (0..batch)
        .map(|_| planes.each_mut().map(|plane| plane.next().unwrap_or_default()))
        .collect();
    items.into_par_iter().enumerate().for_each(|(item, planes)| write(item, planes));
    // SAFETY: `write` has written all values.
    unsafe { out.set_len(total) };
}

struct Input<'a> {
    x: &'a [f32],
    hop: usize,
    /// `[tile, value]` each
    planes: [&'a mut [MaybeUninit<f32>]; POINTS],
}

impl Kernel for Input<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        let hop = self.hop;
        let zeros = vec![0.0; hop];
        let tiles = self.planes[0].len() / hop;
        let mut out = self.planes.each_mut().map(|plane| plane.as_mut_ptr().cast::<f32>());
        for tile in 0..tiles {
            // Rows beyond the end only reach outputs beyond the end.
            let rows = std::array::from_fn(|row| {
                let at = (OUTPUTS * tile + row) * hop;
                self.x.get(at..at + hop).unwrap_or(&zeros).as_ptr()
            });
            // SAFETY: the caller's; planes have `tiles` rows of `hop` values.
            unsafe {
                transform::<S, _, _>(&B, rows, out, hop);
                out = out.map(|plane| plane.add(hop));
            }
        }
    }
}

/// Packed weights `[panel, tap, value, filter]` as `[panel, point, part, value, filter]`.
pub(super) fn weights(
    panels: &[f32],
    geometry: &Geometry,
    columns: usize,
    width: Width,
) -> Vec<f32> {
    let size = geometry.depth() * columns;
    let part = TAPS * geometry.hop() * columns;
    let mut out = vec![0.0; panels.len() / TAPS * POINTS];
    let row = part / TAPS;
    let panels = panels.par_chunks_exact(size);
    out.par_chunks_exact_mut(size / TAPS * POINTS).zip(panels).for_each(|(out, panel)| {
        let mut planes = split::<POINTS>(out).map(|plane| plane.chunks_exact_mut(row));
        for taps in panel.chunks_exact(part) {
            let from = std::array::from_fn(|tap: usize| &taps[tap * row..][..row]);
            let to = planes.each_mut().map(|plane| plane.next().unwrap_or_default());
            width.run(Rows { matrix: &G, from, to });
        }
    });
    out
}

/// How the rows of a product are divided into tasks.
struct Tasks {
    /// Items per task, 1 if an item has several blocks.
    items: usize,
    /// Tiles per block of an item.
    block: usize,
    /// Panels per task.
    panels: usize,
}

impl Tasks {
    /// Blocks of whole items or, of long items, of a multiple of `grain` tiles, whose seven rows of `hop` values stay in
    /// the second-level cache; panels are divided if threads would have nothing to do otherwise.
    fn new(tiled: &Geometry, hop: usize, grain: usize, panels: usize) -> Self {
        const CACHED: usize = 175_000;
        let rows = (CACHED / (POINTS * hop)).clamp(24, 192);
        let items = (rows / tiled.frames).clamp(1, tiled.batch);
        let block = match tiled.windows > rows {
            true => rows.next_multiple_of(grain),
            false => tiled.windows,
        };
        let threads = rayon::current_num_threads();
        let groups = tiled.batch.div_ceil(items) * tiled.windows.div_ceil(block);
        let splits = (1..=panels).find(|splits| (groups * splits).is_multiple_of(threads));
        Self { items, block, panels: panels.div_ceil(splits.unwrap_or(panels)) }
    }

    /// Calls `work` with items, tiles of each item, and panels of each task, in parallel.
    fn run(
        &self,
        tiled: &Geometry,
        panels: usize,
        work: impl Fn(&mut Vec<f32>, [Range<usize>; 3]) + Send + Sync,
    ) {
        let ranges = |count: usize, step: usize| {
            (0..count).step_by(step).map(move |first| first..count.min(first + step))
        };
        let tasks: Vec<_> = ranges(tiled.batch, self.items)
            .flat_map(|items| {
                ranges(tiled.windows, self.block).map(move |tiles| (items.clone(), tiles))
            })
            .flat_map(|(items, tiles)| {
                ranges(panels, self.panels)
                    .map(move |panels| [items.clone(), tiles.clone(), panels])
            })
            .collect();
        tasks.into_par_iter().for_each_init(Vec::new, work);
    }
}

/// Rows of `depth` values, `row` values apart, times a panel: `[row, filter of the panel]`.
///
/// # Safety
/// The processor supports the instructions of `S`, and `x` is valid for the rows.
#[inline(always)]
unsafe fn product<S: Simd>(x: *const f32, row: usize, panel: &[f32], out: &mut [f32]) {
    let columns = 2 * S::LANES;
    let rows = out.len() / columns;
    let mut done = 0;
    while done < rows {
        // SAFETY: the caller's; `out` has `rows` rows.
        unsafe {
            let (x, to) = (x.add(done * row), out.as_mut_ptr().add(done * columns));
            done += match (S::REGISTERS, rows - done) {
                (32, 12..) => tile::<S, 12>(x, row, 1, panel, to),
                (_, 6..) => tile::<S, 6>(x, row, 1, panel, to),
                (_, 3..) => tile::<S, 3>(x, row, 1, panel, to),
                _ => tile::<S, 1>(x, row, 1, panel, to),
            };
        }
    }
}

/// A pointer that tasks share; each accesses other values.
struct Shared<T>(*mut T);

// SAFETY: see the type.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// # Safety
    /// The range is valid, and nothing else accesses it meanwhile.
    #[allow(clippy::mut_from_ref, reason = "the purpose of the type")]
    unsafe fn slice(&self, first: usize, count: usize) -> &mut [T] {
        // SAFETY: the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(first), count) }
    }
}

/// [`product::forward`](super::product::forward) for the [transformed](input) input `v` and weights.
pub(super) fn forward(
    geometry: &Geometry,
    tiled: &Geometry,
    v: &[f32],
    packed: &Packed,
    bias: &[f32],
    out: &mut [MaybeUninit<f32>],
    argmax: &mut [MaybeUninit<u32>],
) {
    let panels = geometry.filters.div_ceil(packed.columns);
    assert_eq!(v.len(), POINTS * tiled.batch * tiled.item());
    assert_eq!(packed.panels.len(), panels * POINTS * tiled.depth() * packed.columns);
    assert_eq!(bias.len(), geometry.filters);
    assert_eq!(out.len(), geometry.batch * geometry.output_item());
    assert!(argmax.is_empty() || argmax.len() == out.len());
    let tasks = Tasks::new(tiled, tiled.depth(), geometry.pool, panels);
    let with_argmax = !argmax.is_empty();
    let (out, argmax) = (Shared(out.as_mut_ptr()), Shared(argmax.as_mut_ptr()));
    tasks.run(tiled, panels, |scratch, [items, tiles, panels]| {
        let (out, argmax) = (&out, with_argmax.then_some(&argmax));
        packed.width.run(Outputs {
            geometry,
            tiled,
            v,
            packed,
            bias,
            items,
            tiles,
            panels,
            scratch,
            out,
            argmax,
        });
    });
}

/// The outputs of some tiles of some items for the filters of some panels.
struct Outputs<'a> {
    geometry: &'a Geometry,
    tiled: &'a Geometry,
    v: &'a [f32],
    packed: &'a Packed,
    bias: &'a [f32],
    items: Range<usize>,
    /// Of each item; begin at a pool.
    tiles: Range<usize>,
    panels: Range<usize>,
    scratch: &'a mut Vec<f32>,
    /// `[batch, pool, filter]`, like `argmax`
    out: &'a Shared<MaybeUninit<f32>>,
    argmax: Option<&'a Shared<MaybeUninit<u32>>>,
}

impl Kernel for Outputs<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { geometry, tiled, packed, scratch, items, tiles, .. } = self;
        let (depth, hop, columns) = (tiled.depth(), tiled.hop(), packed.columns);
        assert!(columns == 2 * S::LANES);
        // Rows between the tiles of two items are computed and not used.
        let rows = (items.len() - 1) * tiled.frames + tiles.len();
        let windows = (geometry.windows - OUTPUTS * tiles.start).min(OUTPUTS * tiles.len());
        let first_pool = OUTPUTS * tiles.start / geometry.pool;
        let pools = windows.div_ceil(geometry.pool).min(geometry.pools - first_pool);
        let first_row = items.start * tiled.frames + tiles.start;
        let size = rows * columns;
        scratch.resize(POINTS * size + OUTPUTS * tiles.len() * columns, 0.0);
        let (products, values) = scratch.split_at_mut(POINTS * size);
        for panel in self.panels {
            let weights = &packed.panels[panel * POINTS * depth * columns..];
            for point in 0..POINTS {
                let plane = point * tiled.batch * tiled.item();
                let x = &self.v[plane + first_row * hop..][..(rows - 1) * hop + depth];
                let weights = &weights[point * depth * columns..][..depth * columns];
                // SAFETY: the caller's; the length of `x` is checked by its range.
                unsafe {
                    let out = &mut products[point * size..][..size];
                    product::<S>(x.as_ptr(), hop, weights, out);
                }
            }
            let first = panel * columns;
            let count = columns.min(geometry.filters - first);
            for item in items.clone() {
                let first_of_item = (item - items.start) * tiled.frames;
                for tile in 0..tiles.len() {
                    let from = std::array::from_fn(|point| {
                        let at = point * size + (first_of_item + tile) * columns;
                        products[at..][..columns].as_ptr()
                    });
                    let to: [_; OUTPUTS] = std::array::from_fn(|output| {
                        values[(OUTPUTS * tile + output) * columns..][..columns].as_mut_ptr()
                    });
                    // SAFETY: the caller's; all slices have `columns` values.
                    unsafe { transform::<S, _, _>(&A, from, to, columns) };
                }
                let values = values[..windows * columns].chunks(geometry.pool * columns);
                for (pool, values) in values.take(pools).enumerate() {
                    let pool = item * geometry.pools + first_pool + pool;
                    let at = pool * geometry.filters + first;
                    // SAFETY: other tasks write other items, pools or filters.
                    let (out, argmax) = unsafe {
                        let argmax = self.argmax.map(|argmax| argmax.slice(at, count));
                        (self.out.slice(at, count), argmax.unwrap_or_default())
                    };
                    finish(
                        geometry,
                        values,
                        columns,
                        &self.bias[first..first + count],
                        out,
                        argmax,
                    );
                }
            }
        }
    }
}

/// Gradients of weights and bias.
///
/// # Shapes
/// - `v`: `[point, batch, tile, stride * channel]`, as [`input`] returns
/// - returns: `[filter, frame, channel]` and `[filter]`
pub(super) fn weights_gradient(
    geometry: &Geometry,
    tiled: &Geometry,
    v: &[f32],
    gradient: OutputGradient<'_>,
    width: Width,
) -> (Vec<f32>, Vec<f32>) {
    let (filters, plane) = (geometry.filters, tiled.batch * tiled.frames);
    assert_eq!(v.len(), POINTS * plane * tiled.channels);
    let products = products_gradient(geometry, tiled, gradient, width);
    // The rows of all items follow each other as if they were one item; windows that cover the end of an item have zero
    // gradients.
    let windows = plane + 1 - tiled.length;
    let all = Geometry { batch: 1, frames: plane, windows, pools: windows, ..*tiled };
    let mut bias = Vec::new();
    let mut sums = Vec::with_capacity(POINTS);
    for point in 0..POINTS {
        let v = &v[point * plane * tiled.channels..][..plane * tiled.channels];
        let values = &products[point * plane * filters..][..windows * filters];
        let gradient = OutputGradient { values, argmax: &[] };
        let (weights, sum) = window_products(&all, v, gradient, width);
        sums.push(weights);
        if point == SUM {
            bias = sum;
        }
    }
    let mut out = vec![0.0; filters * geometry.depth()];
    let row = tiled.channels;
    out.par_chunks_exact_mut(TAPS * row).enumerate().for_each(|(number, out)| {
        let from = std::array::from_fn(|point: usize| &sums[point][number * row..][..row]);
        width.run(Rows { matrix: &G_TRANSPOSED, from, to: split(out) });
    });
    (out, bias)
}

/// The gradients of the products: `[point, batch, tile, filter]`.
fn products_gradient(
    geometry: &Geometry,
    tiled: &Geometry,
    gradient: OutputGradient<'_>,
    width: Width,
) -> Vec<f32> {
    let (size, filters) = (geometry.output_item(), geometry.filters);
    let mut products = Vec::with_capacity(POINTS * tiled.batch * tiled.frames * filters);
    by_items(&mut products, tiled.frames * filters, geometry.batch, |item, planes| {
        let values = &gradient.values[item * size..][..size];
        let argmax = gradient.argmax.get(item * size..(item + 1) * size).unwrap_or_default();
        width.run(Products { values, argmax, filters, planes });
    });
    products
}

/// [`products_gradient`] of one item.
struct Products<'a> {
    filters: usize,
    /// `[window, filter]`, like `argmax` unless that is empty.
    values: &'a [f32],
    argmax: &'a [u32],
    /// `[tile, filter]` each
    planes: [&'a mut [MaybeUninit<f32>]; POINTS],
}

impl Kernel for Products<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        let filters = self.filters;
        let tiles = self.planes[0].len() / filters;
        let mut rows = vec![0.0; OUTPUTS * filters];
        let mut out = self.planes.each_mut().map(|plane| plane.as_mut_ptr().cast::<f32>());
        for tile in 0..tiles {
            for (row, window) in rows.chunks_exact_mut(filters).zip(OUTPUTS * tile..) {
                let at = window * filters..(window + 1) * filters;
                match self.values.get(at.clone()) {
                    Some(values) => row.copy_from_slice(values),
                    None => row.fill(0.0),
                }
                for (value, index) in row.iter_mut().zip(self.argmax.get(at).unwrap_or_default()) {
                    *value = passed(*value, *index);
                }
            }
            let from = std::array::from_fn(|row| rows[row * filters..][..filters].as_ptr());
            // SAFETY: the caller's; planes have `tiles` rows of `filters` values.
            unsafe {
                transform::<S, _, _>(&A_TRANSPOSED, from, out, filters);
                out = out.map(|plane| plane.add(filters));
            }
        }
    }
}

/// `to[p] = sum_j matrix[p][j] from[j]`.
struct Rows<'a, const N: usize, const M: usize> {
    matrix: &'static [[f32; N]; M],
    from: [&'a [f32]; N],
    to: [&'a mut [f32]; M],
}

impl<const N: usize, const M: usize> Kernel for Rows<'_, N, M> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let count = self.from[0].len();
        assert!(self.from.iter().all(|from| from.len() == count));
        assert!(self.to.iter().all(|to| to.len() == count));
        let (from, to) = (self.from.map(<[f32]>::as_ptr), self.to.map(<[f32]>::as_mut_ptr));
        // SAFETY: the caller's; all slices have `count` values.
        unsafe { transform::<S, N, M>(self.matrix, from, to, count) };
    }
}

/// Equal parts.
fn split<const N: usize>(values: &mut [f32]) -> [&mut [f32]; N] {
    let mut parts = values.chunks_exact_mut(values.len() / N);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}
