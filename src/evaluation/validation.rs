//! What a split's predictions are worth, and whether they are the best so far.

use std::collections::BTreeMap;

use datasets::Split;

use crate::data::prepare::Prepared;
use crate::error::{Error, Result};
use crate::evaluation::metrics::{self, Scores, Targets};
use crate::evaluation::recommendation::{matrix, rank};
use crate::evaluation::track_predictions::Outcome;
use crate::experiment::{Loss, METRICS};
use crate::listening::matrix::Matrix;
use crate::training::state::{Best, LoopState};
use crate::training::weighted_prediction_error::Listeners;

/// The scores of a split's predictions.
///
/// # Errors
/// If predictions and targets are not of the same tracks and tags.
pub(crate) fn score(
    loss: Loss,
    outcome: &Outcome,
    data: &Prepared,
    split: Split,
) -> Result<Scores> {
    let examples = data.examples(split);
    let broken = |error: metrics::MetricError| Error::Data(error.to_string());
    let (ids, tags) = (examples.ids.clone(), data.collection.tags.clone());
    let targets = Targets::from_numbers(ids, tags, &examples.targets).map_err(broken)?;
    let (name, split) = (data.collection.name.as_str(), split.to_string());
    match loss {
        Loss::CrossEntropy => metrics::score_genres(&outcome.predictions, &targets, name, &split),
        // A regressed tag has no probability, but it has a rank, and both areas ask for no more.
        Loss::BinaryCrossEntropy
        | Loss::MeanSquaredError
        | Loss::WeightedPredictionError
        | Loss::None => metrics::score(&outcome.predictions, &targets, name, &split),
    }
    .map_err(broken)
}

/// The listeners of a split's tracks, if the loss asks for them.
pub(crate) fn listeners(data: &Prepared, loss: Loss, split: Split) -> Option<Listeners> {
    match loss {
        Loss::WeightedPredictionError => {
            let latent = data.latent.as_ref()?;
            Some(Listeners::new(latent.users.clone(), latent.confidences(&data.positions(split))))
        }
        _ => None,
    }
}

/// The metrics of one validation, by name; a metric that is not defined on this split is `None`.
pub(crate) fn measure(
    loss: Loss,
    outcome: &Outcome,
    places: Option<&Matrix>,
    data: &Prepared,
    split: Split,
) -> Result<BTreeMap<String, Option<f64>>> {
    let mut all = BTreeMap::from([("loss".to_string(), Some(outcome.loss))]);
    match loss {
        Loss::BinaryCrossEntropy => {
            let scores = score(loss, outcome, data, split)?;
            all.insert("roc_auc_macro".into(), scores.roc_auc_macro);
            all.insert("pr_auc_macro".into(), scores.pr_auc_macro);
        }
        Loss::CrossEntropy => {
            let scores = score(loss, outcome, data, split)?;
            all.insert("accuracy".into(), scores.accuracy);
            all.insert("f1_macro".into(), scores.f1_macro);
        }
        Loss::MeanSquaredError => {
            all.insert("mse".into(), Some(outcome.loss));
        }
        Loss::WeightedPredictionError => {
            all.insert("wpe".into(), Some(outcome.loss));
        }
        Loss::None => all.clear(),
    }
    if let Some(latent) = &data.latent {
        let scores = rank(latent, &matrix(outcome)?, places, data, split)?;
        all.insert("map".into(), scores.map);
        all.insert("auc".into(), scores.auc);
    }
    Ok(all)
}

/// Updates the best value; whether this validation is it.
pub(crate) fn judge(
    metric: &str,
    metrics: &BTreeMap<String, Option<f64>>,
    state: &mut LoopState,
) -> Result<bool> {
    let value = metrics.get(metric).copied().flatten().ok_or_else(|| {
        Error::Data(format!(
            "training.metric {metric} is not defined on the valid split: no tag has both a positive and a \
             negative track there"
        ))
    })?;
    if value.is_nan() {
        return Err(Error::Diverged(format!(
            "{metric} is no number on the valid split after step {}: the network gives values that are not finite. Lower \
             training.optimizer.learning_rate, or set training.clip_norm",
            state.step
        )));
    }
    let larger = METRICS.iter().any(|(name, larger)| *name == metric && *larger);
    let best =
        state.best.is_none_or(|best| if larger { value > best.value } else { value < best.value });
    if best {
        state.best = Some(Best { step: state.step, value });
        state.since_best = 0;
    } else {
        state.since_best += 1;
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_best_begins_the_count_anew() {
        // Of an area the larger value is the better one, of a loss the smaller; equal is no better.
        for (metric, sign) in [("roc_auc_macro", 1.0), ("loss", -1.0)] {
            let mut state = LoopState::default();
            let values = [0.5, 0.4, 0.5, 0.6, 0.1];
            let seen = values.map(|value| {
                state.step += 4;
                let metrics = BTreeMap::from([(metric.to_owned(), Some(sign * value))]);
                let best = judge(metric, &metrics, &mut state).unwrap();
                (best, state.since_best, state.best.map(|best| best.step))
            });
            let (first, later) = (Some(4), Some(16));
            assert_eq!(
                seen,
                [
                    (true, 0, first),
                    (false, 1, first),
                    (false, 2, first),
                    (true, 0, later),
                    (false, 1, later)
                ]
            );
        }
    }
}
