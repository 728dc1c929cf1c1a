//! Your own music, sorted into directories: one directory per tag.
//!
//! `music/jazz/blue train/01.mp3` has the tag `jazz`: the directory directly below the root, however deep the
//! file is. Every track has one tag, so the task is classification. Tracks with several tags need a
//! [manifest](crate::tracks::manifest).
//!
//! If all directories below the root are named after splits (`train`, `valid`, `test` or a common synonym), they are the
//! splits, and the directories below them are the tags: `music/train/jazz/01.mp3`.
//!
//! Files with one of the [`EXTENSIONS`] are audio. All others are skipped, and the notes count them. Links to
//! files and links to directories directly below the root are followed; links to directories further below are
//! not, because they can form cycles.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::quoted;
use crate::tracks::tag_notes;
use crate::{Audio, Collection, DatasetError, Split, Track, assign_splits, split};

mod listing;
#[cfg(test)]
pub(crate) mod tests;

pub use listing::EXTENSIONS;
use listing::split_named;
pub(crate) use listing::{Directory, audio_below, extension, is_root, list};

/// The place of the artist in a file's path.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ArtistSource {
    /// The path does not contain the artist.
    #[default]
    None,
    /// The file name contains the artist before the first ` - `: `Miles Davis - So What.mp3`.
    Name,
    /// The directory below the tag's is the artist: `jazz/Miles Davis/Kind of Blue/01.mp3`.
    Folder,
}

/// `[dataset] name = "folders"`: your own music, one directory per tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FoldersConfig {
    /// The directory with one directory per tag, relative to the data directory. Required.
    pub root: PathBuf,
    /// The place of the artist in a file's path: `none`, `name` (before the first ` - ` of the file name) or
    /// `folder` (the directory below the tag's). Default: `none`.
    pub artist: ArtistSource,
    /// The split, `artist:8/1/1` or `random:8/1/1` (shares of train, valid and test); empty for none. A random
    /// split divides artists and albums, so its scores are too optimistic. Not used if the directories below the
    /// root are `train`, `valid` and `test`. Default: `random:8/1/1`.
    pub split: String,
    /// Seed of the split. Default: 1.
    pub split_seed: u64,
}

impl Default for FoldersConfig {
    fn default() -> Self {
        Self {
            root: PathBuf::new(),
            artist: ArtistSource::None,
            split: "random:8/1/1".into(),
            split_seed: 1,
        }
    }
}

impl FoldersConfig {
    /// Loads the directories below `root`; a relative root is resolved against `data_dir` if given. Tags and
    /// tracks are in the order of their names. A track's id is its path below the root, with `/` as separator.
    ///
    /// # Errors
    /// If the root is missing or contains no directory with audio, a name cannot be a tag or an id, or the split
    /// cannot be made.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        let remedy = "name the directory with one directory per tag";
        let root = crate::resolve(data_dir, ("folders", "root", &self.root), remedy)?;
        load("folders", &root, remedy, self.artist, (&self.split, self.split_seed), |all| {
            if let Some(name) = root.file_name() {
                all.name = name.to_string_lossy().into_owned();
            }
        })
    }
}

/// Loads a dataset with one directory per tag. `finish` sees the collection before it is split by the rule and
/// seed in `split`.
pub(crate) fn load(
    dataset: &str,
    root: &Path,
    remedy: &str,
    artists: ArtistSource,
    split: (&str, u64),
    finish: impl FnOnce(&mut Collection),
) -> Result<Collection, DatasetError> {
    let spec = split::parse_setting(dataset, split.0)?;
    let (directories, mut notes) = list(root, remedy)?;
    let splits = split_directories(root, &directories, &mut notes)?;
    let names = |directory: &Directory| match &splits {
        None => vec![directory.name.clone()],
        Some(_) => directory.files.iter().filter_map(|file| tag_below(&file.name)).collect(),
    };
    let tags: BTreeSet<String> = directories.iter().flat_map(names).collect();
    let tags: Vec<String> = tags.into_iter().collect();
    notes.extend(tag_notes::of(&tags));
    let mut tracks = Vec::new();
    for directory in directories {
        let split = splits.is_some().then(|| split_named(&directory.name)).flatten();
        for file in directory.files {
            let (tag, rest) = match (split, file.name.split_once('/')) {
                (None, _) => (directory.name.as_str(), file.name.as_str()),
                (Some(_), Some(parts)) => parts,
                // Counted in a note.
                (Some(_), None) => continue,
            };
            let tag = tags.binary_search_by(|known| known.as_str().cmp(tag));
            tracks.push(Track {
                id: format!("{}/{}", directory.name, file.name),
                artist: artist(rest, artists),
                audio: Audio::file(file.path),
                split,
                tags: tag.into_iter().collect(),
            });
        }
    }
    let unknown = tracks.iter().filter(|track| track.artist.is_none()).count();
    let reason = match artists {
        ArtistSource::None => None,
        ArtistSource::Folder => Some("they are directly in their tag's directory"),
        ArtistSource::Name => Some("their file names are not `artist - title`"),
    };
    if let Some(reason) = reason {
        crate::note_count(
            &mut notes,
            &format!("tracks without an artist because {reason}"),
            unknown,
        );
    }
    let mut collection = Collection { name: dataset.to_owned(), tags, tracks, notes };
    finish(&mut collection);
    if let Some(spec) = spec.filter(|_| splits.is_none()) {
        assign_splits(&mut collection, &spec, split.1)?;
    }
    Ok(collection)
}

/// The directory directly below a split's, which is the tag of a file with this name below the split's.
fn tag_below(name: &str) -> Option<String> {
    name.split_once('/').map(|(tag, _)| tag.to_owned())
}

/// The splits of the directories if all of them are named after splits, at least two of them different, one of them
/// train. Adds notes on what that means.
fn split_directories(
    root: &Path,
    directories: &[Directory],
    notes: &mut Vec<String>,
) -> Result<Option<BTreeSet<Split>>, DatasetError> {
    let splits: Option<BTreeSet<Split>> =
        directories.iter().map(|directory| split_named(&directory.name)).collect();
    let Some(splits) = splits.filter(|splits| splits.len() > 1 && splits.contains(&Split::Train))
    else {
        return Ok(None);
    };
    let names: Vec<&str> = directories.iter().map(|directory| directory.name.as_str()).collect();
    let names = names.join(", ");
    let files = || directories.iter().flat_map(|directory| &directory.files);
    let without = files().filter(|file| tag_below(&file.name).is_none()).count();
    if without == files().count() {
        return Err(DatasetError::content(
            root,
            format!(
                "the directories {names} are splits, but their files are in no directory of a tag: sort them, as in \
                 train/jazz/01.mp3"
            ),
        ));
    }
    let unfit = |tag: &String| tag.trim() != tag || tag.contains('|');
    if let Some(tag) = files().filter_map(|file| tag_below(&file.name)).find(unfit) {
        return Err(DatasetError::content(root, listing::not_a_tag(&tag)));
    }
    notes.push(format!("the directories {names} are the splits; those in them are the tags"));
    let what = "files skipped because they are in a split's directory, but not in a tag's";
    crate::note_count(notes, what, without);
    Ok(Some(splits))
}

/// The artist of a file from its path below the tag's directory.
fn artist(name: &str, source: ArtistSource) -> Option<String> {
    let found = match source {
        ArtistSource::None => None,
        ArtistSource::Folder => name.split_once('/').map(|(folder, _)| folder),
        ArtistSource::Name => {
            let file = name.rsplit('/').next().unwrap_or(name);
            file.split_once(" - ").map(|(artist, _)| artist)
        }
    }?
    .trim();
    // `01 - So What.mp3` begins with a track number.
    let is_number = found.bytes().all(|byte| byte.is_ascii_digit());
    (!is_number || (source == ArtistSource::Folder && !found.is_empty())).then(|| found.to_owned())
}

/// Adds notes where a collection differs from the published one: in its genres (if `genres` has them), and in the
/// numbers of genres and tracks.
pub(crate) fn compare(all: &mut Collection, genres: &[&str], genre_count: usize, tracks: usize) {
    let note_names = |what: &str, names: Vec<&str>| {
        let quoted: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        let note = format!("{what}: {} ({})", quoted.len(), quoted.join(", "));
        (!quoted.is_empty()).then_some(note)
    };
    let unknown = all.tags.iter().map(String::as_str);
    let unknown = unknown.filter(|tag| !genres.is_empty() && !genres.contains(tag)).collect();
    let is_missing = |name: &&str| !all.tags.iter().any(|tag| tag == name);
    let missing = genres.iter().copied().filter(is_missing).collect();
    let count = |what: &str, found: usize, published: usize| {
        (found != published)
            .then(|| format!("{what}: {found} instead of the published {published}"))
    };
    let known = !genres.is_empty();
    let notes = [
        note_names("genres that the published dataset does not have", unknown),
        note_names("missing genres", missing),
        if known { None } else { count("genres", all.tags.len(), genre_count) },
        count("tracks", all.tracks.len(), tracks),
    ];
    all.notes.extend(notes.into_iter().flatten());
}
