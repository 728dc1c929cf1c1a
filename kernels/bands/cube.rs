//! A filterbank on GPUs: one kernel forward, and gradients that never lay those of single filters out in memory.
//!
//! Forward is the convolution's product of filters and windows ([`conv::cube`](crate::conv)), with whole
//! pools of filters in the registers of a unit, so that nothing but bands has to be written. Where a gradient is
//! wanted, it writes besides what the backward pass cannot do without: of L2 pools the share of each filter, its
//! response over the pool's root; of the largest, which filter it was; of the logarithm, what it was taken of. The
//! gradient of a filter's response is that of its pool times its share, worked out where the gradients of weights and
//! input read it.
//!
//! Pools of 1, 2, 4 and 8 filters; others follow the convolution as kernels of their own.
//!
//! # What it saves
//!
//! Counted, not timed. 32 x 48 000 samples, 512 filters of 1024, stride 256, L2 pools of 4 and a rectifier; MB (10^6),
//! each tensor once where a kernel reads it and once where it writes it: waveforms 6.1, filters 2.1, responses (or
//! shares, or the responses' gradient) 12.1, bands 3.0.
//!
//! | | in parts | one kernel |
//! |---|---|---|
//! | forward, no gradient wanted | 41: convolution 8.2 and 12.1, pools 12.1 and 3.0, bias with rectifier 3.0 and 3.0 | 11: 8.2 and 3.0 |
//! | forward, gradient wanted | 41: the same | 23: 8.2 and 15.1 |
//! | backward, the bias and the rectifier | 12: 6.0 and 3.0, 3.0 | 12: the same |
//! | backward, pools | 27: 15.1 and 12.1 | |
//! | backward, weights, but for adding the parts of their sums | 20: 18.2 and 2.1 | 23: 21.2 and 2.1 |
//! | kernels of a training step | 8 | 5 |

use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Cube, Dispatch, DispatchDevice, backend_extension};
use burn::tensor::{Shape, Tensor};
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_dtype;
use burn_cubecl::tensor::CubeTensor;

use super::{Activation, BandOptions};
use crate::conv::cube::arriving::Route;
use crate::conv::cube::forward::{Windows, products};
use crate::conv::cube::tile::{MAX_SUMS, Tile, UNITS, column_of_sum, row_of_sum};
use crate::conv::cube::{self, ConvPasses, PLACES, input, unread, weights};
use crate::conv::{ConvOptions, End, Geometry};
use crate::feature_pool::FeaturePooling;

/// Whether the kernel takes it.
pub fn takes(x: &Tensor<3>, weights: &Tensor<3>, options: BandOptions) -> bool {
    let size = options.pool.map_or(1, |(size, _)| size);
    let linear = ConvOptions { stride: options.stride, end: End::Linear };
    match x.device().without_autodiff().as_dispatch() {
        DispatchDevice::Cube(device) => {
            let geometry = Geometry::new(x.dims(), weights.dims(), linear);
            size.is_power_of_two() && size <= MAX_SUMS && cube::takes(x, &geometry, device)
        }
        _ => false,
    }
}

/// [`bands`](super::bands) of what the kernel takes.
pub fn bands(x: Tensor<3>, weights: Tensor<3>, bias: Tensor<1>, options: BandOptions) -> Tensor<3> {
    let linear = ConvOptions { stride: options.stride, end: End::Linear };
    let geometry = Geometry::new(x.dims(), weights.dims(), linear);
    Tensor::from_dispatch(<Dispatch as BandsOnGpus>::bands_on_gpus(
        x.into_dispatch(),
        weights.into_dispatch(),
        bias.into_dispatch(),
        Bank { geometry, options },
    ))
}

/// Sizes, and what is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bank {
    /// Of the convolution alone.
    geometry: Geometry,
    options: BandOptions,
}

impl Bank {
    fn pool_size(&self) -> usize {
        self.options.pool.map_or(1, |(size, _)| size)
    }

    fn bands(&self) -> usize {
        self.geometry.filters / self.pool_size()
    }

    fn output_shape(&self) -> Shape {
        Shape::from([self.geometry.batch, self.bands(), self.geometry.windows])
    }

    /// How the gradient before the activation comes to the responses.
    fn route(&self) -> Route {
        match self.options.pool {
            Some((size, FeaturePooling::L2 { .. })) => Route::Shared(size),
            Some((size, FeaturePooling::Max)) if size > 1 => Route::Largest(size),
            _ => Route::Alone,
        }
    }

    /// Of what the logarithm is taken of; the rectifier is content with what it gives.
    fn before_shape(&self) -> Shape {
        match self.options.activation {
            Activation::Log { .. } => self.output_shape(),
            Activation::Relu => Shape::from([1]),
        }
    }

    fn shares_shape(&self) -> Shape {
        let Geometry { batch, filters, windows, .. } = self.geometry;
        match self.route() {
            Route::Shared(_) => Shape::from([batch, filters, windows]),
            _ => Shape::from([1]),
        }
    }

    fn places_shape(&self) -> Shape {
        match self.route() {
            Route::Largest(_) => self.output_shape(),
            _ => Shape::from([1]),
        }
    }

    /// Of a layer of bands, each its own filter: what the bias' gradient is a sum over.
    fn of_bands(&self) -> Geometry {
        Geometry { filters: self.bands(), ..self.geometry }
    }
}

#[backend_extension(Cube, Autodiff)]
pub trait BandsOnGpus: Backend {
    fn bands_on_gpus(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        bank: Bank,
    ) -> FloatTensor<Self>;
}

/// What runs as kernels.
#[backend_extension(Cube, Fusion)]
pub trait BandPasses: Backend {
    #[fusion(dtype = x, shape = bank.output_shape())]
    fn bands_alone(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        bank: Bank,
    ) -> FloatTensor<Self>;

    /// Bands, what the logarithm was taken of, shares and places; of the last three those that the backward pass
    /// asks for.
    #[fusion(meta = bands_and_kept)]
    #[allow(clippy::type_complexity, reason = "the sentence above names them")]
    fn bands_and_what_gradients_need(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        bank: Bank,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, IntTensor<Self>);

    /// The gradient before the activation. `known` is what the logarithm was taken of, or what the rectifier gave.
    #[fusion(dtype = gradient, shape = bank.output_shape())]
    fn before_activation(
        gradient: FloatTensor<Self>,
        known: FloatTensor<Self>,
        bank: Bank,
    ) -> FloatTensor<Self>;

    #[fusion(dtype = x, shape = filters_shape(bank))]
    fn gradient_of_filters(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        places: IntTensor<Self>,
        shares: FloatTensor<Self>,
        bank: Bank,
    ) -> FloatTensor<Self>;

    #[fusion(dtype = weights, shape = waveforms_shape(bank))]
    fn gradient_of_waveforms(
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        places: IntTensor<Self>,
        shares: FloatTensor<Self>,
        bank: Bank,
    ) -> FloatTensor<Self>;
}

fn filters_shape(bank: &Bank) -> Shape {
    Shape::from([bank.geometry.filters, bank.geometry.channels, bank.geometry.length])
}

fn waveforms_shape(bank: &Bank) -> Shape {
    Shape::from([bank.geometry.batch, bank.geometry.channels, bank.geometry.frames])
}

fn bands_and_kept(
    x: &TensorSpec,
    _weights: &TensorSpec,
    _bias: &TensorSpec,
    bank: &Bank,
) -> (TensorSpec, TensorSpec, TensorSpec, TensorSpec) {
    (
        TensorSpec::new(bank.output_shape(), x.dtype),
        TensorSpec::new(bank.before_shape(), x.dtype),
        TensorSpec::new(bank.shares_shape(), x.dtype),
        TensorSpec::new(bank.places_shape(), PLACES),
    )
}

impl BandPasses for CubeBackend {
    fn bands_alone(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        bank: Bank,
    ) -> FloatTensor<Self> {
        forward([x, weights, bias], &bank, false).0
    }

    fn bands_and_what_gradients_need(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        bank: Bank,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, IntTensor<Self>) {
        forward([x, weights, bias], &bank, true)
    }

    fn before_activation(
        gradient: FloatTensor<Self>,
        known: FloatTensor<Self>,
        bank: Bank,
    ) -> FloatTensor<Self> {
        let [gradient, known] = [gradient, known].map(into_contiguous);
        let client = gradient.client.clone();
        let shape = bank.output_shape();
        let count = shape.num_elements();
        let out =
            empty_device_dtype(client.clone(), gradient.device.clone(), shape, gradient.dtype);
        let units = CubeDim::new(&client, count);
        let (is_log, compression) = as_told(bank.options.activation);
        slope::launch(
            &client,
            calculate_cube_count_elemwise(&client, count, units),
            units,
            gradient.into_buffer_arg(),
            known.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            compression,
            is_log,
        );
        out
    }

    fn gradient_of_filters(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        places: IntTensor<Self>,
        shares: FloatTensor<Self>,
        bank: Bank,
    ) -> FloatTensor<Self> {
        weights::of_weights([x, gradient, places, shares], &bank.geometry, bank.route())
    }

    fn gradient_of_waveforms(
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        places: IntTensor<Self>,
        shares: FloatTensor<Self>,
        bank: Bank,
    ) -> FloatTensor<Self> {
        input::of_input([weights, gradient, places, shares], &bank.geometry, bank.route())
    }
}

impl BandsOnGpus for Cube {
    fn bands_on_gpus(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        bank: Bank,
    ) -> FloatTensor<Self> {
        Self::bands_alone(x, weights, bias, bank)
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct Kept {
    x: FloatTensor<Cube>,
    weights: FloatTensor<Cube>,
    /// See [`BandPasses::before_activation`].
    known: FloatTensor<Cube>,
    shares: FloatTensor<Cube>,
    places: IntTensor<Cube>,
    bank: Bank,
}

impl<C: CheckpointStrategy> BandsOnGpus for Autodiff<Cube, C> {
    fn bands_on_gpus(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        bank: Bank,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Bands;

        impl Backward<Cube, 3> for Bands {
            type State = Kept;

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                gradients: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let [of_x, of_weights, of_bias] = ops.parents;
                let Kept { x, weights, known, shares, places, bank } = ops.state;
                let arriving = gradients.consume::<Cube>(&ops.node);
                let arriving = Cube::before_activation(arriving, known, bank);
                if let Some(node) = of_weights {
                    let gradient = Cube::gradient_of_filters(
                        x,
                        arriving.clone(),
                        places.clone(),
                        shares.clone(),
                        bank,
                    );
                    gradients.register::<Cube>(node.id, gradient);
                }
                if let Some(node) = of_bias {
                    let gradient =
                        Cube::gradient_of_bias(arriving.clone(), places.clone(), bank.of_bands());
                    gradients.register::<Cube>(node.id, gradient);
                }
                if let Some(node) = of_x {
                    let gradient =
                        Cube::gradient_of_waveforms(weights, arriving, places, shares, bank);
                    gradients.register::<Cube>(node.id, gradient);
                }
            }
        }

        let nodes = [x.node(), weights.node(), bias.node()];
        let (x, weights, bias) =
            (x.into_primitive(), weights.into_primitive(), bias.into_primitive());
        match Bands.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let (out, before, shares, places) =
                    Cube::bands_and_what_gradients_need(x.clone(), weights.clone(), bias, bank);
                let known = match bank.options.activation {
                    Activation::Log { .. } => before,
                    Activation::Relu => out.clone(),
                };
                step.finish(Kept { x, weights, known, shares, places, bank }, out)
            }
            OpsKind::UnTracked(step) => step.finish(Cube::bands_alone(x, weights, bias, bank)),
        }
    }
}

/// Whether it is the logarithm, and its factor.
fn as_told(activation: Activation) -> (bool, f32) {
    match activation {
        Activation::Relu => (false, 0.0),
        Activation::Log { compression } => (true, compression),
    }
}

/// What the kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Layout {
    windows: Windows,
    route: Route,
    pool: usize,
    is_log: bool,
    with_kept: bool,
}

fn forward(
    [x, weights, bias]: [CubeTensor; 3],
    bank: &Bank,
    with_kept: bool,
) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
    let [x, weights, bias] = [x, weights, bias].map(into_contiguous);
    let Geometry { batch, channels, frames, filters, length, stride, windows, .. } = bank.geometry;
    let client = x.client.clone();
    let empty = |shape, dtype| empty_device_dtype(client.clone(), x.device.clone(), shape, dtype);
    let kept = |shape, dtype| if with_kept { empty(shape, dtype) } else { unread(&x, dtype) };
    let out = empty(bank.output_shape(), x.dtype);
    let before = kept(bank.before_shape(), x.dtype);
    let shares = kept(bank.shares_shape(), x.dtype);
    let places = kept(bank.places_shape(), PLACES);
    let pool = bank.pool_size();
    let tile = Tile::new(filters, 4).with_groups_of_rows(pool);
    let cubes = tile.cubes(filters, batch * windows);
    let floor = match bank.options.pool {
        Some((_, FeaturePooling::L2 { floor })) => floor,
        _ => 0.0,
    };
    let (is_log, compression) = as_told(bank.options.activation);
    let windows_of = Windows { tile, length, stride };
    product::launch(
        &client,
        calculate_cube_count_elemwise(&client, cubes, CubeDim::new_single()),
        CubeDim::new_1d(UNITS as u32),
        x.into_buffer_arg(),
        weights.into_buffer_arg(),
        bias.into_buffer_arg(),
        out.clone().into_buffer_arg(),
        before.clone().into_buffer_arg(),
        shares.clone().into_buffer_arg(),
        places.clone().into_buffer_arg(),
        batch,
        channels,
        frames,
        filters,
        windows,
        floor,
        compression,
        Layout { windows: windows_of, route: bank.route(), pool, is_log, with_kept },
    );
    (out, before, shares, places)
}

/// Rows are filters, columns the windows of all items; a unit holds whole pools.
#[cube(launch)]
fn product(
    x: &[f32],
    weights: &[f32],
    bias: &[f32],
    out: &mut [f32],
    before: &mut [f32],
    shares: &mut [f32],
    places: &mut [i32],
    batch: usize,
    channels: usize,
    frames: usize,
    filters: usize,
    windows: usize,
    floor: f32,
    compression: f32,
    #[comptime] layout: Layout,
) {
    let tile = comptime!(layout.windows.tile);
    let pool = comptime!(layout.pool);
    let columns = batch * windows;
    let side_by_side = columns.div_ceil(comptime!(tile.width()));
    // Cubes beyond the last have filters that there are not: zeros come in, and nothing goes out.
    let first_filter = CUBE_POS / side_by_side * comptime!(tile.height());
    let first_column = CUBE_POS % side_by_side * comptime!(tile.width());
    let sums = products(
        x,
        weights,
        first_filter,
        first_column,
        columns,
        windows,
        windows,
        channels,
        frames,
        filters,
        comptime!(layout.windows),
    );

    #[unroll]
    for group in 0..comptime!(tile.rows / pool) {
        let filter = first_filter + row_of_sum(comptime!(group * pool), tile);
        if filter < filters {
            let band = filter / pool;
            let bias = bias[band];
            #[unroll]
            for j in 0..comptime!(tile.columns) {
                let column = first_column + column_of_sum(j, tile);
                if column < columns {
                    let (item, window) = (column / windows, column % windows);
                    let at = (item * (filters / pool) + band) * windows + window;
                    let sum = comptime!(group * pool * tile.columns + j);
                    let mut value = sums[sum];
                    if comptime!(matches!(layout.route, Route::Shared(_))) {
                        value = floor;
                        #[unroll]
                        for i in 0..pool {
                            let response = sums[sum + i * comptime!(tile.columns)];
                            value += response * response;
                        }
                        value = value.sqrt();
                        if comptime!(layout.with_kept) {
                            #[unroll]
                            for i in 0..pool {
                                let at = (item * filters + filter + i) * windows + window;
                                shares[at] = sums[sum + i * comptime!(tile.columns)] / value;
                            }
                        }
                    }
                    if comptime!(matches!(layout.route, Route::Largest(_))) {
                        // The first of the largest, or the last that is no number.
                        let mut place = 0i32.runtime();
                        #[unroll]
                        for i in 1..pool {
                            let response = sums[sum + i * comptime!(tile.columns)];
                            if response > value || response.is_nan() {
                                value = response;
                                place = comptime!(i as i32).runtime();
                            }
                        }
                        if comptime!(layout.with_kept) {
                            places[at] = place;
                        }
                    }
                    value += bias;
                    if comptime!(layout.is_log) {
                        if comptime!(layout.with_kept) {
                            before[at] = value;
                        }
                        out[at] = (compression * value * value).log1p();
                    } else {
                        let mut rectified = value;
                        if value < 0.0 {
                            rectified = 0.0;
                        }
                        out[at] = rectified;
                    }
                }
            }
        }
    }
}

#[cube(launch)]
fn slope(
    gradient: &[f32],
    known: &[f32],
    out: &mut [f32],
    compression: f32,
    #[comptime] is_log: bool,
) {
    if ABSOLUTE_POS < out.len() {
        let (arriving, z) = (gradient[ABSOLUTE_POS], known[ABSOLUTE_POS]);
        let mut value = 0.0f32;
        if comptime!(is_log) {
            let scaled = compression * z;
            value = arriving * 2.0 * scaled / (1.0 + scaled * z);
        } else if z > 0.0 || z.is_nan() {
            value = arriving;
        }
        out[ABSOLUTE_POS] = value;
    }
}
