//! How the outputs of a layer follow from the responses of its filters, and gradients back to them.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::Sizes;

/// What the kernels do with filter responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// Every response is an output.
    None,
    /// The rectified maximum of this many windows of a filter.
    MaxOverWindows(usize),
    /// The L2 norm of this many neighbouring filters at one window.
    L2OverFilters(usize),
    /// The maximum of this many neighbouring filters at one window.
    MaxOverFilters(usize),
}

impl Pooling {
    /// Windows per output.
    pub fn windows(self) -> usize {
        match self {
            Self::MaxOverWindows(windows) => windows,
            Self::None | Self::L2OverFilters(_) | Self::MaxOverFilters(_) => 1,
        }
    }

    /// Filters per output.
    pub fn filters(self) -> usize {
        match self {
            Self::L2OverFilters(filters) | Self::MaxOverFilters(filters) => filters,
            Self::None | Self::MaxOverWindows(_) => 1,
        }
    }

    /// Whether the backward pass needs to know which response was the maximum.
    pub fn is_max(self) -> bool {
        matches!(self, Self::MaxOverWindows(_) | Self::MaxOverFilters(_))
    }
}

/// The gradient of a filter's response to a window, from the gradient of the pooled outputs.
///
/// # Shapes
/// - `gradient`: `[item, output filter, output window]`
/// - `argmax`: the same, if the pooling is a maximum: the window, or the filter's position in its group; -1 if the
///   rectifier cut off the maximum
/// - `slopes`: `[item, filter, window]` for L2 pools: the derivative of the pool with respect to the response
#[cube]
pub fn response_gradient(
    gradient: &[f32],
    argmax: &[i32],
    slopes: &[f32],
    item: usize,
    filter: usize,
    window: usize,
    sizes: &Sizes,
    #[comptime] pooling: Pooling,
) -> f32 {
    let (filters, windows) = comptime!((pooling.filters(), pooling.windows()));
    let row = item * (sizes.filters / filters) + filter / filters;
    let at = row * sizes.outputs + window / windows;
    match comptime!(pooling) {
        Pooling::None => gradient[at],
        Pooling::MaxOverWindows(_) => select_if(argmax[at] == window as i32, gradient, at),
        Pooling::L2OverFilters(_) => {
            gradient[at] * slopes[(item * sizes.filters + filter) * sizes.outputs + window]
        }
        Pooling::MaxOverFilters(_) => {
            select_if(argmax[at] == (filter % filters) as i32, gradient, at)
        }
    }
}

#[cube]
fn select_if(is_maximum: bool, gradient: &[f32], at: usize) -> f32 {
    let mut value = 0.0f32;
    if is_maximum {
        value = gradient[at];
    }
    value
}
