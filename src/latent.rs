//! Latent factors as targets: listening data, factorised, and what that makes of each track.
//!
//! van den Oord, Dieleman & Schrauwen (2013), Deep content-based music recommendation, NIPS: a
//! weighted matrix factorisation of who played what gives every user and every song a vector; a
//! network then predicts a song's vector from its audio, so that songs can be recommended that nobody
//! has played yet.
//!
//! Departure: the factors of the users come from the tracks of the train split alone (and from items
//! without audio), so that nothing of the held-out tracks is in them. What the held-out tracks' own
//! factors would be, for validation and for the upper bound, is found with the users held fixed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use datasets::{Interactions, Split, Track};
use kernels::csr::{Csr, CsrError};
use models::wmf::{Wmf, WmfConfig, fold_in_items};

use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::metrics::recommendation::{
    ItemLists, Options, RecommendationError, RecommendationScores, score_recommendation,
};
use crate::wpe::Listeners;

/// Ranks that mAP, nDCG and recall look at.
const K: usize = 500;

/// Users, tracks, and their factors.
#[derive(Clone, Debug)]
pub struct Latent {
    /// Ids of the users, in the order of their factors.
    pub ids: Vec<String>,
    /// `[user, factor]`
    pub users: Matrix,
    /// `[track, factor]`, in the order of the tracks that were handed in.
    pub tracks: Matrix,
    /// Who played each track, rising, and how confident that makes us that they like it.
    listeners: Vec<Vec<(u32, f32)>>,
}

/// Which of `tracks` nobody played: they have no factors to learn and nobody to be recommended to.
pub fn unheard(plays: &Interactions, tracks: &[Track]) -> Vec<bool> {
    let mut played = vec![false; plays.items().len()];
    plays.plays().for_each(|play| played[play.item as usize] = true);
    let items: HashMap<&str, usize> =
        plays.items().iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
    tracks
        .iter()
        .map(|track| !items.get(track.id.as_str()).is_some_and(|&item| played[item]))
        .collect()
}

impl Latent {
    /// Factorises `plays`; `tracks` are those with audio, each with a split, all of them played.
    /// `progress` hears of the sweeps that are done.
    ///
    /// # Errors
    /// If the config does not fit the data, or `stop` was set.
    pub fn fit(
        plays: &Interactions,
        tracks: &[Track],
        config: &WmfConfig,
        stop: &AtomicBool,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Latent> {
        if config.bias {
            return Err(Error::Config(
                "factorization.bias is true: a network learns plain factors, so leave it out"
                    .into(),
            ));
        }
        let number: HashMap<&str, usize> =
            tracks.iter().enumerate().map(|(at, track)| (track.id.as_str(), at)).collect();
        // Items that the factorisation may see, numbered anew: all but held-out tracks.
        let mut seen = Vec::new();
        let mut place = vec![None; plays.items().len()];
        let mut track_of = vec![None; plays.items().len()];
        for (item, id) in plays.items().iter().enumerate() {
            track_of[item] = number.get(id.as_str()).copied();
            let held_out = track_of[item].is_some_and(|at| tracks[at].split != Some(Split::Train));
            if !held_out {
                place[item] = Some(seen.len() as u32);
                seen.push(item);
            }
        }
        let users = plays.users().len();
        let mut by_user = Entries::default();
        // Tracks with audio, a row a track; users rise within a row, for they come in order.
        let mut listeners: Vec<Vec<(u32, f32)>> = vec![Vec::new(); tracks.len()];
        for user in 0..users {
            let (items, counts) = plays.of_user(user);
            for (&item, &count) in items.iter().zip(counts) {
                if let Some(column) = place[item as usize] {
                    by_user.push(column, count);
                }
                if let Some(track) = track_of[item as usize] {
                    listeners[track].push((user as u32, count));
                }
            }
            by_user.end_row();
        }
        let broken = |error: &dyn std::fmt::Display| {
            Error::Data(format!("the listening data cannot be factorised: {error}"))
        };
        let matrix = by_user.matrix(seen.len()).map_err(|error| broken(&error))?;
        let mut wmf = Wmf::new(config, &matrix).map_err(from_wmf)?;
        while wmf.sweep() < config.iterations {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted("interrupted while factorising".into()));
            }
            let sweep = wmf.run_sweep(&|_| {}).map_err(from_wmf)?;
            tracing::debug!("sweep {}: objective {:.6e}", sweep.sweep, sweep.objective);
            progress(sweep.sweep, config.iterations);
        }
        let factors = wmf.into_factors();

        let mut by_track = Entries::default();
        for row in &listeners {
            row.iter().for_each(|&(user, count)| by_track.push(user, count));
            by_track.end_row();
        }
        let by_track = by_track.matrix(users).map_err(|error| broken(&error))?;
        let mut of_tracks = fold_in_items(config, &factors.users, &by_track).map_err(from_wmf)?;
        // Where the factorisation has factors of its own, they are the targets.
        let width = config.factors;
        for (item, track) in track_of.iter().enumerate() {
            if let (Some(place), Some(track)) = (place[item], track) {
                let own = &factors.items[place as usize * width..][..width];
                of_tracks[track * width..][..width].copy_from_slice(own);
            }
        }
        // A product of factors stays what it is if one side grows as the other shrinks. Targets with a
        // mean square of 1 make losses comparable, and one learning rate good for all.
        let square: f64 = of_tracks.iter().map(|value| f64::from(*value).powi(2)).sum();
        let size = (square / of_tracks.len().max(1) as f64).sqrt();
        let mut of_users = factors.users;
        if size.is_normal() {
            of_tracks.iter_mut().for_each(|value| *value = (f64::from(*value) / size) as f32);
            of_users.iter_mut().for_each(|value| *value = (f64::from(*value) * size) as f32);
        }
        let confidence =
            |count: f32| (1.0 + config.alpha * (f64::from(count) / config.epsilon).ln_1p()) as f32;
        for (_, value) in listeners.iter_mut().flatten() {
            *value = confidence(*value);
        }
        let matrix = |rows, data| Matrix::new(rows, width, data).map_err(|error| broken(&error));
        Ok(Latent {
            ids: plays.users().to_vec(),
            users: matrix(users, of_users)?,
            tracks: matrix(tracks.len(), of_tracks)?,
            listeners,
        })
    }

    /// Who listened to some of the tracks, for the weighted prediction error.
    pub fn listeners(&self, tracks: &[usize]) -> Listeners {
        let plays = tracks.iter().map(|&track| self.listeners[track].clone());
        Listeners::new(self.users.data().to_vec(), self.users.columns(), plays)
    }

    /// How well `factors`, a row a track of `tracks`, rank these tracks for every user.
    ///
    /// # Errors
    /// If a score is not finite.
    pub fn score(
        &self,
        tracks: &[usize],
        factors: &Matrix,
    ) -> Result<RecommendationScores, RecommendationError> {
        let mut pairs = Vec::new();
        for (item, &track) in tracks.iter().enumerate() {
            pairs.extend(self.listeners[track].iter().map(|&(user, _)| (user, item as u32)));
        }
        let held_out = ItemLists::from_pairs(self.users.rows(), &pairs)?;
        let options = Options { k: K, ..Options::default() };
        score_recommendation(&self.users, factors, &held_out, &options)
    }
}

/// A sparse matrix in the making.
struct Entries {
    offsets: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl Default for Entries {
    fn default() -> Self {
        Self { offsets: vec![0], columns: Vec::new(), values: Vec::new() }
    }
}

impl Entries {
    fn push(&mut self, column: u32, value: f32) {
        self.columns.push(column);
        self.values.push(value);
    }

    fn end_row(&mut self) {
        self.offsets.push(self.columns.len());
    }

    fn matrix(self, columns: usize) -> Result<Csr, CsrError> {
        Csr::new(self.offsets, self.columns, self.values, columns)
    }
}

fn from_wmf(error: models::wmf::WmfError) -> Error {
    match error {
        models::wmf::WmfError::Config(error) => {
            Error::Config(format!("in [factorization]: {error}"))
        }
        error @ (models::wmf::WmfError::TooManyFactors { .. }
        | models::wmf::WmfError::Indefinite { .. }) => {
            Error::Config(format!("in [factorization]: {error}"))
        }
        error => Error::Data(format!("the listening data cannot be factorised: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use datasets::synthetic::SyntheticConfig;
    use datasets::synthetic_listeners::SyntheticListenersConfig;
    use datasets::{Collection, DatasetError};

    use super::*;

    fn data(users: usize) -> Result<(Collection, Interactions), DatasetError> {
        let collection = SyntheticConfig { tracks: 100, ..Default::default() }.load()?;
        let listeners = SyntheticListenersConfig { users, mean_items: 20.0, ..Default::default() };
        let plays = listeners.listeners(&collection)?.interactions();
        Ok((collection, plays))
    }

    fn config() -> WmfConfig {
        WmfConfig { factors: 8, iterations: 6, regularization: 5.0, ..WmfConfig::default() }
    }

    fn fit(plays: &Interactions, tracks: &[Track], config: &WmfConfig) -> Result<Latent> {
        Latent::fit(plays, tracks, config, &AtomicBool::new(false), |_, _| {})
    }

    fn of(tracks: &[Track], split: Split) -> Vec<usize> {
        (0..tracks.len()).filter(|&at| tracks[at].split == Some(split)).collect()
    }

    /// A track's own factors rank it far above chance, and random ones do not.
    #[test]
    fn own_factors_recommend_held_out_tracks_and_others_do_not() {
        let (collection, plays) = data(600).unwrap();
        let latent = fit(&plays, &collection.tracks, &config()).unwrap();
        let test = of(&collection.tracks, Split::Test);
        let rows: Vec<u32> = test.iter().map(|&at| at as u32).collect();
        let own = latent.score(&test, &latent.tracks.gather(&rows)).unwrap();
        // The factors of other tracks are as good as random ones.
        let others: Vec<u32> = rows.iter().map(|&at| (at + 37) % 100).collect();
        let random = latent.score(&test, &latent.tracks.gather(&others)).unwrap();
        assert!(own.auc.unwrap() > 0.75, "{own:?}");
        assert!((random.auc.unwrap() - 0.5).abs() < 0.2, "{random:?}");
        assert!(own.map.unwrap() > random.map.unwrap() + 0.2, "{own:?} {random:?}");
    }

    /// What is held out changes nothing that training sees.
    #[test]
    fn users_know_nothing_of_held_out_tracks() {
        let (collection, plays) = data(200).unwrap();
        let tracks = &collection.tracks;
        let latent = fit(&plays, tracks, &config()).unwrap();
        let train: Vec<&str> = tracks
            .iter()
            .filter(|track| track.split == Some(Split::Train))
            .map(|track| track.id.as_str())
            .collect();
        let only = datasets::hold_out::only_items(&plays, |item| {
            train.contains(&plays.items()[item].as_str())
        });
        let blind = fit(&only, tracks, &config()).unwrap();
        // Up to the one scale of all factors, which the held-out tracks have a part in.
        let (a, b) = (latent.users.data(), blind.users.data());
        let ratio = a[0] / b[0];
        let largest = a.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        for (a, b) in a.iter().zip(b) {
            assert!((a - b * ratio).abs() <= 1e-4 * largest, "{a} {b}");
        }
    }

    #[test]
    fn targets_have_a_mean_square_of_one() {
        let (collection, plays) = data(200).unwrap();
        let latent = fit(&plays, &collection.tracks, &config()).unwrap();
        let data = latent.tracks.data();
        let square: f64 = data.iter().map(|x| f64::from(*x).powi(2)).sum();
        assert!((square / data.len() as f64 - 1.0).abs() < 1e-5);
    }

    #[test]
    fn tracks_that_nobody_played_are_found() {
        let (collection, plays) = data(3).unwrap();
        let silent = unheard(&plays, &collection.tracks);
        for (item, silent) in silent.iter().enumerate() {
            let heard = plays.plays().any(|play| play.item as usize == item);
            assert_eq!(*silent, !heard, "{item}");
        }
        let mut stranger = collection.tracks[0].clone();
        stranger.id = "nobody knows it".into();
        assert_eq!(unheard(&plays, &[stranger]), [true]);
    }

    #[test]
    fn what_cannot_be_factorised_is_said() {
        let (collection, plays) = data(5).unwrap();
        let error = fit(&plays, &collection.tracks, &config()).unwrap_err().to_string();
        assert!(error.contains("[factorization]") && error.contains("factors = 8"), "{error}");
        let with_bias = WmfConfig { bias: true, ..config() };
        let (collection, plays) = data(50).unwrap();
        let error = fit(&plays, &collection.tracks, &with_bias).unwrap_err().to_string();
        assert!(error.contains("factorization.bias"), "{error}");
        let stopped = AtomicBool::new(true);
        let error = Latent::fit(&plays, &collection.tracks, &config(), &stopped, |_, _| {});
        assert_eq!(error.unwrap_err().exit_code(), 130);
    }
}
