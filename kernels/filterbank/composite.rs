//! Energies in plain tensor operations, for every backend and with automatic differentiation.

use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;

use super::geometry::Geometry;
use super::{FilterbankOptions, Response};
use crate::conv::{ConvOptions, End, conv_composite};

/// [`band_energies`](super::band_energies) in plain tensor operations.
///
/// # Panics
/// As [`super::band_energies`].
pub fn band_energies_composite(
    x: Tensor<2>,
    taps: Tensor<3>,
    pool: Tensor<2>,
    options: FilterbankOptions,
) -> Tensor<3> {
    let geometry = Geometry::new(x.dims(), taps.dims(), pool.dims(), options);
    let responses = responses(x, taps, &geometry, conv_composite);
    pooled_energies(responses, pool, &geometry)
}

/// `[batch, filter * part, response]` with the parts of a filter one after the other.
pub(super) fn responses(
    x: Tensor<2>,
    taps: Tensor<3>,
    geometry: &Geometry,
    conv: fn(Tensor<3>, Tensor<3>, Tensor<1>, ConvOptions) -> Tensor<3>,
) -> Tensor<3> {
    let rows = geometry.filters * geometry.parts;
    let before = geometry.before_tap();
    let padding = (before, geometry.taps - 1 - before);
    let x = x.pad([padding], PadMode::Constant(0.0)).unsqueeze_dim(1);
    let bias = Tensor::zeros([rows], &x.device());
    let options = ConvOptions { stride: geometry.options.stride, end: End::Linear };
    conv(x, taps.reshape([rows, 1, geometry.taps]), bias, options)
}

pub(super) fn pooled_energies(
    responses: Tensor<3>,
    pool: Tensor<2>,
    geometry: &Geometry,
) -> Tensor<3> {
    let Geometry { batch, filters, parts, window, .. } = *geometry;
    let count = geometry.responses();
    let energies = match geometry.options.response {
        Response::Squared => responses.square(),
        Response::Absolute => responses.abs(),
    };
    let energies = match parts {
        1 => energies,
        _ => energies.reshape([batch, filters, parts, count]).sum_dim(2).squeeze_dim(2),
    };
    // Windows overlap, so each is cut into pieces of one hop: piece i of frame f is hop f + i.
    let (hop, frames) = (geometry.hop(), geometry.frames());
    let pieces = window.div_ceil(hop);
    let before = geometry.before_window();
    let after = ((frames + pieces - 1) * hop).saturating_sub(before + count);
    let energies = energies.pad([(before, after)], PadMode::Constant(0.0));
    // Responses after the last window are not used.
    let energies = energies.narrow(2, 0, (frames + pieces - 1) * hop);
    let energies = energies.reshape([batch, filters, frames + pieces - 1, hop]);
    let pool = pool.pad([(0, pieces * hop - window)], PadMode::Constant(0.0));
    let pool = pool.reshape([1, filters, pieces, hop]);
    let piece = |i: usize| {
        let pieces = energies.clone().narrow(2, i, frames) * pool.clone().narrow(2, i, 1);
        pieces.sum_dim(3).squeeze_dim::<3>(3)
    };
    (1..pieces).fold(piece(0), |sum, i| sum + piece(i))
}
