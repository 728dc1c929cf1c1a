//! Gaussian and Laplacian pyramids of a mel spectrogram: levels of decreasing time resolution.
//!
//! P1 (Dieleman & Schrauwen 2013, Multiscale approaches to music audio feature learning), section on
//! pyramids, after Burt & Adelson (1983), The Laplacian pyramid as a compact image code. Only time is
//! smoothed and halved: level `k + 1` is every second frame of level `k` smoothed with a kernel. A
//! Laplacian level is the difference between a Gaussian level and the next one expanded to its length (zeros
//! between the frames, twice the kernel); the coarsest is the Gaussian level, so that the sum of all
//! expanded Laplacian levels is the finest Gaussian level.
//!
//! The 4 levels follow from the figure of the paper; 200 bands, window 1024, hop 512 and compression before
//! the pyramid are recalled from memory. The paper does not give the kernel, which is that of Burt & Adelson
//! with a = 3/8 here. Frames beyond the ends repeat the last frame.
//!
//! To reproduce, with [`multiscale`](crate::networks::multiscale): ROC-AUC 0.898 on MagnaTagATune with the
//! Laplacian pyramid and windows of one frame, the best of the paper.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::conv1d;
use burn::tensor::ops::{ConvOptions, PadMode};
use serde::{Deserialize, Serialize};

use super::mel::{Mel, MelConfig};
use super::multiresolution::MAX_LEVELS;
use crate::ModelError;
use crate::error::{ensure, in_range};
use crate::fitted::Constant;
use crate::onnx::{Graph, Padding, Value, Windows};

/// Whether levels are smoothed spectrograms or differences between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PyramidKind {
    /// Each level is the previous one smoothed, at half the frame rate.
    Gaussian,
    /// Each level is the difference between a Gaussian level and the next; the coarsest is Gaussian.
    #[default]
    Laplacian,
}

/// Settings of [`Pyramid`]; keys and meanings are those of [`MelConfig`] unless noted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PyramidConfig {
    /// Kind of the pyramid; `"laplacian"` by default.
    pub kind: PyramidKind,
    /// Number of levels, including the spectrogram itself; 4 by default.
    pub levels: usize,
    /// Smoothing kernel over frames, an odd number of weights, which are divided by their sum;
    /// `[1, 4, 6, 4, 1]` by default.
    pub kernel: Vec<f64>,
    /// Sample rate of the audio, in Hz; 16000 by default.
    pub sample_rate: u32,
    /// Length of the Fourier transform and of the Hann window, in samples; 1024 by default.
    pub n_fft: usize,
    /// Distance between frames at the finest level, in samples; 512 by default.
    pub hop_length: usize,
    /// Number of mel bands per level; 200 by default.
    pub n_mels: usize,
    /// Lower edge of the lowest band, in Hz; 0 by default.
    pub f_min: f64,
    /// Upper edge of the highest band, in Hz; half the sample rate by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f_max: Option<f64>,
    /// `C` in the compression log(1 + C x), natural logarithm; 10000 by default.
    pub compression: f64,
}

impl Default for PyramidConfig {
    fn default() -> Self {
        Self {
            kind: PyramidKind::Laplacian,
            levels: 4,
            kernel: vec![1.0, 4.0, 6.0, 4.0, 1.0],
            sample_rate: 16_000,
            n_fft: 1_024,
            hop_length: 512,
            n_mels: 200,
            f_min: 0.0,
            f_max: None,
            compression: 10_000.0,
        }
    }
}

impl PyramidConfig {
    pub(super) fn mel(&self) -> MelConfig {
        MelConfig {
            sample_rate: self.sample_rate,
            n_fft: self.n_fft,
            hop_length: self.hop_length,
            n_mels: self.n_mels,
            f_min: self.f_min,
            f_max: self.f_max,
            compression: self.compression,
            ..MelConfig::default()
        }
    }

    /// Frames of each level in `samples` samples.
    pub fn level_frames(&self, samples: usize) -> Vec<usize> {
        let halved = |frames: &usize| Some(frames.div_ceil(2));
        let first = self.mel().frames(samples);
        std::iter::successors(Some(first), halved).take(self.levels).collect()
    }

    /// # Errors
    /// Names the first invalid value, or says that an excerpt is too short.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        self.mel().validate(excerpt_samples)?;
        in_range("levels", self.levels, 1, MAX_LEVELS)?;
        let kernel = format!("{:?}", self.kernel);
        let usual = "the usual one is [1, 4, 6, 4, 1]";
        let length = self.kernel.len();
        let odd = !length.is_multiple_of(2) && length <= 101;
        ensure(odd, "kernel", &kernel, "not an odd number of weights, up to 101", usual)?;
        let sum: f64 = self.kernel.iter().sum();
        // NaN fails.
        let divisible = sum.abs() >= 1e-6 && self.kernel.iter().all(|weight| weight.abs() <= 1e6);
        let problem = "the sum of the weights is 0, or a weight is too large or NaN";
        ensure(divisible, "kernel", kernel, problem, usual)
    }

    /// # Errors
    /// If a value is invalid; see [`PyramidConfig::validate`].
    pub fn init(&self) -> Result<Pyramid, ModelError> {
        let sum: f64 = self.kernel.iter().sum();
        let kernel: Vec<f64> = self.kernel.iter().map(|weight| weight / sum).collect();
        let length = kernel.len();
        let reach = (length / 2) as i64;
        // Frame 2 t + phase of the finer level is the sum over s of 2 kernel[phase - 2 s] coarse[t + s].
        let coarse_reach = (reach + 1) / 2;
        let mut phases = Vec::new();
        for phase in 0..2 {
            for s in -coarse_reach..=coarse_reach {
                let at = usize::try_from(phase - 2 * s + reach).ok();
                let weight = at.and_then(|at| kernel.get(at)).copied().unwrap_or(0.0);
                phases.push((2.0 * weight) as f32);
            }
        }
        Ok(Pyramid {
            mel: self.mel().init()?,
            kind: self.kind,
            levels: self.levels,
            // burn's convolution is a correlation, hence the reversed kernel.
            reduce: Constant::new(kernel.iter().rev().map(|w| *w as f32).collect(), [1, 1, length]),
            expand: Constant::new(phases, [2, 1, 2 * coarse_reach as usize + 1]),
        })
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        let kind = match self.kind {
            PyramidKind::Gaussian => "Gaussian",
            PyramidKind::Laplacian => "Laplacian",
        };
        format!("{kind} pyramid of {} levels of a {}", self.levels, self.mel().describe())
    }
}

/// Waveforms to the levels of a pyramid. Has no parameters, so a record does not contain it.
#[derive(Module, Debug)]
pub struct Pyramid {
    mel: Mel,
    #[module(skip)]
    kind: PyramidKind,
    #[module(skip)]
    levels: usize,
    /// `[1, 1, weight]`
    #[module(skip)]
    reduce: Constant<3>,
    /// `[phase, 1, weight]`
    #[module(skip)]
    expand: Constant<3>,
}

impl Pyramid {
    /// The levels, the finest first.
    ///
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`
    /// - returns: `[batch, band, frame]` each, the frames halved (rounded up) from one to the next
    pub fn levels(&self, waveforms: Tensor<2>) -> Vec<Tensor<3>> {
        self.levels_of(self.mel.forward(waveforms))
    }

    /// The levels of a spectrogram.
    ///
    /// # Shapes
    /// - `spectrogram`: `[batch, band, frame]`
    pub fn levels_of(&self, spectrogram: Tensor<3>) -> Vec<Tensor<3>> {
        let mut levels = vec![spectrogram];
        for _ in 1..self.levels {
            let coarser = self.reduced(levels[levels.len() - 1].clone());
            if self.kind == PyramidKind::Laplacian
                && let Some(last) = levels.last_mut()
            {
                let frames = last.dims()[2];
                *last = last.clone() - self.expanded(coarser.clone(), frames);
            }
            levels.push(coarser);
        }
        levels
    }

    /// The levels stacked along the bands, with the frames of coarser levels repeated.
    ///
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`
    /// - returns: `[batch, level band, frame]`
    pub fn forward(&self, waveforms: Tensor<2>) -> Tensor<3> {
        let levels = self.levels(waveforms);
        let [batch, bands, frames] = levels[0].dims();
        let repeated = levels.into_iter().enumerate().map(|(number, level)| {
            let (count, times) = (level.dims()[2], 1 << number);
            let level = level.reshape([batch, bands, count, 1]).repeat_dim(3, times);
            level.reshape([batch, bands, count * times]).narrow(2, 0, frames)
        });
        Tensor::cat(repeated.collect(), 1)
    }

    fn reduced(&self, level: Tensor<3>) -> Tensor<3> {
        let [batch, bands, frames] = level.dims();
        let (weights, reach) = (self.reduce.on(&level.device()), self.reduce.shape()[2] / 2);
        let rows = level.reshape([batch * bands, 1, frames]).pad([(reach, reach)], PadMode::Edge);
        let out = conv1d(rows, weights, None, ConvOptions::new([2], [0], [1], 1));
        out.reshape([batch, bands, frames.div_ceil(2)])
    }

    fn expanded(&self, level: Tensor<3>, frames: usize) -> Tensor<3> {
        let [batch, bands, count] = level.dims();
        let (weights, reach) = (self.expand.on(&level.device()), self.expand.shape()[2] / 2);
        let rows = level.reshape([batch * bands, 1, count]).pad([(reach, reach)], PadMode::Edge);
        // [row, phase, frame] to [row, frame phase]
        let out = conv1d(rows, weights, None, ConvOptions::new([1], [0], [1], 1)).swap_dims(1, 2);
        out.reshape([batch, bands, 2 * count]).narrow(2, 0, frames)
    }

    /// [`Pyramid::levels`] as nodes; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower_levels(&self, graph: &mut Graph, waveforms: &Value) -> Vec<Value> {
        let mut levels = vec![self.mel.lower(graph, waveforms)];
        for _ in 1..self.levels {
            let coarser = self.lower_reduced(graph, &levels[levels.len() - 1]);
            if self.kind == PyramidKind::Laplacian
                && let Some(last) = levels.last_mut()
            {
                let expanded = self.lower_expanded(graph, &coarser, last.shape()[1]);
                *last = graph.binary("Sub", last, &expanded);
            }
            levels.push(coarser);
        }
        levels
    }

    /// `[batch, sample]` to `[batch, level band, frame]`.
    pub(crate) fn lower(&self, graph: &mut Graph, waveforms: &Value) -> Value {
        let levels = self.lower_levels(graph, waveforms);
        let (bands, frames) = (levels[0].shape()[0], levels[0].shape()[1]);
        let repeated: Vec<Value> = levels
            .iter()
            .enumerate()
            .map(|(number, level)| {
                let (count, times) = (level.shape()[1], 1 << number);
                let level = graph.reshape(level, &[bands, count, 1]);
                let level = graph.cat(&vec![level; times], 3);
                let level = graph.reshape(&level, &[bands, count * times]);
                graph.slice(&level, 2, 0, frames)
            })
            .collect();
        graph.cat(&repeated, 1)
    }

    fn lower_reduced(&self, graph: &mut Graph, level: &Value) -> Value {
        let (bands, frames) = (level.shape()[0], level.shape()[1]);
        let rows = graph.reshape(level, &[1, frames]);
        let rows = graph.pad(&rows, self.reduce.shape()[2] / 2, Padding::Edge);
        let weights = ("reduce", self.reduce.shape(), self.reduce.values());
        let out = graph.conv(&rows, weights, None, Windows { stride: 2, padding: 0 });
        graph.reshape(&out, &[bands, frames.div_ceil(2)])
    }

    fn lower_expanded(&self, graph: &mut Graph, level: &Value, frames: usize) -> Value {
        let (bands, count) = (level.shape()[0], level.shape()[1]);
        let rows = graph.reshape(level, &[1, count]);
        let rows = graph.pad(&rows, self.expand.shape()[2] / 2, Padding::Edge);
        let weights = ("expand", self.expand.shape(), self.expand.values());
        let out = graph.conv(&rows, weights, None, Windows { stride: 1, padding: 0 });
        let out = graph.transpose(&out, &[0, 2, 1]);
        let out = graph.reshape(&out, &[bands, 2 * count]);
        graph.slice(&out, 2, 0, frames)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn pyramid(kind: PyramidKind, levels: usize, kernel: Vec<f64>) -> Pyramid {
        PyramidConfig { kind, levels, kernel, ..PyramidConfig::default() }.init().unwrap()
    }

    fn noise(rows: usize, frames: usize) -> Vec<f64> {
        (0..rows * frames).map(|i| ((i * i * 7 + i * 13) % 101) as f64 / 50.0 - 1.0).collect()
    }

    fn tensor(values: &[f64], frames: usize) -> Tensor<3> {
        let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        let shape = [1, values.len() / frames, frames];
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    fn values(tensor: Tensor<3>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    /// REDUCE of Burt & Adelson, equation 1, in one dimension.
    fn reduced(row: &[f64], kernel: &[f64]) -> Vec<f64> {
        let at = |i: i64| row[i.clamp(0, row.len() as i64 - 1) as usize];
        let reach = (kernel.len() / 2) as i64;
        let frame = |t: usize| -> f64 {
            (-reach..=reach).map(|m| kernel[(m + reach) as usize] * at(2 * t as i64 - m)).sum()
        };
        (0..row.len().div_ceil(2)).map(frame).collect()
    }

    /// EXPAND, equation 2: only terms for which (t - m) / 2 is an integer.
    fn expanded(row: &[f64], kernel: &[f64], frames: usize) -> Vec<f64> {
        let at = |i: i64| row[i.clamp(0, row.len() as i64 - 1) as usize];
        let reach = (kernel.len() / 2) as i64;
        let frame = |t: usize| -> f64 {
            (-reach..=reach)
                .filter(|m| (t as i64 - m) % 2 == 0)
                .map(|m| 2.0 * kernel[(m + reach) as usize] * at((t as i64 - m) / 2))
                .sum()
        };
        (0..frames).map(frame).collect()
    }

    #[test]
    fn levels_match_their_definition() {
        for kernel in [
            vec![1.0, 4.0, 6.0, 4.0, 1.0],
            vec![1.0],
            vec![1.0, 2.0, 5.0],
            vec![3.0, 1.0, 0.5, 2.0, 7.0, 1.0, 4.0],
        ] {
            let sum: f64 = kernel.iter().sum();
            let unit: Vec<f64> = kernel.iter().map(|weight| weight / sum).collect();
            for frames in [1, 2, 3, 17, 64] {
                let rows = noise(3, frames);
                let gaussian = pyramid(PyramidKind::Gaussian, 4, kernel.clone());
                let laplacian = pyramid(PyramidKind::Laplacian, 4, kernel.clone());
                let smooth = gaussian.levels_of(tensor(&rows, frames));
                let rough = laplacian.levels_of(tensor(&rows, frames));
                let mut finer: Vec<Vec<f64>> = rows.chunks(frames).map(<[f64]>::to_vec).collect();
                for level in 0..4 {
                    let coarser: Vec<Vec<f64>> =
                        finer.iter().map(|row| reduced(row, &unit)).collect();
                    let lost = finer.iter().zip(&coarser).flat_map(|(fine, coarse)| {
                        let back = expanded(coarse, &unit, fine.len());
                        fine.iter()
                            .zip(back)
                            .map(|(a, b)| if level < 3 { a - b } else { *a })
                            .collect::<Vec<_>>()
                    });
                    for (found, wanted) in values(rough[level].clone()).iter().zip(lost) {
                        assert!(
                            (f64::from(*found) - wanted).abs() < 1e-5,
                            "{kernel:?} {frames} {level}"
                        );
                    }
                    for (found, wanted) in
                        values(smooth[level].clone()).iter().zip(finer.iter().flatten())
                    {
                        assert!(
                            (f64::from(*found) - wanted).abs() < 1e-5,
                            "{kernel:?} {frames} {level}"
                        );
                    }
                    finer = coarser;
                }
            }
        }
    }

    #[test]
    fn laplacian_pyramid_reconstructs_the_spectrogram() {
        for (frames, levels) in [(1, 3), (29, 4), (64, 7)] {
            let rows = noise(5, frames);
            let laplacian = pyramid(PyramidKind::Laplacian, levels, vec![1.0, 4.0, 6.0, 4.0, 1.0]);
            let mut levels = laplacian.levels_of(tensor(&rows, frames));
            let coarsest = levels.pop().unwrap();
            let back = levels.into_iter().rev().fold(coarsest, |sum, level| {
                let frames = level.dims()[2];
                level + laplacian.expanded(sum, frames)
            });
            let back = values(back);
            for (found, wanted) in back.iter().zip(&rows) {
                assert!((f64::from(*found) - wanted).abs() < 1e-6, "{found} {wanted}");
            }
        }
    }

    #[test]
    fn constant_is_only_in_the_coarsest_level() {
        let laplacian = pyramid(PyramidKind::Laplacian, 4, vec![1.0, 4.0, 6.0, 4.0, 1.0]);
        let levels = laplacian.levels_of(tensor(&[2.5; 30], 30));
        for level in &levels[..3] {
            assert!(values(level.clone()).iter().all(|value| value.abs() < 1e-6));
        }
        assert!(values(levels[3].clone()).iter().all(|value| (value - 2.5).abs() < 1e-6));
    }

    #[test]
    fn levels_have_the_computed_numbers_of_frames() {
        let config = PyramidConfig { n_mels: 2, levels: 5, ..Default::default() };
        let pyramid = config.init().unwrap();
        for frames in [1, 2, 3, 17, 24_usize] {
            let samples = 1_024 + 512 * (frames - 1);
            let levels = pyramid.levels(Tensor::zeros([1, samples], &Device::flex()));
            let found: Vec<usize> = levels.iter().map(|level| level.dims()[2]).collect();
            let halved: Vec<usize> = (0..5).map(|level| frames.div_ceil(1 << level)).collect();
            assert_eq!((&found, &config.level_frames(samples)), (&halved, &halved));
        }
    }

    #[test]
    fn levels_are_stacked_along_the_bands() {
        let config = PyramidConfig {
            kind: PyramidKind::Gaussian,
            n_mels: 2,
            levels: 3,
            ..Default::default()
        };
        let pyramid = config.init().unwrap();
        let samples: Vec<f32> = noise(1, 9_000).iter().map(|value| *value as f32).collect();
        let x = Tensor::from_data(TensorData::new(samples, [1, 9_000]), &Device::flex());
        let levels = pyramid.levels(x.clone());
        let frames: Vec<usize> = levels.iter().map(|level| level.dims()[2]).collect();
        assert_eq!(frames, config.level_frames(9_000));
        let stacked = values(pyramid.forward(x));
        for (number, level) in levels.into_iter().enumerate() {
            let count = frames[number];
            let level = values(level);
            for band in 0..2 {
                for t in 0..frames[0] {
                    let wanted = level[band * count + t / (1 << number)];
                    assert_eq!(stacked[(2 * number + band) * frames[0] + t], wanted);
                }
            }
        }
    }
}
