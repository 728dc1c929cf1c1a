//! Features that come with a dataset, in place of a front end.
//!
//! The input is not a waveform but the values of all frames, frame after frame, `width * frames_per_second`
//! values per second; this front end only arranges them as bands and frames. Everything else (networks,
//! whitening and K-means, transfer) treats them like a spectrogram. The defaults are those of AudioSet: 128
//! values per second.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::error::{ensure, excerpt_too_short, in_range};
use crate::onnx::{Graph, Value};

/// Settings of [`Frames`], which must match the dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FramesConfig {
    /// Number of values per frame; 128 by default.
    pub width: usize,
    /// Frame rate, in frames per second, a whole number; 1 by default.
    pub frames_per_second: u32,
}

impl Default for FramesConfig {
    fn default() -> Self {
        Self { width: 128, frames_per_second: 1 }
    }
}

impl FramesConfig {
    /// Values per second.
    pub fn sample_rate(&self) -> u32 {
        u32::try_from(self.width).unwrap_or(u32::MAX).saturating_mul(self.frames_per_second)
    }

    /// Whole frames in `samples` values.
    pub fn frames(&self, samples: usize) -> usize {
        samples / self.width.max(1)
    }

    /// # Errors
    /// Names the first invalid value, or says that an excerpt does not consist of whole frames.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        in_range("width", self.width, 1, 1 << 16)?;
        in_range("frames_per_second", self.frames_per_second, 1, 1_000)?;
        if excerpt_samples < self.width {
            return Err(excerpt_too_short(excerpt_samples, self.width));
        }
        let rate = self.frames_per_second;
        ensure(
            excerpt_samples.is_multiple_of(self.width),
            "excerpt",
            format!("{excerpt_samples} values"),
            format!("not a multiple of the {} values of a frame", self.width),
            format!("set training.excerpt_seconds to a multiple of 1/{rate}"),
        )
    }

    /// The front end, which has no weights.
    pub fn init(&self) -> Frames {
        Frames { width: self.width }
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        format!("features of {} values, {} per second", self.width, self.frames_per_second)
    }
}

/// Values to frames; see the module documentation.
#[derive(Module, Debug)]
pub struct Frames {
    width: usize,
}

impl Frames {
    /// # Shapes
    /// - `numbers`: `[batch, frame * width]`, frame after frame
    /// - returns: `[batch, width, frame]`
    pub fn forward(&self, numbers: Tensor<2>) -> Tensor<3> {
        let [batch, count] = numbers.dims();
        let frames = count / self.width;
        let numbers = numbers.narrow(1, 0, frames * self.width);
        numbers.reshape([batch, frames, self.width]).swap_dims(1, 2)
    }

    /// `[batch, frame * width]` to `[batch, width, frame]`; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(&self, graph: &mut Graph, numbers: &Value) -> Value {
        let frames = numbers.shape()[0] / self.width;
        let whole = graph.slice(numbers, 1, 0, frames * self.width);
        let rows = graph.reshape(&whole, &[frames, self.width]);
        graph.transpose(&rows, &[0, 2, 1])
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    #[test]
    fn values_are_arranged_frame_by_frame() {
        let config = FramesConfig { width: 3, frames_per_second: 2 };
        assert_eq!((config.sample_rate(), config.frames(6)), (6, 2));
        let numbers: Vec<f32> = (0..12).map(|n| n as f32).collect();
        let numbers = Tensor::from_data(TensorData::new(numbers, [2, 6]), &Device::flex());
        let bands = config.init().forward(numbers);
        assert_eq!(bands.dims(), [2, 3, 2]);
        let values: Vec<f32> = bands.into_data().iter::<f32>().collect();
        assert_eq!(values, [0., 3., 1., 4., 2., 5., 6., 9., 7., 10., 8., 11.]);
    }

    #[test]
    fn excerpts_of_partial_frames_are_refused() {
        let config = FramesConfig::default();
        assert!(config.validate(1_280).is_ok());
        let error = config.validate(1_300).unwrap_err().to_string();
        assert!(error.contains("excerpt_seconds to a multiple of 1/1"), "{error}");
        assert!(config.validate(127).is_err());
        let none = FramesConfig { width: 0, ..FramesConfig::default() };
        assert!(none.validate(1_280).unwrap_err().to_string().contains("width"));
        let many = FramesConfig { width: usize::MAX, frames_per_second: u32::MAX };
        assert_eq!(many.sample_rate(), u32::MAX);
        assert!(many.validate(1_280).is_err());
    }
}
