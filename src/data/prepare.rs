//! From an experiment to its three splits: load the data set, decode its audio, choose the targets.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use datasets::{Collection, Interactions, Split, Track};
use models::NetworkConfig;
use rayon::prelude::*;

use crate::audio::{AudioError, CachedAudio, QuarantineEntry, ScanOptions, ScanProgress, scan};
use crate::data::directories::DataDirectories;
use crate::data::examples::{Examples, TrackInputs};
use crate::data::identical_audio::{IdenticalAudio, identical_audio};
use crate::data::track_cache::TrackCache;
use crate::error::{Error, Result};
use crate::experiment::{Experiment, Factorization, Loss};
use crate::listening::factors;
use crate::listening::latent_factors::LatentFactors;
use crate::listening::track_plays::unplayed;

/// Names of the outputs of a model that predicts `count` latent factors.
pub fn factor_names(count: usize) -> Vec<String> {
    (1..=count).map(|factor| format!("factor {factor}")).collect()
}

/// A data set, loaded, decoded and split.
pub struct Prepared {
    /// The tracks that are used; each has a split.
    pub collection: Collection,
    /// The audio of each track of the collection.
    pub audio: Vec<CachedAudio>,
    /// The training split, in the order of the collection.
    pub train: Arc<Examples>,
    /// The validation split.
    pub valid: Arc<Examples>,
    /// The test split.
    pub test: Arc<Examples>,
    /// The latent factors that are the targets instead of tags, if the experiment has listening data.
    pub latent: Option<LatentFactors>,
    /// Tracks that cannot be used; the collection does not contain them.
    pub quarantine: Vec<QuarantineEntry>,
    /// Notes on what was left out or cannot be scored.
    pub notes: Vec<String>,
    /// The note on identical audio in different splits, which is also in the notes.
    pub leak: Option<String>,
    /// The hash of the listening data, if there is any; see [`hash_of_plays`].
    pub plays: Option<String>,
}

impl Prepared {
    /// Number of outputs of a model for this data.
    pub fn outputs(&self) -> usize {
        self.train.outputs()
    }

    /// Positions of a split's tracks in the collection, in the order of its examples.
    pub fn positions(&self, split: Split) -> Vec<usize> {
        let tracks = self.collection.tracks.iter().enumerate();
        tracks.filter(|(_, track)| track.split == Some(split)).map(|(at, _)| at).collect()
    }

    /// Logs the notes.
    pub fn log_notes(&self) {
        let name = &self.collection.name;
        for note in &self.notes {
            match self.leak.as_ref() == Some(note) {
                true => tracing::warn!("{name}: {note}"),
                false => tracing::info!("{name}: {note}"),
            }
        }
    }

    /// Replaces the audio of a split by a model's fixed features.
    pub fn replace(&mut self, split: Split, examples: Arc<Examples>) {
        match split {
            Split::Train => self.train = examples,
            Split::Valid => self.valid = examples,
            Split::Test => self.test = examples,
        }
    }

    /// The tracks of a split.
    pub fn examples(&self, split: Split) -> &Arc<Examples> {
        match split {
            Split::Train => &self.train,
            Split::Valid => &self.valid,
            Split::Test => &self.test,
        }
    }
}

/// Loads and decodes the data set of an experiment. Latent factors are read from the folder `factors` if it exists; otherwise
/// they are computed, and `sweep` is called with the number of finished sweeps, all sweeps, and the objective.
///
/// # Errors
/// If the data set cannot be read, a split is empty, or nothing in it can be scored.
pub fn prepare(
    experiment: &Experiment,
    directories: &DataDirectories,
    factors: Option<&Path>,
    stop: &AtomicBool,
    progress: &(dyn Fn(ScanProgress) + Sync),
    sweep: &mut dyn FnMut(usize, usize, f64),
) -> Result<Prepared> {
    let mut collection = load(experiment, directories)?;
    let mut notes = std::mem::take(&mut collection.notes);
    let plays = match &experiment.listening {
        Some(listening) => {
            let plays = directories.listening(listening, &collection)?;
            keep_played(&mut collection, &plays, &mut notes)?;
            Some(plays)
        }
        None => None,
    };
    if experiment.training.loss == Loss::CrossEntropy {
        check_classes(&collection)?;
    }
    let (audio, quarantine) =
        decode(experiment, directories, &mut collection, stop, progress, &mut notes)?;
    let IdenticalAudio { notes: identical, leak } =
        identical_audio(&collection.tracks, &collection.tags, &audio);
    notes.extend(identical.into_iter().chain(leak.clone()));
    let latent = match &plays {
        Some(plays) => {
            let tracks = &collection.tracks;
            let folder = factors.filter(|folder| folder.exists());
            let found = match folder {
                Some(folder) => restored(experiment, plays, tracks, folder)?,
                None => {
                    factorized(experiment, directories, plays, tracks, stop, sweep, &mut notes)?
                }
            };
            Some(found)
        }
        None => None,
    };
    let select = |split| {
        let examples = select(experiment, &collection, &audio, latent.as_ref(), split);
        if examples.is_empty() && (experiment.cross_validation.is_none() || split == Split::Train) {
            return Err(Error::Data(format!(
                "the {split} split of {} has no usable track ({} tracks are in quarantine): run `tonotopy scan` to \
                 see why, or move other tracks into the split",
                collection.name,
                quarantine.len()
            )));
        }
        if latent.is_none() {
            notes.extend(tags_without_tracks(&examples, &collection, split)?);
        }
        Ok(Arc::new(examples))
    };
    let [train, valid, test] = select_all(select)?;
    collection.notes.clone_from(&notes);
    let plays = plays.as_ref().map(hash_of_plays);
    Ok(Prepared { collection, audio, train, valid, test, latent, quarantine, notes, leak, plays })
}

/// The BLAKE3 hash of listening data in hexadecimal; it does not depend on the order of users, items and rows.
pub fn hash_of_plays(plays: &Interactions) -> String {
    let items = plays.items();
    let mut sorted: Vec<u32> = (0..items.len() as u32).collect();
    sorted.par_sort_unstable_by(|&a, &b| items[a as usize].cmp(&items[b as usize]));
    let mut rank = vec![0_u32; items.len()];
    (0..).zip(&sorted).for_each(|(place, &item)| rank[item as usize] = place);
    let of_user = |user: usize| {
        let (played, counts) = plays.of_user(user);
        let mut plays: Vec<(u32, f32)> =
            played.iter().map(|&item| rank[item as usize]).zip(counts.iter().copied()).collect();
        plays.sort_unstable_by_key(|(rank, _)| *rank);
        (user, plays)
    };
    let mut users: Vec<[u8; 32]> = (0..plays.users().len())
        .into_par_iter()
        .map(of_user)
        .filter(|(_, played)| !played.is_empty())
        .map(|(user, played)| {
            let mut hasher = blake3::Hasher::new();
            let mut text = |text: &str| {
                hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
            };
            text(&plays.users()[user]);
            played.iter().for_each(|(rank, _)| text(&items[sorted[*rank as usize] as usize]));
            for (_, count) in &played {
                hasher.update(&count.to_le_bytes());
            }
            *hasher.finalize().as_bytes()
        })
        .collect();
    users.par_sort_unstable();
    blake3::hash(users.as_flattened()).to_hex().to_string()
}

/// Checks that every track has exactly one tag, as the cross-entropy of classes needs.
fn check_classes(collection: &Collection) -> Result<()> {
    let Collection { name, tags, tracks, .. } = collection;
    let wrong: Vec<&Track> = tracks.iter().filter(|track| track.tags.len() != 1).collect();
    let Some(first) = wrong.first() else { return Ok(()) };
    let named: Vec<&str> = first.tags.iter().map(|&tag| tags[tag].as_str()).collect();
    Err(Error::Data(format!(
        "training.loss is \"cross_entropy\", which needs exactly one tag per track, but {} of {} tracks of {name} have \
         none or several (first: track {} has {}): correct their tags, or use \"binary_cross_entropy\"",
        wrong.len(),
        tracks.len(),
        first.id,
        if named.is_empty() { "none".to_string() } else { named.join(", ") }
    )))
}

fn select_all<T>(mut select: impl FnMut(Split) -> Result<T>) -> Result<[T; 3]> {
    Ok([select(Split::Train)?, select(Split::Valid)?, select(Split::Test)?])
}

/// The data set with a split for every track.
fn load(experiment: &Experiment, directories: &DataDirectories) -> Result<Collection> {
    let mut collection = directories.load(&experiment.dataset)?;
    if experiment.cross_validation.is_some() {
        // Folds replace the splits.
        collection.tracks.iter_mut().for_each(|track| track.split = Some(Split::Train));
    }
    match collection.tracks.iter().find(|track| track.split.is_none()) {
        None => Ok(collection),
        Some(track) => Err(Error::Data(format!(
            "track {} of {} has no split: write train, valid or test into the manifest, or make a split with \
             `tonotopy scan ... --split artist:8/1/1` (or random:8/1/1)",
            track.id, collection.name
        ))),
    }
}

/// Drops tracks that nobody played, before they are decoded: of a million songs only some may have been played.
fn keep_played(
    collection: &mut Collection,
    plays: &Interactions,
    notes: &mut Vec<String>,
) -> Result<()> {
    let Collection { name, tracks, .. } = collection;
    notes.extend(plays.notes.iter().cloned());
    let unplayed = unplayed(plays, tracks);
    let count = unplayed.iter().filter(|unplayed| **unplayed).count();
    if count == tracks.len() {
        let example = |ids: Option<&String>| ids.cloned().unwrap_or_default();
        return Err(Error::Data(format!(
            "nobody played any of the {count} tracks of {name}: its track ids look like {:?}, the items of the \
             listening data like {:?}; both must use the same ids",
            example(tracks.first().map(|track| &track.id)),
            example(plays.items().first())
        )));
    }
    if count > 0 {
        notes.push(format!("{count} tracks that nobody played are left out"));
    }
    let known: HashSet<&str> = tracks.iter().map(|track| track.id.as_str()).collect();
    let unknown = plays.items().iter().filter(|item| !known.contains(item.as_str())).count();
    if unknown > 0 {
        notes.push(format!(
            "{unknown} of {} items of the listening data have no audio in {name}; only their play counts are used",
            plays.items().len()
        ));
    }
    let mut unplayed = unplayed.into_iter();
    tracks.retain(|_| !unplayed.next().unwrap_or(false));
    Ok(())
}

/// Decodes every track into the audio cache; drops the tracks that cannot be used.
fn decode(
    experiment: &Experiment,
    directories: &DataDirectories,
    collection: &mut Collection,
    stop: &AtomicBool,
    progress: &(dyn Fn(ScanProgress) + Sync),
    notes: &mut Vec<String>,
) -> Result<(Vec<CachedAudio>, Vec<QuarantineEntry>)> {
    let cache = directories.open_cache()?;
    let training = &experiment.training;
    let options = ScanOptions { min_seconds: training.min_track_seconds, ..ScanOptions::default() };
    let rate = experiment.model.sample_rate();
    let report = scan(&collection.tracks, rate, &cache, &options, stop, progress)
        .map_err(AudioError::into_error)?;
    let all = collection.tracks.len();
    let (tracks, audio): (Vec<Track>, Vec<CachedAudio>) = std::mem::take(&mut collection.tracks)
        .into_iter()
        .zip(report.audio)
        .filter_map(|(track, audio)| Some((track, audio?)))
        .unzip();
    collection.tracks = tracks;
    if !report.quarantine.is_empty() {
        notes.push(format!(
            "{} of {all} tracks are in quarantine (quarantine.csv says why)",
            report.quarantine.len()
        ));
    }
    let excerpt = experiment.excerpt_samples();
    let short = audio.iter().filter(|audio| audio.len() < excerpt).count();
    if short > 0 {
        notes.push(format!(
            "{short} of {} tracks are shorter than an excerpt of {} s (training.excerpt_seconds) and padded with silence",
            audio.len(),
            training.excerpt_seconds
        ));
    }
    Ok((audio, report.quarantine))
}

/// The latent factors that a run stored in `folder`.
fn restored(
    experiment: &Experiment,
    plays: &Interactions,
    tracks: &[Track],
    folder: &Path,
) -> Result<LatentFactors> {
    let Factorization { config, .. } = experiment.factorization.clone().unwrap_or_default();
    LatentFactors::restore(plays, tracks, factors::read(folder)?, &config)
        .map_err(|error| Error::Data(format!("{}: {error}", folder.display())))
}

/// The latent factors of a new run: adopted from `factorization.root`, or computed.
fn factorized(
    experiment: &Experiment,
    directories: &DataDirectories,
    plays: &Interactions,
    tracks: &[Track],
    stop: &AtomicBool,
    sweep: &mut dyn FnMut(usize, usize, f64),
    notes: &mut Vec<String>,
) -> Result<LatentFactors> {
    let Factorization { root, config } = experiment.factorization.clone().unwrap_or_default();
    let Some(root) = root else { return LatentFactors::fit(plays, tracks, &config, stop, sweep) };
    let tables = factors::read(&directories.at(&root))
        .map_err(|error| Error::Data(format!("in factorization.root: {error}")))?;
    let (latent, found) = LatentFactors::adopt(plays, tracks, tables, &config)?;
    notes.extend(found);
    Ok(latent)
}

/// The tracks of a split with their targets: tags, or latent factors.
fn select(
    experiment: &Experiment,
    collection: &Collection,
    audio: &[CachedAudio],
    latent: Option<&LatentFactors>,
    split: Split,
) -> Examples {
    let tags = &collection.tags;
    let names = match latent {
        None => tags.clone().into(),
        Some(latent) => factor_names(latent.tracks.columns()).into(),
    };
    let mut examples = Examples { names, ..Examples::default() };
    let mut tracks = Vec::new();
    for (at, track) in collection.tracks.iter().enumerate().filter(|(_, t)| t.split == Some(split))
    {
        examples.ids.push(track.id.clone());
        tracks.push(audio[at].clone());
        if let Some(latent) = latent {
            examples.targets.extend_from_slice(latent.tracks.row(at));
            continue;
        }
        let row = examples.targets.len();
        examples.targets.resize(row + tags.len(), 0.0);
        track.tags.iter().for_each(|&tag| examples.targets[row + tag] = 1.0);
    }
    // Training reads its tracks again and again, validation a few times.
    let mebibytes = if split == Split::Train { experiment.training.audio_in_memory_mb } else { 0 };
    examples.inputs = TrackInputs::Audio {
        cache: Arc::new(TrackCache::new(tracks.len(), mebibytes << 20)),
        tracks,
        samples: experiment.excerpt_samples(),
    };
    examples
}

/// A note on the tags that no track of a split has.
fn tags_without_tracks(
    examples: &Examples,
    collection: &Collection,
    split: Split,
) -> Result<Option<String>> {
    let Collection { name, tags, .. } = collection;
    if examples.is_empty() {
        return Ok(None);
    }
    let without: Vec<&str> = (0..tags.len())
        .filter(|tag| !examples.targets.iter().skip(*tag).step_by(tags.len()).any(|&t| t > 0.0))
        .map(|tag| tags[tag].as_str())
        .collect();
    if without.len() == tags.len() {
        return Err(Error::Data(format!(
            "no track of the {split} split of {name} has any of its {} tags: nothing can be learned or scored",
            tags.len()
        )));
    }
    Ok(match without.as_slice() {
        [] => None,
        [one] => Some(format!("one tag has no track in the {split} split: {one}")),
        many => Some(format!(
            "{} tags have no track in the {split} split: {}",
            many.len(),
            many.join(", ")
        )),
    })
}

#[cfg(test)]
mod tests {
    use datasets::Interactions;

    use super::hash_of_plays;

    fn hash(rows: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plays.csv");
        std::fs::write(&path, format!("user,item,count\n{rows}")).unwrap();
        hash_of_plays(&Interactions::read(&path).unwrap())
    }

    #[test]
    fn hash_of_plays_depends_on_the_plays_and_not_on_their_order() {
        let plain = hash("a,x,1\na,y,2\nb,x,3\n");
        assert_eq!(hash("b,x,3\na,y,2\na,x,1\n"), plain);
        for other in [
            "a,x,1\na,y,2\nb,x,4\n",
            "a,x,2\na,y,1\nb,x,3\n",
            "a,x,1\na,y,2\nc,x,3\n",
            "a,x,1\na,z,2\nb,x,3\n",
            "a,x,1\nb,x,3\n",
        ] {
            assert_ne!(hash(other), plain, "{other}");
        }
    }
}
