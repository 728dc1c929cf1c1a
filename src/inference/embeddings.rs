//! One vector per track: the mean over consecutive excerpts of a model's last hidden layer, or of its outputs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Device, Tensor};

use crate::audio::CachedAudio;
use crate::data::batch::SampleFormat;
use crate::data::examples::{Examples, TrackInputs};
use crate::error::{Error, Result};
use crate::listening::matrix::Matrix;

/// Excerpts per batch; the result does not depend on it.
const BATCH: usize = 32;

/// Applies `apply` to all excerpts of each track and averages the results.
///
/// # Shapes
/// - `apply`: `[excerpt, sample]` to `[excerpt, feature]`
/// - returns: `[track, feature]`, in the order of `audio`
///
/// # Errors
/// If audio cannot be read, a vector is not finite, or `stop` was set.
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
    let (batches, total) = tracks.consecutive_batches(BATCH, true, format);
    let (mut done, mut width) = (0, 0);
    let mut sums: Vec<f64> = Vec::new();
    let mut counts = vec![0_u32; tracks.len()];
    for batch in batches {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted("interrupted while computing vectors".into()));
        }
        let batch = batch?;
        let (rows, excerpts) = (batch.rows, batch.excerpts.clone());
        let features = apply(batch.inputs_to_device(device)).into_data().convert::<f32>();
        width = features.num_elements() / rows;
        sums.resize(tracks.len() * width, 0.0);
        let values: Vec<f32> = features.iter::<f32>().collect();
        for (excerpt, row) in excerpts.iter().zip(values.chunks_exact(width)) {
            let sums = &mut sums[excerpt.track * width..][..width];
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
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
                "the vector of track {} is not finite: the model or its input contains NaN",
                tracks.ids[track]
            )));
        }
        data.extend(row.iter().map(|sum| (sum / f64::from(count)) as f32));
    }
    Ok(Matrix::new(tracks.len(), width, data)?)
}
