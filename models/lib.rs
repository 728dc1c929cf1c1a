//! Networks from waveforms to logits, and the models without gradients that surround them.
//!
//! - [`networks`]: one file per architecture; [`ModelConfig`] lists them all, and every one passes the same
//!   contract (`tests/contract.rs`)
//! - [`front_end`]: from a waveform to bands over time; `layers`: layers that networks share
//! - [`fitted`], [`unsupervised`], [`linear`], [`factorization`]: algorithms without gradient descent
//! - [`onnx`]: networks as ONNX files; [`self_check`]: whether a device computes what the CPU computes
//!
//! To add a network: write its file in `networks/`, which implements [`NetworkConfig`], [`Network`] and
//! [`onnx::Lower`], and add its line to the list in `model.rs`.

pub mod error;
pub mod factorization;
pub mod fitted;
pub mod front_end;
mod layers;
pub mod linear;
mod model;
mod network;
pub mod networks;
pub mod onnx;
pub mod self_check;
pub mod unsupervised;

pub use error::ModelError;
pub use fitted::{Corpus, FitError, Fitted};
pub use front_end::{FrontEndConfig, LearnedFilters};
pub use model::{Model, ModelConfig};
pub use network::{Example, Network, NetworkConfig};
pub use networks::bag_of_words::{BagOfWords, BagOfWordsConfig};
pub use networks::latentnet::{LatentNet, LatentNetConfig};
pub use networks::mlr::{Mlr, MlrConfig};
pub use networks::multiscale::{Multiscale, MultiscaleConfig};
pub use networks::musicnn::{Musicnn, MusicnnConfig};
pub use networks::samplecnn::{SampleCnn, SampleCnnConfig};
pub use networks::tagger::{Tagger, TaggerConfig};
pub use networks::transferred::{Transferred, TransferredConfig};
