//! A run that is stopped, in whatever way, and resumed ends where the undisturbed one does.

use std::path::Path;
use std::time::{Duration, Instant};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use tonotopy::runs::checkpoint::Which;
use tonotopy::runs::folder::RunFolder;
use tonotopy::runs::model::{initial, with_weights};
use tonotopy::training::log::LogLine;

use crate::support::{MEL, STRIDED, Workplace, small};

struct Bits(Vec<u32>);

impl ModuleVisitor for Bits {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.extend(param.val().into_data().iter::<f32>().map(f32::to_bits));
    }
}

/// All weights of a run's last checkpoint, as bits.
pub fn weights(run: &Path) -> (u64, Vec<u32>) {
    let folder = RunFolder::open(run).unwrap();
    let checkpoint = folder.checkpoints().load(Which::Last).unwrap();
    let (experiment, fitted) = (folder.experiment().unwrap(), folder.fitted().unwrap());
    let outputs = folder.outputs(&experiment).unwrap().len();
    let model = initial(&experiment, outputs, &fitted, &Device::flex()).unwrap();
    let model = with_weights(model, checkpoint.model, &checkpoint.path).unwrap();
    let mut bits = Bits(Vec::new());
    model.visit(&mut bits);
    assert!(!bits.0.is_empty());
    (checkpoint.state.step, bits.0)
}

/// Long enough to be met in the middle; dropout and Adam, so that their state matters.
fn experiment(front_end: &str) -> String {
    small(front_end)
        .replace("front_end", "dropout = 0.3\nfront_end")
        .replace("steps = 12", "steps = 90\noptimizer = { name = \"adam\", learning_rate = 0.001 }")
        .replace("valid_every = 4", "valid_every = 7")
}

/// Latent factors from a bag of words: with a factorisation and a fitted part, both kept in the folder.
fn fitted() -> String {
    let listening = "[listening]\nname = \"synthetic_listeners\"\nusers = 200\n\
                     [factorization]\nfactors = 5\nregularization = 5.0\n[model]";
    let network = format!("name = \"tagger\"\nfront_end = {MEL}");
    let bag = format!(
        "name = \"bag_of_words\"\nhidden = [2_000]\ndropout = 0.3\nbag = {{ words = 20, front_end = {MEL} }}"
    );
    small(MEL)
        .replace("[model]", listening)
        .replace(&network, &bag)
        .replace("steps = 12", "steps = 700\nloss = \"mean_squared_error\"\nmetric = \"auc\"\noptimizer = { name = \"adam\", learning_rate = 0.001 }")
        .replace("valid_every = 4", "valid_every = 7")
}

/// The losses that the log tells, by step.
fn losses(run: &Path) -> Vec<(u64, f64)> {
    let log = RunFolder::open(run).unwrap().log().unwrap();
    let losses = log.iter().filter_map(|line| match line {
        LogLine::Train { step, loss, .. } => Some((*step, *loss)),
        _ => None,
    });
    losses.collect()
}

fn wait_for(path: &Path) {
    let started = Instant::now();
    while !path.exists() {
        assert!(started.elapsed() < Duration::from_secs(120), "{} never came", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn killed_and_resumed_is_bit_for_bit_the_same() {
    for (experiment, steps) in [(experiment(MEL), 90), (experiment(STRIDED), 90), (fitted(), 700)] {
        let place = Workplace::new();
        place.write("x.toml", format!("name = \"x\"\n{experiment}"));
        place.run("--device cpu train x.toml --runs straight").ok();

        let mut killed = 0;
        for checkpoint in ["step-00000007", "step-00000028", "step-00000056"] {
            let mut child = place.start("--device cpu train x.toml --runs stopped --resume");
            wait_for(&place.path(&format!("stopped/x-s1/checkpoints/{checkpoint}")));
            if child.try_wait().unwrap().is_none() {
                killed += 1;
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(killed > 0, "the run was over before it could be killed");
        place.run("--device cpu train x.toml --runs stopped --resume").ok();

        let straight = weights(&place.path("straight/x-s1"));
        let stopped = weights(&place.path("stopped/x-s1"));
        assert_eq!(straight.0, steps);
        assert!(straight == stopped, "the weights differ");
        // Also where a line's mean is of losses from before and after a checkpoint.
        let [straight, stopped] =
            ["straight", "stopped"].map(|runs| losses(&place.path(&format!("{runs}/x-s1"))));
        assert_eq!(straight.len(), stopped.len());
        for (a, b) in straight.iter().zip(&stopped) {
            assert!(a.0 == b.0 && (a.1 - b.1).abs() <= 1e-12 * b.1.abs(), "{a:?} {b:?}");
        }
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_saves_and_the_rest_can_be_done_later() {
    let place = Workplace::new();
    place.write("x.toml", format!("name = \"x\"\n{}", experiment(STRIDED)));
    place.run("--device cpu train x.toml --runs straight").ok();

    let mut child = place.start("--device cpu train x.toml --runs stopped");
    wait_for(&place.path("stopped/x-s1/checkpoints/step-00000014"));
    let status = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let (step, _) = weights(&place.path("stopped/x-s1"));
    assert!((14..90).contains(&step), "{step}");

    place.run("--device cpu train x.toml --runs stopped --resume").ok();
    assert!(weights(&place.path("straight/x-s1")) == weights(&place.path("stopped/x-s1")));
}
