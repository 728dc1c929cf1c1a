//! SampleCNN: convolutions of three samples in every layer.
//!
//! Lee, Park, Kim & Nam (2017), Sample-level deep convolutional neural networks for music
//! auto-tagging using raw waveforms, SMC; the 3^9 model. A convolution of 3 samples with stride 3,
//! nine blocks of convolution (3), batch normalisation, rectifier and max-pooling (3), then a
//! convolution of one frame and dropout. 59 049 = 3^10 samples at 22 050 Hz (2.7 s) are reduced to
//! exactly one frame. Filters, padding, He-uniform initial weights and the dropout of 0.5 are recalled from
//! memory with confidence.
//!
//! Departures:
//! - Longer excerpts leave several frames, which `head` pools to one. Frames that do not fill a pool are
//!   dropped.
//! - Convolutions have no biases, since batch normalisation would cancel them and has its own.
//! - Batch normalisation has burn's settings (epsilon 1e-5, momentum 0.1), not those of the authors'
//!   library.
//!
//! To reproduce on MagnaTagATune: ROC-AUC 0.9055 on the cleaned split (tracks without tags left
//! out), 0.886 as re-measured by others on the full one.

use burn::module::Module;
use burn::nn::conv::Conv1d;
use burn::nn::pool::{MaxPool1d, MaxPool1dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, PaddingConfig1d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{ensure, excerpt_too_short, fits_memory, in_range, list_length, valid_dropout};
use crate::front_end::{FrontEndConfig, check_sample_rate};
use crate::layers::batch_norm;
use crate::layers::init::output_linear;
use crate::layers::rectified_conv::rectified_conv1d;
use crate::onnx::{Graph, Lower, Lowered, Value, Windows, numbers};
use crate::{Example, Fitted, ModelError, Network, NetworkConfig};

/// Settings of [`SampleCnn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SampleCnnConfig {
    /// Sample rate of the audio, in Hz; 22050 by default.
    pub sample_rate: u32,
    /// Length and stride of the first convolution, in samples; 3 by default.
    pub stem_length: usize,
    /// Number of filters of the first convolution; 128 by default.
    pub stem_filters: usize,
    /// Number of filters of each block in order; by default nine blocks of 128 to 512 filters.
    pub block_filters: Vec<usize>,
    /// Length of a filter in the blocks, in frames, an odd number; 3 by default.
    pub length: usize,
    /// Size and stride of the max-pooling in the blocks, in frames; 3 by default.
    pub pool: usize,
    /// Number of filters of the last convolution, which is the embedding; 512 by default.
    pub hidden: usize,
    /// Pooling of the remaining frames over time; `"mean"` by default.
    pub head: Head,
    /// Dropout probability of the embedding in training; 0.5 by default.
    pub dropout: f64,
}

/// Pooling over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// The mean over the frames.
    #[default]
    Mean,
    /// The maximum over the frames.
    Max,
}

impl Default for SampleCnnConfig {
    fn default() -> Self {
        Self {
            sample_rate: 22_050,
            stem_length: 3,
            stem_filters: 128,
            block_filters: vec![128, 128, 256, 256, 256, 256, 256, 256, 512],
            length: 3,
            pool: 3,
            hidden: 512,
            head: Head::Mean,
            dropout: 0.5,
        }
    }
}

impl SampleCnnConfig {
    /// Length of an excerpt that is reduced to one frame, in samples.
    fn shortest_excerpt(&self) -> usize {
        self.block_filters
            .iter()
            .fold(self.stem_length, |samples, _| samples.saturating_mul(self.pool))
    }
}

impl NetworkConfig for SampleCnnConfig {
    type Network = SampleCnn;

    fn examples() -> Vec<Example<Self>> {
        let small = Self {
            stem_filters: 4,
            block_filters: vec![4, 5, 6],
            hidden: 6,
            dropout: 0.0,
            ..Self::default()
        };
        let largest = Self { head: Head::Max, block_filters: vec![4, 5], ..small.clone() };
        vec![
            Example { about: "mean over time", config: small, samples: 200 },
            Example { about: "maximum over time", config: largest, samples: 200 },
        ]
    }

    fn front_end(&self) -> Option<&FrontEndConfig> {
        None
    }

    fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        check_sample_rate(self.sample_rate)?;
        in_range("stem_length", self.stem_length, 1, 65_536)?;
        in_range("stem_filters", self.stem_filters, 1, 65_536)?;
        in_range("length", self.length, 1, 65_535)?;
        let odd = !self.length.is_multiple_of(2);
        ensure(odd, "length", self.length, "even", "set it to an odd number")?;
        in_range("pool", self.pool, 1, 65_536)?;
        list_length("block_filters", self.block_filters.len(), 0, 64)?;
        fits_memory("stem_filters", self.stem_filters, &[self.stem_filters, self.stem_length])?;
        let mut channels = self.stem_filters;
        for (i, &filters) in self.block_filters.iter().enumerate() {
            let key = format!("block_filters[{i}]");
            in_range(&key, filters, 1, 65_536)?;
            fits_memory(&key, filters, &[channels, filters, self.length])?;
            channels = filters;
        }
        in_range("hidden", self.hidden, 1, 65_536)?;
        fits_memory("hidden", self.hidden, &[channels, self.hidden])?;
        valid_dropout(self.dropout)?;
        let needed = self.shortest_excerpt();
        if excerpt_samples < needed {
            return Err(excerpt_too_short(excerpt_samples, needed));
        }
        Ok(())
    }

    fn init(
        &self,
        outputs: usize,
        excerpt_samples: usize,
        _fitted: &Fitted,
        device: &Device,
    ) -> Result<SampleCnn, ModelError> {
        self.validate(excerpt_samples)?;
        fits_memory("hidden", self.hidden, &[self.hidden, outputs])?;
        let (valid, same) = (PaddingConfig1d::Valid, PaddingConfig1d::Same);
        let layer = |channels, filters, length, stride, padding| Layer {
            conv: Conv1d {
                bias: None,
                ..rectified_conv1d((channels, filters), length, stride, padding, device)
            },
            norm: BatchNormConfig::new(filters).init(device),
        };
        let stem = layer(1, self.stem_filters, self.stem_length, self.stem_length, valid.clone());
        let mut channels = self.stem_filters;
        let mut blocks = Vec::new();
        for &filters in &self.block_filters {
            blocks.push(layer(channels, filters, self.length, 1, same.clone()));
            channels = filters;
        }
        Ok(SampleCnn {
            stem,
            blocks,
            pool: MaxPool1dConfig::new(self.pool).init(),
            last: layer(channels, self.hidden, 1, 1, valid),
            head: self.head,
            dropout: DropoutConfig::new(self.dropout).init(),
            output: output_linear(self.hidden, outputs, device),
        })
    }

    fn describe(&self) -> String {
        let Self { stem_filters, stem_length, block_filters, hidden, sample_rate, dropout, .. } =
            self;
        format!(
            "SampleCNN: raw audio, {stem_filters} filters of {stem_length} samples, blocks of \
             {block_filters:?} filters, {hidden} features, dropout {dropout}, {sample_rate} Hz"
        )
    }
}

/// Convolution, batch normalisation, rectifier.
#[derive(Module, Debug)]
struct Layer {
    conv: Conv1d,
    norm: BatchNorm,
}

impl Layer {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        relu(self.norm.forward(self.conv.forward(x)))
    }

    /// The layer as nodes, with the normalisation, which is constant after training, folded into the
    /// convolution.
    fn lower(&self, graph: &mut Graph, name: &str, x: &Value) -> Value {
        let (scales, shifts) = batch_norm::scale_and_shift(&self.norm);
        let [filters, channels, length] = self.conv.weight.dims();
        let weights = numbers(self.conv.weight.val());
        let weights: Vec<f32> = weights
            .iter()
            .enumerate()
            .map(|(at, weight)| (f64::from(*weight) * scales[at / (channels * length)]) as f32)
            .collect();
        let bias: Vec<f32> = shifts.iter().map(|shift| *shift as f32).collect();
        let padding = if self.conv.padding == PaddingConfig1d::Same { length / 2 } else { 0 };
        let windows = Windows { stride: self.conv.stride, padding };
        let weights = (name, [filters, channels, length], weights.as_slice());
        let x = graph.conv(x, weights, Some(&bias), windows);
        graph.relu(&x)
    }
}

/// The network; see the module documentation.
#[derive(Module, Debug)]
pub struct SampleCnn {
    stem: Layer,
    blocks: Vec<Layer>,
    pool: MaxPool1d,
    last: Layer,
    #[module(skip)]
    head: Head,
    dropout: Dropout,
    output: Linear,
}

impl Network for SampleCnn {
    fn outputs(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.dropout.forward(hidden))
    }

    fn hidden(&self, waveforms: Tensor<2>) -> Tensor<2> {
        let mut x = self.stem.forward(waveforms.unsqueeze_dim(1)); // [batch, channel, frame]
        for block in &self.blocks {
            x = self.pool.forward(block.forward(x));
        }
        let x = self.last.forward(x);
        let x = match self.head {
            Head::Mean => x.mean_dim(2),
            Head::Max => x.max_dim(2),
        };
        x.squeeze_dim(2)
    }
}

impl Lower for SampleCnn {
    fn lower(&self, graph: &mut Graph, waveforms: Value) -> Lowered {
        let signal = graph.reshape(&waveforms, &[1, waveforms.shape()[0]]);
        let mut x = self.stem.lower(graph, "stem", &signal);
        for (number, block) in self.blocks.iter().enumerate() {
            x = block.lower(graph, &format!("blocks.{number}"), &x);
            x = graph.max_pool(&x, self.pool.kernel_size, 0);
        }
        let x = self.last.lower(graph, "last", &x);
        let kind = match self.head {
            Head::Mean => "ReduceMean",
            Head::Max => "ReduceMax",
        };
        let features = graph.reduce(kind, &x, 2, false);
        let outputs = graph.linear("output", &features, &self.output);
        Lowered { outputs, features }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_excerpt_of_the_paper_is_reduced_to_one_frame() {
        let config = SampleCnnConfig::default();
        assert_eq!(config.shortest_excerpt(), 59_049);
        config.validate(59_049).unwrap();
        let error = config.validate(59_048).unwrap_err().to_string();
        assert!(error.contains("59049 samples") && error.contains("excerpt_seconds"), "{error}");
    }

    #[test]
    fn number_of_parameters_matches_a_count_by_hand() {
        let conv = |inputs: usize, outputs, length| outputs * inputs * length + 2 * outputs;
        let blocks = 2 * conv(128, 128, 3) + conv(128, 256, 3) + 5 * conv(256, 256, 3);
        let expected = conv(1, 128, 3) + blocks + conv(256, 512, 3) + conv(512, 512, 1) + 513 * 50;
        let config = SampleCnnConfig::default();
        let model = config.init(50, 59_049, &Fitted::default(), &Device::flex()).unwrap();
        // burn also counts the running mean and variance of each normalised channel.
        let running = 2 * (3 * 128 + 6 * 256 + 2 * 512);
        assert_eq!(model.num_params(), expected + running);
    }
}
