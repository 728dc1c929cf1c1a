//! The format of model files: weights with a model card.
//!
//! [`export`](crate::inference::export) writes model files, and [`Predictor`](crate::Predictor) reads them.

mod card;
pub mod safetensors;
pub mod test_signals;

pub use card::{Card, Dataset, FORMAT, Outputs, Prediction, ReportedScores, TestVector, Training};
