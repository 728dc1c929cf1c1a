//! Fourier transforms of several real signals at once, one per lane.
//!
//! Lanes are independent, so no shuffles are needed for any width of registers. A signal of `n` real values is treated as
//! `n / 2` complex values (even samples real, odd samples imaginary), which are transformed by Stockham's algorithm with
//! radix 4; the spectrum of the real signal follows from the result.
//!
//! # References
//! Stockham's autosort: Van Loan, "Computational Frameworks for the Fast Fourier Transform", 1992, section 1.7.

use std::f64::consts::TAU;

use crate::simd::Simd;

/// Powers of `exp(-2 pi i / n)` for transforms of one length.
pub(super) struct Tables {
    /// Complex values per transform: half the length.
    pub half: usize,
    /// For every radix-4 pass, `[w, w^2, w^3]` of each butterfly, as real and imaginary parts.
    passes: Vec<Vec<[f32; 6]>>,
    /// `exp(-2 pi i k / n)` for `k` up to a quarter of the length.
    quarter: Vec<[f32; 2]>,
}

fn root(k: usize, n: usize) -> [f32; 2] {
    let angle = -TAU * k as f64 / n as f64;
    [angle.cos() as f32, angle.sin() as f32]
}

impl Tables {
    /// `None` unless `n` is a power of two and at least 8.
    pub fn new(n: usize) -> Option<Self> {
        if !n.is_power_of_two() || n < 8 {
            return None;
        }
        let half = n / 2;
        let mut passes = Vec::new();
        let mut length = half;
        while length >= 4 {
            let butterflies = (0..length / 4).map(|p| {
                let [a, b, c] = [1, 2, 3].map(|power| root(power * p, length));
                [a[0], a[1], b[0], b[1], c[0], c[1]]
            });
            passes.push(butterflies.collect());
            length /= 4;
        }
        let quarter = (0..=half / 2).map(|k| root(k, n)).collect();
        Some(Self { half, passes, quarter })
    }
}

/// One complex number per lane.
type Complex<S> = (<S as Simd>::V, <S as Simd>::V);

/// # Safety
/// The processor supports the instructions of `S`; `from` is valid for a pair of registers at `at`.
#[inline(always)]
unsafe fn load<S: Simd>(from: *const f32, at: usize) -> Complex<S> {
    // SAFETY: the caller's.
    unsafe {
        let from = from.add(2 * at * S::LANES);
        (S::load(from), S::load(from.add(S::LANES)))
    }
}

/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn store<S: Simd>(to: *mut f32, at: usize, (re, im): Complex<S>) {
    // SAFETY: the caller's.
    unsafe {
        let to = to.add(2 * at * S::LANES);
        S::store(to, re);
        S::store(to.add(S::LANES), im);
    }
}

/// # Safety
/// The processor supports the instructions of `S`.
#[inline(always)]
unsafe fn times<S: Simd>((re, im): Complex<S>, w: [f32; 2]) -> Complex<S> {
    // SAFETY: the caller's.
    unsafe {
        let (c, s) = (S::splat(w[0]), S::splat(w[1]));
        (S::multiply_sub(im, s, S::mul(re, c)), S::multiply_add(im, c, S::mul(re, s)))
    }
}

/// Transforms `signal`, with `other` as a buffer; returns the one that holds the result.
///
/// Both are `[value, real or imaginary, lane]`.
///
/// # Safety
/// The processor supports the instructions of `S`.
#[inline(always)]
pub(super) unsafe fn transform<'a, S: Simd>(
    tables: &Tables,
    signal: &'a mut [f32],
    other: &'a mut [f32],
) -> &'a [f32] {
    assert!(signal.len() == 2 * tables.half * S::LANES && other.len() == signal.len());
    let (mut from, mut to) = (signal, other);
    let (mut length, mut stride) = (tables.half, 1);
    for pass in &tables.passes {
        let quarter = length / 4;
        let (x, y) = (from.as_ptr(), to.as_mut_ptr());
        for (p, w) in pass.iter().enumerate() {
            for q in 0..stride {
                // SAFETY: indices stay below `length * stride`, which is `half` in every pass.
                unsafe {
                    let at = |part: usize| q + stride * (p + part * quarter);
                    let (a, b) = (load::<S>(x, at(0)), load::<S>(x, at(1)));
                    let (c, d) = (load::<S>(x, at(2)), load::<S>(x, at(3)));
                    let sum = (S::add(a.0, c.0), S::add(a.1, c.1));
                    let difference = (S::sub(a.0, c.0), S::sub(a.1, c.1));
                    let others = (S::add(b.0, d.0), S::add(b.1, d.1));
                    // i (b - d)
                    let turned = (S::sub(d.1, b.1), S::sub(b.0, d.0));
                    let out = |part: usize| q + stride * (4 * p + part);
                    let y0 = (S::add(sum.0, others.0), S::add(sum.1, others.1));
                    let y1 = (S::sub(difference.0, turned.0), S::sub(difference.1, turned.1));
                    let y2 = (S::sub(sum.0, others.0), S::sub(sum.1, others.1));
                    let y3 = (S::add(difference.0, turned.0), S::add(difference.1, turned.1));
                    store::<S>(y, out(0), y0);
                    store::<S>(y, out(1), times::<S>(y1, [w[0], w[1]]));
                    store::<S>(y, out(2), times::<S>(y2, [w[2], w[3]]));
                    store::<S>(y, out(3), times::<S>(y3, [w[4], w[5]]));
                }
            }
        }
        std::mem::swap(&mut from, &mut to);
        length = quarter;
        stride *= 4;
    }
    if length == 2 {
        let (x, y) = (from.as_ptr(), to.as_mut_ptr());
        for q in 0..stride {
            // SAFETY: `2 stride` is `half`.
            unsafe {
                let (a, b) = (load::<S>(x, q), load::<S>(x, q + stride));
                store::<S>(y, q, (S::add(a.0, b.0), S::add(a.1, b.1)));
                store::<S>(y, q + stride, (S::sub(a.0, b.0), S::sub(a.1, b.1)));
            }
        }
        std::mem::swap(&mut from, &mut to);
    }
    from
}

/// `|X[k]|^2` of the real signals from what [`transform`] gave: `[bin, lane]`, `half + 1` bins.
///
/// # Safety
/// The processor supports the instructions of `S`.
#[inline(always)]
pub(super) unsafe fn power<S: Simd>(tables: &Tables, transformed: &[f32], power: &mut [f32]) {
    let half = tables.half;
    assert!(transformed.len() == 2 * half * S::LANES && power.len() == (half + 1) * S::LANES);
    let (z, out) = (transformed.as_ptr(), power.as_mut_ptr());
    // SAFETY: bins are at most `half`, values below it.
    unsafe {
        let square = |(re, im): Complex<S>| S::multiply_add(re, re, S::mul(im, im));
        let (re, im) = load::<S>(z, 0);
        let (first, last) = (S::add(re, im), S::sub(re, im));
        S::store(out, S::mul(first, first));
        S::store(out.add(half * S::LANES), S::mul(last, last));
        let one_half = S::splat(0.5);
        for k in 1..=half / 2 {
            // With E and O the transforms of even and odd samples: X[k] = E + w O, and the mirror
            // image of E - w O is X[half - k].
            let (a, b) = (load::<S>(z, k), load::<S>(z, half - k));
            let even = (S::mul(one_half, S::add(a.0, b.0)), S::mul(one_half, S::sub(a.1, b.1)));
            let odd = (S::mul(one_half, S::add(a.1, b.1)), S::mul(one_half, S::sub(b.0, a.0)));
            let odd = times::<S>(odd, tables.quarter[k]);
            let here = (S::add(even.0, odd.0), S::add(even.1, odd.1));
            let there = (S::sub(even.0, odd.0), S::sub(even.1, odd.1));
            S::store(out.add(k * S::LANES), square(here));
            S::store(out.add((half - k) * S::LANES), square(there));
        }
    }
}
