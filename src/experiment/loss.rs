//! The losses that an experiment may name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The loss between logits and targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// For tags, several of which may apply to a track. Mean over batch and outputs, as in P3.
    #[default]
    BinaryCrossEntropy,
    /// For classes, exactly one of which applies to a track. Mean over the batch.
    CrossEntropy,
    /// For real-valued targets such as latent factors. Mean over batch and outputs (P2, equation 4, divided by
    /// the number of outputs).
    MeanSquaredError,
    /// For latent factors, weighted by the users' confidence (P2, equation 5).
    WeightedPredictionError,
    /// For models that are fitted in closed form and not trained; `steps` must be 0.
    None,
}

impl Loss {
    /// The name in an experiment file.
    pub fn name(self) -> &'static str {
        match self {
            Self::BinaryCrossEntropy => "binary_cross_entropy",
            Self::CrossEntropy => "cross_entropy",
            Self::MeanSquaredError => "mean_squared_error",
            Self::WeightedPredictionError => "weighted_prediction_error",
            Self::None => "none",
        }
    }
}
