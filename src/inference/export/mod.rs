//! Models for use elsewhere: files that say all that must be known to use them rightly.
//!
//! Every format carries the [`Card`], and the card test vectors: [`verify`] replays them.

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
use crate::io::files::{write_atomic, write_together};
pub use verify::{Deviation, verify};

/// What kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Weights and card; what `predict`, `embed` and `verify` read, and PyTorch.
    Safetensors,
    /// The whole graph from audio to activations and embeddings, for onnxruntime and others.
    Onnx,
    /// burn's own records, for programs in Rust; the card lies beside it.
    Burnpack,
    /// A folder with a page that runs the model in a browser.
    Web,
}

/// How a model is exported.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the file may be used for; goes into the card.
    pub licence: Option<String>,
    /// The `dist` folder of onnxruntime-web, to go with a page.
    pub runtime: Option<PathBuf>,
    /// Replace what is there.
    pub force: bool,
}

/// The card of a model with test vectors, which are made here and now.
///
/// # Errors
/// If the model's predictions are not finite.
pub fn tested_card(predictor: &Predictor, licence: Option<String>) -> Result<Card> {
    let mut card = predictor.card().clone();
    card.licence = licence.or(card.licence);
    // One excerpt and a half: what is left over has to be left out.
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

/// Writes a model; returns the files that were written, the model first.
///
/// # Errors
/// If `out` exists and is not to be replaced, cannot be written, or the format cannot hold the model.
pub fn export(
    predictor: &Predictor,
    format: Format,
    out: &Path,
    options: &Options,
) -> Result<Vec<PathBuf>> {
    if !options.force && out.exists() {
        return Err(Error::Config(format!(
            "{} exists: give another --out, or --force to replace it",
            out.display()
        )));
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
                    "a burnpack holds weights alone, and this model has parts that were fitted: export it as \
                     safetensors or onnx"
                        .into(),
                ));
            }
            let broken = |error: burn::store::RecordError| {
                Error::Data(format!("the model cannot be written as a burnpack: {error}"))
            };
            let bytes = model.clone().into_record().into_bytes().map_err(broken)?;
            let beside = out.with_extension("json");
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
