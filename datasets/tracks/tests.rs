//! Tests of all sets of tracks.

use std::collections::HashSet;

use super::*;
use crate::test_support::shared;
use crate::{SplitReport, assign_splits};

/// Checks what every dataset guarantees.
fn check(config: &DatasetConfig) {
    let collection = config.load(None).unwrap();
    assert_eq!(collection, config.load(None).unwrap(), "loading twice differs");
    let ids: HashSet<&str> = collection.tracks.iter().map(|t| t.id.as_str()).collect();
    assert_eq!(ids.len(), collection.tracks.len(), "duplicate ids");
    let tags: HashSet<&String> = collection.tags.iter().collect();
    assert_eq!(tags.len(), collection.tags.len(), "duplicate tags");
    assert!(!collection.tracks.is_empty() && !collection.tags.is_empty());
    for track in &collection.tracks {
        assert!(track.tags.is_sorted_by(|a, b| a < b), "{}: tags do not ascend", track.id);
        assert!(track.tags.iter().all(|&tag| tag < collection.tags.len()));
    }
}

#[test]
fn every_dataset_keeps_the_contract() {
    let parent = tempfile::tempdir().unwrap();
    let directory = |name: &str| {
        let path = parent.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let own = directory("own");
    let text = "id,path,split,tags\n2,b.mp3,test,b|a\n1,a.mp3,train,a\n";
    std::fs::write(own.join("manifest.csv"), text).unwrap();
    let clips = directory("clips");
    let configs = [
        DatasetConfig::Synthetic(synthetic::SyntheticConfig::default()),
        discover(&own).unwrap(),
        DatasetConfig::Magnatagatune(magnatagatune::tests::small(&clips)),
        DatasetConfig::Msd(msd::tests::small(&directory("songs"))),
        DatasetConfig::Folders(folders::tests::small(&directory("folders"))),
        DatasetConfig::Gtzan(gtzan::tests::small(&directory("gtzan"))),
        DatasetConfig::Artists1517(artists1517::tests::small(&directory("1517"))),
        DatasetConfig::Unique(unique::tests::small(&directory("unique"))),
        DatasetConfig::Audioset(audioset::tests::small(&directory("audioset"))),
    ];
    assert_eq!(configs.each_ref().map(|config| config.name()).to_vec(), names());
    configs.iter().for_each(check);
}

#[test]
#[ignore = "needs mtat below TONOTOPY_SHARED"]
fn real_labels_keep_the_contract() {
    let clips = tempfile::tempdir().unwrap();
    magnatagatune::tests::small(clips.path());
    let labels = shared("mtat").join("annotations_top50_valtest.csv");
    std::fs::copy(labels, clips.path().join("annotations_final.csv")).unwrap();
    check(&discover(clips.path()).unwrap());
}

/// Counts by Python's csv module: rows of train, valid and test; tags; tags of all rows; artists.
#[test]
#[ignore = "needs rendered, nsynth and soundtracks below TONOTOPY_SHARED"]
fn real_manifests_have_the_counts_of_another_reader() {
    for (directory, file, splits, tags, positives, artists) in [
        ("rendered", "manifest-random.csv", [650, 100, 250], 25, 4983, 125),
        ("rendered", "manifest-library.csv", [606, 119, 275], 25, 4983, 125),
        ("nsynth", "manifest-pitch.csv", [1149, 165, 366], 26, 7367, 53),
        ("nsynth", "manifest-instrument.csv", [849, 221, 610], 26, 7367, 53),
        ("soundtracks", "manifest.csv", [203, 43, 76], 11, 322, 11),
    ] {
        let directory = shared(directory);
        let config = discover(&directory.join(file)).unwrap();
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

        let report = assign_splits(&mut collection, &"artist:8/1/1".parse().unwrap(), 1).unwrap();
        assert_eq!(report.shared_artists, 0);
        assert_eq!(report.artists.iter().sum::<usize>(), artists);
    }
}

fn read(text: &str) -> Result<DatasetConfig, toml::de::Error> {
    toml::from_str(text)
}

/// The names of all datasets, from the error message for a wrong one.
fn names() -> Vec<String> {
    let error = read("name = \"x\"").unwrap_err().to_string();
    let names = error.split_once("expected one of ").unwrap().1.trim().split(", ");
    names.map(|name| name.trim_matches('`').to_owned()).collect()
}

#[test]
fn experiments_select_a_dataset_and_its_settings() {
    let config = read("name = \"manifest\"\nroot = \"x\"").unwrap();
    assert_eq!((config.name(), config.root()), ("manifest", Some(Path::new("x"))));
    let error = read("name = \"manifest\"\nrooot = \"x\"").unwrap_err().to_string();
    assert!(error.contains("`rooot`") && error.contains("`root`"), "{error}");
    for name in names() {
        let error = read(&format!("name = \"{name}\"\nsped = 1")).unwrap_err().to_string();
        let key = match name.as_str() {
            "synthetic" => "`seed`",
            "manifest" | "audioset" => "`root`",
            _ => "`split`",
        };
        assert!(error.contains("`sped`") && error.contains(key), "{error}");
        let config = read(&format!("name = \"{name}\"")).unwrap();
        assert_eq!(config.name(), name);
        assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config);
    }
    for (text, words) in [
        ("name = \"magnatagatune\"\nsplit = \"pons\"", ["pons2017", "won2020"]),
        ("name = \"gtzan\"\nsplit = \"filtered\"", ["plain", "fault_filtered"]),
        ("root = \"x\"", ["`name`", ""]),
        ("name = \"mtat\"", ["magnatagatune", "synthetic"]),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn layouts_are_recognised_or_the_known_ones_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = discover(directory.path()).unwrap_err().to_string();
    assert!(error.contains("manifest.csv") && error.contains("annotations_final.csv"));
    assert!(error.contains("is not a known dataset"), "{error}");
    let error = discover(&directory.path().join("gone")).unwrap_err().to_string();
    assert!(error.contains("gone is missing"), "{error}");
    let here = discover(Path::new("a.csv")).unwrap();
    let expected = std::env::current_dir().unwrap().join("a.csv");
    assert_eq!(here.root(), Some(expected.as_path()));
    let songs = tempfile::tempdir().unwrap();
    msd::tests::small(songs.path());
    let found = discover(songs.path()).unwrap();
    assert_eq!((found.name(), found.load(None).unwrap().tracks.len()), ("msd", 5));
    let others = tempfile::tempdir().unwrap();
    for (name, root) in [
        ("gtzan", gtzan::tests::small(&others.path().join("a")).root),
        ("artists1517", artists1517::tests::small(&others.path().join("b")).root),
        ("folders", unique::tests::small(&others.path().join("c")).root),
        ("folders", folders::tests::small(&others.path().join("d")).root),
        ("audioset", audioset::tests::small(&others.path().join("e")).root),
    ] {
        let found = discover(&root).unwrap();
        assert_eq!((found.name(), found.root()), (name, Some(root.as_path())));
    }
    folders::tests::small(directory.path());
    let found = discover(directory.path()).unwrap();
    assert_eq!(found.name(), "folders");
    assert!(found.load(None).unwrap().tracks.iter().all(|track| track.split.is_none()));
    std::fs::write(directory.path().join("manifest.csv"), "").unwrap();
    assert_eq!(discover(directory.path()).unwrap().name(), "manifest");
    let table = directory.path().join("annotations_final.csv");
    std::fs::write(&table, "").unwrap();
    assert_eq!(discover(directory.path()).unwrap().name(), "magnatagatune");
    assert_eq!(discover(&table).unwrap().root(), Some(directory.path()));
}
