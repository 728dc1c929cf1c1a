//! Whether prediction finds the same neighbours as listening does.
//!
//! van den Oord, Dieleman & Schrauwen (2013), Deep content-based music recommendation, NIPS, section on
//! qualitative results: for some songs the nearest ones by latent factors stand beside the nearest
//! ones by factors that were predicted from audio, the distance being the cosine between usage
//! patterns (see [`crate::listening::usage_space`]).

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::listening::item_lists::ItemLists;
use crate::listening::matrix::Matrix;
use crate::listening::top_k::{Measure, top_k};
use crate::listening::usage_space::usage_space;

/// Neighbours that are compared.
pub const NEAREST: usize = 5;
/// Tracks that are shown.
pub const SHOWN: usize = 8;

/// How alike both kinds of neighbours are, and some of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimilarTracks {
    /// Neighbours of each track.
    pub nearest: usize,
    /// Share of the neighbours by prediction that are neighbours by listening too: mean over tracks.
    pub shared: f64,
    /// What neighbours drawn by lot would share.
    pub by_chance: f64,
    /// The most played tracks.
    pub examples: Vec<Example>,
}

/// A track and its neighbours, the nearest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The track's.
    pub id: String,
    /// Ids of its neighbours by the factors that who listened tells.
    pub by_listening: Vec<String>,
    /// Ids of its neighbours by predicted factors.
    pub by_prediction: Vec<String>,
}

/// Compares the neighbours of every track; `None` where there are too few tracks to have any.
///
/// # Shapes
/// - `users`: `[user, factor]`
/// - `listening`, `predicted`: `[track, factor]`
/// - `ids`, `plays`: one a track; those with most plays are shown
///
/// # Errors
/// If a factor is not finite.
pub fn compare(
    users: &Matrix,
    listening: &Matrix,
    predicted: &Matrix,
    ids: &[String],
    plays: &[usize],
) -> Result<Option<SimilarTracks>> {
    let count = ids.len();
    if count <= NEAREST + 1 {
        return Ok(None);
    }
    let broken = |error: &dyn std::fmt::Display| {
        Error::Data(format!("similar tracks cannot be found: {error}"))
    };
    let own = ItemLists::from_rows((0..count as u32).map(|track| [track]));
    let own = own.map_err(|error| broken(&error))?;
    let near = |factors: &Matrix| -> Result<Vec<Vec<usize>>> {
        let space = usage_space(users, factors);
        let hits = top_k(&space, &space, NEAREST, Measure::Cosine, Some(&own))
            .map_err(|error| broken(&error))?;
        Ok(hits.iter().map(|hits| hits.iter().map(|hit| hit.item as usize).collect()).collect())
    };
    let (by_listening, by_prediction) = (near(listening)?, near(predicted)?);
    let shared: usize = by_listening
        .iter()
        .zip(&by_prediction)
        .map(|(a, b)| b.iter().filter(|track| a.contains(track)).count())
        .sum();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&track| (std::cmp::Reverse(plays[track]), track));
    let named = |tracks: &[usize]| tracks.iter().map(|&track| ids[track].clone()).collect();
    let examples = order.into_iter().take(SHOWN).map(|track| Example {
        id: ids[track].clone(),
        by_listening: named(&by_listening[track]),
        by_prediction: named(&by_prediction[track]),
    });
    Ok(Some(SimilarTracks {
        nearest: NEAREST,
        shared: shared as f64 / (count * NEAREST) as f64,
        by_chance: NEAREST as f64 / (count - 1) as f64,
        examples: examples.collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listening::matrix::tests::noise;

    #[test]
    fn neighbours_are_those_of_the_usage_patterns_written_out() {
        let (users, listening, predicted) = (noise(1, 30, 4), noise(2, 25, 4), noise(3, 25, 4));
        let ids: Vec<String> = (0..25).map(|track| format!("track {track}")).collect();
        let plays: Vec<usize> = (0..25).map(|track| track * 7 % 25).collect();
        let found = compare(&users, &listening, &predicted, &ids, &plays).unwrap().unwrap();
        let nearest = |factors: &Matrix, track: usize| -> Vec<usize> {
            let pattern = |row: usize| -> Vec<f64> {
                let score = |user: usize| {
                    let pairs = users.row(user).iter().zip(factors.row(row));
                    pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
                };
                (0..30).map(score).collect()
            };
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let own = pattern(track);
            let mut all: Vec<(f64, usize)> = (0..25)
                .filter(|row| *row != track)
                .map(|row| {
                    let other = pattern(row);
                    (dot(&own, &other) / (dot(&own, &own) * dot(&other, &other)).sqrt(), row)
                })
                .collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            all.iter().take(NEAREST).map(|pair| pair.1).collect()
        };
        let shared: usize = (0..25)
            .map(|track| {
                let listened = nearest(&listening, track);
                nearest(&predicted, track).iter().filter(|t| listened.contains(t)).count()
            })
            .sum();
        assert!((found.shared - shared as f64 / 125.0).abs() < 1e-12);
        assert_eq!(found.examples.len(), SHOWN);
        // 7 * 7 % 25 is 24, the most.
        assert_eq!(found.examples[0].id, "track 7");
        let names: Vec<String> =
            nearest(&listening, 7).iter().map(|track| format!("track {track}")).collect();
        assert_eq!(found.examples[0].by_listening, names);
        let same = compare(&users, &listening, &listening, &ids, &plays).unwrap().unwrap();
        assert_eq!((same.shared, same.by_chance), (1.0, 5.0 / 24.0));
        let few = compare(&users, &noise(2, 6, 4), &noise(3, 6, 4), &ids[..6], &plays[..6]);
        assert_eq!(few.unwrap(), None);
    }
}
