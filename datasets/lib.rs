//! Music data sets: what is on disk and what is said of it.
//!
//! One file a data set. A data set turns a folder (or, for [`synthetic`], a seed) into a
//! [`Collection`]: tracks with their tags and splits. Nothing here decodes audio or knows of
//! tensors; a [`Track`] says where its samples come from, and the pipeline fetches them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub mod artists1517;
pub mod audioset;
pub mod error;
pub mod folders;
pub mod gtzan;
pub mod hetrec;
pub mod hold_out;
pub mod interactions;
mod lines;
pub mod magnatagatune;
pub mod manifest;
mod math;
pub mod msd;
mod random;
pub mod split;
pub mod subset;
pub mod synthetic;
pub mod synthetic_listeners;
pub mod tag_interactions;
pub mod taste_profile;
pub mod unique;

pub use error::DatasetError;
pub use interactions::Interactions;
pub use manifest::write_manifest;
pub use split::{Split, SplitReport, SplitSpec, assign_splits};

/// Where the samples of a track come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Audio {
    /// `duration_s` seconds of a file from `offset_s` on; to its end if `None`.
    #[allow(missing_docs, reason = "the sentence above names them")]
    File { path: PathBuf, offset_s: f64, duration_s: Option<f64> },
    /// Music made by the program.
    Synthetic(synthetic::Piece),
    /// No audio, but features that were computed from it elsewhere.
    Frames(Frames),
}

/// Features of a track in eight bits: `per_second` frames a second, of `width` numbers each.
#[derive(Clone, Debug, PartialEq)]
pub struct Frames {
    /// Numbers a frame.
    pub width: usize,
    /// Frames a second.
    pub per_second: u32,
    /// Frame after frame; `byte` stands for `lowest + byte * step`.
    pub bytes: Arc<[u8]>,
    /// What the byte 0 stands for.
    pub lowest: f32,
    /// What a byte more adds.
    pub step: f32,
}

/// A recording, or a stretch of one, and what is said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Unique in its collection; used in `predictions.csv`.
    pub id: String,
    /// Where its samples come from.
    pub audio: Audio,
    /// `None` where the data set leaves the split to the user.
    pub split: Option<Split>,
    /// Indices into [`Collection::tags`], rising, without repeats.
    pub tags: Vec<usize>,
    /// Who made it, as far as is known; splits by artist keep them together.
    pub artist: Option<String>,
}

/// A data set as loaded: its vocabulary and its tracks.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// The data set's name, with its split where it has several: `magnatagatune/pons2017`.
    pub name: String,
    /// The vocabulary, in the order of the model's outputs.
    pub tags: Vec<String>,
    /// In a fixed order: that of the data set's own index.
    pub tracks: Vec<Track>,
    /// What was left out while loading and why, one sentence each, with counts.
    pub notes: Vec<String>,
}

/// The data sets that an experiment may name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum DatasetConfig {
    /// Music made by the program.
    Synthetic(synthetic::SyntheticConfig),
    /// One's own files, listed in a CSV.
    Manifest(manifest::ManifestConfig),
    /// MagnaTagATune.
    Magnatagatune(magnatagatune::MagnatagatuneConfig),
    /// The Million Song Dataset.
    Msd(msd::MsdConfig),
    /// One's own files, a folder a tag.
    Folders(folders::FoldersConfig),
    /// GTZAN.
    Gtzan(gtzan::GtzanConfig),
    /// 1517-Artists.
    Artists1517(artists1517::Artists1517Config),
    /// Unique.
    Unique(unique::UniqueConfig),
    /// AudioSet's features.
    Audioset(audioset::AudiosetConfig),
}

impl DatasetConfig {
    /// What an experiment may name, each with a line for help texts.
    pub const MEMBERS: [(&'static str, &'static str); 9] = [
        ("synthetic", "music that the program makes; needs no files"),
        ("manifest", "your own files, listed in a manifest.csv: id,path,split,tags,artist"),
        ("magnatagatune", "MagnaTagATune: 25 863 clips with 188 tags, from its own tables"),
        ("msd", "Million Song Dataset: tracks by their ids, with tags or genres of your choice"),
        ("folders", "your own files, sorted into folders: jazz/01.mp3 has the tag jazz"),
        ("gtzan", "GTZAN: 1 000 excerpts of 30 s in 10 genres, whole or fault-filtered"),
        ("artists1517", "1517-Artists: 3 180 songs in 19 genres, a folder a genre"),
        ("unique", "Unique: 3 115 excerpts of 30 s in 14 genres, a folder a genre"),
        ("audioset", "AudioSet's music: features of 10 s clips (no audio) with up to 150 labels"),
    ];

    /// As an experiment names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Synthetic(_) => "synthetic",
            Self::Manifest(_) => "manifest",
            Self::Magnatagatune(_) => "magnatagatune",
            Self::Msd(_) => "msd",
            Self::Folders(_) => "folders",
            Self::Gtzan(_) => "gtzan",
            Self::Artists1517(_) => "artists1517",
            Self::Unique(_) => "unique",
            Self::Audioset(_) => "audioset",
        }
    }

    /// Where it lies on disk, if it does.
    pub fn root(&self) -> Option<&Path> {
        match self {
            Self::Synthetic(_) => None,
            Self::Manifest(config) => Some(&config.root),
            Self::Magnatagatune(config) => Some(&config.root),
            Self::Msd(config) => Some(&config.root),
            Self::Folders(config) => Some(&config.root),
            Self::Gtzan(config) => Some(&config.root),
            Self::Artists1517(config) => Some(&config.root),
            Self::Unique(config) => Some(&config.root),
            Self::Audioset(config) => Some(&config.root),
        }
    }

    /// Loads the data set; a relative root lies below `data_dir` if given.
    ///
    /// # Errors
    /// If a file is missing or wrong, with its line.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Collection, DatasetError> {
        match self {
            Self::Synthetic(config) => config.load(),
            Self::Manifest(config) => config.load(data_dir),
            Self::Magnatagatune(config) => config.load(data_dir),
            Self::Msd(config) => config.load(data_dir),
            Self::Folders(config) => config.load(data_dir),
            Self::Gtzan(config) => config.load(data_dir),
            Self::Artists1517(config) => config.load(data_dir),
            Self::Unique(config) => config.load(data_dir),
            Self::Audioset(config) => config.load(data_dir),
        }
    }
}

/// The listening data that an experiment may name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum InteractionsConfig {
    /// One's own table.
    File(interactions::file::FileConfig),
    /// Last.fm, as HetRec 2011 has it.
    Hetrec(hetrec::HetrecConfig),
    /// The Echo Nest Taste Profile.
    TasteProfile(taste_profile::TasteProfileConfig),
    /// Listeners made by the program.
    SyntheticListeners(synthetic_listeners::SyntheticListenersConfig),
    /// The data set's own tags, each in the place of a listener.
    Tags(tag_interactions::TagInteractionsConfig),
}

impl InteractionsConfig {
    /// What an experiment may name, each with a line for help texts.
    pub const MEMBERS: [(&'static str, &'static str); 5] = [
        ("file", "your own table of user, item and count"),
        ("hetrec", "HetRec 2011, Last.fm: 1 892 users and 17 632 artists"),
        ("taste_profile", "Echo Nest Taste Profile: 1 019 318 users and 384 546 songs"),
        ("synthetic_listeners", "listeners that the program makes for the data set's tracks"),
        ("tags", "the data set's own tags: each is a user that plays the tracks that have it"),
    ];

    /// As an experiment names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Hetrec(_) => "hetrec",
            Self::TasteProfile(_) => "taste_profile",
            Self::SyntheticListeners(_) => "synthetic_listeners",
            Self::Tags(_) => "tags",
        }
    }

    /// Where it lies on disk, if it does.
    pub fn root(&self) -> Option<&Path> {
        match self {
            Self::File(config) => Some(&config.path),
            Self::Hetrec(config) => Some(&config.root),
            Self::TasteProfile(config) => Some(&config.root),
            Self::SyntheticListeners(_) | Self::Tags(_) => None,
        }
    }

    /// Loads the listening data; a relative root lies below `data_dir` if given. Simulated listeners
    /// hear the tracks of `collection`, and tags are its own; the others do not look at it.
    ///
    /// # Errors
    /// If a file is missing or wrong, with its line, or a setting is out of bounds.
    pub fn load(
        &self,
        data_dir: Option<&Path>,
        collection: &Collection,
    ) -> Result<Interactions, DatasetError> {
        match self {
            Self::File(config) => config.load(data_dir),
            Self::Hetrec(config) => config.load(data_dir),
            Self::TasteProfile(config) => config.load(data_dir),
            Self::SyntheticListeners(config) => Ok(config.listeners(collection)?.interactions()),
            Self::Tags(config) => config.load(collection),
        }
    }
}

/// Reads listening data from a table, or from a folder whose layout is known: HetRec's Last.fm data, the
/// Taste Profile (by tracks where its other files are there, else by songs).
///
/// # Errors
/// If it is none of these, or a line is not what it should be.
pub fn read_interactions(path: &Path) -> Result<Interactions, DatasetError> {
    if hetrec::is_root(path) {
        return Ok(hetrec::load(path)?.plays);
    }
    if taste_profile::is_root(path) {
        let named = [taste_profile::SONG_TO_TRACKS, taste_profile::MISMATCHES];
        return match named.iter().all(|name| path.join(name).is_file()) {
            true => taste_profile::load_tracks(path),
            false => taste_profile::load_songs(path),
        };
    }
    if path.is_dir() {
        return Err(DatasetError::Table {
            path: path.to_owned(),
            problem: format!(
                "this folder holds no listening data that is known ({} or {}): name a table of user, item \
                 and count",
                hetrec::PLAYS,
                taste_profile::TRIPLETS
            ),
        });
    }
    Interactions::read(path)
}

/// Recognises the layout of a folder (or of a CSV file).
///
/// The root is made absolute: it is seen from here, and no data folder is put before it.
///
/// # Errors
/// If it is none of the known ones.
pub fn discover(root: &Path) -> Result<DatasetConfig, DatasetError> {
    // The table itself is as good as its folder.
    let root = match root.parent() {
        Some(parent) if root.ends_with(magnatagatune::ANNOTATIONS) && root.is_file() => parent,
        _ => root,
    };
    let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
    let owned = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    if magnatagatune::is_root(root) {
        let config = magnatagatune::MagnatagatuneConfig { root: owned, ..Default::default() };
        return Ok(DatasetConfig::Magnatagatune(config));
    }
    if msd::is_root(root) {
        let annotations = msd::annotations_in(root);
        let config = msd::MsdConfig { root: owned, annotations, ..Default::default() };
        return Ok(DatasetConfig::Msd(config));
    }
    let is_csv = root.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    if is_csv || root.join(manifest::FILE_NAME).is_file() {
        let config = manifest::ManifestConfig { root: owned, ..Default::default() };
        return Ok(DatasetConfig::Manifest(config));
    }
    if audioset::is_root(root) {
        let config = audioset::AudiosetConfig { root: owned, ..Default::default() };
        return Ok(DatasetConfig::Audioset(config));
    }
    if gtzan::is_root(root) {
        let config = gtzan::GtzanConfig { root: owned, ..Default::default() };
        return Ok(DatasetConfig::Gtzan(config));
    }
    if artists1517::is_root(root) {
        let config = artists1517::Artists1517Config { root: owned, ..Default::default() };
        return Ok(DatasetConfig::Artists1517(config));
    }
    // The last guess: any collection of music is folders with audio in them. It is not split unasked,
    // for its artists are not known.
    if folders::is_root(root) {
        let split = String::new();
        let config = folders::FoldersConfig { root: owned, split, ..Default::default() };
        return Ok(DatasetConfig::Folders(config));
    }
    let remedy = "a data set is a folder with manifest.csv (your own music), \
                  annotations_final.csv (MagnaTagATune), unique_tracks.txt (Million Song \
                  Dataset), class_labels_indices.csv (AudioSet's features), the folders blues to rock (GTZAN) or a folder of audio for each tag, or a \
                  manifest as a .csv file";
    Err(match root.exists() {
        true => DatasetError::Table {
            path: owned,
            problem: format!("this is no data set: {remedy}; none of these is there"),
        },
        false => DatasetError::Missing { path: owned, remedy: remedy.into() },
    })
}

/// A root below the data folder; an absolute one stays.
fn below(data_dir: Option<&Path>, root: &Path) -> PathBuf {
    data_dir.map_or_else(|| root.to_owned(), |data| data.join(root))
}

/// Refuses a path that is empty.
fn named(dataset: &str, key: &str, path: &Path, remedy: &str) -> Result<(), DatasetError> {
    match path.as_os_str().is_empty() {
        false => Ok(()),
        true => Err(DatasetError::InvalidConfig {
            dataset: dataset.into(),
            key: key.into(),
            value: "empty".into(),
            remedy: remedy.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::io::Write;

    use super::*;

    /// A folder of real data that is not part of the product; says so where it is absent.
    pub fn shared(name: &str) -> Option<PathBuf> {
        let root = std::env::var_os("TONOTOPY_SHARED")
            .map(PathBuf::from)
            .unwrap_or_else(|| "../../shared/data".into());
        let folder = root.join(name);
        if folder.is_dir() {
            return Some(folder);
        }
        // Past the capture of output: that a test did nothing is to be seen.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: {} is absent (TONOTOPY_SHARED names its parent)",
            folder.display()
        );
        None
    }

    /// What every data set promises.
    fn check(config: &DatasetConfig) {
        let collection = config.load(None).unwrap();
        assert_eq!(collection, config.load(None).unwrap(), "loading twice differs");
        let ids: HashSet<&str> = collection.tracks.iter().map(|t| t.id.as_str()).collect();
        assert_eq!(ids.len(), collection.tracks.len(), "ids repeat");
        let tags: HashSet<&String> = collection.tags.iter().collect();
        assert_eq!(tags.len(), collection.tags.len(), "tags repeat");
        assert!(!collection.tracks.is_empty() && !collection.tags.is_empty());
        for track in &collection.tracks {
            assert!(track.tags.is_sorted_by(|a, b| a < b), "{}: tags do not rise", track.id);
            assert!(track.tags.iter().all(|&tag| tag < collection.tags.len()));
        }
    }

    #[test]
    fn every_data_set_keeps_its_promises() {
        let folder = tempfile::tempdir().unwrap();
        let text = "id,path,split,tags\n2,b.mp3,test,b|a\n1,a.mp3,train,a\n";
        std::fs::write(folder.path().join("manifest.csv"), text).unwrap();
        let clips = tempfile::tempdir().unwrap();
        let songs = tempfile::tempdir().unwrap();
        let others = tempfile::tempdir().unwrap();
        let configs = [
            DatasetConfig::Synthetic(synthetic::SyntheticConfig::default()),
            discover(folder.path()).unwrap(),
            DatasetConfig::Magnatagatune(magnatagatune::tests::small(clips.path())),
            DatasetConfig::Msd(msd::tests::small(songs.path())),
            DatasetConfig::Folders(folders::tests::small(&others.path().join("folders"))),
            DatasetConfig::Gtzan(gtzan::tests::small(&others.path().join("gtzan"))),
            DatasetConfig::Artists1517(artists1517::tests::small(&others.path().join("1517"))),
            DatasetConfig::Unique(unique::tests::small(&others.path().join("unique"))),
            DatasetConfig::Audioset(audioset::tests::small(&others.path().join("audioset"))),
        ];
        assert_eq!(configs.each_ref().map(|c| c.name()), DatasetConfig::MEMBERS.map(|m| m.0));
        configs.iter().for_each(check);
        if let Some(folder) = shared("mtat") {
            let labels = folder.join("annotations_top50_valtest.csv");
            std::fs::copy(labels, clips.path().join("annotations_final.csv")).unwrap();
            check(&discover(clips.path()).unwrap());
        }
    }

    /// Counts by Python's csv module: rows of train, valid and test; tags; tags of all rows;
    /// artists.
    #[test]
    fn real_manifests_give_the_counts_of_another_reader() {
        for (folder, file, splits, tags, positives, artists) in [
            ("rendered", "manifest-random.csv", [650, 100, 250], 25, 4992, 125),
            ("rendered", "manifest-library.csv", [606, 119, 275], 25, 4992, 125),
            ("nsynth", "manifest-pitch.csv", [1149, 165, 366], 26, 7367, 53),
            ("nsynth", "manifest-instrument.csv", [849, 221, 610], 26, 7367, 53),
            ("soundtracks", "manifest.csv", [203, 43, 76], 11, 322, 11),
        ] {
            let Some(folder) = shared(folder) else { continue };
            let config = discover(&folder.join(file)).unwrap();
            check(&config);
            let mut collection = config.load(None).unwrap();
            let report = SplitReport::of(&collection);
            assert_eq!(report.tracks, splits, "{file}");
            assert_eq!(collection.tags.len(), tags, "{file}");
            let on: usize = collection.tracks.iter().map(|track| track.tags.len()).sum();
            assert_eq!(on, positives, "{file}");
            let names: HashSet<_> = collection.tracks.iter().map(|t| t.artist.clone()).collect();
            assert_eq!(names.len(), artists, "{file}");
            assert!(collection.notes.is_empty(), "{:?}", collection.notes);
            for track in &collection.tracks {
                let Audio::File { path, .. } = &track.audio else { panic!() };
                assert!(path.is_file(), "{}", path.display());
            }

            let report =
                assign_splits(&mut collection, &"artist:8/1/1".parse().unwrap(), 1).unwrap();
            assert_eq!(report.shared_artists, 0);
            assert_eq!(report.artists.iter().sum::<usize>(), artists);
        }
    }

    #[test]
    fn the_names_in_help_texts_are_those_that_are_read() {
        let error = toml::from_str::<DatasetConfig>("name = \"x\"").unwrap_err().to_string();
        let expected = error.split_once("expected one of ").unwrap().1.trim();
        let names = DatasetConfig::MEMBERS.map(|(name, _)| format!("`{name}`"));
        assert_eq!(expected, names.join(", "));
    }

    #[test]
    fn an_experiment_names_a_data_set_and_its_settings() {
        let read = |text: &str| toml::from_str::<DatasetConfig>(text);
        let config = read("name = \"manifest\"\nroot = \"x\"").unwrap();
        assert_eq!((config.name(), config.root()), ("manifest", Some(Path::new("x"))));
        let error = read("name = \"manifest\"\nrooot = \"x\"").unwrap_err().to_string();
        assert!(error.contains("`rooot`") && error.contains("`root`"), "{error}");
        for (name, _) in DatasetConfig::MEMBERS {
            let error = read(&format!("name = \"{name}\"\nsped = 1")).unwrap_err().to_string();
            let key = match name {
                "synthetic" => "`seed`",
                "manifest" | "audioset" => "`root`",
                _ => "`split`",
            };
            assert!(error.contains("`sped`") && error.contains(key), "{error}");
        }
        let error = read("name = \"magnatagatune\"\nsplit = \"pons\"").unwrap_err().to_string();
        assert!(error.contains("pons2017") && error.contains("won2020"), "{error}");
        let error = read("name = \"gtzan\"\nsplit = \"filtered\"").unwrap_err().to_string();
        assert!(error.contains("plain") && error.contains("fault_filtered"), "{error}");
        let error = read("root = \"x\"").unwrap_err().to_string();
        assert!(error.contains("`name`"), "{error}");
        let error = read("name = \"mtat\"").unwrap_err().to_string();
        assert!(error.contains("magnatagatune") && error.contains("synthetic"), "{error}");
        for (name, _) in DatasetConfig::MEMBERS {
            let config = read(&format!("name = \"{name}\"")).unwrap();
            assert_eq!(config.name(), name);
            assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config);
        }
    }

    #[test]
    fn a_layout_is_recognised_or_the_known_ones_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = discover(folder.path()).unwrap_err().to_string();
        assert!(error.contains("manifest.csv") && error.contains("annotations_final.csv"));
        assert!(error.contains("is no data set"), "{error}");
        let error = discover(&folder.path().join("gone")).unwrap_err().to_string();
        assert!(error.contains("gone is missing"), "{error}");
        let here = discover(Path::new("a.csv")).unwrap();
        let expected = std::env::current_dir().unwrap().join("a.csv");
        assert_eq!(here.root(), Some(expected.as_path()));
        let songs = tempfile::tempdir().unwrap();
        msd::tests::small(songs.path());
        let found = discover(songs.path()).unwrap();
        assert_eq!((found.name(), found.load(None).unwrap().tracks.len()), ("msd", 5));
        let others = tempfile::tempdir().unwrap();
        for (name, config) in [
            ("gtzan", gtzan::tests::small(&others.path().join("a")).root),
            ("artists1517", artists1517::tests::small(&others.path().join("b")).root),
            ("folders", unique::tests::small(&others.path().join("c")).root),
            ("folders", folders::tests::small(&others.path().join("d")).root),
        ] {
            let found = discover(&config).unwrap();
            assert_eq!((found.name(), found.root()), (name, Some(config.as_path())));
        }
        folders::tests::small(folder.path());
        let found = discover(folder.path()).unwrap();
        assert_eq!(found.name(), "folders");
        assert!(found.load(None).unwrap().tracks.iter().all(|track| track.split.is_none()));
        std::fs::write(folder.path().join("manifest.csv"), "").unwrap();
        assert_eq!(discover(folder.path()).unwrap().name(), "manifest");
        std::fs::write(folder.path().join("annotations_final.csv"), "").unwrap();
        assert_eq!(discover(folder.path()).unwrap().name(), "magnatagatune");
        let table = folder.path().join("annotations_final.csv");
        assert_eq!(discover(&table).unwrap().root(), Some(folder.path()));
    }

    #[test]
    fn an_experiment_names_its_listening_data() {
        let read = |text: &str| toml::from_str::<InteractionsConfig>(text);
        let error = read("name = \"x\"").unwrap_err().to_string();
        let expected = error.split_once("expected one of ").unwrap().1.trim();
        let names = InteractionsConfig::MEMBERS.map(|(name, _)| format!("`{name}`"));
        assert_eq!(expected, names.join(", "));
        for (name, _) in InteractionsConfig::MEMBERS {
            let config = read(&format!("name = \"{name}\"")).unwrap();
            assert_eq!(config.name(), name);
            let on_disk = !["synthetic_listeners", "tags"].contains(&name);
            assert_eq!(config.root().is_some(), on_disk);
            assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config);
            let error = read(&format!("name = \"{name}\"\nsped = 1")).unwrap_err().to_string();
            assert!(error.contains("`sped`"), "{error}");
        }
        let error = read("name = \"taste_profile\"\nitems = \"x\"").unwrap_err().to_string();
        assert!(error.contains("tracks") && error.contains("songs"), "{error}");
    }

    #[test]
    fn listening_data_is_loaded_by_its_name() {
        let collection = synthetic::SyntheticConfig { tracks: 20, ..Default::default() };
        let collection = collection.load().unwrap();
        let load = |text: &str, data_dir: Option<&Path>| {
            toml::from_str::<InteractionsConfig>(text).unwrap().load(data_dir, &collection)
        };
        let made = load("name = \"synthetic_listeners\"\nusers = 9", None).unwrap();
        assert_eq!((made.users().len(), made.items().len()), (9, 20));
        assert_eq!(made.items()[3], collection.tracks[3].id);
        let error = load("name = \"synthetic_listeners\"\nusers = 0", None).unwrap_err();
        assert!(error.to_string().contains("users is 0"), "{error}");

        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plays.csv"), "a,x,2\n").unwrap();
        let plays = load("name = \"file\"\npath = \"plays.csv\"", Some(folder.path())).unwrap();
        assert_eq!((plays.users(), plays.len()), (&["a".to_string()][..], 1));
        for (name, missing) in
            [("hetrec", hetrec::PLAYS), ("taste_profile", taste_profile::TRIPLETS)]
        {
            let error = load(&format!("name = \"{name}\""), Some(folder.path())).unwrap_err();
            assert!(error.to_string().contains(&format!("{missing} is missing")), "{error}");
        }
        for (name, key) in [("file", "path"), ("hetrec", "root"), ("taste_profile", "root")] {
            let error = load(&format!("name = \"{name}\"\n{key} = \"\""), None).unwrap_err();
            assert!(error.to_string().contains(&format!("{key} is empty")), "{error}");
        }
    }
}
