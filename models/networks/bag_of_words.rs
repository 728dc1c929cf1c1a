//! Dense layers on a bag of words: the linear regression and the multilayer perceptron that are the
//! baselines of P2.
//!
//! van den Oord, Dieleman & Schrauwen (2013), Deep content-based music recommendation, NIPS: a
//! linear regression, or a hidden layer of 1 000 units, predicts the latent factors of a song from its
//! bag of words (see [`codebook`](crate::unsupervised::codebook)). The paper does not say that the hidden
//! units are rectified, but those of its convnet are.
//!
//! Departure: gradient descent trains the linear regression like any other network, with the checkpoint of
//! the best validation score. The closed-form solution without regularisation overfits small training sets.
//!
//! To reproduce (Million Song Dataset, 9 330 songs, 50 factors): mAP 0.02389 and AUC 0.63518 by
//! linear regression, 0.02536 and 0.64611 by the perceptron.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::front_end::FrontEndConfig;
use crate::layers::dense::{Dense, DenseConfig};
use crate::onnx::{Graph, Lower, Lowered, Value};
use crate::unsupervised::codebook::{Codebook, CodebookConfig};
use crate::{Corpus, Example, FitError, Fitted, ModelError, Network, NetworkConfig};

/// Settings of [`BagOfWords`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BagOfWordsConfig {
    /// The bag-of-words features: front end, number of words, principal components;
    /// all keys are optional.
    pub bag: CodebookConfig,
    /// Units of each hidden layer in order; empty by default, which is a linear regression.
    pub hidden: Vec<usize>,
    /// Dropout probability of the inputs of all dense layers but the first, in training; 0 by default.
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
        let on = |hidden| Self { bag: CodebookConfig::small(), hidden, dropout: 0.0 };
        vec![
            Example { about: "one hidden layer", config: on(vec![6]), samples: 700 },
            Example { about: "linear", config: on(Vec::new()), samples: 700 },
        ]
    }

    fn front_end(&self) -> Option<&FrontEndConfig> {
        Some(&self.bag.front_end)
    }

    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        self.bag.validate(excerpt_samples).map_err(|error| error.within("bag"))?;
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

/// The network; see the module documentation.
#[derive(Module, Debug)]
pub struct BagOfWords {
    bag: Codebook,
    dense: Dense,
}

impl Network for BagOfWords {
    fn fixed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        self.bag.forward(waveforms)
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

impl Lower for BagOfWords {
    fn lower(&self, graph: &mut Graph, waveforms: Value) -> Lowered {
        let features = self.bag.lower(graph, &waveforms);
        self.dense.lower(graph, features)
    }
}
