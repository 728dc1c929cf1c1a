//! Comparison of two devices: every front end and network, forward and backward, with the same inputs and
//! weights. [`compare_by`] compares anything else.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use serde::Serialize;

use crate::front_end::mel::PadKind;
use crate::front_end::strided::{Activation, FeaturePool, PoolKind, StridedInitial};
use crate::front_end::{
    FilterGroups, FramesConfig, FreeConfig, FrontEnd, GaborConfig, MelConfig, MfccConfig,
    MultiresolutionConfig, PyramidConfig, PyramidKind, SincConfig, SincOutput, StridedConfig,
};
use crate::{
    Corpus, Example, Fitted, FrontEndConfig, Model, ModelConfig, ModelError, Network,
    NetworkConfig, TransferredConfig,
};

/// Allowed difference of outputs, relative to the largest output. The rounding of single precision is 6e-8;
/// sums of hundreds of terms in another order, and a logarithm that amplifies quiet bands, differ by about
/// 1e-6. A difference of more than ten times that is not rounding.
pub const VALUE_TOLERANCE: f64 = 5e-5;

/// Allowed difference of gradients, relative to the largest of the same tensor. They pass through twice as many
/// sums, and the logarithm is steep at small values.
pub const GRADIENT_TOLERANCE: f64 = 5e-4;

/// Gradients below this share of the model's largest are compared on the scale of the largest: they can be
/// pure rounding (the gradient of a bias before batch normalisation is 0).
const GRADIENT_FLOOR: f64 = 1e-3;

/// One quantity of one layer on two devices.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The front end or network, with its settings in a few words.
    pub layer: String,
    /// `output`, or the gradient of one tensor; `all` if nothing could be compared.
    pub quantity: String,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// Largest difference relative to the largest value of the reference.
    pub max_rel: f64,
    /// Largest allowed `max_rel`.
    pub tolerance: f64,
    /// Whether `max_rel` is allowed; false if a value is not finite or the reference is all zeros.
    pub ok: bool,
    /// Why nothing could be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, quantity, max_abs, max_rel, tolerance, ok, failure } = self;
        let verdict = if *ok { "ok" } else { "DIFFERS" };
        match failure {
            Some(failure) => write!(f, "{verdict:<7} {layer}: {failure}"),
            None => write!(
                f,
                "{verdict:<7} {layer}, {quantity}: {max_rel:.1e} relative (allowed \
                 {tolerance:.0e}), {max_abs:.1e} absolute"
            ),
        }
    }
}

/// Compares every front end and network on `device` with `reference`.
///
/// Takes seconds, since shapes are small. Does not use the random generators of the devices.
pub fn compare(device: &Device, reference: &Device) -> Vec<Comparison> {
    cases()
        .iter()
        .flat_map(|case| compare_by(&case.name, device, reference, |device| case.run(device)))
        .collect()
}

/// Compares the results of `run` on `device` and on `reference`, quantity by quantity. Quantities whose names begin
/// with [`GRADIENT`] have the tolerance of gradients.
pub fn compare_by(
    layer: &str,
    device: &Device,
    reference: &Device,
    run: impl Fn(&Device) -> Result<Results, String>,
) -> Vec<Comparison> {
    // burn panics if a driver fails; the other comparisons still run.
    let run = |device: &Device| {
        catch_unwind(AssertUnwindSafe(|| run(device)))
            .unwrap_or_else(|panic| Err(panic_text(panic.as_ref())))
    };
    match (run(reference), run(device)) {
        (Ok(expected), Ok(actual)) => comparisons(layer, &expected, &actual),
        (Err(failure), _) => vec![failed(layer, format!("the reference failed: {failure}"))],
        (_, Err(failure)) => vec![failed(layer, failure)],
    }
}

/// A front end or network with the length of its input.
struct Case {
    name: String,
    config: CaseConfig,
    samples: usize,
}

enum CaseConfig {
    FrontEnd(FrontEndConfig),
    Model(ModelConfig),
}

/// Items per batch. Two are too few: batch normalisation of two items gives 1 and -1 for any input, so that the
/// gradients of earlier layers are pure rounding.
const BATCH: usize = 3;
/// Outputs of the networks.
const OUTPUTS: usize = 3;

fn cases() -> Vec<Case> {
    let front_end = |name: &str, config| {
        // Features consist of whole frames.
        let samples = if matches!(config, FrontEndConfig::Frames(_)) { 60 } else { 700 };
        Case { name: name.into(), config: CaseConfig::FrontEnd(config), samples }
    };
    let mel = MelConfig::small();
    let odd = MelConfig {
        n_fft: 75,
        hop_length: 32,
        power: 1.0,
        center: true,
        pad_mode: PadKind::Reflect,
        ..mel.clone()
    };
    let strided = StridedConfig { filters: 8, length: 32, stride: 16, ..Default::default() };
    let pool = |kind, size| Some(FeaturePool { kind, size });
    let log = StridedConfig { activation: Activation::Log, stride: 32, ..strided.clone() };
    let l2 = StridedConfig { pool: pool(PoolKind::L2, 4), ..strided.clone() };
    let squared = StridedConfig {
        initial: StridedInitial::Gabor,
        pool: pool(PoolKind::Squared, 2),
        ..strided.clone()
    };
    let gabor = GaborConfig::small();
    let groups = Some(FilterGroups { count: 2, length_factor: 4.0, stride_factor: 1.0 });
    let grouped = GaborConfig { groups, ..gabor.clone() };
    let sinc = SincConfig::small();
    let rectified = SincConfig { output: SincOutput::Rectified, ..sinc.clone() };
    let max = StridedConfig { pool: pool(PoolKind::Max, 2), ..strided.clone() };

    let multiresolution = MultiresolutionConfig {
        windows: vec![32, 64],
        hop_length: 32,
        n_mels: 6,
        ..Default::default()
    };
    let pyramid =
        PyramidConfig { levels: 2, n_fft: 64, hop_length: 32, n_mels: 6, ..Default::default() };
    let gaussian = PyramidConfig { kind: PyramidKind::Gaussian, ..pyramid.clone() };
    let frames = FramesConfig { width: 6, ..Default::default() };
    let mut cases = vec![
        front_end("mel, power", FrontEndConfig::Mel(mel)),
        front_end("mel, magnitude, centred", FrontEndConfig::Mel(odd)),
        front_end("strided, relu", FrontEndConfig::Strided(strided)),
        front_end("strided, log", FrontEndConfig::Strided(log)),
        front_end("strided, L2 pools", FrontEndConfig::Strided(l2)),
        front_end("strided, max pools", FrontEndConfig::Strided(max)),
        front_end("strided, squared pools", FrontEndConfig::Strided(squared)),
        front_end("gabor", FrontEndConfig::Gabor(gabor)),
        front_end("gabor, groups", FrontEndConfig::Gabor(grouped)),
        front_end("sinc", FrontEndConfig::Sinc(sinc)),
        front_end("sinc, rectified", FrontEndConfig::Sinc(rectified)),
        front_end("free", FrontEndConfig::Free(FreeConfig::small())),
        front_end("mfcc", FrontEndConfig::Mfcc(MfccConfig::small())),
        front_end("multiresolution", FrontEndConfig::Multiresolution(multiresolution)),
        front_end("Laplacian pyramid", FrontEndConfig::Pyramid(pyramid)),
        front_end("Gaussian pyramid", FrontEndConfig::Pyramid(gaussian)),
        front_end("frames", FrontEndConfig::Frames(frames)),
    ];
    cases.extend(ModelConfig::examples().into_iter().map(|Example { about, config, samples }| {
        Case {
            name: format!("{}, {about}", config.name()),
            config: CaseConfig::Model(config),
            samples,
        }
    }));
    cases
}

/// A name and the values of a quantity.
pub type Quantity = (String, Vec<f32>);
/// All quantities that one device computes.
pub type Results = Vec<Quantity>;

fn failed(layer: &str, failure: String) -> Comparison {
    Comparison {
        layer: layer.into(),
        quantity: "all".into(),
        max_abs: f64::NAN,
        max_rel: f64::NAN,
        tolerance: 0.0,
        ok: false,
        failure: Some(failure),
    }
}

fn comparisons(layer: &str, expected: &Results, actual: &Results) -> Vec<Comparison> {
    if expected.len() != actual.len() {
        return vec![failed(layer, "the number of tensors differs".into())];
    }
    let largest_gradient = expected
        .iter()
        .filter(|(quantity, _)| quantity.starts_with(GRADIENT))
        .fold(0.0, |max, (_, values)| nan_max(max, largest(values)));
    let compare = |((quantity, expected), (_, actual)): (&Quantity, &Quantity)| {
        let (floor, tolerance) = match quantity.starts_with(GRADIENT) {
            true => (GRADIENT_FLOOR * largest_gradient, GRADIENT_TOLERANCE),
            false => (0.0, VALUE_TOLERANCE),
        };
        if expected.len() != actual.len() {
            return failed(layer, format!("the shape of {quantity} differs"));
        }
        let scale = nan_max(largest(expected), floor);
        let max_abs = expected
            .iter()
            .zip(actual)
            .fold(0.0, |max, (e, a)| nan_max(max, (f64::from(*e) - f64::from(*a)).abs()));
        let max_rel = max_abs / scale;
        Comparison {
            layer: layer.into(),
            quantity: quantity.clone(),
            max_abs,
            max_rel,
            tolerance,
            // NaN compares as false.
            ok: max_rel <= tolerance && scale.is_finite(),
            failure: None,
        }
    };
    expected.iter().zip(actual).map(compare).collect()
}

impl Case {
    fn run(&self, device: &Device) -> Result<Results, String> {
        let tracked = device.clone().autodiff();
        let waveforms = TensorData::new(noise(1, BATCH * self.samples), [BATCH, self.samples]);
        let waveforms = || Tensor::<2>::from_data(waveforms.clone(), &tracked).require_grad();
        match &self.config {
            CaseConfig::FrontEnd(config) => {
                let module = config.init(&tracked).map_err(|error| error.to_string())?;
                let module: FrontEnd = module.map(&mut SetWeights::default());
                let mut results =
                    differentiate(&module, waveforms(), |module, x| module.forward(x))?;
                // Training uses kernels for waveforms without gradients.
                let plain = module.valid().forward(waveforms().inner());
                results.push(("output without gradients".into(), values(plain)?));
                Ok(results)
            }
            CaseConfig::Model(config) => {
                // Both devices use the same fit.
                let host = Device::flex();
                let fitted =
                    config.fit(self.samples, 1, &host, &Noise { samples: self.samples, config });
                let fitted = fitted.map_err(|error| error.to_string())?;
                let model = config.drawn(OUTPUTS, self.samples, &fitted, &tracked);
                let model = model.map_err(|error| error.to_string())?;
                let model = model.map(&mut SetWeights::default());
                // No gradient reaches constant features.
                let fixed = model.fixed(waveforms()).into_data();
                let features = || Tensor::<2>::from_data(fixed.clone(), &tracked).require_grad();
                let mut results = differentiate(&model, features(), Model::learned)?;
                if config.is_fitted() {
                    results.push(("fixed features".into(), values(features())?));
                }
                // Batch normalisation differs outside training.
                let valid = model.valid().forward(waveforms().inner());
                results.push(("output outside training".into(), values(valid)?));
                Ok(results)
            }
        }
    }
}

/// The corpus that fitted parts are fitted to.
struct Noise<'a> {
    samples: usize,
    config: &'a ModelConfig,
}

impl Corpus for Noise<'_> {
    type Error = ModelError;

    fn tracks(&self) -> usize {
        12
    }

    fn excerpts(&self, each: &mut dyn FnMut(Tensor<2>, &[usize])) -> Result<(), Self::Error> {
        let data = TensorData::new(noise(3, 12 * self.samples), [12, self.samples]);
        each(Tensor::from_data(data, &Device::flex()), &(0..12).collect::<Vec<_>>());
        Ok(())
    }

    fn neighbours(&self, count: usize) -> Result<Vec<Vec<u32>>, Self::Error> {
        Ok((0..12)
            .map(|track| {
                (0..12).filter(|x| x / 4 == track / 4 && *x != track).take(count).collect()
            })
            .collect())
    }

    fn source(&self) -> Result<(Model, Fitted), Self::Error> {
        let ModelConfig::Transferred(TransferredConfig { source: Some(source), .. }) = self.config
        else {
            unreachable!("only a transferred network has a source");
        };
        let (none, host) = (Fitted::default(), Device::flex().autodiff());
        let model = source.model.init(source.outputs, self.samples, &none, &host)?;
        Ok((model.map(&mut SetWeights::default()).valid(), none))
    }

    fn progress(&self, _: &str) -> Result<(), Self::Error> {
        Ok(())
    }

    fn warn(&self, _: &str) {}
}

/// Prefix of the names of gradients.
pub const GRADIENT: &str = "gradient";

/// The output, and the gradients of a weighted sum of it.
fn differentiate<M: Module, const D: usize>(
    module: &M,
    waveforms: Tensor<2>,
    forward: impl Fn(&M, Tensor<2>) -> Tensor<D>,
) -> Result<Results, String> {
    let output = forward(module, waveforms.clone());
    let shape = output.dims();
    let weights = TensorData::new(noise(2, shape.iter().product()), shape);
    let loss = (output.clone() * Tensor::from_data(weights, &output.device())).sum();
    let gradients = loss.backward();
    let input = waveforms.grad(&gradients).ok_or("the waveforms have no gradient")?;
    let mut results = vec![
        ("output".to_string(), values(output)?),
        (format!("{GRADIENT} of the waveforms"), values(input)?),
    ];
    let mut collect =
        Collect { gradients: &gradients, path: Vec::new(), results: &mut results, failure: None };
    module.visit(&mut collect);
    match collect.failure {
        Some(failure) => Err(failure),
        None => Ok(results),
    }
}

/// Collects the gradient of every trained parameter.
struct Collect<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    results: &'a mut Results,
    failure: Option<String>,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let path = self.path.join(".");
        // Running statistics and the weights of a transfer source are not trained.
        if !tensor.is_require_grad() || self.path.iter().any(|name| name == "source") {
            return;
        }
        let gradient = tensor.grad(self.gradients).ok_or("it has no gradient".to_string());
        match gradient.and_then(values) {
            Ok(values) => self.results.push((format!("{GRADIENT} of {path}"), values)),
            Err(error) => self.failure = Some(format!("{path}: {error}")),
        }
    }
}

/// Sets every parameter to the same values on every device.
#[derive(Default)]
struct SetWeights {
    seed: u32,
}

impl ModuleMapper for SetWeights {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.seed += 1;
        // `val()` would draw initial weights from the device's random generator.
        let (shape, device) = (param.lazy_shape().dims::<D>(), param.lazy_device());
        let noise = noise(100 + self.seed, shape.iter().product());
        let values = match D {
            // Biases, scales, means and variances near 1.
            1 => noise.into_iter().map(|x| 1.0 + 0.2 * x).collect(),
            _ => {
                let fan_in: usize = if D == 2 { shape[0] } else { shape[1..].iter().product() };
                let scale = (6.0 / fan_in as f32).sqrt();
                noise.into_iter().map(|x| scale * x).collect::<Vec<f32>>()
            }
        };
        let tensor = Tensor::from_data(TensorData::new(values, shape), &device);
        Param::initialized(param.id, tensor.require_grad())
    }
}

/// The values of a tensor, row-major.
///
/// # Errors
/// If the device fails.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, String> {
    tensor.try_into_vec_as::<f32>().map_err(|error| error.to_string())
}

/// Uniform random numbers in `[-1, 1)`, the same on every machine.
pub fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |max, value| nan_max(max, f64::from(value.abs())))
}

/// The larger, or NaN if either is.
fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the device failed without a message".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(expected: &[f32], actual: &[f32]) -> Vec<Comparison> {
        let results = |values: &[f32]| vec![("output".to_string(), values.to_vec())];
        super::comparisons("layer", &results(expected), &results(actual))
    }

    /// Every quantity of every case, changed by more than its tolerance.
    #[test]
    fn difference_in_any_quantity_is_found() {
        let flex = Device::flex();
        for case in cases() {
            let right = case.run(&flex).unwrap();
            let gradients = right.iter().filter(|(name, _)| name.starts_with(GRADIENT));
            let largest_gradient = gradients.fold(0.0, |max, (_, v)| nan_max(max, largest(v)));
            for at in 0..right.len() {
                let calls = std::cell::Cell::new(0);
                let found = compare_by(&case.name, &flex, &flex, |_| {
                    let mut results = right.clone();
                    // The reference runs first.
                    if calls.replace(calls.get() + 1) == 1 {
                        let floor = GRADIENT_FLOOR * largest_gradient;
                        let scale = largest(&results[at].1).max(floor) as f32;
                        *results[at].1.last_mut().unwrap() += 2e-3 * scale;
                    }
                    Ok(results)
                });
                for (number, comparison) in found.iter().enumerate() {
                    assert_eq!(comparison.ok, number != at, "{comparison}");
                }
            }
            let broken = |_: &Device| Err("the device was lost".to_string());
            let found = compare_by(&case.name, &flex, &flex, broken);
            assert!(found.len() == 1 && !found[0].ok, "{found:?}");
        }
    }

    #[test]
    fn differences_nan_and_zeros_are_not_ok() {
        assert!(compared(&[1.0, -2.0], &[1.0, -2.0])[0].ok);
        assert!(compared(&[1.0, -2.0], &[1.0, -2.00001])[0].ok);
        assert!(!compared(&[1.0, -2.0], &[1.0, -2.001])[0].ok);
        assert!(!compared(&[1.0, f32::NAN], &[1.0, f32::NAN])[0].ok);
        assert!(!compared(&[1.0, -2.0], &[1.0, f32::NAN])[0].ok);
        assert!(!compared(&[1.0, f32::INFINITY], &[1.0, f32::INFINITY])[0].ok);
        assert!(!compared(&[0.0, 0.0], &[0.0, 0.0])[0].ok);
        assert!(!compared(&[1.0, -2.0], &[1.0])[0].ok);
    }
}
