//! A convolution over the last axis, followed by a rectifier and max-pooling.

use burn::module::Param;
use burn::nn::PaddingConfig1d;
use burn::nn::conv::{Conv1d, Conv1dConfig};
use burn::tensor::{Device, Tensor};
use kernels::conv::{ConvOptions, End, conv};

use super::init::{he_uniform, zeros};
use crate::onnx::{Graph, Value, Windows, numbers};

/// The convolution with its initial weights.
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

/// Convolution with stride 1 and no padding, rectifier, and the maximum of every `pool` values; `partial` keeps
/// the last pool if it is incomplete.
///
/// # Shapes
/// - `x`: `[batch, channel, frame]`
/// - returns: `[batch, filter, frame / pool]`
pub(crate) fn rectified_pool(
    layer: &Conv1d,
    x: Tensor<3>,
    pool: usize,
    partial: bool,
) -> Tensor<3> {
    let weights = layer.weight.val();
    let bias = layer.bias.as_ref().map(Param::val);
    let bias = bias.unwrap_or_else(|| Tensor::zeros([weights.dims()[0]], &x.device()));
    conv(x, weights, bias, ConvOptions { stride: 1, end: End::RectifiedPool { pool, partial } })
}

/// Convolution and rectifier as nodes, with `padding` zeros at both ends; see [`Lower`](crate::onnx::Lower).
pub(crate) fn lower_rectified(
    layer: &Conv1d,
    graph: &mut Graph,
    name: &str,
    x: &Value,
    padding: usize,
) -> Value {
    let weights = numbers(layer.weight.val());
    let weights = (name, layer.weight.dims(), weights.as_slice());
    let bias = layer.bias.as_ref().map(|bias| numbers(bias.val()));
    let x = graph.conv(x, weights, bias.as_deref(), Windows { stride: 1, padding });
    graph.relu(&x)
}
