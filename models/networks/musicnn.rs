//! musicnn: tall filters for timbre, and long filters for time.
//!
//! Pons, Nieto, Prockup, Schmidt, Ehmann & Serra (2018), End-to-end learning for music audio tagging
//! at scale, ISMIR, the spectrogram model; Pons & Serra (2019), musicnn: pre-trained convolutional
//! neural networks for music audio tagging, ISMIR, late-breaking. Sizes and order of layers follow the
//! code that the authors published with the second paper:
//!
//! ```text
//! mel-spectrogram, 96 bands           normalised as one channel
//! timbre: filters of 7 frames         rectifier, maximum over all positions in frequency; 204 filters of
//!   by 40 % and by 70 % of the bands    each height, which slide over frames and bands
//! time: filters of 128, 64, 32 frames rectifier; 51 each
//! three convolutions of 7 frames      64 filters each, rectifier; the second and the third are residual
//! all of these concatenated (753)     maximum and mean over time
//! dense layer of 200                  rectifier, with dropout of 0.5 before and after
//! ```
//!
//! Batch normalisation follows every rectifier and the pooling over time. Convolutions are padded with zeros
//! at both ends, which keeps the number of frames.
//!
//! Departures:
//! - The long filters read the mean over the bands, as the first paper describes and other implementations
//!   do; the published code applies them to each band and keeps the maximum.
//! - The channels of the tall filters are normalised after the maximum, not before. For a positive scale the
//!   two are the same function, but the statistics are those of the maxima, and only one position per
//!   maximum has a gradient: a training step takes about half the time.
//! - Batch normalisation has burn's settings (epsilon 1e-5, momentum 0.1), not those of the authors'
//!   library.
//!
//! To reproduce on MagnaTagATune, all tracks: ROC-AUC 0.9069 and PR-AUC 0.3844 with the model of the second
//! paper, 0.9040 and 0.3811 with that of the first, which has wider layers and more kinds of filters.

use burn::module::Module;
use burn::nn::conv::Conv1d;
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, PaddingConfig1d};
use burn::tensor::activation::relu;
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{ensure, fits_memory, in_range, list_length, valid_dropout};
use crate::front_end::{FrontEnd, FrontEndConfig, MelConfig};
use crate::layers::batch_norm;
use crate::layers::init::{output_linear, rectified_linear};
use crate::layers::rectified_conv::{lower_rectified, rectified_conv1d, rectified_pool};
use crate::networks::stages::{PartialPools, Plan};
use crate::onnx::{Graph, Lower, Lowered, Padding, Value};
use crate::{Example, Fitted, ModelError, Network, NetworkConfig};

/// Settings of [`Musicnn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MusicnnConfig {
    /// The front end, which also sets the sample rate of the model; a mel spectrogram of 96 bands by default.
    pub front_end: FrontEndConfig,
    /// Number of tall filters of each height; 204 by default.
    pub timbral_filters: usize,
    /// Heights of the tall filters, as shares of the bands; `[0.4, 0.7]` by default.
    pub timbral_heights: Vec<f64>,
    /// Number of long filters of each length; 51 by default.
    pub temporal_filters: usize,
    /// Lengths of the long filters, in frames; `[128, 64, 32]` by default.
    pub temporal_lengths: Vec<usize>,
    /// Number of filters of each of the three convolutions that follow; 64 by default.
    pub filters: usize,
    /// Units of the dense layer, which is the embedding; 200 by default.
    pub hidden: usize,
    /// Dropout probability of the inputs of both dense layers in training; 0.5 by default.
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

/// Length of a tall filter and of the convolutions that follow, in frames.
const LENGTH: usize = 7;

/// Number of convolutions that follow.
const MIDDLE: usize = 3;

/// Poolings of each feature over time: maximum and mean.
const POOLINGS: usize = 2;

/// Largest number of heights or lengths.
const MAX_KINDS: usize = 16;

impl MusicnnConfig {
    /// Height of a filter in bands.
    fn bands(&self, height: f64) -> usize {
        (height * self.front_end.bands() as f64) as usize
    }

    /// Features per frame of the tall and the long filters together.
    fn front(&self) -> usize {
        self.timbral_heights.len() * self.timbral_filters
            + self.temporal_lengths.len() * self.temporal_filters
    }

    /// Features of an excerpt after pooling.
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

    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        Plan::new(&self.front_end, &[], PartialPools::Auto, excerpt_samples)?;
        list_length("timbral_heights", self.timbral_heights.len(), 1, MAX_KINDS)?;
        list_length("temporal_lengths", self.temporal_lengths.len(), 1, MAX_KINDS)?;
        in_range("timbral_filters", self.timbral_filters, 1, 65_536)?;
        in_range("temporal_filters", self.temporal_filters, 1, 65_536)?;
        for (i, &height) in self.timbral_heights.iter().enumerate() {
            let key = format!("timbral_heights[{i}]");
            in_range(&key, height, 0.0, 1.0)?;
            let (bands, all) = (self.bands(height), self.front_end.bands());
            let problem = format!("less than one of the {all} bands");
            ensure(bands > 0, &key, height, problem, "set it to a larger share")?;
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
        valid_dropout(self.dropout)
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
    /// The layer along time.
    ///
    /// # Shapes
    /// - `x`: `[batch, channel, frame]`
    /// - returns: `[batch, filter, frame]`
    fn over_time(&self, x: Tensor<3>) -> Tensor<3> {
        let length = self.conv.kernel_size;
        let x = x.pad([(before(length), length - 1 - before(length))], PadMode::Constant(0.0));
        self.norm.forward(rectified_pool(&self.conv, x, 1, false))
    }

    /// The layer along bands, with the maximum over all positions.
    ///
    /// # Shapes
    /// - `x`: `[batch frame, LENGTH, band]`, with `frames` rows per item
    /// - returns: `[batch, filter, frame]`
    fn over_bands(&self, x: Tensor<3>, frames: usize) -> Tensor<3> {
        let [items, _, bands] = x.dims();
        let filters = self.norm.gamma.dims()[0];
        let x = rectified_pool(&self.conv, x, bands + 1 - self.conv.kernel_size, false);
        self.norm.forward(x.reshape([items / frames, frames, filters]).swap_dims(1, 2))
    }
}

/// Frames of a window before its central one.
fn before(length: usize) -> usize {
    (length - 1) / 2
}

/// The network; see the module documentation.
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

/// The `LENGTH` frames around each frame as channels, so that a convolution along bands reads all of them.
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

impl Network for Musicnn {
    fn front_end_module(&self) -> Option<&FrontEnd> {
        Some(&self.front_end)
    }

    fn hidden(&self, waveforms: Tensor<2>) -> Tensor<2> {
        let bands = self.front_end.forward(waveforms);
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

    fn outputs(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.dropout.forward(hidden))
    }
}

impl Layer {
    fn lower_rectified(&self, graph: &mut Graph, name: &str, x: &Value, padding: usize) -> Value {
        lower_rectified(&self.conv, graph, &format!("{name}.conv"), x, padding)
    }

    fn lower_norm(&self, graph: &mut Graph, name: &str, x: &Value) -> Value {
        batch_norm::lower(&self.norm, graph, &format!("{name}.norm"), x)
    }

    fn lower_over_time(&self, graph: &mut Graph, name: &str, x: &Value) -> Value {
        let (length, frames) = (self.conv.kernel_size, x.shape()[1]);
        // The same number of zeros at both ends; an even length needs one less at the beginning.
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

    /// Filters of even length read one more frame after the current one than before it, like the `SAME`
    /// padding of TensorFlow that the authors use. The response to an impulse is the reversed filter.
    #[test]
    fn even_filters_read_one_more_frame_after_the_current_one() {
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
    fn number_of_parameters_is_as_published() {
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
        // burn also counts the running mean and variance of each normalised channel.
        let running = 2 * (1 + 561 + 3 * 64 + 1_506 + 200);
        assert_eq!(model.num_params(), expected + running);
    }
}
