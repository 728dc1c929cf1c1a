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

use super::gradients::{self, OutputGradient};
use super::packed::{Packed, cached};
use super::product::forward;
use super::{Geometry, bfloat16, winograd};
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

/// Rounded to the precision of the geometry.
fn rounded(mut x: FlexTensor, geometry: &Geometry) -> FlexTensor {
    if geometry.precision == Precision::Bfloat16 {
        bfloat16::round(x.storage_mut::<f32>());
    }
    x
}

/// The input in the form that the forward pass reads: [transformed](winograd::input) if the geometry has a
/// [fast convolution](Geometry::winograd).
fn prepared(x: &FlexTensor, geometry: &Geometry) -> FlexTensor {
    let Some(tiled) = geometry.winograd() else { return x.clone() };
    let values = winograd::input(geometry, &tiled, x.storage::<f32>(), Width::best());
    let shape = [values.len() / tiled.item(), tiled.frames, tiled.channels];
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The output and, if `with_argmax` and there is a rectifier, the index of the maximum of each pool.
fn run(
    x: &FlexTensor,
    packed: &Packed,
    bias: FlexTensor,
    geometry: &Geometry,
    with_argmax: bool,
) -> (FlexTensor, Vec<u32>) {
    let size = geometry.batch * geometry.output_item();
    let argmax_count = if with_argmax && geometry.rectify { size } else { 0 };
    let (mut out, mut argmax) = (Vec::with_capacity(size), Vec::with_capacity(argmax_count));
    let bias = bias.to_contiguous();
    let (x, bias) = (x.storage::<f32>(), bias.storage::<f32>());
    let argmax_slots = &mut argmax.spare_capacity_mut()[..argmax_count];
    forward(geometry, x, packed, bias, &mut out.spare_capacity_mut()[..size], argmax_slots);
    // SAFETY: `forward` writes every value.
    unsafe {
        out.set_len(size);
        argmax.set_len(argmax_count);
    }
    let shape = [geometry.batch, geometry.pools, geometry.filters];
    (FlexTensor::from_data(TensorData::new(out, shape)).transpose(1, 2), argmax)
}

impl ConvOps for Flex {
    fn conv(
        x: FlexTensor,
        weights: FlexTensor,
        bias: FlexTensor,
        geometry: Geometry,
    ) -> FlexTensor {
        let x = prepared(&rounded(interleaved(x), &geometry), &geometry);
        run(&x, &cached(weights, &geometry), bias, &geometry, false).0
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct Saved {
    /// What [`gradients::weights`] reads.
    x: FlexTensor,
    weights: FlexTensor,
    argmax: Vec<u32>,
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
            type State = Saved;

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                gradients: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let [x_node, weights_node, bias_node] = ops.parents;
                let Saved { x, weights, argmax, geometry } = ops.state;
                let gradient =
                    rounded(interleaved(gradients.consume::<Flex>(&ops.node)), &geometry);
                let gradient =
                    OutputGradient { values: gradient.storage::<f32>(), argmax: &argmax };
                let width = Width::best();
                let of = |values: Vec<f32>, shape: &[usize]| {
                    FlexTensor::from_data(TensorData::new(values, shape.to_vec()))
                };
                let Geometry { batch, channels, frames, filters, length, .. } = geometry;
                if weights_node.is_some() || bias_node.is_some() {
                    let (weights, bias) =
                        gradients::weights(&geometry, x.storage::<f32>(), gradient, width);
                    if let Some(node) = weights_node {
                        let weights = of(weights, &[filters, channels, length]);
                        gradients.register::<Flex>(node.id, weights);
                    }
                    if let Some(node) = bias_node {
                        gradients.register::<Flex>(node.id, of(bias, &[filters]));
                    }
                }
                if let Some(node) = x_node {
                    let x = gradients::input(&geometry, weights.storage::<f32>(), gradient, width);
                    let x = of(x, &[batch, frames, channels]).transpose(1, 2);
                    gradients.register::<Flex>(node.id, x);
                }
            }
        }

        let nodes = [x.node(), weights.node(), bias.node()];
        let (x, weights, bias) =
            (x.into_primitive(), weights.into_primitive(), bias.into_primitive());
        let x = rounded(interleaved(x), &geometry);
        let weights = rounded(weights.to_contiguous(), &geometry);
        // Trained weights change in every step, so the packed ones are not cached.
        let packed = Packed::new(weights.storage::<f32>(), &geometry, Width::best());
        match Conv.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let input = prepared(&x, &geometry);
                let (out, argmax) = run(&input, &packed, bias, &geometry, true);
                let x = if geometry.winograd_gradient().is_some() { input } else { x };
                step.finish(Saved { x, weights, argmax, geometry }, out)
            }
            OpsKind::UnTracked(step) => {
                let x = prepared(&x, &geometry);
                step.finish(run(&x, &packed, bias, &geometry, false).0)
            }
        }
    }
}
