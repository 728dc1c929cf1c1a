//! The convolution in plain tensor operations, for every backend and with automatic differentiation.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::module::{conv1d, max_pool1d};
use burn::tensor::ops::{ConvOptions as BurnOptions, MaxPoolOptions, PadMode};

use super::{ConvOptions, End, Geometry};

/// [`conv`](super::conv) in plain tensor operations.
///
/// # Panics
/// As [`super::conv`].
pub fn conv_composite(
    x: Tensor<3>,
    weights: Tensor<3>,
    bias: Tensor<1>,
    options: ConvOptions,
) -> Tensor<3> {
    let geometry = Geometry::new(x.dims(), weights.dims(), options);
    let plain = BurnOptions::new([options.stride], [0], [1], 1);
    let x = conv1d(x, weights, Some(bias), plain);
    match options.end {
        End::Linear => x,
        End::RectifiedPool { .. } => rectified_pool(x, &geometry),
    }
}

/// The rectifier and pools of `x`, which is `[batch, filter, window]`.
pub(super) fn rectified_pool(x: Tensor<3>, geometry: &Geometry) -> Tensor<3> {
    let &Geometry { windows, pool, pools, .. } = geometry;
    let x = relu(x);
    // After the rectifier, padding with 0 never changes a maximum.
    let x = match (pools * pool).saturating_sub(windows) {
        0 => x,
        padding => x.pad([(0, padding)], PadMode::Constant(0.0)),
    };
    match pool {
        1 => x,
        _ => max_pool1d(x, MaxPoolOptions::new([pool]).with_stride([pool])),
    }
}
