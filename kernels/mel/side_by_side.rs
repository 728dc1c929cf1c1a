//! The mel spectrogram of as many frames at once as a register has lanes.
//!
//! Frames are turned into lanes once, on the way in, and bands into rows once, on the way out. Between them
//! every step (window, transform, power, filters, logarithm) is the same operation in every lane.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::fft::{self, Tables};
use super::{Exponent, MelPlan, ROOT_FLOOR};
use crate::simd::{Kernel, Simd, Width};

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// Groups of frames that one task transforms.
const GROUPS: usize = 4;

/// A waveform as it lies in memory.
#[derive(Clone, Copy)]
pub(super) struct Row<'a, T> {
    pub samples: &'a [T],
    /// The value of a step, where samples are stored in steps.
    pub scale: f32,
}

/// A frame a lane, as many as there are lanes.
type Frames<'a, T> = [Row<'a, T>; 16];

/// Bands `[row, frame, band]` of rows of `samples` samples.
///
/// # Panics
/// If a row has another length.
pub(super) fn forward<T: Sample>(
    plan: &MelPlan,
    tables: &Tables,
    rows: &[Row<'_, T>],
    samples: usize,
    width: Width,
) -> Vec<f32> {
    let (n_frames, n_bands) = (plan.n_frames(samples), plan.n_bands());
    assert!(rows.iter().all(|row| row.samples.len() == samples));
    let count = rows.len() * n_frames;
    // Not cleared: every band of every frame is written below.
    let mut out = Vec::with_capacity(count * n_bands);
    let lanes = width.lanes();
    let frames_from = |first: usize| -> Frames<'_, T> {
        std::array::from_fn(|lane| {
            // The last frame once more where there are fewer than lanes.
            let frame = (first + lane.min(lanes - 1)).min(count - 1);
            let Row { samples, scale } = rows[frame / n_frames];
            let start = frame % n_frames * plan.hop_length;
            Row { samples: &samples[start..start + plan.n_fft], scale }
        })
    };
    out.spare_capacity_mut()[..count * n_bands]
        .par_chunks_mut(GROUPS * lanes * n_bands)
        .enumerate()
        .for_each_init(
            || Scratch::new(plan, tables, lanes),
            |scratch, (task, out)| {
                for (group, out) in out.chunks_mut(lanes * n_bands).enumerate() {
                    let first = (task * GROUPS + group) * lanes;
                    let (frames, next) = (&frames_from(first), &frames_from(first + lanes));
                    width.run(Group { scratch, plan, tables, frames, next, out });
                }
            },
        );
    // SAFETY: reserved, and written: tasks cover all frames, blocks of lanes all bands.
    unsafe { out.set_len(count * n_bands) };
    out
}

/// A sample as it lies in memory.
pub(super) trait Sample: Copy + Sync {
    /// Its value, with steps of `scale`.
    fn value(self, scale: f32) -> f32;

    /// The values of as many as a register has lanes.
    ///
    /// # Safety
    /// The processor has the instructions of `S`, and so many samples lie there.
    unsafe fn load<S: Simd>(from: *const Self, scale: f32) -> S::V;
}

impl Sample for f32 {
    #[inline(always)]
    fn value(self, _scale: f32) -> f32 {
        self
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const f32, _scale: f32) -> S::V {
        // SAFETY: the caller's.
        unsafe { S::load(from) }
    }
}

/// Stored in 16 bits, the lower byte first.
impl Sample for [u8; 2] {
    #[inline(always)]
    fn value(self, scale: f32) -> f32 {
        f32::from(i16::from_le_bytes(self)) * scale
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const [u8; 2], scale: f32) -> S::V {
        if cfg!(target_endian = "little") {
            // SAFETY: the caller's; any address will do.
            return unsafe { S::mul(S::load_i16(from.cast()), S::splat(scale)) };
        }
        let mut values = [0.0_f32; 16];
        for (at, value) in values.iter_mut().enumerate().take(S::LANES) {
            // SAFETY: the caller's.
            *value = unsafe { from.add(at).read() }.value(scale);
        }
        // SAFETY: the caller's; no register has more lanes.
        unsafe { S::load(values.as_ptr()) }
    }
}

/// As many frames as a register has lanes.
struct Group<'a, T> {
    scratch: &'a mut Scratch,
    plan: &'a MelPlan,
    tables: &'a Tables,
    frames: &'a Frames<'a, T>,
    /// Those of the next group, of which nothing is read yet.
    next: &'a Frames<'a, T>,
    /// `[frame, band]`
    out: &'a mut [MaybeUninit<f32>],
}

impl<T: Sample> Kernel for Group<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the caller's.
        unsafe {
            self.scratch.lanes::<S, T>(self.plan, self.tables, self.frames, self.next, self.out)
        };
    }
}

/// Buffers of one thread, each `[.., lane]`.
struct Scratch {
    signal: Vec<f32>,
    other: Vec<f32>,
    bins: Vec<f32>,
    /// Bands rounded up to whole squares.
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
    /// The processor has the instructions of `S`.
    #[inline(always)]
    unsafe fn lanes<S: Simd, T: Sample>(
        &mut self,
        plan: &MelPlan,
        tables: &Tables,
        frames: &Frames<'_, T>,
        next: &Frames<'_, T>,
        out: &mut [MaybeUninit<f32>],
    ) {
        // SAFETY: the caller's.
        unsafe { self.turn_in::<S, T>(plan, frames, next) };
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
            // SAFETY: the caller's; chunks of `LANES` values are read and written.
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
        unsafe { self.turn_out::<S>(plan.n_bands(), out) };
    }

    /// The windowed frames, a lane each: even samples real, odd ones imaginary.
    ///
    /// # Safety
    /// The processor has the instructions of `S`.
    #[inline(always)]
    unsafe fn turn_in<S: Simd, T: Sample>(
        &mut self,
        plan: &MelPlan,
        frames: &Frames<'_, T>,
        next: &Frames<'_, T>,
    ) {
        let n = plan.n_fft;
        assert!(self.signal.len() == n * S::LANES);
        assert!(frames.iter().all(|frame| frame.samples.len() == n));
        for block in (0..n).step_by(S::LANES) {
            let count = S::LANES.min(n - block);
            if count < S::LANES {
                // Frames shorter than a register has lanes.
                for (lane, frame) in frames[..S::LANES].iter().enumerate() {
                    for at in block..n {
                        let value = frame.samples[at].value(frame.scale);
                        self.signal[at * S::LANES + lane] = value * plan.window[at];
                    }
                }
                return;
            }
            // SAFETY: a block lies inside a frame; a prefetch may name any address.
            unsafe {
                if (block * size_of::<T>()).is_multiple_of(LINE) {
                    // Where the next frames overlap, the earlier one has asked already.
                    let whole = if block < plan.hop_length { 0 } else { S::LANES - 1 };
                    for frame in &next[whole..S::LANES] {
                        S::prefetch(frame.samples.as_ptr().wrapping_add(block).cast());
                    }
                }
                let mut square = [S::zero(); 16];
                for (row, frame) in square.iter_mut().zip(&frames[..S::LANES]) {
                    *row = T::load::<S>(frame.samples.as_ptr().add(block), frame.scale);
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

    /// Bands of the frames, a row each: `out` is `[frame, band]`, with no more frames than lanes.
    ///
    /// # Safety
    /// The processor has the instructions of `S`.
    #[inline(always)]
    unsafe fn turn_out<S: Simd>(&self, n_bands: usize, out: &mut [MaybeUninit<f32>]) {
        for (block, bands) in self.bands.chunks_exact(S::LANES * S::LANES).enumerate() {
            let first = block * S::LANES;
            let mut values = [0.0_f32; 16];
            // SAFETY: a block is `LANES` registers, of at most 16 values.
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

/// `ln(1 + x)` for `x >= 0`, without branches or calls, so that it is done in all lanes at once; what is no finite
/// number gives NaN.
///
/// With `1 + x` rounded to `u = 2^e m`, `2/3 <= m < 4/3`: `e ln 2 + 2 artanh((m - 1) / (m + 1))`, its series as far as
/// `f32` sees it, and what rounding took, to first order.
#[inline(always)]
fn ln_1p(x: f32) -> f32 {
    /// ln 2 in two parts, of which the first has few enough digits that its multiples are exact.
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
    fn logarithms_are_those_of_double_precision() {
        // Every magnitude from the smallest numbers on, and 0.
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

    fn rows_of<T>(values: &[T], samples: usize, scales: [f32; 2]) -> Vec<Row<'_, T>> {
        let rows = values.chunks_exact(samples).zip(scales);
        rows.map(|(samples, scale)| Row { samples, scale }).collect()
    }

    #[test]
    fn every_width_gives_what_one_by_one_gives() {
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
                let expected = super::super::flex::one_by_one(&plan, &wave, samples);
                let scale = expected.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
                for width in Width::all() {
                    let tables = plan.lanes.as_ref().unwrap();
                    let out =
                        forward(&plan, tables, &rows_of(&wave, samples, [1.0; 2]), samples, width);
                    assert_eq!(out.len(), expected.len());
                    for (a, b) in out.iter().zip(&expected) {
                        assert!((a - b).abs() < 3e-6 * scale, "{n_fft} {width:?}: {a}, {b}");
                    }
                    // Stored samples are the same numbers, to the bit.
                    let stored: Vec<[u8; 2]> = (0..2 * samples)
                        .map(|i| ((i * 40_503 % 65_536) as u16).to_le_bytes())
                        .collect();
                    let scales = [1.0 / 32_768.0, 0.7 / 32_767.0];
                    let stored = rows_of(&stored, samples, scales);
                    let numbers: Vec<f32> = stored
                        .iter()
                        .flat_map(|row| row.samples.iter().map(|x| x.value(row.scale)))
                        .collect();
                    let expected = forward(
                        &plan,
                        tables,
                        &rows_of(&numbers, samples, [1.0; 2]),
                        samples,
                        width,
                    );
                    assert_eq!(forward(&plan, tables, &stored, samples, width), expected);
                    assert!(expected.iter().any(|x| *x != 0.0));
                }
            }
        }
    }
}
