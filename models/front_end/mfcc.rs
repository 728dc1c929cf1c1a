//! Mel-frequency cepstral coefficients with their differences over time.
//!
//! P2 (van den Oord, Dieleman & Schrauwen 2013, Deep content-based music recommendation), section
//! on the bag-of-words representation: 13 coefficients from windows of 1024 samples with a hop of 512 at
//! 22 050 Hz, with first and second differences: 39 values per frame.
//!
//! The paper does not define them further. Here they are those of librosa: decibels of a mel power
//! spectrogram of 128 bands, limited to `top_db` below the maximum of the excerpt, an orthonormal
//! cosine transform (type II), and the slope and curvature of the least-squares line and parabola
//! over `delta_frames` frames, with the differences at the ends repeated.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::conv1d;
use burn::tensor::ops::{ConvOptions, PadMode};
use serde::{Deserialize, Serialize};

use super::mel::{Mel, MelConfig, PadKind};
use crate::ModelError;
use crate::error::{ensure, excerpt_too_short, in_range};
use crate::fitted::Constant;
use crate::onnx::{Graph, Padding, Value, Windows};

/// Settings of [`Mfcc`]; keys and meanings are those of librosa unless noted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MfccConfig {
    /// Sample rate of the audio, in Hz; 22050 by default.
    pub sample_rate: u32,
    /// Length of the Fourier transform and of the Hann window, in samples; 1024 by default.
    pub n_fft: usize,
    /// Distance between frames, in samples; 512 by default.
    pub hop_length: usize,
    /// Number of mel bands; 128 by default.
    pub n_mels: usize,
    /// Lower edge of the lowest band, in Hz; 0 by default.
    pub f_min: f64,
    /// Upper edge of the highest band, in Hz; half the sample rate by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f_max: Option<f64>,
    /// Number of coefficients, including the first, which is the level; 13 by default.
    pub n_mfcc: usize,
    /// Dynamic range below the maximum of an excerpt, in dB; 80 by default. Quieter values are raised to it.
    pub top_db: f64,
    /// Number of differences over time, 0 for none, 1 for the slope, 2 for slope and curvature; 2 by default.
    pub deltas: usize,
    /// Length of the window of a difference, in frames, an odd number; 9 by default.
    pub delta_frames: usize,
    /// Whether frame `t` is centred on sample `t * hop_length`, with zeros at both ends; false by default.
    pub center: bool,
}

impl Default for MfccConfig {
    fn default() -> Self {
        Self {
            sample_rate: 22_050,
            n_fft: 1_024,
            hop_length: 512,
            n_mels: 128,
            f_min: 0.0,
            f_max: None,
            n_mfcc: 13,
            top_db: 80.0,
            deltas: 2,
            delta_frames: 9,
            center: false,
        }
    }
}

/// Smallest power that is converted to decibels, as in librosa's `power_to_db`.
const LEAST_POWER: f64 = 1e-10;

impl MfccConfig {
    /// A small config for examples: 5 coefficients, windows of 64 samples.
    pub(crate) fn small() -> Self {
        Self {
            sample_rate: 16_000,
            n_fft: 64,
            hop_length: 32,
            n_mels: 12,
            n_mfcc: 5,
            delta_frames: 5,
            ..Self::default()
        }
    }

    /// Values per frame.
    pub fn bands(&self) -> usize {
        self.n_mfcc.saturating_mul(1 + self.deltas)
    }

    /// Frames in `samples` samples.
    pub fn frames(&self, samples: usize) -> usize {
        let frames = self.mel().frames(samples);
        // A difference over time needs a whole window.
        if self.deltas > 0 && frames < self.delta_frames { 0 } else { frames }
    }

    pub(super) fn mel(&self) -> MelConfig {
        MelConfig {
            sample_rate: self.sample_rate,
            n_fft: self.n_fft,
            hop_length: self.hop_length,
            n_mels: self.n_mels,
            f_min: self.f_min,
            f_max: self.f_max,
            center: self.center,
            pad_mode: PadKind::Constant,
            ..MelConfig::default()
        }
    }

    /// # Errors
    /// Names the first invalid value, or says that an excerpt is too short.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        self.mel().validate(excerpt_samples)?;
        in_range("n_mfcc", self.n_mfcc, 1, self.n_mels)?;
        in_range("top_db", self.top_db, 1.0, 1_000.0)?;
        in_range("deltas", self.deltas, 0, 2)?;
        in_range("delta_frames", self.delta_frames, 3, 1_001)?;
        let odd = !self.delta_frames.is_multiple_of(2);
        let remedy = "set it to an odd number; the default is 9";
        ensure(odd, "delta_frames", self.delta_frames, "even", remedy)?;
        if self.frames(excerpt_samples) == 0 {
            let needed = self.n_fft.saturating_add((self.delta_frames - 1) * self.hop_length);
            return Err(excerpt_too_short(excerpt_samples, needed));
        }
        Ok(())
    }

    /// # Errors
    /// If a value is invalid; see [`MfccConfig::validate`].
    pub fn init(&self) -> Result<Mfcc, ModelError> {
        let cosines = cosine_transform(self.n_mels, self.n_mfcc);
        let windows = match self.deltas {
            0 => None,
            count => {
                let both = [slope(self.delta_frames), curvature(self.delta_frames)];
                let windows = both[..count].concat();
                Some(Constant::new(windows, [count, 1, self.delta_frames]))
            }
        };
        Ok(Mfcc {
            mel: self.mel().init_linear()?,
            cosines: Constant::new(cosines, [self.n_mels, self.n_mfcc]),
            top_db: self.top_db,
            windows,
        })
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        let Self { n_mfcc, n_fft, hop_length, sample_rate, deltas, n_mels, .. } = self;
        let deltas =
            ["", ", first differences", ", first and second differences"][(*deltas).min(2)];
        format!(
            "{n_mfcc} MFCCs of {n_mels} bands{deltas}, window {n_fft}, hop {hop_length}, {sample_rate} Hz"
        )
    }
}

/// The first columns of the orthonormal cosine transform of type II, `[band, coefficient]`.
fn cosine_transform(bands: usize, coefficients: usize) -> Vec<f32> {
    let n = bands as f64;
    let mut matrix = Vec::with_capacity(bands * coefficients);
    for band in 0..bands {
        for k in 0..coefficients {
            let scale = if k == 0 { (1.0 / n).sqrt() } else { (2.0 / n).sqrt() };
            let phase = std::f64::consts::PI * k as f64 * (band as f64 + 0.5) / n;
            matrix.push((scale * phase.cos()) as f32);
        }
    }
    matrix
}

/// Weights for the slope of the least-squares line through `frames` values.
fn slope(frames: usize) -> Vec<f32> {
    let half = (frames / 2) as i64;
    let squares: i64 = (-half..=half).map(|k| k * k).sum();
    (-half..=half).map(|k| (k as f64 / squares as f64) as f32).collect()
}

/// Weights for the second derivative of the least-squares parabola through `frames` values.
fn curvature(frames: usize) -> Vec<f32> {
    let half = (frames / 2) as i64;
    let square = |k: i64| (k * k) as f64;
    let mean = (-half..=half).map(square).sum::<f64>() / frames as f64;
    let norm: f64 = (-half..=half).map(|k| (square(k) - mean).powi(2)).sum();
    (-half..=half).map(|k| (2.0 * (square(k) - mean) / norm) as f32).collect()
}

/// Waveforms to cepstral coefficients. Has no parameters, so a record does not contain it.
#[derive(Module, Debug)]
pub struct Mfcc {
    mel: Mel,
    /// `[band, coefficient]`
    #[module(skip)]
    cosines: Constant<2>,
    #[module(skip)]
    top_db: f64,
    /// `[difference, 1, frame]`
    #[module(skip)]
    windows: Option<Constant<3>>,
}

impl Mfcc {
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`
    /// - returns: `[batch, coefficient, frame]`: the coefficients, their slopes, their curvatures
    pub fn forward(&self, waveforms: Tensor<2>) -> Tensor<3> {
        let device = waveforms.device();
        let power = self.mel.forward(waveforms); // [batch, band, frame]
        let decibels =
            power.clamp_min(LEAST_POWER).log().mul_scalar(10.0 / std::f64::consts::LN_10);
        let loudest = decibels.clone().max_dim(1).max_dim(2); // [batch, 1, 1]
        let decibels = decibels.max_pair(loudest.sub_scalar(self.top_db));
        let [batch, bands, frames] = decibels.dims();
        // [batch, frame, band] . [band, coefficient], as one tall product
        let flat = decibels.swap_dims(1, 2).reshape([batch * frames, bands]);
        let [_, coefficients] = self.cosines.shape();
        let cepstrum = flat.matmul(self.cosines.on(&device));
        let cepstrum = cepstrum.reshape([batch, frames, coefficients]).swap_dims(1, 2);
        let Some(windows) = &self.windows else { return cepstrum };

        let [count, _, length] = windows.shape();
        let rows = cepstrum.clone().reshape([batch * coefficients, 1, frames]);
        let options = ConvOptions::new([1], [0], [1], 1);
        let inner = conv1d(rows, windows.on(&device), None, options); // [row, difference, frame - length + 1]
        let inner = inner.pad([(length / 2, length / 2)], PadMode::Edge);
        let inner = inner.reshape([batch, coefficients, count, frames]);
        let differences = inner.swap_dims(1, 2).reshape([batch, count * coefficients, frames]);
        Tensor::cat(vec![cepstrum, differences], 1)
    }

    /// `[batch, sample]` to `[batch, coefficient, frame]`; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(&self, graph: &mut Graph, waveforms: &Value) -> Value {
        let power = self.mel.lower(graph, waveforms); // [batch, band, frame]
        let frames = power.shape()[1];
        let floored = graph.scalar("Max", &power, LEAST_POWER);
        let logs = graph.unary("Log", &floored);
        let decibels = graph.scalar("Mul", &logs, 10.0 / std::f64::consts::LN_10);
        let loudest = graph.reduce("ReduceMax", &decibels, 1, true);
        let loudest = graph.reduce("ReduceMax", &loudest, 2, true);
        let least = graph.scalar("Sub", &loudest, self.top_db);
        let decibels = graph.binary("Max", &decibels, &least);
        let by_frame = graph.transpose(&decibels, &[0, 2, 1]);
        let cepstrum = graph.affine("cosines", &by_frame, self.cosines.values(), None);
        let cepstrum = graph.transpose(&cepstrum, &[0, 2, 1]);
        let Some(windows) = &self.windows else { return cepstrum };

        let coefficients = cepstrum.shape()[0];
        let [count, _, length] = windows.shape();
        let rows = graph.reshape(&cepstrum, &[1, frames]);
        let weights = ("differences", windows.shape(), windows.values());
        let inner = graph.conv(&rows, weights, None, Windows { stride: 1, padding: 0 });
        let inner = graph.pad(&inner, length / 2, Padding::Edge);
        let inner = graph.reshape(&inner, &[coefficients, count, frames]);
        let inner = graph.transpose(&inner, &[0, 2, 1, 3]);
        let differences = graph.reshape(&inner, &[count * coefficients, frames]);
        graph.cat(&[cepstrum, differences], 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_lines_and_parabolas_are_exact() {
        for frames in [3, 5, 9, 15] {
            let at = |f: &dyn Fn(f64) -> f64, weights: Vec<f32>| -> f64 {
                let half = (frames / 2) as i64;
                (-half..=half).zip(weights).map(|(k, w)| f64::from(w) * f(k as f64)).sum()
            };
            let line = |t: f64| 3.0 - 0.25 * t;
            let parabola = |t: f64| 1.0 + 2.0 * t + 0.5 * t * t;
            assert!((at(&line, slope(frames)) + 0.25).abs() < 1e-5);
            assert!(at(&line, curvature(frames)).abs() < 1e-5);
            assert!((at(&parabola, slope(frames)) - 2.0).abs() < 1e-5);
            assert!((at(&parabola, curvature(frames)) - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn cosine_transform_is_orthonormal() {
        let matrix = cosine_transform(8, 8);
        for i in 0..8 {
            for j in 0..8 {
                let product: f32 = (0..8).map(|k| matrix[i * 8 + k] * matrix[j * 8 + k]).sum();
                assert!((product - f32::from(u8::from(i == j))).abs() < 1e-6);
            }
        }
    }
}
