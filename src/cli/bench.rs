//! `bench`: the speed of an experiment's network on a device.

use std::path::PathBuf;

use models::NetworkConfig;

use super::{Context, print, print_json};
use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::runs::bench::{Plan, bench};

/// The experiment that is measured by default.
const DEFAULT: &str = include_str!("../../experiments/quickstart/mel.toml");

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Experiment file (TOML) [default: the quick start's network on mel-spectrograms].
    experiment: Option<PathBuf>,
    /// Change a value of the experiment, such as --set training.excerpt_seconds=10; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Number of excerpts per step [default: the experiment's batch size].
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Number of measured steps.
    #[arg(long, default_value_t = 30, value_name = "N")]
    steps: usize,
    /// Number of outputs of the network (tags or latent factors).
    #[arg(long, default_value_t = 50, value_name = "N")]
    outputs: usize,
    /// Measure prediction instead of training.
    #[arg(long)]
    inference: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    if arguments.steps == 0 || arguments.steps > 1_000_000 {
        return Err(Error::Config(format!(
            "--steps is {}, but must be from 1 to 1000000",
            arguments.steps
        )));
    }
    let mut set = arguments.set.clone();
    set.extend(arguments.batch_size.map(|size| format!("training.batch_size={size}")));
    let experiment = match &arguments.experiment {
        Some(path) => Experiment::read(path, &set)?,
        None => Experiment::parse(DEFAULT, &set)?,
    };
    let device = context.open_device()?;
    let plan =
        Plan { steps: arguments.steps, outputs: arguments.outputs, inference: arguments.inference };
    let measured = bench(&experiment, &device, plan)?;
    if arguments.json {
        return print_json(&measured);
    }
    let stages = measured.stages_ms;
    let rest = match arguments.inference {
        true => format!("rest of the network {:.2}", stages.forward),
        false => format!(
            "rest of the forward pass {:.2}, backward {:.2}, optimizer {:.2}",
            stages.forward, stages.backward, stages.optimizer
        ),
    };
    let mut text = format!(
        "{}\n{}, batches of {} excerpts of {} s\n{}: median {:.2} ms, minimum {:.2} ms, {:.0} excerpts/s\n\
         stages, each measured separately (ms): load {:.2}, front end {:.2}, {rest}\n",
        experiment.model.describe(),
        measured.device,
        measured.batch_size,
        experiment.training.excerpt_seconds,
        if arguments.inference { "a prediction" } else { "a training step" },
        measured.step_ms.median,
        measured.step_ms.min,
        measured.excerpts_per_second,
        stages.load,
        stages.front_end,
    );
    if let Some(bytes) = measured.peak_memory_bytes {
        text += &format!("peak memory {:.0} MB\n", bytes as f64 / 1e6);
    }
    print(&text)
}
