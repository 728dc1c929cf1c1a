//! `scan`: decode and resample every track of a dataset once, and list the unusable ones.

use std::path::{Path, PathBuf};

use datasets::tracks::manifest::{COLUMNS, Paths, remove_unwritable, to_csv, unlisted};
use datasets::{DatasetConfig, SplitSpec, assign_splits, discover};
use models::NetworkConfig;
use serde::Serialize;

use super::{Context, print, print_json};
use crate::audio::scan::MIN_SECONDS;
use crate::audio::{ScanOptions, quarantine_csv, scan};
use crate::data::directories::from_dataset;
use crate::data::identical_audio::{IdenticalAudio, identical_audio};
use crate::error::{Error, Result};
use crate::experiment::{Experiment, is_experiment};
use crate::io::files::{check_writable, create_folder, write_atomic, write_together};
use crate::report::format::duration;
use crate::runs::transfer_source;

/// The manifest that a scan writes. It never has the name of a manifest that the user wrote, which the next scan of the
/// directory would read instead of the directory.
const MANIFEST: &str = "manifest-scanned.csv";

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Experiment file, or dataset: a directory or CSV file of a known layout.
    target: PathBuf,
    /// Split the tracks by artist or at random, with these shares of train, valid and test, such as artist:8/1/1.
    #[arg(long, value_name = "KIND:A/B/C")]
    split: Option<SplitSpec>,
    /// Random seed of the split.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Resample to this rate [default: the experiment's rate, or 16000].
    #[arg(long, value_name = "HZ")]
    sample_rate: Option<u32>,
    /// Quarantine tracks shorter than this.
    #[arg(long, default_value_t = MIN_SECONDS, value_name = "SECONDS")]
    min_seconds: f64,
    /// Read every file again, even if its size and modification time have not changed.
    #[arg(long)]
    verify: bool,
    /// Write manifest-scanned.csv and quarantine.csv to this directory [default: the directory of the dataset].
    ///
    /// In a directory that does not contain the audio, the manifest lists absolute paths. An experiment can use it with
    /// `absolute_paths = true` in `[dataset]`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Allow absolute paths in the manifest that is read and in the one that is written.
    ///
    /// For audio on a read-only disk, whose manifest is in another directory.
    #[arg(long)]
    absolute_paths: bool,
    /// Directory in which runs are stored, for an experiment that uses another run.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    runs: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Scanned {
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
    let (mut dataset, rate) = if is_experiment(&arguments.target) {
        let experiment =
            transfer_source::resolved(&Experiment::read(&arguments.target, &[])?, &arguments.runs)?;
        (experiment.dataset.clone(), experiment.model.sample_rate())
    } else {
        (discover(&arguments.target).map_err(from_dataset)?, 16_000)
    };
    let rate = arguments.sample_rate.unwrap_or(rate);
    if !(1_000..=768_000).contains(&rate) {
        return Err(Error::Config(format!(
            "--sample-rate is {rate}, but must be from 1000 to 768000 Hz"
        )));
    }
    if !(arguments.min_seconds >= 0.0 && arguments.min_seconds.is_finite()) {
        return Err(Error::Config(format!(
            "--min-seconds is {}, but must be a finite number of at least 0",
            arguments.min_seconds
        )));
    }
    let mut absolute_paths = arguments.absolute_paths;
    if let DatasetConfig::Manifest(config) = &mut dataset {
        config.absolute_paths |= absolute_paths;
        absolute_paths = config.absolute_paths;
    }
    let root = dataset.root().map(|root| context.directories.at(root));
    let out = match (&arguments.out, &root) {
        (Some(out), Some(root))
            if arguments.split.is_some() && !absolute_paths && !is_below(root, out) =>
        {
            return Err(Error::Config(format!(
                "--out {}: a manifest with a split must be in a directory above its files; name a directory above {}, \
                 allow absolute paths with --absolute-paths, or remove --out",
                out.display(),
                root.display()
            )));
        }
        (Some(out), _) => out.clone(),
        (None, Some(root)) if root.is_dir() => root.clone(),
        (None, Some(root)) => parent(root),
        (None, None) => PathBuf::from(format!("scan-{}", dataset.name())),
    };
    // Fail before decoding.
    check_writable(&nearest(&out).join(MANIFEST)).map_err(|error| {
        Error::Data(format!(
            "{error}; choose another directory for {MANIFEST} and quarantine.csv with --out DIR"
        ))
    })?;
    let mut collection = context.directories.load(&dataset)?;
    let manifest = out.join(MANIFEST);
    if let (DatasetConfig::Manifest(_), Some(root)) = (&dataset, &root)
        && root.is_dir()
    {
        let note = unlisted(root, &collection).unwrap_or_else(|error| {
            Some(format!("audio files that are not in the manifest are not counted: {error}"))
        });
        collection.notes.extend(note);
    }
    if arguments.split.is_none()
        && collection.tracks.iter().all(|track| track.split.is_none())
        && has_splits(&manifest)
    {
        return Err(Error::Config(format!(
            "{} has splits, which a scan without --split would remove; repeat the --split and --seed of that scan, choose \
             another --out, or delete it",
            manifest.display()
        )));
    }
    let cache = context.directories.open_cache()?;
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
    collection.notes.extend(report.ends_early_note());
    let is_usable = !collection.tracks.is_empty();
    if let Some(spec) = arguments.split.as_ref().filter(|_| is_usable) {
        let replaced = collection.tracks.iter().filter(|track| track.split.is_some()).count();
        let split = assign_splits(&mut collection, spec, arguments.seed).map_err(from_dataset)?;
        if replaced > 0 {
            collection.notes.push(format!(
                "--split replaces the split that {replaced} tracks have in the dataset"
            ));
        }
        collection.notes.push(split.to_string());
    }
    let IdenticalAudio { notes: identical, leak } =
        identical_audio(&collection.tracks, &collection.tags, report.audio.iter().flatten());
    collection.notes.extend(identical);
    collection.notes.extend(leak.map(|leak| format!("warning: {leak}")));
    create_folder(&out)?;
    remove_unwritable(&mut collection, Paths::RelativeTo(&out)).map_err(from_dataset)?;
    let mut notes = std::mem::take(&mut collection.notes);

    let without = collection.tracks.iter().filter(|track| track.split.is_none()).count();
    if 0 < without && without < collection.tracks.len() {
        notes.push(format!(
            "{without} of {} tracks have no split; fill in the column before training, or use --split",
            collection.tracks.len()
        ));
    }

    if is_usable && collection.tracks.is_empty() {
        return Err(Error::Data(format!(
            "none of the {tracks} tracks of {} can be written into a manifest: their file names are not UTF-8; rename the \
             files",
            collection.name
        )));
    }
    let quarantine = out.join("quarantine.csv");
    let csv = to_csv(&collection, Paths::RelativeTo(&out)).map_err(from_dataset)?;
    if has_absolute_paths(&csv) {
        notes.push(
            "the manifest has absolute paths: an experiment needs absolute_paths = true in [dataset] to read it".into(),
        );
    }
    let quarantined = quarantine_csv(&report.quarantine);
    let is_input = |path: &Path| root.as_ref().is_some_and(|root| is_same(root, path));
    if is_usable && !report.quarantine.is_empty() && is_input(&manifest) {
        write_atomic(&quarantine, &quarantined)?;
        return Err(Error::Data(format!(
            "{} is the manifest that was scanned, and would lose the {} tracks in {}: correct them, or choose another \
             directory with --out DIR",
            manifest.display(),
            report.quarantine.len(),
            quarantine.display()
        )));
    }
    match is_usable {
        true => write_together(&[(&manifest, &csv), (&quarantine, &quarantined)])?,
        false => {
            write_atomic(&quarantine, &quarantined)?;
            return Err(Error::Data(format!(
                "none of the {tracks} tracks of {} can be used; the first reason is: {}; see {}",
                collection.name,
                report.quarantine.first().map_or("nothing", |entry| &entry.message),
                quarantine.display()
            )));
        }
    }

    let scanned = Scanned {
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
        return print_json(&scanned);
    }
    let mut text = format!(
        "{}: {} of {} tracks can be used, {} at {} Hz ({} decoded now, {} from the cache)\n",
        scanned.dataset,
        scanned.usable,
        scanned.tracks,
        duration(scanned.seconds_of_audio),
        scanned.sample_rate,
        scanned.decoded,
        scanned.from_cache,
    );
    for entry in report.quarantine.iter().take(10) {
        text += &format!("quarantine: {}: {}\n", entry.id, entry.message);
    }
    if report.quarantine.len() > 10 {
        text += &format!("quarantine: {} more tracks\n", report.quarantine.len() - 10);
    }
    for note in &scanned.notes {
        text += &format!("{note}\n");
    }
    text += &format!("manifest: {}\nquarantine: {}\n", scanned.manifest, scanned.quarantine);
    print(&text)
}

/// Whether the manifest of an earlier scan has splits; false if it cannot be read.
fn has_splits(manifest: &Path) -> bool {
    let Ok(mut reader) = csv::ReaderBuilder::new().flexible(true).from_path(manifest) else {
        return false;
    };
    let column =
        reader.headers().ok().and_then(|names| names.iter().position(|name| name == "split"));
    let filled = |row: csv::StringRecord| row.get(column?).map(|split| !split.is_empty());
    reader.into_records().flatten().any(|row| filled(row).unwrap_or(false))
}

/// Whether a row of a manifest has an absolute path.
fn has_absolute_paths(manifest: &[u8]) -> bool {
    let mut reader = csv::Reader::from_reader(manifest);
    let path = COLUMNS.iter().position(|column| *column == "path");
    let mut paths = reader
        .records()
        .flatten()
        .filter_map(|row| row.get(path?).map(|path| Path::new(path).is_absolute()));
    paths.any(|is_absolute| is_absolute)
}

/// The directory, or its nearest parent that exists.
fn nearest(folder: &Path) -> &Path {
    let above = folder.ancestors().filter(|above| !above.as_os_str().is_empty());
    above.into_iter().find(|above| above.exists()).unwrap_or(Path::new("."))
}

/// Whether both paths are the same existing file.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    real(one).is_some_and(|one| real(other) == Some(one))
}

/// Whether `path` is `folder` or below it; links are followed.
fn is_below(path: &Path, folder: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
    real(path).zip(real(folder)).is_some_and(|(path, folder)| path.starts_with(folder))
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
