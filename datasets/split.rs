//! Splits, and how to make one: by artist, or at random.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Collection, DatasetError};

/// The part of a data set that a track belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    Train,
    Valid,
    Test,
}

impl Split {
    /// All, in order.
    pub const ALL: [Split; 3] = [Split::Train, Split::Valid, Split::Test];
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Split::Train => "train",
            Split::Valid => "valid",
            Split::Test => "test",
        })
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Split::ALL
            .into_iter()
            .find(|split| split.to_string() == text)
            .ok_or_else(|| format!("{text:?} is no split: write train, valid or test"))
    }
}

/// How to split: `artist:8/1/1` or `random:8/1/1`.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitSpec {
    /// Whether all tracks of an artist go to one side.
    by_artist: bool,
    /// Shares of train, valid and test; their sum is 1.
    shares: [f64; 3],
}

impl FromStr for SplitSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no split: write artist:8/1/1 or random:8/1/1 \
                 (shares of train, valid and test, each above 0)"
            )
        };
        let (kind, shares) = text.split_once(':').ok_or_else(wrong)?;
        let by_artist = match kind {
            "artist" => true,
            "random" => false,
            _ => return Err(wrong()),
        };
        let shares: Vec<f64> =
            shares.split('/').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
        let shares: [f64; 3] = shares.try_into().map_err(|_| wrong())?;
        let sum: f64 = shares.iter().sum();
        if !(sum.is_finite() && shares.iter().all(|share| *share > 0.0)) {
            return Err(wrong());
        }
        Ok(SplitSpec { by_artist, shares: shares.map(|share| share / sum) })
    }
}

/// How a split came out.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitReport {
    /// Tracks in train, valid and test.
    pub tracks: [usize; 3],
    /// Artists in each, for a split by artist.
    pub artists: Option<[usize; 3]>,
    /// Tags that have no track in one of the splits.
    pub incomplete_tags: Vec<String>,
}

impl fmt::Display for SplitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [train, valid, test] = self.tracks;
        write!(f, "split into {train} train, {valid} valid and {test} test tracks")?;
        if let Some([train, valid, test]) = self.artists {
            write!(f, " by {train}, {valid} and {test} artists")?;
        }
        if !self.incomplete_tags.is_empty() {
            let (number, tags) = (self.incomplete_tags.len(), self.incomplete_tags.join(", "));
            write!(f, "; {number} tags are missing in a split: {tags}")?;
        }
        Ok(())
    }
}

/// Gives every track of the collection a split, replacing the one it has.
///
/// Groups (artists, or single tracks) are taken by size, largest first, equal ones in an order
/// drawn from `seed`, and each goes where the most tracks are missing. The result depends on ids
/// and artists alone, not on the order of the tracks.
///
/// # Errors
/// If an artist is missing where one is needed, or a split would be empty.
pub fn assign_splits(
    collection: &mut Collection,
    spec: &SplitSpec,
    seed: u64,
) -> Result<SplitReport, DatasetError> {
    let failed =
        |problem: String| DatasetError::Split { dataset: collection.name.clone(), problem };
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, track) in collection.tracks.iter().enumerate() {
        let group = match (spec.by_artist, track.artist.as_deref()) {
            (false, _) => track.id.as_str(),
            (true, Some(artist)) if !artist.is_empty() => artist,
            (true, _) => {
                return Err(failed(format!(
                    "track {} has no artist: fill the artist column, or use random:A/B/C",
                    track.id
                )));
            }
        };
        groups.entry(group).or_default().push(index);
    }
    if groups.len() < 3 {
        let what = if spec.by_artist { "artists" } else { "tracks" };
        return Err(failed(format!(
            "there are only {} {what}, and three splits: add some",
            groups.len()
        )));
    }

    let mut groups: Vec<(&str, Vec<usize>)> = groups.into_iter().collect();
    groups.sort_by_cached_key(|(name, tracks)| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes()).update(name.as_bytes());
        (std::cmp::Reverse(tracks.len()), *hasher.finalize().as_bytes())
    });
    let total = collection.tracks.len() as f64;
    let mut tracks = [0usize; 3];
    let mut artists = [0usize; 3];
    let mut splits = vec![Split::Train; collection.tracks.len()];
    let number = groups.len();
    for (done, (_, members)) in groups.into_iter().enumerate() {
        let missing = |side: usize| spec.shares[side] * total - tracks[side] as f64;
        // When as many groups are left as splits are empty, each empty one gets one.
        let empty = |side: usize| artists[side] == 0;
        let forced = (0..3).filter(|&side| empty(side)).count() >= number - done;
        let side = (0..3)
            .filter(|&side| !forced || empty(side))
            .max_by(|&a, &b| missing(a).total_cmp(&missing(b)).then(b.cmp(&a)))
            .expect("there are three splits");
        tracks[side] += members.len();
        artists[side] += 1;
        for index in members {
            splits[index] = Split::ALL[side];
        }
    }
    let mut present = vec![[false; 3]; collection.tags.len()];
    for (track, split) in collection.tracks.iter_mut().zip(splits) {
        track.split = Some(split);
        for &tag in &track.tags {
            present[tag][split as usize] = true;
        }
    }
    let incomplete =
        collection.tags.iter().zip(&present).filter(|(_, sides)| sides.contains(&false));
    Ok(SplitReport {
        tracks,
        artists: spec.by_artist.then_some(artists),
        incomplete_tags: incomplete.map(|(tag, _)| tag.clone()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Audio, Track};

    /// 40 artists with 1 to 9 tracks each.
    fn collection() -> Collection {
        let mut tracks = Vec::new();
        for artist in 0..40usize {
            for song in 0..=(artist * 7 % 9) {
                let path = format!("{artist}-{song}.mp3").into();
                tracks.push(Track {
                    id: format!("{artist}-{song}"),
                    audio: Audio::File { path, offset_s: 0.0, duration_s: None },
                    split: None,
                    tags: vec![artist % 3],
                    artist: Some(format!("artist {artist}")),
                });
            }
        }
        let tags = ["a", "b", "c"].map(String::from).to_vec();
        Collection { name: "test".into(), tags, tracks, notes: vec![] }
    }

    fn by_id(collection: &Collection) -> BTreeMap<String, Split> {
        collection.tracks.iter().map(|t| (t.id.clone(), t.split.unwrap())).collect()
    }

    #[test]
    fn artists_stay_whole_and_shares_are_met() {
        let mut all = collection();
        let spec: SplitSpec = "artist:8/1/1".parse().unwrap();
        let report = assign_splits(&mut all, &spec, 1).unwrap();
        let mut side = BTreeMap::new();
        for track in &all.tracks {
            let before = side.insert(track.artist.clone(), track.split);
            assert!(before.is_none_or(|before| before == track.split));
        }
        let total = all.tracks.len() as f64;
        for (got, share) in report.tracks.iter().zip([0.8, 0.1, 0.1]) {
            assert!((*got as f64 / total - share).abs() < 0.02, "{report}");
        }
        assert_eq!(report.artists.unwrap().iter().sum::<usize>(), 40);
    }

    #[test]
    fn the_split_depends_on_seed_and_names_only() {
        let spec: SplitSpec = "random:6/2/2".parse().unwrap();
        let (mut a, mut b, mut c) = (collection(), collection(), collection());
        b.tracks.reverse();
        assign_splits(&mut a, &spec, 5).unwrap();
        assign_splits(&mut b, &spec, 5).unwrap();
        assign_splits(&mut c, &spec, 6).unwrap();
        assert_eq!(by_id(&a), by_id(&b));
        assert_ne!(by_id(&a), by_id(&c));
    }

    #[test]
    fn every_split_gets_something_however_small_its_share() {
        let mut few = collection();
        few.tracks.retain(|t| ["0-0", "1-0", "2-0"].contains(&t.id.as_str()));
        let report = assign_splits(&mut few, &"artist:98/1/1".parse().unwrap(), 1).unwrap();
        assert_eq!(report.tracks, [1, 1, 1]);
        few.tracks.pop();
        let error = assign_splits(&mut few, &"artist:8/1/1".parse().unwrap(), 1).unwrap_err();
        assert!(error.to_string().contains("only 2 artists"), "{error}");
        few.tracks[0].artist = None;
        let error = assign_splits(&mut few, &"artist:8/1/1".parse().unwrap(), 1).unwrap_err();
        assert!(error.to_string().contains("0-0 has no artist"), "{error}");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "artist",
            "artist:",
            "artist:8/1",
            "artist:8/1/1/1",
            "genre:8/1/1",
            "artist:8/0/1",
            "random:-8/1/1",
            "random:nan/1/1",
            "random:inf/1/1",
            "random:8/1/x",
        ] {
            assert!(text.parse::<SplitSpec>().is_err(), "{text}");
        }
    }
}
