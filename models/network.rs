//! What a network is to everything else: its config before there are weights, and its module after.
//!
//! A network's file implements both traits (or [`OnFrontEnd`] for [`Network`]), and [`Lower`]; the list in `lib.rs` hands every call on to the
//! member that it is for.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::front_end::{FrontEnd, FrontEndConfig, LearnedFilters};
use crate::onnx::Lower;
use crate::{Corpus, FitError, Fitted, ModelError};

/// A small network, and the excerpts that it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Example<C> {
    /// What is particular about it, in a few words.
    pub about: &'static str,
    /// Valid for excerpts of `samples` samples.
    pub config: C,
    /// Length of an excerpt.
    pub samples: usize,
}

/// Everything that a network leaves open, and how it becomes one.
pub trait NetworkConfig: Sized {
    /// What it becomes.
    type Network: Network + Lower;

    /// Small ones, which between them use every option that decides what is computed: the contract test and
    /// [`parity`](crate::self_check) run them. Without dropout, so that nothing is left to chance.
    fn examples() -> Vec<Example<Self>>;

    /// The front end that it stands on; `None` for networks without one.
    fn front_end(&self) -> Option<&FrontEndConfig>;

    /// Sample rate of the waveforms that the network takes, in Hz.
    fn sample_rate(&self) -> u32;

    /// Whether it takes audio, not features that a data set comes with.
    fn takes_audio(&self) -> bool {
        self.front_end().is_none_or(FrontEndConfig::takes_audio)
    }

    /// # Errors
    /// Names the first value that no network can be built with, or an excerpt too short.
    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError>;

    /// Whether a part of it is fitted to training audio before the first step, and then fixed.
    fn is_fitted(&self) -> bool {
        false
    }

    /// Fits that part, on `device`.
    ///
    /// # Errors
    /// If a value cannot be used, audio cannot be read, or there is too little of it.
    fn fit<C: Corpus>(
        &self,
        _excerpt_samples: usize,
        _seed: u64,
        _device: &Device,
        _corpus: &C,
    ) -> Result<Fitted, FitError<C::Error>> {
        Ok(Fitted::default())
    }

    /// Whether a part of it is learned step by step. What a network without such a part gives is not
    /// what it is trained towards, but places whose distances count.
    fn is_learned(&self) -> bool {
        true
    }

    /// Whether it is one linear layer on features that are fixed: then another classifier of the same
    /// features can take that layer's place.
    fn is_linear(&self) -> bool {
        false
    }

    /// The network for excerpts of `excerpt_samples` samples, with weights that are drawn when they are
    /// first looked at; `fitted` is what [`NetworkConfig::fit`] gave.
    ///
    /// # Errors
    /// See [`NetworkConfig::validate`]; also if `fitted` is not of this config.
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

/// What the trainer asks of a network.
pub trait Network: Module {
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`, at the network's sample rate, as long
    ///   as the excerpts that the network was built for
    /// - returns: `[batch, output]`, logits
    ///
    /// # Panics
    /// If they have another length, and the network was built for one alone.
    fn forward(&self, waveforms: Tensor<2>) -> Tensor<2>;

    /// The last hidden layer.
    ///
    /// # Shapes
    /// - `waveforms`: as for [`Network::forward`]
    /// - returns: `[batch, feature]`
    fn embed(&self, waveforms: Tensor<2>) -> Tensor<2>;

    /// What no gradient reaches, which training therefore computes once an excerpt instead of once a
    /// step: features that were fitted beforehand. The waveforms themselves for most networks.
    ///
    /// # Shapes
    /// - `waveforms`: as for [`Network::forward`]
    /// - returns: `[batch, feature]`
    fn fixed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        waveforms
    }

    /// The rest: `learned(fixed(x))` is `forward(x)`.
    ///
    /// # Shapes
    /// - `features`: `[batch, feature]`, as [`Network::fixed`] gives them
    /// - returns: `[batch, output]`, logits
    fn learned(&self, features: Tensor<2>) -> Tensor<2> {
        self.forward(features)
    }

    /// What the front end alone gives, `[batch, band, frame]`; `None` for networks without one.
    fn front_end(&self, _waveforms: Tensor<2>) -> Option<Tensor<3>> {
        None
    }

    /// The first layer, where it learns on raw audio in strides.
    fn filters(&self) -> Option<LearnedFilters> {
        None
    }

    /// The same with other weights in its last layer, which must be its only one; see
    /// [`NetworkConfig::is_linear`]. Other networks stay what they are.
    ///
    /// # Shapes
    /// - `weights`: `[output, feature]`, `biases`: `[output]`
    #[must_use]
    fn with_classifier(self, _weights: &[f32], _biases: &[f32]) -> Self {
        self
    }

    /// Whether the network fits what was fitted on top of it, which only running it can tell.
    ///
    /// # Errors
    /// If it does not.
    fn check(&self, _excerpt_samples: usize) -> Result<(), ModelError> {
        Ok(())
    }
}

/// A network that is a front end and what is made of its bands, all of it learned together.
pub trait OnFrontEnd: Module {
    /// The front end.
    fn stands_on(&self) -> &FrontEnd;

    /// # Panics
    /// If the network was built for excerpts of one length alone, and `samples` is another.
    fn check_length(&self, _samples: usize) {}

    /// The last hidden layer.
    ///
    /// # Shapes
    /// - `bands`: `[batch, band, frame]`
    /// - returns: `[batch, feature]`
    fn features(&self, bands: Tensor<3>) -> Tensor<2>;

    /// Logits of it.
    ///
    /// # Shapes
    /// - `features`: `[batch, feature]`
    /// - returns: `[batch, output]`
    fn outputs(&self, features: Tensor<2>) -> Tensor<2>;
}

impl<N: OnFrontEnd> Network for N {
    fn forward(&self, waveforms: Tensor<2>) -> Tensor<2> {
        self.outputs(self.embed(waveforms))
    }

    fn embed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        self.check_length(waveforms.dims()[1]);
        self.features(self.stands_on().forward(waveforms))
    }

    fn front_end(&self, waveforms: Tensor<2>) -> Option<Tensor<3>> {
        Some(self.stands_on().forward(waveforms))
    }

    fn filters(&self) -> Option<LearnedFilters> {
        self.stands_on().filters()
    }
}
