//! What a model takes from its training audio before the first step, without gradients: the means
//! of a codebook, principal components, a metric.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};

use crate::{Model, ModelError};

/// Numbers with a shape, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The last dimension varies fastest; its product is the number of values.
    pub shape: Vec<usize>,
    /// In row-major order.
    pub values: Vec<f32>,
}

/// Arrays by name; empty for a model that has nothing fitted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fitted {
    /// Each name is that of its file in the folder of a run.
    pub arrays: BTreeMap<String, Array>,
}

impl Fitted {
    /// Adds an array.
    ///
    /// # Panics
    /// If the shape does not fit the values.
    pub fn insert(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
        self.arrays.insert(name.to_string(), Array { shape: shape.to_vec(), values });
    }

    /// An array of `D` dimensions, those that `shape` names of that size.
    ///
    /// # Errors
    /// If there is no such array, or it has another shape.
    pub fn get<const D: usize>(
        &self,
        name: &str,
        shape: [Option<usize>; D],
    ) -> Result<Fixed<D>, ModelError> {
        let remedy = "train the run anew, or put its fitted files back";
        let Some(array) = self.arrays.get(name) else {
            return Err(ModelError::new(name, "missing", "the model was never fitted", remedy));
        };
        let found: Option<[usize; D]> = array.shape.as_slice().try_into().ok();
        let fits = |found: &[usize; D]| {
            found.iter().zip(&shape).all(|(found, wanted)| wanted.is_none_or(|want| want == *found))
        };
        match found.filter(fits) {
            Some(shape) => Ok(Fixed::new(array.values.clone(), shape)),
            None => {
                let shape = format!("{:?}", array.shape);
                Err(ModelError::new(name, shape, "not of the shape that the config asks", remedy))
            }
        }
    }
}

/// A tensor that no gradient changes and no record holds, on whatever device it is asked for.
#[derive(Clone)]
pub struct Fixed<const D: usize> {
    values: Arc<Vec<f32>>,
    shape: [usize; D],
    /// Made on first use on each device.
    on: Arc<Mutex<Vec<(Device, Tensor<D>)>>>,
}

impl<const D: usize> fmt::Debug for Fixed<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixed").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl<const D: usize> Fixed<D> {
    /// # Panics
    /// If the shape does not fit the values.
    pub fn new(values: Vec<f32>, shape: [usize; D]) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len());
        Self { values: Arc::new(values), shape, on: Arc::default() }
    }

    /// The size of each dimension.
    pub fn shape(&self) -> [usize; D] {
        self.shape
    }

    /// Row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The tensor on `device`.
    pub fn on(&self, device: &Device) -> Tensor<D> {
        let plain = device.clone().without_autodiff();
        // A panic elsewhere cannot leave the list half-written: an entry is pushed whole.
        let mut made = self.on.lock().unwrap_or_else(PoisonError::into_inner);
        let tensor = match made.iter().find(|(known, _)| *known == plain) {
            Some((_, tensor)) => tensor.clone(),
            None => {
                let data = TensorData::new(self.values.to_vec(), self.shape);
                let tensor = Tensor::from_data(data, &plain);
                made.push((plain, tensor.clone()));
                tensor
            }
        };
        drop(made);
        tensor.to_device(device)
    }
}

/// Training audio, read as often as asked.
pub trait Corpus {
    /// Why it cannot be read.
    type Error;

    /// Tracks in all.
    fn tracks(&self) -> usize;

    /// Hands over every excerpt, in order: waveforms `[batch, sample]` and the track of each row.
    ///
    /// # Errors
    /// If audio cannot be read.
    fn excerpts(&self, each: &mut dyn FnMut(Tensor<2>, &[usize])) -> Result<(), Self::Error>;

    /// For each track, up to `count` others that its listeners like best.
    ///
    /// # Errors
    /// If nobody knows what listeners like.
    fn neighbours(&self, count: usize) -> Result<Vec<Vec<u32>>, Self::Error>;

    /// The trained network whose features a model builds on, outside of any gradient, and what is fitted
    /// of it.
    ///
    /// # Errors
    /// If there is none.
    fn source(&self) -> Result<(Model, Fitted), Self::Error>;

    /// Says how far fitting has come; an error stops it.
    ///
    /// # Errors
    /// If it is to stop.
    fn progress(&self, what: &str) -> Result<(), Self::Error>;

    /// Says what the user should know of what was fitted.
    fn warn(&self, what: &str);
}

/// Tells a corpus of each step of something that asks whether to go on.
pub(crate) struct Teller<'a, C: Corpus> {
    corpus: &'a C,
    stopped: Option<C::Error>,
}

impl<'a, C: Corpus> Teller<'a, C> {
    pub(crate) fn new(corpus: &'a C) -> Self {
        Self { corpus, stopped: None }
    }

    /// Says how far it has come; whether to go on.
    pub(crate) fn tell(&mut self, what: &str) -> ControlFlow<()> {
        match self.corpus.progress(what) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.stopped = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// # Errors
    /// The corpus's own, if it asked to stop.
    pub(crate) fn finish(self) -> Result<(), FitError<C::Error>> {
        self.stopped.map_or(Ok(()), |error| Err(FitError::Corpus(error)))
    }
}

/// Why a model cannot be fitted.
#[derive(Debug, thiserror::Error)]
pub enum FitError<E> {
    /// A value of the config, or what another run has fitted, cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The training audio itself stands in the way: it is not finite, or nothing in it varies.
    #[error("{0}")]
    Data(String),
    /// The audio could not be read, or the corpus asked to stop.
    #[error("training audio")]
    Corpus(E),
}
