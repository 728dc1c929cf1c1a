//! One model or a folder of them, applied to audio files.
//!
//! Of several models every one has its say: of a tag that some of them know, the mean over these.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;

use crate::error::{Error, Result};
use crate::inference::predictor::{Predictor, Reader, Rows, What, read_file};
use crate::runs::checkpoint::Which;

/// See the head of this file.
pub struct Ensemble {
    models: Vec<Predictor>,
    tags: Vec<String>,
    /// Where each model's outputs stand among `tags`.
    places: Vec<Vec<usize>>,
}

/// How tags are followed over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverTime {
    /// Of a window, in seconds.
    pub window_s: f64,
    /// From one window to the next, in seconds.
    pub hop_s: f64,
}

/// What models make of a file.
pub struct Analysis {
    /// The mean over the file, a number a tag.
    pub summary: Vec<f32>,
    /// The same window by window, if it was asked for.
    pub windows: Vec<Vec<f32>>,
}

impl Ensemble {
    /// A run, a `.safetensors` file, or a folder of these.
    ///
    /// # Errors
    /// If there is no model, or one of them cannot be loaded.
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
                "{} holds no model: name a run folder, a .safetensors file of `tonotopy export`, or a folder \
                 of these",
                path.display()
            )));
        }
        let load = |path: &PathBuf| Predictor::open(path, which, device);
        Self::new(paths.iter().map(load).collect::<Result<_>>()?)
    }

    fn new(models: Vec<Predictor>) -> Result<Ensemble> {
        let mut tags: Vec<String> = Vec::new();
        let mut places = Vec::new();
        for model in &models {
            if model.has_tags() != models[0].has_tags() {
                return Err(Error::Config(format!(
                    "of the models in one folder {} gives tags and {} gives factors: use them apart",
                    models.iter().find(|model| model.has_tags()).map_or("", |m| &m.card().name),
                    models.iter().find(|model| !model.has_tags()).map_or("", |m| &m.card().name),
                )));
            }
            let place = |tag: &String| match tags.iter().position(|known| known == tag) {
                Some(place) => place,
                None => {
                    tags.push(tag.clone());
                    tags.len() - 1
                }
            };
            places.push(model.tags().iter().map(place).collect());
        }
        Ok(Ensemble { models, tags, places })
    }

    /// One at least, in the order of their paths.
    pub fn models(&self) -> &[Predictor] {
        &self.models
    }

    /// The tags of all models, each once.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Whether outputs are tags, not latent factors; all models agree on it.
    pub fn has_tags(&self) -> bool {
        self.models[0].has_tags()
    }

    /// # Errors
    /// If a model takes no audio.
    pub fn takes_audio(&self) -> Result<()> {
        self.models.iter().try_for_each(Predictor::takes_audio)
    }

    /// Windows and hops where the user left them open: as long as the longest excerpt of a model.
    ///
    /// # Errors
    /// If a length is none, or a window is shorter than an excerpt.
    pub fn over_time(&self, window_s: Option<f64>, hop_s: Option<f64>) -> Result<OverTime> {
        let seconds =
            |model: &Predictor| model.excerpt_samples() as f64 / f64::from(model.sample_rate());
        let longest = self.models.iter().map(seconds).fold(0.0, f64::max);
        let window_s = window_s.unwrap_or(longest);
        let hop_s = hop_s.unwrap_or(window_s);
        if !(window_s >= longest - 1e-3 && window_s <= 1e5) {
            return Err(Error::Config(format!(
                "--window {window_s}: a model looks at {longest} s at once, so give that or more"
            )));
        }
        if !(1e-3..=1e5).contains(&hop_s) {
            return Err(Error::Config(format!(
                "--hop {hop_s}: it must be from 0.001 to 100 000 seconds"
            )));
        }
        Ok(OverTime { window_s, hop_s })
    }

    /// Tags (or factors) of a file, in fixed memory but for what is asked over time.
    ///
    /// # Errors
    /// If the file cannot be decoded, or a prediction is not finite.
    pub fn analyse(&self, path: &Path, over_time: Option<OverTime>) -> Result<Analysis> {
        let mut hops = vec![None];
        hops.extend(over_time.map(|over_time| Some(over_time.hop_s)));
        let mut found = self.read(path, What::Predictions, &hops)?.into_iter();
        let means = found.next().unwrap_or_default();
        let means: Vec<Vec<f32>> = means.iter().map(Rows::mean).collect::<Result<_>>()?;
        let summary = self.together(&means);
        let (Some(over_time), Some(rows)) = (over_time, found.next()) else {
            return Ok(Analysis { summary, windows: Vec::new() });
        };
        let mut windows = Vec::new();
        for (model, rows) in self.models.iter().zip(&rows) {
            let rate = f64::from(model.sample_rate());
            let spare = over_time.window_s - model.excerpt_samples() as f64 / rate;
            windows
                .push(rows.moving_means((spare.max(0.0) / over_time.hop_s + 1e-6) as usize + 1)?);
        }
        let count = windows.iter().map(Vec::len).min().unwrap_or(0);
        let windows = (0..count).map(|at| {
            let of_models: Vec<Vec<f32>> = windows.iter().map(|of| of[at].clone()).collect();
            self.together(&of_models)
        });
        Ok(Analysis { summary, windows: windows.collect() })
    }

    /// The vectors of all models for a file, one after the other.
    ///
    /// # Errors
    /// As [`Ensemble::analyse`].
    pub fn vector(&self, path: &Path, what: What) -> Result<Vec<f32>> {
        let rows = self.read(path, what, &[None])?.into_iter().flatten();
        let vectors: Vec<Vec<f32>> = rows.map(|rows| rows.mean()).collect::<Result<_>>()?;
        Ok(vectors.concat())
    }

    /// The rows of each model for each hop in seconds (an excerpt where it is `None`); a file is decoded once
    /// for all that take the same rate.
    fn read(&self, path: &Path, what: What, hops: &[Option<f64>]) -> Result<Vec<Vec<Rows>>> {
        let mut found: Vec<Vec<Option<Rows>>> = Vec::new();
        found.resize_with(hops.len(), || self.models.iter().map(|_| None).collect());
        let mut rates: Vec<u32> = self.models.iter().map(Predictor::sample_rate).collect();
        rates.sort_unstable();
        rates.dedup();
        for rate in rates {
            let (mut readers, mut places) = (Vec::new(), Vec::new());
            for (at, model) in self.models.iter().enumerate() {
                for (ask, hop) in hops.iter().enumerate().filter(|_| model.sample_rate() == rate) {
                    let hop = hop.map_or(model.excerpt_samples(), |seconds| {
                        ((seconds * f64::from(rate)).round() as usize).max(1)
                    });
                    readers.push(Reader::new(model, what, hop));
                    places.push((ask, at));
                }
            }
            read_file(path, &mut readers)?;
            for ((ask, at), reader) in places.into_iter().zip(readers) {
                let rows = reader.finish();
                let rows =
                    rows.map_err(|error| Error::Data(format!("{}: {error}", path.display())))?;
                found[ask][at] = Some(rows);
            }
        }
        Ok(found.into_iter().map(|rows| rows.into_iter().flatten().collect()).collect())
    }

    /// The means over the models that know a tag.
    fn together(&self, predictions: &[Vec<f32>]) -> Vec<f32> {
        let mut sums = vec![(0.0_f64, 0_u32); self.tags.len()];
        for (places, values) in self.places.iter().zip(predictions) {
            for (&place, &value) in places.iter().zip(values) {
                sums[place].0 += f64::from(value);
                sums[place].1 += 1;
            }
        }
        sums.into_iter().map(|(sum, count)| (sum / f64::from(count.max(1))) as f32).collect()
    }
}
