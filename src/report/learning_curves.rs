//! Learning curves from the training log of a run.

use super::evaluated_run::EvaluatedRun;
use crate::training::log::LogLine;

/// Most points of a line.
const MAX_POINTS: usize = 300;
/// Share of the points that the moving average of the training loss spans.
const SMOOTHING: f64 = 0.02;

/// `(step, value)`; the line has a gap where a value is not finite.
pub type Line = Vec<(f64, f64)>;

/// The training loss of a run, as a centred moving average.
pub fn training_loss(run: &EvaluatedRun) -> Line {
    let points: Line = run
        .log
        .iter()
        .filter_map(|line| match line {
            LogLine::Train { step, loss, .. } => Some((*step as f64, *loss)),
            _ => None,
        })
        .collect();
    let reach = (points.len() as f64 * SMOOTHING / 2.0).round() as usize;
    thin(smooth(&points, reach))
}

/// A metric over the validations of a run.
pub fn validation(run: &EvaluatedRun, metric: &str) -> Line {
    let points = run.log.iter().filter_map(|line| match line {
        LogLine::Valid { step, metrics, .. } => {
            let value = metrics.get(metric)?;
            Some((*step as f64, value.unwrap_or(f64::NAN)))
        }
        _ => None,
    });
    thin(points.collect())
}

/// The step of the best validation.
pub fn best_step(run: &EvaluatedRun) -> Option<u64> {
    run.log.iter().rev().find_map(|line| match line {
        LogLine::Valid { step, best: true, .. } => Some(*step),
        _ => None,
    })
}

/// Replaces each finite value by the mean of the finite values up to `reach` points away.
fn smooth(points: &[(f64, f64)], reach: usize) -> Line {
    let average = |index: usize| {
        // The window is symmetric at the start, where a loss falls fast, and cut off at the end.
        let reach = reach.min(index);
        let window = &points[index - reach..=(index + reach).min(points.len() - 1)];
        let finite = window.iter().map(|point| point.1).filter(|value| value.is_finite());
        let (sum, count) = finite.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
        sum / f64::from(count)
    };
    points
        .iter()
        .enumerate()
        .map(|(index, &(step, value))| {
            (step, if value.is_finite() { average(index) } else { value })
        })
        .collect()
}

/// Keeps every n-th point and the last one, and every gap.
fn thin(points: Line) -> Line {
    let stride = points.len().div_ceil(MAX_POINTS).max(1);
    let Some(&last) = points.last() else { return points };
    let mut kept: Line = points
        .chunks(stride)
        .map(|chunk| chunk.iter().find(|point| !point.1.is_finite()).copied().unwrap_or(chunk[0]))
        .collect();
    if kept.last().is_some_and(|point| point.0 < last.0) {
        kept.push(last);
    }
    kept
}

/// `(step, lowest, highest)` over the lines at the steps where at least two have a finite value.
pub fn band(lines: &[Line]) -> Vec<(f64, f64, f64)> {
    let mut all: Vec<(f64, f64)> =
        lines.iter().flatten().copied().filter(|point| point.1.is_finite()).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.chunk_by(|a, b| a.0 == b.0)
        .filter(|chunk| chunk.len() > 1)
        .map(|chunk| {
            let values = chunk.iter().map(|point| point.1);
            let low = values.clone().fold(f64::INFINITY, f64::min);
            (chunk[0].0, low, values.fold(f64::NEG_INFINITY, f64::max))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_averages_symmetrically_and_keeps_gaps() {
        let line: Line = (0..5).map(|i| (f64::from(i), f64::from(i * i))).collect();
        let smoothed: Vec<f64> = smooth(&line, 1).iter().map(|point| point.1).collect();
        let expected = [0.0, 5.0 / 3.0, 14.0 / 3.0, 29.0 / 3.0, 12.5];
        assert!(smoothed.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{smoothed:?}");
        let gap = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)];
        let smoothed = smooth(&gap, 1);
        assert_eq!((smoothed[0].1, smoothed[2].1), (1.0, 3.0));
        assert!(smoothed[1].1.is_nan());
        assert!(smooth(&[], 3).is_empty());
    }

    #[test]
    fn thinning_keeps_the_ends_and_every_gap() {
        let mut line: Line = (0..5000).map(|i| (f64::from(i), 1.0)).collect();
        line[1234].1 = f64::INFINITY;
        let thinned = thin(line.clone());
        assert!(thinned.len() <= MAX_POINTS + 1);
        assert_eq!((thinned[0], thinned[thinned.len() - 1]), (line[0], line[4999]));
        assert!(thinned.iter().any(|point| !point.1.is_finite()));
    }

    #[test]
    fn a_band_spans_steps_with_at_least_two_runs() {
        let (a, b) = (vec![(1.0, 0.5), (2.0, 0.4)], vec![(1.0, 0.7), (3.0, f64::NAN), (2.0, 0.1)]);
        assert_eq!(band(&[a, b]), [(1.0, 0.5, 0.7), (2.0, 0.1, 0.4)]);
    }
}
