//! Excerpts and targets of one step, on the host and on the way to a device.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use burn::tensor::{DType, Device, Tensor, TensorData};
use kernels::pairs;
use kernels::stretches::{Stretch, Stretches};
use models::Network;

use crate::error::{Error, Result};
use crate::excerpts::Excerpt;
use crate::rows::Rows;

/// How audio lies in a batch. Features, which are not stored as audio is, are numbers in any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As numbers of 32 bits.
    Numbers,
    /// As it is stored, two samples of 16 bits in a word: half as much to carry, and nothing for the host to work out.
    Pairs,
    /// Where it lies, as it is stored: nothing to carry.
    Stretches,
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
        match model.takes_stretches(device) {
            true => Self::Stretches,
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
    /// The same samples as [`stretches`](kernels::stretches) has them.
    Stretches {
        /// Where each excerpt lies.
        rows: Vec<Stretch>,
        /// Of an excerpt.
        samples: usize,
    },
}

/// [`BatchInputs`] for a device.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "one exists at a time")]
pub enum DeviceInputs {
    /// On the device, `[row, sample]`, or `[row, feature]`.
    Numbers(Tensor<2>),
    /// On the host, which computes.
    Stretches(Stretches),
}

impl DeviceInputs {
    /// Logits `[row, output]`, of inputs that a model learns on.
    pub fn learned_by<N: Network>(self, model: &N) -> Tensor<2> {
        match self {
            Self::Numbers(inputs) => model.learned(inputs),
            Self::Stretches(waveforms) => model.learned_of_stretches(&waveforms),
        }
    }

    /// What a model's front end makes of it, `[row, band, frame]`, if it has one.
    pub fn in_front_end_of<N: Network>(self, model: &N) -> Option<Tensor<3>> {
        match self {
            Self::Numbers(waveforms) => model.front_end(waveforms),
            Self::Stretches(waveforms) => model.front_end_of_stretches(&waveforms),
        }
    }

    /// `[row, sample]`, or `[row, feature]`.
    pub fn numbers(self) -> Tensor<2> {
        match self {
            Self::Numbers(values) => values,
            Self::Stretches(waveforms) => waveforms.numbers(),
        }
    }
}

impl BatchInputs {
    fn onto(self, rows: usize, device: &Device) -> DeviceInputs {
        let (words, scales, samples) = match self {
            Self::Numbers(values) => {
                let width = values.len() / rows;
                let values = TensorData::new(values, [rows, width]);
                return DeviceInputs::Numbers(Tensor::from_data(values, device));
            }
            Self::Stretches { rows, samples } => {
                return DeviceInputs::Stretches(Stretches::new(rows, samples, device));
            }
            Self::Pairs { words, scales, samples } => (words, scales, samples),
        };
        let plain = device.clone().without_autodiff();
        let width = words.len() / rows;
        let words = Tensor::from_data(TensorData::new(words, [rows, width]), (&plain, DType::I32));
        let scales = Tensor::from_data(TensorData::new(scales, [rows]), &plain);
        let numbers = pairs::unpack(words, scales, samples);
        DeviceInputs::Numbers(match device.is_autodiff() {
            true => numbers.autodiff(),
            false => numbers,
        })
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
    /// Rows that are to be fetched.
    missing: Vec<usize>,
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
    /// Where rows lie, of which each is found once.
    #[allow(missing_docs, reason = "as in BatchInputs")]
    Stretches { rows: Box<[OnceLock<Stretch>]>, samples: usize },
}

impl BegunBatch {
    /// Of `rows` rows, of which the first are these excerpts; those that `inputs` has already are not to be fetched.
    pub fn new(
        inputs: BegunInputs,
        targets: Vec<f32>,
        excerpts: Vec<Excerpt>,
        rows: usize,
    ) -> Self {
        let missing = match &inputs {
            BegunInputs::Numbers(_) | BegunInputs::Pairs { .. } => (0..excerpts.len()).collect(),
            BegunInputs::Stretches { rows, .. } => {
                (0..excerpts.len()).filter(|&row| rows[row].get().is_none()).collect()
            }
        };
        Self { inputs, targets, excerpts, missing, rows, failure: Mutex::default() }
    }

    /// What its rows are.
    pub fn excerpts(&self) -> &[Excerpt] {
        &self.excerpts
    }

    /// Where they go.
    pub fn inputs(&self) -> &BegunInputs {
        &self.inputs
    }

    /// Rows that are to be fetched.
    pub fn missing(&self) -> &[usize] {
        &self.missing
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
        let Self { inputs, targets, excerpts, rows, failure, .. } = self;
        if let Some((_, error)) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let inputs = match inputs {
            BegunInputs::Numbers(rows) => BatchInputs::Numbers(rows.into_values()),
            BegunInputs::Pairs { words, scales, samples } => {
                BatchInputs::Pairs { words: words.into_values(), scales, samples }
            }
            BegunInputs::Stretches { rows, samples } => {
                let silence = OnceLock::new();
                let silence = || {
                    let track: &Arc<_> = silence.get_or_init(|| Arc::new(vec![0; 2 * samples]));
                    Stretch::new(track.clone(), 0, 1.0)
                };
                let rows = rows.into_iter().map(|row| row.into_inner().unwrap_or_else(silence));
                BatchInputs::Stretches { rows: rows.collect(), samples }
            }
        };
        Ok(Batch { inputs, targets, excerpts, rows })
    }
}
