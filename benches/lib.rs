//! Criterion benches (`main.rs`) and, in `compare/`, the same work done by the peers.
