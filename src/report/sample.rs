//! Synthetic runs, for tests and for a look at the page.

use std::collections::BTreeMap;

use datasets::tracks::magnatagatune::TOP_50;
use models::front_end::strided::{FeaturePool, PoolKind};

use super::evaluated_run::{EvaluatedRun, Filters, QuarantinedFile, Task};
use super::filters::mel_centre;
use crate::evaluation::metrics::Targets;
use crate::evaluation::predictions::Predictions;
use crate::experiment::PaperFigure;
use crate::rng::philox;
use crate::training::log::LogLine;

pub const SAMPLE_RATE: u32 = 16_000;

/// A number from 0 to 1.
pub fn uniform(key: u64, index: usize) -> f64 {
    (philox([key, 77], [index as u64, 0, 0, 0])[0] >> 11) as f64 / (1u64 << 53) as f64
}

pub fn normal(key: u64, index: usize) -> f64 {
    let (a, b) = (uniform(key, 2 * index), uniform(key, 2 * index + 1));
    (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

/// Targets with tags of decreasing frequency.
pub fn targets(tracks: usize, tags: usize) -> Targets {
    let names: Vec<String> = (0..tags)
        .map(|tag| TOP_50.get(tag).map_or_else(|| format!("tag {tag}"), |name| (*name).to_owned()))
        .collect();
    let values = (0..tracks * tags)
        .map(|i| uniform(1, i) < 0.2 / (1.0 + 0.15 * (i % tags) as f64))
        .collect();
    Targets::new((0..tracks).map(|i| format!("track-{i:04}")).collect(), names, values).unwrap()
}

/// Predictions that improve with `skill`.
pub fn predictions(targets: &Targets, skill: f64, seed: u64) -> Predictions {
    let width = targets.tags.len();
    let values = targets.values.iter().enumerate().map(|(i, &has)| {
        let tag = i % width;
        let lift = skill * (0.6 + 0.8 * uniform(2, tag)) + 0.1 * normal(300 + seed, tag);
        // Half of the noise is the same for every model.
        let noise = 0.7 * normal(3, i) + 0.7 * normal(100 + seed, i);
        let logit = noise + if has { lift } else { 0.0 } - 2.5;
        (1.0 / (1.0 + (-logit).exp())) as f32
    });
    Predictions::new(targets.ids.clone(), targets.tags.clone(), values.collect()).unwrap()
}

pub fn log(steps: u64, skill: f64, seed: u64) -> Vec<LogLine> {
    let mut lines = vec![LogLine::Start { step: 0, unix_seconds: 1_700_000_000 }];
    let mut best = 0.0;
    for index in 1..=steps / 50 {
        let (step, at) = (index * 50, index as f64 * 50.0 / steps as f64);
        let fall = 0.16 + 0.45 * (-at * (6.0 + skill)).exp() - 0.02 * skill * at;
        let loss = fall + 0.02 * normal(500 + seed, index as usize);
        lines.push(LogLine::Train {
            step,
            loss,
            learning_rate: 0.01,
            excerpts_per_second: 210.0,
            waiting: 0.01,
            gradient_norm: None,
        });
        if step % (steps / 20) == 0 {
            let auc = 0.5
                + (0.25 + 0.1 * skill) * (1.0 - (-at * 5.0).exp())
                + 0.004 * normal(700 + seed, index as usize);
            let metrics = BTreeMap::from([
                ("loss".to_owned(), Some(fall + 0.015 + 0.03 * at * at)),
                ("roc_auc_macro".to_owned(), Some(auc)),
                ("pr_auc_macro".to_owned(), Some(auc - 0.5)),
            ]);
            lines.push(LogLine::Valid { step, metrics, best: auc > best });
            best = auc.max(best);
        }
    }
    lines.push(LogLine::End { step: steps, reason: "steps".into(), seconds: steps as f64 * 0.04 });
    lines
}

/// Noisy windowed sinusoids near the mel scale; the filters of a pool are nearly shifted copies.
pub fn filters(count: usize, length: usize, pool: Option<usize>, seed: u64) -> Filters {
    let size = pool.unwrap_or(1);
    let pools = count / size;
    let mut weights = Vec::with_capacity(count * length);
    for filter in 0..count {
        let group = filter / size;
        // Training does not sort filters.
        let rank = (group * 37 + 11) % pools;
        let centre = mel_centre(rank, pools, f64::from(SAMPLE_RATE) / 2.0);
        let hertz = centre * (1.0 + 0.06 * normal(40 + seed, group));
        let shift = uniform(50 + seed, filter) * 40.0;
        let noise = if rank % 5 == 4 { 0.9 } else { 0.2 };
        for tap in 0..length {
            let t = tap as f64 - length as f64 / 2.0 - shift + 20.0;
            let window = (-(t / (length as f64 * 0.22)).powi(2)).exp();
            let phase = std::f64::consts::TAU * hertz.min(7900.0) * t / f64::from(SAMPLE_RATE);
            let value =
                window * phase.cos() + noise * 0.3 * normal(60 + seed, filter * length + tap);
            weights.push((0.1 * value) as f32);
        }
    }
    let pool = pool.map(|size| FeaturePool { kind: PoolKind::L2, size });
    Filters { sample_rate: SAMPLE_RATE, length, weights, pool }
}

/// A run on `targets`, of seed `seed`.
pub fn run(group: &str, skill: f64, seed: u64, targets: &Targets) -> EvaluatedRun {
    let environment = [
        ("tonotopy", "0.1.0"),
        ("burn", "0.22.1"),
        ("commit", "84c62c2f00ba"),
        ("device", "wgpu:0"),
        ("device name", "NVIDIA GeForce RTX 3060"),
        ("os", "linux x86_64"),
    ];
    let number = seed + (skill * 1000.0) as u64 * 10;
    EvaluatedRun {
        folder: format!("runs/{group}-s{seed}").into(),
        name: format!("{group}-s{seed}"),
        seed,
        group: group.to_owned(),
        about: format!("P3, table 1: {group}"),
        settings: BTreeMap::from([("model.name".into(), group.to_owned())]),
        dataset: "magnatagatune/pons2017".into(),
        split: "test".into(),
        task: Task::Tags,
        model: format!("tagger on {group}"),
        parameters: 74_974,
        steps: 20_000,
        seconds: 850.0 + 31.0 * seed as f64,
        device: "wgpu:0".into(),
        paper: None,
        log: log(20_000, skill, number),
        predictions: predictions(targets, skill, number),
        targets: targets.clone(),
        filters: None,
        multiscale: None,
        environment: environment.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        quarantine: vec![
            QuarantinedFile {
                path: "6/norine_braun-now_and_zen-08.mp3".into(),
                reason: "empty file".into(),
            },
            QuarantinedFile {
                path: "8/jacob_heringman-josquin.mp3".into(),
                reason: "empty file".into(),
            },
            QuarantinedFile {
                path: "9/american_baroque-dances.mp3".into(),
                reason: "truncated after 3.1 s".into(),
            },
        ],
        recommendation: None,
        simulated: false,
        example_tags: BTreeMap::new(),
        notes: vec![],
        command: format!("tonotopy train experiments/end_to_end/{group}.toml --seed {seed}"),
    }
}

pub fn paper(value: f64, certainty: &str) -> Option<PaperFigure> {
    Some(PaperFigure {
        metric: "roc_auc_macro".into(),
        value,
        source: "P3, table 1".into(),
        certainty: certainty.into(),
    })
}

/// Three front ends with three seeds each.
pub fn study(tracks: usize, tags: usize) -> Vec<EvaluatedRun> {
    let targets = targets(tracks, tags);
    let mut runs = Vec::new();
    for seed in 1..=3 {
        let mut mel = run("mel-256-256", 1.65, seed, &targets);
        mel.paper = paper(0.8815, "read");
        mel.model = "tagger on mel 512/256, 128 bands".into();
        let mut raw = run("strided-256-256", 1.45, seed, &targets);
        raw.paper = paper(0.8487, "read");
        raw.filters = Some(filters(128, 256, None, seed));
        raw.parameters = 107_742;
        let mut pooled = run("strided-l2-4", 1.42, seed, &targets);
        pooled.filters = Some(filters(256, 256, Some(4), seed));
        pooled.model = "tagger on strided 256/256, l2 pools of 4".into();
        pooled.parameters = 123_456;
        runs.extend([mel, raw, pooled]);
    }
    runs
}
