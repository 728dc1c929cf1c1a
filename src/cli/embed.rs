//! `embed`: what a network makes of audio files, or of every track of a data set, as numbers to go on with.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use datasets::tracks::folders::ENDINGS;
use datasets::{DatasetConfig, discover};
use serde::Serialize;

use super::audio_files::files;
use super::{Context, print, print_json};
use crate::audio::{ScanOptions, scan};
use crate::data::prepare::from_dataset;
use crate::error::{Error, Result};
use crate::experiment::{Experiment, is_experiment};
use crate::inference::embeddings::embed;
use crate::inference::ensemble::Ensemble;
use crate::inference::predictor::Predictor;
use crate::io::files::{check_place, write_together};
use crate::io::npy;
use crate::listening::catalogue::By;
use crate::listening::matrix::Matrix;
use crate::runs::checkpoint::Which;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A trained run, a .safetensors file, or a folder of these, whose vectors are put one after the other.
    #[arg(value_name = "RUN|MODEL")]
    model: PathBuf,
    /// Audio files or folders of them (searched to any depth); or one data set: a folder (or CSV) of a
    /// known layout, or an experiment file whose data set is meant.
    #[arg(required = true, value_name = "AUDIO|DATASET")]
    sources: Vec<PathBuf>,
    /// The matrix, float32, a row a track; the ids of the rows are written beside it, to FILE with .txt
    /// in the place of .npy.
    #[arg(long, value_name = "FILE.npy")]
    out: PathBuf,
    /// What is written: predicted factors (the outputs of a tagger, before they become
    /// probabilities), or the last hidden layer [default: factors if the run predicts any].
    #[arg(long)]
    by: Option<By>,
    /// Take the one folder that is named as audio files, not as a data set.
    #[arg(long)]
    files: bool,
    /// Replace what is there.
    #[arg(long)]
    force: bool,
    /// Which checkpoint to use.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// Print what was written as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Summary {
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
            "--out {}: give a name that ends in .npy",
            out.display()
        )));
    }
    if !arguments.force && out.exists() {
        return Err(Error::Config(format!(
            "{} exists: give another --out, or --force to replace it",
            out.display()
        )));
    }
    check_place(out)?;
    let dataset = dataset(arguments)?;
    let device = context.open_device()?;
    let ensemble = Ensemble::open(&arguments.model, arguments.checkpoint, &device.device)?;
    let by = match arguments.by {
        Some(by) => by,
        None if ensemble.has_tags() => By::Embedding,
        None => By::Factors,
    };
    let (ids, vectors, left_out) = match dataset {
        Some(dataset) => of_dataset(context, &ensemble, by, &dataset)?,
        None => of_files(context, &ensemble, by, &files(&arguments.sources)?)?,
    };
    if let Some(id) = ids.iter().find(|id| id.contains(['\n', '\r'])) {
        return Err(Error::Data(format!(
            "{id:?} holds a line break: the list of ids has a line each, so rename it"
        )));
    }
    let mut bytes = Vec::new();
    npy::write(&mut bytes, &[vectors.rows(), vectors.columns()], vectors.data())
        .expect("a vector takes all");
    let lines = out.with_extension("txt");
    let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
    write_together(&[(out, &bytes), (&lines, text.as_bytes())])?;

    let summary = Summary {
        out: out.clone(),
        ids: lines,
        tracks: vectors.rows(),
        features: vectors.columns(),
        by: by.name(),
        left_out,
    };
    match arguments.json {
        true => print_json(&summary)?,
        false => print(&format!(
            "{}: {} tracks, {} numbers each ({}); ids: {}\n",
            summary.out.display(),
            summary.tracks,
            summary.features,
            summary.by,
            summary.ids.display()
        ))?,
    }
    match left_out {
        0 => Ok(()),
        count => Err(Error::Data(format!(
            "{count} tracks could not be read and are left out; the lines above say why"
        ))),
    }
}

/// The data set that is named, if one is and not just audio.
fn dataset(arguments: &Arguments) -> Result<Option<DatasetConfig>> {
    let [one] = arguments.sources.as_slice() else { return Ok(None) };
    let ending = |known: &str| one.extension().is_some_and(|e| e.eq_ignore_ascii_case(known));
    if is_experiment(one) {
        return Ok(Some(Experiment::read(one, &[])?.dataset));
    }
    if arguments.files || ENDINGS.iter().any(|known| ending(known)) {
        return Ok(None);
    }
    if one.is_file() || is_dataset(one) {
        return Ok(Some(discover(one).map_err(from_dataset)?));
    }
    Ok(None)
}

/// Whether a folder has a layout that says more than which files there are.
fn is_dataset(folder: &Path) -> bool {
    folder.is_dir() && !matches!(discover(folder), Err(_) | Ok(DatasetConfig::Folders(_)))
}

/// Ids, their vectors, and how many were left out.
type Embedded = (Vec<String>, Matrix, usize);

fn of_files(context: &Context, ensemble: &Ensemble, by: By, files: &[PathBuf]) -> Result<Embedded> {
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
            "none of {} files could be read; the lines above say why",
            files.len()
        )));
    }
    let width = values.len() / ids.len();
    let vectors = Matrix::new(ids.len(), width, values);
    Ok((ids, vectors.map_err(|error| Error::Data(error.to_string()))?, left_out))
}

fn of_dataset(
    context: &Context,
    ensemble: &Ensemble,
    by: By,
    dataset: &DatasetConfig,
) -> Result<Embedded> {
    let mut models = ensemble.models().iter();
    let (Some(first), rest) = (models.next(), models) else {
        return Err(Error::Data("there is no model".into()));
    };
    let mut whole = by_model(context, first, by, dataset)?;
    for model in rest {
        let (ids, vectors, left_out) = by_model(context, model, by, dataset)?;
        if ids != whole.0 {
            return Err(Error::Data(format!(
                "{} can use other tracks than {}: embed with one model at a time",
                model.card().name,
                first.card().name
            )));
        }
        let rows = (0..ids.len()).flat_map(|row| [whole.1.row(row), vectors.row(row)].concat());
        let width = whole.1.columns() + vectors.columns();
        let joined = Matrix::new(ids.len(), width, rows.collect());
        whole = (ids, joined.map_err(|error| Error::Data(error.to_string()))?, left_out);
    }
    Ok(whole)
}

fn by_model(
    context: &Context,
    predictor: &Predictor,
    by: By,
    dataset: &DatasetConfig,
) -> Result<Embedded> {
    let collection = context.places.load(dataset)?;
    let cache = context.places.open_cache()?;
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
            "no track of {} can be used; the lines above say why, track by track",
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
