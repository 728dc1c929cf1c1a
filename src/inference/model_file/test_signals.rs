//! Test signals that any program can reproduce exactly.
//!
//! Samples are 16-bit integers divided by 32 768, computed with 32-bit integer arithmetic:
//!
//! ```text
//! noise:  s[0] = 1,  s[n + 1] = 1664525 s[n] + 1013904223 (mod 2^32),  x[n] = (s[n + 1] >> 16) - 32768
//! sweep:  p[0] = 0,  p[n + 1] = p[n] + 2^21 + 512 n (mod 2^32),        x[n] = (p[n + 1] >> 16) - 32768
//! quiet:  (noise >> 6) + (sweep >> 4), from the integers above
//! ```
//!
//! The generator is from Press et al., Numerical Recipes, section 7.1; `>>` rounds negative numbers down. Noise, a sawtooth
//! that rises through all frequencies, and both at a low level together excite every band and cover most of the dynamic
//! range of the compression.

use serde::{Deserialize, Serialize};

/// A test signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Pseudo-random numbers at full scale.
    Noise,
    /// A sawtooth at full scale that rises through all frequencies.
    Sweep,
    /// The sum of both at a low level.
    Quiet,
}

impl Signal {
    /// All signals, in the order of the card.
    pub const ALL: [Signal; 3] = [Signal::Noise, Signal::Sweep, Signal::Quiet];

    /// The name in the card.
    pub fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Sweep => "sweep",
            Self::Quiet => "quiet",
        }
    }

    /// The first `count` samples.
    pub fn samples(self, count: usize) -> Vec<f32> {
        let (mut state, mut phase, mut increment) = (1_u32, 0_u32, 1_u32 << 21);
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            phase = phase.wrapping_add(increment);
            increment = increment.wrapping_add(512);
            let (noise, sweep) = ((state >> 16) as i32 - 32_768, (phase >> 16) as i32 - 32_768);
            let value = match self {
                Self::Noise => noise,
                Self::Sweep => sweep,
                Self::Quiet => (noise >> 6) + (sweep >> 4),
            };
            value as f32 / 32_768.0
        };
        (0..count).map(|_| next()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 1664525 + 1013904223 = 1015568748 = 15496 * 65536 + 22892.
    #[test]
    fn first_samples_equal_those_computed_by_hand() {
        let whole = |signal: Signal| (32_768.0 * signal.samples(1)[0]) as i32;
        assert_eq!(whole(Signal::Noise), 15_496 - 32_768);
        assert_eq!(whole(Signal::Sweep), 32 - 32_768);
        assert_eq!(whole(Signal::Quiet), ((15_496 - 32_768) >> 6) + ((32 - 32_768) >> 4));
    }

    #[test]
    fn signals_are_in_range_and_not_constant() {
        for signal in Signal::ALL {
            let samples = signal.samples(100_000);
            assert!(samples.iter().all(|x| x.abs() <= 1.0));
            let energy: f32 = samples.iter().map(|x| x * x).sum::<f32>() / 1e5;
            assert!(energy > 1e-4, "{signal:?} {energy}");
        }
    }
}
