//! What each role plays on the grid: melodies, chords, arpeggios, bass lines.

use super::notes::{Grid, Mode, Note, Register, Role};
use crate::random::Stream;

/// How a part is to play.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub role: Role,
    pub register: Register,
    pub staccato: bool,
    /// It plays alone, and so without long rests.
    pub soloist: bool,
}

/// A place in a bar: onset and length in beats.
type Place = (f64, f64);

/// The notes of a part, by onset.
pub(super) fn notes(grid: &Grid, style: Style, stream: &mut Stream) -> Vec<Note> {
    let mut writer = Writer {
        grid,
        legato: if style.staccato { stream.range(0.22, 0.36) } else { stream.range(0.72, 1.02) },
        timing: stream.range(0.0, 0.008),
        notes: Vec::new(),
    };
    let centre = match style.register {
        Register::Low => stream.range(43.0, 46.0),
        Register::Middle => stream.range(61.5, 67.0),
        Register::High => stream.range(80.0, 85.0),
    };
    match style.role {
        Role::Melody => writer.melody(centre, style, stream),
        Role::Chords => writer.chords(centre, style, stream),
        Role::Arpeggio => writer.arpeggio(centre, stream),
        Role::Bass => writer.bass(style, stream),
    }
    writer.notes
}

/// Puts notes on the grid.
struct Writer<'a> {
    grid: &'a Grid,
    /// Share of its place that a note lasts.
    legato: f64,
    /// Deviation from the grid to each side, in seconds.
    timing: f64,
    notes: Vec<Note>,
}

impl Writer<'_> {
    fn write(&mut self, bar: usize, place: Place, pitches: &[f64], stream: &mut Stream) {
        let (beat, length) = place;
        let stress = if beat == 0.0 {
            0.25
        } else if beat.fract() == 0.0 {
            0.12
        } else {
            0.0
        };
        let start = self.grid.time(bar, beat) + stream.range(-self.timing, self.timing);
        let velocity = stream.range(0.5, 0.72) + stress;
        let duration = (length * self.grid.beat * self.legato).max(0.05);
        for (i, pitch) in pitches.iter().enumerate() {
            let start = start + i as f64 * 0.4 * self.timing;
            self.notes.push(Note { start, duration, pitch: *pitch, velocity });
        }
    }

    /// A walk along the scale that returns to tones of the chord; a rhythm of a bar or two comes
    /// back again and again.
    fn melody(&mut self, centre: f64, style: Style, stream: &mut Stream) {
        let rhythms = [self.rhythm(style, stream), self.rhythm(style, stream)];
        let rest = if style.soloist { 0.03 } else { 0.12 };
        let tonic = self.grid.tonic;
        let steps = self.grid.mode.scale().len() as f64;
        // The degree whose pitch is nearest the centre.
        let home = ((centre - tonic) / 12.0 * steps).round() as i32;
        let mut degree = home;
        for bar in 0..self.grid.bars {
            let chord = self.grid.chord(bar);
            let rhythm = &rhythms[usize::from(bar % 2 == 1 && stream.chance(0.6))];
            for place in rhythm {
                let step = [-3, -2, -1, 0, 1, 2, 3]
                    [stream.weighted(&[0.06, 0.14, 0.27, 0.08, 0.27, 0.12, 0.06])];
                degree += step;
                // Six degrees away at most, and home again sooner or later.
                let reach = (steps * 0.8) as i32;
                if (degree - home).abs() > reach {
                    degree = home + (degree - home).signum() * (reach - 1);
                }
                let stressed = place.0 == 0.0 || place.1 >= 1.0;
                if stressed {
                    degree = self.nearest_chord_tone(degree, &chord);
                }
                if !stressed && stream.chance(rest) {
                    continue;
                }
                let pitch = tonic + self.grid.semitones(degree);
                self.write(bar, *place, &[pitch], stream);
            }
        }
    }

    fn nearest_chord_tone(&self, degree: i32, chord: &[f64; 3]) -> i32 {
        let belongs = |degree: i32| {
            let pitch = self.grid.semitones(degree);
            chord.iter().any(|tone| (pitch - tone).rem_euclid(12.0) == 0.0)
        };
        [0, 1, -1, 2, -2]
            .into_iter()
            .map(|step| degree + step)
            .find(|degree| belongs(*degree))
            .unwrap_or(degree)
    }

    /// A bar's rhythm. Slow music has time for short notes, fast music for long ones.
    fn rhythm(&self, style: Style, stream: &mut Stream) -> Vec<Place> {
        let calm = stream.chance(0.35);
        let (lengths, mut weights): (&[f64], Vec<f64>) = if calm && !style.staccato {
            (&[2.0, 1.0, 1.5, 0.5], vec![0.35, 0.4, 0.15, 0.1])
        } else {
            (&[1.0, 0.5, 1.5, 0.25], vec![0.38, 0.45, 0.1, 0.07])
        };
        if style.staccato {
            weights[2] = 0.0;
        }
        let total = self.grid.beats_per_bar as f64;
        let (mut places, mut beat) = (Vec::new(), 0.0);
        while beat < total {
            // Sixteenths come in pairs and only where there is time for them.
            let length = lengths[stream.weighted(&weights)].min(total - beat);
            if length == 0.25 && self.grid.beat > 0.45 {
                places.extend([(beat, 0.25), (beat + 0.25, 0.25)]);
                beat += 0.5;
            } else {
                let length = length.max(0.5);
                places.push((beat, length));
                beat += length;
            }
        }
        places
    }

    fn chords(&mut self, centre: f64, style: Style, stream: &mut Stream) {
        let total = self.grid.beats_per_bar as f64;
        let quarters: Vec<Place> = (0..self.grid.beats_per_bar).map(|i| (i as f64, 1.0)).collect();
        let offbeats: Vec<Place> =
            (0..self.grid.beats_per_bar).map(|i| (i as f64 + 0.5, 0.5)).collect();
        let eighths: Vec<Place> =
            (0..2 * self.grid.beats_per_bar).map(|i| (i as f64 * 0.5, 0.5)).collect();
        let weights =
            if style.staccato { [0.0, 0.15, 0.5, 0.25, 0.1] } else { [0.32, 0.26, 0.2, 0.1, 0.12] };
        let places = match stream.weighted(&weights) {
            0 => vec![(0.0, total)],
            1 => vec![(0.0, 2.0), (2.0, total - 2.0)],
            2 => quarters,
            3 => offbeats,
            _ => eighths,
        };
        let four = stream.chance(0.3);
        for bar in 0..self.grid.bars {
            let mut pitches: Vec<f64> = Vec::with_capacity(4);
            for tone in self.grid.chord(bar) {
                pitches.push(nearest(self.grid.tonic + tone, centre));
            }
            pitches.sort_by(f64::total_cmp);
            pitches.dedup();
            if four || self.grid.mode == Mode::Open {
                pitches.push(pitches[0] + 12.0);
            }
            for place in &places {
                self.write(bar, *place, &pitches, stream);
            }
        }
    }

    fn arpeggio(&mut self, centre: f64, stream: &mut Stream) {
        // Sixteenths, triplets or eighths: as fast as fingers go.
        let per_beat = if self.grid.beat > 0.55 && stream.chance(0.6) {
            4
        } else if self.grid.beat > 0.4 && stream.chance(0.25) {
            3
        } else {
            2
        };
        let order: &[usize] = stream.pick(&[
            &[0, 1, 2, 3],
            &[3, 2, 1, 0],
            &[0, 1, 2, 3, 2, 1],
            &[0, 2, 1, 2],
            &[0, 2, 3, 1],
        ]);
        let length = 1.0 / per_beat as f64;
        let mut turn = stream.below(order.len());
        for bar in 0..self.grid.bars {
            let mut pitches =
                self.grid.chord(bar).map(|tone| nearest(self.grid.tonic + tone, centre - 2.0));
            pitches.sort_by(f64::total_cmp);
            for i in 0..self.grid.beats_per_bar * per_beat {
                let place = order[turn % order.len()];
                turn += 1;
                let pitch = if place == 3 { pitches[0] + 12.0 } else { pitches[place] };
                self.write(bar, (i as f64 * length, length), &[pitch], stream);
            }
        }
    }

    fn bass(&mut self, style: Style, stream: &mut Stream) {
        let beats = self.grid.beats_per_bar;
        let total = beats as f64;
        let weights = if style.staccato { [0.0, 0.4, 0.35, 0.25] } else { [0.28, 0.3, 0.24, 0.18] };
        let kind = stream.weighted(&weights);
        // Beneath everything: from 37 to 73 Hz, an octave more where the fifth lies above.
        let lowest = stream.range(27.0, 31.0);
        for bar in 0..self.grid.bars {
            let chord = self.grid.chord(bar);
            let up = |tone: f64| {
                let pitch = self.grid.tonic + tone;
                lowest + (pitch - lowest).rem_euclid(12.0)
            };
            let (root, fifth) = (up(chord[0]), up(chord[0]) + 7.0);
            let next = up(self.grid.chord(bar + 1)[0]);
            match kind {
                0 => self.write(bar, (0.0, total), &[root], stream),
                1 => {
                    self.write(bar, (0.0, 2.0), &[root], stream);
                    self.write(bar, (2.0, total - 2.0), &[fifth], stream);
                }
                // A walk towards the next bar's root.
                2 => {
                    for beat in 0..beats {
                        let share = beat as f64 / total;
                        let pitch = match beat {
                            0 => root,
                            1 => nearest_of(&chord, self.grid.tonic, root + (next - root) * share),
                            // The fifth of the next chord leads to its root.
                            _ if beat + 1 == beats => up(self.grid.chord(bar + 1)[2]),
                            _ => fifth,
                        };
                        self.write(bar, (beat as f64, 1.0), &[pitch.max(lowest)], stream);
                    }
                }
                _ => {
                    for eighth in 0..2 * beats {
                        self.write(bar, (eighth as f64 * 0.5, 0.5), &[root], stream);
                    }
                }
            }
        }
    }
}

/// `pitch` in the octave that puts it nearest to `centre`.
fn nearest(pitch: f64, centre: f64) -> f64 {
    pitch + 12.0 * ((centre - pitch) / 12.0).round()
}

/// The tone of `chord` nearest to `pitch`, in any octave.
fn nearest_of(chord: &[f64; 3], tonic: f64, pitch: f64) -> f64 {
    let mut best = nearest(tonic + chord[0], pitch);
    for tone in &chord[1..] {
        let candidate = nearest(tonic + tone, pitch);
        if (candidate - pitch).abs() < (best - pitch).abs() {
            best = candidate;
        }
    }
    best
}
