//! The convolution as a product of the filters with the windows of the input, copied nowhere.

use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_dtype;
use burn_cubecl::tensor::CubeTensor;

use super::super::Geometry;
use super::tile::{
    DEPTH, MAX_SUMS, NONE, Tile, UNITS, column_at, column_of_sum, multiply, row_at, row_of_sum,
    zeros,
};
use super::{PLACES, output_shape, places_shape};
use burn::tensor::Shape;

/// Largest pool that a unit holds.
pub const MAX_POOL: usize = MAX_SUMS;

/// What the kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Layout {
    windows: Windows,
    rectify: bool,
    pool: usize,
    with_places: bool,
}

/// What products of filters and windows are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Windows {
    pub tile: Tile,
    pub length: usize,
    pub stride: usize,
}

/// The tile for a convolution: rows are filters, columns the windows of all pools of all items.
pub fn tile(geometry: &Geometry) -> Tile {
    // A unit holds whole pools.
    let columns = match geometry.pool {
        1 | 2 | 4 => 4,
        3 => 6,
        pool => pool,
    };
    Tile::new(geometry.filters, columns).with_columns_together(geometry.pool > 1)
}

impl Windows {
    /// Whether neighbouring units read along a window instead of along windows: where these are further
    /// apart than what memory hands out at once.
    fn along_windows(self) -> bool {
        self.stride < 4
    }
}

/// The output and the places; these say nothing unless they were asked for and there is a rectifier.
pub fn convolve(
    [x, weights, bias]: [CubeTensor; 3],
    geometry: &Geometry,
    with_places: bool,
) -> (CubeTensor, CubeTensor) {
    let [x, weights, bias] = [x, weights, bias].map(into_contiguous);
    let Geometry { batch, channels, frames, filters, length, stride, .. } = *geometry;
    let Geometry { windows, rectify, pool, pools, .. } = *geometry;
    let client = x.client.clone();
    let empty = |shape, dtype| empty_device_dtype(client.clone(), x.device.clone(), shape, dtype);
    let out = empty(output_shape(geometry), x.dtype);
    let shape = if with_places { places_shape(geometry) } else { Shape::from([1]) };
    let places = empty(shape, PLACES);
    let tile = tile(geometry);
    let layout = Layout { windows: Windows { tile, length, stride }, rectify, pool, with_places };
    let cubes = tile.cubes(filters, batch * pools * pool);
    product::launch(
        &client,
        calculate_cube_count_elemwise(&client, cubes, CubeDim::new_single()),
        CubeDim::new_1d(UNITS as u32),
        x.into_buffer_arg(),
        weights.into_buffer_arg(),
        bias.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        places.clone().into_buffer_arg(),
        batch,
        channels,
        frames,
        filters,
        windows,
        pools,
        layout,
    );
    (out, places)
}

#[cube(launch)]
fn product(
    x: &[f32],
    weights: &[f32],
    bias: &[f32],
    out: &mut [f32],
    places: &mut [i32],
    batch: usize,
    channels: usize,
    frames: usize,
    filters: usize,
    windows: usize,
    pools: usize,
    #[comptime] layout: Layout,
) {
    let tile = comptime!(layout.windows.tile);
    let (height, width) = comptime!((tile.height(), tile.width()));
    let pool = comptime!(layout.pool);
    // Windows of an item, the last pool full.
    let span = pools * pool;
    let columns = batch * span;
    let side_by_side = columns.div_ceil(width);
    // Cubes beyond the last have filters that there are not: zeros come in, and nothing goes out.
    let first_filter = CUBE_POS / side_by_side * height;
    let first_column = CUBE_POS % side_by_side * width;
    let sums = products(
        x,
        weights,
        first_filter,
        first_column,
        columns,
        span,
        windows,
        channels,
        frames,
        filters,
        comptime!(layout.windows),
    );

    #[unroll]
    for i in 0..comptime!(tile.rows) {
        let filter = first_filter + row_of_sum(i, tile);
        if filter < filters {
            let bias = bias[filter];
            #[unroll]
            for group in 0..comptime!(tile.columns / pool) {
                let column = first_column + column_of_sum(comptime!(group * pool), tile);
                if column < columns {
                    let window = column % span;
                    let at = (column / span * filters + filter) * pools + window / pool;
                    let sum = comptime!(i * tile.columns + group * pool);
                    if comptime!(layout.rectify) {
                        let mut best = 0.0f32;
                        let mut place = comptime!(-1i32).runtime();
                        #[unroll]
                        for offset in 0..pool {
                            let value = sums[sum + offset] + bias;
                            if window + offset < windows && (value > best || value.is_nan()) {
                                best = value;
                                place = (window + offset) as i32;
                            }
                        }
                        out[at] = best;
                        if comptime!(layout.with_places) {
                            places[at] = place;
                        }
                    } else {
                        out[at] = sums[sum] + bias;
                    }
                }
            }
        }
    }
}

/// A unit's sums of products of filters with windows: rows are filters, columns the windows of all items, of which
/// each has `span`; those from the `windows`-th on are not there, and count as 0.
#[cube]
pub fn products(
    x: &[f32],
    weights: &[f32],
    first_filter: usize,
    first_column: usize,
    columns: usize,
    span: usize,
    windows: usize,
    channels: usize,
    frames: usize,
    filters: usize,
    #[comptime] layout: Windows,
) -> Array<f32> {
    let tile = comptime!(layout.tile);
    let width = comptime!(tile.width());
    let length = comptime!(layout.length);
    let unit = UNIT_POS as usize;

    let mut left = Shared::<[f32]>::new_slice(comptime!(DEPTH * tile.left_stride()));
    let mut right = Shared::<[f32]>::new_slice(comptime!(DEPTH * tile.right_stride()));
    // Where in the input every window begins.
    let mut begins = Shared::<[u32]>::new_slice(width);
    if unit < width {
        let column = first_column + column_at(unit, tile);
        let window = column % span;
        let mut begin = NONE.runtime();
        if column < columns && window < windows {
            begin = (column / span * channels * frames + window * comptime!(layout.stride)) as u32;
        }
        begins[unit] = begin;
    }
    sync_cube();

    let mut sums = zeros(tile);
    let depth = channels * length;
    for step in 0..depth.div_ceil(DEPTH) {
        let first = step * DEPTH;
        #[unroll]
        for turn in 0..comptime!(tile.left_turns()) {
            let slot = unit + turn * UNITS;
            let (k, place) = (slot % DEPTH, slot / DEPTH);
            let filter = first_filter + row_at(place, tile);
            let mut value = 0.0f32;
            if filter < filters && first + k < depth {
                value = weights[filter * depth + first + k];
            }
            left[k * comptime!(tile.left_stride()) + place] = value;
        }
        #[unroll]
        for turn in 0..comptime!(tile.right_turns()) {
            let slot = unit + turn * UNITS;
            let mut k = slot / width;
            let mut place = slot % width;
            if comptime!(!layout.along_windows()) {
                k = slot % DEPTH;
                place = slot / DEPTH;
            }
            let begin = begins[place];
            let at = first + k;
            let mut value = 0.0f32;
            if begin != NONE && at < depth {
                value = x[begin as usize + at / length * frames + at % length];
            }
            right[k * comptime!(tile.right_stride()) + place] = value;
        }
        sync_cube();
        multiply(&left, &right, &mut sums, tile);
        sync_cube();
    }
    sums
}
