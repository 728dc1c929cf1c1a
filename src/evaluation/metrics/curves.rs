//! Operating points: the points of ROC and precision-recall curves.

use super::MetricError;
use super::ranking::check_column;

/// Counts of the tracks with a prediction of at least `threshold`, which are called positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OperatingPoint {
    /// The lowest prediction that is called positive.
    pub threshold: f32,
    /// Positive tracks that are called positive.
    pub true_positives: usize,
    /// Negative tracks that are called positive.
    pub false_positives: usize,
}

/// One point per distinct prediction, from the highest threshold down. At the last point every track
/// is called positive, so that its counts are the numbers of positive and negative tracks.
///
/// # Shapes
/// - `predictions`, `targets`: `[track]`
///
/// # Errors
/// If the lengths differ, or a prediction is NaN or infinite.
pub fn operating_points(
    predictions: &[f32],
    targets: &[bool],
) -> Result<Vec<OperatingPoint>, MetricError> {
    check_column(predictions, targets)?;
    let mut pairs: Vec<(f32, bool)> =
        predictions.iter().zip(targets).map(|(&p, &t)| (p, t)).collect();
    // All are finite. total_cmp tells -0 from 0; adding 0 makes both 0.
    pairs.sort_unstable_by(|a, b| (b.0 + 0.0).total_cmp(&(a.0 + 0.0)));
    let (mut true_positives, mut false_positives) = (0, 0);
    let points = pairs.chunk_by(|a, b| a.0 == b.0).map(|tied| {
        let positives = tied.iter().filter(|pair| pair.1).count();
        true_positives += positives;
        false_positives += tied.len() - positives;
        OperatingPoint { threshold: tied[0].0, true_positives, false_positives }
    });
    Ok(points.collect())
}
