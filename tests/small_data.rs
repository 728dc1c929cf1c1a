//! Very small and unusual datasets work, or fail with one clear error.

use crate::support::{MEL, Workplace, on_manifest, tone};

/// A manifest with these tracks (split, tags, seconds).
pub fn data(rows: &[(&str, &str, f64)]) -> Workplace {
    let place = Workplace::new();
    let mut manifest = String::from("id,path,split,tags\n");
    for (i, (split, tags, seconds)) in rows.iter().enumerate() {
        manifest += &format!("t{i},{i}.wav,{split},{tags}\n");
        let pitch = 200.0 + 50.0 * i as f64;
        place.write(&format!("music/{i}.wav"), tone(*seconds, 16_000, pitch));
    }
    place.write("music/manifest.csv", manifest);
    place
}

/// Writes the experiment `x.toml` on this manifest, with `changes` of its text.
pub fn write(place: &Workplace, changes: &[(&str, &str)]) {
    let mut text = on_manifest("music");
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    place.write_experiment("x", &text);
}

const TRAIN: &str = "--device cpu train x.toml";

const PLAIN: [(&str, &str, f64); 6] = [
    ("train", "a", 2.0),
    ("train", "b", 2.0),
    ("valid", "a", 2.0),
    ("valid", "b", 2.0),
    ("test", "a", 2.0),
    ("test", "b", 2.0),
];

#[test]
fn batch_may_be_larger_than_the_dataset() {
    let place = data(&PLAIN);
    write(&place, &[("batch_size = 4", "batch_size = 50")]);
    place.run(TRAIN).ok();
    place.run("--device cpu evaluate runs/x-s1").ok();
}

#[test]
fn cross_entropy_needs_one_tag_per_track() {
    let mut rows = PLAIN;
    rows[1].1 = "a|b";
    rows[5].1 = "a|b";
    let place = data(&rows);
    write(&place, &[("steps = 12", "steps = 12\nloss = \"cross_entropy\"\nmetric = \"accuracy\"")]);
    let words = ["cross_entropy", "exactly one tag", "2 of 6 tracks", "t1", "a, b"];
    place.run(TRAIN).fails(3, &words);
    assert!(!place.path("runs").exists(), "no run was created");
}

#[test]
fn tag_without_positives_is_excluded_from_the_mean() {
    let place = data(&[
        ("train", "a", 2.0),
        ("train", "b", 2.0),
        ("valid", "a", 2.0),
        ("valid", "", 2.0),
        ("test", "a", 2.0),
        ("test", "", 2.0),
    ]);
    write(&place, &[]);
    let told = place.run(TRAIN).ok();
    assert!(told.err.contains("in the test split: b"), "{}", told.err);
    let told = place.run("--device cpu evaluate runs/x-s1").ok();
    assert!(told.out.contains("1 of 2"), "{}", told.out);
}

#[test]
fn single_tag_is_enough() {
    let place = data(
        &PLAIN.map(|(split, tags, seconds)| (split, if tags == "a" { "a" } else { "" }, seconds)),
    );
    write(&place, &[]);
    place.run(TRAIN).ok();
    place.run("--device cpu evaluate runs/x-s1").ok();
    // Without positives in the test split no score is defined.
    let place =
        data(&[("train", "a", 2.0), ("valid", "a", 2.0), ("valid", "", 2.0), ("test", "", 2.0)]);
    write(&place, &[]);
    place.run(TRAIN).fails(3, &["test split", "nothing can be learned or scored"]);
}

#[test]
fn targets_that_are_all_zero_are_refused() {
    let place =
        data(&[("train", "", 2.0), ("train", "", 2.0), ("valid", "", 2.0), ("test", "", 2.0)]);
    write(&place, &[]);
    place.run(TRAIN).fails(3, &["tag", "manifest.csv"]);
}

#[test]
fn empty_splits_are_named() {
    for (missing, rows) in [
        ("valid", vec![("train", "a", 2.0), ("train", "b", 2.0), ("test", "a", 2.0)]),
        ("train", vec![("valid", "a", 2.0), ("valid", "b", 2.0), ("test", "a", 2.0)]),
    ] {
        let place = data(&rows);
        write(&place, &[]);
        place.run(TRAIN).fails(3, &[missing]);
        assert!(!place.path("runs").exists());
    }
    // Without a test split training works, but evaluation does not.
    let place = data(&PLAIN[..4]);
    write(&place, &[]);
    let trained = place.run(TRAIN);
    match trained.code {
        0 => place.run("--device cpu evaluate runs/x-s1").fails(3, &["test"]),
        _ => trained.fails(3, &["test"]),
    };
}

#[test]
fn single_track_is_refused() {
    let place = data(&PLAIN[..1]);
    write(&place, &[]);
    place.run(TRAIN).fails(3, &["split"]);
}

#[test]
fn tracks_shorter_than_an_excerpt_are_padded() {
    let place = data(&PLAIN);
    write(&place, &[("excerpt_seconds = 1.0", "excerpt_seconds = 30.0")]);
    place.run(TRAIN).ok();
}

#[test]
fn more_means_than_windows_or_folds_than_tracks_are_refused() {
    let place = data(&PLAIN);
    let network = format!("name = \"tagger\"\nfront_end = {MEL}");
    let means = "name = \"multiscale\"\nfront_end = { name = \"pyramid\", kind = \"laplacian\" }\nframes = 4\nhidden = []\nmeans = 5_000";
    write(&place, &[(&network, means)]);
    place.run(TRAIN).fails(2, &["means = 5000", "windows"]);

    let place = data(&PLAIN.map(|(_, tags, seconds)| ("", tags, seconds)));
    let means = means.replace("5_000", "8");
    let loss = "steps = 12\nloss = \"cross_entropy\"\nmetric = \"accuracy\"";
    write(&place, &[(&network, means.as_str()), ("steps = 12", loss)]);
    let text = place.read("x.toml");
    place.write("x.toml", format!("{text}\n[cross_validation]\nfolds = 60\n"));
    place.run(TRAIN).fails(2, &["60 folds", "there are 6", "use fewer folds"]);
}

#[test]
fn invalid_counts_are_refused() {
    let place = Workplace::new();
    for count in ["nan", "inf", "-1", "1e308", "0x10", "", "1e-400"] {
        place.write("plays.csv", format!("user,item,count\na,x,1\nb,y,{count}\nb,x,2\n"));
        let told = place.run("factorize plays.csv --factors 2 --out made");
        assert!(!told.err.contains("panicked"), "{}", told.err);
        match told.code {
            0 => std::fs::remove_dir_all(place.path("made")).unwrap(),
            _ => drop(told.fails(3, &["plays.csv", "line 3"])),
        }
        assert!(!place.path("made").exists() && !place.path("made.partial").exists(), "{count}");
    }
    // More factors than users or items.
    place.write("plays.csv", "user,item,count\na,x,1\nb,y,3\nb,x,2\n");
    place.run("factorize plays.csv --factors 50 --out made").fails(2, &["factors = 50", "2 items"]);
}
