//! Export of models for other programs.
//!
//! Every format contains the model [`Card`] with test vectors, which [`verify`] replays.

mod verify;
pub mod web;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::inference::model_file::test_signals::Signal;
use crate::inference::model_file::{Card, TestVector, safetensors};
use crate::inference::predictor::Predictor;
use crate::inference::weights;
use crate::io::files::{check_absent, write_atomic, write_together};
pub use verify::{Deviation, verify};

/// A format of exported models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Weights and model card, for PyTorch and for predict, embed and verify
    Safetensors,
    /// Graph from audio to activations and embeddings, for ONNX Runtime and others
    Onnx,
    /// Record of the burn framework, for Rust programs; the model card is a JSON file beside it
    Burnpack,
    /// Directory with a web page that runs the model in the browser
    Web,
}

/// Options of an export.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Licence for the model card.
    pub licence: Option<String>,
    /// The `dist` directory of onnxruntime-web, to copy into a web page.
    pub runtime: Option<PathBuf>,
    /// Replace existing files.
    pub force: bool,
}

/// The card of a model with newly computed test vectors.
///
/// # Errors
/// If predictions of the model are not finite.
pub fn tested_card(predictor: &Predictor, licence: Option<String>) -> Result<Card> {
    let mut card = predictor.card().clone();
    card.licence = licence.or(card.licence);
    // One and a half excerpts: implementations must drop the incomplete one.
    let samples = card.excerpt_samples + card.excerpt_samples / 2;
    card.test_vectors = Vec::new();
    for signal in Signal::ALL {
        let audio = signal.samples(samples);
        card.test_vectors.push(TestVector {
            signal,
            samples,
            activations: predictor.predict(&audio, card.sample_rate)?,
            embeddings: predictor.embed(&audio, card.sample_rate)?,
        });
    }
    Ok(card)
}

/// Writes a model. Returns the written files, the model first.
///
/// # Errors
/// If a file exists and `force` is not set, cannot be written, or the format does not support the model.
pub fn export(
    predictor: &Predictor,
    format: Format,
    out: &Path,
    options: &Options,
) -> Result<Vec<PathBuf>> {
    let beside = out.with_extension("json");
    match format {
        Format::Burnpack if beside == out => {
            return Err(Error::Config(format!(
                "--out {}: the model card of a burnpack is written to this name; choose another ending, such as {}",
                out.display(),
                out.with_extension("bpk").display()
            )));
        }
        Format::Burnpack => check_absent(&[out, &beside], options.force)?,
        _ => check_absent(&[out], options.force)?,
    }
    let card = tested_card(predictor, options.licence.clone())?;
    let (model, fitted) = predictor.parts();
    match format {
        Format::Safetensors => {
            write_atomic(out, &safetensors::to_bytes(&weights::of(model), fitted, &card)?)?;
            Ok(vec![out.to_owned()])
        }
        Format::Onnx => {
            write_atomic(out, &onnx(predictor, &card)?)?;
            Ok(vec![out.to_owned()])
        }
        Format::Burnpack => {
            if !fitted.arrays.is_empty() {
                return Err(Error::Config(
                    "burnpack does not support models with fitted parts; export as safetensors or onnx"
                        .into(),
                ));
            }
            let broken = |error: burn::store::RecordError| {
                Error::Data(format!("the model cannot be written as a burnpack: {error}"))
            };
            let bytes = model.clone().into_record().into_bytes().map_err(broken)?;
            write_together(&[(out, &bytes), (&beside, card.to_json().as_bytes())])?;
            Ok(vec![out.to_owned(), beside])
        }
        Format::Web => web::write(&card, &onnx(predictor, &card)?, out, options.runtime.as_deref()),
    }
}

fn onnx(predictor: &Predictor, card: &Card) -> Result<Vec<u8>> {
    predictor.to_onnx(&BTreeMap::from([("tonotopy".to_string(), card.to_json())]))
}

#[cfg(test)]
mod tests;
