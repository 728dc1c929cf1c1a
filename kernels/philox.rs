//! Counter-based random numbers: the `i`-th number of a stream is a function of the key and `i`, so work can be split,
//! reordered and resumed.
//!
//! The generator is Philox4x64-10. It has no state: [`philox`] maps a key and a counter to 256 random bits, and neighbouring
//! counters or keys give unrelated bits.
//!
//! NumPy's `numpy.random.Philox(key=k, counter=c)` is the same function, but increments its counter *before* it computes a
//! block: its first four raw numbers are `philox(k, c + 1)`. Its 256-bit counter and 128-bit key are little-endian in words:
//! word 0 is incremented first.
//!
//! # References
//! Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

/// Multipliers of the two halves of a round (the paper's table 2).
const MULTIPLIERS: [u64; 2] = [0xD2E7_470E_E14C_6C93, 0xCA5A_8263_9512_1157];
/// Added to the key after each round: the fractional parts of the golden ratio and of the square root of 3.
const KEY_STEPS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xBB67_AE85_84CA_A73B];
const ROUNDS: usize = 10;

/// Four words of 64 random bits from Philox4x64-10.
///
/// Every purpose needs its own `key` (the seed in word 0, a number for the purpose in word 1); `counter` identifies the
/// number within it.
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
