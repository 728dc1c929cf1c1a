//! Dense layers on what another network makes of the audio: its last hidden layer, or its outputs.
//!
//! P4 (van den Oord, Dieleman & Schrauwen 2014, Transfer learning by supervised pre-training for
//! audio-based music classification): a network is trained on a large source task; what it computes is
//! the input of a small classifier for the target task. The transferred features are, as far as is
//! remembered, the last hidden layer of a perceptron and the predicted factors of a linear regression.
//!
//! The source is part of the model and of its checkpoints, and never changes. Its features are
//! standardised by their mean and deviation over the target's training excerpts.

use std::path::PathBuf;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fitted::{Corpus, FitError, Fitted, Fixed};
use crate::front_end::FrontEndConfig;
use crate::layers::dense::{Dense, DenseConfig};
use crate::layers::windows::host;
use crate::onnx::{Graph, Lower, Lowered, Value};
use crate::unsupervised::moments::Moments;
use crate::{Example, Model, ModelConfig, ModelError, Network, NetworkConfig, TaggerConfig, error};

/// Which features of the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// Its last hidden layer.
    #[default]
    Embedding,
    /// What it predicts: logits of tags, or latent factors.
    Outputs,
}

/// Everything that [`Transferred`] leaves open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TransferredConfig {
    /// The run whose network is taken, as a folder.
    pub run: PathBuf,
    /// Which of its layers is the input; `embedding` by default.
    pub of: Of,
    /// Units of each hidden layer in turn; none for a linear classifier.
    pub hidden: Vec<usize>,
    /// Probability of dropping the input of a dense layer after the first, in training.
    pub dropout: f64,
    /// What the run's network is; not to be written by hand: it is read from the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub source: Option<Box<SourceConfig>>,
}

/// The network of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// How many it predicts: tags, or latent factors.
    pub outputs: usize,
    /// Length of the excerpts that it was trained on, in samples.
    pub excerpt_samples: usize,
    /// `[model]` of the run's experiment.
    pub model: ModelConfig,
}

/// Names of what is fitted besides the source's own.
const SOURCE: &str = "source_";
/// `[2, feature]`: means, deviations.
const SIZES: &str = "transferred_sizes";

impl TransferredConfig {
    fn source(&self) -> Result<&SourceConfig, ModelError> {
        self.source.as_deref().ok_or_else(|| {
            let run = self.run.display().to_string();
            let remedy = "name the folder of a trained run";
            ModelError::new("run", run, "it has not been read", remedy)
        })
    }

    /// Whether the source has been read: [`TransferredConfig::validate`] can tell the rest then.
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
        let (hidden, samples) = of(Of::Embedding, vec![5]);
        let (linear, _) = of(Of::Outputs, Vec::new());
        vec![
            Example { about: "on a hidden layer", config: hidden, samples },
            Example { about: "linear, on outputs", config: linear, samples },
        ]
    }

    /// That of the source, once it has been read; so is the rate.
    fn front_end(&self) -> Option<&FrontEndConfig> {
        self.source.as_ref()?.model.front_end()
    }

    fn sample_rate(&self) -> u32 {
        self.source.as_ref().map_or(0, |source| source.model.sample_rate())
    }

    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        let source = self.source()?;
        source.model.validate(excerpt_samples).map_err(|error| match error.key.as_str() {
            "excerpt" => error,
            _ => error.within("source.model"),
        })?;
        let inputs = match self.of {
            Of::Outputs => source.outputs,
            // Known when the source is there.
            Of::Embedding => 1,
        };
        self.dense().validate(inputs)
    }

    fn is_fitted(&self) -> bool {
        true
    }

    fn is_linear(&self) -> bool {
        self.hidden.is_empty()
    }

    /// Takes over what is fitted of the source, and the sizes of its features on this audio.
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
        let mut moments: Option<Moments> = None;
        corpus.progress("sizes of features").map_err(FitError::Corpus)?;
        corpus
            .excerpts(&mut |waveforms, _| {
                let features = self.of.features(&source, waveforms);
                let [_, width] = features.dims();
                let moments = moments.get_or_insert_with(|| Moments::new(width));
                host(features).chunks_exact(width).for_each(|row| moments.add(row));
            })
            .map_err(FitError::Corpus)?;
        let Some(moments) = moments else {
            return Err(FitError::Data("there is no training audio".into()));
        };
        let (mean, deviation) = moments.finish();
        if mean.iter().any(|mean| !mean.is_finite()) {
            let problem = "a feature is not finite: the audio or the source's weights hold NaN";
            return Err(FitError::Data(problem.into()));
        }
        let width = mean.len();
        let sizes = mean.into_iter().chain(deviation).map(|value| value as f32).collect();
        fitted.insert(SIZES, &[2, width], sizes);
        Ok(fitted)
    }

    /// The weights of the source are put in by [`Transferred::with_source`], or come with a checkpoint.
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
        let sizes: Fixed<2> = fitted.get(SIZES, [Some(2), None])?;
        let [_, count] = sizes.shape();
        error::in_range("features", count, 1, 1 << 30)?;
        let (mean, deviation) = sizes.values().split_at(count);
        Ok(Transferred {
            source: vec![network],
            of: self.of,
            mean: Fixed::new(mean.to_vec(), [1, count]),
            deviation: Fixed::new(deviation.to_vec(), [1, count]),
            dense: self.dense().init(count, outputs, device),
        })
    }

    fn describe(&self) -> String {
        let what = match self.of {
            Of::Embedding => "the last hidden layer",
            Of::Outputs => "the outputs",
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

impl Of {
    fn features(self, source: &Model, waveforms: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Embedding => source.embed(waveforms),
            Self::Outputs => source.forward(waveforms),
        }
    }
}

/// See the head of this file.
#[derive(Module, Debug)]
pub struct Transferred {
    /// One network: a list, since a model cannot hold itself.
    source: Vec<Model>,
    #[module(skip)]
    of: Of,
    /// `[1, feature]`
    #[module(skip)]
    mean: Fixed<2>,
    /// `[1, feature]`
    #[module(skip)]
    deviation: Fixed<2>,
    dense: Dense,
}

impl Transferred {
    /// The same with the weights of `source`, a network of the config's kind.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn with_source(mut self, source: Model) -> Result<Self, String> {
        let record = source.into_record();
        let Some(network) = self.source.pop() else { return Err("there is no source".into()) };
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
        match width == count {
            true => Ok(()),
            false => {
                let problem =
                    format!("fitted on {count} features, the network of model.run has {width}");
                Err(ModelError::new(SIZES, count, problem, "train the run anew"))
            }
        }
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

    fn learned(&self, features: Tensor<2>) -> Tensor<2> {
        self.dense.forward(features)
    }

    fn forward(&self, waveforms: Tensor<2>) -> Tensor<2> {
        self.learned(self.fixed(waveforms))
    }

    fn embed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        self.dense.last_hidden(self.fixed(waveforms))
    }
}

impl Lower for Transferred {
    fn lower(&self, graph: &mut Graph, waveforms: Value) -> Lowered {
        let Lowered { outputs, features } = self.source[0].lower(graph, waveforms);
        let of = match self.of {
            Of::Embedding => features,
            Of::Outputs => outputs,
        };
        let features = graph.standardised(&of, self.mean.values(), self.deviation.values());
        self.dense.lower(graph, features)
    }
}
