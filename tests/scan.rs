//! `scan` of directories and manifests as they are found: new files, splits, copies, names, read-only disks.

use crate::support::{MEL, Workplace, json, on_manifest, small, tone};

/// The rows of a manifest: id, path, split, tags.
fn rows(text: &str) -> Vec<[String; 4]> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows = reader.records().map(|row| row.unwrap());
    rows.map(|row| std::array::from_fn(|at| row[at].to_string())).collect()
}

/// The notes of a scan as one text, and its result.
fn scanned(place: &Workplace, arguments: &str) -> (String, serde_json::Value) {
    let result = json(&place.run(&format!("scan {arguments} --json")).ok().out);
    let notes = result["notes"].as_array().unwrap();
    (notes.iter().map(|note| note.as_str().unwrap()).collect::<Vec<_>>().join("\n"), result)
}

/// A tone as a WAV file with a chunk of text, so that other files have the same samples.
fn with_text(seconds: f64, hertz: f64) -> Vec<u8> {
    let mut bytes = tone(seconds, 16_000, hertz);
    bytes.extend(b"LIST\x0c\0\0\0INFOINAM\0\0\0\0");
    let size = bytes.len() as u32 - 8;
    bytes[4..8].copy_from_slice(&size.to_le_bytes());
    bytes
}

#[test]
fn second_scan_of_directories_finds_new_files() {
    let place = Workplace::new();
    place.write("music/jazz/1.wav", tone(1.0, 16_000, 300.0));
    place.write("music/rock/2.wav", tone(1.0, 16_000, 400.0));
    assert_eq!(scanned(&place, "music").1["tracks"], 2);
    assert!(!place.path("music/manifest.csv").exists());
    place.write("music/rock/3.wav", tone(1.0, 16_000, 500.0));
    let (notes, result) = scanned(&place, "music");
    assert_eq!(result["tracks"], 3, "{notes}");
    let ids: Vec<String> =
        rows(&place.read("music/manifest-scanned.csv")).into_iter().map(|[id, ..]| id).collect();
    assert_eq!(ids, ["jazz/1.wav", "rock/2.wav", "rock/3.wav"]);
    // The same holds in another directory.
    for _ in 0..2 {
        assert_eq!(scanned(&place, "music --out made").1["tracks"], 3);
    }
    assert_eq!(std::fs::read_dir(place.path("made")).unwrap().count(), 2);
}

#[test]
fn audio_that_is_not_in_the_manifest_is_counted() {
    let place = Workplace::new();
    for name in ["a.wav", "b/c.wav", "b/d.wav"] {
        place.write(&format!("music/{name}"), tone(1.0, 16_000, 300.0 + name.len() as f64));
    }
    place.write("music/manifest.csv", "id,path,split,tags\n1,./a.wav,,x\n2,b/../b/c.wav,,y\n");
    let (notes, result) = scanned(&place, "music");
    assert_eq!(result["tracks"], 2);
    assert!(notes.contains("not in manifest.csv: 1 (first: \"b/d.wav\")"), "{notes}");
    // A table that is named itself may list a part.
    let (notes, _) = scanned(&place, "music/manifest.csv");
    assert!(!notes.contains("not in manifest.csv"), "{notes}");
}

#[test]
fn manifest_does_not_lose_its_quarantined_tracks() {
    let place = Workplace::new();
    place.write("music/a.wav", tone(1.0, 16_000, 300.0));
    let text = "id,path,split,tags\n1,a.wav,,x\n2,gone.wav,,y\n";
    place.write("music/manifest-scanned.csv", text);
    place
        .run("scan music/manifest-scanned.csv")
        .fails(3, &["manifest-scanned.csv", "would lose the 1 tracks", "--out DIR"]);
    assert_eq!(place.read("music/manifest-scanned.csv"), text);
    assert!(place.read("music/quarantine.csv").contains("gone.wav"));
}

#[test]
fn directories_of_splits_are_not_tags() {
    let place = Workplace::new();
    let mut hertz = 200.0;
    for split in ["train", "valid", "test"] {
        for genre in ["jazz", "rock"] {
            hertz += 50.0;
            place.write(&format!("music/{split}/{genre}/1.wav"), tone(1.0, 16_000, hertz));
        }
    }
    let (notes, result) = scanned(&place, "music");
    assert_eq!(result["usable"], 6);
    assert!(notes.contains("test, train, valid are the splits"), "{notes}");
    assert!(!notes.contains("identical audio"), "{notes}");
    for [id, _, split, tags] in rows(&place.read("music/manifest-scanned.csv")) {
        assert_eq!(id, format!("{split}/{tags}/1.wav"));
    }
    let (notes, _) = scanned(&place, "music --split random:8/1/1");
    assert!(notes.contains("--split replaces the split that 6 tracks have"), "{notes}");
}

#[test]
fn identical_audio_is_named_with_its_tags_and_splits() {
    let place = Workplace::new();
    let mut manifest = String::from("id,path,split,tags\n");
    for (at, split) in ["train", "train", "valid", "valid", "test", "test"].iter().enumerate() {
        let pitch = 200.0 + 50.0 * at as f64;
        place.write(&format!("music/{at}.wav"), tone(2.0, 16_000, pitch));
        manifest += &format!("t{at},{at}.wav,{split},{}\n", ["a", "b"][at % 2]);
    }
    // The same samples as t0, with another tag and in another split; as t1, in the same split.
    place.write("music/copy.wav", with_text(2.0, 200.0));
    place.write("music/again.wav", with_text(2.0, 250.0));
    place.write("music/manifest.csv", &manifest);
    let (notes, _) = scanned(&place, "music");
    assert!(!notes.contains("identical audio"), "{notes}");

    manifest += "copy,copy.wav,test,b\nagain,again.wav,train,b\n";
    place.write("music/manifest.csv", &manifest);
    let (notes, _) = scanned(&place, "music");
    let expected = [
        "identical audio: 4 tracks in 2 groups (t0 = copy, t1 = again)",
        "identical audio with different tags: 2 tracks in 1 group (t0 (a) = copy (b))",
        "warning: identical audio in different splits: 2 tracks in 1 group (t0 (train) = copy (test))",
    ];
    for words in expected {
        assert!(notes.contains(words), "no {words:?} in:\n{notes}");
    }
    place.write_experiment("x", &on_manifest("music"));
    let trained = place.run("--device cpu train x.toml").ok();
    for words in expected {
        let words = words.trim_start_matches("warning: ");
        assert!(trained.err.contains(words), "no {words:?} in:\n{}", trained.err);
    }
}

#[test]
fn identical_audio_in_cross_validation_is_noted() {
    let place = Workplace::new();
    for at in 0..6 {
        let genre = ["high", "low"][at % 2];
        place
            .write(&format!("tones/{genre}/{at}.wav"), tone(1.4, 16_000, 200.0 + 90.0 * at as f64));
    }
    place.write_experiment("base", &small(MEL));
    place.run("--device cpu train base.toml").ok();
    let text = "about = \"tones\"\n[dataset]\nname = \"folders\"\nroot = \"tones\"\n\
                [model]\nname = \"transferred\"\nrun = \"base\"\n\
                [training]\nexcerpt_seconds = 1.0\nloss = \"cross_entropy\"\nmetric = \"accuracy\"\n\
                [cross_validation]\nfolds = 3\n";
    place.write_experiment("x", text);
    let told = place.run("--device cpu train x.toml").ok().err;
    assert!(!told.contains("identical audio"), "{told}");
    place.write("tones/low/copy.wav", with_text(1.4, 200.0));
    place.write_experiment("y", text);
    let told = place.run("--device cpu train y.toml").ok().err;
    for words in ["identical audio with different tags", "different folds", "too high"] {
        assert!(told.contains(words), "no {words:?} in:\n{told}");
    }
}

#[test]
fn tags_that_are_probably_several_are_noted() {
    let place = Workplace::new();
    let mut manifest = String::from("id,path,split,tags\n");
    let tags = ["\"rock, slow\"", "rock;slow", "\"['rock', 'slow']\"", "Rock", "rock"];
    for (at, tags) in tags.iter().enumerate() {
        place.write(&format!("music/{at}.wav"), tone(1.0, 16_000, 200.0 + 50.0 * at as f64));
        manifest += &format!("{at},{at}.wav,,{tags}\n");
    }
    place.write("music/manifest.csv", manifest);
    let (notes, _) = scanned(&place, "music");
    for words in ["look like several: 3", "\"Rock\" and \"rock\"", "separated by |"] {
        assert!(notes.contains(words), "no {words:?} in:\n{notes}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn file_name_that_is_not_utf_8_does_not_stop_a_scan_or_a_training() {
    use std::os::unix::ffi::OsStrExt;
    let place = Workplace::new();
    let mut hertz = 200.0;
    for split in ["train", "valid", "test"] {
        for genre in ["high", "low"] {
            hertz += 50.0;
            place.write(&format!("music/{split}/{genre}/1.wav"), tone(2.0, 16_000, hertz));
        }
    }
    for name in [&b"caf\xe9.wav"[..], b"it\x92s.wav"] {
        let path = place.path("music/train/low").join(std::ffi::OsStr::from_bytes(name));
        hertz += 50.0;
        std::fs::write(path, tone(2.0, 16_000, hertz)).unwrap();
    }
    let (notes, result) = scanned(&place, "music");
    assert_eq!((&result["tracks"], &result["quarantined"]), (&8.into(), &0.into()));
    assert!(notes.contains("names that are not UTF-8"), "{notes}");
    assert!(notes.contains("left out of the manifest") && notes.contains("UTF-8: 2"), "{notes}");
    assert_eq!(rows(&place.read("music/manifest-scanned.csv")).len(), 6);
    let manifest = "name = \"manifest\"\nroot = \"music\"";
    let folders = on_manifest("music").replace(manifest, "name = \"folders\"\nroot = \"music\"");
    assert!(folders.contains("\"folders\""));
    place.write_experiment("x", &folders);
    place.run("--device cpu train x.toml").ok();
    assert_eq!(rows(&place.read("runs/x-s1/manifest.csv")).len(), 8);
    place.run("--device cpu evaluate runs/x-s1").ok();
}

#[test]
fn manifest_elsewhere_describes_audio_by_absolute_paths() {
    let place = Workplace::new();
    let mut manifest = String::from("id,path,split,tags\n");
    for at in 0..6 {
        let path =
            place.write(&format!("disk/{at}.wav"), tone(2.0, 16_000, 200.0 + 50.0 * f64::from(at)));
        let split = ["train", "valid", "test"][at as usize / 2];
        let path = path.display();
        manifest += &format!("{at},\"{path}\",{split},{}\n", ["a", "b"][at as usize % 2]);
    }
    place.write("lists/manifest.csv", manifest);
    let refused = ["manifest.csv line 2", "is absolute", "absolute_paths = true"];
    place.run("scan lists").fails(3, &refused);
    let (notes, result) = scanned(&place, "lists --absolute-paths");
    assert_eq!(result["usable"], 6);
    assert!(notes.contains("absolute_paths = true"), "{notes}");

    // A split needs the flag too, and directories can be described from elsewhere.
    place.write("genres/jazz/1.wav", tone(2.0, 16_000, 300.0));
    place.write("genres/rock/2.wav", tone(2.0, 16_000, 350.0));
    place.write("genres/rock/3.wav", tone(2.0, 16_000, 370.0));
    let split = "scan genres --out made --split random:8/1/1";
    place.run(split).fails(2, &["--out made", "--absolute-paths"]);
    place.run(&format!("{split} --absolute-paths")).ok();
    for [_, path, split, _] in rows(&place.read("made/manifest-scanned.csv")) {
        assert!(std::path::Path::new(&path).is_absolute() && !split.is_empty(), "{path} {split}");
    }

    let text = on_manifest("lists/manifest-scanned.csv");
    place.write_experiment("x", &text);
    place.run("--device cpu train x.toml").fails(3, &["is absolute", "absolute_paths = true"]);
    place.run("--device cpu train x.toml --set dataset.absolute_paths=true").ok();
}

#[test]
fn scan_finds_the_run_that_an_experiment_uses() {
    let place = Workplace::new();
    place.write_experiment("base", &small(MEL));
    place.run("--device cpu train base.toml --runs elsewhere").ok();
    let model = format!("name = \"tagger\"\nfront_end = {MEL}");
    let text = small(MEL)
        .replace(&model, "name = \"transferred\"\nrun = \"base\"\nof = \"outputs\"\nhidden = [6]");
    assert!(text.contains("transferred"));
    place.write_experiment("next", &text);
    place.run("scan next.toml").fails(2, &["model.run", "base-s1", "runs"]);
    place.run("scan next.toml --runs elsewhere --out made").ok();
}
