//! A bag of words under a metric that was learned to rank: the baseline MLR of P2.
//!
//! van den Oord, Dieleman & Schrauwen (2013), Deep content-based music recommendation, NIPS, section
//! on the experiments: metric learning to rank (see [`mlr`](crate::linear::metric_learning)) on the bag of words (see
//! [`bag`](crate::unsupervised::codebook)); a user's score for a song is the mean of its similarities to the songs that
//! the user listened to.
//!
//! The paper gives no settings. Here each training track is a query, and the tracks that its listeners
//! like best are relevant (the nearest by usage patterns, as many as `neighbours`), as in McFee,
//! Barrington & Lanckriet (2012), who take the songs with the most similar listeners.
//!
//! Nothing of it is learned by gradients: the whole is fitted before what would be the first step.
//!
//! To reproduce (Million Song Dataset, 9 330 songs): mAP 0.01801, AUC 0.60608.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::in_range;
use crate::fitted::{Corpus, FitError, Fitted, Fixed, Teller};
use crate::front_end::FrontEndConfig;
use crate::linear::metric_learning::{MlrConfig, MlrError};
use crate::onnx::{Graph, Lower, Lowered, Value};
use crate::unsupervised::codebook::{Bag, BagConfig};
use crate::{Example, ModelError, Network, NetworkConfig};

/// Everything that [`Metric`] leaves open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricConfig {
    /// What the words are, and how they are counted.
    pub bag: BagConfig,
    /// How the metric on the bags is learned.
    pub metric: MlrConfig,
    /// Relevant tracks of each.
    pub neighbours: usize,
}

impl Default for MetricConfig {
    fn default() -> Self {
        Self { bag: BagConfig::default(), metric: MlrConfig::default(), neighbours: 10 }
    }
}

/// Name of what is fitted besides the bag.
const PROJECTION: &str = "metric";

impl NetworkConfig for MetricConfig {
    type Network = Metric;

    fn examples() -> Vec<Example<Self>> {
        let config = Self { bag: BagConfig::small(), neighbours: 2, ..Self::default() };
        vec![Example { about: "bag of words", config, samples: 700 }]
    }

    fn front_end(&self) -> Option<&FrontEndConfig> {
        Some(&self.bag.front_end)
    }

    fn sample_rate(&self) -> u32 {
        self.bag.front_end.sample_rate()
    }

    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        self.bag.validate(excerpt_samples).map_err(|error| match error.key.as_str() {
            "excerpt" => error,
            _ => error.within("bag"),
        })?;
        self.metric.validate().map_err(|error| error.within("metric"))?;
        in_range("neighbours", self.neighbours, 1, 1_000_000)
    }

    fn is_fitted(&self) -> bool {
        true
    }

    fn is_learned(&self) -> bool {
        false
    }

    /// Fits bag and metric.
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
        // A track is the mean of its excerpts.
        let mut sums = vec![0.0_f64; corpus.tracks() * width];
        let mut counts = vec![0_u32; corpus.tracks()];
        corpus
            .excerpts(&mut |waveforms, tracks| {
                let features = bag.forward(waveforms).into_data().convert::<f32>();
                let features: Vec<f32> = features.iter::<f32>().collect();
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
        let mut teller = Teller::new(corpus);
        let learned = self.metric.fit(&rows, width, &relevant, |iteration| {
            let told = format!("metric, violation {:.4}", iteration.violation);
            teller.tell(&told)
        });
        teller.finish()?;
        let of_mlr = |error: MlrError| match error {
            MlrError::Config(error) => FitError::Model(error.within("metric")),
            error => FitError::Data(format!("no metric was learned: {error}")),
        };
        let learned = learned.map_err(of_mlr)?;
        if let Some(last) = learned.iterations.last()
            && last.violation > self.metric.epsilon
        {
            corpus.warn(&format!(
                "the metric is not the best one: after {} constraints (max_constraints = {}) a ranking is \
                 still violated by {:.3}, more than epsilon = {}",
                learned.iterations.len() - 1,
                self.metric.max_constraints,
                last.violation,
                self.metric.epsilon
            ));
        }
        let projection = learned.projection(width).map_err(of_mlr)?;
        fitted.insert(PROJECTION, &[projection.len() / width, width], projection);
        Ok(fitted)
    }

    fn init(
        &self,
        _outputs: usize,
        excerpt_samples: usize,
        fitted: &Fitted,
        device: &Device,
    ) -> Result<Metric, ModelError> {
        self.validate(excerpt_samples)?;
        let bag = self.bag.init(excerpt_samples, fitted, device)?;
        let projection = fitted.get(PROJECTION, [None, Some(bag.features())])?;
        Ok(Metric { bag, projection })
    }

    fn describe(&self) -> String {
        format!(
            "metric learned to rank {} neighbours, on a bag of words: {}",
            self.neighbours,
            self.bag.describe()
        )
    }
}

/// See the head of this file: to places whose distances tell how alike tracks are. Has no parameters.
#[derive(Module, Debug)]
pub struct Metric {
    bag: Bag,
    /// `[dimension, feature]`
    #[module(skip)]
    projection: Fixed<2>,
}

impl Network for Metric {
    fn fixed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        let features = self.bag.forward(waveforms);
        let projection = self.projection.on(&features.device());
        features.matmul(projection.transpose())
    }

    fn learned(&self, features: Tensor<2>) -> Tensor<2> {
        features
    }

    fn forward(&self, waveforms: Tensor<2>) -> Tensor<2> {
        self.fixed(waveforms)
    }

    fn embed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        self.fixed(waveforms)
    }
}

impl Lower for Metric {
    fn lower(&self, graph: &mut Graph, waveforms: Value) -> Lowered {
        let features = self.bag.lower(graph, &waveforms);
        let [dimensions, width] = self.projection.shape();
        let rows = self.projection.values();
        let columns: Vec<f32> =
            (0..rows.len()).map(|at| rows[at % dimensions * width + at / dimensions]).collect();
        let places = graph.affine("metric", &features, &columns, None);
        Lowered { outputs: places.clone(), features: places }
    }
}
