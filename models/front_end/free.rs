//! Freely learned complex filters that start as Gabor filters, pooled over time: time-domain filterbanks.
//!
//! Zeghidour, Usunier, Kokkinos, Schatz, Synnaeve and Dupoux (2018), Learning Filterbanks from Raw Speech for Phone
//! Recognition, section 2. As [`gabor`](super::gabor), with every tap of the filters as a parameter: 802 per filter of 401
//! samples instead of 2.
//!
//! Departures: the windows are Gaussian and learned, as in LEAF, instead of squared Hann windows, so that the two front
//! ends differ in their filters only. Filters start as LEAF's, with a response of 1 at their centre, instead of being scaled
//! to the areas of mel filters. There is no pre-emphasis and no normalisation of instances.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor};
use kernels::filterbank::{FilterbankOptions, Response};
use serde::{Deserialize, Serialize};

use super::gaussian::{
    Gabors, GaussianPooling, InitialFilters, PoolingSettings, Sizes, clamped, gabor_taps, lower,
    pooled, sigma_range,
};
use super::strided::LearnedFilters;
use crate::ModelError;
use crate::error::in_range;
use crate::onnx::{Graph, Value, numbers};

/// Settings of [`Free`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FreeConfig {
    /// Sample rate of the audio, in Hz; 16000 by default.
    pub sample_rate: u32,
    /// Number of filters, which is the number of bands; 40 by default.
    pub filters: usize,
    /// Length of a filter, in samples, odd; 401 by default.
    pub length: usize,
    /// Length of a pooling window, in samples, odd; 401 by default.
    pub window_length: usize,
    /// Distance between frames, in samples; 160 by default. Frame `t` is centred on sample `t * hop_length`.
    pub hop_length: usize,
    /// Lower end of the initial filters, in Hz; 60 by default.
    pub f_min: f64,
    /// Upper end of the initial filters, in Hz; 7800 by default.
    pub f_max: f64,
    /// Initial filters, which are Gabor filters; `"mel"` by default.
    pub initial: InitialFilters,
    /// Whether the sum of every pooling window is 1; false by default.
    pub normalize_windows: bool,
    /// `C` in the compression log(1 + C x), natural logarithm; 10000 by default.
    pub compression: f64,
}

impl Default for FreeConfig {
    fn default() -> Self {
        Self {
            sample_rate: 16_000,
            filters: 40,
            length: 401,
            window_length: 401,
            hop_length: 160,
            f_min: 60.0,
            f_max: 7_800.0,
            initial: InitialFilters::Mel,
            normalize_windows: false,
            compression: 10_000.0,
        }
    }
}

impl FreeConfig {
    /// A small filterbank for examples: 5 filters of 33 samples.
    pub(crate) fn small() -> Self {
        Self { filters: 5, length: 33, window_length: 41, hop_length: 16, ..Self::default() }
    }

    /// Frames in `samples` samples.
    pub fn frames(&self, samples: usize) -> usize {
        samples.div_ceil(self.hop_length.max(1))
    }

    /// # Errors
    /// Names the first invalid value, or says that an excerpt is too short.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        let Self { sample_rate, filters, length, window_length, hop_length, f_min, f_max, .. } =
            *self;
        let frequencies = (f_min, f_max);
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

    /// The front end with its initial filters.
    pub fn init(&self, device: &Device) -> Free {
        let Self { filters, length, window_length, hop_length, normalize_windows, .. } = *self;
        let mel = self.initial != InitialFilters::Linear;
        let gabors = Gabors::new(self.sample_rate, filters, (self.f_min, self.f_max), mel);
        let initial = self.initial;
        let weight = Param::uninitialized(
            ParamId::new(),
            move |device, require_grad| {
                let [mu, sigma] = gabors.init(initial, device).map(|values| values.val().detach());
                let taps = gabor_taps(mu, clamped(sigma, sigma_range(length)), length).detach();
                if require_grad { taps.require_grad() } else { taps }
            },
            device.clone(),
            true,
            [filters, 2, length].into(),
        );
        let settings = PoolingSettings { filters, window_length, hop_length, normalize_windows };
        let pooling = GaussianPooling::new(settings, device);
        Free { weight, pooling, compression: self.compression }
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        let Self { filters, length, window_length, hop_length, sample_rate, .. } = self;
        format!(
            "free complex filters, {filters}, length {length}, windows of {window_length}, hop {hop_length}, \
             {sample_rate} Hz, log(1 + {} x)",
            self.compression
        )
    }
}

/// Waveforms to pooled energies of freely learned filters; see the module documentation.
#[derive(Module, Debug)]
pub struct Free {
    /// `[filter, part, tap]` with real and imaginary parts.
    weight: Param<Tensor<3>>,
    pooling: GaussianPooling,
    compression: f64,
}

impl Free {
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`
    /// - returns: `[batch, filter, frame]`
    pub fn forward(&self, waveforms: Tensor<2>) -> Tensor<3> {
        self.energies(waveforms).mul_scalar(self.compression).log1p()
    }

    /// The pooled energies before the compression.
    ///
    /// # Shapes
    /// As [`Free::forward`].
    pub fn energies(&self, waveforms: Tensor<2>) -> Tensor<3> {
        pooled(waveforms, self.weight.val(), &self.pooling, Response::Squared, false)
    }

    /// The real parts of the filters.
    pub fn filters(&self) -> LearnedFilters {
        let [_, _, length] = self.weight.dims();
        let taps = self.weight.val().narrow(1, 0, 1);
        LearnedFilters { weights: numbers(taps), length, pool: None }
    }

    /// `[batch, sample]` to `[batch, filter, frame]`; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(&self, graph: &mut Graph, waveforms: &Value) -> Value {
        let hop_length = self.pooling.settings().hop_length;
        let response = Response::Squared;
        let options = FilterbankOptions { stride: 1, hop_length, response, band_limited: false };
        let taps = self.weight.val();
        let energies = lower(graph, waveforms, taps, self.pooling.windows(), options);
        let scaled = graph.scalar("Mul", &energies, self.compression);
        let scaled = graph.scalar("Add", &scaled, 1.0);
        graph.unary("Log", &scaled)
    }
}
