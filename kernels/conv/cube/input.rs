//! The gradient of the input, as a matrix product.
//!
//! Frames are counted in blocks of a stride: frame `s = block stride + r`. Of a filter, only the taps `r + i stride`
//! reach such a frame, each in the window `block - i`:
//!
//! ```text
//! dx[b, c, block stride + r] = sum_{o, i} weights[o, c, r + i stride] da[b, o, block - i]
//! ```
//!
//! Rows of the product are pairs of c and r, columns pairs of b and block; the sum is over pairs of o and i.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::pooling::response_gradient;
use super::tile::{
    DEPTH, NONE, Tile, UNITS, column_at, column_of_sum, multiply, row_of_sum, zeros,
};
use super::{Geometry, GradientLayout, Layer, Sizes, used_windows};
use crate::gpu::{empty, grid};

/// The gradient `[batch, channel, frame]`, from the gradient of the outputs, argmax and slopes.
pub fn of_input([weights, gradient, argmax, slopes]: [CubeTensor; 4], layer: &Layer) -> CubeTensor {
    let [weights, gradient, argmax, slopes] =
        [weights, gradient, argmax, slopes].map(into_contiguous);
    let Geometry { batch, channels, frames, stride, .. } = layer.geometry;
    let out = empty(&weights, layer.input_shape(), weights.dtype);
    let rows = channels * stride;
    let tile = Tile::new(rows, 4);
    let cubes = tile.cubes(rows, batch * frames.div_ceil(stride));
    let (count, units) = grid(&weights, cubes, UNITS);
    product::launch(
        &weights.client.clone(),
        count,
        units,
        weights.into_buffer_arg(),
        gradient.into_buffer_arg(),
        argmax.into_buffer_arg(),
        slopes.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        layer.sizes(used_windows(&layer.geometry)),
        GradientLayout::new(tile, layer),
    );
    out
}

#[cube(launch)]
fn product(
    weights: &[f32],
    gradient: &[f32],
    argmax: &[i32],
    slopes: &[f32],
    out: &mut [f32],
    sizes: Sizes,
    #[comptime] layout: GradientLayout,
) {
    let tile = comptime!(layout.tile);
    let (height, width) = comptime!((tile.height(), tile.width()));
    let (length, stride) = comptime!((layout.length, layout.stride));
    // The largest number of taps of a filter that reach one frame.
    let taps = comptime!(length.div_ceil(stride));
    let rows = sizes.channels * stride;
    let blocks = sizes.frames.div_ceil(stride);
    let columns = sizes.batch * blocks;
    let across = columns.div_ceil(width);
    // Cubes beyond the last tile load zeros and write nothing.
    let first_row = CUBE_POS / across * height;
    let first_column = CUBE_POS % across * width;
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
    let depth = sizes.filters * taps;
    for step in 0..depth.div_ceil(DEPTH) {
        let first = step * DEPTH;
        #[unroll]
        for turn in 0..comptime!(tile.left_turns()) {
            let slot = unit + turn * UNITS;
            let (k, row) = (slot % DEPTH, slot / DEPTH);
            let (at, channel) = (first + k, (first_row + row) / stride);
            let tap = (first_row + row) % stride + at % taps * stride;
            let mut value = 0.0f32;
            if at < depth && channel < sizes.channels && tap < length {
                value = weights[(at / taps * sizes.channels + channel) * length + tap];
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
            if at < depth && item != NONE && block >= before && block - before < sizes.windows {
                value = response_gradient(
                    gradient,
                    argmax,
                    slopes,
                    item as usize,
                    at / taps,
                    block - before,
                    &sizes,
                    comptime!(layout.pooling),
                );
            }
            right[k * comptime!(tile.right_stride()) + place] = value;
        }
        multiply(&left, &right, &mut sums, tile);
    }

    #[unroll]
    for i in 0..comptime!(tile.rows) {
        let row = first_row + row_of_sum(i, tile);
        #[unroll]
        for j in 0..comptime!(tile.columns) {
            let column = first_column + column_of_sum(j, tile);
            let frame = column % blocks * stride + row % stride;
            if row < rows && column < columns && frame < sizes.frames {
                let at = (column / blocks * sizes.channels + row / stride) * sizes.frames + frame;
                out[at] = sums[comptime!(i * tile.columns + j)];
            }
        }
    }
}
