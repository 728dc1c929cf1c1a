//! The spectra of the filters, the bins that matter, and how far their responses can be decimated.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rayon::prelude::*;
use rustfft::num_complex::{Complex32, Complex64};
use rustfft::{Fft, FftPlanner};

use super::geometry::{Blocks, Geometry};
use super::windows::GUARD;

/// Bins whose response is below this share of the filter's peak are left out.
const THRESHOLD: f64 = 1e-7;

/// Steps in which responses can be computed, in samples, the largest first.
pub(super) const STEPS: [usize; 4] = [8, 4, 2, 1];

/// Planners, which keep their plans.
type Planner<T> = LazyLock<Mutex<FftPlanner<T>>>;
static PLANNER: Planner<f32> = LazyLock::new(|| Mutex::new(FftPlanner::new()));
static EXACT_PLANNER: Planner<f64> = LazyLock::new(|| Mutex::new(FftPlanner::new()));

/// The transform `sum_t x[t] exp(-2 pi i k t / length)` and its inverse without a factor.
#[derive(Clone)]
pub(super) struct Transforms {
    pub forward: Arc<dyn Fft<f32>>,
    pub inverse: Arc<dyn Fft<f32>>,
}

impl Transforms {
    pub fn new(length: usize) -> Self {
        // A planner that panicked holds only complete plans.
        let mut planner = PLANNER.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            forward: planner.plan_fft_forward(length),
            inverse: planner.plan_fft_inverse(length),
        }
    }

    pub fn scratch(&self) -> usize {
        let of = |fft: &Arc<dyn Fft<f32>>| fft.get_inplace_scratch_len();
        of(&self.forward).max(of(&self.inverse))
    }
}

/// One complex filter, or two real ones as real and imaginary part.
pub(super) struct Spectrum {
    /// `conj` of the transform, divided by the length: its product with the spectrum of a block has the responses as its
    /// inverse. Only the bins from `first` on, which continue at bin 0 after the last one.
    pub values: Vec<Complex32>,
    pub first: usize,
    /// Responses are computed at every `step`-th sample.
    pub step: usize,
}

impl Spectrum {
    /// The bins in runs that are consecutive both among all `length` bins and among the `length / step` bins of the
    /// decimated transform: index in `values`, bin, bin of the decimated transform, and number of bins.
    pub fn runs(&self, length: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
        let (all, decimated) = (self.values.len(), length / self.step);
        let mut at = 0;
        std::iter::from_fn(move || {
            if at == all {
                return None;
            }
            let bin = (self.first + at) % length;
            let low = bin % decimated;
            let count = (all - at).min(decimated - low);
            let run = (at, bin, low, count);
            at += count;
            Some(run)
        })
    }
}

/// `taps` is `[filter, part, tap]`.
pub(super) fn spectra(geometry: &Geometry, blocks: &Blocks, taps: &[f32]) -> Vec<Spectrum> {
    let Geometry { filters, taps: count, .. } = *geometry;
    let length = blocks.length;
    let transforms = Transforms::new(length);
    let rows: Vec<&[f32]> = taps.chunks_exact(count).collect();
    debug_assert_eq!(rows.len(), filters * geometry.parts);
    rows.par_chunks(2)
        .map_init(
            || vec![Complex32::default(); transforms.scratch()],
            |scratch, rows| {
                let mut values = vec![Complex32::default(); length];
                for (value, re) in values.iter_mut().zip(rows[0]) {
                    value.re = *re;
                }
                if let Some(row) = rows.get(1) {
                    for (value, im) in values.iter_mut().zip(*row) {
                        value.im = *im;
                    }
                }
                transforms.inverse.process_with_scratch(&mut values, scratch);
                for value in &mut values {
                    *value /= length as f32;
                }
                let (first, count) = match geometry.options.band_limited {
                    true => used(rows, length),
                    false => (0, length),
                };
                values.rotate_left(first);
                values.truncate(count);
                Spectrum { values, first, step: step(geometry, length, count) }
            },
        )
        .collect()
}

/// The first bin of a transform of `length`, and the number of bins, outside of which all responses are below the threshold.
///
/// A short transform in double precision decides: the rounding errors of single precision reach the threshold. `rows` are
/// the real and, if there is a second, the imaginary part of the taps.
fn used(rows: &[&[f32]], length: usize) -> (usize, usize) {
    // Responses between its bins differ little from theirs: it is at least twice as long as the filter.
    let coarse = (2 * rows[0].len()).next_power_of_two().min(length);
    let mut values = vec![Complex64::default(); coarse];
    for (at, value) in values.iter_mut().enumerate() {
        let of = |row: Option<&&[f32]>| row.and_then(|row| row.get(at)).map_or(0.0, |&x| x.into());
        *value = Complex64::new(of(rows.first()), of(rows.get(1)));
    }
    let transform = {
        let mut planner = EXACT_PLANNER.lock().unwrap_or_else(PoisonError::into_inner);
        planner.plan_fft_inverse(coarse)
    };
    transform.process(&mut values);
    let peak = values.iter().fold(0.0_f64, |max, value| max.max(value.norm_sqr()));
    let limit = THRESHOLD * THRESHOLD * peak;
    // NaN is not below the limit.
    let below = |bin: usize| values[bin % coarse].norm_sqr() <= limit;
    let Some(start) = (0..coarse).find(|&bin| !below(bin)) else { return (0, 0) };
    // All bins but the longest run below the threshold, with one more at either end.
    let (mut longest, mut after, mut run) = (0, start, 0);
    for bin in start..=start + coarse {
        if below(bin) {
            run += 1;
        } else {
            if run > longest {
                (longest, after) = (run, bin);
            }
            run = 0;
        }
    }
    if longest <= 2 {
        return (0, length);
    }
    let count = coarse - longest + 1;
    let first = ((after - 1) * length).div_ceil(coarse);
    let end = (after - 1 + count) * length / coarse;
    (first % length, (end - first + 1).min(length))
}

/// The largest step at which squares of responses with that many bins can be interpolated.
fn step(geometry: &Geometry, length: usize, bins: usize) -> usize {
    let hop = geometry.options.hop_length;
    let limited = geometry.options.band_limited && geometry.parts == 2;
    // The spectrum of the squared modulus is an autocorrelation, so it has that many bins on either side of 0.
    let edge = 2.0 * std::f64::consts::PI * bins as f64 / length as f64;
    let fits = |step: usize| {
        step == 1
            || (limited
                && hop.is_multiple_of(step)
                && edge <= std::f64::consts::PI / step as f64 - GUARD)
    };
    STEPS.into_iter().find(|&step| fits(step)).unwrap_or(1)
}
