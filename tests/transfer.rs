//! Unsupervised features, transfer learning, cross-validation.

use crate::support::{MEL, Workplace, json, kill, small, tone, wait_for};

/// A small experiment with multiscale features on synthetic music.
fn multiscale(more: &str) -> String {
    let model = format!("front_end = {MEL}");
    let own = "name = \"multiscale\"\nmeans = 12\nframes = 2\n\
               front_end = { name = \"pyramid\", levels = 2, n_mels = 24, n_fft = 512, hop_length = 256 }\n";
    small(MEL).replace("name = \"tagger\"", own).replace(&model, more)
}

/// A directory of low and high tones, at another sample rate than the source's.
fn tones(place: &Workplace) {
    for number in 0..9 {
        let hertz = 200.0 + 15.0 * f64::from(number);
        place.write(
            &format!("tones/low/band {} - {number}.wav", number % 4),
            tone(1.4, 22_050, hertz),
        );
        place.write(
            &format!("tones/high/duo {} - {number}.wav", number % 4),
            tone(1.4, 22_050, 9.0 * hertz),
        );
    }
}

fn classes(run: &str, more: &str) -> String {
    format!(
        "about = \"tones\"\n[dataset]\nname = \"folders\"\nroot = \"tones\"\nartist = \"name\"\n\
         [model]\nname = \"transferred\"\nrun = \"{run}\"\n\
         [training]\nexcerpt_seconds = 1.0\nloss = \"cross_entropy\"\nmetric = \"accuracy\"\n\
         [cross_validation]\nfolds = 3\n{more}"
    )
}

#[test]
fn unsupervised_features_work_with_all_verbs() {
    let place = Workplace::new();
    place.write("set/k.toml", multiscale("hidden = [8]\npool = [\"max\", \"mean\"]"));
    place.run("-q run set").ok();
    let folder = place.path("runs/set-k-s1");
    for name in ["window_means_0.npy", "window_means_1.npy", "window_components_1.npy"] {
        assert!(folder.join("fitted").join(name).exists(), "{name}");
    }
    place.write("a.wav", tone(1.5, 44_100, 440.0));
    let tags = json(&place.run("-q predict runs/set-k-s1 a.wav --json").ok().out);
    assert!(!tags[0]["tags"].as_array().unwrap().is_empty());
    // A repetition is bit-identical.
    let scores = std::fs::read(folder.join("scores.json")).unwrap();
    place.run("-q evaluate runs/set-k-s1").ok();
    assert_eq!(std::fs::read(folder.join("scores.json")).unwrap(), scores);
    place.run("-q run set --runs again").ok();
    let predictions = |runs: &str| {
        std::fs::read(place.path(&format!("{runs}/set-k-s1/predictions.csv"))).unwrap()
    };
    assert!(predictions("runs") == predictions("again"));
}

#[test]
fn imported_model_with_a_fitted_part_predicts_as_its_run() {
    let place = Workplace::new();
    let text = multiscale("hidden = [8]\npool = [\"max\", \"mean\"]");
    place.write_experiment("k", &text);
    place.write_experiment("again", &text);
    place.run("-q --device cpu train k.toml").ok();
    place.run("-q --device cpu export runs/k-s1 --format safetensors --out k.safetensors").ok();
    place.run("-q --device cpu import k.safetensors again.toml").ok();
    let predictions = |run: &str| {
        place.run(&format!("-q --device cpu evaluate runs/{run}")).ok();
        place.read(&format!("runs/{run}/predictions.csv"))
    };
    assert_eq!(predictions("k-s1"), predictions("again-s1"));
    // A file of PyTorch has no fitted part.
    let pth = std::env::current_dir().unwrap().join("tests/fixtures/torch_tagger.pth");
    place
        .run(&format!("-q --device cpu import {} again.toml --runs other", pth.display()))
        .fails(3, &["no fitted arrays", "tonotopy export"]);
    assert!(!place.path("other").exists(), "something is left");
}

#[test]
fn too_little_audio_for_the_means_is_refused() {
    let place = Workplace::new();
    place.write("x.toml", multiscale("means = 200000").replacen("means = 12\n", "", 1));
    place.run("-q train x.toml").fails(2, &["means = 200000", "out of range"]);
    place.write("x.toml", multiscale("means = 90000").replacen("means = 12\n", "", 1));
    place.run("-q train x.toml").fails(2, &["means = 90000", "windows of all training excerpts"]);
    assert!(!place.path("runs").exists(), "no run was created");
    // The features of a constant signal do not vary.
    let mut wav = tone(1.0, 16_000, 440.0);
    let sample = 9_000_i16.to_le_bytes();
    wav[44..].chunks_exact_mut(2).for_each(|pair| pair.copy_from_slice(&sample));
    let mut rows = "id,path,split,tags\n".to_string();
    for (number, split) in ["train", "train", "valid", "test"].iter().enumerate() {
        place.write(&format!("flat/{number}.wav"), &wav);
        rows += &format!("{number},{number}.wav,{split},{}\n", ["a", "b"][number % 2]);
    }
    place.write("flat/manifest.csv", rows);
    let flat = multiscale("").replace(
        "\"synthetic\"\ntracks = 40\nseconds = 3.0",
        "\"manifest\"\nroot = \"flat/manifest.csv\"",
    );
    place.write("x.toml", flat);
    place.run("-q train x.toml").fails(3, &["windows of level", "nothing varies", "silent?"]);
}

#[test]
fn features_of_a_run_are_transferred_to_others() {
    let place = Workplace::new();
    place.write("set/1source.toml", format!("name = \"source\"\n{}", multiscale("hidden = [8]")));
    tones(&place);
    place.write("set/2classes.toml", classes("source", "by_artist = true\n"));
    let tags = "name = \"transferred\"\nrun = \"source\"\nof = \"outputs\"\nhidden = [6]\n";
    let tags =
        small(MEL).replace("name = \"tagger\"", tags).replace(&format!("front_end = {MEL}"), "");
    place.write("set/3tags.toml", &tags);
    let told = json(&place.run("-q run set --seeds 2 --json").ok().out);
    assert_eq!(told["sections"].as_array().unwrap().len(), 2);

    // Low and high tones are easy to classify; every track is in one test fold, artists are not divided.
    let folder = place.path("runs/set-2classes-s2");
    let scores = json(&std::fs::read_to_string(folder.join("scores.json")).unwrap());
    assert!(scores["accuracy"].as_f64().unwrap() > 0.8, "{scores}");
    assert_eq!((&scores["n_tracks"], &scores["split"]), (&18.into(), &"3 folds".into()));
    let folds = scores["cross_validation"]["folds"].as_array().unwrap();
    assert_eq!(folds.iter().map(|fold| fold["rows"].as_u64().unwrap()).sum::<u64>(), 18);
    // Predictions use the classifier trained on all tracks.
    let low = place.path("tones/low/band 0 - 0.wav");
    std::fs::copy(low, place.path("low.wav")).unwrap();
    let found = json(&place.run("-q predict runs/set-2classes-s2 low.wav --json").ok().out);
    assert_eq!(found[0]["tags"][0]["tag"], "low");
    let told = place.run("-q train set/2classes.toml --runs alone --seed 1");
    // The source is in another directory of runs.
    told.fails(2, &["model.run", "source-s1"]);
    place.run("evaluate runs/set-2classes-s2").fails(2, &["cross-validation", "scores.json"]);
    place.run("-q run set --seeds 2").ok();

    // A run contains its source, which may be removed.
    let before = place.run("-q predict runs/set-3tags-s1 low.wav --csv").ok().out;
    std::fs::rename(place.path("runs/source-s1"), place.path("gone")).unwrap();
    assert_eq!(place.run("-q predict runs/set-3tags-s1 low.wav --csv").ok().out, before);
    place.run("-q evaluate runs/set-3tags-s1").ok();
    place
        .run("-q train set/3tags.toml --runs other")
        .fails(2, &["model.run", "source-s1", "train it first"]);
}

#[test]
fn invalid_transfers_are_refused() {
    let place = Workplace::new();
    place.write_experiment("source", &small(MEL));
    place.run("-q train source.toml").ok();
    tones(&place);
    let two = classes("source", "").replace("excerpt_seconds = 1.0", "excerpt_seconds = 1.2");
    place.write("x.toml", two);
    place.run("-q train x.toml").fails(2, &["excerpt_seconds is 1.2", "trained on, 1 s"]);
    place.write(
        "x.toml",
        classes("source", "folds = 3\n")
            .replacen("folds = 3\n", "folds = 40\n", 1)
            .replace("folds = 3\n", ""),
    );
    place.run("-q train x.toml").fails(2, &["40 folds", "18"]);
    place.write(
        "x.toml",
        classes("source", "").replace("run = \"source\"\n", "run = \"source\"\nhidden = [4]\n"),
    );
    place.run("-q train x.toml").fails(2, &["[cross_validation]", "hidden = []"]);
    place.write(
        "x.toml",
        classes("source", "")
            .replace("loss = \"cross_entropy\"\n", "")
            .replace("\"accuracy\"", "\"loss\""),
    );
    place.run("-q train x.toml").fails(2, &["training.loss", "cross_entropy"]);
    place.write("x.toml", classes("", ""));
    place.run("-q train x.toml").fails(2, &["model.run is missing"]);
    let several = classes("source", "").replace(
        "\"folders\"\nroot = \"tones\"\nartist = \"name\"",
        "\"synthetic\"\ntracks = 40\nseconds = 3.0",
    );
    place.write("x.toml", several);
    place.run("-q train x.toml").fails(3, &["exactly one"]);
    assert_eq!(
        std::fs::read_dir(place.path("runs")).unwrap().count(),
        1,
        "no further run was created"
    );
}

#[test]
fn embeddings_are_written_with_their_ids() {
    let place = Workplace::new();
    place.write("x.toml", small(MEL));
    place.run("-q train x.toml").ok();
    let run = place.only_run();
    tones(&place);
    let of =
        |arguments: &str| json(&place.run(&format!("-q embed {run} {arguments} --json")).ok().out);
    let all = of("x.toml --out all.npy");
    assert_eq!((&all["tracks"], &all["features"]), (&40.into(), &100.into()));
    let bytes = std::fs::read(place.path("all.npy")).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY"));
    assert_eq!(bytes.len() % 64, (40 * 100 * 4) % 64);
    assert_eq!(place.read("all.txt").lines().count(), 40);
    let files = of("tones --out files.npy --by factors");
    assert_eq!(files["tracks"], 18);
    assert!(place.read("files.txt").contains("band 0 - 0.wav"));
    // Unreadable files are reported, the rest is written.
    place.write("tones/low/broken.wav", b"RIFF");
    place
        .run(&format!("embed {run} tones --out some.npy"))
        .fails(3, &["broken.wav", "1 tracks could not be read"]);
    assert_eq!(place.read("some.txt").lines().count(), 18);
    place.run(&format!("embed {run} tones --out some.npy")).fails(2, &["some.npy", "--force"]);
    place.run(&format!("embed {run} tones --out some.npy --force")).fails(3, &["broken.wav"]);
    place.run(&format!("embed {run} x.toml --out x.csv")).fails(2, &["x.csv", ".npy"]);
    place.run(&format!("embed {run} nowhere --out x.npy")).fails(3, &["nowhere"]);
}

/// Training starts from another run's weights, keeps frozen ones, and can be resumed.
#[test]
fn training_can_start_from_another_run() {
    let place = Workplace::new();
    place.write_experiment("source", &small(MEL));
    place.run("-q train source.toml").ok();
    // The tags differ, so the output layer does too.
    tones(&place);
    let target = small(MEL)
        .replace("\"synthetic\"\ntracks = 40\nseconds = 3.0", "\"folders\"\nroot = \"tones\"")
        .replace("about", "init_from = \"runs/source\"\nabout");
    let training = "frozen = [\"stages.0\"]\nlearning_rates = { stages = 0.5, hidden = 0.1 }\n";
    place.write_experiment("x", &format!("{target}{training}"));
    let told = place.run("train x.toml").ok().err;
    assert!(told.contains("weights of runs/source-s1: 6 tensors"), "{told}");
    assert!(told.contains("begun anew: output.weight, output.bias"), "{told}");
    let arrays = |run: &str, out: &str| {
        // Weights are compared by their outputs.
        let by = if out == "e" { "embedding" } else { "factors" };
        place
            .run(&format!("-q embed runs/{run} tones --out {run}-{out}.npy --by {by} --force"))
            .ok();
        std::fs::read(place.path(&format!("{run}-{out}.npy"))).unwrap()
    };
    assert_ne!(arrays("source-s1", "e"), arrays("x-s1", "e"), "the hidden layers did not change");

    // With everything except the output frozen, the embeddings equal those of the source.
    let all = "frozen = [\"stages\", \"hidden\"]\n";
    place.write_experiment("y", &format!("{target}{all}"));
    place.run("-q train y.toml").ok();
    assert_eq!(arrays("source-s1", "e"), arrays("y-s1", "e"));
    assert_ne!(arrays("x-s1", "o"), arrays("y-s1", "o"));

    // Killed and resumed without the source, the run equals an uninterrupted one.
    let long = format!("{target}{training}").replace("steps = 12", "steps = 200");
    place.write_experiment("z", &long);
    let half = place.start("-q train z.toml");
    // At this moment only the initial weights are saved.
    wait_for(&place.path("runs/z-s1/experiment.toml"));
    kill(half);
    place.run("-q train z.toml --runs whole").ok();
    std::fs::rename(place.path("runs/source-s1"), place.path("gone")).unwrap();
    place.run("-q train z.toml --resume").ok();
    std::fs::create_dir_all(place.path("runs")).unwrap();
    std::fs::rename(place.path("whole/z-s1"), place.path("runs/w-s1")).unwrap();
    assert_eq!(arrays("z-s1", "o"), arrays("w-s1", "o"));

    place.run("-q train x.toml --runs other").fails(2, &["init_from", "source-s1"]);
    std::fs::rename(place.path("gone"), place.path("runs/source-s1")).unwrap();
    let refused = |from: &str, to: &str, words: &[&str]| {
        let text = format!("name = \"bad\"\n{target}{training}").replace(from, to);
        place.write("bad.toml", text);
        place.run("-q train bad.toml").fails(2, words);
        assert!(!place.path("runs/bad-s1").exists());
    };
    refused("n_mels = 32", "n_mels = 40", &["init_from", "model.front_end", "40", "32"]);
    refused("stages.0", "stages.7", &["frozen", "stages.7", "similar parts: stages.0"]);
    refused("hidden = 0.1", "hidden = -1.0", &["learning_rates.hidden is -1"]);
}

#[test]
#[ignore = "needs audioset_music below TONOTOPY_SHARED"]
fn real_features_of_a_dataset_are_used_for_training_and_transfer() {
    let shared = std::env::var_os("TONOTOPY_SHARED")
        .map_or("../shared/data".into(), std::path::PathBuf::from);
    let root = shared.join("audioset_music");
    let root = root.canonicalize().unwrap();
    let place = Workplace::new();
    let dataset = |labels: &str| {
        format!(
            "about = \"clips\"\n[dataset]\nname = \"audioset\"\nroot = {root:?}\nlabels = \"{labels}\"\n"
        )
    };
    let training =
        "[training]\nexcerpt_seconds = 10.0\nbatch_size = 50\nsteps = 60\nvalid_every = 60\n";
    let source = "[model]\nname = \"multiscale\"\nfront_end = { name = \"frames\" }\nmeans = 30\nwindows = 3_000\n\
                  iterations = 3\nhidden = [16]\n";
    place.write("set/a.toml", format!("{}{source}{training}", dataset("instruments")));
    let target = "[model]\nname = \"transferred\"\nrun = \"set-a\"\n";
    place.write("set/b.toml", format!("{}{target}{training}", dataset("moods")));
    place.run("-q run set").ok();
    let macro_auc =
        json(&place.read("runs/set-b-s1/scores.json"))["roc_auc_macro"].as_f64().unwrap();
    assert!(macro_auc > 0.6, "{macro_auc}");

    place.run(&format!("-q embed runs/set-a-s1 {} --out e.npy", root.display())).ok();
    assert!(place.path("e.npy").metadata().unwrap().len() > 1_000_000);

    // Such a model does not accept audio, and a model of audio does not accept features.
    place.write("a.wav", tone(1.5, 16_000, 440.0));
    place.run("-q predict runs/set-a-s1 a.wav").fails(2, &["takes features", "not audio"]);
    place.write("mel.toml", format!("{}[model]\nname = \"tagger\"\n{training}", dataset("moods")));
    place.run("-q train mel.toml").fails(2, &["width = 128", "16000"]);
    let cut = format!("{}{source}{training}", dataset("moods")).replace("10.0", "2.5");
    place.write("cut.toml", cut);
    place.run("-q train cut.toml").fails(2, &["excerpt_seconds", "1/1"]);
    let audio = small(MEL).replace(MEL, "{ name = \"frames\" }");
    place.write("audio.toml", audio);
    place.run("-q train audio.toml").fails(2, &["frames"]);
}
