//! The networks that the tests run, and their inputs.

use std::sync::Mutex;

use burn::tensor::{Device, Tensor, TensorData};
use models::{Corpus, Example, Fitted, Model, ModelConfig, NetworkConfig};

pub const OUTPUTS: usize = 7;

pub struct Case {
    pub config: ModelConfig,
    pub samples: usize,
}

pub fn toml(text: &str) -> ModelConfig {
    toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The examples of every network; also every front end, and options at other sizes.
pub fn cases() -> Vec<Case> {
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
            16_000,
            tagger(
                "{ name = 'strided', filters = 16, initial = 'gabor', pool = { kind = 'squared', size = 2 } }",
            ),
        ),
        at(
            16_000,
            tagger(
                "{ name = 'strided', filters = 16, initial = 'gabor', activation = 'log', pool = { kind = 'squared', size = 2 } }",
            ),
        ),
        at(16_000, tagger("{ name = 'gabor' }")),
        at(
            8_000,
            tagger("{ name = 'gabor', filters = 9, initial = 'linear', normalize_windows = true }"),
        ),
        at(8_000, tagger("{ name = 'gabor', groups = {} }")),
        at(
            8_000,
            tagger(
                "{ name = 'gabor', filters = 7, hop_length = 120, initial = 'random', groups = { count = 3, length_factor = 4.0, stride_factor = 1.0 } }",
            ),
        ),
        at(8_000, tagger("{ name = 'sinc', filters = 16 }")),
        at(8_000, tagger("{ name = 'sinc', filters = 7, output = 'rectified' }")),
        at(8_000, tagger("{ name = 'free', filters = 8, length = 101 }")),
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

/// The transfer source.
const SOURCE: &str = "name = 'tagger'\nhidden = 12\nfront_end = { name = 'mel', n_mels = 8 }\n\
                      stages = [{ filters = 4, length = 3, pool = 2 }]";

/// The networks with trained parameters.
pub fn learned() -> Vec<Case> {
    cases().into_iter().filter(|case| case.config.is_learned()).collect()
}

/// burn has one random generator per backend and process, which every initialisation uses, and tests run in
/// threads.
static GENERATOR: Mutex<()> = Mutex::new(());

pub fn locked<T>(draw: impl FnOnce() -> T) -> T {
    let _held = GENERATOR.lock().unwrap_or_else(|poison| poison.into_inner());
    draw()
}

/// Noise of several colours, so that tracks differ.
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
            unreachable!("only a transferred network has a source")
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

pub fn fitted(case: &Case) -> Fitted {
    let colours = Colours { samples: case.samples, config: &case.config };
    case.config.fit(case.samples, 1, &Device::flex(), &colours).unwrap()
}

pub fn build(case: &Case, seed: u64, device: &Device) -> Model {
    let fitted = fitted(case);
    locked(|| {
        device.seed(seed);
        case.config.drawn(OUTPUTS, case.samples, &fitted, device).unwrap()
    })
}

pub fn noise(samples: usize, batch: usize, level: f32) -> Vec<f32> {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        level * ((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
    };
    (0..samples * batch).map(|_| next()).collect()
}

pub fn tensor(values: &[f32], batch: usize, device: &Device) -> Tensor<2> {
    let shape = [batch, values.len() / batch];
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

pub fn finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}
