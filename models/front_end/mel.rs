//! Log-mel spectrogram, a front end without learned weights.
//!
//! P3 (Dieleman & Schrauwen 2014, End-to-end learning for music audio), section on the
//! spectrogram input: 128 mel bands, log(1 + 10 000 x). The window of 512 and the hop of 256 samples
//! at 16 kHz follow other implementations; the paper compares several of both. Mel scale and
//! normalisation are the defaults of librosa (Slaney), since those of the paper are not known.
//!
//! With the network of [`tagger`](crate::networks::tagger), the paper reports ROC-AUC 0.8815 on
//! MagnaTagATune (window and hop 256) and 0.8690 (1024 and 1024).

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;
use kernels::mel::{Exponent, MAX_N_FFT, MelPlan, ROOT_FLOOR, log_mel};
use serde::{Deserialize, Serialize};

use super::filterbank::{FilterNorm, MelScale, mel_filters};
use super::{check_sample_rate, output_length};
use crate::ModelError;
use crate::error::{ensure, excerpt_too_short, in_range};
use crate::onnx::{Graph, LARGEST_BASIS, Padding, Value, Windows, transposed};

/// Settings of [`Mel`]; keys, defaults and meanings are those of librosa unless noted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MelConfig {
    /// Sample rate of the audio, in Hz; 16000 by default.
    pub sample_rate: u32,
    /// Length of the Fourier transform, in samples, any number and not only powers of two; 512 by default.
    pub n_fft: usize,
    /// Length of the Hann window, in samples, centred in the transform; `n_fft` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub win_length: Option<usize>,
    /// Distance between frames, in samples; 256 by default.
    pub hop_length: usize,
    /// Number of mel bands; 128 by default.
    pub n_mels: usize,
    /// Lower edge of the lowest band, in Hz; 0 by default.
    pub f_min: f64,
    /// Upper edge of the highest band, in Hz; half the sample rate by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f_max: Option<f64>,
    /// Mel scale, which sets the spacing of the bands; `"slaney"` by default.
    pub mel_scale: MelScale,
    /// Scale of the filters; `"slaney"` by default, which gives them equal areas.
    pub norm: FilterNorm,
    /// Exponent of the spectrum, 2 for power or 1 for magnitude; 2 by default.
    pub power: f64,
    /// `C` in the compression log(1 + C x), natural logarithm; 10000 by default.
    pub compression: f64,
    /// Whether frame `t` is centred on sample `t * hop_length`, with `n_fft / 2` samples of padding at both
    /// ends; false by default, unlike in librosa, so that frame `t` begins there.
    pub center: bool,
    /// Padding at the ends if `center` is true; `"constant"` by default.
    pub pad_mode: PadKind,
}

/// Padding at the ends of the waveform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PadKind {
    /// Zeros.
    #[default]
    Constant,
    /// The waveform mirrored without repeating its last sample.
    Reflect,
}

impl Default for MelConfig {
    fn default() -> Self {
        Self {
            sample_rate: 16_000,
            n_fft: 512,
            win_length: None,
            hop_length: 256,
            n_mels: 128,
            f_min: 0.0,
            f_max: None,
            mel_scale: MelScale::Slaney,
            norm: FilterNorm::Slaney,
            power: 2.0,
            compression: 10_000.0,
            center: false,
            pad_mode: PadKind::Constant,
        }
    }
}

/// Largest number of bands.
const MAX_MELS: usize = 4_096;

impl MelConfig {
    /// A small spectrogram for examples: 12 bands, windows of 64 samples.
    pub(crate) fn small() -> Self {
        Self { n_fft: 64, hop_length: 32, n_mels: 12, ..Self::default() }
    }

    /// Length of the window in samples.
    pub fn window_length(&self) -> usize {
        self.win_length.unwrap_or(self.n_fft)
    }

    /// Upper edge of the highest band, in Hz.
    pub fn highest_frequency(&self) -> f64 {
        self.f_max.unwrap_or(f64::from(self.sample_rate) / 2.0)
    }

    /// Frames in `samples` samples.
    pub fn frames(&self, samples: usize) -> usize {
        let padding = if self.center { 2 * (self.n_fft / 2) } else { 0 };
        output_length(samples.saturating_add(padding), self.n_fft, self.hop_length)
    }

    /// # Errors
    /// Names the first invalid value, or says that an excerpt is too short.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        check_sample_rate(self.sample_rate)?;
        in_range("n_fft", self.n_fft, 1, MAX_N_FFT)?;
        let length = self.window_length();
        let remedy = format!("set it to 1 or more, up to {}, or raise n_fft", self.n_fft);
        let fits = (1..=self.n_fft).contains(&length);
        ensure(fits, "win_length", length, "does not fit into n_fft", remedy)?;
        in_range("hop_length", self.hop_length, 1, 1 << 24)?;
        in_range("n_mels", self.n_mels, 1, MAX_MELS)?;
        let nyquist = f64::from(self.sample_rate) / 2.0;
        in_range("f_min", self.f_min, 0.0, nyquist)?;
        if let Some(f_max) = self.f_max {
            in_range("f_max", f_max, 0.0, nyquist)?;
        }
        // The distance of neighbouring edges is a divisor, which rounding must not make 0.
        let f_max = self.highest_frequency();
        let problem = format!("leaves no room for a band below f_max = {f_max}");
        let room = f_max - self.f_min >= 1.0;
        ensure(room, "f_min", self.f_min, problem, "lower it, or raise f_max")?;
        let remedy = "set it to 2.0 (power) or 1.0 (magnitude)";
        ensure([1.0, 2.0].contains(&self.power), "power", self.power, "not supported", remedy)?;
        in_range("compression", self.compression, 1e-6, 1e12)?;
        if self.center && self.pad_mode == PadKind::Reflect && excerpt_samples <= self.n_fft / 2 {
            // A reflection cannot be longer than the signal.
            return Err(excerpt_too_short(excerpt_samples, self.n_fft / 2 + 1));
        }
        if excerpt_samples == 0 || self.frames(excerpt_samples) == 0 {
            return Err(excerpt_too_short(excerpt_samples, self.n_fft));
        }
        Ok(())
    }

    /// Number of bands that lie between two frequencies of the Fourier transform and are therefore always 0.
    pub fn empty_bands(&self) -> usize {
        let bins = self.n_fft / 2 + 1;
        let filters = self.filters();
        filters.chunks_exact(bins).filter(|band| band.iter().all(|&weight| weight == 0.0)).count()
    }

    /// The filters, `[band, bin]`.
    fn filters(&self) -> Vec<f32> {
        let range = (self.f_min, self.highest_frequency());
        mel_filters(self.sample_rate, self.n_fft, self.n_mels, range, self.mel_scale, self.norm)
    }

    /// # Errors
    /// If a value is invalid; see [`MelConfig::validate`].
    pub fn init(&self) -> Result<Mel, ModelError> {
        self.init_compressed(Some(self.compression as f32))
    }

    /// A spectrogram without the logarithm.
    pub(super) fn init_linear(&self) -> Result<Mel, ModelError> {
        self.init_compressed(None)
    }

    fn init_compressed(&self, compression: Option<f32>) -> Result<Mel, ModelError> {
        let filters = self.filters();
        let exponent = if self.power == 1.0 { Exponent::Magnitude } else { Exponent::Power };
        let window = hann_window(self.window_length(), self.n_fft);
        let plan = MelPlan::new(window, self.hop_length, &filters, exponent, compression);
        let plan = plan.map_err(|error| {
            ModelError::new("mel", self.n_mels, error.to_string(), "correct the front end")
        })?;
        let padding = self.center.then_some(self.pad_mode);
        Ok(Mel { plan: Arc::new(plan), padding })
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        let Self { n_mels, hop_length, sample_rate, compression, .. } = self;
        let window = self.window_length();
        format!(
            "mel spectrogram, {n_mels} bands, window {window}, hop {hop_length}, \
             {sample_rate} Hz, log(1 + {compression} x)"
        )
    }
}

/// Periodic Hann window of `length` samples, centred in `n_fft` samples and padded with zeros.
fn hann_window(length: usize, n_fft: usize) -> Vec<f32> {
    let mut window = vec![0.0; n_fft];
    let start = (n_fft - length) / 2;
    for (i, value) in window[start..start + length].iter_mut().enumerate() {
        let phase = std::f64::consts::TAU * i as f64 / length as f64;
        // The formula gives 0 for a window of one sample.
        *value = if length == 1 { 1.0 } else { (0.5 - 0.5 * phase.cos()) as f32 };
    }
    window
}

/// Waveforms to log-mel spectrograms, on the device of the waveforms.
///
/// Has no parameters, so a record does not contain it: its constants follow from the config.
#[derive(Module, Debug)]
pub struct Mel {
    #[module(skip)]
    plan: Arc<MelPlan>,
    #[module(skip)]
    padding: Option<PadKind>,
}

impl Mel {
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`
    /// - returns: `[batch, n_mels, frame]`
    pub fn forward(&self, waveforms: Tensor<2>) -> Tensor<3> {
        let waveforms = match self.padding {
            None => waveforms,
            Some(kind) => {
                let half = self.plan.n_fft() / 2;
                let mode = match kind {
                    PadKind::Constant => PadMode::Constant(0.0),
                    PadKind::Reflect => PadMode::Reflect,
                };
                waveforms.pad([(half, half)], mode)
            }
        };
        log_mel(waveforms, &self.plan)
    }

    /// The constants of the transform.
    pub fn plan(&self) -> &MelPlan {
        &self.plan
    }

    /// `[batch, sample]` to `[batch, band, frame]`; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(&self, graph: &mut Graph, waveforms: &Value) -> Value {
        let plan = &self.plan;
        let (n_fft, bins, bands) = (plan.n_fft(), plan.n_bins(), plan.n_bands());
        let x = match self.padding {
            None => waveforms.clone(),
            Some(PadKind::Constant) => graph.pad(waveforms, n_fft / 2, Padding::Zeros),
            Some(PadKind::Reflect) => graph.pad(waveforms, n_fft / 2, Padding::Reflect),
        };
        // Squares of the real parts, then of the imaginary parts: [2 bin, frame].
        let squares = if n_fft <= LARGEST_BASIS || !n_fft.is_power_of_two() {
            let signal = graph.reshape(&x, &[1, x.shape()[0]]);
            let basis = transposed(&plan.fourier_basis(), 2 * bins);
            let windows = Windows { stride: plan.hop_length(), padding: 0 };
            let weights = ("fourier_basis", [2 * bins, 1, n_fft], basis.as_slice());
            let spectrum = graph.conv(&signal, weights, None, windows);
            graph.binary("Mul", &spectrum, &spectrum)
        } else {
            let spectrum = graph.stft(&x, plan.window(), plan.hop_length());
            let frames = spectrum.shape()[0];
            let parts = graph.transpose(&spectrum, &[0, 3, 2, 1]);
            let parts = graph.reshape(&parts, &[2 * bins, frames]);
            graph.binary("Mul", &parts, &parts)
        };
        let size = match plan.exponent() {
            Exponent::Power => squares,
            Exponent::Magnitude => {
                let re = graph.slice(&squares, 1, 0, bins);
                let im = graph.slice(&squares, 1, bins, bins);
                let power = graph.binary("Add", &re, &im);
                let power = graph.scalar("Add", &power, f64::from(ROOT_FLOOR));
                graph.unary("Sqrt", &power)
            }
        };
        // log(1 + C m): the filters contain C, and the bias is 1.
        let scale = plan.compression().unwrap_or(1.0);
        let filters: Vec<f32> =
            transposed(&plan.filters_transposed(), bands).iter().map(|f| scale * f).collect();
        // The power is the sum of both squares, which therefore have the same filters.
        let times = size.shape()[0] / bins;
        let rows = filters.chunks_exact(bins).flat_map(|row| row.repeat(times));
        let rows: Vec<f32> = rows.collect();
        let ones = vec![1.0; bands];
        let bias = plan.compression().map(|_| ones.as_slice());
        let weights = ("mel_filters", [bands, times * bins, 1], rows.as_slice());
        let bands = graph.conv(&size, weights, bias, Windows { stride: 1, padding: 0 });
        match plan.compression() {
            Some(_) => graph.unary("Log", &bands),
            None => bands,
        }
    }
}
