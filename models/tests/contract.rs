//! What every model must do, over the whole list.

use std::sync::Mutex;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::store::ModuleRecord;
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use models::front_end::mel::PadKind;
use models::front_end::{FrontEndConfig, MelConfig, StridedConfig};
use models::{
    Corpus, Example, Fitted, Model, ModelConfig, ModelError, Network, NetworkConfig,
    SampleCnnConfig,
};

const OUTPUTS: usize = 7;

pub(crate) struct Case {
    pub config: ModelConfig,
    pub samples: usize,
}

pub(crate) fn toml(text: &str) -> ModelConfig {
    toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The examples that every network of the list brings along, and beyond these every front end, and options at
/// other sizes.
pub(crate) fn cases() -> Vec<Case> {
    let of = |Example { config, samples, .. }| Case { config, samples };
    let mut cases: Vec<Case> = ModelConfig::examples().into_iter().map(of).collect();
    cases.splice(0..0, more_cases());
    cases
}

fn more_cases() -> Vec<Case> {
    let tagger = |front_end: &str| toml(&format!("name = 'tagger'\nfront_end = {front_end}"));
    let transferred = |of: &str, dense: &str| {
        toml(&format!(
            "name = 'transferred'\nrun = 'runs/source-s1'\nof = '{of}'\n{dense}\n\
             source = {{ outputs = 3, excerpt_samples = 16000, model = {{ {} }} }}",
            SOURCE.replace('\n', ", ")
        ))
    };
    let at = |samples, config| Case { config, samples };
    vec![
        at(48_000, toml("name = 'tagger'")),
        at(16_000, tagger("{ name = 'mel', n_fft = 400, hop_length = 160, n_mels = 40 }")),
        at(16_000, tagger("{ name = 'mel', power = 1.0, center = true, pad_mode = 'reflect' }")),
        at(48_000, tagger("{ name = 'strided', filters = 16 }")),
        at(48_000, tagger("{ name = 'strided', filters = 16, length = 1024, stride = 1024 }")),
        at(
            16_000,
            tagger(
                "{ name = 'strided', filters = 16, length = 100, stride = 70, activation = 'log' }",
            ),
        ),
        at(16_000, tagger("{ name = 'strided', filters = 16, pool = { kind = 'l2', size = 4 } }")),
        at(16_000, tagger("{ name = 'strided', filters = 16, pool = { kind = 'max', size = 2 } }")),
        at(
            16_000,
            tagger(
                "{ name = 'strided', filters = 16, activation = 'log', pool = { kind = 'l2', size = 2 } }",
            ),
        ),
        at(
            48_000,
            toml(
                "name = 'tagger'\npartial_pools = 'always'\nhidden = 20\nstages = [{ filters = 8, length = 3, pool = 2 }]",
            ),
        ),
        at(48_000, toml("name = 'tagger'\nstages = []\nfront_end = { name = 'mel', n_mels = 8 }")),
        at(
            2_500,
            toml(
                "name = 'samplecnn'\nstem_filters = 8\nblock_filters = [8, 8, 12, 12, 16]\nhidden = 16\ndropout = 0.0",
            ),
        ),
        at(
            2_500,
            toml(
                "name = 'samplecnn'\nstem_filters = 8\nblock_filters = [8, 12]\nhead = 'max'\ndropout = 0.0",
            ),
        ),
        at(
            16_000,
            toml(
                "name = 'latentnet'\ndropout = 0.0\nhidden = [24, 20]\nstages = [{ filters = 8, length = 4, pool = 4 }]\n\
                 front_end = { name = 'mel', n_mels = 40 }",
            ),
        ),
        at(
            16_000,
            toml(
                "name = 'latentnet'\ndropout = 0.0\nhidden = [24]\nstages = [{ filters = 8, length = 4, pool = 1 }]\n\
                 front_end = { name = 'strided', filters = 8 }",
            ),
        ),
        at(
            8_000,
            toml(
                "name = 'musicnn'\ndropout = 0.0\ntimbral_filters = 6\ntemporal_filters = 5\nfilters = 4\nhidden = 12\n\
                 front_end = { name = 'mel', n_mels = 20 }",
            ),
        ),
        at(
            4_000,
            toml(
                "name = 'musicnn'\ndropout = 0.0\ntimbral_filters = 6\ntemporal_filters = 5\nfilters = 4\nhidden = 12\n\
                 timbral_heights = [1.0]\ntemporal_lengths = [3, 2, 1]\n\
                 front_end = { name = 'strided', filters = 10, length = 100, stride = 80 }",
            ),
        ),
        at(
            24_000,
            tagger(
                "{ name = 'multiresolution', windows = [256, 512, 1024], hop_length = 200, n_mels = 12 }",
            ),
        ),
        at(
            16_000,
            tagger("{ name = 'pyramid', hop_length = 160, n_fft = 512, n_mels = 16, levels = 3 }"),
        ),
        at(
            16_000,
            tagger(
                "{ name = 'pyramid', kind = 'gaussian', kernel = [1.0, 2.0, 1.0], hop_length = 160, n_mels = 16 }",
            ),
        ),
        at(16_000, tagger("{ name = 'mfcc', n_fft = 512, hop_length = 256 }")),
        at(1_200, tagger("{ name = 'frames', width = 24 }")),
        at(
            240,
            toml(
                "name = 'multiscale'\nmeans = 0\nhidden = []\npool = ['mean', 'deviation']\n\
                 front_end = { name = 'frames', width = 24, frames_per_second = 2 }",
            ),
        ),
        at(
            16_000,
            toml(
                "name = 'bag_of_words'\nbag = { words = 40, front_end = { name = 'mfcc', hop_length = 200 } }",
            ),
        ),
        at(
            16_000,
            toml(
                "name = 'bag_of_words'\nhidden = [20, 12]\n\
                 bag = { words = 30, variance = 0.8, front_end = { name = 'mel' } }",
            ),
        ),
        at(
            24_000,
            toml(
                "name = 'multiscale'\nmeans = 20\nhidden = [12]\ndropout = 0.0\nframes = 2\npool = ['max', 'mean', 'deviation']\n\
                 front_end = { name = 'pyramid', n_mels = 20, hop_length = 128, n_fft = 512, levels = 3 }",
            ),
        ),
        at(
            24_000,
            toml(
                "name = 'multiscale'\nmeans = 25\nbatch = 100\nhidden = []\nlevels = [1]\npool_seconds = 0.4\n\
                 encoding = { name = 'triangle' }\n\
                 front_end = { name = 'multiresolution', windows = [256, 512], n_mels = 20, hop_length = 128 }",
            ),
        ),
        at(
            24_000,
            toml(
                "name = 'multiscale'\nmeans = 0\nhidden = []\nframes = 4\n\
                 front_end = { name = 'mel', n_mels = 20 }",
            ),
        ),
        at(
            24_000,
            toml(
                "name = 'multiscale'\nmeans = 20\nhidden = [10, 10]\ndropout = 0.0\nweight = 'product'\n\
                 encoding = { name = 'threshold', threshold = 0.5 }\n\
                 front_end = { name = 'pyramid', kind = 'gaussian', n_mels = 20, hop_length = 128, levels = 2 }",
            ),
        ),
        at(16_000, transferred("embedding", "hidden = [10]\ndropout = 0.0")),
        at(16_000, transferred("outputs", "hidden = []")),
        at(
            16_000,
            toml(
                "name = 'mlr'\nneighbours = 2\n\
                 bag = { words = 30, variance = 0.8, front_end = { name = 'mfcc' } }",
            ),
        ),
    ]
}

/// What the transferred model builds on.
const SOURCE: &str = "name = 'tagger'\nhidden = 12\nfront_end = { name = 'mel', n_mels = 8 }\n\
                      stages = [{ filters = 4, length = 3, pool = 2 }]";

/// Those that have something to learn.
fn learned() -> Vec<Case> {
    cases().into_iter().filter(|case| case.config.is_learned()).collect()
}

/// burn has one random generator a backend for the whole process, tests run in threads, and each
/// initialisation draws from it.
static GENERATOR: Mutex<()> = Mutex::new(());

fn locked<T>(draw: impl FnOnce() -> T) -> T {
    let _held = GENERATOR.lock().unwrap_or_else(|poison| poison.into_inner());
    draw()
}

/// Noise to fit to, of several colours so that there is something to tell apart.
struct Colours<'a> {
    samples: usize,
    config: &'a ModelConfig,
}

impl Corpus for Colours<'_> {
    type Error = std::convert::Infallible;

    fn tracks(&self) -> usize {
        12
    }

    fn excerpts(&self, each: &mut dyn FnMut(Tensor<2>, &[usize])) -> Result<(), Self::Error> {
        let white = noise(self.samples, 12, 0.3);
        let mut coloured = white.clone();
        for (track, samples) in coloured.chunks_exact_mut(self.samples).enumerate() {
            let slowness = (track % 5) as f32 / 5.0;
            for i in 1..samples.len() {
                samples[i] = slowness * samples[i - 1] + (1.0 - slowness) * samples[i];
            }
        }
        each(tensor(&coloured, 12, &Device::flex()), &(0..12).collect::<Vec<_>>());
        Ok(())
    }

    fn neighbours(&self, count: usize) -> Result<Vec<Vec<u32>>, Self::Error> {
        let others = |track: u32| (0..12).filter(move |x| x % 5 == track % 5 && *x != track);
        Ok((0..12).map(|track| others(track).take(count).collect()).collect())
    }

    fn source(&self) -> Result<(Model, Fitted), Self::Error> {
        let ModelConfig::Transferred(config) = self.config else {
            unreachable!("only a transferred network asks")
        };
        let source = config.source.as_ref().unwrap();
        let device = Device::flex();
        let model = locked(|| {
            device.seed(9);
            source.model.drawn(source.outputs, self.samples, &Fitted::default(), &device).unwrap()
        });
        Ok((model, Fitted::default()))
    }

    fn progress(&self, _: &str) -> Result<(), Self::Error> {
        Ok(())
    }

    fn warn(&self, _: &str) {}
}

fn fitted(case: &Case) -> Fitted {
    let colours = Colours { samples: case.samples, config: &case.config };
    case.config.fit(case.samples, 1, &Device::flex(), &colours).unwrap()
}

pub(crate) fn build(case: &Case, seed: u64, device: &Device) -> Model {
    let fitted = fitted(case);
    locked(|| {
        device.seed(seed);
        case.config.drawn(OUTPUTS, case.samples, &fitted, device).unwrap()
    })
}

pub(crate) fn noise(samples: usize, batch: usize, level: f32) -> Vec<f32> {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        level * ((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
    };
    (0..samples * batch).map(|_| next()).collect()
}

fn tensor(values: &[f32], batch: usize, device: &Device) -> Tensor<2> {
    let shape = [batch, values.len() / batch];
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}

/// Ids and values of all parameters; running statistics have no lasting ids, and need none.
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
        // What is transferred is fixed.
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
fn the_list_is_complete_and_its_defaults_are_whole() {
    let cases = cases();
    for (name, about) in ModelConfig::NAMES {
        assert!(!about.is_empty());
        assert!(cases.iter().any(|case| case.config.name() == *name), "{name} has no case here");
        let config = toml(&format!("name = '{name}'"));
        assert_eq!(config.name(), *name);
        assert!(config.describe().len() > 20 && !config.describe().contains('\n'));
        let written = toml::to_string(&config).unwrap();
        assert_eq!(toml(&written), config, "what is written is read back:\n{written}");
    }
    for case in cases {
        assert!(ModelConfig::NAMES.iter().any(|(name, _)| *name == case.config.name()));
    }
}

#[test]
fn shapes() {
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
            // What is fitted decides how much it gives.
            false => assert_eq!((outputs, model.num_params()), (features, 0)),
        }
    }
}

#[test]
fn the_papers_samplecnn_takes_its_excerpt() {
    let config = ModelConfig::SampleCnn(SampleCnnConfig::default());
    let case = Case { config, samples: 59_049 };
    let model = build(&case, 1, &Device::flex());
    let x = tensor(&noise(case.samples, 1, 0.5), 1, &Device::flex());
    assert_eq!(model.embed(x.clone()).dims(), [1, 512]);
    assert!(finite(&values(model.forward(x))));
}

#[test]
fn a_batch_gives_what_its_items_give() {
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
    // A linear regression on fitted features is one layer.
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
fn silence_clipping_and_vanishing_noise_stay_finite() {
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
        // No gradient goes through what is fitted.
        let gradient = x.grad(&gradients);
        assert_eq!(gradient.is_none(), case.config.is_fitted(), "{:?}", case.config);
        assert!(gradient.is_none_or(|x| finite(&values(x))), "{what}: {:?}", case.config);
        let bad = Bad::of(&model, &gradients);
        assert!(bad.missing.is_empty() && bad.infinite.is_empty(), "{what}: {:?}", case.config);
        assert!(finite(&values(model.valid().forward(x.inner()))), "{what}");
    }
}

/// The networks whose layers have kernels for GPUs.
#[cfg(feature = "wgpu")]
#[test]
fn gpus_keep_to_it() {
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
fn saved_and_loaded_is_the_same() {
    let device = Device::flex().autodiff();
    let folder = std::env::temp_dir().join(format!("tonotopy-contract-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (i, case) in learned().iter().enumerate() {
        let model = build(case, 5, &device);
        let x = tensor(&noise(case.samples, 2, 0.5), 2, &device);
        // Moves the running statistics, where there are any. They reach the record one update
        // late; `valid` settles them.
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
fn the_fixed_part_and_the_learned_part_are_the_whole() {
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
fn what_was_fitted_for_another_config_is_refused() {
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
fn a_record_of_another_architecture_is_refused() {
    let device = Device::flex();
    let cases = cases();
    let record = build(&cases[0], 1, &device).into_record();
    assert!(build(&cases[3], 1, &device).try_load_record(record).is_err());
}

#[test]
fn the_same_seed_gives_the_same_model_and_the_same_model_the_same_output() {
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
fn outside_training_nothing_is_tracked_and_the_output_is_that_of_a_plain_model() {
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

/// The mapper that does nothing: what an optimizer does to a module, less the numbers.
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

fn error(text: &str, samples: usize) -> ModelError {
    let config = toml(text);
    let error = config.validate(samples).expect_err(text);
    let built =
        config.drawn(OUTPUTS, samples, &Fitted::default(), &Device::flex()).expect_err(text);
    assert_eq!(built, error);
    error
}

#[test]
fn bad_values_are_named() {
    let mel = |rest: &str| format!("name = 'tagger'\nfront_end = {{ name = 'mel', {rest} }}");
    let strided =
        |rest: &str| format!("name = 'tagger'\nfront_end = {{ name = 'strided', {rest} }}");
    let tagger = |rest: &str| format!("name = 'tagger'\n{rest}");
    let samplecnn = |rest: &str| format!("name = 'samplecnn'\n{rest}");
    let latentnet = |rest: &str| format!("name = 'latentnet'\n{rest}");
    let musicnn = |rest: &str| format!("name = 'musicnn'\n{rest}");
    let huge = "18_446_744_073_709";
    let table = [
        (mel("n_fft = 0"), "front_end.n_fft"),
        (mel(&format!("n_fft = {huge}")), "front_end.n_fft"),
        (mel("n_fft = 256, win_length = 257"), "front_end.win_length"),
        (mel("win_length = 0"), "front_end.win_length"),
        (mel("hop_length = 0"), "front_end.hop_length"),
        (mel(&format!("hop_length = {huge}")), "front_end.hop_length"),
        (mel("n_mels = 0"), "front_end.n_mels"),
        (mel(&format!("n_mels = {huge}")), "front_end.n_mels"),
        (mel("sample_rate = 0"), "front_end.sample_rate"),
        (mel("f_max = 8000.5"), "front_end.f_max"),
        (mel("f_max = nan"), "front_end.f_max"),
        (mel("f_min = -1.0"), "front_end.f_min"),
        (mel("f_min = 500.0, f_max = 500.0"), "front_end.f_min"),
        (mel("f_min = 8000.0"), "front_end.f_min"),
        (mel("power = 3.0"), "front_end.power"),
        (mel("power = nan"), "front_end.power"),
        (mel("compression = 0.0"), "front_end.compression"),
        (mel("compression = inf"), "front_end.compression"),
        (mel("n_fft = 16384"), "excerpt"),
        (mel("hop_length = 4000"), "stages[0].length"),
        (strided("filters = 0"), "front_end.filters"),
        (strided(&format!("filters = {huge}")), "front_end.filters"),
        (strided("filters = 65536, length = 1048576"), "front_end.filters"),
        (strided("length = 0"), "front_end.length"),
        (strided(&format!("length = {huge}")), "front_end.length"),
        (strided("stride = 0"), "front_end.stride"),
        (strided("compression = -1.0"), "front_end.compression"),
        (strided("pool = { kind = 'l2', size = 0 }"), "front_end.pool.size"),
        (strided("pool = { kind = 'l2', size = 3 }"), "front_end.pool.size"),
        (strided("pool = { kind = 'l2', size = 129 }"), "front_end.pool.size"),
        (strided("length = 10000"), "excerpt"),
        (tagger("hidden = 0"), "hidden"),
        (tagger(&format!("hidden = {huge}")), "hidden"),
        (tagger("dropout = 1.0"), "dropout"),
        (tagger("dropout = nan"), "dropout"),
        (tagger("stages = [{ filters = 0 }]"), "stages[0].filters"),
        (tagger("stages = [{ length = 0 }]"), "stages[0].length"),
        (tagger("stages = [{}, { pool = 0 }]"), "stages[1].pool"),
        (tagger("stages = [{ filters = 65536 }, { filters = 65536 }]"), "stages[1].filters"),
        (tagger("stages = [{}, {}, {}]"), "stages[1].length"),
        (tagger("partial_pools = 'never'\nstages = [{ pool = 60 }]"), "partial_pools"),
        (samplecnn("stem_length = 0"), "stem_length"),
        (samplecnn("stem_filters = 0"), "stem_filters"),
        (samplecnn("length = 4"), "length"),
        (samplecnn("length = 0"), "length"),
        (samplecnn("pool = 0"), "pool"),
        (samplecnn("pool = 60_000"), "excerpt"),
        (samplecnn("block_filters = [1, 0]"), "block_filters[1]"),
        (samplecnn("hidden = 0"), "hidden"),
        (samplecnn("dropout = -0.1"), "dropout"),
        (samplecnn(""), "excerpt"),
        (latentnet("hidden = []"), "hidden"),
        (latentnet("hidden = [8, 0]"), "hidden[1]"),
        (latentnet(&format!("hidden = [{huge}]")), "hidden[0]"),
        (latentnet("dropout = 1.0"), "dropout"),
        (latentnet("stages = [{ pool = 0 }]"), "stages[0].pool"),
        (latentnet(""), "stages[1].length"),
        (musicnn("timbral_filters = 0"), "timbral_filters"),
        (musicnn(&format!("timbral_filters = {huge}")), "timbral_filters"),
        (musicnn("timbral_heights = []"), "timbral_heights"),
        (musicnn("timbral_heights = [0.5, 1.1]"), "timbral_heights[1]"),
        (musicnn("timbral_heights = [nan]"), "timbral_heights[0]"),
        (musicnn("timbral_heights = [0.01]"), "timbral_heights[0]"),
        (musicnn("temporal_filters = 0"), "temporal_filters"),
        (musicnn("temporal_lengths = []"), "temporal_lengths"),
        (musicnn("temporal_lengths = [8, 0]"), "temporal_lengths[1]"),
        (musicnn("temporal_filters = 65536\ntemporal_lengths = [65536]"), "temporal_filters"),
        (musicnn("filters = 0"), "filters"),
        (musicnn("filters = 65536"), "filters"),
        (musicnn("hidden = 0"), "hidden"),
        (musicnn("hidden = 1_000_000"), "hidden"),
        (musicnn("dropout = 1.0"), "dropout"),
        (musicnn("front_end = { name = 'mel', hop_length = 0 }"), "front_end.hop_length"),
        (musicnn("front_end = { name = 'mel', n_fft = 16384 }"), "excerpt"),
    ];
    for (text, key) in table {
        let error = error(&text, 9_000);
        assert_eq!(error.key, key, "{text}: {error}");
        assert!(!error.remedy.is_empty() && error.to_string().contains(&error.value));
    }
    let config = toml("name = 'tagger'");
    assert_eq!(
        config.drawn(0, 48_000, &Fitted::default(), &Device::flex()).unwrap_err().key,
        "outputs"
    );
    assert_eq!(
        config.drawn(usize::MAX, 48_000, &Fitted::default(), &Device::flex()).unwrap_err().key,
        "outputs"
    );
    let reflect =
        MelConfig { n_fft: 2048, center: true, pad_mode: PadKind::Reflect, ..Default::default() };
    assert_eq!(reflect.validate(1024).unwrap_err().key, "excerpt");
    reflect.validate(1025).unwrap();
    for samples in [0, 1, 511, 2_000] {
        assert!(config.validate(samples).is_err(), "{samples} samples");
    }
    let unknown =
        toml::from_str::<ModelConfig>("name = 'tagger'\nfront_end = { name = 'mel', n_mel = 3 }");
    assert!(unknown.unwrap_err().to_string().contains("n_mels"));
}

#[test]
fn a_front_end_tells_what_it_gives() {
    for case in cases() {
        let ModelConfig::Tagger(config) = &case.config else { continue };
        // First weights are drawn when they are first used.
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
