//! What training lowers and evaluation reports: a loss with all that it asks for.

use burn::tensor::{Device, Tensor};

use crate::experiment::Loss;
use crate::training::weighted_prediction_error::{DeviceListeners, Listeners};

/// A loss over the tracks of one split.
// A run has two of them: what the variants differ by in size is nothing.
#[allow(clippy::large_enum_variant)]
pub enum Objective<'a> {
    /// A function of logits and targets alone.
    Targets(Loss),
    /// The weighted prediction error: a function of logits and of who listened.
    Listeners {
        /// Of the split's tracks.
        listeners: &'a Listeners,
        /// The same where the loss is computed.
        on_device: DeviceListeners<'a>,
    },
}

impl<'a> Objective<'a> {
    /// `listeners` are those of the split's tracks, and go with the weighted prediction error.
    ///
    /// # Panics
    /// If the one is there without the other; an experiment that was checked has both.
    pub fn new(loss: Loss, listeners: Option<&'a Listeners>, device: &Device) -> Objective<'a> {
        let weighted = loss == Loss::WeightedPredictionError;
        assert_eq!(
            weighted,
            listeners.is_some(),
            "listeners go with the weighted prediction error"
        );
        match listeners {
            Some(listeners) => Objective::Listeners { listeners, on_device: listeners.on(device) },
            None => Objective::Targets(loss),
        }
    }

    /// # Shapes
    /// - `logits`, `targets`: `[batch, output]`
    /// - `tracks`: the track of each row, in the split
    /// - returns: `[1]`
    pub fn forward(&self, logits: Tensor<2>, targets: Tensor<2>, tracks: &[usize]) -> Tensor<1> {
        match self {
            Self::Targets(loss) => loss.forward(logits, targets),
            Self::Listeners { on_device, .. } => on_device.forward(logits, tracks),
        }
    }

    /// The same of one excerpt, on the host.
    pub fn of_row(&self, logits: &[f32], targets: &[f32], track: usize) -> f64 {
        match self {
            Self::Targets(loss) => loss.of_row(logits, targets),
            Self::Listeners { listeners, .. } => listeners.of_track(track, logits),
        }
    }

    /// The prediction that belongs to a logit: a probability, or the value itself.
    ///
    /// # Shapes
    /// - `logits`, returned: `[batch, output]`
    pub fn prediction(&self, logits: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Targets(loss) => loss.prediction(logits),
            Self::Listeners { .. } => logits,
        }
    }

    /// Whether predictions are probabilities.
    pub fn is_probability(&self) -> bool {
        matches!(self, Self::Targets(Loss::BinaryCrossEntropy | Loss::CrossEntropy))
    }
}
