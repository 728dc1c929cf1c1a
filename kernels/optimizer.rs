//! Optimizer steps in one pass over parameter, gradient and moments.
//!
//! ```text
//! momentum                            Adam, step t = 1, 2, ...
//! g = gradient + decay p              g = gradient + decay p
//! v = momentum v + g                  m = beta_1 m + (1 - beta_1) g
//! p = p - rate v                      v = beta_2 v + (1 - beta_2) g^2
//! p = p - rate (g + momentum v)       p = p - rate m' / (sqrt(v') + epsilon)
//!     if Nesterov                          m' = m / (1 - beta_1^t), v' = v / (1 - beta_2^t)
//!                                     decoupled: g = gradient, and p = (1 - rate decay) p first
//! ```
//!
//! [`momentum_step`] and [`adam_step`] have a kernel for the CPU, which updates tensors in place unless they are shared.
//! Other devices run plain tensor operations, which burn fuses on GPUs.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchDevice, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::simd::{Kernel, Simd, Width};

/// Stochastic gradient descent with momentum, without dampening (Sutskever et al. 2013, in the form of PyTorch).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    /// `rate` in the formulas of the [module documentation](self).
    pub learning_rate: f32,
    /// Decay of the velocity, in `[0, 1)`.
    pub momentum: f32,
    /// Whether to use Nesterov momentum.
    pub nesterov: bool,
    /// `decay` in the formulas: times the parameter, it is added to the gradient.
    pub weight_decay: f32,
}

/// Adam (Kingma and Ba 2015, algorithm 1) or, if `decoupled`, AdamW (Loshchilov and Hutter 2019, algorithm 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// `rate` in the formulas of the [module documentation](self); in double precision, like the bias corrections.
    pub learning_rate: f64,
    /// Decay of the first moment, in `[0, 1)`.
    pub beta_1: f32,
    /// Decay of the second moment, in `[0, 1)`.
    pub beta_2: f32,
    /// Added to the root of the corrected second moment.
    pub epsilon: f32,
    /// `decay` in the formulas: times the parameter, it is added to the gradient or, if `decoupled`, times the rate
    /// subtracted from the parameter.
    pub weight_decay: f32,
    /// Whether weight decay is decoupled from the gradient (AdamW).
    pub decoupled: bool,
}

/// The factors of one step of [`Adam`], equal for all values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    rule: Adam,
    /// Factor of the first moment: `rate / (1 - beta_1^t)`.
    rate: f32,
    /// Factor of the root of the second moment: `1 / sqrt(1 - beta_2^t)`.
    root: f32,
    /// Factor of the parameter.
    shrink: f32,
    /// Share of the parameter that is added to the gradient.
    decay: f32,
}

impl Adam {
    /// The factors of step `time`, counted from 1.
    fn at(self, time: usize) -> AdamStep {
        let power = |beta: f32| f64::from(beta).powi(i32::try_from(time).unwrap_or(i32::MAX));
        let taken = self.learning_rate * f64::from(self.weight_decay);
        AdamStep {
            rule: self,
            rate: (self.learning_rate / (1.0 - power(self.beta_1))) as f32,
            root: (1.0 / (1.0 - power(self.beta_2)).sqrt()) as f32,
            shrink: if self.decoupled { (1.0 - taken) as f32 } else { 1.0 },
            decay: if self.decoupled { 0.0 } else { self.weight_decay },
        }
    }
}

/// Parameter and velocity after a step. All tensors have the same shape and no autodiff.
pub fn momentum_step<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    velocity: Tensor<D>,
    rule: Momentum,
) -> (Tensor<D>, Tensor<D>) {
    match parameter.device().as_dispatch() {
        DispatchDevice::Flex(_) => {
            let (parameter, velocity) = <Dispatch as OptimizerOps>::momentum_step(
                parameter.into_dispatch(),
                gradient.into_dispatch(),
                velocity.into_dispatch(),
                rule,
            );
            (Tensor::from_dispatch(parameter), Tensor::from_dispatch(velocity))
        }
        _ => momentum_step_composite(parameter, gradient, velocity, rule),
    }
}

/// [`momentum_step`] in plain tensor operations.
pub fn momentum_step_composite<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    velocity: Tensor<D>,
    rule: Momentum,
) -> (Tensor<D>, Tensor<D>) {
    let gradient = match rule.weight_decay {
        0.0 => gradient,
        decay => gradient + parameter.clone().mul_scalar(decay),
    };
    let velocity = velocity.mul_scalar(rule.momentum) + gradient.clone();
    let change = match rule.nesterov {
        true => gradient + velocity.clone().mul_scalar(rule.momentum),
        false => velocity.clone(),
    };
    (parameter - change.mul_scalar(rule.learning_rate), velocity)
}

/// Parameter and both moments after step `time`, counted from 1. All tensors have the same shape and no autodiff.
pub fn adam_step<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    [first, second]: [Tensor<D>; 2],
    time: usize,
    rule: Adam,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    match parameter.device().as_dispatch() {
        DispatchDevice::Flex(_) => {
            let (parameter, first, second) = <Dispatch as OptimizerOps>::adam_step(
                parameter.into_dispatch(),
                gradient.into_dispatch(),
                first.into_dispatch(),
                second.into_dispatch(),
                rule.at(time),
            );
            (Tensor::from_dispatch(parameter), [first, second].map(Tensor::from_dispatch))
        }
        _ => adam_step_composite(parameter, gradient, [first, second], time, rule),
    }
}

/// [`adam_step`] in plain tensor operations.
pub fn adam_step_composite<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    [first, second]: [Tensor<D>; 2],
    time: usize,
    rule: Adam,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let AdamStep { rate, root, shrink, decay, .. } = rule.at(time);
    let gradient = match decay {
        0.0 => gradient,
        decay => gradient + parameter.clone().mul_scalar(decay),
    };
    let first = first.mul_scalar(rule.beta_1) + gradient.clone().mul_scalar(1.0 - rule.beta_1);
    let second = second.mul_scalar(rule.beta_2) + gradient.square().mul_scalar(1.0 - rule.beta_2);
    let spread = second.clone().sqrt().mul_scalar(root).add_scalar(rule.epsilon);
    let parameter = parameter.mul_scalar(shrink) - first.clone().mul_scalar(rate) / spread;
    (parameter, [first, second])
}

/// Optimizer steps on backends that have kernels. All tensors have the same shape.
#[backend_extension(Flex)]
pub trait OptimizerOps: Backend {
    /// Parameter and velocity of [`momentum_step`].
    fn momentum_step(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        velocity: FloatTensor<Self>,
        rule: Momentum,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Parameter, first and second moment of [`adam_step`].
    fn adam_step(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// Values per task.
const VALUES: usize = 1 << 15;

/// The tensor, copied unless it is contiguous and its storage has no other values.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    let values = tensor.shape().num_elements();
    match tensor.as_slice::<f32>() {
        Some(slice) if slice.len() == values && tensor.storage::<f32>().len() == values => tensor,
        _ => tensor.to_contiguous(),
    }
}

impl OptimizerOps for Flex {
    fn momentum_step(
        parameter: FlexTensor,
        gradient: FlexTensor,
        velocity: FlexTensor,
        rule: Momentum,
    ) -> (FlexTensor, FlexTensor) {
        let [mut parameter, gradient, mut velocity] =
            [parameter, gradient, velocity].map(contiguous);
        let width = Width::best();
        parameter
            .storage_mut::<f32>()
            .par_chunks_mut(VALUES)
            .zip(velocity.storage_mut::<f32>().par_chunks_mut(VALUES))
            .zip(gradient.storage::<f32>().par_chunks(VALUES))
            .for_each(|((parameter, velocity), gradient)| {
                width.run(MomentumPass { parameter, velocity, gradient, rule });
            });
        (parameter, velocity)
    }

    fn adam_step(
        parameter: FlexTensor,
        gradient: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        step: AdamStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [mut parameter, gradient, mut first, mut second] =
            [parameter, gradient, first, second].map(contiguous);
        let width = Width::best();
        let moments = first
            .storage_mut::<f32>()
            .par_chunks_mut(VALUES)
            .zip(second.storage_mut::<f32>().par_chunks_mut(VALUES));
        parameter
            .storage_mut::<f32>()
            .par_chunks_mut(VALUES)
            .zip(moments)
            .zip(gradient.storage::<f32>().par_chunks(VALUES))
            .for_each(|((parameter, (first, second)), gradient)| {
                width.run(AdamPass { parameter, first, second, gradient, step });
            });
        (parameter, first, second)
    }
}

struct MomentumPass<'a> {
    parameter: &'a mut [f32],
    velocity: &'a mut [f32],
    gradient: &'a [f32],
    rule: Momentum,
}

impl Kernel for MomentumPass<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { parameter, velocity, gradient, rule } = self;
        let Momentum { learning_rate, momentum, nesterov, weight_decay } = rule;
        for ((p, v), g) in parameter.iter_mut().zip(velocity).zip(gradient) {
            let g = g + weight_decay * *p;
            *v = momentum * *v + g;
            let change = if nesterov { g + momentum * *v } else { *v };
            *p -= learning_rate * change;
        }
    }
}

struct AdamPass<'a> {
    parameter: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    gradient: &'a [f32],
    step: AdamStep,
}

impl Kernel for AdamPass<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { parameter, first, second, gradient, step } = self;
        let AdamStep { rule: Adam { beta_1, beta_2, epsilon, .. }, rate, root, shrink, decay } =
            step;
        let (rest_1, rest_2) = (1.0 - beta_1, 1.0 - beta_2);
        for (((p, m), v), g) in parameter.iter_mut().zip(first).zip(second).zip(gradient) {
            let g = g + decay * *p;
            *m = beta_1 * *m + rest_1 * g;
            *v = beta_2 * *v + rest_2 * g * g;
            *p = shrink * *p - rate * *m / (v.sqrt() * root + epsilon);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::testing::{self, noise};

    /// More than one task, and not a whole number of registers.
    const SHAPE: [usize; 2] = [3, VALUES / 2 + 5];

    fn tensors<const N: usize>(device: &Device) -> [Tensor<2>; N] {
        std::array::from_fn(|i| {
            let values = noise(i as u32 + 1, SHAPE[0] * SHAPE[1]);
            Tensor::<1>::from_floats(values.as_slice(), device).reshape(SHAPE)
        })
    }

    fn values(tensor: &Tensor<2>) -> Vec<f32> {
        testing::values(tensor.clone())
    }

    fn close(got: &Tensor<2>, want: &[f64]) {
        let got = values(got);
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            let off = (f64::from(*got) - want).abs();
            assert!(off <= 1e-6 * want.abs().max(1.0), "{got} {want}");
        }
    }

    fn doubles(tensor: &Tensor<2>) -> Vec<f64> {
        values(tensor).into_iter().map(f64::from).collect()
    }

    /// Two steps of the rule in double precision.
    #[test]
    fn momentum_equals_its_definition() {
        let device = Device::flex();
        for (nesterov, weight_decay) in [(false, 0.0), (true, 0.0), (true, 0.02)] {
            let rule = Momentum { learning_rate: 0.05, momentum: 0.8, nesterov, weight_decay };
            let [p, v, g] = tensors(&device);
            let (mut want_p, mut want_v, slope) = (doubles(&p), doubles(&v), doubles(&g));
            let steps = [momentum_step, momentum_step_composite];
            let got = steps.map(|step| {
                let (p, v) = step(p.clone(), g.clone(), v.clone(), rule);
                step(p, g.clone(), v, rule)
            });
            for _ in 0..2 {
                for i in 0..slope.len() {
                    let g = slope[i] + f64::from(weight_decay) * want_p[i];
                    want_v[i] = f64::from(0.8f32) * want_v[i] + g;
                    let change =
                        if nesterov { g + f64::from(0.8f32) * want_v[i] } else { want_v[i] };
                    want_p[i] -= f64::from(0.05f32) * change;
                }
            }
            for (p, v) in &got {
                close(p, &want_p);
                close(v, &want_v);
            }
        }
    }

    #[test]
    fn adam_equals_its_definition() {
        let device = Device::flex();
        for (decoupled, weight_decay) in [(false, 0.0), (false, 0.3), (true, 0.3)] {
            let rule = Adam {
                learning_rate: 0.05,
                beta_1: 0.9,
                beta_2: 0.99,
                epsilon: 1e-3,
                weight_decay,
                decoupled,
            };
            let [p, m, v, g] = tensors(&device);
            let v = v.square();
            let (mut want, mut ms, mut vs) = (doubles(&p), doubles(&m), doubles(&v));
            let slope = doubles(&g);
            let steps = [adam_step, adam_step_composite];
            let got = steps.map(|step| {
                let (p, moments) = step(p.clone(), g.clone(), [m.clone(), v.clone()], 3, rule);
                step(p, g.clone(), moments, 4, rule)
            });
            let [b1, b2, eps, decay] =
                [rule.beta_1, rule.beta_2, rule.epsilon, weight_decay].map(f64::from);
            for t in [3, 4] {
                for i in 0..slope.len() {
                    let g = if decoupled { slope[i] } else { slope[i] + decay * want[i] };
                    ms[i] = b1 * ms[i] + (1.0 - b1) * g;
                    vs[i] = b2 * vs[i] + (1.0 - b2) * g * g;
                    let (m, v) = (ms[i] / (1.0 - b1.powi(t)), vs[i] / (1.0 - b2.powi(t)));
                    let taken = if decoupled { 0.05 * decay * want[i] } else { 0.0 };
                    want[i] -= 0.05 * m / (v.sqrt() + eps) + taken;
                }
            }
            for (p, [m, v]) in &got {
                close(p, &want);
                close(m, &ms);
                close(v, &vs);
            }
        }
    }

    /// Shared tensors are not modified; views and transposed tensors are read in logical order.
    #[test]
    fn shared_tensors_are_not_modified() {
        let device = Device::flex();
        let [p, v, g] = tensors(&device);
        let rule =
            Momentum { learning_rate: 0.5, momentum: 0.9, nesterov: true, weight_decay: 0.1 };
        let before = [&p, &v, &g].map(values);
        let (new, _) = momentum_step(p.clone(), g.clone(), v.clone(), rule);
        assert_eq!(before, [&p, &v, &g].map(values));
        assert_ne!(values(&new), before[0]);

        let turned = |x: &Tensor<2>| x.clone().narrow(1, 7, 40).transpose();
        let copied = |x: &Tensor<2>| {
            let data = x.clone().narrow(1, 7, 40).transpose().into_data();
            Tensor::<2>::from_data(data, &device)
        };
        let (view, _) = momentum_step(turned(&p), turned(&g), turned(&v), rule);
        let (copy, _) = momentum_step(copied(&p), copied(&g), copied(&v), rule);
        assert_eq!(values(&view), values(&copy));
    }

    #[test]
    fn all_widths_agree() {
        let values: Vec<Vec<f32>> = (1..4).map(|seed| noise(seed, 1000)).collect();
        let rule =
            Momentum { learning_rate: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.01 };
        let run = |width: Width| {
            let (mut parameter, mut velocity) = (values[0].clone(), values[1].clone());
            let gradient = &values[2];
            width.run(MomentumPass {
                parameter: &mut parameter,
                velocity: &mut velocity,
                gradient,
                rule,
            });
            [parameter, velocity]
        };
        let first = run(Width::best());
        for width in Width::all() {
            assert_eq!(run(width), first, "{width:?}");
        }
    }
}
