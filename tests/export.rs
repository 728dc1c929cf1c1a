//! Exported models in other programs, and imported models.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{MEL, STRIDED, Workplace, json, on_manifest, small, wav};
use tonotopy::Predictor;
use tonotopy::audio::{Limits, decode_at};
use tonotopy::inference::model_file::test_signals::Signal;

/// `TONOTOPY_PYTHON` or `python3`.
fn python() -> String {
    std::env::var("TONOTOPY_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// The directory of the package, absolute because programs run elsewhere.
fn root() -> PathBuf {
    std::env::current_dir().unwrap()
}

/// A run after a short training.
fn trained(place: &Workplace, name: &str, front_end: &str) -> PathBuf {
    place.write_experiment(name, &small(front_end));
    place.run(&format!("--device cpu train {name}.toml")).ok();
    place.path(&format!("runs/{name}-s1"))
}

/// Audio in several formats, with real music if available.
fn audio(place: &Workplace) -> Vec<PathBuf> {
    let fixtures = root().join("src/audio/fixtures");
    let mut files = vec![
        place.write("tone.wav", wav(2.6, 44_100)),
        place.write("short.wav", wav(0.6, 8_000)),
        fixtures.join("stereo-44k.mp3"),
        fixtures.join("stereo-48k.ogg"),
        fixtures.join("mono-8k.flac"),
    ];
    let music = root().join("../shared/data/rendered");
    match std::fs::read_dir(&music) {
        Err(_) => println!("without real music: {} is missing", music.display()),
        Ok(entries) => {
            let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
            found.retain(|path| path.extension().is_some_and(|end| end == "mp3"));
            found.sort();
            files.extend(found.into_iter().step_by(97).take(6));
        }
    }
    files
}

#[test]
fn exported_model_has_the_predictions_of_its_run() {
    let place = Workplace::new();
    trained(&place, "mel", MEL);
    trained(&place, "raw", STRIDED);
    let files: Vec<String> = audio(&place).iter().map(|path| path.display().to_string()).collect();
    let files = files.join(" ");
    for name in ["mel", "raw"] {
        place.run(&format!(
            "--device cpu export runs/{name}-s1 --format safetensors --out models/{name}.safetensors"
        )).fails(3, &["create a file in models"]);
        std::fs::create_dir_all(place.path("models")).unwrap();
        let out = format!("models/{name}.safetensors");
        place
            .run(&format!("--device cpu export runs/{name}-s1 --format safetensors --out {out}"))
            .ok();
        let of_run =
            place.run(&format!("-q --device cpu predict runs/{name}-s1 --csv {files}")).ok();
        let of_file = place.run(&format!("-q --device cpu predict {out} --csv {files}")).ok();
        assert_eq!(of_run.out, of_file.out);
        let rows = place.run(&format!("-q --device cpu verify {out} --json")).ok().out;
        assert_eq!(json(&rows).as_array().unwrap().len(), 6);
        std::fs::remove_dir_all(place.path("models")).unwrap();
    }
    place.run("--device cpu verify runs/mel-s1").fails(3, &["no test vectors", "tonotopy export"]);
}

/// An ensemble predicts the mean of its models and concatenates their embeddings.
#[test]
fn directory_of_models_is_an_ensemble() {
    let place = Workplace::new();
    trained(&place, "mel", MEL);
    trained(&place, "raw", STRIDED);
    place.write("in/tone.wav", wav(2.6, 44_100));
    let values = |model: &str| -> Vec<f64> {
        let out = place.run(&format!("-q --device cpu predict {model} in --csv")).ok().out;
        let line = out.lines().nth(1).unwrap().to_string();
        line.split(',').skip(1).map(|value| value.parse().unwrap()).collect()
    };
    let (mel, raw, both) = (values("runs/mel-s1"), values("runs/raw-s1"), values("runs"));
    for ((mel, raw), both) in mel.iter().zip(&raw).zip(&both) {
        assert!(((mel + raw) / 2.0 - both).abs() < 1e-6);
    }
    place.run("-q --device cpu embed runs in --out both.npy --files").ok();
    place.run("-q --device cpu embed runs/raw-s1 in --out raw.npy --files").ok();
    let size = |name: &str| std::fs::metadata(place.path(name)).unwrap().len() - 128;
    assert_eq!(size("both.npy"), 2 * size("raw.npy"));
    std::fs::create_dir(place.path("none")).unwrap();
    place.run("--device cpu predict none in").fails(3, &["none contains no model"]);
}

#[test]
fn predictions_over_time_cover_every_window() {
    let place = Workplace::new();
    trained(&place, "raw", STRIDED);
    place.write("in/long.wav", wav(5.3, 44_100));
    place.write("in/short.wav", wav(0.6, 44_100));
    let predicted = place
        .run(
            "-q --device cpu predict runs/raw-s1 in --window 2 --hop 0.5 --json --taggram pictures",
        )
        .ok();
    let predicted = json(&predicted.out);
    // Nine excerpts of 1 s begin every 0.5 s; a window has three of them.
    let windows = predicted[0]["windows"].as_array().unwrap();
    assert_eq!(windows.len(), 7);
    assert_eq!(
        (windows[6]["start_s"].as_f64(), windows[6]["end_s"].as_f64()),
        (Some(3.0), Some(5.0))
    );
    assert_eq!(predicted[1]["windows"].as_array().unwrap().len(), 1);
    let picture = place.read("pictures/long.svg");
    assert!(picture.contains("long.wav") && picture.ends_with("</svg>"));
    let csv = place.run("-q --device cpu predict runs/raw-s1 in --hop 1 --csv").ok().out;
    assert!(csv.starts_with("id,start_s,end_s,"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 5 + 1);
    place
        .run("--device cpu predict runs/raw-s1 in --window 0.5")
        .fails(2, &["--window is 0.5", "must be from 1 (the excerpt length"]);
    place.run("--device cpu predict runs/raw-s1 in --hop 0").fails(2, &["--hop is 0"]);
    place.run("--device cpu predict runs/raw-s1 in --hop nan").fails(2, &["--hop"]);
}

#[test]
#[ignore = "needs Python with onnx and onnxruntime"]
fn onnxruntime_gives_equal_predictions() {
    let place = Workplace::new();
    let folder = place.path("onnx");
    for (name, front_end) in [("mel", MEL), ("raw", STRIDED)] {
        let run = trained(&place, name, front_end);
        let model = Predictor::load(&run).unwrap();
        std::fs::create_dir_all(folder.join(name)).unwrap();
        place
            .run(&format!(
                "--device cpu export runs/{name}-s1 --format onnx --out onnx/{name}/model.onnx"
            ))
            .ok();
        let write = |file: String, values: &[f32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            std::fs::write(folder.join(name).join(file), bytes).unwrap();
        };
        for path in audio(&place) {
            let rate = model.sample_rate();
            let wave = decode_at(&path, 0.0, None, rate, &Limits::default()).unwrap();
            let samples = wave.samples.len();
            write(format!("1x{samples}.audio"), &wave.samples);
            let activations = model.predict(&wave.samples, rate).unwrap();
            write(format!("1x{samples}.activations"), &activations);
            write(format!("1x{samples}.embeddings"), &model.embed(&wave.samples, rate).unwrap());
        }
    }
    let script = root().join("models/tests/run_onnx.py");
    let out = Command::new(python()).arg(script).arg(&folder).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    println!("{text}");
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
#[ignore = "needs Python with torch and safetensors"]
fn pytorch_example_gives_equal_predictions() {
    let place = Workplace::new();
    trained(&place, "raw", STRIDED);
    place.run("--device cpu export runs/raw-s1 --format safetensors --out raw.safetensors").ok();
    let script = root().join("src/inference/export/example.py");
    let out =
        Command::new(python()).arg(script).arg(place.path("raw.safetensors")).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let off = text.trim().rsplit(' ').next().and_then(|word| word.parse::<f64>().ok());
    assert!(off.is_some_and(|off| off <= 1e-5), "{text}{}", String::from_utf8_lossy(&out.stderr));
}

/// The imported run has the predictions of the PyTorch network (`fixtures/torch_tagger.py`), whose weights have other
/// names, and one of them another shape.
#[test]
fn pytorch_network_is_imported_as_a_run() {
    let place = Workplace::new();
    let checkpoint = root().join("tests/fixtures/torch_tagger.pth");
    let stages = "stages = [{ filters = 8 }, { filters = 8 }]\nhidden = 12\n[training]";
    let text = small(STRIDED).replace("[training]", stages);
    place.write_experiment("torch", &text);
    let import = format!("--device cpu import {} torch.toml", checkpoint.display());
    place.run(&import).fails(3, &["missing: \"front_end.bias\"", "--rename OLD=NEW"]);
    let renamed = "--rename raw=front_end --rename conv1=stages.0.conv --rename conv2=stages.1.conv \
                   --rename dense.0=hidden --rename dense.2=output";
    let told = place.run(&format!("{import} {renamed}")).ok().out;
    assert!(told.contains("10 weights"), "{told}");
    place.run(&format!("{import} {renamed}")).fails(2, &["exists"]);
    place.run(&format!("{import} --rename cnv=x")).fails(2, &["cnv", "conv1.bias"]);

    let model = Predictor::load(place.path("runs/torch-s1")).unwrap();
    let expected =
        std::fs::read_to_string(root().join("tests/fixtures/torch_tagger.json")).unwrap();
    let expected = json(&expected);
    for signal in Signal::ALL {
        let found = model.predict(&signal.samples(16_000), 16_000).unwrap();
        let expected = expected[signal.name()].as_array().unwrap();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let off = (f64::from(*found) - expected.as_f64().unwrap()).abs();
            assert!(off <= 1e-6, "{signal:?}: {found} {expected}");
        }
    }
    // It can be evaluated, resumed and exported like any run.
    place.run("--device cpu evaluate runs/torch-s1").ok();
    place.run("--device cpu train torch.toml --resume").ok();
    place
        .run("--device cpu export runs/torch-s1 --format safetensors --out torch.safetensors")
        .ok();
}

/// A checkpoint, its validation scores and its log exist, or nothing does.
#[test]
fn import_that_cannot_be_validated_leaves_no_run() {
    let place = Workplace::new();
    let mut rows = String::new();
    for (number, split) in ["train", "train", "valid", "valid", "test", "test"].iter().enumerate() {
        place.write(&format!("music/{number}.wav"), wav(1.5, 16_000));
        rows += &format!("{number},{number}.wav,{split},{}\n", ["a", "b"][number % 2]);
    }
    let header = "id,path,split,tags\n";
    place.write("music/manifest.csv", format!("{header}{rows}"));
    place.write_experiment("x", &on_manifest("music"));
    place.run("-q --device cpu train x.toml").ok();
    place.run("-q --device cpu export runs/x-s1 --format safetensors --out x.safetensors").ok();
    // Without a negative track, no score is defined.
    let both = rows.replace("valid,a", "valid,a|b").replace("valid,b", "valid,a|b");
    place.write("music/manifest.csv", format!("{header}{both}"));
    let import = "-q --device cpu import x.safetensors x.toml --runs other";
    place.run(import).fails(3, &["roc_auc_macro is not defined on the valid split"]);
    assert!(!place.path("other").exists(), "something is left");
    place.write("music/manifest.csv", format!("{header}{rows}"));
    place.run(import).ok();
    place.run("-q --device cpu evaluate other/x-s1").ok();
}

#[test]
fn files_beside_the_named_one_are_not_replaced() {
    let place = Workplace::new();
    trained(&place, "raw", STRIDED);
    place.write("tone.wav", wav(1.5, 16_000));
    place.write("notes.txt", "mine");
    place.write("card.json", "mine");
    let embed = "-q --device cpu embed runs/raw-s1 tone.wav --out notes.npy";
    place.run(embed).fails(2, &["notes.txt exists", "--force"]);
    let export = |out: &str| {
        place.run(&format!("-q --device cpu export runs/raw-s1 --format burnpack --out {out}"))
    };
    export("card.bpk").fails(2, &["card.json exists", "--force"]);
    export("m.json").fails(2, &["m.json", "m.bpk"]);
    assert_eq!([place.read("notes.txt"), place.read("card.json")], ["mine", "mine"]);
    for name in ["notes.npy", "card.bpk", "m.json"] {
        assert!(!place.path(name).exists(), "{name}");
    }
    place.run(&format!("{embed} --force")).ok();
    assert_eq!(place.read("notes.txt"), "tone.wav\n");
}

#[test]
fn invalid_weight_files_are_refused() {
    let place = Workplace::new();
    place.write_experiment("x", &small(STRIDED));
    let bytes = std::fs::read(root().join("tests/fixtures/torch_tagger.pth")).unwrap();
    place.write("cut.pth", &bytes[..bytes.len() / 2]);
    place.write("text.pth", "not a pickle");
    place.write("weights.h5", "x");
    place.run("--device cpu import cut.pth x.toml").fails(3, &["cut.pth", "PyTorch"]);
    place.run("--device cpu import text.pth x.toml").fails(3, &["text.pth", "PyTorch"]);
    place.run("--device cpu import weights.h5 x.toml").fails(2, &[".safetensors", ".ckpt"]);
    place.run("--device cpu import none.pth x.toml").fails(3, &["none.pth"]);
    let unknown = "-q --device cpu import text.pth x.toml --rename nothing";
    place.run(unknown).fails(2, &["expected OLD=NEW"]);
}

/// The exported page gives the top tags of `predict`.
#[test]
#[ignore = "needs Chromium, node, and `npm install` in benches/browser"]
fn browser_gives_equal_predictions() {
    let driver = root().join("benches/browser");
    let runtime = driver.join("node_modules/onnxruntime-web/dist");
    let place = Workplace::new();
    trained(&place, "mel", MEL);
    place
        .run(&format!(
            "--device cpu export runs/mel-s1 --format web --out site --runtime {}",
            runtime.display()
        ))
        .ok();
    // The file has the model's sample rate, so that resamplers are not compared.
    let file = place.write("tone.wav", wav(3.7, 16_000));
    let ours = place.run("-q --device cpu predict runs/mel-s1 tone.wav --json").ok().out;
    let ours = json(&ours);
    let out = Command::new("node")
        .arg(driver.join("drive.mjs"))
        .args([place.path("site"), file])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
    let page = json(&text);
    let (ours, theirs) = (ours[0]["tags"].as_array().unwrap(), page["tags"].as_array().unwrap());
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs).take(5) {
        assert_eq!(ours["tag"], theirs[0]);
        let off = ours["probability"].as_f64().unwrap() - theirs[1].as_f64().unwrap();
        assert!(off.abs() <= 1e-4, "{ours} {theirs}");
    }
}
