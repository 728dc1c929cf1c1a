//! ROC and precision-recall curves, averaged over runs and tags at fixed places.

use super::data::{ReportError, RunSummary};
use crate::evaluation::metrics::{PrPoint, RocPoint, pr_curve, roc_curve};

/// Intervals between the places at which curves are read.
pub const INTERVALS: usize = 80;

/// The false positive rates at which ROC curves are read: closer where they rise.
pub fn false_positive_rate(place: usize) -> f64 {
    (place as f64 / INTERVALS as f64).powi(2)
}

/// The recalls at which precision-recall curves are read.
pub fn recall(place: usize) -> f64 {
    place as f64 / INTERVALS as f64
}

/// The curves of one tag, or their mean over tags: true positive rates at
/// [`false_positive_rate`]s, precisions at [`recall`]s.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    pub roc: Vec<f64>,
    pub pr: Vec<f64>,
}

/// The curves of every tag, as means over `runs`; `None` for a tag that is not scored.
///
/// # Errors
/// If a prediction is not finite.
pub fn per_tag(runs: &[&RunSummary]) -> Result<Vec<Option<Curves>>, ReportError> {
    let Some(first) = runs.first() else { return Ok(Vec::new()) };
    let width = first.targets.tags.len();
    let mut all = Vec::with_capacity(width);
    for tag in 0..width {
        let truth: Vec<bool> =
            first.targets.values.iter().skip(tag).step_by(width).copied().collect();
        let positives = truth.iter().filter(|&&has| has).count();
        if positives == 0 || positives == truth.len() {
            all.push(None);
            continue;
        }
        let mut curves = Vec::with_capacity(runs.len());
        for run in runs {
            let values: Vec<f32> =
                run.predictions.values.iter().skip(tag).step_by(width).copied().collect();
            let failed =
                |source| ReportError::Score { run: run.name.clone(), source: Box::new(source) };
            let roc = roc_curve(&values, &truth, usize::MAX).map_err(failed)?;
            let pr = pr_curve(&values, &truth, usize::MAX).map_err(failed)?;
            curves.push(Curves { roc: read_roc(&roc), pr: read_pr(&pr) });
        }
        all.push(mean(curves.iter()));
    }
    Ok(all)
}

/// The mean of curves; `None` of nothing.
pub fn mean<'a>(curves: impl Iterator<Item = &'a Curves>) -> Option<Curves> {
    let mut sum = Curves { roc: vec![0.0; INTERVALS + 1], pr: vec![0.0; INTERVALS + 1] };
    let mut count = 0;
    for curve in curves {
        count += 1;
        sum.roc.iter_mut().zip(&curve.roc).for_each(|(sum, value)| *sum += value);
        sum.pr.iter_mut().zip(&curve.pr).for_each(|(sum, value)| *sum += value);
    }
    sum.roc.iter_mut().chain(&mut sum.pr).for_each(|value| *value /= f64::from(count));
    (count > 0).then_some(sum)
}

/// Linear between points; where the curve is upright, its upper end.
fn read_roc(points: &[RocPoint]) -> Vec<f64> {
    let places = (0..=INTERVALS).map(false_positive_rate);
    places
        .map(|x| {
            let after = points.partition_point(|point| point.false_positive_rate <= x);
            let Some(before) = after.checked_sub(1).and_then(|index| points.get(index)) else {
                return 0.0;
            };
            let Some(next) = points.get(after) else { return before.true_positive_rate };
            let share = (x - before.false_positive_rate)
                / (next.false_positive_rate - before.false_positive_rate);
            before.true_positive_rate
                + share * (next.true_positive_rate - before.true_positive_rate)
        })
        .collect()
}

/// The precision of the first point that reaches the recall: average precision is the area under
/// these steps.
fn read_pr(points: &[PrPoint]) -> Vec<f64> {
    // Recall 0 is read just above it, for the first point stands there by convention only.
    let places = (0..=INTERVALS).map(|place| recall(place).max(1e-9));
    places
        .map(|x| {
            let at = points.partition_point(|point| point.recall < x - 1e-12);
            points.get(at).or(points.last()).map_or(0.0, |point| point.precision)
        })
        .collect()
}
