//! Excerpts and targets of one step, on the host and on the way to a device.

use std::sync::{Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use kernels::pairs::{self, Pairs};
use models::Network;

use crate::error::{Error, Result};
use crate::excerpts::Excerpt;
use crate::rows::Rows;

/// How audio lies in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As numbers of 32 bits.
    Numbers,
    /// As it is stored, two samples of 16 bits in a word: half as much to carry, and nothing for whoever makes batches to
    /// work out. Features, which are not stored so, are numbers all the same.
    Pairs,
}

impl Form {
    /// What suits a device, whatever is made of it there.
    pub fn on(device: &Device) -> Self {
        match pairs::suit(device) {
            true => Self::Pairs,
            false => Self::Numbers,
        }
    }

    /// What suits a model, on a device, to learn on.
    pub fn of<N: Network>(model: &N, device: &Device) -> Self {
        match model.takes_pairs(device) {
            true => Self::Pairs,
            false => Self::on(device),
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

/// [`BatchInputs`] on a device.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "one exists at a time")]
pub enum DeviceInputs {
    /// `[row, sample]`, or `[row, feature]`.
    Numbers(Tensor<2>),
    /// `[row, sample]` as it is stored.
    Pairs(Pairs),
}

impl DeviceInputs {
    /// Logits `[row, output]`, of inputs that a model learns on.
    pub fn learned_by<N: Network>(self, model: &N) -> Tensor<2> {
        match self {
            Self::Numbers(inputs) => model.learned(inputs),
            Self::Pairs(waveforms) => model.learned_of_pairs(waveforms),
        }
    }

    /// What a model's front end makes of it, `[row, band, frame]`, if it has one.
    pub fn in_front_end_of<N: Network>(self, model: &N) -> Option<Tensor<3>> {
        match self {
            Self::Numbers(waveforms) => model.front_end(waveforms),
            Self::Pairs(waveforms) => model.front_end_of_pairs(waveforms),
        }
    }

    /// `[row, sample]`, or `[row, feature]`.
    pub fn numbers(self) -> Tensor<2> {
        match self {
            Self::Numbers(values) => values,
            Self::Pairs(waveforms) => waveforms.numbers(),
        }
    }
}

impl BatchInputs {
    fn onto(self, rows: usize, device: &Device) -> DeviceInputs {
        match self {
            Self::Numbers(values) => {
                let width = values.len() / rows;
                let values = TensorData::new(values, [rows, width]);
                DeviceInputs::Numbers(Tensor::from_data(values, device))
            }
            Self::Pairs { words, scales, samples } => {
                DeviceInputs::Pairs(Pairs::new(words, scales, samples, device))
            }
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
    /// Inputs and targets `[row, output]` on the device.
    pub fn onto(self, device: &Device) -> (DeviceInputs, Tensor<2>) {
        let Self { inputs, targets, rows, .. } = self;
        let outputs = targets.len() / rows;
        let targets = Tensor::from_data(TensorData::new(targets, [rows, outputs]), device);
        (inputs.onto(rows, device), targets)
    }

    /// The inputs alone.
    pub fn inputs_onto(self, device: &Device) -> DeviceInputs {
        self.inputs.onto(self.rows, device)
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
