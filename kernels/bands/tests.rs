//! Tests against the definition, its finite differences, and plain tensor operations.

use burn::tensor::{Device, Tensor, TensorData};

use super::*;
#[cfg(feature = "wgpu")]
use crate::conv;
use crate::testing::{devices, error, noise, values, wide};

/// For a root or logarithm of sums of up to a few thousand products in single precision.
const TOLERANCE: f64 = 5e-6;

#[derive(Clone, Copy)]
struct Case {
    x: [usize; 3],
    /// Number and length of filters.
    filters: [usize; 2],
    options: BandOptions,
}

impl Case {
    fn size(&self) -> usize {
        self.options.pool.map_or(1, |(size, _)| size)
    }

    fn frames(&self) -> usize {
        (self.x[2] - self.filters[1]) / self.options.stride + 1
    }

    /// `[batch, band, frame]`
    fn output(&self) -> [usize; 3] {
        [self.x[0], self.filters[0] / self.size(), self.frames()]
    }

    /// `x`, weights, bias, and the factors of the outputs in the loss.
    fn values(&self) -> [Vec<f32>; 4] {
        let [filters, length] = self.filters;
        [
            noise(1, self.x.iter().product()),
            noise(2, filters * self.x[1] * length),
            noise(3, filters / self.size()),
            noise(4, self.output().iter().product()),
        ]
    }

    /// The formula of the module as loops in double precision.
    fn by_definition(&self, x: &[f64], weights: &[f64], bias: &[f64]) -> Vec<f64> {
        let ([batch, channels, samples], [filters, length]) = (self.x, self.filters);
        let response = |b: usize, o: usize, t: usize| -> f64 {
            let products = (0..channels).flat_map(|c| (0..length).map(move |k| (c, k)));
            products
                .map(|(c, k)| {
                    weights[(o * channels + c) * length + k]
                        * x[(b * channels + c) * samples + t * self.options.stride + k]
                })
                .sum()
        };
        let mut out = Vec::new();
        for b in 0..batch {
            for (g, bias) in bias.iter().enumerate() {
                for t in 0..self.frames() {
                    let size = self.size();
                    let group: Vec<f64> =
                        (g * size..(g + 1) * size).map(|o| response(b, o, t)).collect();
                    assert!(g < filters / size);
                    let pooled = match self.options.pool {
                        None => group[0],
                        Some((_, FeaturePooling::L2 { floor })) => {
                            (group.iter().map(|a| a * a).sum::<f64>() + f64::from(floor)).sqrt()
                        }
                        Some((_, FeaturePooling::Max)) => {
                            group.iter().copied().fold(f64::NEG_INFINITY, f64::max)
                        }
                    };
                    let z = pooled + bias;
                    out.push(match self.options.activation {
                        Activation::Relu => z.max(0.0),
                        Activation::Log { compression } => {
                            (1.0 + f64::from(compression) * z * z).ln()
                        }
                    });
                }
            }
        }
        out
    }
}

/// Every pool size of the kernel and two others, both activations, and sizes at and beyond those of tiles.
fn cases() -> Vec<Case> {
    let l2 = FeaturePooling::L2 { floor: 1e-12 };
    let (relu, log) = (Activation::Relu, Activation::Log { compression: 10.0 });
    let mut cases = Vec::new();
    let mut push = |x, filters, stride, pool, activation| {
        cases.push(Case { x, filters, options: BandOptions { stride, pool, activation } });
    };
    for activation in [relu, log] {
        push([2, 1, 70], [9, 7], 3, None, activation);
    }
    for size in [1, 2, 4, 8] {
        for pooling in [l2, FeaturePooling::Max] {
            push([2, 1, 90], [3 * size, 12], 5, Some((size, pooling)), relu);
        }
    }
    for (size, pooling) in [(2, l2), (4, l2), (4, FeaturePooling::Max)] {
        push([2, 1, 90], [3 * size, 12], 5, Some((size, pooling)), log);
    }
    push([2, 1, 90], [9, 12], 5, Some((3, l2)), relu);
    push([2, 1, 90], [32, 12], 5, Some((16, FeaturePooling::Max)), log);
    // At and beyond the filters of a tile, more windows than columns, several channels.
    push([3, 1, 400], [64, 20], 4, Some((4, l2)), relu);
    push([2, 3, 150], [72, 6], 1, Some((8, FeaturePooling::Max)), log);
    push([2, 2, 61], [130, 17], 2, Some((2, l2)), relu);
    push([70, 1, 9], [8, 8], 1, Some((4, l2)), log);
    push([1, 1, 2500], [32, 1024], 256, Some((4, l2)), relu);
    cases
}

type Bands = fn(Tensor<3>, Tensor<3>, Tensor<1>, BandOptions) -> Tensor<3>;

fn tensors(case: &Case, device: &Device) -> (Tensor<3>, Tensor<3>, Tensor<1>, Tensor<3>) {
    let [x, weights, bias, factors] = case.values();
    let [filters, length] = case.filters;
    let bands = bias.len();
    (
        Tensor::from_data(TensorData::new(x, case.x), device),
        Tensor::from_data(TensorData::new(weights, [filters, case.x[1], length]), device),
        Tensor::from_data(TensorData::new(bias, [bands]), device),
        Tensor::from_data(TensorData::new(factors, case.output()), device),
    )
}

/// The output, and the gradients of `x`, weights and bias.
fn all(case: &Case, operation: Bands, device: &Device) -> [Vec<f32>; 4] {
    let (x, weights, bias, factors) = tensors(case, &device.clone().autodiff());
    let (x, weights, bias) = (x.require_grad(), weights.require_grad(), bias.require_grad());
    let out = operation(x.clone(), weights.clone(), bias.clone(), case.options);
    let gradients = (out.clone() * factors).sum().backward();
    [
        values(out.inner()),
        values(x.grad(&gradients).unwrap()),
        values(weights.grad(&gradients).unwrap()),
        values(bias.grad(&gradients).unwrap()),
    ]
}

#[test]
fn values_equal_the_definition() {
    for (number, case) in cases().iter().enumerate() {
        let [x, weights, bias, _] = case.values();
        let expected = case.by_definition(&wide(&x), &wide(&weights), &wide(&bias));
        for device in devices() {
            for tracked in [false, true] {
                let device = if tracked { device.clone().autodiff() } else { device.clone() };
                for operation in [bands as Bands, bands_composite] {
                    let (x, weights, bias, _) = tensors(case, &device);
                    let weights = if tracked { weights.require_grad() } else { weights };
                    let out = operation(x, weights, bias, case.options);
                    assert_eq!(out.dims(), case.output());
                    let error = error(&values(out), &expected);
                    assert!(error < TOLERANCE, "{number}, tracked: {tracked}: {error}");
                }
            }
        }
    }
}

#[test]
fn gradients_equal_those_of_plain_operations() {
    for (number, case) in cases().iter().enumerate() {
        let plain = all(case, bands_composite, &Device::flex());
        for device in devices() {
            let fast = all(case, bands, &device);
            let what = ["values", "of x", "of weights", "of bias"];
            for ((what, fast), plain) in what.iter().zip(&fast).zip(&plain) {
                let error = error(fast, &wide(plain));
                assert!(error < 4.0 * TOLERANCE, "{number} {what}: {error}");
            }
        }
    }
}

/// Finite differences of the definition in double precision, independent of our code.
#[test]
fn gradients_equal_finite_differences_of_the_definition() {
    let l2 = FeaturePooling::L2 { floor: 1e-12 };
    for (pool, activation) in [
        (None, Activation::Log { compression: 10.0 }),
        (Some((4, l2)), Activation::Relu),
        (Some((2, l2)), Activation::Log { compression: 3.0 }),
        (Some((4, FeaturePooling::Max)), Activation::Relu),
        (Some((2, FeaturePooling::Max)), Activation::Log { compression: 3.0 }),
    ] {
        let options = BandOptions { stride: 3, pool, activation };
        let case = Case { x: [2, 2, 20], filters: [8, 5], options };
        let [x, weights, bias, factors] = case.values().map(|values| wide(&values));
        let loss = |x: &[f64], weights: &[f64], bias: &[f64]| -> f64 {
            let out = case.by_definition(x, weights, bias);
            out.iter().zip(&factors).map(|(y, c)| y * c).sum()
        };
        let inputs = [x, weights, bias];
        let differences: Vec<Vec<f64>> = (0..3)
            .map(|which| {
                let moved = |at: usize, by: f64| {
                    let mut inputs = inputs.clone();
                    inputs[which][at] += by;
                    loss(&inputs[0], &inputs[1], &inputs[2])
                };
                let count = inputs[which].len();
                (0..count).map(|at| (moved(at, 1e-6) - moved(at, -1e-6)) / 2e-6).collect()
            })
            .collect();
        for device in devices() {
            let [_, of_x, of_weights, of_bias] = all(&case, bands, &device);
            for (gradient, expected) in [of_x, of_weights, of_bias].iter().zip(&differences) {
                let error = error(gradient, expected);
                assert!(error < 2e-5, "{options:?}: {error}");
            }
        }
    }
}

#[test]
fn first_of_equal_maxima_receives_the_gradient() {
    let options = BandOptions {
        stride: 1,
        pool: Some((4, FeaturePooling::Max)),
        activation: Activation::Relu,
    };
    for device in devices() {
        let device = device.autodiff();
        let x = Tensor::<3>::from_data([[[1.0]]], &device);
        let weights = Tensor::<1>::from_data([1.0, 3.0, 3.0, 2.0], &device);
        let weights = weights.reshape([4, 1, 1]).require_grad();
        let loss = bands(x, weights.clone(), Tensor::zeros([1], &device), options).sum();
        let gradient = values(weights.grad(&loss.backward()).unwrap());
        assert_eq!(gradient, [0.0, 1.0, 0.0, 0.0]);
    }
}

#[test]
fn gradients_of_silence_are_finite_and_nan_propagates() {
    for device in devices() {
        for case in cases() {
            let tracked = device.clone().autodiff();
            let (x, weights, bias, factors) = tensors(&case, &tracked);
            let (x, weights) = (x.zeros_like().require_grad(), weights.require_grad());
            let out = bands(x.clone(), weights.clone(), bias.zeros_like(), case.options);
            let gradients = (out * factors).sum().backward();
            for gradient in [x.grad(&gradients).unwrap(), weights.grad(&gradients).unwrap()] {
                assert!(values(gradient).iter().all(|value| value.is_finite()));
            }
            let (x, weights, bias, _) = tensors(&case, &device);
            let mut broken = values(x);
            broken[4] = f32::NAN;
            let x = Tensor::from_data(TensorData::new(broken, case.x), &device);
            let out = values(bands(x, weights, bias, case.options));
            assert!(out.iter().any(|value| value.is_nan()), "{:?}", case.options);
        }
    }
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn pools_of_1_2_4_and_8_filters_are_one_kernel_on_gpus() {
    for device in crate::testing::adapters() {
        for case in cases() {
            let (x, weights, _, _) = tensors(&case, &device);
            let linear = ConvOptions { stride: case.options.stride, end: End::Linear };
            let geometry = conv::Geometry::new(x.dims(), weights.dims(), linear);
            let taken = conv::cube::takes_bands(&x, &geometry, case.size());
            assert_eq!(taken, [1, 2, 4, 8].contains(&case.size()));
        }
    }
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn results_are_bit_identical_in_a_second_run_on_gpus() {
    for device in crate::testing::adapters() {
        for case in cases() {
            let bits =
                || all(&case, bands, &device).map(|v| v.iter().map(|x| x.to_bits()).collect());
            let (first, second): ([Vec<u32>; 4], [Vec<u32>; 4]) = (bits(), bits());
            assert_eq!(first, second);
        }
    }
}

/// Inputs are not contiguous and not yet computed; one gradient is required at a time.
#[test]
fn bands_work_among_other_operations() {
    let options = BandOptions {
        stride: 2,
        pool: Some((4, FeaturePooling::L2 { floor: 1e-12 })),
        activation: Activation::Relu,
    };
    let case = Case { x: [3, 2, 40], filters: [12, 6], options };
    let run = |operation: Bands, device: &Device, which: usize| {
        let (x, weights, bias, factors) = tensors(&case, device);
        let track =
            |tensor: Tensor<3>, at| if which == at { tensor.require_grad() } else { tensor };
        let (x, weights) = (track(x, 0), track(weights, 1));
        let turned = (x.clone().swap_dims(0, 2).mul_scalar(0.5) + 0.1).swap_dims(0, 2);
        let scaled = weights.clone().swap_dims(1, 2).mul_scalar(2.0).swap_dims(1, 2);
        let out = operation(turned, scaled, bias * 0.3, case.options);
        let gradients = (out.clone().square() * factors).sum().backward();
        let gradient = [x, weights].into_iter().nth(which).unwrap().grad(&gradients);
        [values(out.inner()), values(gradient.unwrap())]
    };
    for device in devices() {
        for device in [device.clone().autodiff(), device.autodiff().gradient_checkpointing()] {
            for which in 0..2 {
                let fast = run(bands, &device, which);
                let plain = run(bands_composite, &Device::flex().autodiff(), which);
                for (fast, plain) in fast.iter().zip(&plain) {
                    let error = error(fast, &wide(plain));
                    assert!(error < 4.0 * TOLERANCE, "{error}");
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "3 biases do not match 8 filters in pools of 2")]
fn number_of_biases_must_match_number_of_bands() {
    let options = BandOptions {
        stride: 1,
        pool: Some((2, FeaturePooling::Max)),
        activation: Activation::Relu,
    };
    let device = Device::flex();
    let (x, weights) = (Tensor::zeros([1, 1, 9], &device), Tensor::zeros([8, 1, 2], &device));
    bands(x, weights, Tensor::zeros([3], &device), options);
}
