//! Encoding of windows by a set of means.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::onnx::{Graph, Value};

/// How the products of a window with the means become features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Encoding {
    /// The products themselves: a convolution along time (P1).
    #[default]
    Linear,
    /// The excess of a product over a threshold, 0 below it (Coates & Ng 2011, The importance of encoding
    /// versus training).
    Threshold {
        /// The threshold; required.
        threshold: f64,
    },
    /// How much nearer a mean is than the average mean, 0 for farther means (Coates, Lee & Ng 2011, An
    /// analysis of single-layer networks).
    Triangle,
}

impl Encoding {
    /// # Shapes
    /// - `products`: `[window, mean]`, of whitened windows with means of length one
    /// - `squares`: `[window, 1]`, the squared lengths of the windows; only `Triangle` evaluates them
    /// - returns: `[window, mean]`
    pub(crate) fn apply(
        self,
        products: Tensor<2>,
        squares: impl FnOnce() -> Tensor<2>,
    ) -> Tensor<2> {
        match self {
            Self::Linear => products,
            Self::Threshold { threshold } => products.sub_scalar(threshold).clamp_min(0.0),
            Self::Triangle => {
                // |x - d|^2 for a mean d of length one
                let distances = (squares() - products.mul_scalar(2.0)).add_scalar(1.0);
                let distances = distances.clamp_min(1e-24).sqrt();
                let mean = distances.clone().mean_dim(1);
                (mean - distances).clamp_min(0.0)
            }
        }
    }

    /// [`Encoding::apply`] as nodes, for `[batch, window, mean]`; `Triangle` needs `squares`
    /// `[batch, window, 1]`.
    pub(crate) fn lower(
        self,
        graph: &mut Graph,
        products: Value,
        squares: Option<&Value>,
    ) -> Value {
        match (self, squares) {
            (Self::Linear, _) => products,
            (Self::Threshold { threshold }, _) => {
                let above = graph.scalar("Sub", &products, threshold);
                graph.scalar("Max", &above, 0.0)
            }
            (Self::Triangle, squares) => {
                let doubled = graph.scalar("Mul", &products, -2.0);
                let sum = match squares {
                    Some(squares) => graph.binary("Add", &doubled, squares),
                    None => doubled,
                };
                let sum = graph.scalar("Add", &sum, 1.0);
                let sum = graph.scalar("Max", &sum, 1e-24);
                let distances = graph.unary("Sqrt", &sum);
                let mean = graph.reduce("ReduceMean", &distances, 2, true);
                let opposite = graph.unary("Neg", &distances);
                let nearer = graph.binary("Add", &opposite, &mean);
                graph.scalar("Max", &nearer, 0.0)
            }
        }
    }
}
