//! `import`: create a run from weights that another program trained.

use std::path::PathBuf;

use serde::Serialize;

use super::{Context, number, print, print_json};
use crate::error::Result;
use crate::experiment::Experiment;
use crate::inference::import::{Choice, import};
use crate::inference::imported::{Imported, Rename};
use crate::runs::folder::RunFolder;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Weights: .safetensors, or a PyTorch checkpoint (.pth, .pt, .ckpt, .bin, .pth.tar). Code in checkpoints is never
    /// executed.
    weights: PathBuf,
    /// Experiment file (TOML) with the model of the weights.
    experiment: PathBuf,
    /// Change a value of the experiment, such as --set training.excerpt_seconds=2; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Rename weights that are named OLD or begin with "OLD."; without NEW, remove this prefix; repeatable. Common prefixes
    /// (state_dict, model, module, _orig_mod) are found without it.
    #[arg(long, value_name = "OLD=[NEW]")]
    rename: Vec<Rename>,
    /// Leave out tensors that are named NAME or begin with "NAME."; repeatable.
    #[arg(long, value_name = "NAME")]
    ignore: Vec<String>,
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
    below: String,
    ignored: Vec<String>,
    metric: String,
    value: Option<f64>,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    let experiment = Experiment::read(&arguments.experiment, &arguments.set)?;
    let folder = RunFolder::of(&arguments.runs, &experiment);
    let imported = Imported::read(&arguments.weights)?;
    imported.check_rules(&arguments.rename)?;
    let choice = Choice { rename: arguments.rename.clone(), ignore: arguments.ignore.clone() };
    let device = context.open_device()?;
    let session = context.session(&device);
    let (state, selection) = import(&session, &experiment, &folder, &imported, &choice)?;
    let created = Created {
        run: folder.path().display().to_string(),
        weights: selection.weights.len(),
        numbers: selection.weights.values().map(|array| array.values.len()).sum(),
        below: selection.below,
        ignored: selection.ignored,
        metric: experiment.training.metric,
        value: state.best.map(|best| best.value),
    };
    if arguments.json {
        return print_json(&created);
    }
    let below = match created.below.as_str() {
        "" => String::new(),
        name => format!(" below {name:?}"),
    };
    let ignored = match created.ignored.len() {
        0 => String::new(),
        _ => format!("  ignored: {}\n", created.ignored.join(", ")),
    };
    print(&format!(
        "{}: {} weights{below} with {} numbers; {} {} on the validation split\n{ignored}",
        created.run,
        created.weights,
        created.numbers,
        created.metric,
        number(created.value)
    ))
}
