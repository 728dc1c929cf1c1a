//! Trained models applied to audio, and their exchange with other programs.

pub mod embeddings;
pub mod ensemble;
pub mod export;
pub mod import;
pub mod imported;
pub mod items;
pub mod model_file;
pub mod predictor;
pub mod weights;
