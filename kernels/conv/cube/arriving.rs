//! How the gradient of an output comes to the windows that the output was made of.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::super::Geometry;

/// Which windows an output's gradient is passed on to, and how much of it each of them takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// An output is one window of one filter, and all of it arrives there.
    Alone,
    /// An output is the largest of so many windows of a filter; the window that `places` name takes all.
    Pool(usize),
    /// An output is a pool of so many neighbouring filters at one window; each takes what `shares` say.
    Shared(usize),
    /// An output is the largest of so many neighbouring filters at one window; the one that `places` name,
    /// counted from the first of them, takes all.
    Largest(usize),
}

impl Route {
    /// Of a convolution as it is, or with rectifier and pools over windows.
    pub fn of(geometry: &Geometry) -> Self {
        match geometry.rectify {
            true => Self::Pool(geometry.pool),
            false => Self::Alone,
        }
    }

    /// Windows of an output.
    fn windows(self) -> usize {
        match self {
            Self::Pool(windows) => windows,
            Self::Alone | Self::Shared(_) | Self::Largest(_) => 1,
        }
    }

    /// Filters of an output.
    fn filters(self) -> usize {
        match self {
            Self::Shared(filters) | Self::Largest(filters) => filters,
            Self::Alone | Self::Pool(_) => 1,
        }
    }
}

/// The gradient of a filter's response to a window.
///
/// `gradient` and `places` have the shape of the output, `[item, output of filters, output of windows]`, the
/// latter `outputs` long; `shares` are `[item, filter, window]`.
#[cube]
pub fn arriving(
    gradient: &[f32],
    places: &[i32],
    shares: &[f32],
    item: usize,
    filter: usize,
    window: usize,
    filters: usize,
    outputs: usize,
    #[comptime] route: Route,
) -> f32 {
    let (of_filters, of_windows) = comptime!((route.filters(), route.windows()));
    let row = item * (filters / of_filters) + filter / of_filters;
    let at = row * outputs + window / of_windows;
    match comptime!(route) {
        Route::Alone => gradient[at],
        Route::Pool(_) => only_if(places[at] == window as i32, gradient, at),
        Route::Shared(_) => gradient[at] * shares[(item * filters + filter) * outputs + window],
        Route::Largest(_) => only_if(places[at] == (filter % of_filters) as i32, gradient, at),
    }
}

#[cube]
fn only_if(wins: bool, gradient: &[f32], at: usize) -> f32 {
    let mut value = 0.0f32;
    if wins {
        value = gradient[at];
    }
    value
}
