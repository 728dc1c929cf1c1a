//! The gradients of weights and input, as sums over the windows that have a gradient.
//!
//! For window `t` of an item and the gradient `g` of a filter's response to it,
//!
//! ```text
//! weights gradient of the filter = sum of g x[window t]
//! input gradient at window t    += g weights[filter]
//! ```
//!
//! where windows and filters are contiguous `length * channels` values. A part of the sum (or of the weights) stays in
//! registers while the list of `(t, g)` is read, and blocks of windows stay in the first-level cache. The order of every sum
//! is independent of the number of threads.

#![allow(clippy::needless_range_loop, reason = "registers are indexed by constants")]

use rayon::prelude::*;

use super::product::{CUT_OFF, passed, tile};
use super::{Geometry, bfloat16, winograd};
use crate::simd::{Kernel, Simd, Width};

/// The largest number of filters per task.
const FILTERS: usize = 8;

/// A window and the gradient of the response to it.
type WindowGradient = (u32, f32);

/// Gradients of the outputs, and the index of the maximum of each pool.
///
/// # Shapes
/// - `values` and `argmax`: `[batch, pool, filter]`; `argmax` is empty if every window is an output
#[derive(Clone, Copy)]
pub(super) struct OutputGradient<'a> {
    pub values: &'a [f32],
    pub argmax: &'a [u32],
}

impl OutputGradient<'_> {
    /// The windows with a nonzero gradient in a range of pools of a filter, written to the beginning of `list`, which holds
    /// at least as many entries as the range.
    fn list<'l>(
        &self,
        geometry: &Geometry,
        item: usize,
        filter: usize,
        pools: std::ops::Range<usize>,
        list: &'l mut [WindowGradient],
    ) -> &'l [WindowGradient] {
        let first = (item * geometry.pools + pools.start) * geometry.filters + filter;
        let list = &mut list[..pools.len()];
        let mut count = 0;
        // Zeros are skipped, NaN is not. Which ones are zero is unpredictable, so there is no branch: the next window
        // overwrites one that is skipped.
        let mut add = |window, value, is_nonzero| {
            list[count] = (window, value);
            count += usize::from(is_nonzero);
        };
        let values = self.values[first..].iter().step_by(geometry.filters).zip(pools);
        let windows = values.map(|(value, pool)| ((pool * geometry.pool) as u32, *value));
        if self.argmax.is_empty() {
            windows.for_each(|(window, value)| add(window, value, value != 0.0));
        } else {
            let argmax = self.argmax[first..].iter().step_by(geometry.filters);
            windows.zip(argmax).for_each(|((window, value), index)| {
                add(window.wrapping_add(*index), value, (*index != CUT_OFF) & (value != 0.0));
            });
        }
        &list[..count]
    }
}

/// Gradients of weights and bias; the factors are rounded to the precision of the geometry.
///
/// # Shapes
/// - `x`: `[batch, frame, channel]`, or [transformed](winograd::input) if the geometry has a
///   [fast gradient](Geometry::winograd_gradient)
/// - returns: `[filter, channel, length]` and `[filter]`
pub(super) fn weights(
    geometry: &Geometry,
    x: &[f32],
    gradient: OutputGradient<'_>,
    width: Width,
) -> (Vec<f32>, Vec<f32>) {
    let (rows, bias) = match geometry.winograd_gradient() {
        Some(tiled) => winograd::weights_gradient(geometry, &tiled, x, gradient, width),
        None => window_products(geometry, x, gradient, width),
    };
    let &Geometry { channels, length, .. } = geometry;
    if channels == 1 {
        return (rows, bias);
    }
    let mut weights = vec![0.0; rows.len()];
    let filters = weights.par_chunks_exact_mut(geometry.depth());
    filters.zip(rows.par_chunks_exact(geometry.depth())).for_each(|(to, from)| {
        by_channels(from, channels, length, to);
    });
    (weights, bias)
}

/// Sums of windows times output gradients, and of output gradients.
///
/// # Shapes
/// - `x`: `[batch, frame, channel]`
/// - returns: `[filter, frame, channel]` and `[filter]`
pub(super) fn window_products(
    geometry: &Geometry,
    x: &[f32],
    gradient: OutputGradient<'_>,
    width: Width,
) -> (Vec<f32>, Vec<f32>) {
    let &Geometry { batch, filters, pools, .. } = geometry;
    assert_eq!(x.len(), batch * geometry.item());
    let depth = geometry.depth();
    let mut weights = vec![0.0; filters * depth];
    let mut bias = vec![0.0; filters];
    if geometry.pool == 1 && geometry.hop() >= 2 * width.lanes() {
        let several = filters.div_ceil(rayon::current_num_threads()).next_multiple_of(ROWS);
        let tasks = weights.par_chunks_mut(several * depth).zip(bias.par_chunks_mut(several));
        tasks.enumerate().for_each(|(task, (weights, bias))| {
            let mut product = BlockedProduct::new(geometry, task * several, bias.len(), width);
            for item in 0..batch {
                let x = &x[item * geometry.item()..][..geometry.item()];
                width.run(Add { product: &mut product, item, x, gradient });
            }
            weights.copy_from_slice(&product.sums);
            bias.copy_from_slice(&product.bias[..bias.len()]);
        });
        return (weights, bias);
    }
    // Smaller tasks if there are more threads than full ones.
    let several = filters.div_ceil(2 * rayon::current_num_threads()).clamp(1, FILTERS);
    let block = geometry.pools_per_block();
    let tasks = weights.par_chunks_mut(several * depth).zip(bias.par_chunks_mut(several));
    tasks.enumerate().for_each(|(task, (sums, bias))| {
        let mut list = vec![(0, 0.0); block.min(pools)];
        for item in 0..batch {
            let x = &x[item * geometry.item()..][..geometry.item()];
            for first in (0..pools).step_by(block) {
                let block = first..pools.min(first + block);
                for (number, sums) in sums.chunks_exact_mut(depth).enumerate() {
                    let filter = task * several + number;
                    let list = gradient.list(geometry, item, filter, block.clone(), &mut list);
                    bias[number] += list.iter().map(|(_, value)| value).sum::<f32>();
                    check(depth, x.len(), geometry.hop(), list);
                    width.run(Gather { sums, x, hop: geometry.hop(), list });
                }
            }
        }
    });
    (weights, bias)
}

/// `[frame, channel]` to `[channel, frame]`.
fn by_channels(from: &[f32], channels: usize, length: usize, to: &mut [f32]) {
    for (frame, numbers) in from.chunks_exact(channels).enumerate() {
        for (channel, number) in numbers.iter().enumerate() {
            to[channel * length + frame] = *number;
        }
    }
}

/// Filters per tile of [`BlockedProduct`].
const ROWS: usize = 12;

/// `N` values from `at` on, followed by `fill` where the slice ends.
#[inline(always)]
fn padded<T: Copy, const N: usize>(values: &[T], at: usize, fill: T) -> [T; N] {
    values[at..].first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [fill; N];
        padded[..values.len() - at].copy_from_slice(&values[at..]);
        padded
    })
}

/// The gradient of the weights of some filters if every window is an output: the product of the transposed output
/// gradients with the windows.
///
/// Columns `j hop + c` of window `t` are columns `c` of window `t + j`: windows are copied one strip of columns at a
/// time, and every strip is used once per overlap.
struct BlockedProduct<'a> {
    geometry: &'a Geometry,
    /// The first filter and the number of filters.
    first: usize,
    filters: usize,
    /// `[filter, frame, channel]`
    sums: Vec<f32>,
    /// The gradient of the bias, padded to whole tiles.
    bias: Vec<f32>,
    /// `[tile, window, filter of the tile]`
    values: Vec<f32>,
    /// `[row, column]`, one row per hop of the item.
    strip: Vec<f32>,
    /// One tile.
    products: Vec<f32>,
    /// Whether values and rows are paired with those of the next window.
    in_pairs: bool,
}

impl<'a> BlockedProduct<'a> {
    fn new(geometry: &'a Geometry, first: usize, filters: usize, width: Width) -> Self {
        let columns = 2 * width.lanes();
        let rows = geometry.windows + geometry.depth().div_ceil(geometry.hop()) - 1;
        Self {
            geometry,
            first,
            filters,
            sums: vec![0.0; filters * geometry.depth()],
            bias: vec![0.0; filters.next_multiple_of(ROWS)],
            values: vec![0.0; filters.div_ceil(ROWS) * geometry.windows * ROWS],
            strip: vec![0.0; rows * columns],
            products: vec![0.0; ROWS * columns],
            in_pairs: width.multiplies_pairs(geometry.precision),
        }
    }

    /// Adds the gradient of one item; registers hold `PART` rows of a tile.
    ///
    /// # Safety
    /// The processor supports the instructions of `S`.
    #[inline(always)]
    unsafe fn add<S: Simd, const PART: usize>(
        &mut self,
        item: usize,
        x: &[f32],
        gradient: OutputGradient<'_>,
    ) {
        let (windows, all) = (self.geometry.windows, self.geometry.filters);
        for window in 0..windows {
            let at = (item * windows + window) * all + self.first;
            let row = &gradient.values[at..at + self.filters];
            let argmax = gradient.argmax.get(at..at + self.filters);
            for tile in 0..self.filters.div_ceil(ROWS) {
                // Arrays of a constant length stay in registers.
                let mut values: [f32; ROWS] = padded(row, tile * ROWS, 0.0);
                if let Some(argmax) = argmax {
                    let argmax: [u32; ROWS] = padded(argmax, tile * ROWS, CUT_OFF);
                    for lane in 0..ROWS {
                        values[lane] = passed(values[lane], argmax[lane]);
                    }
                }
                self.values[(tile * windows + window) * ROWS..][..ROWS].copy_from_slice(&values);
                let sums = &mut self.bias[tile * ROWS..][..ROWS];
                for lane in 0..ROWS {
                    sums[lane] += values[lane];
                }
            }
        }
        if self.in_pairs {
            let tiles = self.values.chunks_exact_mut(windows * ROWS);
            tiles.for_each(|tile| bfloat16::with_successors(tile, ROWS));
        }
        let (hop, depth, columns) = (self.geometry.hop(), self.geometry.depth(), 2 * S::LANES);
        assert!(self.products.len() == ROWS * columns && ROWS.is_multiple_of(PART));
        for base in (0..hop.min(depth)).step_by(columns) {
            let count = columns.min(hop - base);
            for (row, strip) in self.strip.chunks_exact_mut(columns).enumerate() {
                let from = &x[(row * hop + base).min(x.len())..];
                match from.get(..columns).filter(|_| count == columns) {
                    Some(from) => strip.copy_from_slice(from),
                    None => {
                        let count = count.min(from.len());
                        strip[..count].copy_from_slice(&from[..count]);
                        strip[count..].fill(0.0);
                    }
                }
            }
            if self.in_pairs {
                bfloat16::with_successors(&mut self.strip, columns);
            }
            for (shift, at) in (base..depth).step_by(hop).enumerate() {
                let count = count.min(depth - at);
                let panel = &self.strip[shift * columns..][..windows * columns];
                let tiles = self.values.chunks_exact(windows * ROWS);
                let sums = self.sums.chunks_mut(ROWS * depth);
                for (values, sums) in tiles.zip(sums) {
                    let (from, to) = (values.as_ptr(), self.products.as_mut_ptr());
                    for part in (0..ROWS).step_by(PART) {
                        // SAFETY: a tile has `windows` times `ROWS` values, the panel has `windows` rows, and
                        // the products have `ROWS` rows; pairs exist only if the processor has the instructions.
                        unsafe {
                            let (from, to) = (from.add(part), to.add(part * columns));
                            match self.in_pairs {
                                false => tile::<S, PART>(from, 1, ROWS, panel, to),
                                #[cfg(target_arch = "x86_64")]
                                true => bfloat16::tile::<PART>(
                                    from,
                                    1,
                                    ROWS,
                                    windows,
                                    panel.as_ptr(),
                                    2 * columns,
                                    to,
                                ),
                                #[cfg(not(target_arch = "x86_64"))]
                                true => unreachable!("pairs need AVX-512"),
                            };
                        }
                    }
                    for (sums, products) in
                        sums.chunks_exact_mut(depth).zip(self.products.chunks_exact(columns))
                    {
                        for (sum, product) in sums[at..at + count].iter_mut().zip(products) {
                            *sum += product;
                        }
                    }
                }
            }
        }
    }
}

/// [`BlockedProduct::add`].
struct Add<'a, 'b> {
    product: &'a mut BlockedProduct<'b>,
    item: usize,
    x: &'a [f32],
    gradient: OutputGradient<'a>,
}

impl Kernel for Add<'_, '_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { product, item, x, gradient } = self;
        // SAFETY: the caller's.
        unsafe {
            match S::REGISTERS {
                32 => product.add::<S, ROWS>(item, x, gradient),
                _ => product.add::<S, { ROWS / 2 }>(item, x, gradient),
            }
        }
    }
}

/// The gradient of the input.
///
/// # Shapes
/// - `weights`: `[filter, channel, length]`
/// - returns: `[batch, frame, channel]`
pub(super) fn input(
    geometry: &Geometry,
    weights: &[f32],
    gradient: OutputGradient<'_>,
    width: Width,
) -> Vec<f32> {
    let &Geometry { batch, channels, filters, length, pools, .. } = geometry;
    let depth = geometry.depth();
    assert_eq!(weights.len(), filters * depth);
    // `[filter, frame, channel]`
    let mut rows = vec![0.0; filters * depth];
    rows.par_chunks_exact_mut(depth).zip(weights.par_chunks_exact(depth)).for_each(|(row, own)| {
        for (channel, taps) in own.chunks_exact(length).enumerate() {
            for (frame, tap) in taps.iter().enumerate() {
                row[frame * channels + channel] = *tap;
            }
        }
    });
    let mut out = vec![0.0; batch * geometry.item()];
    let block = geometry.pools_per_block();
    out.par_chunks_exact_mut(geometry.item()).enumerate().for_each(|(item, out)| {
        let mut list = vec![(0, 0.0); block.min(pools)];
        for first in (0..pools).step_by(block) {
            let block = first..pools.min(first + block);
            for (filter, row) in rows.chunks_exact(depth).enumerate() {
                let list = gradient.list(geometry, item, filter, block.clone(), &mut list);
                check(depth, out.len(), geometry.hop(), list);
                width.run(Scatter { row, out, hop: geometry.hop(), list });
            }
        }
    });
    out
}

/// Checks that all windows are within the item.
fn check(depth: usize, available: usize, hop: usize, list: &[WindowGradient]) {
    let last = list.iter().map(|(window, _)| *window as usize).max().unwrap_or(0);
    assert!(last * hop + depth <= available, "window {last} is beyond the end of the item");
}

/// `sums += g x[t hop ..]` over the list; its windows are within `x`.
struct Gather<'a> {
    sums: &'a mut [f32],
    x: &'a [f32],
    hop: usize,
    list: &'a [WindowGradient],
}

impl Kernel for Gather<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { sums, x, hop, list } = self;
        let mut at = 0;
        // SAFETY: the caller's; windows were checked.
        unsafe {
            while S::REGISTERS == 32 && at + 16 * S::LANES <= sums.len() {
                gather_at::<S, 16>(&mut sums[at..], &x[at..], hop, list);
                at += 16 * S::LANES;
            }
            while at + 8 * S::LANES <= sums.len() {
                gather_at::<S, 8>(&mut sums[at..], &x[at..], hop, list);
                at += 8 * S::LANES;
            }
            while at + S::LANES <= sums.len() {
                gather_at::<S, 1>(&mut sums[at..], &x[at..], hop, list);
                at += S::LANES;
            }
        }
        for at in at..sums.len() {
            for &(window, value) in list {
                sums[at] += value * x[window as usize * hop + at];
            }
        }
    }
}

/// # Safety
/// The processor supports the instructions of `S`, windows are within `x`, and `sums` has `COUNT` registers.
#[inline(always)]
unsafe fn gather_at<S: Simd, const COUNT: usize>(
    sums: &mut [f32],
    x: &[f32],
    hop: usize,
    list: &[WindowGradient],
) {
    // SAFETY: the caller's.
    unsafe {
        let to = sums.as_mut_ptr();
        let mut registers = [S::zero(); COUNT];
        for i in 0..COUNT {
            registers[i] = S::load(to.add(i * S::LANES));
        }
        for &(window, value) in list {
            let x = x.as_ptr().add(window as usize * hop);
            let value = S::splat(value);
            for i in 0..COUNT {
                registers[i] = S::multiply_add(value, S::load(x.add(i * S::LANES)), registers[i]);
            }
        }
        for i in 0..COUNT {
            S::store(to.add(i * S::LANES), registers[i]);
        }
    }
}

/// `out[t hop ..] += g row` over the list; its windows are within `out`.
struct Scatter<'a> {
    row: &'a [f32],
    out: &'a mut [f32],
    hop: usize,
    list: &'a [WindowGradient],
}

impl Kernel for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { row, out, hop, list } = self;
        let mut at = 0;
        // SAFETY: the caller's; windows were checked.
        unsafe {
            while S::REGISTERS == 32 && at + 16 * S::LANES <= row.len() {
                scatter_at::<S, 16>(&row[at..], &mut out[at..], hop, list);
                at += 16 * S::LANES;
            }
            while at + 8 * S::LANES <= row.len() {
                scatter_at::<S, 8>(&row[at..], &mut out[at..], hop, list);
                at += 8 * S::LANES;
            }
            while at + S::LANES <= row.len() {
                scatter_at::<S, 1>(&row[at..], &mut out[at..], hop, list);
                at += S::LANES;
            }
        }
        for at in at..row.len() {
            for &(window, value) in list {
                out[window as usize * hop + at] += value * row[at];
            }
        }
    }
}

/// # Safety
/// The processor supports the instructions of `S`, windows are within `out`, and `row` has `COUNT` registers.
#[inline(always)]
unsafe fn scatter_at<S: Simd, const COUNT: usize>(
    row: &[f32],
    out: &mut [f32],
    hop: usize,
    list: &[WindowGradient],
) {
    // SAFETY: the caller's.
    unsafe {
        let mut registers = [S::zero(); COUNT];
        for i in 0..COUNT {
            registers[i] = S::load(row.as_ptr().add(i * S::LANES));
        }
        for &(window, value) in list {
            let to = out.as_mut_ptr().add(window as usize * hop);
            let value = S::splat(value);
            for i in 0..COUNT {
                let at = to.add(i * S::LANES);
                S::store(at, S::multiply_add(value, registers[i], S::load(at)));
            }
        }
    }
}
