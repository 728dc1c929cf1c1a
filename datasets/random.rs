//! Counter-based random numbers: a pure function of seed, index and purpose.
//!
//! Philox 4x32 with ten rounds: Salmon, Moraes, Dror and Shaw (2011), "Parallel random numbers: as
//! easy as 1, 2, 3". The key is the seed; the counter contains the index (of a track or user), the purpose
//! and the number of blocks drawn. Two purposes never share numbers, and a track depends neither on the number
//! of tracks nor on the order in which they are generated.

use crate::math::{ln, sin_cos_turns};

const ROUNDS: usize = 10;
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// A block of four random numbers.
fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut a, mut b, mut c, mut d], [mut k0, mut k1]) = (counter, key);
    for _ in 0..ROUNDS {
        let left = u64::from(MULTIPLIERS[0]) * u64::from(a);
        let right = u64::from(MULTIPLIERS[1]) * u64::from(c);
        a = (right >> 32) as u32 ^ b ^ k0;
        c = (left >> 32) as u32 ^ d ^ k1;
        b = right as u32;
        d = left as u32;
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [a, b, c, d]
}

/// The use of the numbers of a [`Stream`].
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Purpose {
    /// Tempo, key, ensemble, room: everything that is chosen once per piece.
    Plan = 1,
    /// The notes of a part.
    Notes = 2,
    /// The timbre of a part.
    Timbre = 3,
    /// Phases, small deviations and noise of a note.
    Note = 4,
    /// The drum pattern.
    Drums = 5,
    /// The sound of the drum kit.
    Kit = 6,
    /// A drum hit.
    Stroke = 7,
    /// The noise floor.
    Floor = 8,
    /// The reverberation.
    Room = 9,
    /// The assignment of tracks to splits; its index is 0.
    Split = 10,
    /// A track's popularity and its qualities apart from tags.
    Appeal = 11,
    /// A listener's taste.
    Taste = 12,
    /// The number of tracks that a listener plays.
    Activity = 13,
    /// The tracks that a listener plays, and how often.
    Plays = 14,
    /// The users of a subset of listening data.
    Subset = 16,
}

/// A sequence of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Stream {
    /// The numbers for `purpose` and track (or user) `index` of the data with `seed`; `which` (below 2^24)
    /// distinguishes streams of one purpose, such as parts and notes.
    pub(crate) fn new(seed: u64, index: u64, purpose: Purpose, which: u32) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            counter: [0, purpose as u32 | (which << 8), index as u32, (index >> 32) as u32],
            block: [0; 4],
            used: 4,
        }
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.refill();
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    fn refill(&mut self) {
        self.block = philox(self.counter, self.key);
        self.counter[0] = self.counter[0].wrapping_add(1);
        self.used = 0;
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        f64::from(self.next_u32()) / 4_294_967_296.0
    }

    /// Uniform in `[low, high)`.
    pub(crate) fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in the logarithm, in `[low, high)`, both above zero.
    pub(crate) fn log_range(&mut self, low: f64, high: f64) -> f64 {
        crate::math::exp2(self.range(crate::math::log2(low), crate::math::log2(high)))
    }

    /// Normal, with mean 0 and variance 1.
    pub(crate) fn normal(&mut self) -> f64 {
        // Box and Muller (1958). A number above 0 keeps the logarithm finite: at most 6.6 deviations.
        let radius = (-2.0 * ln(self.unit_above_zero())).sqrt();
        radius * sin_cos_turns(self.unit()).1
    }

    /// Uniform in `(0, 1]`.
    pub(crate) fn unit_above_zero(&mut self) -> f64 {
        1.0 - self.unit()
    }

    /// Uniform in `0..n`; 0 if `n` is 0. The bias of `n / 2^32` is negligible here.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.next_u32()) * n as u64) >> 32) as usize
    }

    /// True with probability `p`.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// A random element of `items`, which must not be empty.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// An index into `weights` with probability proportional to its weight.
    pub(crate) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut x = self.unit() * weights.iter().sum::<f64>();
        for (i, weight) in weights.iter().enumerate() {
            x -= weight;
            if x < 0.0 {
                return i;
            }
        }
        weights.len() - 1
    }

    /// The indices `0..n` in random order (Fisher and Yates).
    pub(crate) fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }

    /// White noise, uniformly distributed with variance 1: two samples per 32-bit number.
    pub(crate) fn fill_noise(&mut self, out: &mut [f32]) {
        // Gives the 2^16 half-integers around 0 a variance of 1.
        const SCALE: f32 = 1.732_050_8 / 32_768.0;
        for samples in out.chunks_mut(8) {
            self.refill();
            self.used = 4;
            for (i, sample) in samples.iter_mut().enumerate() {
                let half = (self.block[i / 2] >> (16 * (i % 2))) as u16;
                *sample = (f32::from(half) - 32_767.5) * SCALE;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers for `philox4x32 10` in the file `kat_vectors` of the authors' Random123.
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn streams_differ_in_every_argument() {
        let first = |seed, index, purpose, which| Stream::new(seed, index, purpose, which).unit();
        let base = first(1, 1, Purpose::Plan, 0);
        assert_eq!(base, first(1, 1, Purpose::Plan, 0));
        for other in [
            first(2, 1, Purpose::Plan, 0),
            first((1 << 32) | 1, 1, Purpose::Plan, 0),
            first(1, 2, Purpose::Plan, 0),
            first(1, (1 << 32) | 1, Purpose::Plan, 0),
            first(1, 1, Purpose::Notes, 0),
            first(1, 1, Purpose::Plan, 1),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn noise_is_white_with_variance_one() {
        let mut noise = vec![0.0; 100_000];
        Stream::new(1, 0, Purpose::Floor, 0).fill_noise(&mut noise);
        let at_lag = |lag: usize| {
            let products = noise.iter().zip(&noise[lag..]).map(|(a, b)| f64::from(a * b));
            products.sum::<f64>() / noise.len() as f64
        };
        assert!((at_lag(0) - 1.0).abs() < 0.01);
        for lag in 1..16 {
            assert!(at_lag(lag).abs() < 0.02, "lag {lag}");
        }
        assert!((noise.iter().sum::<f32>() / 1e5).abs() < 0.02);
    }

    #[test]
    fn normal_numbers_have_the_right_moments() {
        let mut stream = Stream::new(5, 0, Purpose::Taste, 0);
        let draws: Vec<f64> = (0..200_000).map(|_| stream.normal()).collect();
        let moment = |power: i32| draws.iter().map(|x| x.powi(power)).sum::<f64>() / 2e5;
        // The bounds are five standard errors.
        assert!(moment(1).abs() < 0.012, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.016, "{}", moment(2));
        assert!(moment(3).abs() < 0.044, "{}", moment(3));
        assert!((moment(4) - 3.0).abs() < 0.11, "{}", moment(4));
    }

    #[test]
    fn weighted_choice_has_the_given_probabilities() {
        let mut stream = Stream::new(3, 0, Purpose::Plan, 0);
        let mut counts = [0.0f64; 3];
        for _ in 0..10_000 {
            counts[stream.weighted(&[1.0, 0.0, 3.0])] += 1e-4;
        }
        assert!((counts[0] - 0.25).abs() < 0.02 && counts[1] == 0.0, "{counts:?}");
    }
}
