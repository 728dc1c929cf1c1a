//! Front ends: from a waveform to bands over time, by rule or learned.
//!
//! Every front end takes `[batch, sample]` at its own `sample_rate` and gives `[batch, band, frame]`; those
//! of several levels stack them. To add one: write its file, add a line to each of the two enums below, and
//! an arm where the compiler asks for it.

pub mod filterbank;
pub mod frames;
pub mod mel;
pub mod mfcc;
pub mod multiresolution;
pub mod pyramid;
pub mod strided;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::error::in_range;
use crate::onnx::{Graph, Value};
pub use frames::{Frames, FramesConfig};
pub use mel::{Mel, MelConfig};
pub use mfcc::{Mfcc, MfccConfig};
pub use multiresolution::{Multiresolution, MultiresolutionConfig};
pub use pyramid::{Pyramid, PyramidConfig, PyramidKind};
pub use strided::{LearnedFilters, Strided, StridedConfig};

/// The front ends that an experiment may name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum FrontEndConfig {
    /// Features that a data set comes with, as they are.
    Frames(FramesConfig),
    /// The logarithm of a mel spectrogram.
    Mel(MelConfig),
    /// Mel-frequency cepstral coefficients with their differences over time.
    Mfcc(MfccConfig),
    /// Mel spectrograms with windows of several lengths, stacked.
    Multiresolution(MultiresolutionConfig),
    /// A mel spectrogram made coarser and coarser over time, stacked.
    Pyramid(PyramidConfig),
    /// A convolution on the waveform, whose filters are learned.
    Strided(StridedConfig),
}

impl Default for FrontEndConfig {
    fn default() -> Self {
        Self::Mel(MelConfig::default())
    }
}

/// A front end of any of the kinds above.
#[allow(missing_docs, reason = "see the variants of FrontEndConfig")]
#[derive(Module, Debug)]
pub enum FrontEnd {
    Frames(Frames),
    Mel(Mel),
    Mfcc(Mfcc),
    Multiresolution(Multiresolution),
    Pyramid(Pyramid),
    Strided(Strided),
}

impl FrontEndConfig {
    /// Sample rate of the waveforms that it takes, in Hz.
    pub fn sample_rate(&self) -> u32 {
        match self {
            Self::Frames(config) => config.sample_rate(),
            Self::Mel(config) => config.sample_rate,
            Self::Mfcc(config) => config.sample_rate,
            Self::Multiresolution(config) => config.sample_rate,
            Self::Pyramid(config) => config.sample_rate,
            Self::Strided(config) => config.sample_rate,
        }
    }

    /// Whether it takes audio: not where a data set's features stand in its place.
    pub fn takes_audio(&self) -> bool {
        !matches!(self, Self::Frames(_))
    }

    /// Bands that come out.
    pub fn bands(&self) -> usize {
        match self {
            Self::Frames(config) => config.width,
            Self::Mel(config) => config.n_mels,
            Self::Mfcc(config) => config.bands(),
            Self::Multiresolution(config) => config.windows.len().saturating_mul(config.n_mels),
            Self::Pyramid(config) => config.levels.saturating_mul(config.n_mels),
            Self::Strided(config) => config.bands(),
        }
    }

    /// Frames that come out of `samples` samples; 0 where they are too few.
    pub fn frames(&self, samples: usize) -> usize {
        match self {
            Self::Frames(config) => config.frames(samples),
            Self::Mel(config) => config.frames(samples),
            Self::Mfcc(config) => config.frames(samples),
            Self::Multiresolution(config) => {
                config.level_frames(samples).last().copied().unwrap_or(0)
            }
            Self::Pyramid(config) => config.level_frames(samples).first().copied().unwrap_or(0),
            Self::Strided(config) => output_length(samples, config.length, config.stride),
        }
    }

    /// How many levels it has; one for most front ends.
    pub fn levels(&self) -> usize {
        match self {
            Self::Multiresolution(config) => config.windows.len(),
            Self::Pyramid(config) => config.levels,
            Self::Frames(_) | Self::Mel(_) | Self::Mfcc(_) | Self::Strided(_) => 1,
        }
    }

    /// Samples from frame to frame of each level.
    pub fn level_hops(&self) -> Vec<usize> {
        match self {
            Self::Frames(config) => vec![config.width],
            Self::Mel(config) => vec![config.hop_length],
            Self::Mfcc(config) => vec![config.hop_length],
            Self::Multiresolution(config) => vec![config.hop_length; config.windows.len()],
            Self::Pyramid(config) => {
                (0..config.levels).map(|level| config.hop_length << level).collect()
            }
            Self::Strided(config) => vec![config.stride],
        }
    }

    /// Frames of each level that comes out of `samples` samples; one level for most front ends.
    pub fn level_frames(&self, samples: usize) -> Vec<usize> {
        match self {
            Self::Multiresolution(config) => config.level_frames(samples),
            Self::Pyramid(config) => config.level_frames(samples),
            Self::Frames(_) | Self::Mel(_) | Self::Mfcc(_) | Self::Strided(_) => {
                vec![self.frames(samples)]
            }
        }
    }

    /// Mel bands, those of all levels, that lie between two frequencies of the transform and are 0 whatever is heard.
    pub fn empty_bands(&self) -> usize {
        match self {
            Self::Frames(_) | Self::Strided(_) => 0,
            Self::Mel(config) => config.empty_bands(),
            Self::Mfcc(config) => config.mel().empty_bands(),
            Self::Multiresolution(config) => {
                config.windows.iter().map(|&window| config.mel(window).empty_bands()).sum()
            }
            Self::Pyramid(config) => config.levels * config.mel().empty_bands(),
        }
    }

    /// # Errors
    /// Names the first value that the front end cannot be built with, or an excerpt too short.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        match self {
            Self::Frames(config) => config.validate(excerpt_samples),
            Self::Mel(config) => config.validate(excerpt_samples),
            Self::Mfcc(config) => config.validate(excerpt_samples),
            Self::Multiresolution(config) => config.validate(excerpt_samples),
            Self::Pyramid(config) => config.validate(excerpt_samples),
            Self::Strided(config) => config.validate(excerpt_samples),
        }
    }

    /// A front end with its first weights, on `device`.
    ///
    /// # Errors
    /// Where a value makes it impossible; see [`FrontEndConfig::validate`].
    pub fn init(&self, device: &Device) -> Result<FrontEnd, ModelError> {
        Ok(match self {
            Self::Frames(config) => FrontEnd::Frames(config.init()),
            Self::Mel(config) => FrontEnd::Mel(config.init()?),
            Self::Mfcc(config) => FrontEnd::Mfcc(config.init()?),
            Self::Multiresolution(config) => FrontEnd::Multiresolution(config.init()?),
            Self::Pyramid(config) => FrontEnd::Pyramid(config.init()?),
            Self::Strided(config) => FrontEnd::Strided(config.init(device)),
        })
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        match self {
            Self::Frames(config) => config.describe(),
            Self::Mel(config) => config.describe(),
            Self::Mfcc(config) => config.describe(),
            Self::Multiresolution(config) => config.describe(),
            Self::Pyramid(config) => config.describe(),
            Self::Strided(config) => config.describe(),
        }
    }
}

impl FrontEnd {
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`, at the config's sample rate
    /// - returns: `[batch, band, frame]`
    pub fn forward(&self, waveforms: Tensor<2>) -> Tensor<3> {
        match self {
            Self::Frames(front_end) => front_end.forward(waveforms),
            Self::Mel(front_end) => front_end.forward(waveforms),
            Self::Mfcc(front_end) => front_end.forward(waveforms),
            Self::Multiresolution(front_end) => front_end.forward(waveforms),
            Self::Pyramid(front_end) => front_end.forward(waveforms),
            Self::Strided(front_end) => front_end.forward(waveforms),
        }
    }

    /// Its levels, each at its own pace and of as many bands as the others; one for most front ends.
    ///
    /// # Shapes
    /// - `waveforms`: as for [`FrontEnd::forward`]
    /// - returns: `[batch, band, frame]` each, in the order of [`FrontEndConfig::level_frames`]
    pub fn levels(&self, waveforms: Tensor<2>) -> Vec<Tensor<3>> {
        match self {
            Self::Multiresolution(front_end) => front_end.levels(waveforms),
            Self::Pyramid(front_end) => front_end.levels(waveforms),
            Self::Frames(_) | Self::Mel(_) | Self::Mfcc(_) | Self::Strided(_) => {
                vec![self.forward(waveforms)]
            }
        }
    }

    /// [`FrontEnd::forward`] as nodes; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(&self, graph: &mut Graph, waveforms: &Value) -> Value {
        match self {
            Self::Frames(front_end) => front_end.lower(graph, waveforms),
            Self::Mel(front_end) => front_end.lower(graph, waveforms),
            Self::Mfcc(front_end) => front_end.lower(graph, waveforms),
            Self::Multiresolution(front_end) => front_end.lower(graph, waveforms),
            Self::Pyramid(front_end) => front_end.lower(graph, waveforms),
            Self::Strided(front_end) => front_end.lower(graph, waveforms),
        }
    }

    /// [`FrontEnd::levels`] as nodes.
    pub(crate) fn lower_levels(&self, graph: &mut Graph, waveforms: &Value) -> Vec<Value> {
        match self {
            Self::Multiresolution(front_end) => front_end.lower_levels(graph, waveforms),
            Self::Pyramid(front_end) => front_end.lower_levels(graph, waveforms),
            Self::Frames(_) | Self::Mel(_) | Self::Mfcc(_) | Self::Strided(_) => {
                vec![self.lower(graph, waveforms)]
            }
        }
    }

    /// What a raw-audio front end has learned.
    pub fn filters(&self) -> Option<LearnedFilters> {
        match self {
            Self::Strided(front_end) => Some(front_end.filters()),
            Self::Frames(_)
            | Self::Mel(_)
            | Self::Mfcc(_)
            | Self::Multiresolution(_)
            | Self::Pyramid(_) => None,
        }
    }
}

/// Whole windows of `length`, `stride` apart, in `samples`: what a convolution without padding or
/// a pooling that drops partial pools gives.
pub fn output_length(samples: usize, length: usize, stride: usize) -> usize {
    if length == 0 || stride == 0 {
        return 0;
    }
    samples.checked_sub(length).map_or(0, |rest| rest / stride + 1)
}

/// Sample rates that audio comes in.
pub(crate) fn check_sample_rate(sample_rate: u32) -> Result<(), ModelError> {
    in_range("sample_rate", sample_rate, 1_000, 384_000)
}

/// The error for an excerpt that fills no window.
pub(crate) fn excerpt_too_short(excerpt_samples: usize, needed: usize) -> ModelError {
    ModelError::new(
        "excerpt",
        format!("{excerpt_samples} samples"),
        format!("shorter than the {needed} samples that the model needs"),
        "raise training.excerpt_seconds, or shorten the model's windows, strides and pools",
    )
}

#[cfg(test)]
mod tests {
    use super::output_length;

    #[test]
    fn counts_whole_windows() {
        // The counts that the papers' settings give for three seconds at 16 kHz.
        let table =
            [((48_000, 512, 256), 186), ((48_000, 1024, 1024), 46), ((48_000, 256, 256), 187)];
        for ((samples, length, stride), frames) in table {
            assert_eq!(output_length(samples, length, stride), frames);
        }
        assert_eq!(output_length(5, 6, 1), 0);
        assert_eq!(output_length(6, 6, 9), 1);
        assert_eq!(output_length(6, 0, 1), 0);
        assert_eq!(output_length(6, 1, 0), 0);
    }
}
