//! `import`: create a run from weights that another program trained.

use std::path::PathBuf;

use serde::Serialize;

use super::{Context, number, print, print_json};
use crate::error::Result;
use crate::experiment::Experiment;
use crate::inference::import::{Imported, Rename, import};
use crate::runs::folder::RunFolder;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Weights: .safetensors, or a PyTorch checkpoint (.pth, .pt). Code in checkpoints is never executed.
    weights: PathBuf,
    /// Experiment file (TOML) with the model of the weights.
    experiment: PathBuf,
    /// Change a value of the experiment, such as --set training.excerpt_seconds=2; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Rename weights that are named OLD or begin with "OLD."; repeatable.
    #[arg(long, value_name = "OLD=NEW")]
    rename: Vec<Rename>,
    /// Directory in which runs are stored.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    runs: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Created {
    run: String,
    weights: usize,
    numbers: usize,
    passed_over: Vec<String>,
    metric: String,
    value: Option<f64>,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    let experiment = Experiment::read(&arguments.experiment, &arguments.set)?;
    let folder = RunFolder::of(&arguments.runs, &experiment);
    let imported = Imported::read(&arguments.weights)?.rename(&arguments.rename)?;
    let device = context.open_device()?;
    let session = context.session(&device);
    let (weights, passed_over) = (imported.weights.len(), imported.passed_over.clone());
    let numbers = imported.weights.values().map(|array| array.values.len()).sum();
    let state = import(&session, &experiment, &folder, imported, &arguments.weights)?;
    let run = folder.path().display().to_string();
    let (metric, value) = (experiment.training.metric, state.best.map(|best| best.value));
    let created = Created { run, weights, numbers, passed_over, metric, value };
    match arguments.json {
        true => print_json(&created),
        false => print(&format!(
            "{}: {} weights with {} numbers; {} {} on the validation split\n",
            created.run,
            created.weights,
            created.numbers,
            created.metric,
            number(created.value)
        )),
    }
}
