//! The convolution on the CPU.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::FlexTensor;

use super::gradients::{self, Arriving};
use super::packed::{Packed, remembered};
use super::product::forward;
use super::{Geometry, bfloat16};
use crate::precision::Precision;
use crate::simd::Width;

#[backend_extension(Flex, Autodiff)]
pub trait ConvOps: Backend {
    fn conv(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;
}

pub fn conv(x: Tensor<3>, weights: Tensor<3>, bias: Tensor<1>, geometry: Geometry) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as ConvOps>::conv(
        x.into_dispatch(),
        weights.into_dispatch(),
        bias.into_dispatch(),
        geometry,
    ))
}

/// `[batch, channel, frame]` with its channels interleaved.
fn interleaved(x: FlexTensor) -> FlexTensor {
    x.transpose(1, 2).to_contiguous()
}

/// As precise as the geometry asks.
fn rounded(mut x: FlexTensor, geometry: &Geometry) -> FlexTensor {
    if geometry.precision == Precision::Bfloat16 {
        bfloat16::round(x.storage_mut::<f32>());
    }
    x
}

/// Convolves with packed weights, and says which window of each pool was the largest if `places` are asked for.
fn run(
    x: &FlexTensor,
    packed: &Packed,
    bias: FlexTensor,
    geometry: &Geometry,
    with_places: bool,
) -> (FlexTensor, Vec<u32>) {
    let size = geometry.batch * geometry.output_item();
    let place_count = if with_places && geometry.rectify { size } else { 0 };
    let (mut out, mut places) = (Vec::with_capacity(size), Vec::with_capacity(place_count));
    let bias = bias.to_contiguous();
    let (x, bias) = (x.storage::<f32>(), bias.storage::<f32>());
    let asked = (place_count > 0).then(|| &mut places.spare_capacity_mut()[..place_count]);
    forward(geometry, x, packed, bias, &mut out.spare_capacity_mut()[..size], asked);
    // SAFETY: reserved, and `forward` writes each of them.
    unsafe {
        out.set_len(size);
        places.set_len(place_count);
    }
    let shape = [geometry.batch, geometry.pools, geometry.filters];
    (FlexTensor::from_data(TensorData::new(out, shape)).transpose(1, 2), places)
}

impl ConvOps for Flex {
    fn conv(
        x: FlexTensor,
        weights: FlexTensor,
        bias: FlexTensor,
        geometry: Geometry,
    ) -> FlexTensor {
        let x = rounded(interleaved(x), &geometry);
        run(&x, &remembered(weights, &geometry), bias, &geometry, false).0
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct Kept {
    /// `[batch, frame, channel]`
    x: FlexTensor,
    weights: FlexTensor,
    places: Vec<u32>,
    geometry: Geometry,
}

impl<C: CheckpointStrategy> ConvOps for Autodiff<Flex, C> {
    fn conv(
        x: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Conv;

        impl Backward<Flex, 3> for Conv {
            type State = Kept;

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                gradients: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let [of_x, of_weights, of_bias] = ops.parents;
                let Kept { x, weights, places, geometry } = ops.state;
                let arriving =
                    rounded(interleaved(gradients.consume::<Flex>(&ops.node)), &geometry);
                let arriving = Arriving { values: arriving.storage::<f32>(), places: &places };
                let width = Width::best();
                let of = |values: Vec<f32>, shape: &[usize]| {
                    FlexTensor::from_data(TensorData::new(values, shape.to_vec()))
                };
                let Geometry { batch, channels, frames, filters, length, .. } = geometry;
                if of_weights.is_some() || of_bias.is_some() {
                    let (weights, bias) =
                        gradients::weights(&geometry, x.storage::<f32>(), arriving, width);
                    if let Some(node) = of_weights {
                        gradients
                            .register::<Flex>(node.id, of(weights, &[filters, channels, length]));
                    }
                    if let Some(node) = of_bias {
                        gradients.register::<Flex>(node.id, of(bias, &[filters]));
                    }
                }
                if let Some(node) = of_x {
                    let x = gradients::input(&geometry, weights.storage::<f32>(), arriving, width);
                    gradients.register::<Flex>(
                        node.id,
                        of(x, &[batch, frames, channels]).transpose(1, 2),
                    );
                }
            }
        }

        let nodes = [x.node(), weights.node(), bias.node()];
        let (x, weights, bias) =
            (x.into_primitive(), weights.into_primitive(), bias.into_primitive());
        let x = rounded(interleaved(x), &geometry);
        let weights = rounded(weights.to_contiguous(), &geometry);
        // Weights that learn are others in the next step.
        let packed = Packed::new(weights.storage::<f32>(), &geometry, Width::best());
        match Conv.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let (out, places) = run(&x, &packed, bias, &geometry, true);
                step.finish(Kept { x, weights, places, geometry }, out)
            }
            OpsKind::UnTracked(step) => step.finish(run(&x, &packed, bias, &geometry, false).0),
        }
    }
}
