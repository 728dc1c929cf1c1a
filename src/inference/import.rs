//! Import of weights that another program trained.

use burn::module::Module;
use datasets::Split;
use models::NetworkConfig;

use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::inference::imported::{Imported, Rename, Selection};
use crate::inference::weights::{self, Mismatch, Weights};
use crate::runs::folder::{Environment, RunFolder};
use crate::runs::model;
use crate::runs::session::Session;
use crate::runs::train::validation;
use crate::runs::transfer_source;
use crate::training::log::{Log, LogLine};
use crate::training::state::LoopState;

/// Reshapes weights whose shape differs from the model's only by dimensions of size one: other programs convolve over time
/// with 2-D convolutions.
fn reshaped(weights: &Weights, shapes: &weights::Shapes) -> Weights {
    let core = |shape: &[usize]| -> Vec<usize> {
        shape.iter().copied().filter(|size| *size != 1).collect()
    };
    let mut weights = weights.clone();
    for (name, array) in &mut weights {
        if let Some(shape) = shapes.get(name).filter(|shape| core(shape) == core(&array.shape)) {
            array.shape = shape.clone();
        }
    }
    weights
}

/// How weights are selected from a file; see [`Imported::select`].
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Applied to the names of the file.
    pub rename: Vec<Rename>,
    /// Names of tensors that are left out.
    pub ignore: Vec<String>,
}

/// Creates a run of the experiment with one checkpoint, which contains weights of a file and their validation scores.
///
/// # Errors
/// If the run exists, the weights do not match the experiment's model, or the data cannot be loaded. No run is then left.
pub fn import(
    session: &Session<'_>,
    experiment: &Experiment,
    folder: &RunFolder,
    imported: &Imported,
    choice: &Choice,
) -> Result<(LoopState, Selection)> {
    if folder.exists() {
        return Err(Error::Config(format!(
            "{} exists; change the name or seed of the experiment",
            folder.path().display()
        )));
    }
    let from = imported.path();
    let experiment = &transfer_source::resolved(experiment, folder.beside())?;
    let _lock = folder.lock()?;
    let mut data = session.prepare(experiment, folder)?;
    let fitted = &imported.fitted;
    if experiment.model.is_fitted() && fitted.arrays.is_empty() {
        return Err(Error::Data(format!(
            "{} has no fitted arrays, which the model {} needs: import a file of `tonotopy export --format safetensors`, or \
             train the model",
            from.display(),
            experiment.model.name()
        )));
    }
    let device = &session.device.device;
    let model = model::initial(experiment, data.outputs(), fitted, device)?;
    let shapes = weights::shapes(&model.valid());
    let selection = imported.select(&shapes, &choice.rename, &choice.ignore)?;
    let weights = reshaped(&selection.weights, &shapes);
    let filled = weights::put(model.valid(), &weights).map_err(|mismatch| {
        Error::Data(format!(
            "{} in {} do not match the experiment's model ({}): {mismatch}; {}",
            selection.place(),
            from.display(),
            experiment.model.name(),
            remedy(&mismatch, &selection)
        ))
    })?;
    let model = model::with_weights(model, filled.clone().into_record(), from)?;
    if experiment.model.is_fitted() {
        session.compute_features(&filled, &mut data, Split::Valid)?;
    }
    let mut state = LoopState::default();
    let line = validation(session, experiment, &data, &filled, &mut state)?;

    data.notes.push(format!("{} imported from {}", selection.place(), from.display()));
    data.notes.extend(selection.ignored.iter().map(|name| format!("{name} was ignored")));
    let environment = Environment::here(session.device, model.num_params(), data.notes.clone());
    let optimizer = experiment.training.optimizer.init();
    let keep = experiment.training.keep_checkpoints;
    let write = || {
        folder.checkpoints().save(&model, &optimizer, &state, keep)?;
        let mut log = Log::open(folder.path(), 0)?;
        log.write(&line)?;
        log.write(&LogLine::End { step: 0, reason: "imported".into(), seconds: 0.0 })?;
        // Last, because it makes the folder a run.
        folder.create(experiment, &environment, fitted, &data)
    };
    if let Err(error) = write() {
        // Otherwise a later run in this folder would resume from the checkpoint.
        let _ = std::fs::remove_dir_all(folder.file("checkpoints"));
        return Err(error);
    }
    Ok((state, selection))
}

/// What to do about weights that do not match the model.
fn remedy(mismatch: &Mismatch, selection: &Selection) -> String {
    let mut remedies = Vec::new();
    match (mismatch.missing.is_empty(), mismatch.unknown.is_empty()) {
        (false, false) => {
            remedies.push("rename weights with --rename OLD=NEW, and leave out what the model does not need with --ignore NAME");
        }
        (true, false) => remedies.push("leave out what the model does not need with --ignore NAME"),
        (false, true) if !selection.ignored.is_empty() => {
            remedies.push(
                "rename weights with --rename OLD=NEW, or remove a prefix with --rename PREFIX=",
            );
        }
        _ => {}
    }
    if !mismatch.infinite.is_empty() {
        remedies.push("import a checkpoint from before the training diverged");
    }
    if !(mismatch.missing.is_empty() && mismatch.shapes.is_empty()) {
        remedies.push("change [model] and the tags of the dataset to those that the weights were trained with");
    }
    let also = match (mismatch.missing.is_empty(), selection.ignored.as_slice()) {
        (false, [_, ..]) => {
            let shown: Vec<&str> = selection.ignored.iter().take(10).map(String::as_str).collect();
            let more = selection.ignored.len().saturating_sub(10);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!(" (the file also has {}{more})", shown.join(", "))
        }
        _ => String::new(),
    };
    format!("{}{also}", remedies.join(", or "))
}
