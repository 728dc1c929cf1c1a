//! The notes of each role: melodies, chords, arpeggios and bass lines.

use super::notes::{Grid, Mode, Note, Register, Role};
use crate::random::Stream;

/// The style of a part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub role: Role,
    pub register: Register,
    pub staccato: bool,
    /// The part plays alone, so it has few rests.
    pub soloist: bool,
}

/// Onset in the bar and length, both in beats.
type Beats = (f64, f64);

/// The notes of a part, ordered by onset.
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

/// Places notes on the grid.
struct Writer<'a> {
    grid: &'a Grid,
    /// Duration of a note as a share of its length on the grid.
    legato: f64,
    /// Largest deviation from the grid in seconds.
    timing: f64,
    notes: Vec<Note>,
}

impl Writer<'_> {
    fn write(&mut self, bar: usize, beats: Beats, pitches: &[f64], stream: &mut Stream) {
        let (beat, length) = beats;
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

    /// A random walk on the scale with chord tones on stressed notes; one or two bars of rhythm are repeated.
    fn melody(&mut self, centre: f64, style: Style, stream: &mut Stream) {
        let rhythms = [self.rhythm(style, stream), self.rhythm(style, stream)];
        let rest = if style.soloist { 0.03 } else { 0.12 };
        let tonic = self.grid.tonic;
        let steps = self.grid.mode.scale().len() as f64;
        // The degree with the pitch nearest to the centre.
        let home = ((centre - tonic) / 12.0 * steps).round() as i32;
        let mut degree = home;
        for bar in 0..self.grid.bars {
            let chord = self.grid.chord(bar);
            let rhythm = &rhythms[usize::from(bar % 2 == 1 && stream.chance(0.6))];
            for beats in rhythm {
                let step = [-3, -2, -1, 0, 1, 2, 3]
                    [stream.weighted(&[0.06, 0.14, 0.27, 0.08, 0.27, 0.12, 0.06])];
                degree += step;
                // The walk stays within 0.8 octaves around home.
                let reach = (steps * 0.8) as i32;
                if (degree - home).abs() > reach {
                    degree = home + (degree - home).signum() * (reach - 1);
                }
                let stressed = beats.0 == 0.0 || beats.1 >= 1.0;
                if stressed {
                    degree = self.nearest_chord_tone(degree, &chord);
                }
                if !stressed && stream.chance(rest) {
                    continue;
                }
                let pitch = tonic + self.grid.semitones(degree);
                self.write(bar, *beats, &[pitch], stream);
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

    /// The rhythm of a bar.
    fn rhythm(&self, style: Style, stream: &mut Stream) -> Vec<Beats> {
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
        let (mut rhythm, mut beat) = (Vec::new(), 0.0);
        while beat < total {
            // Sixteenths come in pairs, at slow tempos only.
            let length = lengths[stream.weighted(&weights)].min(total - beat);
            if length == 0.25 && self.grid.beat > 0.45 {
                rhythm.extend([(beat, 0.25), (beat + 0.25, 0.25)]);
                beat += 0.5;
            } else {
                let length = length.max(0.5);
                rhythm.push((beat, length));
                beat += length;
            }
        }
        rhythm
    }

    fn chords(&mut self, centre: f64, style: Style, stream: &mut Stream) {
        let total = self.grid.beats_per_bar as f64;
        let quarters: Vec<Beats> = (0..self.grid.beats_per_bar).map(|i| (i as f64, 1.0)).collect();
        let offbeats: Vec<Beats> =
            (0..self.grid.beats_per_bar).map(|i| (i as f64 + 0.5, 0.5)).collect();
        let eighths: Vec<Beats> =
            (0..2 * self.grid.beats_per_bar).map(|i| (i as f64 * 0.5, 0.5)).collect();
        let weights =
            if style.staccato { [0.0, 0.15, 0.5, 0.25, 0.1] } else { [0.32, 0.26, 0.2, 0.1, 0.12] };
        let rhythm = match stream.weighted(&weights) {
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
            for beats in &rhythm {
                self.write(bar, *beats, &pitches, stream);
            }
        }
    }

    fn arpeggio(&mut self, centre: f64, stream: &mut Stream) {
        // Sixteenths or triplets at slow tempos, else eighths.
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
                let tone = order[turn % order.len()];
                turn += 1;
                let pitch = if tone == 3 { pitches[0] + 12.0 } else { pitches[tone] };
                self.write(bar, (i as f64 * length, length), &[pitch], stream);
            }
        }
    }

    fn bass(&mut self, style: Style, stream: &mut Stream) {
        let beats = self.grid.beats_per_bar;
        let total = beats as f64;
        let weights = if style.staccato { [0.0, 0.4, 0.35, 0.25] } else { [0.28, 0.3, 0.24, 0.18] };
        let kind = stream.weighted(&weights);
        // Roots lie between 37 and 73 Hz.
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
                // A walking bass towards the next bar's root.
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

/// `pitch` in the octave nearest to `centre`.
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
