//! The optimizers that an experiment may name, with PyTorch's semantics and default values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An update rule with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent, with momentum (no dampening).
    Sgd {
        /// Learning rate before the schedule is applied, above 0.
        learning_rate: f64,
        /// Share of the velocity kept from step to step, from 0 to below 1.
        #[serde(default = "nine_tenths")]
        momentum: f64,
        /// Use Nesterov momentum (Sutskever et al. 2013).
        #[serde(default = "yes")]
        nesterov: bool,
        /// L2 penalty: this times the parameter is added to the gradient.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam (Kingma and Ba 2015).
    Adam {
        /// Learning rate before the schedule is applied, above 0.
        learning_rate: f64,
        /// Decay of the running mean of the gradients.
        #[serde(default = "nine_tenths")]
        beta_1: f64,
        /// Decay of the running mean of the squared gradients.
        #[serde(default = "beta_2")]
        beta_2: f64,
        /// Added to the square root of the mean of squares.
        #[serde(default = "epsilon")]
        epsilon: f64,
        /// L2 penalty: this times the parameter is added to the gradient.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    AdamW {
        /// Learning rate before the schedule is applied, above 0.
        learning_rate: f64,
        /// Decay of the running mean of the gradients.
        #[serde(default = "nine_tenths")]
        beta_1: f64,
        /// Decay of the running mean of the squared gradients.
        #[serde(default = "beta_2")]
        beta_2: f64,
        /// Added to the square root of the mean of squares.
        #[serde(default = "epsilon")]
        epsilon: f64,
        /// This times learning rate and parameter is subtracted from the parameter.
        #[serde(default = "hundredth")]
        weight_decay: f64,
    },
}

fn nine_tenths() -> f64 {
    0.9
}
fn beta_2() -> f64 {
    0.999
}
fn epsilon() -> f64 {
    1e-8
}
fn hundredth() -> f64 {
    0.01
}
fn yes() -> bool {
    true
}

impl Default for Optimizer {
    /// P3's optimizer: minibatch SGD with Nesterov momentum. The paper does not state the learning rate; 0.01 is
    /// our choice.
    fn default() -> Self {
        Self::Sgd { learning_rate: 0.01, momentum: 0.9, nesterov: true, weight_decay: 0.0 }
    }
}

impl Optimizer {
    /// The learning rate before the schedule is applied.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Sgd { learning_rate, .. }
            | Self::Adam { learning_rate, .. }
            | Self::AdamW { learning_rate, .. } => *learning_rate,
        }
    }
}
