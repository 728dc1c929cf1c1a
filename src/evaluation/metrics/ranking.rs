//! ROC-AUC and average precision of one tag, from the ranks of its positives.

use super::MetricError;
use crate::listening::top_k::order_key;

/// Both areas of one tag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Areas {
    /// Area under the ROC curve; `None` without a positive or without a negative.
    pub roc_auc: Option<f64>,
    /// Average precision; `None` without a positive. (Without a negative it is 1.)
    pub pr_auc: Option<f64>,
    /// Number of tracks with the tag.
    pub positives: usize,
    /// Number of tracks without the tag.
    pub negatives: usize,
}

/// ROC-AUC and average precision of `predictions` for one tag.
///
/// # Shapes
/// - `predictions`, `targets`: `[track]`
///
/// # Errors
/// If the lengths differ, or a prediction is NaN or infinite.
pub fn areas(predictions: &[f32], targets: &[bool]) -> Result<Areas, MetricError> {
    check_column(predictions, targets)?;
    let mut ranking = Ranking::default();
    for (&prediction, &target) in predictions.iter().zip(targets) {
        ranking.push(prediction, target);
    }
    Ok(ranking.areas(&mut Vec::new()))
}

pub(super) fn check_column(predictions: &[f32], targets: &[bool]) -> Result<(), MetricError> {
    if predictions.len() != targets.len() {
        return Err(MetricError::Lengths {
            predictions: predictions.len(),
            targets: targets.len(),
        });
    }
    match predictions.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(position) => Err(MetricError::NotFiniteAt { position, value: predictions[position] }),
    }
}

/// Predictions for one tag, positives and negatives apart. Each is sorted without its targets, and
/// areas are computed in one pass over the few positives.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranking {
    positives: Vec<u32>,
    negatives: Vec<u32>,
}

impl Ranking {
    pub(super) fn push(&mut self, prediction: f32, target: bool) {
        let side = if target { &mut self.positives } else { &mut self.negatives };
        side.push(order_key(prediction));
    }

    /// The areas of all predictions; `scratch` is a buffer for sorting.
    pub(super) fn areas(&mut self, scratch: &mut Vec<u32>) -> Areas {
        let (p, n) = (self.positives.len(), self.negatives.len());
        let mut result = Areas { roc_auc: None, pr_auc: None, positives: p, negatives: n };
        if p == 0 {
            return result;
        }
        sort(&mut self.positives, scratch);
        sort(&mut self.negatives, scratch);

        let (mut average_precision, mut true_positives) = (0.0, 0);
        // Each negative above a positive is counted twice, each tied with it once.
        let mut twice_lost: u128 = 0;
        let mut below = n; // negatives[below..] are at or above the threshold
        for group in self.positives.chunk_by(|a, b| a == b).rev() {
            while below > 0 && self.negatives[below - 1] > group[0] {
                below -= 1;
            }
            let above = n - below;
            while below > 0 && self.negatives[below - 1] == group[0] {
                below -= 1;
            }
            let false_positives = n - below;
            true_positives += group.len();
            twice_lost += group.len() as u128 * (above + false_positives) as u128;
            average_precision += group.len() as f64 * true_positives as f64
                / (true_positives + false_positives) as f64;
        }
        result.pr_auc = Some(average_precision / p as f64);
        if n > 0 {
            let twice_pairs = 2 * p as u128 * n as u128;
            result.roc_auc = Some((twice_pairs - twice_lost) as f64 / twice_pairs as f64);
        }
        result
    }
}

/// Below this length a comparison sort is faster than a radix sort.
const RADIX_MIN: usize = 512;
const DIGIT_BITS: usize = 11;
const DIGITS: usize = 3;
const BUCKETS: usize = 1 << DIGIT_BITS;

/// Radix sort in ascending order: three passes of 11 bits, from the lowest digit to the highest.
fn sort(keys: &mut Vec<u32>, scratch: &mut Vec<u32>) {
    if keys.len() < RADIX_MIN || u32::try_from(keys.len()).is_err() {
        return keys.sort_unstable();
    }
    let digit = |key: u32, pass: usize| (key >> (pass * DIGIT_BITS)) as usize & (BUCKETS - 1);
    let mut counts = vec![[0u32; BUCKETS]; DIGITS];
    for &key in keys.iter() {
        for (pass, counts) in counts.iter_mut().enumerate() {
            counts[digit(key, pass)] += 1;
        }
    }
    scratch.clear();
    scratch.resize(keys.len(), 0);
    for (pass, offsets) in counts.iter_mut().enumerate() {
        // If all keys share the digit, the pass changes nothing.
        if offsets[digit(keys[0], pass)] as usize == keys.len() {
            continue;
        }
        let mut start = 0;
        for offset in offsets.iter_mut() {
            start += std::mem::replace(offset, start);
        }
        for &key in keys.iter() {
            let offset = &mut offsets[digit(key, pass)];
            scratch[*offset as usize] = key;
            *offset += 1;
        }
        std::mem::swap(keys, scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::philox;

    #[test]
    fn keys_have_the_order_of_the_numbers() {
        let numbers = [f32::MIN, -1.5, -1.0, -1e-45, 0.0, 1e-45, 1e-30, 0.5, 1.0, f32::MAX];
        assert!(numbers.map(order_key).is_sorted_by(|a, b| a < b));
        assert_eq!(order_key(-0.0), order_key(0.0));
    }

    #[test]
    fn sort_equals_that_of_the_standard_library() {
        for length in [0, 1, 2, RADIX_MIN - 1, RADIX_MIN, 5_000] {
            for mask in [u32::MAX, 0xff, 0xffff_f800, 0x8000_0001, 0x001f_f800, 0] {
                let mut keys: Vec<u32> = (0..length as u64)
                    .map(|i| philox([3, 0], [i, 0, 0, 0])[0] as u32 & mask)
                    .collect();
                let mut expected = keys.clone();
                expected.sort();
                sort(&mut keys, &mut Vec::new());
                assert_eq!(keys, expected, "length {length}, mask {mask:#x}");
            }
        }
    }
}
