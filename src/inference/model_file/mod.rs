//! Model files: what a model needs to be used away from its run, and how it is read and written.
//!
//! [`export`](crate::inference::export) writes them and [`Predictor`](crate::Predictor) reads them; neither is known here.

mod card;
pub mod safetensors;
pub mod test_signals;

pub use card::{Card, Dataset, FORMAT, Outputs, Prediction, Summary, TestVector, Training};
