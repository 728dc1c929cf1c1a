//! Random numbers by counter: what the `i`-th number of a stream is depends on the key and on `i`
//! alone, never on who asked before, so work may be cut, reordered and resumed freely.
//!
//! The generator is Philox4x64-10. It has no state: [`philox`] maps a key and a counter to 256
//! random bits, and neighbouring counters or keys give unrelated bits.
//!
//! NumPy's `numpy.random.Philox(key=k, counter=c)` is the same function, but it adds one to its
//! counter *before* it makes a block: its first four raw numbers are `philox(k, c + 1)`. Its
//! 256-bit counter and 128-bit key are little-endian in words: word 0 counts fastest.
//!
//! # References
//! Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

/// Multipliers of the two halves of a round (the paper's table 2).
const MULTIPLIERS: [u64; 2] = [0xD2E7_470E_E14C_6C93, 0xCA5A_8263_9512_1157];
/// What the key grows by from round to round: the golden ratio and the root of three, less one.
const KEY_STEPS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xBB67_AE85_84CA_A73B];
const ROUNDS: usize = 10;

/// Four words of 64 random bits, by Philox4x64-10.
///
/// Give every purpose its own `key` (a seed in word 0, a number for the purpose in word 1), and
/// put what is being drawn in the words of `counter`.
pub fn philox(mut key: [u64; 2], mut counter: [u64; 4]) -> [u64; 4] {
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(KEY_STEPS[0]), key[1].wrapping_add(KEY_STEPS[1])];
        }
        let a = u128::from(counter[0]) * u128::from(MULTIPLIERS[0]);
        let b = u128::from(counter[2]) * u128::from(MULTIPLIERS[1]);
        counter = [
            (b >> 64) as u64 ^ counter[1] ^ key[0],
            b as u64,
            (a >> 64) as u64 ^ counter[3] ^ key[1],
            a as u64,
        ];
    }
    counter
}

/// A whole number in `0..n` from 64 random bits: the high 64 bits of `x * n` (0 where `n` is 0).
///
/// No number is more than `n / 2^64` of its share off, which nothing here can notice, and every
/// call takes exactly one `x`, so counters stay predictable.
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
        /// The counter that the numbers belong to: one more than NumPy was given.
        counter: [u64; 4],
        raw: [u64; 4],
    }

    #[test]
    fn equals_numpy() {
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
    fn below_is_even() {
        const DRAWS: u64 = 70_000;
        let mut counts = [0u32; 7];
        for i in 0..DRAWS / 4 {
            for x in philox([1, 2], [i, 0, 0, 0]) {
                counts[below(x, 7) as usize] += 1;
            }
        }
        // Each count is binomial with mean 10 000 and deviation 92.6; five deviations.
        for count in counts {
            assert!((9_537..=10_463).contains(&count), "{counts:?}");
        }
    }
}
