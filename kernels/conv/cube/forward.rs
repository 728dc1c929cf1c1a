//! The outputs: a product of filters and windows, pooled and activated before it is written.

use burn::tensor::Shape;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::pooling::Pooling;
use super::tile::{
    DEPTH, NONE, Tile, UNITS, column_at, column_of_sum, multiply, row_at, row_of_sum, zeros,
};
use super::{ARGMAX, Activation, Geometry, Layer, Sizes};
use crate::gpu::{empty, grid, per_value};

/// What the kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Layout {
    tile: Tile,
    length: usize,
    stride: usize,
    pooling: Pooling,
    activation: Activation,
    /// Whether to write what the backward pass needs.
    saving: bool,
}

impl Layout {
    fn new(layer: &Layer, saving: bool) -> Self {
        let Geometry { filters, length, stride, .. } = layer.geometry;
        let (windows, group) = (layer.pooling.windows(), layer.pooling.filters());
        // A unit holds whole pools.
        let columns = match windows {
            1 | 2 | 4 => 4,
            3 => 6,
            windows => windows,
        };
        let tile = Tile::new(filters, columns).with_groups(group, windows);
        let Layer { pooling, activation, .. } = *layer;
        Self { tile, length, stride, pooling, activation, saving }
    }

    /// Whether neighbouring units load neighbouring values of one window instead of one value of neighbouring windows:
    /// if windows are further apart than one memory transaction.
    fn loads_along_windows(self) -> bool {
        self.stride >= 4
    }
}

/// Outputs, argument of the logarithm, slopes and argmax. The last three have one value each if they are not needed, or
/// `saving` is false.
pub fn forward(
    [x, weights, bias]: [CubeTensor; 3],
    layer: &Layer,
    saving: bool,
) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
    let [x, weights, bias] = [x, weights, bias].map(into_contiguous);
    let saved = |shape, dtype| empty(&x, if saving { shape } else { Shape::from([1]) }, dtype);
    let out = empty(&x, layer.output_shape(), x.dtype);
    let argument = saved(layer.argument_shape(), x.dtype);
    let slopes = saved(layer.slopes_shape(), x.dtype);
    let argmax = saved(layer.argmax_shape(), ARGMAX);
    let Geometry { batch, filters, windows, pools, .. } = layer.geometry;
    let layout = Layout::new(layer, saving);
    let cubes = layout.tile.cubes(filters, batch * pools * layer.pooling.windows());
    let (count, units) = grid(&x, cubes, UNITS);
    layer_kernel::launch(
        &x.client.clone(),
        count,
        units,
        x.into_buffer_arg(),
        weights.into_buffer_arg(),
        bias.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        argument.clone().into_buffer_arg(),
        slopes.clone().into_buffer_arg(),
        argmax.clone().into_buffer_arg(),
        layer.sizes(windows),
        layer.floor,
        layer.compression,
        layout,
    );
    (out, argument, slopes, argmax)
}

/// Rows are filters, columns the windows of all items; the last pool of an item counts as full.
#[cube(launch)]
fn layer_kernel(
    x: &[f32],
    weights: &[f32],
    bias: &[f32],
    out: &mut [f32],
    argument: &mut [f32],
    slopes: &mut [f32],
    argmax: &mut [i32],
    sizes: Sizes,
    floor: f32,
    compression: f32,
    #[comptime] layout: Layout,
) {
    let tile = comptime!(layout.tile);
    let (pool, group) = comptime!((layout.pooling.windows(), layout.pooling.filters()));
    let span = sizes.outputs * pool;
    let columns = sizes.batch * span;
    let across = columns.div_ceil(comptime!(tile.width()));
    // Cubes beyond the last tile load zeros and write nothing.
    let first_filter = CUBE_POS / across * comptime!(tile.height());
    let first_column = CUBE_POS % across * comptime!(tile.width());
    let sums = products(x, weights, first_filter, first_column, span, &sizes, layout);

    #[unroll]
    for i in 0..comptime!(tile.rows / group) {
        let filter = first_filter + row_of_sum(comptime!(i * group), tile);
        if filter < sizes.filters {
            let row = filter / group;
            let bias = bias[row];
            #[unroll]
            for j in 0..comptime!(tile.columns / pool) {
                let column = first_column + column_of_sum(comptime!(j * pool), tile);
                if column < columns {
                    let (item, window) = (column / span, column % span);
                    let at = (item * (sizes.filters / group) + row) * sizes.outputs + window / pool;
                    let sum = comptime!(i * group * tile.columns + j * pool);
                    let mut value = sums[sum];
                    if comptime!(matches!(layout.pooling, Pooling::MaxOverWindows(_))) {
                        value = 0.0;
                        let mut winner = comptime!(-1i32).runtime();
                        #[unroll]
                        for offset in 0..pool {
                            let response = sums[sum + offset] + bias;
                            let exists = window + offset < sizes.windows;
                            if exists && (response > value || response.is_nan()) {
                                value = response;
                                winner = (window + offset) as i32;
                            }
                        }
                        if comptime!(layout.saving) {
                            argmax[at] = winner;
                        }
                    }
                    if comptime!(matches!(layout.pooling, Pooling::L2OverFilters(_))) {
                        value = floor;
                        #[unroll]
                        for offset in 0..group {
                            let response = sums[sum + offset * comptime!(tile.columns)];
                            value += response * response;
                        }
                        value = value.sqrt();
                        if comptime!(layout.saving) {
                            #[unroll]
                            for offset in 0..group {
                                let row = item * sizes.filters + filter + offset;
                                let response = sums[sum + offset * comptime!(tile.columns)];
                                slopes[row * sizes.windows + window] = response / value;
                            }
                        }
                    }
                    if comptime!(matches!(layout.pooling, Pooling::MaxOverFilters(_))) {
                        // The first maximum, or the last NaN.
                        let mut winner = 0i32.runtime();
                        #[unroll]
                        for offset in 1..group {
                            let response = sums[sum + offset * comptime!(tile.columns)];
                            if response > value || response.is_nan() {
                                value = response;
                                winner = comptime!(offset as i32).runtime();
                            }
                        }
                        if comptime!(layout.saving) {
                            argmax[at] = winner;
                        }
                    }
                    if comptime!(!matches!(layout.pooling, Pooling::MaxOverWindows(_))) {
                        value += bias;
                    }
                    if comptime!(layout.activation == Activation::Log) {
                        if comptime!(layout.saving) {
                            argument[at] = value;
                        }
                        value = (compression * value * value).log1p();
                    }
                    if comptime!(layout.activation == Activation::Relu) {
                        // Unlike `max`, this keeps NaN.
                        if value < 0.0 {
                            value = 0.0;
                        }
                    }
                    out[at] = value;
                }
            }
        }
    }
}

/// A unit's sums of products of filters with windows. Every item has `span` columns; those from the window
/// `sizes.windows` on do not exist and count as 0.
#[cube]
fn products(
    x: &[f32],
    weights: &[f32],
    first_filter: usize,
    first_column: usize,
    span: usize,
    sizes: &Sizes,
    #[comptime] layout: Layout,
) -> Array<f32> {
    let tile = comptime!(layout.tile);
    let width = comptime!(tile.width());
    let length = comptime!(layout.length);
    let unit = UNIT_POS as usize;

    let mut left = Shared::<[f32]>::new_slice(comptime!(DEPTH * tile.left_stride()));
    let mut right = Shared::<[f32]>::new_slice(comptime!(DEPTH * tile.right_stride()));
    // Where in the input the window of a column begins.
    let mut begins = Shared::<[u32]>::new_slice(width);
    if unit < width {
        let column = first_column + column_at(unit, tile);
        let (item, window) = (column / span, column % span);
        let mut begin = NONE.runtime();
        if item < sizes.batch && window < sizes.windows {
            let first = item * sizes.channels * sizes.frames;
            begin = (first + window * comptime!(layout.stride)) as u32;
        }
        begins[unit] = begin;
    }
    sync_cube();

    let mut sums = zeros(tile);
    let depth = sizes.channels * length;
    for step in 0..depth.div_ceil(DEPTH) {
        let first = step * DEPTH;
        #[unroll]
        for turn in 0..comptime!(tile.left_turns()) {
            let slot = unit + turn * UNITS;
            let (k, place) = (slot % DEPTH, slot / DEPTH);
            let filter = first_filter + row_at(place, tile);
            let mut value = 0.0f32;
            if filter < sizes.filters && first + k < depth {
                value = weights[filter * depth + first + k];
            }
            left[k * comptime!(tile.left_stride()) + place] = value;
        }
        #[unroll]
        for turn in 0..comptime!(tile.right_turns()) {
            let slot = unit + turn * UNITS;
            let mut k = slot / width;
            let mut place = slot % width;
            if comptime!(layout.loads_along_windows()) {
                k = slot % DEPTH;
                place = slot / DEPTH;
            }
            let begin = begins[place];
            let at = first + k;
            let mut value = 0.0f32;
            if begin != NONE && at < depth {
                value = x[begin as usize + at / length * sizes.frames + at % length];
            }
            right[k * comptime!(tile.right_stride()) + place] = value;
        }
        multiply(&left, &right, &mut sums, tile);
    }
    sums
}

/// The gradient before the activation, from the gradient of the outputs and the argument of the logarithm, or the
/// output of the rectifier.
pub fn gradient_before_activation([gradient, known]: [CubeTensor; 2], layer: &Layer) -> CubeTensor {
    let [gradient, known] = [gradient, known].map(into_contiguous);
    let shape = layer.output_shape();
    let (count, units) = per_value(&gradient, shape.num_elements());
    let out = empty(&gradient, shape, gradient.dtype);
    activation_gradient::launch(
        &gradient.client.clone(),
        count,
        units,
        gradient.into_buffer_arg(),
        known.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        layer.compression,
        layer.activation == Activation::Log,
    );
    out
}

#[cube(launch)]
fn activation_gradient(
    gradient: &[f32],
    known: &[f32],
    out: &mut [f32],
    compression: f32,
    #[comptime] is_log: bool,
) {
    if ABSOLUTE_POS < out.len() {
        let (gradient, z) = (gradient[ABSOLUTE_POS], known[ABSOLUTE_POS]);
        let mut value = 0.0f32;
        if comptime!(is_log) {
            let scaled = compression * z;
            value = gradient * 2.0 * scaled / (1.0 + scaled * z);
        } else if z > 0.0 || z.is_nan() {
            value = gradient;
        }
        out[ABSOLUTE_POS] = value;
    }
}
