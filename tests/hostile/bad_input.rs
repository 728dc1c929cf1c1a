//! Bad input gives one clear error line and the right exit code, and leaves no partial results.

use crate::support::{MEL, Workplace, on_manifest, small, wav};

/// Ten valid tracks in three splits, plus `more_rows` of the manifest.
fn music(more_rows: &str) -> Workplace {
    let place = Workplace::new();
    let mut manifest = String::from("id,path,split,tags\n");
    for i in 0..10 {
        let split = ["train", "train", "train", "valid", "test"][i % 5];
        let tag = ["low", "high"][i / 5];
        manifest += &format!("t{i},{i}.wav,{split},{tag}\n");
        place.write(&format!("music/{i}.wav"), wav(1.5 + i as f64 / 10.0, 16_000));
    }
    place.write("music/manifest.csv", manifest + more_rows);
    place.write_experiment("own", &on_manifest("music"));
    place
}

const TRAIN: &str = "--device cpu train own.toml";

#[test]
fn misspelt_key_is_refused_with_a_suggestion() {
    let place = Workplace::new();
    place.write("x.toml", small(MEL).replace("batch_size", "bach_size"));
    place.run("train x.toml").fails(2, &["bach_size", "did you mean `batch_size`", "x.toml"]);
    place.run("train x.toml --set training").fails(2, &["--set training", "="]);
    assert!(!place.path("runs").exists());
}

#[test]
fn missing_files_are_named() {
    let place = Workplace::new();
    place.run("train nowhere.toml").fails(2, &["nowhere.toml"]);
    place.write_experiment("own", &on_manifest("music"));
    place.run(TRAIN).fails(3, &["music"]);
    place.run("evaluate runs/none").fails(3, &["runs/none", "tonotopy train"]);
    place.run("predict runs/none a.mp3").fails(3, &["a.mp3"]);
    assert!(!place.path("runs").exists());
}

#[test]
fn empty_splits_are_refused() {
    let place = Workplace::new();
    place.write_experiment("own", &on_manifest("music"));
    place.write("music/a.wav", wav(2.0, 16_000));
    place.write("music/manifest.csv", "id,path,split,tags\na,a.wav,train,low\n");
    place.run(TRAIN).fails(3, &["split", "no usable track"]);
    place.write("music/manifest.csv", "id,path,split,tags\na,a.wav,,low\n");
    place.run(TRAIN).fails(3, &["has no split", "--split"]);
    assert!(!place.path("runs").exists());
}

#[test]
fn tag_without_positives_is_a_warning() {
    let place = music("only,0.wav,train,rare\n");
    let finished = place.run(TRAIN).ok();
    assert!(finished.err.contains("no track in the test split: rare"), "{}", finished.err);
    place.run("evaluate runs/own-s1").ok();
}

#[test]
fn sample_rate_of_zero_is_refused() {
    let place = music("");
    place
        .run(&format!("{TRAIN} --set model.front_end.sample_rate=0"))
        .fails(2, &["sample_rate", "0"]);
    place.run("scan music --sample-rate 0").fails(2, &["--sample-rate is 0"]);
}

#[test]
fn broken_audio_is_quarantined_and_training_continues() {
    let place = music(
        "folder,folder.wav,train,low\nempty,empty.wav,train,low\ntext,text.mp3,train,low\n\
         cut,cut.wav,train,low\ngone,gone.wav,train,low\nmute,mute.wav,train,low\n\
         short,short.wav,train,low\ncutmp3,cut.mp3,train,low\n",
    );
    std::fs::create_dir(place.path("music/folder.wav")).unwrap();
    place.write("music/empty.wav", b"");
    place.write("music/text.mp3", "this is a shopping list, not music\n".repeat(100));
    let whole = wav(3.0, 16_000);
    place.write("music/cut.wav", &whole[..whole.len() / 3]);
    let mp3 = include_bytes!("../../src/audio/fixtures/stereo-44k.mp3");
    place.write("music/cut.mp3", &mp3[..mp3.len() / 2]);
    let mut mute = whole.clone();
    mute[44..].fill(0);
    place.write("music/mute.wav", mute);
    place.write("music/short.wav", wav(0.1, 16_000));
    place.run(TRAIN).ok();
    let quarantine = place.read("runs/own-s1/quarantine.csv");
    for (id, reason) in [
        ("folder", "is_directory"),
        ("empty", "empty"),
        ("text", "unsupported"),
        ("cut", "truncated"),
        ("cutmp3", "truncated"),
        ("gone", "missing"),
        ("mute", "silent"),
        ("short", "too_short"),
    ] {
        let row = quarantine.lines().find(|line| line.starts_with(&format!("{id},")));
        let row = row.unwrap_or_else(|| panic!("no {id} in:\n{quarantine}"));
        assert!(row.contains(reason), "{row}");
    }
    assert_eq!(quarantine.lines().count(), 9);
}

#[test]
fn predict_reports_broken_audio_and_predicts_the_rest() {
    let place = music("");
    place.run(TRAIN).ok();
    place.write("empty.wav", b"");
    let finished = place
        .run("-q predict runs/own-s1 empty.wav music/3.wav --top 1")
        .fails(3, &["empty.wav", "1 of 2"]);
    assert!(finished.out.contains("music/3.wav"), "{}", finished.out);
}

#[test]
fn predict_refuses_what_scan_would_put_into_quarantine() {
    let place = music("");
    place.run(TRAIN).ok();
    let mut silent = wav(2.0, 16_000);
    silent[44..].fill(0);
    place.write("in/silent.wav", silent);
    place.write("in/short.wav", wav(0.2, 16_000));
    // Two channels, each the negative of the other: twice the bytes, channels and bytes per frame.
    let mono = wav(2.0, 16_000);
    let mut stereo = mono[..44].to_vec();
    for (at, value) in [(22, 2), (32, 4)] {
        stereo[at] = value;
    }
    for at in [4, 28, 40] {
        let word = u32::from_le_bytes(stereo[at..at + 4].try_into().unwrap());
        stereo[at..at + 4].copy_from_slice(&(2 * word).to_le_bytes());
    }
    for sample in mono[44..].as_chunks::<2>().0 {
        let sample = i16::from_le_bytes(*sample);
        stereo.extend([sample, sample.saturating_neg()].map(i16::to_le_bytes).concat());
    }
    place.write("in/cancelled.wav", stereo);
    let rows = "a,silent.wav,,low\nb,cancelled.wav,,low\nc,short.wav,,low\n";
    place.write("in/manifest.csv", format!("id,path,split,tags\n{rows}"));
    let words = [
        "silent.wav: is silent: its peak",
        "cancelled.wav: is silent after mixing to mono: its channels cancel",
        "short.wav: is 0.200 s long and at least 0.5 s are required",
        "3 of 3 files",
    ];
    place.run("predict runs/own-s1 in").fails(3, &words);
    let scan = place.run("scan in").fails(3, &[]);
    let quarantine = place.read("in/quarantine.csv");
    for word in &words[..3] {
        assert!(quarantine.contains(word), "{word} is not in {quarantine}{}", scan.err);
    }
}

#[test]
fn duplicate_id_is_refused() {
    let place = music("t3,0.wav,train,low\n");
    place.run(TRAIN).fails(3, &["t3", "manifest.csv"]);
    assert!(!place.path("runs").exists());
}

#[test]
fn path_outside_the_directory_is_refused() {
    for path in ["../secret.wav", "/etc/passwd"] {
        let place = music(&format!("out,{path},train,low\n"));
        place.write("secret.wav", wav(2.0, 16_000));
        place.run(TRAIN).fails(3, &[path, "manifest.csv"]);
        assert!(!place.path("runs").exists());
    }
}

#[test]
fn diverging_run_fails_with_code_5() {
    let place = Workplace::new();
    place.write("x.toml", small(MEL));
    place.run("train x.toml --set training.steps=4").ok();
    place.write(
        "y.toml",
        small(MEL).replace(
            "valid_every",
            "optimizer = { name = \"sgd\", learning_rate = 1e30 }\nvalid_every",
        ),
    );
    place.run("train y.toml").fails(5, &["not finite", "learning_rate", "batch held the tracks"]);
}

#[test]
fn existing_run_is_not_overwritten() {
    let place = Workplace::new();
    place.write("x.toml", small(MEL));
    place.run("train x.toml").ok();
    place.run("train x.toml").fails(2, &["exists", "--resume"]);
    place
        .run("train x.toml --resume --set training.batch_size=5")
        .fails(2, &["training.batch_size"]);
}

#[test]
fn unknown_devices_are_refused() {
    let place = Workplace::new();
    place.write("x.toml", small(MEL));
    place.run("--device wgpu:77 train x.toml").fails(4, &["wgpu:77"]);
    place.run("--device abacus train x.toml").fails(2, &["abacus"]);
    assert!(!place.path("runs").exists());
}

#[test]
fn undecodable_audio_is_reported_once() {
    let place = Workplace::new();
    place.write("music/manifest.csv", "id,path,split,tags\n1,good.wav,,low\n2,bad.mp3,,high\n");
    place.write("music/good.wav", wav(1.0, 16_000));
    place.write("music/bad.mp3", "not audio");
    let scanned = place.run("scan music --out made").ok();
    assert!(scanned.out.contains("bad.mp3"), "{}", scanned.out);
    for level in ["ERROR", "WARN"] {
        assert!(!scanned.err.contains(level), "{}", scanned.err);
    }
}
