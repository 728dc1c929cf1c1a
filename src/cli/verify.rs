//! `verify`: does a model still compute what it computed when it was exported?

use std::path::PathBuf;

use super::{Context, print, print_json};
use crate::error::{Error, Result};
use crate::inference::export::verify;
use crate::inference::predictor::Predictor;
use crate::runs::checkpoint::Which;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A .safetensors file of `tonotopy export`.
    model: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    let device = context.open_device()?;
    let predictor = Predictor::open(&arguments.model, Which::Best, &device.device)?;
    let found = verify(&predictor)?;
    if arguments.json {
        print_json(&found)?;
    } else {
        let mut text = String::new();
        for row in &found {
            text += &format!(
                "{:<7} {}, {}: {:.1e} relative (allowed {:.0e}), {:.1e} absolute\n",
                if row.ok { "ok" } else { "DIFFERS" },
                row.signal.name(),
                row.output,
                row.max_rel,
                row.tolerance,
                row.max_abs
            );
        }
        print(&text)?;
    }
    match found.iter().all(|row| row.ok) {
        true => Ok(()),
        false => Err(Error::Device(format!(
            "{} gives something else on {} than where it was exported: do not use it there (`tonotopy devices \
             --check` tells whether the device computes correctly)",
            arguments.model.display(),
            device.id
        ))),
    }
}
