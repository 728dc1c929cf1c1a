//! `scan`: decode a data set once, and say what of it can be used.

use std::path::{Path, PathBuf};

use datasets::tracks::manifest::{Paths, to_csv};
use datasets::{SplitSpec, assign_splits, discover};
use models::NetworkConfig;
use serde::Serialize;

use super::{Context, print, print_json};
use crate::audio::{ScanOptions, quarantine_csv, scan};
use crate::data::prepare::from_dataset;
use crate::error::{Error, Result};
use crate::experiment::{Experiment, is_experiment};
use crate::io::files::{check_place, create_folder, write_atomic, write_together};
use crate::report::format::duration;
use crate::runs::transfer_source;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// An experiment file, or a data set: a folder (or CSV) of one of the known layouts.
    target: PathBuf,
    /// Make a split by artist or at random, with shares of train, valid and test: artist:8/1/1.
    #[arg(long, value_name = "KIND:A/B/C")]
    split: Option<SplitSpec>,
    /// Seed of the split.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rate to resample to, in Hz [default: the experiment's, or 16000].
    #[arg(long, value_name = "HZ")]
    sample_rate: Option<u32>,
    /// Quarantine tracks shorter than this many seconds.
    #[arg(long, default_value_t = 0.5, value_name = "SECONDS")]
    min_seconds: f64,
    /// Read every file again instead of trusting its size and time of change.
    #[arg(long)]
    verify: bool,
    /// Folder for manifest.csv and quarantine.csv [default: that of the data set].
    ///
    /// A manifest that lies neither there nor above names its files by absolute paths: it says what was
    /// found, but cannot be trained on.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Summary {
    dataset: String,
    tracks: usize,
    usable: usize,
    decoded: usize,
    from_cache: usize,
    quarantined: usize,
    seconds_of_audio: f64,
    sample_rate: u32,
    manifest: String,
    quarantine: String,
    notes: Vec<String>,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    let (dataset, rate) = if is_experiment(&arguments.target) {
        let experiment = transfer_source::resolved(
            &Experiment::read(&arguments.target, &[])?,
            Path::new("runs"),
        )?;
        (experiment.dataset.clone(), experiment.model.sample_rate())
    } else {
        (discover(&arguments.target).map_err(from_dataset)?, 16_000)
    };
    let rate = arguments.sample_rate.unwrap_or(rate);
    if !(1_000..=768_000).contains(&rate) {
        return Err(Error::Config(format!(
            "--sample-rate is {rate}: it must be from 1000 to 768000 Hz"
        )));
    }
    if !(arguments.min_seconds >= 0.0 && arguments.min_seconds.is_finite()) {
        return Err(Error::Config(format!(
            "--min-seconds is {}: it must be at least 0",
            arguments.min_seconds
        )));
    }
    let root = dataset.root().map(|root| match &context.places.data {
        Some(data) => data.join(root),
        None => root.to_owned(),
    });
    let out = match (&arguments.out, &root) {
        (Some(out), Some(root)) if arguments.split.is_some() && !lies_below(root, out) => {
            return Err(Error::Config(format!(
                "--out {}: an experiment reads a split from its manifest, and a manifest takes only \
                 files below its own folder: name a folder above {}, or leave --out away",
                out.display(),
                root.display()
            )));
        }
        (Some(out), _) => out.clone(),
        (None, Some(root)) if root.is_dir() => root.clone(),
        (None, Some(root)) => parent(root),
        (None, None) => PathBuf::from(format!("scan-{}", dataset.name())),
    };
    // Before everything is decoded.
    check_place(&nearest(&out).join("manifest.csv")).map_err(|error| {
        Error::Data(format!("{error}: --out DIR puts manifest.csv and quarantine.csv elsewhere"))
    })?;
    let mut collection = context.places.load(&dataset)?;
    // One's own manifest is never replaced by what was made from it.
    let manifest = match out.join("manifest.csv") {
        taken if taken.exists() => out.join("manifest-scanned.csv"),
        free => free,
    };
    if arguments.split.is_none()
        && collection.tracks.iter().all(|track| track.split.is_none())
        && has_splits(&manifest)
    {
        return Err(Error::Config(format!(
            "{} gives every track a split, which a scan without --split would take away: give the --split and --seed \
             that it was made with, or another --out, or delete it",
            manifest.display()
        )));
    }
    let cache = context.places.open_cache()?;
    let options = ScanOptions {
        min_seconds: arguments.min_seconds,
        verify: arguments.verify,
        ..ScanOptions::default()
    };
    let bar = context.progress.scan();
    let report = scan(&collection.tracks, rate, &cache, &options, &context.stop, &|progress| {
        bar.scan(progress);
    });
    bar.finish();
    let report = report.map_err(crate::audio::AudioError::into_error)?;

    let tracks = collection.tracks.len();
    let mut usable = report.audio.iter().map(Option::is_some);
    collection.tracks.retain(|_| usable.next().unwrap_or(false));
    let mut notes = collection.notes.clone();
    let is_usable = !collection.tracks.is_empty();
    if let Some(spec) = arguments.split.as_ref().filter(|_| is_usable) {
        let split = assign_splits(&mut collection, spec, arguments.seed).map_err(from_dataset)?;
        notes.push(split.to_string());
    }

    let without = collection.tracks.iter().filter(|track| track.split.is_none()).count();
    if 0 < without && without < collection.tracks.len() {
        notes.push(format!(
            "{without} tracks have no split and the others have: fill the column before you train, or give --split"
        ));
    }

    create_folder(&out)?;
    let quarantine = out.join("quarantine.csv");
    let csv = to_csv(&collection, Paths::RelativeTo(&out)).map_err(from_dataset)?;
    let quarantined = quarantine_csv(&report.quarantine);
    match is_usable {
        true => write_together(&[(&manifest, &csv), (&quarantine, &quarantined)])?,
        false => {
            write_atomic(&quarantine, &quarantined)?;
            return Err(Error::Data(format!(
                "none of the {tracks} tracks of {} can be used, the first because of: {}; {} has them all",
                collection.name,
                report.quarantine.first().map_or("nothing", |entry| &entry.message),
                quarantine.display()
            )));
        }
    }

    let summary = Summary {
        dataset: collection.name.clone(),
        tracks,
        usable: collection.tracks.len(),
        decoded: report.decoded,
        from_cache: report.from_cache,
        quarantined: report.quarantine.len(),
        seconds_of_audio: report.seconds_of_audio,
        sample_rate: rate,
        manifest: manifest.display().to_string(),
        quarantine: quarantine.display().to_string(),
        notes,
    };
    if arguments.json {
        return print_json(&summary);
    }
    let mut text = format!(
        "{}: {} of {} tracks can be used, {} at {} Hz ({} decoded now, {} from the cache)\n",
        summary.dataset,
        summary.usable,
        summary.tracks,
        duration(summary.seconds_of_audio),
        summary.sample_rate,
        summary.decoded,
        summary.from_cache,
    );
    for entry in report.quarantine.iter().take(10) {
        text += &format!("quarantine: {}: {}\n", entry.id, entry.message);
    }
    if report.quarantine.len() > 10 {
        text += &format!("quarantine: {} more\n", report.quarantine.len() - 10);
    }
    for note in &summary.notes {
        text += &format!("{note}\n");
    }
    text += &format!("manifest: {}\nquarantine: {}\n", summary.manifest, summary.quarantine);
    print(&text)
}

/// Whether a manifest of an earlier scan says of any track which split it is in. One that cannot be read says nothing.
fn has_splits(manifest: &Path) -> bool {
    let Ok(mut reader) = csv::ReaderBuilder::new().flexible(true).from_path(manifest) else {
        return false;
    };
    let column =
        reader.headers().ok().and_then(|names| names.iter().position(|name| name == "split"));
    let filled = |row: csv::StringRecord| row.get(column?).map(|split| !split.is_empty());
    reader.into_records().flatten().any(|row| filled(row).unwrap_or(false))
}

/// The folder, or what is there of those above it.
fn nearest(folder: &Path) -> &Path {
    let above = folder.ancestors().filter(|above| !above.as_os_str().is_empty());
    above.into_iter().find(|above| above.exists()).unwrap_or(Path::new("."))
}

/// Whether `path` is `folder` or something in it; links are followed.
fn lies_below(path: &Path, folder: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
    real(path).zip(real(folder)).is_some_and(|(path, folder)| path.starts_with(folder))
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
