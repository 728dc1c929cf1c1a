//! Experiment files: what to train, on what data, and how (TOML; `experiments/` has many).
//!
//! Every key has a default or is required. An unknown key is an error that suggests the nearest known one. A run
//! saves its experiment with every default filled in. `docs/experiments.md` lists all keys.

mod changes;
mod checks;
mod experiment_file;
mod factorization_config;
mod grid;
mod key_errors;
mod loss;
mod optimizer;
mod reference_page;
mod schedule;
mod schema;
mod training_config;

use std::path::PathBuf;

use datasets::{DatasetConfig, InteractionsConfig};
use models::linear::linear_probe::CrossValidationConfig;
use models::{ModelConfig, NetworkConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::error::{Error, Result};
pub use experiment_file::is_experiment;
pub use factorization_config::Factorization;
pub use loss::Loss;
pub use optimizer::Optimizer;
pub use reference_page::reference_page;
pub use schedule::Schedule;
pub use schema::schema;
pub use training_config::{METRICS, Training};

/// An experiment: a dataset, a model and how to train it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Name of the run directory; by default the names of the file's directory and of the file, joined by a dash.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// One sentence for reports.
    #[serde(default)]
    pub about: String,
    /// Random seed of the initial weights, the order and position of excerpts, and dropout.
    #[serde(default = "one")]
    pub seed: u64,
    /// Run whose weights the model starts from, as a directory; without its `-s<seed>`, the run of the same seed.
    /// The output layer, and layers of other shapes, are initialized randomly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// Where audio and tags come from, and how tracks are split.
    pub dataset: DatasetConfig,
    /// Listening data: who plays what. With it, the network predicts latent factors instead of tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listening: Option<InteractionsConfig>,
    /// How listening data becomes latent factors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factorization: Option<Factorization>,
    /// The network and its front end, which determine the sample rate.
    pub model: ModelConfig,
    /// How the model is trained.
    #[serde(default)]
    pub training: Training,
    /// Cross-validation of a linear support vector machine on the model's features, instead of training the model.
    /// Every track is held out once; the dataset's split is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_validation: Option<CrossValidationConfig>,
    /// The published figure that this experiment reproduces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<PaperFigure>,
}

fn one() -> u64 {
    1
}

/// A published figure, which reports show beside the measured one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaperFigure {
    /// The metric that the figure is comparable with.
    pub metric: String,
    /// The figure, as a fraction of 1.
    pub value: f64,
    /// Paper and table.
    pub source: String,
    /// How certain the value is: `read`, or from memory and with what confidence.
    pub certainty: String,
}

impl Experiment {
    /// Reads an experiment from TOML, applies `--set` assignments such as `training.steps=100`, fills in every
    /// default and checks every value.
    ///
    /// # Errors
    /// [`Error::Config`] with the key, its value, and what is allowed.
    pub fn parse(text: &str, set: &[String]) -> Result<Experiment> {
        let config = |error: toml::de::Error| with_suggestion(error.to_string().trim_end());
        let checked = |experiment: Experiment| experiment.validate().map(|()| experiment);
        if set.is_empty() {
            return checked(toml::from_str(text).map_err(config)?);
        }
        let table: Table = toml::from_str(text).map_err(config)?;
        // An error of the file itself is shown with its line.
        Self::from_table(table, set, || toml::from_str::<Experiment>(text).err().map(config))
    }

    /// The same from a table; `file_error` words an error that is not due to an assignment.
    fn from_table(
        mut table: Table,
        set: &[String],
        file_error: impl FnOnce() -> Option<Error>,
    ) -> Result<Experiment> {
        let mut steps = vec![table.clone()];
        for assignment in set {
            changes::assign(&mut table, assignment)?;
            steps.push(table.clone());
        }
        let read = |table: &Table| table.clone().try_into::<Experiment>();
        let experiment = read(&table).map_err(|error| {
            let fails_alike =
                |table: &Table| read(table).is_err_and(|other| other.message() == error.message());
            // The first assignment with which this error appears caused it.
            let blamed = match steps.iter().position(fails_alike) {
                Some(step @ 1..) => &set[step - 1],
                _ => match file_error() {
                    Some(error) => return error,
                    None => return with_suggestion(error.to_string().trim_end()),
                },
            };
            with_suggestion(&format!("--set {blamed}: {}", error.message()))
        })?;
        experiment.validate()?;
        Ok(experiment)
    }

    /// The same experiment with another seed.
    ///
    /// # Errors
    /// [`Error::Config`] if the seed is too large.
    pub fn with_seed(&self, seed: u64) -> Result<Experiment> {
        let experiment = Experiment { seed, ..self.clone() };
        experiment.validate().map(|()| experiment)
    }

    /// The experiment as TOML, with every default filled in.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("an experiment that was read can be written")
    }

    /// Whether the model predicts latent factors, not tags or positions in a learned metric.
    pub fn predicts_factors(&self) -> bool {
        self.listening.is_some() && self.model.is_learned()
    }

    /// Length of an excerpt in samples, at the model's sample rate.
    pub fn excerpt_samples(&self) -> usize {
        (self.training.excerpt_seconds * f64::from(self.model.sample_rate())).round() as usize
    }
}

fn with_suggestion(message: &str) -> Error {
    Error::Config(key_errors::with_suggestion(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        about = "P3, table 1: raw audio, length 256, stride 256"
        [dataset]
        name = "synthetic"
        [model]
        name = "tagger"
        front_end = { name = "strided", filters = 16, length = 256, stride = 256 }
        [training]
        steps = 5
        optimizer = { name = "sgd", learning_rate = 0.01, momentum = 0.9, nesterov = true }
    "#;

    fn error(text: &str, set: &[&str]) -> String {
        let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
        let error = Experiment::parse(text, &set).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn the_resolved_file_reads_back_to_the_same_experiment() {
        let experiment = Experiment::parse(SMALL, &[]).unwrap();
        assert_eq!(experiment.training.batch_size, 10);
        assert_eq!(Experiment::parse(&experiment.to_toml(), &[]).unwrap(), experiment);
    }

    #[test]
    fn set_overrides_and_creates_keys() {
        let set = ["training.steps=7", "model.front_end.filters=32", "training.clip_norm=1.5"]
            .map(String::from);
        let experiment = Experiment::parse(SMALL, &set).unwrap();
        assert_eq!(experiment.training.steps, 7);
        assert_eq!(experiment.training.clip_norm, Some(1.5));
        assert!(experiment.to_toml().contains("filters = 32"));
    }

    #[test]
    fn mistakes_name_the_key_and_the_remedy() {
        let misspelt = SMALL.replace("steps = 5", "stepps = 5");
        assert!(error(&misspelt, &[]).contains("did you mean `steps`?"));
        assert!(error(&SMALL.replace("tagger", "taggr"), &[]).contains("did you mean `tagger`?"));
        assert!(error(&SMALL.replace("length", "lenght"), &[]).contains("did you mean `length`?"));
        assert!(error(SMALL, &["training.batchsize=3"]).contains("did you mean `batch_size`?"));
        let many = ["training.steps=7", "training.batch_size=-3", "seed=30"];
        let message = error(SMALL, &many);
        assert!(message.starts_with("--set training.batch_size=-3: "), "{message}");
        assert!(message.ends_with("a non-negative integer"), "{message}");
        let message = error(&SMALL.replace("steps = 5", "steps = \"5\""), &["seed=30"]);
        assert!(message.contains("steps = \"5\"") && !message.contains("--set"), "{message}");
        assert!(error(SMALL, &["steps=5"]).contains("did you mean `training.steps`?"));
        assert!(error(SMALL, &["training.batch_size=0"]).contains("training.batch_size is 0"));
        assert!(error(SMALL, &["training.steps"]).contains("'=' is missing"));
        assert!(error(SMALL, &["training.steps.deep=1"]).contains("not a table"));
        assert!(error(SMALL, &["training.excerpt_seconds=nan"]).contains("excerpt_seconds"));
        assert!(error(SMALL, &["training.metric=auc"]).contains("roc_auc_macro"));
        assert!(error(SMALL, &["training.optimizer.learning_rate=-1"]).contains("above 0"));
        assert!(error(SMALL, &["model.front_end.stride=0"]).contains("stride"));
        let seeded = |seed| Experiment::parse(SMALL, &[]).unwrap().with_seed(seed);
        assert_eq!(seeded(i64::MAX as u64).unwrap().seed, i64::MAX as u64);
        let message = seeded(1 << 63).unwrap_err().to_string();
        assert!(message.starts_with("seed is 9223372036854775808"), "{message}");
        assert!(error(SMALL, &["model.front_end.sample_rate=0"]).contains("sample_rate"));
    }

    #[test]
    fn factors_may_come_from_a_directory() {
        let with = |keys: &str| {
            let listening = "[listening]\nname = \"synthetic_listeners\"\n[factorization]\n";
            let text = SMALL.replace("[model]", &format!("{listening}{keys}\n[model]"));
            Experiment::parse(
                &text.replace(
                    "[training]",
                    "[training]\nloss = \"mean_squared_error\"\nmetric = \"auc\"",
                ),
                &[],
            )
        };
        let made = with("root = \"my/factors\"\nalpha = 3.0").unwrap();
        let factorization = made.factorization.clone().unwrap();
        assert_eq!(factorization.root, Some(PathBuf::from("my/factors")));
        assert_eq!(factorization.config.alpha, 3.0);
        assert_eq!(Experiment::parse(&made.to_toml(), &[]).unwrap(), made);
        let computed = with("factors = 7").unwrap();
        assert_eq!(computed.factorization.clone().unwrap().root, None);
        assert!(!computed.to_toml().contains("root"));
        for (keys, words) in [
            ("factor = 7", ["factor", "did you mean `factors`?"]),
            ("rot = \"x\"", ["rot", "did you mean `root`?"]),
            ("root = 3", ["root is 3", "directory of factors"]),
            ("root = \"\"", ["root is", "directory of factors"]),
            ("factors = \"many\"", ["invalid type", "many"]),
        ] {
            let error = with(keys).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }
}
