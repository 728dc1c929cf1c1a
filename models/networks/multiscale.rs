//! Features learned without labels at several time scales, and dense layers on them.
//!
//! P1 (Dieleman & Schrauwen 2013, Multiscale approaches to music audio feature learning): of every
//! level of a multiresolution spectrogram or a pyramid, windows of a few frames are whitened by PCA;
//! spherical K-means finds typical ones; products with these, pooled over time, are the features of
//! the level; those of all levels together go to a multilayer perceptron. P4 (van den Oord, Dieleman &
//! Schrauwen 2014, Transfer learning by supervised pre-training) has the same features of one level,
//! with a linear regression or a perceptron of one or two hidden layers on them.
//!
//! What is fitted, in this order, each in one pass over all training excerpts: the components of every
//! level; the means, of `windows` whitened windows taken evenly; mean and deviation of each pooled
//! feature, by which it is standardised (the papers are silent on that).
//!
//! What could not be found of P1 is open here: the regulariser, the number of windows, how long a pooling
//! window is. That it pools by the maximum, and the perceptron's one hidden layer of 1 000 units, are
//! from memory. By default a pooling window is the excerpt, of which a track has several.
//!
//! To reproduce (MagnaTagATune, ROC-AUC): 0.898 with the Laplacian pyramid and windows of one frame,
//! 0.888 with multiresolution spectrograms; all levels together ahead of each alone.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{fits_memory, in_range};
use crate::fitted::{Corpus, FitError, Fitted, Fixed, Teller};
use crate::front_end::{FrontEnd, FrontEndConfig, MelConfig, PyramidConfig};
use crate::layers::dense::{Dense, DenseConfig};
use crate::layers::pool::Pool;
use crate::layers::windows::{self, host, windows};
use crate::onnx::{Graph, Lower, Lowered, Value};
use crate::unsupervised::encoding::Encoding;
use crate::unsupervised::even_sample::EvenSample;
use crate::unsupervised::kmeans::{KMeansConfig, KMeansError, Weight};
use crate::unsupervised::moments::Moments;
use crate::unsupervised::pca::{Keep, PcaError, PcaFit};
use crate::unsupervised::whitening::Whitening;
use crate::{Example, ModelError, Network, NetworkConfig};

/// Everything that [`Multiscale`] leaves open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MultiscaleConfig {
    /// Decides the sample rate that the model expects, and what the levels are.
    pub front_end: FrontEndConfig,
    /// Which of its levels are used, the finest being 0; all if the list is empty.
    pub levels: Vec<usize>,
    /// Consecutive frames that make a window.
    pub frames: usize,
    /// Share of the variance that the principal components of a level keep.
    pub variance: f64,
    /// Added to the variance of each component in whitening.
    pub epsilon: f64,
    /// Means of each level; with 0 the whitened windows themselves are pooled.
    pub means: usize,
    /// Most windows that the means of a level are learned from; taken evenly from all of training.
    pub windows: usize,
    /// Most updates of the means.
    pub iterations: usize,
    /// Windows an update; all by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// How much a window counts in its mean.
    pub weight: Weight,
    /// How products with the means become features; `linear` by default.
    pub encoding: Encoding,
    /// What is kept of each feature over time.
    pub pool: Vec<Pool>,
    /// Length of the stretches that are pooled, in seconds; the features of an excerpt are the mean
    /// over its stretches. The whole excerpt by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_seconds: Option<f64>,
    /// Units of each hidden layer in turn; none for a linear regression.
    pub hidden: Vec<usize>,
    /// Probability of dropping the input of a dense layer after the first, in training.
    pub dropout: f64,
}

impl Default for MultiscaleConfig {
    fn default() -> Self {
        Self {
            front_end: FrontEndConfig::Pyramid(PyramidConfig::default()),
            levels: Vec::new(),
            frames: 1,
            variance: 0.99,
            epsilon: 0.01,
            means: 500,
            windows: 100_000,
            iterations: 20,
            batch: None,
            weight: Weight::One,
            encoding: Encoding::Linear,
            pool: vec![Pool::Max],
            pool_seconds: None,
            hidden: vec![1_000],
            dropout: 0.5,
        }
    }
}

/// Names of what is fitted besides the whitening of each level.
const MEANS: &str = "window_means";
const FEATURE_MEAN: &str = "feature_means";
const FEATURE_DEVIATION: &str = "feature_deviations";

impl MultiscaleConfig {
    /// The levels that are used.
    pub fn used_levels(&self) -> Vec<usize> {
        match self.levels.is_empty() {
            true => (0..self.front_end.levels()).collect(),
            false => self.levels.clone(),
        }
    }

    /// Bands of each level.
    pub fn level_bands(&self) -> usize {
        self.front_end.bands() / self.front_end.levels().max(1)
    }

    /// Numbers of a window.
    fn columns(&self) -> usize {
        self.level_bands().saturating_mul(self.frames)
    }

    /// Features of an excerpt where each level has so many.
    fn features_of(&self, level: usize) -> usize {
        let pools = self.used_levels().len().saturating_mul(self.pool.len());
        level.saturating_mul(pools)
    }

    fn dense(&self) -> DenseConfig<'_> {
        DenseConfig { hidden: &self.hidden, dropout: self.dropout }
    }

    /// One for each level that is used.
    fn whitenings<C: Corpus>(
        &self,
        front_end: &FrontEnd,
        corpus: &C,
    ) -> Result<Vec<Whitening>, FitError<C::Error>> {
        let used = self.used_levels();
        let mut fits = vec![PcaFit::new(self.columns()); used.len()];
        let mut broken = None;
        corpus
            .excerpts(&mut |waveforms, _| {
                let levels = front_end.levels(waveforms);
                for (fit, &level) in fits.iter_mut().zip(&used) {
                    let rows = host(windows(levels[level].clone(), self.frames));
                    if let Err(error) = fit.add(&rows) {
                        broken.get_or_insert((level, error));
                    }
                }
            })
            .map_err(FitError::Corpus)?;
        let failed = |level: usize, error: &PcaError| {
            let why = match error {
                PcaError::Constant { .. } => "; is the training audio silent?",
                PcaError::NotFinite { .. } => "; the training audio holds NaN",
                _ => "",
            };
            FitError::Data(format!("windows of level {level}: {error}{why}"))
        };
        if let Some((level, error)) = broken {
            return Err(failed(level, &error));
        }
        let mut whitenings = Vec::new();
        for (fit, level) in fits.into_iter().zip(used) {
            let pca = fit.finish(Keep::Variance(self.variance));
            whitenings
                .push(Whitening::new(&pca.map_err(|error| failed(level, &error))?, self.epsilon));
        }
        Ok(whitenings)
    }

    fn fit_means<C: Corpus>(
        &self,
        front_end: &FrontEnd,
        whitenings: &[Whitening],
        seed: u64,
        device: &Device,
        corpus: &C,
        fitted: &mut Fitted,
    ) -> Result<(), FitError<C::Error>> {
        let used = self.used_levels();
        let maps: Vec<Affine> =
            whitenings.iter().map(|whitening| Affine::new(whitening.map())).collect();
        let mut samples: Vec<EvenSample> = whitenings
            .iter()
            .map(|whitening| EvenSample::new(whitening.components(), self.windows))
            .collect();
        corpus.progress("windows").map_err(FitError::Corpus)?;
        corpus
            .excerpts(&mut |waveforms, _| {
                let levels = front_end.levels(waveforms);
                for ((sample, map), &level) in samples.iter_mut().zip(&maps).zip(&used) {
                    sample.add(&host(map.apply(windows(levels[level].clone(), self.frames))));
                }
            })
            .map_err(FitError::Corpus)?;
        for ((sample, whitening), level) in samples.into_iter().zip(whitenings).zip(used) {
            let kmeans = KMeansConfig {
                means: self.means,
                iterations: self.iterations,
                tolerance: 0.001,
                spherical: true,
                weight: self.weight,
                batch: self.batch,
                // Levels are apart, however many are used.
                seed: seed.wrapping_mul(64).wrapping_add(level as u64),
            };
            let mut teller = Teller::new(corpus);
            let rows = sample.into_rows();
            let found = kmeans.fit(&rows, whitening.components(), device, |iteration| {
                let told =
                    format!("means of level {level}, mean product {:.4}", iteration.objective);
                teller.tell(&told)
            });
            teller.finish()?;
            let found = found.map_err(|error| match error {
                KMeansError::Config(error) => FitError::Model(error),
                KMeansError::TooFewRows { rows, means } => FitError::Model(ModelError::new(
                    "means",
                    means,
                    format!(
                        "more than the {rows} windows of all training excerpts at level {level}"
                    ),
                    "ask for fewer means, or bring more audio",
                )),
                error => FitError::Data(format!("level {level}: no means were found: {error}")),
            })?;
            let shape = [self.means, whitening.components()];
            fitted.insert(&format!("{MEANS}{}", suffix(level)), &shape, found.means);
        }
        Ok(())
    }

    fn features(
        &self,
        excerpt_samples: usize,
        fitted: &Fitted,
        device: &Device,
    ) -> Result<Features, ModelError> {
        let hops = self.front_end.level_hops();
        let rate = f64::from(self.front_end.sample_rate());
        let mut levels = Vec::new();
        for level in self.used_levels() {
            let whitening = Whitening::get(&suffix(level), self.columns(), fitted)?;
            let (map, white) = match self.means {
                0 => (whitening.map(), None),
                count => {
                    let shape = [Some(count), Some(whitening.components())];
                    let means: Fixed<2> =
                        fitted.get(&format!("{MEANS}{}", suffix(level)), shape)?;
                    let white = (self.encoding == Encoding::Triangle).then(|| whitening.map());
                    (whitening.map_to(means.values()), white)
                }
            };
            let stretch = self.pool_seconds.map(|seconds| {
                // A stretch of less than a window's hop is one window.
                ((seconds * rate / hops[level] as f64).round() as usize).max(1)
            });
            let white = white.map(Affine::new);
            levels.push(Level { level, map: Affine::new(map), white, stretch });
        }
        Ok(Features {
            front_end: self.front_end.init(device)?,
            levels,
            frames: self.frames,
            encoding: self.encoding,
            pool: self.pool.clone(),
            samples: excerpt_samples,
        })
    }

    /// The means of a level as patches of spectrogram, in the unit of the front end, less the mean window:
    /// what each of them looks for.
    ///
    /// # Shapes
    /// - returns: `[mean, frame, band]`
    ///
    /// # Errors
    /// If there are no means, or `fitted` is not of this config.
    pub fn patches(&self, level: usize, fitted: &Fitted) -> Result<Vec<f32>, ModelError> {
        let whitening = Whitening::get(&suffix(level), self.columns(), fitted)?;
        let shape = [Some(self.means), Some(whitening.components())];
        let means: Fixed<2> = fitted.get(&format!("{MEANS}{}", suffix(level)), shape)?;
        Ok(whitening.undo(means.values()))
    }
}

impl NetworkConfig for MultiscaleConfig {
    type Network = Multiscale;

    fn examples() -> Vec<Example<Self>> {
        let pyramid =
            PyramidConfig { levels: 2, n_fft: 64, hop_length: 32, n_mels: 6, ..Default::default() };
        let laplacian = Self {
            front_end: FrontEndConfig::Pyramid(pyramid),
            frames: 2,
            means: 5,
            pool: vec![Pool::Max, Pool::Mean, Pool::Deviation],
            hidden: vec![6],
            dropout: 0.0,
            ..Self::default()
        };
        let triangle = Self { encoding: Encoding::Triangle, ..laplacian.clone() };
        let threshold = Encoding::Threshold { threshold: 0.1 };
        let threshold = Self { encoding: threshold, levels: vec![1], ..laplacian.clone() };
        let whitened = Self {
            front_end: FrontEndConfig::Mel(MelConfig::small()),
            means: 0,
            pool_seconds: Some(0.01),
            hidden: Vec::new(),
            ..laplacian.clone()
        };
        let example = |about, config| Example { about, config, samples: 700 };
        vec![
            example("K-means of a pyramid", laplacian),
            example("K-means, triangle", triangle),
            example("K-means, threshold", threshold),
            example("whitened windows, stretches", whitened),
        ]
    }

    fn front_end(&self) -> Option<&FrontEndConfig> {
        Some(&self.front_end)
    }

    fn sample_rate(&self) -> u32 {
        self.front_end.sample_rate()
    }

    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        self.front_end.validate(excerpt_samples).map_err(|error| match error.key.as_str() {
            "excerpt" => error,
            _ => error.within("front_end"),
        })?;
        if matches!(self.front_end, FrontEndConfig::Strided(_)) {
            let problem = "learns by gradients, of which what is fitted beforehand has none";
            let remedy = "choose mel, mfcc, multiresolution or pyramid";
            return Err(ModelError::new("front_end.name", "strided", problem, remedy));
        }
        let count = self.front_end.levels();
        for (i, &level) in self.levels.iter().enumerate() {
            if level >= count {
                let problem = format!("the front end has levels 0 to {}", count - 1);
                let remedy = "name one of these, or leave the list empty for all";
                return Err(ModelError::new(format!("levels[{i}]"), level, problem, remedy));
            }
            if self.levels[..i].contains(&level) {
                let remedy = "name each level once";
                return Err(ModelError::new(format!("levels[{i}]"), level, "named twice", remedy));
            }
        }
        in_range("frames", self.frames, 1, 1_024)?;
        in_range("variance", self.variance, 0.01, 1.0)?;
        in_range("epsilon", self.epsilon, 0.0, 1e6)?;
        in_range("means", self.means, 0, 100_000)?;
        in_range("windows", self.windows, self.means.max(2), 1 << 30)?;
        in_range("iterations", self.iterations, 1, 1_000_000)?;
        if let Some(batch) = self.batch {
            in_range("batch", batch, 1, 1 << 30)?;
        }
        if let Encoding::Threshold { threshold } = self.encoding {
            in_range("encoding.threshold", threshold, -1e6, 1e6)?;
        }
        if self.means == 0 && self.encoding != Encoding::Linear {
            let remedy = "ask for means, or leave the encoding out";
            let problem = "an encoding by means, of which there are to be none";
            return Err(ModelError::new(
                "encoding",
                format!("{:?}", self.encoding),
                problem,
                remedy,
            ));
        }
        if self.pool.is_empty() {
            let remedy = "list one or more of max, mean, deviation";
            return Err(ModelError::new("pool", "[]", "nothing is kept", remedy));
        }
        if let Some(seconds) = self.pool_seconds {
            in_range("pool_seconds", seconds, 1e-3, 86_400.0)?;
        }
        // The covariance of windows is a square of these, in double precision.
        if self.columns() > 20_000 {
            let problem = format!("windows of {} numbers are too large for PCA", self.columns());
            return Err(ModelError::new("frames", self.frames, problem, "lower it, or the bands"));
        }
        fits_memory("means", self.means, &[self.means.max(1), self.columns()])?;
        let frames = self.front_end.level_frames(excerpt_samples);
        if self.used_levels().iter().any(|&level| frames[level] < self.frames) {
            let problem = format!("more than the frames of an excerpt at some level ({frames:?})");
            let remedy = "raise training.excerpt_seconds, or use fewer frames or levels";
            return Err(ModelError::new("frames", self.frames, problem, remedy));
        }
        self.dense().validate(self.features_of(self.means.max(1)))
    }

    fn is_fitted(&self) -> bool {
        true
    }

    fn is_linear(&self) -> bool {
        self.hidden.is_empty()
    }

    /// Learns components, means and the features' sizes from training audio.
    fn fit<C: Corpus>(
        &self,
        excerpt_samples: usize,
        seed: u64,
        device: &Device,
        corpus: &C,
    ) -> Result<Fitted, FitError<C::Error>> {
        self.validate(excerpt_samples)?;
        let front_end = self.front_end.init(device)?;
        let mut fitted = Fitted::default();
        corpus.progress("components").map_err(FitError::Corpus)?;
        let whitenings = self.whitenings(&front_end, corpus)?;
        for (level, whitening) in self.used_levels().iter().zip(&whitenings) {
            whitening.insert(&suffix(*level), &mut fitted);
        }
        if self.means > 0 {
            self.fit_means(&front_end, &whitenings, seed, device, corpus, &mut fitted)?;
        }

        let features = self.features(excerpt_samples, &fitted, device)?;
        let mut moments = Moments::new(features.count());
        corpus.progress("sizes of features").map_err(FitError::Corpus)?;
        corpus
            .excerpts(&mut |waveforms, _| {
                let rows = host(features.forward(waveforms));
                rows.chunks_exact(features.count()).for_each(|row| moments.add(row));
            })
            .map_err(FitError::Corpus)?;
        let (mean, deviation) = moments.finish();
        let single = |values: Vec<f64>| values.iter().map(|value| *value as f32).collect();
        fitted.insert(FEATURE_MEAN, &[mean.len()], single(mean));
        fitted.insert(FEATURE_DEVIATION, &[deviation.len()], single(deviation));
        Ok(fitted)
    }

    fn init(
        &self,
        outputs: usize,
        excerpt_samples: usize,
        fitted: &Fitted,
        device: &Device,
    ) -> Result<Multiscale, ModelError> {
        self.validate(excerpt_samples)?;
        let features = self.features(excerpt_samples, fitted, device)?;
        let count = features.count();
        let row = |name: &str| -> Result<Fixed<2>, ModelError> {
            let values: Fixed<1> = fitted.get(name, [Some(count)])?;
            Ok(Fixed::new(values.values().to_vec(), [1, count]))
        };
        let (mean, deviation) = (row(FEATURE_MEAN)?, row(FEATURE_DEVIATION)?);
        let dense = self.dense().init(count, outputs, device);
        Ok(Multiscale { features, mean, deviation, dense })
    }

    fn describe(&self) -> String {
        let levels = match self.levels.as_slice() {
            [] => String::new(),
            [one] => format!(", level {one} alone"),
            some => format!(", levels {some:?}"),
        };
        let means = match self.means {
            0 => "whitened windows".to_string(),
            count => format!("{count} spherical means"),
        };
        format!(
            "{means} of {} frame(s) of a {}{levels}; {}",
            self.frames,
            self.front_end.describe(),
            self.dense().describe()
        )
    }
}

/// How the arrays of a level are told apart.
fn suffix(level: usize) -> String {
    format!("_{level}")
}

/// `x . matrix + offset`
#[derive(Clone, Debug)]
struct Affine {
    /// `[column, feature]`
    matrix: Fixed<2>,
    /// `[1, feature]`
    offset: Fixed<2>,
}

impl Affine {
    fn new((matrix, offset): (Vec<f32>, Vec<f32>)) -> Self {
        let features = offset.len();
        let columns = matrix.len() / features;
        Self {
            matrix: Fixed::new(matrix, [columns, features]),
            offset: Fixed::new(offset, [1, features]),
        }
    }

    fn features(&self) -> usize {
        self.matrix.shape()[1]
    }

    fn apply(&self, rows: Tensor<2>) -> Tensor<2> {
        let device = rows.device();
        rows.matmul(self.matrix.on(&device)) + self.offset.on(&device)
    }
}

/// What becomes of the windows of a level.
#[derive(Clone, Debug)]
struct Level {
    level: usize,
    /// To products with the means, or to whitened windows.
    map: Affine,
    /// To whitened windows, where their lengths count.
    white: Option<Affine>,
    /// Windows that are pooled together; all if `None`.
    stretch: Option<usize>,
}

/// Pooled features of waveforms, before they are standardised.
#[derive(Module, Debug)]
struct Features {
    front_end: FrontEnd,
    #[module(skip)]
    levels: Vec<Level>,
    #[module(skip)]
    frames: usize,
    #[module(skip)]
    encoding: Encoding,
    #[module(skip)]
    pool: Vec<Pool>,
    /// Samples of an excerpt.
    #[module(skip)]
    samples: usize,
}

impl Features {
    fn count(&self) -> usize {
        let of_levels: usize = self.levels.iter().map(|level| level.map.features()).sum();
        of_levels * self.pool.len()
    }

    /// `[batch, sample]` to `[batch, feature]`: those of each level by each pooling.
    fn forward(&self, waveforms: Tensor<2>) -> Tensor<2> {
        let [batch, samples] = waveforms.dims();
        assert_eq!(samples, self.samples, "the model was built for excerpts of another length");
        let levels = self.front_end.levels(waveforms);
        let mut features = Vec::new();
        for Level { level, map, white, stretch } in &self.levels {
            let rows = windows(levels[*level].clone(), self.frames);
            let [count, _] = rows.dims();
            let products = map.apply(rows.clone());
            let encoded = self.encoding.apply(products, || match white {
                Some(white) => {
                    let white = white.apply(rows);
                    (white.clone() * white).sum_dim(1)
                }
                None => Tensor::zeros([count, 1], &rows.device()),
            });
            let encoded = encoded.reshape([batch, count / batch, map.features()]);
            for pool in &self.pool {
                features.push(pooled(*pool, encoded.clone(), *stretch));
            }
        }
        Tensor::cat(features, 1)
    }
}

/// Pools stretches of time, and takes the mean over them; the last may be shorter.
fn pooled(pool: Pool, x: Tensor<3>, stretch: Option<usize>) -> Tensor<2> {
    let [_, time, _] = x.dims();
    let stretch = stretch.unwrap_or(time).min(time);
    let starts: Vec<usize> = (0..time).step_by(stretch).collect();
    let parts = starts.len();
    let each = starts.into_iter().map(|start| {
        let length = stretch.min(time - start);
        pool.apply(x.clone().narrow(1, start, length))
    });
    let sum = each.reduce(|sum, part| sum + part);
    sum.unwrap_or_else(|| unreachable!("an excerpt has a window")).div_scalar(parts as f32)
}

/// See the head of this file.
#[derive(Module, Debug)]
pub struct Multiscale {
    features: Features,
    /// `[1, feature]`
    #[module(skip)]
    mean: Fixed<2>,
    /// `[1, feature]`
    #[module(skip)]
    deviation: Fixed<2>,
    dense: Dense,
}

impl Network for Multiscale {
    fn fixed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        let device = waveforms.device();
        let features = self.features.forward(waveforms);
        ((features - self.mean.on(&device)) / self.deviation.on(&device)).detach()
    }

    fn learned(&self, features: Tensor<2>) -> Tensor<2> {
        self.dense.forward(features)
    }

    fn forward(&self, waveforms: Tensor<2>) -> Tensor<2> {
        self.learned(self.fixed(waveforms))
    }

    fn embed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        self.dense.last_hidden(self.fixed(waveforms))
    }

    fn with_classifier(mut self, weights: &[f32], biases: &[f32]) -> Self {
        self.dense = self.dense.with_output(weights, biases);
        self
    }
}

impl Affine {
    fn lower(&self, graph: &mut Graph, name: &str, rows: &Value) -> Value {
        graph.affine(name, rows, self.matrix.values(), Some(self.offset.values()))
    }
}

impl Features {
    /// [`Features::forward`] as nodes.
    fn lower(&self, graph: &mut Graph, waveforms: &Value) -> Value {
        let levels = self.front_end.lower_levels(graph, waveforms);
        let mut features = Vec::new();
        for Level { level, map, white, stretch } in &self.levels {
            let rows = windows::lower(graph, &levels[*level], self.frames);
            let products = map.lower(graph, &format!("means{}", suffix(*level)), &rows);
            let squares = white.as_ref().map(|white| {
                let white = white.lower(graph, &format!("whitening{}", suffix(*level)), &rows);
                let squares = graph.binary("Mul", &white, &white);
                graph.sum(&squares, 2, true)
            });
            let encoded = self.encoding.lower(graph, products, squares.as_ref());
            for pool in &self.pool {
                features.push(lower_pooled(graph, *pool, &encoded, *stretch));
            }
        }
        graph.cat(&features, 1)
    }
}

/// [`pooled`] as nodes.
fn lower_pooled(graph: &mut Graph, pool: Pool, x: &Value, stretch: Option<usize>) -> Value {
    let time = x.shape()[0];
    let stretch = stretch.unwrap_or(time).min(time);
    let parts: Vec<Value> = (0..time)
        .step_by(stretch)
        .map(|start| {
            let part = graph.slice(x, 1, start, stretch.min(time - start));
            let pooled = pool.lower(graph, &part);
            graph.reshape(&pooled, &[1, pooled.shape()[0]])
        })
        .collect();
    let together = graph.cat(&parts, 1);
    graph.reduce("ReduceMean", &together, 1, false)
}

impl Lower for Multiscale {
    fn lower(&self, graph: &mut Graph, waveforms: Value) -> Lowered {
        let features = self.features.lower(graph, &waveforms);
        let features = graph.standardised(&features, self.mean.values(), self.deviation.values());
        self.dense.lower(graph, features)
    }
}
