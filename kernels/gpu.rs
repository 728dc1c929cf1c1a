//! What the launches of GPU kernels share.

use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::ops::numeric::empty_device_dtype;
use burn_cubecl::tensor::CubeTensor;

/// An uninitialised tensor on the device of `like`.
pub(crate) fn empty(like: &CubeTensor, shape: Shape, dtype: DType) -> CubeTensor {
    empty_device_dtype(like.client.clone(), like.device.clone(), shape, dtype)
}

/// A grid with one unit (thread) per value.
pub(crate) fn per_value(like: &CubeTensor, values: usize) -> (CubeCount, CubeDim) {
    let units = CubeDim::new(&like.client, values);
    (calculate_cube_count_elemwise(&like.client, values, units), units)
}

/// A grid of `cubes` cubes (workgroups) of `units` units, or of a few more cubes where one dimension of the grid
/// does not hold them.
pub(crate) fn grid(like: &CubeTensor, cubes: usize, units: usize) -> (CubeCount, CubeDim) {
    let count = calculate_cube_count_elemwise(&like.client, cubes, CubeDim::new_single());
    (count, CubeDim::new_1d(units as u32))
}
