#![doc = include_str!("../README.md")]

pub mod audio;
pub mod bootstrap;
pub mod checkpoint;
pub mod cli;
pub mod clip;
pub mod device;
pub mod embed;
pub mod error;
pub mod evaluate;
pub mod examples;
pub mod excerpts;
pub mod experiment;
pub mod files;
pub mod loader;
pub mod log;
pub mod loss;
pub mod map;
pub mod matrix;
pub mod metrics;
pub mod optimizer;
pub mod predict;
pub mod predictions;
pub mod prepare;
pub mod progress;
pub mod report;
pub mod rng;
pub mod run_folder;
pub mod schedule;
pub mod session;
pub mod spread;
pub mod tensorboard;
pub mod topk;
pub mod train;
pub mod wpe;

pub use error::{Error, Result};
