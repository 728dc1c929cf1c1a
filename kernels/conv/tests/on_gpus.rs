//! The GPU kernels on every adapter.

use burn::backend::DispatchDevice;

use super::super::cube;
use super::*;
use crate::testing::adapters;

/// Whether [`conv`] uses the kernels for this case.
fn taken(case: &Case, device: &Device) -> bool {
    let (x, _, _) = case.tensors(device);
    match x.device().without_autodiff().as_dispatch() {
        DispatchDevice::Cube(device) => cube::takes(&x, &case.geometry(), device),
        _ => false,
    }
}

/// [`cases`] and sizes below, at and above those of tiles: filters, windows and values per window; every pool size that a
/// unit holds, and one that is too large.
fn gpu_cases() -> Vec<Case> {
    let mut cases = cases();
    for filters in [1, 8, 15, 32, 64, 65, 130] {
        cases.push(case([2, 3, 70], [filters, 5], 1, pooled(1, false)));
    }
    for pool in 1..=10 {
        cases.push(case([2, 2, 39 + pool], [9, 4], 1, pooled(pool, pool % 2 == 0)));
    }
    for (frames, length, stride) in [(64, 1, 1), (81, 16, 1), (80, 17, 2), (203, 12, 3), (97, 3, 4)]
    {
        cases.push(case([3, 2, frames], [10, length], stride, pooled(2, true)));
    }
    // One complete tile of windows, and items of one window.
    cases.push(case([1, 4, 67], [64, 4], 1, End::Linear));
    cases.push(case([70, 3, 4], [5, 4], 1, pooled(1, false)));
    cases.push(case([2, 1, 5000], [70, 1024], 256, End::Linear));
    cases.push(case([2, 1, 5001], [70, 256], 256, pooled(1, false)));
    cases
}

#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn values_equal_the_definition() {
    for device in adapters() {
        for (number, case) in gpu_cases().iter().enumerate() {
            assert!(taken(case, &device), "{number}");
            let [x, weights, bias] = case.values();
            let expected = case.by_definition(&x, &weights, &bias);
            for tracked in [false, true] {
                let device = if tracked { device.clone().autodiff() } else { device.clone() };
                let (x, weights, bias) = case.tensors(&device);
                let weights = if tracked { weights.require_grad() } else { weights };
                let out = conv(x, weights, bias, case.options);
                let geometry = case.geometry();
                assert_eq!(out.dims(), [geometry.batch, geometry.filters, geometry.pools]);
                let error = error(&values(out), &expected);
                assert!(error < TOLERANCE, "{number}, tracked: {tracked}: {error}");
            }
        }
    }
}

#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn gradients_equal_those_of_plain_operations() {
    for device in adapters() {
        for (number, case) in gpu_cases().iter().enumerate() {
            let fast = all(case, conv, &device);
            let plain = all(case, conv_composite, &Device::flex());
            let what = ["values", "of x", "of weights", "of bias"];
            for ((what, fast), plain) in what.iter().zip(&fast).zip(&plain) {
                let error = error(fast, &wide(plain));
                assert!(error < 2.0 * TOLERANCE, "{number} {what}: {error}");
            }
        }
        // burn's own operations on the same device.
        let case = case([2, 16, 131], [40, 3], 1, pooled(2, true));
        let (fast, plain) = (all(&case, conv, &device), all(&case, conv_composite, &device));
        for (fast, plain) in fast.iter().zip(&plain) {
            let error = error(fast, &wide(plain));
            assert!(error < 2.0 * TOLERANCE, "{error}");
        }
    }
}

#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn gradients_equal_finite_differences() {
    for device in adapters() {
        differences_agree(&device);
    }
}

/// Partial sums of the gradient of the weights are always added in the same order.
#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn results_are_bit_identical_in_a_second_run() {
    let case = case([5, 16, 131], [40, 3], 1, pooled(2, true));
    assert!(cube::Partition::new(&case.geometry()).parts > 1);
    for device in adapters() {
        let bits =
            || all(&case, conv, &device).map(|v| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
        assert_eq!(bits(), bits());
    }
}

#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn nan_propagates() {
    for device in adapters() {
        for end in [End::Linear, pooled(1, false), pooled(3, false)] {
            let case = case([1, 2, 12], [3, 2], 1, end);
            let (x, weights, bias) = case.tensors(&device);
            let mut broken = values(x);
            broken[4] = f32::NAN;
            let x = Tensor::from_data(TensorData::new(broken, case.x), &device);
            let out = values(conv(x, weights, bias, case.options));
            assert!(out.iter().any(|value| value.is_nan()), "{end:?}");
        }
    }
}

#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn convolutions_work_among_other_operations() {
    let case = case([4, 5, 23], [6, 4], 1, pooled(2, false));
    let run = |operation: fn(Tensor<3>, Tensor<3>, Tensor<1>, ConvOptions) -> Tensor<3>,
               device: &Device| {
        let (x, weights, bias) = case.tensors(device);
        let (x, weights) = (x.require_grad(), weights.require_grad());
        // Neither contiguous nor computed yet.
        let turned = (x.clone().swap_dims(0, 2).mul_scalar(0.5) + 0.1).swap_dims(0, 2);
        let scaled = weights.clone().swap_dims(1, 2).mul_scalar(2.0).swap_dims(1, 2);
        let out = operation(turned, scaled, bias * 3.0, case.options);
        let loss = (out.clone().square() + out.mean_dim(2)).sum();
        let gradients = loss.backward();
        [
            values(loss.inner()),
            values(x.grad(&gradients).unwrap()),
            values(weights.grad(&gradients).unwrap()),
        ]
    };
    for device in adapters() {
        for device in [device.clone().autodiff(), device.autodiff().gradient_checkpointing()] {
            let fast = run(conv, &device);
            let plain = run(conv_composite, &Device::flex().autodiff());
            for (fast, plain) in fast.iter().zip(&plain) {
                let error = error(fast, &wide(plain));
                assert!(error < 4.0 * TOLERANCE, "{error}");
            }
        }
    }
}

/// Inputs without `require_grad` get no gradient, and the others still do.
#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn each_gradient_can_be_computed_alone() {
    let case = case([2, 3, 40], [5, 4], 1, pooled(2, false));
    for device in adapters() {
        let [_, of_x, of_weights, of_bias] = all(&case, conv, &device);
        let count = case.geometry().batch * case.geometry().output_item();
        for (alone, expected) in [of_x, of_weights, of_bias].iter().enumerate() {
            let (mut x, mut weights, mut bias) = case.tensors(&device.clone().autodiff());
            match alone {
                0 => x = x.require_grad(),
                1 => weights = weights.require_grad(),
                _ => bias = bias.require_grad(),
            }
            let out = conv(x.clone(), weights.clone(), bias.clone(), case.options);
            let factors = TensorData::new(noise(4, count), out.dims());
            let gradients =
                (out.clone() * Tensor::from_data(factors, &out.device())).sum().backward();
            let of = [
                x.grad(&gradients).map(values),
                weights.grad(&gradients).map(values),
                bias.grad(&gradients).map(values),
            ];
            for (number, gradient) in of.iter().enumerate() {
                assert_eq!(gradient.as_ref(), (number == alone).then_some(expected), "{number}");
            }
        }
    }
}

/// More cubes than one dimension of the grid allows.
#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn inputs_may_exceed_one_dimension_of_the_grid() {
    let frames = 70_000 * 64;
    let case = case([1, 1, frames], [1, 1], 1, End::Linear);
    for device in adapters() {
        let (x, weights, bias) = case.tensors(&device);
        let [inputs, factors, biases] = case.values();
        let out = values(conv(x, weights, bias, case.options));
        let expected: Vec<f64> = inputs
            .iter()
            .map(|&x| f64::from(x) * f64::from(factors[0]) + f64::from(biases[0]))
            .collect();
        let error = error(&out, &expected);
        assert!(error < TOLERANCE, "{error}");
    }
}
