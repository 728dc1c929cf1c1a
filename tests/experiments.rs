//! Every shipped experiment can be read, and its network gives one finite output per tag.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use models::{Corpus, Fitted, Model, ModelConfig, Network, NetworkConfig};
use tonotopy::experiment::{Experiment, reference_page, schema};
use tonotopy::runs::model::initial;

/// The experiment files in a directory.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|ending| ending == "toml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn shipped() -> Vec<Experiment> {
    let files = files(Path::new("experiments"));
    files.iter().flat_map(|file| Experiment::read_all(file, &[]).unwrap()).collect()
}

/// Noise that fitted parts are fitted to, with enough frames for the papers' numbers of words.
struct Noise {
    samples: usize,
}

impl Corpus for Noise {
    type Error = std::convert::Infallible;

    fn tracks(&self) -> usize {
        16
    }

    fn excerpts(&self, each: &mut dyn FnMut(Tensor<2>, &[usize])) -> Result<(), Self::Error> {
        for track in 0..16 {
            let mut state = track as u32;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32 - 0.5
            };
            let noise: Vec<f32> = (0..self.samples).map(|_| next()).collect();
            let noise = TensorData::new(noise, [1, self.samples]);
            each(Tensor::from_data(noise, &Device::flex()), &[track]);
        }
        Ok(())
    }

    fn neighbours(&self, count: usize) -> Result<Vec<Vec<u32>>, Self::Error> {
        let others = |track: u32| (0..16).filter(move |x| x % 4 == track % 4 && *x != track);
        Ok((0..16).map(|track| others(track).take(count).collect()).collect())
    }

    fn source(&self) -> Result<(Model, Fitted), Self::Error> {
        unreachable!("transferred networks are not fitted here")
    }

    fn progress(&self, _: &str) -> Result<(), Self::Error> {
        Ok(())
    }

    fn warn(&self, _: &str) {}
}

#[test]
fn each_network_gives_one_finite_output_per_tag() {
    let mut seen = Vec::new();
    for mut experiment in shipped() {
        let name = experiment.name.clone();
        assert!(!experiment.about.is_empty(), "{name}");
        if matches!(experiment.model, ModelConfig::Transferred(_)) {
            // The network is that of another run, which does not exist here.
            continue;
        }
        if let ModelConfig::Multiscale(config) = &mut experiment.model {
            // The contract of all networks covers numbers of means and levels.
            config.iterations = 1;
            config.means = config.means.min(100);
            let fitted = (config.front_end.clone(), config.frames, config.means > 0);
            if seen.contains(&fitted) {
                continue;
            }
            seen.push(fitted);
        }
        let device = Device::flex();
        let samples = experiment.excerpt_samples();
        let fitted = experiment.model.fit(samples, 1, &device, &Noise { samples }).unwrap();
        let model = initial(&experiment, 50, &fitted, &device).unwrap();
        let logits = model.forward(Tensor::zeros([2, samples], &device.autodiff()));
        // A fitted model determines its number of outputs.
        let outputs = if experiment.model.is_learned() { 50 } else { logits.dims()[1] };
        assert_eq!(logits.dims(), [2, outputs], "{name}");
        let values = logits.into_data();
        assert!(values.iter::<f32>().all(f32::is_finite), "{name}");
    }
}

#[test]
fn names_of_run_directories_are_unique() {
    let mut names: Vec<String> = shipped().into_iter().map(|experiment| experiment.name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// Each line of the table is the path of an experiment below `experiments/`, which may be a row of a grid, and the
/// start of the BLAKE3 hash of its TOML with all defaults. Most were files once, with these paths and this content.
#[test]
fn experiments_keep_their_names_and_values() {
    let table = include_str!("fixtures/resolved_experiments.txt");
    let mut different = Vec::new();
    for line in table.lines() {
        let (path, hash) = line.split_once(' ').unwrap();
        let experiment = Experiment::read(&Path::new("experiments").join(path), &[]).unwrap();
        let found = blake3::hash(experiment.to_toml().as_bytes()).to_hex();
        if found[..16] != *hash {
            different.push(format!("{path} {}", &found[..16]));
        }
    }
    assert_eq!(table.lines().count(), shipped().len());
    assert!(different.is_empty(), "different values:\n{}", different.join("\n"));
}

#[test]
fn committed_schema_and_reference_page_are_current() {
    let schema = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    for (path, current, command) in [
        ("experiments/schema.json", schema, "tonotopy schema"),
        ("docs/experiments.md", reference_page(), "tonotopy schema --markdown"),
    ] {
        let committed = std::fs::read_to_string(path).unwrap_or_default().replace("\r\n", "\n");
        assert!(committed == current, "{path} is out of date: run `{command} > {path}`");
    }
}

#[test]
fn a_row_of_a_grid_is_named_by_its_file_or_its_directory() {
    let folder = tempfile::tempdir().unwrap();
    let study = folder.path().join("study");
    std::fs::create_dir(&study).unwrap();
    let file = study.join("sweep.toml");
    let text = "[dataset]\nname = \"synthetic\"\n[model]\nname = \"tagger\"\n";
    std::fs::write(&file, format!("{text}[grid]\nseed = [1, 2]\n")).unwrap();
    std::fs::write(study.join("plain.toml"), text).unwrap();
    let read = |path: &str| Experiment::read(&folder.path().join(path), &[]);
    for path in ["study/sweep.toml#seed-2", "study/seed-2.toml"] {
        let experiment = read(path).unwrap();
        assert_eq!((experiment.name.as_str(), experiment.seed), ("study-seed-2", 2), "{path}");
        assert!(!experiment.to_toml().contains("grid"));
    }
    let names: Vec<String> = Experiment::read_all(&file, &[])
        .unwrap()
        .into_iter()
        .map(|experiment| experiment.name)
        .collect();
    assert_eq!(names, ["study-seed-1", "study-seed-2"]);
    for (path, words) in [
        ("study/sweep.toml", "a grid of 2 experiments: name one"),
        ("study/sweep.toml", "#ROW"),
        ("study/sweep.toml", "its rows are seed-1, seed-2"),
        ("study/sweep.toml#seed-3", "row \"seed-3\" (did you mean \"seed-1\"?)"),
        ("study/plain.toml#seed-1", "the file has no [grid]"),
        ("study/seed-3.toml", "cannot read the experiment"),
        ("study", "is a directory"),
    ] {
        let error = read(path).unwrap_err().to_string();
        assert!(error.contains(words), "{path}: {error}");
    }
    let same_name = ["name=x".to_owned()];
    let error = Experiment::read_all(&file, &same_name).unwrap_err().to_string();
    assert!(error.contains("two rows have the name \"x\""), "{error}");
    let wrong = ["training.stepps=3".to_owned()];
    let error = Experiment::read_all(&file, &wrong).unwrap_err().to_string();
    assert!(error.contains("sweep.toml#seed-1: --set training.stepps=3"), "{error}");
    assert!(error.contains("did you mean `steps`?"), "{error}");
}

#[test]
fn one_off() {
    let Ok(old) = std::env::var("EXP_OLD") else { return };
    let mut table = String::new();
    for file in files(&Path::new(&old).join("experiments")) {
        let experiment = Experiment::read(&file, &[]).unwrap();
        let hash = blake3::hash(experiment.to_toml().as_bytes()).to_hex();
        let path = file.strip_prefix(Path::new(&old).join("experiments")).unwrap();
        table.push_str(&format!("{} {}\n", path.display(), &hash[..16]));
    }
    std::fs::write("/tmp/w/exp_table.txt", table).unwrap();
    std::fs::write(
        "/tmp/w/exp_schema.json",
        serde_json::to_string_pretty(&schema()).unwrap() + "\n",
    )
    .unwrap();
    std::fs::write("/tmp/w/exp_page.md", reference_page()).unwrap();
}
