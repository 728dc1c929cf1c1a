//! The data of a run: the tracks that it was created with, and the comparison with those at hand.
//!
//! A track is compared by id, split, tags and audio, never by path: data may be moved, mounted elsewhere or copied to
//! another machine. Its audio is the same if the bytes of the file are, or else the decoded samples (so that the tags in
//! an audio file may be edited).

use std::collections::HashMap;

use datasets::{Audio, Collection, Track};
use rayon::prelude::*;
use serde::Deserialize;

use crate::audio::{AudioCache, AudioError, CachedAudio, Limits, QuarantineEntry, Reason};
use crate::data::prepare::Prepared;
use crate::error::{Error, Result};
use crate::runs::folder::RunFolder;

/// Tracks that a message names.
const SHOWN: usize = 3;

/// A track as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RecordedTrack {
    id: String,
    /// Empty if it has none.
    split: String,
    /// Sorted.
    tags: Vec<String>,
    audio: Option<AudioHashes>,
}

/// See [`CachedAudio::source_hash`] and [`CachedAudio::content_hash`], in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AudioHashes {
    source: String,
    /// `None` if the track was not decoded.
    content: Option<String>,
}

impl AudioHashes {
    fn is_same(&self, other: &AudioHashes) -> bool {
        self.source == other.source || (self.content.is_some() && self.content == other.content)
    }
}

/// The tracks of a run, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedData {
    tracks: Vec<RecordedTrack>,
}

/// The columns of `manifest.csv` that are compared.
#[derive(Deserialize)]
struct ManifestRow {
    id: String,
    split: String,
    tags: String,
}

/// A row of `audio.csv`.
#[derive(Deserialize)]
struct AudioRow {
    id: String,
    source_hash: String,
    content_hash: String,
}

/// `audio.csv`: the path of each track's decoded audio, for other programs, and the hashes that identify the audio.
///
/// # Errors
/// [`Error::Data`] if a row cannot be written.
pub(crate) fn audio_table(tracks: &[Track], audio: &[CachedAudio]) -> Result<Vec<u8>> {
    let broken = |error: csv::Error| Error::Data(format!("cannot write CSV: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["id", "cache_file", "source_hash", "content_hash"]).map_err(broken)?;
    for (track, audio) in tracks.iter().zip(audio) {
        let file = audio.path().map(|path| path.display().to_string()).unwrap_or_default();
        let [source, content] = [audio.source_hash(), audio.content_hash()].map(hex);
        writer.write_record([&track.id, &file, &source, &content]).map_err(broken)?;
    }
    writer.into_inner().map_err(|error| Error::Data(format!("cannot write CSV: {error}")))
}

fn hex(hash: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

impl RecordedData {
    /// The data that a run was created with, from its `manifest.csv` and `audio.csv`. Runs of earlier versions have no
    /// hashes of the audio, which is then not compared; a warning says so.
    ///
    /// # Errors
    /// [`Error::Data`] if a file is damaged, [`Error::Io`] if it cannot be read.
    pub fn read(folder: &RunFolder) -> Result<RecordedData> {
        let rows: Vec<ManifestRow> = rows(folder, RunFolder::MANIFEST, &folder.manifest()?)?;
        let mut hashes: HashMap<String, AudioHashes> = match folder.audio_table()? {
            Some(text) => rows_of_audio(folder, &text)?,
            None => {
                tracing::warn!(
                    "{} is from an earlier version, which did not record the content of audio files: a changed file is \
                     not noticed",
                    folder.path().display()
                );
                HashMap::new()
            }
        };
        let tracks = rows.into_iter().map(|ManifestRow { id, split, tags }| {
            let audio = hashes.remove(&id);
            let names = tags.split('|').filter(|tag| !tag.is_empty()).map(str::to_string);
            RecordedTrack { id, split, tags: sorted(names), audio }
        });
        Ok(RecordedData { tracks: tracks.collect() })
    }

    /// The data at hand.
    pub fn of(data: &Prepared) -> RecordedData {
        let collection = &data.collection;
        let hashes = data.audio.iter().map(|audio| AudioHashes {
            source: hex(audio.source_hash()),
            content: Some(hex(audio.content_hash())),
        });
        let tracks = collection.tracks.iter().zip(hashes);
        let tracks = tracks.map(|(track, hashes)| recorded(collection, track, Some(hashes)));
        RecordedData { tracks: tracks.collect() }
    }

    /// Checks that the data at hand is that of the run.
    ///
    /// # Errors
    /// [`Error::Data`] with the differences.
    pub fn check(
        &self,
        now: &RecordedData,
        quarantine: &[QuarantineEntry],
        run: &RunFolder,
    ) -> Result<()> {
        let known: HashMap<&str, &RecordedTrack> =
            self.tracks.iter().map(|track| (track.id.as_str(), track)).collect();
        let found: HashMap<&str, &RecordedTrack> =
            now.tracks.iter().map(|track| (track.id.as_str(), track)).collect();
        let why: HashMap<&str, &str> =
            quarantine.iter().map(|entry| (entry.id.as_str(), entry.message.as_str())).collect();
        let missing = self.tracks.iter().filter(|track| !found.contains_key(track.id.as_str()));
        let missing = missing.map(|track| match why.get(track.id.as_str()) {
            Some(why) => format!("{} ({why})", track.id),
            None => track.id.clone(),
        });
        let new = now.tracks.iter().filter(|track| !known.contains_key(track.id.as_str()));
        let new = new.map(|track| track.id.clone());
        let mut differences =
            vec![counted("missing", missing.collect()), counted("new", new.collect())];
        differences.extend(self.changes(&found, true));
        if differences.iter().all(Option::is_none) {
            let order = |data: &RecordedData| -> Vec<String> {
                data.tracks.iter().map(|track| track.id.clone()).collect()
            };
            let same = order(self) == order(now);
            differences.push((!same).then(|| "the tracks are in another order".into()));
        }
        refuse(differences, run)
    }

    /// Checks that a collection still contains the tracks of the run, with the same splits (unless `has_splits` is false),
    /// tags and audio. A file is decoded, at `sample_rate` Hz, only if its bytes differ. Missing files are not compared.
    ///
    /// # Errors
    /// [`Error::Data`] with the differences.
    pub fn check_collection(
        &self,
        collection: &Collection,
        (cache, sample_rate): (&AudioCache, u32),
        has_splits: bool,
        run: &RunFolder,
    ) -> Result<()> {
        let known: HashMap<&str, &RecordedTrack> =
            self.tracks.iter().map(|track| (track.id.as_str(), track)).collect();
        let tracks: Vec<&Track> = collection
            .tracks
            .iter()
            .filter(|track| known.contains_key(track.id.as_str()))
            .collect();
        let hashed = |track: &&Track| -> Result<RecordedTrack> {
            let audio = match &known[track.id.as_str()].audio {
                Some(was) => hashes_now(&track.audio, was, cache, sample_rate)?,
                None => None,
            };
            Ok(recorded(collection, track, audio))
        };
        let now: Vec<RecordedTrack> = tracks.par_iter().map(hashed).collect::<Result<_>>()?;
        let found: HashMap<&str, &RecordedTrack> =
            now.iter().map(|track| (track.id.as_str(), track)).collect();
        let missing = self.tracks.iter().filter(|track| !found.contains_key(track.id.as_str()));
        let mut differences =
            vec![counted("missing", missing.map(|track| track.id.clone()).collect())];
        differences.extend(self.changes(&found, has_splits));
        refuse(differences, run)
    }

    /// What differs in the tracks that both have.
    fn changes(
        &self,
        found: &HashMap<&str, &RecordedTrack>,
        has_splits: bool,
    ) -> [Option<String>; 3] {
        let both =
            || self.tracks.iter().filter_map(|was| Some((was, *found.get(was.id.as_str())?)));
        let name = |text: &str| if text.is_empty() { "none".to_string() } else { text.to_string() };
        let splits = both().filter(|(was, is)| has_splits && was.split != is.split);
        let splits = splits.map(|(was, is)| {
            format!("{} (was {}, is {})", was.id, name(&was.split), name(&is.split))
        });
        let tags = both().filter(|(was, is)| was.tags != is.tags);
        let tags = tags.map(|(was, is)| {
            format!(
                "{} (was {}, is {})",
                was.id,
                name(&was.tags.join("|")),
                name(&is.tags.join("|"))
            )
        });
        let is_changed = |was: &RecordedTrack, is: &RecordedTrack| {
            let hashes = was.audio.as_ref().zip(is.audio.as_ref());
            hashes.is_some_and(|(was, is)| !was.is_same(is))
        };
        let audio = both().filter(|(was, is)| is_changed(was, is)).map(|(was, _)| was.id.clone());
        [
            counted("in another split", splits.collect()),
            counted("with other tags", tags.collect()),
            counted("with other audio under the same name", audio.collect()),
        ]
    }
}

/// The hashes of a track that is compared with `was`; `None` if its file does not exist. The content of a file that cannot be
/// decoded is unknown.
fn hashes_now(
    audio: &Audio,
    was: &AudioHashes,
    cache: &AudioCache,
    sample_rate: u32,
) -> Result<Option<AudioHashes>> {
    let hashes = cache.source_hash(audio).and_then(|source| {
        let source = hex(&source);
        let content = match source == was.source {
            true => None,
            false => match cache.load(audio, sample_rate, &Limits::default()) {
                Ok(loaded) => Some(hex(loaded.audio.content_hash())),
                Err(AudioError::Unusable { .. }) => None,
                Err(error) => return Err(error),
            },
        };
        Ok(AudioHashes { source, content })
    });
    match hashes {
        Ok(hashes) => Ok(Some(hashes)),
        Err(AudioError::Unusable { reason: Reason::Missing, .. }) => Ok(None),
        // It was readable, and is not the same file any more.
        Err(AudioError::Unusable { .. }) => {
            Ok(Some(AudioHashes { source: String::new(), content: None }))
        }
        Err(error) => Err(error.into_error()),
    }
}

fn recorded(collection: &Collection, track: &Track, audio: Option<AudioHashes>) -> RecordedTrack {
    // As a manifest contains them.
    let names = track.tags.iter().map(|&tag| collection.tags[tag].trim().to_string());
    RecordedTrack {
        id: track.id.clone(),
        split: track.split.map(|split| split.to_string()).unwrap_or_default(),
        tags: sorted(names),
        audio,
    }
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

/// `2 tracks missing (a, b)`; `None` without tracks.
fn counted(what: &str, tracks: Vec<String>) -> Option<String> {
    let more = if tracks.len() > SHOWN { ", ..." } else { "" };
    let first = tracks[..tracks.len().min(SHOWN)].join(", ");
    match tracks.len() {
        0 => None,
        1 => Some(format!("1 track {what} ({first})")),
        count => Some(format!("{count} tracks {what} ({first}{more})")),
    }
}

fn refuse(differences: Vec<Option<String>>, run: &RunFolder) -> Result<()> {
    let differences: Vec<String> = differences.into_iter().flatten().collect();
    match differences.is_empty() {
        true => Ok(()),
        false => Err(Error::Data(format!(
            "the dataset is not the one that {} was trained on: {}; restore the old data, or train again",
            run.path().display(),
            differences.join("; ")
        ))),
    }
}

fn rows_of_audio(folder: &RunFolder, text: &str) -> Result<HashMap<String, AudioHashes>> {
    let rows: Vec<AudioRow> = rows(folder, RunFolder::AUDIO, text)?;
    let hashes = |AudioRow { id, source_hash, content_hash }| {
        (id, AudioHashes { source: source_hash, content: Some(content_hash) })
    };
    Ok(rows.into_iter().map(hashes).collect())
}

fn rows<T: for<'de> Deserialize<'de>>(
    folder: &RunFolder,
    name: &str,
    text: &str,
) -> Result<Vec<T>> {
    let rows = csv::Reader::from_reader(text.as_bytes()).into_deserialize();
    let damaged = |error: csv::Error| {
        Error::Data(format!(
            "{} is damaged: {error}; restore it, or train the run again",
            folder.file(name).display()
        ))
    };
    rows.collect::<Result<_, _>>().map_err(damaged)
}
