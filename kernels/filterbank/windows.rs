//! Pooling windows for responses at every `step`-th sample.
//!
//! A pooled energy is a sum over all samples, `E = sum_j w[j] e[j]`. If `e` is known at every `D`-th sample only and its
//! spectrum ends well below `pi / D`, then `e[j] = sum_m e[m D] phi(j - m D)` with an interpolating low-pass filter
//! `phi`, hence `E = sum_m v[m] e[m D]` with `v[m] = sum_j w[j] phi(j - m D)`. `phi` is a sinc function times a Kaiser
//! window.
//!
//! # References
//! Kaiser window: Oppenheim and Schafer, "Discrete-Time Signal Processing", section 7.5.3.

use std::f64::consts::PI;
use std::ops::Range;
use std::sync::LazyLock;

use super::geometry::{Blocks, Geometry};
use super::spectra::STEPS;
use super::vector::{AddScaled, Dot};
use crate::simd::Width;

/// `phi` is 0 from that many samples on.
const SUPPORT: usize = 64;

/// Attenuation of `phi`, in dB: pooled energies are exact to `10^(-130 / 20) = 3.2e-7` of the pooled absolute values.
const ATTENUATION: f64 = 130.0;

/// Half the width of the transition of `phi`, in radians per sample: energies must end that far below `pi / D`.
pub(super) const GUARD: f64 = (ATTENUATION - 7.95) / (2.285 * 2.0 * SUPPORT as f64) / 2.0;

/// Responses that are needed beyond a pooling window.
pub(super) fn margin(geometry: &Geometry) -> usize {
    if geometry.options.band_limited { SUPPORT } else { 0 }
}

/// The modified Bessel function of order 0, by its power series.
fn bessel(x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0, 1.0, 1.0);
    while term > 1e-17 * sum {
        term *= (x / 2.0 / k) * (x / 2.0 / k);
        sum += term;
        k += 1.0;
    }
    sum
}

/// `phi` at `-SUPPORT..=SUPPORT` for a step.
fn interpolation(step: usize) -> Vec<f32> {
    let beta = 0.1102 * (ATTENUATION - 8.7);
    let at = |offset: f64| {
        let x = PI * offset / step as f64;
        let sinc = if offset == 0.0 { 1.0 } else { x.sin() / x };
        let inside = 1.0 - (offset / SUPPORT as f64).powi(2);
        sinc * bessel(beta * inside.max(0.0).sqrt()) / bessel(beta)
    };
    (0..=2 * SUPPORT).map(|index| at(index as f64 - SUPPORT as f64) as f32).collect()
}

/// For each of [`STEPS`].
static INTERPOLATIONS: LazyLock<[Vec<f32>; STEPS.len()]> =
    LazyLock::new(|| STEPS.map(interpolation));

/// The pooling windows of all bands, for every step in which a band can be computed.
pub(super) struct Pooling {
    geometry: Geometry,
    reach: usize,
}

/// The window of one band: `[variant, weight]`. Variant 0 is the whole window, the others are those of the frames at the
/// ends, whose windows lie partly outside the waveform.
pub(super) struct Window {
    pub weights: Vec<f32>,
    pub width: usize,
    pub step: usize,
    /// Index of the response of the first weight of a block's first frame.
    pub first: usize,
}

impl Window {
    pub fn variant(&self, variant: usize) -> &[f32] {
        &self.weights[variant * self.width..][..self.width]
    }

    /// The same, with 0 in place of the weights.
    pub fn zeros(&self) -> Self {
        Self { weights: vec![0.0; self.weights.len()], ..*self }
    }
}

impl Pooling {
    pub fn new(geometry: &Geometry, blocks: &Blocks) -> Self {
        Self { geometry: *geometry, reach: blocks.reach }
    }

    fn variants(&self) -> usize {
        let geometry = &self.geometry;
        let first = geometry.first_frames();
        1 + first + geometry.frames() - geometry.last_frames().clamp(first, geometry.frames())
    }

    /// The variant that a frame has.
    pub fn variant(&self, frame: usize) -> usize {
        let first = self.geometry.first_frames();
        let last = self.geometry.last_frames().max(first);
        if frame < first {
            1 + frame
        } else if frame >= last {
            1 + first + frame - last
        } else {
            0
        }
    }

    /// The part of the window that a variant has.
    fn inside(&self, variant: usize) -> Range<usize> {
        let geometry = &self.geometry;
        let first = geometry.first_frames();
        match variant {
            0 => 0..geometry.window,
            _ if variant <= first => geometry.inside(variant - 1),
            _ => geometry.inside(geometry.last_frames().max(first) + variant - 1 - first),
        }
    }

    fn empty(&self, step: usize) -> Window {
        let before = self.geometry.before_window();
        let (width, first) = match step {
            1 => (self.geometry.window, self.reach - before),
            _ => (2 * (self.reach / step) + 1, 0),
        };
        Window { weights: vec![0.0; self.variants() * width], width, step, first }
    }

    /// For every weight `m` of a step above 1: the samples `j` of the window near it, and `phi` for them.
    fn near(&self, step: usize, m: usize, inside: &Range<usize>) -> (Range<usize>, &'static [f32]) {
        let support = SUPPORT as isize;
        // The sample of the window at which weight m lies.
        let at = (m * step + self.geometry.before_window()) as isize - self.reach as isize;
        let begin = (at - support).max(inside.start as isize);
        let end = (at + support + 1).min(inside.end as isize);
        if end <= begin {
            return (0..0, &[]);
        }
        let table = &INTERPOLATIONS[STEPS.iter().position(|&s| s == step).unwrap_or(0)];
        let phi = &table[(begin - at + support) as usize..][..(end - begin) as usize];
        (begin as usize..end as usize, phi)
    }

    /// The window of a band from its samples `w`.
    pub fn window(&self, w: &[f32], step: usize, width: Width) -> Window {
        let mut window = self.empty(step);
        for (variant, row) in window.weights.chunks_exact_mut(window.width).enumerate() {
            let inside = self.inside(variant);
            if step == 1 {
                row[inside.clone()].copy_from_slice(&w[inside]);
                continue;
            }
            for (m, weight) in row.iter_mut().enumerate() {
                let (samples, phi) = self.near(step, m, &inside);
                *weight = width.run(Dot { a: &w[samples], b: phi });
            }
        }
        window
    }

    /// Adds the gradient of the samples of a window to `w`, from the gradient of its weights.
    pub fn scatter(&self, gradient: &Window, w: &mut [f32], width: Width) {
        for (variant, row) in gradient.weights.chunks_exact(gradient.width).enumerate() {
            let inside = self.inside(variant);
            if gradient.step == 1 {
                for (w, g) in w[inside.clone()].iter_mut().zip(&row[inside]) {
                    *w += g;
                }
                continue;
            }
            for (m, g) in row.iter().enumerate() {
                let (samples, phi) = self.near(gradient.step, m, &inside);
                width.run(AddScaled { to: &mut w[samples], a: phi, scale: *g });
            }
        }
    }
}
