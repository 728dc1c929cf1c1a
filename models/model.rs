//! Any of the networks as one type. The list at the end of this file is the only place that names them all.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::fitted::{Corpus, FitError, Fitted};
use crate::front_end::{FrontEnd, FrontEndConfig};
use crate::layers::init::draw;
use crate::network::{Example, Network, NetworkConfig};
use crate::networks::bag_of_words::{BagOfWords, BagOfWordsConfig};
use crate::networks::latentnet::{LatentNet, LatentNetConfig};
use crate::networks::mlr::{Mlr, MlrConfig};
use crate::networks::multiscale::{Multiscale, MultiscaleConfig};
use crate::networks::musicnn::{Musicnn, MusicnnConfig};
use crate::networks::samplecnn::{SampleCnn, SampleCnnConfig};
use crate::networks::tagger::{Tagger, TaggerConfig};
use crate::networks::transferred::{Transferred, TransferredConfig};
use crate::onnx::{Graph, Lower, Lowered, Value};
use crate::{ModelError, error};

/// Defines [`ModelConfig`] and [`Model`] with one variant per network, and `dispatch!`, which evaluates
/// one expression for whichever network an enum holds.
///
/// `$d` is a dollar sign: a macro cannot otherwise define another macro that has arguments.
macro_rules! networks {
    ($d:tt $($name:literal => $network:ident($config:ident), $about:literal;)*) => {
        /// The networks that an experiment can name.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(tag = "name")]
        pub enum ModelConfig {
            $(
                #[doc = concat!("`", $name, "`: ", $about, ".")]
                #[serde(rename = $name)]
                $network($config),
            )*
        }

        /// Any of the networks as one module that can be trained and stored.
        // Only one model exists at a time, so the unused bytes of a small variant cost nothing.
        #[allow(clippy::large_enum_variant)]
        #[allow(missing_docs, reason = "the variants of ModelConfig have the descriptions")]
        #[derive(Module, Debug)]
        pub enum Model {
            $($network($network),)*
        }

        impl ModelConfig {
            /// The name of each network in an experiment, with a description.
            pub const NAMES: &'static [(&'static str, &'static str)] = &[$(($name, $about),)*];

            /// The name of this network in an experiment.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$network(_) => $name,)*
                }
            }

            fn all_examples() -> Vec<Example<Self>> {
                let mut all = Vec::new();
                $(all.extend($config::examples().into_iter().map(|example| Example {
                    about: example.about,
                    config: Self::$network(example.config),
                    samples: example.samples,
                }));)*
                all
            }
        }

        /// `dispatch!(self, network => expression)`; with `=> Model(expression)` the result is wrapped
        /// in the variant of [`Model`] that belongs to the network.
        macro_rules! dispatch {
            ($d value:expr, $d inner:ident => Model($d result:expr)) => {
                match $d value {
                    $(Self::$network($d inner) => Model::$network($d result),)*
                }
            };
            ($d value:expr, $d inner:ident => $d result:expr) => {
                match $d value {
                    $(Self::$network($d inner) => $d result,)*
                }
            };
        }
    };
}

networks! { $
    "tagger" => Tagger(TaggerConfig), "two convolutions over time on a mel or a learned front end (P3)";
    "samplecnn" => SampleCnn(SampleCnnConfig), "convolutions of three samples throughout (Lee et al. 2017)";
    "latentnet" => LatentNet(LatentNetConfig), "four convolutions over time, pooled over the whole excerpt (Dieleman 2014)";
    "musicnn" => Musicnn(MusicnnConfig), "tall filters for timbre, long filters for time (Pons et al. 2018, 2019)";
    "bag_of_words" => BagOfWords(BagOfWordsConfig), "linear regression or dense layers on counts of quantised frames (P2)";
    "multiscale" => Multiscale(MultiscaleConfig), "dense layers on features of spherical K-means at several time scales (P1)";
    "transferred" => Transferred(TransferredConfig), "dense layers on the features of another run's network (P4)";
    "mlr" => Mlr(MlrConfig), "a metric learned to rank, on counts of quantised frames (P2)";
}

/// Largest number of outputs of a model.
const MAX_OUTPUTS: usize = 1_000_000;

impl ModelConfig {
    /// Builds the model and draws its initial weights immediately, so that they depend only on the state of
    /// the device's random generator (one per process). [`NetworkConfig::init`] is for models whose
    /// weights are loaded: it draws none and allocates no memory for them; call [`Network::check`] afterwards.
    ///
    /// # Errors
    /// As [`NetworkConfig::init`]; also if `outputs` is 0 or too large.
    pub fn drawn(
        &self,
        outputs: usize,
        excerpt_samples: usize,
        fitted: &Fitted,
        device: &Device,
    ) -> Result<Model, ModelError> {
        let model = self.init(outputs, excerpt_samples, fitted, device)?;
        draw(&model);
        model.check(excerpt_samples)?;
        Ok(model)
    }
}

impl NetworkConfig for ModelConfig {
    type Network = Model;

    fn examples() -> Vec<Example<Self>> {
        Self::all_examples()
    }

    fn front_end(&self) -> Option<&FrontEndConfig> {
        dispatch!(self, config => config.front_end())
    }

    fn sample_rate(&self) -> u32 {
        dispatch!(self, config => config.sample_rate())
    }

    fn takes_audio(&self) -> bool {
        dispatch!(self, config => config.takes_audio())
    }

    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        dispatch!(self, config => config.validate(excerpt_samples))
    }

    fn is_fitted(&self) -> bool {
        dispatch!(self, config => config.is_fitted())
    }

    fn fit<C: Corpus>(
        &self,
        excerpt_samples: usize,
        seed: u64,
        device: &Device,
        corpus: &C,
    ) -> Result<Fitted, FitError<C::Error>> {
        dispatch!(self, config => config.fit(excerpt_samples, seed, device, corpus))
    }

    fn is_learned(&self) -> bool {
        dispatch!(self, config => config.is_learned())
    }

    fn is_linear(&self) -> bool {
        dispatch!(self, config => config.is_linear())
    }

    fn init(
        &self,
        outputs: usize,
        excerpt_samples: usize,
        fitted: &Fitted,
        device: &Device,
    ) -> Result<Model, ModelError> {
        error::in_range("outputs", outputs, 1, MAX_OUTPUTS)?;
        Ok(dispatch!(self, config => Model(config.init(outputs, excerpt_samples, fitted, device)?)))
    }

    fn describe(&self) -> String {
        dispatch!(self, config => config.describe())
    }
}

impl Network for Model {
    fn fixed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        dispatch!(self, network => network.fixed(waveforms))
    }

    fn hidden(&self, fixed: Tensor<2>) -> Tensor<2> {
        dispatch!(self, network => network.hidden(fixed))
    }

    fn outputs(&self, hidden: Tensor<2>) -> Tensor<2> {
        dispatch!(self, network => network.outputs(hidden))
    }

    fn front_end_module(&self) -> Option<&FrontEnd> {
        dispatch!(self, network => network.front_end_module())
    }

    fn with_classifier(self, weights: &[f32], biases: &[f32]) -> Self {
        dispatch!(self, network => Model(network.with_classifier(weights, biases)))
    }

    fn check(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        dispatch!(self, network => network.check(excerpt_samples))
    }
}

impl Lower for Model {
    fn lower(&self, graph: &mut Graph, waveforms: Value) -> Lowered {
        dispatch!(self, network => network.lower(graph, waveforms))
    }
}
