//! Training one experiment in its run folder.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use datasets::Split;
use models::front_end::FrontEndConfig;
use models::{Fitted, Model, ModelConfig, NetworkConfig};

use crate::data::prepare::Prepared;
use crate::device::failure::guarded;
use crate::error::{Error, Result};
use crate::evaluation::track_predictions;
use crate::evaluation::validation::{judge, listeners, measure};
use crate::experiment::{Experiment, Training};
use crate::runs::checkpoint::Checkpoint;
use crate::runs::cross_validation::cross_validate;
use crate::runs::folder::{Environment, RunFolder};
use crate::runs::session::Session;
use crate::runs::warm_start::WarmStart;
use crate::runs::{gpu_memory, model, transfer_source};
use crate::training::finite;
use crate::training::log::{Log, LogLine};
use crate::training::objective::Objective;
use crate::training::parameter_groups::ParamGroups;
use crate::training::state::LoopState;
use crate::training::training_loop::{End, Event, Trainer};

/// How training ended.
pub struct Trained {
    /// Why it ended.
    pub end: End,
    /// Steps done, the best validation, the training time.
    pub state: LoopState,
}

/// What the training loop continues from.
struct Start {
    model: Model,
    optimizer: ModuleOptimizer,
    state: LoopState,
}

/// Trains `experiment` in `folder`, from its last checkpoint if there is one and `resume` is set.
///
/// # Errors
/// [`Error::Config`] if the folder holds a run and `resume` is not set; errors of loading and training;
/// [`Error::Device`] if a GPU fails. Being interrupted is not an error: see [`Trained::end`].
pub fn train(
    session: &Session<'_>,
    experiment: &Experiment,
    folder: &RunFolder,
    resume: bool,
) -> Result<Trained> {
    let device = session.device;
    let advice = |failed| gpu_memory::advice(folder, experiment, failed, &device.device);
    guarded(device, advice, || train_in(session, experiment, folder, resume))
}

fn train_in(
    session: &Session<'_>,
    experiment: &Experiment,
    folder: &RunFolder,
    resume: bool,
) -> Result<Trained> {
    if folder.exists() && !resume {
        let remedy = match folder.checkpoints().any()? {
            true => "add --resume to continue it",
            false => "it holds no checkpoint, so delete it",
        };
        return Err(Error::Config(format!(
            "{} exists: {remedy}, or give the experiment another name or seed",
            folder.path().display()
        )));
    }
    session.device.suits(&experiment.training)?;
    let experiment = with_source_of(experiment, folder)?;
    let experiment = &transfer_source::resolved(&experiment, folder.beside())?;
    if let Some(finished) = finished(session, experiment, folder)? {
        tracing::info!("{} is already trained", folder.path().display());
        return Ok(finished);
    }
    let _lock = folder.lock()?;
    if let Some(config) = &experiment.cross_validation {
        if folder.exists() {
            // It was interrupted while it was written, and is written again.
            folder.check_experiment(experiment)?;
        }
        return cross_validate(session, experiment, config, folder);
    }
    let mut data = session.prepare(experiment, folder)?;
    let began = Instant::now();
    let mut start = match folder.exists() {
        true => load_last(session, experiment, folder, &data)?,
        false => create(session, experiment, folder, &mut data)?,
    };
    if experiment.model.is_fitted() {
        for split in [Split::Train, Split::Valid] {
            session.compute_features(&start.model.valid(), &mut data, split)?;
        }
        if start.state.step == 0 {
            // Fitting and computing features is training too.
            start.state.seconds = began.elapsed().as_secs_f64();
        }
    }
    run_loop(session, experiment, folder, &data, start)
}

/// The experiment with the transfer source that the run in `folder` was created with, if it exists: the weights are in its
/// checkpoints, and the source need not have been copied with it.
fn with_source_of(experiment: &Experiment, folder: &RunFolder) -> Result<Experiment> {
    let mut experiment = experiment.clone();
    if let ModelConfig::Transferred(config) = &mut experiment.model
        && config.source.is_none()
        && folder.exists()
        && folder.checkpoints().any()?
        && let ModelConfig::Transferred(saved) = folder.experiment()?.model
    {
        config.source = saved.source;
    }
    Ok(experiment)
}

/// The result of the run in `folder` if there is nothing left to train.
fn finished(
    session: &Session<'_>,
    experiment: &Experiment,
    folder: &RunFolder,
) -> Result<Option<Trained>> {
    if !folder.is_trained()? {
        return Ok(None);
    }
    check_finished(session, experiment, folder)?;
    let Some(Checkpoint { state, .. }) = folder.checkpoints().newest()? else { return Ok(None) };
    let is_validated = experiment.cross_validation.is_some();
    if !is_validated && !has_ended(&state, &experiment.training) {
        return Ok(None);
    }
    let is_early = !is_validated && state.step < experiment.training.steps;
    Ok(Some(Trained { end: if is_early { End::Patience } else { End::Steps }, state }))
}

/// Checks that a trained run is of this experiment, and of its data if the experiment has that in another place, which the
/// run then stores.
///
/// # Errors
/// As [`RunFolder::check_experiment`] and [`RunFolder::check_data`].
pub fn check_finished(
    session: &Session<'_>,
    experiment: &Experiment,
    folder: &RunFolder,
) -> Result<()> {
    folder.check_experiment(experiment)?;
    if folder.data_has_moved(experiment)? {
        folder.check_data(&session.prepare(experiment, folder)?)?;
        let _lock = folder.lock()?;
        folder.update_places(experiment)?;
    }
    Ok(())
}

/// Whether all steps are done, or the validations without improvement are as many as `patience` allows.
fn has_ended(state: &LoopState, training: &Training) -> bool {
    let patience = training.patience.is_some_and(|patience| state.since_best >= patience);
    state.step >= training.steps || (state.step > 0 && patience)
}

/// Creates the run's folder and the model's first weights.
fn create(
    session: &Session<'_>,
    experiment: &Experiment,
    folder: &RunFolder,
    data: &mut Prepared,
) -> Result<Start> {
    let (training, device) = (&experiment.training, &session.device.device);
    let warm_start = WarmStart::of(experiment, folder.beside())?;
    let fitted = match &warm_start {
        Some(source) => source.fitted()?,
        None => session.fit(experiment, data, folder)?,
    };
    let mut model = model::initial(experiment, data.outputs(), &fitted, device)?;
    model = transfer_source::put_into(model, experiment, folder.beside(), device)?;
    if let Some(source) = &warm_start {
        let (warm, note) = source.put_into(model)?;
        model = warm;
        data.notes.push(note);
    }
    data.notes.extend(notes(experiment));
    // Refuses wrong paths before the folder exists.
    ParamGroups::new(&model, &training.frozen, &training.learning_rates)?;
    data.log_notes();
    let environment = Environment::here(session.device, model.num_params(), data.notes.clone());
    let (optimizer, state) = (training.optimizer.init(), LoopState::default());
    if warm_start.is_some() || matches!(model, Model::Transferred(_)) {
        // The run that the weights come from may be deleted before this one is resumed.
        folder.checkpoints().save(&model, &optimizer, &state, training.keep_checkpoints)?;
    }
    folder.create(experiment, &environment, &fitted, data)?;
    Ok(Start { model, optimizer, state })
}

/// What a user should know about the experiment's settings.
fn notes(experiment: &Experiment) -> Vec<String> {
    let training = &experiment.training;
    let mut notes = Vec::new();
    if !training.frozen.is_empty() {
        notes.push(format!("frozen: {}", training.frozen.join(", ")));
    }
    if !training.precision.is_native() {
        notes.push(
            "training.precision = \"bfloat16\": this processor has no instructions for it, so nothing is faster"
                .into(),
        );
    }
    let empty = experiment.model.front_end().map_or(0, FrontEndConfig::empty_bands);
    if empty > 0 {
        notes.push(format!(
            "{empty} bands of the front end contain no frequency bin and are always silent: lower n_mels or raise n_fft"
        ));
    }
    notes
}

/// Loads the newest whole checkpoint of an existing run.
fn load_last(
    session: &Session<'_>,
    experiment: &Experiment,
    folder: &RunFolder,
    data: &Prepared,
) -> Result<Start> {
    let (training, device) = (&experiment.training, &session.device.device);
    let fitted: Fitted = folder.fitted()?;
    let mut model = model::initial(experiment, data.outputs(), &fitted, device)?;
    ParamGroups::new(&model, &training.frozen, &training.learning_rates)?;
    folder.check_same(experiment, data)?;
    folder.update_places(experiment)?;
    let mut optimizer = training.optimizer.init();
    let mut state = LoopState::default();
    if let Some(mut checkpoint) = folder.checkpoints().newest()? {
        folder.checkpoints().repair(&mut checkpoint)?;
        tracing::info!("resuming from {}", checkpoint.path.display());
        model = model::with_weights(model, checkpoint.model, &checkpoint.path)?;
        optimizer = optimizer.load_record(checkpoint.optimizer);
        state = checkpoint.state;
    }
    if !has_ended(&state, training) {
        folder.forget_scores()?;
    }
    Ok(Start { model, optimizer, state })
}

/// Runs the training loop: logs, validates and saves.
fn run_loop(
    session: &Session<'_>,
    experiment: &Experiment,
    folder: &RunFolder,
    data: &Prepared,
    start: Start,
) -> Result<Trained> {
    let (training, device) = (&experiment.training, &session.device.device);
    let Start { model, optimizer, mut state } = start;
    let train_listeners = listeners(data, training.loss, Split::Train);
    let objective =
        Objective::new(training.loss, train_listeners.as_ref(), &device.clone().autodiff());
    let trainer = Trainer {
        config: training,
        seed: experiment.seed,
        examples: &data.train,
        objective: &objective,
        device,
        eager: session.device.is_cpu(),
        stop: session.stop,
    };
    let mut log = Log::open(folder.path(), state.step)?;
    let bar = session.progress.train(&folder.name(), training.steps, state.step);
    let result = trainer.train(model, optimizer, &mut state, |event| match event {
        Event::Log(line) => {
            bar.train(&line);
            log.write(&line)?;
            Ok(true)
        }
        Event::Checkpoint { model, optimizer, state, validate } => {
            // The last update may have spoilt weights that its own loss did not show.
            if let Some(name) = finite::first_not_finite(&model.valid()) {
                return Err(finite::spoilt(&name, state.step));
            }
            if validate {
                let line = validation(session, experiment, data, &model.valid(), state)?;
                bar.valid(&line, &training.metric);
                log.write(&line)?;
            }
            folder.checkpoints().save(model, optimizer, state, training.keep_checkpoints)?;
            Ok(training.patience.is_none_or(|patience| state.since_best < patience))
        }
    });
    bar.finish();
    let reason = match &result {
        Ok((_, End::Steps)) => "steps",
        Ok((_, End::Patience)) => "patience",
        Ok((_, End::Interrupted)) => "interrupted",
        Err(Error::Diverged(_)) => "diverged",
        Err(_) => "failed",
    };
    let line = LogLine::End { step: state.step, reason: reason.into(), seconds: state.seconds };
    let logged = log.write(&line);
    // On a full disk both fail; the first error says more.
    let (_, end) = result?;
    logged?;
    Ok(Trained { end, state })
}

/// Scores the validation split and updates the best value in `state`.
pub(crate) fn validation(
    session: &Session<'_>,
    experiment: &Experiment,
    data: &Prepared,
    model: &Model,
    state: &mut LoopState,
) -> Result<LogLine> {
    let (training, device) = (&experiment.training, &session.device.device);
    let listeners = listeners(data, training.loss, Split::Valid);
    let objective = Objective::new(training.loss, listeners.as_ref(), device);
    let stop = AtomicBool::new(false);
    let outcome =
        track_predictions::predict(model, &data.valid, &objective, device, &stop, |_, _| {})?;
    let outputs = match experiment.model.is_learned() {
        true => None,
        false => Some(session.training_outputs(model, data)?),
    };
    let metrics = measure(training.loss, &outcome, outputs.as_ref(), data, Split::Valid)?;
    let best = judge(&training.metric, &metrics, state)?;
    Ok(LogLine::Valid { step: state.step, metrics, best })
}
