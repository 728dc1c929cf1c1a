//! Tests against the definition, against plain tensor operations, and of gradients against finite differences.

#[cfg(feature = "wgpu")]
mod on_gpus;

use super::*;
use crate::testing::{error, noise, values, wide};
use burn::tensor::{Device, TensorData};

/// Plans for all cases that the code distinguishes: odd and even lengths, powers of two, and hops that divide the length, do
/// not divide it, or exceed it.
fn plans() -> Vec<Arc<MelPlan>> {
    let sizes = [(16, 8, 5), (16, 4, 3), (16, 16, 4), (15, 5, 4), (12, 5, 4), (7, 9, 2), (1, 1, 1)];
    let mut plans = Vec::new();
    for (n_fft, hop, bands) in sizes {
        let window: Vec<f32> = (0..n_fft).map(|i| 0.3 + (i as f32 * 0.7).sin().abs()).collect();
        let bins = n_fft / 2 + 1;
        let filters: Vec<f32> = (0..bands * bins)
            .map(|i| {
                let (band, bin): (usize, usize) = (i / bins, i % bins);
                // Neighbouring bins only; band 0 is empty in one of the plans.
                let centre = band * bins / bands;
                let near = bin.abs_diff(centre) <= 1 && !(bands == 5 && band == 0);
                if near { 0.2 + 0.1 * bin as f32 } else { 0.0 }
            })
            .collect();
        for exponent in [Exponent::Power, Exponent::Magnitude] {
            for compression in [None, Some(10.0)] {
                let plan = MelPlan::new(window.clone(), hop, &filters, exponent, compression);
                plans.push(Arc::new(plan.unwrap()));
            }
        }
    }
    plans
}

/// The formula of the module as loops in double precision.
fn by_definition(plan: &MelPlan, waveform: &[f64]) -> Vec<f64> {
    let filters = plan.filters_transposed();
    let n_frames = plan.n_frames(waveform.len());
    let mut out = vec![0.0; plan.n_bands() * n_frames];
    for t in 0..n_frames {
        for k in 0..plan.n_bins() {
            let (mut re, mut im) = (0.0, 0.0);
            for n in 0..plan.n_fft {
                let x = waveform[t * plan.hop_length + n] * f64::from(plan.window[n]);
                let angle = std::f64::consts::TAU * (k * n) as f64 / plan.n_fft as f64;
                re += x * angle.cos();
                im -= x * angle.sin();
            }
            let value = match plan.exponent {
                Exponent::Power => re * re + im * im,
                Exponent::Magnitude => re.hypot(im),
            };
            for b in 0..plan.n_bands() {
                out[b * n_frames + t] += f64::from(filters[k * plan.n_bands() + b]) * value;
            }
        }
    }
    match plan.compression {
        Some(c) => out.into_iter().map(|m| (f64::from(c) * m).ln_1p()).collect(),
        None => out,
    }
}

fn tensor(values: &[f32], batch: usize, device: &Device) -> Tensor<2> {
    let shape = [batch, values.len() / batch];
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

type Operation = fn(Tensor<2>, &Arc<MelPlan>) -> Tensor<3>;
const OPERATIONS: [(&str, Operation); 2] =
    [("fast", log_mel), ("composite", |waveforms, plan| log_mel_composite(waveforms, plan))];

/// For sums of tens of terms in single precision.
const TOLERANCE: f64 = 5e-6;

#[test]
fn values_equal_the_definition() {
    let waveforms = noise(1, 2 * 61);
    for plan in plans() {
        let expected: Vec<f64> =
            waveforms.chunks_exact(61).flat_map(|row| by_definition(&plan, &wide(row))).collect();
        for (name, operation) in OPERATIONS {
            let output = operation(tensor(&waveforms, 2, &Device::flex()), &plan);
            assert_eq!(output.dims(), [2, plan.n_bands(), plan.n_frames(61)]);
            let error = error(&values(output), &expected);
            assert!(error < TOLERANCE, "{name} {plan:?}: {error}");
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let samples = 45;
    let waveform = noise(2, samples);
    let exact = wide(&waveform);
    for plan in plans() {
        let weights = noise(3, plan.n_bands() * plan.n_frames(samples));
        let loss = |waveform: &[f64]| -> f64 {
            by_definition(&plan, waveform)
                .iter()
                .zip(&weights)
                .map(|(y, &w)| y * f64::from(w))
                .sum()
        };
        let step = 1e-6;
        let expected: Vec<f64> = (0..samples)
            .map(|i| {
                let at = |shift: f64| {
                    let mut moved = exact.clone();
                    moved[i] += shift;
                    loss(&moved)
                };
                (at(step) - at(-step)) / (2.0 * step)
            })
            .collect();
        for (name, operation) in OPERATIONS {
            let device = Device::flex().autodiff();
            let input = tensor(&waveform, 1, &device).require_grad();
            let output = operation(input.clone(), &plan);
            let weights = TensorData::new(weights.clone(), output.dims());
            let loss = (output * Tensor::from_data(weights, &device)).sum();
            let gradient = input.grad(&loss.backward()).unwrap();
            let error = error(&values(gradient), &expected);
            // The differences are accurate to about 1e-9; a magnitude near 0 amplifies rounding.
            assert!(error < 2e-5, "{name} {plan:?}: {error}");
        }
    }
}

#[test]
fn kernel_equals_plain_operations_on_a_non_contiguous_batch() {
    let device = Device::flex().autodiff();
    let batch = 3;
    for plan in plans() {
        let run = |operation: Operation| {
            let source = tensor(&noise(4, 50 * batch), 50, &device).require_grad();
            let output = operation(source.clone().swap_dims(0, 1), &plan);
            let gradient =
                source.grad(&(output.clone() * output.clone()).sum().backward()).unwrap();
            (values(output), values(gradient))
        };
        let (fast, composite) = (run(OPERATIONS[0].1), run(OPERATIONS[1].1));
        assert!(error(&fast.0, &wide(&composite.0)) < TOLERANCE, "values, {plan:?}");
        assert!(error(&fast.1, &wide(&composite.1)) < 2e-5, "gradients, {plan:?}");
    }
}

#[test]
fn gradients_of_silence_are_finite() {
    let device = Device::flex().autodiff();
    for plan in plans() {
        for (name, operation) in OPERATIONS {
            for level in [0.0, 1e-30] {
                let input = tensor(&[level; 40], 1, &device).require_grad();
                let output = operation(input.clone(), &plan);
                let gradient = input.grad(&output.clone().sum().backward()).unwrap();
                let finite = |values: Vec<f32>| values.iter().all(|value| value.is_finite());
                assert!(finite(values(output)) && finite(values(gradient)), "{name} {plan:?}");
            }
        }
    }
}

#[test]
fn errors_name_the_invalid_argument() {
    let plan = |window: usize, hop, filters: &[f32], c| {
        MelPlan::new(vec![1.0; window], hop, filters, Exponent::Power, c).unwrap_err().to_string()
    };
    assert!(plan(0, 1, &[1.0], None).contains("n_fft = 0"));
    assert!(plan(MAX_N_FFT + 1, 1, &[1.0], None).contains("n_fft = 16385"));
    assert!(plan(2, 0, &[1.0; 2], None).contains("hop_length = 0"));
    assert!(plan(2, 1, &[1.0; 3], None).contains("3 filter weights"));
    assert!(plan(2, 1, &[1.0, f32::NAN], None).contains("NaN"));
    assert!(plan(2, 1, &[1.0; 2], Some(-1.0)).contains("compression = -1"));
}
