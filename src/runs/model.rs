//! The model of an experiment, with its first weights or with trained ones.

use std::path::Path;

use burn::module::Module;
use burn::store::ModuleRecord;
use burn::tensor::Device;
use models::{Fitted, Model, NetworkConfig};

use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;

/// The model of an experiment with its first weights, on the differentiating twin of `device`.
///
/// The weights are always drawn on the CPU, so that every device starts from the same ones.
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
            "cannot bring the first weights to the device: {error}; `tonotopy devices --check` tells whether it works"
        ))
    })
}

/// A model of the same architecture with stored weights, which lay in `from`.
///
/// # Errors
/// If they do not fit it.
pub fn with_weights(model: Model, weights: ModuleRecord, from: &Path) -> Result<Model> {
    model.try_load_record(weights).map_err(|error| {
        Error::Data(format!(
            "the weights in {} do not fit the model of its experiment.toml: {error}; put both back as they were, or \
             train the run anew",
            from.display()
        ))
    })
}

/// The model of a run as a checkpoint of it has it, to compute with and not to learn.
///
/// # Errors
/// If the checkpoint or what is fitted cannot be read, or does not fit the experiment.
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
