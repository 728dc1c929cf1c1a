//! The vocabulary, and the tags of a score.
//!
//! Every tag is derived from the notes, drum hits and settings that are rendered, so that it is correct by
//! construction.

use super::drums::Pattern;
use super::instruments::Family;
use super::notes::{Mode, Role};
use super::score::{Score, Space};

/// Music below this many beats per minute is slow, above [`FAST`] it is fast. No tempo is near these bounds.
const SLOW: f64 = 88.0;
const FAST: f64 = 141.0;
/// Bounds of the mean MIDI pitch without the bass for a low and a high register.
const LOW: f64 = 56.0;
const HIGH: f64 = 74.0;
/// Bounds of the onsets per second over all parts for a low and a high density.
const SPARSE: f64 = 2.2;
const DENSE: f64 = 9.5;

/// A tag and its condition.
type Rule = (&'static str, fn(&Score) -> bool);

/// The vocabulary, in the order of the outputs.
const RULES: [Rule; 31] = [
    ("instrument---plucked", |score| plays(score, Family::Plucked)),
    ("instrument---bowed", |score| plays(score, Family::Bowed)),
    ("instrument---flute", |score| plays(score, Family::Flute)),
    ("instrument---reed", |score| plays(score, Family::Reed)),
    ("instrument---organ", |score| plays(score, Family::Organ)),
    ("instrument---bell", |score| plays(score, Family::Bell)),
    ("instrument---mallet", |score| plays(score, Family::Mallet)),
    ("instrument---voice", |score| plays(score, Family::Voice)),
    ("texture---melody", |score| has(score, Role::Melody)),
    ("texture---chords", |score| has(score, Role::Chords)),
    ("texture---arpeggio", |score| has(score, Role::Arpeggio)),
    ("texture---bass", |score| has(score, Role::Bass)),
    ("drums---yes", |score| score.drums.is_some()),
    ("drums---backbeat", |score| beats(score, Pattern::Backbeat)),
    ("drums---four-on-the-floor", |score| beats(score, Pattern::FourOnTheFloor)),
    ("drums---shaker", |score| beats(score, Pattern::Shaker)),
    ("tempo---slow", |score| score.tempo < SLOW),
    ("tempo---fast", |score| score.tempo > FAST),
    ("metre---triple", |score| score.beats_per_bar == 3),
    ("mode---major", |score| pitched(score) && score.mode == Mode::Major),
    ("mode---minor", |score| pitched(score) && score.mode == Mode::Minor),
    ("mode---open", |score| pitched(score) && score.mode == Mode::Open),
    ("register---low", |score| score.mean_pitch().is_some_and(|pitch| pitch < LOW)),
    ("register---high", |score| score.mean_pitch().is_some_and(|pitch| pitch > HIGH)),
    ("density---solo", |score| score.parts.len() + usize::from(score.drums.is_some()) == 1),
    ("density---sparse", |score| score.onset_rate() < SPARSE),
    ("density---dense", |score| score.onset_rate() > DENSE),
    ("articulation---staccato", |score| pitched(score) && score.staccato),
    ("space---dry", |score| score.recording.space == Space::Dry),
    ("space---hall", |score| score.recording.space == Space::Hall),
    ("quality---noisy", |score| score.recording.noisy),
];

fn plays(score: &Score, family: Family) -> bool {
    score.parts.iter().any(|part| part.family == family)
}

fn has(score: &Score, role: Role) -> bool {
    score.parts.iter().any(|part| part.role == role)
}

fn beats(score: &Score, pattern: Pattern) -> bool {
    score.drums.as_ref().is_some_and(|drums| drums.pattern == pattern)
}

fn pitched(score: &Score) -> bool {
    !score.parts.is_empty()
}

/// The tags' names, `kind---name`.
pub(super) fn vocabulary() -> Vec<String> {
    RULES.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// The indices of the tags of `score`, ascending.
pub(super) fn of(score: &Score) -> Vec<usize> {
    (0..RULES.len()).filter(|i| RULES[*i].1(score)).collect()
}
