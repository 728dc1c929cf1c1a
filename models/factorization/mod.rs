//! Matrix factorization of listening data: latent factors of users and items.

pub mod wmf;
