//! Pooling over all of a stretch of time.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// What is kept of a feature over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// The largest value.
    Max,
    Mean,
    /// The standard deviation (divided by the number of values).
    Deviation,
}

impl Pool {
    /// # Shapes
    /// - `x`: `[batch, time, feature]`
    /// - returns: `[batch, feature]`
    pub(crate) fn apply(self, x: Tensor<3>) -> Tensor<2> {
        let [batch, _, features] = x.dims();
        let pooled = match self {
            Self::Max => x.max_dim(1),
            Self::Mean => x.mean_dim(1),
            Self::Deviation => {
                let centred = x.clone() - x.mean_dim(1);
                // Of a constant the root would have no finite gradient.
                (centred.clone() * centred).mean_dim(1).clamp_min(1e-24).sqrt()
            }
        };
        pooled.reshape([batch, features])
    }
}
