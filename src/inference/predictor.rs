//! A trained model applied to audio.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use models::onnx::{Activation, to_onnx};
use models::{Fitted, Model, Network, NetworkConfig};

use crate::audio::{self, Limits};
use crate::error::{Error, Result};
use crate::inference::model_file::{Card, Outputs, safetensors};
use crate::inference::weights;
use crate::listening::catalogue::By;
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;
use crate::runs::model;

/// Samples that go through the network at once, at most; one excerpt always does.
const AT_ONCE: usize = 1 << 22;

/// Excerpts that do, at most.
const ROWS: usize = 16;

/// A trained model with all that it needs to be used: front end, rate, tags.
///
/// ```no_run
/// # fn main() -> tonotopy::Result<()> {
/// # let (samples, sample_rate) = (vec![0.0; 44_100], 44_100);
/// use tonotopy::Predictor;
///
/// let model = Predictor::load("tagger.safetensors")?;
/// let probabilities = model.predict(&samples, sample_rate)?;
/// for (tag, probability) in model.tags().iter().zip(probabilities) {
///     println!("{tag} {probability:.3}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// One model serves many threads at once: it is `Send` and `Sync`, and predicting changes nothing in it.
pub struct Predictor {
    model: Model,
    fitted: Fitted,
    card: Card,
    device: Device,
}

/// What is asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Probabilities of tags, or predicted factors.
    Predictions,
    /// The network's outputs before they become probabilities.
    Outputs,
    /// The last hidden layer.
    Embeddings,
}

impl From<By> for What {
    fn from(by: By) -> Self {
        match by {
            By::Embedding => Self::Embeddings,
            By::Factors => Self::Outputs,
        }
    }
}

impl Predictor {
    /// Loads a run folder (its best checkpoint) or a `.safetensors` file, to compute on the CPU.
    ///
    /// # Errors
    /// If there is neither, or it is damaged, or its parts do not fit each other.
    pub fn load(path: impl AsRef<Path>) -> Result<Predictor> {
        Self::open(path.as_ref(), Which::Best, &Device::flex())
    }

    /// The same with a checkpoint and a device to choose; a file has one checkpoint.
    ///
    /// # Errors
    /// As [`Predictor::load`].
    pub fn open(path: &Path, which: Which, device: &Device) -> Result<Predictor> {
        match path.is_dir() {
            true => Self::of_run(&RunFolder::open(path)?, which, device),
            false => Self::of_file(path, device),
        }
    }

    fn of_run(folder: &RunFolder, which: Which, device: &Device) -> Result<Predictor> {
        let experiment = folder.experiment()?;
        let card = Card::of_run(folder, &experiment, which)?;
        let model = model::trained(folder, &experiment, card.tags.len(), which, device)?;
        let fitted = folder.fitted()?;
        Ok(Predictor { model, fitted, card, device: device.clone() })
    }

    fn of_file(path: &Path, device: &Device) -> Result<Predictor> {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        let place = path.display();
        if ending == "onnx" {
            return Err(Error::Data(format!(
                "{place} is an ONNX file, which other programs run: name the run or its .safetensors export"
            )));
        }
        let contents = safetensors::read(path)?;
        let Some(card) = contents.card else {
            return Err(Error::Data(format!(
                "{place} has no card of tonotopy: nothing says what its weights are for; bring them into a run \
                 with `tonotopy import`"
            )));
        };
        let (weights, fitted) = (contents.weights, contents.fitted);
        let infinite = fitted
            .arrays
            .iter()
            .find(|(_, array)| array.values.iter().any(|value| !value.is_finite()));
        if let Some((name, _)) = infinite {
            return Err(Error::Data(format!("{place}: {name:?} holds NaN or infinity")));
        }
        let unfit = |problem: &dyn std::fmt::Display| {
            Error::Data(format!("{place}: the weights do not fit the card: {problem}"))
        };
        // Nothing is drawn or allocated before the shapes are known to be those of the file.
        let model = card
            .model
            .init(card.tags.len(), card.excerpt_samples, &fitted, device)
            .map_err(|error| unfit(&error))?;
        let model = weights::put(model, &weights).map_err(|error| unfit(&error))?;
        model.check(card.excerpt_samples).map_err(|error| unfit(&error))?;
        Ok(Predictor { model, fitted, card, device: device.clone() })
    }

    #[cfg(test)]
    pub(crate) fn of_parts(model: Model, fitted: Fitted, card: Card) -> Predictor {
        Predictor { model, fitted, card, device: Device::flex() }
    }

    /// What is known of it.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Its weights and what was fitted before them.
    pub(crate) fn parts(&self) -> (&Model, &Fitted) {
        (&self.model, &self.fitted)
    }

    /// As an ONNX file; see [`models::onnx`].
    ///
    /// # Errors
    /// If it would be larger than the format allows.
    pub(crate) fn to_onnx(
        &self,
        metadata: &std::collections::BTreeMap<String, String>,
    ) -> Result<Vec<u8>> {
        let activation = Activation::from(self.card.activation);
        to_onnx(&self.model, activation, self.card.excerpt_samples, metadata)
            .map_err(|error| Error::Data(error.to_string()))
    }

    /// Whether predictions are tags; else they are latent factors.
    pub fn has_tags(&self) -> bool {
        self.card.outputs == Outputs::Tags
    }

    /// The vocabulary, in the order of the predictions.
    pub fn tags(&self) -> &[String] {
        &self.card.tags
    }

    /// The rate that the network takes, in Hz; audio at another is resampled.
    pub fn sample_rate(&self) -> u32 {
        self.card.sample_rate
    }

    /// Samples of the excerpts that the network takes.
    pub fn excerpt_samples(&self) -> usize {
        self.card.excerpt_samples
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What the network makes of excerpts.
    ///
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, [`Predictor::excerpt_samples`] of them
    /// - returns: `[batch, output]` or `[batch, feature]`
    pub fn apply(&self, what: What, waveforms: Tensor<2>) -> Tensor<2> {
        match what {
            What::Embeddings => self.model.embed(waveforms),
            What::Outputs => self.model.forward(waveforms),
            What::Predictions => self.card.training.loss.prediction(self.model.forward(waveforms)),
        }
    }

    /// The mean prediction over the consecutive excerpts of `samples` (mono, in `[-1, 1]`, at
    /// `sample_rate` Hz, resampled if the model takes another rate): one number a tag.
    ///
    /// # Errors
    /// If there is no sample, one is no number, the rate is none that can be resampled, or a prediction is
    /// not finite.
    pub fn predict(&self, samples: &[f32], sample_rate: u32) -> Result<Vec<f32>> {
        self.mean(What::Predictions, samples, sample_rate)
    }

    /// The mean of the last hidden layer over the same excerpts: one number a feature.
    ///
    /// # Errors
    /// As [`Predictor::predict`].
    pub fn embed(&self, samples: &[f32], sample_rate: u32) -> Result<Vec<f32>> {
        self.mean(What::Embeddings, samples, sample_rate)
    }

    fn mean(&self, what: What, samples: &[f32], sample_rate: u32) -> Result<Vec<f32>> {
        if let Some(place) = samples.iter().position(|value| !audio::is_sample(*value)) {
            let value = samples[place];
            return Err(Error::Data(format!(
                "sample {place} is {value}: it must be a number, as a rule in [-1, 1]"
            )));
        }
        let resampled;
        let samples = match sample_rate == self.sample_rate() {
            true => samples,
            false => {
                resampled = audio::resample(samples, sample_rate, self.sample_rate())
                    .map_err(|error| Error::Data(error.to_string()))?;
                &resampled
            }
        };
        let mut reader = Reader::new(self, what, self.excerpt_samples());
        reader.push(samples);
        reader.finish()?.mean()
    }

    /// # Errors
    /// If the model takes features that a data set comes with, and no audio file will do.
    pub fn takes_audio(&self) -> Result<()> {
        match self.card.model.takes_audio() {
            true => Ok(()),
            false => Err(Error::Config(
                "the model takes features that a data set comes with, not audio: name such a data set"
                    .into(),
            )),
        }
    }

    /// [`Predictor::predict`] from an audio file of any supported format, in fixed memory.
    ///
    /// # Errors
    /// As [`Predictor::predict`]; also if the file cannot be read.
    pub fn predict_file(&self, path: &Path) -> Result<Vec<f32>> {
        self.of_audio(path, What::Predictions)
    }

    /// [`Predictor::embed`] from an audio file of any supported format, in fixed memory.
    ///
    /// # Errors
    /// As [`Predictor::predict_file`].
    pub fn embed_file(&self, path: &Path) -> Result<Vec<f32>> {
        self.of_audio(path, What::Embeddings)
    }

    fn of_audio(&self, path: &Path, what: What) -> Result<Vec<f32>> {
        let mut readers = [Reader::new(self, what, self.excerpt_samples())];
        read_file(path, &mut readers)?;
        let [reader] = readers;
        let rows = reader.finish().and_then(|rows| rows.mean());
        rows.map_err(|error| Error::Data(format!("{}: {error}", path.display())))
    }
}

/// What a network makes of excerpts, one after the other.
pub struct Rows {
    /// `[excerpt, value]`
    pub values: Vec<f32>,
    /// Numbers of a row.
    pub width: usize,
}

impl Rows {
    /// The mean excerpt.
    ///
    /// # Errors
    /// If it is not finite.
    pub fn mean(&self) -> Result<Vec<f32>> {
        mean(&self.values, self.width)
    }

    /// Means over `count` excerpts, beginning at each; of all of them if there are fewer.
    ///
    /// # Errors
    /// As [`Rows::mean`].
    pub fn moving_means(&self, count: usize) -> Result<Vec<Vec<f32>>> {
        let rows = self.values.len() / self.width;
        let count = count.clamp(1, rows);
        (0..=rows - count)
            .map(|first| mean(&self.values[first * self.width..][..count * self.width], self.width))
            .collect()
    }
}

fn mean(values: &[f32], width: usize) -> Result<Vec<f32>> {
    let rows = values.len() / width;
    let column =
        |j: usize| values.iter().skip(j).step_by(width).map(|v| f64::from(*v)).sum::<f64>();
    let mean: Vec<f32> = (0..width).map(|j| (column(j) / rows as f64) as f32).collect();
    match mean.iter().all(|value| value.is_finite()) {
        true => Ok(mean),
        false => Err(Error::Diverged(
            "a prediction is not finite: the samples or the model's weights hold NaN".into(),
        )),
    }
}

/// Applies a model to audio that arrives piece by piece: to excerpts that begin every `hop` samples, as
/// many whole ones as there are; to one, padded with silence, if there is none.
pub struct Reader<'a> {
    predictor: &'a Predictor,
    what: What,
    hop: usize,
    /// Samples from where the next excerpt begins.
    pending: Vec<f32>,
    /// Samples to pass over first, where the hop is longer than an excerpt.
    skip: usize,
    any: bool,
    rows: Rows,
}

impl<'a> Reader<'a> {
    /// # Panics
    /// If the hop is 0.
    pub fn new(predictor: &'a Predictor, what: What, hop: usize) -> Self {
        assert!(hop > 0);
        let rows = Rows { values: Vec::new(), width: 1 };
        Self { predictor, what, hop, pending: Vec::new(), skip: 0, any: false, rows }
    }

    /// More samples, at the model's rate.
    pub fn push(&mut self, mut samples: &[f32]) {
        self.any |= !samples.is_empty();
        let length = self.predictor.excerpt_samples();
        let at_once = (AT_ONCE / length).clamp(1, ROWS);
        let full = length + (at_once - 1) * self.hop;
        while !samples.is_empty() {
            let skipped = self.skip.min(samples.len());
            self.skip -= skipped;
            samples = &samples[skipped..];
            let taken = (full - self.pending.len()).min(samples.len());
            self.pending.extend_from_slice(&samples[..taken]);
            samples = &samples[taken..];
            if self.pending.len() == full {
                self.run(at_once);
            }
        }
    }

    /// Everything that was found.
    ///
    /// # Errors
    /// If there was no sample.
    pub fn finish(mut self) -> Result<Rows> {
        if !self.any {
            return Err(Error::Data("there are no samples to predict from".into()));
        }
        let length = self.predictor.excerpt_samples();
        if let Some(rest) = self.pending.len().checked_sub(length) {
            self.run(rest / self.hop + 1);
        } else if self.rows.values.is_empty() {
            self.pending.resize(length, 0.0);
            self.run(1);
        }
        Ok(self.rows)
    }

    /// Runs the first excerpts that are pending.
    fn run(&mut self, count: usize) {
        let length = self.predictor.excerpt_samples();
        let starts = (0..count).map(|row| row * self.hop);
        let waveforms: Vec<f32> =
            starts.flat_map(|start| &self.pending[start..start + length]).copied().collect();
        let waveforms = TensorData::new(waveforms, [count, length]);
        let waveforms = Tensor::from_data(waveforms, &self.predictor.device);
        let values = self.predictor.apply(self.what, waveforms);
        self.rows.width = values.dims()[1];
        self.rows.values.extend(values.into_data().convert::<f32>().iter::<f32>());
        let done = count * self.hop;
        self.skip = done.saturating_sub(self.pending.len());
        self.pending.drain(..done.min(self.pending.len()));
    }
}

/// Reads an audio file once, for readers whose models take the same rate.
///
/// # Errors
/// If the file cannot be decoded, or a model takes no audio.
///
/// # Panics
/// If the models take different rates.
pub fn read_file(path: &Path, readers: &mut [Reader<'_>]) -> Result<()> {
    let Some(first) = readers.first() else { return Ok(()) };
    let rate = first.predictor.sample_rate();
    for reader in readers.iter() {
        reader.predictor.takes_audio()?;
        assert_eq!(reader.predictor.sample_rate(), rate, "readers of one rate");
    }
    audio::decode_resampled(path, 0.0, None, rate, &Limits::default(), &mut |piece| {
        readers.iter_mut().for_each(|reader| reader.push(piece));
        Ok(())
    })
    .map_err(|error| Error::Data(error.to_string()))?;
    Ok(())
}
