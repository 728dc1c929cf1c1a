//! Who played which track: plays matched to the tracks that have audio.

use std::collections::HashMap;

use datasets::{Interactions, Track};
use kernels::csr::{Csr, CsrError};

/// The plays of tracks with audio.
pub(super) struct TrackPlays {
    /// For each item of the plays: its index in the tracks, `None` for an item without audio.
    pub track_of: Vec<Option<usize>>,
    /// For each track: its users in ascending order, with their play counts.
    pub by_track: Vec<Vec<(u32, f32)>>,
}

impl TrackPlays {
    /// Matches plays and tracks by id. `row_of` maps a user of the plays to a row of factors; users without a
    /// row are left out.
    pub fn new(
        plays: &Interactions,
        tracks: &[Track],
        row_of: impl Fn(usize) -> Option<u32>,
    ) -> Self {
        let index: HashMap<&str, usize> =
            tracks.iter().enumerate().map(|(at, track)| (track.id.as_str(), at)).collect();
        let track_of: Vec<Option<usize>> =
            plays.items().iter().map(|id| index.get(id.as_str()).copied()).collect();
        let mut by_track = vec![Vec::new(); tracks.len()];
        for user in 0..plays.users().len() {
            let Some(row) = row_of(user) else { continue };
            let (items, counts) = plays.of_user(user);
            for (&item, &count) in items.iter().zip(counts) {
                if let Some(track) = track_of[item as usize] {
                    by_track[track].push((row, count));
                }
            }
        }
        // Rows of factors can be in another order than the users of the plays.
        by_track.iter_mut().for_each(|users| users.sort_unstable_by_key(|(user, _)| *user));
        Self { track_of, by_track }
    }
}

/// For each track, whether nobody played it. Such a track has no factors to learn and no users to recommend it to.
pub fn unplayed(plays: &Interactions, tracks: &[Track]) -> Vec<bool> {
    let plays = TrackPlays::new(plays, tracks, |user| Some(user as u32));
    plays.by_track.iter().map(Vec::is_empty).collect()
}

/// A sparse matrix from the `(column, value)` entries of each row.
pub(super) fn sparse<R: IntoIterator<Item = (u32, f32)>>(
    rows: impl IntoIterator<Item = R>,
    n_columns: usize,
) -> Result<Csr, CsrError> {
    let (mut offsets, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
    for row in rows {
        for (column, value) in row {
            columns.push(column);
            values.push(value);
        }
        offsets.push(columns.len());
    }
    Csr::new(offsets, columns, values, n_columns)
}

#[cfg(test)]
mod tests {
    use datasets::listening::synthetic_listeners::SyntheticListenersConfig;
    use datasets::tracks::synthetic::SyntheticConfig;

    use super::*;

    #[test]
    fn tracks_without_plays_are_found() {
        let config = SyntheticConfig { tracks: 100, ..Default::default() };
        let collection = config.load().unwrap();
        let listeners =
            SyntheticListenersConfig { users: 3, mean_items: 20.0, ..Default::default() };
        let plays = listeners.listeners(&collection).unwrap().interactions();
        for (item, unplayed) in unplayed(&plays, &collection.tracks).iter().enumerate() {
            let played = plays.plays().any(|play| play.item as usize == item);
            assert_eq!(*unplayed, !played, "{item}");
        }
        let mut unknown = collection.tracks[0].clone();
        unknown.id = "an id without plays".into();
        assert_eq!(super::unplayed(&plays, &[unknown]), [true]);
    }
}
