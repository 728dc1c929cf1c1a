//! Numbers to test with, and how far results are from what they should be.

/// Uniform in `[-1, 1)`, the same for the same seed.
pub(crate) fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Largest difference, relative to the largest value expected; NaN where a value is NaN.
pub(crate) fn error(actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let scale = expected.iter().fold(1e-6, |max: f64, x| max.max(x.abs()));
    actual.iter().zip(expected).fold(0.0, |max: f64, (a, e)| {
        let difference = (f64::from(*a) - e).abs() / scale;
        if difference.is_nan() || difference > max { difference } else { max }
    })
}
