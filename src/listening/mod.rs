//! Listening data: factorization, latent factors, exact nearest-item search, and what recommendation needs of it.

pub mod catalogue;
pub mod factorization_job;
pub mod factors;
pub mod item_lists;
pub mod latent_factors;
pub mod matrix;
pub mod top_k;
pub mod track_plays;
pub mod usage_space;
pub mod users;
