//! An interrupted and resumed run ends with the weights of an uninterrupted one.

use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use tonotopy::runs::checkpoint::Which;
use tonotopy::runs::folder::RunFolder;
use tonotopy::runs::model::{initial, with_weights};
use tonotopy::training::log::LogLine;

#[cfg(unix)]
use crate::support::interrupt;
use crate::support::{MEL, STRIDED, Workplace, kill, small, wait_for};

struct Bits(Vec<u32>);

impl ModuleVisitor for Bits {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.extend(param.val().into_data().iter::<f32>().map(f32::to_bits));
    }
}

/// The step and all weights (as bits) of a run's last checkpoint.
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

/// A run that is long enough to be interrupted, with dropout and Adam, whose states matter.
fn experiment(front_end: &str) -> String {
    small(front_end)
        .replace("front_end", "dropout = 0.3\nfront_end")
        .replace("steps = 12", "steps = 90\noptimizer = { name = \"adam\", learning_rate = 0.001 }")
        .replace("valid_every = 4", "valid_every = 7")
}

/// Latent factors from a bag of words, with factors and a fitted part in the run's directory.
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

/// The steps and losses in the log.
fn losses(run: &Path) -> Vec<(u64, f64)> {
    let log = RunFolder::open(run).unwrap().log().unwrap();
    let losses = log.iter().filter_map(|line| match line {
        LogLine::Train { step, loss, .. } => Some((*step, *loss)),
        _ => None,
    });
    losses.collect()
}

#[test]
fn killed_and_resumed_run_has_the_same_weights() {
    for (experiment, steps) in [(experiment(MEL), 90), (experiment(STRIDED), 90), (fitted(), 700)] {
        let place = Workplace::new();
        place.write_experiment("x", &experiment);
        place.run("--device cpu train x.toml --runs straight").ok();

        let mut killed = 0;
        for checkpoint in ["step-00000007", "step-00000028", "step-00000056"] {
            let mut child = place.start("--device cpu train x.toml --runs stopped --resume");
            wait_for(&place.path(&format!("stopped/x-s1/checkpoints/{checkpoint}")));
            if child.try_wait().unwrap().is_none() {
                killed += 1;
            }
            kill(child);
        }
        assert!(killed > 0, "the run ended before it could be killed");
        place.run("--device cpu train x.toml --runs stopped --resume").ok();

        let straight = weights(&place.path("straight/x-s1"));
        let stopped = weights(&place.path("stopped/x-s1"));
        assert_eq!(straight.0, steps);
        assert!(straight == stopped, "the weights differ");
        // The log is equal too, also where a mean includes losses from before and after a checkpoint.
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
fn interrupted_run_is_saved_and_can_be_resumed() {
    let place = Workplace::new();
    place.write_experiment("x", &experiment(STRIDED));
    place.run("--device cpu train x.toml --runs straight").ok();

    let child = place.start("--device cpu train x.toml --runs stopped");
    wait_for(&place.path("stopped/x-s1/checkpoints/step-00000014"));
    interrupt(child);
    let (step, _) = weights(&place.path("stopped/x-s1"));
    assert!((14..90).contains(&step), "{step}");

    place.run("--device cpu train x.toml --runs stopped --resume").ok();
    assert!(weights(&place.path("straight/x-s1")) == weights(&place.path("stopped/x-s1")));
}
