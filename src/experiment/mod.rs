//! The experiment file: what to train, on what, and how (TOML; `experiments/` holds many).
//!
//! Every key has a default or is required; an unknown key is an error that names the nearest
//! right one. A run saves its experiment with every default filled in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasets::{DatasetConfig, InteractionsConfig};
use kernels::precision::Precision;
use models::factorization::wmf::WmfConfig;
use models::linear::linear_probe::CrossValidationConfig;
use models::{ModelConfig, NetworkConfig};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, remedy};
use crate::training::loss::Loss;
use crate::training::optimizer::Optimizer;
use crate::training::schedule::Shape;

/// A whole experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Names the run folder; by default made from the file's folder and name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// One sentence for reports.
    #[serde(default)]
    pub about: String,
    /// Decides initial weights, order and place of excerpts, dropout.
    #[serde(default = "one")]
    pub seed: u64,
    /// A run whose weights the model begins with, as a folder (without its `-s<seed>`: the run of the
    /// same seed); its output layer, and layers of other shapes, begin anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// Where audio and tags come from, and how tracks are split.
    pub dataset: DatasetConfig,
    /// Who plays what. With it, the network learns latent factors instead of tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listening: Option<InteractionsConfig>,
    /// How the listening data becomes factors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factorization: Option<Factorization>,
    /// The network and its front end; they decide the sample rate.
    pub model: ModelConfig,
    /// How the network is trained; every key has a default.
    #[serde(default)]
    pub training: Training,
    /// Classifies tracks by a linear support vector machine on the model's features, instead of training
    /// it; every track is held out once, whatever its split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_validation: Option<CrossValidationConfig>,
    /// The figure that this experiment is to reproduce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<PaperFigure>,
}

fn one() -> u64 {
    1
}

/// How listening data becomes factors: all keys of [`WmfConfig`], and `root`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Table", into = "toml::Table")]
pub struct Factorization {
    /// A folder of factors that `factorize` or another program made; none are computed then, and
    /// of the other keys only those count that tell how confident plays make us and how a track that has
    /// no factors gets some: alpha, epsilon, regularization. Relative to `--data-dir`.
    pub root: Option<PathBuf>,
    /// The other keys, each with its default.
    pub config: WmfConfig,
}

impl TryFrom<toml::Table> for Factorization {
    type Error = String;

    fn try_from(mut table: toml::Table) -> std::result::Result<Self, String> {
        let root = match table.remove("root") {
            None => None,
            Some(toml::Value::String(root)) if !root.is_empty() => Some(PathBuf::from(root)),
            Some(other) => return Err(format!("root is {other}: name a folder of factors")),
        };
        // A misspelt "root" is as likely as any other key.
        let config = WmfConfig::deserialize(table).map_err(|error| {
            error.message().replacen("expected one of ", "expected one of `root`, ", 1)
        })?;
        Ok(Self { root, config })
    }
}

impl From<Factorization> for toml::Table {
    fn from(factorization: Factorization) -> Self {
        let mut table =
            toml::Table::try_from(&factorization.config).expect("plain data becomes TOML");
        if let Some(root) = factorization.root {
            table.insert("root".into(), root.to_string_lossy().into_owned().into());
        }
        table
    }
}

/// A published figure, shown beside ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperFigure {
    /// Which of our metrics it is comparable with.
    pub metric: String,
    /// As printed: a share of 1, no percentage.
    pub value: f64,
    /// Where it stands: paper and table.
    pub source: String,
    /// How sure the value is: `read`, or recalled from memory and how confidently.
    pub certainty: String,
}

/// How the model is trained; everything is counted in steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Length of the stretch of audio that the network sees, in seconds.
    pub excerpt_seconds: f64,
    /// Excerpts a step.
    pub batch_size: usize,
    /// What training lowers; `binary_cross_entropy` by default.
    pub loss: Loss,
    /// How weights follow gradients; stochastic gradient descent with Nesterov momentum by default.
    pub optimizer: Optimizer,
    /// Of the factors of convolutions' products while weights are learned: `single`, which is the default, or
    /// `bfloat16`, which rounds them to 8 bits, on the CPU only. Weights, sums, optimizer, validation and
    /// everything that is saved are of single precision in either case.
    pub precision: Precision,
    /// How the learning rate changes over `steps`, once it is warm; `constant` by default.
    pub schedule: Shape,
    /// Steps over which the learning rate rises linearly from near 0 at the start.
    pub warmup_steps: u64,
    /// Limit of the joint L2 norm of all gradients; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Parts of the model that stay as they are, by the paths of their parameters: `front_end`,
    /// `stages.0`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<String>,
    /// Factors on the learning rate of parts of the model; the longest path that fits counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub learning_rates: BTreeMap<String, f64>,
    /// Length of the run.
    pub steps: u64,
    /// Steps between two validations; each is followed by a checkpoint.
    pub valid_every: u64,
    /// Validation metric that decides which checkpoint is best.
    pub metric: String,
    /// Validations without a new best after which training stops; never by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
    /// Steps between two lines of the log.
    pub log_every: u64,
    /// Last checkpoints kept besides the best.
    pub keep_checkpoints: usize,
    /// Tracks shorter than this many seconds are put into quarantine.
    pub min_track_seconds: f64,
    /// Threads of their own that make batches ahead; 0 leaves that to those that compute.
    pub loader_threads: usize,
    /// Decoded audio of training tracks that stays in memory after its first use instead of being read from the cache
    /// again, at most, in MiB.
    pub audio_in_memory_mb: u64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            excerpt_seconds: 3.0,
            batch_size: 10,
            loss: Loss::default(),
            optimizer: Optimizer::default(),
            precision: Precision::default(),
            schedule: Shape::default(),
            warmup_steps: 0,
            clip_norm: None,
            frozen: Vec::new(),
            learning_rates: BTreeMap::new(),
            steps: 10_000,
            valid_every: 500,
            metric: "roc_auc_macro".into(),
            patience: None,
            log_every: 50,
            keep_checkpoints: 2,
            min_track_seconds: 0.5,
            loader_threads: 0,
            audio_in_memory_mb: 1024,
        }
    }
}

/// Metrics that a validation reports, and whether larger is better.
pub const METRICS: &[(&str, bool)] = &[
    ("loss", false),
    ("roc_auc_macro", true),
    ("pr_auc_macro", true),
    ("accuracy", true),
    ("f1_macro", true),
    ("mse", false),
    ("wpe", false),
    ("map", true),
    ("auc", true),
];

impl Experiment {
    /// Reads a file, applies `--set` assignments such as `training.steps=100`, fills in every
    /// default and checks every value.
    ///
    /// # Errors
    /// [`Error::Config`], with file, key and remedy.
    pub fn read(path: &Path, set: &[String]) -> Result<Experiment> {
        let place = path.display();
        if path.is_dir() {
            return Err(Error::Config(format!(
                "{place} is a folder: name one experiment file, or use `tonotopy run {place}` for all of them"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|error| {
            let remedy = remedy(error.kind());
            Error::Config(format!("cannot read the experiment {place}: {error}{remedy}"))
        })?;
        let mut experiment = Self::parse(&text, set)
            .map_err(|error| Error::Config(format!("in the experiment {place}: {error}")))?;
        if experiment.name.is_empty() {
            experiment.name = name_of(path);
        }
        Ok(experiment)
    }

    /// The same from text.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key, its value, and what is allowed.
    pub fn parse(text: &str, set: &[String]) -> Result<Experiment> {
        let config = |error: String| Error::Config(with_nearest(&error));
        let experiment: Experiment = if set.is_empty() {
            toml::from_str(text)
                .map_err(|error| config(error.to_string().trim_end().to_string()))?
        } else {
            let mut table: toml::Table = toml::from_str(text)
                .map_err(|error| config(error.to_string().trim_end().to_string()))?;
            let mut steps = vec![table.clone()];
            for assignment in set {
                assign(&mut table, assignment)?;
                steps.push(table.clone());
            }
            let read = |table: &toml::Table| table.clone().try_into::<Experiment>();
            read(&table).map_err(|error| {
                // The first that brings this about is to blame; without any, it is the file.
                let same = |table: &toml::Table| {
                    read(table).is_err_and(|other| other.message() == error.message())
                };
                match (steps.iter().position(same), toml::from_str::<Experiment>(text)) {
                    (Some(0), Err(error)) => config(error.to_string().trim_end().to_string()),
                    (step, _) => {
                        let blamed = &set[step.unwrap_or(set.len()).max(1) - 1];
                        config(format!("--set {blamed}: {}", error.message()))
                    }
                }
            })?
        };
        experiment.validate()?;
        Ok(experiment)
    }

    /// The experiment with every default filled in.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("an experiment that was read can be written")
    }

    /// Whether the model predicts latent factors, not tags and not places.
    pub fn predicts_factors(&self) -> bool {
        self.listening.is_some() && self.model.is_learned()
    }

    /// Samples of an excerpt at the model's rate.
    pub fn excerpt_samples(&self) -> usize {
        (self.training.excerpt_seconds * f64::from(self.model.sample_rate())).round() as usize
    }

    /// # Errors
    /// Names the first value that cannot be used.
    pub(crate) fn validate(&self) -> Result<()> {
        let training = &self.training;
        let refuse = |key: &str, value: &dyn std::fmt::Display, remedy: &str| {
            Err(Error::Config(format!("training.{key} is {value}: it must be {remedy}")))
        };
        if self.seed > i64::MAX as u64 {
            return Err(Error::Config(format!("seed is {}: it must fit 63 bits", self.seed)));
        }
        let unfit = |c: char| !(c.is_alphanumeric() || "-_.".contains(c));
        if self.name.contains(unfit) || self.name.starts_with('.') {
            return Err(Error::Config(format!(
                "name is {:?}: it names a folder, so use letters, digits, '-', '_' and '.'",
                self.name
            )));
        }
        if !(training.excerpt_seconds > 0.0 && training.excerpt_seconds <= 3600.0) {
            return refuse(
                "excerpt_seconds",
                &training.excerpt_seconds,
                "above 0 and at most 3600",
            );
        }
        if training.batch_size == 0 || training.batch_size > 1 << 16 {
            return refuse("batch_size", &training.batch_size, "from 1 to 65536");
        }
        match (self.model.is_learned(), training.loss) {
            (true, Loss::None) => {
                return refuse("loss", &"\"none\"", "another: this model is trained");
            }
            (false, loss) if loss != Loss::None => {
                let loss = format!("{:?}", loss.name());
                return refuse("loss", &loss, "\"none\": this model is fitted, not trained");
            }
            (false, _) if training.steps != 0 => {
                return refuse("steps", &training.steps, "0: this model is fitted, not trained");
            }
            (false, _) if self.listening.is_none() => {
                return Err(Error::Config(
                    "model.name: this model learns what listeners like, so add [listening]".into(),
                ));
            }
            _ => {}
        }
        for (key, value) in [
            ("steps", training.steps.max(u64::from(!self.model.is_learned()))),
            ("valid_every", training.valid_every),
            ("log_every", training.log_every),
            ("keep_checkpoints", training.keep_checkpoints as u64),
        ] {
            if value == 0 || value > 1 << 40 {
                return refuse(key, &value, "at least 1 (and below 2^40)");
            }
        }
        if training.patience == Some(0) {
            return refuse("patience", &0, "at least 1; leave it out to train to the last step");
        }
        if training.loader_threads > 1024 {
            return refuse("loader_threads", &training.loader_threads, "at most 1024");
        }
        if training.audio_in_memory_mb > 1 << 30 {
            return refuse("audio_in_memory_mb", &training.audio_in_memory_mb, "at most 2^30");
        }
        if !(training.min_track_seconds >= 0.0 && training.min_track_seconds.is_finite()) {
            return refuse("min_track_seconds", &training.min_track_seconds, "at least 0");
        }
        if let Some(limit) = training.clip_norm.filter(|limit| !(*limit > 0.0 && limit.is_finite()))
        {
            return refuse("clip_norm", &limit, "above 0; leave it out for no clipping");
        }
        let fitting: &[&str] = match training.loss {
            Loss::BinaryCrossEntropy => &["loss", "roc_auc_macro", "pr_auc_macro"],
            Loss::CrossEntropy => &["loss", "accuracy", "f1_macro"],
            Loss::MeanSquaredError if self.listening.is_some() => &["loss", "mse", "map", "auc"],
            Loss::MeanSquaredError => &["loss", "mse"],
            Loss::WeightedPredictionError => &["loss", "wpe", "map", "auc"],
            Loss::None => &["map", "auc"],
        };
        let latent = matches!(
            training.loss,
            Loss::MeanSquaredError | Loss::WeightedPredictionError | Loss::None
        );
        match (&self.listening, &self.factorization) {
            (Some(_), _) if !latent => {
                return refuse(
                    "loss",
                    &format!("{:?}", training.loss.name()),
                    "mean_squared_error or weighted_prediction_error with [listening]",
                );
            }
            (None, _) if training.loss == Loss::WeightedPredictionError => {
                return refuse(
                    "loss",
                    &"\"weighted_prediction_error\"",
                    "another without [listening]: it asks who listened",
                );
            }
            (None, Some(_)) => {
                return Err(Error::Config(
                    "there is a [factorization], but nothing to factorise: add [listening], or \
                     leave it out"
                        .into(),
                ));
            }
            (Some(_), Some(factorization)) => factorization
                .config
                .validate()
                .map_err(|error| Error::Config(format!("in [factorization]: {error}")))?,
            _ => {}
        }
        if !fitting.contains(&training.metric.as_str()) {
            return refuse(
                "metric",
                &format!("{:?}", training.metric),
                &format!("one of {} with this loss", fitting.join(", ")),
            );
        }
        if self.init_from.as_ref().is_some_and(|run| run.as_os_str().is_empty()) {
            return Err(Error::Config(
                "init_from is empty: name the folder of a run, or leave it out".into(),
            ));
        }
        if let Some(cross_validation) = &self.cross_validation {
            cross_validation
                .validate()
                .map_err(|error| Error::Config(format!("in [cross_validation]: {error}")))?;
            if training.loss != Loss::CrossEntropy {
                let loss = format!("{:?}", training.loss.name());
                return refuse("loss", &loss, "\"cross_entropy\" with [cross_validation]");
            }
            if self.init_from.is_some() {
                return Err(Error::Config(
                    "init_from: with [cross_validation] nothing is trained that could begin anywhere; \
                     model.name = \"transferred\" takes another run's network"
                        .into(),
                ));
            }
            if !self.model.is_linear() {
                return Err(Error::Config(format!(
                    "[cross_validation] puts a linear classifier onto fixed features, and the model {} has \
                     none with these settings: name transferred, multiscale or bag_of_words with \
                     hidden = []",
                    self.model.name()
                )));
            }
        }
        for (path, factor) in &training.learning_rates {
            // Written so that NaN fails.
            if !(*factor > 0.0 && *factor <= 1e6) {
                let key = format!("learning_rates.{path}");
                return refuse(
                    &key,
                    factor,
                    "above 0 and at most 1e6; freeze what is not to learn",
                );
            }
        }
        training.optimizer.validate()?;
        training.schedule.validate()?;
        if let ModelConfig::Transferred(model) = &self.model {
            if model.run.as_os_str().is_empty() {
                return Err(Error::Config(
                    "model.run is missing: name the folder of the run whose network is to be used"
                        .into(),
                ));
            }
            // Of the rest only the run can tell, which may still have to be trained.
            if !model.is_resolved() {
                return Ok(());
            }
        }
        self.model
            .validate(self.excerpt_samples())
            .map_err(|error| Error::Config(format!("in [model]: {error}")))
    }
}

/// `folder-stem`, so that `rendered/mel.toml` and `nsynth/mel.toml` do not share a run folder.
fn name_of(path: &Path) -> String {
    let word = |part: Option<&std::ffi::OsStr>| {
        part.map(|part| {
            let part = part.to_string_lossy();
            part.chars()
                .map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' })
                .collect()
        })
        .unwrap_or_default()
    };
    let stem: String = word(path.file_stem());
    let folder: String =
        word(path.canonicalize().ok().as_deref().and_then(Path::parent).and_then(Path::file_name));
    match folder.trim_start_matches('.') {
        "" => stem,
        folder => format!("{folder}-{stem}"),
    }
}

/// Sets `a.b.c=value` in the table; the value is TOML, or a string where it is not.
fn assign(table: &mut toml::Table, assignment: &str) -> Result<()> {
    let bad =
        |why: &str| Error::Config(format!("--set {assignment}: {why}; write --set key.key=value"));
    let (path, value) = assignment.split_once('=').ok_or_else(|| bad("there is no '='"))?;
    let value: toml::Value = match format!("value = {value}").parse::<toml::Table>() {
        Ok(mut table) => table.remove("value").ok_or_else(|| bad("there is no value"))?,
        Err(_) => toml::Value::String(value.trim().to_string()),
    };
    let keys: Vec<&str> = path.trim().split('.').collect();
    let (last, parents) = keys.split_last().expect("split gives at least one part");
    if keys.iter().any(|key| key.is_empty()) {
        return Err(bad("a part of the key is empty"));
    }
    let mut here = table;
    for key in parents {
        here = here
            .entry(key.to_string())
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| bad(&format!("{key} holds a value, not a table")))?;
    }
    here.insert(last.to_string(), value);
    Ok(())
}

/// Adds "did you mean" to serde's "unknown field `x`, expected one of `a`, `b`".
fn with_nearest(message: &str) -> String {
    let message = &in_words(message);
    let Some((_, rest)) = message.split_once("unknown ") else { return message.to_string() };
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let Some(given) = quoted.next() else { return message.to_string() };
    let nearest = quoted
        .map(|known| (strsim::damerau_levenshtein(given, known), known))
        .min()
        .filter(|(distance, known)| *distance <= 2.max(known.len() / 2));
    match nearest {
        Some((_, known)) => format!("{message}\ndid you mean `{known}`?"),
        None if toml::Table::try_from(Training::default()).is_ok_and(|t| t.contains_key(given)) => {
            format!("{message}\ndid you mean `training.{given}`?")
        }
        None => message.to_string(),
    }
}

/// Names of Rust's types as what a user may write.
fn in_words(message: &str) -> String {
    let mut message = message.to_string();
    for (kinds, words) in [
        (
            &["u64", "u32", "u16", "usize", "a nonzero u64"][..],
            "a whole number that is not negative",
        ),
        (&["i64", "i32"][..], "a whole number"),
        (&["f64", "f32"][..], "a number"),
    ] {
        for kind in kinds {
            if let Some(start) = message.strip_suffix(&format!("expected {kind}")) {
                message = format!("{start}expected {words}");
            }
            message =
                message.replace(&format!("expected {kind}\n"), &format!("expected {words}\n"));
        }
    }
    message
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
        assert!(message.ends_with("a whole number that is not negative"), "{message}");
        let message = error(&SMALL.replace("steps = 5", "steps = \"5\""), &["seed=30"]);
        assert!(message.contains("steps = \"5\"") && !message.contains("--set"), "{message}");
        assert!(error(SMALL, &["steps=5"]).contains("did you mean `training.steps`?"));
        assert!(error(SMALL, &["training.batch_size=0"]).contains("training.batch_size is 0"));
        assert!(error(SMALL, &["training.steps"]).contains("there is no '='"));
        assert!(error(SMALL, &["training.steps.deep=1"]).contains("not a table"));
        assert!(error(SMALL, &["training.excerpt_seconds=nan"]).contains("excerpt_seconds"));
        assert!(error(SMALL, &["training.metric=auc"]).contains("roc_auc_macro"));
        assert!(error(SMALL, &["training.optimizer.learning_rate=-1"]).contains("above 0"));
        assert!(error(SMALL, &["model.front_end.stride=0"]).contains("stride"));
        assert!(error(SMALL, &["model.front_end.sample_rate=0"]).contains("sample_rate"));
    }

    #[test]
    fn factors_may_be_made_beforehand() {
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
            ("root = 3", ["root is 3", "folder of factors"]),
            ("root = \"\"", ["root is", "folder of factors"]),
            ("factors = \"many\"", ["invalid type", "many"]),
        ] {
            let error = with(keys).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }
}
