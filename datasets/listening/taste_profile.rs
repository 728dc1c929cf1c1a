//! The Echo Nest Taste Profile: 48 373 586 play counts of 1 019 318 users and 384 546 songs, and the mapping of
//! its songs to tracks of the Million Song Dataset.
//!
//! McFee, Bertin-Mahieux, Ellis and Lanckriet (2012), The Million Song Dataset Challenge. The published files
//! are read (layouts from memory, confident):
//!
//! - `train_triplets.txt`: user, song and count, separated by tabs, without a header;
//! - `taste_profile_song_to_tracks.txt`: a song and its tracks, separated by tabs; some songs have none;
//! - `sid_mismatches.txt`: pairs of a song and a track that are wrong, in lines such as
//!   `ERROR: <SOUMNSI12AB0182807 TRMMGKQ128F9325E10> Digital Underground  -  The Way We Swing  !=
//!   Linkwood  -  Whats up with the Underground`.
//!
//! As tracks, items have the audio, tags and genres of the Million Song Dataset.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};

use crate::error::quoted;
use crate::listening::interactions::Play;
use crate::listening::subset::Subset;
use crate::text_files::{each_line, require_file};
use crate::tracks::msd::is_id;
use crate::{DatasetError, Interactions};

/// The file of the play counts.
pub const TRIPLETS: &str = "train_triplets.txt";
/// The file that maps songs to tracks.
pub const SONG_TO_TRACKS: &str = "taste_profile_song_to_tracks.txt";
/// The file of wrong pairs of song and track.
pub const MISMATCHES: &str = "sid_mismatches.txt";

/// The items of the Taste Profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Items {
    /// Tracks of the Million Song Dataset, which have audio and tags.
    #[default]
    Tracks,
    /// Songs, as in the play counts.
    Songs,
}

/// `[listening] name = "taste_profile"`: the Echo Nest Taste Profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TasteProfileConfig {
    /// The directory with `train_triplets.txt`, relative to the data directory. Default: `taste_profile`.
    pub root: PathBuf,
    /// Whether an item is a track or a song. Default: tracks.
    pub items: Items,
    /// The most played items and a sample of the users. Default: all.
    #[serde(skip_serializing_if = "Subset::is_all")]
    pub subset: Subset,
}

impl Default for TasteProfileConfig {
    fn default() -> Self {
        Self { root: "taste_profile".into(), items: Items::default(), subset: Subset::default() }
    }
}

impl TasteProfileConfig {
    /// Loads the play counts at `root`; a relative root is resolved against `data_dir` if given.
    ///
    /// # Errors
    /// See [`load_tracks`] and [`load_songs`].
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Interactions, DatasetError> {
        let remedy = "name the directory with train_triplets.txt";
        let root = crate::resolve(data_dir, ("taste_profile", "root", &self.root), remedy)?;
        let plays = match self.items {
            Items::Tracks => load_tracks(&root)?,
            Items::Songs => load_songs(&root)?,
        };
        self.subset.of(plays)
    }
}

/// Reads a directory; items are songs.
///
/// # Errors
/// If `train_triplets.txt` is missing, or a line is wrong.
pub fn load_songs(root: &Path) -> Result<Interactions, DatasetError> {
    Interactions::read(&file(root, TRIPLETS)?)
}

/// Reads a directory; items are tracks of the Million Song Dataset.
///
/// A song with several tracks becomes the first that is not a mismatch. Songs without such a track are skipped
/// with their plays; plays of songs with the same track are summed. The notes have the numbers.
///
/// # Errors
/// If one of the three files is missing, or a line is wrong.
pub fn load_tracks(root: &Path) -> Result<Interactions, DatasetError> {
    file(root, TRIPLETS)?;
    let song_to_tracks = file(root, SONG_TO_TRACKS)?;
    let tracks = song_to_track(&song_to_tracks, &mismatches(&file(root, MISMATCHES)?)?)?;
    let songs = load_songs(root)?;

    let mut items: IndexSet<String> = IndexSet::new();
    let (mut unknown, mut mismatched, mut later) = (0, 0, 0);
    let item_of: Vec<Option<u32>> = songs
        .items()
        .iter()
        .map(|song| match tracks.get(song.as_str()) {
            Some(Mapping::Track { track, first }) => {
                later += usize::from(!first);
                Some(items.insert_full(track.clone()).0 as u32)
            }
            Some(Mapping::OnlyMismatches) => {
                mismatched += 1;
                None
            }
            Some(Mapping::None) | None => {
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
    let skipped = pairs - plays.len();
    let items = items.into_iter().collect();
    let mut interactions = Interactions::from_plays(songs.users().to_vec(), items, plays);
    if unknown + mismatched > 0 {
        interactions.notes.push(format!(
            "songs skipped with their {skipped} pairs of user and song: {unknown} without a track, \
             {mismatched} with mismatches only"
        ));
    }
    let what = "songs mapped to a later track because the first is a mismatch";
    crate::note_count(&mut interactions.notes, what, later);
    interactions.notes.splice(0..0, songs.notes);
    Ok(interactions)
}

/// The path of one of the dataset's files.
fn file(root: &Path, name: &str) -> Result<PathBuf, DatasetError> {
    let path = root.join(name);
    require_file(&path, "get it with the Taste Profile subset of the Million Song Dataset")?;
    Ok(path)
}

/// The track of a song.
enum Mapping {
    /// The first track that is not a mismatch; `first` if it is the song's first track.
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
) -> Result<HashMap<String, Mapping>, DatasetError> {
    let mut songs = HashMap::new();
    each_line(path, |line| {
        let mut values = line.split('\t').map(str::trim).filter(|value| !value.is_empty());
        let song = values.next().ok_or("the line is blank: write a song and its tracks")?;
        if !is_id(song, "SO") {
            let problem = "is not a song id: a line is a song and its tracks";
            return Err(format!("{} {problem}", quoted(song)));
        }
        let mut mapping = Mapping::None;
        for track in values {
            if !is_id(track, "TR") {
                let problem = "is not a track id: a line is a song and its tracks";
                return Err(format!("{} {problem}", quoted(track)));
            }
            if mismatches.contains(&(song.to_owned(), track.to_owned())) {
                mapping = Mapping::OnlyMismatches;
                continue;
            }
            let first = matches!(mapping, Mapping::None);
            mapping = Mapping::Track { track: track.to_owned(), first };
            break;
        }
        match songs.insert(song.to_owned(), mapping) {
            None => Ok(()),
            Some(_) => Err(format!("the song {song} has an earlier line: remove one")),
        }
    })?;
    Ok(songs)
}

/// Pairs of a song and a track that are wrong.
fn mismatches(path: &Path) -> Result<HashSet<(String, String)>, DatasetError> {
    let mut pairs = HashSet::new();
    each_line(path, |line| {
        let rest = line.split_once('<').map(|(_, rest)| rest);
        let pair = rest.and_then(|rest| rest.split_once('>')?.0.split_once(' '));
        let Some((song, track)) = pair.filter(|(s, t)| is_id(s, "SO") && is_id(t, "TR")) else {
            return Err(format!(
                "{} does not begin with ERROR: <SO... TR...>, a song and a track: get the file again",
                quoted(line)
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
    fn songs_become_tracks_and_mismatches_are_skipped() {
        let root = folder([(TRIPLETS, PLAYS), (SONG_TO_TRACKS, TRACKS), (MISMATCHES, WRONG)]);
        let songs = load_songs(root.path()).unwrap();
        assert_eq!((songs.users().len(), songs.items().len(), songs.len()), (2, 5, 5));
        let tracks = load_tracks(root.path()).unwrap();
        // The second song's first track is a mismatch; the third song has mismatches only; the fourth has no
        // track; the fifth has the same track as the first.
        assert_eq!(tracks.items(), ["TRIQAUQ128F42435AD", "TRMHBXZ128F4238406"]);
        assert_eq!(tracks.of_user(0), (&[0, 1][..], &[1.0, 2.0][..]));
        assert_eq!(tracks.of_user(1), (&[0][..], &[3.0][..]));
        let notes = tracks.notes.join("; ");
        assert!(notes.contains("their 2 pairs"), "{notes}");
        assert!(notes.contains("because the first is a mismatch: 1"), "{notes}");
        assert!(notes.contains("1 without a track, 1 with mismatches only"), "{notes}");
    }

    #[test]
    fn errors_name_file_and_line() {
        let error = |tracks: &str, wrong: &str| {
            let root = folder([(TRIPLETS, PLAYS), (SONG_TO_TRACKS, tracks), (MISMATCHES, wrong)]);
            load_tracks(root.path()).unwrap_err().to_string()
        };
        let text = error("SOAKIMP12A8C130995\tnone\n", WRONG);
        assert!(text.contains("line 1: \"none\" is not a track id"), "{text}");
        let text = error(&format!("{TRACKS}SOAKIMP12A8C130995\n"), WRONG);
        assert!(text.contains("line 6") && text.contains("earlier line"), "{text}");
        let text = error(TRACKS, "nothing\n");
        assert!(text.contains("sid_mismatches.txt line 1"), "{text}");
        let text = error("none\tTRIQAUQ128F42435AD\n", WRONG);
        assert!(text.contains("song_to_tracks.txt line 1: \"none\" is not a song id"), "{text}");
        let text = error(TRACKS, "\nERROR: <SOBBMDR12A8C13253B> One  -  First\n");
        assert!(text.contains("sid_mismatches.txt line 2"), "{text}");
        for (count, words) in [("-1", "negative"), ("nan", "not finite"), ("x", "not a number")] {
            let plays = format!("{PLAYS}u\tSOAKIMP12A8C130995\t{count}\n");
            let root = folder([(TRIPLETS, &plays), (SONG_TO_TRACKS, TRACKS), (MISMATCHES, WRONG)]);
            let text = load_tracks(root.path()).unwrap_err().to_string();
            assert!(text.contains("line 6") && text.contains(words), "{text}");
        }
        let text = load_tracks(tempfile::tempdir().unwrap().path()).unwrap_err().to_string();
        assert!(text.contains("train_triplets.txt is missing"), "{text}");
    }
}
