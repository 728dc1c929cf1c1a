//! Arrays that are fitted to the training audio before the first step, without gradients: the means of a
//! codebook, principal components, a metric. Also the interface through which training audio is read.
//!
//! A transferred network contains any [`Model`], hence the one circle of modules in this crate.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use kernels::per_device::PerDevice;

use crate::{Model, ModelError};

/// Values with a shape, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Size of each dimension; the last varies fastest.
    pub shape: Vec<usize>,
    /// As many as the product of the shape.
    pub values: Vec<f32>,
}

/// Arrays by name; empty for a model without a fitted part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fitted {
    /// A run stores each array in a file of this name.
    pub arrays: BTreeMap<String, Array>,
}

impl Fitted {
    /// Adds an array.
    ///
    /// # Panics
    /// If the shape and the number of values differ.
    pub fn insert(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
        self.arrays.insert(name.to_string(), Array { shape: shape.to_vec(), values });
    }

    /// An array of `D` dimensions; each size in `shape` that is not `None` must match.
    ///
    /// # Errors
    /// If the array does not exist or has another shape.
    pub fn get<const D: usize>(
        &self,
        name: &str,
        shape: [Option<usize>; D],
    ) -> Result<Constant<D>, ModelError> {
        let remedy = "train the run again, or restore its fitted files";
        let Some(array) = self.arrays.get(name) else {
            return Err(ModelError::new(name, "missing", "the model was never fitted", remedy));
        };
        let found: Option<[usize; D]> = array.shape.as_slice().try_into().ok();
        let fits = |found: &[usize; D]| {
            found.iter().zip(&shape).all(|(found, wanted)| wanted.is_none_or(|want| want == *found))
        };
        match found.filter(fits) {
            Some(shape) => Ok(Constant::new(array.values.clone(), shape)),
            None => {
                let shape = format!("{:?}", array.shape);
                Err(ModelError::new(
                    name,
                    shape,
                    "has another shape than the config requires",
                    remedy,
                ))
            }
        }
    }
}

/// A tensor that is not trained and not part of a record. It is copied to each device on first use.
#[derive(Clone)]
pub struct Constant<const D: usize> {
    values: Arc<Vec<f32>>,
    shape: [usize; D],
    on_device: Arc<PerDevice<Tensor<D>>>,
}

impl<const D: usize> fmt::Debug for Constant<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Constant").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl<const D: usize> Constant<D> {
    /// # Panics
    /// If the shape and the number of values differ.
    pub fn new(values: Vec<f32>, shape: [usize; D]) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len());
        Self { values: Arc::new(values), shape, on_device: Arc::default() }
    }

    /// The size of each dimension.
    pub fn shape(&self) -> [usize; D] {
        self.shape
    }

    /// The values, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The tensor on `device`.
    pub fn on(&self, device: &Device) -> Tensor<D> {
        let tensor = self.on_device.get(device, |device| {
            Tensor::from_data(TensorData::new(self.values.to_vec(), self.shape), device)
        });
        tensor.to_device(device)
    }
}

/// Training audio; every call to [`Corpus::excerpts`] reads all of it.
pub trait Corpus {
    /// Why the audio cannot be read.
    type Error;

    /// Number of tracks.
    fn tracks(&self) -> usize;

    /// Calls `each` for every batch of excerpts in order: waveforms `[batch, sample]` and the track of each row.
    ///
    /// # Errors
    /// If the audio cannot be read.
    fn excerpts(&self, each: &mut dyn FnMut(Tensor<2>, &[usize])) -> Result<(), Self::Error>;

    /// For each track, up to `count` other tracks that its listeners like most.
    ///
    /// # Errors
    /// If there is no listening data.
    fn neighbours(&self, count: usize) -> Result<Vec<Vec<u32>>, Self::Error>;

    /// The trained network whose features the model uses, without autodiff, and its fitted arrays.
    ///
    /// # Errors
    /// If the corpus has none.
    fn source(&self) -> Result<(Model, Fitted), Self::Error>;

    /// Reports progress of fitting.
    ///
    /// # Errors
    /// If fitting must stop.
    fn progress(&self, what: &str) -> Result<(), Self::Error>;

    /// Reports something about the fit that the user should know.
    fn warn(&self, what: &str);
}

/// Reports the iterations of an algorithm to a corpus, and stops the algorithm when the corpus says so.
pub(crate) struct ProgressReporter<'a, C: Corpus> {
    corpus: &'a C,
    stopped: Option<C::Error>,
}

impl<'a, C: Corpus> ProgressReporter<'a, C> {
    pub(crate) fn new(corpus: &'a C) -> Self {
        Self { corpus, stopped: None }
    }

    /// Reports progress and returns whether to continue.
    pub(crate) fn report(&mut self, what: &str) -> ControlFlow<()> {
        match self.corpus.progress(what) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.stopped = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// # Errors
    /// The error of the corpus, if it stopped the algorithm.
    pub(crate) fn finish(self) -> Result<(), FitError<C::Error>> {
        self.stopped.map_or(Ok(()), |error| Err(FitError::Corpus(error)))
    }
}

/// Why a model cannot be fitted.
#[derive(Debug, thiserror::Error)]
pub enum FitError<E> {
    /// A value of the config or a fitted array of another run is invalid.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The training audio is unusable: it is not finite, or constant.
    #[error("{0}")]
    Data(String),
    /// The audio could not be read, or the corpus stopped the fit.
    #[error("training audio")]
    Corpus(E),
}
