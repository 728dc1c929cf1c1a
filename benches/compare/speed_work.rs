//! Measurements for `speed.py` that no verb offers; prints the time as JSON.
//!
//! - `speed_work mel SECONDS`: log-mel spectrograms of noise at 22 050 Hz, in pieces of 30 s
//! - `speed_work front_end CONFIG BATCH REPEATS predict|train`: the median pass of a front end (JSON) over excerpts of
//!   48 000 samples of noise, forward, or forward and backward to its parameters
//! - `speed_work metrics TRACKS TAGS`: macro ROC-AUC and average precision of random predictions
//! - `speed_work tsne FILE ROWS`: a map of the rows (little-endian f32 without a header)

use std::error::Error;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use models::FrontEndConfig;
use models::front_end::MelConfig;
use tonotopy::evaluation::metrics::{Targets, score};
use tonotopy::evaluation::predictions::Predictions;
use tonotopy::listening::matrix::Matrix;
use tonotopy::map::{TsneConfig, tsne};
use tonotopy::rng::philox;

type Failure = Box<dyn Error + Send + Sync>;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["mel", seconds] => mel(seconds.parse()?),
        ["front_end", config, batch, repeats, mode @ ("predict" | "train")] => {
            front_end(config, batch.parse()?, repeats.parse()?, mode == "train")
        }
        ["metrics", tracks, tags] => metrics(tracks.parse()?, tags.parse()?),
        ["tsne", file, rows] => map(file, rows.parse()?),
        _ => Err("speed_work mel SECONDS | front_end CONFIG BATCH REPEATS predict|train | metrics TRACKS TAGS | tsne FILE ROWS".into()),
    }
}

/// Uniform values in `[0, 1)`.
fn noise(count: usize) -> Vec<f32> {
    (0..count as u64)
        .map(|i| (philox([1, 97], [i, 0, 0, 0])[0] >> 40) as f32 / (1u64 << 24) as f32)
        .collect()
}

fn mel(seconds: usize) -> Result<(), Failure> {
    const RATE: usize = 22_050;
    let config = MelConfig {
        sample_rate: RATE as u32,
        n_fft: 1024,
        hop_length: 512,
        n_mels: 128,
        ..MelConfig::default()
    };
    let device = Device::flex();
    let front_end = FrontEndConfig::Mel(config).init(&device)?;
    let piece: Tensor<2> =
        Tensor::from_data(TensorData::new(noise(30 * RATE), [1, 30 * RATE]), &device);
    let begin = Instant::now();
    let (mut frames, mut last) = (0, 0.0);
    for _ in 0..seconds.div_ceil(30) {
        let bands = front_end.forward(piece.clone());
        frames += bands.dims()[2];
        last = bands.slice([0..1, 0..1, 0..1]).into_scalar::<f32>();
    }
    println!(
        "{{\"seconds\": {}, \"frames\": {frames}, \"first\": {last}}}",
        begin.elapsed().as_secs_f64()
    );
    Ok(())
}

fn front_end(config: &str, batch: usize, repeats: usize, training: bool) -> Result<(), Failure> {
    let config: FrontEndConfig = serde_json::from_str(config)?;
    let samples = 48_000;
    config.validate(samples)?;
    let plain = Device::flex();
    let device = if training { plain.autodiff() } else { plain };
    let front_end = config.init(&device)?;
    let noise = noise(batch * samples).iter().map(|x| x - 0.5).collect::<Vec<f32>>();
    let x: Tensor<2> = Tensor::from_data(TensorData::new(noise, [batch, samples]), &device);
    let mut times = Vec::new();
    // One more, in which everything is warmed up.
    for _ in 0..=repeats {
        let begin = Instant::now();
        let bands = front_end.forward(x.clone());
        if training {
            bands.sum().backward();
        } else {
            bands.slice([0..1, 0..1, 0..1]).into_scalar::<f32>();
        }
        times.push(begin.elapsed().as_secs_f64());
    }
    times.remove(0);
    times.sort_by(f64::total_cmp);
    println!("{{\"seconds\": {}}}", times[times.len() / 2]);
    Ok(())
}

fn metrics(tracks: usize, tags: usize) -> Result<(), Failure> {
    let ids: Vec<String> = (0..tracks).map(|i| i.to_string()).collect();
    let names: Vec<String> = (0..tags).map(|i| format!("tag {i}")).collect();
    let values = noise(2 * tracks * tags);
    let (values, truth) = values.split_at(tracks * tags);
    let truth: Vec<bool> = truth.iter().map(|x| *x < 0.05).collect();
    let predictions = Predictions::new(ids.clone(), names.clone(), values.to_vec())?;
    let targets = Targets::new(ids, names, truth)?;
    let begin = Instant::now();
    let scores = score(&predictions, &targets, "noise", "test")?;
    println!(
        "{{\"seconds\": {}, \"roc_auc_macro\": {}}}",
        begin.elapsed().as_secs_f64(),
        scores.roc_auc_macro.unwrap_or(f64::NAN)
    );
    Ok(())
}

fn map(file: &str, rows: usize) -> Result<(), Failure> {
    let bytes = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    let values = bytes.chunks_exact(4);
    let values: Vec<f32> =
        values.map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
    let points = Matrix::new(rows, values.len() / rows.max(1), values)?;
    let begin = Instant::now();
    // The same number of steps as the peer.
    let found = tsne(&points, &TsneConfig::default(), |_| ())?;
    println!(
        "{{\"seconds\": {}, \"kl_divergence\": {}}}",
        begin.elapsed().as_secs_f64(),
        found.kl_divergence
    );
    Ok(())
}
