//! `export`: a model for use elsewhere.

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
    /// A trained run, or a .safetensors file.
    #[arg(value_name = "RUN|MODEL")]
    model: PathBuf,
    /// What to write.
    #[arg(long)]
    format: Format,
    /// The file; of a page, the folder.
    #[arg(long, value_name = "FILE|FOLDER")]
    out: PathBuf,
    /// Which checkpoint of a run to use.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// What the model may be used for; goes into its card.
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// The dist folder of onnxruntime-web, to be copied beside a page, which then loads nothing from
    /// elsewhere.
    #[arg(long, value_name = "FOLDER")]
    runtime: Option<PathBuf>,
    /// Replace what is there.
    #[arg(long)]
    force: bool,
    /// Print what was written as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Summary {
    format: Format,
    files: Vec<PathBuf>,
    bytes: u64,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    if arguments.runtime.is_some() && arguments.format != Format::Web {
        return Err(Error::Config(
            "--runtime goes with --format web, whose page needs it: leave it out".into(),
        ));
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
    let summary = Summary { format: arguments.format, files, bytes };
    if arguments.json {
        return print_json(&summary);
    }
    let hint = match arguments.format {
        Format::Safetensors => {
            format!("  tonotopy verify {}\n", arguments.out.display())
        }
        Format::Web => format!(
            "  serve it and open it in a browser: python3 -m http.server --directory {}\n",
            arguments.out.display()
        ),
        Format::Onnx | Format::Burnpack => String::new(),
    };
    print(&format!(
        "{}: {} file(s), {:.1} MB\n{hint}",
        arguments.out.display(),
        summary.files.len(),
        summary.bytes as f64 / 1e6
    ))
}
