//! What training reads: tracks with their audio at hand and their targets as numbers.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use crate::audio::CachedAudio;
use crate::error::{Error, Result};
use crate::excerpts::Excerpt;

/// The tracks of one split.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    pub ids: Vec<String>,
    pub audio: Vec<CachedAudio>,
    /// Row-major `[track, output]`.
    pub targets: Vec<f32>,
    /// What the targets of a track are called.
    pub names: Arc<[String]>,
}

/// Excerpts and targets of one step, on the host.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Row-major `[excerpt, sample]`; mono, in `[-1, 1]`.
    pub waveforms: Vec<f32>,
    /// Row-major `[excerpt, output]`.
    pub targets: Vec<f32>,
    /// What the rows are; rows beyond these are padding.
    pub excerpts: Vec<Excerpt>,
    /// Rows, padding included.
    pub rows: usize,
}

impl Examples {
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Targets of a track.
    pub fn outputs(&self) -> usize {
        self.names.len()
    }

    /// Length of each track, in samples.
    pub fn lengths(&self) -> Vec<usize> {
        self.audio.iter().map(CachedAudio::len).collect()
    }

    /// Fetches the excerpts, each `samples` long, into a batch of `rows` rows. Silence pads short
    /// tracks and missing rows: a GPU then meets one shape only.
    pub fn batch(&self, excerpts: Vec<Excerpt>, samples: usize, rows: usize) -> Result<Batch> {
        let outputs = self.outputs();
        let mut waveforms = vec![0.0; rows * samples];
        let mut targets = vec![0.0; rows * outputs];
        for (row, &Excerpt { track, start }) in excerpts.iter().enumerate() {
            let audio = &self.audio[track];
            let length = samples.min(audio.len().saturating_sub(start));
            let waveform = &mut waveforms[row * samples..][..length];
            audio.read(start, waveform).map_err(|error| {
                Error::Data(format!("cannot read the audio of track {}: {error}", self.ids[track]))
            })?;
            targets[row * outputs..][..outputs]
                .copy_from_slice(&self.targets[track * outputs..][..outputs]);
        }
        Ok(Batch { waveforms, targets, excerpts, rows })
    }
}

impl Batch {
    /// Waveforms `[row, sample]` and targets `[row, output]` on the device.
    pub fn into_tensors(self, device: &Device) -> (Tensor<2>, Tensor<2>) {
        let rows = self.rows;
        let tensor = |values: Vec<f32>| {
            let columns = values.len() / rows;
            Tensor::from_data(TensorData::new(values, [rows, columns]), device)
        };
        (tensor(self.waveforms), tensor(self.targets))
    }
}
