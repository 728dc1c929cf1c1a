//! Dense layers on the features of another network: its last hidden layer, or its outputs.
//!
//! P4 (van den Oord, Dieleman & Schrauwen 2014, Transfer learning by supervised pre-training for
//! audio-based music classification): a network trained on a large source task provides the input of a small
//! classifier for the target task. The transferred features are, recalled from memory, the last hidden
//! layer of a perceptron and the predicted factors of a linear regression.
//!
//! The source network is part of the model and of its checkpoints, and its weights never change. The mean and
//! deviation over the training excerpts of the target standardise its features.

use std::path::PathBuf;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{ensure, in_range};
use crate::fitted::{Constant, Corpus, FitError, Fitted};
use crate::front_end::FrontEndConfig;
use crate::layers::dense::{Dense, DenseConfig};
use crate::onnx::{Graph, Lower, Lowered, Value};
use crate::unsupervised::moments::Moments;
use crate::{Example, Model, ModelConfig, ModelError, Network, NetworkConfig, TaggerConfig};

/// The layer of the source network whose features are used.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum SourceLayer {
    /// The last hidden layer.
    #[default]
    Embedding,
    /// The outputs: logits of tags, or latent factors.
    Outputs,
}

/// Settings of [`Transferred`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TransferredConfig {
    /// Directory of the run whose network provides the features; required.
    pub run: PathBuf,
    /// Layer of that network which provides the features; `"embedding"` by default.
    pub of: SourceLayer,
    /// Units of each hidden layer in order; empty by default, which is a linear classifier.
    pub hidden: Vec<usize>,
    /// Dropout probability of the inputs of all dense layers but the first, in training; 0 by default.
    pub dropout: f64,
    /// Config of the run's network, which the program reads from the run; do not write it by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub source: Option<Box<SourceConfig>>,
}

/// The network of the source run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Number of its outputs: tags, or latent factors.
    pub outputs: usize,
    /// Length of the excerpts that it was trained on, in samples.
    pub excerpt_samples: usize,
    /// The table `[model]` of its experiment.
    pub model: ModelConfig,
}

/// Prefix of the names of the source's fitted arrays.
const SOURCE: &str = "source_";
/// `[2, feature]`: means, deviations.
const SIZES: &str = "transferred_sizes";

impl TransferredConfig {
    fn source(&self) -> Result<&SourceConfig, ModelError> {
        self.source.as_deref().ok_or_else(|| {
            let run = self.run.display().to_string();
            let remedy = "set it to the directory of a trained run";
            ModelError::new("run", run, "has not been read", remedy)
        })
    }

    /// Whether the source has been read, which [`TransferredConfig::validate`] needs.
    pub fn is_resolved(&self) -> bool {
        self.source.is_some()
    }

    fn dense(&self) -> DenseConfig<'_> {
        DenseConfig { hidden: &self.hidden, dropout: self.dropout }
    }
}

impl NetworkConfig for TransferredConfig {
    type Network = Transferred;

    fn examples() -> Vec<Example<Self>> {
        let of = |of, hidden| {
            let source = TaggerConfig::examples().swap_remove(0);
            let config = Self {
                run: "source".into(),
                of,
                hidden,
                dropout: 0.0,
                source: Some(Box::new(SourceConfig {
                    outputs: 3,
                    excerpt_samples: source.samples,
                    model: ModelConfig::Tagger(source.config),
                })),
            };
            (config, source.samples)
        };
        let (hidden, samples) = of(SourceLayer::Embedding, vec![5]);
        let (linear, _) = of(SourceLayer::Outputs, Vec::new());
        vec![
            Example { about: "on a hidden layer", config: hidden, samples },
            Example { about: "linear, on outputs", config: linear, samples },
        ]
    }

    /// The front end of the source, once it has been read; likewise the sample rate.
    fn front_end(&self) -> Option<&FrontEndConfig> {
        self.source.as_ref()?.model.front_end()
    }

    fn sample_rate(&self) -> u32 {
        self.source.as_ref().map_or(0, |source| source.model.sample_rate())
    }

    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        let source = self.source()?;
        source.model.validate(excerpt_samples).map_err(|error| error.within("source.model"))?;
        let inputs = match self.of {
            SourceLayer::Outputs => source.outputs,
            // The source network has to be built before its size is known.
            SourceLayer::Embedding => 1,
        };
        self.dense().validate(inputs)
    }

    fn is_fitted(&self) -> bool {
        true
    }

    fn is_linear(&self) -> bool {
        self.hidden.is_empty()
    }

    /// Copies the fitted arrays of the source, and fits the mean and deviation of its features on this audio.
    fn fit<C: Corpus>(
        &self,
        excerpt_samples: usize,
        _seed: u64,
        _device: &Device,
        corpus: &C,
    ) -> Result<Fitted, FitError<C::Error>> {
        self.validate(excerpt_samples)?;
        let (source, own) = corpus.source().map_err(FitError::Corpus)?;
        let mut fitted = Fitted::default();
        for (name, array) in own.arrays {
            fitted.arrays.insert(format!("{SOURCE}{name}"), array);
        }
        let features = |waveforms| self.of.features(&source, waveforms);
        let (mean, deviation) = Moments::of_features(corpus, features)?.finish();
        if mean.iter().any(|mean| !mean.is_finite()) {
            let problem =
                "a feature is not finite: the audio or the weights of the source contain NaN";
            return Err(FitError::Data(problem.into()));
        }
        let width = mean.len();
        let sizes = mean.into_iter().chain(deviation).map(|value| value as f32).collect();
        fitted.insert(SIZES, &[2, width], sizes);
        Ok(fitted)
    }

    /// [`Transferred::with_source`] or a checkpoint provides the weights of the source.
    fn init(
        &self,
        outputs: usize,
        excerpt_samples: usize,
        fitted: &Fitted,
        device: &Device,
    ) -> Result<Transferred, ModelError> {
        self.validate(excerpt_samples)?;
        let source = self.source()?;
        let mut own = Fitted::default();
        for (name, array) in &fitted.arrays {
            if let Some(name) = name.strip_prefix(SOURCE) {
                own.arrays.insert(name.to_string(), array.clone());
            }
        }
        let network = source.model.init(source.outputs, excerpt_samples, &own, device)?;
        let sizes: Constant<2> = fitted.get(SIZES, [Some(2), None])?;
        let [_, count] = sizes.shape();
        in_range("features", count, 1, 1 << 30)?;
        let (mean, deviation) = sizes.values().split_at(count);
        Ok(Transferred {
            source: vec![network],
            of: self.of,
            mean: Constant::new(mean.to_vec(), [1, count]),
            deviation: Constant::new(deviation.to_vec(), [1, count]),
            dense: self.dense().init(count, outputs, device),
        })
    }

    fn describe(&self) -> String {
        let what = match self.of {
            SourceLayer::Embedding => "the last hidden layer",
            SourceLayer::Outputs => "the outputs",
        };
        let source = self.source.as_ref().map(|source| format!(": {}", source.model.describe()));
        format!(
            "{} on {what} of {}{}",
            self.dense().describe(),
            self.run.display(),
            source.unwrap_or_default()
        )
    }
}

impl SourceLayer {
    fn features(self, source: &Model, waveforms: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Embedding => source.embed(waveforms),
            Self::Outputs => source.forward(waveforms),
        }
    }
}

/// The network; see the module documentation.
#[derive(Module, Debug)]
pub struct Transferred {
    /// One network; a `Vec`, since the type is recursive.
    source: Vec<Model>,
    #[module(skip)]
    of: SourceLayer,
    /// `[1, feature]`
    #[module(skip)]
    mean: Constant<2>,
    /// `[1, feature]`
    #[module(skip)]
    deviation: Constant<2>,
    dense: Dense,
}

impl Transferred {
    /// Loads the weights of `source`, a network built from `TransferredConfig::source`.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn with_source(mut self, source: Model) -> Result<Self, String> {
        let record = source.into_record();
        let Some(network) = self.source.pop() else {
            return Err("the network has no source".into());
        };
        let network = network.try_load_record(record).map_err(|error| error.to_string())?;
        self.source.push(network);
        Ok(self)
    }
}

impl Network for Transferred {
    fn check(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        let source = &self.source[0];
        source.check(excerpt_samples)?;
        let silence = Tensor::zeros([1, excerpt_samples], &self.dense.device());
        let [_, width] = self.of.features(source, silence).dims();
        let [_, count] = self.mean.shape();
        let problem =
            format!("fitted to {count} features, but the network of model.run has {width}");
        ensure(width == count, SIZES, count, problem, "train the run again")
    }

    fn with_classifier(mut self, weights: &[f32], biases: &[f32]) -> Self {
        self.dense = self.dense.with_output(weights, biases);
        self
    }

    fn fixed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        let device = waveforms.device();
        let features = self.of.features(&self.source[0], waveforms).detach();
        (features - self.mean.on(&device)) / self.deviation.on(&device)
    }

    fn hidden(&self, fixed: Tensor<2>) -> Tensor<2> {
        self.dense.last_hidden(fixed)
    }

    fn outputs(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.dense.outputs(hidden)
    }
}

impl Lower for Transferred {
    fn lower(&self, graph: &mut Graph, waveforms: Value) -> Lowered {
        let Lowered { outputs, features } = self.source[0].lower(graph, waveforms);
        let transferred = match self.of {
            SourceLayer::Embedding => features,
            SourceLayer::Outputs => outputs,
        };
        let features =
            graph.standardised(&transferred, self.mean.values(), self.deviation.values());
        self.dense.lower(graph, features)
    }
}
