//! The mel spectrogram of as many frames at once as a register has lanes.
//!
//! Frames are transposed into lanes on input, and bands into rows on output. In between, every step (window, transform,
//! power, filters, logarithm) is the same operation in every lane.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::fft::{self, Tables};
use super::{Exponent, MelPlan, ROOT_FLOOR};
use crate::simd::{Kernel, Simd, Width};

/// Groups of frames per task.
const GROUPS: usize = 4;

/// Bands `[row, frame, band]` of waveforms `[row, sample]` with `samples` samples per row.
pub(super) fn forward(
    plan: &MelPlan,
    tables: &Tables,
    waveforms: &[f32],
    samples: usize,
    width: Width,
) -> Vec<f32> {
    let (n_frames, n_bands) = (plan.n_frames(samples), plan.n_bands());
    let count = waveforms.len() / samples.max(1) * n_frames;
    // Uninitialised, because one thread would clear it while the others wait.
    let mut out = Vec::with_capacity(count * n_bands);
    let lanes = width.lanes();
    out.spare_capacity_mut()[..count * n_bands]
        .par_chunks_mut(GROUPS * lanes * n_bands)
        .enumerate()
        .for_each_init(
            || Scratch::new(plan, tables, lanes),
            |scratch, (task, out)| {
                for (group, out) in out.chunks_mut(lanes * n_bands).enumerate() {
                    let first = (task * GROUPS + group) * lanes;
                    let frames = std::array::from_fn(|lane| {
                        // Lanes beyond the last frame repeat it.
                        let frame = (first + lane).min(count - 1);
                        let start = frame / n_frames * samples + frame % n_frames * plan.hop_length;
                        &waveforms[start..start + plan.n_fft]
                    });
                    width.run(Group { scratch, plan, tables, frames, out });
                }
            },
        );
    // SAFETY: tasks write every frame, and `store_bands` every band of it.
    unsafe { out.set_len(count * n_bands) };
    out
}

/// One group of frames, one frame per lane.
struct Group<'a> {
    scratch: &'a mut Scratch,
    plan: &'a MelPlan,
    tables: &'a Tables,
    /// Registers have at most 16 lanes.
    frames: [&'a [f32]; 16],
    /// `[frame, band]`
    out: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Group<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the caller's.
        unsafe { self.scratch.lanes::<S>(self.plan, self.tables, &self.frames, self.out) };
    }
}

/// Buffers of one thread; the last dimension of each is the lane.
struct Scratch {
    signal: Vec<f32>,
    other: Vec<f32>,
    bins: Vec<f32>,
    /// Padded to a multiple of the number of lanes.
    bands: Vec<f32>,
}

impl Scratch {
    fn new(plan: &MelPlan, tables: &Tables, lanes: usize) -> Self {
        Self {
            signal: vec![0.0; 2 * tables.half * lanes],
            other: vec![0.0; 2 * tables.half * lanes],
            bins: vec![0.0; (tables.half + 1) * lanes],
            bands: vec![0.0; plan.n_bands().next_multiple_of(lanes) * lanes],
        }
    }

    /// # Safety
    /// The processor supports the instructions of `S`.
    #[inline(always)]
    unsafe fn lanes<S: Simd>(
        &mut self,
        plan: &MelPlan,
        tables: &Tables,
        frames: &[&[f32]; 16],
        out: &mut [MaybeUninit<f32>],
    ) {
        // SAFETY: the caller's.
        unsafe { self.load_frames::<S>(plan, frames) };
        // SAFETY: the caller's.
        let transformed = unsafe { fft::transform::<S>(tables, &mut self.signal, &mut self.other) };
        // SAFETY: the caller's.
        unsafe { fft::power::<S>(tables, transformed, &mut self.bins) };
        if plan.exponent == Exponent::Magnitude {
            for bin in &mut self.bins {
                *bin = (*bin + ROOT_FLOOR).sqrt();
            }
        }
        let bands = self.bands.chunks_exact_mut(S::LANES);
        for (to, band) in bands.zip(&plan.bands) {
            let bins = &self.bins[band.first_bin * S::LANES..][..band.weights.len() * S::LANES];
            // SAFETY: the caller's; chunks have `LANES` values.
            unsafe {
                let mut sum = S::zero();
                for (bin, weight) in bins.chunks_exact(S::LANES).zip(&band.weights) {
                    sum = S::multiply_add(S::load(bin.as_ptr()), S::splat(*weight), sum);
                }
                S::store(to.as_mut_ptr(), sum);
            }
        }
        if let Some(c) = plan.compression {
            for value in &mut self.bands {
                *value = ln_1p(c * *value);
            }
        }
        // SAFETY: the caller's.
        unsafe { self.store_bands::<S>(plan.n_bands(), out) };
    }

    /// Transposes and windows the frames; even samples are real parts, odd ones imaginary parts.
    ///
    /// # Safety
    /// The processor supports the instructions of `S`.
    #[inline(always)]
    unsafe fn load_frames<S: Simd>(&mut self, plan: &MelPlan, frames: &[&[f32]; 16]) {
        let n = plan.n_fft;
        assert!(self.signal.len() == n * S::LANES);
        assert!(frames.iter().all(|frame| frame.len() == n));
        for block in (0..n).step_by(S::LANES) {
            if n - block < S::LANES {
                // Frames shorter than a register.
                for (lane, frame) in frames[..S::LANES].iter().enumerate() {
                    for at in block..n {
                        self.signal[at * S::LANES + lane] = frame[at] * plan.window[at];
                    }
                }
                return;
            }
            // SAFETY: the block is within the frame.
            unsafe {
                let mut square = [S::zero(); 16];
                for (row, frame) in square.iter_mut().zip(&frames[..S::LANES]) {
                    *row = S::load(frame.as_ptr().add(block));
                }
                S::transpose(&mut square);
                let to = self.signal.as_mut_ptr().add(block * S::LANES);
                for (at, row) in square.iter().enumerate().take(S::LANES) {
                    let windowed = S::mul(*row, S::splat(plan.window[block + at]));
                    S::store(to.add(at * S::LANES), windowed);
                }
            }
        }
    }

    /// Transposes the bands: `out` is `[frame, band]`, with at most as many frames as lanes.
    ///
    /// # Safety
    /// The processor supports the instructions of `S`.
    #[inline(always)]
    unsafe fn store_bands<S: Simd>(&self, n_bands: usize, out: &mut [MaybeUninit<f32>]) {
        for (block, bands) in self.bands.chunks_exact(S::LANES * S::LANES).enumerate() {
            let first = block * S::LANES;
            let mut values = [0.0_f32; 16];
            // SAFETY: a block is `LANES` registers of at most 16 values.
            unsafe {
                let mut square = [S::zero(); 16];
                for (row, bands) in square.iter_mut().zip(bands.chunks_exact(S::LANES)) {
                    *row = S::load(bands.as_ptr());
                }
                S::transpose(&mut square);
                let count = S::LANES.min(n_bands - first);
                for (frame, row) in out.chunks_exact_mut(n_bands).zip(&square) {
                    let frame = &mut frame[first..first + count];
                    if count == S::LANES {
                        S::store(frame.as_mut_ptr().cast(), *row);
                    } else {
                        S::store(values.as_mut_ptr(), *row);
                        frame.write_copy_of_slice(&values[..count]);
                    }
                }
            }
        }
    }
}

/// `ln(1 + x)` for `x >= 0`, without branches or calls, so that the compiler vectorises it; NaN if `x` is not finite.
///
/// With `1 + x` rounded to `u = 2^e m`, `2/3 <= m < 4/3`, this is `e ln 2 + 2 artanh((m - 1) / (m + 1))`, as a series to
/// the precision of `f32`, plus a first-order correction of the rounding.
#[inline(always)]
fn ln_1p(x: f32) -> f32 {
    /// ln 2 in two parts; multiples of the first are exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let u = 1.0 + x;
    let lost = (x - (u - 1.0)) / u;
    let exponent = (u.to_bits() as i32).wrapping_sub(0x3f2a_aaab) >> 23;
    let m = f32::from_bits((u.to_bits() as i32).wrapping_sub(exponent << 23) as u32);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z * (1.0 / 9.0))));
    let e = exponent as f32;
    e * LN_2[0] + (2.0 * s + (2.0 * s * series + (e * LN_2[1] + lost)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_1p_equals_double_precision() {
        // All magnitudes from the smallest subnormal numbers on, and 0.
        let mut worst = 0.0_f64;
        let values = (0..200_000).map(|i| 2.0_f32.powf(i as f32 / 1000.0 - 140.0));
        for x in values.chain([0.0]) {
            let expected = f64::from(x).ln_1p();
            let error = (f64::from(ln_1p(x)) - expected).abs();
            // Half a unit in the last place of numbers in [1, 2) is 6e-8.
            let relative = if expected < 1e-37 { error } else { error / expected };
            assert!(relative < 2.4e-7, "{x}: {relative}");
            worst = worst.max(relative);
        }
        assert!(worst > 0.0);
        assert!(ln_1p(f32::NAN).is_nan() && ln_1p(f32::INFINITY).is_nan());
    }

    #[test]
    fn all_widths_equal_one_fft_per_frame() {
        for n_fft in [8, 16, 32, 64, 512, 2048] {
            let (hop, bands) = (n_fft / 4 + 1, 21);
            let bins = n_fft / 2 + 1;
            let filters: Vec<f32> =
                (0..bands * bins).map(|i| if i % 3 == 0 { 0.0 } else { (i % 7) as f32 }).collect();
            let window: Vec<f32> = (0..n_fft).map(|i| (i as f32 * 0.37).sin()).collect();
            for (exponent, compression) in
                [(Exponent::Power, None), (Exponent::Magnitude, Some(10.0))]
            {
                let plan =
                    MelPlan::new(window.clone(), hop, &filters, exponent, compression).unwrap();
                let samples = n_fft + 36 * hop + 3;
                let wave: Vec<f32> = (0..2 * samples).map(|i| (i as f32 * 1.7).sin()).collect();
                let expected = super::super::flex::per_frame(&plan, &wave, samples);
                let scale = expected.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
                for width in Width::all() {
                    let tables = plan.tables.as_ref().unwrap();
                    let out = forward(&plan, tables, &wave, samples, width);
                    assert_eq!(out.len(), expected.len());
                    for (a, b) in out.iter().zip(&expected) {
                        assert!((a - b).abs() < 3e-6 * scale, "{n_fft} {width:?}: {a}, {b}");
                    }
                }
            }
        }
    }
}
