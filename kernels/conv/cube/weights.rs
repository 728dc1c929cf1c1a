//! The gradients of weights and bias.
//!
//! The gradient of the weights is the product of the gradients of all responses (0 where a response was not the
//! maximum) with the windows: a sum over all windows of the batch. If the result has too few tiles to occupy a GPU,
//! several cubes compute partial sums of the same tile, which are then added in a fixed order.

use burn::tensor::Shape;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::pooling::response_gradient;
use super::tile::{
    DEPTH, NONE, Tile, UNITS, column_at, column_of_sum, multiply, row_of_sum, zeros,
};
use super::{Geometry, GradientLayout, Layer, Sizes, used_windows};
use crate::gpu::{empty, grid, per_value};

/// Cubes to launch if there is enough work.
const CUBES: usize = 256;
/// The smallest number of steps of [`DEPTH`] windows in a partial sum.
const STEPS: usize = 4;

/// How the sum is split among cubes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    tile: Tile,
    /// Steps for all windows; a step does not cross items.
    steps: usize,
    pub parts: usize,
}

impl Partition {
    pub fn new(geometry: &Geometry) -> Self {
        let tile = Tile::new(geometry.filters, 4);
        let steps = geometry.batch * used_windows(geometry).div_ceil(DEPTH);
        let tiles = tile.cubes(geometry.filters, geometry.depth());
        let parts = (CUBES / tiles).min(steps / STEPS).max(1);
        // Without empty parts.
        let parts = steps.div_ceil(steps.div_ceil(parts));
        Self { tile, steps, parts }
    }
}

/// The gradient of the weights `[filter, channel, length]`, from the gradient of the outputs, argmax and slopes.
pub fn of_weights([x, gradient, argmax, slopes]: [CubeTensor; 4], layer: &Layer) -> CubeTensor {
    let [x, gradient, argmax, slopes] = [x, gradient, argmax, slopes].map(into_contiguous);
    let Geometry { channels, filters, length, .. } = layer.geometry;
    let Partition { tile, steps, parts } = Partition::new(&layer.geometry);
    let out = empty(&x, layer.weights_shape(), x.dtype);
    let sums = match parts {
        1 => out.clone(),
        _ => empty(&x, Shape::from([parts, filters, channels, length]), x.dtype),
    };
    let (client, values) = (x.client.clone(), filters * layer.geometry.depth());
    let (count, units) = grid(&x, tile.cubes(filters, layer.geometry.depth()) * parts, UNITS);
    product::launch(
        &client,
        count,
        units,
        x.into_buffer_arg(),
        gradient.into_buffer_arg(),
        argmax.into_buffer_arg(),
        slopes.into_buffer_arg(),
        sums.clone().into_buffer_arg(),
        layer.sizes(used_windows(&layer.geometry)),
        steps,
        parts,
        GradientLayout::new(tile, layer),
    );
    if parts > 1 {
        let (count, units) = per_value(&out, values);
        add_parts::launch(
            &client,
            count,
            units,
            sums.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            parts,
        );
    }
    out
}

/// The gradient of the bias, one value per filter of the output, from the gradient of the outputs and argmax.
pub fn of_bias([gradient, argmax]: [CubeTensor; 2], layer: &Layer) -> CubeTensor {
    let [gradient, argmax] = [gradient, argmax].map(into_contiguous);
    let filters = layer.output_filters();
    let out = empty(&gradient, Shape::from([filters]), gradient.dtype);
    let (count, units) = grid(&gradient, filters, UNITS);
    sum_filters::launch(
        &gradient.client.clone(),
        count,
        units,
        gradient.into_buffer_arg(),
        argmax.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        layer.geometry.batch,
        layer.geometry.pools,
        layer.geometry.rectify,
    );
    out
}

/// `sums_of_parts` is `[part, filter, channel, length]`.
#[cube(launch)]
fn product(
    x: &[f32],
    gradient: &[f32],
    argmax: &[i32],
    slopes: &[f32],
    sums_of_parts: &mut [f32],
    sizes: Sizes,
    steps: usize,
    parts: usize,
    #[comptime] layout: GradientLayout,
) {
    let tile = comptime!(layout.tile);
    let (height, width) = comptime!((tile.height(), tile.width()));
    let length = comptime!(layout.length);
    let depth = sizes.channels * length;
    let across = depth.div_ceil(width);
    let tiles = across * sizes.filters.div_ceil(height);
    // Cubes beyond the last tile have an empty part.
    let part = CUBE_POS / tiles;
    let first_filter = CUBE_POS % tiles / across * height;
    let first_column = CUBE_POS % across * width;
    let unit = UNIT_POS as usize;

    let mut left = Shared::<[f32]>::new_slice(comptime!(DEPTH * tile.left_stride()));
    let mut right = Shared::<[f32]>::new_slice(comptime!(DEPTH * tile.right_stride()));
    // Offset of a column's value from the beginning of a window.
    let mut offsets = Shared::<[u32]>::new_slice(width);
    if unit < width {
        let column = first_column + column_at(unit, tile);
        let mut offset = NONE.runtime();
        if column < depth {
            offset = (column / length * sizes.frames + column % length) as u32;
        }
        offsets[unit] = offset;
    }
    sync_cube();

    let mut sums = zeros(tile);
    let steps_per_item = sizes.windows.div_ceil(DEPTH);
    let steps_per_part = steps.div_ceil(parts);
    let begin = part * steps_per_part;
    for step in begin..clamp_max(begin + steps_per_part, steps) {
        let item = step / steps_per_item;
        let first = step % steps_per_item * DEPTH;
        #[unroll]
        for turn in 0..comptime!(tile.left_turns()) {
            let slot = unit + turn * UNITS;
            let (k, row) = (slot % DEPTH, slot / DEPTH);
            let (filter, window) = (first_filter + row, first + k);
            let mut value = 0.0f32;
            if filter < sizes.filters && window < sizes.windows {
                value = response_gradient(
                    gradient,
                    argmax,
                    slopes,
                    item,
                    filter,
                    window,
                    &sizes,
                    comptime!(layout.pooling),
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
            if offset != NONE && window < sizes.windows {
                let begin = item * sizes.channels * sizes.frames;
                value = x[begin + window * comptime!(layout.stride) + offset as usize];
            }
            right[k * comptime!(tile.right_stride()) + place] = value;
        }
        multiply(&left, &right, &mut sums, tile);
    }

    #[unroll]
    for i in 0..comptime!(tile.rows) {
        let filter = first_filter + row_of_sum(i, tile);
        #[unroll]
        for j in 0..comptime!(tile.columns) {
            let column = first_column + column_of_sum(j, tile);
            if part < parts && filter < sizes.filters && column < depth {
                let at = (part * sizes.filters + filter) * depth + column;
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

/// One cube per filter.
#[cube(launch)]
fn sum_filters(
    gradient: &[f32],
    argmax: &[i32],
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
                if argmax[at] >= 0 {
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
