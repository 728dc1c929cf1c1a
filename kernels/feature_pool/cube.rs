//! Pooling across filters on GPUs: one kernel forward, one backward.
//!
//! A unit (thread) computes one group at one frame. Neighbouring units compute neighbouring frames, so reads and writes
//! are coalesced. The backward pass reads and pools the groups again instead of saving the outputs.
//!
//! # What it saves
//!
//! These are counts, not times. For `[32, 512, 184]` values in pools of 4 (12.1 MB, outputs 3.0 MB), forward and backward
//! read 27.1 MB and write 15.1 MB. For L2 pools, burn's operations would move as much if all were fused; a trace shows five
//! kernels instead of two. For maxima burn needs three: they save 3.0 MB of indices instead of reading `x` again, clear
//! the gradient, and add to it with atomics.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape, Tensor};
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;

use super::FeaturePooling;
use crate::gpu::{empty, per_value};

/// Whether the kernels support `x`.
pub fn takes(x: &Tensor<3>) -> bool {
    x.dtype() == DType::F32 && x.dims().iter().all(|&size| size > 0)
}

/// [`feature_pool`](super::feature_pool) where [`takes`] accepts it.
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

    /// The gradient of `x`, from the gradient of the outputs.
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

/// The arguments of the kernels: whether the pooling is L2, and its floor.
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
        let shape = pooled_shape(&x.shape(), size);
        let frames = shape[2];
        let (count, units) = per_value(&x, shape.num_elements());
        let out = empty(&x, shape, x.dtype);
        let (l2, floor) = l2_and_floor(pooling);
        pool::launch(
            &x.client.clone(),
            count,
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
        let frames = x.shape()[2];
        let (count, units) = per_value(&x, gradient.shape().num_elements());
        let out = empty(&x, x.shape(), x.dtype);
        let (l2, floor) = l2_and_floor(pooling);
        spread::launch(
            &x.client.clone(),
            count,
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
            out[ABSOLUTE_POS] = l2_norm(x, first, size, frames, floor);
        } else {
            out[ABSOLUTE_POS] = x[first + argmax(x, first, size, frames) * frames];
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
            let slope = gradient / l2_norm(x, first, size, frames, floor);
            for i in 0..size {
                let at = first + i * frames;
                out[at] = slope * x[at];
            }
        } else {
            let winner = argmax(x, first, size, frames);
            for i in 0..size {
                let mut value = 0.0f32;
                if i == winner {
                    value = gradient;
                }
                out[first + i * frames] = value;
            }
        }
    }
}

/// Index of the first filter in the group that the output at `position` pools.
#[cube]
fn first_of_group(position: usize, size: usize, frames: usize) -> usize {
    position / frames * size * frames + position % frames
}

#[cube]
fn l2_norm(x: &[f32], first: usize, size: usize, frames: usize, floor: f32) -> f32 {
    let mut sum = floor;
    for i in 0..size {
        let value = x[first + i * frames];
        sum += value * value;
    }
    sum.sqrt()
}

/// Position of the first maximum in a group, or of the last NaN.
#[cube]
fn argmax(x: &[f32], first: usize, size: usize, frames: usize) -> usize {
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
