//! Nearest tracks by predicted factors, compared with those by the factors of listening data.
//!
//! # References
//! van den Oord, Dieleman, Schrauwen: "Deep content-based music recommendation", NIPS 2013, section on
//! qualitative results. The similarity is the cosine between usage patterns; see
//! [`crate::listening::usage_space`].

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::listening::item_lists::ItemLists;
use crate::listening::matrix::Matrix;
use crate::listening::top_k::{Measure, top_k};
use crate::listening::usage_space::usage_space;

/// Neighbours per track.
pub const NEAREST: usize = 5;
/// Number of examples.
pub const SHOWN: usize = 8;

/// Agreement of both kinds of neighbours, with examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimilarTracks {
    /// Neighbours per track.
    pub nearest: usize,
    /// Share of the neighbours by prediction that are also neighbours by listening data; mean over tracks.
    pub shared: f64,
    /// Expected share of random neighbours.
    pub by_chance: f64,
    /// The most played tracks with their neighbours.
    pub examples: Vec<Example>,
    /// Number of tracks that are left out because no user with factors played them, so that all tracks are
    /// equally similar to them. 0 in runs of earlier versions, which compared them.
    #[serde(default)]
    pub n_tracks_left_out: usize,
}

/// A track and its neighbours, nearest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Id of the track.
    pub id: String,
    /// Ids of the neighbours by the factors of the listening data.
    pub by_listening: Vec<String>,
    /// Ids of the neighbours by predicted factors.
    pub by_prediction: Vec<String>,
}

/// Compares the neighbours of every track; `None` with too few tracks.
///
/// # Shapes
/// - `users`: `[user, factor]`
/// - `listening`, `predicted`: `[track, factor]`
/// - `ids`, `plays`: `[track]`; the tracks with most plays become examples
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
    let has_factors = |track: &u32| !listening.is_zero(*track as usize);
    let kept: Vec<u32> = (0..ids.len() as u32).filter(has_factors).collect();
    if kept.len() < ids.len() {
        let of = |matrix: &Matrix| matrix.gather(&kept);
        let ids_kept: Vec<String> = kept.iter().map(|&at| ids[at as usize].clone()).collect();
        let plays_kept: Vec<usize> = kept.iter().map(|&at| plays[at as usize]).collect();
        let found = compare(users, &of(listening), &of(predicted), &ids_kept, &plays_kept)?;
        let n_tracks_left_out = ids.len() - kept.len();
        return Ok(found.map(|found| SimilarTracks { n_tracks_left_out, ..found }));
    }
    let count = ids.len();
    if count <= NEAREST + 1 {
        return Ok(None);
    }
    let broken = |error: &dyn std::fmt::Display| {
        Error::Data(format!("cannot compare similar tracks: {error}"))
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
        n_tracks_left_out: 0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listening::matrix::tests::noise;

    #[test]
    fn neighbours_equal_those_of_explicit_usage_patterns() {
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
        // Track 7 has the most plays: 7 * 7 % 25 is 24.
        assert_eq!(found.examples[0].id, "track 7");
        let names: Vec<String> =
            nearest(&listening, 7).iter().map(|track| format!("track {track}")).collect();
        assert_eq!(found.examples[0].by_listening, names);
        let same = compare(&users, &listening, &listening, &ids, &plays).unwrap().unwrap();
        assert_eq!((same.shared, same.by_chance), (1.0, 5.0 / 24.0));
        // Tracks without factors change nothing, wherever they are.
        let with_zeros = |matrix: &Matrix| {
            let zeros = [0.0; 4];
            let data = [&zeros[..], matrix.data(), &zeros].concat();
            Matrix::new(27, 4, data).unwrap()
        };
        let more_ids = [&["first".to_string()][..], &ids, &["last".to_string()]].concat();
        let more_plays = [&[90][..], &plays, &[91]].concat();
        let more = compare(
            &users,
            &with_zeros(&listening),
            &with_zeros(&predicted),
            &more_ids,
            &more_plays,
        );
        assert_eq!(more.unwrap(), Some(SimilarTracks { n_tracks_left_out: 2, ..found.clone() }));
        let few = compare(&users, &noise(2, 6, 4), &noise(3, 6, 4), &ids[..6], &plays[..6]);
        assert_eq!(few.unwrap(), None);
    }
}
