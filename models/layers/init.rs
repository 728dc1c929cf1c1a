//! First weights.
//!
//! How the papers drew theirs is not known here. Layers before a rectifier draw from the uniform
//! distribution of He et al. (2015), variance `2 / fan_in`, which keeps the size of activations
//! from layer to layer: needed for raw audio, whose values are small. Biases begin at 0. The last
//! layer draws from +-1/sqrt(fan_in), burn's default. (Drawn like that throughout, the tagger on
//! raw audio learned nothing but its biases in 120 steps at learning rate 0.01 on a toy task where
//! these weights did; on raw audio 0.1 was the better rate, on mel bands 0.01.)

use burn::module::{Initializer, Module, ModuleVisitor, Param};
use burn::nn::conv::{Conv1d, Conv1dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig1d};
use burn::tensor::{Device, Tensor};

/// Uniform in `+-sqrt(6 / fan_in)`: variance `2 / fan_in`.
pub(crate) fn he_uniform<const D: usize>(
    shape: [usize; D],
    fan_in: usize,
    device: &Device,
) -> Param<Tensor<D>> {
    let initializer = Initializer::KaimingUniform { gain: 2.0_f64.sqrt(), fan_out_only: false };
    initializer.init_with(shape, Some(fan_in), None, device)
}

fn zeros(length: usize, device: &Device) -> Option<Param<Tensor<1>>> {
    Some(Initializer::Zeros.init([length], device))
}

/// A convolution that a rectifier follows.
pub(crate) fn rectified_conv1d(
    (channels_in, channels_out): (usize, usize),
    length: usize,
    stride: usize,
    padding: PaddingConfig1d,
    device: &Device,
) -> Conv1d {
    let config = Conv1dConfig::new(channels_in, channels_out, length)
        .with_stride(stride)
        .with_padding(padding)
        .with_bias(false);
    Conv1d {
        weight: he_uniform([channels_out, channels_in, length], channels_in * length, device),
        bias: zeros(channels_out, device),
        ..config.init(device)
    }
}

/// A dense layer that a rectifier follows.
pub(crate) fn rectified_linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    Linear { weight: he_uniform([inputs, outputs], inputs, device), bias: zeros(outputs, device) }
}

/// The layer that gives the logits.
pub(crate) fn output_linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    let linear = LinearConfig::new(inputs, outputs).with_bias(false).init(device);
    Linear { bias: zeros(outputs, device), ..linear }
}

/// Draws every first weight that burn has put off until it is used (`materialize` does not).
pub(crate) fn draw(module: &impl Module) {
    struct Draw;
    impl ModuleVisitor for Draw {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            param.val();
        }
    }
    module.visit(&mut Draw);
}
