//! Networks: one file per architecture.

pub mod bag_of_words;
pub mod latentnet;
pub mod mlr;
pub mod multiscale;
pub mod musicnn;
pub mod samplecnn;
pub mod tagger;
pub mod transferred;
