//! One run from its experiment to its scores.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::module::Module;
use datasets::Split;
use models::front_end::FrontEndConfig;
use models::{Fitted, Model, Network, NetworkConfig};
use serde::Serialize;

use crate::data::examples::TrackInputs;
use crate::data::prepare::{Places, Prepared, prepare};
use crate::device::DeviceInfo;
use crate::device::failure::guarded;
use crate::error::{Error, Result};
use crate::evaluation::metrics::Scores;
use crate::evaluation::recommendation::{Recommendation, matrix, neighbours, recommend};
use crate::evaluation::track_predictions;
use crate::evaluation::validation::{judge, listeners, measure, score};
use crate::experiment::{Experiment, Loss};
use crate::inference::embeddings::embed;
use crate::io::files::write_atomic;
use crate::listening::catalogue::{self, By, Catalogue, Listening};
use crate::listening::factors;
use crate::listening::matrix::Matrix;
use crate::progress::Progress;
use crate::runs::checkpoint::{Checkpoint, Which};
use crate::runs::fit::{self, TrainingAudio, fixed_features};
use crate::runs::folder::{Environment, RunFolder, suffix};
use crate::runs::gpu_memory;
use crate::runs::model;
use crate::runs::transfer_source;
use crate::runs::warm_start::Start;
use crate::training::finite;
use crate::training::log::{Log, LogLine};
use crate::training::objective::Objective;
use crate::training::parameter_groups::ParamGroups;
use crate::training::state::LoopState;
use crate::training::training_loop::{End, Event, Trainer};

/// What a verb brings to every run.
pub struct Session<'a> {
    /// What computes.
    pub device: &'a DeviceInfo,
    /// Where data, cache and runs are.
    pub places: &'a Places,
    /// Set when the user asks to stop; work then ends at the next place where it can go on.
    pub stop: &'a AtomicBool,
    /// Shows how far work is.
    pub progress: &'a Progress,
}

/// What an evaluation found.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Evaluated {
    /// Of a run that predicts tags or genres.
    Tags(Scores),
    /// Of a run that predicts latent factors.
    Recommendation(Box<Recommendation>),
}

/// The same, with what it is said of.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// What was found.
    #[serde(flatten)]
    pub scores: Evaluated,
    /// The name of the model's checkpoint.
    pub checkpoint: String,
}

/// How training ended, and where it stood.
pub struct Trained {
    /// Why it ended.
    pub end: End,
    /// Steps done, the best validation, the time it took.
    pub state: LoopState,
}

impl Session<'_> {
    /// Loads the data of an experiment; factors are those of the run in `folder`, if it has any.
    ///
    /// # Errors
    /// [`Error::Data`] if the data set cannot be read or a split has no track that can be used, [`Error::Io`] if the cache or
    /// a file cannot, [`Error::Interrupted`] if it was stopped.
    pub fn prepare(&self, experiment: &Experiment, folder: &RunFolder) -> Result<Prepared> {
        let scan = self.progress.scan();
        // Made when the first sweep is done: most experiments have nothing to factorise.
        let mut sweeps = None;
        let data = prepare(
            experiment,
            self.places,
            Some(&folder.factors()).filter(|_| folder.exists()).map(PathBuf::as_path),
            self.stop,
            &|progress| scan.scan(progress),
            &mut |sweep, all, objective| {
                let bar = sweeps.get_or_insert_with(|| self.progress.sweeps(all));
                bar.sweep_of(sweep, objective);
            },
        );
        scan.finish();
        if let Some(bar) = sweeps {
            bar.finish();
        }
        data
    }

    /// Trains `experiment` in `folder`, from its last checkpoint if there is one and `resume` is set.
    ///
    /// # Errors
    /// [`Error::Config`] if the folder holds a run and `resume` is not set; those of loading and
    /// training; [`Error::Device`] if a GPU fails. [`Error::Interrupted`] is not among them: see
    /// [`Trained::end`].
    pub fn train(
        &self,
        experiment: &Experiment,
        folder: &RunFolder,
        resume: bool,
    ) -> Result<Trained> {
        let advice = |failed| gpu_memory::advice(folder, experiment, failed, &self.device.device);
        guarded(self.device, advice, || self.train_there(experiment, folder, resume))
    }

    fn train_there(
        &self,
        experiment: &Experiment,
        folder: &RunFolder,
        resume: bool,
    ) -> Result<Trained> {
        if folder.exists() && !resume {
            let remedy = match folder.checkpoints().any()? {
                true => "add --resume to go on with it",
                false => "it holds no checkpoint, so delete it",
            };
            return Err(Error::Config(format!(
                "{} exists: {remedy}, or give the experiment another name or seed",
                folder.path().display()
            )));
        }
        self.device.suits(&experiment.training)?;
        let experiment = &transfer_source::resolved(experiment, folder.beside())?;
        let _lock = folder.lock()?;
        if let Some(config) = &experiment.cross_validation {
            return self.cross_validate(experiment, config, folder);
        }
        let mut data = self.prepare(experiment, folder)?;
        let began = Instant::now();
        let training = &experiment.training;
        let start = match folder.exists() {
            // Its own checkpoints hold what it began with.
            true => None,
            false => Start::of(experiment, folder.beside())?,
        };
        let fitted = match (&start, folder.exists()) {
            (_, true) => folder.fitted()?,
            (Some(start), false) => start.fitted()?,
            (None, false) => self.fit(experiment, &data, folder)?,
        };
        let mut model = model::initial(experiment, data.outputs(), &fitted, &self.device.device)?;
        if !folder.exists() {
            model =
                transfer_source::put_into(model, experiment, folder.beside(), &self.device.device)?;
        }
        if let Some(start) = &start {
            let (begun, note) = start.put_into(model)?;
            model = begun;
            data.notes.push(note);
        }
        if !training.frozen.is_empty() {
            data.notes.push(format!("frozen: {}", training.frozen.join(", ")));
        }
        if !training.precision.is_native() {
            let name = "training.precision = \"bfloat16\"";
            data.notes.push(format!(
                "{name}: this processor has no instructions for it, so nothing is faster"
            ));
        }
        let empty = experiment.model.front_end().map_or(0, FrontEndConfig::empty_bands);
        if empty > 0 {
            data.notes.push(format!(
                "{empty} bands of the front end hold no frequency of its transform and stay silent: fewer n_mels or a \
                 larger n_fft leave none"
            ));
        }
        ParamGroups::new(&model, &training.frozen, &training.learning_rates)?;
        let parameters = model.num_params();

        let mut checkpoint = None;
        if folder.exists() {
            folder.check_same(experiment, &data)?;
            checkpoint = folder.checkpoints().newest()?;
            if let Some(checkpoint) = &mut checkpoint {
                folder.checkpoints().repair(checkpoint)?;
            }
            if checkpoint.as_ref().is_none_or(|reached| reached.state.step < training.steps) {
                folder.forget_scores()?;
            }
        } else {
            let notes = data.notes.clone();
            for note in &notes {
                tracing::info!("{}: {note}", data.collection.name);
            }
            let environment = Environment::here(self.device, parameters, notes);
            if start.is_some() || matches!(model, Model::Transferred(_)) {
                // Weights of another run, which may be gone when this one goes on.
                let (first, optimizer) = (LoopState::default(), training.optimizer.init());
                folder.checkpoints().save(&model, &optimizer, &first, training.keep_checkpoints)?;
            }
            folder.create(experiment, &environment, &fitted, &data)?;
        }
        if experiment.model.is_fitted() {
            for split in [Split::Train, Split::Valid] {
                self.fix(&model.valid(), &mut data, split)?;
            }
        }
        let mut optimizer = training.optimizer.init();
        // What is fitted and computed once is training too.
        let fitting = match experiment.model.is_fitted() {
            true => began.elapsed().as_secs_f64(),
            false => 0.0,
        };
        let mut state = LoopState { seconds: fitting, ..LoopState::default() };
        if let Some(Checkpoint { model: weights, optimizer: moments, state: reached, path }) =
            checkpoint
        {
            tracing::info!("going on from {}", path.display());
            model = model::with_weights(model, weights, &path)?;
            optimizer = optimizer.load_record(moments);
            state = reached;
        }

        let heard = |split: Split| listeners(&data, training.loss, split);
        let (train_heard, valid_heard) = (heard(Split::Train), heard(Split::Valid));
        let tracked = self.device.device.clone().autodiff();
        let objective = Objective::new(training.loss, train_heard.as_ref(), &tracked);
        let validation = Objective::new(training.loss, valid_heard.as_ref(), &self.device.device);

        let mut log = Log::open(folder.path(), state.step)?;
        let checkpoints = folder.checkpoints();
        let bar = self.progress.train(&folder_name(folder.path()), training.steps, state.step);
        let device = &self.device.device;
        let mut since = state.clone();
        let trainer = Trainer {
            config: training,
            seed: experiment.seed,
            examples: &data.train,
            objective: &objective,
            device,
            eager: self.device.is_cpu(),
            stop: self.stop,
        };
        let result = trainer.train(model, optimizer, &mut state, |event| match event {
            Event::Log(line) => {
                bar.train(&line);
                log.write(&line)?;
                Ok(true)
            }
            Event::Checkpoint { model, optimizer, state, validate } => {
                // The last step may have spoilt what its own loss did not show.
                if let Some(name) = finite::first_not_finite(&model.valid()) {
                    return Err(finite::spoilt(&name, state.step));
                }
                if validate {
                    let outcome = track_predictions::predict(
                        &model.valid(),
                        &data.valid,
                        &validation,
                        device,
                        &AtomicBool::new(false),
                        |_, _| {},
                    )?;
                    let places = match experiment.model.is_learned() {
                        true => None,
                        false => Some(self.places_of(&model.valid(), &data)?),
                    };
                    let metrics =
                        measure(training.loss, &outcome, places.as_ref(), &data, Split::Valid)?;
                    let best = judge(&training.metric, &metrics, state)?;
                    let line = LogLine::Valid { step: state.step, metrics, best };
                    bar.valid(&line, &training.metric);
                    log.write(&line)?;
                }
                checkpoints.save(model, optimizer, state, training.keep_checkpoints)?;
                since = state.clone();
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
        let logged = log.write(&LogLine::End {
            step: state.step,
            reason: reason.into(),
            seconds: state.seconds,
        });
        // On a full disk both fail; the first says more.
        let (_, end) = result?;
        logged?;
        Ok(Trained { end, state })
    }

    /// Fits what of the model is not learned step by step.
    pub(crate) fn fit(
        &self,
        experiment: &Experiment,
        data: &Prepared,
        folder: &RunFolder,
    ) -> Result<Fitted> {
        if !experiment.model.is_fitted() {
            return Ok(Fitted::default());
        }
        let bar = self.progress.fit();
        let neighbours = |count: usize| neighbours(data, count);
        let audio = TrainingAudio {
            examples: &data.train,
            device: &self.device.device,
            stop: self.stop,
            bar: &bar,
            source: &|| transfer_source::load(experiment, folder.beside(), &self.device.device),
            neighbours: data.latent.as_ref().map(|_| &neighbours as &fit::Neighbours<'_>),
        };
        let samples = experiment.excerpt_samples();
        let fitted = fit::fit(&experiment.model, samples, experiment.seed, &audio);
        bar.finish();
        fitted
    }

    /// Where a model that is not trained puts the tracks of the train split.
    fn places_of(&self, model: &Model, data: &Prepared) -> Result<Matrix> {
        let (objective, stop) = (Objective::Targets(Loss::None), self.stop);
        let train = match data.train.inputs {
            TrackInputs::Features { .. } => data.train.clone(),
            TrackInputs::Audio { .. } => {
                fixed_features(model, &data.train, &self.device.device, stop, |_, _| {})?
            }
        };
        let device = &self.device.device;
        matrix(&track_predictions::predict(model, &train, &objective, device, stop, |_, _| {})?)
    }

    /// Replaces the audio of a split by the features that the model's fixed part makes of it.
    fn fix(&self, model: &Model, data: &mut Prepared, split: Split) -> Result<()> {
        let bar = self.progress.predict(&format!("features, {split}"));
        let (examples, device) = (data.examples(split), &self.device.device);
        let fixed = fixed_features(model, examples, device, self.stop, |done, total| {
            bar.predict(done, total);
        });
        bar.finish();
        data.replace(split, fixed?);
        Ok(())
    }

    /// A trained run: its experiment, its data, which must be what it was, and its model.
    fn open(&self, folder: &RunFolder, which: Which) -> Result<(Experiment, Prepared, Model)> {
        let experiment = folder.experiment()?;
        let data = self.prepare(&experiment, folder)?;
        folder.check_data(&data)?;
        let device = &self.device.device;
        let model = model::trained(folder, &experiment, data.outputs(), which, device)?;
        Ok((experiment, data, model))
    }

    /// The tracks of a trained run with a vector each. What was computed is kept in the run's folder,
    /// and read again as long as the model is the same.
    ///
    /// # Errors
    /// If the run predicts no factors and these are asked for; those of loading and computing.
    pub fn catalogue(&self, folder: &RunFolder, by: By, which: Which) -> Result<Catalogue> {
        let fingerprint = folder.checkpoints().fingerprint(which)?;
        let experiment = folder.experiment()?;
        if by == By::Factors && !experiment.predicts_factors() {
            return Err(Error::Config(format!(
                "{} predicts no factors: use --by embedding",
                folder.path().display()
            )));
        }
        let kept = folder.file("catalogue").join(by.name());
        if let Some((ids, vectors)) = catalogue::read(&kept, &fingerprint)? {
            let collection = self.places.load(&experiment.dataset)?;
            return Catalogue::new(collection, ids, vectors);
        }
        let (experiment, data, model) = self.open(folder, which)?;
        let Prepared { collection, audio, .. } = data;
        let bar = self.progress.predict(&format!("{} {}", folder_name(folder.path()), by.name()));
        let ids: Vec<String> = collection.tracks.iter().map(|track| track.id.clone()).collect();
        let vectors = embed(
            |waveforms| match by {
                By::Embedding => model.embed(waveforms),
                By::Factors => model.forward(waveforms),
            },
            ids.clone(),
            audio,
            experiment.excerpt_samples(),
            &self.device.device,
            self.stop,
            |done, total| bar.predict(done, total),
        );
        bar.finish();
        let vectors = vectors?;
        if let Err(error) = catalogue::write(&kept, &fingerprint, &ids, &vectors) {
            // A run in a place that takes nothing can still be used.
            tracing::warn!(
                "{error}. What was computed is not kept, and is computed again next time"
            );
        }
        Catalogue::new(collection, ids, vectors)
    }

    /// Who listens to the tracks of a trained run, from its listening data and its factors.
    ///
    /// # Errors
    /// [`Error::Config`] if the run has no listening data; [`Error::Data`] or [`Error::Io`] if these, the data set or the factors
    /// cannot be read or do not fit each other.
    pub fn listening(&self, folder: &RunFolder) -> Result<Listening> {
        let experiment = folder.experiment()?;
        let Some(config) = &experiment.listening else {
            return Err(Error::Config(format!(
                "{} was trained on tags: it knows no listeners",
                folder.path().display()
            )));
        };
        let tables = factors::read(&folder.factors())?;
        let collection = self.places.load(&experiment.dataset)?;
        let plays = self.places.listening(config, &collection)?;
        Listening::new(tables.users, tables.n_factors, &plays)
    }

    /// Predicts and scores a split of a trained run, and writes both into its folder.
    ///
    /// # Errors
    /// [`Error::Config`] if the run is cross-validated, [`Error::Data`] or [`Error::Io`] if it, its checkpoint or its data
    /// cannot be read, or the results not written, [`Error::Device`] if the device fails, [`Error::Interrupted`] if it was stopped.
    pub fn evaluate(&self, folder: &RunFolder, split: Split, which: Which) -> Result<Evaluation> {
        if folder.experiment()?.cross_validation.is_some() {
            return Err(Error::Config(format!(
                "{} was scored by cross-validation, which has no splits: its scores.json and predictions.csv \
                 hold what came out",
                folder.path().display()
            )));
        }
        let _lock = folder.lock()?;
        folder.warn_if_unfinished()?;
        let (experiment, mut data, model) = self.open(folder, which)?;
        let device = &self.device.device;
        if experiment.model.is_fitted() {
            self.fix(&model, &mut data, split)?;
        }

        let heard = listeners(&data, experiment.training.loss, split);
        let objective = Objective::new(experiment.training.loss, heard.as_ref(), device);
        let bar = self.progress.predict(&format!("{} {split}", folder_name(folder.path())));
        let outcome = track_predictions::predict(
            &model,
            data.examples(split),
            &objective,
            device,
            self.stop,
            |done, total| bar.predict(done, total),
        );
        bar.finish();
        let outcome = outcome?;
        let checkpoint = folder.checkpoints().pointed(which)?;
        let with_its_source = |scores: Evaluated| {
            let evaluation = Evaluation { scores, checkpoint };
            let json = serde_json::to_vec_pretty(&evaluation).expect("plain data becomes JSON");
            (evaluation, json)
        };
        match &data.latent {
            Some(latent) => {
                let places = match experiment.model.is_learned() {
                    false => Some(self.places_of(&model, &data)?),
                    true => {
                        let predictions = &outcome.predictions;
                        let predicted = folder.file(&format!("predicted{}", suffix(split)));
                        factors::write_items(&predicted, &predictions.ids, &predictions.values)?;
                        None
                    }
                };
                let places = places.as_ref();
                let found = recommend(latent, outcome, places, &data, split, experiment.seed)?;
                let (evaluation, json) =
                    with_its_source(Evaluated::Recommendation(Box::new(found)));
                write_atomic(&folder.scores(split), &json)?;
                Ok(evaluation)
            }
            None => {
                let mut outcome = outcome;
                outcome.predictions.keep_probable();
                let scores = score(experiment.training.loss, &outcome, &data, split)?;
                let (evaluation, json) = with_its_source(Evaluated::Tags(scores));
                folder.write_scored(&outcome.predictions, &json, split)?;
                Ok(evaluation)
            }
        }
    }
}

fn folder_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
