//! `predict`: predict the tags of audio files.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::paths::audio_files;
use super::{Context, print, print_data, print_json};
use crate::error::{Error, Result};
use crate::evaluation::predictions::Predictions;
use crate::inference::ensemble::{Analysis, Ensemble, OverTime};
use crate::io::files::{create_folder, write_atomic};
use crate::report::taggram::{Taggram, clock};
use crate::runs::checkpoint::Which;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Trained run, .safetensors file, or directory of these; predictions of several models are averaged.
    #[arg(value_name = "RUN|MODEL")]
    model: PathBuf,
    /// Audio files, or directories that are searched for them at any depth.
    #[arg(required = true)]
    audio: Vec<PathBuf>,
    /// Show the N most probable tags of each file.
    #[arg(long, default_value_t = 5, value_name = "N")]
    top: usize,
    /// Also predict tags over time, in windows of this length [default: the model's excerpt].
    #[arg(long, value_name = "SECONDS")]
    window: Option<f64>,
    /// Also predict tags over time, in windows at this distance [default: the window length].
    #[arg(long, value_name = "SECONDS")]
    hop: Option<f64>,
    /// Draw tags over time as SVG: a file for one audio file, a directory for several.
    #[arg(long, value_name = "FILE.svg|DIR")]
    taggram: Option<PathBuf>,
    /// Checkpoint of the run: best or last.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// Print all tags as JSON.
    #[arg(long)]
    json: bool,
    /// Print all tags as CSV, in the format of predictions.csv; over time, one row per window.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

#[derive(Serialize)]
struct Tagged<'a> {
    path: String,
    tags: Vec<Tag<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    windows: Vec<Window<'a>>,
}

#[derive(Serialize)]
struct Tag<'a> {
    tag: &'a str,
    probability: f32,
}

#[derive(Serialize)]
struct Window<'a> {
    start_s: f64,
    end_s: f64,
    tags: Vec<Tag<'a>>,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    if arguments.top == 0 {
        return Err(Error::Config("--top is 0, but must be at least 1".into()));
    }
    let files = audio_files(&arguments.audio)?;
    let pictures = arguments.taggram.as_deref().map(|out| pictures(out, &files)).transpose()?;
    let device = context.open_device()?;
    let ensemble = Ensemble::open(&arguments.model, arguments.checkpoint, &device.device)?;
    ensemble.takes_audio()?;
    if !ensemble.has_tags() {
        return Err(Error::Config(format!(
            "{} predicts latent factors, not tags; use `tonotopy similar` to find the tracks that are similar to a file",
            arguments.model.display()
        )));
    }
    let asked = arguments.window.is_some() || arguments.hop.is_some() || pictures.is_some();
    let over_time = match asked {
        true => Some(ensemble.over_time(arguments.window, arguments.hop)?),
        false => None,
    };
    let (mut ids, mut found, mut failed) = (Vec::new(), Vec::new(), 0);
    let bar = context.progress.predict("predict");
    let mut interrupted = false;
    for (index, file) in files.iter().enumerate() {
        if context.stop.load(Ordering::Relaxed) {
            interrupted = true;
            break;
        }
        match ensemble.analyse(file, over_time) {
            Ok(analysis) => {
                if let (Some(pictures), Some(over_time)) = (&pictures, over_time) {
                    draw(&pictures[index], file, &ensemble, &analysis, over_time)?;
                }
                ids.push(file.display().to_string());
                found.push(analysis);
            }
            Err(error) => {
                failed += 1;
                tracing::error!("{error}");
            }
        }
        bar.predict(index + 1, files.len());
    }
    bar.finish();

    let tags = ensemble.tags();
    // Windows that are needed only for a taggram are not printed.
    let printed = over_time.filter(|_| arguments.window.is_some() || arguments.hop.is_some());
    match (arguments.json, arguments.csv, printed) {
        (true, _, printed) => print_json(&tagged(&ids, &found, tags, printed))?,
        (_, true, Some(over_time)) => print_data(&windows_csv(&ids, &found, tags, over_time)?)?,
        (_, true, None) => {
            let values = found.into_iter().flat_map(|analysis| analysis.mean).collect();
            let mut predictions = Predictions { ids, tags: tags.to_vec(), values };
            predictions.clamp_to_probabilities();
            let mut text = Vec::new();
            let broken = |error: crate::evaluation::predictions::PredictionsError| {
                Error::Data(error.to_string())
            };
            predictions.to_writer(&mut text).map_err(broken)?;
            print_data(&String::from_utf8_lossy(&text))?;
        }
        _ => print(&text(&ids, &found, tags, printed, arguments.top))?,
    }
    match (interrupted, failed) {
        (true, _) => {
            Err(Error::Interrupted("interrupted; predictions up to here are printed above".into()))
        }
        (false, 0) => Ok(()),
        (false, failed) => Err(Error::Data(format!(
            "{failed} of {} files could not be read; see the messages above",
            files.len()
        ))),
    }
}

/// Indices of the outputs, highest first.
fn sorted(row: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    order
}

fn tagged<'a>(
    ids: &[String],
    found: &[Analysis],
    tags: &'a [String],
    over_time: Option<OverTime>,
) -> Vec<Tagged<'a>> {
    let all = |row: &[f32]| {
        let tag = |i: usize| Tag { tag: &tags[i], probability: row[i] };
        sorted(row).into_iter().map(tag).collect()
    };
    let one = |(path, analysis): (&String, &Analysis)| {
        let windows = over_time.into_iter().flat_map(|over_time| {
            analysis.windows.iter().enumerate().map(move |(number, row)| {
                let start_s = number as f64 * over_time.hop_s;
                Window { start_s, end_s: start_s + over_time.window_s, tags: all(row) }
            })
        });
        Tagged { path: path.clone(), tags: all(&analysis.mean), windows: windows.collect() }
    };
    ids.iter().zip(found).map(one).collect()
}

fn windows_csv(
    ids: &[String],
    found: &[Analysis],
    tags: &[String],
    over_time: OverTime,
) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let broken = |error: csv::Error| Error::Data(format!("cannot write CSV: {error}"));
    let header = ["id", "start_s", "end_s"].into_iter().chain(tags.iter().map(String::as_str));
    writer.write_record(header).map_err(broken)?;
    for (id, analysis) in ids.iter().zip(found) {
        for (number, row) in analysis.windows.iter().enumerate() {
            let start = number as f64 * over_time.hop_s;
            let times = [start, start + over_time.window_s].map(|time| format!("{time:.3}"));
            let values = row.iter().map(ToString::to_string);
            let row = [id.clone()].into_iter().chain(times).chain(values);
            writer.write_record(row).map_err(broken)?;
        }
    }
    let bytes =
        writer.into_inner().map_err(|error| Error::Data(format!("cannot write CSV: {error}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn text(
    ids: &[String],
    found: &[Analysis],
    tags: &[String],
    over_time: Option<OverTime>,
    top: usize,
) -> String {
    let mut text = String::new();
    for (path, analysis) in ids.iter().zip(found) {
        text += &format!("{path}\n");
        for index in sorted(&analysis.mean).into_iter().take(top) {
            text += &format!("  {:.3}  {}\n", analysis.mean[index], tags[index]);
        }
        let Some(over_time) = over_time else { continue };
        for (number, row) in analysis.windows.iter().enumerate() {
            let start = number as f64 * over_time.hop_s;
            let best = sorted(row).into_iter().take(top.min(3));
            let best: Vec<String> =
                best.map(|index| format!("{} {:.2}", tags[index], row[index])).collect();
            let (start, end) = (clock(start), clock(start + over_time.window_s));
            text += &format!("  {start:>7} - {end:<7}  {}\n", best.join(", "));
        }
    }
    text
}

/// The path of the taggram of each file.
fn pictures(out: &Path, files: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let is = |known: &str| out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(known));
    if let Some(other) = ["png", "jpg", "jpeg", "webp", "gif", "pdf"].into_iter().find(|e| is(e)) {
        return Err(Error::Config(format!(
            "--taggram {}: taggrams are SVG, not {other}; name a file that ends in .svg, or a directory",
            out.display()
        )));
    }
    match (is("svg"), files) {
        (true, [_]) => return Ok(vec![out.to_owned()]),
        (true, _) => {
            return Err(Error::Config(format!(
                "--taggram {}: for {} audio files, name a directory",
                out.display(),
                files.len()
            )));
        }
        (false, _) => create_folder(out)?,
    }
    let mut taken = std::collections::BTreeSet::new();
    let name = |file: &PathBuf| {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut name = format!("{stem}.svg");
        // Files in different directories can have the same name; some systems ignore case.
        for number in 2.. {
            if taken.insert(name.to_lowercase()) {
                break;
            }
            name = format!("{stem}-{number}.svg");
        }
        out.join(name)
    };
    Ok(files.iter().map(name).collect())
}

fn draw(
    out: &Path,
    file: &Path,
    ensemble: &Ensemble,
    analysis: &Analysis,
    over_time: OverTime,
) -> Result<()> {
    let title = file.file_name().unwrap_or_default().to_string_lossy();
    let OverTime { window_s, hop_s } = over_time;
    let (tags, values) = (ensemble.tags(), analysis.windows.as_slice());
    let picture = Taggram { title: &title, tags, values, hop_s, window_s };
    write_atomic(out, picture.to_svg().as_bytes())
}
