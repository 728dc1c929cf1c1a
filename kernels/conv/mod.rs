//! Convolution over time, bias, rectifier and max-pooling as one operation.
//!
//! ```text
//! a[b, o, t] = bias[o] + sum_{c, k} weights[o, c, k] x[b, c, t stride + k]
//! y[b, o, p] = max over the frames t of pool p of max(0, a[b, o, t])
//! ```
//!
//! or `y = a`, see [`ConvOptions`]. [`conv`] has kernels for the CPU and for GPUs (`cube/`); all other devices run
//! [`conv_composite`].
//!
//! On the CPU, channels are interleaved: `[batch, frame, channel]`. A window of the input is then contiguous, and the
//! convolution is a matrix product of overlapping windows with the weights, without copying windows. At most one window
//! per pool has a gradient: the gradients of weights and input are sums over these windows. Where every window has one,
//! and in the forward pass, filters of 4, 8, ... strides are computed by a fast algorithm (`winograd.rs`).
//!
//! Inside [`Precision::during`](crate::precision::Precision::during) the CPU rounds the factors of all of these
//! products: `x`, weights and output gradients.

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
mod winograd;

use burn::backend::DispatchDevice;
use burn::tensor::Tensor;

pub use composite::conv_composite;
pub(crate) use geometry::Geometry;

/// Options of a convolution.
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
    /// The rectifier, and the maximum of every `pool` frames. If the last pool is incomplete, it is kept if `partial`
    /// and dropped otherwise.
    #[allow(missing_docs, reason = "the sentences above name them")]
    RectifiedPool { pool: usize, partial: bool },
}

/// The convolution of `x`, as defined in the [module documentation](self).
///
/// # Shapes
/// - `x`: `[batch, channel, frame]`
/// - `weights`: `[filter, channel, length]`
/// - `bias`: `[filter]`
/// - returns: `[batch, filter, pool]`
///
/// # Panics
/// If the shapes do not match, `x` is shorter than one window or one complete pool, or the stride or the pool is 0.
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
