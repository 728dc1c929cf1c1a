//! Energies of given responses on the CPU: one pass forward and one backward over interleaved responses.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::Response;
use super::geometry::Geometry;
use crate::simd::{Kernel, Simd, Width};

#[backend_extension(Flex, Autodiff)]
pub trait PooledOps: Backend {
    fn pooled_energies(
        responses: FloatTensor<Self>,
        pool: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;
}

/// Energies `[batch, filter, frame]` of responses `[batch, filter * part, response]`.
pub fn pooled_energies(responses: Tensor<3>, pool: Tensor<2>, geometry: Geometry) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as PooledOps>::pooled_energies(
        responses.into_dispatch(),
        pool.into_dispatch(),
        geometry,
    ))
}

/// The last two dimensions of a tensor exchanged, in the order of their memory.
fn turned(tensor: FlexTensor) -> FlexTensor {
    let dims = tensor.shape().num_dims();
    tensor.transpose(dims - 2, dims - 1).to_contiguous()
}

impl PooledOps for Flex {
    fn pooled_energies(responses: FlexTensor, pool: FlexTensor, geometry: Geometry) -> FlexTensor {
        let (responses, pool) = (turned(responses), turned(pool));
        let (per_item, frames) = (geometry.item(), geometry.frames());
        let mut out = vec![0.0; geometry.batch * frames * geometry.filters];
        out.par_chunks_exact_mut(frames * geometry.filters)
            .zip(responses.storage::<f32>().par_chunks_exact(per_item))
            .for_each(|(out, responses)| {
                let pool = pool.storage::<f32>();
                Width::best().run(Forward { geometry: &geometry, responses, pool, out });
            });
        let shape = [geometry.batch, frames, geometry.filters];
        FlexTensor::from_data(TensorData::new(out, shape)).transpose(1, 2)
    }
}

impl<C: CheckpointStrategy> PooledOps for Autodiff<Flex, C> {
    fn pooled_energies(
        responses: FloatTensor<Self>,
        pool: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct PooledEnergies;

        impl Backward<Flex, 2> for PooledEnergies {
            /// Responses and windows.
            type State = ([FlexTensor; 2], Geometry);

            fn backward(
                self,
                ops: Ops<Self::State, 2>,
                gradients: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let ([responses, pool], geometry) = ops.state;
                let gradient = turned(gradients.consume::<Flex>(&ops.node));
                let [of_responses, of_pool] = backward(&geometry, responses, pool, gradient);
                let [responses, pool] = ops.parents;
                for (node, values) in [(responses, of_responses), (pool, of_pool)] {
                    if let Some(node) = node {
                        gradients.register::<Flex>(node.id, values);
                    }
                }
            }
        }

        let nodes = [responses.node(), pool.node()];
        let inputs = [responses.into_primitive(), pool.into_primitive()];
        let [responses, pool] = inputs.clone();
        let output = Flex::pooled_energies(responses, pool, geometry);
        match PooledEnergies.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((inputs, geometry), output),
            OpsKind::UnTracked(step) => step.finish(output),
        }
    }
}

/// The gradients of responses and windows.
fn backward(
    geometry: &Geometry,
    responses: FlexTensor,
    pool: FlexTensor,
    gradient: FlexTensor,
) -> [FlexTensor; 2] {
    let (responses, pool) = (turned(responses), turned(pool));
    let Geometry { batch, filters, parts, window, .. } = *geometry;
    let (per_item, frames) = (geometry.item(), geometry.frames());
    let mut of_responses = vec![0.0; batch * per_item];
    // One for each waveform, summed in a fixed order.
    let mut of_pool = vec![0.0; batch * window * filters];
    of_responses
        .par_chunks_exact_mut(per_item)
        .zip(of_pool.par_chunks_exact_mut(window * filters))
        .zip(responses.storage::<f32>().par_chunks_exact(per_item))
        .zip(gradient.storage::<f32>().par_chunks_exact(frames * filters))
        .for_each(|(((of_responses, of_pool), responses), gradient)| {
            let pool = pool.storage::<f32>();
            let own = Back { geometry, responses, pool, gradient, of_responses, of_pool };
            Width::best().run(own);
        });
    let (sum, others) = of_pool.split_at_mut(window * filters);
    for other in others.chunks_exact(window * filters) {
        for (sum, value) in sum.iter_mut().zip(other) {
            *sum += value;
        }
    }
    let sum = sum.to_vec();
    let tensor = |values: Vec<f32>, shape: &[usize]| {
        FlexTensor::from_data(TensorData::new(values, shape.to_vec()))
    };
    [
        tensor(of_responses, &[batch, geometry.responses(), filters * parts]).transpose(1, 2),
        tensor(sum, &[window, filters]).transpose(0, 1),
    ]
}

/// What is pooled: `[response, filter]` of responses `[response, filter, part]`.
#[inline(always)]
fn energies(geometry: &Geometry, responses: &[f32]) -> Vec<f32> {
    match (geometry.parts, geometry.options.response) {
        (2, _) => responses.chunks_exact(2).map(|u| u[0] * u[0] + u[1] * u[1]).collect(),
        (_, Response::Squared) => responses.iter().map(|u| u * u).collect(),
        (_, Response::Absolute) => responses.iter().map(|u| u.abs()).collect(),
    }
}

/// The energies of one waveform.
struct Forward<'a> {
    geometry: &'a Geometry,
    /// `[response, filter, part]`
    responses: &'a [f32],
    /// `[value, filter]`
    pool: &'a [f32],
    /// `[frame, filter]`
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (geometry, filters) = (self.geometry, self.geometry.filters);
        let energies = energies(geometry, self.responses);
        for (frame, out) in self.out.chunks_exact_mut(filters).enumerate() {
            let inside = geometry.inside(frame);
            let first = frame * geometry.hop() + inside.start - geometry.before_window();
            let rows = energies[first * filters..].chunks_exact(filters);
            let pool =
                self.pool[inside.start * filters..inside.end * filters].chunks_exact(filters);
            for (energies, weights) in rows.zip(pool) {
                for ((out, e), w) in out.iter_mut().zip(energies).zip(weights) {
                    *out += e * w;
                }
            }
        }
    }
}

/// The gradients of one waveform.
struct Back<'a> {
    geometry: &'a Geometry,
    responses: &'a [f32],
    pool: &'a [f32],
    /// `[frame, filter]`
    gradient: &'a [f32],
    of_responses: &'a mut [f32],
    of_pool: &'a mut [f32],
}

impl Kernel for Back<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (geometry, filters) = (self.geometry, self.geometry.filters);
        let energies = energies(geometry, self.responses);
        let mut slopes = vec![0.0; energies.len()];
        for (frame, gradient) in self.gradient.chunks_exact(filters).enumerate() {
            let inside = geometry.inside(frame);
            let first = frame * geometry.hop() + inside.start - geometry.before_window();
            let own = inside.start * filters..inside.end * filters;
            let pool = self.pool[own.clone()].chunks_exact(filters);
            let of_pool = self.of_pool[own].chunks_exact_mut(filters);
            let energies = energies[first * filters..].chunks_exact(filters);
            let slopes = slopes[first * filters..].chunks_exact_mut(filters);
            for ((weights, of_weights), (energies, slopes)) in
                pool.zip(of_pool).zip(energies.zip(slopes))
            {
                for at in 0..filters {
                    slopes[at] += gradient[at] * weights[at];
                    of_weights[at] += gradient[at] * energies[at];
                }
            }
        }
        let parts = geometry.parts;
        let rows =
            self.of_responses.chunks_exact_mut(parts).zip(self.responses.chunks_exact(parts));
        for ((to, u), slope) in rows.zip(slopes) {
            for (to, u) in to.iter_mut().zip(u) {
                *to = match geometry.options.response {
                    Response::Squared => 2.0 * slope * u,
                    // 0 at 0, as in the composite.
                    Response::Absolute if *u == 0.0 => 0.0,
                    Response::Absolute => slope * u.signum(),
                };
            }
        }
    }
}
