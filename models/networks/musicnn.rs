//! musicnn: filters that are tall, for timbre, and filters that are long, for time.
//!
//! Pons, Nieto, Prockup, Schmidt, Ehmann & Serra (2018), End-to-end learning for music audio tagging
//! at scale, ISMIR, the spectrogram model; Pons & Serra (2019), musicnn: pre-trained convolutional
//! neural networks for music audio tagging, ISMIR, late-breaking. Sizes and order of layers are those
//! of the second, as its authors' published code has them:
//!
//! ```text
//! mel-spectrogram, 96 bands           normalised as one channel
//! timbre: filters of 7 frames         rectifier, largest value over all heights; for each share of the
//!   by 40 % and by 70 % of the bands    bands 204 of them, which slide over frames and bands
//! time: filters of 128, 64, 32 frames rectifier; 51 each
//! three convolutions of 7 frames      64 filters each, rectifier; the second and the third add what
//!                                       they read
//! all of these side by side (753)     maximum and mean over time
//! dense layer of 200                  rectifier, with dropout of 0.5 before and after
//! ```
//!
//! Every layer is normalised over the batch, after its rectifier; so is what is pooled over time.
//! Frames stay as many as they are: zeros are added at both ends.
//!
//! Departures:
//! - The long filters read the mean over the bands, which is what the first paper describes (and others'
//!   re-implementations do); the published code lets them read each band by itself and keeps the largest.
//! - The tall filters' channels are normalised after the maximum, not before. With a scale above 0 the two
//!   are the same function; the statistics are now those of the maxima, and one position a maximum has a
//!   gradient, not all of them: a training step takes about half the time.
//! - Batch normalisation has burn's settings (epsilon 1e-5; a tenth of each batch goes into the running
//!   statistics), not those of the authors' library.
//!
//! To reproduce on MagnaTagATune, all tracks: ROC-AUC 0.9069 and PR-AUC 0.3844 with the second paper's
//! model, 0.9040 and 0.3811 with the first one's, which has wider layers and more kinds of filters.

use burn::module::Module;
use burn::nn::conv::Conv1d;
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, PaddingConfig1d};
use burn::tensor::activation::relu;
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor};
use kernels::conv::{ConvOptions, End, conv};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{fits_memory, in_range};
use crate::front_end::{FrontEnd, FrontEndConfig, MelConfig};
use crate::layers::batch_norm;
use crate::layers::init::{output_linear, rectified_conv1d, rectified_linear};
use crate::layers::stages::{PartialPools, Plan};
use crate::onnx::{Graph, Lower, Lowered, Padding, Value, Windows, numbers};
use crate::{Example, Fitted, ModelError, NetworkConfig, OnFrontEnd};

/// Everything that [`Musicnn`] leaves open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MusicnnConfig {
    /// Decides the sample rate that the model expects.
    pub front_end: FrontEndConfig,
    /// Filters of each height.
    pub timbral_filters: usize,
    /// Shares of the bands that they read.
    pub timbral_heights: Vec<f64>,
    /// Filters of each length.
    pub temporal_filters: usize,
    /// Frames that they read.
    pub temporal_lengths: Vec<usize>,
    /// Filters of each of the convolutions that follow.
    pub filters: usize,
    /// Units of the dense layer, the features of [`Network::embed`](crate::Network::embed).
    pub hidden: usize,
    /// Probability of dropping an input of a dense layer in training.
    pub dropout: f64,
}

impl Default for MusicnnConfig {
    fn default() -> Self {
        Self {
            front_end: FrontEndConfig::Mel(MelConfig { n_mels: 96, ..MelConfig::default() }),
            timbral_filters: 204,
            timbral_heights: vec![0.4, 0.7],
            temporal_filters: 51,
            temporal_lengths: vec![128, 64, 32],
            filters: 64,
            hidden: 200,
            dropout: 0.5,
        }
    }
}

/// Frames of a timbral filter, and of those that follow.
const LENGTH: usize = 7;

/// Convolutions that follow.
const MIDDLE: usize = 3;

/// What is taken of a feature over time: maximum and mean.
const POOLINGS: usize = 2;

/// Most kinds of filters.
const MAX_KINDS: usize = 16;

impl MusicnnConfig {
    /// Bands that a filter of that height reads.
    fn bands(&self, height: f64) -> usize {
        (height * self.front_end.bands() as f64) as usize
    }

    /// Features of a frame that the tall and the long filters give.
    fn front(&self) -> usize {
        self.timbral_heights.len() * self.timbral_filters
            + self.temporal_lengths.len() * self.temporal_filters
    }

    /// Features of an excerpt.
    fn pooled(&self) -> usize {
        POOLINGS * (self.front() + MIDDLE * self.filters)
    }
}

impl NetworkConfig for MusicnnConfig {
    type Network = Musicnn;

    fn examples() -> Vec<Example<Self>> {
        let small = Self {
            front_end: FrontEndConfig::Mel(MelConfig::small()),
            timbral_filters: 4,
            temporal_filters: 3,
            temporal_lengths: vec![8, 3],
            filters: 5,
            hidden: 6,
            dropout: 0.0,
            ..Self::default()
        };
        vec![Example { about: "mel", config: small, samples: 700 }]
    }

    fn front_end(&self) -> Option<&FrontEndConfig> {
        Some(&self.front_end)
    }

    fn sample_rate(&self) -> u32 {
        self.front_end.sample_rate()
    }

    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        Plan::new(&self.front_end, &[], PartialPools::Auto, excerpt_samples)?;
        for (key, count) in [
            ("timbral_heights", self.timbral_heights.len()),
            ("temporal_lengths", self.temporal_lengths.len()),
        ] {
            if !(1..=MAX_KINDS).contains(&count) {
                let remedy = format!("list 1 to {MAX_KINDS}");
                return Err(ModelError::new(key, count, "out of range", remedy));
            }
        }
        in_range("timbral_filters", self.timbral_filters, 1, 65_536)?;
        in_range("temporal_filters", self.temporal_filters, 1, 65_536)?;
        for (i, &height) in self.timbral_heights.iter().enumerate() {
            let key = format!("timbral_heights[{i}]");
            in_range(&key, height, 0.0, 1.0)?;
            let (bands, all) = (self.bands(height), self.front_end.bands());
            if bands == 0 {
                let problem = format!("not one of the {all} bands");
                return Err(ModelError::new(key, height, problem, "set it to a larger share"));
            }
            fits_memory(
                "timbral_filters",
                self.timbral_filters,
                &[self.timbral_filters, bands, LENGTH],
            )?;
        }
        for (i, &length) in self.temporal_lengths.iter().enumerate() {
            in_range(&format!("temporal_lengths[{i}]"), length, 1, 65_536)?;
            fits_memory(
                "temporal_filters",
                self.temporal_filters,
                &[self.temporal_filters, length],
            )?;
        }
        in_range("filters", self.filters, 1, 65_536)?;
        fits_memory(
            "filters",
            self.filters,
            &[self.front().max(self.filters), self.filters, LENGTH],
        )?;
        in_range("hidden", self.hidden, 1, 1_000_000)?;
        fits_memory("hidden", self.hidden, &[self.pooled(), self.hidden])?;
        in_range("dropout", self.dropout, 0.0, 0.99)
    }

    fn init(
        &self,
        outputs: usize,
        excerpt_samples: usize,
        _fitted: &Fitted,
        device: &Device,
    ) -> Result<Musicnn, ModelError> {
        self.validate(excerpt_samples)?;
        fits_memory("hidden", self.hidden, &[self.hidden, outputs])?;
        let norm = |channels| BatchNormConfig::new(channels).init(device);
        let layer = |channels, filters, length| Layer {
            conv: rectified_conv1d((channels, filters), length, 1, PaddingConfig1d::Valid, device),
            norm: norm(filters),
        };
        let timbral = |&height| layer(LENGTH, self.timbral_filters, self.bands(height));
        let temporal = |&length| layer(1, self.temporal_filters, length);
        let middle = |number| {
            let channels = if number == 0 { self.front() } else { self.filters };
            layer(channels, self.filters, LENGTH)
        };
        Ok(Musicnn {
            front_end: self.front_end.init(device)?,
            spectrogram_norm: norm(1),
            timbral: self.timbral_heights.iter().map(timbral).collect(),
            temporal: self.temporal_lengths.iter().map(temporal).collect(),
            middle: (0..MIDDLE).map(middle).collect(),
            pooled_norm: norm(self.pooled()),
            hidden: rectified_linear(self.pooled(), self.hidden, device),
            hidden_norm: norm(self.hidden),
            dropout: DropoutConfig::new(self.dropout).init(),
            output: output_linear(self.hidden, outputs, device),
        })
    }

    fn describe(&self) -> String {
        let Self { timbral_filters, timbral_heights, temporal_filters, temporal_lengths, .. } =
            self;
        let Self { filters, hidden, dropout, .. } = self;
        format!(
            "musicnn: {}; {timbral_filters} filters of {LENGTH} frames by each of {timbral_heights:?} of \
             the bands, {temporal_filters} by each of {temporal_lengths:?} frames, {MIDDLE} convolutions \
             {filters}x{LENGTH}, max and mean over time, dense {hidden}, dropout {dropout}",
            self.front_end.describe(),
        )
    }
}

/// Convolution, rectifier, batch normalisation.
#[derive(Module, Debug)]
struct Layer {
    conv: Conv1d,
    norm: BatchNorm,
}

impl Layer {
    /// Convolution and rectifier, and the largest of every `pool` windows.
    fn rectified(&self, x: Tensor<3>, pool: usize) -> Tensor<3> {
        let weights = self.conv.weight.val();
        let bias = self.conv.bias.as_ref().map(burn::module::Param::val);
        let bias = bias.unwrap_or_else(|| Tensor::zeros([weights.dims()[0]], &x.device()));
        let end = End::RectifiedPool { pool, partial: false };
        conv(x, weights, bias, ConvOptions { stride: 1, end })
    }

    /// Over time.
    ///
    /// # Shapes
    /// - `x`: `[batch, channel, frame]`
    /// - returns: `[batch, filter, frame]`
    fn over_time(&self, x: Tensor<3>) -> Tensor<3> {
        let length = self.conv.kernel_size;
        let x = x.pad([(before(length), length - 1 - before(length))], PadMode::Constant(0.0));
        self.norm.forward(self.rectified(x, 1))
    }

    /// Over bands, of which only the largest value is kept.
    ///
    /// # Shapes
    /// - `x`: `[batch frame, LENGTH, band]`; `frames` of these are an item's
    /// - returns: `[batch, filter, frame]`
    fn over_bands(&self, x: Tensor<3>, frames: usize) -> Tensor<3> {
        let [items, _, bands] = x.dims();
        let filters = self.norm.gamma.dims()[0];
        let x = self.rectified(x, bands + 1 - self.conv.kernel_size);
        self.norm.forward(x.reshape([items / frames, frames, filters]).swap_dims(1, 2))
    }
}

/// Frames of a window that lie before the one it is of.
fn before(length: usize) -> usize {
    (length - 1) / 2
}

/// See the head of this file.
#[derive(Module, Debug)]
pub struct Musicnn {
    front_end: FrontEnd,
    spectrogram_norm: BatchNorm,
    timbral: Vec<Layer>,
    temporal: Vec<Layer>,
    middle: Vec<Layer>,
    pooled_norm: BatchNorm,
    hidden: Linear,
    hidden_norm: BatchNorm,
    dropout: Dropout,
    output: Linear,
}

/// The frames around each frame as channels: a convolution over bands then reads a stretch of time.
///
/// # Shapes
/// - `x`: `[batch, band, frame]`
/// - returns: `[batch frame, LENGTH, band]`
fn around_each_frame(x: Tensor<3>) -> Tensor<3> {
    let [batch, bands, frames] = x.dims();
    let reach = before(LENGTH);
    let x = x.pad([(reach, LENGTH - 1 - reach)], PadMode::Constant(0.0)).swap_dims(1, 2);
    let shifted = |shift| x.clone().narrow(1, shift, frames).unsqueeze_dim::<4>(2);
    let x = Tensor::cat((0..LENGTH).map(shifted).collect(), 2);
    x.reshape([batch * frames, LENGTH, bands])
}

impl OnFrontEnd for Musicnn {
    fn stands_on(&self) -> &FrontEnd {
        &self.front_end
    }

    fn features(&self, bands: Tensor<3>) -> Tensor<2> {
        let x = self.spectrogram_norm.forward(bands.unsqueeze_dim::<4>(1)).squeeze_dim::<3>(1);
        let [_, _, frames] = x.dims();
        let (patches, energy) = (around_each_frame(x.clone()), x.mean_dim(1));
        let timbral = self.timbral.iter().map(|layer| layer.over_bands(patches.clone(), frames));
        let temporal = self.temporal.iter().map(|layer| layer.over_time(energy.clone()));
        let mut x = Tensor::cat(timbral.chain(temporal).collect(), 1); // [batch, feature, frame]
        let mut all = vec![x.clone()];
        for (number, layer) in self.middle.iter().enumerate() {
            let y = layer.over_time(x.clone());
            x = if number == 0 { y } else { x + y };
            all.push(x.clone());
        }
        let x = Tensor::cat(all, 1);
        let x = Tensor::cat(vec![x.clone().max_dim(2), x.mean_dim(2)], 1).squeeze_dim::<2>(2);
        let x = self.dropout.forward(self.pooled_norm.forward(x));
        self.hidden_norm.forward(relu(self.hidden.forward(x)))
    }

    fn outputs(&self, features: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.dropout.forward(features))
    }
}

impl Layer {
    fn lower_rectified(&self, graph: &mut Graph, name: &str, x: &Value, padding: usize) -> Value {
        let weights = numbers(self.conv.weight.val());
        let weights = (&*format!("{name}.conv"), self.conv.weight.dims(), weights.as_slice());
        let bias = self.conv.bias.as_ref().map(|bias| numbers(bias.val()));
        let x = graph.conv(x, weights, bias.as_deref(), Windows { stride: 1, padding });
        graph.relu(&x)
    }

    fn lower_norm(&self, graph: &mut Graph, name: &str, x: &Value) -> Value {
        batch_norm::lower(&self.norm, graph, &format!("{name}.norm"), x)
    }

    fn lower_over_time(&self, graph: &mut Graph, name: &str, x: &Value) -> Value {
        let (length, frames) = (self.conv.kernel_size, x.shape()[1]);
        // As many zeros at both ends; where the length is even one less is needed at the beginning.
        let padding = length / 2;
        let x = self.lower_rectified(graph, name, x, padding);
        let x = graph.slice(&x, 2, padding - before(length), frames);
        self.lower_norm(graph, name, &x)
    }

    fn lower_over_bands(&self, graph: &mut Graph, name: &str, x: &Value, frames: usize) -> Value {
        let x = self.lower_rectified(graph, name, x, 0);
        let x = graph.reduce("ReduceMax", &x, 2, false);
        let x = graph.reshape(&x, &[frames, x.shape()[0]]);
        let x = graph.transpose(&x, &[0, 2, 1]);
        self.lower_norm(graph, name, &x)
    }
}

/// [`around_each_frame`] as nodes.
fn lower_around_each_frame(graph: &mut Graph, x: &Value) -> Value {
    let [bands, frames] = [x.shape()[0], x.shape()[1]];
    let x = graph.pad(x, before(LENGTH), Padding::Zeros);
    let x = graph.transpose(&x, &[0, 2, 1]);
    let shifted: Vec<Value> = (0..LENGTH)
        .map(|shift| {
            let x = graph.slice(&x, 1, shift, frames);
            graph.reshape(&x, &[frames, 1, bands])
        })
        .collect();
    let x = graph.cat(&shifted, 2);
    graph.reshape(&x, &[LENGTH, bands])
}

impl Lower for Musicnn {
    fn lower(&self, graph: &mut Graph, waveforms: Value) -> Lowered {
        let x = self.front_end.lower(graph, &waveforms);
        let [bands, frames] = [x.shape()[0], x.shape()[1]];
        let x = graph.reshape(&x, &[1, bands, frames]);
        let x = batch_norm::lower(&self.spectrogram_norm, graph, "spectrogram_norm", &x);
        let x = graph.reshape(&x, &[bands, frames]);
        let patches = lower_around_each_frame(graph, &x);
        let energy = graph.reduce("ReduceMean", &x, 1, true);
        let mut front = Vec::new();
        for (number, layer) in self.timbral.iter().enumerate() {
            let name = format!("timbral.{number}");
            front.push(layer.lower_over_bands(graph, &name, &patches, frames));
        }
        for (number, layer) in self.temporal.iter().enumerate() {
            front.push(layer.lower_over_time(graph, &format!("temporal.{number}"), &energy));
        }
        let mut x = graph.cat(&front, 1);
        let mut all = vec![x.clone()];
        for (number, layer) in self.middle.iter().enumerate() {
            let y = layer.lower_over_time(graph, &format!("middle.{number}"), &x);
            x = if number == 0 { y } else { graph.binary("Add", &x, &y) };
            all.push(x.clone());
        }
        let x = graph.cat(&all, 1);
        let largest = graph.reduce("ReduceMax", &x, 2, false);
        let mean = graph.reduce("ReduceMean", &x, 2, false);
        let x = graph.cat(&[largest, mean], 1);
        let x = batch_norm::lower(&self.pooled_norm, graph, "pooled_norm", &x);
        let x = graph.linear("hidden", &x, &self.hidden);
        let x = graph.relu(&x);
        let features = batch_norm::lower(&self.hidden_norm, graph, "hidden_norm", &x);
        let outputs = graph.linear("output", &features, &self.output);
        Lowered { outputs, features }
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::tensor::TensorData;

    use super::*;

    /// Filters of an even length see one frame more after theirs than before it, as TensorFlow's `SAME`,
    /// which the authors use, has it: an impulse comes back turned round, at these frames.
    #[test]
    fn even_filters_reach_one_frame_further_ahead() {
        let (device, frames, at) = (Device::flex(), 20, 9);
        let mut impulse = vec![0.0; frames];
        impulse[at] = 1.0;
        for (length, before) in [(1, 0), (2, 0), (4, 1), (7, 3), (8, 3)] {
            let taps: Vec<f32> = (1..=length).map(|tap| tap as f32).collect();
            let mut conv = rectified_conv1d((1, 1), length, 1, PaddingConfig1d::Valid, &device);
            let taps = TensorData::new(taps, [1, 1, length]);
            conv.weight = Param::from_tensor(Tensor::from_data(taps, &device));
            conv.bias = None;
            let layer =
                Layer { conv, norm: BatchNormConfig::new(1).with_epsilon(1e-12).init(&device) };
            let x = Tensor::from_data(TensorData::new(impulse.clone(), [1, 1, frames]), &device);
            let y: Vec<f32> = layer.over_time(x).into_data().try_to_vec().unwrap();
            let mut expected = vec![0.0; frames];
            for tap in 0..length {
                expected[at + before - tap] = (tap + 1) as f32;
            }
            assert_eq!(y, expected, "{length}");
        }
    }

    #[test]
    fn parameters_are_those_that_the_authors_count() {
        let config = MusicnnConfig::default();
        assert_eq!((config.front(), config.pooled()), (561, 1_506));
        let conv = |inputs: usize, outputs, length| outputs * (inputs * length + 1) + 2 * outputs;
        let front = conv(7, 204, 38) + conv(7, 204, 67);
        let front = front + conv(1, 51, 128) + conv(1, 51, 64) + conv(1, 51, 32);
        let middle = conv(561, 64, 7) + 2 * conv(64, 64, 7);
        let dense = 2 * 1_506 + 200 * 1_507 + 2 * 200 + 50 * 201;
        let expected = 2 + front + middle + dense;
        assert_eq!(expected, 787_159); // "787k"
        let model = config.init(50, 48_000, &Fitted::default(), &Device::flex()).unwrap();
        // burn counts the running mean and variance of each normalised channel among them.
        let running = 2 * (1 + 561 + 3 * 64 + 1_506 + 200);
        assert_eq!(model.num_params(), expected + running);
    }
}
