//! Tensor operations that burn lacks or computes slowly, with their gradients.
//!
//! Each operation exists in plain tensor operations, which run on every backend and support automatic differentiation, and
//! as a kernel for one kind of device. Tests compare values and gradients of both.
//!
//! Besides tensor operations: sparse and dense matrices for factorization ([`csr`], [`linalg`]), 16-bit audio ([`pcm16`]),
//! random numbers ([`philox`]), the precision of products ([`precision`]), the memory of a device ([`memory`](mod@memory))
//! and constants per device ([`per_device`]).

pub mod bands;
pub mod conv;
pub mod csr;
pub mod feature_pool;
pub mod filterbank;
#[cfg(feature = "wgpu")]
mod gpu;
pub mod linalg;
pub mod mel;
pub mod memory;
pub mod optimizer;
pub mod pcm16;
pub mod per_device;
pub mod philox;
pub mod precision;
mod simd;
#[cfg(test)]
mod testing;
