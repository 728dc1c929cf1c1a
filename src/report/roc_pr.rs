//! ROC and precision-recall curves, averaged over runs and tags at fixed positions.

use super::evaluated_run::{EvaluatedRun, ReportError};
use crate::evaluation::metrics::{OperatingPoint, operating_points};

/// Intervals between the positions at which curves are read.
pub const INTERVALS: usize = 80;

/// False positive rates at which ROC curves are read: denser where the curves are steep.
pub fn false_positive_rate(index: usize) -> f64 {
    (index as f64 / INTERVALS as f64).powi(2)
}

/// Recalls at which precision-recall curves are read.
pub fn recall(index: usize) -> f64 {
    index as f64 / INTERVALS as f64
}

/// The curves of one tag, or their mean over tags: true positive rates at
/// [`false_positive_rate`]s, precisions at [`recall`]s.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    pub roc: Vec<f64>,
    pub pr: Vec<f64>,
}

/// The curves of every tag, as means over `runs`; `None` where a tag is not scored.
///
/// # Errors
/// If a prediction is not finite.
pub fn per_tag(runs: &[&EvaluatedRun]) -> Result<Vec<Option<Curves>>, ReportError> {
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
            let points = operating_points(&values, &truth).map_err(|source| {
                ReportError::Score { run: run.name.clone(), source: Box::new(source) }
            })?;
            curves.push(Curves::new(&points));
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

impl Curves {
    /// The curves of one tag with at least one positive and one negative track.
    fn new(points: &[OperatingPoint]) -> Self {
        let (positives, negatives) = points
            .last()
            .map_or((1.0, 1.0), |p| (p.true_positives as f64, p.false_positives as f64));
        let rate = |count: usize, of: f64| count as f64 / of;
        let roc = points
            .iter()
            .map(|p| (rate(p.false_positives, negatives), rate(p.true_positives, positives)));
        let pr = points.iter().map(|p| {
            let called = (p.true_positives + p.false_positives) as f64;
            (rate(p.true_positives, positives), rate(p.true_positives, called))
        });
        Self {
            roc: read_roc(&[(0.0, 0.0)].into_iter().chain(roc).collect::<Vec<_>>()),
            pr: read_pr(&pr.collect::<Vec<_>>()),
        }
    }
}

/// True positive rates at the false positive rates: linear between points, and the upper end of
/// vertical parts.
fn read_roc(points: &[(f64, f64)]) -> Vec<f64> {
    let read = |x: f64| {
        // The first point is at 0.
        let after = points.partition_point(|point| point.0 <= x).max(1);
        let before = points[after - 1];
        let Some(next) = points.get(after) else { return before.1 };
        before.1 + (x - before.0) / (next.0 - before.0) * (next.1 - before.1)
    };
    (0..=INTERVALS).map(false_positive_rate).map(read).collect()
}

/// Precisions at the recalls: of the first point that reaches the recall, as in average precision.
fn read_pr(points: &[(f64, f64)]) -> Vec<f64> {
    // Recall 0 is read from the first point with a positive track.
    let read = |x: f64| {
        let at = points.partition_point(|point| point.0 < x.max(1e-9) - 1e-12);
        points.get(at).or(points.last()).map_or(0.0, |point| point.1)
    };
    (0..=INTERVALS).map(recall).map(read).collect()
}
