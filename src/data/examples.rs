//! The tracks of a split as training reads them: audio (or precomputed features) and targets.

use std::sync::Arc;

use kernels::pcm16;

use crate::audio::CachedAudio;
use crate::data::batch::{Batch, BatchInputs, SampleFormat};
use crate::data::prefetch::Prefetch;
use crate::data::sampler::{Excerpt, consecutive};
use crate::data::track_cache::TrackCache;
use crate::error::{Error, Result};

/// What the trained part of a model reads of each track.
#[derive(Clone, Debug)]
pub enum TrackInputs {
    /// Excerpts of audio.
    Audio {
        /// Decoded tracks in the audio cache.
        tracks: Vec<CachedAudio>,
        /// Length of an excerpt, in samples.
        samples: usize,
        /// Tracks that stay in memory.
        cache: Arc<TrackCache>,
    },
    /// Features that were computed once, before training.
    Features {
        /// `[excerpt, feature]` per track.
        tracks: Vec<Vec<f32>>,
        /// Features per excerpt.
        width: usize,
    },
}

impl Default for TrackInputs {
    fn default() -> Self {
        Self::Audio { tracks: Vec::new(), samples: 1, cache: Arc::default() }
    }
}

/// The tracks of one split.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    /// Track ids, in the order of inputs and targets.
    pub ids: Vec<String>,
    /// One entry per track.
    pub inputs: TrackInputs,
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
            TrackInputs::Audio { tracks, .. } => tracks.iter().map(CachedAudio::len).collect(),
            TrackInputs::Features { tracks, width } => {
                tracks.iter().map(|track| track.len() / width).collect()
            }
        }
    }

    /// Length of an excerpt, in the same unit.
    pub fn excerpt_length(&self) -> usize {
        match &self.inputs {
            TrackInputs::Audio { samples, .. } => *samples,
            TrackInputs::Features { .. } => 1,
        }
    }

    /// What an excerpt begins at multiples of, in the same unit.
    pub fn grain(&self) -> usize {
        match &self.inputs {
            TrackInputs::Audio { tracks, .. } => tracks.first().map_or(1, CachedAudio::grain),
            TrackInputs::Features { .. } => 1,
        }
    }

    /// Numbers that an excerpt is made of.
    pub fn width(&self) -> usize {
        match &self.inputs {
            TrackInputs::Audio { samples, .. } => *samples,
            TrackInputs::Features { width, .. } => *width,
        }
    }

    /// The batch of these excerpts, padded with zeros to `rows` rows. Excerpts that end after their track are padded too.
    ///
    /// # Errors
    /// If audio cannot be read.
    pub fn batch(
        &self,
        excerpts: Vec<Excerpt>,
        rows: usize,
        format: SampleFormat,
    ) -> Result<Batch> {
        let outputs = self.outputs();
        let mut targets = Vec::with_capacity(rows * outputs);
        for excerpt in &excerpts {
            targets.extend_from_slice(&self.targets[excerpt.track * outputs..][..outputs]);
        }
        targets.resize(rows * outputs, 0.0);
        let inputs = match (&self.inputs, format) {
            (TrackInputs::Features { tracks, width }, _) => {
                let mut values = Vec::with_capacity(rows * width);
                for &Excerpt { track, start } in &excerpts {
                    values.extend_from_slice(&tracks[track][start * width..][..*width]);
                }
                values.resize(rows * width, 0.0);
                BatchInputs::Float32(values)
            }
            (TrackInputs::Audio { tracks, samples, cache }, SampleFormat::Int16)
                if tracks.first().is_some_and(|track| track.path().is_some()) =>
            {
                let words_per_row = pcm16::words(*samples);
                let mut words = vec![0; rows * words_per_row];
                let mut scales = vec![0.0; rows];
                for (row, excerpt) in excerpts.iter().enumerate() {
                    let audio = &tracks[excerpt.track];
                    scales[row] = audio.scale();
                    let words = &mut words[row * words_per_row..][..words_per_row];
                    cache
                        .read(excerpt.track, audio, excerpt.start, *samples, |stored| {
                            pcm16::pack(stored, words);
                        })
                        .map_err(|error| self.unreadable(excerpt, error))?;
                }
                BatchInputs::Int16 { words, scales, samples: *samples }
            }
            (TrackInputs::Audio { tracks, samples, cache }, _) => {
                let mut values = Vec::with_capacity(rows * samples);
                for (row, excerpt) in excerpts.iter().enumerate() {
                    let audio = &tracks[excerpt.track];
                    match audio.features(excerpt.start, *samples) {
                        Some(features) => values.extend_from_slice(&features),
                        None => cache
                            .read(excerpt.track, audio, excerpt.start, *samples, |stored| {
                                pcm16::convert(stored, audio.scale(), &mut values);
                            })
                            .map_err(|error| self.unreadable(excerpt, error))?,
                    }
                    values.resize((row + 1) * samples, 0.0);
                }
                values.resize(rows * samples, 0.0);
                BatchInputs::Float32(values)
            }
        };
        Ok(Batch { inputs, targets, excerpts, rows })
    }

    fn unreadable(&self, excerpt: &Excerpt, error: impl std::fmt::Display) -> Error {
        let id = &self.ids[excerpt.track];
        Error::Data(format!("cannot read the audio of track {id}: {error}"))
    }

    /// The consecutive excerpts of all tracks in batches of at most `rows`, prepared ahead; the last batch is padded to
    /// `rows` rows if `pad` is set. Also returns the number of excerpts.
    pub fn consecutive_batches(
        self: &Arc<Self>,
        rows: usize,
        pad: bool,
        format: SampleFormat,
    ) -> (Prefetch<Batch>, usize) {
        let excerpts = consecutive(&self.lengths(), self.excerpt_length());
        let (total, examples) = (excerpts.len(), self.clone());
        let batches = Prefetch::new(0, total.div_ceil(rows) as u64, 3, move |index| {
            let first = index as usize * rows;
            let excerpts = excerpts[first..excerpts.len().min(first + rows)].to_vec();
            let rows = if pad { rows } else { excerpts.len() };
            examples.batch(excerpts, rows, format)
        });
        (batches, total)
    }
}
