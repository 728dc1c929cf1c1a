//! Bands of a filterbank that is learned: a strided convolution, pools of neighbouring filters, a bias and an
//! activation.
//!
//! ```text
//! a[b, o, t] = sum_{c, k} weights[o, c, k] x[b, c, t stride + k]
//! y[b, g, t] = f(bias[g] + pool over i of a[b, g size + i, t])
//! ```
//!
//! [`bands`] goes the whole way in one kernel on GPUs (`cube.rs`) where it can; elsewhere the parts follow each
//! other, each with its own fast way. [`bands_composite`] is the same in plain operations.

#[cfg(feature = "wgpu")]
mod cube;
#[cfg(test)]
mod tests;

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::conv::{ConvOptions, End, conv, conv_composite};
use crate::feature_pool::{FeaturePooling, feature_pool, feature_pool_composite};

/// What is open about a filterbank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BandOptions {
    /// Samples from one frame to the next.
    pub stride: usize,
    /// How many neighbouring filters become a band, and how; without, each filter is one.
    pub pool: Option<(usize, FeaturePooling)>,
    /// What comes last.
    pub activation: Activation,
}

/// `f` of the formula at the head of this module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `max(0, z)`
    Relu,
    /// `log(1 + compression z^2)`, natural logarithm.
    #[allow(missing_docs, reason = "the sentence above names it")]
    Log { compression: f32 },
}

/// Bands of `x`; see the head of this module.
///
/// # Shapes
/// - `x`: `[batch, channel, sample]`
/// - `weights`: `[filter, channel, length]`
/// - `bias`: `[band]`, a number for every pool of filters
/// - returns: `[batch, band, frame]`
///
/// # Panics
/// If the shapes do not fit each other, the samples fill no window, the stride is 0, or the filters are no whole number of
/// pools.
pub fn bands(x: Tensor<3>, weights: Tensor<3>, bias: Tensor<1>, options: BandOptions) -> Tensor<3> {
    check(&weights, &bias, options);
    let BandOptions { stride, pool, activation } = options;
    if (pool, activation) == (None, Activation::Relu) {
        let end = End::RectifiedPool { pool: 1, partial: false };
        return conv(x, weights, bias, ConvOptions { stride, end });
    }
    #[cfg(feature = "wgpu")]
    if cube::takes(&x, &weights, options) {
        return cube::bands(x, weights, bias, options);
    }
    in_parts(x, weights, bias, options, conv, feature_pool)
}

/// The same in plain operations, which every backend runs and autodiff differentiates.
///
/// # Panics
/// As [`bands`].
pub fn bands_composite(
    x: Tensor<3>,
    weights: Tensor<3>,
    bias: Tensor<1>,
    options: BandOptions,
) -> Tensor<3> {
    check(&weights, &bias, options);
    in_parts(x, weights, bias, options, conv_composite, feature_pool_composite)
}

fn check(weights: &Tensor<3>, bias: &Tensor<1>, options: BandOptions) {
    let ([filters, _, _], [bands]) = (weights.dims(), bias.dims());
    let size = options.pool.map_or(1, |(size, _)| size);
    assert!(
        size > 0 && bands * size == filters,
        "{bands} biases for {filters} filters in pools of {size}"
    );
}

/// One operation after the other.
fn in_parts(
    x: Tensor<3>,
    weights: Tensor<3>,
    bias: Tensor<1>,
    BandOptions { stride, pool, activation }: BandOptions,
    conv: fn(Tensor<3>, Tensor<3>, Tensor<1>, ConvOptions) -> Tensor<3>,
    feature_pool: fn(Tensor<3>, usize, FeaturePooling) -> Tensor<3>,
) -> Tensor<3> {
    let linear = ConvOptions { stride, end: End::Linear };
    let z = match pool {
        None => conv(x, weights, bias, linear).swap_dims(1, 2),
        Some((size, pooling)) => {
            let none = Tensor::zeros([weights.dims()[0]], &x.device());
            let pools = feature_pool(conv(x, weights, none, linear), size, pooling);
            pools.swap_dims(1, 2) + bias.reshape([1, 1, -1])
        }
    };
    // `[batch, frame, band]`, as the convolution leaves it in memory on the CPU and the next one wants it.
    let y = match activation {
        Activation::Relu => relu(z),
        Activation::Log { compression } => z.square().mul_scalar(compression).log1p(),
    };
    y.swap_dims(1, 2)
}
