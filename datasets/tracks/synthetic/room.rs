//! Reverberation: a feedback delay network.
//!
//! The outputs of eight delay lines are mixed by a Householder reflection, which preserves energy, and fed back
//! through a gain, which sets the reverberation time, and a low-pass, which damps high frequencies. Jot and
//! Chaigne (1991), "Digital delay networks for designing artificial reverberators".

use crate::math::{exp, pow};
use crate::random::Stream;

const LINES: usize = 8;

/// The reverberation of a piece.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Room {
    /// Seconds in which the reverberation decays by 60 dB.
    pub t60: f64,
    /// Amplitude of the reverberation relative to the direct sound.
    pub wet: f64,
    /// Corner of the low-pass in hertz.
    pub damping: f64,
    /// Length of the shortest delay in seconds.
    pub size: f64,
}

impl Room {
    /// Adds the reverberation to `samples`; `stream` determines the lengths of the delays.
    pub(super) fn reverberate(&self, samples: &mut [f32], sample_rate: f64, mut stream: Stream) {
        let mut lines: Vec<Vec<f32>> = Vec::with_capacity(LINES);
        let (mut gains, mut signs) = ([0.0f32; LINES], [0.0f32; LINES]);
        for i in 0..LINES {
            // Random lengths over a factor of about 3, so that echoes rarely coincide.
            let delay = self.size * pow(3.0, (i as f64 + stream.range(0.1, 0.9)) / LINES as f64);
            let length = ((delay * sample_rate).round() as usize).max(1);
            lines.push(vec![0.0; length]);
            gains[i] = pow(10.0, -3.0 * delay / self.t60) as f32;
            signs[i] = if stream.chance(0.5) { 1.0 } else { -1.0 };
        }
        let pole = exp(-std::f64::consts::TAU * self.damping / sample_rate) as f32;
        let wet = (self.wet / (LINES as f64).sqrt()) as f32;
        let mut damped = [0.0f32; LINES];
        let mut places = [0; LINES];
        for sample in samples {
            let mut sum = 0.0;
            let mut heard = 0.0;
            for i in 0..LINES {
                let y = lines[i][places[i]];
                damped[i] = y + pole * (damped[i] - y);
                sum += damped[i];
                heard += signs[i] * damped[i];
            }
            let mixed = sum * (2.0 / LINES as f32);
            // Inaudible, but large enough to avoid slow subnormal numbers.
            let input = *sample + 1e-18;
            for i in 0..LINES {
                lines[i][places[i]] =
                    input * signs[(i + 3) % LINES] + gains[i] * (damped[i] - mixed);
                places[i] += 1;
                if places[i] == lines[i].len() {
                    places[i] = 0;
                }
            }
            *sample += wet * heard;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    /// The remaining energy decays by 60 dB in the reverberation time.
    #[test]
    fn impulse_decays_in_the_reverberation_time() {
        for (t60, sample_rate) in [(0.5, 16_000.0), (2.0, 16_000.0), (2.0, 22_050.0)] {
            let room = Room { t60, wet: 1.0, damping: 1e9, size: 0.02 };
            let mut samples = vec![0.0; (sample_rate * t60) as usize];
            samples[0] = 1.0;
            room.reverberate(&mut samples, sample_rate, Stream::new(1, 2, Purpose::Room, 0));
            let energy_from = |share: f64| {
                let from = (share * samples.len() as f64) as usize;
                let energy: f64 = samples[from..].iter().map(|x| f64::from(*x).powi(2)).sum();
                10.0 * energy.log10()
            };
            // Half of the time: 30 dB.
            let fall = energy_from(0.2) - energy_from(0.7);
            assert!((fall - 30.0).abs() < 3.0, "{fall} dB with a reverberation time of {t60} s");
        }
    }

    #[test]
    fn long_silence_stays_finite_and_silent() {
        let room = Room { t60: 3.0, wet: 1.0, damping: 4_000.0, size: 0.05 };
        let mut samples = vec![0.0; 100_000];
        room.reverberate(&mut samples, 16_000.0, Stream::new(1, 2, Purpose::Room, 0));
        assert!(samples.iter().all(|sample| sample.abs() < 1e-12));
    }
}
