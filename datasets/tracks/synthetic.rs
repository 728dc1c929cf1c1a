//! Music that the program makes itself: the data set that needs no download.
//!
//! Pieces of a few seconds for eight families of instruments and a drum kit, with chord
//! progressions, melodies, arpeggios and bass lines at a tempo, in a room, through a channel, over a
//! noise floor. Good for a first run and for tests, and for questions whose answer needs tags that
//! are certainly true; not for claims about recorded music.
//!
//! What can be relied on:
//! - A piece depends on the seed, its number and its length alone: not on how many pieces there
//!   are, nor on threads or order.
//! - A piece has the same bits at every call and on every machine whose 32- and 64-bit floats are
//!   those of IEEE 754: the elementary functions are the module's own, made of exactly rounded
//!   operations. Across versions they hold as long as [`GENERATOR_VERSION`] does.
//! - At two sample rates a piece is the same music: the same notes, phases and levels. Partials above
//!   a rate's Nyquist frequency are left out; noise has the same power in a band, not the same samples.
//! - Tags are read off what sounds. Timbre, level (over 20 dB), room, noise floor, spectral tilt,
//!   tuning, timing, and the start phase of every partial of every note are random, and a piece
//!   begins anywhere in a bar: no phase and no sample position tells a tag.
//! - Tags are unbalanced (from about 4 % to about 60 % of the pieces), and shared out among the splits.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Audio, Collection, DatasetError, Track};

mod drums;
mod filter;
mod instruments;
mod melody;
mod notes;
mod render;
mod room;
mod score;
mod split;
mod tags;
#[cfg(test)]
mod tests;
mod tone;

use score::Score;

/// Rises with every change of what a piece sounds like or of what is said of it. Caches of rendered
/// audio are keyed by [`Piece::identity`], which holds it.
pub const GENERATOR_VERSION: u32 = 1;

/// The bounds of what may be asked for.
const MOST_TRACKS: usize = 1_000_000;
const SECONDS: std::ops::RangeInclusive<f64> = 2.0..=600.0;

/// How much music, and which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SyntheticConfig {
    /// Pieces, from 1 to 1 000 000.
    pub tracks: usize,
    /// Length of a piece in seconds, from 2 to 600.
    pub seconds: f64,
    /// The seed of the music, apart from that of training.
    pub seed: u64,
    /// Shares of the tracks that are for validation and for testing; the rest is for training.
    pub valid_share: f64,
    /// See `valid_share`.
    pub test_share: f64,
}

impl Default for SyntheticConfig {
    fn default() -> Self {
        Self { tracks: 600, seconds: 8.0, seed: 1, valid_share: 0.1, test_share: 0.1 }
    }
}

impl SyntheticConfig {
    /// Writes the scores and describes them; no audio is made yet.
    ///
    /// # Errors
    /// If a value lies outside its bounds.
    pub fn load(&self) -> Result<Collection, DatasetError> {
        self.check()?;
        let pieces: Vec<Piece> = (0..self.tracks as u64)
            .map(|index| Piece { seed: self.seed, index, seconds: self.seconds })
            .collect();
        let vocabulary = tags::vocabulary();
        let tags: Vec<Vec<usize>> = pieces.iter().map(|piece| tags::of(&piece.score())).collect();
        let (valid, test) = (self.valid_share, self.test_share);
        let splits = split::assign(self.seed, &tags, vocabulary.len(), valid, test);

        let tracks = pieces
            .into_iter()
            .zip(tags)
            .zip(splits)
            .map(|((piece, tags), split)| Track {
                id: piece.to_string(),
                audio: Audio::Synthetic(piece),
                split: Some(split),
                tags,
                artist: None,
            })
            .collect();
        Ok(Collection { name: "synthetic".to_owned(), tags: vocabulary, tracks, notes: Vec::new() })
    }

    fn check(&self) -> Result<(), DatasetError> {
        let invalid = |key: &str, value: String, remedy: &str| {
            Err(DatasetError::InvalidConfig {
                dataset: "synthetic".into(),
                key: key.into(),
                value,
                remedy: remedy.into(),
            })
        };
        if !(1..=MOST_TRACKS).contains(&self.tracks) {
            return invalid("tracks", self.tracks.to_string(), "give a number from 1 to 1000000");
        }
        if !SECONDS.contains(&self.seconds) {
            let remedy = "give a length from 2 to 600 seconds";
            return invalid("seconds", self.seconds.to_string(), remedy);
        }
        for (key, share) in [("valid_share", self.valid_share), ("test_share", self.test_share)] {
            if !(0.0..1.0).contains(&share) {
                return invalid(key, share.to_string(), "give a share from 0 to below 1");
            }
        }
        let both = self.valid_share + self.test_share;
        if both >= 1.0 {
            let remedy =
                "leave tracks for training: valid_share and test_share must stay below 1 together";
            return invalid("valid_share + test_share", both.to_string(), remedy);
        }
        Ok(())
    }
}

/// A piece of music, as what it takes to make it.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    seed: u64,
    index: u64,
    seconds: f64,
}

impl Piece {
    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Makes the samples: mono, finite, within `[-1, 1]`, and `seconds * sample_rate` of them,
    /// rounded. Calls give the same bits.
    pub fn render(&self, sample_rate: u32) -> Vec<f32> {
        let length = (self.seconds * f64::from(sample_rate)).round() as usize;
        render::render(&self.score(), self.seed, self.index, length, sample_rate)
    }

    /// What the samples depend on beside the sample rate, the generator's version included: a key
    /// for a cache.
    pub fn identity(&self) -> String {
        format!("synthetic-v{GENERATOR_VERSION}:{}:{}:{}s", self.seed, self.index, self.seconds)
    }

    fn score(&self) -> Score {
        Score::new(self.seed, self.index, self.seconds)
    }
}

/// `synthetic:<seed>:<index>`.
impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "synthetic:{}:{}", self.seed, self.index)
    }
}
