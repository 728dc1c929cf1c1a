//! A bag of words of audio: which of many typical frames an excerpt holds, and how often.
//!
//! P2 (van den Oord, Dieleman & Schrauwen 2013, Deep content-based music recommendation), section
//! on the bag-of-words representation, after McFee, Barrington & Lanckriet (2012): 39 MFCC features
//! a frame, quantised to the nearest of 4 000 K-means, counted over the song, reduced by PCA to
//! 95 % of the variance.
//!
//! Departures: counts are divided by the frames, so that long excerpts are no louder than short
//! ones. The paper is silent on these: frames are standardised before K-means (a coefficient less
//! its mean, over its deviation), since else the level alone would decide what is near;
//! components keep their relative variances, and one number makes the features' mean square 1.
//!
//! All of it is fitted to training excerpts ([`BagConfig::fit`]), and then fixed.

use burn::module::Module;
use burn::tensor::{IndexingUpdateOp, Int, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::error::{fits_memory, in_range};
use crate::fitted::{Corpus, FitError, Fitted, Fixed, Teller};
use crate::front_end::{FrontEnd, FrontEndConfig, MfccConfig, excerpt_too_short};
use crate::layers::windows::{self, host, windows};
use crate::onnx::{Graph, Value};
use crate::unsupervised::even_sample::EvenSample;
use crate::unsupervised::kmeans::{KMeansConfig, KMeansError};
use crate::unsupervised::moments::Moments;
use crate::unsupervised::pca::{Keep, PcaFit};

/// Everything that [`Bag`] leaves open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BagConfig {
    /// Decides the sample rate that the model expects, and what a frame is.
    pub front_end: FrontEndConfig,
    /// Means that frames are quantised to.
    pub words: usize,
    /// Most frames that the means are learned from; taken evenly from all of training.
    pub frames: usize,
    /// Most updates of the means.
    pub iterations: usize,
    /// Share of the variance that the principal components keep.
    pub variance: f64,
}

impl Default for BagConfig {
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

/// Names of what is fitted.
const PROJECTION: &str = "words";
const OFFSET: &str = "word_offsets";
const MEAN: &str = "count_means";
const COMPONENTS: &str = "count_components";

impl BagConfig {
    /// For examples.
    pub(crate) fn small() -> Self {
        Self {
            front_end: FrontEndConfig::Mfcc(MfccConfig::small()),
            words: 7,
            variance: 0.9,
            ..Self::default()
        }
    }

    /// # Errors
    /// Names the first value that cannot be used, or an excerpt too short.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        self.front_end.validate(excerpt_samples).map_err(|error| match error.key.as_str() {
            "excerpt" => error,
            _ => error.within("front_end"),
        })?;
        if matches!(self.front_end, FrontEndConfig::Strided(_)) {
            let problem = "learns by gradients, of which quantised frames have none";
            let remedy = "choose mfcc or mel";
            return Err(ModelError::new("front_end.name", "strided", problem, remedy));
        }
        if self.front_end.frames(excerpt_samples) == 0 {
            return Err(excerpt_too_short(excerpt_samples, 1));
        }
        in_range("words", self.words, 2, 100_000)?;
        in_range("frames", self.frames, self.words, 1 << 30)?;
        in_range("iterations", self.iterations, 1, 100_000)?;
        in_range("variance", self.variance, 0.01, 1.0)?;
        fits_memory("words", self.words, &[self.words, self.front_end.bands()])
    }

    /// Learns words and components from training audio: two passes, and a third for the counts.
    ///
    /// # Errors
    /// If a value cannot be used, the audio cannot be read, or there is too little of it.
    pub fn fit<C: Corpus>(
        &self,
        excerpt_samples: usize,
        seed: u64,
        device: &burn::tensor::Device,
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
        let mut teller = Teller::new(corpus);
        let found = kmeans.fit(&rows, bands, device, |iteration| {
            let told = format!("words, mean squared distance {:.4}", iteration.objective);
            teller.tell(&told)
        });
        teller.finish()?;
        let found = found.map_err(|error| match error {
            KMeansError::Config(error) => FitError::Model(error),
            KMeansError::TooFewRows { rows, means } => FitError::Model(ModelError::new(
                "words",
                means,
                format!("more than the {rows} frames of all training excerpts"),
                "ask for fewer words, or bring more audio",
            )),
            error => FitError::Data(format!("no words were found: {error}")),
        })?;
        let mut fitted = Fitted::default();
        quantiser(&found.means, &mean, &deviation, &mut fitted);

        // Words first, then what their counts vary by.
        let words = Words::from_fitted(self, &fitted)?;
        let mut pca = PcaFit::new(self.words);
        let mut broken = None;
        corpus.progress("counts").map_err(FitError::Corpus)?;
        corpus
            .excerpts(&mut |waveforms, _| {
                let counts = words.counts(front_end.forward(waveforms));
                if let Err(error) = pca.add(&host(counts)) {
                    broken.get_or_insert(error);
                }
            })
            .map_err(FitError::Corpus)?;
        let pca = match broken {
            Some(error) => Err(error),
            None => pca.finish(Keep::Variance(self.variance)),
        };
        let pca = pca.map_err(|error| FitError::Data(format!("the counts of words: {error}")))?;
        let kept = pca.variances.len();
        let size = (pca.variances.iter().sum::<f64>() / kept as f64).sqrt();
        let components = pca.components.iter().map(|value| (value / size) as f32).collect();
        fitted.insert(MEAN, &[self.words], pca.mean.iter().map(|value| *value as f32).collect());
        fitted.insert(COMPONENTS, &[kept, self.words], components);
        Ok(fitted)
    }

    /// Frames of all training excerpts: as many as asked, evenly; mean and deviation of all.
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
                let frames = host(windows(front_end.forward(waveforms), 1));
                frames.chunks_exact(bands).for_each(|frame| moments.add(frame));
                sample.add(&frames);
            })
            .map_err(FitError::Corpus)?;
        let rows = sample.into_rows();
        if rows.iter().any(|value| !value.is_finite()) {
            let problem = "a frame of the training audio is not finite: the audio holds NaN";
            return Err(FitError::Data(problem.into()));
        }
        let (mean, deviation) = moments.finish();
        Ok(Sample { mean, deviation, rows })
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

/// The mean with the least distance to `(x - mean) / deviation` is the one with the largest
/// `x' projection + offset`.
fn quantiser(means: &[f32], mean: &[f64], deviation: &[f64], fitted: &mut Fitted) {
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

/// The words alone.
#[derive(Clone, Debug)]
struct Words {
    /// `[band, word]`
    projection: Fixed<2>,
    /// `[1, word]`
    offset: Fixed<2>,
}

impl Words {
    fn from_fitted(config: &BagConfig, fitted: &Fitted) -> Result<Self, ModelError> {
        let (bands, words) = (config.front_end.bands(), config.words);
        Ok(Self {
            projection: fitted.get(PROJECTION, [Some(bands), Some(words)])?,
            offset: fitted.get(OFFSET, [Some(1), Some(words)])?,
        })
    }

    /// Shares of the frames that are nearest to each word.
    ///
    /// # Shapes
    /// - `frames`: `[batch, band, frame]`
    /// - returns: `[batch, word]`, rows that sum to 1
    fn counts(&self, frames: Tensor<3>) -> Tensor<2> {
        let device = frames.device();
        let [batch, _, count] = frames.dims();
        let [_, words] = self.projection.shape();
        let scores =
            windows(frames, 1).matmul(self.projection.on(&device)) + self.offset.on(&device);
        let nearest: Tensor<2, Int> = scores.argmax(1).reshape([batch, count]);
        let ones = Tensor::<2>::ones([batch, count], &device);
        let counts = Tensor::<2>::zeros([batch, words], &device);
        counts.scatter(1, nearest, ones, IndexingUpdateOp::Add).div_scalar(count as f32)
    }
}

/// See the head of this file. Has no parameters and leaves nothing in a record.
#[derive(Module, Debug)]
pub struct Bag {
    front_end: FrontEnd,
    #[module(skip)]
    words: Words,
    /// `[word]` less which counts are taken, as `[1, word]`
    #[module(skip)]
    mean: Fixed<2>,
    /// `[component, word]`
    #[module(skip)]
    components: Fixed<2>,
    /// Samples of an excerpt.
    samples: usize,
}

impl BagConfig {
    /// # Errors
    /// If a value cannot be used, or `fitted` is not what [`BagConfig::fit`] gives.
    pub fn init(
        &self,
        excerpt_samples: usize,
        fitted: &Fitted,
        device: &burn::tensor::Device,
    ) -> Result<Bag, ModelError> {
        self.validate(excerpt_samples)?;
        let mean: Fixed<1> = fitted.get(MEAN, [Some(self.words)])?;
        Ok(Bag {
            front_end: self.front_end.init(device)?,
            words: Words::from_fitted(self, fitted)?,
            mean: Fixed::new(mean.values().to_vec(), [1, self.words]),
            components: fitted.get(COMPONENTS, [None, Some(self.words)])?,
            samples: excerpt_samples,
        })
    }
}

impl Bag {
    /// Features of an excerpt.
    pub fn features(&self) -> usize {
        self.components.shape()[0]
    }

    /// # Shapes
    /// - `waveforms`: `[batch, sample]`, mono, in `[-1, 1]`, as long as the excerpts that the model was
    ///   built for
    /// - returns: `[batch, feature]`
    ///
    /// # Panics
    /// If they have another length.
    pub fn forward(&self, waveforms: Tensor<2>) -> Tensor<2> {
        let [_, samples] = waveforms.dims();
        assert_eq!(samples, self.samples, "the model was built for excerpts of another length");
        let device = waveforms.device();
        let counts = self.words.counts(self.front_end.forward(waveforms));
        let centred = counts - self.mean.on(&device);
        centred.matmul(self.components.on(&device).transpose())
    }
}

impl Bag {
    /// [`Bag::forward`] as nodes; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(&self, graph: &mut Graph, waveforms: &Value) -> Value {
        let frames = self.front_end.lower(graph, waveforms);
        let rows = windows::lower(graph, &frames, 1);
        let Words { projection, offset } = &self.words;
        let scores = graph.affine("words", &rows, projection.values(), Some(offset.values()));
        let counts = graph.shares_of_largest(&scores);
        let [components, words] = self.components.shape();
        let mean = graph.weights("count_means", &[words], self.mean.values());
        let centred = graph.with("Sub", &counts, &mean);
        let rows = self.components.values();
        let columns: Vec<f32> =
            (0..rows.len()).map(|at| rows[at % components * words + at / components]).collect();
        graph.affine("count_components", &centred, &columns, None)
    }
}
