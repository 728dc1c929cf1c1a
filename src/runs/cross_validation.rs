//! Cross-validation of a classifier on fixed features: every track is held out once. A classifier of all tracks is fitted
//! afterwards, so that the run predicts like any other.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Instant;

use burn::module::Module;
use datasets::{Split, Track};
use models::Network;
use models::linear::linear_probe::{
    CrossValidated, CrossValidationConfig, CrossValidationError, Fold, Labelled,
};

use crate::data::examples::{Examples, TrackInputs};
use crate::data::prepare::Prepared;
use crate::error::{Error, Result};
use crate::evaluation::metrics::{self, Folds, Targets};
use crate::evaluation::predictions::Predictions;
use crate::evaluation::spread::Spread;
use crate::experiment::Experiment;
use crate::runs::fit::fixed_features;
use crate::runs::folder::{Environment, RunFolder};
use crate::runs::model;
use crate::runs::session::Session;
use crate::runs::train::Trained;
use crate::runs::transfer_source;
use crate::training::log::{Log, LogLine};
use crate::training::state::{Best, LoopState};
use crate::training::training_loop::End;

/// Scores the model's features by cross-validation and writes a complete run to `folder`; an interrupted one starts again.
///
/// # Errors
/// Errors of loading and fitting; [`Error::Data`] if a track does not have exactly one class; errors of
/// [`CrossValidationConfig::run`]. After [`Error::Interrupted`] no run exists.
pub(crate) fn cross_validate(
    session: &Session<'_>,
    experiment: &Experiment,
    config: &CrossValidationConfig,
    folder: &RunFolder,
) -> Result<Trained> {
    let began = Instant::now();
    let mut data = session.prepare(experiment, folder)?;
    let classes = classes(&data)?;
    let groups = config.by_artist.then(|| artists(&data.collection.tracks));
    if let Some((_, nameless)) = &groups
        && *nameless > 0
    {
        data.notes.push(format!(
            "{nameless} tracks have no artist: each is treated as an artist of its own"
        ));
    }
    let fitted = session.fit(experiment, &data, folder)?;
    let device = &session.device.device;
    let model = model::initial(experiment, data.outputs(), &fitted, device)?;
    let model = transfer_source::put_into(model, experiment, folder.beside(), device)?;

    let bar = session.progress.predict("features");
    let features =
        fixed_features(&model.valid(), &data.train, device, session.stop, |done, all| {
            bar.predict(done, all);
        });
    bar.finish();
    let features = features?;
    let (rows, columns) = track_means(&features);
    let of = Labelled {
        rows: &rows,
        columns,
        classes: &classes,
        n_classes: data.outputs(),
        groups: groups.as_ref().map(|(groups, _)| groups.as_slice()),
    };
    let bar = session.progress.predict("folds");
    let found = config.run(&of, |done, _| {
        bar.predict(done, config.folds);
        match session.stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    bar.finish();
    let found = found.map_err(from_cross_validation)?;
    let (weights, biases) = config.fit(&of).map_err(from_cross_validation)?.plain();
    let model = model.with_classifier(&weights, &biases);

    data.notes.extend(found.notes.iter().cloned());
    data.log_notes();
    let environment = Environment::here(session.device, model.num_params(), data.notes.clone());
    folder.create(experiment, &environment, &fitted, &data)?;
    let accuracy = write(&found, &data, folder)?;
    let state = LoopState {
        seconds: began.elapsed().as_secs_f64(),
        best: accuracy.map(|value| Best { step: 0, value }),
        ..LoopState::default()
    };
    let training = &experiment.training;
    let optimizer = training.optimizer.init();
    folder.checkpoints().save(&model, &optimizer, &state, training.keep_checkpoints)?;
    let mut log = Log::open(folder.path(), 0)?;
    let metrics = BTreeMap::from([("accuracy".to_string(), accuracy)]);
    log.write(&LogLine::Valid { step: 0, metrics, best: true })?;
    // Written last: it marks the run as complete.
    log.write(&LogLine::End { step: 0, reason: "steps".into(), seconds: state.seconds })?;
    Ok(Trained { end: End::Steps, state })
}

/// The class of each track.
fn classes(data: &Prepared) -> Result<Vec<u32>> {
    let class = |track: &Track| match track.tags.as_slice() {
        [one] => Ok(*one as u32),
        tags => Err(Error::Data(format!(
            "track {} of {} has {} tags: [cross_validation] needs exactly one per track",
            track.id,
            data.collection.name,
            tags.len()
        ))),
    };
    data.collection.tracks.iter().map(class).collect()
}

/// A group number per artist (one of its own for each track without artist), and the number of tracks without artist.
fn artists(tracks: &[Track]) -> (Vec<u32>, usize) {
    let mut known: HashMap<&str, u32> = HashMap::new();
    let (mut next, mut nameless) = (0, 0);
    let groups = tracks.iter().map(|track| {
        let fresh = || {
            next += 1;
            next - 1
        };
        match &track.artist {
            Some(artist) => *known.entry(artist).or_insert_with(fresh),
            None => {
                nameless += 1;
                let mut fresh = fresh;
                fresh()
            }
        }
    });
    let groups = groups.collect();
    (groups, nameless)
}

/// Mean features per track, `[track, feature]`, and the number of features.
fn track_means(examples: &Examples) -> (Vec<f32>, usize) {
    let TrackInputs::Features { tracks, width } = &examples.inputs else {
        unreachable!("features were computed");
    };
    let mean = |rows: &Vec<f32>| -> Vec<f32> {
        let count = (rows.len() / width) as f64;
        let column = |at| rows.iter().skip(at).step_by(*width).map(|v| f64::from(*v)).sum::<f64>();
        (0..*width).map(|at| (column(at) / count) as f32).collect()
    };
    (tracks.iter().flat_map(mean).collect(), *width)
}

/// Writes predictions and scores; returns the accuracy.
fn write(found: &CrossValidated, data: &Prepared, folder: &RunFolder) -> Result<Option<f64>> {
    let broken = |error: &dyn std::fmt::Display| Error::Data(error.to_string());
    let tags = data.collection.tags.clone();
    let ids: Vec<String> = data.train.ids.clone();
    // Decision values are not probabilities; softmax keeps their order.
    let values = found.decisions.chunks_exact(tags.len()).flat_map(softmax).collect();
    let predictions = Predictions { ids: ids.clone(), tags: tags.clone(), values };
    let targets = Targets::from_numbers(ids, tags, &data.train.targets).map_err(|e| broken(&e))?;
    let split = format!("{} folds", found.folds.len());
    let mut scores = metrics::score_genres(&predictions, &targets, &data.collection.name, &split)
        .map_err(|error| broken(&error))?;
    let accuracies: Vec<f64> = found.folds.iter().map(|fold: &Fold| fold.accuracy).collect();
    scores.cross_validation = Spread::of(&accuracies).map(|spread| Folds {
        accuracy_mean: spread.mean,
        accuracy_deviation: spread.deviation.unwrap_or(0.0),
        folds: found.folds.clone(),
    });
    let text = serde_json::to_vec_pretty(&scores).expect("plain data becomes JSON");
    folder.write_scored(&predictions, &text, Split::Test)?;
    Ok(scores.accuracy)
}

fn softmax(row: &[f32]) -> Vec<f32> {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = row.iter().map(|value| (value - top).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn from_cross_validation(error: CrossValidationError) -> Error {
    match error {
        CrossValidationError::Config(error) => {
            Error::Config(format!("in [cross_validation]: {error}"))
        }
        CrossValidationError::TooFew { .. } => {
            Error::Config(format!("in [cross_validation]: {error}"))
        }
        CrossValidationError::Stopped(_) => {
            Error::Interrupted("interrupted; nothing of this run was saved".into())
        }
        error => Error::Data(format!("the features cannot be classified: {error}")),
    }
}
