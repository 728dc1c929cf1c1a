//! ROC and precision-recall curves as points for a plot.

use serde::Serialize;

use super::MetricError;
use super::ranking::check_column;

/// A point of a ROC curve: what calling every track at or above `threshold` positive gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RocPoint {
    /// Share of the negatives that are called positive.
    pub false_positive_rate: f64,
    /// Share of the positives that are called positive.
    pub true_positive_rate: f64,
    /// `None` at the start, where nothing is called positive.
    pub threshold: Option<f32>,
}

/// A point of a precision-recall curve: what calling every track at or above `threshold` positive
/// gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PrPoint {
    /// Share of the positives that are called positive.
    pub recall: f64,
    /// 1 at the start by convention.
    pub precision: f64,
    /// `None` at the start, where nothing is called positive.
    pub threshold: Option<f32>,
}

/// The ROC curve from (0, 0) to (1, 1), a point a distinct prediction, thinned to at most
/// `max_points` (but never below the two ends); empty without a positive or a negative.
///
/// # Errors
/// If the lengths of `predictions` and `targets` (both `[track]`) differ, or a prediction is NaN
/// or infinite.
pub fn roc_curve(
    predictions: &[f32],
    targets: &[bool],
    max_points: usize,
) -> Result<Vec<RocPoint>, MetricError> {
    let steps = thresholds(predictions, targets)?;
    let (positives, negatives) = totals(&steps);
    if positives == 0 || negatives == 0 {
        return Ok(Vec::new());
    }
    let start = RocPoint { false_positive_rate: 0.0, true_positive_rate: 0.0, threshold: None };
    let points = steps.iter().map(|step| RocPoint {
        false_positive_rate: step.false_positives as f64 / negatives as f64,
        true_positive_rate: step.true_positives as f64 / positives as f64,
        threshold: Some(step.threshold),
    });
    let points = std::iter::once(start).chain(points).collect();
    Ok(thin(points, max_points, |p| (p.false_positive_rate, p.true_positive_rate)))
}

/// The precision-recall curve from recall 0 to recall 1, a point a distinct prediction, thinned to
/// at most `max_points` (but never below the two ends); empty without a positive.
///
/// Between two points the curve is a step, not a line: average precision is the sum of precision
/// times the recall gained.
///
/// # Errors
/// As [`roc_curve`].
pub fn pr_curve(
    predictions: &[f32],
    targets: &[bool],
    max_points: usize,
) -> Result<Vec<PrPoint>, MetricError> {
    let steps = thresholds(predictions, targets)?;
    let (positives, _) = totals(&steps);
    if positives == 0 {
        return Ok(Vec::new());
    }
    let start = PrPoint { recall: 0.0, precision: 1.0, threshold: None };
    let points = steps.iter().map(|step| PrPoint {
        recall: step.true_positives as f64 / positives as f64,
        precision: step.true_positives as f64 / (step.true_positives + step.false_positives) as f64,
        threshold: Some(step.threshold),
    });
    let points = std::iter::once(start).chain(points).collect();
    Ok(thin(points, max_points, |p| (p.recall, p.precision)))
}

/// How many tracks of either kind have a prediction of at least `threshold`.
struct Step {
    threshold: f32,
    true_positives: usize,
    false_positives: usize,
}

/// A step a distinct prediction, from the highest down.
fn thresholds(predictions: &[f32], targets: &[bool]) -> Result<Vec<Step>, MetricError> {
    check_column(predictions, targets)?;
    let mut pairs: Vec<(f32, bool)> =
        predictions.iter().zip(targets).map(|(&p, &t)| (p, t)).collect();
    // All are finite. total_cmp would part the two zeros, which adding 0.0 makes one.
    pairs.sort_unstable_by(|a, b| (b.0 + 0.0).total_cmp(&(a.0 + 0.0)));
    let (mut true_positives, mut false_positives) = (0, 0);
    let steps = pairs.chunk_by(|a, b| a.0 == b.0).map(|tied| {
        let positives = tied.iter().filter(|pair| pair.1).count();
        true_positives += positives;
        false_positives += tied.len() - positives;
        Step { threshold: tied[0].0, true_positives, false_positives }
    });
    Ok(steps.collect())
}

fn totals(steps: &[Step]) -> (usize, usize) {
    steps.last().map_or((0, 0), |last| (last.true_positives, last.false_positives))
}

/// Keeps the ends and, between them, points at even distances along the curve, so that steep and
/// flat parts are drawn equally well.
fn thin<P: Copy>(points: Vec<P>, max_points: usize, place: impl Fn(&P) -> (f64, f64)) -> Vec<P> {
    if points.len() <= max_points.max(2) {
        return points;
    }
    let distance = |a: &P, b: &P| {
        let ((ax, ay), (bx, by)) = (place(a), place(b));
        (ax - bx).abs() + (ay - by).abs()
    };
    let length: f64 = points.windows(2).map(|pair| distance(&pair[0], &pair[1])).sum();
    let inner = max_points.max(2) - 2;
    let spacing = length / (inner + 1) as f64;
    let mut kept = vec![points[0]];
    let mut travelled = 0.0;
    for pair in points.windows(2).take(points.len() - 2) {
        travelled += distance(&pair[0], &pair[1]);
        if kept.len() <= inner && travelled >= spacing * kept.len() as f64 {
            kept.push(pair[1]);
        }
    }
    kept.extend(points.last());
    kept
}
