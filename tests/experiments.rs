//! Every shipped experiment is read, and its network built and run.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use models::Network;
use tonotopy::experiment::Experiment;
use tonotopy::session::initial;

fn shipped() -> Vec<PathBuf> {
    fn search(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                search(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "toml") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    search(&Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments"), &mut found);
    found.sort();
    found
}

#[test]
fn each_is_read_and_its_network_gives_one_number_a_tag() {
    let experiments = shipped();
    assert!(experiments.len() >= 20, "{experiments:?}");
    for path in experiments {
        let experiment = Experiment::read(&path, &[]).unwrap();
        assert!(!experiment.about.is_empty(), "{}", path.display());
        let device = Device::flex();
        let model = initial(&experiment, 50, &device).unwrap();
        let samples = experiment.excerpt_samples();
        let logits = model.forward(Tensor::zeros([2, samples], &device.autodiff()));
        assert_eq!(logits.dims(), [2, 50], "{}", path.display());
        let values = logits.into_data();
        assert!(values.iter::<f32>().all(f32::is_finite), "{}", path.display());
    }
}

#[test]
fn names_of_run_folders_are_all_different() {
    let mut names: Vec<String> =
        shipped().iter().map(|path| Experiment::read(path, &[]).unwrap().name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}
