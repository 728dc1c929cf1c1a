//! Pooling over time: one value per feature.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::onnx::{Graph, Value};

/// The statistic of a feature over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// The maximum.
    Max,
    /// The mean.
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
                // The gradient of the root is not finite at 0, the deviation of a constant.
                (centred.clone() * centred).mean_dim(1).clamp_min(1e-24).sqrt()
            }
        };
        pooled.reshape([batch, features])
    }

    /// [`Pool::apply`] as nodes; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(self, graph: &mut Graph, x: &Value) -> Value {
        match self {
            Self::Max => graph.reduce("ReduceMax", x, 1, false),
            Self::Mean => graph.reduce("ReduceMean", x, 1, false),
            Self::Deviation => {
                let mean = graph.reduce("ReduceMean", x, 1, true);
                let centred = graph.binary("Sub", x, &mean);
                let squares = graph.binary("Mul", &centred, &centred);
                let variance = graph.reduce("ReduceMean", &squares, 1, false);
                let variance = graph.scalar("Max", &variance, 1e-24);
                graph.unary("Sqrt", &variance)
            }
        }
    }
}
