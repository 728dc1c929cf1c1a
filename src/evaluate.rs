//! Predictions of whole tracks, and their scores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use models::Network;

use crate::batch::Form;
use crate::error::{Error, Result};
use crate::examples::Examples;
use crate::excerpts::{Excerpt, consecutive};
use crate::loader::Loader;
use crate::objective::Objective;
use crate::predictions::Predictions;

/// Excerpts that go through the network at once; predictions do not depend on it.
const ROWS: usize = 32;

/// The predictions of a set of tracks.
pub struct Outcome {
    /// Rows in the order of the examples; probabilities, or outputs as they are where the loss has none.
    pub predictions: Predictions,
    /// Mean over tracks of the mean loss of their excerpts.
    pub loss: f64,
}

/// Predicts every track: the mean of the predictions of its consecutive excerpts.
///
/// # Errors
/// If audio cannot be read, a prediction is not finite, or `stop` was set.
pub fn predict<N: Network>(
    model: &N,
    examples: &Arc<Examples>,
    objective: &Objective<'_>,
    device: &Device,
    stop: &AtomicBool,
    mut progress: impl FnMut(usize, usize),
) -> Result<Outcome> {
    let excerpts = consecutive(&examples.lengths(), examples.excerpt_length());
    let total = excerpts.len();
    // What a model is trained towards it gives; one that is not trained may give more or less.
    let mut outputs = 0;
    let mut sums: Vec<f64> = Vec::new();
    let mut losses = vec![0.0f64; examples.len()];
    let mut counts = vec![0u32; examples.len()];

    let chunks: Arc<Vec<Vec<Excerpt>>> =
        Arc::new(excerpts.chunks(ROWS).map(<[Excerpt]>::to_vec).collect());
    let (number, read) = (chunks.len() as u64, examples.clone());
    let form = Form::of(model, device);
    let batches = Loader::new(0, number, 1, 3, move |index| {
        read.batch(chunks[index as usize].clone(), ROWS, form)
    });
    let mut done = 0;
    for batch in batches {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted("interrupted while predicting".into()));
        }
        let batch = batch?;
        let rows = batch.excerpts.clone();
        let targets = batch.targets.clone();
        let logits = batch.inputs_onto(device).learned_by(model);
        outputs = logits.dims()[1];
        sums.resize(examples.len() * outputs, 0.0);
        let logits_host = host(logits.clone())?;
        let values = host(objective.prediction(logits))?;
        for (row, excerpt) in rows.iter().enumerate() {
            let range = row * outputs..(row + 1) * outputs;
            let wanted = row * examples.outputs()..(row + 1) * examples.outputs();
            let sum = &mut sums[excerpt.track * outputs..][..outputs];
            for (sum, value) in sum.iter_mut().zip(&values[range.clone()]) {
                *sum += f64::from(*value);
            }
            losses[excerpt.track] +=
                objective.of_row(&logits_host[range], &targets[wanted], excerpt.track);
            counts[excerpt.track] += 1;
        }
        done += rows.len();
        progress(done, total);
    }
    if counts.contains(&0) {
        return Err(Error::Data(
            "a thread that reads audio failed; its message stands above".into(),
        ));
    }

    for (track, &count) in counts.iter().enumerate() {
        for sum in &mut sums[track * outputs..][..outputs] {
            *sum /= f64::from(count);
            // A GPU's sigmoid may round to just above 1.
            if objective.is_probability() && !sum.is_nan() {
                *sum = sum.clamp(0.0, 1.0);
            }
            if !sum.is_finite() {
                return Err(Error::Diverged(format!(
                    "the prediction of track {} is not finite: its audio holds NaN, or the weights are or \
                     have grown too large (train with a lower training.optimizer.learning_rate)",
                    examples.ids[track]
                )));
            }
        }
        losses[track] /= f64::from(count);
    }
    let loss = losses.iter().sum::<f64>() / losses.len() as f64;
    let predictions = Predictions {
        ids: examples.ids.clone(),
        tags: match examples.outputs() == outputs {
            true => examples.names.to_vec(),
            false => (1..=outputs).map(|at| format!("dimension {at}")).collect(),
        },
        values: sums.into_iter().map(|sum| sum as f32).collect(),
    };
    Ok(Outcome { predictions, loss })
}

fn host(tensor: burn::tensor::Tensor<2>) -> Result<Vec<f32>> {
    tensor
        .into_data()
        .convert::<f32>()
        .try_to_vec()
        .map_err(|error| {
            Error::Device(format!(
                "the device returned no float32 values ({error:?}): `tonotopy devices --check` tells whether it works"
            ))
        })
}
