//! Learned band-pass filters with sharp edges, pooled over time: SincNet's filters with LEAF's pooling.
//!
//! Ravanelli and Bengio (2018), Speaker Recognition from Raw Waveform with SincNet, section 2; the combination with
//! learned pooling and PCEN is SincNet+ of Zeghidour et al. (2021), LEAF. Each filter is the difference of two ideal
//! low-pass filters with cutoffs `a < b`, times a window, with a value of 1 in the middle:
//!
//! ```text
//! a = 50 Hz + |low|,   b = a + 50 Hz + |band|, at most half the sample rate
//! h[t] = window[t] (sin(b t) - sin(a t)) / (t (b - a))          h[0] = 1
//! E[f] = sum_t w[t] e[f hop + t],   e = (x * h)^2 or |x * h|
//! ```
//!
//! Initial cutoffs are equally spaced on the mel scale between 30 Hz and 100 Hz below half the sample rate, as in the
//! authors' code, from which the window comes too: its halves are samples of a Hamming window that do not quite meet in
//! the middle.
//!
//! Departures: waveforms are padded with zeros, so that there is one response per sample. The parameters are in radians
//! per sample instead of Hz, so that one learning rate fits all parameters; in Hz, a step of Adam at the usual 0.001 moves a
//! cutoff by 0.001 Hz. Cutoffs are kept at least 50 Hz apart and below half the sample rate with a derivative of 1, so that
//! filters at the limit can return; the authors' code has no gradient there, and divides by 0 beyond it.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use kernels::filterbank::{FilterbankOptions, Response};
use serde::{Deserialize, Serialize};

use super::filterbank::MelScale;
use super::gaussian::{
    GaussianPooling, PoolingSettings, Sizes, angles, clamped, lower, offsets, parameter, pooled,
};
use super::strided::LearnedFilters;
use crate::ModelError;
use crate::error::in_range;
use crate::onnx::{Graph, Value, numbers};

/// Lowest cutoff and smallest bandwidth, in Hz.
const LEAST_HZ: f64 = 50.0;

/// Settings of [`Sinc`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SincConfig {
    /// Sample rate of the audio, in Hz; 16000 by default.
    pub sample_rate: u32,
    /// Number of filters, which is the number of bands; 80 by default.
    pub filters: usize,
    /// Length of a filter, in samples, odd; 251 by default.
    pub length: usize,
    /// Length of a pooling window, in samples, odd; 401 by default.
    pub window_length: usize,
    /// Distance between frames, in samples; 160 by default. Frame `t` is centred on sample `t * hop_length`.
    pub hop_length: usize,
    /// Lower end of the initial filters, in Hz; 30 by default.
    pub f_min: f64,
    /// Upper end of the initial filters, in Hz; 100 Hz below half the sample rate by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f_max: Option<f64>,
    /// What is pooled; `"squared"` by default.
    pub output: SincOutput,
    /// Whether the sum of every pooling window is 1; false by default.
    pub normalize_windows: bool,
    /// `C` in the compression log(1 + C x), natural logarithm; 10000 by default.
    pub compression: f64,
}

/// What is pooled.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum SincOutput {
    /// The squared responses, as in LEAF.
    #[default]
    Squared,
    /// Their absolute values, as in SincNet.
    Rectified,
}

impl Default for SincConfig {
    fn default() -> Self {
        Self {
            sample_rate: 16_000,
            filters: 80,
            length: 251,
            window_length: 401,
            hop_length: 160,
            f_min: 30.0,
            f_max: None,
            output: SincOutput::Squared,
            normalize_windows: false,
            compression: 10_000.0,
        }
    }
}

impl SincConfig {
    /// A small filterbank for examples: 5 filters of 33 samples.
    pub(crate) fn small() -> Self {
        Self { filters: 5, length: 33, window_length: 41, hop_length: 16, ..Self::default() }
    }

    /// Frames in `samples` samples.
    pub fn frames(&self, samples: usize) -> usize {
        samples.div_ceil(self.hop_length.max(1))
    }

    fn highest_frequency(&self) -> f64 {
        self.f_max.unwrap_or(f64::from(self.sample_rate) / 2.0 - 100.0)
    }

    /// # Errors
    /// Names the first invalid value, or says that an excerpt is too short.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        let Self { sample_rate, filters, length, window_length, hop_length, f_min, .. } = *self;
        let frequencies = (f_min, self.highest_frequency());
        Sizes {
            sample_rate,
            filters,
            length,
            window_length,
            hop_length,
            frequencies,
            excerpt_samples,
        }
        .validate()?;
        in_range("compression", self.compression, 1e-6, 1e12)
    }

    fn response(&self) -> Response {
        match self.output {
            SincOutput::Squared => Response::Squared,
            SincOutput::Rectified => Response::Absolute,
        }
    }

    /// The front end with its initial filters.
    pub fn init(&self, device: &Device) -> Sinc {
        let Self { filters, window_length, hop_length, normalize_windows, .. } = *self;
        // Between the edges of as many mel bands.
        let scale = MelScale::Htk;
        let (low, high) = (scale.from_hz(self.f_min), scale.from_hz(self.highest_frequency()));
        let edge = |k: usize| scale.to_hz(low + (high - low) * k as f64 / filters as f64);
        let unit = std::f64::consts::TAU / f64::from(self.sample_rate);
        let lows: Vec<f64> = (0..filters).map(|k| edge(k) * unit).collect();
        let bands: Vec<f64> = (0..filters).map(|k| (edge(k + 1) - edge(k)) * unit).collect();
        let settings = PoolingSettings { filters, window_length, hop_length, normalize_windows };
        Sinc {
            low: parameter(&lows, device),
            band: parameter(&bands, device),
            pooling: GaussianPooling::new(settings, device),
            length: self.length,
            least: LEAST_HZ * unit,
            response: self.response(),
            compression: self.compression,
        }
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        let Self { filters, length, window_length, hop_length, sample_rate, .. } = self;
        let output = match self.output {
            SincOutput::Squared => "squared",
            SincOutput::Rectified => "rectified",
        };
        format!(
            "sinc filters, {filters}, length {length}, {output}, windows of {window_length}, hop {hop_length}, \
             {sample_rate} Hz, log(1 + {} x)",
            self.compression
        )
    }
}

/// Waveforms to pooled responses of learned band-pass filters; see the module documentation.
#[derive(Module, Debug)]
pub struct Sinc {
    /// Lower cutoffs less 50 Hz, in radians per sample, `[filter]`; their absolute values are used.
    low: Param<Tensor<1>>,
    /// Bandwidths less 50 Hz, likewise.
    band: Param<Tensor<1>>,
    pooling: GaussianPooling,
    length: usize,
    /// 50 Hz in radians per sample.
    least: f64,
    #[module(skip)]
    response: Response,
    compression: f64,
}

impl Sinc {
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`
    /// - returns: `[batch, filter, frame]`
    pub fn forward(&self, waveforms: Tensor<2>) -> Tensor<3> {
        let energies = pooled(waveforms, self.taps(), &self.pooling, self.response, false);
        energies.mul_scalar(self.compression).log1p()
    }

    /// Lower and upper cutoffs in radians per sample.
    fn cutoffs(&self) -> [Tensor<1>; 2] {
        let (least, most) = (self.least, std::f64::consts::PI);
        let low = clamped(self.low.val().abs().add_scalar(least), (least, most - least));
        let band = self.band.val().abs().add_scalar(least);
        // At least 50 Hz wide up to half the sample rate.
        let high = clamped(low.clone() + band, (2.0 * least, most));
        [low, high]
    }

    /// `[filter, 1, tap]`
    fn taps(&self) -> Tensor<3> {
        let [low, high] = self.cutoffs();
        let half = (self.length - 1) / 2;
        let offsets = offsets(self.length, &low.device());
        // sin(b t) - sin(a t) is odd, so the taps of positive offsets are mirrored. The middle is 1 by definition.
        let right = offsets.narrow(1, half + 1, half);
        let difference = angles(high.clone(), &right).sin() - angles(low.clone(), &right).sin();
        let width = (high - low).unsqueeze_dim::<2>(1);
        let right = difference / (right * width) * self.window(half);
        let middle = Tensor::ones([right.dims()[0], 1], &right.device());
        Tensor::cat(vec![right.clone().flip([1]), middle, right], 1).unsqueeze_dim(1)
    }

    /// The right half of the window without its middle, `[1, half]`.
    fn window(&self, half: usize) -> Tensor<2> {
        let length = self.length as f64;
        let step = if half > 1 { (length / 2.0 - 1.0) / (half - 1) as f64 } else { 0.0 };
        // From the end to the middle: half a period in equal steps.
        let at = |j: usize| 0.54 - 0.46 * (std::f64::consts::TAU * step * j as f64 / length).cos();
        let values: Vec<f32> = (0..half).rev().map(|j| at(j) as f32).collect();
        Tensor::<1>::from_floats(values.as_slice(), &self.low.val().device()).unsqueeze_dim(0)
    }

    /// A copy of the filters.
    pub fn filters(&self) -> LearnedFilters {
        LearnedFilters { weights: numbers(self.taps()), length: self.length, pool: None }
    }

    /// `[batch, sample]` to `[batch, filter, frame]`; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(&self, graph: &mut Graph, waveforms: &Value) -> Value {
        let hop_length = self.pooling.settings().hop_length;
        let options = FilterbankOptions {
            stride: 1,
            hop_length,
            response: self.response,
            band_limited: false,
        };
        let energies = lower(graph, waveforms, self.taps(), self.pooling.windows(), options);
        let scaled = graph.scalar("Mul", &energies, self.compression);
        let scaled = graph.scalar("Add", &scaled, 1.0);
        graph.unary("Log", &scaled)
    }
}
