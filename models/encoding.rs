//! How much of each mean is in a window.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// How products with the means become features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Encoding {
    /// The products as they are: a convolution along time (P1).
    #[default]
    Linear,
    /// What of a product is above `threshold` (Coates & Ng 2011, The importance of encoding versus
    /// training).
    Threshold { threshold: f64 },
    /// How much nearer a mean is than means are on average; 0 for those that are further (Coates, Lee &
    /// Ng 2011, An analysis of single-layer networks).
    Triangle,
}

impl Encoding {
    /// # Shapes
    /// - `products`: `[window, mean]`, of whitened windows with means of length one
    /// - `squares`: `[window, 1]`, the squared lengths of the windows; only the triangle looks at them
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
                // |x - d|^2 of a d of length one
                let distances = (squares() - products.mul_scalar(2.0)).add_scalar(1.0);
                let distances = distances.clamp_min(1e-24).sqrt();
                let mean = distances.clone().mean_dim(1);
                (mean - distances).clamp_min(0.0)
            }
        }
    }
}
