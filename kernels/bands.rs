//! A learned filterbank: a strided convolution, pooling of neighbouring filters, a bias and an activation.
//!
//! ```text
//! a[b, o, t] = sum_{c, k} weights[o, c, k] x[b, c, t stride + k]
//! y[b, g, t] = f(bias[g] + pool over i of a[b, g size + i, t])
//! ```
//!
//! On GPUs, [`bands`] is one kernel where it can be (`conv/cube`); otherwise it is [`conv`] and [`feature_pool`]
//! followed by bias and activation. [`bands_composite`] is the same in plain tensor operations.

#[cfg(test)]
mod tests;

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::conv::{ConvOptions, End, conv, conv_composite};
use crate::feature_pool::{FeaturePooling, feature_pool, feature_pool_composite};

/// Options of a filterbank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BandOptions {
    /// Samples from one frame to the next.
    pub stride: usize,
    /// Number of neighbouring filters that are pooled into a band, and how; `None` makes each filter a band.
    pub pool: Option<(usize, FeaturePooling)>,
    /// Applied last.
    pub activation: Activation,
}

impl BandOptions {
    fn filters_per_band(&self) -> usize {
        self.pool.map_or(1, |(size, _)| size)
    }
}

/// `f` of the formula in the [module documentation](self).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `max(0, z)`
    Relu,
    /// `log(1 + compression z^2)`, natural logarithm.
    #[allow(missing_docs, reason = "the sentence above names it")]
    Log { compression: f32 },
}

/// The bands of `x`, as defined in the [module documentation](self).
///
/// # Shapes
/// - `x`: `[batch, channel, sample]`
/// - `weights`: `[filter, channel, length]`
/// - `bias`: `[band]`
/// - returns: `[batch, band, frame]`
///
/// # Panics
/// If the shapes do not match, `x` is shorter than a filter, the stride is 0, or the number of filters is not the number
/// of bands times the pool size.
pub fn bands(x: Tensor<3>, weights: Tensor<3>, bias: Tensor<1>, options: BandOptions) -> Tensor<3> {
    check(&weights, &bias, options);
    let BandOptions { stride, pool, activation } = options;
    if (pool, activation) == (None, Activation::Relu) {
        let end = End::RectifiedPool { pool: 1, partial: false };
        return conv(x, weights, bias, ConvOptions { stride, end });
    }
    #[cfg(feature = "wgpu")]
    {
        use crate::conv::{Geometry, cube};

        let linear = ConvOptions { stride, end: End::Linear };
        let geometry = Geometry::new(x.dims(), weights.dims(), linear);
        if cube::takes_bands(&x, &geometry, options.filters_per_band()) {
            let compression = match activation {
                Activation::Relu => None,
                Activation::Log { compression } => Some(compression),
            };
            return cube::bands(x, weights, bias, geometry, pool, compression);
        }
    }
    in_parts(x, weights, bias, options, conv, feature_pool)
}

/// [`bands`] in plain tensor operations, for every backend and with automatic differentiation.
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
    let size = options.filters_per_band();
    assert!(
        size > 0 && bands * size == filters,
        "{bands} biases do not match {filters} filters in pools of {size}"
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
    // `[batch, frame, band]` is the layout that the convolution writes on the CPU and that the next one reads.
    let y = match activation {
        Activation::Relu => relu(z),
        Activation::Log { compression } => z.square().mul_scalar(compression).log1p(),
    };
    y.swap_dims(1, 2)
}
