//! The network of another run, on which a model builds.

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

/// The run that a config names: that folder, or the one of the same seed, `NAME-s<seed>`; here, or beside
/// the run that is being made.
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
                    "{key}: {} is not trained to its end: go on with it first",
                    path.display()
                ))),
            };
        }
    }
    Err(Error::Config(format!(
        "{key}: there is no run {} or {}, neither here nor in {}: train it first, or name another",
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

/// The experiment with the network that it builds on, if it builds on one; `beside` is the folder of the
/// run folders.
///
/// # Errors
/// If there is no such run, or the model cannot be built on it.
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

/// The network that a resolved experiment builds on, for its excerpts and outside of any gradient, and
/// what is fitted of it.
///
/// # Errors
/// If it builds on none, the run is gone, or its network takes no excerpts of this length.
pub fn load(experiment: &Experiment, beside: &Path, device: &Device) -> Result<(Model, Fitted)> {
    let Some((config, source)) =
        transferred(experiment).and_then(|config| Some((config, config.source.as_deref()?)))
    else {
        return Err(Error::Config("model.name: this model builds on no other run".into()));
    };
    let folder = find("model.run", &config.run, experiment.seed, beside)?;
    let was = folder.experiment()?;
    if was.model != source.model {
        return Err(Error::Config(format!(
            "model.run: the network in {} is no longer the one that this run began with",
            folder.path().display()
        )));
    }
    let checkpoint = folder.checkpoints().load(Which::Best)?;
    let fitted = folder.fitted()?;
    // As long as this experiment's excerpts, not the source's own.
    let mut here = was.clone();
    here.training.excerpt_seconds = experiment.training.excerpt_seconds;
    let model = model::initial(&here, source.outputs, &fitted, device)?.valid();
    let model = model::with_weights(model, checkpoint.model, &checkpoint.path).map_err(|error| {
        match here.excerpt_samples() == was.excerpt_samples() {
            true => error,
            false => Error::Config(format!(
                "training.excerpt_seconds is {}: the network of {} takes only excerpts as long as those that \
                 it was trained on, {} s",
                experiment.training.excerpt_seconds,
                folder.path().display(),
                was.training.excerpt_seconds
            )),
        }
    })?;
    Ok((model, fitted))
}

/// Puts the network that the experiment builds on into its model.
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
                Error::Data(format!("model.run: the weights of that run do not fit ({error}): train it anew, or name another"))
            })?;
            Ok(Model::Transferred(model))
        }
        model => Ok(model),
    }
}
