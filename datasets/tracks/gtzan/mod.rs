//! GTZAN: 1000 excerpts of 30 s, 100 per genre.
//!
//! G. Tzanetakis and P. Cook, *Musical genre classification of audio signals*, IEEE Transactions on
//! Speech and Audio Processing 10(5), 2002. The audio is not part of this repository.
//!
//! The layout is ten directories, `blues` to `rock`, with `blues.00000.wav` to `blues.00099.wav` and so on (or
//! another audio extension; the first archive has `.au`), in the root, or in its `genres` (as first published),
//! `genres_original` or `Data/genres_original` (current copies). Every track has one tag, its genre.
//!
//! **`jazz.00054`**: in current copies its `.wav` is not an audio file. It is skipped, and a note says so, if its
//! first bytes do not match its extension; a valid copy of it is used.
//!
//! **Faults**: excerpts are repeated, and some genres are wrong (B. L. Sturm, *An analysis of the GTZAN music
//! genre dataset*, MIRUM 2012: 50 replicas, 22 excerpts of the same recording, 106 doubtful labels; 35 of the 100
//! reggae excerpts are Bob Marley's). Scores of plain cross-validation are too optimistic. Two remedies exist:
//!
//! - `fault_filtered`: the split of C. Kereliuk, B. L. Sturm and J. Larsen, *Deep learning and music
//!   adversaries*, IEEE Transactions on Multimedia, 2015 (arXiv:1507.04761): 443, 197 and 290 excerpts,
//!   hand-made without the replicas and without an artist in two splits. `gtzan/fault_filtered.csv` comes from the
//!   lists in torchaudio's loader; those in the authors' repository, dnn-mgr, are equal.
//! - artists: `gtzan/artists.csv` comes from a copy of Sturm's index of artists and titles, the `GTZANindex.txt`
//!   of the GTZAN-Rhythm annotations, with one spelling per artist. It has 919 excerpts; the artists of the other
//!   81 are unknown, and may equal those of their neighbours.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::quoted;
use crate::tracks::find_place;
use crate::tracks::folders::{self, extension};
use crate::{Audio, Collection, DatasetError, Track};

#[cfg(test)]
pub(crate) mod tests;

/// The tags, in the order of the outputs.
pub const GENRES: [&str; 10] =
    ["blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"];

/// Number of excerpts per genre.
const PER_GENRE: usize = 100;

/// The excerpt whose file is broken in current copies.
const BROKEN: &str = "jazz.00054";

/// Possible parents of the genres' directories, relative to the root.
const PLACES: [&str; 4] = ["", "genres", "genres_original", "Data/genres_original"];

/// Columns `genre,excerpts,split`; excerpts are numbers and ranges, separated by spaces.
const FAULT_FILTERED: &str = include_str!("fault_filtered.csv");
/// Columns `genre,excerpts,artist`.
const ARTISTS: &str = include_str!("artists.csv");

/// The excerpts and their split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExcerptSelection {
    /// All excerpts without a split, for cross-validation as in papers before 2015.
    #[default]
    Plain,
    /// 443 training, 197 validation and 290 test excerpts (Kereliuk et al. 2015).
    FaultFiltered,
}

/// `[dataset] name = "gtzan"`: GTZAN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GtzanConfig {
    /// The directory with the ten genres' directories, or with `genres` or `genres_original`, relative to the
    /// data directory. Default: `gtzan`.
    pub root: PathBuf,
    /// The excerpts and their split: `plain` (all, without a split) or `fault_filtered` (443, 197 and 290
    /// excerpts). Default: `plain`.
    pub split: ExcerptSelection,
}

impl Default for GtzanConfig {
    fn default() -> Self {
        Self { root: "gtzan".into(), split: ExcerptSelection::default() }
    }
}

impl GtzanConfig {
    /// Loads the dataset at `root`; a relative root is resolved against `data_dir` if given. Notes count missing
    /// excerpts.
    ///
    /// # Errors
    /// If a genre has no directory or no audio, a directory with audio is not a genre, a file name is not that of
    /// an excerpt of its genre, or an excerpt has two files.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        let remedy = "name the directory of GTZAN: it, or genres or genres_original in it, contains the \
                      directories blues to rock";
        let root = crate::resolve(data_dir, ("gtzan", "root", &self.root), remedy)?;
        let has_any = |place: &Path| GENRES.iter().any(|genre| place.join(genre).is_dir());
        let place = find_place(&root, &PLACES, has_any).ok_or_else(|| DatasetError::Missing {
            path: root.join("blues"),
            remedy: remedy.into(),
        })?;
        let (directories, mut notes) = folders::list(&place, remedy)?;
        if let Some(genre) =
            GENRES.iter().find(|genre| directories.iter().all(|d| d.name != **genre))
        {
            let problem = format!("directory {genre} with audio is missing: unpack all of GTZAN");
            return Err(DatasetError::content(&place, problem));
        }

        let is_filtered = self.split == ExcerptSelection::FaultFiltered;
        let splits = by_excerpt(FAULT_FILTERED);
        let artists = by_excerpt(ARTISTS);
        let (mut broken, mut unlisted, mut without_artist) = (0, 0, 0);
        let mut tracks: Vec<Track> = Vec::new();
        let mut seen = HashMap::new();
        for directory in directories {
            let Some(genre) = GENRES.iter().position(|genre| *genre == directory.name) else {
                let problem = format!(
                    "the directory {} is not a genre of GTZAN ({}): move it elsewhere",
                    quoted(&directory.name),
                    GENRES.join(", ")
                );
                return Err(DatasetError::content(&place, problem));
            };
            let name = GENRES[genre];
            for file in directory.files {
                let wrong = |problem: String| DatasetError::content(&file.path, problem);
                let number = number_of(&file.name, name).ok_or_else(|| {
                    wrong(format!(
                        "this is not an excerpt of GTZAN, {name}.00000.wav to {name}.00099.wav: move it elsewhere"
                    ))
                })?;
                let id = format!("{name}.{number:05}");
                if let Some(other) = seen.insert(id.clone(), file.name.clone()) {
                    let problem = format!("{id} has a second file, {}: remove one", quoted(&other));
                    return Err(wrong(problem));
                }
                let split = splits.get(&(genre, number)).filter(|_| is_filtered);
                if is_filtered && split.is_none() {
                    unlisted += 1;
                    continue;
                }
                if id == BROKEN && !content_matches_extension(&file.path)? {
                    broken += 1;
                    continue;
                }
                let artist = artists.get(&(genre, number)).cloned();
                without_artist += usize::from(artist.is_none());
                tracks.push(Track {
                    id,
                    audio: Audio::file(file.path),
                    split: split.and_then(|split| split.parse().ok()),
                    tags: vec![genre],
                    artist,
                });
            }
        }
        let expected = if is_filtered { splits.len() } else { GENRES.len() * PER_GENRE };
        for (what, count) in [
            ("excerpts skipped because jazz.00054 is not an audio file in this copy", broken),
            ("excerpts skipped because the fault-filtered lists do not contain them", unlisted),
            ("missing excerpts", expected - tracks.len() - broken),
            ("excerpts without a known artist", without_artist),
        ] {
            crate::note_count(&mut notes, what, count);
        }
        let name = if is_filtered { "gtzan/fault_filtered" } else { "gtzan" };
        Ok(Collection { name: name.into(), tags: GENRES.map(String::from).to_vec(), tracks, notes })
    }
}

/// Whether a directory has the layout of the dataset.
pub(crate) fn is_root(root: &Path) -> bool {
    let has_all = |place: &Path| GENRES.iter().all(|genre| place.join(genre).is_dir());
    find_place(root, &PLACES, has_all).is_some()
}

/// The number in a file name: 12 for `blues.00012.wav` in the genre `blues`.
fn number_of(name: &str, genre: &str) -> Option<usize> {
    let (stem, _) = name.rsplit_once('.')?;
    let digits = stem.strip_prefix(genre)?.strip_prefix('.')?;
    let fits = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| fits && *number < PER_GENRE)
}

/// Whether the first bytes of a WAVE or AU file match its extension; other files only must not be empty.
fn content_matches_extension(path: &Path) -> Result<bool, DatasetError> {
    let io = DatasetError::io("read", path);
    let mut head = Vec::new();
    fs::File::open(path).map_err(io)?.take(12).read_to_end(&mut head).map_err(io)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(match extension(&name).as_deref() {
        Some("wav" | "wave") => head.starts_with(b"RIFF") && head.ends_with(b"WAVE"),
        Some("au") => head.starts_with(b".snd"),
        _ => !head.is_empty(),
    })
}

/// The last column of a table, by the excerpt's genre and number.
fn by_excerpt(table: &str) -> HashMap<(usize, usize), String> {
    let mut values = HashMap::new();
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    // The tables are part of the program; a test checks every line.
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
