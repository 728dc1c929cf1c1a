//! Metrics: ROC-AUC and PR-AUC of tags, accuracy and F1 of genres, their file `scores.json`, and
//! rankings of items for users in [`retrieval`].
//!
//! Conventions:
//! - **ROC-AUC** is the share of (positive, negative) pairs of tracks in which the positive track has
//!   the higher prediction; a tie counts one half.
//! - **PR-AUC** is average precision: the sum over thresholds of precision times the increase in recall.
//!   Equal predictions share a threshold; there is no interpolation.
//! - A tag is **scored** if it has at least one positive and one negative track. Macro averages are
//!   unweighted means over the scored tags, whose number is part of the result.
//! - Predictions may be any finite numbers: only their order matters, and `-0.0` equals `0.0`. NaN
//!   and infinity are errors.
//!
//! scikit-learn computes the same (`roc_auc_score`, `average_precision_score`, `accuracy_score`,
//! `f1_score`); `metrics/reference.json` holds its values for the tests.

mod curves;
mod genres;
mod ranking;
pub mod retrieval;
mod scores;
mod targets;

pub use curves::{OperatingPoint, operating_points};
pub use genres::score_genres;
pub use ranking::{Areas, areas};
pub use scores::{Folds, Scores, TagScores, score};
pub use targets::Targets;

pub(crate) use scores::{check, mean};

use std::path::PathBuf;

use crate::evaluation::predictions::PredictionsError;

/// Why predictions cannot be scored.
#[allow(missing_docs, reason = "the message of a variant describes it")]
#[derive(Debug, thiserror::Error)]
pub enum MetricError {
    #[error("predictions: {0}")]
    Predictions(PredictionsError),
    #[error("targets: {0}")]
    Targets(PredictionsError),
    #[error("predictions have {predictions} {what}s, targets {targets}; both must have the same")]
    Count { what: &'static str, predictions: usize, targets: usize },
    #[error(
        "{what} {position} is {prediction:?} in the predictions and {target:?} in the targets; \
         both must have the same order"
    )]
    Order { what: &'static str, position: usize, prediction: String, target: String },
    #[error(
        "the prediction for track {id:?}, tag {tag:?} is {value}; only finite numbers can be \
         scored: find the step at which the loss or the weights of the model stopped being finite"
    )]
    NotFinite { id: String, tag: String, value: f32 },
    #[error("prediction {position} is {value}; only finite numbers can be scored")]
    NotFiniteAt { position: usize, value: f32 },
    #[error("{predictions} predictions do not match {targets} targets")]
    Lengths { predictions: usize, targets: usize },
    #[error("target {position} is {value}; it must be 0 or 1")]
    NotATarget { position: usize, value: f32 },
    #[error("track {row} has tag number {tag}, but there are only {tags} tags")]
    NoSuchTag { row: usize, tag: usize, tags: usize },
    #[error(
        "track {id:?} has {genres} genres; accuracy and F1 need exactly one per track \
         (score tracks with several tags as tags)"
    )]
    NotOneGenre { id: String, genres: usize },
    #[error(transparent)]
    File(#[from] crate::error::Error),
    #[error("{path} is not a valid scores.json: {source}; `tonotopy evaluate RUN` writes one")]
    NotScores { path: PathBuf, source: serde_json::Error },
}

#[cfg(test)]
mod tests;
