//! Synthetic music: the dataset that needs no download.
//!
//! Pieces of a few seconds with eight families of instruments and a drum kit: chord progressions, melodies,
//! arpeggios and bass lines at a tempo, in a room, through a channel, with a noise floor. It suits first runs, tests
//! and questions that need certainly correct tags, but not claims about recorded music.
//!
//! Guarantees:
//! - A piece depends only on the seed, its index and its length, not on the number of pieces, threads or order.
//! - A piece has the same bits at every call and on every machine with IEEE 754 floats of 32 and 64 bits, because
//!   the elementary functions use only exactly rounded operations. They change only with [`GENERATOR_VERSION`].
//! - At two sample rates a piece is the same music: the same notes, phases and levels. Partials above the Nyquist
//!   frequency are omitted; noise has the same power per band, not the same samples.
//! - Tags are derived from what sounds. Timbre, level (over 20 dB), room, noise floor, spectral tilt, tuning,
//!   timing, and the start phase of every partial of every note are random, and a piece begins anywhere in a bar,
//!   so that neither phase nor sample position reveals a tag.
//! - Tags are unbalanced (from about 4 % to about 60 % of the pieces) and stratified over the splits.

use std::fmt;

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
mod stratify;
mod tags;
#[cfg(test)]
mod tests;
mod tone;

use score::Score;

/// The version of the generator. It increases with every change of a piece's samples or tags. It is part of
/// [`Piece::identity`], the key of rendered audio in caches.
pub const GENERATOR_VERSION: u32 = 1;

/// Bounds of the settings.
const MOST_TRACKS: usize = 1_000_000;
const SECONDS: std::ops::RangeInclusive<f64> = 2.0..=600.0;

/// `[dataset] name = "synthetic"`: synthetic music.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SyntheticConfig {
    /// Number of pieces, from 1 to 1 000 000. Default: 600.
    pub tracks: usize,
    /// Length of a piece in seconds, from 2 to 600. Default: 8.
    pub seconds: f64,
    /// Seed of the music, independent of the seed of training. Default: 1.
    pub seed: u64,
    /// Share of the pieces in the validation split, from 0 to below 1. Default: 0.1.
    pub valid_share: f64,
    /// Share of the pieces in the test split, from 0 to below 1; the training split is the rest. Default: 0.1.
    pub test_share: f64,
}

impl Default for SyntheticConfig {
    fn default() -> Self {
        Self { tracks: 600, seconds: 8.0, seed: 1, valid_share: 0.1, test_share: 0.1 }
    }
}

impl SyntheticConfig {
    /// Composes the pieces and derives their tags; no audio is rendered.
    ///
    /// # Errors
    /// If a setting is out of bounds.
    pub fn load(&self) -> Result<Collection, DatasetError> {
        self.check()?;
        let pieces: Vec<Piece> = (0..self.tracks as u64)
            .map(|index| Piece { seed: self.seed, index, seconds: self.seconds })
            .collect();
        let vocabulary = tags::vocabulary();
        let tags: Vec<Vec<usize>> = pieces.iter().map(|piece| tags::of(&piece.score())).collect();
        let (valid, test) = (self.valid_share, self.test_share);
        let splits = stratify::assign(self.seed, &tags, vocabulary.len(), valid, test);

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
        let invalid = |key: &str, value: &dyn ToString, remedy: &str| {
            Err(DatasetError::config("synthetic", key, value.to_string(), remedy))
        };
        if !(1..=MOST_TRACKS).contains(&self.tracks) {
            return invalid("tracks", &self.tracks, "set it to a number from 1 to 1000000");
        }
        if !SECONDS.contains(&self.seconds) {
            return invalid("seconds", &self.seconds, "set it to a length from 2 to 600 seconds");
        }
        for (key, share) in [("valid_share", self.valid_share), ("test_share", self.test_share)] {
            if !(0.0..1.0).contains(&share) {
                return invalid(key, &share, "set it to a share from 0 to below 1");
            }
        }
        let both = self.valid_share + self.test_share;
        if both >= 1.0 {
            let remedy = "keep the sum below 1, so that tracks remain for training";
            return invalid("valid_share + test_share", &both, remedy);
        }
        Ok(())
    }
}

/// A piece of music, rendered on demand.
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

    /// The mono samples: finite, within `[-1, 1]`, `[seconds * sample_rate]` (rounded), the same bits at every call.
    pub fn render(&self, sample_rate: u32) -> Vec<f32> {
        let length = (self.seconds * f64::from(sample_rate)).round() as usize;
        render::render(&self.score(), self.seed, self.index, length, sample_rate)
    }

    /// A cache key of the samples apart from the sample rate; it contains the generator's version.
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
