//! The Echo Nest Taste Profile: 48 373 586 play counts of 1 019 318 users and 384 546 songs, and the
//! way from its songs to the tracks of the Million Song Dataset.
//!
//! McFee, Bertin-Mahieux, Ellis and Lanckriet (2012), The Million Song Dataset Challenge. The files
//! are read as they were published (their layout is recalled from memory, confident):
//!
//! - `train_triplets.txt`: user, song and count, separated by tabs, without a header;
//! - `taste_profile_song_to_tracks.txt`: a song, then the tracks that it stands for, separated by
//!   tabs; some songs have none;
//! - `sid_mismatches.txt`: lines such as
//!   `ERROR: <SOUMNSI12AB0182807 TRMMGKQ128F9325E10> Digital Underground  -  The Way We Swing  !=
//!   Linkwood  -  Whats up with the Underground`: pairs of a song and a track that do not belong together.
//!
//! Songs become tracks where both other files are there: an item is then a track, by which audio, tags
//! and genres of the Million Song Dataset are found.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::shown;
use crate::lines::each_line;
use crate::listening::interactions::Play;
use crate::listening::subset::Subset;
use crate::tracks::msd::is_id;
use crate::{DatasetError, Interactions};

/// The file of the play counts.
pub const TRIPLETS: &str = "train_triplets.txt";
/// The file that leads from songs to tracks.
pub const SONG_TO_TRACKS: &str = "taste_profile_song_to_tracks.txt";
/// The file of what it leads to in error.
pub const MISMATCHES: &str = "sid_mismatches.txt";

/// What the items are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Items {
    /// Tracks of the Million Song Dataset, which have audio and tags.
    #[default]
    Tracks,
    /// Songs, as the play counts have them.
    Songs,
}

/// `[listening] name = "taste_profile"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TasteProfileConfig {
    /// The folder with `train_triplets.txt`.
    pub root: PathBuf,
    /// What an item is.
    pub items: Items,
    /// A smaller piece of it.
    #[serde(skip_serializing_if = "Subset::is_all")]
    pub subset: Subset,
}

impl Default for TasteProfileConfig {
    fn default() -> Self {
        Self { root: "taste_profile".into(), items: Items::default(), subset: Subset::default() }
    }
}

impl TasteProfileConfig {
    /// Loads the play counts at `root`, relative to `data_dir` if given.
    ///
    /// # Errors
    /// As [`load_tracks`] or [`load_songs`].
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Interactions, DatasetError> {
        let remedy = "name the folder with train_triplets.txt";
        crate::named("taste_profile", "root", &self.root, remedy)?;
        let root = crate::below(data_dir, &self.root);
        let plays = match self.items {
            Items::Tracks => load_tracks(&root)?,
            Items::Songs => load_songs(&root)?,
        };
        self.subset.of(plays)
    }
}

/// Whether a folder looks like this data set.
pub fn is_root(root: &Path) -> bool {
    root.join(TRIPLETS).is_file()
}

/// Reads the folder; items are songs.
///
/// # Errors
/// If the file of the counts is missing, or a line is not what it should be.
pub fn load_songs(root: &Path) -> Result<Interactions, DatasetError> {
    needs(root, TRIPLETS)?;
    Interactions::read(&root.join(TRIPLETS))
}

/// Reads the folder; items are tracks of the Million Song Dataset.
///
/// A song of several tracks goes to the first that is no mismatch. Songs with no track that is
/// theirs are left out with their plays; songs that lead to one track are added up. The notes count
/// both.
///
/// # Errors
/// If one of the three files is missing, or a line is not what it should be.
pub fn load_tracks(root: &Path) -> Result<Interactions, DatasetError> {
    for name in [TRIPLETS, SONG_TO_TRACKS, MISMATCHES] {
        needs(root, name)?;
    }
    let mismatches = mismatches(&root.join(MISMATCHES))?;
    let tracks = song_to_track(&root.join(SONG_TO_TRACKS), &mismatches)?;
    let songs = load_songs(root)?;

    let mut items: Vec<String> = Vec::new();
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let (mut unknown, mut mismatched, mut passed_over) = (0_usize, 0_usize, 0_usize);
    let item_of: Vec<Option<u32>> = songs
        .items()
        .iter()
        .map(|song| match tracks.get(song.as_str()) {
            Some(Found::Track { track, first }) => {
                passed_over += usize::from(!first);
                Some(*numbers.entry(track).or_insert_with(|| {
                    items.push(track.clone());
                    items.len() as u32 - 1
                }))
            }
            Some(Found::OnlyMismatches) => {
                mismatched += 1;
                None
            }
            Some(Found::None) | None => {
                unknown += 1;
                None
            }
        })
        .collect();
    let pairs = songs.len();
    let plays: Vec<Play> = songs
        .plays()
        .filter_map(|play| Some(Play { item: item_of[play.item as usize]?, ..play }))
        .collect();
    let left_out = pairs - plays.len();
    let mut interactions = Interactions::from_plays(songs.users().to_vec(), items, plays);
    if unknown + mismatched > 0 {
        interactions.notes.push(format!(
            "songs left out, with their {left_out} pairs of user and song: {unknown} without a track, \
             {mismatched} whose tracks are all mismatches"
        ));
    }
    if passed_over > 0 {
        interactions.notes.push(format!(
            "songs whose first track is a mismatch and that went to a later one: {passed_over}"
        ));
    }
    interactions.notes.splice(0..0, songs.notes);
    Ok(interactions)
}

fn needs(root: &Path, name: &str) -> Result<(), DatasetError> {
    match root.join(name).is_file() {
        true => Ok(()),
        false => Err(DatasetError::Missing {
            path: root.join(name),
            remedy: "it is published with the Taste Profile subset of the Million Song Dataset"
                .into(),
        }),
    }
}

/// Where a song leads.
enum Found {
    /// The first that is no mismatch, and whether it is the first of all.
    Track {
        track: String,
        first: bool,
    },
    OnlyMismatches,
    None,
}

fn song_to_track(
    path: &Path,
    mismatches: &HashSet<(String, String)>,
) -> Result<HashMap<String, Found>, DatasetError> {
    let mut songs = HashMap::new();
    each_line(path, |line| {
        let mut values = line.split('\t').map(str::trim).filter(|value| !value.is_empty());
        let song = values.next().ok_or("there is no song before the first tab")?;
        if !is_id(song, "SO") {
            return Err(format!("{} is no song: a line is a song and its tracks", shown(song)));
        }
        let mut found = Found::None;
        for track in values {
            if !is_id(track, "TR") {
                return Err(format!(
                    "{} is no track: a line is a song and its tracks",
                    shown(track)
                ));
            }
            if mismatches.contains(&(song.to_owned(), track.to_owned())) {
                found = Found::OnlyMismatches;
                continue;
            }
            let first = matches!(found, Found::None);
            found = Found::Track { track: track.to_owned(), first };
            break;
        }
        match songs.insert(song.to_owned(), found) {
            None => Ok(()),
            Some(_) => Err(format!("the song {song} stands in an earlier line")),
        }
    })?;
    Ok(songs)
}

/// Pairs of a song and a track.
fn mismatches(path: &Path) -> Result<HashSet<(String, String)>, DatasetError> {
    let mut pairs = HashSet::new();
    each_line(path, |line| {
        let inside = line
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'))
            .map(|(inside, _)| inside);
        let pair = inside.and_then(|inside| inside.split_once(' '));
        let Some((song, track)) = pair.filter(|(s, t)| is_id(s, "SO") && is_id(t, "TR")) else {
            return Err(format!(
                "{} names no song and track: a line begins with ERROR: <SO... TR...>",
                shown(line)
            ));
        };
        pairs.insert((song.to_owned(), track.to_owned()));
        Ok(())
    })?;
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PLAYS: &str = "b80344d063b5ccb3212f76538f3d9e43d87dca9e\tSOAKIMP12A8C130995\t1\n\
                         b80344d063b5ccb3212f76538f3d9e43d87dca9e\tSOBBMDR12A8C13253B\t2\n\
                         85c1f87fea955d09b4bec2e36aee110927aedf9a\tSOBXHDL12A81C204C0\t1\n\
                         85c1f87fea955d09b4bec2e36aee110927aedf9a\tSOBYHAJ12A6701BF1D\t4\n\
                         85c1f87fea955d09b4bec2e36aee110927aedf9a\tSODACBL12A8C13C273\t3\n";
    const TRACKS: &str = "SOAKIMP12A8C130995\tTRIQAUQ128F42435AD\n\
                          SOBBMDR12A8C13253B\tTRIRLYL128F42539D1\tTRMHBXZ128F4238406\n\
                          SOBXHDL12A81C204C0\tTRYQMNI128F147C1C7\n\
                          SOBYHAJ12A6701BF1D\t\n\
                          SODACBL12A8C13C273\tTRIQAUQ128F42435AD\n";
    const WRONG: &str = "ERROR: <SOBBMDR12A8C13253B TRIRLYL128F42539D1> One  -  First  !=  Two  -  Second\n\
                         ERROR: <SOBXHDL12A81C204C0 TRYQMNI128F147C1C7> Three  -  <3  !=  Four  -  Fourth\n";

    fn folder(files: [(&str, &str); 3]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn songs_become_tracks_and_mismatches_are_left_out_and_counted() {
        let root = folder([(TRIPLETS, PLAYS), (SONG_TO_TRACKS, TRACKS), (MISMATCHES, WRONG)]);
        assert!(is_root(root.path()));
        let songs = load_songs(root.path()).unwrap();
        assert_eq!((songs.users().len(), songs.items().len(), songs.len()), (2, 5, 5));
        let tracks = load_tracks(root.path()).unwrap();
        // The first track of the second song is a mismatch; the third song has nothing else; the
        // fourth has no track; the fifth leads where the first does.
        assert_eq!(tracks.items(), ["TRIQAUQ128F42435AD", "TRMHBXZ128F4238406"]);
        assert_eq!(tracks.of_user(0), (&[0, 1][..], &[1.0, 2.0][..]));
        assert_eq!(tracks.of_user(1), (&[0][..], &[3.0][..]));
        let notes = tracks.notes.join("; ");
        assert!(notes.contains("their 2 pairs"), "{notes}");
        assert!(notes.contains("went to a later one: 1"), "{notes}");
        assert!(notes.contains("1 without a track, 1 whose tracks are all mismatches"), "{notes}");
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let error = |tracks: &str, wrong: &str| {
            let root = folder([(TRIPLETS, PLAYS), (SONG_TO_TRACKS, tracks), (MISMATCHES, wrong)]);
            load_tracks(root.path()).unwrap_err().to_string()
        };
        let text = error("SOAKIMP12A8C130995\tnone\n", WRONG);
        assert!(text.contains("line 1: \"none\" is no track"), "{text}");
        let text = error(&format!("{TRACKS}SOAKIMP12A8C130995\n"), WRONG);
        assert!(text.contains("line 6") && text.contains("earlier line"), "{text}");
        let text = error(TRACKS, "nothing\n");
        assert!(text.contains("sid_mismatches.txt line 1"), "{text}");
        let text = error("none\tTRIQAUQ128F42435AD\n", WRONG);
        assert!(text.contains("song_to_tracks.txt line 1: \"none\" is no song"), "{text}");
        let text = error(TRACKS, "\nERROR: <SOBBMDR12A8C13253B> One  -  First\n");
        assert!(text.contains("sid_mismatches.txt line 2"), "{text}");
        for (count, words) in [("-1", "negative"), ("nan", "not finite"), ("x", "no number")] {
            let plays = format!("{PLAYS}u\tSOAKIMP12A8C130995\t{count}\n");
            let root = folder([(TRIPLETS, &plays), (SONG_TO_TRACKS, TRACKS), (MISMATCHES, WRONG)]);
            let text = load_tracks(root.path()).unwrap_err().to_string();
            assert!(text.contains("line 6") && text.contains(words), "{text}");
        }
        let text = load_tracks(tempfile::tempdir().unwrap().path()).unwrap_err().to_string();
        assert!(text.contains("train_triplets.txt is missing"), "{text}");
    }
}
