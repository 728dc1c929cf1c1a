//! Vector quantisation of frames with a codebook, and the bag of words of an excerpt: how often each codeword
//! occurs.
//!
//! P2 (van den Oord, Dieleman & Schrauwen 2013, Deep content-based music recommendation), section
//! on the bag-of-words representation, after McFee, Barrington & Lanckriet (2012): 39 MFCC features
//! per frame, quantised to the nearest of 4 000 K-means, counted over the song, reduced by PCA to
//! 95 % of the variance.
//!
//! Departures: counts are divided by the number of frames, so that they do not depend on the length of the
//! excerpt. The paper does not mention the following: frames are standardised before K-means, since otherwise
//! the level would dominate all distances; components keep their relative variances, and one factor gives
//! the features a mean square of 1.
//!
//! Everything is fitted to training excerpts ([`CodebookConfig::fit`]) and then stays constant.

use burn::module::Module;
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::error::{excerpt_too_short, fits_memory, in_range};
use crate::fitted::{Constant, Corpus, FitError, Fitted};
use crate::front_end::{FrontEnd, FrontEndConfig, MfccConfig};
use crate::layers::windows::{self, windows};
use crate::onnx::{Graph, Value, numbers, transposed};
use crate::unsupervised::affine::Affine;
use crate::unsupervised::even_sample::EvenSample;
use crate::unsupervised::kmeans::KMeansConfig;
use crate::unsupervised::moments::Moments;
use crate::unsupervised::pca::PcaFit;

/// Settings of [`Codebook`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CodebookConfig {
    /// The front end, which also sets the sample rate and the length of a frame; MFCCs by default.
    pub front_end: FrontEndConfig,
    /// Number of codewords that frames are quantised to; 4000 by default.
    pub words: usize,
    /// Largest number of frames that K-means reads, evenly spaced over the training set; 200000 by default.
    pub frames: usize,
    /// Largest number of K-means updates; 20 by default.
    pub iterations: usize,
    /// Share of the variance of the counts that the principal components keep; 0.95 by default.
    pub variance: f64,
}

impl Default for CodebookConfig {
    fn default() -> Self {
        Self {
            front_end: FrontEndConfig::Mfcc(MfccConfig::default()),
            words: 4_000,
            frames: 200_000,
            iterations: 20,
            variance: 0.95,
        }
    }
}

/// Names of the fitted arrays.
const PROJECTION: &str = "words";
const OFFSET: &str = "word_offsets";
const MEAN: &str = "count_means";
const COMPONENTS: &str = "count_components";

impl CodebookConfig {
    /// A small codebook for examples.
    pub(crate) fn small() -> Self {
        Self {
            front_end: FrontEndConfig::Mfcc(MfccConfig::small()),
            words: 7,
            variance: 0.9,
            ..Self::default()
        }
    }

    /// # Errors
    /// Names the first invalid value, or says that an excerpt is too short.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        self.front_end.validate_fixed(excerpt_samples)?;
        if self.front_end.frames(excerpt_samples) == 0 {
            return Err(excerpt_too_short(excerpt_samples, 1));
        }
        in_range("words", self.words, 2, 100_000)?;
        in_range("frames", self.frames, self.words, 1 << 30)?;
        in_range("iterations", self.iterations, 1, 100_000)?;
        in_range("variance", self.variance, 0.01, 1.0)?;
        fits_memory("words", self.words, &[self.words, self.front_end.bands()])
    }

    /// Fits codewords and components to the training audio, in two passes.
    ///
    /// # Errors
    /// If a value is invalid, the audio cannot be read, or there is too little of it.
    pub fn fit<C: Corpus>(
        &self,
        excerpt_samples: usize,
        seed: u64,
        device: &Device,
        corpus: &C,
    ) -> Result<Fitted, FitError<C::Error>> {
        self.validate(excerpt_samples)?;
        let front_end = self.front_end.init(device)?;
        let bands = self.front_end.bands();
        corpus.progress("frames").map_err(FitError::Corpus)?;
        let sample = self.sample(&front_end, corpus)?;
        let Sample { mean, deviation, mut rows } = sample;
        for row in rows.chunks_exact_mut(bands) {
            for ((value, mean), deviation) in row.iter_mut().zip(&mean).zip(&deviation) {
                *value = ((f64::from(*value) - mean) / deviation) as f32;
            }
        }

        let kmeans = KMeansConfig {
            means: self.words,
            iterations: self.iterations,
            tolerance: 0.001,
            spherical: false,
            seed,
            ..KMeansConfig::default()
        };
        let names = ("words", "frames");
        let means = kmeans.fit_to_corpus(&rows, bands, device, corpus, "words", names)?;
        let mut fitted = Fitted::default();
        insert_quantiser(&means, &mean, &deviation, &mut fitted);

        let words = self.quantiser(&fitted)?;
        let mut pca = PcaFit::new(self.words);
        let mut broken = None;
        corpus.progress("counts").map_err(FitError::Corpus)?;
        corpus
            .excerpts(&mut |waveforms, _| {
                let counts = shares(&words, front_end.forward(waveforms));
                if let Err(error) = pca.add(&numbers(counts)) {
                    broken.get_or_insert(error);
                }
            })
            .map_err(FitError::Corpus)?;
        let pca = match broken {
            Some(error) => Err(error),
            None => pca.finish(self.variance),
        };
        let pca = pca.map_err(|error| FitError::Data(format!("counts of words: {error}")))?;
        let kept = pca.variances.len();
        let size = (pca.variances.iter().sum::<f64>() / kept as f64).sqrt();
        let components = pca.components.iter().map(|value| (value / size) as f32).collect();
        fitted.insert(MEAN, &[self.words], pca.mean.iter().map(|value| *value as f32).collect());
        fitted.insert(COMPONENTS, &[kept, self.words], components);
        Ok(fitted)
    }

    /// Evenly spaced frames of the training excerpts; mean and deviation of all frames.
    fn sample<C: Corpus>(
        &self,
        front_end: &FrontEnd,
        corpus: &C,
    ) -> Result<Sample, FitError<C::Error>> {
        let bands = self.front_end.bands();
        let mut moments = Moments::new(bands);
        let mut sample = EvenSample::new(bands, self.frames);
        corpus
            .excerpts(&mut |waveforms, _| {
                let frames = numbers(windows(front_end.forward(waveforms), 1));
                frames.chunks_exact(bands).for_each(|frame| moments.add(frame));
                sample.add(&frames);
            })
            .map_err(FitError::Corpus)?;
        let rows = sample.into_rows();
        if rows.iter().any(|value| !value.is_finite()) {
            let problem = "a frame of the training audio is not finite: the audio contains NaN";
            return Err(FitError::Data(problem.into()));
        }
        let (mean, deviation) = moments.finish();
        Ok(Sample { mean, deviation, rows })
    }

    /// # Errors
    /// If a value is invalid, or `fitted` is not a result of [`CodebookConfig::fit`].
    pub fn init(
        &self,
        excerpt_samples: usize,
        fitted: &Fitted,
        device: &Device,
    ) -> Result<Codebook, ModelError> {
        self.validate(excerpt_samples)?;
        let mean: Constant<1> = fitted.get(MEAN, [Some(self.words)])?;
        Ok(Codebook {
            front_end: self.front_end.init(device)?,
            words: self.quantiser(fitted)?,
            mean: Constant::new(mean.values().to_vec(), [1, self.words]),
            components: fitted.get(COMPONENTS, [None, Some(self.words)])?,
            samples: excerpt_samples,
        })
    }

    /// Scores of a frame, `[band]` to `[word]`; the largest is that of the nearest codeword.
    fn quantiser(&self, fitted: &Fitted) -> Result<Affine, ModelError> {
        let (bands, words) = (self.front_end.bands(), self.words);
        Ok(Affine {
            matrix: fitted.get(PROJECTION, [Some(bands), Some(words)])?,
            offset: fitted.get(OFFSET, [Some(1), Some(words)])?,
        })
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        format!(
            "{}; {} words, PCA to {} % of the variance",
            self.front_end.describe(),
            self.words,
            self.variance * 100.0
        )
    }
}

struct Sample {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    /// `[frame, band]`
    rows: Vec<f32>,
}

/// Nearest codeword as a linear function: the mean nearest to `(x - mean) / deviation` is the one with the
/// largest `x' projection + offset`.
fn insert_quantiser(means: &[f32], mean: &[f64], deviation: &[f64], fitted: &mut Fitted) {
    let bands = mean.len();
    let words = means.len() / bands;
    let mut projection = vec![0.0; bands * words];
    let mut offsets = vec![0.0; words];
    for (word, centre) in means.chunks_exact(bands).enumerate() {
        let mut offset = 0.0;
        for band in 0..bands {
            let value = f64::from(centre[band]);
            projection[band * words + word] = (value / deviation[band]) as f32;
            offset -= value * mean[band] / deviation[band] + value * value / 2.0;
        }
        offsets[word] = offset as f32;
    }
    fitted.insert(PROJECTION, &[bands, words], projection);
    fitted.insert(OFFSET, &[1, words], offsets);
}

/// The share of frames that are nearest to each codeword.
///
/// # Shapes
/// - `frames`: `[batch, band, frame]`
/// - returns: `[batch, word]`, each row of sum 1
fn shares(words: &Affine, frames: Tensor<3>) -> Tensor<2> {
    let device = frames.device();
    let [batch, _, count] = frames.dims();
    let nearest: Tensor<2, Int> = words.apply(windows(frames, 1)).argmax(1).reshape([batch, count]);
    let ones = Tensor::<2>::ones([batch, count], &device);
    let counts = Tensor::<2>::zeros([batch, words.features()], &device);
    counts.scatter(1, nearest, ones, IndexingUpdateOp::Add).div_scalar(count as f32)
}

/// Waveforms to bags of words; see the module documentation. Has no parameters, so a record does not contain it.
#[derive(Module, Debug)]
pub struct Codebook {
    front_end: FrontEnd,
    #[module(skip)]
    words: Affine,
    /// Mean counts, `[1, word]`.
    #[module(skip)]
    mean: Constant<2>,
    /// `[component, word]`
    #[module(skip)]
    components: Constant<2>,
    /// Length of an excerpt in samples.
    samples: usize,
}

impl Codebook {
    /// Number of features of an excerpt.
    pub fn features(&self) -> usize {
        self.components.shape()[0]
    }

    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`, of the length that the model was built for
    /// - returns: `[batch, feature]`
    ///
    /// # Panics
    /// If the waveforms have another length.
    pub fn forward(&self, waveforms: Tensor<2>) -> Tensor<2> {
        let [_, samples] = waveforms.dims();
        assert_eq!(samples, self.samples, "the model was built for excerpts of another length");
        let device = waveforms.device();
        let counts = shares(&self.words, self.front_end.forward(waveforms));
        let centred = counts - self.mean.on(&device);
        centred.matmul(self.components.on(&device).transpose())
    }

    /// [`Codebook::forward`] as nodes; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(&self, graph: &mut Graph, waveforms: &Value) -> Value {
        let frames = self.front_end.lower(graph, waveforms);
        let rows = windows::lower(graph, &frames, 1);
        let scores = self.words.lower(graph, "words", &rows);
        let counts = graph.shares_of_largest(&scores);
        let [_, words] = self.components.shape();
        let mean = graph.weights("count_means", &[words], self.mean.values());
        let centred = graph.with("Sub", &counts, &mean);
        let columns = transposed(self.components.values(), words);
        graph.affine("count_components", &centred, &columns, None)
    }
}
