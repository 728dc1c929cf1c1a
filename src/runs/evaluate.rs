//! Evaluation of a trained run on one split.

use datasets::Split;
use models::NetworkConfig;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::evaluation::metrics::Scores;
use crate::evaluation::recommendation::{Recommendation, recommend};
use crate::evaluation::track_predictions;
use crate::evaluation::validation::{listeners, score};
use crate::io::files::write_atomic;
use crate::listening::factors;
use crate::runs::checkpoint::Which;
use crate::runs::folder::{RunFolder, suffix};
use crate::runs::session::Session;
use crate::training::objective::Objective;

/// The scores of an evaluation.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Evaluated {
    /// Of a run that predicts tags or genres.
    Tags(Scores),
    /// Of a run that predicts latent factors.
    Recommendation(Box<Recommendation>),
}

/// Scores and the checkpoint that they belong to.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// The scores.
    #[serde(flatten)]
    pub scores: Evaluated,
    /// Name of the checkpoint.
    pub checkpoint: String,
}

/// Predicts and scores a split of a trained run, and writes both into its folder.
///
/// # Errors
/// [`Error::Config`] if the run is cross-validated, [`Error::Data`] or [`Error::Io`] if it, its checkpoint or its data
/// cannot be read, or the results cannot be written, [`Error::Device`] if the device fails, [`Error::Interrupted`] if it
/// was stopped.
pub fn evaluate(
    session: &Session<'_>,
    folder: &RunFolder,
    split: Split,
    which: Which,
) -> Result<Evaluation> {
    if folder.experiment()?.cross_validation.is_some() {
        return Err(Error::Config(format!(
            "{} was scored by cross-validation, which has no splits; see its scores.json and predictions.csv",
            folder.path().display()
        )));
    }
    let _lock = folder.lock()?;
    folder.warn_if_unfinished()?;
    let (experiment, mut data, model) = session.open(folder, which)?;
    let (loss, device) = (experiment.training.loss, &session.device.device);
    if experiment.model.is_fitted() {
        session.compute_features(&model, &mut data, split)?;
    }

    let listeners = listeners(&data, loss, split);
    let objective = Objective::new(loss, listeners.as_ref(), device);
    let bar = session.progress.predict(&format!("{} {split}", folder.name()));
    let examples = data.examples(split);
    let outcome = track_predictions::predict(
        &model,
        examples,
        &objective,
        device,
        session.stop,
        |done, total| bar.predict(done, total),
    );
    bar.finish();
    let mut outcome = outcome?;
    let checkpoint = folder.checkpoints().pointed(which)?;
    let json = |evaluation: &Evaluation| {
        serde_json::to_vec_pretty(evaluation).expect("plain data becomes JSON")
    };
    let Some(latent) = &data.latent else {
        outcome.predictions.clamp_to_probabilities();
        let scores = Evaluated::Tags(score(loss, &outcome, &data, split)?);
        let evaluation = Evaluation { scores, checkpoint };
        folder.write_scored(&outcome.predictions, &json(&evaluation), split)?;
        return Ok(evaluation);
    };
    let mut outputs = None;
    if experiment.model.is_learned() {
        let predicted = folder.file(&format!("predicted{}", suffix(split)));
        let predictions = &outcome.predictions;
        factors::write_items(&predicted, &predictions.ids, &predictions.values)?;
    } else {
        outputs = Some(session.training_outputs(&model, &data)?);
    }
    let scores = recommend(latent, outcome, outputs.as_ref(), &data, split, experiment.seed)?;
    let evaluation = Evaluation { scores: Evaluated::Recommendation(Box::new(scores)), checkpoint };
    write_atomic(&folder.scores(split), &json(&evaluation))?;
    Ok(evaluation)
}
