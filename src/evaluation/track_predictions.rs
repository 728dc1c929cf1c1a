//! Predictions of whole tracks, averaged over their excerpts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use models::Network;

use crate::data::batch::SampleFormat;
use crate::data::examples::Examples;
use crate::error::{Error, Result};
use crate::evaluation::predictions::Predictions;
use crate::training::objective::Objective;

/// Batch size; predictions do not depend on it.
const ROWS: usize = 32;

/// Predictions and loss of a set of tracks.
pub struct Outcome {
    /// One row per example: probabilities, or raw outputs if the loss does not define probabilities.
    pub predictions: Predictions,
    /// Mean over tracks of the mean loss over excerpts.
    pub loss: f64,
}

/// Predicts every track, as the mean over its consecutive excerpts.
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
    let format = SampleFormat::for_device(device);
    let (batches, total) = examples.consecutive_batches(ROWS, true, format);
    // The outputs of a model that is not trained may differ in number from the targets.
    let mut outputs = 0;
    let mut sums: Vec<f64> = Vec::new();
    let mut losses = vec![0.0f64; examples.len()];
    let mut counts = vec![0u32; examples.len()];

    let mut done = 0;
    for batch in batches {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted("interrupted while predicting".into()));
        }
        let batch = batch?;
        let rows = batch.excerpts.clone();
        let targets = batch.targets.clone();
        let logits = model.learned(batch.inputs_to_device(device));
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
    for (track, &count) in counts.iter().enumerate() {
        for sum in &mut sums[track * outputs..][..outputs] {
            *sum /= f64::from(count);
            // The sigmoid of a GPU may round to just above 1.
            if objective.is_probability() && !sum.is_nan() {
                *sum = sum.clamp(0.0, 1.0);
            }
            if !sum.is_finite() {
                return Err(Error::Diverged(format!(
                    "the prediction of track {} is not finite: its audio contains NaN, or the weights are too \
                     large (train with a lower training.optimizer.learning_rate)",
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
                "the device did not return float32 values ({error:?}); check it with `tonotopy devices --check`"
            ))
        })
}
