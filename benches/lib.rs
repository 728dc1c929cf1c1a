//! Criterion benches (`main.rs`, `kernels.rs`) and, in `compare/`, the same work done by the peers.
