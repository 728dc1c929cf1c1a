//! Vectors of whole tracks: the mean of a model's last hidden layer, or of its outputs, over
//! consecutive excerpts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Device, Tensor};

use crate::audio::CachedAudio;
use crate::data::batch::SampleFormat;
use crate::data::examples::{Examples, TrackInputs};
use crate::error::{Error, Result};
use crate::listening::matrix::Matrix;

/// Excerpts that go through the network at once; embeddings do not depend on it.
const ROWS: usize = 32;

/// What `apply` makes of every track: the mean over its excerpts.
///
/// # Shapes
/// - returns: `[track, feature]`, in the order of `audio`
///
/// # Errors
/// If audio cannot be read, an embedding is not finite, or `stop` was set.
pub fn embed(
    apply: impl Fn(Tensor<2>) -> Tensor<2>,
    ids: Vec<String>,
    audio: Vec<CachedAudio>,
    excerpt_samples: usize,
    device: &Device,
    stop: &AtomicBool,
    mut progress: impl FnMut(usize, usize),
) -> Result<Matrix> {
    let tracks = Arc::new(Examples {
        ids,
        inputs: TrackInputs::Audio {
            tracks: audio,
            samples: excerpt_samples,
            cache: Arc::default(),
        },
        ..Examples::default()
    });
    let format = SampleFormat::for_device(device);
    let (batches, total) = tracks.consecutive_batches(ROWS, true, format);
    let mut width = 0;
    let mut sums: Vec<f64> = Vec::new();
    let mut counts = vec![0_u32; tracks.len()];
    let mut done = 0;
    for batch in batches {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted("interrupted while embedding".into()));
        }
        let batch = batch?;
        let (rows, excerpts) = (batch.rows, batch.excerpts.clone());
        let features = apply(batch.inputs_to_device(device));
        let values = features.into_data().convert::<f32>();
        width = values.num_elements() / rows;
        sums.resize(tracks.len() * width, 0.0);
        let values: Vec<f32> = values.iter::<f32>().collect();
        for (excerpt, row) in excerpts.iter().zip(values.chunks_exact(width)) {
            let sum = &mut sums[excerpt.track * width..][..width];
            for (sum, value) in sum.iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
            counts[excerpt.track] += 1;
        }
        done += excerpts.len();
        progress(done, total);
    }
    let mut data = Vec::with_capacity(sums.len());
    for (track, &count) in counts.iter().enumerate() {
        let row = &sums[track * width..][..width];
        if row.iter().any(|sum| !sum.is_finite()) {
            return Err(Error::Diverged(format!(
                "the embedding of track {} is not finite: the model or its input holds NaN",
                tracks.ids[track]
            )));
        }
        data.extend(row.iter().map(|sum| (sum / f64::from(count)) as f32));
    }
    Matrix::new(tracks.len(), width, data).map_err(|error| Error::Data(error.to_string()))
}
