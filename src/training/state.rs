//! The state of the training loop, saved with every checkpoint.

use serde::{Deserialize, Serialize};

/// What the training loop needs to resume, besides model and optimizer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoopState {
    /// Steps done.
    pub step: u64,
    /// The best validation so far.
    pub best: Option<Best>,
    /// Validations since then.
    pub since_best: u32,
    /// Sum and number of the losses since the last line of the log.
    #[serde(with = "crate::io::exact")]
    pub loss_sum: f64,
    /// See `loss_sum`.
    pub loss_count: u64,
    /// Time spent training, over all sessions, in seconds.
    pub seconds: f64,
}

/// A validation result and its step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Steps done when it was measured.
    pub step: u64,
    /// Of the metric by which checkpoints are judged.
    #[serde(with = "crate::io::exact")]
    pub value: f64,
}

impl LoopState {
    /// The mean loss since the last call.
    pub fn take_mean_loss(&mut self) -> f64 {
        let mean = self.loss_sum / self.loss_count as f64;
        (self.loss_sum, self.loss_count) = (0.0, 0);
        mean
    }
}
