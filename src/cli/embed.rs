//! `embed`: write one vector per track, computed by a network from audio files or a dataset.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use datasets::tracks::folders::EXTENSIONS;
use datasets::{DatasetConfig, discover};
use serde::Serialize;

use super::paths::audio_files;
use super::{Context, print, print_json};
use crate::audio::{ScanOptions, scan};
use crate::data::directories::from_dataset;
use crate::error::{Error, Result};
use crate::experiment::{Experiment, is_experiment};
use crate::inference::embeddings::embed;
use crate::inference::ensemble::Ensemble;
use crate::inference::predictor::Predictor;
use crate::io::files::{check_absent, check_writable, write_together};
use crate::io::npy;
use crate::listening::catalogue::VectorKind;
use crate::listening::matrix::Matrix;
use crate::runs::checkpoint::Which;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Trained run, .safetensors file, or directory of these; vectors of several models are concatenated.
    #[arg(value_name = "RUN|MODEL")]
    model: PathBuf,
    /// Audio files, or directories that are searched for them at any depth; or one dataset: a directory or CSV file of a
    /// known layout, or an experiment file.
    #[arg(required = true, value_name = "AUDIO|DATASET")]
    sources: Vec<PathBuf>,
    /// Write the vectors to this file: float32, one row per track. The ids of the rows are written to FILE.txt.
    #[arg(long, value_name = "FILE.npy")]
    out: PathBuf,
    /// Write predicted factors (for a tagger: its logits) or the last hidden layer [default: factors if the run predicts
    /// them].
    #[arg(long)]
    by: Option<VectorKind>,
    /// Treat the directory as audio files even if it is a dataset.
    #[arg(long)]
    files: bool,
    /// Replace existing files.
    #[arg(long)]
    force: bool,
    /// Checkpoint to use: best or last.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Written {
    out: PathBuf,
    ids: PathBuf,
    tracks: usize,
    features: usize,
    by: &'static str,
    left_out: usize,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    let out = &arguments.out;
    if out.extension().is_none_or(|ending| ending != "npy") {
        return Err(Error::Config(format!(
            "--out {}: the file name must end in .npy",
            out.display()
        )));
    }
    let lines = out.with_extension("txt");
    check_absent(&[out, &lines], arguments.force)?;
    check_writable(out)?;
    let dataset = dataset(arguments)?;
    let device = context.open_device()?;
    let ensemble = Ensemble::open(&arguments.model, arguments.checkpoint, &device.device)?;
    let by = arguments.by.unwrap_or(VectorKind::preferred(!ensemble.has_tags()));
    let (ids, vectors, left_out) = match dataset {
        Some(dataset) => of_dataset(context, &ensemble, by, &dataset)?,
        None => of_files(context, &ensemble, by, &audio_files(&arguments.sources)?)?,
    };
    if let Some(id) = ids.iter().find(|id| id.contains(['\n', '\r'])) {
        return Err(Error::Data(format!(
            "{id:?} contains a line break, but ids are written one per line; rename it"
        )));
    }
    let mut bytes = Vec::new();
    npy::write(&mut bytes, &[vectors.rows(), vectors.columns()], vectors.data())
        .expect("writing to a vector cannot fail");
    let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
    write_together(&[(out, &bytes), (&lines, text.as_bytes())])?;

    let written = Written {
        out: out.clone(),
        ids: lines,
        tracks: vectors.rows(),
        features: vectors.columns(),
        by: by.name(),
        left_out,
    };
    match arguments.json {
        true => print_json(&written)?,
        false => print(&format!(
            "{}: {} tracks, {} values per track ({}); ids: {}\n",
            written.out.display(),
            written.tracks,
            written.features,
            written.by,
            written.ids.display()
        ))?,
    }
    match left_out {
        0 => Ok(()),
        count => Err(Error::Data(format!(
            "{count} tracks could not be read and are left out; see the messages above"
        ))),
    }
}

/// The dataset that the command line names, if it does not name audio files.
fn dataset(arguments: &Arguments) -> Result<Option<DatasetConfig>> {
    let [one] = arguments.sources.as_slice() else { return Ok(None) };
    let ending = |known: &str| one.extension().is_some_and(|e| e.eq_ignore_ascii_case(known));
    if is_experiment(one) {
        return Ok(Some(Experiment::read(one, &[])?.dataset));
    }
    if arguments.files || EXTENSIONS.iter().any(|known| ending(known)) {
        return Ok(None);
    }
    if one.is_file() || is_dataset(one) {
        return Ok(Some(discover(one).map_err(from_dataset)?));
    }
    Ok(None)
}

/// Whether a directory has the layout of a dataset that is more than audio files.
fn is_dataset(folder: &Path) -> bool {
    folder.is_dir() && !matches!(discover(folder), Err(_) | Ok(DatasetConfig::Folders(_)))
}

/// Ids, their vectors, and the number of tracks left out.
type Embedded = (Vec<String>, Matrix, usize);

fn of_files(
    context: &Context,
    ensemble: &Ensemble,
    by: VectorKind,
    files: &[PathBuf],
) -> Result<Embedded> {
    ensemble.takes_audio()?;
    let bar = context.progress.predict("embed");
    let (mut ids, mut values, mut left_out) = (Vec::new(), Vec::new(), 0);
    for (index, file) in files.iter().enumerate() {
        if context.stop.load(Ordering::Relaxed) {
            bar.finish();
            return Err(Error::Interrupted("interrupted; nothing was written".into()));
        }
        match ensemble.vector(file, by.into()) {
            Ok(row) => {
                ids.push(file.display().to_string());
                values.extend(row);
            }
            Err(error) => {
                left_out += 1;
                tracing::error!("{error}");
            }
        }
        bar.predict(index + 1, files.len());
    }
    bar.finish();
    if ids.is_empty() {
        return Err(Error::Data(format!(
            "none of {} files could be read; see the messages above",
            files.len()
        )));
    }
    let width = values.len() / ids.len();
    let vectors = Matrix::new(ids.len(), width, values)?;
    Ok((ids, vectors, left_out))
}

fn of_dataset(
    context: &Context,
    ensemble: &Ensemble,
    by: VectorKind,
    dataset: &DatasetConfig,
) -> Result<Embedded> {
    let all = ensemble.models().iter().map(|model| by_model(context, model, by, dataset));
    let all: Vec<Embedded> = all.collect::<Result<_>>()?;
    let (ids, left_out) = (all[0].0.clone(), all[0].2);
    if let Some(other) = all.iter().position(|(other, ..)| *other != ids) {
        let name = |at: usize| &ensemble.models()[at].card().name;
        return Err(Error::Data(format!(
            "{} cannot use the same tracks as {}; use one model at a time",
            name(other),
            name(0)
        )));
    }
    let width = all.iter().map(|(_, vectors, _)| vectors.columns()).sum();
    let values =
        (0..ids.len()).flat_map(|row| all.iter().flat_map(move |(_, vectors, _)| vectors.row(row)));
    let vectors = Matrix::new(ids.len(), width, values.copied().collect())?;
    Ok((ids, vectors, left_out))
}

fn by_model(
    context: &Context,
    predictor: &Predictor,
    by: VectorKind,
    dataset: &DatasetConfig,
) -> Result<Embedded> {
    let collection = context.directories.load(dataset)?;
    let cache = context.directories.open_cache()?;
    let (rate, options) = (predictor.sample_rate(), ScanOptions::default());
    let bar = context.progress.scan();
    let report = scan(&collection.tracks, rate, &cache, &options, &context.stop, &|progress| {
        bar.scan(progress);
    });
    bar.finish();
    let report = report.map_err(crate::audio::AudioError::into_error)?;
    for entry in &report.quarantine {
        tracing::error!("{}: {}", entry.id, entry.message);
    }
    let (ids, audio): (Vec<String>, Vec<_>) = collection
        .tracks
        .iter()
        .zip(report.audio)
        .filter_map(|(track, audio)| Some((track.id.clone(), audio?)))
        .unzip();
    if ids.is_empty() {
        return Err(Error::Data(format!(
            "no track of {} can be used; see the messages above",
            collection.name
        )));
    }
    let bar = context.progress.predict(&format!("embed {}", collection.name));
    let vectors = embed(
        |waveforms| predictor.apply(by.into(), waveforms),
        ids.clone(),
        audio,
        predictor.excerpt_samples(),
        predictor.device(),
        &context.stop,
        |done, total| bar.predict(done, total),
    );
    bar.finish();
    Ok((ids, vectors?, report.quarantine.len()))
}
