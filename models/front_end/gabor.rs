//! Learned Gabor filters, their energies pooled by learned Gaussian windows: LEAF.
//!
//! Zeghidour, Teboul, de Chaumont Quitry and Tagliasacchi (2021), LEAF: A Learnable Frontend for Audio Classification,
//! ICLR, section 3. The definition is that of the authors' code, `leaf_audio`:
//!
//! ```text
//! g_n[t] = exp(-t^2 / (2 sigma_n^2)) / (sqrt(2 pi) sigma_n) exp(i mu_n t)     t = -200 .. 200
//! e_n = |x * g_n|^2                                                           at every sample, a correlation
//! w_n[t] = exp(-0.5 (t / (200 s_n))^2)                                        t = -200 .. 200, not normalised
//! E_n[f] = sum_t w_n[t] e_n[160 f + t]
//! ```
//!
//! `mu` is in `[0, pi]`, `sigma` between 1.5 samples and a limit that the length sets (150.3 for 401 samples), `s` between
//! 2 / 401 and 0.5; values outside are clamped in every forward pass, with a derivative of 1, so that they can return.
//!
//! LEAF compresses these energies with PCEN, after raising those below 1e-5 to 1e-5; here the compression is logarithmic.
//!
//! Departures: `leaf_audio` derives the initial filters from discrete mel filters, so that some neighbours are equal; here
//! they follow from the mel scale, as in EfficientLEAF. TensorFlow's padding centres frame `f` 80 samples later;
//! here, as in the implementations in PyTorch, it is centred on sample `f * hop_length`. Two of those implementations,
//! SpeechBrain and leaf-pytorch, add a learned bias, initially 1, to every energy; `leaf_audio` does not, and neither does
//! this front end, so that their outputs differ.
//!
//! `leaf_audio` scales its audio to a level of 15 dB first. With audio in `[-1, 1]`, energies are smaller by the same
//! factor, which is what `C` of the compression is for.
//!
//! `groups` is EfficientLEAF (Schlüter and Gutenbrunner 2022, EfficientLEAF: A Faster LEArnable Audio Frontend of
//! Questionable Use): neighbouring filters share a length that their largest `sigma` sets, and a stride that their highest
//! `mu` sets. Both follow the parameters during training. Energies become smaller by the stride, since windows are not
//! normalised.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use kernels::filterbank::{FilterbankOptions, Response, band_energies};
use serde::{Deserialize, Serialize};

use super::gaussian::{
    Gabors, GaussianPooling, InitialFilters, PoolingSettings, Sizes, clamped, gabor_taps,
    gaussian_windows, lower, pooled, sigma_range,
};
use super::strided::LearnedFilters;
use crate::ModelError;
use crate::error::in_range;
use crate::onnx::{Graph, Value, numbers};

/// Settings of [`Gabor`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GaborConfig {
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
    /// Initial filters; `"mel"` by default.
    pub initial: InitialFilters,
    /// Whether the sum of every pooling window is 1; false by default, as in LEAF.
    pub normalize_windows: bool,
    /// `C` in the compression log(1 + C x), natural logarithm; 10000 by default.
    pub compression: f64,
    /// Groups of neighbouring filters with their own lengths and strides (EfficientLEAF); none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<FilterGroups>,
}

/// Groups of neighbouring filters. The defaults are EfficientLEAF's fastest, "8G-opt".
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FilterGroups {
    /// Number of groups; 8 by default.
    pub count: usize,
    /// Length of the filters of a group, relative to their largest standard deviation; 6 by default.
    pub length_factor: f64,
    /// Stride of a group, relative to half the period of its highest centre frequency; 16 by default. The largest
    /// divisor of `hop_length` up to it is used.
    pub stride_factor: f64,
}

impl Default for FilterGroups {
    fn default() -> Self {
        Self { count: 8, length_factor: 6.0, stride_factor: 16.0 }
    }
}

impl Default for GaborConfig {
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
            groups: None,
        }
    }
}

impl GaborConfig {
    /// A small filterbank for examples: 6 filters of 33 samples.
    pub(crate) fn small() -> Self {
        Self { filters: 6, length: 33, window_length: 41, hop_length: 16, ..Self::default() }
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
        in_range("compression", self.compression, 1e-6, 1e12)?;
        if let Some(FilterGroups { count, length_factor, stride_factor }) = self.groups {
            in_range("groups.count", count, 1, filters)?;
            in_range("groups.length_factor", length_factor, 1.0, 50.0)?;
            in_range("groups.stride_factor", stride_factor, 0.0, 1_000.0)?;
        }
        Ok(())
    }

    /// The front end with its initial filters.
    pub fn init(&self, device: &Device) -> Gabor {
        let Self { filters, window_length, hop_length, normalize_windows, .. } = *self;
        let mel = self.initial != InitialFilters::Linear;
        let gabors = Gabors::new(self.sample_rate, filters, (self.f_min, self.f_max), mel);
        let [mu, sigma] = gabors.init(self.initial, device);
        let settings = PoolingSettings { filters, window_length, hop_length, normalize_windows };
        Gabor {
            mu,
            sigma,
            pooling: GaussianPooling::new(settings, device),
            length: self.length,
            compression: self.compression,
            groups: self.groups,
        }
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        let Self { filters, length, window_length, hop_length, sample_rate, .. } = self;
        let groups = self
            .groups
            .map_or_else(String::new, |FilterGroups { count, .. }| format!(" in {count} groups"));
        format!(
            "Gabor filters, {filters}{groups}, length {length}, windows of {window_length}, hop {hop_length}, \
             {sample_rate} Hz, log(1 + {} x)",
            self.compression
        )
    }
}

/// Waveforms to pooled energies of learned Gabor filters; see the module documentation.
#[derive(Module, Debug)]
pub struct Gabor {
    /// Centre frequencies in radians per sample, `[filter]`.
    mu: Param<Tensor<1>>,
    /// Standard deviations in samples, `[filter]`.
    sigma: Param<Tensor<1>>,
    pooling: GaussianPooling,
    length: usize,
    compression: f64,
    #[module(skip)]
    groups: Option<FilterGroups>,
}

/// A group of filters with the sizes that its parameters set.
struct Group {
    first: usize,
    count: usize,
    length: usize,
    stride: usize,
    /// Values of a pooling window, odd.
    window: usize,
    /// Factor of the widths of the pooling windows.
    width: f64,
}

impl Gabor {
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`
    /// - returns: `[batch, filter, frame]`
    pub fn forward(&self, waveforms: Tensor<2>) -> Tensor<3> {
        let energies = self.energies(waveforms);
        energies.mul_scalar(self.compression).log1p()
    }

    /// The pooled energies before the compression.
    ///
    /// # Shapes
    /// As [`Gabor::forward`].
    pub fn energies(&self, waveforms: Tensor<2>) -> Tensor<3> {
        let (mu, sigma) = self.filters_in_range();
        let Some(groups) = self.groups(&mu, &sigma) else {
            let taps = gabor_taps(mu, sigma, self.length);
            return pooled(waveforms, taps, &self.pooling, Response::Squared, true);
        };
        let bands = groups.iter().map(|group| {
            let (taps, windows) = self.group(group, &mu, &sigma);
            band_energies(waveforms.clone(), taps, windows, self.options(group))
        });
        Tensor::cat(bands.collect(), 1)
    }

    /// Centre frequencies and standard deviations in their ranges.
    fn filters_in_range(&self) -> (Tensor<1>, Tensor<1>) {
        let mu = clamped(self.mu.val(), (0.0, std::f64::consts::PI));
        (mu, clamped(self.sigma.val(), sigma_range(self.length)))
    }

    /// The groups for these parameters, which are read from the device.
    fn groups(&self, mu: &Tensor<1>, sigma: &Tensor<1>) -> Option<Vec<Group>> {
        let FilterGroups { count, length_factor, stride_factor } = self.groups?;
        let [mu, sigma] = [mu, sigma].map(|values| numbers(values.clone()));
        let PoolingSettings { filters, hop_length: hop, window_length, .. } =
            self.pooling.settings();
        let of = |group: usize| {
            let (first, end) = (group * filters / count, (group + 1) * filters / count);
            let largest =
                |values: &[f32]| values[first..end].iter().fold(0.0_f32, |a, &b| a.max(b));
            let length = (f64::from(largest(&sigma)) * length_factor) as usize;
            let most = (std::f64::consts::PI / f64::from(largest(&mu)) * stride_factor).max(1.0);
            let divides = |stride: &usize| hop.is_multiple_of(*stride) && *stride as f64 <= most;
            let stride = (1..=hop).rev().find(divides).unwrap_or(1);
            let window = (window_length as f64 / stride as f64 + 0.5) as usize | 1;
            let width = window_length as f64 / (stride * window) as f64;
            Group { first, count: end - first, length: length | 1, stride, window, width }
        };
        Some((0..count).map(of).collect())
    }

    /// Taps and windows of a group.
    fn group(&self, group: &Group, mu: &Tensor<1>, sigma: &Tensor<1>) -> (Tensor<3>, Tensor<2>) {
        let own = |values: Tensor<1>| values.narrow(0, group.first, group.count);
        let taps = gabor_taps(own(mu.clone()), own(sigma.clone()), group.length);
        let widths = own(self.pooling.widths()).mul_scalar(group.width);
        let normalize = self.pooling.settings().normalize_windows;
        (taps, gaussian_windows(widths, group.window, normalize))
    }

    fn options(&self, group: &Group) -> FilterbankOptions {
        FilterbankOptions {
            stride: group.stride,
            hop_length: self.pooling.settings().hop_length,
            response: Response::Squared,
            band_limited: true,
        }
    }

    /// The real parts of the filters.
    pub fn filters(&self) -> LearnedFilters {
        let (mu, sigma) = self.filters_in_range();
        let taps = gabor_taps(mu, sigma, self.length).narrow(1, 0, 1);
        LearnedFilters { weights: numbers(taps), length: self.length, pool: None }
    }

    /// `[batch, sample]` to `[batch, filter, frame]`; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(&self, graph: &mut Graph, waveforms: &Value) -> Value {
        let (mu, sigma) = self.filters_in_range();
        let energies = match self.groups(&mu, &sigma) {
            None => {
                let hop_length = self.pooling.settings().hop_length;
                let response = Response::Squared;
                let options =
                    FilterbankOptions { stride: 1, hop_length, response, band_limited: true };
                let taps = gabor_taps(mu, sigma, self.length);
                lower(graph, waveforms, taps, self.pooling.windows(), options)
            }
            Some(groups) => {
                let mut bands = Vec::new();
                for group in &groups {
                    let (taps, windows) = self.group(group, &mu, &sigma);
                    bands.push(lower(graph, waveforms, taps, windows, self.options(group)));
                }
                graph.cat(&bands, 1)
            }
        };
        let scaled = graph.scalar("Mul", &energies, self.compression);
        let scaled = graph.scalar("Add", &scaled, 1.0);
        graph.unary("Log", &scaled)
    }
}
