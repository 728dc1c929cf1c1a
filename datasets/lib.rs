//! Music data sets: what is on disk and what is said of it.
//!
//! [`tracks`] holds sets of tracks with tags and splits, [`listening`] holds who played what. Nothing here decodes audio or
//! knows of tensors; a [`Track`] says where its samples come from, and the pipeline fetches them.

pub mod error;
mod lines;
pub mod listening;
mod math;
mod random;
pub mod split;
pub mod tracks;

use std::path::{Path, PathBuf};

pub use error::DatasetError;
pub use listening::interactions::Interactions;
pub use listening::{InteractionsConfig, read_interactions};
pub use split::{Split, SplitReport, SplitSpec, assign_splits};
pub use tracks::manifest::write_manifest;
pub use tracks::{Audio, Collection, DatasetConfig, Frames, Track, discover};

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
    use crate::listening::*;
    use crate::tracks::*;

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
