//! What every network provides: a config before weights exist, and a module afterwards.
//!
//! The file of a network implements [`NetworkConfig`] for its config, and [`Network`] and [`Lower`] for its module.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::ModelError;
use crate::fitted::{Corpus, FitError, Fitted};
use crate::front_end::{FrontEnd, FrontEndConfig, LearnedFilters};
use crate::onnx::Lower;

/// A small network for tests, with the excerpt length that it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Example<C> {
    /// What distinguishes it from the network's other examples, in a few words.
    pub about: &'static str,
    /// Valid for excerpts of `samples` samples.
    pub config: C,
    /// Length of an excerpt, in samples.
    pub samples: usize,
}

/// The settings of a network, and how a network is built from them.
pub trait NetworkConfig: Sized {
    /// The module.
    type Network: Network + Lower;

    /// Small networks that together use every option that changes the computation. The contract test and
    /// [`self_check`](crate::self_check) run them; they have no dropout, so results are deterministic.
    fn examples() -> Vec<Example<Self>>;

    /// The front end; `None` for networks without one.
    fn front_end(&self) -> Option<&FrontEndConfig>;

    /// Sample rate of the waveforms that the network takes, in Hz.
    fn sample_rate(&self) -> u32 {
        self.front_end().map_or(0, FrontEndConfig::sample_rate)
    }

    /// Whether the network takes audio, rather than features that come with the dataset.
    fn takes_audio(&self) -> bool {
        self.front_end().is_none_or(FrontEndConfig::takes_audio)
    }

    /// # Errors
    /// Names the first invalid value, or says that an excerpt is too short.
    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError>;

    /// Whether a part of the network is fitted to the training audio before the first step and then
    /// stays constant.
    fn is_fitted(&self) -> bool {
        false
    }

    /// Fits that part on `device`.
    ///
    /// # Errors
    /// If a value is invalid, the audio cannot be read, or there is too little of it.
    fn fit<C: Corpus>(
        &self,
        _excerpt_samples: usize,
        _seed: u64,
        _device: &Device,
        _corpus: &C,
    ) -> Result<Fitted, FitError<C::Error>> {
        Ok(Fitted::default())
    }

    /// Whether a part of the network is trained by gradient descent. The outputs of a network without
    /// such a part are an embedding whose distances are meaningful, not predictions of the targets.
    fn is_learned(&self) -> bool {
        true
    }

    /// Whether the trained part is a single linear layer on constant features, so that another
    /// linear classifier on the same features can replace it.
    fn is_linear(&self) -> bool {
        false
    }

    /// Builds the network for excerpts of `excerpt_samples` samples. Weights are drawn when they are
    /// first read; `fitted` is the result of [`NetworkConfig::fit`].
    ///
    /// # Errors
    /// As [`NetworkConfig::validate`]; also if `fitted` belongs to another config.
    fn init(
        &self,
        outputs: usize,
        excerpt_samples: usize,
        fitted: &Fitted,
        device: &Device,
    ) -> Result<Self::Network, ModelError>;

    /// One line for reports.
    fn describe(&self) -> String;
}

/// A network in three stages: constant features, learned features (the last hidden layer), outputs.
pub trait Network: Module {
    /// The features that no gradient reaches, so that training computes them once per excerpt instead of
    /// once per step. For most networks these are the waveforms themselves.
    ///
    /// # Shapes
    /// - `waveforms`: as for [`Network::forward`]
    /// - returns: `[batch, feature]`
    fn fixed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        waveforms
    }

    /// The last hidden layer.
    ///
    /// # Shapes
    /// - `fixed`: `[batch, feature]`, the result of [`Network::fixed`]
    /// - returns: `[batch, unit]`
    ///
    /// # Panics
    /// If the network takes excerpts of one length only, and these have another.
    fn hidden(&self, fixed: Tensor<2>) -> Tensor<2>;

    /// The output layer.
    ///
    /// # Shapes
    /// - `hidden`: `[batch, unit]`, the result of [`Network::hidden`]
    /// - returns: `[batch, output]`, logits
    fn outputs(&self, hidden: Tensor<2>) -> Tensor<2>;

    /// All three stages.
    ///
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`, at the network's sample rate, as long
    ///   as the excerpts that the network was built for
    /// - returns: `[batch, output]`, logits
    ///
    /// # Panics
    /// As [`Network::hidden`].
    fn forward(&self, waveforms: Tensor<2>) -> Tensor<2> {
        self.learned(self.fixed(waveforms))
    }

    /// The last hidden layer.
    ///
    /// # Shapes
    /// - `waveforms`: as for [`Network::forward`]
    /// - returns: `[batch, unit]`
    fn embed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        self.hidden(self.fixed(waveforms))
    }

    /// The trained part: `learned(fixed(x))` equals `forward(x)`.
    ///
    /// # Shapes
    /// - `fixed`: `[batch, feature]`, the result of [`Network::fixed`]
    /// - returns: `[batch, output]`, logits
    fn learned(&self, fixed: Tensor<2>) -> Tensor<2> {
        self.outputs(self.hidden(fixed))
    }

    /// The front end, if it is part of the trained network.
    fn front_end_module(&self) -> Option<&FrontEnd> {
        None
    }

    /// The output of the front end, `[batch, band, frame]`, if it is part of the trained network.
    fn front_end(&self, waveforms: Tensor<2>) -> Option<Tensor<3>> {
        self.front_end_module().map(|front_end| front_end.forward(waveforms))
    }

    /// The filters of the first layer, if it learns them on raw audio.
    fn filters(&self) -> Option<LearnedFilters> {
        self.front_end_module().and_then(FrontEnd::filters)
    }

    /// Replaces the weights of the output layer, which must be the only trained layer; see
    /// [`NetworkConfig::is_linear`]. Other networks are returned unchanged.
    ///
    /// # Shapes
    /// - `weights`: `[output, feature]`, `biases`: `[output]`
    #[must_use]
    fn with_classifier(self, _weights: &[f32], _biases: &[f32]) -> Self {
        self
    }

    /// Runs the network where only that can tell whether its parts fit each other.
    ///
    /// # Errors
    /// If they do not fit.
    fn check(&self, _excerpt_samples: usize) -> Result<(), ModelError> {
        Ok(())
    }
}
