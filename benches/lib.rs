//! Criterion benchmarks (`main.rs`, `kernels.rs`); `compare/` compares with other programs.
