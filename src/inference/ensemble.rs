//! One or several models, applied to audio files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;

use crate::error::{Error, Result};
use crate::inference::predictor::{ModelOutput, Predictor, Reader, Rows, read_file};
use crate::runs::checkpoint::Which;

/// Models whose predictions are averaged: the value of a tag is the mean over the models that have it.
pub struct Ensemble {
    models: Vec<Predictor>,
    tags: Vec<String>,
    /// For each model: the position of its outputs in `tags`.
    columns: Vec<Vec<usize>>,
}

/// Windows of predictions over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverTime {
    /// Length of a window, in seconds.
    pub window_s: f64,
    /// Distance between the starts of two windows, in seconds.
    pub hop_s: f64,
}

/// The predictions for a file.
pub struct Analysis {
    /// The mean over the file: `[tag]`
    pub mean: Vec<f32>,
    /// `[window][tag]`; empty without [`OverTime`].
    pub windows: Vec<Vec<f32>>,
}

impl Ensemble {
    /// Loads a run, a `.safetensors` file, or a directory of these.
    ///
    /// # Errors
    /// If there is no model, or a model cannot be loaded.
    pub fn open(path: &Path, which: Which, device: &Device) -> Result<Ensemble> {
        let is_run = |path: &Path| path.join("experiment.toml").is_file();
        let paths = match path.is_dir() && !is_run(path) {
            false => vec![path.to_owned()],
            true => {
                let mut found = Vec::new();
                for entry in fs::read_dir(path).map_err(Error::io("read", path))? {
                    let path = entry.map_err(Error::io("read", path))?.path();
                    if is_run(&path) || path.extension().is_some_and(|end| end == "safetensors") {
                        found.push(path);
                    }
                }
                found.sort();
                found
            }
        };
        if paths.is_empty() {
            return Err(Error::Data(format!(
                "{} contains no model; name a run, a .safetensors file of `tonotopy export`, or a directory of these",
                path.display()
            )));
        }
        let load = |path: &PathBuf| Predictor::open(path, which, device);
        Self::new(paths.iter().map(load).collect::<Result<_>>()?)
    }

    fn new(models: Vec<Predictor>) -> Result<Ensemble> {
        let mut tags: Vec<String> = Vec::new();
        let mut columns = Vec::new();
        for model in &models {
            if model.has_tags() != models[0].has_tags() {
                return Err(Error::Config(format!(
                    "{} predicts tags and {} predicts factors; use only models of one kind together",
                    models.iter().find(|model| model.has_tags()).map_or("", |m| &m.card().name),
                    models.iter().find(|model| !model.has_tags()).map_or("", |m| &m.card().name),
                )));
            }
            let column = |tag: &String| {
                tags.iter().position(|known| known == tag).unwrap_or_else(|| {
                    tags.push(tag.clone());
                    tags.len() - 1
                })
            };
            columns.push(model.tags().iter().map(column).collect());
        }
        Ok(Ensemble { models, tags, columns })
    }

    /// The models, at least one, sorted by path.
    pub fn models(&self) -> &[Predictor] {
        &self.models
    }

    /// The union of the tags of all models.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Whether all models predict tags; otherwise all predict latent factors.
    pub fn has_tags(&self) -> bool {
        self.models[0].has_tags()
    }

    /// Checks that all models take audio.
    ///
    /// # Errors
    /// If a model takes features of a dataset instead.
    pub fn takes_audio(&self) -> Result<()> {
        self.models.iter().try_for_each(Predictor::takes_audio)
    }

    /// Windows of predictions over time. By default, a window is as long as the longest excerpt of a model, and the hop
    /// is the window length.
    ///
    /// # Errors
    /// If a value is out of range, or a window is shorter than an excerpt.
    pub fn over_time(&self, window_s: Option<f64>, hop_s: Option<f64>) -> Result<OverTime> {
        let seconds =
            |model: &Predictor| model.excerpt_samples() as f64 / f64::from(model.sample_rate());
        let longest = self.models.iter().map(seconds).fold(0.0, f64::max);
        let window_s = window_s.unwrap_or(longest);
        let hop_s = hop_s.unwrap_or(window_s);
        if !(window_s >= longest - 1e-3 && window_s <= 1e5) {
            return Err(Error::Config(format!(
                "--window is {window_s}, but must be from {longest} (the excerpt length of the model) to 100000 seconds"
            )));
        }
        if !(1e-3..=1e5).contains(&hop_s) {
            return Err(Error::Config(format!(
                "--hop is {hop_s}, but must be from 0.001 to 100000 seconds"
            )));
        }
        Ok(OverTime { window_s, hop_s })
    }

    /// Predicts the tags (or factors) of a file. Memory does not grow with the length of the file, except for
    /// predictions over time.
    ///
    /// # Errors
    /// If the file cannot be decoded, or a prediction is not finite.
    pub fn analyse(&self, path: &Path, over_time: Option<OverTime>) -> Result<Analysis> {
        let mut hops = vec![None];
        hops.extend(over_time.map(|over_time| Some(over_time.hop_s)));
        let mut found = self.read(path, ModelOutput::Predictions, &hops)?.into_iter();
        let rows = found.next().unwrap_or_default();
        let means: Vec<Vec<f32>> = rows.iter().map(Rows::mean).collect::<Result<_>>()?;
        let mean = self.combine(&means);
        let (Some(over_time), Some(rows)) = (over_time, found.next()) else {
            return Ok(Analysis { mean, windows: Vec::new() });
        };
        let by_model = self.models.iter().zip(&rows).map(|(model, rows)| {
            let excerpt_s = model.excerpt_samples() as f64 / f64::from(model.sample_rate());
            let rest_s = (over_time.window_s - excerpt_s).max(0.0);
            rows.moving_means((rest_s / over_time.hop_s + 1e-6) as usize + 1)
        });
        let by_model: Vec<Vec<Vec<f32>>> = by_model.collect::<Result<_>>()?;
        let count = by_model.iter().map(Vec::len).min().unwrap_or(0);
        let windows = (0..count).map(|at| {
            let window: Vec<Vec<f32>> =
                by_model.iter().map(|windows| windows[at].clone()).collect();
            self.combine(&window)
        });
        Ok(Analysis { mean, windows: windows.collect() })
    }

    /// The vectors of all models for a file, concatenated.
    ///
    /// # Errors
    /// Those of [`Ensemble::analyse`].
    pub fn vector(&self, path: &Path, output: ModelOutput) -> Result<Vec<f32>> {
        let rows = self.read(path, output, &[None])?.into_iter().flatten();
        let vectors: Vec<Vec<f32>> = rows.map(|rows| rows.mean()).collect::<Result<_>>()?;
        Ok(vectors.concat())
    }

    /// The rows `[hop][model]` for each hop in seconds; `None` is the length of an excerpt. A file is decoded once for
    /// all models with the same sample rate.
    fn read(
        &self,
        path: &Path,
        output: ModelOutput,
        hops: &[Option<f64>],
    ) -> Result<Vec<Vec<Rows>>> {
        let mut found: BTreeMap<(usize, usize), Rows> = BTreeMap::new();
        let rates: BTreeSet<u32> = self.models.iter().map(Predictor::sample_rate).collect();
        for rate in rates {
            let (mut readers, mut keys) = (Vec::new(), Vec::new());
            for (at, model) in self.models.iter().enumerate() {
                for (number, hop) in hops.iter().enumerate().filter(|_| model.sample_rate() == rate)
                {
                    let hop = hop.map_or(model.excerpt_samples(), |seconds| {
                        ((seconds * f64::from(rate)).round() as usize).max(1)
                    });
                    readers.push(Reader::new(model, output, hop));
                    keys.push((number, at));
                }
            }
            read_file(path, &mut readers)?;
            for (key, reader) in keys.into_iter().zip(readers) {
                let rows = reader.finish();
                let rows =
                    rows.map_err(|error| Error::Data(format!("{}: {error}", path.display())))?;
                found.insert(key, rows);
            }
        }
        let mut by_hop: Vec<Vec<Rows>> = hops.iter().map(|_| Vec::new()).collect();
        found.into_iter().for_each(|((hop, _), rows)| by_hop[hop].push(rows));
        Ok(by_hop)
    }

    /// For each tag, the mean over the models that have it.
    fn combine(&self, predictions: &[Vec<f32>]) -> Vec<f32> {
        let mut sums = vec![(0.0_f64, 0_u32); self.tags.len()];
        for (columns, values) in self.columns.iter().zip(predictions) {
            for (&column, &value) in columns.iter().zip(values) {
                sums[column].0 += f64::from(value);
                sums[column].1 += 1;
            }
        }
        sums.into_iter().map(|(sum, count)| (sum / f64::from(count.max(1))) as f32).collect()
    }
}
