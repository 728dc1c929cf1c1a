//! Weights in the order in which the product reads them.

#![allow(clippy::needless_range_loop, reason = "registers of constant numbers, by number")]

use std::sync::{Arc, Mutex, PoisonError, Weak};

use burn::tensor::Bytes;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::{Geometry, bfloat16};
use crate::precision::Precision;
use crate::simd::{Kernel, Simd, Width};

/// Weights in panels of as many filters as two registers hold: `[panel, frame, channel, filter]`.
#[derive(Debug)]
pub(super) struct Packed {
    /// Numbers, or if `in_pairs` [pairs](bfloat16) of each with the next of its filter, for every second one.
    pub panels: Vec<f32>,
    pub in_pairs: bool,
    pub width: Width,
    /// Filters of a panel.
    pub columns: usize,
}

impl Packed {
    /// # Shapes
    /// - `weights`: `[filter, channel, length]`
    pub fn new(weights: &[f32], geometry: &Geometry, width: Width) -> Self {
        let &Geometry { channels, filters, length, .. } = geometry;
        let columns = 2 * width.lanes();
        let mut panels = vec![0.0; filters.div_ceil(columns) * geometry.depth() * columns];
        let (depth, size) = (geometry.depth(), geometry.depth() * columns);
        assert_eq!(weights.len(), filters * depth);
        panels.par_chunks_exact_mut(size).enumerate().for_each(|(panel, packed)| {
            let first = panel * columns;
            let count = columns.min(filters - first);
            let own = &weights[first * depth..(first + count) * depth];
            width.run(Pack { weights: own, channels, length, packed });
        });
        if geometry.precision == Precision::Bfloat16 {
            bfloat16::round(&mut panels);
        }
        let in_pairs = width.multiplies_pairs(geometry.precision);
        if in_pairs {
            panels = panels
                .par_chunks_exact(size)
                .flat_map_iter(|panel| in_pairs_of(panel, columns))
                .collect();
        }
        Self { panels, in_pairs, width, columns }
    }

    /// Numbers, or pairs, of a panel.
    pub fn panel_size(&self, geometry: &Geometry) -> usize {
        let rows = if self.in_pairs { geometry.depth().div_ceil(2) } else { geometry.depth() };
        rows * self.columns
    }
}

/// Rows of a panel, two in one.
fn in_pairs_of(panel: &[f32], columns: usize) -> Vec<f32> {
    let mut pairs = Vec::with_capacity(panel.len().div_ceil(2));
    for rows in panel.chunks(2 * columns) {
        let (low, high) = rows.split_at(columns);
        let high = high.iter().copied().chain(std::iter::repeat(0.0));
        pairs.extend(low.iter().zip(high).map(|(low, high)| bfloat16::pair(*low, high)));
    }
    pairs
}

/// Turns the weights of a panel's filters, `[filter, channel, frame]`, into `[frame, channel, filter]`, a square of
/// registers at a time.
struct Pack<'a> {
    weights: &'a [f32],
    channels: usize,
    length: usize,
    packed: &'a mut [f32],
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { weights, channels, length, packed } = self;
        let (depth, columns) = (channels * length, 2 * S::LANES);
        assert_eq!(packed.len(), depth * columns);
        for (half, weights) in weights.chunks(S::LANES * depth).enumerate() {
            let mut first = 0;
            while first + S::LANES <= depth {
                // SAFETY: filters are whole, and the square lies inside them; rows lie in `packed`.
                unsafe {
                    let mut square = [S::zero(); 16];
                    for (row, own) in square.iter_mut().zip(weights.chunks_exact(depth)) {
                        *row = S::load(own.as_ptr().add(first));
                    }
                    S::transpose(&mut square);
                    for (at, row) in (first..).zip(&square).take(S::LANES) {
                        let to = at % length * channels + at / length;
                        S::store(packed.as_mut_ptr().add(to * columns + half * S::LANES), *row);
                    }
                }
                first += S::LANES;
            }
            for at in first..depth {
                let to = at % length * channels + at / length;
                for (filter, own) in weights.chunks_exact(depth).enumerate() {
                    packed[to * columns + half * S::LANES + filter] = own[at];
                }
            }
        }
    }
}

/// Packed weights of tensors that are still there. A trained model is applied many times, and packing is a
/// tenth of predicting one excerpt.
static REMEMBERED: Mutex<Vec<Remembered>> = Mutex::new(Vec::new());

/// Layers that are remembered at once, at most.
const LAYERS: usize = 64;

/// Shared memory does not change: who would write to it copies it first, or, if nobody else has a strong
/// hold of it, moves it to another place, which no weak one follows. And while there is a weak hold
/// nothing else gets the place. The same place means the same values.
struct Remembered {
    bytes: Weak<Bytes>,
    shape: [usize; 3],
    precision: Precision,
    packed: Arc<Packed>,
}

/// Packs weights, or finds what was packed of them before.
///
/// # Shapes
/// - `weights`: `[filter, channel, length]`
pub(super) fn remembered(weights: FlexTensor, geometry: &Geometry) -> Arc<Packed> {
    let &Geometry { channels, filters, length, .. } = geometry;
    let pack = |weights: &FlexTensor| {
        Arc::new(Packed::new(weights.storage::<f32>(), geometry, Width::best()))
    };
    let is_whole = weights.layout().is_contiguous()
        && weights.storage::<f32>().len() == filters * channels * length;
    if !is_whole {
        // Its memory in order is new in every call.
        return pack(&weights.to_contiguous());
    }
    let (bytes, shape) = (weights.data_arc(), [filters, channels, length]);
    let precision = geometry.precision;
    let all = || REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |one: &&Remembered| {
        one.bytes.as_ptr() == Arc::as_ptr(&bytes)
            && (one.shape, one.precision) == (shape, precision)
    };
    if let Some(one) = all().iter().find(same) {
        return one.packed.clone();
    }
    let packed = pack(&weights);
    let mut all = all();
    all.retain(|one| one.bytes.strong_count() > 0);
    if all.len() == LAYERS {
        all.remove(0);
    }
    let bytes = Arc::downgrade(&bytes);
    all.push(Remembered { bytes, shape, precision, packed: packed.clone() });
    packed
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::conv::{ConvOptions, End};
    use crate::testing::noise;

    fn geometry() -> Geometry {
        let options = ConvOptions { stride: 1, end: End::Linear };
        Geometry::new([1, 3, 20], [5, 3, 4], options)
    }

    fn weights(seed: u32) -> FlexTensor {
        FlexTensor::from_data(TensorData::new(noise(seed, 5 * 3 * 4), [5, 3, 4]))
    }

    fn afresh(weights: &FlexTensor) -> Vec<f32> {
        Packed::new(weights.storage::<f32>(), &geometry(), Width::best()).panels
    }

    #[test]
    fn what_did_not_change_is_packed_once() {
        let weights = weights(1);
        let first = remembered(weights.clone(), &geometry());
        assert_eq!(first.panels, afresh(&weights));
        assert!(Arc::ptr_eq(&first, &remembered(weights.clone(), &geometry())));
        assert!(!Arc::ptr_eq(&first, &remembered(self::weights(1), &geometry())));
    }

    #[test]
    fn another_precision_is_packed_by_itself() {
        let weights = weights(3);
        let single = remembered(weights.clone(), &geometry());
        let rounded = Precision::Bfloat16.during(|| remembered(weights.clone(), &geometry()));
        assert_ne!(single.panels, rounded.panels);
        assert_eq!(single.panels, remembered(weights, &geometry()).panels);
    }

    #[test]
    fn what_was_written_to_is_packed_anew() {
        let mut weights = weights(2);
        for change in 0..3 {
            let before = remembered(weights.clone(), &geometry());
            // In place: nobody else holds it.
            weights.storage_mut::<f32>()[7] += 1.0;
            let after = remembered(weights.clone(), &geometry());
            assert_eq!(after.panels, afresh(&weights), "change {change}");
            assert_ne!(after.panels, before.panels, "change {change}");
        }
    }

    #[test]
    fn weights_that_took_the_place_of_others_are_packed_anew() {
        for seed in 0..200 {
            let weights = weights(seed);
            assert_eq!(remembered(weights.clone(), &geometry()).panels, afresh(&weights), "{seed}");
        }
        let count = || REMEMBERED.lock().unwrap().len();
        assert!(count() <= LAYERS, "{}", count());
    }

    #[test]
    fn weights_out_of_order_are_packed_in_order() {
        let data = TensorData::new(noise(4, 5 * 3 * 4), [5, 4, 3]);
        let turned = FlexTensor::from_data(data).transpose(1, 2);
        for _ in 0..2 {
            let packed = remembered(turned.clone(), &geometry());
            assert_eq!(packed.panels, afresh(&turned.to_contiguous()));
        }
    }
}
