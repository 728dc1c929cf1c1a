//! What a run hands over to be compared: plain data, no tensors and no files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::evaluation::bootstrap::BootstrapError;
use crate::evaluation::metrics::{MetricError, Targets};
use crate::evaluation::predictions::Predictions;
use crate::evaluation::recommendation::Recommendation;
use crate::experiment::PaperFigure;
use crate::training::log::LogLine;

/// What the outputs of a model stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Any number of tags a track: ROC-AUC and PR-AUC.
    #[default]
    Tags,
    /// Exactly one a track: accuracy and F1 too.
    Genres,
    /// Latent factors, by which tracks are ranked for users: mAP and AUC.
    Recommendation,
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// The run's folder.
    pub folder: PathBuf,
    /// Its name.
    pub name: String,
    /// The experiment's.
    pub seed: u64,
    /// The experiment's name: what runs share that differ in the seed only.
    pub group: String,
    /// The experiment in one sentence.
    pub about: String,
    /// Such as `magnatagatune/pons2017`.
    pub dataset: String,
    /// The split that was predicted, such as `test`.
    pub split: String,
    /// What is scored.
    pub task: Task,
    /// The model in words, such as `tagger on strided 256/256, l2 pools of 4`.
    pub model: String,
    /// As [`Environment::parameters`](crate::runs::folder::Environment::parameters).
    pub parameters: usize,
    /// Steps done when training ended.
    pub steps: u64,
    /// Training time.
    pub seconds: f64,
    /// As `--device` takes it, and its own name.
    pub device: String,
    /// The figure that the experiment is to reproduce.
    pub paper: Option<PaperFigure>,
    /// The lines of `metrics.jsonl`.
    pub log: Vec<LogLine>,
    /// The scores of a run that recommends; predictions and targets are then empty.
    pub recommendation: Option<Recommendation>,
    /// Whether its listeners were made by the program.
    pub simulated: bool,
    /// Tags of the tracks that its examples of similar tracks name.
    pub example_tags: BTreeMap<String, Vec<String>>,
    /// Of the split, as `predictions.csv` has them.
    pub predictions: Predictions,
    /// Rows and columns in the order of the predictions.
    pub targets: Targets,
    /// The learned front end, where there is one.
    pub filters: Option<Filters>,
    /// Features at several time scales, where the model has them.
    pub multiscale: Option<Multiscale>,
    /// Versions, device, commit.
    pub environment: BTreeMap<String, String>,
    /// Files that were left out.
    pub quarantine: Vec<Quarantined>,
    /// What else was left out of the data.
    pub notes: Vec<String>,
    /// Repeats the run.
    pub command: String,
}

/// A file that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Quarantined {
    /// The file, or the name of a synthetic piece.
    pub path: String,
    /// The kind of fault, as `quarantine.csv` names it.
    pub reason: String,
}

/// The filters of a learned front end.
#[derive(Clone, Debug, PartialEq)]
pub struct Filters {
    /// Of the audio, in Hz.
    pub sample_rate: u32,
    /// Taps a filter, in samples.
    pub length: usize,
    /// `[filter, tap]`, row-major.
    pub weights: Vec<f32>,
    /// Where groups of consecutive filters are pooled.
    pub pool: Option<Pool>,
}

/// Pooling over filters: filters `0..size` are the first pool, and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// `l2` or `max`.
    pub kind: String,
    /// Filters a pool.
    pub size: usize,
}

/// The settings of a model of multiscale features, and what its means look for.
#[derive(Clone, Debug, PartialEq)]
pub struct Multiscale {
    /// Front end and frames of a window, such as `Laplacian pyramid, 2 frames`.
    pub representation: String,
    /// Of a window.
    pub frames: usize,
    /// Means of a level; 0 where whitened windows are pooled.
    pub means: usize,
    /// The levels that are used.
    pub levels: Vec<usize>,
    /// Whether these are all that the front end has.
    pub all_levels: bool,
    /// All settings of the experiment but means, levels, names and the seed: what two must share to be
    /// compared by these.
    pub rest: String,
    /// Of the levels that are used; empty where there are none, and for all runs of an experiment but one.
    pub patches: Vec<Patches>,
}

/// Means of a level as patches of spectrogram, sorted by the band of their peak.
#[derive(Clone, Debug, PartialEq)]
pub struct Patches {
    /// 0 is the finest.
    pub level: usize,
    /// Means that are drawn.
    pub count: usize,
    /// Of a mean.
    pub frames: usize,
    /// Of a frame.
    pub bands: usize,
    /// `[mean, frame, band]`
    pub values: Vec<f32>,
}

/// Why there is no report.
#[allow(missing_docs, reason = "a variant is what its message says")]
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("there is no run to report; name at least one evaluated run folder")]
    NoRuns,
    #[error("run {run}: {source}; evaluate it again with `tonotopy evaluate`")]
    Score { run: String, source: Box<MetricError> },
    #[error("comparing {first} with {second}: {source}")]
    Compare { first: String, second: String, source: Box<BootstrapError> },
    #[error(
        "runs {first} and {second} are both seed {seed} of {group}; name each run once, \
         for the spread is over seeds"
    )]
    SameSeed { first: String, second: String, seed: u64, group: String },
    #[error(
        "run {run}: {weights} weights do not make filters of {length} taps at {sample_rate} Hz; \
         all three must be above 0 and the first a multiple of the second"
    )]
    FilterShape { run: String, weights: usize, length: usize, sample_rate: u32 },
    #[error(
        "run {run}: {filters} filters cannot be pooled by {size}; the pool's size must divide \
         their number"
    )]
    PoolSize { run: String, filters: usize, size: usize },
    #[error("run {run}: the spectrum of its filters cannot be computed: {message}")]
    Fourier { run: String, message: String },
}
