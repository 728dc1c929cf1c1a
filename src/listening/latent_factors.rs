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
use models::factorization::wmf::{Wmf, WmfConfig, fold_in_items};

use crate::error::{Error, Result};
use crate::evaluation::metrics::retrieval::{
    ItemLists, Options, RecommendationError, RecommendationScores, score_recommendation,
};
use crate::listening::factors::{FactorTables, Side};
use crate::listening::matrix::Matrix;
use crate::training::weighted_prediction_error::Listeners;

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

/// Who played which track with audio.
struct Heard {
    /// For every item of the plays: the track that it is, if it has audio.
    track_of: Vec<Option<usize>>,
    /// For every track: users, rising, and how often each played it.
    listeners: Vec<Vec<(u32, f32)>>,
}

impl Heard {
    /// `user_of` numbers the users anew; those without a number are left out.
    fn new(plays: &Interactions, tracks: &[Track], user_of: impl Fn(usize) -> Option<u32>) -> Self {
        let number: HashMap<&str, usize> =
            tracks.iter().enumerate().map(|(at, track)| (track.id.as_str(), at)).collect();
        let track_of: Vec<Option<usize>> =
            plays.items().iter().map(|id| number.get(id.as_str()).copied()).collect();
        let mut listeners: Vec<Vec<(u32, f32)>> = vec![Vec::new(); tracks.len()];
        for user in 0..plays.users().len() {
            let Some(numbered) = user_of(user) else { continue };
            let (items, counts) = plays.of_user(user);
            for (&item, &count) in items.iter().zip(counts) {
                if let Some(track) = track_of[item as usize] {
                    listeners[track].push((numbered, count));
                }
            }
        }
        // They come in the order of the plays, which need not be that of the numbers.
        listeners.iter_mut().for_each(|row| row.sort_unstable_by_key(|(user, _)| *user));
        Self { track_of, listeners }
    }

    /// Factors of the tracks, with the users' held fixed.
    fn fold_in(&self, users: &[f32], count: usize, config: &WmfConfig) -> Result<Vec<f32>> {
        let mut by_track = Entries::default();
        for row in &self.listeners {
            row.iter().for_each(|&(user, count)| by_track.push(user, count));
            by_track.end_row();
        }
        let by_track = by_track.matrix(count).map_err(|error| broken(&error))?;
        fold_in_items(config, users, &by_track).map_err(from_wmf)
    }
}

fn broken(error: &dyn std::fmt::Display) -> Error {
    Error::Data(format!("the listening data cannot be factorised: {error}"))
}

/// A product of factors stays what it is if one side grows as the other shrinks. Targets with a mean
/// square of 1 make losses comparable, and one learning rate good for all.
fn balance(users: &mut [f32], tracks: &mut [f32]) {
    let square: f64 = tracks.iter().map(|value| f64::from(*value).powi(2)).sum();
    let size = (square / tracks.len().max(1) as f64).sqrt();
    if size.is_normal() {
        tracks.iter_mut().for_each(|value| *value = (f64::from(*value) / size) as f32);
        users.iter_mut().for_each(|value| *value = (f64::from(*value) * size) as f32);
    }
}

impl Latent {
    /// Factorises `plays`; `tracks` are those with audio, each with a split, all of them played.
    /// `progress` hears of the sweeps that are done, of how many, and of the objective.
    ///
    /// # Errors
    /// If the config does not fit the data, or `stop` was set.
    pub fn fit(
        plays: &Interactions,
        tracks: &[Track],
        config: &WmfConfig,
        stop: &AtomicBool,
        mut progress: impl FnMut(usize, usize, f64),
    ) -> Result<Latent> {
        if config.bias {
            return Err(Error::Config(
                "factorization.bias is true: a network learns plain factors, so leave it out"
                    .into(),
            ));
        }
        let users = plays.users().len();
        let heard = Heard::new(plays, tracks, |user| Some(user as u32));
        // Items that the factorisation may see, numbered anew: all but held-out tracks.
        let mut seen = 0;
        let mut place = vec![None; plays.items().len()];
        for (item, track) in heard.track_of.iter().enumerate() {
            if track.is_none_or(|at| tracks[at].split == Some(Split::Train)) {
                place[item] = Some(seen);
                seen += 1;
            }
        }
        let mut by_user = Entries::default();
        for user in 0..users {
            let (items, counts) = plays.of_user(user);
            for (&item, &count) in items.iter().zip(counts) {
                if let Some(column) = place[item as usize] {
                    by_user.push(column, count);
                }
            }
            by_user.end_row();
        }
        if by_user.is_empty() {
            return Err(Error::Data(format!(
                "none of the {} plays is of a track in the train split, of which alone factors are learned (those of the \
                 other splits are held out): have more tracks that were played in it",
                plays.len()
            )));
        }
        let matrix = by_user.matrix(seen as usize).map_err(|error| broken(&error))?;
        let mut wmf = Wmf::new(config, &matrix).map_err(from_wmf)?;
        while wmf.sweep() < config.iterations {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted("interrupted while factorising".into()));
            }
            let sweep = wmf.run_sweep(&|_| {}).map_err(from_wmf)?;
            progress(sweep.sweep, config.iterations, sweep.objective);
        }
        let factors = wmf.into_factors();
        let mut of_tracks = heard.fold_in(&factors.users, users, config)?;
        // Where the factorisation has factors of its own, they are the targets.
        let width = config.factors;
        for (place, track) in place.iter().zip(&heard.track_of) {
            if let (Some(place), Some(track)) = (place, track) {
                let own = &factors.items[*place as usize * width..][..width];
                of_tracks[track * width..][..width].copy_from_slice(own);
            }
        }
        let mut of_users = factors.users;
        balance(&mut of_users, &mut of_tracks);
        Self::new(plays.users().to_vec(), of_users, of_tracks, width, heard.listeners, config)
    }

    fn new(
        ids: Vec<String>,
        users: Vec<f32>,
        tracks: Vec<f32>,
        width: usize,
        mut listeners: Vec<Vec<(u32, f32)>>,
        config: &WmfConfig,
    ) -> Result<Latent> {
        for (_, value) in listeners.iter_mut().flatten() {
            *value = config.confidence(*value);
        }
        let matrix = |rows, data| Matrix::new(rows, width, data).map_err(|error| broken(&error));
        let (users, tracks) = (matrix(ids.len(), users)?, matrix(listeners.len(), tracks)?);
        Ok(Latent { ids, users, tracks, listeners })
    }

    /// Takes factors that were made beforehand, by `factorize` or another program. Also returns
    /// sentences on what did not fit.
    ///
    /// Users and tracks are matched by their ids. A track without factors gets those that who
    /// played it tells; plays of users without factors are left out.
    ///
    /// # Errors
    /// If there are biases, nobody has factors, or nothing can be found for a track without.
    pub fn adopt(
        plays: &Interactions,
        tracks: &[Track],
        tables: FactorTables,
        config: &WmfConfig,
    ) -> Result<(Latent, Vec<String>)> {
        let width = tables.n_factors;
        if tables.users.biases.is_some() {
            return Err(Error::Config(
                "the factors of factorization.root have biases, which no network learns: \
                 factorise without --bias"
                    .into(),
            ));
        }
        let row: HashMap<&str, usize> =
            tables.users.ids.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
        let (mut ids, mut users) = (Vec::new(), Vec::new());
        let mut number = vec![None; plays.users().len()];
        for (user, id) in plays.users().iter().enumerate() {
            if let Some(&row) = row.get(id.as_str()) {
                number[user] = Some(ids.len() as u32);
                ids.push(id.clone());
                users.extend_from_slice(&tables.users.factors[row * width..][..width]);
            }
        }
        if ids.is_empty() {
            let example = |ids: &[String]| ids.first().cloned().unwrap_or_default();
            return Err(Error::Data(format!(
                "factorization.root has factors of none of the listeners: its users are such as {:?}, \
                 the listening data's such as {:?}",
                example(&tables.users.ids),
                example(plays.users())
            )));
        }
        let mut notes = Vec::new();
        let unknown = plays.users().len() - ids.len();
        if unknown > 0 {
            notes.push(format!("{unknown} listeners without factors are left out"));
        }
        let heard = Heard::new(plays, tracks, |user| number[user]);
        let config = WmfConfig { factors: width, ..config.clone() };
        let mut of_tracks = heard.fold_in(&users, ids.len(), &config)?;
        let row: HashMap<&str, usize> =
            tables.items.ids.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
        let (mut folded, mut lost) = (0, None);
        for (at, track) in tracks.iter().enumerate() {
            match row.get(track.id.as_str()) {
                Some(row) => of_tracks[at * width..][..width]
                    .copy_from_slice(&tables.items.factors[row * width..][..width]),
                None if heard.listeners[at].is_empty() => lost = lost.or(Some(track)),
                None => folded += 1,
            }
        }
        if let Some(track) = lost {
            return Err(Error::Data(format!(
                "track {} has no factors in factorization.root, and nobody who has factors played it: \
                 leave it out of the data set, or factorise with it",
                track.id
            )));
        }
        if folded > 0 {
            notes.push(format!(
                "{folded} tracks have no factors: theirs are found from who played them, \
                 with the users' factors held fixed"
            ));
        }
        let known = |track: &Track| row.contains_key(track.id.as_str());
        let held_out = |track: &&Track| track.split != Some(Split::Train) && known(track);
        let seen = tracks.iter().filter(held_out).count();
        if seen > 0 {
            notes.push(format!(
                "the factors were made with {seen} of the held-out tracks: the users' factors know of \
                 them, so that scores and upper bound are better than for songs nobody has played"
            ));
        }
        balance(&mut users, &mut of_tracks);
        let latent = Self::new(ids, users, of_tracks, width, heard.listeners, &config)?;
        Ok((latent, notes))
    }

    /// What [`Latent::to_tables`] gave, bit for bit.
    ///
    /// # Errors
    /// If users or tracks are no longer the same.
    pub fn restore(
        plays: &Interactions,
        tracks: &[Track],
        tables: FactorTables,
        config: &WmfConfig,
    ) -> Result<Latent> {
        let changed = |what: &str| {
            Error::Data(format!(
                "the {what} are no longer those of the run's factors: put the old files back, or \
                 train anew"
            ))
        };
        let same = tables.items.ids.len() == tracks.len()
            && tables.items.ids.iter().zip(tracks).all(|(id, track)| *id == track.id);
        if !same {
            return Err(changed("tracks"));
        }
        let row: HashMap<&str, u32> =
            (0..).zip(&tables.users.ids).map(|(row, id)| (id.as_str(), row)).collect();
        let number: Vec<Option<u32>> =
            plays.users().iter().map(|id| row.get(id.as_str()).copied()).collect();
        if number.iter().flatten().count() != tables.users.ids.len() {
            return Err(changed("listeners"));
        }
        let heard = Heard::new(plays, tracks, |user| number[user]);
        let FactorTables { users, items, n_factors } = tables;
        Self::new(users.ids, users.factors, items.factors, n_factors, heard.listeners, config)
    }

    /// For [`crate::listening::factors`]: the users, and the tracks as items.
    pub fn to_tables(&self, tracks: &[Track]) -> FactorTables {
        let side = |ids: Vec<String>, factors: &Matrix| Side {
            ids,
            factors: factors.data().to_vec(),
            biases: None,
        };
        FactorTables {
            users: side(self.ids.clone(), &self.users),
            items: side(tracks.iter().map(|track| track.id.clone()).collect(), &self.tracks),
            n_factors: self.tracks.columns(),
        }
    }

    /// How many users played each of `tracks`.
    pub fn plays(&self, tracks: &[usize]) -> Vec<usize> {
        tracks.iter().map(|&track| self.listeners[track].len()).collect()
    }

    /// Which of `tracks` each user played: positions in `tracks`.
    fn positives(&self, tracks: &[usize]) -> Result<ItemLists, RecommendationError> {
        let mut pairs = Vec::new();
        for (item, &track) in tracks.iter().enumerate() {
            pairs.extend(self.listeners[track].iter().map(|&(user, _)| (user, item as u32)));
        }
        ItemLists::from_pairs(self.users.rows(), &pairs)
    }

    /// Who listened to some of the tracks, for the weighted prediction error.
    pub fn listeners(&self, tracks: &[usize]) -> Listeners {
        let plays = tracks.iter().map(|&track| self.listeners[track].clone());
        Listeners::new(self.users.clone(), plays)
    }

    /// Users and items whose products rank the items by how near their places are, in the mean, to
    /// those of the tracks that a user played: `-|v - w|^2` has the mean
    /// `2 v'm - |v|^2` over places `w` with the mean `m`, less what is the same for all items.
    ///
    /// # Shapes
    /// - `places`: `[track, dimension]`, of `tracks`, which users played; `items`: `[item, dimension]`
    /// - returns: `[user, dimension + 1]` and `[item, dimension + 1]`
    pub fn by_distance(
        &self,
        tracks: &[usize],
        places: &Matrix,
        items: &Matrix,
    ) -> (Matrix, Matrix) {
        let width = places.columns();
        let mut sums = vec![0.0_f64; self.users.rows() * width];
        let mut counts = vec![0_u32; self.users.rows()];
        for (row, &track) in tracks.iter().enumerate() {
            for &(user, _) in &self.listeners[track] {
                let sums = &mut sums[user as usize * width..][..width];
                let place = places.row(row);
                sums.iter_mut().zip(place).for_each(|(sum, value)| *sum += f64::from(*value));
                counts[user as usize] += 1;
            }
        }
        let mut users = Vec::with_capacity(self.users.rows() * (width + 1));
        for (sums, &count) in sums.chunks_exact(width).zip(&counts) {
            // Who played nothing has no opinion.
            let count = f64::from(count);
            let mean = sums.iter().map(|sum| if count > 0.0 { 2.0 * sum / count } else { 0.0 });
            users.extend(mean.map(|value| value as f32));
            users.push(if count > 0.0 { -1.0 } else { 0.0 });
        }
        let mut wide = Vec::with_capacity(items.rows() * (width + 1));
        for item in 0..items.rows() {
            let place = items.row(item);
            wide.extend_from_slice(place);
            wide.push(place.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() as f32);
        }
        let matrix =
            |rows, data| Matrix::new(rows, width + 1, data).expect("one more than the places have");
        (matrix(self.users.rows(), users), matrix(items.rows(), wide))
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
        self.score_for(&self.users, tracks, factors)
    }

    /// The same for users who are described otherwise.
    ///
    /// # Errors
    /// As [`Latent::score`].
    pub fn score_for(
        &self,
        users: &Matrix,
        tracks: &[usize],
        factors: &Matrix,
    ) -> Result<RecommendationScores, RecommendationError> {
        let held_out = self.positives(tracks)?;
        let options = Options { k: K, ..Options::default() };
        score_recommendation(users, factors, &held_out, &options)
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

    fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    fn end_row(&mut self) {
        self.offsets.push(self.columns.len());
    }

    fn matrix(self, columns: usize) -> Result<Csr, CsrError> {
        Csr::new(self.offsets, self.columns, self.values, columns)
    }
}

fn from_wmf(error: models::factorization::wmf::WmfError) -> Error {
    match error {
        models::factorization::wmf::WmfError::Config(error) => {
            Error::Config(format!("in [factorization]: {error}"))
        }
        error @ (models::factorization::wmf::WmfError::TooManyFactors { .. }
        | models::factorization::wmf::WmfError::Indefinite { .. }) => {
            Error::Config(format!("in [factorization]: {error}"))
        }
        error => Error::Data(format!("the listening data cannot be factorised: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use datasets::listening::synthetic_listeners::SyntheticListenersConfig;
    use datasets::tracks::synthetic::SyntheticConfig;
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
        Latent::fit(plays, tracks, config, &AtomicBool::new(false), |_, _, _| {})
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
        let only = datasets::listening::hold_out::only_items(&plays, |item| {
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

    /// What a run keeps is what it had, and other data is refused.
    #[test]
    fn kept_factors_are_restored_bit_for_bit() {
        let (collection, plays) = data(200).unwrap();
        let tracks = &collection.tracks;
        let latent = fit(&plays, tracks, &config()).unwrap();
        let kept = || latent.to_tables(tracks);
        let again = Latent::restore(&plays, tracks, kept(), &config()).unwrap();
        assert_eq!((&again.ids, &again.users), (&latent.ids, &latent.users));
        assert_eq!((&again.tracks, &again.listeners), (&latent.tracks, &latent.listeners));
        let error = Latent::restore(&plays, &tracks[1..], kept(), &config()).unwrap_err();
        assert!(error.to_string().contains("the tracks are no longer"), "{error}");
        let mut other = kept();
        other.users.ids[7] = "somebody else".into();
        let error = Latent::restore(&plays, tracks, other, &config()).unwrap_err();
        assert!(error.to_string().contains("the listeners are no longer"), "{error}");
    }

    /// Factors made elsewhere: in another order, with strangers among them, with some missing.
    #[test]
    fn factors_of_another_program_are_matched_by_id() {
        let (collection, plays) = data(200).unwrap();
        let tracks = &collection.tracks;
        let own = fit(&plays, tracks, &config()).unwrap();
        let width = own.tracks.columns();
        let reversed = |side: Side, stranger: &str| {
            let mut ids: Vec<String> = side.ids.into_iter().rev().collect();
            let rows = side.factors.chunks_exact(width).rev();
            let mut factors: Vec<f32> = rows.flatten().copied().collect();
            ids.push(stranger.into());
            factors.extend(vec![9.0; width]);
            Side { ids, factors, biases: None }
        };
        let tables = own.to_tables(tracks);
        let mut theirs = FactorTables {
            users: reversed(tables.users, "a listener nobody knows"),
            items: reversed(tables.items, "a song without audio"),
            n_factors: width,
        };
        let (all, notes) = Latent::adopt(&plays, tracks, theirs.clone(), &config()).unwrap();
        let near = |a: &Matrix, b: &Matrix| {
            let pairs = a.data().iter().zip(b.data());
            a.rows() == b.rows() && pairs.into_iter().all(|(a, b)| (a - b).abs() <= 1e-5)
        };
        assert!(near(&all.tracks, &own.tracks) && near(&all.users, &own.users));
        assert_eq!(all.listeners, own.listeners);
        assert!(notes.len() == 1 && notes[0].contains("held-out tracks"), "{notes:?}");

        // A held-out track without factors gets what its listeners tell: what `fit` gave it.
        let lost = of(tracks, Split::Test)[0];
        let row = theirs.items.ids.iter().position(|id| *id == tracks[lost].id).unwrap();
        theirs.items.ids[row] = "renamed".into();
        let (some, notes) = Latent::adopt(&plays, tracks, theirs.clone(), &config()).unwrap();
        assert!(notes.iter().any(|note| note.starts_with("1 tracks have no factors")), "{notes:?}");
        let cosine = |a: &[f32], b: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        // Balanced users are regularised otherwise, so near, not equal.
        assert!(cosine(some.tracks.row(lost), own.tracks.row(lost)) > 0.9);

        theirs.users.ids.truncate(150);
        theirs.users.factors.truncate(150 * width);
        let (fewer, notes) = Latent::adopt(&plays, tracks, theirs.clone(), &config()).unwrap();
        assert_eq!((fewer.users.rows(), fewer.ids.len()), (150, 150));
        assert!(notes.iter().any(|note| note.starts_with("50 listeners")), "{notes:?}");
        theirs.users.ids.iter_mut().for_each(|id| id.insert(0, '?'));
        let error = Latent::adopt(&plays, tracks, theirs.clone(), &config()).unwrap_err();
        assert!(error.to_string().contains("factors of none of the listeners"), "{error}");
        theirs.users.biases = Some(vec![0.0; 150]);
        let error = Latent::adopt(&plays, tracks, theirs, &config()).unwrap_err();
        assert!(error.to_string().contains("--bias"), "{error}");
    }

    /// Against the mean of the squared distances written out.
    #[test]
    fn users_like_what_is_near_to_what_they_played() {
        let (collection, plays) = data(40).unwrap();
        let tracks = &collection.tracks;
        let latent = fit(&plays, tracks, &config()).unwrap();
        let (train, test) = (of(tracks, Split::Train), of(tracks, Split::Test));
        let places = crate::listening::matrix::tests::noise(5, train.len(), 3);
        let items = crate::listening::matrix::tests::noise(6, test.len(), 3);
        let (users, wide) = latent.by_distance(&train, &places, &items);
        for user in 0..40 {
            let played: Vec<usize> = (0..train.len())
                .filter(|&row| latent.listeners[train[row]].iter().any(|(u, _)| *u == user as u32))
                .collect();
            if played.is_empty() {
                continue;
            }
            let score = |item: usize| -> f64 {
                let distance = |row: usize| -> f64 {
                    let pairs = places.row(row).iter().zip(items.row(item));
                    pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
                };
                -played.iter().map(|&row| distance(row)).sum::<f64>() / played.len() as f64
            };
            let product = |item: usize| -> f64 {
                let pairs = users.row(user).iter().zip(wide.row(item));
                pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            for item in 1..test.len() {
                let (ours, exact) = (product(item) - product(0), score(item) - score(0));
                assert!((ours - exact).abs() < 1e-5, "{ours} {exact}");
            }
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
        let error = Latent::fit(&plays, &collection.tracks, &config(), &stopped, |_, _, _| {});
        assert_eq!(error.unwrap_err().exit_code(), 130);
    }
}
