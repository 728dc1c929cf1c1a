//! Tests against the definition, against plain tensor operations, and of gradients against finite differences.

#[cfg(feature = "wgpu")]
mod on_gpus;

use std::mem::MaybeUninit;

use burn::tensor::{Device, TensorData};

use super::gradients::{self, OutputGradient};
use super::packed::Packed;
use super::product::forward;
use super::*;
use crate::precision::Precision;
use crate::simd::Width;
use crate::testing::{error, noise, values, wide};

struct Case {
    x: [usize; 3],
    /// Number and length of filters.
    filters: [usize; 2],
    options: ConvOptions,
}

fn case(x: [usize; 3], filters: [usize; 2], stride: usize, end: End) -> Case {
    Case { x, filters, options: ConvOptions { stride, end } }
}

fn pooled(pool: usize, partial: bool) -> End {
    End::RectifiedPool { pool, partial }
}

/// Sizes below, at and above those of tiles, panels, registers and blocks, and strides below and above the length.
fn cases() -> Vec<Case> {
    vec![
        case([2, 3, 11], [5, 2], 1, End::Linear),
        case([1, 1, 70], [33, 7], 3, End::Linear),
        case([2, 1, 40], [4, 3], 5, End::Linear),
        case([2, 1, 500], [14, 100], 40, End::Linear),
        case([3, 1, 1100], [40, 256], 64, End::Linear),
        case([2, 1, 500], [25, 30], 70, pooled(1, false)),
        case([2, 40, 30], [13, 3], 1, End::Linear),
        case([2, 128, 61], [32, 8], 1, pooled(4, false)),
        case([3, 5, 23], [3, 4], 1, pooled(3, true)),
        case([1, 17, 30], [70, 1], 1, pooled(1, false)),
        case([2, 16, 131], [40, 3], 1, pooled(2, true)),
        case([2, 4, 19], [6, 5], 2, pooled(50, true)),
        case([1, 300, 9], [2, 9], 1, pooled(1, false)),
        case([4, 2, 400], [9, 2], 1, pooled(97, false)),
        // Fast convolutions.
        case([2, 1, 1445], [20, 64], 16, End::Linear),
        case([1, 2, 1400], [33, 32], 8, End::Linear),
        case([9, 16, 21], [17, 4], 1, pooled(4, true)),
        case([8, 32, 26], [40, 8], 1, pooled(3, false)),
        case([6, 16, 40], [16, 12], 1, pooled(1, false)),
        case([1, 16, 803], [35, 4], 1, pooled(5, false)),
    ]
}

impl Case {
    fn geometry(&self) -> Geometry {
        Geometry::new(self.x, [self.filters[0], self.x[1], self.filters[1]], self.options)
    }

    /// `x`, weights and bias.
    fn values(&self) -> [Vec<f32>; 3] {
        let [filters, length] = self.filters;
        [
            noise(1, self.x.iter().product()),
            noise(2, filters * self.x[1] * length),
            noise(3, filters),
        ]
    }

    fn tensors(&self, device: &Device) -> (Tensor<3>, Tensor<3>, Tensor<1>) {
        let [x, weights, bias] = self.values();
        let [filters, length] = self.filters;
        let shape = [filters, self.x[1], length];
        (
            Tensor::from_data(TensorData::new(x, self.x), device),
            Tensor::from_data(TensorData::new(weights, shape), device),
            Tensor::from_data(TensorData::new(bias, [filters]), device),
        )
    }

    /// The formula of the module as loops in double precision: `[batch, filter, pool]`.
    fn by_definition(&self, x: &[f32], weights: &[f32], bias: &[f32]) -> Vec<f64> {
        let [batch, channels, frames] = self.x;
        let [filters, length] = self.filters;
        let stride = self.options.stride;
        let mut out = Vec::new();
        for b in 0..batch {
            for o in 0..filters {
                let mut row = Vec::new();
                let mut t = 0;
                while t + length <= frames {
                    let mut sum = f64::from(bias[o]);
                    for c in 0..channels {
                        for k in 0..length {
                            let x = x[(b * channels + c) * frames + t + k];
                            sum +=
                                f64::from(weights[(o * channels + c) * length + k]) * f64::from(x);
                        }
                    }
                    row.push(sum);
                    t += stride;
                }
                match self.options.end {
                    End::Linear => out.extend(row),
                    End::RectifiedPool { pool, partial } => {
                        for part in row.chunks(pool) {
                            if partial || part.len() == pool {
                                out.push(part.iter().fold(0.0, |max: f64, &a| max.max(a)));
                            }
                        }
                    }
                }
            }
        }
        out
    }
}

/// For sums of up to a few thousand products in single precision.
const TOLERANCE: f64 = 3e-6;

#[test]
fn values_equal_the_definition() {
    let device = Device::flex();
    for (number, case) in cases().iter().enumerate() {
        let [x, weights, bias] = case.values();
        let expected = case.by_definition(&x, &weights, &bias);
        for (name, tracked) in [("plain", false), ("tracked", true)] {
            let (x, weights, bias) =
                case.tensors(&if tracked { device.clone().autodiff() } else { device.clone() });
            let weights = if tracked { weights.require_grad() } else { weights };
            let out = conv(x, weights, bias, case.options);
            let geometry = case.geometry();
            assert_eq!(out.dims(), [geometry.batch, geometry.filters, geometry.pools]);
            let error = error(&values(out), &expected);
            assert!(error < TOLERANCE, "{number} {name}: {error}");
        }
        let (x, weights, bias) = case.tensors(&device);
        let error = error(&values(conv_composite(x, weights, bias, case.options)), &expected);
        assert!(error < TOLERANCE, "{number} composite: {error}");
    }
}

/// The root mean square of the errors, relative to that of the values; `winograd.rs` states the figures.
#[test]
fn fast_convolutions_are_nearly_as_precise_as_direct_ones() {
    let case = case([1, 256, 163], [16, 4], 1, End::Linear);
    assert!(case.geometry().winograd().is_some());
    let [x, weights, bias] = case.values();
    let expected = case.by_definition(&x, &weights, &bias);
    let error = |convolution: fn(Tensor<3>, Tensor<3>, Tensor<1>, ConvOptions) -> Tensor<3>| {
        let (x, weights, bias) = case.tensors(&Device::flex());
        let out = wide(&values(convolution(x, weights, bias, case.options)));
        let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
        let differences = squares(&mut out.iter().zip(&expected).map(|(a, b)| a - b));
        (differences / squares(&mut expected.iter().copied())).sqrt()
    };
    let (fast, direct) = (error(conv), error(conv_composite));
    println!("fast {fast:.2e}, direct {direct:.2e}");
    assert!(fast < 2e-6, "{fast} (direct: {direct})");
}

/// The output and the gradients of `x`, weights and bias, for an output gradient of noise.
fn all(
    case: &Case,
    operation: fn(Tensor<3>, Tensor<3>, Tensor<1>, ConvOptions) -> Tensor<3>,
    device: &Device,
) -> [Vec<f32>; 4] {
    all_of(case, operation, device, |values| values)
}

/// The same after `change` of `x`, weights and output gradient.
fn all_of(
    case: &Case,
    operation: fn(Tensor<3>, Tensor<3>, Tensor<1>, ConvOptions) -> Tensor<3>,
    device: &Device,
    change: fn(Vec<f32>) -> Vec<f32>,
) -> [Vec<f32>; 4] {
    let device = device.clone().autodiff();
    let (x, weights, bias) = case.tensors(&device);
    let changed = |tensor: Tensor<3>| {
        let shape = tensor.dims();
        Tensor::<3>::from_data(TensorData::new(change(values(tensor)), shape), &device)
    };
    let (x, weights) = (changed(x), changed(weights));
    let (x, weights, bias) = (x.require_grad(), weights.require_grad(), bias.require_grad());
    let out = operation(x.clone(), weights.clone(), bias.clone(), case.options);
    let count = out.dims().iter().product();
    let factors = TensorData::new(change(noise(4, count)), out.dims());
    let factors = Tensor::from_data(factors, &out.device());
    let gradients = (out.clone() * factors).sum().backward();
    [
        values(out.inner()),
        values(x.grad(&gradients).unwrap()),
        values(weights.grad(&gradients).unwrap()),
        values(bias.grad(&gradients).unwrap()),
    ]
}

#[test]
fn kernels_equal_plain_operations_on_every_cpu_backend() {
    #[cfg(feature = "ndarray")]
    #[allow(deprecated, reason = "tested as long as it exists")]
    let devices = [("flex", Device::flex()), ("ndarray", Device::ndarray())];
    #[cfg(not(feature = "ndarray"))]
    let devices = [("flex", Device::flex())];
    for (name, device) in devices {
        for (number, case) in cases().iter().enumerate() {
            let fast = all(case, conv, &device);
            let plain = all(case, conv_composite, &Device::flex());
            let what = ["values", "of x", "of weights", "of bias"];
            for ((what, fast), plain) in what.iter().zip(&fast).zip(&plain) {
                let error = error(fast, &wide(plain));
                assert!(error < 2.0 * TOLERANCE, "{name} {number} {what}: {error}");
            }
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    differences_agree(&Device::flex());
}

fn differences_agree(device: &Device) {
    // The definition in double precision: rounding in single precision would exceed the differences.
    let case = case([2, 3, 17], [4, 3], 1, pooled(4, true));
    let [x, weights, bias] = case.values();
    let factors = wide(&noise(4, 2 * 4 * 4));
    let loss = |x: &[f32], weights: &[f32], bias: &[f32]| -> f64 {
        let out = case.by_definition(x, weights, bias);
        out.iter().zip(&factors).map(|(out, factor)| out * factor).sum()
    };
    let [_, of_x, of_weights, of_bias] = all(&case, conv, device);
    // A power of two, so that steps are exact; small enough that no argmax changes.
    let step = 2.0_f32.powi(-14);
    let differences = |values: &[f32], loss: &dyn Fn(&[f32]) -> f64| -> Vec<f64> {
        (0..values.len())
            .map(|at| {
                let stepped = |by: f32| {
                    let mut values = values.to_vec();
                    values[at] += by;
                    (loss(&values), f64::from(values[at]))
                };
                let ((above, high), (below, low)) = (stepped(step), stepped(-step));
                (above - below) / (high - low)
            })
            .collect()
    };
    for (name, gradient, expected) in [
        ("x", of_x, differences(&x, &|x| loss(x, &weights, &bias))),
        ("weights", of_weights, differences(&weights, &|weights| loss(&x, weights, &bias))),
        ("bias", of_bias, differences(&bias, &|bias| loss(&x, &weights, bias))),
    ] {
        let error = error(&gradient, &expected);
        assert!(error < 1e-5, "{name}: {error}");
    }
}

fn rounded(mut values: Vec<f32>) -> Vec<f32> {
    bfloat16::round(&mut values);
    values
}

#[test]
fn bfloat16_equals_single_precision_of_rounded_factors() {
    let device = Device::flex();
    for (number, case) in cases().iter().enumerate() {
        let fast = Precision::Bfloat16.during(|| all(case, conv, &device));
        let plain = all_of(case, conv_composite, &device, rounded);
        let single = all(case, conv, &device);
        let what = ["values", "of x", "of weights", "of bias"];
        for (((what, fast), plain), single) in what.iter().zip(&fast).zip(&plain).zip(&single) {
            let difference = error(fast, &wide(plain));
            assert!(difference < 2.0 * TOLERANCE, "{number} {what}: {difference}");
            // If rounding changes an argmax, a gradient moves to another window. The bias gradient may be equal.
            let difference = error(fast, &wide(single));
            let moved = case.geometry().rectify && *what != "values";
            assert!(difference < 0.02 || moved, "{number} {what}: {difference}");
            assert!(difference > 0.0 || *what == "of bias", "{number} {what}: nothing was rounded");
        }
        let plain = case.tensors(&device);
        let [fast, ..] = fast;
        let untracked =
            Precision::Bfloat16.during(|| values(conv(plain.0, plain.1, plain.2, case.options)));
        assert_eq!(untracked, fast, "{number}");
    }
}

#[test]
fn gradients_have_the_precision_of_the_forward_pass() {
    let case = case([2, 3, 11], [5, 2], 1, End::Linear);
    let device = Device::flex().autodiff();
    let gradient = |then: fn(&mut dyn FnMut())| {
        let (x, weights, bias) = case.tensors(&device);
        let weights = weights.require_grad();
        let out =
            Precision::Bfloat16.during(|| conv(x, weights.clone(), bias, case.options) * 1.001);
        let mut of_weights = Vec::new();
        then(&mut || {
            let gradients = out.clone().sum().backward();
            of_weights = values(weights.grad(&gradients).unwrap());
        });
        of_weights
    };
    let inside = gradient(|work| Precision::Bfloat16.during(work));
    assert_eq!(gradient(|work| work()), inside);
}

#[test]
fn all_widths_agree() {
    for precision in [Precision::Single, Precision::Bfloat16] {
        precision.during(|| all_widths_agree_with_the_narrowest(precision));
    }
}

fn all_widths_agree_with_the_narrowest(precision: Precision) {
    for (number, case) in cases().iter().enumerate() {
        let geometry = case.geometry();
        let own = |values: Vec<f32>| match precision {
            Precision::Single => values,
            Precision::Bfloat16 => rounded(values),
        };
        let [x, weights, bias] = case.values();
        let (x, weights) = (own(x), own(weights));
        // Interpreted as `[batch, frame, channel]`.
        let count = geometry.batch * geometry.output_item();
        let gradient = own(noise(5, count));
        let run = |width: Width| {
            let mut out = vec![MaybeUninit::new(f32::NAN); count];
            let mut argmax = vec![MaybeUninit::new(7); count];
            let packed = Packed::new(&weights, &geometry, width);
            let fast =
                geometry.winograd().map(|tiled| winograd::input(&geometry, &tiled, &x, width));
            let input = fast.as_ref().unwrap_or(&x);
            forward(&geometry, input, &packed, &bias, &mut out, &mut argmax);
            // SAFETY: initialised above.
            let (out, mut argmax) = unsafe {
                let out: Vec<f32> = out.into_iter().map(|value| value.assume_init()).collect();
                (out, argmax.into_iter().map(|index| index.assume_init()).collect::<Vec<u32>>())
            };
            if !geometry.rectify {
                argmax.clear();
            }
            let gradient = OutputGradient { values: &gradient, argmax: &argmax };
            let is_dense = geometry.winograd_gradient().is_some();
            let x = if is_dense { input } else { &x };
            let (of_weights, of_bias) = gradients::weights(&geometry, x, gradient, width);
            [out, of_weights, of_bias, gradients::input(&geometry, &weights, gradient, width)]
        };
        let widths = Width::all();
        let narrow = run(widths[widths.len() - 1]);
        for width in widths {
            for (what, (wide_one, narrow)) in run(width).iter().zip(&narrow).enumerate() {
                let error = error(wide_one, &wide(narrow));
                assert!(error < TOLERANCE, "{precision:?} {number} {width:?} {what}: {error}");
            }
        }
    }
}

#[test]
fn results_are_bit_identical_for_any_number_of_threads() {
    same_for_any_number_of_threads(&case([5, 16, 131], [40, 3], 1, pooled(2, true)));
    same_for_any_number_of_threads(&case([5, 16, 131], [40, 4], 1, pooled(2, true)));
    same_for_any_number_of_threads(&case([3, 1, 16 * 403], [40, 64], 16, End::Linear));
}

fn same_for_any_number_of_threads(case: &Case) {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| all(case, conv, &Device::flex()))
    };
    let one = on(1);
    for threads in [2, 3, 8] {
        let bits = |all: &[Vec<f32>; 4]| {
            all.each_ref().map(|v| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
        };
        assert_eq!(bits(&on(threads)), bits(&one));
    }
}

#[test]
fn nan_propagates() {
    for precision in [Precision::Single, Precision::Bfloat16] {
        precision.during(|| {
            for end in [End::Linear, pooled(3, false)] {
                nan_propagates_in(case([1, 2, 12], [3, 2], 1, end));
                nan_propagates_in(case([1, 16, 172], [16, 4], 1, end));
            }
        });
    }
}

fn nan_propagates_in(case: Case) {
    let device = Device::flex();
    let (x, weights, bias) = case.tensors(&device);
    let mut broken = values(x);
    broken[4] = f32::NAN;
    let x = Tensor::from_data(TensorData::new(broken, case.x), &device);
    let out = values(conv(x, weights, bias, case.options));
    assert!(out.iter().any(|value| value.is_nan()), "{:?}", case.options);
}

#[test]
fn a_view_is_as_good_as_a_copy() {
    let case = case([2, 5, 23], [6, 4], 1, pooled(2, false));
    let device = Device::flex();
    let (x, weights, bias) = case.tensors(&device);
    let expected = values(conv(x.clone(), weights.clone(), bias.clone(), case.options));
    let [_, filters, length] = [0, 6, 4];
    let turned = x.swap_dims(0, 2).swap_dims(0, 2);
    let other = x_in_the_middle(weights, filters, length);
    assert_eq!(values(conv(turned, other, bias, case.options)), expected);
}

/// The same weights as a part of something larger.
fn x_in_the_middle(weights: Tensor<3>, filters: usize, length: usize) -> Tensor<3> {
    let [_, channels, _] = weights.dims();
    let around = Tensor::cat(vec![weights.clone(), weights.clone(), weights], 0);
    around.slice([filters..2 * filters, 0..channels, 0..length])
}

#[test]
#[should_panic(expected = "fewer than the 4 frames of a pool")]
fn input_shorter_than_a_pool_is_refused() {
    let case = case([1, 2, 5], [3, 3], 1, pooled(4, false));
    case.geometry();
}
