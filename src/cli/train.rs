//! `train`: train one experiment with one seed.

use std::path::PathBuf;

use serde::Serialize;

use super::{Context, number, print, print_json};
use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::runs::folder::RunFolder;
use crate::runs::train::{Trained, train};
use crate::training::state::LoopState;
use crate::training::training_loop::End;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Experiment file (TOML); FILE.toml#ROW for a row of a file with a [grid].
    experiment: PathBuf,
    /// Change a value of the experiment: --set training.steps=100. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Train with this seed instead of the experiment's.
    #[arg(long)]
    seed: Option<u64>,
    /// Resume an interrupted run from its last complete checkpoint.
    #[arg(long)]
    resume: bool,
    /// Directory in which runs are stored.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    runs: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Summary<'a> {
    run: String,
    end: &'a str,
    #[serde(flatten)]
    state: &'a LoopState,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    let mut experiment = Experiment::read(&arguments.experiment, &arguments.set)?;
    if let Some(seed) = arguments.seed {
        experiment = experiment.with_seed(seed)?;
    }
    let folder = RunFolder::of(&arguments.runs, &experiment);
    if arguments.resume && !folder.exists() {
        tracing::warn!("{} does not exist: starting a new run", folder.path().display());
    }
    let device = context.open_device()?;
    let session = context.session(&device);
    let Trained { end, state } = train(&session, &experiment, &folder, arguments.resume)?;
    let run = folder.path().display().to_string();
    let (word, outcome) = match end {
        End::Steps => ("steps", "all steps done"),
        End::Patience => ("patience", "stopped early"),
        End::Interrupted => ("interrupted", "interrupted and saved"),
    };
    if arguments.json {
        print_json(&Summary { run: run.clone(), end: word, state: &state })?;
    } else if experiment.cross_validation.is_some() {
        print(&format!(
            "{run}: cross-validation accuracy {}, {:.0} s\n",
            number(state.best.map(|best| best.value)),
            state.seconds
        ))?;
    } else {
        print(&format!(
            "{run}: {outcome} after {} steps and {:.0} s; best {} {} at step {}\n",
            state.step,
            state.seconds,
            experiment.training.metric,
            number(state.best.map(|best| best.value)),
            state.best.map_or("-".into(), |best| best.step.to_string()),
        ))?;
    }
    match end {
        End::Interrupted => Err(interrupted(&arguments.experiment)),
        End::Steps | End::Patience => Ok(()),
    }
}

/// How to resume after Ctrl-C.
fn interrupted(experiment: &std::path::Path) -> Error {
    Error::Interrupted(format!(
        "interrupted; resume with `tonotopy train {} --resume` and the same --set and --seed",
        experiment.display()
    ))
}
