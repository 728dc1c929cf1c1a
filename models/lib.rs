//! Networks from waveforms to logits, with their front ends.
//!
//! What exists is one closed list, [`ModelConfig`]; every member passes the same contract
//! (`tests/contract.rs`). To add a network: write its file (with [`onnx::Lower`]), add a line to each of the two enums
//! below, and an arm where the compiler asks for it.

pub mod bag;
pub mod bag_of_words;
pub mod cross_validation;
mod dense;
pub mod encoding;
pub mod error;
mod even_sample;
pub mod fitted;
pub mod folds;
pub mod front_end;
mod init;
pub mod kmeans;
pub mod latentnet;
pub mod logistic;
pub mod metric;
pub mod mlr;
mod moments;
pub mod multiscale;
pub mod onnx;
pub mod parity;
pub mod pca;
pub mod pool;
pub mod samplecnn;
pub mod stages;
pub mod svm;
pub mod tagger;
pub mod transferred;
pub mod whitening;
mod windows;
pub mod wmf;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use bag_of_words::{BagOfWords, BagOfWordsConfig};
pub use error::ModelError;
pub use fitted::{Corpus, FitError, Fitted};
pub use front_end::{FrontEndConfig, LearnedFilters};
pub use latentnet::{LatentNet, LatentNetConfig};
pub use metric::{Metric, MetricConfig};
pub use multiscale::{Multiscale, MultiscaleConfig};
pub use samplecnn::{SampleCnn, SampleCnnConfig};
pub use tagger::{Tagger, TaggerConfig};
pub use transferred::{Transferred, TransferredConfig};

/// What the trainer asks of a model, and all that it asks.
pub trait Network: Module {
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`, at the model's sample rate, as long
    ///   as the excerpts that the model was built for
    /// - returns: `[batch, output]`, logits
    fn forward(&self, waveforms: Tensor<2>) -> Tensor<2>;

    /// The last hidden layer.
    ///
    /// # Shapes
    /// - `waveforms`: as for [`Network::forward`]
    /// - returns: `[batch, feature]`
    fn embed(&self, waveforms: Tensor<2>) -> Tensor<2>;

    /// What no gradient reaches, which training therefore computes once an excerpt instead of once a
    /// step: features that were fitted beforehand. The waveforms themselves for most models.
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
}

/// The models that an experiment may name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum ModelConfig {
    Tagger(TaggerConfig),
    SampleCnn(SampleCnnConfig),
    LatentNet(LatentNetConfig),
    #[serde(rename = "bag_of_words")]
    BagOfWords(BagOfWordsConfig),
    Multiscale(MultiscaleConfig),
    Transferred(TransferredConfig),
    #[serde(rename = "mlr")]
    Metric(MetricConfig),
}

/// A model of any of the kinds above, trainable and storable as one module.
// One model exists at a time: what the variants differ by in size is nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Module, Debug)]
pub enum Model {
    Tagger(Tagger),
    SampleCnn(SampleCnn),
    LatentNet(LatentNet),
    BagOfWords(BagOfWords),
    Multiscale(Multiscale),
    Transferred(Transferred),
    Metric(Metric),
}

/// Most outputs that a model may have.
const MAX_OUTPUTS: usize = 1_000_000;

impl ModelConfig {
    /// The names that an experiment may give, and what they are.
    pub const NAMES: [(&'static str, &'static str); 7] = [
        ("tagger", "two convolutions over time on a mel or a learned front end (P3)"),
        ("samplecnn", "convolutions of three samples all the way down (Lee et al. 2017)"),
        ("latentnet", "four convolutions over time, pooled over all of it (Dieleman 2014)"),
        ("bag_of_words", "linear regression or dense layers on counts of quantised frames (P2)"),
        ("multiscale", "dense layers on features of spherical K-means at several time scales (P1)"),
        ("transferred", "dense layers on what the network of another run makes of the audio (P4)"),
        ("mlr", "a metric learned to rank, on counts of quantised frames (P2)"),
    ];

    /// Its name in an experiment.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tagger(_) => "tagger",
            Self::SampleCnn(_) => "samplecnn",
            Self::LatentNet(_) => "latentnet",
            Self::BagOfWords(_) => "bag_of_words",
            Self::Multiscale(_) => "multiscale",
            Self::Transferred(_) => "transferred",
            Self::Metric(_) => "mlr",
        }
    }

    /// Sample rate of the waveforms that the model takes, in Hz.
    pub fn sample_rate(&self) -> u32 {
        match self {
            Self::Tagger(config) => config.front_end.sample_rate(),
            Self::SampleCnn(config) => config.sample_rate,
            Self::LatentNet(config) => config.front_end.sample_rate(),
            Self::BagOfWords(config) => config.bag.front_end.sample_rate(),
            Self::Multiscale(config) => config.front_end.sample_rate(),
            Self::Transferred(config) => config.sample_rate(),
            Self::Metric(config) => config.bag.front_end.sample_rate(),
        }
    }

    /// Whether the model takes audio, not features that a data set comes with.
    pub fn takes_audio(&self) -> bool {
        match self {
            Self::Tagger(config) => config.front_end.takes_audio(),
            Self::SampleCnn(_) => true,
            Self::LatentNet(config) => config.front_end.takes_audio(),
            Self::BagOfWords(config) => config.bag.front_end.takes_audio(),
            Self::Multiscale(config) => config.front_end.takes_audio(),
            Self::Transferred(config) => {
                config.source.as_ref().is_none_or(|source| source.model.takes_audio())
            }
            Self::Metric(config) => config.bag.front_end.takes_audio(),
        }
    }

    /// # Errors
    /// Names the first value that no model can be built with, or an excerpt too short.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        match self {
            Self::Tagger(config) => config.validate(excerpt_samples),
            Self::SampleCnn(config) => config.validate(excerpt_samples),
            Self::LatentNet(config) => config.validate(excerpt_samples),
            Self::BagOfWords(config) => config.validate(excerpt_samples),
            Self::Multiscale(config) => config.validate(excerpt_samples),
            Self::Transferred(config) => config.validate(excerpt_samples),
            Self::Metric(config) => config.validate(excerpt_samples),
        }
    }

    /// Whether a part of it is fitted to training audio before the first step, and then fixed.
    pub fn is_fitted(&self) -> bool {
        match self {
            Self::Tagger(_) | Self::SampleCnn(_) | Self::LatentNet(_) => false,
            Self::BagOfWords(_) | Self::Multiscale(_) | Self::Transferred(_) | Self::Metric(_) => {
                true
            }
        }
    }

    /// Whether a part of it is learned step by step. What a model without such a part gives is not
    /// what it is trained towards, but places whose distances count.
    pub fn is_learned(&self) -> bool {
        !matches!(self, Self::Metric(_))
    }

    /// Fits that part, on `device`; nothing for models that have none.
    ///
    /// # Errors
    /// If a value cannot be used, audio cannot be read, or there is too little of it.
    pub fn fit<C: Corpus>(
        &self,
        excerpt_samples: usize,
        seed: u64,
        device: &Device,
        corpus: &C,
    ) -> Result<Fitted, FitError<C::Error>> {
        match self {
            Self::Tagger(_) | Self::SampleCnn(_) | Self::LatentNet(_) => Ok(Fitted::default()),
            Self::BagOfWords(config) => config.bag.fit(excerpt_samples, seed, device, corpus),
            Self::Multiscale(config) => config.fit(excerpt_samples, seed, device, corpus),
            Self::Transferred(config) => config.fit(excerpt_samples, corpus),
            Self::Metric(config) => config.fit(excerpt_samples, seed, device, corpus),
        }
    }

    /// A model on `device` with its first weights, for excerpts of `excerpt_samples` samples;
    /// `fitted` is what [`ModelConfig::fit`] gave.
    ///
    /// The weights are drawn here and now, so that they depend on the device's seed (which is one
    /// for the whole process) and on nothing that happens later.
    ///
    /// # Errors
    /// See [`ModelConfig::validate`]; also if there are no outputs, or too many.
    pub fn init(
        &self,
        outputs: usize,
        excerpt_samples: usize,
        fitted: &Fitted,
        device: &Device,
    ) -> Result<Model, ModelError> {
        let model = self.blank(outputs, excerpt_samples, fitted, device)?;
        init::draw(&model);
        model.check(excerpt_samples)?;
        Ok(model)
    }

    /// The same with weights that are drawn when they are first looked at, and take no memory before:
    /// for weights that come from elsewhere, after which [`Model::check`] is due.
    ///
    /// # Errors
    /// As [`ModelConfig::init`].
    pub fn blank(
        &self,
        outputs: usize,
        excerpt_samples: usize,
        fitted: &Fitted,
        device: &Device,
    ) -> Result<Model, ModelError> {
        error::in_range("outputs", outputs, 1, MAX_OUTPUTS)?;
        Ok(match self {
            Self::Tagger(config) => Model::Tagger(config.init(outputs, excerpt_samples, device)?),
            Self::SampleCnn(config) => {
                Model::SampleCnn(config.init(outputs, excerpt_samples, device)?)
            }
            Self::LatentNet(config) => {
                Model::LatentNet(config.init(outputs, excerpt_samples, device)?)
            }
            Self::BagOfWords(config) => {
                Model::BagOfWords(config.init(outputs, excerpt_samples, fitted, device)?)
            }
            Self::Multiscale(config) => {
                Model::Multiscale(config.init(outputs, excerpt_samples, fitted, device)?)
            }
            Self::Transferred(config) => {
                Model::Transferred(config.init(outputs, excerpt_samples, fitted, device)?)
            }
            Self::Metric(config) => Model::Metric(config.init(excerpt_samples, fitted, device)?),
        })
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        match self {
            Self::Tagger(config) => config.describe(),
            Self::SampleCnn(config) => config.describe(),
            Self::LatentNet(config) => config.describe(),
            Self::BagOfWords(config) => config.describe(),
            Self::Multiscale(config) => config.describe(),
            Self::Transferred(config) => config.describe(),
            Self::Metric(config) => config.describe(),
        }
    }
}

impl ModelConfig {
    /// Whether it is one linear layer on features that are fixed: then another classifier of the same
    /// features can take that layer's place.
    pub fn is_linear(&self) -> bool {
        match self {
            Self::BagOfWords(config) => config.hidden.is_empty(),
            Self::Multiscale(config) => config.hidden.is_empty(),
            Self::Transferred(config) => config.hidden.is_empty(),
            Self::Tagger(_) | Self::SampleCnn(_) | Self::LatentNet(_) | Self::Metric(_) => false,
        }
    }
}

impl Model {
    /// The same with other weights in its last layer, which must be its only one; see
    /// [`ModelConfig::is_linear`]. Other models stay what they are.
    ///
    /// # Shapes
    /// - `weights`: `[output, feature]`, `biases`: `[output]`
    #[must_use]
    pub fn with_classifier(self, weights: &[f32], biases: &[f32]) -> Self {
        match self {
            Self::BagOfWords(model) => Self::BagOfWords(model.with_classifier(weights, biases)),
            Self::Multiscale(model) => Self::Multiscale(model.with_classifier(weights, biases)),
            Self::Transferred(model) => Self::Transferred(model.with_classifier(weights, biases)),
            model => model,
        }
    }

    /// Whether a network fits what was fitted on top of it, which only running it can tell.
    ///
    /// # Errors
    /// If it does not.
    pub fn check(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        match self {
            Self::Transferred(model) => model.check(excerpt_samples),
            Self::Tagger(_)
            | Self::SampleCnn(_)
            | Self::LatentNet(_)
            | Self::BagOfWords(_)
            | Self::Multiscale(_)
            | Self::Metric(_) => Ok(()),
        }
    }

    /// What the front end alone gives, `[batch, band, frame]`; `None` for networks without one.
    pub fn front_end(&self, waveforms: Tensor<2>) -> Option<Tensor<3>> {
        match self {
            Self::Tagger(model) => Some(model.front_end(waveforms)),
            Self::LatentNet(model) => Some(model.front_end(waveforms)),
            Self::SampleCnn(_)
            | Self::BagOfWords(_)
            | Self::Multiscale(_)
            | Self::Transferred(_)
            | Self::Metric(_) => None,
        }
    }

    /// The first layer of a network that learns on raw audio in strides; `None` for others.
    pub fn filters(&self) -> Option<LearnedFilters> {
        match self {
            Self::Tagger(model) => model.filters(),
            Self::SampleCnn(_)
            | Self::BagOfWords(_)
            | Self::Multiscale(_)
            | Self::Transferred(_)
            | Self::Metric(_) => None,
            Self::LatentNet(model) => model.filters(),
        }
    }
}

impl onnx::Lower for Model {
    fn lower(&self, graph: &mut onnx::Graph, waveforms: onnx::Value) -> onnx::Lowered {
        match self {
            Self::Tagger(model) => model.lower(graph, waveforms),
            Self::SampleCnn(model) => model.lower(graph, waveforms),
            Self::LatentNet(model) => model.lower(graph, waveforms),
            Self::BagOfWords(model) => model.lower(graph, waveforms),
            Self::Multiscale(model) => model.lower(graph, waveforms),
            Self::Transferred(model) => model.lower(graph, waveforms),
            Self::Metric(model) => model.lower(graph, waveforms),
        }
    }
}

impl Network for Model {
    fn forward(&self, waveforms: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Tagger(model) => model.forward(waveforms),
            Self::SampleCnn(model) => model.forward(waveforms),
            Self::LatentNet(model) => model.forward(waveforms),
            Self::BagOfWords(model) => model.forward(waveforms),
            Self::Multiscale(model) => model.forward(waveforms),
            Self::Transferred(model) => model.forward(waveforms),
            Self::Metric(model) => model.forward(waveforms),
        }
    }

    fn embed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Tagger(model) => model.embed(waveforms),
            Self::SampleCnn(model) => model.embed(waveforms),
            Self::LatentNet(model) => model.embed(waveforms),
            Self::BagOfWords(model) => model.embed(waveforms),
            Self::Multiscale(model) => model.embed(waveforms),
            Self::Transferred(model) => model.embed(waveforms),
            Self::Metric(model) => model.embed(waveforms),
        }
    }

    fn fixed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Tagger(model) => model.fixed(waveforms),
            Self::SampleCnn(model) => model.fixed(waveforms),
            Self::LatentNet(model) => model.fixed(waveforms),
            Self::BagOfWords(model) => model.fixed(waveforms),
            Self::Multiscale(model) => model.fixed(waveforms),
            Self::Transferred(model) => model.fixed(waveforms),
            Self::Metric(model) => model.fixed(waveforms),
        }
    }

    fn learned(&self, features: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Tagger(model) => model.learned(features),
            Self::SampleCnn(model) => model.learned(features),
            Self::LatentNet(model) => model.learned(features),
            Self::BagOfWords(model) => model.learned(features),
            Self::Multiscale(model) => model.learned(features),
            Self::Transferred(model) => model.learned(features),
            Self::Metric(model) => model.learned(features),
        }
    }
}
