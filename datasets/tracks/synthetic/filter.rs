//! Second-order filters (biquads).
//!
//! Coefficients from R. Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter
//! coefficients"; the structure is the transposed direct form II.

use crate::math::{from_db, sin_cos_turns};

/// A filter with its state.
#[derive(Clone, Debug)]
pub(super) struct Biquad {
    b: [f64; 3],
    a: [f64; 2],
    state: [f64; 2],
}

impl Biquad {
    fn new(b: [f64; 3], a: [f64; 3]) -> Self {
        Self { b: b.map(|x| x / a[0]), a: [a[1] / a[0], a[2] / a[0]], state: [0.0; 2] }
    }

    /// Cosine of the corner's angle, and the bandwidth `alpha`. The corner is limited to below the Nyquist frequency.
    fn corner(frequency: f64, q: f64, sample_rate: f64) -> (f64, f64) {
        let (sin, cos) = sin_cos_turns((frequency / sample_rate).clamp(1e-5, 0.47));
        (cos, sin / (2.0 * q.max(0.05)))
    }

    /// Passes a band around `centre` Hz, where the gain is 1.
    pub(super) fn band_pass(centre: f64, q: f64, sample_rate: f64) -> Self {
        let (cos, alpha) = Self::corner(centre, q, sample_rate);
        Self::new([alpha, 0.0, -alpha], [1.0 + alpha, -2.0 * cos, 1.0 - alpha])
    }

    pub(super) fn low_pass(corner: f64, q: f64, sample_rate: f64) -> Self {
        let (cos, alpha) = Self::corner(corner, q, sample_rate);
        let b = (1.0 - cos) / 2.0;
        Self::new([b, 2.0 * b, b], [1.0 + alpha, -2.0 * cos, 1.0 - alpha])
    }

    pub(super) fn high_pass(corner: f64, q: f64, sample_rate: f64) -> Self {
        let (cos, alpha) = Self::corner(corner, q, sample_rate);
        let b = (1.0 + cos) / 2.0;
        Self::new([b, -2.0 * b, b], [1.0 + alpha, -2.0 * cos, 1.0 - alpha])
    }

    /// Amplifies frequencies above `corner` Hz by `db`.
    pub(super) fn high_shelf(corner: f64, db: f64, sample_rate: f64) -> Self {
        let (cos, alpha) = Self::corner(corner, std::f64::consts::FRAC_1_SQRT_2, sample_rate);
        let a = from_db(db / 2.0);
        let root = 2.0 * a.sqrt() * alpha;
        Self::new(
            [
                a * ((a + 1.0) + (a - 1.0) * cos + root),
                -2.0 * a * ((a - 1.0) + (a + 1.0) * cos),
                a * ((a + 1.0) + (a - 1.0) * cos - root),
            ],
            [
                (a + 1.0) - (a - 1.0) * cos + root,
                2.0 * ((a - 1.0) - (a + 1.0) * cos),
                (a + 1.0) - (a - 1.0) * cos - root,
            ],
        )
    }

    #[inline]
    pub(super) fn step(&mut self, x: f32) -> f32 {
        let x = f64::from(x);
        let y = self.b[0] * x + self.state[0];
        self.state[0] = self.b[1] * x - self.a[0] * y + self.state[1];
        self.state[1] = self.b[2] * x - self.a[1] * y;
        y as f32
    }

    pub(super) fn run(&mut self, samples: &mut [f32]) {
        for sample in samples {
            *sample = self.step(*sample);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gain at `frequency`, from the Fourier transform of the impulse response.
    fn gain_db(mut filter: Biquad, frequency: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for n in 0..8_000 {
            let y = f64::from(filter.step(if n == 0 { 1.0 } else { 0.0 }));
            let angle = std::f64::consts::TAU * frequency * f64::from(n) / 16_000.0;
            re += y * angle.cos();
            im += y * angle.sin();
        }
        10.0 * (re * re + im * im).log10()
    }

    #[test]
    fn gains_equal_the_definitions() {
        let butterworth = std::f64::consts::FRAC_1_SQRT_2;
        for (filter, frequency, db) in [
            (Biquad::band_pass(1_000.0, 2.0, 16_000.0), 1_000.0, 0.0),
            (Biquad::low_pass(1_000.0, butterworth, 16_000.0), 1_000.0, -3.0103),
            (Biquad::low_pass(1_000.0, butterworth, 16_000.0), 10.0, 0.0),
            (Biquad::high_pass(1_000.0, butterworth, 16_000.0), 1_000.0, -3.0103),
            (Biquad::high_pass(1_000.0, butterworth, 16_000.0), 7_990.0, 0.0),
            (Biquad::high_shelf(1_000.0, 6.0, 16_000.0), 1_000.0, 3.0),
            (Biquad::high_shelf(1_000.0, 6.0, 16_000.0), 7_990.0, 6.0),
            (Biquad::high_shelf(1_000.0, 6.0, 16_000.0), 5.0, 0.0),
        ] {
            let gain = gain_db(filter, frequency);
            assert!((gain - db).abs() < 0.02, "{gain} dB instead of {db} dB");
        }
    }
}
