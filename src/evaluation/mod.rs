//! Evaluation: predictions of tracks, metrics, confidence intervals and comparisons of models.

pub mod bootstrap;
pub mod metrics;
pub mod predictions;
pub mod recommendation;
pub mod similar_tracks;
pub mod spread;
pub mod tag_probe;
pub mod track_predictions;
pub mod validation;
