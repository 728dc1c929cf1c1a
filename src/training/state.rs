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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_read_back_to_the_last_bit() {
        // Without the feature `float_roundtrip` of serde_json, the first would be read as its neighbour.
        let mut numbers = vec![1.493_386_243_386_243_5, -0.0, f64::MAX, f64::MIN_POSITIVE, 5e-324];
        let mut bits = 1u64;
        for _ in 0..10_000 {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            numbers.push(f64::from_bits(bits));
        }
        for value in numbers.into_iter().filter(|number| number.is_finite()) {
            let text = serde_json::to_string(&Best { step: 1, value }).unwrap();
            let back: Best = serde_json::from_str(&text).unwrap();
            assert_eq!(back.value.to_bits(), value.to_bits(), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_finite_number_is_refused() {
        for wrong in ["NaN", "\"NaN\"", "\"0.5\"", "null", "[]", "1e999"] {
            let text = format!(r#"{{"step": 1, "value": {wrong}}}"#);
            assert!(serde_json::from_str::<Best>(&text).is_err(), "{wrong}");
        }
    }
}
