//! `export`: write a model for other programs, with everything that is needed to use it.

use std::path::PathBuf;

use serde::Serialize;

use super::{Context, print, print_json};
use crate::error::{Error, Result};
use crate::inference::export::{Format, Options, export};
use crate::inference::predictor::Predictor;
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Trained run, or .safetensors file of `tonotopy export`.
    #[arg(value_name = "RUN|MODEL")]
    model: PathBuf,
    /// Format to write.
    #[arg(long)]
    format: Format,
    /// Write to this file; for --format web, to this directory.
    #[arg(long, value_name = "FILE|DIR")]
    out: PathBuf,
    /// Checkpoint of the run: best or last.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// Licence of the model, for its card.
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// Copy onnxruntime-web into the web page from this dist directory; by default the page loads it from a CDN.
    #[arg(long, value_name = "DIR")]
    runtime: Option<PathBuf>,
    /// Replace existing files.
    #[arg(long)]
    force: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Exported {
    format: Format,
    files: Vec<PathBuf>,
    bytes: u64,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    if arguments.runtime.is_some() && arguments.format != Format::Web {
        return Err(Error::Config("--runtime is only for --format web; remove it".into()));
    }
    if let Ok(folder) = RunFolder::open(&arguments.model) {
        folder.warn_if_unfinished()?;
    }
    let device = context.open_device()?;
    let predictor = Predictor::open(&arguments.model, arguments.checkpoint, &device.device)?;
    let options = Options {
        licence: arguments.licence.clone(),
        runtime: arguments.runtime.clone(),
        force: arguments.force,
    };
    let files = export(&predictor, arguments.format, &arguments.out, &options)?;
    let sizes = files.iter().filter_map(|file| file.metadata().ok());
    let bytes = sizes.map(|file| file.len()).sum();
    let exported = Exported { format: arguments.format, files, bytes };
    if arguments.json {
        return print_json(&exported);
    }
    let hint = match arguments.format {
        Format::Safetensors => {
            format!("  to check it, run `tonotopy verify {}`\n", arguments.out.display())
        }
        Format::Web => format!(
            "  to view it, run `python3 -m http.server --directory {}` and open http://localhost:8000\n",
            arguments.out.display()
        ),
        Format::Onnx | Format::Burnpack => String::new(),
    };
    print(&format!(
        "{}: {} file(s), {:.1} MB\n{hint}",
        arguments.out.display(),
        exported.files.len(),
        exported.bytes as f64 / 1e6
    ))
}
