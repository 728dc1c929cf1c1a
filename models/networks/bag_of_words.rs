//! Dense layers on a bag of words: the linear regression and the multilayer perceptron that P2
//! holds its convnet against.
//!
//! van den Oord, Dieleman & Schrauwen (2013), Deep content-based music recommendation, NIPS: from
//! the bag of words of a song (see [`bag`](crate::unsupervised::codebook)) its latent factors, by a linear regression
//! or by a hidden layer of 1 000 units. That these are rectified is not in the paper, but its
//! convnet's are.
//!
//! Departure: the linear regression is trained like everything else, step by step with the
//! checkpoint of the best validation, not solved; without regularisation the solved one fits
//! training songs all too well where there are few.
//!
//! To reproduce (Million Song Dataset, 9 330 songs, 50 factors): mAP 0.02389 and AUC 0.63518 by
//! linear regression, 0.02536 and 0.64611 by the perceptron.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::front_end::FrontEndConfig;
use crate::layers::dense::{Dense, DenseConfig};
use crate::onnx::{Graph, Lower, Lowered, Value};
use crate::unsupervised::codebook::{Bag, BagConfig};
use crate::{Corpus, Example, FitError, Fitted, ModelError, Network, NetworkConfig};

/// Everything that [`BagOfWords`] leaves open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BagOfWordsConfig {
    /// What the words are, and how they are counted.
    pub bag: BagConfig,
    /// Units of each hidden layer in turn; none by default, a linear regression.
    pub hidden: Vec<usize>,
    /// Probability of dropping the input of a dense layer after the first, in training.
    pub dropout: f64,
}

impl BagOfWordsConfig {
    fn dense(&self) -> DenseConfig<'_> {
        DenseConfig { hidden: &self.hidden, dropout: self.dropout }
    }
}

impl NetworkConfig for BagOfWordsConfig {
    type Network = BagOfWords;

    fn examples() -> Vec<Example<Self>> {
        let on = |hidden| Self { bag: BagConfig::small(), hidden, dropout: 0.0 };
        vec![
            Example { about: "one hidden layer", config: on(vec![6]), samples: 700 },
            Example { about: "linear", config: on(Vec::new()), samples: 700 },
        ]
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
        self.dense().validate(self.bag.words)
    }

    fn is_fitted(&self) -> bool {
        true
    }

    fn fit<C: Corpus>(
        &self,
        excerpt_samples: usize,
        seed: u64,
        device: &Device,
        corpus: &C,
    ) -> Result<Fitted, FitError<C::Error>> {
        self.bag.fit(excerpt_samples, seed, device, corpus)
    }

    fn is_linear(&self) -> bool {
        self.hidden.is_empty()
    }

    fn init(
        &self,
        outputs: usize,
        excerpt_samples: usize,
        fitted: &Fitted,
        device: &Device,
    ) -> Result<BagOfWords, ModelError> {
        self.validate(excerpt_samples)?;
        let bag = self.bag.init(excerpt_samples, fitted, device)?;
        let dense = self.dense().init(bag.features(), outputs, device);
        Ok(BagOfWords { bag, dense })
    }

    fn describe(&self) -> String {
        format!("bag of words: {}; {}", self.bag.describe(), self.dense().describe())
    }
}

/// See the head of this file.
#[derive(Module, Debug)]
pub struct BagOfWords {
    bag: Bag,
    dense: Dense,
}

impl Network for BagOfWords {
    fn fixed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        self.bag.forward(waveforms)
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

impl Lower for BagOfWords {
    fn lower(&self, graph: &mut Graph, waveforms: Value) -> Lowered {
        let features = self.bag.lower(graph, &waveforms);
        self.dense.lower(graph, features)
    }
}
