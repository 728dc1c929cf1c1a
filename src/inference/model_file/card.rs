//! What must be known of a model to use it rightly: the card that travels in its file.

use std::path::Path;

use models::onnx::Activation;
use models::{ModelConfig, NetworkConfig};
use serde::{Deserialize, Serialize};

use super::test_signals::Signal;
use crate::error::{Error, Result};
use crate::experiment::{Experiment, Loss};
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;

/// Version of the card, and of the names and layout of the weights beside it.
pub const FORMAT: u32 = 1;

/// Longest excerpt of a model in a file, in samples: more than an hour at 32 kHz.
const MAX_EXCERPT: usize = 1 << 27;

/// Everything that travels with the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// [`FORMAT`]; a card of another version is refused.
    pub format: u32,
    /// The run that it comes from.
    pub name: String,
    /// One sentence.
    pub about: String,
    /// Version of the program that wrote the card.
    pub tonotopy: String,
    /// Commit of the program that trained the run; `unknown` where that was not built from a repository.
    pub commit: String,
    /// Architecture and front end, every setting of them.
    pub model: ModelConfig,
    /// The same in a line for people.
    pub architecture: String,
    /// Trained numbers, and those that batch normalisation keeps.
    pub parameters: usize,
    /// Of the audio that it takes, in Hz. Audio at another rate is resampled, never taken as it is.
    pub sample_rate: u32,
    /// Samples that the network sees at once; a longer recording gets the mean over consecutive excerpts,
    /// a shorter one is padded with silence.
    pub excerpt_samples: usize,
    /// How audio comes in.
    pub input: String,
    /// What is made of the network's outputs.
    pub activation: Prediction,
    /// What the outputs stand for.
    pub outputs: Outputs,
    /// Names of the outputs, in order: tags, or the numbers of factors.
    pub tags: Vec<String>,
    /// What it was trained on.
    pub dataset: Dataset,
    /// What the file may be used for, in the words of whoever exported it.
    pub licence: Option<String>,
    /// `None` before the run was evaluated.
    pub scores: Option<Summary>,
    /// How it was trained.
    pub training: Training,
    /// Signals that anyone can make again, and what the model makes of them.
    pub test_vectors: Vec<TestVector>,
}

/// What is made of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prediction {
    /// The output as it is.
    Identity,
    /// The probability of each tag by itself.
    Sigmoid,
    /// The probabilities of classes, of which one is true.
    Softmax,
}

/// What outputs stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outputs {
    /// Tags or classes, each with a name.
    Tags,
    /// Latent factors, whose inner product with a user's is a score.
    Factors,
}

/// What it was trained on; no paths, which mean nothing elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// As reports call it, once the run was evaluated; else the kind of data set.
    pub name: String,
    /// Settings of the data set in the experiment, such as its kind and which split.
    pub settings: toml::Table,
}

/// Scores of the split that the run was last evaluated on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// `train`, `valid` or `test`.
    pub split: String,
    /// Every number at the top of `scores.json`, by its key there.
    #[serde(flatten)]
    pub values: std::collections::BTreeMap<String, f64>,
}

/// How it was trained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Training {
    /// Of the experiment.
    pub seed: u64,
    /// Of the checkpoint whose weights these are.
    pub step: u64,
    /// What was lowered; it decides [`Card::activation`].
    pub loss: Loss,
}

/// A signal and what the model makes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestVector {
    /// How it is made.
    pub signal: Signal,
    /// Its length, at the card's sample rate: more than one excerpt.
    pub samples: usize,
    /// `[output]`, with the card's activation: the mean over the excerpts.
    pub activations: Vec<f32>,
    /// `[feature]`, the last hidden layer: the mean over the excerpts.
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
            false => "features of a data set, frame after frame",
        };
        let settings = toml::Table::try_from(&experiment.dataset).unwrap_or_default();
        let name = settings.get("name").and_then(|name| name.as_str()).unwrap_or_default();
        let (evaluated, scores) = Summary::of(folder, which)?.unzip();
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

    /// A card from the text in a model file.
    ///
    /// # Errors
    /// If it is none, or one of a later program, or says what cannot be.
    pub fn parse(text: &str, path: &Path) -> Result<Card> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let place = path.display();
        let broken = |error: &dyn std::fmt::Display| {
            Error::Data(format!(
                "the card of {place} cannot be read: {error}; export the model anew"
            ))
        };
        let Version { format } = serde_json::from_str(text).map_err(|error| broken(&error))?;
        if format != FORMAT {
            return Err(Error::Data(format!(
                "{place} has a card of format {format}, this program reads format {FORMAT}: use the \
                 version of tonotopy that wrote it"
            )));
        }
        let card: Card = serde_json::from_str(text).map_err(|error| broken(&error))?;
        card.check().map_err(|problem| broken(&problem))?;
        Ok(card)
    }

    /// As it is written into a file.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data becomes JSON")
    }

    fn check(&self) -> Result<(), String> {
        if self.excerpt_samples > MAX_EXCERPT {
            let samples = self.excerpt_samples;
            return Err(format!("excerpts of {samples} samples, more than {MAX_EXCERPT}"));
        }
        self.model.validate(self.excerpt_samples).map_err(|error| error.to_string())?;
        let rate = self.model.sample_rate();
        if self.sample_rate != rate {
            return Err(format!("it says {} Hz, its front end takes {rate} Hz", self.sample_rate));
        }
        if self.tags.is_empty() {
            return Err("it names no outputs".into());
        }
        let names = self.tags.iter().chain([&self.name]);
        if let Some(name) = names.into_iter().find(|name| name.contains(char::is_control)) {
            return Err(format!("the name {name:?} holds a control character"));
        }
        for vector in &self.test_vectors {
            if vector.activations.len() != self.tags.len() || vector.samples > MAX_EXCERPT {
                return Err(format!("its test vector {:?} does not fit it", vector.signal.name()));
            }
        }
        Ok(())
    }
}

/// How audio comes in, for whoever writes a program of their own.
const AUDIO: &str =
    "mono (the mean of the channels), float32 in [-1, 1], at sample_rate; no other normalisation";

/// Settings that are no path, at any depth.
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

impl Summary {
    /// The name of the data set and the numbers of a run's `scores.json`; `None` before it was evaluated, or where they are
    /// of another checkpoint.
    fn of(folder: &RunFolder, which: Which) -> Result<Option<(String, Summary)>> {
        let path = folder.file("scores.json");
        if !path.is_file() {
            return Ok(None);
        }
        let text = crate::io::files::read_text(&path)?;
        let value: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| Error::Data(format!("in {}: {error}", path.display())))?;
        let Some(object) = value.as_object() else { return Ok(None) };
        // Of cross-validation there is none.
        let source = object.get("checkpoint").and_then(|checkpoint| checkpoint.as_str());
        if source.is_some() && source != Some(&folder.checkpoints().pointed(which)?) {
            return Ok(None);
        }
        let split = object.get("split").and_then(|split| split.as_str()).unwrap_or("test");
        let values =
            object.iter().filter_map(|(key, value)| Some((key.clone(), value.as_f64()?))).collect();
        let name = object.get("dataset").and_then(|name| name.as_str()).unwrap_or_default();
        Ok(Some((name.into(), Summary { split: split.into(), values })))
    }
}
