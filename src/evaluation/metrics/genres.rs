//! Accuracy and F1 where every track has exactly one genre.

use super::scores::{mean, score};
use super::{MetricError, Scores, Targets};
use crate::evaluation::predictions::Predictions;

/// As [`score`], with `accuracy` and `f1_macro`. The predicted genre of a track is the tag with the
/// highest prediction; of equal ones, the first. F1 is averaged over genres that occur or are predicted.
///
/// # Errors
/// As [`score`], and if a track does not have exactly one genre.
pub fn score_genres(
    predictions: &Predictions,
    targets: &Targets,
    dataset: &str,
    split: &str,
) -> Result<Scores, MetricError> {
    let scores = score(predictions, targets, dataset, split)?;
    let genres = targets.tags.len();
    // Per genre: tracks of the genre, tracks for which it is predicted, and tracks of both.
    let (mut truth, mut predicted) = (vec![0; genres], vec![0; genres]);
    let mut both = vec![0; genres];
    for (track, id) in targets.ids.iter().enumerate() {
        let row = track * genres..(track + 1) * genres;
        let (values, truths) = (&predictions.values[row.clone()], &targets.values[row]);
        let own: Vec<usize> = (0..genres).filter(|&tag| truths[tag]).collect();
        let &[genre] = own.as_slice() else {
            return Err(MetricError::NotOneGenre { id: id.clone(), genres: own.len() });
        };
        let best =
            (1..genres).fold(0, |best, tag| if values[tag] > values[best] { tag } else { best });
        truth[genre] += 1;
        predicted[best] += 1;
        both[genre] += usize::from(genre == best);
    }
    let tracks = targets.ids.len();
    let correct: usize = both.iter().sum();
    let f1 = (0..genres).filter_map(|genre| {
        let either = truth[genre] + predicted[genre];
        (either > 0).then(|| 2.0 * both[genre] as f64 / either as f64)
    });
    Ok(Scores {
        accuracy: (tracks > 0).then(|| correct as f64 / tracks as f64),
        f1_macro: mean(f1),
        ..scores
    })
}
