//! `predict`: tags of audio files.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::audio_files::files;
use super::{Context, print, print_json};
use crate::checkpoint::Which;
use crate::error::{Error, Result};
use crate::predict::Predictor;
use crate::predictions::Predictions;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder of a trained run.
    run: PathBuf,
    /// Audio files, or folders of them (searched to any depth).
    #[arg(required = true)]
    audio: Vec<PathBuf>,
    /// Show the N most probable tags of each file.
    #[arg(long, default_value_t = 5, value_name = "N")]
    top: usize,
    /// Which checkpoint to use.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// Print JSON, with all tags.
    #[arg(long)]
    json: bool,
    /// Print CSV in the format of predictions.csv, with all tags.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

#[derive(Serialize)]
struct Tagged<'a> {
    path: String,
    tags: Vec<Tag<'a>>,
}

#[derive(Serialize)]
struct Tag<'a> {
    tag: &'a str,
    probability: f32,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    let files = files(&arguments.audio)?;
    let device = context.open_device()?;
    let predictor = Predictor::load(&arguments.run, arguments.checkpoint, &device.device)?;
    predictor.takes_audio()?;
    if !predictor.has_tags() {
        return Err(Error::Config(format!(
            "{} learned latent factors, not tags: `tonotopy similar` finds the tracks that are near a file",
            arguments.run.display()
        )));
    }
    let (mut ids, mut values, mut failed) = (Vec::new(), Vec::new(), 0);
    let bar = context.progress.predict("predict");
    let mut interrupted = false;
    for (index, file) in files.iter().enumerate() {
        if context.stop.load(Ordering::Relaxed) {
            interrupted = true;
            break;
        }
        match predictor.predict_file(file) {
            Ok(row) => {
                ids.push(file.display().to_string());
                values.extend(row);
            }
            Err(error) => {
                failed += 1;
                tracing::error!("{error}");
            }
        }
        bar.predict(index + 1, files.len());
    }
    bar.finish();

    let tags = predictor.tags();
    let rows = ids.iter().zip(values.chunks(tags.len()));
    let sorted = |row: &[f32]| {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        order
    };
    if arguments.json {
        let tagged: Vec<Tagged<'_>> = rows
            .map(|(path, row)| Tagged {
                path: path.clone(),
                tags: sorted(row)
                    .into_iter()
                    .map(|i| Tag { tag: &tags[i], probability: row[i] })
                    .collect(),
            })
            .collect();
        print_json(&tagged)?;
    } else if arguments.csv {
        let predictions = Predictions { ids, tags: tags.to_vec(), values };
        let mut text = Vec::new();
        predictions.to_writer(&mut text).map_err(|error| Error::Data(error.to_string()))?;
        print(&String::from_utf8_lossy(&text))?;
    } else {
        let mut text = String::new();
        for (path, row) in rows {
            text += &format!("{path}\n");
            for &index in sorted(row).iter().take(arguments.top) {
                text += &format!("  {:.3}  {}\n", row[index], tags[index]);
            }
        }
        print(&text)?;
    }
    match (interrupted, failed) {
        (true, _) => Err(Error::Interrupted("interrupted; what was predicted stands above".into())),
        (false, 0) => Ok(()),
        (false, failed) => Err(Error::Data(format!(
            "{failed} of {} files could not be read; the lines above say why",
            files.len()
        ))),
    }
}
