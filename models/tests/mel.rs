//! Comparison of the mel front end with librosa over a grid of settings.

use burn::tensor::{Device, Tensor, TensorData};
use kernels::mel::log_mel_composite;
use models::front_end::MelConfig;
use models::front_end::filterbank::MelScale;
use models::front_end::mel::PadKind;

#[derive(serde::Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    config: MelConfig,
    shape: [usize; 2],
    values: Vec<f64>,
}

/// The signal of `librosa_reference.py`.
pub fn signal() -> Vec<f32> {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 23) - 1.0
    };
    let sample = |n: usize| {
        let n = n as f64;
        let tones = 0.4 * (0.11 * n).sin() + 0.3 * (0.2 * n + 1e-4 * n * n).sin();
        (tones + 0.1 * noise()) as f32
    };
    (0..4096).map(sample).collect()
}

/// Allowed difference relative to the band.
const TOLERANCE: f64 = 1e-4;

/// Allowed difference relative to the loudest band: rounding errors of a Fourier transform in single precision
/// are about 1e-7 of the loudest bin in all bands.
const FLOOR: f64 = 1e-7;

#[test]
fn agrees_with_librosa() {
    let reference: Reference =
        serde_json::from_str(include_str!("librosa_reference.json")).unwrap();
    assert!(reference.cases.len() >= 15);
    let device = Device::flex();
    let signal = signal();
    for Case { config, shape, values } in reference.cases {
        config.validate(signal.len()).unwrap();
        assert_eq!([config.n_mels, config.frames(signal.len())], shape, "{config:?}");
        let mel = config.init().unwrap();
        let waveform =
            || Tensor::<2>::from_data(TensorData::new(signal.clone(), [1, 4096]), &device);
        let fast = mel.forward(waveform());
        assert_eq!(fast.dims(), [1, shape[0], shape[1]]);
        check(&config, fast, &values);
        if !config.center || config.pad_mode != PadKind::Reflect {
            let half = if config.center { config.n_fft / 2 } else { 0 };
            let padded = waveform().pad([(half, half)], 0.0_f32);
            check(&config, log_mel_composite(padded, mel.plan()), &values);
        }
    }
}

fn check(config: &MelConfig, output: Tensor<3>, expected: &[f64]) {
    let output: Vec<f32> = output.into_data().try_to_vec().unwrap();
    assert_eq!(output.len(), expected.len());
    let loudest = expected.iter().copied().fold(0.0, f64::max);
    assert!(loudest > 0.0);
    for (i, (y, expected)) in output.iter().zip(expected).enumerate() {
        let compressed = (config.compression * expected).ln_1p();
        let difference = (f64::from(*y) - compressed).abs();
        assert!(difference <= 1e-4 * compressed + 1e-6, "{config:?}, value {i}: {y}, {compressed}");
        // The logarithm taken back: as sharp on loud bands as on quiet ones.
        let value = f64::from(*y).exp_m1() / config.compression;
        let allowed = TOLERANCE * expected + FLOOR * loudest;
        let difference = (value - expected).abs();
        assert!(difference <= allowed, "{config:?}, value {i}: {value}, librosa has {expected}");
    }
}

/// Bands between two frequencies of the transform, by the formula of the mel scale.
#[test]
fn bands_that_hold_no_frequency_are_counted() {
    let mel = |hz: f64| 2595.0 * (1.0 + hz / 700.0).log10();
    let hz = |mel: f64| 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
    for (n_fft, n_mels) in [(512, 40), (512, 128), (512, 1000), (2048, 128)] {
        let config = MelConfig { n_fft, n_mels, mel_scale: MelScale::Htk, ..MelConfig::default() };
        let edge = |at: usize| hz(mel(8_000.0) * at as f64 / (n_mels + 1) as f64);
        let expected = (0..n_mels).filter(|&band| {
            let inside = |bin: usize| {
                let frequency = bin as f64 * 16_000.0 / n_fft as f64;
                edge(band) < frequency && frequency < edge(band + 2)
            };
            !(0..=n_fft / 2).any(inside)
        });
        assert_eq!(config.empty_bands(), expected.count(), "{n_fft}, {n_mels}");
    }
}
