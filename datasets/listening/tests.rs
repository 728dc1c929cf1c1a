//! Tests of all sources of listening data.

use super::*;
use crate::tracks::synthetic::SyntheticConfig;

#[test]
fn experiments_select_listening_data_by_name() {
    let read = |text: &str| toml::from_str::<InteractionsConfig>(text);
    let error = read("name = \"x\"").unwrap_err().to_string();
    let names = error.split_once("expected one of ").unwrap().1.trim().split(", ");
    let names: Vec<&str> = names.map(|name| name.trim_matches('`')).collect();
    assert_eq!(names, ["file", "hetrec", "taste_profile", "synthetic_listeners", "tags"]);
    for name in names {
        let config = read(&format!("name = \"{name}\"")).unwrap();
        assert_eq!(config.name(), name);
        let needs_files = !["synthetic_listeners", "tags"].contains(&name);
        assert_eq!(config.root().is_some(), needs_files);
        assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config);
        let error = read(&format!("name = \"{name}\"\nsped = 1")).unwrap_err().to_string();
        assert!(error.contains("`sped`"), "{error}");
    }
    let error = read("name = \"taste_profile\"\nitems = \"x\"").unwrap_err().to_string();
    assert!(error.contains("tracks") && error.contains("songs"), "{error}");
}

#[test]
fn every_source_is_loaded() {
    let collection = SyntheticConfig { tracks: 20, ..Default::default() }.load().unwrap();
    let load = |text: &str, data_dir: Option<&Path>| {
        toml::from_str::<InteractionsConfig>(text).unwrap().load(data_dir, &collection)
    };
    let simulated = load("name = \"synthetic_listeners\"\nusers = 9", None).unwrap();
    assert_eq!((simulated.users().len(), simulated.items().len()), (9, 20));
    assert_eq!(simulated.items()[3], collection.tracks[3].id);
    let error = load("name = \"synthetic_listeners\"\nusers = 0", None).unwrap_err();
    assert!(error.to_string().contains("users is 0"), "{error}");

    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("plays.csv"), "a,x,2\n").unwrap();
    let plays = load("name = \"file\"\npath = \"plays.csv\"", Some(directory.path())).unwrap();
    assert_eq!((plays.users(), plays.len()), (&["a".to_string()][..], 1));
    for (name, missing) in [("hetrec", hetrec::PLAYS), ("taste_profile", taste_profile::TRIPLETS)] {
        let error = load(&format!("name = \"{name}\""), Some(directory.path())).unwrap_err();
        assert!(error.to_string().contains(&format!("{missing} is missing")), "{error}");
    }
    for (name, key) in [("file", "path"), ("hetrec", "root"), ("taste_profile", "root")] {
        let error = load(&format!("name = \"{name}\"\n{key} = \"\""), None).unwrap_err();
        assert!(error.to_string().contains(&format!("{key} is empty")), "{error}");
    }
    let error = read_interactions(directory.path()).unwrap_err().to_string();
    assert!(
        error.contains("no known listening data") && error.contains("user_artists.dat"),
        "{error}"
    );
}
