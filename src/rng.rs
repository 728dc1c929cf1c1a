//! Counter-based random numbers: [`philox`] returns random bits, [`below`] maps them to integers.

pub use kernels::philox::philox;

/// A random integer in `0..n` from 64 random bits: the upper 64 bits of `x * n`, and 0 if `n` is 0.
///
/// The probability of each integer is exact to within `n / 2^64` of its value. A call uses exactly one `x`, so counters
/// are predictable.
pub fn below(x: u64, n: u64) -> u64 {
    ((u128::from(x) * u128::from(n)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    /// Written by `rng/reference.py` with numpy.random.Philox.
    #[derive(Deserialize)]
    struct Block {
        key: [u64; 2],
        /// The counter of these numbers, which is one more than the counter given to NumPy.
        counter: [u64; 4],
        raw: [u64; 4],
    }

    #[test]
    fn philox_equals_numpy() {
        let blocks: Vec<Block> = serde_json::from_str(include_str!("rng/reference.json")).unwrap();
        assert!(blocks.len() >= 20);
        for block in blocks {
            assert_eq!(philox(block.key, block.counter), block.raw, "counter {:?}", block.counter);
        }
    }

    #[test]
    fn below_is_the_scaled_fraction() {
        assert_eq!(below(0, 10), 0);
        assert_eq!(below(u64::MAX, 10), 9);
        assert_eq!(below(1 << 63, 10), 5);
        assert_eq!(below(u64::MAX, u64::MAX), u64::MAX - 1);
        assert_eq!(below(u64::MAX, 1), 0);
        assert_eq!(below(u64::MAX, 0), 0);
    }

    #[test]
    fn below_is_uniform() {
        const DRAWS: u64 = 70_000;
        let mut counts = [0u32; 7];
        for i in 0..DRAWS / 4 {
            for x in philox([1, 2], [i, 0, 0, 0]) {
                counts[below(x, 7) as usize] += 1;
            }
        }
        // Each count is binomial with mean 10 000 and standard deviation 92.6; the bounds are five deviations.
        for count in counts {
            assert!((9_537..=10_463).contains(&count), "{counts:?}");
        }
    }
}
