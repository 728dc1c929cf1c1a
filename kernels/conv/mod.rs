//! Convolution over time with bias, rectifier and max-pooling, as one operation.
//!
//! ```text
//! a[b, o, t] = bias[o] + sum_{c, k} weights[o, c, k] x[b, c, t stride + k]
//! y[b, o, p] = max over the frames t of pool p of max(0, a[b, o, t])
//! ```
//!
//! (or `a` itself, see [`ConvOptions`]). [`conv`] takes a fast way on the CPU and on GPUs (`cube/`), and
//! [`conv_composite`] everywhere else.
//!
//! The CPU's keeps channels interleaved, `[batch, frame, channel]`: a window of the input is then one
//! stretch of memory, windows overlap in it, and the convolution is a product of the windows, copied
//! nowhere, with the weights. The gradients make use of what pooling and rectifier leave: of every
//! pool one frame at most passes its gradient on. Both are sums over these frames alone, of windows
//! (weights) and of filters (input).
//!
//! Inside [`Precision::during`](crate::precision::Precision::during) the CPU's rounds the factors of all of these products: `x`,
//! the weights, and gradients that arrive.

mod bfloat16;
mod composite;
#[cfg(feature = "wgpu")]
pub(crate) mod cube;
mod flex;
mod geometry;
mod gradients;
mod packed;
mod product;
#[cfg(test)]
mod tests;

use burn::backend::DispatchDevice;
use burn::tensor::Tensor;

pub use composite::conv_composite;
pub(crate) use geometry::Geometry;

/// What is open about a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvOptions {
    /// Frames from one window to the next.
    pub stride: usize,
    /// What follows the convolution.
    pub end: End,
}

/// What follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing.
    Linear,
    /// The rectifier, and the largest value of every `pool` frames. The last pool is kept where it is
    /// not full if `partial`, else dropped.
    #[allow(missing_docs, reason = "the sentences above name them")]
    RectifiedPool { pool: usize, partial: bool },
}

/// Convolves `x`; see the head of this module.
///
/// # Shapes
/// - `x`: `[batch, channel, frame]`
/// - `weights`: `[filter, channel, length]`
/// - `bias`: `[filter]`
/// - returns: `[batch, filter, pool]`
///
/// # Panics
/// If the shapes do not fit each other, the frames fill no window or no pool, or the stride or the pool
/// is 0.
pub fn conv(x: Tensor<3>, weights: Tensor<3>, bias: Tensor<1>, options: ConvOptions) -> Tensor<3> {
    let geometry = Geometry::new(x.dims(), weights.dims(), options);
    match x.device().without_autodiff().as_dispatch() {
        DispatchDevice::Flex(_) => flex::conv(x, weights, bias, geometry),
        #[cfg(feature = "wgpu")]
        DispatchDevice::Cube(device) if cube::takes(&x, &geometry, device) => {
            cube::conv(x, weights, bias, options)
        }
        _ => conv_composite(x, weights, bias, options),
    }
}
