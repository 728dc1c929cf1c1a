//! Matrix factorization of listening data.

pub mod wmf;
