//! The gradients of weights and bias.
//!
//! The weights' is a product of the gradient of every window, 0 where it won no pool, with the windows: a sum over
//! all windows of the batch. Where the tiles of the result are too few to keep a GPU busy, several
//! cubes share one, each with a part of the sum, and the parts are added in a fixed order.

use burn::tensor::Shape;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_dtype;
use burn_cubecl::tensor::CubeTensor;

use super::super::Geometry;
use super::arriving::{Route, arriving};
use super::tile::{
    DEPTH, NONE, Tile, UNITS, column_at, column_of_sum, multiply, row_of_sum, zeros,
};

/// Cubes that a GPU is to have, if there is work for so many.
const CUBES: usize = 256;
/// Steps of [`DEPTH`] windows that a part has at least.
const STEPS: usize = 4;

/// What the kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Layout {
    tile: Tile,
    length: usize,
    stride: usize,
    route: Route,
}

/// How the sum is shared among cubes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    tile: Tile,
    /// Steps that all windows take; a step stays within an item.
    steps: usize,
    pub parts: usize,
}

impl Share {
    pub fn new(geometry: &Geometry) -> Self {
        let tile = Tile::new(geometry.filters, 4);
        let steps = geometry.batch * used_windows(geometry).div_ceil(DEPTH);
        let tiles = tile.cubes(geometry.filters, geometry.depth());
        let parts = (CUBES / tiles).min(steps / STEPS).max(1);
        // No part is empty.
        let parts = steps.div_ceil(steps.div_ceil(parts));
        Self { tile, steps, parts }
    }
}

/// Windows of an item that belong to a pool.
fn used_windows(geometry: &Geometry) -> usize {
    geometry.windows.min(geometry.pools * geometry.pool)
}

/// The weights' gradient `[filter, channel, length]`, given the output's, and places and shares as the route has them.
pub fn of_weights(
    [x, gradient, places, shares]: [CubeTensor; 4],
    geometry: &Geometry,
    route: Route,
) -> CubeTensor {
    let [x, gradient, places, shares] = [x, gradient, places, shares].map(into_contiguous);
    let Geometry { channels, frames, filters, length, stride, pools, .. } = *geometry;
    let client = x.client.clone();
    let Share { tile, steps, parts } = Share::new(geometry);
    let empty = |shape| empty_device_dtype(client.clone(), x.device.clone(), shape, x.dtype);
    let out = empty(Shape::from([filters, channels, length]));
    let sums = match parts {
        1 => out.clone(),
        _ => empty(Shape::from([parts, filters, channels, length])),
    };
    let cubes = tile.cubes(filters, geometry.depth()) * parts;
    product::launch(
        &client,
        calculate_cube_count_elemwise(&client, cubes, CubeDim::new_single()),
        CubeDim::new_1d(UNITS as u32),
        x.into_buffer_arg(),
        gradient.into_buffer_arg(),
        places.into_buffer_arg(),
        shares.into_buffer_arg(),
        sums.clone().into_buffer_arg(),
        channels,
        frames,
        filters,
        used_windows(geometry),
        pools,
        steps,
        parts,
        Layout { tile, length, stride, route },
    );
    if parts > 1 {
        let count = filters * geometry.depth();
        let units = CubeDim::new(&client, count);
        add_parts::launch(
            &client,
            calculate_cube_count_elemwise(&client, count, units),
            units,
            sums.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            parts,
        );
    }
    out
}

/// The gradient of the bias `[filter]`, given the output's and the places.
pub fn of_bias([gradient, places]: [CubeTensor; 2], geometry: &Geometry) -> CubeTensor {
    let [gradient, places] = [gradient, places].map(into_contiguous);
    let client = gradient.client.clone();
    let shape = Shape::from([geometry.filters]);
    let out = empty_device_dtype(client.clone(), gradient.device.clone(), shape, gradient.dtype);
    sum_filters::launch(
        &client,
        calculate_cube_count_elemwise(&client, geometry.filters, CubeDim::new_single()),
        CubeDim::new_1d(UNITS as u32),
        gradient.into_buffer_arg(),
        places.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        geometry.batch,
        geometry.pools,
        geometry.rectify,
    );
    out
}

/// `sums` are `[part, filter, channel, length]`.
#[cube(launch)]
fn product(
    x: &[f32],
    gradient: &[f32],
    places: &[i32],
    shares: &[f32],
    sums_of_parts: &mut [f32],
    channels: usize,
    frames: usize,
    filters: usize,
    windows: usize,
    pools: usize,
    steps: usize,
    parts: usize,
    #[comptime] layout: Layout,
) {
    let tile = comptime!(layout.tile);
    let (height, width) = comptime!((tile.height(), tile.width()));
    let length = comptime!(layout.length);
    let depth = channels * length;
    let side_by_side = depth.div_ceil(width);
    let tiles = side_by_side * filters.div_ceil(height);
    // Cubes beyond the last have a part of which there is nothing.
    let part = CUBE_POS / tiles;
    let first_filter = CUBE_POS % tiles / side_by_side * height;
    let first_column = CUBE_POS % side_by_side * width;
    let unit = UNIT_POS as usize;

    let mut left = Shared::<[f32]>::new_slice(comptime!(DEPTH * tile.left_stride()));
    let mut right = Shared::<[f32]>::new_slice(comptime!(DEPTH * tile.right_stride()));
    // Where, from the beginning of a window, the number of a column stands.
    let mut offsets = Shared::<[u32]>::new_slice(width);
    if unit < width {
        let column = first_column + column_at(unit, tile);
        let mut offset = NONE.runtime();
        if column < depth {
            offset = (column / length * frames + column % length) as u32;
        }
        offsets[unit] = offset;
    }
    sync_cube();

    let mut sums = zeros(tile);
    let steps_of_item = windows.div_ceil(DEPTH);
    let steps_of_part = steps.div_ceil(parts);
    let begin = part * steps_of_part;
    for step in begin..clamp_max(begin + steps_of_part, steps) {
        let item = step / steps_of_item;
        let first = step % steps_of_item * DEPTH;
        #[unroll]
        for turn in 0..comptime!(tile.left_turns()) {
            let slot = unit + turn * UNITS;
            let (k, row) = (slot % DEPTH, slot / DEPTH);
            let (filter, window) = (first_filter + row, first + k);
            let mut value = 0.0f32;
            if filter < filters && window < windows {
                value = arriving(
                    gradient,
                    places,
                    shares,
                    item,
                    filter,
                    window,
                    filters,
                    pools,
                    comptime!(layout.route),
                );
            }
            left[k * comptime!(tile.left_stride()) + row] = value;
        }
        #[unroll]
        for turn in 0..comptime!(tile.right_turns()) {
            let slot = unit + turn * UNITS;
            let (k, place) = (slot / width, slot % width);
            let window = first + k;
            let offset = offsets[place];
            let mut value = 0.0f32;
            if offset != NONE && window < windows {
                let begin = item * channels * frames + window * comptime!(layout.stride);
                value = x[begin + offset as usize];
            }
            right[k * comptime!(tile.right_stride()) + place] = value;
        }
        sync_cube();
        multiply(&left, &right, &mut sums, tile);
        sync_cube();
    }

    #[unroll]
    for i in 0..comptime!(tile.rows) {
        let filter = first_filter + row_of_sum(i, tile);
        #[unroll]
        for j in 0..comptime!(tile.columns) {
            let column = first_column + column_of_sum(j, tile);
            if part < parts && filter < filters && column < depth {
                let at = (part * filters + filter) * depth + column;
                sums_of_parts[at] = sums[comptime!(i * tile.columns + j)];
            }
        }
    }
}

#[cube(launch)]
fn add_parts(sums: &[f32], out: &mut [f32], parts: usize) {
    if ABSOLUTE_POS < out.len() {
        let mut sum = 0.0f32;
        for part in 0..parts {
            sum += sums[part * out.len() + ABSOLUTE_POS];
        }
        out[ABSOLUTE_POS] = sum;
    }
}

/// A cube a filter.
#[cube(launch)]
fn sum_filters(
    gradient: &[f32],
    places: &[i32],
    out: &mut [f32],
    batch: usize,
    pools: usize,
    #[comptime] rectify: bool,
) {
    let filters = out.len();
    let unit = UNIT_POS as usize;
    let mut sums = Shared::<[f32]>::new_slice(UNITS);
    let mut sum = 0.0f32;
    for turn in 0..(batch * pools).div_ceil(UNITS) {
        let pool = unit + turn * UNITS;
        if pool < batch * pools && CUBE_POS < filters {
            let at = (pool / pools * filters + CUBE_POS) * pools + pool % pools;
            if comptime!(rectify) {
                if places[at] >= 0 {
                    sum += gradient[at];
                }
            } else {
                sum += gradient[at];
            }
        }
    }
    sums[unit] = sum;
    sync_cube();
    #[unroll]
    for halving in 0..comptime!(UNITS.ilog2()) {
        let half = comptime!(UNITS >> (halving + 1));
        if unit < half {
            sums[unit] += sums[unit + half];
        }
        sync_cube();
    }
    if unit == 0 && CUBE_POS < filters {
        out[CUBE_POS] = sums[0];
    }
}
