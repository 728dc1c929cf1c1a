//! Networks from waveforms to logits, with their front ends.
//!
//! What exists is one closed list, [`ModelConfig`]; every member passes the same contract
//! (`tests/contract.rs`). To add a network: write its file, add a line to each of the two enums
//! below, and an arm where the compiler asks for it.

pub mod error;
pub mod front_end;
mod init;
pub mod latentnet;
pub mod parity;
pub mod samplecnn;
pub mod stages;
pub mod tagger;
pub mod wmf;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

pub use error::ModelError;
pub use front_end::{FrontEndConfig, LearnedFilters};
pub use latentnet::{LatentNet, LatentNetConfig};
pub use samplecnn::{SampleCnn, SampleCnnConfig};
pub use tagger::{Tagger, TaggerConfig};

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
}

/// The models that an experiment may name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum ModelConfig {
    Tagger(TaggerConfig),
    SampleCnn(SampleCnnConfig),
    LatentNet(LatentNetConfig),
}

/// A model of any of the kinds above, trainable and storable as one module.
// One model exists at a time: what the variants differ by in size is nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Module, Debug)]
pub enum Model {
    Tagger(Tagger),
    SampleCnn(SampleCnn),
    LatentNet(LatentNet),
}

/// Most outputs that a model may have.
const MAX_OUTPUTS: usize = 1_000_000;

impl ModelConfig {
    /// The names that an experiment may give, and what they are.
    pub const NAMES: [(&'static str, &'static str); 3] = [
        ("tagger", "two convolutions over time on a mel or a learned front end (P3)"),
        ("samplecnn", "convolutions of three samples all the way down (Lee et al. 2017)"),
        ("latentnet", "four convolutions over time, pooled over all of it (Dieleman 2014)"),
    ];

    /// Its name in an experiment.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tagger(_) => "tagger",
            Self::SampleCnn(_) => "samplecnn",
            Self::LatentNet(_) => "latentnet",
        }
    }

    /// Sample rate of the waveforms that the model takes, in Hz.
    pub fn sample_rate(&self) -> u32 {
        match self {
            Self::Tagger(config) => config.front_end.sample_rate(),
            Self::SampleCnn(config) => config.sample_rate,
            Self::LatentNet(config) => config.front_end.sample_rate(),
        }
    }

    /// # Errors
    /// Names the first value that no model can be built with, or an excerpt too short.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        match self {
            Self::Tagger(config) => config.validate(excerpt_samples),
            Self::SampleCnn(config) => config.validate(excerpt_samples),
            Self::LatentNet(config) => config.validate(excerpt_samples),
        }
    }

    /// A model on `device` with its first weights, for excerpts of `excerpt_samples` samples.
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
        device: &Device,
    ) -> Result<Model, ModelError> {
        error::in_range("outputs", outputs, 1, MAX_OUTPUTS)?;
        let model = match self {
            Self::Tagger(config) => Model::Tagger(config.init(outputs, excerpt_samples, device)?),
            Self::SampleCnn(config) => {
                Model::SampleCnn(config.init(outputs, excerpt_samples, device)?)
            }
            Self::LatentNet(config) => {
                Model::LatentNet(config.init(outputs, excerpt_samples, device)?)
            }
        };
        init::draw(&model);
        Ok(model)
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        match self {
            Self::Tagger(config) => config.describe(),
            Self::SampleCnn(config) => config.describe(),
            Self::LatentNet(config) => config.describe(),
        }
    }
}

impl Model {
    /// The first layer of a network that learns on raw audio in strides; `None` for others.
    pub fn filters(&self) -> Option<LearnedFilters> {
        match self {
            Self::Tagger(model) => model.filters(),
            Self::SampleCnn(_) => None,
            Self::LatentNet(model) => model.filters(),
        }
    }
}

impl Network for Model {
    fn forward(&self, waveforms: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Tagger(model) => model.forward(waveforms),
            Self::SampleCnn(model) => model.forward(waveforms),
            Self::LatentNet(model) => model.forward(waveforms),
        }
    }

    fn embed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Tagger(model) => model.embed(waveforms),
            Self::SampleCnn(model) => model.embed(waveforms),
            Self::LatentNet(model) => model.embed(waveforms),
        }
    }
}
