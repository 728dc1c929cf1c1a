//! The gradient of the input, as a product as well.
//!
//! Frames are counted in blocks of a stride: `s = block stride + r`. Of a filter, the taps `r + i stride` alone
//! meet such a frame, each in the window `block - i`:
//!
//! ```text
//! dx[b, c, block stride + r] = sum_{o, i} weights[o, c, r + i stride] da[b, o, block - i]
//! ```
//!
//! Rows of the product are the pairs of c and r, columns those of b and block, and what is summed over
//! are those of o and i.

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

/// What the kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Layout {
    tile: Tile,
    length: usize,
    stride: usize,
    route: Route,
}

impl Layout {
    /// Taps of a filter that meet a frame, at most.
    fn taps(self) -> usize {
        self.length.div_ceil(self.stride)
    }
}

/// The input's gradient `[batch, channel, frame]`, given the output's, and places and shares as the route has them.
pub fn of_input(
    [weights, gradient, places, shares]: [CubeTensor; 4],
    geometry: &Geometry,
    route: Route,
) -> CubeTensor {
    let [weights, gradient, places, shares] =
        [weights, gradient, places, shares].map(into_contiguous);
    let Geometry { batch, channels, frames, filters, length, stride, .. } = *geometry;
    let Geometry { windows, pool, pools, .. } = *geometry;
    let client = weights.client.clone();
    let shape = Shape::from([batch, channels, frames]);
    let out = empty_device_dtype(client.clone(), weights.device.clone(), shape, weights.dtype);
    let rows = channels * stride;
    let blocks = frames.div_ceil(stride);
    let tile = Tile::new(rows, 4);
    product::launch(
        &client,
        calculate_cube_count_elemwise(
            &client,
            tile.cubes(rows, batch * blocks),
            CubeDim::new_single(),
        ),
        CubeDim::new_1d(UNITS as u32),
        weights.into_buffer_arg(),
        gradient.into_buffer_arg(),
        places.into_buffer_arg(),
        shares.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        batch,
        channels,
        frames,
        filters,
        windows.min(pools * pool),
        pools,
        Layout { tile, length, stride, route },
    );
    out
}

#[cube(launch)]
fn product(
    weights: &[f32],
    gradient: &[f32],
    places: &[i32],
    shares: &[f32],
    out: &mut [f32],
    batch: usize,
    channels: usize,
    frames: usize,
    filters: usize,
    windows: usize,
    pools: usize,
    #[comptime] layout: Layout,
) {
    let tile = comptime!(layout.tile);
    let (height, width) = comptime!((tile.height(), tile.width()));
    let (length, stride) = comptime!((layout.length, layout.stride));
    let taps = comptime!(layout.taps());
    let rows = channels * stride;
    let blocks = frames.div_ceil(stride);
    let columns = batch * blocks;
    let side_by_side = columns.div_ceil(width);
    // Cubes beyond the last have rows that there are not: zeros come in, and nothing goes out.
    let first_row = CUBE_POS / side_by_side * height;
    let first_column = CUBE_POS % side_by_side * width;
    let unit = UNIT_POS as usize;

    let mut left = Shared::<[f32]>::new_slice(comptime!(DEPTH * tile.left_stride()));
    let mut right = Shared::<[f32]>::new_slice(comptime!(DEPTH * tile.right_stride()));
    let mut items = Shared::<[u32]>::new_slice(width);
    let mut blocks_of_items = Shared::<[u32]>::new_slice(width);
    if unit < width {
        let column = first_column + column_at(unit, tile);
        let mut item = NONE.runtime();
        if column < columns {
            item = (column / blocks) as u32;
        }
        items[unit] = item;
        blocks_of_items[unit] = (column % blocks) as u32;
    }
    sync_cube();

    let mut sums = zeros(tile);
    let depth = filters * taps;
    for step in 0..depth.div_ceil(DEPTH) {
        let first = step * DEPTH;
        #[unroll]
        for turn in 0..comptime!(tile.left_turns()) {
            let slot = unit + turn * UNITS;
            let (k, row) = (slot % DEPTH, slot / DEPTH);
            let (at, channel) = (first + k, (first_row + row) / stride);
            let tap = (first_row + row) % stride + at % taps * stride;
            let mut value = 0.0f32;
            if at < depth && channel < channels && tap < length {
                value = weights[(at / taps * channels + channel) * length + tap];
            }
            left[k * comptime!(tile.left_stride()) + row] = value;
        }
        #[unroll]
        for turn in 0..comptime!(tile.right_turns()) {
            let slot = unit + turn * UNITS;
            let (k, place) = (slot / width, slot % width);
            let at = first + k;
            let (item, block) = (items[place], blocks_of_items[place] as usize);
            let before = at % taps;
            let mut value = 0.0f32;
            if at < depth && item != NONE && block >= before && block - before < windows {
                value = arriving(
                    gradient,
                    places,
                    shares,
                    item as usize,
                    at / taps,
                    block - before,
                    filters,
                    pools,
                    comptime!(layout.route),
                );
            }
            right[k * comptime!(tile.right_stride()) + place] = value;
        }
        sync_cube();
        multiply(&left, &right, &mut sums, tile);
        sync_cube();
    }

    #[unroll]
    for i in 0..comptime!(tile.rows) {
        let row = first_row + row_of_sum(i, tile);
        #[unroll]
        for j in 0..comptime!(tile.columns) {
            let column = first_column + column_of_sum(j, tile);
            let frame = column % blocks * stride + row % stride;
            if row < rows && column < columns && frame < frames {
                let at = (column / blocks * channels + row / stride) * frames + frame;
                out[at] = sums[comptime!(i * tile.columns + j)];
            }
        }
    }
}
