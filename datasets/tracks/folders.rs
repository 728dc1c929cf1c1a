//! One's own music, sorted into folders: a folder a tag.
//!
//! `music/jazz/blue train/01.mp3` has the tag `jazz`: the folder right below the root, however deep
//! the file lies. Every track has one tag, so that this is a task of telling classes apart. Tracks
//! with several tags need a [manifest](crate::tracks::manifest).
//!
//! Audio is what ends as audio does ([`ENDINGS`]). All else is left out, counted, and said in the
//! notes. Links to files, and links in the place of a tag's folder, are followed; links to folders
//! further below are not, for they can go round in circles.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::shown;
use crate::{Audio, Collection, DatasetError, Track, assign_splits, split};

mod listing;
#[cfg(test)]
pub(crate) mod tests;

pub use listing::ENDINGS;
pub(crate) use listing::{Listing, ending, is_root, list};

/// Where the artist of a track is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ArtistSource {
    /// Nowhere: artists are not known.
    #[default]
    None,
    /// In the file's name, before the first ` - `: `Miles Davis - So What.mp3`.
    Name,
    /// In the folder below the tag's: `jazz/Miles Davis/Kind of Blue/01.mp3`.
    Folder,
}

/// `[dataset] name = "folders"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FoldersConfig {
    /// The folder with a folder a tag.
    pub root: PathBuf,
    /// Where the name of a track's artist is found.
    pub artist: ArtistSource,
    /// `artist:8/1/1` or `random:8/1/1`; empty leaves the split to the user. A random split puts
    /// songs of one artist, and of one album, on both sides: scores on it are too good.
    pub split: String,
    /// The seed of the split.
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
    /// Loads the folders below `root`, relative to `data_dir` if given: tags and tracks in the order
    /// of their names. A track's id is its path below the root, with `/` between folders.
    ///
    /// # Errors
    /// If the root is missing, holds no folder with audio, or a name cannot be a tag or an id; if the
    /// split cannot be made.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        crate::named("folders", "root", &self.root, "name the folder with a folder a tag")?;
        let split = split::asked("folders", &self.split)?;
        let root = crate::below(data_dir, &self.root);
        let listing = list(&root, "name the folder with a folder a tag")?;
        let name = root.file_name().map_or("folders".into(), |name| name.to_string_lossy().into());
        let mut collection = collection(name, listing, self.artist);
        if let Some(split) = split {
            assign_splits(&mut collection, &split, self.split_seed)?;
        }
        Ok(collection)
    }
}

/// All files of all folders, each with its folder's name as its tag, and no split.
pub(crate) fn collection(name: String, listing: Listing, source: ArtistSource) -> Collection {
    let Listing { folders, mut notes } = listing;
    let mut tags = Vec::with_capacity(folders.len());
    let mut tracks = Vec::new();
    for (tag, folder) in folders.into_iter().enumerate() {
        for file in folder.files {
            tracks.push(Track {
                id: format!("{}/{}", folder.name, file.name),
                artist: artist(&file.name, source),
                audio: Audio::File { path: file.path, offset_s: 0.0, duration_s: None },
                split: None,
                tags: vec![tag],
            });
        }
        tags.push(folder.name);
    }
    let unknown = tracks.iter().filter(|track| track.artist.is_none()).count();
    if source != ArtistSource::None && unknown > 0 {
        let place = match source {
            ArtistSource::Folder => "they lie in no folder below their tag's",
            _ => "their names are not `artist - title`",
        };
        notes.push(format!("tracks whose artist is not known, because {place}: {unknown}"));
    }
    Collection { name, tags, tracks, notes }
}

/// The artist of a file, by its path below its tag's folder.
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
    // `01 - So What.mp3` begins with the number of the track.
    let is_number = found.bytes().all(|byte| byte.is_ascii_digit());
    (!is_number || (source == ArtistSource::Folder && !found.is_empty())).then(|| found.to_owned())
}

/// Notes where a collection is not as published: names of folders that are not among `known` (if there
/// are any), and other numbers of folders and tracks.
pub(crate) fn compare(all: &mut Collection, known: &[&str], folders: usize, tracks: usize) {
    let list = |names: Vec<&str>| {
        let names: Vec<String> = names.iter().map(|name| shown(name)).collect();
        format!("{} ({})", names.len(), names.join(", "))
    };
    let is_there = |name: &&str| all.tags.iter().any(|tag| tag == name);
    let others = all.tags.iter().map(String::as_str).filter(|tag| !known.contains(tag));
    let others: Vec<&str> = if known.is_empty() { Vec::new() } else { others.collect() };
    let absent: Vec<&str> = known.iter().copied().filter(|name| !is_there(name)).collect();
    let mut notes = Vec::new();
    if !others.is_empty() {
        notes.push(format!("genres that the data set is not known to have: {}", list(others)));
    }
    if !absent.is_empty() {
        notes.push(format!("genres of the data set that are not there: {}", list(absent)));
    }
    if known.is_empty() && all.tags.len() != folders {
        notes.push(format!("{} genres are here, the data set has {folders}", all.tags.len()));
    }
    if all.tracks.len() != tracks {
        notes.push(format!("{} tracks are here, the data set has {tracks}", all.tracks.len()));
    }
    all.notes.append(&mut notes);
}
