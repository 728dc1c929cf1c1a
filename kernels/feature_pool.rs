//! Pooling over neighbouring filters at every frame.
//!
//! ```text
//! y[b, g, t] = sqrt(floor + sum_i x[b, g size + i, t]^2)      L2
//! y[b, g, t] = max_i x[b, g size + i, t]                      maximum
//! ```
//!
//! [`feature_pool`] has a kernel for the CPU: one pass forward and one backward over interleaved filters. Other devices run
//! [`feature_pool_composite`]; on GPUs, common sizes are part of the kernel of a filterbank ([`bands`](crate::bands)).

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchDevice, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// The reduction of a group of filters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FeaturePooling {
    /// The L2 norm; `floor` is added to the sum of squares, which keeps the derivative finite at 0.
    #[allow(missing_docs, reason = "the sentence above names it")]
    L2 { floor: f32 },
    /// The maximum; the first of equal maxima receives the gradient.
    Max,
}

/// Pools every `size` neighbouring filters, as defined in the [module documentation](self).
///
/// # Shapes
/// - `x`: `[batch, filter, frame]`
/// - returns: `[batch, filter / size, frame]`
///
/// # Panics
/// If `size` is 0 or does not divide the number of filters.
pub fn feature_pool(x: Tensor<3>, size: usize, pooling: FeaturePooling) -> Tensor<3> {
    check(x.dims()[1], size);
    match x.device().without_autodiff().as_dispatch() {
        DispatchDevice::Flex(_) => Tensor::from_dispatch(
            <Dispatch as FeaturePoolOps>::feature_pool(x.into_dispatch(), size, pooling),
        ),
        _ => feature_pool_composite(x, size, pooling),
    }
}

/// [`feature_pool`] in plain tensor operations.
///
/// # Panics
/// As [`feature_pool`].
pub fn feature_pool_composite(x: Tensor<3>, size: usize, pooling: FeaturePooling) -> Tensor<3> {
    let [batch, filters, frames] = x.dims();
    check(filters, size);
    let groups = x.reshape([batch, filters / size, size, frames]);
    let pooled = match pooling {
        FeaturePooling::L2 { floor } => groups.square().sum_dim(2).add_scalar(floor).sqrt(),
        FeaturePooling::Max => groups.max_dim(2),
    };
    pooled.reshape([batch, filters / size, frames])
}

fn check(filters: usize, size: usize) {
    assert!(
        size > 0 && filters.is_multiple_of(size),
        "{filters} filters cannot be divided into groups of {size}"
    );
}

/// [`feature_pool`] on the CPU.
#[backend_extension(Flex, Autodiff)]
pub trait FeaturePoolOps: Backend {
    /// See [`feature_pool`]; the caller checks the size.
    fn feature_pool(
        x: FloatTensor<Self>,
        size: usize,
        pooling: FeaturePooling,
    ) -> FloatTensor<Self>;
}

/// Groups per task.
const GROUPS: usize = 4096;

/// `[batch, filter, frame]` with filters interleaved in memory.
fn interleaved(x: FlexTensor) -> FlexTensor {
    x.transpose(1, 2).to_contiguous()
}

/// A tensor `[batch, filter, frame]` of values in the order `[batch, frame, filter]`.
fn from_interleaved(values: Vec<f32>, shape: [usize; 3]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape)).transpose(1, 2)
}

/// Calls a function with the size as a constant if it is a common one, so that loops over groups are unrolled.
macro_rules! sized {
    ($size:expr, $function:ident($($argument:expr),*)) => {
        match $size {
            2 => $function::<2>($($argument),*, 2),
            4 => $function::<4>($($argument),*, 4),
            8 => $function::<8>($($argument),*, 8),
            size => $function::<0>($($argument),*, size),
        }
    };
}

/// `SIZE`, or `size` if `SIZE` is 0: not known at compile time.
#[inline(always)]
fn known<const SIZE: usize>(size: usize) -> usize {
    if SIZE == 0 { size } else { SIZE }
}

fn pool<const SIZE: usize>(x: &[f32], pooling: FeaturePooling, out: &mut [f32], size: usize) {
    let size = known::<SIZE>(size);
    for (out, group) in out.iter_mut().zip(x.chunks_exact(size)) {
        *out = match pooling {
            FeaturePooling::L2 { floor } => {
                (group.iter().map(|x| x * x).sum::<f32>() + floor).sqrt()
            }
            FeaturePooling::Max => {
                let above = |best: f32, x: &f32| if *x > best || x.is_nan() { *x } else { best };
                group[1..].iter().fold(group[0], above)
            }
        };
    }
}

fn spread<const SIZE: usize>(
    x: &[f32],
    (y, gradient): (&[f32], &[f32]),
    pooling: FeaturePooling,
    out: &mut [f32],
    size: usize,
) {
    let size = known::<SIZE>(size);
    let groups = out.chunks_exact_mut(size).zip(x.chunks_exact(size));
    for ((out, group), (y, gradient)) in groups.zip(y.iter().zip(gradient)) {
        match pooling {
            FeaturePooling::L2 { .. } => {
                let slope = gradient / y;
                for (out, x) in out.iter_mut().zip(group) {
                    *out = slope * x;
                }
            }
            FeaturePooling::Max => {
                if let Some(place) = group.iter().position(|x| x == y) {
                    out[place] = *gradient;
                }
            }
        }
    }
}

impl FeaturePoolOps for Flex {
    fn feature_pool(x: FlexTensor, size: usize, pooling: FeaturePooling) -> FlexTensor {
        let [batch, filters, frames] = x.shape().dims();
        let x = interleaved(x);
        let mut out = vec![0.0; batch * frames * (filters / size)];
        let parts = x.storage::<f32>().par_chunks(GROUPS * size);
        out.par_chunks_mut(GROUPS)
            .zip(parts)
            .for_each(|(out, x)| sized!(size, pool(x, pooling, out)));
        from_interleaved(out, [batch, frames, filters / size])
    }
}

impl<C: CheckpointStrategy> FeaturePoolOps for Autodiff<Flex, C> {
    fn feature_pool(
        x: FloatTensor<Self>,
        size: usize,
        pooling: FeaturePooling,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct FeaturePool;

        impl Backward<Flex, 1> for FeaturePool {
            /// Input, output, group size and pooling.
            type State = (FlexTensor, FlexTensor, usize, FeaturePooling);

            fn backward(
                self,
                ops: Ops<Self::State, 1>,
                gradients: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                unary::<Flex, _>(ops.parents, ops.node, gradients, |gradient| {
                    let (x, y, size, pooling) = ops.state;
                    let [batch, filters, frames] = x.shape().dims();
                    let [x, y, gradient] = [x, y, gradient].map(interleaved);
                    let mut out = vec![0.0; batch * frames * filters];
                    let parts = x.storage::<f32>().par_chunks(GROUPS * size);
                    let ys = y.storage::<f32>().par_chunks(GROUPS);
                    let gradients = gradient.storage::<f32>().par_chunks(GROUPS);
                    out.par_chunks_mut(GROUPS * size).zip(parts).zip(ys.zip(gradients)).for_each(
                        |((out, x), arriving)| sized!(size, spread(x, arriving, pooling, out)),
                    );
                    from_interleaved(out, [batch, frames, filters])
                });
            }
        }

        let node = x.node();
        let x = x.into_primitive();
        let y = Flex::feature_pool(x.clone(), size, pooling);
        match FeaturePool.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((x, y.clone(), size, pooling), y),
            OpsKind::UnTracked(step) => step.finish(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::testing::{devices, noise, values};

    const POOLINGS: [FeaturePooling; 2] =
        [FeaturePooling::L2 { floor: 1e-12 }, FeaturePooling::Max];

    fn close(actual: &[f32], expected: &[f32]) {
        assert_eq!(actual.len(), expected.len());
        for (actual, expected) in actual.iter().zip(expected) {
            assert!((actual - expected).abs() <= 2e-6, "{actual}, expected {expected}");
        }
    }

    #[test]
    fn values_equal_the_definition() {
        let (batch, frames) = (2, 7);
        for size in [1, 2, 3, 4, 8] {
            let filters = 3 * size;
            let x = noise(5, batch * filters * frames);
            let mut expected = [Vec::new(), Vec::new()];
            for b in 0..batch {
                for g in 0..3 {
                    for t in 0..frames {
                        let group = (0..size).map(|i| x[(b * filters + g * size + i) * frames + t]);
                        let squares: f64 = group.clone().map(|x| f64::from(x) * f64::from(x)).sum();
                        expected[0].push(squares.sqrt() as f32);
                        expected[1].push(group.fold(f32::NEG_INFINITY, f32::max));
                    }
                }
            }
            for device in devices() {
                for (pooling, expected) in POOLINGS.into_iter().zip(&expected) {
                    for operation in [feature_pool, feature_pool_composite] {
                        let data = TensorData::new(x.clone(), [batch, filters, frames]);
                        let out = operation(Tensor::from_data(data, &device), size, pooling);
                        assert_eq!(out.dims(), [batch, 3, frames]);
                        close(&values(out), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_equal_those_of_plain_operations() {
        let shape = [2, 12, 5];
        for device in devices() {
            for size in [1, 3, 4] {
                for pooling in POOLINGS {
                    let gradient =
                        |operation: fn(Tensor<3>, usize, FeaturePooling) -> Tensor<3>,
                         device: &Device| {
                            let data = TensorData::new(noise(5, shape.iter().product()), shape);
                            let device = device.clone().autodiff();
                            let x = Tensor::<3>::from_data(data, &device).require_grad();
                            // Not contiguous.
                            let turned = x.clone().swap_dims(1, 2).mul_scalar(1.5).swap_dims(1, 2);
                            let y = operation(turned, size, pooling);
                            let loss = (y.clone() * y.exp()).sum();
                            values(x.grad(&loss.backward()).unwrap())
                        };
                    let fast = gradient(feature_pool, &device);
                    let plain = gradient(feature_pool_composite, &Device::flex());
                    assert!(fast.iter().any(|value| *value != 0.0));
                    for (fast, plain) in fast.iter().zip(&plain) {
                        let close = (fast - plain).abs() <= 1e-5 * plain.abs().max(1.0);
                        assert!(close, "{fast}, {plain}");
                    }
                }
            }
        }
    }

    #[test]
    fn first_of_equal_maxima_receives_the_gradient() {
        for device in devices() {
            let x = Tensor::<3>::from_data([[[1.0], [2.0], [2.0]]], &device.autodiff());
            let x = x.require_grad();
            let loss = feature_pool(x.clone(), 3, FeaturePooling::Max).sum();
            assert_eq!(values(x.grad(&loss.backward()).unwrap()), [0.0, 1.0, 0.0]);
        }
    }

    #[test]
    fn gradient_of_silence_is_finite_and_nan_propagates() {
        for device in devices() {
            let x = Tensor::<3>::zeros([1, 4, 3], &device.clone().autodiff()).require_grad();
            let loss = feature_pool(x.clone(), 2, POOLINGS[0]).sum();
            let gradient = values(x.grad(&loss.backward()).unwrap());
            assert!(gradient.iter().all(|value| value.is_finite()));
            for pooling in POOLINGS {
                for values_of in [[1.0, f32::NAN], [f32::NAN, 1.0]] {
                    let x = Tensor::<1>::from_data(values_of, &device).reshape([1, 2, 1]);
                    assert!(values(feature_pool(x, 2, pooling))[0].is_nan());
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "5 filters cannot be divided into groups of 2")]
    fn incomplete_groups_are_refused() {
        feature_pool(Tensor::zeros([1, 5, 3], &Device::flex()), 2, FeaturePooling::Max);
    }
}
