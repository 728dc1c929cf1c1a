//! Mel spectrograms with logarithmic compression.
//!
//! A frame `x` of `n_fft` samples has `n_fft / 2 + 1` bins, which are summed into bands:
//!
//! ```text
//! X[k] = sum_n window[n] x[n] exp(-2 pi i k n / n_fft)
//! m[b] = sum_k filters[b, k] |X[k]|^p              p = 2 (power) or 1 (magnitude)
//! y[b] = log(1 + C m[b])                           natural logarithm
//! ```
//!
//! [`log_mel`] is implemented three times:
//!
//! - on the CPU with FFTs, of as many frames at once as a register has lanes (`vectorized.rs`) if `n_fft` is a power of two,
//!   otherwise of one frame at a time, and with an exact gradient (`flex.rs`);
//! - on GPUs as one kernel (`cube.rs`) if `n_fft` is a power of two up to 4096 and the waveforms need no gradient;
//! - everywhere else as matrix products of frames with a windowed Fourier basis ([`log_mel_composite`]).

mod composite;
#[cfg(feature = "wgpu")]
mod cube;
mod fft;
mod flex;
mod vectorized;

use std::fmt;
use std::sync::Arc;

use burn::backend::DispatchDevice;
use burn::tensor::Tensor;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use crate::per_device::PerDevice;
pub use composite::log_mel_composite;

/// Added to `|X|^2` before the root if the exponent is 1, because the derivative of the root is infinite at 0. It changes a
/// magnitude by at most its own root, 1e-15.
pub const ROOT_FLOOR: f32 = 1e-30;

/// The largest `n_fft` of a plan: about one second at 16 kHz.
///
/// The Fourier basis of [`log_mel_composite`] has `n_fft * (n_fft + 2)` values, which is 1 GB at this size.
pub const MAX_N_FFT: usize = 16_384;

/// The exponent of the bins that are summed into bands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exponent {
    /// `|X|`
    Magnitude,
    /// `|X|^2`
    Power,
}

/// Invalid arguments of a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(String);

/// The nonzero weights of a band, which are consecutive.
#[derive(Clone, Debug, PartialEq)]
struct Band {
    first_bin: usize,
    weights: Vec<f32>,
}

/// The parameters of [`log_mel`] and tables derived from them.
pub struct MelPlan {
    n_fft: usize,
    hop_length: usize,
    window: Vec<f32>,
    bands: Vec<Band>,
    exponent: Exponent,
    compression: Option<f32>,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    /// For vectorised transforms; `None` unless `n_fft` is a power of two.
    tables: Option<fft::Tables>,
    /// Constants of [`log_mel_composite`].
    constants: PerDevice<composite::Constants>,
    /// Constants of the GPU kernel.
    #[cfg(feature = "wgpu")]
    on_gpus: PerDevice<cube::Constants>,
}

impl fmt::Debug for MelPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MelPlan")
            .field("n_fft", &self.n_fft)
            .field("hop_length", &self.hop_length)
            .field("bands", &self.bands.len())
            .field("exponent", &self.exponent)
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}

impl MelPlan {
    /// A plan for frames of `window.len()` samples, `hop_length` samples apart.
    ///
    /// `filters` is `[band, bin]` in row-major order. `compression` is `C` of the formula in the
    /// [module documentation](self); `None` omits the logarithm.
    ///
    /// # Errors
    /// If the window is empty or longer than [`MAX_N_FFT`], the hop is 0, a row of `filters` is incomplete, a value is not
    /// finite, or `C` is not positive.
    pub fn new(
        window: Vec<f32>,
        hop_length: usize,
        filters: &[f32],
        exponent: Exponent,
        compression: Option<f32>,
    ) -> Result<Self, PlanError> {
        let n_fft = window.len();
        let bins = n_fft / 2 + 1;
        let fail = |text: String| Err(PlanError(text));
        if n_fft == 0 || n_fft > MAX_N_FFT {
            return fail(format!("n_fft = {n_fft}, expected 1 to {MAX_N_FFT}"));
        }
        if hop_length == 0 {
            return fail("hop_length = 0, expected at least 1".into());
        }
        if filters.is_empty() || !filters.len().is_multiple_of(bins) {
            let len = filters.len();
            return fail(format!("{len} filter weights, expected a positive multiple of {bins}"));
        }
        if let Some(value) = window.iter().chain(filters).find(|value| !value.is_finite()) {
            return fail(format!(
                "window and filter weights contain {value}, expected finite values"
            ));
        }
        if let Some(c) = compression
            && !(c.is_finite() && c > 0.0)
        {
            return fail(format!("compression = {c}, expected a positive number"));
        }
        let band = |row: &[f32]| {
            let first_bin = row.iter().position(|&w| w != 0.0).unwrap_or(0);
            let end = row.iter().rposition(|&w| w != 0.0).map_or(first_bin, |last| last + 1);
            Band { first_bin, weights: row[first_bin..end].to_vec() }
        };
        let mut planner = RealFftPlanner::new();
        Ok(Self {
            n_fft,
            hop_length,
            window,
            bands: filters.chunks_exact(bins).map(band).collect(),
            exponent,
            compression,
            forward: planner.plan_fft_forward(n_fft),
            inverse: planner.plan_fft_inverse(n_fft),
            tables: fft::Tables::new(n_fft),
            constants: PerDevice::default(),
            #[cfg(feature = "wgpu")]
            on_gpus: PerDevice::default(),
        })
    }

    /// Samples per frame.
    pub fn n_fft(&self) -> usize {
        self.n_fft
    }

    /// The window function, one value per sample of a frame.
    pub fn window(&self) -> &[f32] {
        &self.window
    }

    /// Samples from one frame to the next.
    pub fn hop_length(&self) -> usize {
        self.hop_length
    }

    /// Fourier bins per frame.
    pub fn n_bins(&self) -> usize {
        self.n_fft / 2 + 1
    }

    /// Bands per frame.
    pub fn n_bands(&self) -> usize {
        self.bands.len()
    }

    /// The exponent of the bins.
    pub fn exponent(&self) -> Exponent {
        self.exponent
    }

    /// `C` of the logarithm; `None` without a logarithm.
    pub fn compression(&self) -> Option<f32> {
        self.compression
    }

    /// The number of complete frames in `samples` samples.
    pub fn n_frames(&self, samples: usize) -> usize {
        samples.checked_sub(self.n_fft).map_or(0, |rest| rest / self.hop_length + 1)
    }

    /// The windowed Fourier basis `[n_fft, 2 * bin]` in row-major order: the real parts (`w[n] cos`), then the imaginary
    /// parts (`-w[n] sin`). Exported models contain it.
    pub fn fourier_basis(&self) -> Vec<f32> {
        let (n, bins) = (self.n_fft, self.n_bins());
        // Angles have period n, so one table of n values is exact for all products i k.
        let (cos, sin): (Vec<f64>, Vec<f64>) = (0..n)
            .map(|i| (i as f64 * std::f64::consts::TAU / n as f64).sin_cos())
            .map(|(sin, cos)| (cos, sin))
            .unzip();
        let mut basis = vec![0.0; n * 2 * bins];
        for (i, (row, &w)) in basis.chunks_exact_mut(2 * bins).zip(&self.window).enumerate() {
            let (re, im) = row.split_at_mut(bins);
            for (k, (re, im)) in re.iter_mut().zip(im).enumerate() {
                *re = (f64::from(w) * cos[i * k % n]) as f32;
                *im = (-f64::from(w) * sin[i * k % n]) as f32;
            }
        }
        basis
    }

    /// The transposed filterbank `[bin, band]` in row-major order.
    pub fn filters_transposed(&self) -> Vec<f32> {
        let mut filters = vec![0.0; self.n_bins() * self.n_bands()];
        for (b, band) in self.bands.iter().enumerate() {
            for (offset, &weight) in band.weights.iter().enumerate() {
                filters[(band.first_bin + offset) * self.n_bands() + b] = weight;
            }
        }
        filters
    }
}

/// The compressed mel spectrogram of `waveforms`.
///
/// # Shapes
/// - `waveforms`: `[batch, sample]`, at least `n_fft` samples
/// - returns: `[batch, band, frame]`
///
/// # Panics
/// If the waveforms are shorter than one frame.
pub fn log_mel(waveforms: Tensor<2>, plan: &Arc<MelPlan>) -> Tensor<3> {
    let [_, samples] = waveforms.dims();
    let n_fft = plan.n_fft;
    assert!(samples >= n_fft, "{samples} samples are fewer than the {n_fft} samples of a frame");
    match waveforms.device().without_autodiff().as_dispatch() {
        DispatchDevice::Flex(_) => flex::log_mel(waveforms, plan.clone()),
        #[cfg(feature = "wgpu")]
        DispatchDevice::Cube(device) => match cube::layout(&waveforms, plan, device) {
            Some(layout) => cube::log_mel(waveforms, plan, layout),
            None => log_mel_composite(waveforms, plan),
        },
        _ => log_mel_composite(waveforms, plan),
    }
}

#[cfg(test)]
mod tests;
