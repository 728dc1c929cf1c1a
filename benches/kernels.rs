//! Every kernel next to the tensor operations that it replaces, on the CPU or on the device that
//! `TONOTOPY_BENCH_DEVICE` names (a value of `--device`).

use std::hint::black_box;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use kernels::bands::{Activation, BandOptions, bands, bands_composite};
use kernels::conv::{ConvOptions, End, conv, conv_composite};
use kernels::feature_pool::{FeaturePooling, feature_pool, feature_pool_composite};
use kernels::linalg::Width;
use kernels::mel::{Exponent, MelPlan, log_mel, log_mel_composite};
use kernels::optimizer::{
    Adam, Momentum, adam_step, adam_step_composite, momentum_step, momentum_step_composite,
};
use kernels::pcm16;
use tonotopy::device::open;

/// The device to measure.
fn device() -> Device {
    let name = std::env::var("TONOTOPY_BENCH_DEVICE").unwrap_or_else(|_| "cpu".into());
    let choice = name.parse().unwrap_or_else(|error| panic!("TONOTOPY_BENCH_DEVICE: {error}"));
    open(choice).unwrap_or_else(|error| panic!("TONOTOPY_BENCH_DEVICE: {error}")).device
}

/// Runs `work` and waits until the device has finished.
fn done<T>(device: &Device, work: impl FnOnce() -> T) -> T {
    let result = work();
    device.sync().expect("the device works");
    result
}

fn noise<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let values = tonotopy_benches::noise(shape.iter().product());
    Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape)
}

/// 32 excerpts of 3 s, P3's spectrogram.
fn mel(c: &mut Criterion) {
    let (n_fft, bands) = (512, 128);
    // Flat overlapping bands: the weights do not affect the time.
    let filters: Vec<f32> = (0..bands)
        .flat_map(|band| (0..n_fft / 2 + 1).map(move |bin| f32::from(bin / 4 == band / 2)))
        .collect();
    let window = vec![0.5; n_fft];
    let plan = MelPlan::new(window, 256, &filters, Exponent::Power, Some(1e4));
    let plan = Arc::new(plan.expect("the plan is well formed"));
    let device = device();
    let x = noise([32, 48_000], &device);
    let mut group = c.benchmark_group("log-mel, 32 x 3 s, 512/256");
    group.bench_function("kernel", |b| b.iter(|| done(&device, || log_mel(x.clone(), &plan))));
    group.bench_function("plain", |b| {
        b.iter(|| done(&device, || log_mel_composite(x.clone(), &plan)));
    });
}

type Convolve = fn(Tensor<3>, Tensor<3>, Tensor<1>, ConvOptions) -> Tensor<3>;

/// Front ends on raw audio, the layers above them, and the largest convolution of latentnet.
fn convolutions(c: &mut Criterion) {
    let pool = End::RectifiedPool { pool: 4, partial: false };
    let raw = ConvOptions { stride: 256, end: End::Linear };
    let layer = ConvOptions { stride: 1, end: pool };
    let alone = End::RectifiedPool { pool: 1, partial: false };
    let unpooled = ConvOptions { stride: 1, end: alone };
    let cases = [
        ("strided, 32 x 3 s, 128 filters of 256", [32, 1, 48_000], [128, 1, 256], raw),
        ("strided, 32 x 3 s, 512 filters of 1024", [32, 1, 48_000], [512, 1, 1024], raw),
        ("32 x 128 x 187, 32 filters of 8, pools of 4", [32, 128, 187], [32, 128, 8], layer),
        ("32 x 32 x 45, 32 filters of 8, pools of 4", [32, 32, 45], [32, 32, 8], layer),
        ("32 x 512 x 35, 512 filters of 4", [32, 512, 35], [512, 512, 4], unpooled),
    ];
    for (name, x_shape, w_shape, options) in cases {
        let mut group = c.benchmark_group(format!("convolution, {name}"));
        let ways: [(&str, Convolve); 2] = [("kernel", conv), ("plain", conv_composite)];
        for (way, convolve) in ways {
            let device = device();
            let (x, w) = (noise(x_shape, &device), noise(w_shape, &device));
            let bias = noise([w_shape[0]], &device);
            group.bench_function(format!("{way}, forward"), |b| {
                b.iter(|| done(&device, || convolve(x.clone(), w.clone(), bias.clone(), options)));
            });
            let tracked = device.clone().autodiff();
            let (x, w) = (noise(x_shape, &tracked), noise(w_shape, &tracked));
            let bias = noise([w_shape[0]], &tracked);
            // Raw audio needs no gradient.
            let x = if x_shape[1] == 1 { x } else { x.require_grad() };
            let (w, bias) = (w.require_grad(), bias.require_grad());
            group.bench_function(format!("{way}, forward and backward"), |b| {
                let convolve = || convolve(x.clone(), w.clone(), bias.clone(), options);
                b.iter(|| done(&device, || convolve().sum().backward()));
            });
        }
    }
}

type Filterbank = fn(Tensor<3>, Tensor<3>, Tensor<1>, BandOptions) -> Tensor<3>;

/// A filterbank with feature pooling on raw audio: one operation, and separate convolution, pooling, bias and rectifier.
fn filterbank(c: &mut Criterion) {
    let options = BandOptions {
        stride: 256,
        pool: Some((4, FeaturePooling::L2 { floor: 1e-12 })),
        activation: Activation::Relu,
    };
    let in_parts: Filterbank = |x, weights, bias, options| {
        let none = Tensor::zeros([512], &x.device());
        let linear = ConvOptions { stride: options.stride, end: End::Linear };
        let (size, pooling) = options.pool.expect("given above");
        let pools = feature_pool(conv(x, weights, none, linear), size, pooling);
        burn::tensor::activation::relu(pools + bias.reshape([1, -1, 1]))
    };
    let ways =
        [("kernel", bands as Filterbank), ("in parts", in_parts), ("plain", bands_composite)];
    let mut group = c.benchmark_group("filterbank, 32 x 3 s, 512 filters of 1024, L2 pools of 4");
    for (way, filterbank) in ways {
        let device = device();
        let given = |device: &Device| {
            (noise([32, 1, 48_000], device), noise([512, 1, 1024], device), noise([128], device))
        };
        let (x, weights, bias) = given(&device);
        group.bench_function(format!("{way}, forward"), |b| {
            let run = || filterbank(x.clone(), weights.clone(), bias.clone(), options);
            b.iter(|| done(&device, run));
        });
        let (x, weights, bias) = given(&device.clone().autodiff());
        let (weights, bias) = (weights.require_grad(), bias.require_grad());
        group.bench_function(format!("{way}, forward and backward"), |b| {
            let run = || filterbank(x.clone(), weights.clone(), bias.clone(), options);
            b.iter(|| done(&device, || run().sum().backward()));
        });
    }
}

fn pooling(c: &mut Criterion) {
    type Pool = fn(Tensor<3>, usize, FeaturePooling) -> Tensor<3>;
    let device = device();
    // As convolutions leave them: filters interleaved on the CPU, frames on GPUs.
    let tracked = device.clone().autodiff();
    let x = noise([32, 187, 512], &tracked).swap_dims(1, 2);
    let on_gpu = noise([32, 512, 187], &tracked);
    let x = if device == Device::flex() { x } else { on_gpu }.require_grad();
    for (name, pooling) in
        [("L2", FeaturePooling::L2 { floor: 1e-8 }), ("max", FeaturePooling::Max)]
    {
        let title = format!("{name} pools of 4, 32 x 512 x 187, forward and backward");
        let mut group = c.benchmark_group(title);
        let ways: [(&str, Pool); 2] = [("kernel", feature_pool), ("plain", feature_pool_composite)];
        for (way, pool) in ways {
            group.bench_function(way, |b| {
                b.iter(|| done(&device, || pool(x.clone(), 4, pooling).sum().backward()));
            });
        }
    }
}

/// A million parameters; what a step leaves is what the next begins with, as in training.
fn optimizers(c: &mut Criterion) {
    let device = Device::flex();
    let gradient = noise([1000, 1000], &device);
    let momentum =
        Momentum { learning_rate: 1e-3, momentum: 0.9, nesterov: true, weight_decay: 0.0 };
    let adam = Adam {
        learning_rate: 1e-3,
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
        decoupled: false,
    };
    let mut group = c.benchmark_group("optimizer, 1 000 000 parameters");
    for (name, step) in [("kernel", true), ("plain", false)] {
        let mut held = Some((gradient.clone(), gradient.zeros_like()));
        group.bench_function(format!("Nesterov, {name}"), |b| {
            b.iter(|| {
                let (p, v) = held.take().expect("put back below");
                let one = if step { momentum_step } else { momentum_step_composite };
                held = Some(one(p, gradient.clone(), v, momentum));
            });
        });
        let zeros = || gradient.zeros_like();
        let mut held = Some((gradient.clone(), [zeros(), zeros()]));
        group.bench_function(format!("Adam, {name}"), |b| {
            b.iter(|| {
                let (p, moments) = held.take().expect("put back below");
                let one = if step { adam_step } else { adam_step_composite };
                held = Some(one(p, gradient.clone(), moments, 10, adam));
            });
        });
    }
}

/// What a row of weighted matrix factorisation takes: the Gram matrix of its items' factors, and its solution.
fn dense(c: &mut Criterion) {
    let (n, depth) = (50, 200);
    let width = Width::best();
    let ld = 64;
    let a: Vec<f32> = (0..depth * ld).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
    let mut group = c.benchmark_group("factorisation, 50 factors, a row of 200 items");
    let mut gram = vec![0.0; ld * ld];
    group.bench_function("Gram matrix", |b| {
        b.iter(|| width.gram(&a, ld, depth, black_box(&mut gram), n, n, false));
    });
    width.gram(&a, ld, depth, &mut gram, n, n, false);
    let mut diagonal = vec![0.0; ld];
    group.bench_function("Cholesky factor", |b| {
        b.iter(|| {
            let mut c = gram.clone();
            (0..n).for_each(|i| c[i * ld + i] += 100.0);
            black_box(width.cholesky(&mut c, ld, n, &mut diagonal))
        });
    });
}

/// 3 s at 16 kHz from their 16 bits, and back to them.
fn stored_samples(c: &mut Criterion) {
    let bytes: Vec<u8> = (0..48_000_i32).flat_map(|i| ((i * 31) as i16).to_le_bytes()).collect();
    let mut samples = vec![0.0; 48_000];
    let mut stored = Vec::new();
    let mut group = c.benchmark_group("48 000 samples");
    group.bench_function("from 16 bits", |b| {
        b.iter(|| {
            samples.clear();
            pcm16::convert(&bytes, 1.0 / 32_768.0, black_box(&mut samples));
        });
    });
    group.bench_function("to 16 bits", |b| {
        b.iter(|| {
            stored.clear();
            pcm16::quantise(&samples, 1.0 / 32_768.0, black_box(&mut stored));
        });
    });
    group.bench_function("peak", |b| b.iter(|| pcm16::peak(black_box(&samples))));
}

/// Inference on one excerpt of 3 s of raw audio, with constant and with changing weights.
fn one_excerpt(c: &mut Criterion) {
    let device = Device::flex();
    let x = noise([1, 1, 48_000], &device);
    let (w, bias) = (noise([128, 1, 256], &device), noise([128], &device));
    let rectified = End::RectifiedPool { pool: 1, partial: false };
    let options = ConvOptions { stride: 256, end: rectified };
    let mut group = c.benchmark_group("convolution, strided, 1 x 3 s, 128 filters of 256");
    group.bench_function("the same weights", |b| {
        b.iter(|| black_box(conv(x.clone(), w.clone(), bias.clone(), options)));
    });
    group.bench_function("other weights", |b| {
        b.iter(|| black_box(conv(x.clone(), w.clone() + 0.0, bias.clone(), options)));
    });
}

criterion_group!(
    benches,
    mel,
    convolutions,
    filterbank,
    one_excerpt,
    pooling,
    optimizers,
    dense,
    stored_samples
);
criterion_main!(benches);
