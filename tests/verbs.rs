//! The main verbs: scan, train, evaluate, run, report, predict, similar, map.

use crate::support::{MEL, STRIDED, Workplace, json, on_manifest, small, tone, wav};

#[test]
fn run_trains_evaluates_and_reports_and_skips_finished_runs() {
    let place = Workplace::new();
    place.write("both/mel.toml", small(MEL));
    place.write("both/strided.toml", small(STRIDED));
    let first = place.run("--device cpu run both --seeds 2").ok();
    for word in ["both-mel", "both-strided", "runs/report-both/index.html"] {
        assert!(first.out.contains(word), "no {word} in:\n{}", first.out);
    }
    for run in ["both-mel-s1", "both-mel-s2", "both-strided-s1", "both-strided-s2"] {
        for file in [
            "experiment.toml",
            "environment.json",
            "manifest.csv",
            "tags.txt",
            "metrics.jsonl",
            "predictions.csv",
            "scores.json",
            "checkpoints/last",
            "checkpoints/best",
        ] {
            assert!(place.path(&format!("runs/{run}/{file}")).is_file(), "no {run}/{file}");
        }
    }
    let page = place.read("runs/report-both/index.html");
    assert!(page.contains("both-strided"));
    assert!(
        !page.contains("src=\"http") && !page.contains("href=\"http"),
        "the page needs a network"
    );

    let log = std::fs::metadata(place.path("runs/both-mel-s1/metrics.jsonl")).unwrap().len();
    let again = place.run("--device cpu run both --seeds 2 --json").ok();
    json(&again.out);
    assert_eq!(
        log,
        std::fs::metadata(place.path("runs/both-mel-s1/metrics.jsonl")).unwrap().len(),
        "a finished run was trained again"
    );
}

#[test]
fn same_seed_gives_the_same_scores() {
    let place = Workplace::new();
    place.write_experiment("x", &small(STRIDED));
    let mut scores = Vec::new();
    for runs in ["a", "b"] {
        place.run(&format!("--device cpu train x.toml --runs {runs}")).ok();
        let out = place.run(&format!("--device cpu evaluate {runs}/x-s1 --json")).ok().out;
        let value = json(&out);
        assert!(value["roc_auc_macro"].is_number(), "{out}");
        scores.push(value);
    }
    assert_eq!(scores[0], scores[1]);
}

/// macOS and Windows would give both runs the same directory.
#[test]
fn names_that_differ_only_in_case_are_refused() {
    let place = Workplace::new();
    for (file, name) in [("1", "Mel"), ("2", "mel")] {
        place.write(&format!("set/{file}.toml"), format!("name = \"{name}\"\n{}", small(MEL)));
    }
    place.run("--device cpu run set").fails(2, &["\"Mel\"", "\"mel\"", "only in case"]);
    assert!(!place.path("runs").exists());
}

#[cfg(feature = "ndarray")]
#[test]
fn cpu_backends_have_equal_losses() {
    let place = Workplace::new();
    for (name, front_end) in [("mel", MEL), ("strided", STRIDED)] {
        place.write_experiment(name, &small(front_end));
        for device in ["cpu", "ndarray"] {
            let steps = "--set training.steps=6 --set training.log_every=1";
            place.run(&format!("--device {device} train {name}.toml --runs {device} {steps}")).ok();
        }
        crate::wgpu::assert_losses_agree(&place, name, "cpu", "ndarray", 6);
    }
}

#[test]
fn scan_reports_and_splits_your_own_music() {
    let place = Workplace::new();
    let mut manifest = String::from("id,path,split,tags,artist\n");
    for i in 0..20 {
        manifest += &format!("t{i},{i}.wav,,tag{},artist{}\n", i % 2, i / 2);
        if i != 7 {
            place.write(&format!("music/{i}.wav"), wav(1.0 + f64::from(i) / 20.0, 22_050));
        }
    }
    place.write("music/manifest.csv", manifest);
    let finished = place.run("scan music --split artist:8/1/1 --json").ok();
    let summary = json(&finished.out);
    assert_eq!(summary["tracks"], 20);
    assert_eq!(summary["usable"], 19);
    assert_eq!(summary["quarantined"], 1);
    let split = place.read("music/manifest-scanned.csv");
    let mut of_artist = std::collections::BTreeMap::new();
    for row in csv::Reader::from_reader(split.as_bytes()).records() {
        let row = row.unwrap();
        let before = of_artist.insert(row[4].to_string(), row[2].to_string());
        assert!(before.is_none_or(|before| before == row[2]), "{} is in two splits", &row[4]);
    }
    let splits: std::collections::BTreeSet<&String> = of_artist.values().collect();
    assert_eq!(splits.len(), 3, "{split}");

    // A scan without --split does not remove an existing split.
    place.run("scan music").fails(2, &["manifest-scanned.csv", "--split", "delete it"]);
    assert_eq!(place.read("music/manifest-scanned.csv"), split);
    // Without usable tracks the existing split is kept too.
    place
        .run("scan music --split artist:8/1/1 --min-seconds 60")
        .fails(3, &["none of the 20 tracks", "quarantine.csv"]);
    assert_eq!(place.read("music/manifest-scanned.csv"), split);
    place.run("scan music --split artist:8/1/1").ok();

    // A manifest refuses files outside its directory, so it is not written where it could not be read.
    place.run("scan music --split artist:8/1/1 --out there").fails(2, &["--out there", "music"]);
    assert!(!place.path("there").exists());
    place.run("scan music --split artist:8/1/1 --out .").ok();
    let above = place.read("manifest-scanned.csv");
    assert!(above.contains("t0,music/0.wav,"), "{above}");

    // The written manifest can be used for training.
    place.write_experiment("own", &on_manifest("music/manifest-scanned.csv"));
    place.run("--device cpu train own.toml --set training.metric=loss").ok();
}

#[test]
fn predict_prints_text_json_and_csv() {
    let place = Workplace::new();
    place.write_experiment("x", &small(MEL));
    place.run("--device cpu train x.toml").ok();
    place.write("in/a, \"b\".wav", wav(2.3, 44_100));
    place.write("in/c.wav", wav(0.6, 8_000));
    place.write("in/notes.txt", "not audio");

    let text = place.run("-q predict runs/x-s1 in --top 3").ok().out;
    assert_eq!(text.lines().count(), 2 * 4, "{text}");

    let predicted = json(&place.run("-q predict runs/x-s1 in --json").ok().out);
    assert_eq!(predicted[0]["path"], "in/a, \"b\".wav");

    let csv = place.run("-q predict runs/x-s1 in --csv").ok().out;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let tags = reader.headers().unwrap().len() - 1;
    assert_eq!(predicted[0]["tags"].as_array().unwrap().len(), tags);
    for row in reader.records() {
        for value in row.unwrap().iter().skip(1) {
            let value: f32 = value.parse().unwrap();
            assert!((0.0..=1.0).contains(&value));
        }
    }
}

/// Ten tracks, two of them with the same sound, and a run on them.
fn twins() -> Workplace {
    let place = Workplace::new();
    let mut manifest = String::from("id,path,split,tags\n");
    for i in 0..10 {
        let split = ["train", "train", "train", "valid", "test"][i % 5];
        manifest += &format!("t{i},{i}.wav,{split},{}\n", ["low", "<b>high</b>"][i / 5]);
        // Tones of different pitches; the last one equals the first.
        let sound = tone(1.5, 16_000, 200.0 * 1.5f64.powi(i as i32 % 9));
        place.write(&format!("music/{i}.wav"), sound);
    }
    place.write("music/manifest.csv", manifest);
    place.write_experiment("x", &on_manifest("music"));
    place.run("--device cpu train x.toml").ok();
    place
}

#[test]
fn similar_finds_the_same_sound_first() {
    let place = twins();
    let found = json(&place.run("-q similar runs/x-s1 t0 music/9.wav --top 2 --json").ok().out);
    let similarity =
        |query: usize, rank: usize| found[query]["similar"][rank]["similarity"].as_f64().unwrap();
    // A track is not similar to itself; a file is compared with all tracks.
    assert_eq!(found[0]["similar"][0]["id"], "t9");
    assert_eq!(
        (found[1]["similar"][0]["id"].as_str(), found[1]["similar"][1]["id"].as_str()),
        (Some("t0"), Some("t9"))
    );
    for (query, rank) in [(0, 0), (1, 0), (1, 1)] {
        assert!((similarity(query, rank) - 1.0).abs() < 1e-5, "{found}");
    }
    assert!(similarity(0, 1) < 1.0 - 1e-5, "{found}");
    let text = place.run("-q similar runs/x-s1 t0").ok().out;
    assert_eq!(text.lines().count(), 1 + 9, "{text}");

    place.run("similar runs/x-s1 t77").fails(3, &["\"t77\"", "manifest.csv"]);
    place.run("similar runs/x-s1 t0 --top 0").fails(2, &["--top is 0"]);
    place.write("empty.wav", b"");
    place.run("similar runs/x-s1 empty.wav").fails(3, &["empty.wav"]);
}

#[test]
fn map_writes_a_page_with_every_track() {
    let place = twins();
    let map = json(&place.run("-q map runs/x-s1 --json").ok().out);
    assert_eq!(map["tracks"], 10);
    assert!(map["kl_divergence"].as_f64().unwrap().is_finite());
    let page = place.read("runs/x-s1/map.html");
    assert!(page.contains("t0") && page.contains("t9") && page.contains("9.wav"));
    assert!(!page.contains("<b>high"), "tags must be escaped");

    place.run("-q map runs/x-s1 --split test --out test.html").ok();
    let page = place.read("test.html");
    assert!(page.contains("2 tracks"), "{page}");
    place.run("map runs/x-s1 --perplexity 0").fails(2, &["--perplexity is 0"]);
    place.run("map runs/none").fails(3, &["runs/none"]);
}

/// From simulated listeners to recommendations of tracks without plays.
#[test]
fn latent_factors_are_learned_evaluated_and_compared() {
    let place = Workplace::new();
    let latent = |loss: &str| {
        let listening = "[listening]\nname = \"synthetic_listeners\"\nusers = 300\nmean_items = 12.0\n\
                         [factorization]\nfactors = 5\niterations = 4\nregularization = 5.0\n[model]";
        small(MEL)
            .replace("[model]", listening)
            .replace("[training]", &format!("[training]\nloss = \"{loss}\"\nmetric = \"auc\"\noptimizer = {{ name = \"adam\", learning_rate = 0.001 }}"))
    };
    place.write("set/mse.toml", latent("mean_squared_error"));
    place.write("set/wpe.toml", latent("weighted_prediction_error"));
    let finished = place.run("--device cpu run set").ok();
    assert!(finished.err.contains("are simulated"), "{}", finished.err);
    for word in ["set-mse", "set-wpe", "mAP@500", "Upper bound", "of 300 users scored"] {
        assert!(finished.out.contains(word), "{word}: {}", finished.out);
    }
    let scores = json(&place.read("runs/set-wpe-s1/scores.json"));
    for key in ["map@500", "auc", "ndcg@500", "recall@500"] {
        for of in [&scores[key], &scores["upper_bound"][key]] {
            assert!((0.0..=1.0).contains(&of.as_f64().unwrap()), "{key}: {scores}");
        }
    }
    assert!(scores["upper_bound"]["auc"].as_f64() > scores["auc"].as_f64(), "{scores}");
    let chance = scores["random"]["auc"].as_f64().unwrap();
    assert!((chance - 0.5).abs() < 0.15, "{scores}");
    let ids = place.read("runs/set-mse-s1/predicted/items.txt");
    let npy = std::fs::metadata(place.path("runs/set-mse-s1/predicted/item_factors.npy")).unwrap();
    assert_eq!(npy.len(), 128 + 5 * 4 * ids.lines().count() as u64);

    // Evaluated again, the scores are equal.
    let again = place.run("-q evaluate runs/set-wpe-s1 --json").ok().out;
    assert_eq!(json(&again), scores);
    place.write("a.wav", wav(1.5, 16_000));
    place.run("predict runs/set-mse-s1 a.wav").fails(2, &["latent factors", "similar"]);
    let near = place.run("-q similar runs/set-mse-s1 a.wav --top 2").ok().out;
    assert_eq!(near.lines().count(), 3, "{near}");
    place.run("-q similar runs/set-mse-s1 synthetic-1-0 --top 2").fails(3, &["synthetic-1-0"]);

    // Existing factors, here those of another run, are used unchanged.
    place.write("made.toml", latent("mean_squared_error"));
    let finished = place
        .run("--device cpu train made.toml --set factorization.root=runs/set-mse-s1/factors")
        .ok();
    assert!(finished.err.contains("held-out tracks"), "{}", finished.err);
    let file =
        |run: &str| std::fs::read(place.path(&format!("runs/{run}/factors/users.txt"))).unwrap();
    let made = finished.out.split(':').next().unwrap().trim_start_matches("runs/").to_string();
    assert_eq!(file(&made), file("set-mse-s1"));
    place.run(&format!("-q evaluate runs/{made}")).ok();
    place
        .run("train made.toml --set name=n --set factorization.root=nowhere")
        .fails(3, &["factorization.root", "nowhere"]);
    // Damaged factors are an error and are not silently computed again.
    std::fs::write(place.path("runs/set-wpe-s1/factors/users.txt"), "a\nb\n").unwrap();
    place.run("evaluate runs/set-wpe-s1").fails(3, &["users.txt", "checksum"]);

    place.write("tags.toml", latent("binary_cross_entropy"));
    place.run("train tags.toml").fails(2, &["training.loss", "mean_squared_error"]);
    place.write(
        "nobody.toml",
        small(MEL).replace(
            "[training]",
            "[training]\nmetric = \"wpe\"\nloss = \"weighted_prediction_error\"",
        ),
    );
    place.run("train nobody.toml").fails(2, &["[listening]"]);
    place.write("x.toml", latent("mean_squared_error"));
    place
        .run("train x.toml --set factorization.factors=5000")
        .fails(2, &["[factorization]", "factors = 5000"]);
    place.run("train x.toml --set listening.users=0").fails(2, &["users is 0"]);
    place.run("train x.toml --set listening.name=spotify").fails(2, &["spotify"]);
}

#[test]
fn completions_and_help_exist_for_all_verbs() {
    let place = Workplace::new();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(place.run(&format!("completions {shell}")).ok().out.contains("tonotopy"));
    }
    let help = place.run("--help").ok().out;
    for verb in [
        "devices",
        "scan",
        "train",
        "evaluate",
        "run",
        "report",
        "predict",
        "recommend",
        "similar",
        "map",
        "bench",
        "embed",
        "factorize",
    ] {
        assert!(help.contains(verb), "{help}");
        place.run(&format!("{verb} --help")).ok();
    }
}

#[test]
fn bench_times_the_stages_of_a_step() {
    let place = Workplace::new();
    place.write("a.toml", small(MEL));
    for (more, learns) in [("", true), (" --inference", false)] {
        let command = format!(
            "-q --device cpu bench a.toml --steps 2 --batch-size 3 --outputs 4 --json{more}"
        );
        let out = json(&place.run(&command).ok().out);
        assert_eq!(out["batch_size"], 3);
        assert!(out["device"].as_str().unwrap().starts_with("cpu"));
        let time = |from: &serde_json::Value, key: &str| {
            from[key].as_f64().unwrap_or_else(|| panic!("{key} in {from}"))
        };
        let (median, min) = (time(&out["step_ms"], "median"), time(&out["step_ms"], "min"));
        assert!(min > 0.0 && median >= min, "{out}");
        let speed = time(&out, "excerpts_per_second");
        assert!((speed * median / 3000.0 - 1.0).abs() < 1e-6, "{out}");
        for key in ["load", "front_end", "forward", "backward", "optimizer"] {
            assert!(time(&out["stages_ms"], key) >= 0.0);
        }
        assert_eq!(time(&out["stages_ms"], "backward") > 0.0, learns, "{out}");
    }
    let text = place.run("-q --device cpu bench a.toml --steps 1").ok().out;
    assert!(text.contains("a training step") && text.contains("backward"), "{text}");
    place.run("-q bench a.toml --steps 0").fails(2, &["--steps is 0"]);
    place.run("-q bench a.toml --batch-size 0").fails(2, &["batch_size", "0"]);
    let fitted =
        "about = \"\"\ndataset = { name = \"synthetic\" }\n[model]\nname = \"multiscale\"\n";
    place.write("fitted.toml", fitted);
    place.run("-q bench fitted.toml").fails(2, &["multiscale", "fitted"]);
}

#[test]
fn seeds_beyond_the_range_are_refused() {
    let place = Workplace::new();
    place.write_experiment("x", &small(MEL));
    for (seeds, shown) in
        [("0", "0"), ("10001", "10001"), ("18446744073709551615", "18446744073709551615")]
    {
        place
            .run(&format!("--device cpu run x.toml --seeds {seeds}"))
            .fails(2, &[&format!("--seeds is {shown}"), "from 1 to 10000"]);
    }
    let last = i64::MAX;
    place
        .run(&format!("--device cpu run x.toml --seeds 2 --set seed={last}"))
        .fails(2, &["seed is 9223372036854775808", "below 2^63"]);
    place
        .run("--device cpu train x.toml --seed 18446744073709551615")
        .fails(2, &["seed is 18446744073709551615", "below 2^63"]);
    assert!(!place.path("runs").exists(), "no run was created");
}
