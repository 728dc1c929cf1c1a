//! A bag of words under a metric that was learned to rank: the MLR baseline of P2.
//!
//! van den Oord, Dieleman & Schrauwen (2013), Deep content-based music recommendation, NIPS, section
//! on the experiments: metric learning to rank (see
//! [`metric_learning`](crate::linear::metric_learning)) on the bag of words (see
//! [`codebook`](crate::unsupervised::codebook)); a user's score for a song is its mean similarity to the
//! songs that the user listened to.
//!
//! The paper gives no settings. Here each training track is a query, and the `neighbours` tracks that its
//! listeners like most are relevant (the nearest in usage space), as in McFee, Barrington & Lanckriet
//! (2012), who take the songs with the most similar listeners.
//!
//! Gradient descent trains none of it: everything is fitted before the first step.
//!
//! To reproduce (Million Song Dataset, 9 330 songs): mAP 0.01801, AUC 0.60608.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::in_range;
use crate::fitted::{Constant, Corpus, FitError, Fitted, ProgressReporter};
use crate::front_end::FrontEndConfig;
use crate::linear::metric_learning::{MetricLearningConfig, MetricLearningError};
use crate::onnx::{Graph, Lower, Lowered, Value, numbers, transposed};
use crate::unsupervised::codebook::{Codebook, CodebookConfig};
use crate::{Example, ModelError, Network, NetworkConfig};

/// Settings of [`Mlr`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MlrConfig {
    /// The bag-of-words features: front end, number of words, principal components;
    /// all keys are optional.
    pub bag: CodebookConfig,
    /// Metric learning on these features: regularisation, ranking loss, stopping criteria; all
    /// keys are optional.
    pub metric: MetricLearningConfig,
    /// Number of relevant tracks per training track; 10 by default.
    pub neighbours: usize,
}

impl Default for MlrConfig {
    fn default() -> Self {
        Self {
            bag: CodebookConfig::default(),
            metric: MetricLearningConfig::default(),
            neighbours: 10,
        }
    }
}

/// Name of the fitted array of the metric.
const PROJECTION: &str = "metric";

impl NetworkConfig for MlrConfig {
    type Network = Mlr;

    fn examples() -> Vec<Example<Self>> {
        let config = Self { bag: CodebookConfig::small(), neighbours: 2, ..Self::default() };
        vec![Example { about: "bag of words", config, samples: 700 }]
    }

    fn front_end(&self) -> Option<&FrontEndConfig> {
        Some(&self.bag.front_end)
    }

    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        self.bag.validate(excerpt_samples).map_err(|error| error.within("bag"))?;
        self.metric.validate().map_err(|error| error.within("metric"))?;
        in_range("neighbours", self.neighbours, 1, 1_000_000)
    }

    fn is_fitted(&self) -> bool {
        true
    }

    fn is_learned(&self) -> bool {
        false
    }

    /// Fits the bag of words and the metric.
    fn fit<C: Corpus>(
        &self,
        excerpt_samples: usize,
        seed: u64,
        device: &Device,
        corpus: &C,
    ) -> Result<Fitted, FitError<C::Error>> {
        self.validate(excerpt_samples)?;
        let relevant = corpus.neighbours(self.neighbours).map_err(FitError::Corpus)?;
        let mut fitted = self.bag.fit(excerpt_samples, seed, device, corpus)?;
        let bag = self.bag.init(excerpt_samples, &fitted, device)?;
        let width = bag.features();
        // The features of a track are the mean over its excerpts.
        let mut sums = vec![0.0_f64; corpus.tracks() * width];
        let mut counts = vec![0_u32; corpus.tracks()];
        corpus
            .excerpts(&mut |waveforms, tracks| {
                let features = numbers(bag.forward(waveforms));
                for (&track, row) in tracks.iter().zip(features.chunks_exact(width)) {
                    let sums = &mut sums[track * width..][..width];
                    sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
                    counts[track] += 1;
                }
            })
            .map_err(FitError::Corpus)?;
        let rows: Vec<f32> = sums
            .chunks_exact(width)
            .zip(&counts)
            .flat_map(|(sums, count)| {
                sums.iter().map(|sum| (sum / f64::from((*count).max(1))) as f32)
            })
            .collect();
        let mut reporter = ProgressReporter::new(corpus);
        let learned = self.metric.fit(&rows, width, &relevant, |iteration| {
            reporter.report(&format!("metric, violation {:.4}", iteration.violation))
        });
        reporter.finish()?;
        let fit_error = |error: MetricLearningError| match error {
            MetricLearningError::Config(error) => FitError::Model(error.within("metric")),
            error => FitError::Data(format!("metric learning failed: {error}")),
        };
        let learned = learned.map_err(fit_error)?;
        if let Some(last) = learned.iterations.last()
            && last.violation > self.metric.epsilon
        {
            corpus.warn(&format!(
                "metric learning did not converge: after {} constraints (max_constraints = {}) a ranking is \
                 still violated by {:.3}, more than epsilon = {}",
                learned.iterations.len() - 1,
                self.metric.max_constraints,
                last.violation,
                self.metric.epsilon
            ));
        }
        let projection = learned.projection(width).map_err(fit_error)?;
        fitted.insert(PROJECTION, &[projection.len() / width, width], projection);
        Ok(fitted)
    }

    fn init(
        &self,
        _outputs: usize,
        excerpt_samples: usize,
        fitted: &Fitted,
        device: &Device,
    ) -> Result<Mlr, ModelError> {
        self.validate(excerpt_samples)?;
        let bag = self.bag.init(excerpt_samples, fitted, device)?;
        let projection = fitted.get(PROJECTION, [None, Some(bag.features())])?;
        Ok(Mlr { bag, projection })
    }

    fn describe(&self) -> String {
        format!(
            "metric learned to rank {} neighbours, on a bag of words: {}",
            self.neighbours,
            self.bag.describe()
        )
    }
}

/// The network. Its outputs are an embedding in which similar tracks are close; it has no parameters.
#[derive(Module, Debug)]
pub struct Mlr {
    bag: Codebook,
    /// `[dimension, feature]`
    #[module(skip)]
    projection: Constant<2>,
}

impl Network for Mlr {
    fn fixed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        let features = self.bag.forward(waveforms);
        let projection = self.projection.on(&features.device());
        features.matmul(projection.transpose())
    }

    fn hidden(&self, fixed: Tensor<2>) -> Tensor<2> {
        fixed
    }

    fn outputs(&self, hidden: Tensor<2>) -> Tensor<2> {
        hidden
    }
}

impl Lower for Mlr {
    fn lower(&self, graph: &mut Graph, waveforms: Value) -> Lowered {
        let features = self.bag.lower(graph, &waveforms);
        let columns = transposed(self.projection.values(), self.projection.shape()[1]);
        let embedding = graph.affine("metric", &features, &columns, None);
        Lowered { outputs: embedding.clone(), features: embedding }
    }
}
