//! The transfer source: the network of another run that a model builds on.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use models::networks::transferred::SourceConfig;
use models::{Fitted, Model, ModelConfig, TransferredConfig};

use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;
use crate::runs::model;

/// Finds the run that a config names: the folder of that name, or `NAME-s<seed>` with the same seed, in the working directory
/// or beside the run that is being trained.
///
/// # Errors
/// If none of them is a trained run.
pub(crate) fn find(key: &str, run: &Path, seed: u64, beside: &Path) -> Result<RunFolder> {
    let mut of_seed = run.as_os_str().to_owned();
    of_seed.push(format!("-s{seed}"));
    let names = [run.to_owned(), PathBuf::from(of_seed)];
    let places = names.iter().cloned().chain(names.iter().map(|name| beside.join(name)));
    for path in places {
        if path.join("experiment.toml").is_file() {
            let folder = RunFolder::open(&path)?;
            return match folder.is_trained()? {
                true => Ok(folder),
                false => Err(Error::Config(format!(
                    "{key}: {} has not finished training: resume it first",
                    path.display()
                ))),
            };
        }
    }
    Err(Error::Config(format!(
        "{key}: neither run {} nor {} exists in the working directory or in {}: train it first, or name another run",
        names[0].display(),
        names[1].display(),
        beside.display()
    )))
}

fn transferred(experiment: &Experiment) -> Option<&TransferredConfig> {
    match &experiment.model {
        ModelConfig::Transferred(config) => Some(config),
        _ => None,
    }
}

/// The experiment with its transfer source filled in, if it has one; `beside` is the folder of the run folders.
///
/// # Errors
/// If the run does not exist, or the model cannot be built on it.
pub fn resolved(experiment: &Experiment, beside: &Path) -> Result<Experiment> {
    let mut experiment = experiment.clone();
    let seed = experiment.seed;
    if let ModelConfig::Transferred(config) = &mut experiment.model {
        if config.is_resolved() {
            return Ok(experiment);
        }
        let folder = find("model.run", &config.run, seed, beside)?;
        let source = folder.experiment()?;
        config.source = Some(Box::new(SourceConfig {
            outputs: folder.outputs(&source)?.len(),
            excerpt_samples: source.excerpt_samples(),
            model: source.model,
        }));
    }
    experiment.validate()?;
    Ok(experiment)
}

/// The transfer source of a resolved experiment, without gradients, and its fitted part.
///
/// # Errors
/// If the experiment has no source, the run does not exist, or its network does not accept excerpts of this length.
pub fn load(experiment: &Experiment, beside: &Path, device: &Device) -> Result<(Model, Fitted)> {
    let Some((config, source)) =
        transferred(experiment).and_then(|config| Some((config, config.source.as_deref()?)))
    else {
        return Err(Error::Config("model.name: this model has no transfer source".into()));
    };
    let folder = find("model.run", &config.run, experiment.seed, beside)?;
    let was = folder.experiment()?;
    if was.model != source.model {
        return Err(Error::Config(format!(
            "model.run: the network in {} has changed since this run was created",
            folder.path().display()
        )));
    }
    let checkpoint = folder.checkpoints().load(Which::Best)?;
    let fitted = folder.fitted()?;
    // The length of this experiment's excerpts, not of the source's.
    let mut here = was.clone();
    here.training.excerpt_seconds = experiment.training.excerpt_seconds;
    let model = model::initial(&here, source.outputs, &fitted, device)?.valid();
    let model = model::with_weights(model, checkpoint.model, &checkpoint.path).map_err(|error| {
        match here.excerpt_samples() == was.excerpt_samples() {
            true => error,
            false => Error::Config(format!(
                "training.excerpt_seconds is {}: the network of {} accepts only the excerpt length it was trained on, {} s",
                experiment.training.excerpt_seconds,
                folder.path().display(),
                was.training.excerpt_seconds
            )),
        }
    })?;
    Ok((model, fitted))
}

/// Inserts the transfer source into the experiment's model.
///
/// # Errors
/// As [`load`].
pub fn put_into(
    model: Model,
    experiment: &Experiment,
    beside: &Path,
    device: &Device,
) -> Result<Model> {
    match model {
        Model::Transferred(model) => {
            let (source, _) = load(experiment, beside, device)?;
            let model = model.with_source(source).map_err(|error| {
                Error::Data(format!("model.run: the weights of that run do not fit ({error}): train it again, or name another run"))
            })?;
            Ok(Model::Transferred(model))
        }
        model => Ok(model),
    }
}
