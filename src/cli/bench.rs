//! `bench`: how fast an experiment's network is on a device.

use std::path::PathBuf;

use models::NetworkConfig;

use super::{Context, print, print_json};
use crate::device::bench::{Plan, bench};
use crate::error::{Error, Result};
use crate::experiment::Experiment;

/// What is timed where nothing is named.
const DEFAULT: &str = include_str!("../../experiments/quickstart/mel.toml");

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The experiment file (TOML) [default: the quickstart's network on mel-spectrograms].
    experiment: Option<PathBuf>,
    /// Change a value of the experiment: --set training.excerpt_seconds=10. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Excerpts a step [default: the experiment's].
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Timed steps.
    #[arg(long, default_value_t = 30, value_name = "N")]
    steps: usize,
    /// Outputs of the network: tags, or latent factors.
    #[arg(long, default_value_t = 50, value_name = "N")]
    outputs: usize,
    /// Time predictions instead of training steps.
    #[arg(long)]
    inference: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    if arguments.steps == 0 || arguments.steps > 1_000_000 {
        return Err(Error::Config(format!(
            "--steps is {}: it must be from 1 to 1000000",
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
    let mut text = format!(
        "{}\n{}, batches of {} excerpts of {} s\n{}: {:.2} ms (median; least {:.2}), {:.0} excerpts/s\n",
        experiment.model.describe(),
        measured.device,
        measured.batch_size,
        experiment.training.excerpt_seconds,
        if arguments.inference { "a prediction" } else { "a training step" },
        measured.step_ms.median,
        measured.step_ms.min,
        measured.excerpts_per_second
    );
    text.push_str(&match arguments.inference {
        true => format!(
            "in parts, each waited for: load {:.2}, front end {:.2}, what follows it {:.2} ms\n",
            stages.load, stages.front_end, stages.forward
        ),
        false => format!(
            "in parts, each waited for: load {:.2}, front end {:.2}, forward after it {:.2}, backward {:.2}, optimizer {:.2} ms\n",
            stages.load, stages.front_end, stages.forward, stages.backward, stages.optimizer
        ),
    });
    if let Some(bytes) = measured.peak_memory_bytes {
        text.push_str(&format!("peak memory {:.0} MB\n", bytes as f64 / 1e6));
    }
    print(&text)
}
