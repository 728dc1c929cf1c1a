//! The forward pass: windows times weights, then bias, rectifier and pooling while the tile is in the
//! cache.
//!
//! A tile of some windows and two registers of filters stays in registers while the sum over a window
//! runs; weights are [packed](super::packed) so that it reads them in order. Within a tile each value is summed in the
//! order of frames and, in a frame, of channels.

#![allow(clippy::needless_range_loop, reason = "registers of constant numbers, by number")]

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::packed::Packed;
use super::{Geometry, bfloat16};
use crate::simd::{Kernel, Simd};

/// Marks a pool whose largest value the rectifier cut off: no gradient passes.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Values and, if `places` is to be filled, which window of each pool was the largest.
///
/// # Shapes
/// - `x`: `[batch, frame, channel]`, rounded as the geometry asks
/// - `bias`: `[filter]`
/// - `out` and `places`: `[batch, pool, filter]`; every number of `out` is written, and of `places` if there is a rectifier
pub(super) fn forward(
    geometry: &Geometry,
    x: &[f32],
    packed: &Packed,
    bias: &[f32],
    out: &mut [MaybeUninit<f32>],
    places: Option<&mut [MaybeUninit<u32>]>,
) {
    let size = geometry.output_item();
    assert_eq!(x.len(), geometry.batch * geometry.item());
    assert_eq!(bias.len(), geometry.filters);
    assert_eq!(out.len(), geometry.batch * size);
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
    // An empty list of places where none are asked for.
    let mut nothing = Vec::new();
    let places = match places {
        Some(places) => {
            assert_eq!(places.len(), out.len());
            places
        }
        None => nothing.as_mut_slice(),
    };
    let (place_size, place_part) = if places.is_empty() { (0, 0) } else { (size, part) };
    let mut tasks = Vec::new();
    let mut places = places;
    for (item, out) in out.chunks_exact_mut(size).enumerate() {
        let (mut own, rest) = places.split_at_mut(place_size);
        places = rest;
        for (number, out) in out.chunks_mut(part).enumerate() {
            let (first, rest) = own.split_at_mut(place_part.min(own.len()));
            own = rest;
            tasks.push((item, number * block, out, first));
        }
    }
    tasks.into_par_iter().for_each_init(
        || vec![0.0; block * geometry.pool * packed.columns],
        |scratch, (item, first, out, places)| {
            let x = &x[item * geometry.item()..][..geometry.item()];
            packed.width.run(Task { geometry, x, packed, bias, first, scratch, out, places });
        },
    );
}

/// Some pools of one item.
struct Task<'a> {
    geometry: &'a Geometry,
    /// `[frame, channel]`; paired with their successors if the weights are in pairs
    x: &'a [f32],
    packed: &'a Packed,
    bias: &'a [f32],
    /// The first pool.
    first: usize,
    /// Windows of the pools, `[window, filter of a panel]`.
    scratch: &'a mut [f32],
    /// `[pool, filter]`, as `places` if these are asked for.
    out: &'a mut [MaybeUninit<f32>],
    places: &'a mut [MaybeUninit<u32>],
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
        // SAFETY: the caller's; weights are in pairs only where the processor has instructions for them.
        unsafe {
            match packed.in_pairs {
                false => tile::<S, ROWS>(x, hop, 1, panel, to),
                #[cfg(target_arch = "x86_64")]
                true => {
                    bfloat16::tile::<ROWS>(x, hop, 1, depth, panel.as_ptr(), packed.columns, to)
                }
                #[cfg(not(target_arch = "x86_64"))]
                true => unreachable!("no other processor has them here"),
            }
        }
    }

    /// Tiles of `MANY` windows while there are as many, then of `FEW`, then of one.
    ///
    /// # Safety
    /// The processor has the instructions of `S`.
    #[inline(always)]
    unsafe fn tiles<S: Simd, const MANY: usize, const FEW: usize>(self) {
        let Self { geometry, packed, scratch, out, places, .. } = self;
        let (depth, hop, columns) = (geometry.depth(), geometry.hop(), packed.columns);
        let pools = out.len() / geometry.filters;
        let start = self.first * geometry.pool;
        let windows = (pools * geometry.pool).min(geometry.windows - start);
        assert!(windows > 0 && (start + windows - 1) * hop + depth <= self.x.len());
        assert!(columns == 2 * S::LANES && windows * columns <= scratch.len());
        // Every pool has a window, and every filter a place in a panel: nothing of `out` is left as it was.
        assert!(windows.div_ceil(geometry.pool) == pools && out.len() == pools * geometry.filters);
        assert!(
            packed.panels.len() >= geometry.filters.div_ceil(columns) * packed.panel_size(geometry)
        );
        let panels = packed.panels.chunks_exact(packed.panel_size(geometry));
        for (panel, weights) in panels.enumerate() {
            let mut done = 0;
            while done < windows {
                // SAFETY: windows up to the last lie in `x`, tiles in `scratch`: asserted above.
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
            for (number, values) in
                scratch[..windows * columns].chunks(geometry.pool * columns).enumerate()
            {
                let at = number * geometry.filters + first;
                let out = &mut out[at..at + count];
                match (geometry.rectify, places.is_empty()) {
                    (false, _) => {
                        for ((out, value), bias) in out.iter_mut().zip(values).zip(bias) {
                            out.write(value + bias);
                        }
                    }
                    (true, true) => largest(values, columns, bias, out),
                    (true, false) => {
                        largest_with_place(values, columns, bias, out, &mut places[at..at + count]);
                    }
                }
            }
        }
    }
}

/// `ROWS` rows times a panel, two registers wide; returns `ROWS`. The rows begin `row` apart, and their
/// numbers lie `step` apart.
///
/// # Safety
/// The processor has the instructions of `S`; `x` is good for the rows, which have as many numbers as
/// the panel has pairs of registers, and `to` for `ROWS` rows of two registers.
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

/// The larger, or what is no number.
#[inline(always)]
fn is_above(value: f32, best: f32) -> bool {
    value > best || value.is_nan()
}

/// Rectified maxima of a pool's rows.
#[inline(always)]
fn largest(values: &[f32], columns: usize, bias: &[f32], out: &mut [MaybeUninit<f32>]) {
    let first = &values[..out.len()];
    let out = out.write_copy_of_slice(first);
    for row in values.chunks_exact(columns).skip(1) {
        for (best, &value) in out.iter_mut().zip(row) {
            *best = if is_above(value, *best) { value } else { *best };
        }
    }
    for (out, bias) in out.iter_mut().zip(bias) {
        let value = *out + bias;
        *out = if is_above(value, 0.0) { value } else { 0.0 };
    }
}

/// The same, and which row it was.
#[inline(always)]
fn largest_with_place(
    values: &[f32],
    columns: usize,
    bias: &[f32],
    out: &mut [MaybeUninit<f32>],
    places: &mut [MaybeUninit<u32>],
) {
    let first = &values[..out.len()];
    let out = out.write_copy_of_slice(first);
    for place in places.iter_mut() {
        place.write(0);
    }
    // SAFETY: written just now.
    let places = unsafe { places.assume_init_mut() };
    for (number, row) in (0..).zip(values.chunks_exact(columns)).skip(1) {
        for ((best, place), &value) in out.iter_mut().zip(places.iter_mut()).zip(row) {
            let above = is_above(value, *best);
            *best = if above { value } else { *best };
            *place = if above { number } else { *place };
        }
    }
    for ((out, place), bias) in out.iter_mut().zip(places).zip(bias) {
        let value = *out + bias;
        let above = is_above(value, 0.0);
        *out = if above { value } else { 0.0 };
        *place = if above { *place } else { NOWHERE };
    }
}
