//! A trained run applied to audio files.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use models::{Model, Network};

use crate::audio::{self, Limits};
use crate::catalogue::By;
use crate::checkpoint::Which;
use crate::error::{Error, Result};
use crate::excerpts::consecutive;
use crate::experiment::Experiment;
use crate::run_folder::RunFolder;
use crate::session::{initial, load_weights};

/// Excerpts that go through the network at once.
const ROWS: usize = 16;

/// A trained model with all that it needs to be used: front end, rate, tags.
pub struct Predictor {
    model: Model,
    experiment: Experiment,
    tags: Vec<String>,
    device: Device,
}

impl Predictor {
    /// Loads a run's checkpoint.
    ///
    /// # Errors
    /// If the folder holds no trained run, or its files do not fit each other.
    pub fn load(run: &Path, which: Which, device: &Device) -> Result<Predictor> {
        let folder = RunFolder::open(run)?;
        let experiment = folder.experiment()?;
        let tags = folder.outputs(&experiment)?;
        let checkpoint = folder.checkpoints().load(which)?;
        let fitted = folder.fitted()?;
        let model = initial(&experiment, tags.len(), &fitted, device)?.valid();
        let model = load_weights(model, checkpoint.model, &checkpoint.path)?;
        Ok(Predictor { model, experiment, tags, device: device.clone() })
    }

    /// Whether predictions are tags; else they are latent factors.
    pub fn has_tags(&self) -> bool {
        self.experiment.listening.is_none()
    }

    /// The vocabulary, in the order of the predictions.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// The rate that [`Predictor::predict`] expects, in Hz.
    pub fn sample_rate(&self) -> u32 {
        self.experiment.model.sample_rate()
    }

    /// Samples of the excerpts that the network takes.
    pub fn excerpt_samples(&self) -> usize {
        self.experiment.excerpt_samples()
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What the network makes of excerpts: its outputs as they are, or its last hidden layer.
    ///
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, [`Predictor::excerpt_samples`] of them
    /// - returns: `[batch, output]` or `[batch, feature]`
    pub fn apply(&self, by: By, waveforms: Tensor<2>) -> Tensor<2> {
        match by {
            By::Embedding => self.model.embed(waveforms),
            By::Factors => self.model.forward(waveforms),
        }
    }

    /// The mean prediction over the consecutive excerpts of `samples` (mono, in `[-1, 1]`, at
    /// [`Predictor::sample_rate`]): one number a tag.
    ///
    /// # Errors
    /// If there is no sample, or a prediction is not finite.
    pub fn predict(&self, samples: &[f32]) -> Result<Vec<f32>> {
        let loss = self.experiment.training.loss;
        self.mean(samples, |waveforms| loss.prediction(self.model.forward(waveforms)))
    }

    /// The mean of the last hidden layer over the same excerpts: one number a feature.
    ///
    /// # Errors
    /// As [`Predictor::predict`].
    pub fn embed(&self, samples: &[f32]) -> Result<Vec<f32>> {
        self.mean(samples, |waveforms| self.model.embed(waveforms))
    }

    /// The mean of what `apply` makes of each excerpt.
    fn mean(&self, samples: &[f32], apply: impl Fn(Tensor<2>) -> Tensor<2>) -> Result<Vec<f32>> {
        if samples.is_empty() {
            return Err(Error::Data("there are no samples to predict from".into()));
        }
        let length = self.experiment.excerpt_samples();
        let mut sums: Vec<f64> = Vec::new();
        let excerpts = consecutive(&[samples.len()], length);
        for chunk in excerpts.chunks(ROWS) {
            let mut waveforms = vec![0.0; chunk.len() * length];
            for (row, excerpt) in chunk.iter().enumerate() {
                let source = &samples[excerpt.start..samples.len().min(excerpt.start + length)];
                waveforms[row * length..][..source.len()].copy_from_slice(source);
            }
            let waveforms = TensorData::new(waveforms, [chunk.len(), length]);
            let values = apply(Tensor::from_data(waveforms, &self.device));
            let width = values.dims()[1];
            sums.resize(width, 0.0);
            for (index, value) in values.into_data().convert::<f32>().iter::<f32>().enumerate() {
                sums[index % width] += f64::from(value);
            }
        }
        let mean: Vec<f32> = sums.iter().map(|sum| (sum / excerpts.len() as f64) as f32).collect();
        match mean.iter().all(|value| value.is_finite()) {
            true => Ok(mean),
            false => Err(Error::Diverged(
                "a prediction is not finite: the samples or the model's weights hold NaN".into(),
            )),
        }
    }

    /// # Errors
    /// If the model takes features that a data set comes with, and no audio file will do.
    pub fn takes_audio(&self) -> Result<()> {
        match self.experiment.model.takes_audio() {
            true => Ok(()),
            false => Err(Error::Config(
                "the model takes features that a data set comes with, not audio: name such a data set"
                    .into(),
            )),
        }
    }

    /// [`Predictor::predict`] from an audio file of any supported format.
    pub fn predict_file(&self, path: &Path) -> Result<Vec<f32>> {
        self.of_file(path, |samples| self.predict(samples))
    }

    /// [`Predictor::embed`] from an audio file of any supported format.
    pub fn embed_file(&self, path: &Path) -> Result<Vec<f32>> {
        self.of_file(path, |samples| self.embed(samples))
    }

    /// The mean of the network's outputs, which are no probabilities, over the excerpts of a file.
    ///
    /// # Errors
    /// As [`Predictor::predict`]; also if the file cannot be read.
    pub fn outputs_file(&self, path: &Path) -> Result<Vec<f32>> {
        self.of_file(path, |samples| self.mean(samples, |x| self.apply(By::Factors, x)))
    }

    fn of_file(&self, path: &Path, apply: impl Fn(&[f32]) -> Result<Vec<f32>>) -> Result<Vec<f32>> {
        self.takes_audio()?;
        let data = |error: audio::AudioError| Error::Data(error.to_string());
        let wave = audio::decode_at(path, 0.0, None, self.sample_rate(), &Limits::default())
            .map_err(data)?;
        apply(&wave.samples).map_err(|error| Error::Data(format!("{}: {error}", path.display())))
    }
}
