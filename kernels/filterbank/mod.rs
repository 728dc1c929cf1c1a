//! Energies of a filterbank on waveforms: filters, squared modulus, and pooling over time with learned windows.
//!
//! ```text
//! u[b, n, m] = sum_k taps[n, k] x[b, m S + k - (K - 1) / 2]                x is 0 beyond its ends
//! e[b, n, m] = Re(u)^2 + Im(u)^2                                           complex filters
//!            = u^2 or |u|                                                  real filters
//! E[b, n, f] = sum_j pool[n, j] e[b, n, f H / S + j - (P - 1) / 2]         e is 0 beyond its ends
//! ```
//!
//! with a stride `S` of 1 in most front ends, a hop length `H`, filters of `K` taps and windows of `P` values. There are
//! `ceil(samples / H)` frames; frame `f` is centred on sample `f H`. This is a correlation: filters are not reversed.
//!
//! [`band_energies`] is implemented three times:
//!
//! - on the CPU with a stride of 1 in the frequency domain (`spectral.rs`), with exact gradients;
//! - on the CPU with a larger stride, or of absolute values, as a convolution followed by one pass over its output
//!   (`pooled.rs`);
//! - everywhere in plain tensor operations ([`band_energies_composite`]).
//!
//! # In the frequency domain
//!
//! Waveforms are cut into overlapping blocks, whose lengths have no prime factors above 5. A block is transformed once,
//! multiplied by the spectrum of each filter and transformed back. If [`band_limited`](FilterbankOptions::band_limited),
//! only the bins between the first and the last at which a filter responds with more than 1e-7 of its peak are
//! multiplied. Where the rest of the spectrum is empty, responses are computed at every second, fourth or eighth sample
//! and pooled there, with windows that interpolate (`windows.rs`).
//!
//! ## Error bound
//!
//! Let `g` be a filter with peak response `G`. Omitting the bins below `1e-7 G` is a second filter `d` with
//! `|D| <= 1e-7 G` that is subtracted, so that by Parseval's equation `||d * x|| <= 1e-7 G ||x||` for the block's
//! samples `x`. The squared modulus changes by at most `2 |u| |d * x| + |d * x|^2`, and an energy with a window of maximum 1
//! by at most `2e-7 G ||x|| sqrt(E) + 1e-14 G^2 ||x||^2` (Cauchy-Schwarz). Interpolation adds at most 3.2e-7 of the sum of
//! `window * energy`. Rounding of the transforms adds the same kind of error as the omitted bins, about `3e-7 G ||x||`.
//! Together, the relative error of an energy is at most `8e-7 G ||x|| / sqrt(E) + 3e-7`: 1e-5 for energies 22 dB below
//! `G^2 ||x||^2`, 1e-2 for those 82 dB below. This is the worst case, in which all errors fall into one window.
//!
//! Absolute values are not computed this way: where a waveform is silent next to a loud part, rounding leaves responses of
//! 1e-8 instead of 0, whose squares are negligible, but which a logarithm of pooled absolute values would show.
//!
//! A truncated Gabor filter of 401 taps is band-limited in this sense up to a standard deviation of about 40 samples;
//! the truncation makes wider ones respond to all frequencies with up to 1e-3 of their peak, so they are not decimated.

mod composite;
mod flex;
mod geometry;
mod pooled;
mod spectra;
mod spectral;
#[cfg(test)]
mod tests;
mod vector;
mod windows;

use burn::backend::DispatchDevice;
use burn::tensor::Tensor;

pub use composite::band_energies_composite;
use geometry::Geometry;

/// Options of a filterbank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterbankOptions {
    /// Samples from one response to the next; divides the hop length.
    pub stride: usize,
    /// Samples from one frame to the next.
    pub hop_length: usize,
    /// What is pooled.
    pub response: Response,
    /// Whether the bins at which a filter responds with less than 1e-7 of its peak can be omitted, from its gradient too.
    /// True for filters that follow from a few parameters; false for free taps, whose gradient has all frequencies.
    pub band_limited: bool,
}

/// What is pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// The squared modulus of complex filters, the square of real ones.
    Squared,
    /// The absolute value of real filters; its derivative at 0 is 0.
    Absolute,
}

/// The energies of `x`, as defined in the [module documentation](self).
///
/// # Shapes
/// - `x`: `[batch, sample]`
/// - `taps`: `[filter, part, tap]`; 2 parts are the real and the imaginary part of complex filters
/// - `pool`: `[filter, value]`
/// - returns: `[batch, filter, frame]`
///
/// # Panics
/// If the shapes do not match, a dimension is 0, the stride is 0 or does not divide the hop length, or
/// [`Response::Absolute`] is asked for complex filters.
pub fn band_energies(
    x: Tensor<2>,
    taps: Tensor<3>,
    pool: Tensor<2>,
    options: FilterbankOptions,
) -> Tensor<3> {
    let geometry = Geometry::new(x.dims(), taps.dims(), pool.dims(), options);
    match x.device().without_autodiff().as_dispatch() {
        DispatchDevice::Flex(_) if options.stride == 1 && options.response == Response::Squared => {
            flex::band_energies(x, taps, pool, geometry)
        }
        DispatchDevice::Flex(_) => {
            let responses = composite::responses(x, taps, &geometry, crate::conv::conv);
            pooled::pooled_energies(responses, pool, geometry)
        }
        _ => {
            let responses = composite::responses(x, taps, &geometry, crate::conv::conv);
            composite::pooled_energies(responses, pool, &geometry)
        }
    }
}
