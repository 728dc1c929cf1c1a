//! From an experiment to examples: load the data set, scan its audio, split.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use datasets::{Collection, DatasetConfig, Interactions, InteractionsConfig, Split, Track};
use models::NetworkConfig;

use crate::audio::{AudioCache, CachedAudio, QuarantineEntry, ScanOptions, ScanProgress, scan};
use crate::data::examples::{Examples, TrackInputs};
use crate::data::track_cache::TrackCache;
use crate::error::{Error, Result};
use crate::experiment::{Experiment, Factorization};
use crate::listening::factors;
use crate::listening::latent_factors::{Latent, unheard};

/// Where data and cache are on this machine; no experiment should depend on it.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Prefix of relative data set roots.
    pub data: Option<PathBuf>,
    /// The audio cache; the user's cache folder if `None`.
    pub cache: Option<PathBuf>,
}

impl Places {
    /// Opens the audio cache.
    ///
    /// # Errors
    /// [`Error::Config`] if no folder is named and the account has none; [`Error::Data`] if it cannot be used.
    pub fn open_cache(&self) -> Result<AudioCache> {
        let folder = match &self.cache {
            Some(folder) => folder.clone(),
            None => user_cache().ok_or_else(|| {
                Error::Config(
                    "this account has no cache folder: name one with --cache-dir or TONOTOPY_CACHE"
                        .into(),
                )
            })?,
        };
        AudioCache::open(&folder).map_err(|error| Error::Data(error.to_string()))
    }

    /// A path of an experiment on this machine.
    pub fn at(&self, path: &Path) -> PathBuf {
        // A path that is not relative stays what it is.
        self.data.as_deref().map_or_else(|| path.to_owned(), |data| data.join(path))
    }

    /// Loads listening data; simulated listeners hear the tracks of `collection`.
    ///
    /// # Errors
    /// See [`InteractionsConfig::load`].
    pub fn listening(
        &self,
        config: &InteractionsConfig,
        collection: &Collection,
    ) -> Result<Interactions> {
        config.load(self.data.as_deref(), collection).map_err(from_dataset)
    }

    /// Loads a data set.
    ///
    /// # Errors
    /// See [`DatasetConfig::load`].
    pub fn load(&self, dataset: &DatasetConfig) -> Result<Collection> {
        dataset.load(self.data.as_deref()).map_err(from_dataset)
    }
}

/// The platform's folder for caches.
fn user_cache() -> Option<PathBuf> {
    let variable =
        |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Caches"))
    } else {
        variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")))
    };
    Some(base?.join("tonotopy/audio"))
}

/// A wrong value in `[dataset]` is a wrong experiment; everything else is wrong data.
pub fn from_dataset(error: datasets::DatasetError) -> Error {
    match error {
        datasets::DatasetError::InvalidConfig { .. } => Error::Config(error.to_string()),
        _ => Error::Data(error.to_string()),
    }
}

/// Names of so many latent factors.
pub fn factor_names(count: usize) -> Vec<String> {
    (1..=count).map(|factor| format!("factor {factor}")).collect()
}

/// A data set, ready to be read.
pub struct Prepared {
    /// Only the tracks that are used; each has a split.
    pub collection: Collection,
    /// Audio of each track of the collection.
    pub audio: Vec<CachedAudio>,
    /// The tracks of the training split, in the order of the collection; so the next two.
    pub train: Arc<Examples>,
    /// Those of the validation split.
    pub valid: Arc<Examples>,
    /// Those of the test split.
    pub test: Arc<Examples>,
    /// The factors that are learned instead of tags, where the experiment has listening data.
    pub latent: Option<Latent>,
    /// Tracks that cannot be used; they are not in the collection.
    pub quarantine: Vec<QuarantineEntry>,
    /// Sentences on what was left out or cannot be scored.
    pub notes: Vec<String>,
}

impl Prepared {
    /// Outputs that a model for this data has.
    pub fn outputs(&self) -> usize {
        self.train.outputs()
    }

    /// Positions of a split's tracks in the collection, in the order of its examples.
    pub fn positions(&self, split: Split) -> Vec<usize> {
        let tracks = self.collection.tracks.iter().enumerate();
        tracks.filter(|(_, track)| track.split == Some(split)).map(|(at, _)| at).collect()
    }

    /// Puts a model's fixed features in the place of a split's audio.
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

/// Loads and scans the data set of an experiment. The factors of listening data are taken from the
/// folder `kept` if it is there; else they are made, and `sweep` hears of it: sweeps done, all of
/// them, the objective.
///
/// # Errors
/// If the data set cannot be read, a split is empty, or nothing in it can be scored.
pub fn prepare(
    experiment: &Experiment,
    places: &Places,
    kept: Option<&Path>,
    stop: &AtomicBool,
    progress: &(dyn Fn(ScanProgress) + Sync),
    sweep: &mut dyn FnMut(usize, usize, f64),
) -> Result<Prepared> {
    let mut collection = places.load(&experiment.dataset)?;
    if experiment.cross_validation.is_some() {
        // Every track is held out once.
        collection.tracks.iter_mut().for_each(|track| track.split = Some(Split::Train));
    }
    let plays = match &experiment.listening {
        Some(listening) => Some(places.listening(listening, &collection)?),
        None => None,
    };
    if let Some(track) = collection.tracks.iter().find(|track| track.split.is_none()) {
        return Err(Error::Data(format!(
            "track {} of {} has no split: write train, valid or test into the manifest, or make a split \
             with `tonotopy scan ... --split artist:8/1/1` (or random:8/1/1)",
            track.id, collection.name
        )));
    }
    let mut notes = collection.notes.clone();
    let Collection { name, tags, mut tracks, .. } = collection;
    if let Some(plays) = &plays {
        notes.extend(plays.notes.iter().cloned());
        // Before they are decoded: of a million songs only some may have been played.
        let silent = unheard(plays, &tracks);
        let count = silent.iter().filter(|silent| **silent).count();
        if count == tracks.len() {
            let example = |ids: Option<&String>| ids.cloned().unwrap_or_default();
            return Err(Error::Data(format!(
                "nobody played any of the {count} tracks of {name}: its tracks are such as {:?}, the \
                 listening data's items such as {:?}; both must use the same ids",
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
                "{unknown} of {} items of the listening data are no tracks of {name}: they tell what listeners like, and \
                 nothing of a sound",
                plays.items().len()
            ));
        }
        let mut silent = silent.into_iter();
        tracks.retain(|_| !silent.next().unwrap_or(false));
    }
    let cache = places.open_cache()?;
    let options = ScanOptions {
        min_seconds: experiment.training.min_track_seconds,
        ..ScanOptions::default()
    };
    let rate = experiment.model.sample_rate();
    let report = scan(&tracks, rate, &cache, &options, stop, progress)
        .map_err(crate::audio::AudioError::into_error)?;

    let (tracks, audio): (Vec<Track>, Vec<CachedAudio>) = tracks
        .into_iter()
        .zip(report.audio)
        .filter_map(|(track, audio)| Some((track, audio?)))
        .unzip();
    if !report.quarantine.is_empty() {
        notes.push(format!(
            "{} of {} tracks are in quarantine (quarantine.csv says why)",
            report.quarantine.len(),
            report.quarantine.len() + tracks.len()
        ));
    }

    let (tracks, audio, latent) = match plays {
        None => (tracks, audio, None),
        Some(plays) => {
            let Factorization { root, config } =
                experiment.factorization.clone().unwrap_or_default();
            let latent = match (kept.filter(|folder| folder.exists()), root) {
                (Some(folder), _) => {
                    let tables = factors::read(folder)?;
                    Latent::restore(&plays, &tracks, tables, &config)
                        .map_err(|error| Error::Data(format!("{}: {error}", folder.display())))?
                }
                (None, Some(root)) => {
                    let tables = factors::read(&places.at(&root))
                        .map_err(|error| Error::Data(format!("in factorization.root: {error}")))?;
                    let (latent, found) = Latent::adopt(&plays, &tracks, tables, &config)?;
                    notes.extend(found);
                    latent
                }
                (None, None) => Latent::fit(&plays, &tracks, &config, stop, sweep)?,
            };
            (tracks, audio, Some(latent))
        }
    };
    let names: Arc<[String]> = match &latent {
        None => tags.clone().into(),
        Some(latent) => factor_names(latent.tracks.columns()).into(),
    };
    let select = |split: Split| -> Result<Arc<Examples>> {
        let mut examples = Examples { names: names.clone(), ..Examples::default() };
        let mut own_audio = Vec::new();
        for (at, track) in tracks.iter().enumerate().filter(|(_, t)| t.split == Some(split)) {
            examples.ids.push(track.id.clone());
            own_audio.push(audio[at].clone());
            if let Some(latent) = &latent {
                examples.targets.extend_from_slice(latent.tracks.row(at));
                continue;
            }
            let row = examples.targets.len();
            examples.targets.resize(row + tags.len(), 0.0);
            for &tag in &track.tags {
                examples.targets[row + tag] = 1.0;
            }
        }
        // Training comes back to its tracks again and again, validation a few times.
        let room = if split == Split::Train { experiment.training.audio_in_memory_mb } else { 0 };
        examples.inputs = TrackInputs::Audio {
            cache: Arc::new(TrackCache::new(own_audio.len(), room << 20)),
            tracks: own_audio,
            samples: experiment.excerpt_samples(),
        };
        let needed = experiment.cross_validation.is_none() || split == Split::Train;
        match examples.is_empty() && needed {
            true => Err(Error::Data(format!(
                "the {split} split of {name} has no track that can be used ({} tracks are in quarantine): see why with \
                 `tonotopy scan`, or put others into the split",
                report.quarantine.len()
            ))),
            false => Ok(Arc::new(examples)),
        }
    };
    let excerpt = experiment.excerpt_samples();
    let short = audio.iter().filter(|audio| audio.len() < excerpt).count();
    if short > 0 {
        notes.push(format!(
            "{short} of {} tracks are shorter than an excerpt of {} s (training.excerpt_seconds): silence fills the rest",
            audio.len(),
            experiment.training.excerpt_seconds
        ));
    }
    let (train, valid, test) = (select(Split::Train)?, select(Split::Valid)?, select(Split::Test)?);
    for (split, examples) in [(Split::Train, &train), (Split::Valid, &valid), (Split::Test, &test)]
    {
        if latent.is_some() || examples.is_empty() {
            continue;
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
        if !without.is_empty() {
            notes.push(match without.len() {
                1 => format!("one tag has no track in the {split} split: {}", without[0]),
                n => format!("{n} tags have no track in the {split} split: {}", without.join(", ")),
            });
        }
    }
    let collection = Collection { name, tags, tracks, notes: notes.clone() };
    Ok(Prepared {
        collection,
        audio,
        train,
        valid,
        test,
        latent,
        quarantine: report.quarantine,
        notes,
    })
}
