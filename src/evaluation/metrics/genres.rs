//! Accuracy and F1 where every track has exactly one genre.

use super::scores::{mean, score};
use super::{MetricError, Scores, Targets};
use crate::evaluation::predictions::Predictions;

/// How often each class was taken for each other one.
#[derive(Clone, Debug, PartialEq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<usize>,
}

impl Confusion {
    /// Counts pairs of true and predicted class.
    ///
    /// # Shapes
    /// - `truth`, `predicted`: `[track]`, numbers of classes in `0..classes`
    ///
    /// # Errors
    /// If the lengths differ or a number is not one of a class.
    pub fn new(truth: &[usize], predicted: &[usize], classes: usize) -> Result<Self, MetricError> {
        if truth.len() != predicted.len() {
            return Err(MetricError::Lengths {
                predictions: predicted.len(),
                targets: truth.len(),
            });
        }
        let mut counts = vec![0; classes * classes];
        for (position, (&truth, &predicted)) in truth.iter().zip(predicted).enumerate() {
            let class = truth.max(predicted);
            if class >= classes {
                return Err(MetricError::NoSuchClass { position, class, classes });
            }
            counts[truth * classes + predicted] += 1;
        }
        Ok(Self { classes, counts })
    }

    /// How many tracks of class `truth` were taken for class `predicted` (0 for other numbers).
    pub fn count(&self, truth: usize, predicted: usize) -> usize {
        if truth.max(predicted) >= self.classes {
            return 0;
        }
        self.counts[truth * self.classes + predicted]
    }

    /// `[true class, predicted class]`, row-major.
    pub fn counts(&self) -> &[usize] {
        &self.counts
    }

    /// Share of tracks whose class was found; `None` without tracks.
    pub fn accuracy(&self) -> Option<f64> {
        let total: usize = self.counts.iter().sum();
        let right: usize = (0..self.classes).map(|class| self.count(class, class)).sum();
        (total > 0).then(|| right as f64 / total as f64)
    }

    /// F1 of a class: twice the tracks found over the tracks that have it or are said to; `None`
    /// where there are none of either.
    pub fn f1(&self, class: usize) -> Option<f64> {
        let either: usize = (0..self.classes)
            .map(|other| self.count(class, other) + self.count(other, class))
            .sum();
        (either > 0).then(|| 2.0 * self.count(class, class) as f64 / either as f64)
    }

    /// Mean F1 over the classes that occur or are predicted; `None` without tracks.
    pub fn f1_macro(&self) -> Option<f64> {
        mean((0..self.classes).filter_map(|class| self.f1(class)))
    }
}

/// As [`score`], with `accuracy` and `f1_macro`: the predicted genre of a track is the tag with
/// the highest prediction, the first of several that are equal.
///
/// # Errors
/// As [`score`], and if a track has no genre or several.
pub fn score_genres(
    predictions: &Predictions,
    targets: &Targets,
    dataset: &str,
    split: &str,
) -> Result<Scores, MetricError> {
    let scores = score(predictions, targets, dataset, split)?;
    let classes = targets.tags.len();
    let (mut truth, mut predicted) = (Vec::new(), Vec::new());
    for (track, id) in targets.ids.iter().enumerate() {
        let row = track * classes..(track + 1) * classes;
        let (values, truths) = (&predictions.values[row.clone()], &targets.values[row]);
        let mut genres = truths.iter().enumerate().filter(|(_, has)| **has).map(|(tag, _)| tag);
        match (genres.next(), genres.count()) {
            (Some(genre), 0) => truth.push(genre),
            (first, more) => {
                return Err(MetricError::NotOneGenre {
                    id: id.clone(),
                    genres: more + usize::from(first.is_some()),
                });
            }
        }
        let best =
            (1..classes).fold(0, |best, tag| if values[tag] > values[best] { tag } else { best });
        predicted.push(best);
    }
    let confusion = Confusion::new(&truth, &predicted, classes)?;
    Ok(Scores { accuracy: confusion.accuracy(), f1_macro: confusion.f1_macro(), ..scores })
}
