//! The training objective: a loss and the data that it needs besides logits and targets.

use burn::tensor::{Device, Tensor};

use crate::experiment::Loss;
use crate::training::weighted_prediction_error::{DeviceListeners, Listeners};

/// A loss over the tracks of one split.
// A run has two of them, so their size does not matter.
#[allow(clippy::large_enum_variant)]
pub enum Objective<'a> {
    /// A function of logits and targets.
    Targets(Loss),
    /// The weighted prediction error: a function of logits and listeners.
    Listeners {
        /// The listeners of the split's tracks.
        listeners: &'a Listeners,
        /// The same on the device.
        on_device: DeviceListeners<'a>,
    },
}

impl<'a> Objective<'a> {
    /// Combines a loss with the listeners of the split's tracks, which the weighted prediction error needs.
    ///
    /// # Panics
    /// If listeners and loss do not belong together; a validated experiment has both.
    pub fn new(loss: Loss, listeners: Option<&'a Listeners>, device: &Device) -> Objective<'a> {
        let weighted = loss == Loss::WeightedPredictionError;
        assert_eq!(
            weighted,
            listeners.is_some(),
            "the weighted prediction error needs listeners, other losses have none"
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

    /// The loss of one excerpt, computed on the host.
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
