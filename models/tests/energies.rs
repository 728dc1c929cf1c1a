//! Front ends with learned filters and pooled energies against the implementations of their authors.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use models::front_end::{FreeConfig, GaborConfig, InitialFilters, SincConfig};

use crate::cases::{locked, values};

#[derive(serde::Deserialize)]
struct Reference {
    bands: Vec<usize>,
    frames: Vec<usize>,
    cases: Vec<Case>,
    sinc: Filters,
}

#[derive(serde::Deserialize)]
struct Case {
    config: GaborConfig,
    /// `[band, frame]` of the listed bands and frames.
    energies: Vec<Vec<f64>>,
    /// Of all bands and frames.
    sum: f64,
    centres: Vec<f64>,
    deviations: Vec<f64>,
    /// Of centres, deviations and widths.
    gradients: [Vec<f64>; 3],
}

#[derive(serde::Deserialize)]
struct Filters {
    filters: Vec<usize>,
    taps: Vec<Vec<f64>>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("energies_reference.json")).unwrap()
}

/// The signal of the script: a rising tone of 3 s.
fn signal(device: &Device) -> Tensor<2> {
    let at = |n: usize| {
        let t = n as f64 / 16_000.0;
        (0.5 * (std::f64::consts::TAU * (200.0 * t + 600.0 * t * t)).sin()) as f32
    };
    let samples: Vec<f32> = (0..48_000).map(at).collect();
    Tensor::from_data(TensorData::new(samples, [1, 48_000]), device)
}

/// Values and gradients of all parameters in order.
#[derive(Default)]
struct Parameters<'a> {
    gradients: Option<&'a Gradients>,
    found: Vec<(Vec<f32>, Vec<f32>)>,
}

impl ModuleVisitor for Parameters<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.gradients.and_then(|all| param.val().grad(all)).map(values);
        self.found.push((values(param.val()), gradient.unwrap_or_default()));
    }
}

#[test]
fn gabor_agrees_with_leaf_and_efficientleaf() {
    let reference = reference();
    assert_eq!(reference.cases.len(), 2);
    for case in reference.cases {
        let config = &case.config;
        config.validate(48_000).unwrap();
        let device = Device::flex().autodiff();
        let front_end = config.init(&device);
        let energies = front_end.energies(signal(&device));
        assert_eq!(energies.dims(), [1, 40, 300]);
        let gradients = energies.clone().mul_scalar(10_000.0).log1p().sum().backward();
        let energies = values(energies);
        for (band, row) in reference.bands.iter().zip(&case.energies) {
            for (frame, expected) in reference.frames.iter().zip(row) {
                let found = f64::from(energies[band * 300 + frame]);
                // The bound of kernels/filterbank: errors of a response are relative to the level of the signal.
                let allowed = 1e-5 * expected + 2e-7 * expected.sqrt() + 1e-12;
                assert!((found - expected).abs() <= allowed, "{band} {frame}: {found}, {expected}");
            }
        }
        let sum: f64 = energies.iter().map(|&energy| f64::from(energy)).sum();
        assert!((sum / case.sum - 1.0).abs() < 1e-6, "{sum}, expected {}", case.sum);

        let mut parameters = Parameters { gradients: Some(&gradients), found: Vec::new() };
        front_end.visit(&mut parameters);
        assert_eq!(parameters.found.len(), 3);
        for (which, expected) in [&case.centres, &case.deviations].into_iter().enumerate() {
            for (found, expected) in parameters.found[which].0.iter().zip(expected) {
                assert!((f64::from(*found) / expected - 1.0).abs() < 1e-6, "{found}, {expected}");
            }
        }
        for (which, (found, expected)) in parameters.found.iter().zip(&case.gradients).enumerate() {
            assert_eq!(found.1.len(), expected.len());
            let largest = expected.iter().fold(0.0_f64, |max, g| max.max(g.abs()));
            for (band, (found, expected)) in found.1.iter().zip(expected).enumerate() {
                let difference = (f64::from(*found) - expected).abs();
                // Sums of terms of both signs; they are exact to 1e-4 of the largest gradient.
                let close = difference <= 1e-4 * largest;
                assert!(close, "{config:?}, parameter {which}, band {band}: {found}, {expected}");
            }
        }
    }
}

#[test]
fn sinc_filters_are_those_of_sincnet() {
    let Filters { filters, taps } = reference().sinc;
    let found = SincConfig::default().init(&Device::flex()).filters();
    assert_eq!((found.length, found.iter().count()), (251, 80));
    for (filter, expected) in filters.into_iter().zip(taps) {
        let found = found.iter().nth(filter).unwrap();
        for (tap, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = (f64::from(*found) - expected).abs();
            assert!(difference < 2e-5, "filter {filter}, tap {tap}: {found}, {expected}");
        }
    }
}

#[test]
fn free_filters_start_as_gabor_filters() {
    let device = Device::flex();
    let gabor = values(GaborConfig::default().init(&device).energies(signal(&device)));
    let free = values(FreeConfig::default().init(&device).energies(signal(&device)));
    let largest = gabor.iter().fold(0.0_f32, |max, x| max.max(*x));
    for (gabor, free) in gabor.iter().zip(&free) {
        assert!((gabor - free).abs() <= 1e-6 * largest, "{gabor}, {free}");
    }
}

#[test]
fn initial_filters_are_where_they_should_be() {
    let parameters = |initial| {
        let config = GaborConfig { initial, ..Default::default() };
        let mut parameters = Parameters::default();
        locked(|| config.init(&Device::flex()).visit(&mut parameters));
        let [mu, sigma, width] = parameters.found.try_into().unwrap();
        assert_eq!(width.0, [0.4; 40]);
        (mu.0, sigma.0)
    };
    let hz = |mu: f32| f64::from(mu) * 16_000.0 / std::f64::consts::TAU;
    let (mu, sigma) = parameters(InitialFilters::Linear);
    for band in 0..40 {
        let expected = 60.0 + 7_740.0 * (band + 1) as f64 / 41.0;
        assert!((hz(mu[band]) - expected).abs() < 0.01);
        assert!((f64::from(sigma[band]) - 8_000.0 / (2.0 * 7_740.0 / 41.0)).abs() < 1e-3);
    }
    let (mu, sigma) = parameters(InitialFilters::Random);
    assert!(mu.iter().all(|mu| (90.0..7_400.0).contains(&hz(*mu))), "{mu:?}");
    assert!(sigma.iter().all(|sigma| (8.4..84.3).contains(sigma)), "{sigma:?}");
    assert!(mu.windows(2).any(|mu| mu[1] < mu[0]));
}

#[test]
fn normalised_windows_give_means() {
    // A constant of 1 has the response of its filter at 0 Hz; its energies are sums of the window.
    let device = Device::flex();
    let ones = || Tensor::<2>::ones([1, 4_000], &device);
    let config = GaborConfig { normalize_windows: true, ..Default::default() };
    let normalised = values(config.init(&device).energies(ones()));
    let plain = values(GaborConfig::default().init(&device).energies(ones()));
    let sum: f64 = (-200..=200).map(|t| (-0.5 * (f64::from(t) / 80.0).powi(2)).exp()).sum();
    // Frame 12 of 25 is far from the ends.
    let (normalised, plain) = (f64::from(normalised[12]), f64::from(plain[12]));
    assert!(plain > 0.0 && (plain / normalised / sum - 1.0).abs() < 1e-5, "{plain}, {normalised}");
}

#[test]
fn parameters_out_of_range_are_clamped_and_can_return() {
    let device = Device::flex().autodiff();
    let config = GaborConfig { filters: 2, ..Default::default() };
    struct Set(Vec<[f32; 2]>);
    impl burn::module::ModuleMapper for Set {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let device = param.val().device();
            let values = TensorData::new(self.0.remove(0).to_vec(), [2]);
            Param::initialized(param.id, Tensor::from_data(values, &device).require_grad())
        }
    }
    let with = |mu, sigma, width| config.init(&device).map(&mut Set(vec![mu, sigma, width]));
    let pi = std::f32::consts::PI;
    let outside = with([-0.5, 9.0], [0.1, 1e6], [-3.0, 2.0]);
    let longest = 401.0 * (2.0 * 2.0_f32.ln()).sqrt() / pi;
    let inside = with([0.0, pi], [4.0 * longest / 401.0, longest], [2.0 / 401.0, 0.5]);
    let x = || signal(&device).narrow(1, 0, 4_000) + 0.1;
    let (found, expected) = (values(outside.energies(x())), values(inside.energies(x())));
    let largest = expected.iter().fold(0.0_f32, |max, x| max.max(*x));
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() <= 1e-5 * largest, "{found}, {expected}");
    }
    let gradients = outside.energies(x()).sum().backward();
    let mut parameters = Parameters { gradients: Some(&gradients), found: Vec::new() };
    outside.visit(&mut parameters);
    for (values, gradient) in &parameters.found[1..] {
        assert!(gradient.iter().all(|g| g.is_finite() && *g != 0.0), "{values:?}: {gradient:?}");
    }
}
