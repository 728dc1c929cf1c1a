//! `run`: train, evaluate and compare experiments.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::paths::files_below;
use super::{Context, print, print_json};
use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::report;
use crate::runs::checkpoint::Which;
use crate::runs::evaluate::evaluate;
use crate::runs::folder::RunFolder;
use crate::runs::session::Session;
use crate::runs::train::{check_finished, train};
use crate::training::training_loop::End;

/// The largest value of `--seeds`.
const MOST_SEEDS: u64 = 10_000;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Experiment files, or directories of them, searched to any depth.
    ///
    /// A file with a [grid] names all of its rows; FILE.toml#ROW names one.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Train each experiment with this many consecutive seeds, at most 10000; the first is its own.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seeds: u64,
    /// Change a value of every experiment: --set training.steps=100. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Directory in which runs are stored.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    runs: PathBuf,
    /// Directory of the report [default: report-NAME in the directory of the runs].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the comparison as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    let seeds = arguments.seeds;
    if !(1..=MOST_SEEDS).contains(&seeds) {
        return Err(Error::Config(format!(
            "--seeds is {seeds}: it must be from 1 to {MOST_SEEDS}"
        )));
    }
    // All files are read before training starts, so that a mistake in the last one does not cost hours.
    let mut experiments = Vec::new();
    for path in files(&arguments.paths)? {
        for experiment in Experiment::read_all(&path, &arguments.set)? {
            // Seeds of a file are below 2^63, so that this sum is below 2^64.
            for seed in experiment.seed..experiment.seed + seeds {
                experiments.push(experiment.with_seed(seed).map_err(|error| {
                    Error::Config(format!(
                        "--seeds {seeds} from seed {} on: {error}",
                        experiment.seed
                    ))
                })?);
            }
        }
    }
    check_names(&experiments)?;
    let device = context.open_device()?;
    let session = context.session(&device);
    let mut done = Vec::new();
    let mut failed: Vec<(PathBuf, Error)> = Vec::new();
    let total = experiments.len();
    for (index, experiment) in experiments.iter().enumerate() {
        let folder = RunFolder::of(&arguments.runs, experiment);
        tracing::info!("run {} of {total}: {}", index + 1, folder.path().display());
        match one(&session, experiment, &folder) {
            Ok(()) => done.push(folder.path().to_owned()),
            Err(error @ (Error::Interrupted(_) | Error::Device(_))) => return Err(error),
            Err(error) if total == 1 => return Err(error),
            Err(error) => {
                tracing::error!("{}: {error}", folder.path().display());
                failed.push((folder.path().to_owned(), error));
            }
        }
        if context.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted(
                "interrupted; run the same command again to resume".into(),
            ));
        }
    }
    if !done.is_empty() {
        let out = arguments
            .out
            .clone()
            .unwrap_or_else(|| arguments.runs.join(report_name(&arguments.paths)));
        let comparison = report::write(&done, &out)?;
        if arguments.json {
            print_json(&comparison.json)?;
        } else {
            print(&comparison.text)?;
            print(&format!("\nreport: {}\n", out.join("index.html").display()))?;
        }
    }
    match failed.pop() {
        None => Ok(()),
        Some((path, error)) => {
            let message = format!(
                "{} of {total} runs failed; the last is {}: {error}",
                failed.len() + 1,
                path.display()
            );
            Err(match error {
                Error::Config(_) => Error::Config(message),
                Error::Diverged(_) => Error::Diverged(message),
                _ => Error::Data(message),
            })
        }
    }
}

/// Trains and evaluates a run, except for what is already done.
fn one(session: &Session<'_>, experiment: &Experiment, folder: &RunFolder) -> Result<()> {
    if folder.is_trained()? {
        // The scores of a finished run are reported only for the experiment and the data that it was trained on.
        check_finished(session, experiment, folder)?;
        tracing::info!("{} is already trained", folder.path().display());
    } else {
        let trained = train(session, experiment, folder, true)?;
        if trained.end == End::Interrupted {
            return Err(Error::Interrupted(
                "interrupted and saved; run the same command again to resume".into(),
            ));
        }
        if experiment.cross_validation.is_some() {
            return Ok(());
        }
    }
    let is_scored = experiment.cross_validation.is_some() || folder.is_scored(Which::Best)?;
    if !is_scored {
        evaluate(session, folder, datasets::Split::Test, Which::Best)?;
    }
    Ok(())
}

/// Checks that no two names differ only in case: macOS and Windows would give both experiments the same directory.
fn check_names(experiments: &[Experiment]) -> Result<()> {
    let mut names = BTreeMap::new();
    for Experiment { name, .. } in experiments {
        let known = names.entry(name.to_lowercase()).or_insert(name);
        if *known != name {
            return Err(Error::Config(format!(
                "the names {known:?} and {name:?} differ only in case, so their runs would share a directory on macOS and \
                 Windows; rename one"
            )));
        }
    }
    Ok(())
}

/// The experiment files that the paths name; those of directories, searched to any depth, in order of name.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let found = files_below(path, &["toml"])?;
            if found.is_empty() {
                return Err(Error::Config(format!(
                    "{} does not contain a .toml file: name experiment files, or a directory of them",
                    path.display()
                )));
            }
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// `report-` and the name of the first path: of the directory, the file or the row.
fn report_name(paths: &[PathBuf]) -> String {
    let stem = paths.first().and_then(|path| path.file_stem()).unwrap_or_default();
    let name = paths.first().and_then(|path| Experiment::row_of(path));
    format!("report-{}", name.map_or(stem.to_string_lossy(), Into::into))
}
