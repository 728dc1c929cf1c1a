//! What training reads: tracks with their audio (or features of it) at hand and their targets as
//! numbers.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use crate::audio::CachedAudio;
use crate::error::{Error, Result};
use crate::excerpts::Excerpt;

/// What the part of a model that learns reads of each track.
#[derive(Clone, Debug)]
pub enum Inputs {
    /// Excerpts of audio.
    Audio {
        /// Whole tracks, in the cache.
        tracks: Vec<CachedAudio>,
        /// Length of an excerpt.
        samples: usize,
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
        Inputs::Audio { tracks: Vec::new(), samples: 1 }
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
        let (outputs, width) = (self.outputs(), self.width());
        let mut inputs = Vec::with_capacity(rows * width);
        let mut targets = vec![0.0; rows * outputs];
        for (row, &Excerpt { track, start }) in excerpts.iter().enumerate() {
            match &self.inputs {
                Inputs::Audio { tracks, samples } => {
                    let audio = &tracks[track];
                    let length = audio.len().saturating_sub(start).min(*samples);
                    audio.append(start, length, &mut inputs).map_err(|error| {
                        let id = &self.ids[track];
                        Error::Data(format!("cannot read the audio of track {id}: {error}"))
                    })?;
                }
                Inputs::Features { tracks, .. } => {
                    inputs.extend_from_slice(&tracks[track][start * width..][..width]);
                }
            }
            inputs.resize((row + 1) * width, 0.0);
            targets[row * outputs..][..outputs]
                .copy_from_slice(&self.targets[track * outputs..][..outputs]);
        }
        inputs.resize(rows * width, 0.0);
        Ok(Batch { inputs, targets, excerpts, rows })
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
