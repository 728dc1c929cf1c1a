//! The excerpts and targets of one step, on the host and on their way to a device.

use burn::tensor::{DType, Device, Tensor, TensorData};
use kernels::pcm16;

use crate::data::sampler::Excerpt;

/// How the samples of a batch are stored. Features that a data set ships in place of audio are always `Float32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleFormat {
    /// float32.
    Float32,
    /// 16-bit integers, two per 32-bit word, as the audio cache stores them. Half as many bytes cross the bus to a GPU,
    /// and the conversion to float32 runs there.
    Int16,
}

impl SampleFormat {
    /// The format that suits a device: `Int16` for GPUs, `Float32` elsewhere.
    pub fn for_device(device: &Device) -> Self {
        match pcm16::suits(device) {
            true => Self::Int16,
            false => Self::Float32,
        }
    }
}

/// The inputs of a batch on the host.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchInputs {
    /// Row after row.
    Float32(Vec<f32>),
    /// See [`pcm16`].
    Int16 {
        /// `[row, word]`: two samples each.
        words: Vec<i32>,
        /// `[row]`: the value of one integer step.
        scales: Vec<f32>,
        /// Samples per row.
        samples: usize,
    },
}

/// One batch on the host.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[row, sample]`, or `[row, feature]`.
    pub inputs: BatchInputs,
    /// `[row, output]`.
    pub targets: Vec<f32>,
    /// The excerpt of each row. Rows beyond these are padding and hold zeros.
    pub excerpts: Vec<Excerpt>,
    /// Number of rows, padding included.
    pub rows: usize,
}

impl Batch {
    /// Uploads inputs `[row, sample]` and targets `[row, output]` to `device`.
    pub fn to_device(self, device: &Device) -> (Tensor<2>, Tensor<2>) {
        let outputs = self.targets.len() / self.rows;
        let targets = TensorData::new(self.targets, [self.rows, outputs]);
        (self.inputs.into_tensor(self.rows, device), Tensor::from_data(targets, device))
    }

    /// Uploads the inputs only, `[row, sample]`.
    pub fn inputs_to_device(self, device: &Device) -> Tensor<2> {
        self.inputs.into_tensor(self.rows, device)
    }
}

impl BatchInputs {
    fn into_tensor(self, rows: usize, device: &Device) -> Tensor<2> {
        match self {
            Self::Float32(values) => {
                let width = values.len() / rows;
                Tensor::from_data(TensorData::new(values, [rows, width]), device)
            }
            Self::Int16 { words, scales, samples } => {
                let plain = device.clone().without_autodiff();
                let words = TensorData::new(words, [rows, pcm16::words(samples)]);
                let words = Tensor::from_data(words, (&plain, DType::I32));
                let scales = Tensor::from_data(TensorData::new(scales, [rows]), &plain);
                let values = pcm16::unpack(words, scales, samples);
                match device.is_autodiff() {
                    true => values.autodiff(),
                    false => values,
                }
            }
        }
    }
}
