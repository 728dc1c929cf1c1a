//! Kernels on indexed rows of a matrix: copies, sums and products.
//!
//! Hardware does not predict which row follows, so kernels prefetch rows, or leave that to the caller.
//!
//! # Safety
//! For every kernel, the processor supports `S`, and indices and sizes were checked.

#![allow(clippy::needless_range_loop, reason = "registers are indexed by constants")]

use super::ALIGNMENT;
use crate::simd::{self, Simd};

/// Distance in rows from the row that is prefetched to the one that is copied.
const AHEAD: usize = 8;

#[inline(always)]
pub(super) unsafe fn gather<S: Simd, const R: usize>(
    rows: &[f32],
    ld_rows: usize,
    columns: usize,
    indices: &[u32],
    scales: &[f32],
    out: &mut [f32],
    ld: usize,
) {
    let registers = columns.div_ceil(S::LANES);
    for k in 0..indices.len() {
        // SAFETY: indices and sizes were checked.
        unsafe {
            if let Some(&next) = indices.get(k + AHEAD) {
                let line = rows.as_ptr().wrapping_add(next as usize * ld_rows);
                for column in (0..columns).step_by(ALIGNMENT) {
                    simd::prefetch(line.wrapping_add(column));
                }
            }
            let from = rows.as_ptr().add(indices[k] as usize * ld_rows);
            let to = out.as_mut_ptr().add(k * ld);
            let scale = S::splat(scales[k]);
            for register in 0..registers {
                let at = register * S::LANES;
                S::store(to.add(at), S::mul(scale, S::load(from.add(at))));
            }
        }
    }
}

#[inline(always)]
pub(super) unsafe fn gather_transposed<S: Simd, const R: usize>(
    rows: &[f32],
    ld_rows: usize,
    columns: usize,
    indices: &[u32],
    scales: &[f32],
    out: &mut [f32],
    ld: usize,
) {
    let registers = columns.div_ceil(S::LANES);
    for begin in (0..indices.len() + 1).step_by(S::LANES) {
        let end = indices.len().min(begin + S::LANES);
        for register in 0..registers {
            // SAFETY: indices and sizes were checked.
            unsafe {
                let mut square = [S::zero(); 16];
                for k in begin..end {
                    let from = indices[k] as usize * ld_rows + register * S::LANES;
                    let x = S::load(rows.as_ptr().add(from));
                    square[k - begin] = S::mul(S::splat(scales[k]), x);
                }
                S::transpose(&mut square);
                for (j, x) in square[..S::LANES].iter().enumerate() {
                    let to = (register * S::LANES + j) * ld + begin;
                    S::store(out.as_mut_ptr().add(to), *x);
                }
            }
        }
    }
}

#[inline(always)]
pub(super) unsafe fn combine<S: Simd, const R: usize>(
    rows: &[f32],
    ld_rows: usize,
    columns: usize,
    indices: &[u32],
    weights: &[f32],
    out: &mut [f32],
) {
    #[inline(always)]
    unsafe fn some<S: Simd, const NV: usize>(
        rows: *const f32,
        ld_rows: usize,
        indices: &[u32],
        weights: &[f32],
        out: *mut f32,
    ) {
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [S::zero(); NV];
            for v in 0..NV {
                sums[v] = S::load(out.add(v * S::LANES));
            }
            for (&index, &weight) in indices.iter().zip(weights) {
                let row = rows.add(index as usize * ld_rows);
                let weight = S::splat(weight);
                for v in 0..NV {
                    sums[v] = S::multiply_add(weight, S::load(row.add(v * S::LANES)), sums[v]);
                }
            }
            for v in 0..NV {
                S::store(out.add(v * S::LANES), sums[v]);
            }
        }
    }
    let registers = columns.div_ceil(S::LANES);
    let mut begin = 0;
    while begin < registers {
        let left = registers - begin;
        // SAFETY: indices and sizes were checked.
        begin += unsafe {
            let from = rows.as_ptr().add(begin * S::LANES);
            let to = out.as_mut_ptr().add(begin * S::LANES);
            match left {
                8.. => {
                    some::<S, 8>(from, ld_rows, indices, weights, to);
                    8
                }
                4.. => {
                    some::<S, 4>(from, ld_rows, indices, weights, to);
                    4
                }
                _ => {
                    some::<S, 1>(from, ld_rows, indices, weights, to);
                    1
                }
            }
        };
    }
}

/// [`normal_product`] of `N` rows.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "as above")]
unsafe fn normal_product_of<S: Simd, const N: usize>(
    rows: [*const f32; N],
    ahead: [*const f32; N],
    registers: usize,
    scales: &[f32],
    targets: Option<&[f32]>,
    x: *const f32,
    dots: &mut [f32],
    product: *mut f32,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [S::zero(); N];
        for at in (0..registers).map(|register| register * S::LANES) {
            let x = S::load(x.add(at));
            // Spread over the loop: memory serves only a few requests at once.
            if at.is_multiple_of(ALIGNMENT) {
                for n in 0..N {
                    simd::prefetch(ahead[n].wrapping_add(at));
                }
            }
            for n in 0..N {
                sums[n] = S::multiply_add(x, S::load(rows[n].add(at)), sums[n]);
            }
        }
        let mut weights = [S::zero(); N];
        for n in 0..N {
            dots[n] = scales[n] * S::sum(sums[n]);
            let weight = targets.map_or(dots[n], |targets| targets[n] - dots[n]);
            weights[n] = S::splat(scales[n] * weight);
        }
        for at in (0..registers).map(|register| register * S::LANES) {
            let mut sum = S::load(product.add(at));
            for n in 0..N {
                sum = S::multiply_add(weights[n], S::load(rows[n].add(at)), sum);
            }
            S::store(product.add(at), sum);
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "as above")]
pub(super) unsafe fn normal_product<S: Simd, const R: usize>(
    rows: &[f32],
    ld_rows: usize,
    columns: usize,
    indices: &[u32],
    ahead: &[u32],
    scales: &[f32],
    targets: Option<&[f32]>,
    x: &[f32],
    dots: &mut [f32],
    product: &mut [f32],
) {
    let registers = columns.div_ceil(S::LANES);
    let (x, product) = (x.as_ptr(), product.as_mut_ptr());
    let row = |index: u32| rows.as_ptr().wrapping_add(index as usize * ld_rows);
    let mut k = 0;
    while k < indices.len() {
        let left = indices.len() - k;
        let n = if left >= 8 { 8 } else { 1 << left.ilog2() };
        let (scales, dots) = (&scales[k..k + n], &mut dots[k..k + n]);
        let targets = targets.map(|targets| &targets[k..k + n]);
        macro_rules! some {
            ($n:literal) => {{
                let mut rows = [x; $n];
                let mut next = [x; $n];
                for n in 0..$n {
                    rows[n] = row(indices[k + n]);
                    next[n] = ahead.get(k + n).map_or(rows[n], |&index| row(index));
                }
                // SAFETY: indices and sizes were checked.
                unsafe {
                    normal_product_of::<S, $n>(
                        rows, next, registers, scales, targets, x, dots, product,
                    );
                }
            }};
        }
        match n {
            8 => some!(8),
            4 => some!(4),
            2 => some!(2),
            _ => some!(1),
        }
        k += n;
    }
}
