//! Excerpts of tracks as batches: splits, sampling, the track cache, prefetch.

pub mod batch;
pub mod directories;
pub mod examples;
pub mod identical_audio;
pub mod prefetch;
pub mod prepare;
pub mod sampler;
pub mod track_cache;
