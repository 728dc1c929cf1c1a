//! The instruments: families of timbres, and the tone of a timbre for a note.
//!
//! A family determines the ratios and envelopes of partials and the accompanying noise. Brightness, body, attack,
//! decay, vibrato and detuning are random per instrument, phases are random per note. Nothing is sampled from a
//! recording.
//!
//! Vowel formants: mean frequencies of men's vowels in Peterson and Barney (1952), "Control
//! methods used in a study of the vowels", scaled per singer.

use super::notes::Note;
use super::tone::{Breath, Envelope, Partial, Tone, Vibrato};
use crate::math::{from_db, midi_to_hz, pow, sin_turns};
use crate::random::Stream;

/// Largest number of partials of a note.
const MOST_PARTIALS: usize = 110;
/// Highest frequency of a partial in hertz, at any sample rate.
const HIGHEST_PARTIAL: f64 = 10_500.0;

/// A kind of instrument, by its sound production.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Plucked,
    Bowed,
    Flute,
    Reed,
    Organ,
    Bell,
    Mallet,
    Voice,
}

impl Family {
    pub(super) const ALL: [Self; 8] = [
        Self::Plucked,
        Self::Bowed,
        Self::Flute,
        Self::Reed,
        Self::Organ,
        Self::Bell,
        Self::Mallet,
        Self::Voice,
    ];

    /// The family of a part. The weights are unequal, but equal for all roles except the bass, so that the notes
    /// reveal little about the instrument.
    pub(super) fn draw(stream: &mut Stream, bass: bool) -> Self {
        let weights = if bass {
            [0.5, 0.2, 0.0, 0.12, 0.18, 0.0, 0.0, 0.0]
        } else {
            [0.26, 0.18, 0.13, 0.09, 0.13, 0.03, 0.06, 0.12]
        };
        Self::ALL[stream.weighted(&weights)]
    }
}

/// First three formants of a vowel in hertz, and their levels in dB.
const VOWELS: [([f64; 3], [f64; 3]); 5] = [
    ([730.0, 1_090.0, 2_440.0], [0.0, -4.0, -22.0]),
    ([530.0, 1_840.0, 2_480.0], [0.0, -12.0, -18.0]),
    ([270.0, 2_290.0, 3_010.0], [0.0, -17.0, -20.0]),
    ([570.0, 840.0, 2_410.0], [0.0, -5.0, -26.0]),
    ([300.0, 870.0, 2_240.0], [0.0, -14.0, -32.0]),
];

/// Ratios and levels of a bell's partials, from the hum up.
const BELL: [(f64, f64); 12] = [
    (0.5, 0.6),
    (1.0, 0.9),
    (1.19, 0.8),
    (1.5, 0.35),
    (2.0, 1.0),
    (2.51, 0.45),
    (2.66, 0.4),
    (3.01, 0.55),
    (4.17, 0.4),
    (5.43, 0.3),
    (6.8, 0.2),
    (8.2, 0.15),
];

/// Frequencies of an organ's stops as multiples of the key's.
const STOPS: [f64; 9] = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];

/// A resonance of the body: centre in hertz, gain, width in hertz.
type Resonance = (f64, f64, f64);

/// An instrument.
#[derive(Clone, Debug)]
pub(super) struct Instrument {
    family: Family,
    /// Exponent of the decrease of amplitude with the number of the partial.
    rolloff: f64,
    /// Frequency in hertz above which amplitudes decrease quickly.
    cutoff: f64,
    body: Vec<Resonance>,
    /// Random factors of the partials' levels.
    uneven: Vec<f64>,
    /// Level of the even partials (reed), or position of plucking (plucked): a share.
    shape: f64,
    /// Stiffness of the string, or deviation of a bell's or bar's partials: a share.
    inharmonicity: f64,
    /// Seconds in which a free tone at 220 Hz decays by 60 dB, and the frequency in hertz above which partials
    /// decay faster.
    ring: f64,
    damping: f64,
    attack: f64,
    release: f64,
    /// Additional copies of every partial, and their detuning in cents.
    copies: usize,
    detune: f64,
    vibrato: Vibrato,
    breath: Breath,
    /// The singer's vowels (indices into [`VOWELS`]) and the scale of the formants.
    vowels: [usize; 2],
    formants: f64,
    /// Levels of the organ's stops; 0 if not drawn.
    stops: [f64; STOPS.len()],
    gain: f64,
}

impl Instrument {
    pub(super) fn draw(family: Family, s: &mut Stream) -> Self {
        let resonances = match family {
            Family::Plucked | Family::Bowed => 5,
            Family::Flute | Family::Reed | Family::Mallet => 2,
            Family::Organ | Family::Bell | Family::Voice => 0,
        };
        let body = (0..resonances)
            .map(|_| {
                let centre = s.log_range(150.0, 4_500.0);
                (centre, from_db(s.range(-6.0, 9.0)) - 1.0, centre * s.range(0.08, 0.3))
            })
            .collect();
        let unevenness = s.range(1.0, 5.0);
        let uneven =
            (0..MOST_PARTIALS).map(|_| from_db(s.range(-unevenness, unevenness))).collect();
        let mut it = Self {
            family,
            rolloff: 1.0,
            cutoff: 5_000.0,
            body,
            uneven,
            shape: 0.0,
            inharmonicity: 0.0,
            ring: f64::INFINITY,
            damping: f64::INFINITY,
            attack: 0.01,
            release: 0.05,
            copies: 0,
            detune: 0.0,
            vibrato: Vibrato::default(),
            breath: Breath { centre: 0.0, q: 1.0, level: 0.0, burst: 0.0, burst_time: 0.01 },
            vowels: [0, 0],
            formants: 1.0,
            stops: [0.0; STOPS.len()],
            gain: 1.0,
        };
        match family {
            Family::Plucked => {
                it.rolloff = s.range(0.6, 1.5);
                it.cutoff = s.log_range(1_200.0, 6_000.0);
                it.shape = s.range(0.06, 0.4);
                it.inharmonicity = s.log_range(1e-5, 5e-4);
                it.ring = s.log_range(1.2, 6.0);
                it.damping = s.log_range(500.0, 3_000.0);
                it.attack = s.range(1.5e-3, 6e-3);
                it.release = s.range(0.03, 0.12);
                (it.copies, it.detune) =
                    if s.chance(0.35) { (1, s.range(0.5, 4.0)) } else { (0, 0.0) };
                it.breath.q = 0.7;
                it.breath.burst = s.range(0.05, 0.5);
                it.breath.burst_time = s.range(0.003, 0.015);
                it.gain = 1.9;
            }
            Family::Bowed => {
                it.rolloff = s.range(0.8, 1.3);
                it.cutoff = s.log_range(2_000.0, 7_000.0);
                it.attack = s.log_range(0.04, 0.2);
                it.release = s.range(0.04, 0.15);
                (it.copies, it.detune) =
                    if s.chance(0.35) { (1, s.range(4.0, 11.0)) } else { (0, 0.0) };
                it.vibrato = vibrato(s, [4.6, 6.8], [4.0, 26.0], [0.02, 0.12]);
                it.breath.q = 0.5;
                it.breath.level = s.log_range(0.01, 0.07);
                it.breath.burst = s.range(0.0, 0.12);
                it.breath.burst_time = s.range(0.03, 0.08);
            }
            Family::Flute => {
                it.rolloff = s.range(1.7, 3.2);
                it.cutoff = s.log_range(1_500.0, 5_000.0);
                it.attack = s.log_range(0.03, 0.11);
                it.release = s.range(0.03, 0.08);
                it.vibrato = vibrato(s, [4.2, 6.2], [2.0, 14.0], [0.05, 0.25]);
                it.breath.q = s.log_range(1.5, 8.0);
                it.breath.level = s.log_range(0.03, 0.2);
                it.breath.burst = s.log_range(0.05, 0.4);
                it.breath.burst_time = s.range(0.02, 0.06);
                it.gain = 1.1;
            }
            Family::Reed => {
                it.rolloff = s.range(0.5, 1.1);
                it.cutoff = s.log_range(1_500.0, 4_500.0);
                it.shape = s.log_range(0.02, 0.2);
                it.attack = s.log_range(0.015, 0.06);
                it.release = s.range(0.03, 0.06);
                it.vibrato = vibrato(s, [4.5, 6.0], [0.0, 7.0], [0.0, 0.06]);
                it.breath.q = 0.6;
                it.breath.level = s.log_range(0.005, 0.04);
                it.breath.burst = s.range(0.0, 0.1);
                it.breath.burst_time = 0.02;
            }
            Family::Organ => {
                for (i, stop) in it.stops.iter_mut().enumerate() {
                    let drawn = s.chance([0.35, 1.0, 0.2, 0.8, 0.45, 0.6, 0.25, 0.35, 0.45][i]);
                    let level = s.range(0.25, 1.0);
                    *stop = if drawn { level } else { 0.0 };
                }
                it.cutoff = s.log_range(4_000.0, 9_000.0);
                it.rolloff = s.range(1.0, 2.5);
                it.attack = s.log_range(0.006, 0.035);
                it.release = s.range(0.03, 0.1);
                (it.copies, it.detune) =
                    if s.chance(0.3) { (1, s.range(2.0, 7.0)) } else { (0, 0.0) };
                if s.chance(0.4) {
                    it.vibrato = vibrato(s, [5.5, 7.2], [3.0, 12.0], [0.08, 0.25]);
                    it.vibrato.onset = 0.0;
                }
                it.breath.q = 0.6;
                it.breath.level = s.log_range(0.003, 0.02);
                it.breath.burst = s.range(0.02, 0.25);
                it.breath.burst_time = s.range(0.003, 0.01);
            }
            Family::Bell => {
                it.cutoff = s.log_range(3_000.0, 9_000.0);
                it.inharmonicity = s.range(0.002, 0.02);
                it.ring = s.log_range(3.0, 9.0);
                it.damping = s.log_range(1_200.0, 5_000.0);
                it.attack = s.range(1.5e-3, 5e-3);
                it.release = s.range(0.4, 1.2);
                (it.copies, it.detune) = (1, s.range(0.5, 5.0));
                it.breath.q = 0.7;
                it.breath.burst = s.range(0.05, 0.4);
                it.breath.burst_time = s.range(0.003, 0.012);
                it.gain = 1.6;
            }
            Family::Mallet => {
                it.cutoff = s.log_range(2_000.0, 8_000.0);
                it.rolloff = s.range(0.4, 1.4);
                it.inharmonicity = s.range(0.002, 0.03);
                it.ring = s.log_range(0.35, 1.4);
                it.damping = s.log_range(700.0, 3_500.0);
                it.attack = s.range(1.5e-3, 5e-3);
                it.release = s.range(0.08, 0.3);
                it.breath.q = 0.8;
                it.breath.burst = s.range(0.15, 0.8);
                it.breath.burst_time = s.range(0.004, 0.015);
                it.gain = 2.0;
            }
            Family::Voice => {
                it.rolloff = s.range(0.7, 1.3);
                it.cutoff = s.log_range(3_000.0, 6_000.0);
                it.formants = s.range(0.92, 1.28);
                it.vowels = [s.below(VOWELS.len()), s.below(VOWELS.len())];
                it.attack = s.log_range(0.04, 0.13);
                it.release = s.range(0.05, 0.12);
                (it.copies, it.detune) =
                    if s.chance(0.3) { (1, s.range(5.0, 14.0)) } else { (0, 0.0) };
                it.vibrato = vibrato(s, [4.8, 6.6], [8.0, 48.0], [0.0, 0.08]);
                it.breath.q = 0.5;
                it.breath.level = s.log_range(0.01, 0.09);
                it.breath.burst = s.range(0.0, 0.15);
                it.breath.burst_time = s.range(0.02, 0.06);
            }
        }
        it
    }

    /// The tone of a note, with random phases and small deviations.
    pub(super) fn tone(&self, note: &Note, mut s: Stream) -> Tone {
        let detuned = s.range(-4.0, 4.0) / 100.0;
        let frequency = midi_to_hz(note.pitch + detuned);
        // Louder notes are brighter.
        let cutoff = self.cutoff * pow(note.velocity, 0.6) * s.range(0.9, 1.1);
        let mut partials = self.partials(frequency, cutoff, &mut s);
        let power: f64 = partials.iter().map(|p| 0.5 * p.level.max(p.later).powi(2)).sum();
        let norm = 1.0 / power.sqrt().max(1e-9);
        for partial in &mut partials {
            partial.level *= norm;
            partial.later *= norm;
        }

        let mut vibrato = self.vibrato;
        vibrato.phase = s.unit();
        vibrato.cents *= s.range(0.7, 1.2);
        vibrato.rate *= s.range(0.95, 1.05);
        let mut breath = self.breath;
        breath.centre = match self.family {
            Family::Flute => frequency * s.range(1.0, 2.5),
            Family::Bowed | Family::Reed => s.range(1_200.0, 2_600.0),
            Family::Voice => s.range(1_500.0, 3_500.0),
            _ => (frequency * s.range(2.0, 5.0)).clamp(400.0, 5_000.0),
        };
        let attack = self.attack * s.range(0.8, 1.25) * (1.3 - 0.4 * note.velocity);
        Tone {
            frequency,
            partials,
            glide: 0.8 * note.duration,
            envelope: Envelope {
                // A short note must be audible before it ends.
                attack: attack.min(0.6 * note.duration),
                decay: s.range(0.1, 0.4),
                sustain: if self.ring.is_finite() { 1.0 } else { s.range(0.6, 1.0) },
                hold: note.duration,
                release: self.release,
            },
            vibrato,
            breath,
            gain: self.gain * pow(note.velocity, 1.5),
            noise: s,
        }
    }

    /// Frequency ratio, initial level and final level of partial `i` (from 0); `None` if it does not exist.
    fn rule(&self, i: usize, frequency: f64) -> Option<(f64, f64, f64)> {
        let k = (i + 1) as f64;
        let steady = |ratio, level| (ratio, level, level);
        Some(match self.family {
            Family::Plucked => {
                let stiff = (1.0 + self.inharmonicity * k * k).sqrt();
                steady(k * stiff, sin_turns(0.5 * k * self.shape).abs() * pow(k, -self.rolloff))
            }
            Family::Bowed | Family::Flute => steady(k, pow(k, -self.rolloff)),
            Family::Reed => {
                let even = if i % 2 == 1 { self.shape } else { 1.0 };
                steady(k, even * pow(k, -self.rolloff))
            }
            Family::Organ => {
                // Every stop has three harmonics.
                let stop = STOPS[i % STOPS.len()];
                let harmonic = (i / STOPS.len() + 1) as f64;
                if harmonic > 3.0 {
                    return None;
                }
                let level = self.stops[i % STOPS.len()] * pow(harmonic, -self.rolloff - 1.0);
                steady(stop * harmonic, level)
            }
            Family::Bell => {
                let (ratio, level) = *BELL.get(i)?;
                let deviation = 1.0 + self.inharmonicity * sin_turns(0.37 * k + self.ring);
                steady(ratio * deviation, level)
            }
            Family::Mallet => {
                // A bar with free ends, whose second partial is tuned to two octaves.
                let ratio = *[1.0, 3.98, 9.6, 16.8].get(i)?;
                let deviation = 1.0 + self.inharmonicity * sin_turns(0.29 * k + self.ring);
                let ratio = if i == 0 { 1.0 } else { ratio * deviation };
                steady(ratio, pow(k, -2.0 * self.rolloff))
            }
            Family::Voice => {
                let source = pow(k, -self.rolloff);
                let vowel = |v: usize| source * self.formant_gain(v, k * frequency);
                (k, vowel(self.vowels[0]), vowel(self.vowels[1]))
            }
        })
    }

    fn formant_gain(&self, vowel: usize, frequency: f64) -> f64 {
        let (centres, levels) = VOWELS[vowel];
        let mut gain = 4e-3;
        for (centre, level) in centres.iter().zip(levels) {
            let centre = centre * self.formants;
            let off = (frequency - centre) / (45.0 + 0.055 * centre);
            gain += from_db(level) / (1.0 + off * off);
        }
        gain
    }

    fn partials(&self, frequency: f64, cutoff: f64, s: &mut Stream) -> Vec<Partial> {
        let mut partials = Vec::with_capacity(MOST_PARTIALS);
        // High strings and bars decay faster than low ones.
        let ring = self.ring * (220.0 / frequency).sqrt().clamp(0.4, 1.8);
        for i in 0..MOST_PARTIALS {
            let Some((ratio, level, later)) = self.rule(i, frequency) else { break };
            let hertz = ratio * frequency;
            if hertz > HIGHEST_PARTIAL {
                // The ratios of an organ's partials are not ascending.
                if self.family == Family::Organ {
                    continue;
                }
                break;
            }
            let above = hertz / cutoff;
            let mut gain = self.uneven[i] / (1.0 + above * above * above);
            for (centre, boost, width) in &self.body {
                let off = (hertz - centre) / width;
                gain *= 1.0 + boost / (1.0 + off * off);
            }
            let decay = if ring.is_finite() {
                6.907_755 / ring * (1.0 + pow(hertz / self.damping, 1.2)) * s.range(0.8, 1.25)
            } else {
                0.0
            };
            // The upper partials of bowed and blown instruments begin later.
            let swell = match self.family {
                Family::Bowed | Family::Voice => 0.4 * self.attack * (hertz / 2_000.0).min(2.0),
                Family::Flute | Family::Reed => 0.3 * self.attack * (hertz / 1_500.0).min(2.0),
                _ => 0.0,
            };
            // Players vary the timbre: levels of partials change independently.
            let later = match self.family {
                Family::Bowed | Family::Flute | Family::Reed => later * from_db(s.range(-5.0, 5.0)),
                Family::Voice => later * from_db(s.range(-2.0, 2.0)),
                _ => later,
            };
            let share = 1.0 / ((1 + self.copies) as f64).sqrt();
            for copy in 0..=self.copies {
                let side = if copy == 0 { -0.5 } else { 0.5 };
                let cents = if self.copies == 0 { 0.0 } else { side * self.detune };
                partials.push(Partial {
                    ratio: ratio * (1.0 + cents * 5.777_9e-4),
                    level: level * gain * share,
                    later: later * gain * share,
                    decay: decay * if copy == 0 { 1.0 } else { 1.3 },
                    swell,
                    phase: s.unit(),
                });
            }
        }
        // Partials 66 dB below the strongest are inaudible.
        let most = partials.iter().map(|p| p.level.max(p.later)).fold(0.0, f64::max);
        partials.retain(|p| p.level.max(p.later) > 5e-4 * most);
        partials
    }
}

/// A random vibrato within ranges of rate in hertz, depth in cents and tremolo.
fn vibrato(s: &mut Stream, rate: [f64; 2], cents: [f64; 2], tremolo: [f64; 2]) -> Vibrato {
    Vibrato {
        rate: s.range(rate[0], rate[1]),
        cents: s.range(cents[0], cents[1]),
        tremolo: s.range(tremolo[0], tremolo[1]),
        onset: s.range(0.05, 0.5),
        phase: 0.0,
    }
}
