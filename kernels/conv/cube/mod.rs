//! The convolution on GPUs, forward and backward.
//!
//! Output and gradients are products of two matrices, cut into tiles (`tile.rs`): a cube (workgroup) of 128
//! units takes up to 64 rows by 64 columns of the result (128 for pools of 8), a unit up to 8 by 4 of them in registers,
//! and 16 numbers of every row and column at a time pass through shared memory. Nothing is laid out in
//! memory beforehand: windows of the input, and gradients of windows, are found while a tile is filled, whatever the
//! stride.
//!
//! - Output (`forward.rs`): filters times windows. A unit holds whole pools, so that only the largest of a pool and
//!   its place are written; nothing but the pooled output where no gradient is wanted.
//! - Weights (`weights.rs`): gradients of windows, 0 where they won no pool, times windows. Bias: a sum.
//! - Input (`input.rs`): weights times gradients of windows.
//!
//! Every sum has a fixed order, and nothing is added atomically: the same input gives the same bits.
//!
//! # Where they run
//!
//! Wherever they can (`takes`): single precision, and the 128 units and 13 KB that WebGPU promises. Pools of
//! more than 8 windows follow as burn's own operations. The reason is what burn does otherwise, and the count
//! below: WGSL knows no matrix units, without which burn's convolution is its direct one, tuned or not. There a unit
//! takes 4 filters of one window and fetches 5 numbers for 4 products (or 5 vectors of 4 for 16), from memory
//! and its caches. A tile of 64 by 64 fetches 2 numbers for 64 products.
//!
//! # What they save
//!
//! Counted, not timed: no GPU was at hand, and the kernels have run on a software implementation of Vulkan
//! only. A training step of one layer on 32 items; memory (MB, 10^6) is every tensor once where a kernel reads
//! it and once where it writes it, of burn's way at least; fetches (GB) are all that units ask for.
//!
//! | layer | memory: burn, here | fetches: burn, here | kernels: burn, here |
//! |---|---|---|---|
//! | 128 bands, 186 frames, 32 filters of 8, pools of 4 (P3, mel) | 28, 12 | 1.9, 0.07 | 11, 4 |
//! | 32 channels, 44 frames, 32 filters of 8, pools of 4 (P3, second) | 3.5, 2.5 | 0.15, 0.005 | 12, 5 |
//! | 48 000 samples, 128 filters of 256, stride 256 (P3, raw) | 68, 39 | 2.0, 0.05 | 9, 4 |
//! | 48 000 samples, 512 filters of 1024, stride 256, no rectifier (P3, raw) | 101, 61 | 31, 0.8 | 7, 4 |
//! | 128 bands, 599 frames, 256 filters of 4, pools of 4 (latentnet, first) | 314, 58 | 25, 0.6 | 11, 4 |
//! | 512 channels, 35 frames, 512 filters of 4 (latentnet, last) | 52, 36 | 16, 0.4 | 10, 4 |
//!
//! Of the first: burn's way turns channels inside (3.0 MB read, 3.0 written), convolves (3.2, 0.7), rectifies (0.7, 0.7) and
//! pools (0.7, 0.4); back through pool (0.4, 0.7) and rectifier (1.5, 0.7), turns input and gradient (3.8, 3.8),
//! sums the weights' gradient (3.8, 0.1) and the bias' (0.7). Here: 3.2 and 0.4 forward, 3.4 and 2.1 for the weights'
//! gradient in 16 parts, 2.1 and 0.1 to add them, 0.4 for the bias.
//!
//! Operations are those of burn's way. The weights' gradient multiplies by the zeros of windows that won nothing,
//! three of four in pools of 4: to skip them each filter would have to fetch windows of its own, one number a
//! product.
//!
//! Known to be left: the next tile is not fetched while one is multiplied, shared memory is read a number at a time,
//! and small batches have fewer tiles than a large GPU has processors.

pub(crate) mod arriving;
pub(crate) mod forward;
pub(crate) mod input;
pub(crate) mod tile;
pub(crate) mod weights;

use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Cube, Dispatch, backend_extension};
use burn::tensor::{DType, Shape, Tensor};
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_cubecl::ops::numeric::empty_device_dtype;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeDevice};

use super::{ConvOptions, End, Geometry, composite};
use arriving::Route;
#[cfg(test)]
pub(super) use weights::Share;

/// What places of the largest are stored as.
pub(crate) const PLACES: DType = DType::I32;

/// What a kernel is given where it reads nothing.
pub(crate) fn unread(like: &CubeTensor, dtype: DType) -> CubeTensor {
    empty_device_dtype(like.client.clone(), like.device.clone(), Shape::from([1]), dtype)
}

/// Whether the kernels take a convolution on this GPU.
pub fn takes(x: &Tensor<3>, geometry: &Geometry, device: &CubeDevice) -> bool {
    let client = device.client();
    let hardware = &client.properties().hardware;
    x.dtype() == DType::F32
        && geometry.batch * geometry.filters > 0
        && tile::UNITS <= hardware.max_units_per_cube as usize
        && tile::MAX_SHARED_BYTES <= hardware.max_shared_memory_size
}

/// [`conv`](super::conv) of what the kernels take.
pub fn conv(x: Tensor<3>, weights: Tensor<3>, bias: Tensor<1>, options: ConvOptions) -> Tensor<3> {
    let geometry = Geometry::new(x.dims(), weights.dims(), options);
    if geometry.pool > forward::MAX_POOL {
        let linear = ConvOptions { end: End::Linear, ..options };
        let unpooled = conv(x, weights, bias, linear);
        return composite::rectified_pool(unpooled, &geometry);
    }
    Tensor::from_dispatch(<Dispatch as ConvOnGpus>::conv_on_gpus(
        x.into_dispatch(),
        weights.into_dispatch(),
        bias.into_dispatch(),
        geometry,
    ))
}

#[backend_extension(Cube, Autodiff)]
pub trait ConvOnGpus: Backend {
    fn conv_on_gpus(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;
}

/// What runs as kernels. `places` are those of [`ConvPasses::convolve_and_place`].
#[backend_extension(Cube, Fusion)]
pub trait ConvPasses: Backend {
    #[fusion(dtype = x, shape = output_shape(geometry))]
    fn convolve(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;

    /// Also says which window of each pool passes its gradient on; -1 where none does.
    #[fusion(meta = output_and_places)]
    fn convolve_and_place(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: Geometry,
    ) -> (FloatTensor<Self>, IntTensor<Self>);

    #[fusion(dtype = x, shape = weights_shape(geometry))]
    fn gradient_of_weights(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        places: IntTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;

    #[fusion(dtype = gradient, shape = Shape::from([geometry.filters]))]
    fn gradient_of_bias(
        gradient: FloatTensor<Self>,
        places: IntTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;

    #[fusion(dtype = weights, shape = input_shape(geometry))]
    fn gradient_of_input(
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        places: IntTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;
}

fn output_shape(geometry: &Geometry) -> Shape {
    Shape::from([geometry.batch, geometry.filters, geometry.pools])
}

/// Without a rectifier every window passes its gradient on, and places say nothing.
fn places_shape(geometry: &Geometry) -> Shape {
    if geometry.rectify { output_shape(geometry) } else { Shape::from([1]) }
}

fn weights_shape(geometry: &Geometry) -> Shape {
    Shape::from([geometry.filters, geometry.channels, geometry.length])
}

fn input_shape(geometry: &Geometry) -> Shape {
    Shape::from([geometry.batch, geometry.channels, geometry.frames])
}

fn output_and_places(
    x: &TensorSpec,
    _weights: &TensorSpec,
    _bias: &TensorSpec,
    geometry: &Geometry,
) -> (TensorSpec, TensorSpec) {
    (
        TensorSpec::new(output_shape(geometry), x.dtype),
        TensorSpec::new(places_shape(geometry), PLACES),
    )
}

impl ConvPasses for CubeBackend {
    fn convolve(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        forward::convolve([x, weights, bias], &geometry, false).0
    }

    fn convolve_and_place(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: Geometry,
    ) -> (FloatTensor<Self>, IntTensor<Self>) {
        forward::convolve([x, weights, bias], &geometry, true)
    }

    fn gradient_of_weights(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        places: IntTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        let shares = unread(&x, x.dtype);
        weights::of_weights([x, gradient, places, shares], &geometry, Route::of(&geometry))
    }

    fn gradient_of_bias(
        gradient: FloatTensor<Self>,
        places: IntTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        weights::of_bias([gradient, places], &geometry)
    }

    fn gradient_of_input(
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        places: IntTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        let shares = unread(&weights, weights.dtype);
        input::of_input([weights, gradient, places, shares], &geometry, Route::of(&geometry))
    }
}

impl ConvOnGpus for Cube {
    fn conv_on_gpus(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        Self::convolve(x, weights, bias, geometry)
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct Kept {
    x: FloatTensor<Cube>,
    weights: FloatTensor<Cube>,
    places: IntTensor<Cube>,
    geometry: Geometry,
}

impl<C: CheckpointStrategy> ConvOnGpus for Autodiff<Cube, C> {
    fn conv_on_gpus(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Conv;

        impl Backward<Cube, 3> for Conv {
            type State = Kept;

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                gradients: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let [of_x, of_weights, of_bias] = ops.parents;
                let Kept { x, weights, places, geometry } = ops.state;
                let arriving = gradients.consume::<Cube>(&ops.node);
                if let Some(node) = of_weights {
                    let gradient =
                        Cube::gradient_of_weights(x, arriving.clone(), places.clone(), geometry);
                    gradients.register::<Cube>(node.id, gradient);
                }
                if let Some(node) = of_bias {
                    let gradient =
                        Cube::gradient_of_bias(arriving.clone(), places.clone(), geometry);
                    gradients.register::<Cube>(node.id, gradient);
                }
                if let Some(node) = of_x {
                    let gradient = Cube::gradient_of_input(weights, arriving, places, geometry);
                    gradients.register::<Cube>(node.id, gradient);
                }
            }
        }

        let nodes = [x.node(), weights.node(), bias.node()];
        let (x, weights, bias) =
            (x.into_primitive(), weights.into_primitive(), bias.into_primitive());
        match Conv.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let (out, places) =
                    Cube::convolve_and_place(x.clone(), weights.clone(), bias, geometry);
                step.finish(Kept { x, weights, places, geometry }, out)
            }
            OpsKind::UnTracked(step) => step.finish(Cube::convolve(x, weights, bias, geometry)),
        }
    }
}
