//! Tones: partials with an envelope and noise, and their rendering.
//!
//! Every partial is a complex number that is rotated by a constant angle per sample (a rotor), so a sample costs a
//! few multiplications and no sine. Envelopes, vibrato and decay are updated once per block. Partials above the
//! Nyquist frequency are omitted, so that nothing aliases.

use super::filter::Biquad;
use crate::math::{exp, exp2, sin_cos_turns, sin_turns};
use crate::random::Stream;

/// Samples per update of the envelopes.
const BLOCK: usize = 64;
/// Partials that are computed together, in vector registers.
const LANES: usize = 8;
/// Highest frequency of partials as a share of the Nyquist frequency.
const HIGHEST: f64 = 0.98;
/// Largest vibrato, for which the third-order rotation below has an error under 1e-5.
const MOST_CENTS: f64 = 60.0;
/// A tone ends when its envelope falls below this share of the peak (-80 dB).
const INAUDIBLE: f64 = 1e-4;
/// A partial ends when it falls below this level (-80 dB relative to level 1).
const OVER: f32 = 1e-4;

/// A sinusoid of a tone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Partial {
    /// Frequency as a multiple of the tone's frequency.
    pub ratio: f64,
    /// Initial amplitude, before envelope and decay.
    pub level: f64,
    /// Amplitude after [`Tone::glide`] seconds.
    pub later: f64,
    /// Decay in nepers per second.
    pub decay: f64,
    /// Time constant in seconds of the partial's rise, in addition to the tone's attack.
    pub swell: f64,
    /// Start phase in turns.
    pub phase: f64,
}

/// Attack, decay to a sustained level and release, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    pub attack: f64,
    /// Time constant from the peak to `sustain`.
    pub decay: f64,
    pub sustain: f64,
    /// Time of the release.
    pub hold: f64,
    /// Time constant after it.
    pub release: f64,
}

impl Envelope {
    fn at(&self, t: f64) -> f64 {
        if t <= 0.0 {
            return 0.0;
        }
        let rise = (t / self.attack).min(1.0);
        let mut value = rise * rise * (3.0 - 2.0 * rise);
        if t > self.attack && self.sustain < 1.0 {
            let fall = exp(-(t - self.attack) / self.decay);
            value *= self.sustain + (1.0 - self.sustain) * fall;
        }
        if t > self.hold {
            value *= exp(-(t - self.hold) / self.release);
        }
        value
    }
}

/// Periodic variation of pitch and loudness.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Vibrato {
    /// In hertz.
    pub rate: f64,
    /// Amplitude of the pitch deviation.
    pub cents: f64,
    /// Amplitude of the loudness deviation, as a share.
    pub tremolo: f64,
    /// Seconds until the full depth.
    pub onset: f64,
    /// In turns.
    pub phase: f64,
}

/// The noise of a tone: bow, breath, pluck or key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Breath {
    /// Centre of the band in hertz, and its quality factor.
    pub centre: f64,
    pub q: f64,
    /// Level relative to the tone.
    pub level: f64,
    /// Level of the burst at the onset, and its time constant in seconds.
    pub burst: f64,
    pub burst_time: f64,
}

/// A note of an instrument, ready to render.
#[derive(Clone, Debug)]
pub(super) struct Tone {
    /// In hertz.
    pub frequency: f64,
    pub partials: Vec<Partial>,
    /// Seconds from [`Partial::level`] to [`Partial::later`].
    pub glide: f64,
    pub envelope: Envelope,
    pub vibrato: Vibrato,
    pub breath: Breath,
    /// Amplitude of the tone.
    pub gain: f64,
    /// The source of its noise.
    pub noise: Stream,
}

/// The states of [`LANES`] partials.
#[derive(Default)]
struct Rotors {
    re: [f32; LANES],
    im: [f32; LANES],
    /// Angle per sample without vibrato in radians, and its cosine and sine.
    angle: [f32; LANES],
    cos: [f32; LANES],
    sin: [f32; LANES],
    /// The current amplitude, and its factors.
    amplitude: [f32; LANES],
    level: [f32; LANES],
    later: [f32; LANES],
    left: [f32; LANES],
    decay: [f32; LANES],
    unswollen: [f32; LANES],
    swell: [f32; LANES],
}

impl Rotors {
    fn new(tone: &Tone, partials: &[Partial], sample_rate: f64) -> Self {
        let mut rotors = Self {
            cos: [1.0; LANES],
            left: [1.0; LANES],
            decay: [1.0; LANES],
            unswollen: [1.0; LANES],
            ..Self::default()
        };
        let block = BLOCK as f64 / sample_rate;
        for (i, partial) in partials.iter().enumerate() {
            let turns = tone.frequency * partial.ratio / sample_rate;
            let (sin, cos) = sin_cos_turns(turns);
            rotors.angle[i] = (std::f64::consts::TAU * turns) as f32;
            (rotors.cos[i], rotors.sin[i]) = (cos as f32, sin as f32);
            let (sin, cos) = sin_cos_turns(partial.phase);
            (rotors.re[i], rotors.im[i]) = (cos as f32, sin as f32);
            rotors.level[i] = partial.level as f32;
            rotors.later[i] = partial.later as f32;
            rotors.decay[i] = exp(-partial.decay * block) as f32;
            rotors.swell[i] = exp(-block / partial.swell.max(1e-5)) as f32;
        }
        rotors
    }

    /// Whether all partials have become inaudible; partials only decay.
    fn are_over(&self) -> bool {
        (0..LANES).all(|i| self.left[i] * self.level[i].max(self.later[i]) < OVER)
    }

    /// Adds a block to `sums`, with frequencies multiplied by `1 + bend` and levels interpolated by `glide` between
    /// `level` and `later`.
    fn add(&mut self, sums: &mut [[f32; LANES]], bend: f32, glide: f32) {
        let (mut cos, mut sin, mut slope) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        for i in 0..LANES {
            // Rotation by the small additional angle, to third order.
            let d = self.angle[i] * bend;
            let (c, s) = (1.0 - 0.5 * d * d, d - d * d * d / 6.0);
            cos[i] = self.cos[i] * c - self.sin[i] * s;
            sin[i] = self.sin[i] * c + self.cos[i] * s;
            self.left[i] *= self.decay[i];
            self.unswollen[i] *= self.swell[i];
            let level = self.level[i] + (self.later[i] - self.level[i]) * glide;
            let target = level * self.left[i] * (1.0 - self.unswollen[i]);
            slope[i] = (target - self.amplitude[i]) * (1.0 / BLOCK as f32);
            // Rounding slowly changes the length of a rotor; one Newton step restores it.
            let square = self.re[i] * self.re[i] + self.im[i] * self.im[i];
            self.re[i] *= 1.5 - 0.5 * square;
            self.im[i] *= 1.5 - 0.5 * square;
        }
        let (mut re, mut im, mut amplitude) = (self.re, self.im, self.amplitude);
        for sum in sums {
            for i in 0..LANES {
                let x = re[i] * cos[i] - im[i] * sin[i];
                im[i] = re[i] * sin[i] + im[i] * cos[i];
                re[i] = x;
                amplitude[i] += slope[i];
                sum[i] += amplitude[i] * im[i];
            }
        }
        (self.re, self.im, self.amplitude) = (re, im, amplitude);
    }
}

impl Tone {
    /// Adds the tone to `out`, from its first sample on.
    pub(super) fn add_to(&self, out: &mut [f32], sample_rate: f64) {
        let highest = HIGHEST * sample_rate / 2.0 * exp2(-self.vibrato.cents.abs() / 1200.0);
        let audible: Vec<Partial> = self
            .partials
            .iter()
            .filter(|partial| self.frequency * partial.ratio < highest)
            .copied()
            .collect();
        let mut bank: Vec<Rotors> =
            audible.chunks(LANES).map(|chunk| Rotors::new(self, chunk, sample_rate)).collect();

        let slowest = audible.iter().map(|partial| partial.decay).fold(f64::INFINITY, f64::min);
        let mut band = Biquad::band_pass(self.breath.centre, self.breath.q, sample_rate);
        // White noise spreads its power up to the Nyquist frequency; this factor makes the power per band independent
        // of the sample rate, and of the band's width.
        let density = (sample_rate / 16_000.0 * 8_000.0 * self.breath.q
            / self.breath.centre.clamp(20.0, 8_000.0))
        .sqrt()
        .min(30.0);
        let mut noise_source = self.noise.clone();

        let mut before = 0.0;
        let mut burst_before = 1.0;
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let start = (i * BLOCK) as f64 / sample_rate;
            let end = ((i + 1) * BLOCK) as f64 / sample_rate;
            let envelope = self.envelope.at(end);
            let ringing = if slowest.is_finite() { exp(-slowest * end) } else { 1.0 };
            if end > self.envelope.attack && envelope * ringing < INAUDIBLE {
                break;
            }
            let wave = sin_turns(self.vibrato.rate * start + self.vibrato.phase);
            let depth =
                if self.vibrato.onset > 0.0 { (start / self.vibrato.onset).min(1.0) } else { 1.0 };
            let cents = (self.vibrato.cents * depth * wave).clamp(-MOST_CENTS, MOST_CENTS);
            let bend = (exp2(cents / 1200.0) - 1.0) as f32;
            let glide = if self.glide > 0.0 { (end / self.glide).min(1.0) } else { 1.0 };
            let after = envelope * (1.0 + self.vibrato.tremolo * depth * wave) * self.gain;

            let mut sums = [[0.0; LANES]; BLOCK];
            bank.retain(|rotors| !rotors.are_over());
            for rotors in &mut bank {
                rotors.add(&mut sums[..out.len()], bend, glide as f32);
            }
            let mut noise = [0.0; BLOCK];
            let burst = exp(-end / self.breath.burst_time.max(1e-4));
            let blows = self.breath.level > 0.0 || (self.breath.burst > 0.0 && burst_before > 1e-3);
            if blows {
                noise_source.fill_noise(&mut noise[..out.len()]);
            }

            let (mut gain, step) = (before as f32, ((after - before) / BLOCK as f64) as f32);
            let hiss =
                |burst: f64| ((self.breath.level + self.breath.burst * burst) * density) as f32;
            let (mut breath, rise) =
                (hiss(burst_before), (hiss(burst) - hiss(burst_before)) / BLOCK as f32);
            for ((out, sum), noise) in out.iter_mut().zip(&sums).zip(&noise) {
                gain += step;
                breath += rise;
                let partials = ((sum[0] + sum[1]) + (sum[2] + sum[3]))
                    + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
                let air = if blows { breath * band.step(*noise) } else { 0.0 };
                *out += gain * (partials + air);
            }
            before = after;
            burst_before = burst;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn sine(frequency: f64, ratio: f64, cents: f64) -> Tone {
        Tone {
            frequency,
            partials: vec![Partial {
                ratio,
                level: 0.5,
                later: 0.5,
                decay: 0.0,
                swell: 0.0,
                phase: 0.15,
            }],
            glide: 0.0,
            envelope: Envelope {
                attack: 1e-3,
                decay: 1.0,
                sustain: 1.0,
                hold: 100.0,
                release: 0.1,
            },
            vibrato: Vibrato { rate: 0.0, cents, phase: 0.25, ..Vibrato::default() },
            breath: Breath { centre: 1000.0, q: 1.0, level: 0.0, burst: 0.0, burst_time: 0.01 },
            gain: 1.0,
            noise: Stream::new(1, 1, Purpose::Note, 0),
        }
    }

    /// A partial after the attack is a sine, also with a pitch raised by 50 cents.
    #[test]
    fn partial_is_a_sine() {
        for (cents, factor) in [(0.0, 1.0), (50.0, 1.029_302_236_643_492)] {
            let mut out = vec![0.0; 16_000];
            sine(440.0, 2.0, cents).add_to(&mut out, 16_000.0);
            for (n, sample) in out.iter().enumerate().skip(200) {
                let turns = 880.0 * factor * (n + 1) as f64 / 16_000.0 + 0.15;
                let expected = 0.5 * (std::f64::consts::TAU * turns).sin();
                assert!((f64::from(*sample) - expected).abs() < 2e-3, "{n}: {sample} {expected}");
            }
        }
    }

    #[test]
    fn partial_above_nyquist_is_silent() {
        let mut out = vec![0.0; 1_000];
        sine(3_000.0, 3.0, 0.0).add_to(&mut out, 16_000.0);
        assert!(out.iter().all(|sample| *sample == 0.0));
        sine(3_000.0, 3.0, 0.0).add_to(&mut out, 22_050.0);
        assert!(out.iter().any(|sample| sample.abs() > 0.4));
    }

    #[test]
    fn partial_decays_at_the_given_rate() {
        let mut tone = sine(500.0, 1.0, 0.0);
        tone.partials[0].decay = 6.907_755; // 60 dB per second
        let mut out = vec![0.0; 16_000];
        tone.add_to(&mut out, 16_000.0);
        let peak = |from: usize| {
            out[from..from + 320].iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()))
        };
        let ratio = f64::from(peak(1_600) / peak(9_600));
        assert!((20.0 * ratio.log10() - 30.0).abs() < 0.3, "{ratio}");
    }
}
