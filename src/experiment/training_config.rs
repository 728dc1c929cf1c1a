//! `[training]`: how the model is trained.

use std::collections::BTreeMap;

use kernels::precision::Precision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Loss, Optimizer, Schedule};

/// How the model is trained. Durations of training are counted in steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Length of an excerpt, the network's input, in seconds.
    pub excerpt_seconds: f64,
    /// Excerpts per step.
    pub batch_size: usize,
    /// Loss that training minimizes.
    pub loss: Loss,
    /// Optimizer that updates the weights.
    pub optimizer: Optimizer,
    /// Precision of the factors in the products of convolutions during training; `bfloat16` rounds them to 8
    /// significant bits, on the CPU only. Weights, sums, optimizer state, validation and everything that is saved
    /// use single precision in either case.
    pub precision: Precision,
    /// Learning-rate schedule over `steps`, after the warm-up.
    pub schedule: Schedule,
    /// Steps over which the learning rate rises linearly from near 0 at the start.
    pub warmup_steps: u64,
    /// Largest joint L2 norm of all gradients; larger gradients are scaled down. Not limited by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Parts of the model whose weights stay as they are, by parameter path: `front_end`, `stages.0`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<String>,
    /// Factors on the learning rate of parts of the model, by parameter path; the longest matching path applies.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub learning_rates: BTreeMap<String, f64>,
    /// Length of the run.
    pub steps: u64,
    /// Steps between two validations; a checkpoint follows each.
    pub valid_every: u64,
    /// Validation metric that selects the best checkpoint.
    pub metric: String,
    /// Validations without an improvement after which training stops. By default it runs for all `steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
    /// Steps between two lines of the log.
    pub log_every: u64,
    /// Number of last checkpoints kept besides the best.
    pub keep_checkpoints: usize,
    /// Length in seconds below which a track is quarantined.
    pub min_track_seconds: f64,
    /// Accepted for old experiments; it has no effect. The computing threads load the batches.
    pub loader_threads: usize,
    /// Most decoded audio of training tracks that is kept in memory after its first use instead of being read from
    /// the cache again, in MiB.
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
            schedule: Schedule::default(),
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

/// The metrics that a validation reports, and whether larger is better.
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
