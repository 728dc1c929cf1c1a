//! Comparison of a model with its results at export.

use models::self_check::VALUE_TOLERANCE;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::inference::model_file::test_signals::Signal;
use crate::inference::predictor::Predictor;

/// The deviation of one result of a test vector.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deviation {
    /// Signal of the test vector.
    pub signal: Signal,
    /// `activations` or `embeddings`.
    pub output: &'static str,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// Largest absolute difference, divided by the largest expected value.
    pub max_rel: f64,
    /// Largest `max_rel` that is accepted.
    pub tolerance: f64,
    /// Whether `max_rel` is no more than `tolerance`.
    pub ok: bool,
}

/// Computes the test vectors of a model on its device again.
///
/// # Errors
/// If the model has no test vectors, or a result is not finite.
pub fn verify(predictor: &Predictor) -> Result<Vec<Deviation>> {
    let card = predictor.card();
    if card.test_vectors.is_empty() {
        return Err(Error::Data(format!(
            "{} has no test vectors; only models of `tonotopy export` have them",
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
                    "the test vector {:?} of {} has {} {output}, but the model computes {}; export it again",
                    vector.signal.name(),
                    card.name,
                    expected.len(),
                    actual.len()
                )));
            }
            let largest =
                |values: &mut dyn Iterator<Item = f32>| values.map(f64::from).fold(0.0, f64::max);
            let max_abs = largest(&mut expected.iter().zip(&actual).map(|(a, b)| (a - b).abs()));
            let scale = largest(&mut expected.iter().map(|value| value.abs()));
            let max_rel = max_abs / scale.max(f64::from(f32::MIN_POSITIVE));
            let (signal, tolerance) = (vector.signal, VALUE_TOLERANCE);
            let ok = max_rel <= tolerance;
            found.push(Deviation { signal, output, max_abs, max_rel, tolerance, ok });
        }
    }
    Ok(found)
}
