//! Tests against the definition in double precision, and of gradients against exact differences.

use burn::tensor::{Device, Tensor, TensorData};

use super::geometry::{Blocks, Geometry};
use super::*;
use crate::testing::{devices, error, noise, values, wide};

/// Sizes of filters and windows: `[batch, samples, filters, parts, taps, window]`, and options.
type Case = ([usize; 6], FilterbankOptions);

fn options(stride: usize, hop_length: usize) -> FilterbankOptions {
    FilterbankOptions { stride, hop_length, response: Response::Squared, band_limited: false }
}

/// Odd and even lengths, incomplete frames, waveforms shorter than filters and windows, several blocks, strides.
fn cases() -> Vec<Case> {
    let absolute = FilterbankOptions { response: Response::Absolute, ..options(1, 5) };
    vec![
        ([2, 61, 3, 2, 9, 7], options(1, 4)),
        ([1, 50, 2, 2, 8, 10], options(1, 7)),
        ([3, 33, 3, 1, 5, 9], options(1, 3)),
        ([2, 33, 4, 1, 5, 4], absolute),
        ([1, 5, 2, 2, 15, 21], options(1, 2)),
        ([1, 1, 1, 2, 1, 1], options(1, 1)),
        ([1, 70, 1, 1, 3, 3], options(1, 100)),
        ([2, 9_000, 2, 2, 33, 41], options(1, 16)),
        ([2, 61, 3, 2, 9, 3], options(4, 8)),
        ([1, 60, 3, 1, 7, 5], options(3, 3)),
        ([2, 50, 2, 1, 6, 4], FilterbankOptions { stride: 5, ..absolute }),
    ]
}

/// The formulas of the module.
fn by_definition(case: &Case, x: &[f64], taps: &[f64], pool: &[f64]) -> Vec<f64> {
    let ([batch, samples, filters, parts, length, window], options) = *case;
    let FilterbankOptions { stride, hop_length, response, .. } = options;
    let (responses, frames) = (samples.div_ceil(stride), samples.div_ceil(hop_length));
    let mut out = Vec::new();
    for b in 0..batch {
        for n in 0..filters {
            let energy = |m: usize| -> f64 {
                (0..parts)
                    .map(|part| {
                        let taps = &taps[(n * parts + part) * length..][..length];
                        let at = |k: usize| (m * stride + k).wrapping_sub((length - 1) / 2);
                        let of =
                            |k: usize| if at(k) < samples { x[b * samples + at(k)] } else { 0.0 };
                        let u: f64 = taps.iter().enumerate().map(|(k, tap)| tap * of(k)).sum();
                        if response == Response::Squared { u * u } else { u.abs() }
                    })
                    .sum()
            };
            let energies: Vec<f64> = (0..responses).map(energy).collect();
            for f in 0..frames {
                let at = |j: usize| (f * hop_length / stride + j).wrapping_sub((window - 1) / 2);
                let e = |j: usize| energies.get(at(j)).copied().unwrap_or(0.0);
                let weights = &pool[n * window..][..window];
                out.push(weights.iter().enumerate().map(|(j, w)| w * e(j)).sum());
            }
        }
    }
    out
}

/// Waveforms, taps and windows.
fn inputs(case: &Case) -> [Vec<f32>; 3] {
    let [batch, samples, filters, parts, length, window] = case.0;
    let pool = noise(3, filters * window).iter().map(|w| 0.6 + 0.4 * w).collect();
    [noise(1, batch * samples), noise(2, filters * parts * length), pool]
}

fn tensors(
    case: &Case,
    inputs: &[Vec<f32>; 3],
    device: &Device,
) -> (Tensor<2>, Tensor<3>, Tensor<2>) {
    let [batch, samples, filters, parts, length, window] = case.0;
    let [x, taps, pool] = inputs.clone();
    (
        Tensor::from_data(TensorData::new(x, [batch, samples]), device),
        Tensor::from_data(TensorData::new(taps, [filters, parts, length]), device),
        Tensor::from_data(TensorData::new(pool, [filters, window]), device),
    )
}

type Operation = fn(Tensor<2>, Tensor<3>, Tensor<2>, FilterbankOptions) -> Tensor<3>;
const OPERATIONS: [(&str, Operation); 2] =
    [("fast", band_energies), ("composite", band_energies_composite)];

/// Sums of tens of terms in single precision.
const TOLERANCE: f64 = 5e-6;

#[test]
fn values_equal_the_definition() {
    for case in cases() {
        let inputs = inputs(&case);
        let [x, taps, pool] = inputs.each_ref().map(|values| wide(values));
        let expected = by_definition(&case, &x, &taps, &pool);
        for device in devices() {
            for (name, operation) in OPERATIONS {
                let (x, taps, pool) = tensors(&case, &inputs, &device);
                let out = operation(x, taps, pool, case.1);
                let frames = case.0[1].div_ceil(case.1.hop_length);
                assert_eq!(out.dims(), [case.0[0], case.0[2], frames], "{name} {case:?}");
                let error = error(&values(out), &expected);
                assert!(error < TOLERANCE, "{name} {case:?}: {error}");
            }
        }
    }
}

/// Gradients of a weighted sum of the energies; the waveforms are not contiguous.
fn gradients(
    operation: Operation,
    case: &Case,
    inputs: &[Vec<f32>; 3],
    device: &Device,
) -> [Vec<f32>; 3] {
    let device = device.clone().autodiff();
    let (x, taps, pool) = tensors(case, inputs, &device);
    let (x, taps, pool) = (x.require_grad(), taps.require_grad(), pool.require_grad());
    let turned = x.clone().swap_dims(0, 1).mul_scalar(1.0).swap_dims(0, 1);
    let out = operation(turned, taps.clone(), pool.clone(), case.1);
    let weights = TensorData::new(noise(4, out.dims().iter().product()), out.dims());
    let gradients = (out * Tensor::from_data(weights, &device)).sum().backward();
    [
        values(x.grad(&gradients).unwrap()),
        values(taps.grad(&gradients).unwrap()),
        values(pool.grad(&gradients).unwrap()),
    ]
}

/// The same by central differences, which are exact for squares, and for absolute values unless a sign changes.
fn differences(case: &Case, inputs: &[Vec<f32>; 3]) -> [Vec<f64>; 3] {
    let exact = inputs.each_ref().map(|values| wide(values));
    let step = 1e-6;
    let mut found = [Vec::new(), Vec::new(), Vec::new()];
    for (which, found) in found.iter_mut().enumerate() {
        for at in 0..exact[which].len() {
            let loss = |shift: f64| -> f64 {
                let mut moved = exact.clone();
                moved[which][at] += shift;
                let out = by_definition(case, &moved[0], &moved[1], &moved[2]);
                out.iter().zip(noise(4, out.len())).map(|(y, w)| y * f64::from(w)).sum()
            };
            found.push((loss(step) - loss(-step)) / (2.0 * step));
        }
    }
    found
}

#[test]
fn gradients_equal_differences() {
    for case in cases().into_iter().filter(|case| case.0[1] < 1_000) {
        let inputs = inputs(&case);
        let expected = differences(&case, &inputs);
        for device in devices() {
            for (name, operation) in OPERATIONS {
                let found = gradients(operation, &case, &inputs, &device);
                for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let error = error(found, expected);
                    assert!(error < 2e-5, "{name} {case:?}, input {which}: {error}");
                }
            }
        }
    }
}

#[test]
fn long_waveforms_have_the_gradients_of_plain_operations() {
    let case = cases().into_iter().find(|case| case.0[1] == 9_000).unwrap();
    let geometry = |[batch, samples, filters, parts, taps, window]: [usize; 6]| {
        Geometry::new([batch, samples], [filters, parts, taps], [filters, window], case.1)
    };
    assert!(Blocks::new(&geometry(case.0), 0).count > 1);
    let inputs = inputs(&case);
    let [fast, plain] =
        OPERATIONS.map(|(_, operation)| gradients(operation, &case, &inputs, &Device::flex()));
    for (fast, plain) in fast.iter().zip(&plain) {
        let error = error(fast, &wide(plain));
        assert!(error < 2e-5, "{error}");
    }
}

/// Gabor filters with standard deviations and centres in samples and radians per sample, and the derivatives of their taps.
fn gabors(parameters: &[(f64, f64)], length: usize) -> [Vec<f64>; 3] {
    let mut taps = [Vec::new(), Vec::new(), Vec::new()];
    for &(sigma, mu) in parameters {
        for part in 0..2 {
            for k in 0..length {
                let t = k as f64 - ((length - 1) / 2) as f64;
                let g = (-t * t / (2.0 * sigma * sigma)).exp()
                    / ((2.0 * std::f64::consts::PI).sqrt() * sigma);
                let (sin, cos) = (mu * t).sin_cos();
                let (wave, slope) = if part == 0 { (cos, -sin) } else { (sin, cos) };
                taps[0].push(g * wave);
                taps[1].push(g * wave * (t * t / (sigma * sigma) - 1.0) / sigma);
                taps[2].push(g * slope * t);
            }
        }
    }
    taps
}

/// Band-limited filters: some decimated by 4 and by 2, one truncated, one too wide in frequency.
#[test]
fn decimated_responses_have_the_energies_and_gradients_of_the_definition() {
    let parameters = [(24.0, 0.6), (12.0, 1.3), (9.0, 3.0), (80.0, 0.05), (2.0, 1.0), (20.0, 0.02)];
    let (samples, length) = (1_500, 401);
    let options = FilterbankOptions { band_limited: true, ..options(1, 160) };
    let case = ([1, samples, parameters.len(), 2, length, length], options);
    let [taps, of_sigma, of_mu] = gabors(&parameters, length);
    let narrow = |values: &[f64]| values.iter().map(|&x| x as f32).collect::<Vec<f32>>();
    let window = |j: usize| (-0.5 * ((j as f64 - 200.0) / 80.0).powi(2)).exp() as f32;
    let pool: Vec<f32> = (0..parameters.len()).flat_map(|_| (0..length).map(window)).collect();
    let inputs = [noise(5, samples), narrow(&taps), pool];

    let geometry = Geometry::new(
        [1, samples],
        [parameters.len(), 2, length],
        [parameters.len(), length],
        options,
    );
    let blocks = Blocks::new(&geometry, windows::margin(&geometry));
    let found = spectra::spectra(&geometry, &blocks, &inputs[1]);
    let steps: Vec<usize> = found.iter().map(|spectrum| spectrum.step).collect();
    assert_eq!(steps, [4, 2, 2, 1, 1, 4]);
    assert_eq!(found[3].values.len(), blocks.length, "a truncated filter has all bins");
    assert!(found[0].values.len() < blocks.length / 10);

    let [x, taps, pool] = inputs.each_ref().map(|values| wide(values));
    let expected = by_definition(&case, &x, &taps, &pool);
    let (x_tensor, taps_tensor, pool_tensor) = tensors(&case, &inputs, &Device::flex());
    let out = values(band_energies(x_tensor, taps_tensor, pool_tensor, options));
    // Every energy on the scale of its own band.
    let frames = samples.div_ceil(160);
    for (band, (out, expected)) in out.chunks(frames).zip(expected.chunks(frames)).enumerate() {
        let error = error(out, expected);
        assert!(error < 2e-6, "band {band}: {error}");
    }

    let [fast, plain] =
        OPERATIONS.map(|(_, operation)| gradients(operation, &case, &inputs, &Device::flex()));
    for which in [0, 2] {
        let error = error(&fast[which], &wide(&plain[which]));
        assert!(error < 1e-5, "input {which}: {error}");
    }
    // The gradients of the parameters, which are smooth functions of the taps.
    for directions in [of_sigma, of_mu] {
        let along = |gradient: &[f32]| -> Vec<f64> {
            let rows = gradient.chunks(2 * length).zip(directions.chunks(2 * length));
            rows.map(|(g, d)| g.iter().zip(d).map(|(g, d)| f64::from(*g) * d).sum()).collect()
        };
        let (fast, plain) = (along(&fast[1]), along(&plain[1]));
        for (fast, plain) in fast.iter().zip(&plain) {
            assert!((fast - plain).abs() <= 1e-4 * plain.abs().max(1e-3), "{fast}, {plain}");
        }
    }
}

#[test]
fn silence_has_energies_and_gradients_of_0_and_nan_propagates() {
    for case in cases() {
        let [_, taps, pool] = inputs(&case);
        let silence = vec![0.0; case.0[0] * case.0[1]];
        for (name, operation) in OPERATIONS {
            let inputs = [silence.clone(), taps.clone(), pool.clone()];
            let found = gradients(operation, &case, &inputs, &Device::flex());
            assert!(found.iter().flatten().all(|&value| value == 0.0), "{name} {case:?}");
            let mut broken = inputs.clone();
            broken[0][0] = f32::NAN;
            let (x, taps, pool) = tensors(&case, &broken, &Device::flex());
            assert!(values(operation(x, taps, pool, case.1))[0].is_nan(), "{name} {case:?}");
        }
    }
}

#[test]
#[should_panic(expected = "a stride of 3 does not divide a hop length of 8")]
fn strides_that_do_not_divide_the_hop_are_refused() {
    Geometry::new([1, 9], [1, 2, 3], [1, 3], options(3, 8));
}

#[test]
#[should_panic(expected = "2 windows do not match 1 filters")]
fn every_filter_needs_a_window() {
    Geometry::new([1, 9], [1, 2, 3], [2, 3], options(1, 8));
}
