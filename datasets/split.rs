//! Splits into training, validation and test sets, and making one: by artist, or at random.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::quoted;
use crate::{Collection, DatasetError};

/// The part of a dataset that a track belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The model is trained on it.
    Train,
    /// It selects the best checkpoint and decides when training stops.
    Valid,
    /// The reported scores are measured on it.
    Test,
}

impl Split {
    /// All splits, in order.
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
        let split = Split::ALL.into_iter().find(|split| split.to_string() == text);
        split.ok_or_else(|| format!("split {} is not one of train, valid, test", quoted(text)))
    }
}

/// A rule for splitting a collection, written as `artist:8/1/1` or `random:8/1/1`.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitSpec {
    /// Whether all tracks of an artist go to the same split.
    by_artist: bool,
    /// Shares of train, valid and test; their sum is 1.
    shares: [f64; 3],
}

impl FromStr for SplitSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "split {} is not understood: write artist:8/1/1 or random:8/1/1 (shares of train, valid \
                 and test, each above 0)",
                quoted(text)
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

/// The rule in a dataset's `split` setting; `None` if it is empty.
pub(crate) fn parse_setting(dataset: &str, text: &str) -> Result<Option<SplitSpec>, DatasetError> {
    let parse = || {
        text.parse().map_err(|e: String| DatasetError::config(dataset, "split", quoted(text), e))
    };
    (!text.is_empty()).then(parse).transpose()
}

/// Counts of tracks, artists and tags per split.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitReport {
    /// Tracks in train, valid and test.
    pub tracks: [usize; 3],
    /// Artists in train, valid and test; tracks without an artist are not counted.
    pub artists: [usize; 3],
    /// Artists in more than one split: 0 after a split by artist.
    pub shared_artists: usize,
    /// Tracks per tag in train, valid and test, in the order of the vocabulary.
    pub tags: Vec<(String, [usize; 3])>,
}

impl SplitReport {
    /// Counts the tracks of a collection that have a split.
    pub fn of(collection: &Collection) -> SplitReport {
        let mut tracks = [0; 3];
        let mut tags: Vec<_> = collection.tags.iter().map(|tag| (tag.clone(), [0; 3])).collect();
        let mut artists: BTreeMap<&str, [bool; 3]> = BTreeMap::new();
        for track in &collection.tracks {
            let Some(side) = track.split.map(|split| split as usize) else { continue };
            tracks[side] += 1;
            for &tag in &track.tags {
                tags[tag].1[side] += 1;
            }
            if let Some(artist) = &track.artist {
                artists.entry(artist).or_default()[side] = true;
            }
        }
        let on = |side: usize| artists.values().filter(|sides| sides[side]).count();
        let several = |sides: &&[bool; 3]| sides.iter().filter(|here| **here).count() > 1;
        SplitReport {
            tracks,
            artists: [on(0), on(1), on(2)],
            shared_artists: artists.values().filter(several).count(),
            tags,
        }
    }

    /// Tags that at least one of the splits has no track of.
    pub fn incomplete_tags(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().filter(|(_, counts)| counts.contains(&0)).map(|(tag, _)| tag.as_str())
    }
}

impl fmt::Display for SplitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        let [train, valid, test] = self.tracks;
        write!(f, "split into {train} train, {valid} valid and {test} test tracks")?;
        if self.artists.iter().any(|&number| number > 0) {
            let [train, valid, test] = self.artists;
            write!(f, " by {train}, {valid} and {test} artists")?;
            if self.shared_artists > 0 {
                write!(f, ", {} of them in more than one split", self.shared_artists)?;
            }
        }
        let incomplete: Vec<&str> = self.incomplete_tags().collect();
        if !incomplete.is_empty() {
            let first = incomplete[..incomplete.len().min(SHOWN)].join(", ");
            write!(f, "; tags that are missing from a split: {} ({first}", incomplete.len())?;
            f.write_str(if incomplete.len() > SHOWN { ", ...)" } else { ")" })?;
        }
        Ok(())
    }
}

/// Assigns a split to every track of the collection, replacing the existing one.
///
/// Groups (artists, or single tracks) are assigned by size, largest first, groups of equal size in an order
/// drawn from `seed`. Each goes to the split that lacks the most tracks. The result depends only on ids and
/// artists, not on the order of the tracks.
///
/// # Errors
/// If a track lacks an artist in a split by artist, or a split would be empty.
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
                    "track {} has no artist: add its artist, or split with random:A/B/C",
                    track.id
                )));
            }
        };
        groups.entry(group).or_default().push(index);
    }
    if groups.len() < 3 {
        let what = if spec.by_artist { "artists" } else { "tracks" };
        let problem = format!("only {} {what} for three splits: add some", groups.len());
        return Err(failed(problem));
    }

    let mut groups: Vec<(&str, Vec<usize>)> = groups.into_iter().collect();
    groups.sort_by_cached_key(|(name, tracks)| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes()).update(name.as_bytes());
        (std::cmp::Reverse(tracks.len()), *hasher.finalize().as_bytes())
    });
    let total = collection.tracks.len() as f64;
    let mut tracks = [0usize; 3];
    let mut taken = [0usize; 3];
    let mut splits = vec![Split::Train; collection.tracks.len()];
    let number = groups.len();
    for (done, (_, members)) in groups.into_iter().enumerate() {
        let missing = |side: usize| spec.shares[side] * total - tracks[side] as f64;
        // Once as many groups remain as splits are empty, every empty split gets one.
        let empty = |side: usize| taken[side] == 0;
        let forced = (0..3).filter(|&side| empty(side)).count() >= number - done;
        let side = (0..3)
            .filter(|&side| !forced || empty(side))
            .max_by(|&a, &b| missing(a).total_cmp(&missing(b)).then(b.cmp(&a)))
            .unwrap_or(0);
        tracks[side] += members.len();
        taken[side] += 1;
        for index in members {
            splits[index] = Split::ALL[side];
        }
    }
    for (track, split) in collection.tracks.iter_mut().zip(splits) {
        track.split = Some(split);
    }
    Ok(SplitReport::of(collection))
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
                    audio: Audio::file(path),
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
    fn artists_are_not_divided_and_shares_are_met() {
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
        assert_eq!(report.artists.iter().sum::<usize>(), 40);
        assert_eq!(report.shared_artists, 0);
    }

    #[test]
    fn split_depends_only_on_seed_and_names() {
        let spec: SplitSpec = "random:6/2/2".parse().unwrap();
        let (mut a, mut b, mut c) = (collection(), collection(), collection());
        b.tracks.reverse();
        assign_splits(&mut a, &spec, 5).unwrap();
        assign_splits(&mut b, &spec, 5).unwrap();
        assign_splits(&mut c, &spec, 6).unwrap();
        assert_eq!(by_id(&a), by_id(&b));
        assert_ne!(by_id(&a), by_id(&c));
    }

    /// `tests/split_reference.py` is an independent implementation in Python.
    #[test]
    fn splits_equal_the_reference() {
        let reference = include_str!("tests/split_reference.csv");
        let mut splits: BTreeMap<(&str, u64), Collection> = BTreeMap::new();
        for line in reference.lines().skip(1) {
            let [shares, seed, artist, split] = line.split(',').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let seed = seed.parse().unwrap();
            let all = splits.entry((shares, seed)).or_insert_with(|| {
                let mut all = collection();
                let spec = format!("artist:{shares}").parse().unwrap();
                assign_splits(&mut all, &spec, seed).unwrap();
                all
            });
            for track in all.tracks.iter().filter(|t| t.artist.as_deref() == Some(artist)) {
                assert_eq!(track.split.unwrap().to_string(), split, "{line}");
            }
        }
        assert_eq!(splits.len(), 6);
    }

    /// Compares with the best of all assignments of ten artists.
    #[test]
    fn split_of_few_artists_is_near_the_optimum() {
        let sizes = [40, 22, 19, 13, 9, 8, 5, 3, 2, 1];
        let total: i32 = sizes.iter().sum();
        let off = |tracks: [i32; 3]| {
            let wanted = [0.7, 0.15, 0.15].map(|share| share * f64::from(total));
            (0..3).map(|i| (f64::from(tracks[i]) - wanted[i]).abs()).fold(0.0, f64::max)
        };
        let best = (0..3usize.pow(10))
            .map(|way| {
                let mut tracks = [0; 3];
                (0..10).for_each(|i| tracks[way / 3usize.pow(i) % 3] += sizes[i as usize]);
                off(tracks)
            })
            .fold(f64::INFINITY, f64::min);
        let mut all = collection();
        all.tracks = (0..10)
            .flat_map(|artist| (0..sizes[artist]).map(move |song| (artist, song)))
            .map(|(artist, song)| Track {
                id: format!("{artist}-{song}"),
                artist: Some(artist.to_string()),
                ..collection().tracks[0].clone()
            })
            .collect();
        let report = assign_splits(&mut all, &"artist:70/15/15".parse().unwrap(), 1).unwrap();
        let taken = off(report.tracks.map(|tracks| tracks as i32));
        assert!(taken <= best + 2.0, "{taken} tracks off, the optimum is {best}: {report}");
    }

    #[test]
    fn report_counts_artists_and_tags() {
        let mut all = collection();
        let report = assign_splits(&mut all, &"random:8/1/1".parse().unwrap(), 3).unwrap();
        let artists = |split: Split| -> std::collections::BTreeSet<&str> {
            let tracks = all.tracks.iter().filter(|track| track.split == Some(split));
            tracks.map(|track| track.artist.as_deref().unwrap()).collect()
        };
        let sets = Split::ALL.map(artists);
        assert_eq!(report.artists, [sets[0].len(), sets[1].len(), sets[2].len()]);
        let in_several = |a: &&&str| sets.iter().filter(|set| set.contains(**a)).count() > 1;
        let every: std::collections::BTreeSet<&str> = sets.iter().flatten().copied().collect();
        assert_eq!(report.shared_artists, every.iter().filter(in_several).count());
        assert!(report.shared_artists > 0);
        for (tag, (name, counts)) in report.tags.iter().enumerate() {
            assert_eq!(*name, all.tags[tag]);
            for split in Split::ALL {
                let here = |t: &&Track| t.split == Some(split) && t.tags.contains(&tag);
                assert_eq!(counts[split as usize], all.tracks.iter().filter(here).count());
            }
        }
        assert_eq!(report.incomplete_tags().count(), 0);
        all.tags.push("rare".into());
        let last = all.tracks.len() - 1;
        all.tracks[last].tags.push(3);
        let report = SplitReport::of(&all);
        assert_eq!(report.incomplete_tags().collect::<Vec<_>>(), ["rare"]);
        assert!(
            report.to_string().contains("tags that are missing from a split: 1 (rare)"),
            "{report}"
        );
        assert!(report.to_string().contains("in more than one split"), "{report}");
    }

    #[test]
    fn no_split_is_empty_even_with_a_small_share() {
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
    fn invalid_rules_are_refused() {
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
