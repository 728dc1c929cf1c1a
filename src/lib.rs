#![doc = include_str!("../README.md")]

pub mod audio;
pub mod cli;
pub mod data;
pub mod device;
pub mod error;
pub mod evaluation;
pub mod experiment;
pub mod inference;
pub mod io;
pub mod listening;
pub mod map;
pub mod progress;
pub mod report;
pub mod rng;
pub mod runs;
pub mod training;

pub use error::{Error, Result};
pub use inference::predictor::Predictor;
