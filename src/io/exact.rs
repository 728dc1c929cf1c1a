//! Numbers in JSON that come back to the last bit: what is read there as a number may be one unit in the last
//! place off, so these are written as text, in as few digits as tell them from their neighbours.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// For `#[serde(with = "crate::io::exact")]`.
pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

/// Takes a number too, as earlier versions wrote it.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Number(f64),
    }
    let value = match Written::deserialize(deserializer)? {
        Written::Number(value) => value,
        Written::Text(text) => {
            text.parse().map_err(|_| D::Error::custom(format!("{text:?} is no number")))?
        }
    };
    match f64::is_finite(value) {
        true => Ok(value),
        false => Err(D::Error::custom(format!("{value} is not finite"))),
    }
}

#[cfg(test)]
mod tests {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Held(#[serde(with = "super")] f64);

    #[test]
    fn every_number_comes_back_to_the_last_bit() {
        // Read as a number, this one became its neighbour.
        let mut numbers =
            vec![1.493_386_243_386_243_5, 0.0, -0.0, f64::MAX, f64::MIN_POSITIVE, 5e-324];
        let mut bits = 1u64;
        for _ in 0..10_000 {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            numbers.push(f64::from_bits(bits));
        }
        for number in numbers.into_iter().filter(|number| number.is_finite()) {
            let text = serde_json::to_string(&Held(number)).unwrap();
            let Held(back) = serde_json::from_str(&text).unwrap();
            assert_eq!(back.to_bits(), number.to_bits(), "{text}");
        }
    }

    #[test]
    fn numbers_are_taken_and_what_is_none_is_not() {
        assert_eq!(serde_json::from_str::<Held>("0.5").unwrap(), Held(0.5));
        for wrong in ["\"NaN\"", "\"inf\"", "\"a half\"", "null", "[]"] {
            assert!(serde_json::from_str::<Held>(wrong).is_err(), "{wrong}");
        }
    }
}
