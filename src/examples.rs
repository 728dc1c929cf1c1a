//! What training reads: tracks with their audio (or features of it) at hand and their targets as
//! numbers.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};

use crate::audio::CachedAudio;
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

/// Excerpts and targets of one step, on the host.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Row-major `[excerpt, sample]`, mono, in `[-1, 1]`; or `[excerpt, feature]`.
    pub inputs: Vec<f32>,
    /// Row-major `[excerpt, output]`.
    pub targets: Vec<f32>,
    /// What the rows are; rows beyond these are padding.
    pub excerpts: Vec<Excerpt>,
    /// Rows, padding included.
    pub rows: usize,
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
    pub fn batch(&self, excerpts: Vec<Excerpt>, rows: usize) -> Result<Batch> {
        let begun = self.begin(excerpts, rows);
        (0..begun.excerpts.len()).for_each(|row| self.fetch(&begun, row));
        begun.finish()
    }

    /// The same, in pieces: a batch whose excerpts are still to be fetched, each by [`fetch`](Self::fetch).
    pub fn begin(&self, excerpts: Vec<Excerpt>, rows: usize) -> BegunBatch {
        let outputs = self.outputs();
        let mut targets = vec![0.0; rows * outputs];
        for (row, excerpt) in excerpts.iter().enumerate() {
            targets[row * outputs..][..outputs]
                .copy_from_slice(&self.targets[excerpt.track * outputs..][..outputs]);
        }
        let inputs = Rows::new(rows, self.width());
        BegunBatch { inputs, targets, excerpts, rows, failure: Mutex::default() }
    }

    /// Fetches one excerpt of a batch, once, on any thread. What goes wrong is told when the batch is finished.
    pub fn fetch(&self, batch: &BegunBatch, row: usize) {
        let Excerpt { track, start } = batch.excerpts[row];
        let fetched = batch.inputs.fill(row, |slots| match &self.inputs {
            Inputs::Audio { tracks, samples, kept } => {
                let audio = &tracks[track];
                let count = audio.len().saturating_sub(start).min(*samples);
                match kept.track(track, audio)? {
                    Some(stored) if count > 0 => {
                        Ok(audio.numbers(&stored[2 * start..][..2 * count], slots))
                    }
                    _ => audio.write(start, count, slots),
                }
            }
            Inputs::Features { tracks, width } => {
                Ok(slots.write_copy_of_slice(&tracks[track][start * width..][..*width]))
            }
        });
        if let Err(error) = fetched {
            let id = &self.ids[track];
            let error = Error::Data(format!("cannot read the audio of track {id}: {error}"));
            let mut failure = batch.failure.lock().unwrap_or_else(PoisonError::into_inner);
            // Whatever thread is first, the message is the same.
            if failure.as_ref().is_none_or(|(first, _)| row < *first) {
                *failure = Some((row, error));
            }
        }
    }
}

/// A batch in the making.
pub struct BegunBatch {
    inputs: Rows,
    targets: Vec<f32>,
    excerpts: Vec<Excerpt>,
    rows: usize,
    /// Of the first row that could not be fetched.
    failure: Mutex<Option<(usize, Error)>>,
}

impl BegunBatch {
    /// How many excerpts are to be fetched.
    pub fn len(&self) -> usize {
        self.excerpts.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.excerpts.is_empty()
    }

    /// The batch; excerpts that were not fetched are silence.
    ///
    /// # Errors
    /// [`Error::Data`] if the audio of a track could not be read.
    pub fn finish(self) -> Result<Batch> {
        match self.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((_, error)) => Err(error),
            None => Ok(Batch {
                inputs: self.inputs.into_values(),
                targets: self.targets,
                excerpts: self.excerpts,
                rows: self.rows,
            }),
        }
    }
}

impl Batch {
    /// Inputs `[row, sample]` (or feature) and targets `[row, output]` on the device.
    pub fn into_tensors(self, device: &Device) -> (Tensor<2>, Tensor<2>) {
        let rows = self.rows;
        let tensor = |values: Vec<f32>| {
            let columns = values.len() / rows;
            Tensor::from_data(TensorData::new(values, [rows, columns]), device)
        };
        (tensor(self.inputs), tensor(self.targets))
    }
}
