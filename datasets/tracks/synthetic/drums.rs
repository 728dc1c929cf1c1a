//! The drum kit: its patterns and the sounds of its drums.

use super::filter::Biquad;
use super::notes::Grid;
use crate::math::{exp, sin_cos_turns};
use crate::random::Stream;

/// The rhythm of the kit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Snare on the unstressed beats.
    Backbeat,
    /// Bass drum on every beat.
    FourOnTheFloor,
    /// Shaker and clave, without bass drum and snare.
    Shaker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drum {
    Kick,
    Snare,
    ClosedHat,
    OpenHat,
    Shaker,
    Clave,
}

/// A hit on a drum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hit {
    /// Seconds from the start of the piece; may be negative.
    pub time: f64,
    pub drum: Drum,
    /// From 0 to 1.
    pub velocity: f64,
}

/// Draws a pattern and plays it on the grid. Hits are ordered by time, except for random deviations.
pub(super) fn pattern(grid: &Grid, stream: &mut Stream) -> (Pattern, Vec<Hit>) {
    let beats = grid.beats_per_bar;
    let pattern = if beats == 4 {
        [Pattern::Backbeat, Pattern::FourOnTheFloor, Pattern::Shaker]
            [stream.weighted(&[0.48, 0.3, 0.22])]
    } else {
        [Pattern::Backbeat, Pattern::Shaker][stream.weighted(&[0.7, 0.3])]
    };
    // Hits per bar: beat, drum, velocity and probability.
    let mut events: Vec<(f64, Drum, f64, f64)> = Vec::new();
    let open = stream.chance(0.4);
    let busy = stream.chance(0.5);
    let clave = stream.chance(0.6);
    for beat in 0..beats {
        let at = beat as f64;
        match pattern {
            Pattern::Backbeat => {
                let stressed = if beats == 4 { beat % 2 == 0 } else { beat == 0 };
                events.push((at, if stressed { Drum::Kick } else { Drum::Snare }, 0.9, 1.0));
                events.push((at + 0.5, Drum::Kick, 0.6, if stressed && busy { 0.4 } else { 0.0 }));
                events.push((at, Drum::ClosedHat, 0.6, 0.95));
                events.push((at + 0.5, Drum::ClosedHat, 0.4, if busy { 0.95 } else { 0.1 }));
            }
            Pattern::FourOnTheFloor => {
                events.push((at, Drum::Kick, 0.95, 1.0));
                let hat = if open { Drum::OpenHat } else { Drum::ClosedHat };
                events.push((at + 0.5, hat, 0.6, 1.0));
                events.push((at, Drum::Snare, 0.5, if beat % 2 == 1 && busy { 0.8 } else { 0.0 }));
            }
            Pattern::Shaker => {
                events.push((at, Drum::Shaker, 0.85, 1.0));
                events.push((at + 0.5, Drum::Shaker, 0.5, 1.0));
                if grid.beat > 0.45 && busy {
                    events.push((at + 0.25, Drum::Shaker, 0.35, 0.9));
                    events.push((at + 0.75, Drum::Shaker, 0.35, 0.9));
                }
                let struck = |at: bool| if clave && at { 0.9 } else { 0.0 };
                events.push((at, Drum::Clave, 0.7, struck([0, 3].contains(&(beat % 4)))));
                events.push((at + 0.5, Drum::Clave, 0.7, struck(beat == 1)));
            }
        }
    }
    let mut hits = Vec::new();
    for bar in 0..grid.bars {
        for (beat, drum, velocity, p) in &events {
            if stream.chance(*p) {
                let time = grid.time(bar, *beat) + stream.range(-0.005, 0.005);
                let velocity = velocity * stream.range(0.75, 1.05).min(1.0);
                hits.push(Hit { time, drum: *drum, velocity });
            }
        }
    }
    (pattern, hits)
}

/// The sounds of a kit.
#[derive(Clone, Debug)]
pub(super) struct Kit {
    kick: Skin,
    snare: Skin,
    /// Centre in hertz, decay in seconds and level of the snare's wires.
    wires: (f64, f64, f64),
    /// Lower cutoff in hertz of the hi-hat, and decay in seconds of the closed and the open one.
    hat: (f64, f64, f64),
    /// Centre in hertz, attack and decay in seconds.
    shaker: (f64, f64, f64),
    /// Pitch in hertz and decay in seconds.
    clave: (f64, f64),
}

/// A drum's skin: a sine with falling pitch and amplitude.
#[derive(Clone, Copy, Debug)]
struct Skin {
    /// Pitch in hertz at the hit and in the end.
    from: f64,
    to: f64,
    /// Time constants in seconds of pitch and amplitude.
    fall: f64,
    decay: f64,
    level: f64,
}

impl Kit {
    pub(super) fn draw(stream: &mut Stream) -> Self {
        let deep = stream.log_range(42.0, 68.0);
        let skin = stream.log_range(165.0, 290.0);
        Self {
            kick: Skin {
                from: deep * stream.range(2.2, 5.0),
                to: deep,
                fall: stream.range(0.012, 0.045),
                decay: stream.log_range(0.06, 0.22),
                level: 2.6,
            },
            snare: Skin {
                from: skin * stream.range(1.1, 1.5),
                to: skin,
                fall: 0.02,
                decay: stream.log_range(0.035, 0.1),
                level: stream.range(0.6, 1.3),
            },
            wires: (
                stream.log_range(1_800.0, 4_200.0),
                stream.log_range(0.05, 0.15),
                stream.range(1.0, 1.8),
            ),
            hat: (
                stream.log_range(4_500.0, 6_300.0),
                stream.log_range(0.015, 0.05),
                stream.log_range(0.12, 0.3),
            ),
            shaker: (
                stream.log_range(3_000.0, 5_500.0),
                stream.range(0.012, 0.035),
                stream.range(0.02, 0.045),
            ),
            clave: (stream.log_range(900.0, 2_600.0), stream.log_range(0.015, 0.05)),
        }
    }

    /// Adds a hit with the given gain to `out`, from its first sample on.
    pub(super) fn strike(
        &self,
        hit: &Hit,
        gain: f64,
        out: &mut [f32],
        sample_rate: f64,
        mut stream: Stream,
    ) {
        let gain = gain * hit.velocity * hit.velocity;
        // The sign, phase and tuning of every hit are random.
        let sign = if stream.chance(0.5) { gain } else { -gain };
        let tune = stream.range(0.98, 1.02);
        let mut strike = Stroke { out, sample_rate, stream };
        match hit.drum {
            Drum::Kick => {
                strike.skin(self.kick, tune, sign);
                strike.hiss(Biquad::band_pass(2_500.0, 0.7, sample_rate), 5e-4, 4e-3, 0.35 * gain);
            }
            Drum::Snare => {
                strike.skin(self.snare, tune, sign);
                let over =
                    Skin { from: 1.72 * self.snare.from, to: 1.72 * self.snare.to, ..self.snare };
                strike.skin(over, tune, 0.5 * sign);
                let (centre, decay, level) = self.wires;
                let band = Biquad::band_pass(centre * tune, 0.6, sample_rate);
                strike.hiss(band, 1e-3, decay, level * gain);
            }
            Drum::ClosedHat | Drum::OpenHat => {
                let (edge, closed, open) = self.hat;
                let decay = if hit.drum == Drum::OpenHat { open } else { closed };
                let band = Biquad::high_pass(edge * tune, 1.0, sample_rate);
                strike.hiss(band, 1e-3, decay, 1.1 * gain);
            }
            Drum::Shaker => {
                let (centre, attack, decay) = self.shaker;
                let band = Biquad::band_pass(centre * tune, 1.2, sample_rate);
                strike.hiss(band, attack, decay, 1.6 * gain);
            }
            Drum::Clave => {
                let (pitch, decay) = self.clave;
                let bar = Skin { from: pitch, to: pitch, fall: 1.0, decay, level: 1.6 };
                strike.skin(bar, tune, sign);
                strike.skin(Skin { from: 2.71 * pitch, to: 2.71 * pitch, ..bar }, tune, 0.3 * sign);
            }
        }
    }
}

struct Stroke<'a> {
    out: &'a mut [f32],
    sample_rate: f64,
    stream: Stream,
}

/// Attack of a hit in seconds: short, but without a click.
const RISE: f64 = 1.5e-3;

impl Stroke<'_> {
    fn skin(&mut self, skin: Skin, tune: f64, gain: f64) {
        const BLOCK: usize = 16;
        if skin.from * tune >= 0.49 * self.sample_rate {
            return;
        }
        let (mut sin, mut cos) = sin_cos_turns(self.stream.unit());
        let mut before = 0.0;
        for (i, out) in self.out.chunks_mut(BLOCK).enumerate() {
            let start = (i * BLOCK) as f64 / self.sample_rate;
            let end = ((i + 1) * BLOCK) as f64 / self.sample_rate;
            let pitch = tune * (skin.to + (skin.from - skin.to) * exp(-start / skin.fall));
            let (s, c) = sin_cos_turns(pitch / self.sample_rate);
            let after = gain * skin.level * exp(-end / skin.decay) * (end / RISE).min(1.0);
            let (mut amplitude, step) = (before, (after - before) / BLOCK as f64);
            for out in out {
                (sin, cos) = (sin * c + cos * s, cos * c - sin * s);
                amplitude += step;
                *out += (amplitude * sin) as f32;
            }
            before = after;
            if end > RISE && after.abs() < 1e-4 * gain.abs() {
                break;
            }
        }
    }

    fn hiss(&mut self, mut filter: Biquad, attack: f64, decay: f64, gain: f64) {
        const BLOCK: usize = 16;
        // The power per band does not depend on the sample rate.
        let gain = gain * (self.sample_rate / 16_000.0).sqrt();
        let mut before = 0.0;
        for (i, out) in self.out.chunks_mut(BLOCK).enumerate() {
            let end = ((i + 1) * BLOCK) as f64 / self.sample_rate;
            let after = gain * (end / attack).min(1.0) * exp(-(end - attack).max(0.0) / decay);
            let mut noise = [0.0; BLOCK];
            self.stream.fill_noise(&mut noise);
            let (mut amplitude, step) = (before, (after - before) / BLOCK as f64);
            for (out, noise) in out.iter_mut().zip(&noise) {
                amplitude += step;
                *out += amplitude as f32 * filter.step(*noise);
            }
            before = after;
            if end > attack && after.abs() < 1e-3 * gain.abs() {
                break;
            }
        }
    }
}
