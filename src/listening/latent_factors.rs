//! Latent factors as training targets: a factorization of listening data, matched to the tracks.
//!
//! Weighted matrix factorization of plays gives every user and every song a vector. A network then predicts a song's
//! vector from its audio, so that songs can be recommended before anybody has played them: van den Oord, Dieleman &
//! Schrauwen (2013), Deep content-based music recommendation, NIPS.
//!
//! Departure from the paper: the users' factors are computed from the train split (and from items without audio) only,
//! so that they contain nothing about the held-out tracks. The factors of held-out tracks, needed for validation and for
//! the upper bound, are computed with the users' factors fixed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use datasets::{Interactions, Split, Track};
use models::factorization::wmf::{Wmf, WmfConfig, WmfError, fold_in_items};

use crate::error::{Error, Result};
use crate::listening::factors::{FactorTable, FactorTables};
use crate::listening::item_lists::{ItemListError, ItemLists};
use crate::listening::matrix::Matrix;
use crate::listening::track_plays::{TrackPlays, sparse};

/// The factors of users and tracks, and who played which track.
#[derive(Clone, Debug)]
pub struct LatentFactors {
    /// Ids of the users, in the order of their factors.
    pub ids: Vec<String>,
    /// Factors of the users: `[user, factor]`
    pub users: Matrix,
    /// Factors of the tracks, in the order in which they were given: `[track, factor]`
    pub tracks: Matrix,
    /// For each track: its users in ascending order, with the confidence that they like it.
    confidences: Vec<Vec<(u32, f32)>>,
}

impl LatentFactors {
    /// Factorizes `plays`. `tracks` are the tracks with audio; each has a split and was played. `progress` receives the
    /// number of finished sweeps, of all sweeps, and the objective.
    ///
    /// # Errors
    /// If the configuration does not fit the data, or `stop` was set.
    pub fn fit(
        plays: &Interactions,
        tracks: &[Track],
        config: &WmfConfig,
        stop: &AtomicBool,
        mut progress: impl FnMut(usize, usize, f64),
    ) -> Result<LatentFactors> {
        if config.bias {
            return Err(Error::Config(
                "factorization.bias is true, but networks learn factors without biases; remove the key".into(),
            ));
        }
        let users = plays.users().len();
        let played = TrackPlays::new(plays, tracks, |user| Some(user as u32));
        // Columns of the matrix: all items but the held-out tracks.
        let mut n_columns = 0;
        let is_visible =
            |track: &Option<usize>| track.is_none_or(|at| tracks[at].split == Some(Split::Train));
        let columns: Vec<Option<u32>> = played
            .track_of
            .iter()
            .map(|track| {
                is_visible(track).then(|| {
                    n_columns += 1;
                    n_columns - 1
                })
            })
            .collect();
        let rows = (0..users).map(|user| {
            let (items, counts) = plays.of_user(user);
            let entries = items.iter().zip(counts);
            entries.filter_map(|(&item, &count)| Some((columns[item as usize]?, count)))
        });
        let matrix = sparse(rows, n_columns as usize).map_err(|error| unusable(&error))?;
        if matrix.is_empty() {
            return Err(Error::Data(format!(
                "none of the {} plays is of a track in the train split, and factors are learned from these tracks only; \
                 move tracks that were played into the train split",
                plays.len()
            )));
        }
        let failed = |error| wmf_error("in [factorization]: ", &error);
        let mut wmf = Wmf::new(config, &matrix).map_err(failed)?;
        while wmf.sweep() < config.iterations {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted("interrupted during the factorization".into()));
            }
            let sweep = wmf.run_sweep(&|_| {}).map_err(failed)?;
            progress(sweep.sweep, config.iterations, sweep.objective);
        }
        let mut factors = wmf.into_factors();
        let mut of_tracks = fold_in(&played, &factors.users, users, config)?;
        // The targets of training tracks are the factors of the factorization itself.
        let width = config.factors;
        for (column, track) in columns.iter().zip(&played.track_of) {
            if let (Some(column), Some(track)) = (column, track) {
                let own = &factors.items[*column as usize * width..][..width];
                of_tracks[track * width..][..width].copy_from_slice(own);
            }
        }
        balance(&mut factors.users, &mut of_tracks);
        Self::new(plays.users().to_vec(), factors.users, of_tracks, played, config)
    }

    fn new(
        ids: Vec<String>,
        users: Vec<f32>,
        tracks: Vec<f32>,
        played: TrackPlays,
        config: &WmfConfig,
    ) -> Result<LatentFactors> {
        let mut confidences = played.by_track;
        confidences.iter_mut().flatten().for_each(|(_, value)| *value = config.confidence(*value));
        let matrix = |rows, values| Matrix::new(rows, config.factors, values);
        let (users, tracks) = (matrix(ids.len(), users)?, matrix(confidences.len(), tracks)?);
        Ok(LatentFactors { ids, users, tracks, confidences })
    }

    /// Uses factors that `factorize` or another program computed. Also returns notes on what did not match.
    ///
    /// Users and tracks are matched by id. The factors of a track that has none are computed from its plays. Plays of
    /// users without factors are ignored.
    ///
    /// # Errors
    /// If the tables have biases, no user has factors, or a track has neither factors nor plays.
    pub fn adopt(
        plays: &Interactions,
        tracks: &[Track],
        tables: FactorTables,
        config: &WmfConfig,
    ) -> Result<(LatentFactors, Vec<String>)> {
        let width = tables.n_factors;
        let config = WmfConfig { factors: width, ..config.clone() };
        if tables.users.biases.is_some() {
            return Err(Error::Config(
                "the factors in factorization.root have biases, which networks do not learn; factorize without --bias"
                    .into(),
            ));
        }
        let user_rows = rows_by_id(&tables.users.ids);
        let (mut ids, mut users, mut row_of) = (Vec::new(), Vec::new(), Vec::new());
        for id in plays.users() {
            let row = user_rows.get(id.as_str());
            row_of.push(row.map(|_| ids.len() as u32));
            if let Some(&row) = row {
                ids.push(id.clone());
                users.extend_from_slice(&tables.users.factors[row as usize * width..][..width]);
            }
        }
        if ids.is_empty() {
            let example = |ids: &[String]| ids.first().cloned().unwrap_or_default();
            return Err(Error::Data(format!(
                "factorization.root has no factors for any user of the listening data: its user ids look like {:?}, those of \
                 the listening data like {:?}; both must use the same ids",
                example(&tables.users.ids),
                example(plays.users())
            )));
        }
        let mut notes = Vec::new();
        let unknown = plays.users().len() - ids.len();
        if unknown > 0 {
            notes.push(format!("{unknown} users without factors are left out"));
        }
        let played = TrackPlays::new(plays, tracks, |user| row_of[user]);
        let mut of_tracks = fold_in(&played, &users, ids.len(), &config)?;
        let item_rows = rows_by_id(&tables.items.ids);
        let (mut folded_in, mut seen) = (0, 0);
        for (at, track) in tracks.iter().enumerate() {
            if let Some(&row) = item_rows.get(track.id.as_str()) {
                seen += usize::from(track.split != Some(Split::Train));
                of_tracks[at * width..][..width]
                    .copy_from_slice(&tables.items.factors[row as usize * width..][..width]);
            } else if played.by_track[at].is_empty() {
                return Err(Error::Data(format!(
                    "track {} has no factors in factorization.root, and no user with factors played it; remove it from the \
                     dataset, or include it in the factorization",
                    track.id
                )));
            } else {
                folded_in += 1;
            }
        }
        if folded_in > 0 {
            notes.push(format!(
                "{folded_in} tracks have no factors: they are computed from their plays, with the users' factors fixed"
            ));
        }
        if seen > 0 {
            notes.push(format!(
                "the factors were computed with {seen} of the held-out tracks, so the users' factors depend on them: scores and \
                 upper bound are better than for songs that nobody has played"
            ));
        }
        balance(&mut users, &mut of_tracks);
        Ok((Self::new(ids, users, of_tracks, played, &config)?, notes))
    }

    /// Restores what [`LatentFactors::to_tables`] returned, bit for bit.
    ///
    /// # Errors
    /// If the users or tracks have changed.
    pub fn restore(
        plays: &Interactions,
        tracks: &[Track],
        tables: FactorTables,
        config: &WmfConfig,
    ) -> Result<LatentFactors> {
        let changed = |what: &str| {
            Error::Data(format!(
                "the {what} are no longer those of the run's factors; restore the old files, or train again"
            ))
        };
        if !tables.items.ids.iter().eq(tracks.iter().map(|track| &track.id)) {
            return Err(changed("tracks"));
        }
        let rows = rows_by_id(&tables.users.ids);
        let row_of: Vec<Option<u32>> =
            plays.users().iter().map(|id| rows.get(id.as_str()).copied()).collect();
        if row_of.iter().flatten().count() != tables.users.ids.len() {
            return Err(changed("users"));
        }
        let played = TrackPlays::new(plays, tracks, |user| row_of[user]);
        let FactorTables { users, items, n_factors } = tables;
        let config = WmfConfig { factors: n_factors, ..config.clone() };
        Self::new(users.ids, users.factors, items.factors, played, &config)
    }

    /// The factors as [`crate::listening::factors`] stores them, with the tracks as items.
    pub fn to_tables(&self, tracks: &[Track]) -> FactorTables {
        let table = |ids: Vec<String>, factors: &Matrix| FactorTable {
            ids,
            factors: factors.data().to_vec(),
            biases: None,
        };
        FactorTables {
            users: table(self.ids.clone(), &self.users),
            items: table(tracks.iter().map(|track| track.id.clone()).collect(), &self.tracks),
            n_factors: self.tracks.columns(),
        }
    }

    /// For each of `tracks`, how many users played it.
    pub fn plays(&self, tracks: &[usize]) -> Vec<usize> {
        tracks.iter().map(|&track| self.confidences[track].len()).collect()
    }

    /// For each user, the played tracks as positions in `tracks`.
    ///
    /// # Errors
    /// If `tracks` contains a track twice.
    pub fn played(&self, tracks: &[usize]) -> Result<ItemLists, ItemListError> {
        let mut pairs = Vec::new();
        for (item, &track) in tracks.iter().enumerate() {
            pairs.extend(self.confidences[track].iter().map(|&(user, _)| (user, item as u32)));
        }
        ItemLists::from_pairs(self.users.rows(), &pairs)
    }

    /// For each of `tracks`: its users in ascending order, with the confidence (1 or more) that they like it.
    pub fn confidences(&self, tracks: &[usize]) -> Vec<Vec<(u32, f32)>> {
        tracks.iter().map(|&track| self.confidences[track].clone()).collect()
    }

    /// Vectors of users and items whose inner products rank the items by their mean squared distance to the tracks that
    /// a user played, nearest first: `-|v - w|^2` averaged over points `w` with the mean `m` is
    /// `2 v'm - |v|^2`, up to a constant per user.
    ///
    /// # Shapes
    /// - `points`: `[track, dimension]`, for `tracks`; `items`: `[item, dimension]`
    /// - returns: `[user, dimension + 1]` and `[item, dimension + 1]`
    pub fn by_distance(
        &self,
        tracks: &[usize],
        points: &Matrix,
        items: &Matrix,
    ) -> (Matrix, Matrix) {
        let width = points.columns();
        let mut sums = vec![0.0_f64; self.users.rows() * width];
        let mut counts = vec![0_u32; self.users.rows()];
        for (row, &track) in tracks.iter().enumerate() {
            for &(user, _) in &self.confidences[track] {
                let sums = &mut sums[user as usize * width..][..width];
                sums.iter_mut()
                    .zip(points.row(row))
                    .for_each(|(sum, value)| *sum += f64::from(*value));
                counts[user as usize] += 1;
            }
        }
        let mut users = Vec::with_capacity(self.users.rows() * (width + 1));
        for (sums, &count) in sums.chunks_exact(width).zip(&counts) {
            // All scores of a user without plays are 0.
            let count = f64::from(count);
            let mean = sums.iter().map(|sum| if count > 0.0 { 2.0 * sum / count } else { 0.0 });
            users.extend(mean.map(|value| value as f32));
            users.push(if count > 0.0 { -1.0 } else { 0.0 });
        }
        let mut extended = Vec::with_capacity(items.rows() * (width + 1));
        for item in 0..items.rows() {
            let point = items.row(item);
            extended.extend_from_slice(point);
            extended.push(point.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() as f32);
        }
        let matrix =
            |rows, values| Matrix::new(rows, width + 1, values).expect("one value more per row");
        (matrix(self.users.rows(), users), matrix(items.rows(), extended))
    }
}

/// The row of each id.
fn rows_by_id(ids: &[String]) -> HashMap<&str, u32> {
    (0..).zip(ids).map(|(row, id)| (id.as_str(), row)).collect()
}

/// Factors of the tracks, with those of the users fixed.
fn fold_in(
    played: &TrackPlays,
    users: &[f32],
    n_users: usize,
    config: &WmfConfig,
) -> Result<Vec<f32>> {
    let rows = played.by_track.iter().map(|row| row.iter().copied());
    let by_track = sparse(rows, n_users).map_err(|error| unusable(&error))?;
    fold_in_items(config, users, &by_track)
        .map_err(|error| wmf_error("in [factorization]: ", &error))
}

/// Scales the tracks' factors to a mean square of 1 and the users' by the inverse, so that products stay the same.
/// Losses are then comparable, and one learning rate suits all datasets.
fn balance(users: &mut [f32], tracks: &mut [f32]) {
    let square: f64 = tracks.iter().map(|value| f64::from(*value).powi(2)).sum();
    let scale = (square / tracks.len().max(1) as f64).sqrt();
    if scale.is_normal() {
        tracks.iter_mut().for_each(|value| *value = (f64::from(*value) / scale) as f32);
        users.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
    }
}

fn unusable(error: &dyn std::fmt::Display) -> Error {
    Error::Data(format!("the listening data cannot be factorized: {error}"))
}

/// The error of a factorization, with its exit code; `place` is put before the message.
pub(super) fn wmf_error(place: &str, error: &WmfError) -> Error {
    let text = format!("{place}{error}");
    match error {
        WmfError::Config(_)
        | WmfError::TooManyFactors { .. }
        | WmfError::Confidence { .. }
        | WmfError::Indefinite { .. } => Error::Config(text),
        WmfError::Breakdown { .. } => Error::Diverged(text),
        _ => Error::Data(text),
    }
}

#[cfg(test)]
mod tests;
