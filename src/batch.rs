//! Excerpts and targets of one step, on the host and on the way to a device.

use std::sync::{Mutex, PoisonError};

use burn::tensor::{DType, Device, Tensor, TensorData};
use kernels::pairs;

use crate::error::{Error, Result};
use crate::excerpts::Excerpt;
use crate::rows::Rows;

/// How audio lies in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As numbers of 32 bits.
    Numbers,
    /// As it is stored, two samples of 16 bits in a word: half as much to carry to a GPU, and nothing for the host to work
    /// out. Features, which are not stored so, are numbers all the same.
    Pairs,
}

impl Form {
    /// What suits a device.
    pub fn on(device: &Device) -> Self {
        match pairs::suit(device) {
            true => Self::Pairs,
            false => Self::Numbers,
        }
    }
}

/// What a network reads, row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchInputs {
    /// Row-major `[excerpt, sample]`, mono, in `[-1, 1]`; or `[excerpt, feature]`.
    Numbers(Vec<f32>),
    /// The same samples as [`pairs`] has them.
    Pairs {
        /// Row-major `[excerpt, word]`.
        words: Vec<i32>,
        /// Of each row, the value of a step.
        scales: Vec<f32>,
        /// Of an excerpt.
        samples: usize,
    },
}

impl BatchInputs {
    /// `[row, sample]` (or feature) on the device.
    fn into_tensor(self, rows: usize, device: &Device) -> Tensor<2> {
        let (words, scales, samples) = match self {
            Self::Numbers(values) => {
                let width = values.len() / rows;
                return Tensor::from_data(TensorData::new(values, [rows, width]), device);
            }
            Self::Pairs { words, scales, samples } => (words, scales, samples),
        };
        let plain = device.clone().without_autodiff();
        let width = words.len() / rows;
        let words = Tensor::from_data(TensorData::new(words, [rows, width]), (&plain, DType::I32));
        let scales = Tensor::from_data(TensorData::new(scales, [rows]), &plain);
        let samples = pairs::unpack(words, scales, samples);
        match device.is_autodiff() {
            true => samples.autodiff(),
            false => samples,
        }
    }
}

/// Excerpts and targets of one step, on the host.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What the network reads.
    pub inputs: BatchInputs,
    /// Row-major `[excerpt, output]`.
    pub targets: Vec<f32>,
    /// What the rows are; rows beyond these are padding.
    pub excerpts: Vec<Excerpt>,
    /// Rows, padding included.
    pub rows: usize,
}

impl Batch {
    /// Inputs `[row, sample]` (or feature) and targets `[row, output]` on the device.
    pub fn into_tensors(self, device: &Device) -> (Tensor<2>, Tensor<2>) {
        let Self { inputs, targets, rows, .. } = self;
        let outputs = targets.len() / rows;
        let targets = Tensor::from_data(TensorData::new(targets, [rows, outputs]), device);
        (inputs.into_tensor(rows, device), targets)
    }

    /// The inputs alone.
    pub fn into_inputs(self, device: &Device) -> Tensor<2> {
        self.inputs.into_tensor(self.rows, device)
    }
}

/// A batch in the making: any thread fetches an excerpt of it.
pub struct BegunBatch {
    inputs: BegunInputs,
    targets: Vec<f32>,
    excerpts: Vec<Excerpt>,
    rows: usize,
    /// Of the first row that could not be fetched.
    failure: Mutex<Option<(usize, Error)>>,
}

/// [`BatchInputs`] in the making.
pub enum BegunInputs {
    /// Rows of as many numbers as an excerpt has.
    Numbers(Rows<f32>),
    /// Rows of as many words as its samples take.
    #[allow(missing_docs, reason = "as in BatchInputs")]
    Pairs { words: Rows<i32>, scales: Vec<f32>, samples: usize },
}

impl BegunBatch {
    /// Of `rows` rows, of which the first are these excerpts.
    pub fn new(
        inputs: BegunInputs,
        targets: Vec<f32>,
        excerpts: Vec<Excerpt>,
        rows: usize,
    ) -> Self {
        Self { inputs, targets, excerpts, rows, failure: Mutex::default() }
    }

    /// What is to be fetched.
    pub fn excerpts(&self) -> &[Excerpt] {
        &self.excerpts
    }

    /// Where it goes.
    pub fn inputs(&self) -> &BegunInputs {
        &self.inputs
    }

    /// How many excerpts are to be fetched.
    pub fn len(&self) -> usize {
        self.excerpts.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.excerpts.is_empty()
    }

    /// Notes that a row could not be fetched.
    pub fn fail(&self, row: usize, error: Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever thread is first, the message is the same.
        if failure.as_ref().is_none_or(|(first, _)| row < *first) {
            *failure = Some((row, error));
        }
    }

    /// The batch; excerpts that were not fetched are silence.
    ///
    /// # Errors
    /// The one that [`fail`](Self::fail) was given for the first of all rows.
    pub fn finish(self) -> Result<Batch> {
        let Self { inputs, targets, excerpts, rows, failure } = self;
        if let Some((_, error)) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let inputs = match inputs {
            BegunInputs::Numbers(rows) => BatchInputs::Numbers(rows.into_values()),
            BegunInputs::Pairs { words, scales, samples } => {
                BatchInputs::Pairs { words: words.into_values(), scales, samples }
            }
        };
        Ok(Batch { inputs, targets, excerpts, rows })
    }
}
