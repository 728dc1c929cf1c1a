//! What training reads: tracks with their audio (or features of it) at hand and their targets as
//! numbers.

use std::sync::{Arc, OnceLock};

use kernels::pairs;
use kernels::stretches::Stretch;

use crate::audio::{AudioError, CachedAudio};
use crate::batch::{Batch, BegunBatch, BegunInputs, Form};
use crate::error::{Error, Result};
use crate::excerpts::Excerpt;
use crate::kept::Kept;
use crate::rows::Rows;

/// What the part of a model that learns reads of each track.
#[derive(Clone, Debug)]
pub enum Inputs {
    /// Excerpts of audio.
    Audio {
        /// Whole tracks, in the cache.
        tracks: Vec<CachedAudio>,
        /// Length of an excerpt.
        samples: usize,
        /// What stays in memory of them.
        kept: Arc<Kept>,
    },
    /// Features that were computed beforehand.
    Features {
        /// `[excerpt, feature]` of each track.
        tracks: Vec<Vec<f32>>,
        /// Features of an excerpt.
        width: usize,
    },
}

impl Default for Inputs {
    fn default() -> Self {
        Inputs::Audio { tracks: Vec::new(), samples: 1, kept: Arc::default() }
    }
}

/// The tracks of one split.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    /// Of the tracks, in the order of inputs and targets.
    pub ids: Vec<String>,
    /// One entry a track.
    pub inputs: Inputs,
    /// Row-major `[track, output]`.
    pub targets: Vec<f32>,
    /// What the targets of a track are called.
    pub names: Arc<[String]>,
}

impl Examples {
    /// How many tracks there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no track.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Targets of a track.
    pub fn outputs(&self) -> usize {
        self.names.len()
    }

    /// Length of each track: samples, or excerpts where these are features.
    pub fn lengths(&self) -> Vec<usize> {
        match &self.inputs {
            Inputs::Audio { tracks, .. } => tracks.iter().map(CachedAudio::len).collect(),
            Inputs::Features { tracks, width } => {
                tracks.iter().map(|track| track.len() / width).collect()
            }
        }
    }

    /// Length of an excerpt, in the same unit.
    pub fn excerpt_length(&self) -> usize {
        match &self.inputs {
            Inputs::Audio { samples, .. } => *samples,
            Inputs::Features { .. } => 1,
        }
    }

    /// What an excerpt begins at multiples of, in the same unit.
    pub fn grain(&self) -> usize {
        match &self.inputs {
            Inputs::Audio { tracks, .. } => tracks.first().map_or(1, CachedAudio::grain),
            Inputs::Features { .. } => 1,
        }
    }

    /// Numbers that an excerpt is made of.
    pub fn width(&self) -> usize {
        match &self.inputs {
            Inputs::Audio { samples, .. } => *samples,
            Inputs::Features { width, .. } => *width,
        }
    }

    /// Fetches the excerpts into a batch of `rows` rows. Silence pads short tracks, zeros pad missing
    /// rows: a GPU then meets one shape only.
    ///
    /// # Errors
    /// [`Error::Data`] if the audio of a track cannot be read.
    pub fn batch(&self, excerpts: Vec<Excerpt>, rows: usize, form: Form) -> Result<Batch> {
        let begun = self.begin(excerpts, rows, form);
        begun.missing().iter().for_each(|&row| self.fetch(&begun, row));
        begun.finish()
    }

    /// The same, in pieces: a batch whose [`missing`](BegunBatch::missing) excerpts are still to be fetched, each by
    /// [`fetch`](Self::fetch).
    pub fn begin(&self, excerpts: Vec<Excerpt>, rows: usize, form: Form) -> BegunBatch {
        let outputs = self.outputs();
        let mut targets = vec![0.0; rows * outputs];
        for (row, excerpt) in excerpts.iter().enumerate() {
            targets[row * outputs..][..outputs]
                .copy_from_slice(&self.targets[excerpt.track * outputs..][..outputs]);
        }
        let inputs = match (&self.inputs, form) {
            (Inputs::Audio { tracks, samples, .. }, Form::Pairs) if are_files(tracks) => {
                let mut scales: Vec<f32> =
                    excerpts.iter().map(|excerpt| tracks[excerpt.track].scale()).collect();
                scales.resize(rows, 0.0);
                BegunInputs::Pairs {
                    words: Rows::new(rows, pairs::words(*samples)),
                    scales,
                    samples: *samples,
                }
            }
            (Inputs::Audio { tracks, samples, kept }, Form::Stretches) if are_files(tracks) => {
                // What is at hand takes less to find than to hand to another thread.
                let found = |&Excerpt { track, start }: &Excerpt| {
                    whole(kept.at_hand(track)?, &tracks[track], start, *samples).map(OnceLock::from)
                };
                let found = excerpts.iter().map(|excerpt| found(excerpt).unwrap_or_default());
                let padding = excerpts.len()..rows;
                let rows = found.chain(padding.map(|_| OnceLock::new())).collect();
                BegunInputs::Stretches { rows, samples: *samples }
            }
            _ => BegunInputs::Numbers(Rows::new(rows, self.width())),
        };
        BegunBatch::new(inputs, targets, excerpts, rows)
    }

    /// Fetches one excerpt of a batch, once, on any thread. What goes wrong is told when the batch is finished.
    pub fn fetch(&self, batch: &BegunBatch, row: usize) {
        let Excerpt { track, start } = batch.excerpts()[row];
        let fetched = match (&self.inputs, batch.inputs()) {
            (Inputs::Audio { tracks, samples, kept }, BegunInputs::Numbers(rows)) => {
                rows.fill(row, |slots| {
                    let audio = &tracks[track];
                    let count = audio.len().saturating_sub(start).min(*samples);
                    match kept.stretch(track, audio, start, count)? {
                        Some(stored) => Ok(audio.numbers(stored, slots)),
                        None => audio.write(start, count, slots),
                    }
                })
            }
            (Inputs::Audio { tracks, samples, kept }, BegunInputs::Pairs { words, .. }) => words
                .fill(row, |slots| {
                    let audio = &tracks[track];
                    let count = audio.len().saturating_sub(start).min(*samples);
                    match kept.stretch(track, audio, start, count)? {
                        Some(stored) => Ok(pairs::pack(stored, slots)),
                        None => {
                            audio.with_stored(start, count, |stored| pairs::pack(stored, slots))
                        }
                    }
                }),
            (Inputs::Features { tracks, width }, BegunInputs::Numbers(rows)) => rows
                .fill(row, |slots| {
                    Ok(slots.write_copy_of_slice(&tracks[track][start * width..][..*width]))
                }),
            (Inputs::Audio { tracks, samples, kept }, BegunInputs::Stretches { rows, .. }) => {
                stretch(kept, track, &tracks[track], start, *samples).map(|stretch| {
                    rows[row].set(stretch).expect("a row is fetched once");
                })
            }
            (
                Inputs::Features { .. },
                BegunInputs::Pairs { .. } | BegunInputs::Stretches { .. },
            ) => unreachable!("`begin` makes them of audio alone"),
        };
        if let Err(error) = fetched {
            let id = &self.ids[track];
            batch.fail(row, Error::Data(format!("cannot read the audio of track {id}: {error}")));
        }
    }
}

/// `samples` samples of a kept track from `start` on, if it has as many.
fn whole(
    stored: &Arc<Vec<u8>>,
    audio: &CachedAudio,
    start: usize,
    samples: usize,
) -> Option<Stretch> {
    let end = start.checked_add(samples)?;
    (end <= audio.len()).then(|| Stretch::new(stored.clone(), start, audio.scale()))
}

/// `samples` samples of a track from `start` on: in the track itself where that is kept, else in a copy. Silence pads what lies
/// behind the end.
fn stretch(
    kept: &Kept,
    track: usize,
    audio: &CachedAudio,
    start: usize,
    samples: usize,
) -> Result<Stretch, AudioError> {
    let stored = kept.track(track, audio)?;
    if let Some(stretch) = stored.and_then(|stored| whole(stored, audio, start, samples)) {
        return Ok(stretch);
    }
    let count = audio.len().saturating_sub(start).min(samples);
    let mut bytes = Vec::new();
    match stored {
        Some(stored) => bytes.extend_from_slice(&stored[2 * start.min(audio.len())..][..2 * count]),
        None => audio.stored(start, count, &mut bytes)?,
    }
    bytes.resize(2 * samples, 0);
    Ok(Stretch::new(Arc::new(bytes), 0, audio.scale()))
}

/// Whether it is audio, of 16 bits; a data set's features are not.
fn are_files(tracks: &[CachedAudio]) -> bool {
    tracks.first().is_some_and(|track| track.path().is_some())
}
