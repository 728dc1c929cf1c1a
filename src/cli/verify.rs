//! `verify`: check that an exported model computes the same results on this device.

use std::path::PathBuf;

use super::{Context, print, print_json};
use crate::error::{Error, Result};
use crate::inference::export::verify;
use crate::inference::predictor::Predictor;
use crate::runs::checkpoint::Which;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// .safetensors file of `tonotopy export`.
    model: PathBuf,
    /// Print the result as JSON.
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
            "{} computes different results on {} than where it was exported; do not use it on this device, and check \
             the device with `tonotopy devices --check`",
            arguments.model.display(),
            device.id
        ))),
    }
}
