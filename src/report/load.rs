//! From run folders to what the report shows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use models::front_end::strided::PoolKind;
use models::front_end::{FrontEndConfig, PyramidKind};
use models::{ModelConfig, MultiscaleConfig, Network, NetworkConfig};

use super::analysis::Analysis;
use super::data::{Filters, Multiscale, Patches, Pool, Quarantined, ReportError, RunSummary, Task};
use super::multiscale::DRAWN;
use super::page::{Options, render_analysis};
use super::terminal;
use crate::error::{Error, Result};
use crate::evaluation::metrics::{Scores, Targets};
use crate::evaluation::predictions::Predictions;
use crate::evaluation::recommendation::Recommendation;
use crate::experiment::{Experiment, Loss};
use crate::io::files::{create_folder, read_text, write_atomic};
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;
use crate::runs::model;
use crate::training::log::LogLine;

/// The comparison that [`write()`] wrote, for the terminal and for programs.
pub struct Comparison {
    /// The table, as the terminal shows it.
    pub text: String,
    /// The [`Analysis`] as JSON.
    pub json: serde_json::Value,
}

/// Compares runs on one page, `index.html` in the folder `out`.
///
/// # Errors
/// If a folder holds no evaluated run, or the page cannot be written.
pub fn write(runs: &[PathBuf], out: &Path) -> Result<Comparison> {
    let mut runs: Vec<RunSummary> = runs.iter().map(|run| load(run)).collect::<Result<_>>()?;
    let mut seen = BTreeSet::new();
    for run in &mut runs {
        // Those of one run of an experiment tell enough, and all would fill the memory.
        if seen.insert((run.dataset.clone(), run.group.clone()))
            && let Some(model) = &mut run.multiscale
        {
            model.patches = patches(&RunFolder::open(&run.folder)?, &model.levels)?;
        }
    }
    let broken = |error: ReportError| Error::Data(error.to_string());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = Options {
        title: String::new(),
        command: format!("tonotopy {}", arguments.join(" ")),
        ..Options::default()
    };
    let analysis = Analysis::new(&runs, &options.bootstrap).map_err(broken)?;
    let page = render_analysis(&analysis, &runs, &options).map_err(broken)?;
    create_folder(out)?;
    write_atomic(&out.join("index.html"), page.as_bytes())?;
    let emphasis = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Ok(Comparison {
        text: terminal::text(&analysis, emphasis),
        json: serde_json::to_value(&analysis).expect("plain data becomes JSON"),
    })
}

/// Reads one run.
fn load(path: &Path) -> Result<RunSummary> {
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
    let lines = folder.log()?;
    let (steps, seconds) = lines
        .iter()
        .rev()
        .find_map(|line| match line {
            LogLine::End { step, seconds, .. } => Some((*step, *seconds)),
            _ => None,
        })
        .unwrap_or_default();
    Ok(RunSummary {
        name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        group: experiment.name.clone(),
        seed: experiment.seed,
        about: experiment.about.clone(),
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
        log: lines,
        example_tags: example_tags(&folder, result.recommendation.as_ref())?,
        recommendation: result.recommendation,
        simulated: matches!(
            experiment.listening,
            Some(datasets::InteractionsConfig::SyntheticListeners(_))
        ),
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
        quarantine: quarantine(&folder)?,
        command: environment.command,
    })
}

/// What a run's evaluation left.
struct Evaluation {
    dataset: String,
    split: String,
    recommendation: Option<Recommendation>,
    predictions: Predictions,
    targets: Targets,
}

fn tagging(folder: &RunFolder) -> Result<Evaluation> {
    let data =
        |error: crate::evaluation::predictions::PredictionsError| Error::Data(error.to_string());
    let predictions = Predictions::read(&folder.file("predictions.csv")).map_err(data)?;
    let scores =
        Scores::read(&folder.file("scores.json")).map_err(|e| Error::Data(e.to_string()))?;
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
            "{} does not hold the scores of recommendations: {error}; evaluate the run again",
            path.display()
        ))
    })?;
    let targets = Targets::from_indices(Vec::new(), Vec::new(), Vec::<Vec<usize>>::new())
        .map_err(|error| Error::Data(error.to_string()))?;
    Ok(Evaluation {
        dataset: found.dataset.clone(),
        split: found.split.clone(),
        recommendation: Some(found),
        predictions: Predictions { ids: Vec::new(), tags: Vec::new(), values: Vec::new() },
        targets,
    })
}

/// Tags of the tracks that a run's examples name, from its own manifest.
fn example_tags(
    folder: &RunFolder,
    found: Option<&Recommendation>,
) -> Result<BTreeMap<String, Vec<String>>> {
    let examples = found.and_then(|found| found.similar_tracks.as_ref());
    let named: BTreeSet<&str> = examples
        .iter()
        .flat_map(|similar| &similar.examples)
        .flat_map(|e| [&e.id].into_iter().chain(&e.by_listening).chain(&e.by_prediction))
        .map(String::as_str)
        .collect();
    if named.is_empty() {
        return Ok(BTreeMap::new());
    }
    let path = folder.file("manifest.csv");
    let broken = |error: csv::Error| Error::Data(format!("{}: {error}", path.display()));
    let mut reader = csv::Reader::from_path(&path).map_err(broken)?;
    let columns = reader.headers().map_err(broken)?.clone();
    let place = |name: &str| columns.iter().position(|column| column == name);
    let (Some(id), Some(tags)) = (place("id"), place("tags")) else {
        return Err(Error::Data(format!(
            "{} has no columns id and tags: put the file back as it was",
            path.display()
        )));
    };
    let mut found = BTreeMap::new();
    for row in reader.records() {
        let row = row.map_err(broken)?;
        let (id, tags) = (row.get(id).unwrap_or_default(), row.get(tags).unwrap_or_default());
        if named.contains(id) {
            let tags = tags.split('|').filter(|tag| !tag.is_empty()).map(String::from).collect();
            found.insert(id.to_string(), tags);
        }
    }
    Ok(found)
}

/// The truth of the predicted tracks, from the run's own manifest.
fn targets(folder: &RunFolder, predictions: &Predictions) -> Result<Targets> {
    let path = folder.file("manifest.csv");
    let broken = |error: csv::Error| Error::Data(format!("in {}: {error}", path.display()));
    let mut tags_of: HashMap<String, Vec<usize>> = HashMap::new();
    let number: HashMap<&str, usize> =
        predictions.tags.iter().enumerate().map(|(index, tag)| (tag.as_str(), index)).collect();
    for row in csv::Reader::from_path(&path).map_err(broken)?.records() {
        let row = row.map_err(broken)?;
        let (id, tags) = (row.get(0).unwrap_or_default(), row.get(3).unwrap_or_default());
        let tags = tags.split('|').filter_map(|tag| number.get(tag).copied()).collect();
        tags_of.insert(id.to_string(), tags);
    }
    let rows: Vec<Vec<usize>> = predictions
        .ids
        .iter()
        .map(|id| {
            tags_of.remove(id).ok_or_else(|| {
                Error::Data(format!(
                    "track {id} of predictions.csv is not in {}: evaluate the run again",
                    path.display()
                ))
            })
        })
        .collect::<Result<_>>()?;
    Targets::from_indices(predictions.ids.clone(), predictions.tags.clone(), rows)
        .map_err(|error| Error::Data(error.to_string()))
}

fn quarantine(folder: &RunFolder) -> Result<Vec<Quarantined>> {
    let path = folder.file("quarantine.csv");
    let broken = |error: csv::Error| Error::Data(format!("in {}: {error}", path.display()));
    let mut reader = csv::Reader::from_path(&path).map_err(broken)?;
    let column = |reader: &mut csv::Reader<std::fs::File>, name: &str| {
        let headers = reader.headers().map_err(broken)?;
        headers.iter().position(|header| header == name).ok_or_else(|| {
            Error::Data(format!(
                "{} has no column {name}: put the file back as it was",
                path.display()
            ))
        })
    };
    let (path_column, reason) = (column(&mut reader, "path")?, column(&mut reader, "reason")?);
    reader
        .records()
        .map(|row| {
            let row = row.map_err(broken)?;
            let field = |index| row.get(index).unwrap_or_default().to_string();
            Ok(Quarantined { path: field(path_column), reason: field(reason) })
        })
        .collect()
}

/// The filters of the best checkpoint, if its front end learns any.
fn filters(folder: &RunFolder, experiment: &Experiment) -> Result<Option<Filters>> {
    if !matches!(experiment.model.front_end(), Some(FrontEndConfig::Strided(_))) {
        return Ok(None);
    }
    let outputs = folder.outputs(experiment)?.len();
    let model = model::trained(folder, experiment, outputs, Which::Best, &Device::flex())?;
    Ok(model.filters().map(|filters| Filters {
        sample_rate: experiment.model.sample_rate(),
        length: filters.length,
        weights: filters.weights,
        pool: filters.pool.map(|pool| Pool {
            kind: match pool.kind {
                PoolKind::L2 => "l2".into(),
                PoolKind::Max => "max".into(),
            },
            size: pool.size,
        }),
    }))
}

/// The settings of multiscale features.
fn multiscale(experiment: &Experiment) -> Option<Multiscale> {
    let ModelConfig::Multiscale(config) = &experiment.model else { return None };
    let front_end = match &config.front_end {
        FrontEndConfig::Multiresolution(_) => "multiresolution".to_string(),
        FrontEndConfig::Pyramid(config) => match config.kind {
            PyramidKind::Gaussian => "Gaussian pyramid".into(),
            PyramidKind::Laplacian => "Laplacian pyramid".into(),
        },
        FrontEndConfig::Frames(_) => "features".into(),
        FrontEndConfig::Mel(_) => "mel".into(),
        FrontEndConfig::Mfcc(_) => "MFCC".into(),
        FrontEndConfig::Strided(_) => "strided".into(),
    };
    // All that two experiments must share to be compared by means or levels.
    let mut rest = experiment.clone();
    (rest.name, rest.about, rest.seed, rest.paper) = (String::new(), String::new(), 0, None);
    if let ModelConfig::Multiscale(config) = &mut rest.model {
        (config.means, config.levels) = (0, Vec::new());
        // What only bounds the search for means is no other kind of model.
        config.windows = MultiscaleConfig::default().windows;
    }
    let levels = config.used_levels();
    Some(Multiscale {
        frames: config.frames,
        representation: match config.frames {
            1 => format!("{front_end}, 1 frame"),
            frames => format!("{front_end}, {frames} frames"),
        },
        means: config.means,
        all_levels: levels.len() == config.front_end.levels(),
        levels,
        rest: rest.to_toml(),
        patches: Vec::new(),
    })
}

/// What the means of a run look for: some of each level, evenly chosen in the order of their peaks.
fn patches(folder: &RunFolder, levels: &[usize]) -> Result<Vec<Patches>> {
    let ModelConfig::Multiscale(config) = folder.experiment()?.model else { return Ok(Vec::new()) };
    if config.means == 0 {
        return Ok(Vec::new());
    }
    let fitted = folder.fitted()?;
    let (frames, bands) = (config.frames, config.level_bands());
    let one = |&level: &usize| -> Result<Patches> {
        let all = config
            .patches(level, &fitted)
            .map_err(|error| Error::Data(format!("{}: {error}", folder.path().display())))?;
        let mut order: Vec<(usize, &[f32])> = all
            .chunks_exact(frames * bands)
            .map(|patch| {
                let loudest = (0..patch.len())
                    .max_by(|a, b| patch[*a].abs().total_cmp(&patch[*b].abs()))
                    .unwrap_or(0);
                (loudest % bands, patch)
            })
            .collect();
        order.sort_by_key(|(band, _)| *band);
        let count = order.len().min(DRAWN);
        let chosen = (0..count).map(|at| order[at * order.len() / count].1);
        Ok(Patches { level, count, frames, bands, values: chosen.flatten().copied().collect() })
    };
    levels.iter().map(one).collect()
}
