//! Networks: one file per architecture, and the trunk of convolutions over time that several share
//! ([`stages`]). The list of all networks is in `model.rs`.

pub mod bag_of_words;
pub mod latentnet;
pub mod mlr;
pub mod multiscale;
pub mod musicnn;
pub mod samplecnn;
pub mod stages;
pub mod tagger;
pub mod transferred;
