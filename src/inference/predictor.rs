//! A trained model, ready to be applied to audio.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use models::onnx::{Activation, to_onnx};
use models::{Fitted, Model, Network, NetworkConfig};

use crate::audio::scan::MIN_SECONDS;
use crate::audio::{self, Limits};
use crate::error::{Error, Result};
use crate::inference::model_file::{Card, Outputs, safetensors};
use crate::inference::weights;
use crate::listening::catalogue::VectorKind;
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;
use crate::runs::model;

/// The largest number of samples per batch, unless one excerpt is longer.
const MAX_BATCH_SAMPLES: usize = 1 << 22;

/// The largest number of excerpts per batch.
const MAX_BATCH: usize = 16;

/// A trained model with its front end, sample rate and tags.
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
/// A predictor is `Send` and `Sync`; many threads can share it.
pub struct Predictor {
    model: Model,
    fitted: Fitted,
    card: Card,
    device: Device,
}

/// A result of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelOutput {
    /// Probabilities of tags, or predicted factors: `[output]`
    Predictions,
    /// The raw outputs of the network: `[output]`
    Logits,
    /// The last hidden layer: `[feature]`
    Embeddings,
}

impl From<VectorKind> for ModelOutput {
    fn from(kind: VectorKind) -> Self {
        match kind {
            VectorKind::Embedding => Self::Embeddings,
            VectorKind::Factors => Self::Logits,
        }
    }
}

impl Predictor {
    /// Loads a run (its best checkpoint) or a `.safetensors` file for computation on the CPU.
    ///
    /// # Errors
    /// If `path` is neither, is damaged, or its parts do not match.
    pub fn load(path: impl AsRef<Path>) -> Result<Predictor> {
        Self::open(path.as_ref(), Which::Best, &Device::flex())
    }

    /// Loads a run or a `.safetensors` file. `which` selects the checkpoint of a run.
    ///
    /// # Errors
    /// Those of [`Predictor::load`].
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
                "{place} is an ONNX file, which this program does not run; name the run or its .safetensors export"
            )));
        }
        let contents = safetensors::read(path)?;
        let Some(card) = contents.card else {
            return Err(Error::Data(format!(
                "{place} was not written by `tonotopy export` and does not say which model its weights are from; create a \
                 run from it with `tonotopy import`"
            )));
        };
        let (weights, fitted) = (contents.weights, contents.fitted);
        let infinite = fitted
            .arrays
            .iter()
            .find(|(_, array)| array.values.iter().any(|value| !value.is_finite()));
        if let Some((name, _)) = infinite {
            return Err(Error::Data(format!(
                "{place}: {name:?} contains NaN or infinity; take an undamaged copy"
            )));
        }
        let unfit = |problem: &dyn std::fmt::Display| {
            Error::Data(format!("{place}: the weights do not match the model card: {problem}"))
        };
        // Weights are allocated only after their shapes have been checked.
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

    /// The model card.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The weights, and the arrays that were fitted before training.
    pub(crate) fn parts(&self) -> (&Model, &Fitted) {
        (&self.model, &self.fitted)
    }

    /// The model as an ONNX file; see [`models::onnx`].
    ///
    /// # Errors
    /// If the model is too large for the format.
    pub(crate) fn to_onnx(
        &self,
        metadata: &std::collections::BTreeMap<String, String>,
    ) -> Result<Vec<u8>> {
        let activation = Activation::from(self.card.activation);
        to_onnx(&self.model, activation, self.card.excerpt_samples, metadata)
            .map_err(|error| Error::Data(error.to_string()))
    }

    /// Whether the model predicts tags; otherwise it predicts latent factors.
    pub fn has_tags(&self) -> bool {
        self.card.outputs == Outputs::Tags
    }

    /// Names of the outputs, in order.
    pub fn tags(&self) -> &[String] {
        &self.card.tags
    }

    /// Sample rate of the network in Hz. Audio at other rates is resampled.
    pub fn sample_rate(&self) -> u32 {
        self.card.sample_rate
    }

    /// Length of an excerpt in samples.
    pub fn excerpt_samples(&self) -> usize {
        self.card.excerpt_samples
    }

    /// The device that computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Applies the network to excerpts.
    ///
    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, with [`Predictor::excerpt_samples`] samples
    /// - returns: `[batch, output]` or `[batch, feature]`
    pub fn apply(&self, output: ModelOutput, waveforms: Tensor<2>) -> Tensor<2> {
        match output {
            ModelOutput::Embeddings => self.model.embed(waveforms),
            ModelOutput::Logits => self.model.forward(waveforms),
            ModelOutput::Predictions => {
                self.card.training.loss.prediction(self.model.forward(waveforms))
            }
        }
    }

    /// The mean prediction over the consecutive excerpts of `samples`: `[output]`
    ///
    /// `samples` are mono, in `[-1, 1]`, at `sample_rate` Hz; they are resampled if the model has another rate.
    ///
    /// # Errors
    /// If there are no samples, a sample or a prediction is not finite, or the rate cannot be resampled.
    pub fn predict(&self, samples: &[f32], sample_rate: u32) -> Result<Vec<f32>> {
        self.mean(ModelOutput::Predictions, samples, sample_rate)
    }

    /// The mean of the last hidden layer over the consecutive excerpts of `samples`: `[feature]`
    ///
    /// # Errors
    /// Those of [`Predictor::predict`].
    pub fn embed(&self, samples: &[f32], sample_rate: u32) -> Result<Vec<f32>> {
        self.mean(ModelOutput::Embeddings, samples, sample_rate)
    }

    fn mean(&self, output: ModelOutput, samples: &[f32], sample_rate: u32) -> Result<Vec<f32>> {
        if let Some(place) = samples.iter().position(|value| !audio::is_sample(*value)) {
            let value = samples[place];
            return Err(Error::Data(format!(
                "sample {place} is {value}; samples must be finite, usually in [-1, 1]"
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
        let mut reader = Reader::new(self, output, self.excerpt_samples());
        reader.push(samples);
        reader.finish()?.mean()
    }

    /// Checks that the model takes audio.
    ///
    /// # Errors
    /// If the model takes features of a dataset instead.
    pub fn takes_audio(&self) -> Result<()> {
        match self.card.model.takes_audio() {
            true => Ok(()),
            false => Err(Error::Config(
                "the model takes features of a dataset, not audio; name a dataset with these features"
                    .into(),
            )),
        }
    }

    /// [`Predictor::predict`] for an audio file of any supported format. Memory does not grow with its length.
    ///
    /// # Errors
    /// Those of [`Predictor::predict`]; also if the file cannot be read.
    pub fn predict_file(&self, path: &Path) -> Result<Vec<f32>> {
        self.mean_of_file(path, ModelOutput::Predictions)
    }

    /// [`Predictor::embed`] for an audio file of any supported format. Memory does not grow with its length.
    ///
    /// # Errors
    /// Those of [`Predictor::predict_file`].
    pub fn embed_file(&self, path: &Path) -> Result<Vec<f32>> {
        self.mean_of_file(path, ModelOutput::Embeddings)
    }

    fn mean_of_file(&self, path: &Path, output: ModelOutput) -> Result<Vec<f32>> {
        let mut readers = [Reader::new(self, output, self.excerpt_samples())];
        read_file(path, &mut readers)?;
        let [reader] = readers;
        let rows = reader.finish().and_then(|rows| rows.mean());
        rows.map_err(|error| Error::Data(format!("{}: {error}", path.display())))
    }
}

/// Results of a network for consecutive excerpts.
pub struct Rows {
    /// `[excerpt, value]`
    pub values: Vec<f32>,
    /// The number of values per excerpt.
    pub width: usize,
}

impl Rows {
    /// The mean over all excerpts: `[value]`
    ///
    /// # Errors
    /// If the mean is not finite.
    pub fn mean(&self) -> Result<Vec<f32>> {
        mean(&self.values, self.width)
    }

    /// Moving means over `count` excerpts, or over all if there are fewer: `[window][value]`
    ///
    /// # Errors
    /// Those of [`Rows::mean`].
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
            "a prediction is not finite: the samples or the model's weights contain NaN".into(),
        )),
    }
}

/// Applies a model to audio that arrives in pieces. Excerpts start every `hop` samples; only complete ones are used,
/// except that audio shorter than one excerpt is padded with silence.
pub struct Reader<'a> {
    predictor: &'a Predictor,
    output: ModelOutput,
    hop: usize,
    /// Samples from the start of the next excerpt.
    pending: Vec<f32>,
    /// Samples to skip first, if the hop is longer than an excerpt.
    skip: usize,
    any: bool,
    rows: Rows,
}

impl<'a> Reader<'a> {
    /// A reader without audio.
    ///
    /// # Panics
    /// If the hop is 0.
    pub fn new(predictor: &'a Predictor, output: ModelOutput, hop: usize) -> Self {
        assert!(hop > 0);
        let rows = Rows { values: Vec::new(), width: 1 };
        Self { predictor, output, hop, pending: Vec::new(), skip: 0, any: false, rows }
    }

    /// Adds samples at the model's rate.
    pub fn push(&mut self, mut samples: &[f32]) {
        self.any |= !samples.is_empty();
        let length = self.predictor.excerpt_samples();
        let batch = (MAX_BATCH_SAMPLES / length).clamp(1, MAX_BATCH);
        let full = length + (batch - 1) * self.hop;
        while !samples.is_empty() {
            let skipped = self.skip.min(samples.len());
            self.skip -= skipped;
            samples = &samples[skipped..];
            let taken = (full - self.pending.len()).min(samples.len());
            self.pending.extend_from_slice(&samples[..taken]);
            samples = &samples[taken..];
            if self.pending.len() == full {
                self.run(batch);
            }
        }
    }

    /// The results for all excerpts.
    ///
    /// # Errors
    /// If no samples were added.
    pub fn finish(mut self) -> Result<Rows> {
        if !self.any {
            return Err(Error::Data("the audio has no samples".into()));
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

    /// Applies the model to the first `count` pending excerpts.
    fn run(&mut self, count: usize) {
        let length = self.predictor.excerpt_samples();
        let starts = (0..count).map(|row| row * self.hop);
        let waveforms: Vec<f32> =
            starts.flat_map(|start| &self.pending[start..start + length]).copied().collect();
        let waveforms = TensorData::new(waveforms, [count, length]);
        let waveforms = Tensor::from_data(waveforms, &self.predictor.device);
        let values = self.predictor.apply(self.output, waveforms);
        self.rows.width = values.dims()[1];
        self.rows.values.extend(values.into_data().convert::<f32>().iter::<f32>());
        let done = count * self.hop;
        self.skip = done.saturating_sub(self.pending.len());
        self.pending.drain(..done.min(self.pending.len()));
    }
}

/// Decodes an audio file once for several readers.
///
/// # Errors
/// If the file cannot be decoded, is silent or shorter than [`MIN_SECONDS`], or a model does not take audio.
///
/// # Panics
/// If the models have different sample rates.
pub fn read_file(path: &Path, readers: &mut [Reader<'_>]) -> Result<()> {
    let Some(first) = readers.first() else { return Ok(()) };
    let rate = first.predictor.sample_rate();
    for reader in readers.iter() {
        reader.predictor.takes_audio()?;
        assert_eq!(
            reader.predictor.sample_rate(),
            rate,
            "all readers must have the same sample rate"
        );
    }
    audio::decode_usable(path, rate, MIN_SECONDS, &Limits::default(), &mut |piece| {
        readers.iter_mut().for_each(|reader| reader.push(piece));
        Ok(())
    })
    .map_err(|error| Error::Data(error.to_string()))?;
    Ok(())
}
