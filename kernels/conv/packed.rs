//! Weights in the order in which the matrix product reads them.

#![allow(clippy::needless_range_loop, reason = "registers are indexed by constants")]

use std::sync::{Arc, Mutex, PoisonError, Weak};

use burn::tensor::Bytes;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::{Geometry, bfloat16, winograd};
use crate::precision::Precision;
use crate::simd::{Kernel, Simd, Width};

/// Weights in panels of two registers of filters: `[panel, frame, channel, filter]`, or
/// [transformed](winograd::weights) if the geometry has a [fast convolution](Geometry::winograd).
#[derive(Debug)]
pub(super) struct Packed {
    /// Values or, if `in_pairs`, every second value with its successor in the filter ([pairs](bfloat16)).
    pub panels: Vec<f32>,
    pub in_pairs: bool,
    pub width: Width,
    /// Filters per panel.
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
        if geometry.winograd().is_some() {
            panels = winograd::weights(&panels, geometry, columns, width);
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

    /// Values, or pairs, per panel.
    pub fn panel_size(&self, geometry: &Geometry) -> usize {
        let rows = if self.in_pairs { geometry.depth().div_ceil(2) } else { geometry.depth() };
        rows * self.columns
    }
}

/// Pairs of rows of a panel.
fn in_pairs_of(panel: &[f32], columns: usize) -> Vec<f32> {
    let mut pairs = Vec::with_capacity(panel.len().div_ceil(2));
    for rows in panel.chunks(2 * columns) {
        let (low, high) = rows.split_at(columns);
        let high = high.iter().copied().chain(std::iter::repeat(0.0));
        pairs.extend(low.iter().zip(high).map(|(low, high)| bfloat16::pair(*low, high)));
    }
    pairs
}

/// Transposes the weights of a panel from `[filter, channel, frame]` to `[frame, channel, filter]`, one square of
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
                // SAFETY: the square is within complete filters, and the rows are within `packed`.
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

/// Packed weights of tensors that still exist. A trained model is applied many times, and packing takes a tenth of the
/// prediction of one excerpt.
static CACHE: Mutex<Vec<CachedWeights>> = Mutex::new(Vec::new());

/// The largest number of cached layers.
const LAYERS: usize = 64;

/// Packed weights and what identifies the tensor. Equal addresses mean equal values: writing to a shared tensor copies it
/// (or, without other strong references, moves it, which weak references do not follow), and memory with a weak reference
/// is not reused.
struct CachedWeights {
    bytes: Weak<Bytes>,
    shape: [usize; 3],
    precision: Precision,
    is_fast: bool,
    packed: Arc<Packed>,
}

/// Packed weights, from the cache if they were packed before.
///
/// # Shapes
/// - `weights`: `[filter, channel, length]`
pub(super) fn cached(weights: FlexTensor, geometry: &Geometry) -> Arc<Packed> {
    let &Geometry { channels, filters, length, .. } = geometry;
    let pack = |weights: &FlexTensor| {
        Arc::new(Packed::new(weights.storage::<f32>(), geometry, Width::best()))
    };
    let is_cacheable = weights.layout().is_contiguous()
        && weights.storage::<f32>().len() == filters * channels * length;
    if !is_cacheable {
        // The contiguous copy has a new address in every call.
        return pack(&weights.to_contiguous());
    }
    let (bytes, shape) = (weights.data_arc(), [filters, channels, length]);
    let (precision, is_fast) = (geometry.precision, geometry.winograd().is_some());
    let all = || CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |one: &&CachedWeights| {
        one.bytes.as_ptr() == Arc::as_ptr(&bytes)
            && (one.shape, one.precision, one.is_fast) == (shape, precision, is_fast)
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
    all.push(CachedWeights { bytes, shape, precision, is_fast, packed: packed.clone() });
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

    fn uncached(weights: &FlexTensor) -> Vec<f32> {
        Packed::new(weights.storage::<f32>(), &geometry(), Width::best()).panels
    }

    #[test]
    fn unchanged_weights_are_packed_once() {
        let weights = weights(1);
        let first = cached(weights.clone(), &geometry());
        assert_eq!(first.panels, uncached(&weights));
        assert!(Arc::ptr_eq(&first, &cached(weights.clone(), &geometry())));
        assert!(!Arc::ptr_eq(&first, &cached(self::weights(1), &geometry())));
    }

    #[test]
    fn each_precision_is_packed_separately() {
        let weights = weights(3);
        let single = cached(weights.clone(), &geometry());
        let rounded = Precision::Bfloat16.during(|| cached(weights.clone(), &geometry()));
        assert_ne!(single.panels, rounded.panels);
        assert_eq!(single.panels, cached(weights, &geometry()).panels);
    }

    #[test]
    fn modified_weights_are_packed_again() {
        let mut weights = weights(2);
        for change in 0..3 {
            let before = cached(weights.clone(), &geometry());
            // In place: nothing else refers to it.
            weights.storage_mut::<f32>()[7] += 1.0;
            let after = cached(weights.clone(), &geometry());
            assert_eq!(after.panels, uncached(&weights), "change {change}");
            assert_ne!(after.panels, before.panels, "change {change}");
        }
    }

    #[test]
    fn weights_at_a_reused_address_are_packed_again() {
        for seed in 0..200 {
            let weights = weights(seed);
            assert_eq!(cached(weights.clone(), &geometry()).panels, uncached(&weights), "{seed}");
        }
        let count = || CACHE.lock().unwrap().len();
        assert!(count() <= LAYERS, "{}", count());
    }

    #[test]
    fn transposed_weights_are_packed_in_logical_order() {
        let data = TensorData::new(noise(4, 5 * 3 * 4), [5, 4, 3]);
        let turned = FlexTensor::from_data(data).transpose(1, 2);
        for _ in 0..2 {
            let packed = cached(turned.clone(), &geometry());
            assert_eq!(packed.panels, uncached(&turned.to_contiguous()));
        }
    }
}
