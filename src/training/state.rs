//! The state of the training loop, saved with every checkpoint.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
    #[serde(serialize_with = "as_text", deserialize_with = "number_or_text")]
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
    #[serde(serialize_with = "as_text", deserialize_with = "number_or_text")]
    pub value: f64,
}

/// Writes a number as text: serde_json may read numbers one unit in the last place off.
fn as_text<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

/// Reads a finite number, as text or, from earlier versions, as a number.
fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(f64),
        Text(String),
    }
    let value = match Written::deserialize(deserializer)? {
        Written::Number(value) => value,
        Written::Text(text) => text.parse().map_err(D::Error::custom)?,
    };
    match f64::is_finite(value) {
        true => Ok(value),
        false => Err(D::Error::custom(format!("{value} is not finite"))),
    }
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

    fn read(value: &str) -> serde_json::Result<Best> {
        serde_json::from_str(&format!(r#"{{"step": 1, "value": {value}}}"#))
    }

    #[test]
    fn every_number_is_read_back_to_the_last_bit() {
        // As a JSON number, the first would be read as its neighbour.
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
    fn numbers_of_earlier_versions_are_read() {
        for text in ["0.5", "\"0.5\""] {
            assert_eq!(read(text).unwrap().value, 0.5);
        }
        for wrong in ["\"NaN\"", "\"inf\"", "\"a half\"", "null", "[]", "1e999"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
