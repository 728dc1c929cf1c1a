//! Every shipped experiment is read, and its network built and run.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use models::{Corpus, Fitted, Model, ModelConfig, Network, NetworkConfig};
use tonotopy::experiment::Experiment;
use tonotopy::runs::model::initial;

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
    search(Path::new("experiments"), &mut found);
    found.sort();
    found
}

/// What fitted parts are fitted to: enough frames for the words of the papers.
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
        unreachable!("what is transferred is not fitted here")
    }

    fn progress(&self, _: &str) -> Result<(), Self::Error> {
        Ok(())
    }

    fn warn(&self, _: &str) {}
}

#[test]
fn each_is_read_and_its_network_gives_one_number_a_tag() {
    let experiments = shipped();
    assert!(experiments.len() >= 20, "{experiments:?}");
    let mut seen = Vec::new();
    for path in experiments {
        let mut experiment = Experiment::read(&path, &[]).unwrap();
        assert!(!experiment.about.is_empty(), "{}", path.display());
        if matches!(experiment.model, ModelConfig::Transferred(_)) {
            // Its network is that of a run, which is not there.
            continue;
        }
        if let ModelConfig::Multiscale(config) = &mut experiment.model {
            // A grid of these differs by numbers of means and levels, which the contract covers.
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
        // What is fitted, not trained, decides for itself how much it gives.
        let outputs = if experiment.model.is_learned() { 50 } else { logits.dims()[1] };
        assert_eq!(logits.dims(), [2, outputs], "{}", path.display());
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
