//! Benchmarks that detect regressions: `cargo bench -p tonotopy-benches`. Comparisons with other programs are in
//! `benches/compare/`.

use std::hint::black_box;
use std::sync::Arc;

use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use models::{Fitted, Network};
use tonotopy::data::sampler::ExcerptSampler;
use tonotopy::evaluation::metrics::retrieval::{Options, score_recommendation};
use tonotopy::evaluation::metrics::{Targets, score};
use tonotopy::evaluation::predictions::Predictions;
use tonotopy::experiment::Experiment;
use tonotopy::listening::item_lists::ItemLists;
use tonotopy::listening::matrix::Matrix;
use tonotopy::listening::top_k::{Index, Measure};
use tonotopy::map::{TsneConfig, tsne};
use tonotopy::rng::philox;
use tonotopy::runs::model::initial;
use tonotopy_benches::noise;

const BATCH: usize = 10;
const SECONDS: f64 = 3.0;

/// Front ends of P3, as in an experiment file.
const FRONT_ENDS: [(&str, &str); 3] = [
    ("mel 512/256", r#"{ name = "mel", n_fft = 512, hop_length = 256 }"#),
    ("strided 256/256", r#"{ name = "strided", filters = 128, length = 256, stride = 256 }"#),
    (
        "strided 256/256, L2 pools of 4",
        r#"{ name = "strided", filters = 512, length = 256, stride = 256, pool = { kind = "l2", size = 4 } }"#,
    ),
];

fn experiment(front_end: &str) -> Experiment {
    let text = format!(
        "dataset = {{ name = \"synthetic\" }}\n[model]\nname = \"tagger\"\nfront_end = {front_end}\n\
         [training]\nexcerpt_seconds = {SECONDS}\nbatch_size = {BATCH}"
    );
    Experiment::parse(&text, &[]).expect("valid experiment")
}

/// A training step of P3's networks (forward, backward, update) on 10 excerpts of 3 s, on the CPU.
fn training_step(c: &mut Criterion) {
    let mut group = c.benchmark_group("training step");
    group.sample_size(20).throughput(Throughput::Elements(BATCH as u64));
    for (name, front_end) in FRONT_ENDS {
        let experiment = experiment(front_end);
        let (device, samples) = (Device::flex(), experiment.excerpt_samples());
        let tracked = device.clone().autodiff();
        let mut model =
            Some(initial(&experiment, 50, &Fitted::default(), &device).expect("valid model"));
        let mut optimizer = experiment.training.optimizer.init();
        let waveforms = noise(BATCH * samples);
        group.bench_function(name, |b| {
            b.iter_batched(
                || {
                    let x = TensorData::new(waveforms.clone(), [BATCH, samples]);
                    (Tensor::from_data(x, &tracked), Tensor::zeros([BATCH, 50], &tracked))
                },
                |(x, targets)| {
                    let before = model.take().expect("put back below");
                    let loss = experiment.training.loss.forward(before.forward(x), targets);
                    let gradients = GradientsParams::from_grads(loss.backward(), &before);
                    model = Some(optimizer.step(0.01, before, gradients));
                    tracked.sync().expect("the CPU does not fail");
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// Prediction of 16 excerpts of 3 s.
fn prediction(c: &mut Criterion) {
    let mut group = c.benchmark_group("prediction");
    group.sample_size(20).throughput(Throughput::Elements(16));
    for (name, front_end) in FRONT_ENDS {
        let experiment = experiment(front_end);
        let (device, samples) = (Device::flex(), experiment.excerpt_samples());
        let model = initial(&experiment, 50, &Fitted::default(), &device).expect("valid model");
        let model = burn::module::Module::valid(&model);
        let x: Tensor<2> =
            Tensor::from_data(TensorData::new(noise(16 * samples), [16, samples]), &device);
        group.bench_function(name, |b| b.iter(|| black_box(model.forward(x.clone()).into_data())));
    }
    group.finish();
}

/// Macro ROC-AUC and average precision for a dataset of the size of MagnaTagATune.
fn metrics(c: &mut Criterion) {
    let (tracks, tags) = (25_863, 188);
    let ids: Vec<String> = (0..tracks).map(|i| i.to_string()).collect();
    let names: Vec<String> = (0..tags).map(|i| format!("tag {i}")).collect();
    let values: Vec<f32> = noise(tracks * tags).iter().map(|x| x.abs().min(1.0)).collect();
    let truth: Vec<bool> = noise(tracks * tags).iter().map(|x| *x > 0.9).collect();
    let predictions = Predictions::new(ids.clone(), names.clone(), values).expect("the shapes fit");
    let targets = Targets::new(ids, names, truth).expect("the shapes fit");
    c.bench_function("metrics 25863 x 188", |b| {
        b.iter(|| score(&predictions, &targets, "bench", "test").expect("all is finite"));
    });
}

/// Sampling of a batch of excerpts from a dataset of the size of MagnaTagATune.
fn excerpts(c: &mut Criterion) {
    let sampler = Arc::new(ExcerptSampler::new(1, BATCH, 48_000, 1, vec![464_000; 18_706]));
    let mut step = 0;
    c.bench_function("excerpts of a batch", |b| {
        b.iter(|| {
            step += 1;
            black_box(sampler.batch(step))
        });
    });
}

fn factors(rows: usize, columns: usize) -> Matrix {
    Matrix::new(rows, columns, noise(rows * columns)).expect("the shape fits")
}

/// Recommendation metrics, as `compare/recommendation.py` computes them in NumPy.
fn recommendation(c: &mut Criterion) {
    let (users, items, held_out) = (2_000, 50_000, 20);
    let rows = (0..users as u64).map(|user| {
        let drawn = (0..held_out).map(|i| philox([2, 99], [user, i, 0, 0])[0] % items as u64);
        drawn.map(|item| item as u32).collect::<std::collections::BTreeSet<_>>()
    });
    let rows = rows.map(|row| row.into_iter().collect::<Vec<_>>());
    let lists = ItemLists::from_rows(rows).expect("unique items");
    let (x, y) = (factors(users, 50), factors(items, 50));
    let mut group = c.benchmark_group("recommendation");
    group.sample_size(10).throughput(Throughput::Elements(users as u64));
    group.bench_function("2000 users x 50000 items x 50", |b| {
        b.iter(|| score_recommendation(&x, &y, &lists, &Options::default()).expect("finite"));
    });
}

/// Search for the best 10 of 1 000 000 items.
fn search(c: &mut Criterion) {
    let items = factors(1_000_000, 50);
    let index = Index::new(&items, Measure::InnerProduct).expect("all is finite");
    let mut group = c.benchmark_group("best 10 of 1000000 x 50");
    group.sample_size(10);
    for queries in [1, 64] {
        let x = factors(queries, 50);
        group.throughput(Throughput::Elements(queries as u64));
        group.bench_function(format!("{queries} queries"), |b| {
            b.iter(|| index.search(&x, 10, None).expect("all is finite"));
        });
    }
}

/// A t-SNE map of 20 000 points with the default number of steps.
fn map(c: &mut Criterion) {
    let points = factors(20_000, 50);
    let mut group = c.benchmark_group("map");
    group.sample_size(10);
    group.bench_function("20000 x 50", |b| {
        b.iter(|| tsne(&points, &TsneConfig::default(), |_| ()).expect("all is finite"));
    });
}

criterion_group!(
    benches,
    training_step,
    prediction,
    metrics,
    excerpts,
    recommendation,
    search,
    map
);
criterion_main!(benches);
