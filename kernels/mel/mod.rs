//! Mel spectrogram of a batch of waveforms, with logarithmic compression.
//!
//! A frame `x` of `n_fft` samples gives `n_fft / 2 + 1` bins, the bins give bands:
//!
//! ```text
//! X[k] = sum_n window[n] x[n] exp(-2 pi i k n / n_fft)
//! m[b] = sum_k filters[b, k] |X[k]|^p              p = 2 (power) or 1 (magnitude)
//! y[b] = log(1 + C m[b])                           natural logarithm
//! ```
//!
//! [`log_mel`] takes the fast way on the CPU (FFTs of as many frames at once as a register has lanes where
//! their length is a power of two, else an FFT a frame; with its own exact gradient), one kernel on GPUs (`cube.rs`:
//! powers of two up to 4096, waveforms that need no gradient), and [`log_mel_composite`] everywhere else: frames
//! times a windowed Fourier basis, as matrix products.

mod composite;
#[cfg(feature = "wgpu")]
mod cube;
mod fft;
mod flex;
mod side_by_side;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::DispatchDevice;
use burn::tensor::{Device, Tensor};
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

pub use composite::log_mel_composite;

/// Added to `|X|^2` before the root where the exponent is 1: the root has no finite slope at 0.
/// Changes a magnitude by no more than its root, 1e-15.
pub const ROOT_FLOOR: f32 = 1e-30;

/// Largest `n_fft` that a plan takes: one second at 16 kHz and more.
///
/// The Fourier basis of [`log_mel_composite`] has `n_fft * (n_fft + 2)` values, a gigabyte here.
pub const MAX_N_FFT: usize = 16_384;

/// What is summed into bands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exponent {
    /// `|X|`
    Magnitude,
    /// `|X|^2`
    Power,
}

/// Why a plan cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(String);

/// A band: consecutive bins and their weights; bins outside have weight 0.
#[derive(Clone, Debug, PartialEq)]
struct Band {
    first_bin: usize,
    weights: Vec<f32>,
}

/// Everything that [`log_mel`] needs to know, worked out once.
pub struct MelPlan {
    n_fft: usize,
    hop_length: usize,
    window: Vec<f32>,
    bands: Vec<Band>,
    exponent: Exponent,
    compression: Option<f32>,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    /// For frames side by side; lengths that are a power of two.
    lanes: Option<fft::Tables>,
    /// Constants of [`log_mel_composite`].
    constants: PerDevice<composite::Constants>,
    /// Constants of the kernel for GPUs.
    #[cfg(feature = "wgpu")]
    on_gpus: PerDevice<cube::Constants>,
}

/// What is made on first use on each device.
struct PerDevice<T>(Mutex<Vec<(Device, T)>>);

impl<T: Clone> PerDevice<T> {
    fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn get(&self, device: &Device, make: impl FnOnce(&Device) -> T) -> T {
        let device = device.clone().without_autodiff();
        // A panic elsewhere cannot leave the list half-written: an entry is pushed whole.
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, values)) = made.iter().find(|(known, _)| *known == device) {
            return values.clone();
        }
        let values = make(&device);
        made.push((device, values.clone()));
        values
    }
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
    /// A plan with frames of `window.len()` samples every `hop_length` samples.
    ///
    /// `filters` is `[band, bin]` in row-major order. `compression` is `C` of the module's
    /// formula; `None` leaves the logarithm out.
    ///
    /// # Errors
    /// If the window is empty or longer than [`MAX_N_FFT`], the hop 0, a filter row incomplete,
    /// or any number not finite (or `C` not above 0).
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
            return fail(format!("{value} among the window and filter weights, expected numbers"));
        }
        if let Some(c) = compression
            && !(c.is_finite() && c > 0.0)
        {
            return fail(format!("compression = {c}, expected a number above 0"));
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
            lanes: fft::Tables::new(n_fft),
            constants: PerDevice::new(),
            #[cfg(feature = "wgpu")]
            on_gpus: PerDevice::new(),
        })
    }

    /// Samples a frame.
    pub fn n_fft(&self) -> usize {
        self.n_fft
    }

    /// What a frame is multiplied by, sample by sample.
    pub fn window(&self) -> &[f32] {
        &self.window
    }

    /// Samples from one frame to the next.
    pub fn hop_length(&self) -> usize {
        self.hop_length
    }

    /// Fourier frequencies a frame.
    pub fn n_bins(&self) -> usize {
        self.n_fft / 2 + 1
    }

    /// Bands a frame.
    pub fn n_bands(&self) -> usize {
        self.bands.len()
    }

    /// What is summed into bands.
    pub fn exponent(&self) -> Exponent {
        self.exponent
    }

    /// `C` of the logarithm, if there is one.
    pub fn compression(&self) -> Option<f32> {
        self.compression
    }

    /// Whole frames in `samples` samples.
    pub fn n_frames(&self, samples: usize) -> usize {
        samples.checked_sub(self.n_fft).map_or(0, |rest| rest / self.hop_length + 1)
    }

    /// The windowed Fourier basis `[n_fft, 2 * bin]`, row-major: first the real parts
    /// (`w[n] cos`), then the imaginary ones (`-w[n] sin`). What an exporter writes out.
    pub fn fourier_basis(&self) -> Vec<f32> {
        let (n, bins) = (self.n_fft, self.n_bins());
        // Angles repeat with period n: one table serves all and keeps its precision.
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

    /// The filterbank `[bin, band]`, row-major: transposed, ready to be multiplied from the right.
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

/// Mel spectrogram of `waveforms`, compressed as the plan says.
///
/// # Shapes
/// - `waveforms`: `[batch, sample]`, at least `n_fft` samples
/// - returns: `[batch, band, frame]`
///
/// # Panics
/// If the waveforms are shorter than a frame.
pub fn log_mel(waveforms: Tensor<2>, plan: &Arc<MelPlan>) -> Tensor<3> {
    let [_, samples] = waveforms.dims();
    let n_fft = plan.n_fft;
    assert!(samples >= n_fft, "{samples} samples are fewer than one frame of {n_fft}");
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
