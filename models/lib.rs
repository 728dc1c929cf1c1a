//! Networks from waveforms to logits, with their front ends.
//!
//! What exists is one closed list, [`ModelConfig`]; every member passes the same contract
//! (`tests/contract.rs`). To add a network: write its file, which implements [`NetworkConfig`], [`Network`] (or [`OnFrontEnd`]) and
//! [`onnx::Lower`], and add its line to the list below.

pub mod error;
pub mod factorization;
pub mod fitted;
pub mod front_end;
pub mod layers;
pub mod linear;
mod network;
pub mod networks;
pub mod onnx;
pub mod self_check;
pub mod unsupervised;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use error::ModelError;
pub use fitted::{Corpus, FitError, Fitted};
pub use front_end::{FrontEndConfig, LearnedFilters};
pub use network::{Example, Network, NetworkConfig, OnFrontEnd};
pub use networks::bag_of_words::{BagOfWords, BagOfWordsConfig};
pub use networks::latentnet::{LatentNet, LatentNetConfig};
pub use networks::mlr::{Metric, MetricConfig};
pub use networks::multiscale::{Multiscale, MultiscaleConfig};
pub use networks::musicnn::{Musicnn, MusicnnConfig};
pub use networks::samplecnn::{SampleCnn, SampleCnnConfig};
pub use networks::tagger::{Tagger, TaggerConfig};
pub use networks::transferred::{Transferred, TransferredConfig};

/// Makes the two enums of a list of networks, and hands every call on to the member.
macro_rules! networks {
    ($($name:literal => $network:ident($config:ident), $about:literal;)*) => {
        /// The models that an experiment may name.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "name")]
        pub enum ModelConfig {
            $(
                #[doc = concat!("`", $name, "`: ", $about, ".")]
                #[serde(rename = $name)]
                $network($config),
            )*
        }

        /// A model of any of these kinds, trainable and storable as one module.
        // One model exists at a time: what the variants differ by in size is nothing.
        #[allow(clippy::large_enum_variant)]
        #[allow(missing_docs, reason = "see the variants of ModelConfig")]
        #[derive(Module, Debug)]
        pub enum Model {
            $($network($network),)*
        }

        impl ModelConfig {
            /// The names that an experiment may give, and what they are.
            pub const NAMES: &'static [(&'static str, &'static str)] = &[$(($name, $about),)*];

            /// Its name in an experiment.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$network(_) => $name,)*
                }
            }
        }

        impl NetworkConfig for ModelConfig {
            type Network = Model;

            fn examples() -> Vec<Example<Self>> {
                let mut all = Vec::new();
                $(all.extend($config::examples().into_iter().map(|example| Example {
                    about: example.about,
                    config: Self::$network(example.config),
                    samples: example.samples,
                }));)*
                all
            }

            fn front_end(&self) -> Option<&FrontEndConfig> {
                match self {
                    $(Self::$network(config) => config.front_end(),)*
                }
            }

            fn sample_rate(&self) -> u32 {
                match self {
                    $(Self::$network(config) => config.sample_rate(),)*
                }
            }

            fn takes_audio(&self) -> bool {
                match self {
                    $(Self::$network(config) => config.takes_audio(),)*
                }
            }

            fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
                match self {
                    $(Self::$network(config) => config.validate(excerpt_samples),)*
                }
            }

            fn is_fitted(&self) -> bool {
                match self {
                    $(Self::$network(config) => config.is_fitted(),)*
                }
            }

            fn fit<C: Corpus>(
                &self,
                excerpt_samples: usize,
                seed: u64,
                device: &Device,
                corpus: &C,
            ) -> Result<Fitted, FitError<C::Error>> {
                match self {
                    $(Self::$network(config) => config.fit(excerpt_samples, seed, device, corpus),)*
                }
            }

            fn is_learned(&self) -> bool {
                match self {
                    $(Self::$network(config) => config.is_learned(),)*
                }
            }

            fn is_linear(&self) -> bool {
                match self {
                    $(Self::$network(config) => config.is_linear(),)*
                }
            }

            fn init(
                &self,
                outputs: usize,
                excerpt_samples: usize,
                fitted: &Fitted,
                device: &Device,
            ) -> Result<Model, ModelError> {
                error::in_range("outputs", outputs, 1, MAX_OUTPUTS)?;
                Ok(match self {
                    $(Self::$network(config) => {
                        Model::$network(config.init(outputs, excerpt_samples, fitted, device)?)
                    })*
                })
            }

            fn describe(&self) -> String {
                match self {
                    $(Self::$network(config) => config.describe(),)*
                }
            }
        }

        impl Network for Model {
            fn forward(&self, waveforms: Tensor<2>) -> Tensor<2> {
                match self {
                    $(Self::$network(model) => model.forward(waveforms),)*
                }
            }

            fn embed(&self, waveforms: Tensor<2>) -> Tensor<2> {
                match self {
                    $(Self::$network(model) => model.embed(waveforms),)*
                }
            }

            fn fixed(&self, waveforms: Tensor<2>) -> Tensor<2> {
                match self {
                    $(Self::$network(model) => model.fixed(waveforms),)*
                }
            }

            fn learned(&self, features: Tensor<2>) -> Tensor<2> {
                match self {
                    $(Self::$network(model) => model.learned(features),)*
                }
            }

            fn front_end(&self, waveforms: Tensor<2>) -> Option<Tensor<3>> {
                match self {
                    $(Self::$network(model) => model.front_end(waveforms),)*
                }
            }

            fn filters(&self) -> Option<LearnedFilters> {
                match self {
                    $(Self::$network(model) => model.filters(),)*
                }
            }

            fn with_classifier(self, weights: &[f32], biases: &[f32]) -> Self {
                match self {
                    $(Self::$network(model) => Self::$network(model.with_classifier(weights, biases)),)*
                }
            }

            fn check(&self, excerpt_samples: usize) -> Result<(), ModelError> {
                match self {
                    $(Self::$network(model) => model.check(excerpt_samples),)*
                }
            }
        }

        impl onnx::Lower for Model {
            fn lower(&self, graph: &mut onnx::Graph, waveforms: onnx::Value) -> onnx::Lowered {
                match self {
                    $(Self::$network(model) => model.lower(graph, waveforms),)*
                }
            }
        }
    };
}

networks! {
    "tagger" => Tagger(TaggerConfig), "two convolutions over time on a mel or a learned front end (P3)";
    "samplecnn" => SampleCnn(SampleCnnConfig), "convolutions of three samples all the way down (Lee et al. 2017)";
    "latentnet" => LatentNet(LatentNetConfig), "four convolutions over time, pooled over all of it (Dieleman 2014)";
    "musicnn" => Musicnn(MusicnnConfig), "tall filters for timbre, long ones for time (Pons et al. 2018, 2019)";
    "bag_of_words" => BagOfWords(BagOfWordsConfig), "linear regression or dense layers on counts of quantised frames (P2)";
    "multiscale" => Multiscale(MultiscaleConfig), "dense layers on features of spherical K-means at several time scales (P1)";
    "transferred" => Transferred(TransferredConfig), "dense layers on what the network of another run makes of the audio (P4)";
    "mlr" => Metric(MetricConfig), "a metric learned to rank, on counts of quantised frames (P2)";
}

/// Most outputs that a model may have.
const MAX_OUTPUTS: usize = 1_000_000;

impl ModelConfig {
    /// A model with its first weights, drawn here and now, so that they depend on the device's seed (which is
    /// one for the whole process) and on nothing that happens later. [`NetworkConfig::init`] is for weights that
    /// come from elsewhere: it draws none and takes no memory for them; [`Network::check`] is due after these are there.
    ///
    /// # Errors
    /// As [`NetworkConfig::init`]; also if there are no outputs, or too many.
    pub fn drawn(
        &self,
        outputs: usize,
        excerpt_samples: usize,
        fitted: &Fitted,
        device: &Device,
    ) -> Result<Model, ModelError> {
        let model = self.init(outputs, excerpt_samples, fitted, device)?;
        layers::init::draw(&model);
        model.check(excerpt_samples)?;
        Ok(model)
    }
}
