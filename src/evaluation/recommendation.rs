//! Recommendation of the tracks of a split by predicted factors, or by embeddings of a learned metric.

use datasets::Split;
use serde::{Deserialize, Serialize};

use crate::data::prepare::Prepared;
use crate::error::{Error, Result};
use crate::evaluation::metrics::retrieval::{RecommendationScores, score_recommendation};
use crate::evaluation::similar_tracks::{self, SimilarTracks};
use crate::evaluation::tag_probe::{self, TagProbe};
use crate::evaluation::track_predictions::Outcome;
use crate::listening::item_lists::ItemLists;
use crate::listening::latent_factors::LatentFactors;
use crate::listening::matrix::Matrix;
use crate::listening::top_k::{Measure, top_k};
use crate::listening::usage_space::usage_space;
use crate::rng::philox;

/// Scores of ranking held-out tracks for users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// Name of the dataset, such as `magnatagatune/pons2017`.
    pub dataset: String,
    /// `train`, `valid` or `test`.
    pub split: String,
    /// Number of ranked tracks.
    pub n_tracks: usize,
    /// Scores of the predicted factors.
    #[serde(flatten)]
    pub scores: RecommendationScores,
    /// Scores of the tracks' own factors, computed from their listeners: the scores of a perfect network.
    pub upper_bound: RecommendationScores,
    /// Scores of random factors; absent in runs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random: Option<RecommendationScores>,
    /// Squared error of the predicted factors relative to the mean factors of the split, which score 1;
    /// lower is better. Absent in runs of earlier versions, with embeddings, and if all tracks have the
    /// same factors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nmse: Option<f64>,
    /// How well factors, or embeddings, predict tags; absent in runs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags_from_factors: Option<TagProbe>,
    /// Absent in runs of earlier versions, with too few tracks, and with embeddings, for which users
    /// have no usage patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similar_tracks: Option<SimilarTracks>,
}

/// Scores predicted factors and, for comparison, the tracks' own factors and random ones. With
/// `embeddings` of the train split's tracks, the predictions are embeddings as well.
///
/// # Errors
/// [`Error::Data`] if a factor or a score is not finite.
pub fn recommend(
    latent: &LatentFactors,
    outcome: Outcome,
    embeddings: Option<&Matrix>,
    data: &Prepared,
    split: Split,
    seed: u64,
) -> Result<Recommendation> {
    let positions = data.positions(split);
    let predicted = matrix(&outcome)?;
    let rows: Vec<u32> = positions.iter().map(|&at| at as u32).collect();
    let truth = latent.tracks.gather(&rows);
    let tags: Vec<Vec<usize>> =
        positions.iter().map(|&at| data.collection.tracks[at].tags.clone()).collect();
    Ok(Recommendation {
        dataset: data.collection.name.clone(),
        split: split.to_string(),
        n_tracks: positions.len(),
        scores: rank(latent, &predicted, embeddings, data, split)?,
        upper_bound: score(latent, &latent.users, &positions, &truth)?,
        random: Some(score(latent, &latent.users, &positions, &random(&truth, seed))?),
        nmse: match embeddings {
            Some(_) => None,
            None => nmse(&truth, &predicted),
        },
        tags_from_factors: Some(tag_probe::check(
            &data.collection.tags,
            &tags,
            &truth,
            &predicted,
            seed,
        )?),
        similar_tracks: match embeddings {
            Some(_) => None,
            None => similar_tracks::compare(
                &latent.users,
                &truth,
                &predicted,
                &data.examples(split).ids,
                &latent.plays(&positions),
            )?,
        },
    })
}

/// The normalised mean squared error: the squared error divided by the squared distance from the mean.
fn nmse(truth: &Matrix, predicted: &Matrix) -> Option<f64> {
    let columns = truth.columns();
    let mut mean = vec![0.0; columns];
    for row in truth.data().chunks_exact(columns) {
        mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value));
    }
    mean.iter_mut().for_each(|mean| *mean /= truth.rows() as f64);
    let (mut error, mut variance) = (0.0, 0.0);
    for (at, (truth, predicted)) in truth.data().iter().zip(predicted.data()).enumerate() {
        error += f64::from(truth - predicted).powi(2);
        variance += (f64::from(*truth) - mean[at % columns]).powi(2);
    }
    // False for NaN.
    (variance > 0.0).then(|| error / variance)
}

/// Random factors in [-1, 1).
fn random(like: &Matrix, seed: u64) -> Matrix {
    const PURPOSE: u64 = 11;
    let draw = |at: u64| (philox([seed, PURPOSE], [at, 0, 0, 0])[0] >> 40) as f32;
    let values = (0..like.data().len() as u64).map(|at| draw(at) / (1 << 23) as f32 - 1.0);
    Matrix::new(like.rows(), like.columns(), values.collect())
        .expect("same shape as a valid matrix")
}

/// Scores how predicted factors rank the tracks of a split; or predicted embeddings, by their distances
/// from the `embeddings` of the train split's tracks.
///
/// # Errors
/// [`Error::Data`] if a score is not finite.
pub fn rank(
    latent: &LatentFactors,
    predicted: &Matrix,
    embeddings: Option<&Matrix>,
    data: &Prepared,
    split: Split,
) -> Result<RecommendationScores> {
    let positions = data.positions(split);
    match embeddings {
        None => score(latent, &latent.users, &positions, predicted),
        Some(embeddings) => {
            let (users, items) =
                latent.by_distance(&data.positions(Split::Train), embeddings, predicted);
            score(latent, &users, &positions, &items)
        }
    }
}

/// Scores how `factors` (one row per position in `tracks`) rank these tracks for `users`, who played some of them.
///
/// # Errors
/// [`Error::Data`] if a score is not finite.
fn score(
    latent: &LatentFactors,
    users: &Matrix,
    tracks: &[usize],
    factors: &Matrix,
) -> Result<RecommendationScores> {
    let unscored = |error: &dyn std::fmt::Display| {
        Error::Data(format!("the recommendations cannot be scored: {error}"))
    };
    let played = latent.played(tracks).map_err(|error| unscored(&error))?;
    score_recommendation(users, factors, &played).map_err(|error| unscored(&error))
}

/// For each track of the train split, its nearest neighbours by usage patterns: the tracks that its
/// listeners like best. Empty without listening data.
///
/// # Errors
/// [`Error::Data`] if a factor is not finite.
pub fn neighbours(data: &Prepared, count: usize) -> Result<Vec<Vec<u32>>> {
    let Some(latent) = &data.latent else { return Ok(Vec::new()) };
    let broken = |error: &dyn std::fmt::Display| Error::Data(error.to_string());
    let rows: Vec<u32> = data.positions(Split::Train).iter().map(|&at| at as u32).collect();
    let space = usage_space(&latent.users, &latent.tracks.gather(&rows));
    let own = ItemLists::from_rows((0..rows.len() as u32).map(|track| [track]));
    let own = own.map_err(|error| broken(&error))?;
    let hits = top_k(&space, &space, count, Measure::Cosine, Some(&own))
        .map_err(|error| broken(&error))?;
    Ok(hits.iter().map(|hits| hits.iter().map(|hit| hit.item).collect()).collect())
}

/// Predicted factors as a matrix with one row per track.
///
/// # Errors
/// [`Error::Data`] if the number of values does not match.
pub fn matrix(outcome: &Outcome) -> Result<Matrix> {
    let predictions = &outcome.predictions;
    let (rows, columns) = (predictions.ids.len(), predictions.tags.len());
    Matrix::new(rows, columns, predictions.values.clone())
        .map_err(|error| Error::Data(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use datasets::listening::synthetic_listeners::SyntheticListenersConfig;
    use datasets::tracks::synthetic::SyntheticConfig;
    use models::factorization::wmf::WmfConfig;

    use super::*;

    #[test]
    fn own_factors_recommend_held_out_tracks_and_random_factors_do_not() {
        let config = SyntheticConfig { tracks: 100, ..Default::default() };
        let collection = config.load().unwrap();
        let listeners =
            SyntheticListenersConfig { users: 600, mean_items: 20.0, ..Default::default() };
        let plays = listeners.listeners(&collection).unwrap().interactions();
        let config =
            WmfConfig { factors: 8, iterations: 6, regularization: 5.0, ..Default::default() };
        let (tracks, stop) = (&collection.tracks, AtomicBool::new(false));
        let latent = LatentFactors::fit(&plays, tracks, &config, &stop, |_, _, _| {}).unwrap();
        let test: Vec<usize> =
            (0..100).filter(|&at| tracks[at].split == Some(Split::Test)).collect();
        let scores = |rows: Vec<u32>| {
            score(&latent, &latent.users, &test, &latent.tracks.gather(&rows)).unwrap()
        };
        let own = scores(test.iter().map(|&at| at as u32).collect());
        // The factors of other tracks are as good as random ones.
        let others = scores(test.iter().map(|&at| (at as u32 + 37) % 100).collect());
        assert!(own.auc.unwrap() > 0.75, "{own:?}");
        assert!((others.auc.unwrap() - 0.5).abs() < 0.2, "{others:?}");
        assert!(own.map.unwrap() > others.map.unwrap() + 0.2, "{own:?} {others:?}");
    }

    #[test]
    fn nmse_is_1_for_the_mean_and_0_for_the_truth() {
        let matrix = |values: &[f32]| Matrix::new(3, 2, values.to_vec()).unwrap();
        let truth = matrix(&[0.0, 1.0, 2.0, 1.0, 4.0, 4.0]);
        assert_eq!(nmse(&truth, &truth), Some(0.0));
        let mean = nmse(&truth, &matrix(&[2.0, 2.0, 2.0, 2.0, 2.0, 2.0])).unwrap();
        assert!((mean - 1.0).abs() < 1e-12);
        // One number is wrong by 1; the squared distances from the mean are 4, 0, 4 and 1, 1, 4.
        let one = nmse(&truth, &matrix(&[0.0, 1.0, 3.0, 1.0, 4.0, 4.0])).unwrap();
        assert!((one - 1.0 / 14.0).abs() < 1e-12);
        assert_eq!(nmse(&matrix(&[1.0; 6]), &truth), None);
    }
}
