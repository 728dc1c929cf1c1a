//! Requirements that every model meets.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::store::ModuleRecord;
use burn::tensor::{Device, Gradients, Tensor};
use models::front_end::{FrontEndConfig, StridedConfig};
use models::{Fitted, Model, ModelConfig, Network, NetworkConfig, SampleCnnConfig};

use crate::cases::{
    Case, OUTPUTS, build, cases, finite, fitted, learned, locked, noise, tensor, toml, values,
};

/// Ids and values of all parameters. The ids of running statistics are not stored.
#[derive(Default)]
struct Parameters {
    path: Vec<String>,
    found: Vec<(Option<ParamId>, Vec<f32>)>,
}

impl ModuleVisitor for Parameters {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let running = self.path.iter().any(|name| name.starts_with("running_"));
        self.found.push(((!running).then_some(param.id), values(param.val())));
    }
}

fn parameters(model: &Model) -> Vec<(Option<ParamId>, Vec<f32>)> {
    let mut visitor = Parameters::default();
    model.visit(&mut visitor);
    visitor.found
}

/// Names of the parameters whose gradients are missing, not finite, or all 0.
struct Bad<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    missing: Vec<String>,
    infinite: Vec<String>,
    zero: Vec<String>,
    seen: usize,
}

impl<'a> Bad<'a> {
    fn of(model: &Model, gradients: &'a Gradients) -> Self {
        let (missing, infinite, zero) = (Vec::new(), Vec::new(), Vec::new());
        let mut bad = Bad { gradients, path: Vec::new(), missing, infinite, zero, seen: 0 };
        model.visit(&mut bad);
        bad
    }
}

impl ModuleVisitor for Bad<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join(".");
        // Running statistics and the weights of a transfer source are not trained.
        if path.contains("running_") || path.contains("source") {
            return;
        }
        self.seen += 1;
        match param.val().grad(self.gradients).map(values) {
            None => self.missing.push(path),
            Some(gradient) if !finite(&gradient) => self.infinite.push(path),
            Some(gradient) if gradient.iter().all(|&g| g == 0.0) => self.zero.push(path),
            Some(_) => {}
        }
    }
}

#[test]
fn every_network_has_a_case_and_serialisable_defaults() {
    let cases = cases();
    for (name, about) in ModelConfig::NAMES {
        assert!(!about.is_empty());
        assert!(cases.iter().any(|case| case.config.name() == *name), "{name} has no case here");
        let config = toml(&format!("name = '{name}'"));
        assert_eq!(config.name(), *name);
        assert!(config.describe().len() > 20 && !config.describe().contains('\n'));
        let written = toml::to_string(&config).unwrap();
        assert_eq!(toml(&written), config, "a config survives being written and read:\n{written}");
    }
    for case in cases {
        assert!(ModelConfig::NAMES.iter().any(|(name, _)| *name == case.config.name()));
    }
}

#[test]
fn outputs_and_embeddings_have_the_expected_shapes() {
    let device = Device::flex();
    for case in cases() {
        let model = build(&case, 1, &device);
        let x = tensor(&noise(case.samples, 3, 0.5), 3, &device);
        let outputs = model.forward(x.clone()).dims();
        let features = model.embed(x).dims();
        assert_eq!(features[0], 3);
        assert!(features[1] > 0);
        match case.config.is_learned() {
            true => {
                assert_eq!(outputs, [3, OUTPUTS], "{:?}", case.config);
                assert!(model.num_params() > features[1] * OUTPUTS);
            }
            // The fit decides the size of the output.
            false => assert_eq!((outputs, model.num_params()), (features, 0)),
        }
    }
}

#[test]
fn samplecnn_of_the_paper_takes_its_excerpt() {
    let config = ModelConfig::SampleCnn(SampleCnnConfig::default());
    let case = Case { config, samples: 59_049 };
    let model = build(&case, 1, &Device::flex());
    let x = tensor(&noise(case.samples, 1, 0.5), 1, &Device::flex());
    assert_eq!(model.embed(x.clone()).dims(), [1, 512]);
    assert!(finite(&values(model.forward(x))));
}

#[test]
fn batch_and_single_items_have_equal_outputs() {
    for case in learned() {
        batch_is_its_items(&case, &Device::flex());
    }
}

fn batch_is_its_items(case: &Case, device: &Device) {
    let model = build(case, 2, device);
    let x = tensor(&noise(case.samples, 3, 0.5), 3, device);
    let together = values(model.forward(x.clone()));
    let apart: Vec<f32> =
        (0..3).flat_map(|i| values(model.forward(x.clone().narrow(0, i, 1)))).collect();
    for (a, b) in together.iter().zip(&apart) {
        assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{:?}: {a}, {b}", case.config);
    }
    // The items differ, so the outputs must.
    assert!(together[..OUTPUTS] != together[OUTPUTS..2 * OUTPUTS], "{:?}", case.config);
}

#[test]
fn gradients_reach_every_parameter() {
    for case in learned() {
        every_parameter_learns(&case, &Device::flex().autodiff());
    }
}

fn every_parameter_learns(case: &Case, device: &Device) {
    let model = build(case, 3, device);
    let x = tensor(&noise(case.samples, 4, 0.5), 4, device);
    let y = model.forward(x);
    let weights = tensor(&noise(OUTPUTS, 4, 1.0), 4, device);
    let gradients = (y * weights).sum().backward();
    let bad = Bad::of(&model, &gradients);
    // A linear regression on fitted features has one layer.
    assert!(bad.seen >= if case.config.is_fitted() { 2 } else { 4 });
    let none: Vec<String> = Vec::new();
    assert_eq!(
        [bad.missing, bad.infinite, bad.zero],
        [none.clone(), none.clone(), none],
        "{:?}",
        case.config
    );
}

#[test]
fn outputs_and_gradients_stay_finite_for_extreme_inputs() {
    for case in learned() {
        stays_finite(&case, &Device::flex().autodiff());
    }
}

fn stays_finite(case: &Case, device: &Device) {
    let model = build(case, 4, device);
    let square: Vec<f32> =
        (0..2 * case.samples).map(|i| if i / 40 % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let inputs = [
        ("silence", vec![0.0; 2 * case.samples]),
        ("clipping", square),
        ("vanishing noise", noise(case.samples, 2, 1e-30)),
        ("constant", vec![1.0; 2 * case.samples]),
    ];
    for (what, input) in inputs {
        let x = tensor(&input, 2, device).require_grad();
        let y = model.forward(x.clone());
        assert!(finite(&values(y.clone())), "{what}: {:?}", case.config);
        let gradients = y.square().sum().backward();
        // No gradient reaches the waveforms through fitted features.
        let gradient = x.grad(&gradients);
        assert_eq!(gradient.is_none(), case.config.is_fitted(), "{:?}", case.config);
        assert!(gradient.is_none_or(|x| finite(&values(x))), "{what}: {:?}", case.config);
        let bad = Bad::of(&model, &gradients);
        assert!(bad.missing.is_empty() && bad.infinite.is_empty(), "{what}: {:?}", case.config);
        assert!(finite(&values(model.valid().forward(x.inner()))), "{what}");
    }
}

/// Networks whose layers have GPU kernels.
#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn contract_holds_on_gpus() {
    let networks =
        |case: &Case| matches!(case.config, ModelConfig::Tagger(_) | ModelConfig::LatentNet(_));
    for device in crate::devices::adapters() {
        for case in cases().into_iter().filter(networks) {
            batch_is_its_items(&case, &device);
            every_parameter_learns(&case, &device.clone().autodiff());
            stays_finite(&case, &device.clone().autodiff());
        }
    }
}

#[test]
fn saved_and_loaded_models_are_equal() {
    let device = Device::flex().autodiff();
    let folder = std::env::temp_dir().join(format!("tonotopy-contract-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (i, case) in learned().iter().enumerate() {
        let model = build(case, 5, &device);
        let x = tensor(&noise(case.samples, 2, 0.5), 2, &device);
        // Updates running statistics, if any. They reach the record one update late; `valid` applies them.
        model.forward(x.clone());
        model.forward(x.clone() * 0.5);
        let expected = values(model.valid().forward(x.clone().inner()));

        let file = folder.join(format!("{i}.bpk"));
        model.clone().into_record().save(&file).unwrap();
        let other = build(case, 6, &device);
        let fresh = values(other.valid().forward(x.clone().inner()));
        assert_ne!(fresh, expected, "other weights give other outputs: {:?}", case.config);
        let loaded = other.try_load_record(ModuleRecord::load(&file).unwrap()).unwrap();
        assert_eq!(values(loaded.valid().forward(x.inner())), expected, "{:?}", case.config);
        let (loaded, model) = (parameters(&loaded), parameters(&model));
        assert_eq!(loaded.len(), model.len());
        for (loaded, model) in loaded.iter().zip(&model) {
            assert_eq!(loaded.1, model.1, "{:?}", case.config);
            assert_eq!(loaded.0, model.0, "{:?}", case.config);
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn learned_part_of_the_fixed_part_is_the_whole_model() {
    let device = Device::flex();
    for case in cases() {
        let model = build(&case, 2, &device);
        let x = tensor(&noise(case.samples, 3, 0.5), 3, &device);
        let fixed = model.fixed(x.clone());
        assert_eq!(case.config.is_fitted(), values(fixed.clone()) != values(x.clone()));
        assert_eq!(values(model.learned(fixed)), values(model.forward(x)), "{:?}", case.config);
    }
}

#[test]
fn arrays_fitted_for_another_config_are_refused() {
    for case in cases().into_iter().filter(|case| case.config.is_fitted()) {
        let device = Device::flex();
        assert_eq!(fitted(&case), fitted(&case), "a fit is a function of its input");
        let none = case.config.drawn(OUTPUTS, case.samples, &Fitted::default(), &device);
        assert!(none.unwrap_err().to_string().contains("never fitted"));
        for name in fitted(&case).arrays.keys() {
            let mut other = fitted(&case);
            let array = other.arrays.get_mut(name).unwrap();
            array
                .values
                .extend_from_within(..array.values.len() / array.shape[array.shape.len() - 1]);
            *array.shape.last_mut().unwrap() += 1;
            let error = case.config.drawn(OUTPUTS, case.samples, &other, &device).unwrap_err();
            assert_eq!(error.key, *name, "{error}");
        }
    }
}

#[test]
fn record_of_another_architecture_is_refused() {
    let device = Device::flex();
    let cases = cases();
    let record = build(&cases[0], 1, &device).into_record();
    assert!(build(&cases[3], 1, &device).try_load_record(record).is_err());
}

#[test]
fn equal_seeds_give_equal_models_and_outputs() {
    let device = Device::flex();
    for case in learned() {
        let [a, b, c] = [8, 8, 9].map(|seed| build(&case, seed, &device));
        let x = tensor(&noise(case.samples, 2, 0.5), 2, &device);
        let output = values(a.forward(x.clone()));
        assert_eq!(values(a.forward(x.clone())), output);
        assert_eq!(values(b.forward(x.clone())), output, "{:?}", case.config);
        assert_ne!(values(c.forward(x)), output, "{:?}", case.config);
    }
}

#[test]
fn outputs_outside_training_have_no_autodiff_and_equal_those_of_a_plain_model() {
    for case in learned() {
        let tracked = Device::flex().autodiff();
        let model = build(&case, 10, &tracked);
        let x = noise(case.samples, 2, 0.5);
        let valid = model.valid();
        let y = valid.forward(tensor(&x, 2, &Device::flex()));
        assert!(!y.device().is_autodiff(), "{:?}", case.config);
        let plain = build(&case, 11, &Device::flex());
        let plain = plain.try_load_record(model.into_record()).unwrap();
        assert_eq!(values(plain.forward(tensor(&x, 2, &Device::flex()))), values(y));
    }
}

#[test]
fn filters_of_the_strided_front_end_are_its_weights() {
    let text = "name = 'tagger'\nfront_end = { name = 'strided', filters = 8, length = 50, stride = 25, pool = { kind = 'l2', size = 4 } }";
    let case = Case { config: toml(text), samples: 16_000 };
    let model = build(&case, 1, &Device::flex());
    let filters = model.filters().unwrap();
    assert_eq!((filters.length, filters.weights.len(), filters.iter().count()), (50, 400, 8));
    assert_eq!(filters.pool.unwrap().size, 4);
    let parameters = parameters(&model);
    assert!(parameters.iter().any(|(_, values)| *values == filters.weights));
    assert!(build(&cases()[0], 1, &Device::flex()).filters().is_none());
}

/// A mapper that changes nothing.
struct Same;
impl ModuleMapper for Same {}

#[test]
fn mapping_keeps_every_parameter() {
    let device = Device::flex().autodiff();
    for case in cases() {
        let model = build(&case, 1, &device);
        let before = parameters(&model);
        assert_eq!(parameters(&model.map(&mut Same)), before);
    }
}

#[test]
fn front_ends_have_the_computed_shapes() {
    for case in cases() {
        let ModelConfig::Tagger(config) = &case.config else { continue };
        // Initial weights are drawn on first use.
        let front_end = config.front_end.init(&Device::flex()).unwrap();
        let x = tensor(&noise(case.samples, 2, 0.5), 2, &Device::flex());
        let output = locked(|| front_end.forward(x));
        let shape = [2, config.front_end.bands(), config.front_end.frames(case.samples)];
        assert_eq!(output.dims(), shape, "{:?}", config.front_end);
    }
    let strided = FrontEndConfig::Strided(StridedConfig::default());
    assert_eq!(
        (strided.sample_rate(), strided.bands(), strided.frames(48_000)),
        (16_000, 128, 187)
    );
}
