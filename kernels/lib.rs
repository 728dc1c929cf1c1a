//! Operations on tensors that burn lacks or does slowly, with their gradients.
//!
//! Each operation is written first in plain tensor operations, which every backend runs and
//! autodiff differentiates; a faster version for one backend stands beside it and is tested
//! against it, values and gradients.
//!
//! Apart from these: what factorising sparse matrices takes ([`csr`], [`dense`]), 16-bit audio
//! ([`pcm16`]), random bits ([`philox`]), how precise products are ([`precision`]), and how much memory a
//! device has ([`memory`](mod@memory)).

pub mod bands;
pub mod conv;
pub mod csr;
pub mod feature_pool;
#[cfg(feature = "wgpu")]
mod gpu;
pub mod linalg;
pub mod mel;
pub mod memory;
pub mod optimizer;
pub mod pcm16;
pub mod philox;
pub mod precision;
mod simd;
#[cfg(test)]
mod testing;
