//! Mel spectrograms of one waveform with several window lengths: from fine in time to fine in frequency.
//!
//! P1 (Dieleman & Schrauwen 2013, Multiscale approaches to music audio feature learning), section on
//! multiresolution spectrograms: windows of 1024, 2048, 4096 and 8192 samples at 16 kHz, the same hop for
//! all, no padding (so that longer windows have fewer frames). Windows and padding follow from the widths
//! in the figure of the paper; the 200 bands and the hop of 512 are recalled from memory. The paper does not
//! give the range of the bands or the compression, which is log(1 + 10 000 x) here.
//!
//! To reproduce, with [`multiscale`](crate::networks::multiscale): ROC-AUC 0.888 on MagnaTagATune.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::mel::{Mel, MelConfig};
use crate::ModelError;
use crate::error::{ensure, in_range, list_length};
use crate::onnx::{Graph, Value};

/// Settings of [`Multiresolution`]; keys and meanings are those of [`MelConfig`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MultiresolutionConfig {
    /// Sample rate of the audio, in Hz; 16000 by default.
    pub sample_rate: u32,
    /// Window length of each level, in samples, the shortest first; `[1024, 2048, 4096, 8192]` by default.
    pub windows: Vec<usize>,
    /// Distance between frames at every level, in samples; 512 by default.
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

impl Default for MultiresolutionConfig {
    fn default() -> Self {
        Self {
            sample_rate: 16_000,
            windows: vec![1_024, 2_048, 4_096, 8_192],
            hop_length: 512,
            n_mels: 200,
            f_min: 0.0,
            f_max: None,
            compression: 10_000.0,
        }
    }
}

/// Largest number of levels of a front end.
pub(super) const MAX_LEVELS: usize = 16;

impl MultiresolutionConfig {
    pub(super) fn mel(&self, window: usize) -> MelConfig {
        MelConfig {
            sample_rate: self.sample_rate,
            n_fft: window,
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
        self.windows.iter().map(|&window| self.mel(window).frames(samples)).collect()
    }

    /// # Errors
    /// Names the first invalid value, or says that an excerpt is too short.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        list_length("windows", self.windows.len(), 1, MAX_LEVELS)?;
        let (ascending, value) =
            (self.windows.is_sorted_by(|a, b| a < b), format!("{:?}", self.windows));
        let remedy = "list each window once, the shortest first";
        ensure(ascending, "windows", value, "not in ascending order", remedy)?;
        for (i, &window) in self.windows.iter().enumerate() {
            in_range(&format!("windows[{i}]"), window, 1, kernels::mel::MAX_N_FFT)?;
            self.mel(window).validate(excerpt_samples)?;
        }
        Ok(())
    }

    /// # Errors
    /// If a value is invalid; see [`MultiresolutionConfig::validate`].
    pub fn init(&self) -> Result<Multiresolution, ModelError> {
        let mels = self.windows.iter().map(|&window| self.mel(window).init());
        Ok(Multiresolution {
            mels: mels.collect::<Result<_, _>>()?,
            windows: self.windows.clone(),
            hop_length: self.hop_length,
        })
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        let Self { n_mels, hop_length, sample_rate, compression, .. } = self;
        let windows: Vec<String> = self.windows.iter().map(usize::to_string).collect();
        format!(
            "mel spectrograms with windows {}, {n_mels} bands, hop {hop_length}, {sample_rate} Hz, \
             log(1 + {compression} x)",
            windows.join(", ")
        )
    }
}

/// Waveforms to several log-mel spectrograms. Has no parameters, so a record does not contain it.
#[derive(Module, Debug)]
pub struct Multiresolution {
    mels: Vec<Mel>,
    #[module(skip)]
    windows: Vec<usize>,
    #[module(skip)]
    hop_length: usize,
}

impl Multiresolution {
    /// The levels, one per window.
    ///
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`
    /// - returns: `[batch, band, frame]` each
    pub fn levels(&self, waveforms: Tensor<2>) -> Vec<Tensor<3>> {
        self.mels.iter().map(|mel| mel.forward(waveforms.clone())).collect()
    }

    /// The levels stacked along the bands, with frames aligned by their centres (to the nearest hop) and
    /// cropped to the frames of the longest window.
    ///
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`
    /// - returns: `[batch, level band, frame]`
    pub fn forward(&self, waveforms: Tensor<2>) -> Tensor<3> {
        let levels = self.levels(waveforms);
        let frames = levels.last().map_or(0, |level| level.dims()[2]);
        let cropped = levels.into_iter().zip(&self.windows).map(|(level, &window)| {
            let first = self.first_frame(window, level.dims()[2], frames);
            level.narrow(2, first, frames)
        });
        Tensor::cat(cropped.collect(), 1)
    }

    /// Which of the `count` frames of a window has the same centre as the first frame of the longest window,
    /// which has `frames` frames.
    fn first_frame(&self, window: usize, count: usize, frames: usize) -> usize {
        let longest = self.windows.last().copied().unwrap_or(0);
        // The centre of frame t is at t hop + window / 2.
        let ahead = ((longest - window) / 2 + self.hop_length / 2) / self.hop_length;
        ahead.min(count - frames)
    }

    /// [`Multiresolution::levels`] as nodes; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower_levels(&self, graph: &mut Graph, waveforms: &Value) -> Vec<Value> {
        self.mels.iter().map(|mel| mel.lower(graph, waveforms)).collect()
    }

    /// `[batch, sample]` to `[batch, level band, frame]`.
    pub(crate) fn lower(&self, graph: &mut Graph, waveforms: &Value) -> Value {
        let levels = self.lower_levels(graph, waveforms);
        let frames = levels.last().map_or(0, |level| level.shape()[1]);
        let cropped: Vec<Value> = levels
            .iter()
            .zip(&self.windows)
            .map(|(level, &window)| {
                let first = self.first_frame(window, level.shape()[1], frames);
                graph.slice(level, 2, first, frames)
            })
            .collect();
        graph.cat(&cropped, 1)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// The widths in the figure of P1 relative to the widest: 0.98460, 0.99339, 0.99782.
    #[test]
    fn numbers_of_frames_are_as_in_the_figure_of_the_paper() {
        let config = MultiresolutionConfig::default();
        let frames = config.level_frames((29.1 * 16_000.0) as usize);
        let ratio = |level: usize| frames[level] as f64 / frames[0] as f64;
        for (level, expected) in [(1, 0.99782), (2, 0.99339), (3, 0.98460)] {
            assert!((ratio(level) - expected).abs() < 1e-3, "{frames:?}");
        }
    }

    #[test]
    fn click_is_at_the_same_frame_of_all_levels() {
        let config = MultiresolutionConfig { n_mels: 4, ..Default::default() };
        let multiresolution = config.init().unwrap();
        let mut samples = vec![0.0_f32; 40_000];
        // The centre of frame 20 of the longest window.
        samples[20 * 512 + 4_096] = 1.0;
        let x = Tensor::<1>::from_floats(samples.as_slice(), &Device::flex()).reshape([1, 40_000]);
        let stacked = multiresolution.forward(x);
        let [_, bands, frames] = stacked.dims();
        assert_eq!((bands, frames), (16, config.level_frames(40_000)[3]));
        let values: Vec<f32> = stacked.into_data().try_to_vec().unwrap();
        for level in 0..4 {
            let at = |frame: usize| values[level * 4 * frames + frame];
            let loudest = (0..frames).max_by(|a, b| at(*a).total_cmp(&at(*b))).unwrap();
            assert!(
                loudest == 20 || loudest == 19 && (at(19) - at(20)).abs() < 1e-4,
                "{level}: {loudest}"
            );
        }
    }
}
