//! The mel spectrogram of as many frames at once as a register has lanes.
//!
//! Frames are turned into lanes once, on the way in, and bands into rows once, on the way out. Between them
//! every step (window, transform, power, filters, logarithm) is the same operation in every lane.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::fft::{self, Tables};
use super::{Exponent, MelPlan, ROOT_FLOOR};
use crate::simd::{Kernel, Simd, Width};

/// Groups of frames that one task transforms.
const GROUPS: usize = 4;

/// Waveforms as they lie in memory.
#[derive(Clone, Copy)]
pub(super) enum Waveforms<'a> {
    /// `[row, sample]`.
    Numbers(&'a [f32]),
    /// `[row, sample]` in 16 bits, an even number of samples a row, and the value of a step of each row.
    Stored(&'a [i16], &'a [f32]),
}

/// Bands `[row, frame, band]` of waveforms that lie `stride` samples apart, `samples` of each of them.
pub(super) fn forward(
    plan: &MelPlan,
    tables: &Tables,
    waveforms: Waveforms<'_>,
    (samples, stride): (usize, usize),
    width: Width,
) -> Vec<f32> {
    let (n_frames, n_bands) = (plan.n_frames(samples), plan.n_bands());
    let length = match waveforms {
        Waveforms::Numbers(values) => values.len(),
        Waveforms::Stored(values, scales) => {
            assert!(scales.len() * stride == values.len());
            values.len()
        }
    };
    let rows = length / stride.max(1) * n_frames;
    // Not cleared: every band of every frame is written below.
    let mut out = Vec::with_capacity(rows * n_bands);
    let lanes = width.lanes();
    out.spare_capacity_mut()[..rows * n_bands]
        .par_chunks_mut(GROUPS * lanes * n_bands)
        .enumerate()
        .for_each_init(
            || Scratch::new(plan, tables, lanes),
            |scratch, (task, out)| {
                for (group, out) in out.chunks_mut(lanes * n_bands).enumerate() {
                    let first = (task * GROUPS + group) * lanes;
                    // The last frame once more where there are fewer than lanes.
                    let starts = (first..first + lanes).map(|row| {
                        let row = row.min(rows - 1);
                        let waveform = row / n_frames;
                        let scale = match waveforms {
                            Waveforms::Numbers(_) => 1.0,
                            Waveforms::Stored(_, scales) => scales[waveform],
                        };
                        (waveform * stride + row % n_frames * plan.hop_length, scale)
                    });
                    scratch.starts.clear();
                    scratch.scales.clear();
                    for (start, scale) in starts {
                        scratch.starts.push(start);
                        scratch.scales.push(scale);
                    }
                    width.run(Group { scratch, plan, tables, waveforms, out });
                }
            },
        );
    // SAFETY: reserved, and written: tasks cover all frames, blocks of lanes all bands.
    unsafe { out.set_len(rows * n_bands) };
    out
}

/// A sample as it lies in memory.
trait Sample: Copy {
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

impl Sample for i16 {
    #[inline(always)]
    fn value(self, scale: f32) -> f32 {
        f32::from(self) * scale
    }

    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const i16, scale: f32) -> S::V {
        // SAFETY: the caller's.
        unsafe { S::mul(S::load_i16(from), S::splat(scale)) }
    }
}

/// As many frames as a register has lanes.
struct Group<'a> {
    scratch: &'a mut Scratch,
    plan: &'a MelPlan,
    tables: &'a Tables,
    waveforms: Waveforms<'a>,
    /// `[frame, band]`
    out: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Group<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the caller's.
        unsafe { self.scratch.lanes::<S>(self.plan, self.tables, self.waveforms, self.out) };
    }
}

/// Buffers of one thread, each `[.., lane]`.
struct Scratch {
    /// Where the frames begin.
    starts: Vec<usize>,
    /// Values of a step of theirs.
    scales: Vec<f32>,
    signal: Vec<f32>,
    other: Vec<f32>,
    bins: Vec<f32>,
    /// Bands rounded up to whole squares.
    bands: Vec<f32>,
}

impl Scratch {
    fn new(plan: &MelPlan, tables: &Tables, lanes: usize) -> Self {
        Self {
            starts: Vec::new(),
            scales: Vec::new(),
            signal: vec![0.0; 2 * tables.half * lanes],
            other: vec![0.0; 2 * tables.half * lanes],
            bins: vec![0.0; (tables.half + 1) * lanes],
            bands: vec![0.0; plan.n_bands().next_multiple_of(lanes) * lanes],
        }
    }

    /// # Safety
    /// The processor has the instructions of `S`.
    #[inline(always)]
    unsafe fn lanes<S: Simd>(
        &mut self,
        plan: &MelPlan,
        tables: &Tables,
        waveforms: Waveforms<'_>,
        out: &mut [MaybeUninit<f32>],
    ) {
        // SAFETY: the caller's.
        unsafe {
            match waveforms {
                Waveforms::Numbers(values) => self.turn_in::<S, f32>(plan, values),
                Waveforms::Stored(values, _) => self.turn_in::<S, i16>(plan, values),
            }
        }
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
    unsafe fn turn_in<S: Simd, T: Sample>(&mut self, plan: &MelPlan, waveforms: &[T]) {
        let n = plan.n_fft;
        assert!(self.starts.len() == S::LANES && self.signal.len() == n * S::LANES);
        assert!(self.scales.len() == S::LANES);
        assert!(self.starts.iter().all(|start| start + n <= waveforms.len()));
        for block in (0..n).step_by(S::LANES) {
            let count = S::LANES.min(n - block);
            if count < S::LANES {
                // Frames shorter than a register has lanes.
                for (lane, (start, scale)) in self.starts.iter().zip(&self.scales).enumerate() {
                    for at in block..n {
                        let value = waveforms[start + at].value(*scale);
                        self.signal[at * S::LANES + lane] = value * plan.window[at];
                    }
                }
                return;
            }
            // SAFETY: frames lie inside the waveforms, samples inside a frame.
            unsafe {
                let mut square = [S::zero(); 16];
                let frames = self.starts.iter().zip(&self.scales);
                for (row, (start, scale)) in square.iter_mut().zip(frames) {
                    *row = T::load::<S>(waveforms.as_ptr().add(start + block), *scale);
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
                    let given = Waveforms::Numbers(&wave);
                    let out = forward(&plan, tables, given, (samples, samples), width);
                    assert_eq!(out.len(), expected.len());
                    for (a, b) in out.iter().zip(&expected) {
                        assert!((a - b).abs() < 3e-6 * scale, "{n_fft} {width:?}: {a}, {b}");
                    }
                    // Stored samples are the same numbers, to the bit; here one more a row than are used.
                    let stored: Vec<i16> = (0..2 * (samples + 1))
                        .map(|i| (i * 40_503 % 65_536) as u16 as i16)
                        .collect();
                    let scales = [1.0 / 32_768.0, 0.7 / 32_767.0];
                    let numbers: Vec<f32> = stored
                        .chunks(samples + 1)
                        .zip(scales)
                        .flat_map(|(row, scale)| row.iter().map(move |&x| f32::from(x) * scale))
                        .collect();
                    let lie = (samples, samples + 1);
                    let expected = forward(&plan, tables, Waveforms::Numbers(&numbers), lie, width);
                    let stored = Waveforms::Stored(&stored, &scales);
                    assert_eq!(forward(&plan, tables, stored, lie, width), expected);
                    assert!(expected.iter().any(|x| *x != 0.0));
                }
            }
        }
    }
}
