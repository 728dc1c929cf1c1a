//! Features learned without labels at several time scales, and dense layers on them.
//!
//! P1 (Dieleman & Schrauwen 2013, Multiscale approaches to music audio feature learning): at every level of
//! a multiresolution spectrogram or a pyramid, PCA whitens windows of a few frames, and spherical K-means
//! clusters them. The products with the means, pooled over time, are the features of the level; a
//! multilayer perceptron reads the features of all levels. P4 (van den Oord, Dieleman & Schrauwen 2014,
//! Transfer learning by supervised pre-training) uses the same features of one level, with a linear
//! regression or a perceptron of one or two hidden layers.
//!
//! Three things are fitted, each in one pass over all training excerpts: the principal components of every
//! level; the means, to `windows` evenly spaced whitened windows; mean and deviation of each pooled feature,
//! which standardise it (the papers do not mention this).
//!
//! P1 does not give the regulariser, the number of windows or the length of a pooling window. Max-pooling
//! and the one hidden layer of 1 000 units are recalled from memory. By default a pooling window is one
//! excerpt, of which a track has several.
//!
//! To reproduce (MagnaTagATune, ROC-AUC): 0.898 with the Laplacian pyramid and windows of one frame,
//! 0.888 with multiresolution spectrograms; all levels together beat each level alone.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{ensure, fits_memory, in_range};
use crate::fitted::{Constant, Corpus, FitError, Fitted};
use crate::front_end::{FrontEnd, FrontEndConfig, MelConfig, PyramidConfig};
use crate::layers::dense::{Dense, DenseConfig};
pub use crate::layers::pool::Pool;
use crate::layers::windows::{self, windows};
use crate::networks::stages::check_length;
use crate::onnx::{Graph, Lower, Lowered, Value, numbers};
use crate::unsupervised::affine::Affine;
use crate::unsupervised::encoding::Encoding;
use crate::unsupervised::even_sample::EvenSample;
use crate::unsupervised::kmeans::{KMeansConfig, RowWeight};
use crate::unsupervised::moments::Moments;
use crate::unsupervised::pca::{PcaError, PcaFit};
use crate::unsupervised::whitening::Whitening;
use crate::{Example, ModelError, Network, NetworkConfig};

/// Settings of [`Multiscale`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MultiscaleConfig {
    /// The front end, which also sets the sample rate and the levels; a Laplacian pyramid by default.
    pub front_end: FrontEndConfig,
    /// Levels of the front end that are used, 0 being the finest; empty by default, which uses all.
    pub levels: Vec<usize>,
    /// Length of a window, in frames; 1 by default.
    pub frames: usize,
    /// Share of the variance that the principal components of a level keep; 0.99 by default.
    pub variance: f64,
    /// Value added to the variance of each component in whitening; 0.01 by default.
    pub epsilon: f64,
    /// Number of K-means means per level; 500 by default, 0 to pool the whitened windows themselves.
    pub means: usize,
    /// Largest number of windows that K-means reads per level, evenly spaced over the training set; 100000 by
    /// default.
    pub windows: usize,
    /// Largest number of K-means updates; 20 by default.
    pub iterations: usize,
    /// Number of windows per K-means update; all by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Weight of a window in its mean; `"one"` by default.
    pub weight: RowWeight,
    /// Encoding of the products with the means as features; `linear` by default.
    pub encoding: Encoding,
    /// Statistics of each feature over time; `["max"]` by default.
    pub pool: Vec<Pool>,
    /// Length of a pooling window, in seconds; the whole excerpt by default. The features of an excerpt are
    /// the mean over its pooling windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_seconds: Option<f64>,
    /// Units of each hidden layer in order; `[1000]` by default, empty for a linear regression.
    pub hidden: Vec<usize>,
    /// Dropout probability of the inputs of all dense layers but the first, in training; 0.5 by default.
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
            weight: RowWeight::One,
            encoding: Encoding::Linear,
            pool: vec![Pool::Max],
            pool_seconds: None,
            hidden: vec![1_000],
            dropout: 0.5,
        }
    }
}

/// Names of the fitted arrays besides the whitening of each level.
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

    /// Values per window.
    fn columns(&self) -> usize {
        self.level_bands().saturating_mul(self.frames)
    }

    /// Features of an excerpt if each level has `level` features.
    fn features_of(&self, level: usize) -> usize {
        let pools = self.used_levels().len().saturating_mul(self.pool.len());
        level.saturating_mul(pools)
    }

    fn dense(&self) -> DenseConfig<'_> {
        DenseConfig { hidden: &self.hidden, dropout: self.dropout }
    }

    /// Fits the whitening of each level that is used.
    fn fit_whitenings<C: Corpus>(
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
                    let rows = numbers(windows(levels[level].clone(), self.frames));
                    if let Err(error) = fit.add(&rows) {
                        broken.get_or_insert((level, error));
                    }
                }
            })
            .map_err(FitError::Corpus)?;
        let failed = |level: usize, error: &PcaError| {
            let why = match error {
                PcaError::Constant { .. } => "; is the training audio silent?",
                PcaError::NotFinite(_) => "; does the training audio contain NaN?",
                _ => "",
            };
            FitError::Data(format!("windows of level {level}: {error}{why}"))
        };
        if let Some((level, error)) = broken {
            return Err(failed(level, &error));
        }
        let mut whitenings = Vec::new();
        for (fit, level) in fits.into_iter().zip(used) {
            let pca = fit.finish(self.variance);
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
                    sample.add(&numbers(map.apply(windows(levels[level].clone(), self.frames))));
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
                // The seed of a level does not depend on which other levels are used.
                seed: seed.wrapping_mul(64).wrapping_add(level as u64),
            };
            let means = kmeans.fit_to_corpus(
                &sample.into_rows(),
                whitening.components(),
                device,
                corpus,
                &format!("means of level {level}"),
                ("means", "windows"),
            )?;
            let shape = [self.means, whitening.components()];
            fitted.insert(&format!("{MEANS}{}", suffix(level)), &shape, means);
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
                    let means: Constant<2> =
                        fitted.get(&format!("{MEANS}{}", suffix(level)), shape)?;
                    let white = (self.encoding == Encoding::Triangle).then(|| whitening.map());
                    (whitening.map_to(means.values()), white)
                }
            };
            let pool_length = self.pool_seconds.map(|seconds| {
                // At least one window.
                ((seconds * rate / hops[level] as f64).round() as usize).max(1)
            });
            let white = white.map(Affine::new);
            levels.push(Level { level, map: Affine::new(map), white, pool_length });
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

    /// The means of a level as spectrogram patches in the unit of the front end, relative to the mean
    /// window: the pattern that each mean responds to.
    ///
    /// # Shapes
    /// - returns: `[mean, frame, band]`
    ///
    /// # Errors
    /// If the network has no means, or `fitted` belongs to another config.
    pub fn patches(&self, level: usize, fitted: &Fitted) -> Result<Vec<f32>, ModelError> {
        let whitening = Whitening::get(&suffix(level), self.columns(), fitted)?;
        let shape = [Some(self.means), Some(whitening.components())];
        let means: Constant<2> = fitted.get(&format!("{MEANS}{}", suffix(level)), shape)?;
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

    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        self.front_end.validate_fixed(excerpt_samples)?;
        let count = self.front_end.levels();
        for (i, &level) in self.levels.iter().enumerate() {
            let key = format!("levels[{i}]");
            let problem = format!("the front end has {count} levels, counted from 0");
            let remedy = "use one of these, or leave the list empty for all";
            ensure(level < count, &key, level, problem, remedy)?;
            let first = !self.levels[..i].contains(&level);
            ensure(first, &key, level, "listed twice", "list each level once")?;
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
        let usable = self.means > 0 || self.encoding == Encoding::Linear;
        let (value, problem) = (format!("{:?}", self.encoding), "needs means, but means = 0");
        ensure(usable, "encoding", value, problem, "set means above 0, or remove encoding")?;
        let remedy = "list one or more of max, mean, deviation";
        ensure(!self.pool.is_empty(), "pool", "[]", "at least one statistic is needed", remedy)?;
        if let Some(seconds) = self.pool_seconds {
            in_range("pool_seconds", seconds, 1e-3, 86_400.0)?;
        }
        // The covariance has the square of this many values, in double precision.
        let columns = self.columns();
        let problem = format!("windows of {columns} values are too large for PCA");
        let remedy = "lower it, or the number of bands";
        ensure(columns <= 20_000, "frames", self.frames, problem, remedy)?;
        fits_memory("means", self.means, &[self.means.max(1), self.columns()])?;
        let frames = self.front_end.level_frames(excerpt_samples);
        let enough = self.used_levels().iter().all(|&level| frames[level] >= self.frames);
        let problem = format!("an excerpt has fewer frames at some level ({frames:?})");
        let remedy = "raise training.excerpt_seconds, or use fewer frames or levels";
        ensure(enough, "frames", self.frames, problem, remedy)?;
        self.dense().validate(self.features_of(self.means.max(1)))
    }

    fn is_fitted(&self) -> bool {
        true
    }

    fn is_linear(&self) -> bool {
        self.hidden.is_empty()
    }

    /// Fits components, means, and the mean and deviation of each feature.
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
        let whitenings = self.fit_whitenings(&front_end, corpus)?;
        for (level, whitening) in self.used_levels().iter().zip(&whitenings) {
            whitening.insert(&suffix(*level), &mut fitted);
        }
        if self.means > 0 {
            self.fit_means(&front_end, &whitenings, seed, device, corpus, &mut fitted)?;
        }

        let features = self.features(excerpt_samples, &fitted, device)?;
        let moments = Moments::of_features(corpus, |waveforms| features.forward(waveforms))?;
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
        let row = |name: &str| -> Result<Constant<2>, ModelError> {
            let values: Constant<1> = fitted.get(name, [Some(count)])?;
            Ok(Constant::new(values.values().to_vec(), [1, count]))
        };
        let (mean, deviation) = (row(FEATURE_MEAN)?, row(FEATURE_DEVIATION)?);
        let dense = self.dense().init(count, outputs, device);
        Ok(Multiscale { features, mean, deviation, dense })
    }

    fn describe(&self) -> String {
        let levels = match self.levels.as_slice() {
            [] => String::new(),
            [one] => format!(", only level {one}"),
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

/// The end of the names of a level's arrays.
fn suffix(level: usize) -> String {
    format!("_{level}")
}

/// The map from the windows of a level to features.
#[derive(Clone, Debug)]
struct Level {
    level: usize,
    /// Map to products with the means, or to whitened windows.
    map: Affine,
    /// Map to whitened windows, for encodings that need their lengths.
    white: Option<Affine>,
    /// Windows that are pooled together; all if `None`.
    pool_length: Option<usize>,
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
    /// Length of an excerpt in samples.
    #[module(skip)]
    samples: usize,
}

impl Features {
    fn count(&self) -> usize {
        let of_levels: usize = self.levels.iter().map(|level| level.map.features()).sum();
        of_levels * self.pool.len()
    }

    /// `[batch, sample]` to `[batch, feature]`: every level with every statistic.
    fn forward(&self, waveforms: Tensor<2>) -> Tensor<2> {
        check_length(&waveforms, self.samples);
        let [batch, _] = waveforms.dims();
        let levels = self.front_end.levels(waveforms);
        let mut features = Vec::new();
        for Level { level, map, white, pool_length } in &self.levels {
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
                features.push(pooled(*pool, encoded.clone(), *pool_length));
            }
        }
        Tensor::cat(features, 1)
    }

    /// [`Features::forward`] as nodes.
    fn lower(&self, graph: &mut Graph, waveforms: &Value) -> Value {
        let levels = self.front_end.lower_levels(graph, waveforms);
        let mut features = Vec::new();
        for Level { level, map, white, pool_length } in &self.levels {
            let rows = windows::lower(graph, &levels[*level], self.frames);
            let products = map.lower(graph, &format!("means{}", suffix(*level)), &rows);
            let squares = white.as_ref().map(|white| {
                let white = white.lower(graph, &format!("whitening{}", suffix(*level)), &rows);
                let squares = graph.binary("Mul", &white, &white);
                graph.sum(&squares, 2, true)
            });
            let encoded = self.encoding.lower(graph, products, squares.as_ref());
            for pool in &self.pool {
                features.push(lower_pooled(graph, *pool, &encoded, *pool_length));
            }
        }
        graph.cat(&features, 1)
    }
}

/// The mean over pooling windows, the last of which may be shorter.
fn pooled(pool: Pool, x: Tensor<3>, pool_length: Option<usize>) -> Tensor<2> {
    let [_, time, _] = x.dims();
    let pool_length = pool_length.unwrap_or(time).min(time);
    let starts: Vec<usize> = (0..time).step_by(pool_length).collect();
    let parts = starts.len();
    let each = starts.into_iter().map(|start| {
        let length = pool_length.min(time - start);
        pool.apply(x.clone().narrow(1, start, length))
    });
    let sum = each.reduce(|sum, part| sum + part);
    sum.unwrap_or_else(|| unreachable!("an excerpt has a window")).div_scalar(parts as f32)
}

/// The network; see the module documentation.
#[derive(Module, Debug)]
pub struct Multiscale {
    features: Features,
    /// `[1, feature]`
    #[module(skip)]
    mean: Constant<2>,
    /// `[1, feature]`
    #[module(skip)]
    deviation: Constant<2>,
    dense: Dense,
}

impl Network for Multiscale {
    fn fixed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        let device = waveforms.device();
        let features = self.features.forward(waveforms);
        ((features - self.mean.on(&device)) / self.deviation.on(&device)).detach()
    }

    fn hidden(&self, fixed: Tensor<2>) -> Tensor<2> {
        self.dense.last_hidden(fixed)
    }

    fn outputs(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.dense.outputs(hidden)
    }

    fn with_classifier(mut self, weights: &[f32], biases: &[f32]) -> Self {
        self.dense = self.dense.with_output(weights, biases);
        self
    }
}

/// [`pooled`] as nodes.
fn lower_pooled(graph: &mut Graph, pool: Pool, x: &Value, pool_length: Option<usize>) -> Value {
    let time = x.shape()[0];
    let pool_length = pool_length.unwrap_or(time).min(time);
    let parts: Vec<Value> = (0..time)
        .step_by(pool_length)
        .map(|start| {
            let part = graph.slice(x, 1, start, pool_length.min(time - start));
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
