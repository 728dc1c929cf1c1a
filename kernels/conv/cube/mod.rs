//! Convolutions and learned filterbanks on GPUs, forward and backward.
//!
//! Outputs and gradients are matrix products, computed in tiles (`tile.rs`): a cube (workgroup) of 128 units
//! computes up to 64 rows by 64 columns of the result (128 columns for pools of 8 windows), and a unit holds up to
//! 8 by 4 of them in registers. Of both factors, 16 values per row and column at a time pass through shared memory.
//! Windows of the input, and gradients of responses, are computed while a tile is loaded, for any stride; no matrix
//! is laid out in memory.
//!
//! - Outputs (`forward.rs`): filters times windows. A unit holds whole pools, so only pooled outputs are written.
//!   If a gradient is needed, so is what the backward pass reads: the argmax of maxima, the slopes of L2 pools
//!   (response / root), and the argument of the logarithm.
//! - Gradient of the weights (`weights.rs`): gradients of responses times windows. Gradient of the bias: a sum.
//! - Gradient of the input (`input.rs`): weights times gradients of responses.
//!
//! Every sum has a fixed order and no kernel uses atomics: equal inputs give equal bits.
//!
//! The kernels run in single precision on every GPU with 128 units per cube and 13 KB of shared memory, which
//! WebGPU guarantees ([`takes`]). Time pools of more than 8 windows follow the convolution as burn's own operations;
//! pools of 1, 2, 4 and 8 filters are supported ([`takes_bands`]).
//!
//! # What they save
//!
//! These are counts, not times. WGSL has no matrix units, so burn uses its direct convolution: each unit computes 4
//! filters of one window and loads 5 values per 4 products (or 5 vectors of 4 per 16) from memory and caches. A tile
//! of 64 by 64 loads 2 values per 64 products.
//!
//! A training step of one layer on 32 items. Memory (MB, 10^6) counts every tensor once per kernel that reads or
//! writes it, for burn the minimum; loads (GB) are all loads by units.
//!
//! | layer | memory: burn, here | loads: burn, here | kernels: burn, here |
//! |---|---|---|---|
//! | 128 bands, 186 frames, 32 filters of 8, pools of 4 (P3, mel) | 28, 12 | 1.9, 0.07 | 11, 4 |
//! | 32 channels, 44 frames, 32 filters of 8, pools of 4 (P3, second) | 3.5, 2.5 | 0.15, 0.005 | 12, 5 |
//! | 48 000 samples, 128 filters of 256, stride 256 (P3, raw) | 68, 39 | 2.0, 0.05 | 9, 4 |
//! | 48 000 samples, 512 filters of 1024, stride 256, no rectifier (P3, raw) | 101, 61 | 31, 0.8 | 7, 4 |
//! | 128 bands, 599 frames, 256 filters of 4, pools of 4 (latentnet, first) | 314, 58 | 25, 0.6 | 11, 4 |
//! | 512 channels, 35 frames, 512 filters of 4 (latentnet, last) | 52, 36 | 16, 0.4 | 10, 4 |
//!
//! A filterbank as one layer instead of convolution, pooling, bias and activation: 48 000 samples, 512 filters of
//! 1024, stride 256, L2 pools of 4, rectifier. Waveforms are 6.1 MB, filters 2.1, responses (or slopes) 12.1,
//! bands 3.0.
//!
//! | | in parts | one layer |
//! |---|---|---|
//! | forward without gradients | 41 MB | 11 MB |
//! | forward with gradients | 41 | 23 |
//! | backward: bias and rectifier | 12 | 12 |
//! | backward: pools | 27 | |
//! | backward: weights, without the sum of partial sums | 20 | 23 |
//! | kernels per training step | 8 | 5 |
//!
//! Known limits: the gradient of the weights also multiplies the zeros of windows that are not a maximum (three of
//! four in pools of 4); skipping them would cost one load per product. The next tile is not prefetched, shared
//! memory is read one value at a time, and small batches have fewer tiles than a large GPU has processors.

mod forward;
mod input;
mod pooling;
mod tile;
mod weights;

use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Cube, Dispatch, DispatchDevice, backend_extension};
use burn::tensor::{DType, Shape, Tensor};
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::{CubeBackend, CubeDevice};

use super::{ConvOptions, End, Geometry, composite};
use crate::feature_pool::FeaturePooling;
use pooling::Pooling;
#[cfg(test)]
pub(super) use weights::Partition;

/// The integer type of `argmax`.
const ARGMAX: DType = DType::I32;

/// A convolution with what follows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    geometry: Geometry,
    pooling: Pooling,
    /// Applied to outputs; max-pooling over windows includes the rectifier.
    activation: Activation,
    /// Added under the root of L2 pools.
    floor: f32,
    /// Factor inside the logarithm.
    compression: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Activation {
    None,
    Relu,
    /// `log(1 + compression z^2)`
    Log,
}

impl Layer {
    /// The operation of [`conv`](super::conv).
    fn conv(geometry: Geometry) -> Self {
        let pooling = match geometry.rectify {
            true => Pooling::MaxOverWindows(geometry.pool),
            false => Pooling::None,
        };
        Self { geometry, pooling, activation: Activation::None, floor: 0.0, compression: 0.0 }
    }

    /// The operation of [`bands`](crate::bands::bands); `geometry` is that of the convolution alone, and the activation
    /// is the rectifier unless a compression is given.
    fn bands(
        geometry: Geometry,
        pool: Option<(usize, FeaturePooling)>,
        compression: Option<f32>,
    ) -> Self {
        let (pooling, floor) = match pool {
            Some((size, FeaturePooling::L2 { floor })) => (Pooling::L2OverFilters(size), floor),
            Some((size, FeaturePooling::Max)) if size > 1 => (Pooling::MaxOverFilters(size), 0.0),
            _ => (Pooling::None, 0.0),
        };
        let activation = compression.map_or(Activation::Relu, |_| Activation::Log);
        Self { geometry, pooling, activation, floor, compression: compression.unwrap_or_default() }
    }

    /// Filters of the output: one per group of pooled filters.
    fn output_filters(&self) -> usize {
        self.geometry.filters / self.pooling.filters()
    }

    fn output_shape(&self) -> Shape {
        Shape::from([self.geometry.batch, self.output_filters(), self.geometry.pools])
    }

    /// Shape of `argument`: the outputs before the logarithm.
    fn argument_shape(&self) -> Shape {
        self.output_shape_if(self.activation == Activation::Log)
    }

    fn argmax_shape(&self) -> Shape {
        self.output_shape_if(self.pooling.is_max())
    }

    /// Tensors that are not needed have one value.
    fn output_shape_if(&self, needed: bool) -> Shape {
        if needed { self.output_shape() } else { Shape::from([1]) }
    }

    fn slopes_shape(&self) -> Shape {
        let Geometry { batch, filters, windows, .. } = self.geometry;
        match self.pooling {
            Pooling::L2OverFilters(_) => Shape::from([batch, filters, windows]),
            _ => Shape::from([1]),
        }
    }

    fn weights_shape(&self) -> Shape {
        Shape::from([self.geometry.filters, self.geometry.channels, self.geometry.length])
    }

    fn input_shape(&self) -> Shape {
        Shape::from([self.geometry.batch, self.geometry.channels, self.geometry.frames])
    }

    /// For kernels that take `windows` windows per item.
    fn sizes(&self, windows: usize) -> SizesLaunch {
        let Geometry { batch, channels, frames, filters, pools, .. } = self.geometry;
        SizesLaunch::new(batch, channels, frames, filters, windows, pools)
    }
}

/// What the kernels of the gradients of weights and input are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct GradientLayout {
    tile: tile::Tile,
    length: usize,
    stride: usize,
    pooling: Pooling,
}

impl GradientLayout {
    fn new(tile: tile::Tile, layer: &Layer) -> Self {
        let Geometry { length, stride, .. } = layer.geometry;
        Self { tile, length, stride, pooling: layer.pooling }
    }
}

/// Windows per item that are part of an output.
fn used_windows(geometry: &Geometry) -> usize {
    geometry.windows.min(geometry.pools * geometry.pool)
}

/// Sizes that kernels receive at launch.
#[derive(Clone, Copy, CubeType, CubeLaunch)]
#[expand(derive(Clone, Copy))]
pub struct Sizes {
    batch: usize,
    channels: usize,
    frames: usize,
    filters: usize,
    /// Per item.
    windows: usize,
    /// Per item and filter, or group of filters.
    outputs: usize,
}

/// Whether the kernels support a convolution on this GPU.
pub fn takes(x: &Tensor<3>, geometry: &Geometry, device: &CubeDevice) -> bool {
    let client = device.client();
    let hardware = &client.properties().hardware;
    x.dtype() == DType::F32
        && geometry.batch * geometry.filters > 0
        && tile::UNITS <= hardware.max_units_per_cube as usize
        && tile::MAX_SHARED_BYTES <= hardware.max_shared_memory_size
}

/// Whether `x` is on a GPU whose kernels support a filterbank with pools of `pool` filters.
pub fn takes_bands(x: &Tensor<3>, geometry: &Geometry, pool: usize) -> bool {
    match x.device().without_autodiff().as_dispatch() {
        DispatchDevice::Cube(device) => {
            pool.is_power_of_two() && pool <= tile::MAX_SUMS && takes(x, geometry, device)
        }
        _ => false,
    }
}

/// [`conv`](super::conv) where [`takes`] accepts it.
pub fn conv(x: Tensor<3>, weights: Tensor<3>, bias: Tensor<1>, options: ConvOptions) -> Tensor<3> {
    let geometry = Geometry::new(x.dims(), weights.dims(), options);
    if geometry.pool > tile::MAX_SUMS {
        let linear = ConvOptions { end: End::Linear, ..options };
        let unpooled = conv(x, weights, bias, linear);
        return composite::rectified_pool(unpooled, &geometry);
    }
    run(x, weights, bias, Layer::conv(geometry))
}

/// [`bands`](crate::bands::bands) where [`takes_bands`] accepts it; the activation is the rectifier unless a
/// compression is given.
pub fn bands(
    x: Tensor<3>,
    weights: Tensor<3>,
    bias: Tensor<1>,
    geometry: Geometry,
    pool: Option<(usize, FeaturePooling)>,
    compression: Option<f32>,
) -> Tensor<3> {
    run(x, weights, bias, Layer::bands(geometry, pool, compression))
}

fn run(x: Tensor<3>, weights: Tensor<3>, bias: Tensor<1>, layer: Layer) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as LayerOnGpus>::layer_on_gpus(
        x.into_dispatch(),
        weights.into_dispatch(),
        bias.into_dispatch(),
        layer,
    ))
}

#[backend_extension(Cube, Autodiff)]
pub trait LayerOnGpus: Backend {
    fn layer_on_gpus(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        layer: Layer,
    ) -> FloatTensor<Self>;
}

/// What runs as kernels; `argmax` and `slopes` are those of [`response_gradient`](pooling::response_gradient).
#[backend_extension(Cube, Fusion)]
pub trait LayerPasses: Backend {
    #[fusion(dtype = x, shape = layer.output_shape())]
    fn layer_forward(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        layer: Layer,
    ) -> FloatTensor<Self>;

    /// The outputs, the argument of the logarithm, slopes and argmax; the backward pass needs the last three.
    #[fusion(meta = output_and_saved)]
    #[allow(clippy::type_complexity, reason = "the sentence above names them")]
    fn layer_forward_saving(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        layer: Layer,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, IntTensor<Self>);

    /// The gradient before the activation. `known` is the argument of the logarithm, or the output of the rectifier.
    #[fusion(dtype = gradient, shape = layer.output_shape())]
    fn gradient_before_activation(
        gradient: FloatTensor<Self>,
        known: FloatTensor<Self>,
        layer: Layer,
    ) -> FloatTensor<Self>;

    #[fusion(dtype = x, shape = layer.weights_shape())]
    fn gradient_of_weights(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        argmax: IntTensor<Self>,
        slopes: FloatTensor<Self>,
        layer: Layer,
    ) -> FloatTensor<Self>;

    #[fusion(dtype = gradient, shape = Shape::from([layer.output_filters()]))]
    fn gradient_of_bias(
        gradient: FloatTensor<Self>,
        argmax: IntTensor<Self>,
        layer: Layer,
    ) -> FloatTensor<Self>;

    #[fusion(dtype = weights, shape = layer.input_shape())]
    fn gradient_of_input(
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        argmax: IntTensor<Self>,
        slopes: FloatTensor<Self>,
        layer: Layer,
    ) -> FloatTensor<Self>;
}

fn output_and_saved(
    x: &TensorSpec,
    _weights: &TensorSpec,
    _bias: &TensorSpec,
    layer: &Layer,
) -> (TensorSpec, TensorSpec, TensorSpec, TensorSpec) {
    (
        TensorSpec::new(layer.output_shape(), x.dtype),
        TensorSpec::new(layer.argument_shape(), x.dtype),
        TensorSpec::new(layer.slopes_shape(), x.dtype),
        TensorSpec::new(layer.argmax_shape(), ARGMAX),
    )
}

impl LayerPasses for CubeBackend {
    fn layer_forward(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        layer: Layer,
    ) -> FloatTensor<Self> {
        forward::forward([x, weights, bias], &layer, false).0
    }

    fn layer_forward_saving(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        layer: Layer,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, IntTensor<Self>) {
        forward::forward([x, weights, bias], &layer, true)
    }

    fn gradient_before_activation(
        gradient: FloatTensor<Self>,
        known: FloatTensor<Self>,
        layer: Layer,
    ) -> FloatTensor<Self> {
        forward::gradient_before_activation([gradient, known], &layer)
    }

    fn gradient_of_weights(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        argmax: IntTensor<Self>,
        slopes: FloatTensor<Self>,
        layer: Layer,
    ) -> FloatTensor<Self> {
        weights::of_weights([x, gradient, argmax, slopes], &layer)
    }

    fn gradient_of_bias(
        gradient: FloatTensor<Self>,
        argmax: IntTensor<Self>,
        layer: Layer,
    ) -> FloatTensor<Self> {
        weights::of_bias([gradient, argmax], &layer)
    }

    fn gradient_of_input(
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        argmax: IntTensor<Self>,
        slopes: FloatTensor<Self>,
        layer: Layer,
    ) -> FloatTensor<Self> {
        input::of_input([weights, gradient, argmax, slopes], &layer)
    }
}

impl LayerOnGpus for Cube {
    fn layer_on_gpus(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        layer: Layer,
    ) -> FloatTensor<Self> {
        Self::layer_forward(x, weights, bias, layer)
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct Saved {
    x: FloatTensor<Cube>,
    weights: FloatTensor<Cube>,
    /// See [`LayerPasses::gradient_before_activation`]; `None` if it changes nothing.
    known: Option<FloatTensor<Cube>>,
    slopes: FloatTensor<Cube>,
    argmax: IntTensor<Cube>,
    layer: Layer,
}

impl<C: CheckpointStrategy> LayerOnGpus for Autodiff<Cube, C> {
    fn layer_on_gpus(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        layer: Layer,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct LayerNode;

        impl Backward<Cube, 3> for LayerNode {
            type State = Saved;

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                gradients: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let [x_node, weights_node, bias_node] = ops.parents;
                let Saved { x, weights, known, slopes, argmax, layer } = ops.state;
                let mut gradient = gradients.consume::<Cube>(&ops.node);
                if let Some(known) = known {
                    gradient = Cube::gradient_before_activation(gradient, known, layer);
                }
                if let Some(node) = weights_node {
                    let (gradient, argmax) = (gradient.clone(), argmax.clone());
                    let of_weights =
                        Cube::gradient_of_weights(x, gradient, argmax, slopes.clone(), layer);
                    gradients.register::<Cube>(node.id, of_weights);
                }
                if let Some(node) = bias_node {
                    let of_bias = Cube::gradient_of_bias(gradient.clone(), argmax.clone(), layer);
                    gradients.register::<Cube>(node.id, of_bias);
                }
                if let Some(node) = x_node {
                    let of_x = Cube::gradient_of_input(weights, gradient, argmax, slopes, layer);
                    gradients.register::<Cube>(node.id, of_x);
                }
            }
        }

        let nodes = [x.node(), weights.node(), bias.node()];
        let (x, weights, bias) =
            (x.into_primitive(), weights.into_primitive(), bias.into_primitive());
        match LayerNode.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let (out, argument, slopes, argmax) =
                    Cube::layer_forward_saving(x.clone(), weights.clone(), bias, layer);
                let known = match layer.activation {
                    Activation::None => None,
                    Activation::Relu => Some(out.clone()),
                    Activation::Log => Some(argument),
                };
                step.finish(Saved { x, weights, known, slopes, argmax, layer }, out)
            }
            OpsKind::UnTracked(step) => step.finish(Cube::layer_forward(x, weights, bias, layer)),
        }
    }
}
