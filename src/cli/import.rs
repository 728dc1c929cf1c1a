//! `import`: weights that another program trained, as a run.

use std::path::PathBuf;

use serde::Serialize;

use super::{Context, number, print, print_json};
use crate::error::Result;
use crate::experiment::Experiment;
use crate::inference::import::{Imported, Rename, import};
use crate::runs::folder::RunFolder;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A .safetensors file, or a checkpoint of PyTorch (.pth, .pt), of which nothing is executed.
    weights: PathBuf,
    /// The experiment file (TOML) whose model they are of.
    experiment: PathBuf,
    /// Change a value of the experiment: --set training.excerpt_seconds=2. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Another name for weights whose name is OLD or begins with it and a dot. May be repeated.
    #[arg(long, value_name = "OLD=NEW")]
    rename: Vec<Rename>,
    /// Folder of the run folders.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    runs: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Summary {
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
    let summary = Summary { run, weights, numbers, passed_over, metric, value };
    match arguments.json {
        true => print_json(&summary),
        false => print(&format!(
            "{}: {} weights with {} numbers; {} {} on the validation split\n",
            summary.run,
            summary.weights,
            summary.numbers,
            summary.metric,
            number(summary.value)
        )),
    }
}
