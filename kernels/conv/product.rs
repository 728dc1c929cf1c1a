//! The forward pass: windows times weights, then bias, rectifier and pooling while the results are in the cache.
//!
//! A tile of several windows by two registers of filters stays in registers during the sum over a window;
//! [packed](super::packed) weights are read in order. Each value is summed in the order of frames and, within a frame, of
//! channels.

#![allow(clippy::needless_range_loop, reason = "registers are indexed by constants")]

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::packed::Packed;
use super::{Geometry, bfloat16, winograd};
use crate::simd::{Kernel, Simd};

/// Instead of an index: the rectifier cut off the maximum, so the pool has no gradient.
pub(super) const CUT_OFF: u32 = u32::MAX;

/// The gradient that passes a rectifier. What is cut off is unpredictable, so there is no branch.
#[inline(always)]
pub(super) fn passed(gradient: f32, argmax: u32) -> f32 {
    f32::from_bits(gradient.to_bits() & u32::from(argmax == CUT_OFF).wrapping_sub(1))
}

/// The outputs and, unless `argmax` is empty, the index of the maximum within each pool.
///
/// # Shapes
/// - `x`: `[batch, frame, channel]`, rounded to the precision of the geometry; [transformed](winograd::input) if the
///   geometry has a [fast convolution](Geometry::winograd)
/// - `bias`: `[filter]`
/// - `out`, `argmax`: `[batch, pool, filter]`; all values are written, of `argmax` only if there is a rectifier
pub(super) fn forward(
    geometry: &Geometry,
    x: &[f32],
    packed: &Packed,
    bias: &[f32],
    out: &mut [MaybeUninit<f32>],
    mut argmax: &mut [MaybeUninit<u32>],
) {
    if let Some(tiled) = geometry.winograd() {
        return winograd::forward(geometry, &tiled, x, packed, bias, out, argmax);
    }
    let size = geometry.output_item();
    assert_eq!(x.len(), geometry.batch * geometry.item());
    assert_eq!(bias.len(), geometry.filters);
    assert_eq!(out.len(), geometry.batch * size);
    assert!(argmax.is_empty() || argmax.len() == out.len());
    let mut pairs;
    let x = match packed.in_pairs {
        false => x,
        true => {
            pairs = x.to_vec();
            let items = pairs.par_chunks_exact_mut(geometry.item());
            items.for_each(|item| bfloat16::with_successors(item, 1));
            &pairs
        }
    };
    let block = (48 / geometry.pool).max(1);
    let part = block * geometry.filters;
    let (argmax_size, argmax_part) = if argmax.is_empty() { (0, 0) } else { (size, part) };
    let mut tasks = Vec::new();
    for (item, out) in out.chunks_exact_mut(size).enumerate() {
        let (mut own, rest) = argmax.split_at_mut(argmax_size);
        argmax = rest;
        for (number, out) in out.chunks_mut(part).enumerate() {
            let (first, rest) = own.split_at_mut(argmax_part.min(own.len()));
            own = rest;
            tasks.push((item, number * block, out, first));
        }
    }
    tasks.into_par_iter().for_each_init(
        || vec![0.0; block * geometry.pool * packed.columns],
        |scratch, (item, first, out, argmax)| {
            let x = &x[item * geometry.item()..][..geometry.item()];
            packed.width.run(Task { geometry, x, packed, bias, first, scratch, out, argmax });
        },
    );
}

/// A block of pools of one item.
struct Task<'a> {
    geometry: &'a Geometry,
    /// `[frame, channel]`; paired with their successors if the weights are in pairs.
    x: &'a [f32],
    packed: &'a Packed,
    bias: &'a [f32],
    /// The first pool.
    first: usize,
    /// Convolution of the pools' windows with one panel, `[window, filter of the panel]`.
    scratch: &'a mut [f32],
    /// `[pool, filter]`, like `argmax` unless that is empty.
    out: &'a mut [MaybeUninit<f32>],
    argmax: &'a mut [MaybeUninit<u32>],
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the caller's.
        unsafe {
            match S::REGISTERS {
                32 => self.tiles::<S, 12, 4>(),
                _ => self.tiles::<S, 6, 3>(),
            }
        }
    }
}

impl Task<'_> {
    /// `ROWS` windows times a panel.
    ///
    /// # Safety
    /// As [`tile`]'s.
    #[inline(always)]
    unsafe fn tile<S: Simd, const ROWS: usize>(
        geometry: &Geometry,
        packed: &Packed,
        x: *const f32,
        panel: &[f32],
        to: *mut f32,
    ) -> usize {
        let (hop, depth) = (geometry.hop(), geometry.depth());
        // SAFETY: the caller's; weights are in pairs only if the processor has the instructions.
        unsafe {
            match packed.in_pairs {
                false => tile::<S, ROWS>(x, hop, 1, panel, to),
                #[cfg(target_arch = "x86_64")]
                true => {
                    bfloat16::tile::<ROWS>(x, hop, 1, depth, panel.as_ptr(), packed.columns, to)
                }
                #[cfg(not(target_arch = "x86_64"))]
                true => unreachable!("pairs need AVX-512"),
            }
        }
    }

    /// Tiles of `MANY` windows, then of `FEW`, then of one.
    ///
    /// # Safety
    /// The processor supports the instructions of `S`.
    #[inline(always)]
    unsafe fn tiles<S: Simd, const MANY: usize, const FEW: usize>(self) {
        let Self { geometry, packed, scratch, out, argmax, .. } = self;
        let (depth, hop, columns) = (geometry.depth(), geometry.hop(), packed.columns);
        let pools = out.len() / geometry.filters;
        let start = self.first * geometry.pool;
        let windows = (pools * geometry.pool).min(geometry.windows - start);
        assert!(windows > 0 && (start + windows - 1) * hop + depth <= self.x.len());
        assert!(columns == 2 * S::LANES && windows * columns <= scratch.len());
        // Every pool has a window and every filter is in a panel, so all of `out` is written.
        assert!(windows.div_ceil(geometry.pool) == pools && out.len() == pools * geometry.filters);
        assert!(
            packed.panels.len() >= geometry.filters.div_ceil(columns) * packed.panel_size(geometry)
        );
        let panels = packed.panels.chunks_exact(packed.panel_size(geometry));
        for (panel, weights) in panels.enumerate() {
            let mut done = 0;
            while done < windows {
                // SAFETY: windows are within `x` and tiles within `scratch`, as asserted above.
                unsafe {
                    let x = self.x.as_ptr().add((start + done) * hop);
                    let to = scratch.as_mut_ptr().add(done * columns);
                    done += match windows - done {
                        left if left >= MANY => {
                            Self::tile::<S, MANY>(geometry, packed, x, weights, to)
                        }
                        left if left >= FEW => {
                            Self::tile::<S, FEW>(geometry, packed, x, weights, to)
                        }
                        _ => Self::tile::<S, 1>(geometry, packed, x, weights, to),
                    };
                }
            }
            let first = panel * columns;
            let count = columns.min(geometry.filters - first);
            let bias = &self.bias[first..first + count];
            let pools = scratch[..windows * columns].chunks(geometry.pool * columns);
            for (number, values) in pools.enumerate() {
                let at = number * geometry.filters + first;
                let argmax = argmax.get_mut(at..at + count).unwrap_or_default();
                finish(geometry, values, columns, bias, &mut out[at..at + count], argmax);
            }
        }
    }
}

/// Bias, rectifier and pooling of one pool: writes outputs and, unless it is empty, `argmax` from `values`, which are
/// `[window, column]`.
#[inline(always)]
pub(super) fn finish(
    geometry: &Geometry,
    values: &[f32],
    columns: usize,
    bias: &[f32],
    out: &mut [MaybeUninit<f32>],
    argmax: &mut [MaybeUninit<u32>],
) {
    match (geometry.rectify, argmax.is_empty()) {
        (false, _) => {
            for ((out, value), bias) in out.iter_mut().zip(values).zip(bias) {
                out.write(value + bias);
            }
        }
        (true, true) => maxima(values, columns, bias, out),
        (true, false) => maxima_with_argmax(values, columns, bias, out, argmax),
    }
}

/// `ROWS` rows times a panel, two registers wide; returns `ROWS`. Rows are `row` values apart, the values of a row `step`.
///
/// # Safety
/// The processor supports the instructions of `S`. `x` is valid for the rows, whose length is the panel's number of pairs
/// of registers, and `to` for `ROWS` rows of two registers.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, const ROWS: usize>(
    x: *const f32,
    row: usize,
    step: usize,
    panel: &[f32],
    to: *mut f32,
) -> usize {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[S::zero(); 2]; ROWS];
        let depth = panel.len() / (2 * S::LANES);
        let mut panel = panel.as_ptr();
        for i in 0..depth {
            let (w0, w1) = (S::load(panel), S::load(panel.add(S::LANES)));
            panel = panel.add(2 * S::LANES);
            let x = x.add(i * step);
            for number in 0..ROWS {
                let x = S::splat(*x.add(number * row));
                let [a, b] = sums[number];
                sums[number] = [S::multiply_add(x, w0, a), S::multiply_add(x, w1, b)];
            }
        }
        for (row, [a, b]) in sums.into_iter().enumerate() {
            S::store(to.add(row * 2 * S::LANES), a);
            S::store(to.add((row * 2 + 1) * S::LANES), b);
        }
        ROWS
    }
}

/// Whether `value` is greater or NaN.
#[inline(always)]
fn exceeds(value: f32, best: f32) -> bool {
    value > best || value.is_nan()
}

/// The rectified maxima of a pool's rows, plus the bias.
#[inline(always)]
fn maxima(values: &[f32], columns: usize, bias: &[f32], out: &mut [MaybeUninit<f32>]) {
    let first = &values[..out.len()];
    let out = out.write_copy_of_slice(first);
    for row in values.chunks_exact(columns).skip(1) {
        for (best, &value) in out.iter_mut().zip(row) {
            *best = if exceeds(value, *best) { value } else { *best };
        }
    }
    for (out, bias) in out.iter_mut().zip(bias) {
        let value = *out + bias;
        *out = if exceeds(value, 0.0) { value } else { 0.0 };
    }
}

/// [`maxima`] and its row.
#[inline(always)]
fn maxima_with_argmax(
    values: &[f32],
    columns: usize,
    bias: &[f32],
    out: &mut [MaybeUninit<f32>],
    argmax: &mut [MaybeUninit<u32>],
) {
    let first = &values[..out.len()];
    let out = out.write_copy_of_slice(first);
    for index in argmax.iter_mut() {
        index.write(0);
    }
    // SAFETY: written above.
    let argmax = unsafe { argmax.assume_init_mut() };
    for (number, row) in (0..).zip(values.chunks_exact(columns)).skip(1) {
        for ((best, index), &value) in out.iter_mut().zip(argmax.iter_mut()).zip(row) {
            let above = exceeds(value, *best);
            *best = if above { value } else { *best };
            *index = if above { number } else { *index };
        }
    }
    for ((out, index), bias) in out.iter_mut().zip(argmax).zip(bias) {
        let value = *out + bias;
        let above = exceeds(value, 0.0);
        *out = if above { value } else { 0.0 };
        *index = if above { *index } else { CUT_OFF };
    }
}
