//! Listening data: factorization, latent factors, nearest items, recommendation.

pub mod catalogue;
pub mod factorization;
pub mod factors;
pub mod latent_factors;
pub mod matrix;
pub mod top_k;
pub mod usage_space;
