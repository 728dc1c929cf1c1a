//! Loads evaluated runs and writes their report.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use models::front_end::{FrontEndConfig, PyramidKind};
use models::{ModelConfig, Network, NetworkConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::analysis::Analysis;
use super::evaluated_run::{EvaluatedRun, Filters, Multiscale, Patches, ReportError, Task};
use super::multiscale_figures::MAX_CENTROIDS;
use super::{report_page, settings};
use crate::error::{Error, Result};
use crate::evaluation::bootstrap::Bootstrap;
use crate::evaluation::metrics::{Scores, Targets};
use crate::evaluation::predictions::Predictions;
use crate::evaluation::recommendation::Recommendation;
use crate::experiment::{Experiment, Loss};
use crate::io::files::{create_folder, read_text, write_atomic};
use crate::runs::checkpoint::Which;
use crate::runs::command_line;
use crate::runs::folder::RunFolder;
use crate::runs::model;
use crate::training::log::LogLine;

/// The comparison that [`write()`] wrote, for the terminal and for other programs.
pub struct Comparison {
    /// Tables in plain text.
    pub text: String,
    /// The [`Analysis`] as JSON.
    pub json: serde_json::Value,
}

/// Writes the report of `runs` to `index.html` in the directory `out`.
///
/// # Errors
/// If a directory does not hold an evaluated run, or the page cannot be written.
pub fn write(runs: &[PathBuf], out: &Path) -> Result<Comparison> {
    let mut runs: Vec<EvaluatedRun> = runs.iter().map(|run| load(run)).collect::<Result<_>>()?;
    let mut seen = BTreeSet::new();
    for run in &mut runs {
        // The centroids of one run per experiment are shown; those of all runs would fill the memory.
        if seen.insert((run.dataset.clone(), run.group.clone()))
            && let Some(model) = &mut run.multiscale
        {
            model.patches = patches(&RunFolder::open(&run.folder)?, &model.levels)?;
        }
    }
    let broken = |error: ReportError| Error::Data(error.to_string());
    let analysis = Analysis::new(&runs, &Bootstrap::default()).map_err(broken)?;
    let command = command_line::recorded();
    let page = report_page::render(&analysis, &runs, &command).map_err(broken)?;
    create_folder(out)?;
    write_atomic(&out.join("index.html"), page.as_bytes())?;
    Ok(Comparison {
        text: report_page::text(&analysis),
        json: serde_json::to_value(&analysis).expect("plain data serializes as JSON"),
    })
}

fn load(path: &Path) -> Result<EvaluatedRun> {
    let folder = RunFolder::open(path)?;
    let experiment = folder.experiment()?;
    let environment = folder.environment()?;
    let recommends = experiment.listening.is_some();
    let evaluated = if recommends { "scores.json" } else { "predictions.csv" };
    if !folder.file(evaluated).exists() {
        return Err(Error::Data(format!(
            "{} is not evaluated: run `tonotopy evaluate {}` first",
            path.display(),
            path.display()
        )));
    }
    folder.warn_if_unfinished()?;
    let result = if recommends { recommendation(&folder)? } else { tagging(&folder)? };
    let log = folder.log()?;
    let end = log.iter().rev().find_map(|line| match line {
        LogLine::End { step, seconds, .. } => Some((*step, *seconds)),
        _ => None,
    });
    let (steps, seconds) = end.unwrap_or_default();
    let listeners = experiment.listening.as_ref();
    Ok(EvaluatedRun {
        name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        group: experiment.name.clone(),
        seed: experiment.seed,
        about: experiment.about.clone(),
        settings: settings::flatten(&experiment),
        dataset: result.dataset,
        split: result.split,
        task: match experiment.training.loss {
            _ if recommends => Task::Recommendation,
            Loss::CrossEntropy => Task::Genres,
            _ => Task::Tags,
        },
        model: experiment.model.describe(),
        parameters: environment.parameters,
        steps,
        seconds,
        device: format!("{} ({})", environment.device, environment.device_name),
        paper: experiment.paper.clone(),
        log,
        example_tags: example_tags(&folder, result.recommendation.as_ref())?,
        recommendation: result.recommendation,
        simulated: matches!(listeners, Some(datasets::InteractionsConfig::SyntheticListeners(_))),
        predictions: result.predictions,
        targets: result.targets,
        filters: filters(&folder, &experiment)?,
        multiscale: multiscale(&experiment),
        folder: path.to_owned(),
        environment: BTreeMap::from([
            ("tonotopy".into(), environment.tonotopy),
            ("commit".into(), environment.commit),
            ("burn".into(), environment.burn),
            ("backend".into(), environment.backend),
            ("device".into(), environment.device_name),
            ("system".into(), environment.os),
        ]),
        notes: environment.notes,
        quarantine: rows(&folder.file("quarantine.csv"))?,
        command: environment.command,
    })
}

/// What `tonotopy evaluate` wrote.
struct Evaluation {
    dataset: String,
    split: String,
    recommendation: Option<Recommendation>,
    predictions: Predictions,
    targets: Targets,
}

fn tagging(folder: &RunFolder) -> Result<Evaluation> {
    let predictions = Predictions::read(&folder.file("predictions.csv"))
        .map_err(|error| Error::Data(error.to_string()))?;
    let scores = Scores::read(&folder.file("scores.json"))
        .map_err(|error| Error::Data(error.to_string()))?;
    Ok(Evaluation {
        dataset: scores.dataset,
        split: scores.split,
        recommendation: None,
        targets: targets(folder, &predictions)?,
        predictions,
    })
}

fn recommendation(folder: &RunFolder) -> Result<Evaluation> {
    let path = folder.file("scores.json");
    let found: Recommendation = serde_json::from_str(&read_text(&path)?).map_err(|error| {
        Error::Data(format!(
            "{} does not hold recommendation scores: {error}; evaluate the run again",
            path.display()
        ))
    })?;
    Ok(Evaluation {
        dataset: found.dataset.clone(),
        split: found.split.clone(),
        recommendation: Some(found),
        predictions: Predictions { ids: Vec::new(), tags: Vec::new(), values: Vec::new() },
        targets: Targets { ids: Vec::new(), tags: Vec::new(), values: Vec::new() },
    })
}

/// The rows of a CSV file with a header.
fn rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let broken =
        |error| Error::Data(format!("{}: {error}; restore the original file", path.display()));
    csv::Reader::from_path(path)
        .map_err(broken)?
        .deserialize()
        .map(|row| row.map_err(broken))
        .collect()
}

/// A track of a run's `manifest.csv`; the other columns are not needed.
#[derive(Deserialize)]
struct ManifestTrack {
    id: String,
    /// Separated by `|`.
    tags: String,
}

impl ManifestTrack {
    fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.split('|').filter(|tag| !tag.is_empty())
    }
}

/// Tags of the tracks that a run's examples of similar tracks name.
fn example_tags(
    folder: &RunFolder,
    found: Option<&Recommendation>,
) -> Result<BTreeMap<String, Vec<String>>> {
    let examples = found.and_then(|found| found.similar_tracks.as_ref());
    let named: BTreeSet<&String> = examples
        .iter()
        .flat_map(|similar| &similar.examples)
        .flat_map(|e| [&e.id].into_iter().chain(&e.by_listening).chain(&e.by_prediction))
        .collect();
    if named.is_empty() {
        return Ok(BTreeMap::new());
    }
    let tracks: Vec<ManifestTrack> = rows(&folder.file("manifest.csv"))?;
    let named = tracks.iter().filter(|track| named.contains(&track.id));
    Ok(named.map(|track| (track.id.clone(), track.tags().map(String::from).collect())).collect())
}

/// The true tags of the predicted tracks.
fn targets(folder: &RunFolder, predictions: &Predictions) -> Result<Targets> {
    let path = folder.file("manifest.csv");
    let tracks: Vec<ManifestTrack> = rows(&path)?;
    let tracks: HashMap<&str, &ManifestTrack> =
        tracks.iter().map(|track| (track.id.as_str(), track)).collect();
    let number: HashMap<&str, usize> =
        predictions.tags.iter().enumerate().map(|(index, tag)| (tag.as_str(), index)).collect();
    let of_track = |id: &String| -> Result<Vec<usize>> {
        let track = tracks.get(id.as_str()).ok_or_else(|| {
            Error::Data(format!(
                "track {id} of predictions.csv is not in {}: evaluate the run again",
                path.display()
            ))
        })?;
        Ok(track.tags().filter_map(|tag| number.get(tag).copied()).collect())
    };
    let rows: Vec<Vec<usize>> = predictions.ids.iter().map(of_track).collect::<Result<_>>()?;
    Targets::from_indices(predictions.ids.clone(), predictions.tags.clone(), rows)
        .map_err(|error| Error::Data(error.to_string()))
}

/// The filters of the best checkpoint, if the front end is learned.
fn filters(folder: &RunFolder, experiment: &Experiment) -> Result<Option<Filters>> {
    if !experiment.model.front_end().is_some_and(FrontEndConfig::is_learned) {
        return Ok(None);
    }
    let outputs = folder.outputs(experiment)?.len();
    let model = model::trained(folder, experiment, outputs, Which::Best, &Device::flex())?;
    Ok(model.filters().map(|filters| Filters {
        sample_rate: experiment.model.sample_rate(),
        length: filters.length,
        weights: filters.weights,
        pool: filters.pool,
    }))
}

/// The settings of a model of multiscale features.
fn multiscale(experiment: &Experiment) -> Option<Multiscale> {
    let ModelConfig::Multiscale(config) = &experiment.model else { return None };
    let front_end = match &config.front_end {
        FrontEndConfig::Multiresolution(_) => "multiresolution",
        FrontEndConfig::Pyramid(config) if config.kind == PyramidKind::Gaussian => {
            "Gaussian pyramid"
        }
        FrontEndConfig::Pyramid(_) => "Laplacian pyramid",
        FrontEndConfig::Frames(_) => "features",
        FrontEndConfig::Free(_) => "free filters",
        FrontEndConfig::Gabor(_) => "Gabor filters",
        FrontEndConfig::Mel(_) => "mel",
        FrontEndConfig::Mfcc(_) => "MFCC",
        FrontEndConfig::Sinc(_) => "sinc filters",
        FrontEndConfig::Strided(_) => "strided",
    };
    let levels = config.used_levels();
    Some(Multiscale {
        representation: match config.frames {
            1 => format!("{front_end}, 1 frame"),
            frames => format!("{front_end}, {frames} frames"),
        },
        means: config.means,
        all_levels: levels.len() == config.front_end.levels(),
        levels,
        patches: Vec::new(),
    })
}

/// Up to [`MAX_CENTROIDS`] centroids of each level, evenly chosen in the order of their peaks.
fn patches(folder: &RunFolder, levels: &[usize]) -> Result<Vec<Patches>> {
    let ModelConfig::Multiscale(config) = folder.experiment()?.model else { return Ok(Vec::new()) };
    if config.means == 0 {
        return Ok(Vec::new());
    }
    let fitted = folder.fitted()?;
    let (frames, bands) = (config.frames, config.level_bands());
    let of_level = |&level: &usize| -> Result<Patches> {
        let all = config
            .patches(level, &fitted)
            .map_err(|error| Error::Data(format!("{}: {error}", folder.path().display())))?;
        let mut order: Vec<&[f32]> = all.chunks_exact(frames * bands).collect();
        order.sort_by_cached_key(|patch| {
            let peak = (0..patch.len()).max_by(|a, b| patch[*a].abs().total_cmp(&patch[*b].abs()));
            peak.unwrap_or(0) % bands
        });
        let count = order.len().min(MAX_CENTROIDS);
        let chosen = (0..count).map(|at| order[at * order.len() / count]);
        Ok(Patches { level, count, frames, bands, values: chosen.flatten().copied().collect() })
    };
    levels.iter().map(of_level).collect()
}
