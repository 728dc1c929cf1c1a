//! The score of a piece: tempo, key, ensemble, notes, drum hits and room.
//!
//! A score depends on the seed, the index of the piece and its length, but not on the sample rate. It begins
//! [`PREROLL`] seconds before the piece, at a random position in a bar, so that the start of the samples reveals
//! nothing.

use super::drums::{self, Hit, Pattern};
use super::instruments::Family;
use super::melody;
use super::notes::{Grid, Mode, Note, Register, Role};
use super::room::Room;
use crate::random::{Purpose, Stream};

/// Seconds that are rendered before the piece and cut off.
pub(super) const PREROLL: f64 = 1.5;
/// A part that sounds for less than this share of the piece is removed.
const LEAST_PRESENCE: f64 = 0.08;

/// An instrument and its notes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub role: Role,
    pub family: Family,
    /// Distinguishes the part's random numbers from those of other parts.
    pub number: u32,
    /// Level relative to the other parts.
    pub level_db: f64,
    pub notes: Vec<Note>,
}

/// The drum kit and its hits.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drums {
    pub pattern: Pattern,
    pub level_db: f64,
    pub hits: Vec<Hit>,
}

/// The amount of reverberation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Dry,
    Room,
    Hall,
}

/// The recording, apart from the music.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Recording {
    pub space: Space,
    pub room: Room,
    /// Level of the music above the noise floor.
    pub signal_to_noise_db: f64,
    pub noisy: bool,
    /// Corner of the noise floor's low-pass, in hertz.
    pub noise_corner: f64,
    /// Gain above [`Recording::tilt_corner`] Hz.
    pub tilt_db: f64,
    pub tilt_corner: f64,
    /// Root mean square in dB relative to full scale, lower if peaks require it.
    pub level_db: f64,
    /// -1 or 1.
    pub polarity: f64,
}

/// Everything that sounds in a piece.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Score {
    /// In seconds, without the [`PREROLL`].
    pub seconds: f64,
    /// Beats per minute.
    pub tempo: f64,
    pub beats_per_bar: usize,
    pub mode: Mode,
    pub register: Register,
    pub staccato: bool,
    pub parts: Vec<Part>,
    pub drums: Option<Drums>,
    pub recording: Recording,
}

impl Score {
    pub(super) fn new(seed: u64, index: u64, seconds: f64) -> Self {
        let mut plan = Stream::new(seed, index, Purpose::Plan, 0);
        let tempo = match plan.weighted(&[0.2, 0.62, 0.18]) {
            0 => plan.range(60.0, 84.0),
            1 => plan.range(92.0, 136.0),
            _ => plan.range(146.0, 180.0),
        };
        let beats_per_bar = if plan.chance(0.13) { 3 } else { 4 };
        let mode = [Mode::Major, Mode::Minor, Mode::Open][plan.weighted(&[0.46, 0.37, 0.17])];
        let register =
            [Register::Low, Register::Middle, Register::High][plan.weighted(&[0.19, 0.6, 0.21])];
        let staccato = plan.chance(0.17);

        let beat = 60.0 / tempo;
        let bar = beat * beats_per_bar as f64;
        let origin = -PREROLL - plan.unit() * bar;
        let bars = ((seconds - origin) / bar).ceil() as usize;
        let progression = plan.pick(mode.progressions());
        let from = plan.below(progression.len());
        let chords =
            (0..progression.len()).map(|i| progression[(from + i) % progression.len()]).collect();
        let tonic = 60.0 + plan.range(-6.0, 6.0).round() + plan.range(-0.2, 0.2);
        let grid = Grid { origin, beat, beats_per_bar, bars, chords, mode, tonic };

        let (roles, with_drums) = ensemble(&mut plan);
        let soloist = roles.len() + usize::from(with_drums) == 1;
        let parts = roles
            .iter()
            .enumerate()
            .map(|(number, role)| {
                let family = Family::draw(&mut plan, *role == Role::Bass);
                let level_db = plan.range(-11.0, 0.0);
                let number = number as u32;
                let mut stream = Stream::new(seed, index, Purpose::Notes, number);
                let style = melody::Style { role: *role, register, staccato, soloist };
                let mut notes = melody::notes(&grid, style, &mut stream);
                notes.retain_mut(|note| trim(note, seconds));
                Part { role: *role, family, number, level_db, notes }
            })
            .collect();
        let drums = with_drums.then(|| {
            let level_db = plan.range(-16.0, 1.0);
            let mut stream = Stream::new(seed, index, Purpose::Drums, 0);
            let (pattern, hits) = drums::pattern(&grid, &mut stream);
            Drums { pattern, level_db, hits }
        });
        let recording = Recording::draw(&mut plan);
        let mut score = Self {
            seconds,
            tempo,
            beats_per_bar,
            mode,
            register,
            staccato,
            parts,
            drums,
            recording,
        };
        score.drop_absent();
        score
    }

    /// Removes parts that hardly sound, so that tags describe only what is audible. At least one part remains.
    fn drop_absent(&mut self) {
        let seconds = self.seconds;
        let present = |part: &Part| presence(&part.notes, seconds);
        let most = self.parts.iter().map(present).fold(0.0, f64::max);
        self.parts.retain(|part| present(part) >= most.min(LEAST_PRESENCE * seconds));
        if !self.parts.is_empty() {
            let heard = |drums: &Drums| drums.hits.iter().any(|hit| sounds(hit.time, seconds));
            self.drums = self.drums.take().filter(heard);
        }
    }

    /// Onsets per second; a chord counts once.
    pub(super) fn onset_rate(&self) -> f64 {
        let onsets = |times: &mut dyn Iterator<Item = f64>| {
            let mut times: Vec<f64> = times.filter(|time| sounds(*time, self.seconds)).collect();
            times.sort_by(f64::total_cmp);
            // The notes of a chord begin within this time.
            times.dedup_by(|later, earlier| *later - *earlier < 0.04);
            times.len()
        };
        let mut count = 0;
        for part in &self.parts {
            count += onsets(&mut part.notes.iter().map(|note| note.start));
        }
        if let Some(drums) = &self.drums {
            count += onsets(&mut drums.hits.iter().map(|hit| hit.time));
        }
        count as f64 / self.seconds
    }

    /// Mean MIDI pitch of the notes without the bass, weighted by their length.
    pub(super) fn mean_pitch(&self) -> Option<f64> {
        let (mut sum, mut weight) = (0.0, 0.0);
        for part in self.parts.iter().filter(|part| part.role != Role::Bass) {
            for note in &part.notes {
                let length = overlap(note, self.seconds);
                sum += note.pitch * length;
                weight += length;
            }
        }
        (weight > 0.0).then_some(sum / weight)
    }
}

/// Cuts off the part of a note before the preroll; false if nothing of the note remains in the piece.
fn trim(note: &mut Note, seconds: f64) -> bool {
    let end = note.start + note.duration;
    note.start = note.start.max(-PREROLL);
    note.duration = end - note.start;
    note.start < seconds && note.duration >= 0.05
}

fn sounds(onset: f64, seconds: f64) -> bool {
    (0.0..seconds).contains(&onset)
}

/// Seconds of `note` within the piece.
fn overlap(note: &Note, seconds: f64) -> f64 {
    ((note.start + note.duration).min(seconds) - note.start.max(0.0)).max(0.0)
}

/// Seconds of the piece in which at least one of `notes` sounds.
pub(super) fn presence(notes: &[Note], seconds: f64) -> f64 {
    let (mut total, mut until) = (0.0, 0.0f64);
    for note in notes {
        let (start, end) = (note.start.max(until), (note.start + note.duration).min(seconds));
        if end > start {
            total += end - start;
            until = end;
        }
    }
    total
}

/// The roles of the pitched parts, and whether the drum kit plays.
fn ensemble(plan: &mut Stream) -> (Vec<Role>, bool) {
    match plan.weighted(&[0.2, 0.03, 0.77]) {
        0 => {
            let role =
                [Role::Melody, Role::Chords, Role::Arpeggio][plan.weighted(&[0.4, 0.35, 0.25])];
            return (vec![role], false);
        }
        1 => return (Vec::new(), true),
        _ => {}
    }
    let mut roles = Vec::new();
    for (role, p) in
        [(Role::Melody, 0.56), (Role::Chords, 0.54), (Role::Arpeggio, 0.32), (Role::Bass, 0.5)]
    {
        if plan.chance(p) {
            roles.push(role);
        }
    }
    let drums = plan.chance(0.47);
    // At least two parts, one of them with a register.
    if roles.is_empty() || roles == [Role::Bass] {
        roles.insert(0, if plan.chance(0.5) { Role::Melody } else { Role::Chords });
    }
    if roles.len() + usize::from(drums) < 2 {
        roles.push(if roles[0] == Role::Melody { Role::Chords } else { Role::Bass });
    }
    (roles, drums)
}

impl Recording {
    fn draw(plan: &mut Stream) -> Self {
        let space = [Space::Dry, Space::Room, Space::Hall][plan.weighted(&[0.32, 0.43, 0.25])];
        let (t60, wet, size) = match space {
            Space::Dry => (plan.range(0.1, 0.25), plan.range(0.0, 0.06), 0.008),
            Space::Room => (plan.range(0.35, 0.9), plan.range(0.2, 0.45), 0.015),
            Space::Hall => (plan.range(1.8, 3.6), plan.range(0.5, 0.9), 0.03),
        };
        let noisy = plan.chance(0.11);
        let room = Room {
            t60,
            wet,
            damping: plan.log_range(2_000.0, 7_000.0),
            size: size * plan.range(0.8, 1.3),
        };
        Self {
            space,
            room,
            signal_to_noise_db: if noisy { plan.range(5.0, 14.0) } else { plan.range(28.0, 65.0) },
            noisy,
            noise_corner: plan.log_range(500.0, 7_000.0),
            tilt_db: plan.range(-7.0, 5.0),
            tilt_corner: plan.log_range(600.0, 3_000.0),
            level_db: plan.range(-36.0, -16.0),
            polarity: if plan.chance(0.5) { 1.0 } else { -1.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(start: f64, duration: f64) -> Note {
        Note { start, duration, pitch: 60.0, velocity: 1.0 }
    }

    #[test]
    fn presence_is_the_time_with_sound_in_the_piece() {
        let notes = [note(-1.0, 1.5), note(-1.0, 1.5), note(0.25, 0.5), note(3.5, 2.0)];
        assert_eq!(presence(&notes, 4.0), 0.5 + 0.25 + 0.5);
        assert_eq!(presence(&[note(-2.0, 1.0), note(4.0, 1.0)], 4.0), 0.0);
    }

    #[test]
    fn chords_have_the_third_of_the_mode() {
        let grid = |mode| Grid {
            origin: 0.0,
            beat: 0.5,
            beats_per_bar: 4,
            bars: 4,
            chords: vec![0, 3],
            mode,
            tonic: 60.0,
        };
        assert_eq!(grid(Mode::Major).chord(0), [0.0, 4.0, 7.0]);
        assert_eq!(grid(Mode::Major).chord(1), [5.0, 9.0, 12.0]);
        assert_eq!(grid(Mode::Minor).chord(0), [0.0, 3.0, 7.0]);
        assert_eq!(grid(Mode::Minor).chord(1), [5.0, 8.0, 12.0]);
        assert_eq!(grid(Mode::Open).chord(1), [7.0, 14.0, 19.0]);
        assert_eq!(grid(Mode::Major).semitones(-1), -1.0);
        assert_eq!(grid(Mode::Open).semitones(5), 14.0);
    }

    /// Notes are ordered and in range, and their mean pitch fits the register.
    #[test]
    fn scores_are_valid() {
        for index in 0..400 {
            let score = Score::new(7, index, 6.0);
            assert!(!score.parts.is_empty() || score.drums.is_some());
            let alone = score.parts.len() == 1;
            for part in &score.parts {
                assert!(presence(&part.notes, 6.0) >= LEAST_PRESENCE * 6.0 || alone);
                assert!(part.notes.windows(2).all(|pair| pair[0].start <= pair[1].start + 0.05));
                for note in &part.notes {
                    assert!(note.duration > 0.0 && note.velocity > 0.0 && note.velocity <= 1.0);
                    assert!((24.0..=106.0).contains(&note.pitch), "{note:?} in {part:?}");
                }
            }
            if let Some(pitch) = score.mean_pitch() {
                let fits = match score.register {
                    Register::Low => pitch < 56.0,
                    Register::Middle => pitch > 55.0 && pitch < 75.0,
                    Register::High => pitch > 74.0,
                };
                assert!(fits, "{:?} with a mean pitch of {pitch}", score.register);
            }
        }
    }
}
