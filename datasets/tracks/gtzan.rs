//! GTZAN: 1 000 excerpts of 30 s, 100 of each of ten genres.
//!
//! G. Tzanetakis and P. Cook, *Musical genre classification of audio signals*, IEEE Transactions on
//! Speech and Audio Processing 10(5), 2002. The audio is not shipped here.
//!
//! What is read: ten folders, `blues` to `rock`, with `blues.00000.wav` to `blues.00099.wav` and so on
//! (any other ending of audio does as well; the first archive has `.au`), in the root, or in its
//! `genres` (as first published), `genres_original` or `Data/genres_original` (as it goes round today).
//! Each track has one tag, its genre.
//!
//! **`jazz.00054`**: in the copy that goes round today its `.wav` is no sound file. It is left out,
//! and counted, if it does not begin as its ending says; a copy of it that can be used is kept.
//!
//! **Faults**: the excerpts repeat each other and the genres are sometimes wrong (B. L. Sturm, *An
//! analysis of the GTZAN music genre dataset*, MIRUM 2012: 50 replicas, 22 excerpts of the same
//! recording, 106 labels to doubt; 35 of the 100 reggae excerpts are Bob Marley's). Scores by plain
//! cross-validation are too good. Hence two remedies:
//!
//! - `fault_filtered`: the split of C. Kereliuk, B. L. Sturm and J. Larsen, *Deep learning and music
//!   adversaries*, IEEE Transactions on Multimedia, 2015 (arXiv:1507.04761): 443, 197 and 290 excerpts,
//!   made by hand without the replicas and with no artist on two sides. `gtzan/fault_filtered.csv` has
//!   it from the lists in torchaudio's loader; those in the authors' repository, dnn-mgr, are the same.
//! - artists: `gtzan/artists.csv`, from a copy of Sturm's index of artists and titles, the
//!   `GTZANindex.txt` that comes with the GTZAN-Rhythm annotations (spellings of one artist made one).
//!   919 excerpts have one; of the other 81 the artist is not known, and may well be that of their
//!   neighbours.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::shown;
use crate::tracks::folders::{self, ending};
use crate::{Audio, Collection, DatasetError, Track};

#[cfg(test)]
pub(crate) mod tests;

/// The tags, in the order of the outputs.
pub const GENRES: [&str; 10] =
    ["blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"];

/// Excerpts of a genre.
const PER_GENRE: usize = 100;

/// The one whose file may be broken.
const BROKEN: &str = "jazz.00054";

/// Where the folders of the genres may lie.
const PLACES: [&str; 4] = ["", "genres", "genres_original", "Data/genres_original"];

/// `genre,excerpts,split`: numbers and ranges of them, separated by spaces.
const FAULT_FILTERED: &str = include_str!("gtzan/fault_filtered.csv");
/// `genre,excerpts,artist`
const ARTISTS: &str = include_str!("gtzan/artists.csv");

/// Which excerpts are used, and how they are split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExcerptSelection {
    /// All, without a split: for cross-validation, as the papers before 2015 have it.
    #[default]
    Plain,
    /// 443 for training, 197 for validation, 290 for testing (Kereliuk et al. 2015).
    FaultFiltered,
}

/// `[dataset] name = "gtzan"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GtzanConfig {
    /// The folder with the ten folders, or with `genres` or `genres_original`.
    pub root: PathBuf,
    /// Which excerpts are used, and how they are divided.
    pub split: ExcerptSelection,
}

impl Default for GtzanConfig {
    fn default() -> Self {
        Self { root: "gtzan".into(), split: ExcerptSelection::default() }
    }
}

impl GtzanConfig {
    /// Loads the data set at `root`, relative to `data_dir` if given. Excerpts that are not there are
    /// counted in the notes.
    ///
    /// # Errors
    /// If a genre has no folder or no audio, a folder with audio is no genre, a file is not called as
    /// the excerpts of its genre are, or an excerpt is there twice.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        let remedy = "name the folder of GTZAN: it, or genres or genres_original in it, holds the \
                      folders blues to rock";
        crate::named("gtzan", "root", &self.root, remedy)?;
        let root = crate::below(data_dir, &self.root);
        let place = place(&root).ok_or_else(|| DatasetError::Missing {
            path: root.join("blues"),
            remedy: remedy.into(),
        })?;
        let listing = folders::list(&place, remedy)?;
        let mut notes = listing.notes;
        let table = |problem: String| DatasetError::Table { path: place.clone(), problem };
        for genre in GENRES {
            if !listing.folders.iter().any(|folder| folder.name == genre) {
                return Err(table(format!(
                    "there is no folder {genre} with audio in it: unpack all of GTZAN"
                )));
            }
        }

        let splits = numbered(FAULT_FILTERED);
        let artists = numbered(ARTISTS);
        let (mut broken, mut unlisted, mut nameless) = (0, 0, 0);
        let mut tracks: Vec<Track> = Vec::new();
        let mut seen = HashMap::new();
        for folder in listing.folders {
            let Some(genre) = GENRES.iter().position(|genre| *genre == folder.name) else {
                return Err(table(format!(
                    "the folder {} is no genre of GTZAN: move it elsewhere; there are {}",
                    shown(&folder.name),
                    GENRES.join(", ")
                )));
            };
            for file in folder.files {
                let wrong =
                    |problem: String| DatasetError::Table { path: file.path.clone(), problem };
                let number = number_of(&file.name, GENRES[genre]).ok_or_else(|| {
                    wrong(format!(
                        "this is no excerpt of GTZAN: those of {0} are {0}.00000.wav to {0}.00099.wav, \
                         right in their folder; move it elsewhere",
                        GENRES[genre]
                    ))
                })?;
                let id = format!("{}.{number:05}", GENRES[genre]);
                if let Some(other) = seen.insert(id.clone(), file.name.clone()) {
                    return Err(wrong(format!(
                        "{id} is there twice, as {} too: remove one",
                        shown(&other)
                    )));
                }
                let split = match self.split {
                    ExcerptSelection::Plain => None,
                    ExcerptSelection::FaultFiltered => {
                        let split = splits.get(&(genre, number)).and_then(|text| text.parse().ok());
                        if split.is_none() {
                            unlisted += 1;
                            continue;
                        }
                        split
                    }
                };
                if id == BROKEN && !begins_as_it_ends(&file.path)? {
                    broken += 1;
                    continue;
                }
                let artist = artists.get(&(genre, number)).map(|artist| artist.to_string());
                nameless += usize::from(artist.is_none());
                tracks.push(Track {
                    id,
                    audio: Audio::File { path: file.path, offset_s: 0.0, duration_s: None },
                    split,
                    tags: vec![genre],
                    artist,
                });
            }
        }
        let wanted = match self.split {
            ExcerptSelection::Plain => GENRES.len() * PER_GENRE,
            ExcerptSelection::FaultFiltered => splits.len(),
        };
        for (number, what) in [
            (broken, "excerpts left out because jazz.00054 is no sound file in this copy"),
            (unlisted, "excerpts left out because the fault-filtered lists do not name them"),
            (wanted - tracks.len() - broken, "excerpts that are not there"),
            (nameless, "excerpts whose artist is not known"),
        ] {
            if number > 0 {
                notes.push(format!("{what}: {number}"));
            }
        }
        let name = match self.split {
            ExcerptSelection::Plain => "gtzan".into(),
            ExcerptSelection::FaultFiltered => "gtzan/fault_filtered".into(),
        };
        Ok(Collection { name, tags: GENRES.map(String::from).to_vec(), tracks, notes })
    }
}

/// Whether a folder looks like the data set.
pub(crate) fn is_root(root: &Path) -> bool {
    place(root).is_some_and(|place| GENRES.iter().all(|genre| place.join(genre).is_dir()))
}

/// The folder that holds the genres, or some of them.
fn place(root: &Path) -> Option<PathBuf> {
    let holds_one = |folder: &PathBuf| GENRES.iter().any(|genre| folder.join(genre).is_dir());
    PLACES
        .iter()
        .map(|folder| if folder.is_empty() { root.to_owned() } else { root.join(folder) })
        .find(holds_one)
}

/// 12 for `blues.00012.wav`, in the folder `blues`.
fn number_of(name: &str, genre: &str) -> Option<usize> {
    let (stem, _) = name.rsplit_once('.')?;
    let digits = stem.strip_prefix(genre)?.strip_prefix('.')?;
    let fits = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| fits && *number < PER_GENRE)
}

/// Whether a WAVE or AU file has the first bytes of one; other kinds are not looked into.
fn begins_as_it_ends(path: &Path) -> Result<bool, DatasetError> {
    let io = |source| DatasetError::Io { action: "read", path: path.to_owned(), source };
    let mut head = Vec::new();
    fs::File::open(path).map_err(io)?.take(12).read_to_end(&mut head).map_err(io)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(match ending(&name).as_deref() {
        Some("wav" | "wave") => head.starts_with(b"RIFF") && head.ends_with(b"WAVE"),
        Some("au") => head.starts_with(b".snd"),
        _ => !head.is_empty(),
    })
}

/// What a table says of each excerpt, by genre and number.
fn numbered(table: &'static str) -> HashMap<(usize, usize), String> {
    let mut values = HashMap::new();
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    // The tables are part of the program; a test reads every line of them.
    for row in reader.records().flatten() {
        let Some(genre) = GENRES.iter().position(|genre| row.get(0) == Some(genre)) else {
            continue;
        };
        for range in row.get(1).unwrap_or_default().split(' ') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else {
                continue;
            };
            for number in first..=last {
                values.insert((genre, number), row.get(2).unwrap_or_default().to_owned());
            }
        }
    }
    values
}
