//! Signals that any program can make again, to the last bit.
//!
//! They are whole numbers of 16 bits, over 32 768, from arithmetic on 32-bit whole numbers:
//!
//! ```text
//! noise:  s[0] = 1,  s[n + 1] = 1664525 s[n] + 1013904223 (mod 2^32),  x[n] = (s[n + 1] >> 16) - 32768
//! sweep:  p[0] = 0,  p[n + 1] = p[n] + 2^21 + 512 n (mod 2^32),        x[n] = (p[n + 1] >> 16) - 32768
//! quiet:  (noise >> 6) + (sweep >> 4), of the numbers above
//! ```
//!
//! (the generator is that of Press et al., Numerical Recipes, section 7.1; `>>` of a negative number rounds
//! down). A sawtooth that rises through all frequencies, noise, and both far below full scale: together they
//! reach every band and most of the range of the compression.

use serde::{Deserialize, Serialize};

/// One of the signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Pseudo-random numbers at full scale.
    Noise,
    /// A sawtooth at full scale that rises through all frequencies.
    Sweep,
    /// Both together, far below full scale.
    Quiet,
}

impl Signal {
    /// In the order in which a card has them.
    pub const ALL: [Signal; 3] = [Signal::Noise, Signal::Sweep, Signal::Quiet];

    /// Its name in a card.
    pub fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Sweep => "sweep",
            Self::Quiet => "quiet",
        }
    }

    /// Its first samples.
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
    fn the_first_samples_by_hand() {
        let whole = |signal: Signal| (32_768.0 * signal.samples(1)[0]) as i32;
        assert_eq!(whole(Signal::Noise), 15_496 - 32_768);
        assert_eq!(whole(Signal::Sweep), 32 - 32_768);
        assert_eq!(whole(Signal::Quiet), ((15_496 - 32_768) >> 6) + ((32 - 32_768) >> 4));
    }

    #[test]
    fn signals_stay_in_range_and_are_no_constants() {
        for signal in Signal::ALL {
            let samples = signal.samples(100_000);
            assert!(samples.iter().all(|x| x.abs() <= 1.0));
            let energy: f32 = samples.iter().map(|x| x * x).sum::<f32>() / 1e5;
            assert!(energy > 1e-4, "{signal:?} {energy}");
        }
    }
}
