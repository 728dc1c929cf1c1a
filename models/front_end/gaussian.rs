//! What the front ends with learned filters and pooled energies share: Gabor filters, Gaussian windows, clamped
//! parameters, and the energies as nodes of a graph.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kernels::filterbank::{FilterbankOptions, Response, band_energies};
use serde::{Deserialize, Serialize};

use super::filterbank::MelScale;
use crate::ModelError;
use crate::error::{ensure, in_range};
use crate::onnx::{Graph, Value, Windows, numbers};

/// Longest filter and window, in samples: up to it, the phases of filters are exact.
const LONGEST: usize = 8_191;

/// Largest number of filters.
const MAX_FILTERS: usize = 4_096;

/// Initial width of a window, relative to half its length.
const INITIAL_WIDTH: f64 = 0.4;

/// The initial centre frequencies and bandwidths.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum InitialFilters {
    /// Equally spaced on the mel scale (HTK), with the bandwidths of mel filters.
    #[default]
    Mel,
    /// Equally spaced in Hz, with equal bandwidths.
    Linear,
    /// Uniformly random centre frequencies, and standard deviations between the smallest and the largest of `mel`.
    Random,
}

/// Centre frequencies in radians per sample and standard deviations in samples.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Gabors {
    pub mu: Vec<f64>,
    pub sigma: Vec<f64>,
}

impl Gabors {
    /// Filters between two frequencies in Hz: with edges `f_0 .. f_(N+1)`, the centre of filter `k` is `f_k`, and its
    /// standard deviation `(sr / 2) / (f_(k+1) - f_(k-1))` (EfficientLEAF, Schlüter and Gutenbrunner 2022).
    pub fn new(sample_rate: u32, filters: usize, (f_min, f_max): (f64, f64), mel: bool) -> Self {
        let edges = match mel {
            true => MelScale::Htk.edges(filters, f_min, f_max),
            false => {
                let step = (f_max - f_min) / (filters + 1) as f64;
                (0..filters + 2).map(|i| f_min + step * i as f64).collect()
            }
        };
        let rate = f64::from(sample_rate);
        Self {
            mu: edges[1..=filters].iter().map(|f| std::f64::consts::TAU * f / rate).collect(),
            sigma: edges.windows(3).map(|f| rate / 2.0 / (f[2] - f[0])).collect(),
        }
    }

    /// The parameters `mu` and `sigma`, `[filter]` each.
    pub fn init(self, initial: InitialFilters, device: &Device) -> [Param<Tensor<1>>; 2] {
        let Self { mu, sigma } = self;
        if initial == InitialFilters::Random {
            let range = |values: &[f64]| {
                let (min, max) = values
                    .iter()
                    .fold((f64::MAX, 0.0_f64), |(low, high), &x| (low.min(x), high.max(x)));
                Initializer::Uniform { min, max }
            };
            let [mu_range, sigma_range] = [range(&mu), range(&sigma)];
            return [mu_range.init([mu.len()], device), sigma_range.init([sigma.len()], device)];
        }
        [mu, sigma].map(|values| parameter(&values, device))
    }
}

/// A parameter with the given initial values.
pub(super) fn parameter(values: &[f64], device: &Device) -> Param<Tensor<1>> {
    let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
    let shape = [values.len()];
    Param::from_data(TensorData::new(values, shape), device)
}

/// The range of the standard deviation of a Gabor filter of `length` samples: full widths at half maximum of the
/// frequency response between 1 / `length` and 1/2 (LEAF, `GaborConstraint`).
pub(super) fn sigma_range(length: usize) -> (f64, f64) {
    let unit = (2.0 * 2.0_f64.ln()).sqrt() / std::f64::consts::PI;
    (4.0 * unit, length as f64 * unit)
}

/// `x` limited to a range, with a derivative of 1 everywhere: a parameter that has left its range can return.
pub(super) fn clamped(x: Tensor<1>, (low, high): (f64, f64)) -> Tensor<1> {
    let limited = x.clone().clamp(low, high).detach();
    limited + (x.clone() - x.detach())
}

/// `[1, count]`: the samples of a filter or window relative to its centre.
pub(super) fn offsets(count: usize, device: &Device) -> Tensor<2> {
    let half = ((count - 1) / 2) as i64;
    Tensor::<1, Int>::arange(-half..count as i64 - half, device).float().unsqueeze_dim(0)
}

/// Angles `omega t` of frequencies `[filter]` in radians per sample at `offsets` `[1, tap]`, less whole turns.
///
/// A product in single precision would be wrong by up to 3e-5 radians, which adds noise to the filters. Here the
/// frequency is split into a multiple of 1/4096 of a turn, whose products with offsets are exact, and a small rest.
pub(super) fn angles(omega: Tensor<1>, offsets: &Tensor<2>) -> Tensor<2> {
    let turns = omega.div_scalar(std::f64::consts::TAU).unsqueeze_dim::<2>(1);
    let exact = turns.clone().detach().mul_scalar(4_096.0).round().div_scalar(4_096.0);
    let rest = turns - exact.clone();
    let whole = exact * offsets.clone();
    let fraction = whole.clone() - whole.round();
    (fraction + rest * offsets.clone()).mul_scalar(std::f64::consts::TAU)
}

/// `exp(-t^2 / (2 sigma^2)) / (sqrt(2 pi) sigma) exp(i mu t)`.
///
/// # Shapes
/// - `mu`, `sigma`: `[filter]`; returns: `[filter, part, tap]` with real and imaginary parts
pub(super) fn gabor_taps(mu: Tensor<1>, sigma: Tensor<1>, length: usize) -> Tensor<3> {
    let offsets = offsets(length, &mu.device());
    let angles = angles(mu, &offsets);
    let sigma = sigma.unsqueeze_dim::<2>(1);
    let exponent = (offsets / sigma.clone()).square().mul_scalar(-0.5);
    let envelope = exponent.exp() / sigma.mul_scalar(std::f64::consts::TAU.sqrt());
    Tensor::stack(vec![envelope.clone() * angles.clone().cos(), envelope * angles.sin()], 1)
}

/// Settings of the pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolingSettings {
    pub filters: usize,
    pub window_length: usize,
    pub hop_length: usize,
    pub normalize_windows: bool,
}

/// Learned Gaussian low-pass windows (LEAF, Zeghidour et al. 2021, section 3.2):
/// `w[t] = exp(-0.5 (t / (s h))^2)` for `-h <= t <= h`, not normalised unless asked for.
#[derive(Module, Debug)]
pub(super) struct GaussianPooling {
    /// `s` of every band, `[band]`.
    width: Param<Tensor<1>>,
    #[module(skip)]
    settings: PoolingSettings,
}

impl GaussianPooling {
    pub fn new(settings: PoolingSettings, device: &Device) -> Self {
        Self { width: parameter(&vec![INITIAL_WIDTH; settings.filters], device), settings }
    }

    pub fn settings(&self) -> PoolingSettings {
        self.settings
    }

    /// The widths in their range.
    pub fn widths(&self) -> Tensor<1> {
        clamped(self.width.val(), (2.0 / self.settings.window_length as f64, 0.5))
    }

    /// `[band, window_length]`
    pub fn windows(&self) -> Tensor<2> {
        gaussian_windows(
            self.widths(),
            self.settings.window_length,
            self.settings.normalize_windows,
        )
    }
}

/// Windows of `length` values for widths relative to half the length: `[band, length]`.
pub(super) fn gaussian_windows(widths: Tensor<1>, length: usize, normalize: bool) -> Tensor<2> {
    let half = ((length - 1) as f64 / 2.0).max(0.5);
    let deviations = widths.mul_scalar(half).unsqueeze_dim::<2>(1);
    let offsets = offsets(length, &deviations.device());
    let windows = (offsets / deviations).square().mul_scalar(-0.5).exp();
    match normalize {
        true => windows.clone() / windows.sum_dim(1),
        false => windows,
    }
}

/// Checks that front ends with pooled filters share.
pub(super) struct Sizes {
    pub sample_rate: u32,
    pub filters: usize,
    pub length: usize,
    pub window_length: usize,
    pub hop_length: usize,
    /// Lower and upper end of the initial filters, in Hz.
    pub frequencies: (f64, f64),
    pub excerpt_samples: usize,
}

impl Sizes {
    /// # Errors
    /// Names the first invalid value.
    pub fn validate(&self) -> Result<(), ModelError> {
        super::check_sample_rate(self.sample_rate)?;
        in_range("filters", self.filters, 1, MAX_FILTERS)?;
        odd("length", self.length)?;
        odd("window_length", self.window_length)?;
        in_range("hop_length", self.hop_length, 1, 1 << 20)?;
        let (f_min, f_max) = self.frequencies;
        let nyquist = f64::from(self.sample_rate) / 2.0;
        in_range("f_max", f_max, 0.0, nyquist)?;
        let problem = format!("not between 0 Hz and f_max = {f_max}");
        ensure(
            (0.0..f_max).contains(&f_min),
            "f_min",
            f_min,
            problem,
            "lower f_min, or raise f_max",
        )?;
        let longest = self.length.max(self.window_length);
        match self.excerpt_samples < longest {
            true => Err(crate::error::excerpt_too_short(self.excerpt_samples, longest)),
            false => Ok(()),
        }
    }
}

/// `Ok` for lengths whose middle is a sample.
fn odd(key: &str, length: usize) -> Result<(), ModelError> {
    in_range(key, length, 3, LONGEST)?;
    let remedy = format!("set it to {} or {}", length - 1, length + 1);
    ensure(length % 2 == 1, key, length, "even, so that it has no middle", remedy)
}

/// Energies of a front end whose filters have that many samples, at every sample.
pub(super) fn pooled(
    waveforms: Tensor<2>,
    taps: Tensor<3>,
    pooling: &GaussianPooling,
    response: Response,
    band_limited: bool,
) -> Tensor<3> {
    let hop_length = pooling.settings.hop_length;
    let options = FilterbankOptions { stride: 1, hop_length, response, band_limited };
    band_energies(waveforms, taps, pooling.windows(), options)
}

/// [`band_energies`] as nodes; see [`Lower`](crate::onnx::Lower).
///
/// # Shapes
/// - `waveforms`: `[batch, sample]`; returns: `[batch, filter, frame]`
pub(super) fn lower(
    graph: &mut Graph,
    waveforms: &Value,
    taps: Tensor<3>,
    windows: Tensor<2>,
    options: FilterbankOptions,
) -> Value {
    let [filters, parts, length] = taps.dims();
    let [_, window] = windows.dims();
    let signal = graph.reshape(waveforms, &[1, waveforms.shape()[0]]);
    // The real parts of all filters, then the imaginary parts.
    let taps = numbers(taps.swap_dims(0, 1));
    let weights = ("front_end.filters", [parts * filters, 1, length], taps.as_slice());
    let strides = Windows { stride: options.stride, padding: (length - 1) / 2 };
    let responses = graph.conv(&signal, weights, None, strides);
    let energies = match options.response {
        Response::Squared => graph.binary("Mul", &responses, &responses),
        Response::Absolute => graph.unary("Abs", &responses),
    };
    let energies = match parts {
        1 => energies,
        _ => {
            let re = graph.slice(&energies, 1, 0, filters);
            let im = graph.slice(&energies, 1, filters, filters);
            graph.binary("Add", &re, &im)
        }
    };
    let windows = numbers(windows);
    let strides =
        Windows { stride: options.hop_length / options.stride, padding: (window - 1) / 2 };
    graph.depthwise(&energies, ("front_end.windows", window, &windows), strides)
}
