//! A strided convolution on raw audio: the front end with learned filters.
//!
//! P3 (Dieleman & Schrauwen 2014, End-to-end learning for music audio), sections on raw audio,
//! on the non-linearity and on feature pooling. Each band is
//!
//! ```text
//! y = f(pool(w_1 * x, ..., w_size * x) + b)
//! ```
//!
//! the strided convolution (`*`) of the waveform with `size` neighbouring filters, pooled into one
//! value, then a bias and a non-linearity. Without pooling, `size` is 1 and this is an ordinary
//! convolutional layer.
//!
//! - `pool`: `l2` is the root of the sum of squares, which makes a pair of filters in quadrature
//!   invariant to phase; `max` is the maximum. The published figure of filters shows `l2` with pools
//!   of 4.
//!   `squared` is the sum of squares: the squared modulus of a complex filter for pools of 2.
//! - `initial`: `gabor` starts neighbouring filters as the real and the imaginary part of a Gabor filter, with centre
//!   frequencies equally spaced on the mel scale; with `squared` pools of 2, this is nearly a time-domain filterbank
//!   (Zeghidour et al. 2018) without low-pass filter.
//! - `activation`: `relu` as everywhere in the paper; `log` is log(1 + C y^2), which imitates the
//!   compression of the spectrogram. The paper tried a logarithm, which did not help; this form of it
//!   is recalled from memory (unsure).
//!
//! Choices where the paper's are not known: pooling precedes bias and non-linearity. A bias inside an L2
//! pool, or a rectifier before it, would break the phase invariance; for `max` with `relu` the order makes
//! no difference. `filters` counts filters, not bands, so that 128 bands in pools of 4 need 512.
//!
//! To reproduce on MagnaTagATune with 128 filters (ROC-AUC): 0.8487 for length and stride 256,
//! 0.8366 for 1024; recalled from memory (unsure), at 1024: `log` 0.7508, L2 pools of 2 or 4
//! 0.8387, max pools of 2 0.8183, of 4 0.8280.

use burn::module::{Initializer, Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use kernels::bands::{self, BandOptions, bands};
use kernels::feature_pool::FeaturePooling;
use serde::{Deserialize, Serialize};

use super::gaussian::{Gabors, sigma_range};
use super::{check_sample_rate, output_length};
use crate::ModelError;
use crate::error::{ensure, excerpt_too_short, fits_memory, in_range};
use crate::layers::init::he_uniform;
use crate::onnx::{Graph, Value, Windows, numbers};

/// Added to a sum of squares before its root, whose slope at 0 is infinite. The root of 0 becomes 1e-6, and
/// the slope never exceeds 1.
pub(crate) const ROOT_FLOOR: f64 = 1e-12;

/// Settings of [`Strided`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StridedConfig {
    /// Sample rate of the audio, in Hz; 16000 by default.
    pub sample_rate: u32,
    /// Number of filters of the convolution; 128 by default. Pooling makes fewer bands of them.
    pub filters: usize,
    /// Length of a filter, in samples; 256 by default.
    pub length: usize,
    /// Distance between frames, in samples; 256 by default.
    pub stride: usize,
    /// Initial filters; `"random"` by default.
    // Omitted if it is the default, so that experiments keep the names that they had before this key.
    #[serde(skip_serializing_if = "StridedInitial::is_random")]
    pub initial: StridedInitial,
    /// Non-linearity after the convolution; `"relu"` by default.
    pub activation: Activation,
    /// `C` of the `log` activation; 10000 by default.
    pub compression: f64,
    /// Pooling of neighbouring filters; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<FeaturePool>,
}

/// The initial filters.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum StridedInitial {
    /// Uniformly random taps.
    #[default]
    Random,
    /// Pairs of neighbouring filters are the real and the imaginary part of Gabor filters, equally spaced on the mel
    /// scale. Their norms are those of random filters.
    Gabor,
}

impl StridedInitial {
    fn is_random(&self) -> bool {
        *self == Self::Random
    }
}

/// The non-linearity after the convolution.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// max(0, y).
    #[default]
    Relu,
    /// log(1 + C y^2), natural logarithm; log(1 + C max(0, y)) after `squared` pools.
    Log,
}

/// Pooling of neighbouring filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeaturePool {
    /// Kind of pooling; required.
    pub kind: PoolKind,
    /// Number of neighbouring filters that are pooled into one band; required.
    pub size: usize,
}

/// The value that replaces the filters of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PoolKind {
    /// The root of the sum of squares.
    L2,
    /// The sum of squares.
    Squared,
    /// The maximum.
    Max,
}

impl PoolKind {
    /// The name in reports.
    pub fn title(self) -> &'static str {
        match self {
            PoolKind::L2 => "L2",
            PoolKind::Squared => "squared",
            PoolKind::Max => "max",
        }
    }

    fn pooling(self) -> FeaturePooling {
        match self {
            // `Strided::forward` squares the root.
            PoolKind::L2 | PoolKind::Squared => FeaturePooling::L2 { floor: ROOT_FLOOR as f32 },
            PoolKind::Max => FeaturePooling::Max,
        }
    }
}

impl Default for StridedConfig {
    fn default() -> Self {
        Self {
            sample_rate: 16_000,
            filters: 128,
            length: 256,
            stride: 256,
            initial: StridedInitial::Random,
            activation: Activation::Relu,
            compression: 10_000.0,
            pool: None,
        }
    }
}

impl StridedConfig {
    fn pool_size(&self) -> usize {
        self.pool.map_or(1, |pool| pool.size)
    }

    /// Bands of the output: filters, or pools of filters.
    pub fn bands(&self) -> usize {
        self.filters.checked_div(self.pool_size()).unwrap_or(0)
    }

    /// # Errors
    /// Names the first invalid value, or says that an excerpt is too short.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        check_sample_rate(self.sample_rate)?;
        in_range("filters", self.filters, 1, 65_536)?;
        in_range("length", self.length, 1, 1 << 20)?;
        in_range("stride", self.stride, 1, 1 << 20)?;
        in_range("compression", self.compression, 1e-6, 1e12)?;
        fits_memory("filters", self.filters, &[self.filters, self.length])?;
        if let Some(pool) = self.pool {
            in_range("pool.size", pool.size, 1, self.filters)?;
            let problem = format!("{} filters cannot be divided into such pools", self.filters);
            let divides = self.filters.is_multiple_of(pool.size);
            ensure(divides, "pool.size", pool.size, problem, "make filters a multiple of it")?;
        }
        if output_length(excerpt_samples, self.length, self.stride) == 0 {
            return Err(excerpt_too_short(excerpt_samples, self.length));
        }
        Ok(())
    }

    /// The layer with its initial filters and biases of 0.
    pub fn init(&self, device: &Device) -> Strided {
        let shape = [self.filters, 1, self.length];
        Strided {
            weight: match self.initial {
                StridedInitial::Random => he_uniform(shape, self.length, device),
                StridedInitial::Gabor => {
                    Param::from_data(TensorData::new(self.gabor_filters(), shape), device)
                }
            },
            bias: Initializer::Zeros.init([self.bands()], device),
            stride: self.stride,
            activation: self.activation,
            compression: self.compression,
            pool: self.pool,
        }
    }

    /// Gabor filters between 60 Hz and 0.4875 of the sample rate (7.8 kHz at 16 kHz), `[filter, tap]`.
    fn gabor_filters(&self) -> Vec<f32> {
        let range = (60.0, 0.4875 * f64::from(self.sample_rate));
        let Gabors { mu, sigma } =
            Gabors::new(self.sample_rate, self.filters.div_ceil(2), range, true);
        let longest = sigma_range(self.length).1;
        let filter = |at: usize| -> Vec<f32> {
            let (mu, sigma) = (mu[at / 2], sigma[at / 2].min(longest));
            let tap = |k: usize| {
                let t = k as f64 - (self.length - 1) as f64 / 2.0;
                let wave = if at.is_multiple_of(2) { (mu * t).cos() } else { (mu * t).sin() };
                (-0.5 * (t / sigma).powi(2)).exp() * wave
            };
            let taps: Vec<f64> = (0..self.length).map(tap).collect();
            // The expected sum of squares of He's distribution is 2. A filter of one tap has no imaginary part.
            let squares: f64 = taps.iter().map(|x| x * x).sum();
            let scale = if squares > 0.0 { (2.0 / squares).sqrt() } else { 0.0 };
            taps.iter().map(|x| (scale * x) as f32).collect()
        };
        (0..self.filters).flat_map(filter).collect()
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        let Self { filters, length, stride, sample_rate, .. } = self;
        let initial = match self.initial {
            StridedInitial::Random => "",
            StridedInitial::Gabor => "initially Gabor filters, ",
        };
        let pool = self.pool.map_or_else(String::new, |FeaturePool { kind, size }| {
            format!(", {} pools of {size}", kind.title())
        });
        let activation = match self.activation {
            Activation::Relu => "relu".into(),
            Activation::Log => format!("log(1 + {} y^2)", self.compression),
        };
        format!(
            "raw audio, {filters} filters, {initial}length {length}, stride {stride}{pool}, {activation}, \
             {sample_rate} Hz"
        )
    }
}

/// The learned filters of a front end on raw audio.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedFilters {
    /// `[filter, tap]`, row-major.
    pub weights: Vec<f32>,
    /// Length of a filter in samples.
    pub length: usize,
    /// Pooling of neighbouring filters into bands, if any.
    pub pool: Option<FeaturePool>,
}

impl LearnedFilters {
    /// The filters in order.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.weights.chunks_exact(self.length.max(1))
    }
}

/// Raw audio to bands; see the module documentation.
#[derive(Module, Debug)]
pub struct Strided {
    /// `[filter, 1, tap]`
    weight: Param<Tensor<3>>,
    /// `[band]`
    bias: Param<Tensor<1>>,
    stride: usize,
    #[module(skip)]
    activation: Activation,
    compression: f64,
    #[module(skip)]
    pool: Option<FeaturePool>,
}

impl Strided {
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`
    /// - returns: `[batch, band, frame]`
    pub fn forward(&self, waveforms: Tensor<2>) -> Tensor<3> {
        let x = waveforms.unsqueeze_dim(1); // [batch, 1, sample]
        if let Some(FeaturePool { kind: PoolKind::Squared, size }) = self.pool {
            let pool = Some((size, PoolKind::Squared.pooling()));
            let options =
                BandOptions { stride: self.stride, pool, activation: bands::Activation::Relu };
            let none = self.bias.val().zeros_like();
            let squares = bands(x, self.weight.val(), none, options).square();
            let y = relu(squares + self.bias.val().reshape([1, -1, 1]));
            return match self.activation {
                Activation::Relu => y,
                Activation::Log => y.mul_scalar(self.compression).log1p(),
            };
        }
        let options = BandOptions {
            stride: self.stride,
            pool: self.pool.map(|FeaturePool { kind, size }| (size, kind.pooling())),
            activation: match self.activation {
                Activation::Relu => bands::Activation::Relu,
                Activation::Log => bands::Activation::Log { compression: self.compression as f32 },
            },
        };
        bands(x, self.weight.val(), self.bias.val(), options)
    }

    /// A copy of the filters.
    pub fn filters(&self) -> LearnedFilters {
        let [_, _, length] = self.weight.dims();
        LearnedFilters { weights: numbers(self.weight.val()), length, pool: self.pool }
    }

    /// `[batch, sample]` to `[batch, band, frame]`; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(&self, graph: &mut Graph, waveforms: &Value) -> Value {
        let signal = graph.reshape(waveforms, &[1, waveforms.shape()[0]]);
        let (weight, bias) = (numbers(self.weight.val()), numbers(self.bias.val()));
        let weights = ("front_end", self.weight.dims(), weight.as_slice());
        let windows = Windows { stride: self.stride, padding: 0 };
        let x = match self.pool {
            None => graph.conv(&signal, weights, Some(&bias), windows),
            Some(FeaturePool { kind, size }) => {
                let x = graph.conv(&signal, weights, None, windows);
                let groups = graph.reshape(&x, &[bias.len(), size, x.shape()[1]]);
                let pooled = match kind {
                    PoolKind::Max => graph.reduce("ReduceMax", &groups, 2, false),
                    PoolKind::L2 | PoolKind::Squared => {
                        let squares = graph.binary("Mul", &groups, &groups);
                        let sum = graph.sum(&squares, 2, false);
                        let sum = graph.scalar("Add", &sum, ROOT_FLOOR);
                        match kind {
                            PoolKind::L2 => graph.unary("Sqrt", &sum),
                            _ => sum,
                        }
                    }
                };
                let bias = graph.weights("front_end.bias", &[bias.len(), 1], &bias);
                graph.with("Add", &pooled, &bias)
            }
        };
        match self.activation {
            Activation::Relu => graph.relu(&x),
            Activation::Log => {
                let squares = match self.pool {
                    Some(FeaturePool { kind: PoolKind::Squared, .. }) => graph.relu(&x),
                    _ => graph.binary("Mul", &x, &x),
                };
                let scaled = graph.scalar("Mul", &squares, self.compression);
                let scaled = graph.scalar("Add", &scaled, 1.0);
                graph.unary("Log", &scaled)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(config: &StridedConfig, weight: &[f32], bias: &[f32], x: &[f32]) -> Vec<f32> {
        let device = Device::flex();
        let mut layer = config.init(&device);
        let shape = [config.filters, 1, config.length];
        layer.weight = Param::from_data(TensorData::new(weight.to_vec(), shape), &device);
        layer.bias = Param::from_data(TensorData::new(bias.to_vec(), [bias.len()]), &device);
        let x = Tensor::from_data(TensorData::new(x.to_vec(), [1, x.len()]), &device);
        layer.forward(x).into_data().try_to_vec().unwrap()
    }

    /// Two filters of two taps, stride 2, on four samples: responses [5, -7] and [-1, 2].
    const WEIGHT: [f32; 4] = [1.0, 2.0, 1.0, -1.0];
    const WAVEFORM: [f32; 4] = [1.0, 2.0, -1.0, -3.0];

    fn config() -> StridedConfig {
        StridedConfig { filters: 2, length: 2, stride: 2, ..Default::default() }
    }

    fn close(actual: &[f32], expected: &[f32]) {
        assert_eq!(actual.len(), expected.len());
        for (a, e) in actual.iter().zip(expected) {
            assert!((a - e).abs() <= 1e-5 * e.abs().max(1.0), "{actual:?}, expected {expected:?}");
        }
    }

    #[test]
    fn relu_and_log_match_a_calculation_by_hand() {
        close(&run(&config(), &WEIGHT, &[0.5, -0.5], &WAVEFORM), &[5.5, 0.0, 0.0, 1.5]);
        let log = StridedConfig { activation: Activation::Log, compression: 10.0, ..config() };
        let expected = [25.0, 49.0, 2.25, 2.25].map(|y: f32| (1.0 + 10.0 * y).ln());
        close(&run(&log, &WEIGHT, &[0.0, -0.5], &WAVEFORM), &expected);
    }

    #[test]
    fn pools_match_a_calculation_by_hand() {
        let pool = |kind| StridedConfig { pool: Some(FeaturePool { kind, size: 2 }), ..config() };
        let l2 = [26.0_f32.sqrt() + 0.25, 53.0_f32.sqrt() + 0.25];
        close(&run(&pool(PoolKind::L2), &WEIGHT, &[0.25], &WAVEFORM), &l2);
        close(&run(&pool(PoolKind::Max), &WEIGHT, &[-0.5], &WAVEFORM), &[4.5, 1.5]);
        assert_eq!(pool(PoolKind::L2).bands(), 1);
        close(&run(&pool(PoolKind::Squared), &WEIGHT, &[-30.0], &WAVEFORM), &[0.0, 23.0]);
        let log = StridedConfig {
            activation: Activation::Log,
            compression: 10.0,
            ..pool(PoolKind::Squared)
        };
        close(&run(&log, &WEIGHT, &[-30.0], &WAVEFORM), &[0.0, 231.0_f32.ln()]);
    }

    #[test]
    fn gabor_filters_respond_most_at_their_frequencies() {
        let pool = Some(FeaturePool { kind: PoolKind::Squared, size: 2 });
        let config = StridedConfig {
            filters: 20,
            length: 512,
            stride: 256,
            initial: StridedInitial::Gabor,
            pool,
            ..Default::default()
        };
        let layer = config.init(&Device::flex());
        let norms = layer.filters();
        for taps in norms.iter() {
            let squares: f32 = taps.iter().map(|x| x * x).sum();
            assert!((squares - 2.0).abs() < 1e-4, "{squares}");
        }
        // Centres: HTK mels between 60 Hz and 7.8 kHz.
        let mel = |hz: f64| 2595.0 * (1.0 + hz / 700.0).log10();
        let (low, high) = (mel(60.0), mel(7_800.0));
        for band in 0..10 {
            let centre = low + (high - low) * (band + 1) as f64 / 11.0;
            let hz = 700.0 * (10.0_f64.powf(centre / 2595.0) - 1.0);
            let tone: Vec<f32> = (0..1_024)
                .map(|i| (std::f64::consts::TAU * hz * i as f64 / 16_000.0).sin() as f32)
                .collect();
            let x = Tensor::from_data(TensorData::new(tone, [1, 1_024]), &Device::flex());
            let response: Vec<f32> =
                layer.forward(x).narrow(2, 1, 1).into_data().try_to_vec().unwrap();
            let best = (0..10).max_by(|a, b| response[*a].total_cmp(&response[*b])).unwrap();
            assert_eq!(best, band, "{response:?}");
        }
    }

    #[test]
    fn l2_pool_of_a_quadrature_pair_is_invariant_to_phase() {
        let length = 64;
        let tone = |phase: f32, i: usize| {
            (std::f32::consts::TAU * 4.0 * i as f32 / length as f32 + phase).cos()
        };
        let weight: Vec<f32> = [0.0, std::f32::consts::FRAC_PI_2]
            .iter()
            .flat_map(|&phase| (0..length).map(move |i| tone(phase, i)))
            .collect();
        let pool = Some(FeaturePool { kind: PoolKind::L2, size: 2 });
        let config =
            StridedConfig { filters: 2, length, stride: length, pool, ..Default::default() };
        for phase in [0.0, 0.4, 1.3, 2.9] {
            let x: Vec<f32> = (0..length).map(|i| tone(phase, i)).collect();
            close(&run(&config, &weight, &[0.0], &x), &[32.0]);
        }
    }
}
