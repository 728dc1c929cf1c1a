//! Dense layers on a bag of words: the linear regression and the multilayer perceptron that P2
//! holds its convnet against.
//!
//! van den Oord, Dieleman & Schrauwen (2013), Deep content-based music recommendation, NIPS: from
//! the bag of words of a song (see [`bag`](crate::bag)) its latent factors, by a linear regression
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
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::bag::{Bag, BagConfig};
use crate::error::{fits_memory, in_range};
use crate::fitted::Fitted;
use crate::init::{output_linear, rectified_linear};
use crate::{ModelError, Network};

/// Everything that [`BagOfWords`] leaves open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BagOfWordsConfig {
    pub bag: BagConfig,
    /// Units of each hidden layer in turn; none by default, a linear regression.
    pub hidden: Vec<usize>,
    /// Probability of dropping the input of a dense layer after the first, in training.
    pub dropout: f64,
}

impl BagOfWordsConfig {
    /// # Errors
    /// Names the first value that no model can be built with, or an excerpt too short.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        self.bag.validate(excerpt_samples).map_err(|error| match error.key.as_str() {
            "excerpt" => error,
            _ => error.within("bag"),
        })?;
        in_range("dropout", self.dropout, 0.0, 0.99)?;
        if self.hidden.len() > 64 {
            let remedy = "list 64 at most";
            return Err(ModelError::new("hidden", self.hidden.len(), "too many layers", remedy));
        }
        let mut inputs = self.bag.words;
        for (i, &units) in self.hidden.iter().enumerate() {
            let key = format!("hidden[{i}]");
            in_range(&key, units, 1, 1_000_000)?;
            fits_memory(&key, units, &[inputs, units])?;
            inputs = units;
        }
        Ok(())
    }

    /// A model with its first weights.
    ///
    /// # Errors
    /// See [`BagOfWordsConfig::validate`]; also if `fitted` is not of this config.
    pub fn init(
        &self,
        outputs: usize,
        excerpt_samples: usize,
        fitted: &Fitted,
        device: &Device,
    ) -> Result<BagOfWords, ModelError> {
        self.validate(excerpt_samples)?;
        let bag = self.bag.init(excerpt_samples, fitted, device)?;
        let mut inputs = bag.features();
        let mut hidden = Vec::new();
        for &units in &self.hidden {
            hidden.push(rectified_linear(inputs, units, device));
            inputs = units;
        }
        Ok(BagOfWords {
            bag,
            hidden,
            dropout: DropoutConfig::new(self.dropout).init(),
            output: output_linear(inputs, outputs, device),
        })
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        let layers = match self.hidden.as_slice() {
            [] => "linear".to_string(),
            hidden => {
                let hidden: Vec<String> = hidden.iter().map(usize::to_string).collect();
                format!("dense {}", hidden.join(", "))
            }
        };
        let dropout =
            if self.dropout > 0.0 { format!(", dropout {}", self.dropout) } else { String::new() };
        format!("bag of words: {}; {layers}{dropout}", self.bag.describe())
    }
}

/// See the head of this file.
#[derive(Module, Debug)]
pub struct BagOfWords {
    bag: Bag,
    hidden: Vec<Linear>,
    dropout: Dropout,
    output: Linear,
}

impl BagOfWords {
    fn last_hidden(&self, features: Tensor<2>) -> Tensor<2> {
        let mut x = features;
        for (i, layer) in self.hidden.iter().enumerate() {
            if i > 0 {
                x = self.dropout.forward(x);
            }
            x = relu(layer.forward(x));
        }
        x
    }
}

impl Network for BagOfWords {
    fn fixed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        self.bag.forward(waveforms)
    }

    fn learned(&self, features: Tensor<2>) -> Tensor<2> {
        let x = self.last_hidden(features);
        let x = if self.hidden.is_empty() { x } else { self.dropout.forward(x) };
        self.output.forward(x)
    }

    fn forward(&self, waveforms: Tensor<2>) -> Tensor<2> {
        self.learned(self.fixed(waveforms))
    }

    fn embed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        self.last_hidden(self.fixed(waveforms))
    }
}
