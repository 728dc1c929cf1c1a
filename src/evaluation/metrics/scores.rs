//! Scores of tags and genres, and their file `scores.json`.

use std::fmt;
use std::path::Path;

use models::linear::linear_probe::Fold;
use rayon::prelude::*;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ranking::{Areas, Ranking};
use super::{MetricError, Targets};
use crate::evaluation::predictions::Predictions;
use crate::io::files::read_text;

/// Contents of `scores.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Name of the dataset, such as `magnatagatune/pons2017`.
    pub dataset: String,
    /// `train`, `valid` or `test`.
    pub split: String,
    /// Number of predicted tracks.
    pub n_tracks: usize,
    /// Number of tags with at least one positive and one negative track: those of the macro averages.
    pub n_tags_scored: usize,
    /// Mean ROC-AUC of the scored tags; null without scored tags.
    pub roc_auc_macro: Option<f64>,
    /// Mean average precision of the scored tags; null without scored tags.
    pub pr_auc_macro: Option<f64>,
    /// Share of tracks whose genre has the highest prediction; only if every track has one genre.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Mean F1 of the genres that occur or are predicted; only if every track has one genre.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub f1_macro: Option<f64>,
    /// Results per fold; only with cross-validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_validation: Option<Folds>,
    /// Scores per tag, in the order of the vocabulary; an object in JSON.
    #[serde(serialize_with = "write_map", deserialize_with = "read_map")]
    pub per_tag: Vec<(String, TagScores)>,
}

/// Accuracy per fold of a cross-validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Folds {
    /// Mean of the accuracies.
    pub accuracy_mean: f64,
    /// Sample standard deviation of the accuracies.
    pub accuracy_deviation: f64,
    /// Folds in the order in which they were held out.
    pub folds: Vec<Fold>,
}

/// Scores of one tag. Both areas are null if the tag is not scored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagScores {
    /// Area under the ROC curve.
    pub roc_auc: Option<f64>,
    /// Average precision.
    pub pr_auc: Option<f64>,
    /// Number of tracks with the tag.
    pub positives: usize,
}

/// Scores `predictions` of tags against `targets`; `dataset` and `split` become part of the result.
///
/// # Errors
/// If ids or tags differ from those of the targets or have another order, or a prediction is NaN or
/// infinite.
pub fn score(
    predictions: &Predictions,
    targets: &Targets,
    dataset: &str,
    split: &str,
) -> Result<Scores, MetricError> {
    check(predictions, targets)?;
    let per_tag: Vec<TagScores> = column_areas(predictions, targets)
        .into_iter()
        .map(|areas| {
            let scored = areas.roc_auc.is_some();
            TagScores {
                roc_auc: areas.roc_auc,
                pr_auc: areas.pr_auc.filter(|_| scored),
                positives: areas.positives,
            }
        })
        .collect();
    Ok(Scores {
        dataset: dataset.to_owned(),
        split: split.to_owned(),
        n_tracks: predictions.ids.len(),
        n_tags_scored: per_tag.iter().filter(|tag| tag.roc_auc.is_some()).count(),
        roc_auc_macro: mean(per_tag.iter().filter_map(|tag| tag.roc_auc)),
        pr_auc_macro: mean(per_tag.iter().filter_map(|tag| tag.pr_auc)),
        accuracy: None,
        f1_macro: None,
        cross_validation: None,
        per_tag: predictions.tags.iter().cloned().zip(per_tag).collect(),
    })
}

/// Checks that both have the same tracks and tags, and that every prediction is finite.
pub(crate) fn check(predictions: &Predictions, targets: &Targets) -> Result<(), MetricError> {
    predictions.validate().map_err(MetricError::Predictions)?;
    for (what, ours, theirs) in
        [("tag", &predictions.tags, &targets.tags), ("track", &predictions.ids, &targets.ids)]
    {
        if ours.len() != theirs.len() {
            return Err(MetricError::Count {
                what,
                predictions: ours.len(),
                targets: theirs.len(),
            });
        }
        if let Some(position) = ours.iter().zip(theirs).position(|(a, b)| a != b) {
            return Err(MetricError::Order {
                what,
                position,
                prediction: ours[position].clone(),
                target: theirs[position].clone(),
            });
        }
    }
    targets.validate()?;
    match predictions.values.par_iter().position_first(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(MetricError::NotFinite {
            id: predictions.ids[at / predictions.tags.len()].clone(),
            tag: predictions.tags[at % predictions.tags.len()].clone(),
            value: predictions.values[at],
        }),
    }
}

/// Columns that are read together: the values of a cache line.
const BLOCK: usize = 16;

fn column_areas(predictions: &Predictions, targets: &Targets) -> Vec<Areas> {
    let width = predictions.tags.len();
    let blocks: Vec<usize> = (0..width).step_by(BLOCK).collect();
    blocks
        .into_par_iter()
        .flat_map_iter(|first| {
            let columns = first..(first + BLOCK).min(width);
            let mut rankings = vec![Ranking::default(); columns.len()];
            let rows = predictions.values.chunks_exact(width);
            for (values, truths) in rows.zip(targets.values.chunks_exact(width)) {
                let pairs = values[columns.clone()].iter().zip(&truths[columns.clone()]);
                for (ranking, (&value, &truth)) in rankings.iter_mut().zip(pairs) {
                    ranking.push(value, truth);
                }
            }
            let mut scratch = Vec::new();
            rankings.into_iter().map(move |mut ranking| ranking.areas(&mut scratch))
        })
        .collect()
}

/// The mean; `None` without values.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

impl Scores {
    /// Reads a `scores.json`.
    ///
    /// # Errors
    /// If the file cannot be read, or is not valid.
    pub fn read(path: &Path) -> Result<Self, MetricError> {
        serde_json::from_str(&read_text(path)?)
            .map_err(|source| MetricError::NotScores { path: path.to_owned(), source })
    }
}

/// Writes an object whose keys keep their order.
fn write_map<S: Serializer>(
    entries: &[(String, TagScores)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().map(|(tag, scores)| (tag, scores)))
}

fn read_map<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, TagScores)>, D::Error> {
    struct Entries;

    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<(String, TagScores)>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an object from tags to their scores")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            let mut seen = std::collections::HashSet::new();
            while let Some((tag, scores)) = map.next_entry::<String, TagScores>()? {
                if !seen.insert(tag.clone()) {
                    return Err(A::Error::custom(format_args!("duplicate tag {tag:?}")));
                }
                entries.push((tag, scores));
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_map(Entries)
}
