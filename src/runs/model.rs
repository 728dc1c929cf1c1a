//! The model of an experiment, with initial or trained weights.

use std::path::Path;

use burn::module::Module;
use burn::store::ModuleRecord;
use burn::tensor::Device;
use models::{Fitted, Model, NetworkConfig};

use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;

/// The model of an experiment with its initial weights, on `device` with autodiff.
///
/// The weights are always drawn on the CPU, so that every device starts from the same values.
///
/// # Errors
/// If no model can be built from the experiment, or its weights do not reach the device.
pub fn initial(
    experiment: &Experiment,
    outputs: usize,
    fitted: &Fitted,
    device: &Device,
) -> Result<Model> {
    let samples = experiment.excerpt_samples();
    let config = |error: models::ModelError| Error::Config(format!("in [model]: {error}"));
    let host = Device::flex();
    host.seed(experiment.seed);
    let drawn = experiment.model.drawn(outputs, samples, fitted, &host).map_err(config)?;
    let record = drawn.into_record();
    let tracked = device.clone().autodiff();
    let model = experiment.model.init(outputs, samples, fitted, &tracked).map_err(config)?;
    model.try_load_record(record).map_err(|error| {
        Error::Device(format!(
            "cannot copy the initial weights to the device: {error}; test the device with `tonotopy devices --check`"
        ))
    })
}

/// The same model with stored weights, read from `from`.
///
/// # Errors
/// If they do not fit the model.
pub fn with_weights(model: Model, weights: ModuleRecord, from: &Path) -> Result<Model> {
    model.try_load_record(weights).map_err(|error| {
        Error::Data(format!(
            "the weights in {} do not fit the model of its experiment.toml: {error}; restore both, or train the run again",
            from.display()
        ))
    })
}

/// The trained model of a run, for inference.
///
/// # Errors
/// If the checkpoint or the fitted part cannot be read, or does not fit the experiment.
pub fn trained(
    folder: &RunFolder,
    experiment: &Experiment,
    outputs: usize,
    which: Which,
    device: &Device,
) -> Result<Model> {
    let checkpoint = folder.checkpoints().load(which)?;
    let model = initial(experiment, outputs, &folder.fitted()?, device)?.valid();
    with_weights(model, checkpoint.model, &checkpoint.path)
}
