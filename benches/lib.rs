//! Criterion benchmarks (`main.rs`, `kernels.rs`) and their input; `compare/` compares with other programs.

use tonotopy::rng::philox;

/// Uniform values in `[-1, 1)`.
pub fn noise(count: usize) -> Vec<f32> {
    (0..count as u64)
        .map(|i| (philox([1, 99], [i, 0, 0, 0])[0] >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
        .collect()
}
