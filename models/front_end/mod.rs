//! Front ends: from a waveform to bands over time, computed by rule or learned.
//!
//! Every front end takes `[batch, sample]` at its own `sample_rate` and returns `[batch, band, frame]`; front ends
//! with several levels stack them. To add one: write its file, add it to the two enums and to `dispatch!`
//! below, and add an arm wherever the compiler requires it.

pub mod filterbank;
pub mod frames;
pub mod free;
pub mod gabor;
mod gaussian;
pub mod mel;
pub mod mfcc;
pub mod multiresolution;
pub mod pyramid;
pub mod sinc;
pub mod strided;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::error::{ensure, in_range};
use crate::onnx::{Graph, Value};
pub use frames::{Frames, FramesConfig};
pub use free::{Free, FreeConfig};
pub use gabor::{FilterGroups, Gabor, GaborConfig};
pub use gaussian::InitialFilters;
pub use mel::{Mel, MelConfig};
pub use mfcc::{Mfcc, MfccConfig};
pub use multiresolution::{Multiresolution, MultiresolutionConfig};
pub use pyramid::{Pyramid, PyramidConfig, PyramidKind};
pub use sinc::{Sinc, SincConfig, SincOutput};
pub use strided::{LearnedFilters, Strided, StridedConfig};

/// The front ends that an experiment can name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum FrontEndConfig {
    /// `frames`: features that come with the dataset, unchanged.
    Frames(FramesConfig),
    /// `free`: complex filters, every tap of which is learned, with learned pooling.
    Free(FreeConfig),
    /// `gabor`: learned Gabor filters with learned pooling (LEAF).
    Gabor(GaborConfig),
    /// `mel`: a log-mel spectrogram.
    Mel(MelConfig),
    /// `mfcc`: mel-frequency cepstral coefficients and their differences over time.
    Mfcc(MfccConfig),
    /// `multiresolution`: mel spectrograms with windows of several lengths, stacked.
    Multiresolution(MultiresolutionConfig),
    /// `pyramid`: a mel spectrogram at several time scales, stacked.
    Pyramid(PyramidConfig),
    /// `sinc`: learned band-pass filters (SincNet) with learned pooling.
    Sinc(SincConfig),
    /// `strided`: a strided convolution on the waveform with learned filters.
    Strided(StridedConfig),
}

impl Default for FrontEndConfig {
    fn default() -> Self {
        Self::Mel(MelConfig::default())
    }
}

/// Any of the front ends as one module.
#[allow(missing_docs, reason = "the variants of FrontEndConfig have the descriptions")]
#[derive(Module, Debug)]
pub enum FrontEnd {
    Frames(Frames),
    Free(Free),
    Gabor(Gabor),
    Mel(Mel),
    Mfcc(Mfcc),
    Multiresolution(Multiresolution),
    Pyramid(Pyramid),
    Sinc(Sinc),
    Strided(Strided),
}

/// `dispatch!(self, inner => expression)` evaluates an expression for whichever front end an enum holds.
macro_rules! dispatch {
    ($value:expr, $inner:ident => $result:expr) => {
        match $value {
            Self::Frames($inner) => $result,
            Self::Free($inner) => $result,
            Self::Gabor($inner) => $result,
            Self::Mel($inner) => $result,
            Self::Mfcc($inner) => $result,
            Self::Multiresolution($inner) => $result,
            Self::Pyramid($inner) => $result,
            Self::Sinc($inner) => $result,
            Self::Strided($inner) => $result,
        }
    };
}

impl FrontEndConfig {
    /// Sample rate of the waveforms that the front end takes, in Hz.
    pub fn sample_rate(&self) -> u32 {
        match self {
            Self::Frames(config) => config.sample_rate(),
            Self::Free(config) => config.sample_rate,
            Self::Gabor(config) => config.sample_rate,
            Self::Mel(config) => config.sample_rate,
            Self::Mfcc(config) => config.sample_rate,
            Self::Multiresolution(config) => config.sample_rate,
            Self::Pyramid(config) => config.sample_rate,
            Self::Sinc(config) => config.sample_rate,
            Self::Strided(config) => config.sample_rate,
        }
    }

    /// Whether the front end takes audio, rather than features that come with the dataset.
    pub fn takes_audio(&self) -> bool {
        !matches!(self, Self::Frames(_))
    }

    /// Whether the front end has learned filters.
    pub fn is_learned(&self) -> bool {
        matches!(self, Self::Free(_) | Self::Gabor(_) | Self::Sinc(_) | Self::Strided(_))
    }

    /// Bands of the output.
    pub fn bands(&self) -> usize {
        match self {
            Self::Frames(config) => config.width,
            Self::Free(config) => config.filters,
            Self::Gabor(config) => config.filters,
            Self::Mel(config) => config.n_mels,
            Self::Mfcc(config) => config.bands(),
            Self::Multiresolution(config) => config.windows.len().saturating_mul(config.n_mels),
            Self::Pyramid(config) => config.levels.saturating_mul(config.n_mels),
            Self::Sinc(config) => config.filters,
            Self::Strided(config) => config.bands(),
        }
    }

    /// Frames of the output for `samples` samples; 0 if there are too few samples.
    pub fn frames(&self, samples: usize) -> usize {
        let frames = self.level_frames(samples);
        match self {
            // The longest window has the fewest frames, which all levels are cropped to.
            Self::Multiresolution(_) => frames.last(),
            _ => frames.first(),
        }
        .copied()
        .unwrap_or(0)
    }

    /// Number of levels, 1 for most front ends.
    pub fn levels(&self) -> usize {
        match self {
            Self::Multiresolution(config) => config.windows.len(),
            Self::Pyramid(config) => config.levels,
            _ => 1,
        }
    }

    /// Hop length of each level, in samples.
    pub fn level_hops(&self) -> Vec<usize> {
        match self {
            Self::Frames(config) => vec![config.width],
            Self::Free(config) => vec![config.hop_length],
            Self::Gabor(config) => vec![config.hop_length],
            Self::Mel(config) => vec![config.hop_length],
            Self::Mfcc(config) => vec![config.hop_length],
            Self::Multiresolution(config) => vec![config.hop_length; config.windows.len()],
            Self::Pyramid(config) => {
                (0..config.levels).map(|level| config.hop_length << level).collect()
            }
            Self::Sinc(config) => vec![config.hop_length],
            Self::Strided(config) => vec![config.stride],
        }
    }

    /// Frames of each level for `samples` samples.
    pub fn level_frames(&self, samples: usize) -> Vec<usize> {
        match self {
            Self::Frames(config) => vec![config.frames(samples)],
            Self::Free(config) => vec![config.frames(samples)],
            Self::Gabor(config) => vec![config.frames(samples)],
            Self::Mel(config) => vec![config.frames(samples)],
            Self::Mfcc(config) => vec![config.frames(samples)],
            Self::Multiresolution(config) => config.level_frames(samples),
            Self::Pyramid(config) => config.level_frames(samples),
            Self::Sinc(config) => vec![config.frames(samples)],
            Self::Strided(config) => vec![output_length(samples, config.length, config.stride)],
        }
    }

    /// Number of mel bands, over all levels, that lie between two frequencies of the Fourier transform and are
    /// therefore always 0.
    pub fn empty_bands(&self) -> usize {
        match self {
            Self::Frames(_) | Self::Free(_) | Self::Gabor(_) | Self::Sinc(_) | Self::Strided(_) => {
                0
            }
            Self::Mel(config) => config.empty_bands(),
            Self::Mfcc(config) => config.mel().empty_bands(),
            Self::Multiresolution(config) => {
                config.windows.iter().map(|&window| config.mel(window).empty_bands()).sum()
            }
            Self::Pyramid(config) => config.levels * config.mel().empty_bands(),
        }
    }

    /// # Errors
    /// Names the first invalid value, or says that an excerpt is too short.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        dispatch!(self, config => config.validate(excerpt_samples))
    }

    /// [`FrontEndConfig::validate`] for networks whose features are fitted, so that no gradient reaches the front
    /// end. Keys of errors begin with `front_end`.
    pub(crate) fn validate_fixed(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        self.validate(excerpt_samples).map_err(|error| error.within("front_end"))?;
        let problem = "its filters need gradients, which fitted features do not have";
        let remedy = "choose mel, mfcc, multiresolution or pyramid";
        let name = match self {
            Self::Free(_) => "free",
            Self::Gabor(_) => "gabor",
            Self::Sinc(_) => "sinc",
            _ => "strided",
        };
        ensure(!self.is_learned(), "front_end.name", name, problem, remedy)
    }

    /// The front end with its initial weights, on `device`.
    ///
    /// # Errors
    /// If a value is invalid; see [`FrontEndConfig::validate`].
    pub fn init(&self, device: &Device) -> Result<FrontEnd, ModelError> {
        Ok(match self {
            Self::Frames(config) => FrontEnd::Frames(config.init()),
            Self::Free(config) => FrontEnd::Free(config.init(device)),
            Self::Gabor(config) => FrontEnd::Gabor(config.init(device)),
            Self::Mel(config) => FrontEnd::Mel(config.init()?),
            Self::Mfcc(config) => FrontEnd::Mfcc(config.init()?),
            Self::Multiresolution(config) => FrontEnd::Multiresolution(config.init()?),
            Self::Pyramid(config) => FrontEnd::Pyramid(config.init()?),
            Self::Sinc(config) => FrontEnd::Sinc(config.init(device)),
            Self::Strided(config) => FrontEnd::Strided(config.init(device)),
        })
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        dispatch!(self, config => config.describe())
    }
}

impl FrontEnd {
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`, at the config's sample rate
    /// - returns: `[batch, band, frame]`
    pub fn forward(&self, waveforms: Tensor<2>) -> Tensor<3> {
        dispatch!(self, front_end => front_end.forward(waveforms))
    }

    /// The levels, with equal numbers of bands and their own numbers of frames; one for most front ends.
    ///
    /// # Shapes
    /// - `waveforms`: as for [`FrontEnd::forward`]
    /// - returns: `[batch, band, frame]` each, with the frames of [`FrontEndConfig::level_frames`]
    pub fn levels(&self, waveforms: Tensor<2>) -> Vec<Tensor<3>> {
        match self {
            Self::Multiresolution(front_end) => front_end.levels(waveforms),
            Self::Pyramid(front_end) => front_end.levels(waveforms),
            _ => vec![self.forward(waveforms)],
        }
    }

    /// [`FrontEnd::forward`] as nodes; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(&self, graph: &mut Graph, waveforms: &Value) -> Value {
        dispatch!(self, front_end => front_end.lower(graph, waveforms))
    }

    /// [`FrontEnd::levels`] as nodes.
    pub(crate) fn lower_levels(&self, graph: &mut Graph, waveforms: &Value) -> Vec<Value> {
        match self {
            Self::Multiresolution(front_end) => front_end.lower_levels(graph, waveforms),
            Self::Pyramid(front_end) => front_end.lower_levels(graph, waveforms),
            _ => vec![self.lower(graph, waveforms)],
        }
    }

    /// The learned filters; `None` for front ends that are computed by rule.
    pub fn filters(&self) -> Option<LearnedFilters> {
        match self {
            Self::Free(front_end) => Some(front_end.filters()),
            Self::Gabor(front_end) => Some(front_end.filters()),
            Self::Sinc(front_end) => Some(front_end.filters()),
            Self::Strided(front_end) => Some(front_end.filters()),
            _ => None,
        }
    }
}

/// Number of whole windows of `length` in `samples`, `stride` apart: the output length of a convolution without
/// padding, or of a pooling that drops incomplete pools.
pub fn output_length(samples: usize, length: usize, stride: usize) -> usize {
    if length == 0 || stride == 0 {
        return 0;
    }
    samples.checked_sub(length).map_or(0, |rest| rest / stride + 1)
}

/// `Ok` for sample rates of audio.
pub(crate) fn check_sample_rate(sample_rate: u32) -> Result<(), ModelError> {
    in_range("sample_rate", sample_rate, 1_000, 384_000)
}

#[cfg(test)]
mod tests {
    use super::output_length;

    #[test]
    fn only_whole_windows_are_counted() {
        // The settings of the papers for 3 s at 16 kHz.
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
