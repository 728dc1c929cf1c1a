//! What the report needs of an evaluated run: plain data, without tensors and open files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use models::front_end::strided::FeaturePool;
use serde::{Deserialize, Serialize};

use crate::evaluation::bootstrap::BootstrapError;
use crate::evaluation::metrics::{MetricError, Targets};
use crate::evaluation::predictions::Predictions;
use crate::evaluation::recommendation::Recommendation;
use crate::experiment::PaperFigure;
use crate::training::log::LogLine;

/// What a model predicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Any number of tags per track: ROC-AUC and PR-AUC.
    #[default]
    Tags,
    /// Exactly one genre per track: accuracy and F1 as well.
    Genres,
    /// Latent factors that rank tracks for users: mAP and AUC.
    Recommendation,
}

/// An evaluated run.
#[derive(Clone, Debug)]
pub struct EvaluatedRun {
    /// Directory of the run.
    pub folder: PathBuf,
    /// Name of the directory.
    pub name: String,
    /// Random seed of the experiment.
    pub seed: u64,
    /// Name of the experiment, which runs that differ only in the seed share.
    pub group: String,
    /// The experiment in one sentence.
    pub about: String,
    /// Settings of the resolved experiment by dotted key, such as `training.optimizer.name`.
    pub settings: BTreeMap<String, String>,
    /// Name of the dataset, such as `magnatagatune/pons2017`.
    pub dataset: String,
    /// Split that was predicted, such as `test`.
    pub split: String,
    /// What is scored.
    pub task: Task,
    /// The model in words, such as `tagger on strided 256/256, l2 pools of 4`.
    pub model: String,
    /// As [`Environment::parameters`](crate::runs::folder::Environment::parameters).
    pub parameters: usize,
    /// Training steps.
    pub steps: u64,
    /// Training time in seconds.
    pub seconds: f64,
    /// The device as `--device` takes it, and its name.
    pub device: String,
    /// Published figure that the experiment reproduces.
    pub paper: Option<PaperFigure>,
    /// Lines of `metrics.jsonl`.
    pub log: Vec<LogLine>,
    /// Scores of a run that recommends; `predictions` and `targets` are empty then.
    pub recommendation: Option<Recommendation>,
    /// Whether the listeners are simulated.
    pub simulated: bool,
    /// Tags of the tracks that the examples of similar tracks name.
    pub example_tags: BTreeMap<String, Vec<String>>,
    /// Contents of `predictions.csv`.
    pub predictions: Predictions,
    /// True tags, rows and columns in the order of the predictions.
    pub targets: Targets,
    /// Filters of a learned front end.
    pub filters: Option<Filters>,
    /// Settings and centroids of a model of multiscale features.
    pub multiscale: Option<Multiscale>,
    /// Versions, device and commit.
    pub environment: BTreeMap<String, String>,
    /// Audio files that were left out.
    pub quarantine: Vec<QuarantinedFile>,
    /// What else was left out of the data.
    pub notes: Vec<String>,
    /// Command that repeats the run.
    pub command: String,
}

/// An audio file that was left out: one row of `quarantine.csv`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QuarantinedFile {
    /// Path of the file, or the name of a synthetic piece.
    pub path: String,
    /// Reason code.
    pub reason: String,
}

/// Filters of a learned front end.
#[derive(Clone, Debug, PartialEq)]
pub struct Filters {
    /// Sample rate of the audio in Hz.
    pub sample_rate: u32,
    /// Taps per filter.
    pub length: usize,
    /// `[filter, tap]`, row-major.
    pub weights: Vec<f32>,
    /// Pooling over groups of consecutive filters: filters `0..size` are the first pool.
    pub pool: Option<FeaturePool>,
}

/// Settings of a model of multiscale features, and its K-means centroids.
#[derive(Clone, Debug, PartialEq)]
pub struct Multiscale {
    /// Front end and frames per window, such as `Laplacian pyramid, 2 frames`.
    pub representation: String,
    /// Centroids per level; 0 where whitened windows are pooled without K-means.
    pub means: usize,
    /// Levels of the front end that are used.
    pub levels: Vec<usize>,
    /// Whether these are all levels of the front end.
    pub all_levels: bool,
    /// Centroids of each level; empty without K-means, and for all runs of an experiment but one.
    pub patches: Vec<Patches>,
}

/// Centroids of one level as patches of a spectrogram, ordered by the band of their peak.
#[derive(Clone, Debug, PartialEq)]
pub struct Patches {
    /// The level; 0 is the finest.
    pub level: usize,
    /// Number of centroids.
    pub count: usize,
    /// Frames per centroid.
    pub frames: usize,
    /// Bands per frame.
    pub bands: usize,
    /// `[centroid, frame, band]`, row-major.
    pub values: Vec<f32>,
}

/// Why a report cannot be made.
#[allow(missing_docs, reason = "the message of a variant describes it")]
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("no run to report: name at least one directory of an evaluated run")]
    NoRuns,
    #[error("run {run}: {source}; evaluate it again with `tonotopy evaluate`")]
    Score { run: String, source: Box<MetricError> },
    #[error("comparing {first} with {second}: {source}")]
    Compare { first: String, second: String, source: Box<BootstrapError> },
    #[error(
        "runs {first} and {second} are both seed {seed} of {group}: name each run once, \
         because standard deviations are over seeds"
    )]
    SameSeed { first: String, second: String, seed: u64, group: String },
    #[error(
        "run {run}: {weights} weights do not form filters of {length} taps at {sample_rate} Hz; \
         all three must be positive and the first a multiple of the second"
    )]
    FilterShape { run: String, weights: usize, length: usize, sample_rate: u32 },
    #[error(
        "run {run}: {filters} filters cannot form pools of {size}; the pool size must divide \
         the number of filters"
    )]
    PoolSize { run: String, filters: usize, size: usize },
}
