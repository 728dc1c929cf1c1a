//! Does a model still compute what it computed when it was exported?

use models::self_check::VALUE_TOLERANCE;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::inference::model_file::test_signals::Signal;
use crate::inference::predictor::Predictor;

/// How far one result of one test vector is off.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deviation {
    /// Which test vector.
    pub signal: Signal,
    /// `activations` or `embeddings`.
    pub output: &'static str,
    /// Largest difference.
    pub max_abs: f64,
    /// The same over the largest expected value.
    pub max_rel: f64,
    /// What that may be.
    pub tolerance: f64,
    /// Whether `max_rel` is no more than `tolerance`.
    pub ok: bool,
}

/// Replays the test vectors of a model on its device.
///
/// # Errors
/// If there are none, or a result is not finite.
pub fn verify(predictor: &Predictor) -> Result<Vec<Deviation>> {
    let card = predictor.card();
    if card.test_vectors.is_empty() {
        return Err(Error::Data(format!(
            "{} carries no test vectors: only exported models do (`tonotopy export`)",
            card.name
        )));
    }
    let mut found = Vec::new();
    for vector in &card.test_vectors {
        let audio = vector.signal.samples(vector.samples);
        let activations = predictor.predict(&audio, card.sample_rate)?;
        let embeddings = predictor.embed(&audio, card.sample_rate)?;
        for (output, expected, actual) in [
            ("activations", &vector.activations, activations),
            ("embeddings", &vector.embeddings, embeddings),
        ] {
            if expected.len() != actual.len() {
                return Err(Error::Data(format!(
                    "the test vector {:?} of {} has {} {output}, the model gives {}: export it anew",
                    vector.signal.name(),
                    card.name,
                    expected.len(),
                    actual.len()
                )));
            }
            let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
            let max_abs =
                largest(&mut expected.iter().zip(&actual).map(|(a, b)| f64::from((a - b).abs())));
            let scale = largest(&mut expected.iter().map(|value| f64::from(value.abs())));
            let max_rel = max_abs / scale.max(f64::from(f32::MIN_POSITIVE));
            let tolerance = VALUE_TOLERANCE;
            let ok = max_rel <= tolerance;
            found.push(Deviation {
                signal: vector.signal,
                output,
                max_abs,
                max_rel,
                tolerance,
                ok,
            });
        }
    }
    Ok(found)
}
