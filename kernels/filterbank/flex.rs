//! The energies on the CPU as an operation with gradients.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::FlexTensor;

use super::geometry::Geometry;
use super::spectral::{self, Wanted};
use crate::simd::Width;

#[backend_extension(Flex, Autodiff)]
pub trait FilterbankOps: Backend {
    fn band_energies(
        x: FloatTensor<Self>,
        taps: FloatTensor<Self>,
        pool: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;
}

pub fn band_energies(
    x: Tensor<2>,
    taps: Tensor<3>,
    pool: Tensor<2>,
    geometry: Geometry,
) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as FilterbankOps>::band_energies(
        x.into_dispatch(),
        taps.into_dispatch(),
        pool.into_dispatch(),
        geometry,
    ))
}

impl FilterbankOps for Flex {
    fn band_energies(
        x: FlexTensor,
        taps: FlexTensor,
        pool: FlexTensor,
        geometry: Geometry,
    ) -> FlexTensor {
        let [x, taps, pool] = [x, taps, pool].map(|tensor| tensor.to_contiguous());
        let (x, taps, pool) = (x.storage::<f32>(), taps.storage::<f32>(), pool.storage::<f32>());
        let out = spectral::forward(&geometry, x, taps, pool, Width::best());
        // The layout that the convolutions of a network read.
        let shape = [geometry.batch, geometry.frames(), geometry.filters];
        FlexTensor::from_data(TensorData::new(out, shape)).transpose(1, 2)
    }
}

impl<C: CheckpointStrategy> FilterbankOps for Autodiff<Flex, C> {
    fn band_energies(
        x: FloatTensor<Self>,
        taps: FloatTensor<Self>,
        pool: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct BandEnergies;

        impl Backward<Flex, 3> for BandEnergies {
            /// Waveforms, taps and windows.
            type State = ([FlexTensor; 3], Geometry);

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                gradients: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let [x_node, taps_node, pool_node] = ops.parents;
                let ([x, taps, pool], geometry) = ops.state;
                let gradient = gradients.consume::<Flex>(&ops.node).transpose(1, 2).to_contiguous();
                let wanted = Wanted {
                    x: x_node.is_some(),
                    taps: taps_node.is_some(),
                    pool: pool_node.is_some(),
                };
                let inputs = (x.storage::<f32>(), taps.storage::<f32>(), pool.storage::<f32>());
                let found = spectral::backward(
                    &geometry,
                    inputs,
                    gradient.storage::<f32>(),
                    wanted,
                    Width::best(),
                );
                let Geometry { batch, samples, filters, parts, taps, window, .. } = geometry;
                let parents = [x_node, taps_node, pool_node];
                let values = [found.x, found.taps, found.pool];
                let shapes =
                    [vec![batch, samples], vec![filters, parts, taps], vec![filters, window]];
                for ((node, values), shape) in parents.into_iter().zip(values).zip(shapes) {
                    if let (Some(node), Some(values)) = (node, values) {
                        let values = FlexTensor::from_data(TensorData::new(values, shape));
                        gradients.register::<Flex>(node.id, values);
                    }
                }
            }
        }

        let nodes = [x.node(), taps.node(), pool.node()];
        let inputs = [x, taps, pool].map(|tensor| tensor.into_primitive().to_contiguous());
        let [x, taps, pool] = inputs.clone();
        let output = Flex::band_energies(x, taps, pool, geometry);
        match BandEnergies.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((inputs, geometry), output),
            OpsKind::UnTracked(step) => step.finish(output),
        }
    }
}
