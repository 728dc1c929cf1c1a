//! Pooling across filters on a GPU: one kernel forward, one backward.
//!
//! A unit takes one group at one frame. Neighbouring units take neighbouring frames, so that every read
//! and every write is of one stretch of memory. Backward the groups are read and pooled once more instead
//! of the outputs being kept.
//!
//! # What it saves
//!
//! Counted, not timed: no GPU was at hand, and the kernels have run on a software implementation of Vulkan
//! only. For `[32, 512, 184]` values in pools of 4 (12.1 MB, and 3.0 MB of pools), forward and backward read 27.1 MB
//! and write 15.1. burn's operations for L2 pools could do with as much if all were fused; a trace shows five
//! kernels where these are two. For the largest it is three: they keep 3.0 MB of places instead of reading `x` again,
//! clear the gradient, and add to it atomically what arrives.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape, Tensor};
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_dtype;

use super::FeaturePooling;

/// Whether the kernels take it.
pub fn takes(x: &Tensor<3>) -> bool {
    x.dtype() == DType::F32 && x.dims().iter().all(|&size| size > 0)
}

/// [`feature_pool`](super::feature_pool) of what the kernels take.
pub fn feature_pool(x: Tensor<3>, size: usize, pooling: FeaturePooling) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as FeaturePoolOnGpus>::feature_pool_on_gpus(
        x.into_dispatch(),
        size,
        pooling,
    ))
}

#[backend_extension(Cube, Autodiff)]
pub trait FeaturePoolOnGpus: Backend {
    fn feature_pool_on_gpus(
        x: FloatTensor<Self>,
        size: usize,
        pooling: FeaturePooling,
    ) -> FloatTensor<Self>;
}

/// What runs as a kernel.
#[backend_extension(Cube, Fusion)]
pub trait FeaturePoolPasses: Backend {
    #[fusion(dtype = x, shape = pooled_shape(x, *size))]
    fn pool_features(
        x: FloatTensor<Self>,
        size: usize,
        pooling: FeaturePooling,
    ) -> FloatTensor<Self>;

    /// The gradient of `x`, given that of the pools.
    #[fusion(dtype = x, shape = x)]
    fn spread_over_features(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        size: usize,
        pooling: FeaturePooling,
    ) -> FloatTensor<Self>;
}

fn pooled_shape(x: &Shape, size: usize) -> Shape {
    Shape::from([x[0], x[1] / size, x[2]])
}

impl FeaturePoolOnGpus for Cube {
    fn feature_pool_on_gpus(
        x: FloatTensor<Self>,
        size: usize,
        pooling: FeaturePooling,
    ) -> FloatTensor<Self> {
        Self::pool_features(x, size, pooling)
    }
}

impl<C: CheckpointStrategy> FeaturePoolOnGpus for Autodiff<Cube, C> {
    fn feature_pool_on_gpus(
        x: FloatTensor<Self>,
        size: usize,
        pooling: FeaturePooling,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct FeaturePool;

        impl Backward<Cube, 1> for FeaturePool {
            type State = (FloatTensor<Cube>, usize, FeaturePooling);

            fn backward(
                self,
                ops: Ops<Self::State, 1>,
                gradients: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                unary::<Cube, _>(ops.parents, ops.node, gradients, |gradient| {
                    let (x, size, pooling) = ops.state;
                    Cube::spread_over_features(x, gradient, size, pooling)
                });
            }
        }

        let node = x.node();
        let x = x.into_primitive();
        let y = Cube::pool_features(x.clone(), size, pooling);
        match FeaturePool.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((x, size, pooling), y),
            OpsKind::UnTracked(step) => step.finish(y),
        }
    }
}

/// As the kernels are told.
fn l2_and_floor(pooling: FeaturePooling) -> (bool, f32) {
    match pooling {
        FeaturePooling::L2 { floor } => (true, floor),
        FeaturePooling::Max => (false, 0.0),
    }
}

impl FeaturePoolPasses for CubeBackend {
    fn pool_features(
        x: FloatTensor<Self>,
        size: usize,
        pooling: FeaturePooling,
    ) -> FloatTensor<Self> {
        let x = into_contiguous(x);
        let client = x.client.clone();
        let shape = pooled_shape(&x.shape(), size);
        let (frames, count) = (shape[2], shape.num_elements());
        let out = empty_device_dtype(client.clone(), x.device.clone(), shape, x.dtype);
        let (l2, floor) = l2_and_floor(pooling);
        let units = CubeDim::new(&client, count);
        pool::launch(
            &client,
            calculate_cube_count_elemwise(&client, count, units),
            units,
            x.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            size,
            frames,
            floor,
            l2,
        );
        out
    }

    fn spread_over_features(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        size: usize,
        pooling: FeaturePooling,
    ) -> FloatTensor<Self> {
        let [x, gradient] = [x, gradient].map(into_contiguous);
        let client = x.client.clone();
        let (frames, count) = (x.shape()[2], gradient.shape().num_elements());
        let out = empty_device_dtype(client.clone(), x.device.clone(), x.shape(), x.dtype);
        let (l2, floor) = l2_and_floor(pooling);
        let units = CubeDim::new(&client, count);
        spread::launch(
            &client,
            calculate_cube_count_elemwise(&client, count, units),
            units,
            x.into_buffer_arg(),
            gradient.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            size,
            frames,
            floor,
            l2,
        );
        out
    }
}

/// `x` is `[batch, filter, frame]`, `out` `[batch, group, frame]`.
#[cube(launch)]
fn pool(x: &[f32], out: &mut [f32], size: usize, frames: usize, floor: f32, #[comptime] l2: bool) {
    if ABSOLUTE_POS < out.len() {
        let first = first_of_group(ABSOLUTE_POS, size, frames);
        if l2 {
            out[ABSOLUTE_POS] = root_of_squares(x, first, size, frames, floor);
        } else {
            out[ABSOLUTE_POS] = x[first + place_of_largest(x, first, size, frames) * frames];
        }
    }
}

/// `x` and `out` are `[batch, filter, frame]`, `gradient` is `[batch, group, frame]`.
#[cube(launch)]
fn spread(
    x: &[f32],
    gradient: &[f32],
    out: &mut [f32],
    size: usize,
    frames: usize,
    floor: f32,
    #[comptime] l2: bool,
) {
    if ABSOLUTE_POS < gradient.len() {
        let first = first_of_group(ABSOLUTE_POS, size, frames);
        let gradient = gradient[ABSOLUTE_POS];
        if l2 {
            let slope = gradient / root_of_squares(x, first, size, frames, floor);
            for i in 0..size {
                let at = first + i * frames;
                out[at] = slope * x[at];
            }
        } else {
            let place = place_of_largest(x, first, size, frames);
            for i in 0..size {
                let mut arriving = 0.0f32;
                if i == place {
                    arriving = gradient;
                }
                out[first + i * frames] = arriving;
            }
        }
    }
}

/// Where the first filter stands of the group at `position` of the output.
#[cube]
fn first_of_group(position: usize, size: usize, frames: usize) -> usize {
    position / frames * size * frames + position % frames
}

#[cube]
fn root_of_squares(x: &[f32], first: usize, size: usize, frames: usize, floor: f32) -> f32 {
    let mut sum = floor;
    for i in 0..size {
        let value = x[first + i * frames];
        sum += value * value;
    }
    sum.sqrt()
}

/// The first of the largest, or the last that is no number.
#[cube]
fn place_of_largest(x: &[f32], first: usize, size: usize, frames: usize) -> usize {
    let mut best = x[first];
    let mut place = 0usize.runtime();
    for i in 1..size {
        let value = x[first + i * frames];
        if value > best || value.is_nan() {
            best = value;
            place = i;
        }
    }
    place
}
