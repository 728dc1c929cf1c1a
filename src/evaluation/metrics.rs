//! How well predictions fit the truth: ROC-AUC and PR-AUC of tags, accuracy and F1 of genres, and
//! their file, `scores.json`; and, in [`recommendation`], rankings of items for users.
//!
//! The conventions, everywhere:
//! - **ROC-AUC** is the share of (positive, negative) pairs of tracks in which the positive one has
//!   the higher prediction; a tie counts half.
//! - **PR-AUC** is average precision: the sum over thresholds of precision times the recall gained,
//!   with equal predictions at one threshold and no interpolation.
//! - A tag is **scored** if it has at least one positive and one negative track. The macro averages
//!   are unweighted means over the scored tags; how many there are is part of the result.
//! - Predictions may be any finite numbers: only their order matters, and `-0.0` equals `0.0`. NaN
//!   and infinity are errors.
//!
//! All of this is what scikit-learn computes (`roc_auc_score`, `average_precision_score`,
//! `accuracy_score`, `f1_score`), and `metrics/reference.json` holds its numbers for the tests.

mod curves;
mod genres;
mod ranking;
pub mod recommendation;
mod scores;
mod targets;

pub use curves::{PrPoint, RocPoint, pr_curve, roc_curve};
pub use genres::{Confusion, score_genres};
pub use ranking::{Areas, areas};
pub use scores::{Folds, Micro, Scores, TagScores, score, score_micro};
pub use targets::Targets;

pub(crate) use scores::{check, mean};

use std::path::PathBuf;

use crate::evaluation::predictions::PredictionsError;

/// Why nothing can be scored.
#[allow(missing_docs, reason = "a variant is what its message says")]
#[derive(Debug, thiserror::Error)]
pub enum MetricError {
    #[error("predictions: {0}")]
    Predictions(PredictionsError),
    #[error("targets: {0}")]
    Targets(PredictionsError),
    #[error(
        "predictions have {predictions} {what}s, targets {targets}; \
         `Predictions::aligned` picks the rows and columns that are wanted"
    )]
    Count { what: &'static str, predictions: usize, targets: usize },
    #[error(
        "{what} {position} is {prediction:?} in the predictions and {target:?} in the targets; \
         `Predictions::aligned` brings them into one order"
    )]
    Order { what: &'static str, position: usize, prediction: String, target: String },
    #[error(
        "the prediction for track {id:?}, tag {tag:?} is {value}; only finite numbers can be \
         scored, so look for the step at which the model's weights or loss stopped being finite"
    )]
    NotFinite { id: String, tag: String, value: f32 },
    #[error("prediction {position} is {value}; only finite numbers can be scored")]
    NotFiniteAt { position: usize, value: f32 },
    #[error("{predictions} predictions cannot be compared with {targets} targets")]
    Lengths { predictions: usize, targets: usize },
    #[error("target {position} is {value}; a target is 0 or 1")]
    NotATarget { position: usize, value: f32 },
    #[error("track {row} has tag number {tag}, but there are only {tags} tags")]
    NoSuchTag { row: usize, tag: usize, tags: usize },
    #[error(
        "track {id:?} has {genres} genres; accuracy and F1 need exactly one a track \
         (score several tags a track as tags)"
    )]
    NotOneGenre { id: String, genres: usize },
    #[error("track {position}: class {class} does not exist; there are {classes}")]
    NoSuchClass { position: usize, class: usize, classes: usize },
    #[error(transparent)]
    File(#[from] crate::error::Error),
    #[error("{path}: this is not a scores.json: {source}; `tonotopy evaluate RUN` writes one")]
    NotScores { path: PathBuf, source: serde_json::Error },
}

#[cfg(test)]
mod tests;
