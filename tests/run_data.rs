//! A run is identified by its data, wherever that is.

use std::fs;
use std::path::Path;

#[cfg(target_os = "linux")]
use tonotopy::runs::folder::RunFolder;

use crate::faults::resume::weights;
use crate::support::{Workplace, json, on_manifest, tone};

/// Ten tracks with tones of different pitches below `music`, and the experiment `x` on them, which ends by patience at step
/// 8 of 16.
fn tones() -> Workplace {
    let place = Workplace::new();
    let mut manifest = String::from("id,path,split,tags\n");
    for i in 0..10 {
        let split = ["train", "train", "train", "valid", "test"][i % 5];
        manifest += &format!("t{i},{i}.wav,{split},{}\n", ["low", "high"][i / 5]);
        place.write(&format!("music/{i}.wav"), tone(1.5, 16_000, 200.0 * 1.3f64.powi(i as i32)));
    }
    place.write("music/manifest.csv", manifest);
    place.write_experiment("x", &with_patience(&on_manifest("music")));
    place
}

/// With a learning rate so small that no validation is better than the first.
fn with_patience(text: &str) -> String {
    let rate = "optimizer = { name = \"sgd\", learning_rate = 1e-30 }";
    text.replace("steps = 12", &format!("steps = 16\npatience = 1\n{rate}"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => assert!(fs::copy(entry.path(), target).is_ok()),
        }
    }
}

/// What `evaluate`, `similar` and `map` print about the run.
fn results(place: &Workplace, flags: &str, run: &str) -> [String; 3] {
    let out = |command: &str| place.run(&format!("-q --device cpu {flags} {command}")).ok().out;
    [
        out(&format!("evaluate {run} --json")),
        out(&format!("similar {run} t0 t9")),
        json(&out(&format!("map {run} --json")))["kl_divergence"].to_string(),
    ]
}

#[test]
fn moved_dataset_gives_the_same_results() {
    let place = tones();
    let absolute = place.path("music");
    let text = with_patience(&on_manifest(absolute.to_str().unwrap()));
    place.write_experiment("x", &text);
    place.run("--device cpu train x.toml").ok();
    let before = results(&place, "", "runs/x-s1");

    fs::create_dir(place.path("disk")).unwrap();
    fs::rename(&absolute, place.path("disk/music")).unwrap();
    place.run("--device cpu evaluate runs/x-s1").fails(3, &["music"]);
    assert_eq!(results(&place, "--data-dir disk", "runs/x-s1"), before);
    // Without the stored vectors too.
    fs::remove_dir_all(place.path("runs/x-s1/catalogue")).unwrap();
    assert_eq!(results(&place, "--data-dir disk", "runs/x-s1"), before);

    // Resumed with another root, which the run stores.
    let moved = place.path("disk/music");
    let root = format!("--set dataset.root={}", moved.display());
    let patient = "--set training.patience=9";
    place.run(&format!("--device cpu train x.toml --resume {root} {patient}")).ok();
    assert_eq!(weights(&place.path("runs/x-s1")).0, 16);
    results(&place, "", "runs/x-s1");
    // So does `run`, which trains nothing.
    let again = place.path("again");
    fs::rename(&moved, &again).unwrap();
    let root = format!("--set dataset.root={}", again.display());
    place.run(&format!("--device cpu run x.toml {root} {patient}")).ok();
    assert_eq!(weights(&place.path("runs/x-s1")).0, 16);
    results(&place, "", "runs/x-s1");
}

#[test]
fn run_copied_to_another_machine_can_be_evaluated_and_resumed() {
    let place = tones();
    place.run("--device cpu train x.toml").ok();
    let before = results(&place, "", "runs/x-s1");
    let other = Workplace::new();
    copy(&place.path("music"), &other.path("disk/music"));
    copy(&place.path("runs/x-s1"), &other.path("copied/x-s1"));
    fs::copy(place.path("x.toml"), other.path("x.toml")).unwrap();
    let resume = "--device cpu train x.toml --resume --set training.patience=9";
    place.run(resume).ok();
    let straight = weights(&place.path("runs/x-s1"));
    // The other machine has neither the directories nor the cache of this one.
    fs::rename(place.path("music"), place.path("gone")).unwrap();
    fs::rename(place.path("runs"), place.path("gone-too")).unwrap();
    let flags = "--data-dir disk --cache-dir cache";
    assert_eq!(results(&other, flags, "copied/x-s1"), before);
    other.run(&format!("{flags} {resume} --runs copied")).ok();
    assert!(weights(&other.path("copied/x-s1")) == straight, "the weights differ");
}

#[test]
fn changed_data_is_noticed_by_every_verb() {
    let place = tones();
    place.run("--device cpu train x.toml").ok();
    results(&place, "", "runs/x-s1");
    let verbs = [
        "evaluate runs/x-s1",
        "train x.toml --resume --set training.patience=9",
        "similar runs/x-s1 t0",
        "map runs/x-s1",
    ];
    let refused = |words: &[&str]| {
        for verb in verbs {
            place.run(&format!("--device cpu {verb}")).fails(3, words);
        }
    };
    let manifest = place.read("music/manifest.csv");
    let good = fs::read(place.path("music/4.wav")).unwrap();

    place.write("music/4.wav", tone(1.5, 16_000, 1_234.0));
    refused(&["runs/x-s1", "1 track", "other audio", "t4"]);
    // Tags in the file are not audio.
    let info = [&b"LIST\x10\0\0\0INFOINAM\x04\0\0\0abc\0"[..]].concat();
    let mut tagged = [&good[..36], &info, &good[36..]].concat();
    let length = u32::try_from(tagged.len() - 8).unwrap();
    tagged[4..8].copy_from_slice(&length.to_le_bytes());
    place.write("music/4.wav", tagged);
    for verb in ["evaluate runs/x-s1", "similar runs/x-s1 t0", "map runs/x-s1"] {
        place.run(&format!("--device cpu {verb}")).ok();
    }
    place.write("music/4.wav", good);

    place
        .write("music/manifest.csv", manifest.replace("t1,1.wav,train,low", "t1,1.wav,train,high"));
    refused(&["1 track with other tags", "t1", "low", "high"]);
    place.write("music/manifest.csv", manifest.replace("t1,1.wav,train", "t1,1.wav,test"));
    refused(&["1 track in another split", "t1", "train", "test"]);
    place.write("music/manifest.csv", manifest.replace("t1,1.wav,train,low\n", ""));
    refused(&["1 track missing", "t1"]);
    place.write("music/manifest.csv", manifest);
    results(&place, "", "runs/x-s1");
}

#[test]
fn changed_listening_data_is_noticed() {
    let place = tones();
    let mut plays: Vec<String> = Vec::new();
    for user in 0..12 {
        for item in (0..10).filter(|item| (user + item) % 4 != 0) {
            plays.push(format!("u{user},t{item},{}\n", 1 + (user * item) % 5));
        }
    }
    let write =
        |rows: &[String]| place.write("plays.csv", format!("user,item,count\n{}", rows.concat()));
    write(&plays);
    let listening = "[listening]\nname = \"file\"\npath = \"plays.csv\"\n\
                     [factorization]\nfactors = 2\niterations = 3\n[model]";
    let text = on_manifest("music")
        .replace("[model]", listening)
        .replace("steps = 12", "steps = 12\nloss = \"mean_squared_error\"\nmetric = \"loss\"\noptimizer = { name = \"adam\", learning_rate = 0.001 }");
    place.write_experiment("x", &text);
    place.run("--device cpu train x.toml").ok();
    let verbs = ["evaluate runs/x-s1 --json", "recommend runs/x-s1 --user u1 --json"];
    let out = || verbs.map(|verb| json(&place.run(&format!("-q --device cpu {verb}")).ok().out));
    let before = out();

    plays.reverse();
    write(&plays);
    assert_eq!(out(), before);
    let (ids, _) = plays[3].rsplit_once(',').unwrap();
    plays[3] = format!("{ids},77\n");
    write(&plays);
    for verb in verbs {
        place.run(&format!("--device cpu {verb}")).fails(3, &["listening data", "runs/x-s1"]);
    }
}

#[test]
fn finished_run_is_left_alone() {
    let place = tones();
    place.run("--device cpu run x.toml").ok();
    let state = || {
        let mut files: Vec<_> = fs::read_dir(place.path("runs/x-s1"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (fs::metadata(&path).unwrap().modified().unwrap(), path))
            .collect();
        files.sort();
        files
    };
    let before = state();
    assert!(before.iter().any(|(_, path)| path.ends_with("scores.json")));
    let told = place.run("--device cpu train x.toml --resume").ok();
    assert!(told.out.contains("stopped early after 8 steps"), "{}", told.out);
    assert_eq!(state(), before);

    // More steps would be another learning-rate schedule, or at least another run.
    place
        .run("--device cpu train x.toml --resume --set training.steps=40")
        .fails(2, &["training.steps = 16", "init_from = \"runs/x-s1\""]);
    assert_eq!(state(), before);
}

#[test]
#[cfg(target_os = "linux")]
fn recorded_command_can_be_run_again() {
    let place = tones();
    let about = r#"it'\''s "x" $HOME `id` \n"#;
    place
        .bash(&format!(
            "tonotopy --device cpu train x.toml --runs $'r\\377 s' --set 'about={about}'"
        ))
        .ok();
    let find = || {
        let mut found = fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().path());
        found.find(|path| path.join("x-s1").is_dir())
    };
    let runs = find().expect("the run exists");
    let environment = fs::read_to_string(runs.join("x-s1/environment.json")).unwrap();
    let about = || RunFolder::open(&runs.join("x-s1")).unwrap().experiment().unwrap().about;
    assert_eq!(about(), r#"it's "x" $HOME `id` \n"#);
    let command = json(&environment)["command"].as_str().unwrap().to_owned();
    fs::remove_dir_all(&runs).unwrap();
    assert_eq!(find(), None);
    place.bash(&command).ok();
    assert_eq!(find().as_ref(), Some(&runs));
    assert_eq!(about(), r#"it's "x" $HOME `id` \n"#);
}
