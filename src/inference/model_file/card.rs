//! The model card: everything that is needed to use a model, stored in its file.

use std::path::Path;

use models::onnx::Activation;
use models::{ModelConfig, NetworkConfig};
use serde::{Deserialize, Serialize};

use super::test_signals::Signal;
use crate::error::{Error, Result};
use crate::experiment::{Experiment, Loss};
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;

/// Version of the card and of the names and layout of the weights.
pub const FORMAT: u32 = 1;

/// The longest excerpt that is accepted, in samples: more than an hour at 32 kHz.
const MAX_EXCERPT: usize = 1 << 27;

/// A model card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// [`FORMAT`]; other versions are refused.
    pub format: u32,
    /// Name of the run.
    pub name: String,
    /// Description of the experiment.
    pub about: String,
    /// Version of the program that wrote the card.
    pub tonotopy: String,
    /// Commit of the program that trained the run; `unknown` if it was not built from a repository.
    pub commit: String,
    /// All settings of network and front end.
    pub model: ModelConfig,
    /// One-line description of the model.
    pub architecture: String,
    /// The number of parameters, including the running statistics of batch normalization.
    pub parameters: usize,
    /// Sample rate of the input in Hz; audio at other rates must be resampled.
    pub sample_rate: u32,
    /// Length of an excerpt in samples. Predictions for longer audio are means over consecutive excerpts; shorter audio is
    /// padded with silence.
    pub excerpt_samples: usize,
    /// Format of the input.
    pub input: String,
    /// Function that turns the network's outputs into predictions.
    pub activation: Prediction,
    /// Meaning of the outputs.
    pub outputs: Outputs,
    /// Names of the outputs, in order: tags, or numbered factors.
    pub tags: Vec<String>,
    /// The training data.
    pub dataset: Dataset,
    /// Licence, as given at export.
    pub licence: Option<String>,
    /// Scores of this checkpoint; `None` if it was not evaluated.
    pub scores: Option<ReportedScores>,
    /// Settings of the training.
    pub training: Training,
    /// Reproducible signals with the results of the model.
    pub test_vectors: Vec<TestVector>,
}

/// The function that turns outputs into predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prediction {
    /// No function.
    Identity,
    /// Independent probabilities of tags.
    Sigmoid,
    /// Probabilities of mutually exclusive classes.
    Softmax,
}

/// The meaning of the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outputs {
    /// Named tags or classes.
    Tags,
    /// Latent factors, whose inner product with a user's factors is a score.
    Factors,
}

/// The training data, without the paths of this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// Name of the dataset, or its kind if the run was not evaluated.
    pub name: String,
    /// Settings of the dataset in the experiment, such as kind and split.
    pub settings: toml::Table,
}

/// Scores of the last evaluation of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportedScores {
    /// `train`, `valid` or `test`.
    pub split: String,
    /// The top-level numbers of `scores.json`, by key.
    #[serde(flatten)]
    pub values: std::collections::BTreeMap<String, f64>,
}

/// Settings of the training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Training {
    /// Random seed of the experiment.
    pub seed: u64,
    /// Training step of the checkpoint.
    pub step: u64,
    /// Loss function; it determines [`Card::activation`].
    pub loss: Loss,
}

/// A signal with the results of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestVector {
    /// Name of the signal.
    pub signal: Signal,
    /// Length in samples at the card's sample rate; more than one excerpt.
    pub samples: usize,
    /// Mean prediction over the excerpts: `[output]`
    pub activations: Vec<f32>,
    /// Mean of the last hidden layer over the excerpts: `[feature]`
    pub embeddings: Vec<f32>,
}

impl From<Loss> for Prediction {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::BinaryCrossEntropy => Self::Sigmoid,
            Loss::CrossEntropy => Self::Softmax,
            Loss::MeanSquaredError | Loss::WeightedPredictionError | Loss::None => Self::Identity,
        }
    }
}

impl From<Prediction> for Activation {
    fn from(prediction: Prediction) -> Self {
        match prediction {
            Prediction::Identity => Self::Identity,
            Prediction::Sigmoid => Self::Sigmoid,
            Prediction::Softmax => Self::Softmax,
        }
    }
}

impl Card {
    /// The card of a run, without test vectors.
    ///
    /// # Errors
    /// If the run's files cannot be read.
    pub fn of_run(folder: &RunFolder, experiment: &Experiment, which: Which) -> Result<Card> {
        let environment = folder.environment()?;
        let checkpoint = folder.checkpoints().load(which)?;
        let outputs = match experiment.listening {
            None => Outputs::Tags,
            Some(_) => Outputs::Factors,
        };
        let input = match experiment.model.takes_audio() {
            true => AUDIO,
            false => "features of a dataset, one row per frame",
        };
        let settings = toml::Table::try_from(&experiment.dataset).unwrap_or_default();
        let name = settings.get("name").and_then(|name| name.as_str()).unwrap_or_default();
        let (evaluated, scores) = ReportedScores::read(folder, which)?.unzip();
        let name = evaluated.unwrap_or_else(|| name.to_string());
        let dataset = Dataset { name, settings: without_paths(&settings) };
        let named = folder.path().file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(Card {
            format: FORMAT,
            name: named.filter(|name| !name.is_empty()).unwrap_or_else(|| experiment.name.clone()),
            about: experiment.about.clone(),
            tonotopy: env!("CARGO_PKG_VERSION").into(),
            commit: environment.commit,
            architecture: experiment.model.describe(),
            parameters: environment.parameters,
            sample_rate: experiment.model.sample_rate(),
            excerpt_samples: experiment.excerpt_samples(),
            input: input.into(),
            activation: experiment.training.loss.into(),
            outputs,
            tags: folder.outputs(experiment)?,
            model: experiment.model.clone(),
            dataset,
            licence: None,
            scores,
            training: Training {
                seed: experiment.seed,
                step: checkpoint.state.step,
                loss: experiment.training.loss,
            },
            test_vectors: Vec::new(),
        })
    }

    /// Parses the card of the model file `path`.
    ///
    /// # Errors
    /// If `text` is not a card, has another version, or is inconsistent.
    pub fn parse(text: &str, path: &Path) -> Result<Card> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let place = path.display();
        let broken = |error: &dyn std::fmt::Display| {
            Error::Data(format!(
                "the model card of {place} is invalid: {error}; export the model again"
            ))
        };
        let Version { format } = serde_json::from_str(text).map_err(|error| broken(&error))?;
        if format != FORMAT {
            return Err(Error::Data(format!(
                "the model card of {place} has format {format}, but this version of tonotopy reads format {FORMAT}; use the \
                 version that wrote it"
            )));
        }
        let card: Card = serde_json::from_str(text).map_err(|error| broken(&error))?;
        card.check().map_err(|problem| broken(&problem))?;
        Ok(card)
    }

    /// The card as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("serializable")
    }

    fn check(&self) -> Result<(), String> {
        if self.excerpt_samples > MAX_EXCERPT {
            let samples = self.excerpt_samples;
            return Err(format!(
                "excerpts have {samples} samples, but at most {MAX_EXCERPT} are supported"
            ));
        }
        self.model.validate(self.excerpt_samples).map_err(|error| error.to_string())?;
        let rate = self.model.sample_rate();
        if self.sample_rate != rate {
            return Err(format!(
                "sample_rate is {}, but the front end takes {rate} Hz",
                self.sample_rate
            ));
        }
        if self.tags.is_empty() {
            return Err("tags is empty".into());
        }
        let names = self.tags.iter().chain([&self.name]);
        if let Some(name) = names.into_iter().find(|name| name.contains(char::is_control)) {
            return Err(format!("the name {name:?} contains a control character"));
        }
        for vector in &self.test_vectors {
            if vector.activations.len() != self.tags.len() || vector.samples > MAX_EXCERPT {
                return Err(format!(
                    "the test vector {:?} does not match it",
                    vector.signal.name()
                ));
            }
        }
        Ok(())
    }
}

/// Format of the input, for authors of other programs.
const AUDIO: &str =
    "mono (the mean of the channels), float32 in [-1, 1], at sample_rate; no other normalisation";

/// The settings at any depth, without paths.
fn without_paths(table: &toml::Table) -> toml::Table {
    let is_path = |key: &str| {
        ["root", "path", "annotations", "audio", "splits", "file"]
            .iter()
            .any(|part| key.contains(part))
    };
    table
        .iter()
        .filter(|(key, _)| !is_path(key))
        .map(|(key, value)| match value {
            toml::Value::Table(inner) => (key.clone(), toml::Value::Table(without_paths(inner))),
            value => (key.clone(), value.clone()),
        })
        .collect()
}

impl ReportedScores {
    /// Reads the dataset's name and the scores from a run's `scores.json`; `None` if it does not exist or is from another
    /// checkpoint.
    fn read(folder: &RunFolder, which: Which) -> Result<Option<(String, ReportedScores)>> {
        let path = folder.file("scores.json");
        if !path.is_file() {
            return Ok(None);
        }
        let text = crate::io::files::read_text(&path)?;
        let value: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| Error::Data(format!("in {}: {error}", path.display())))?;
        let Some(object) = value.as_object() else { return Ok(None) };
        // Scores of a cross-validation have no checkpoint.
        let source = object.get("checkpoint").and_then(|checkpoint| checkpoint.as_str());
        if source.is_some() && source != Some(&folder.checkpoints().pointed(which)?) {
            return Ok(None);
        }
        let split = object.get("split").and_then(|split| split.as_str()).unwrap_or("test");
        let values =
            object.iter().filter_map(|(key, value)| Some((key.clone(), value.as_f64()?))).collect();
        let name = object.get("dataset").and_then(|name| name.as_str()).unwrap_or_default();
        Ok(Some((name.into(), ReportedScores { split: split.into(), values })))
    }
}
