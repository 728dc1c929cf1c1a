//! bfloat16: rounding, layout and pairwise products.
//!
//! The instruction (`vdpbf16ps`) adds the products of two pairs to every sum. A value is stored with its successor as
//! `(x[i], x[i + 1])` in the low and high half of a word: any contiguous range of values is then a range of pairs at the
//! same addresses as in single precision, wherever it begins. The product reads every second word; panels, which always
//! begin at the same value, store only those.

use rayon::prelude::*;

/// Rounds to the nearest bfloat16, ties to even.
pub(super) fn round(values: &mut [f32]) {
    values.par_chunks_mut(1 << 14).for_each(|values| {
        for value in values {
            *value = rounded(*value);
        }
    });
}

#[inline(always)]
fn rounded(value: f32) -> f32 {
    let bits = value.to_bits();
    let nearest = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000;
    // The addition above could turn NaN into a number.
    if value.is_nan() { value } else { f32::from_bits(nearest) }
}

/// Two rounded values in the bits of one `f32`.
#[inline(always)]
pub(super) fn pair(low: f32, high: f32) -> f32 {
    f32::from_bits(half(low) | half(high) << 16)
}

/// The upper half of the bits; the quiet bit is set because those of a NaN may all be in the lower half.
#[inline(always)]
fn half(value: f32) -> u32 {
    let bits = value.to_bits();
    let quiet = if value.is_nan() { 1 << 22 } else { 0 };
    (bits | quiet) >> 16
}

/// Pairs every value with the one `step` later, and the last ones with 0.
pub(super) fn with_successors(values: &mut [f32], step: usize) {
    let last = values.len().saturating_sub(step);
    for i in 0..last {
        values[i] = pair(values[i], values[i + step]);
    }
    for value in &mut values[last..] {
        *value = pair(*value, 0.0);
    }
}

/// [`super::product::tile`] for bfloat16: `depth` products per sum, two at a time.
///
/// The pairs of a row of `x` are `2 step` words apart, those of the panel `panel_step` words.
///
/// # Safety
/// The processor supports AVX-512 and its bfloat16 instructions. `x` is valid for `ROWS` rows of `depth` values, the panel
/// for `depth / 2` (rounded up) rows of two registers, and `to` for `ROWS` rows of two registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
#[allow(clippy::needless_range_loop, reason = "registers are indexed by constants")]
pub(super) unsafe fn tile<const ROWS: usize>(
    x: *const f32,
    row: usize,
    step: usize,
    depth: usize,
    panel: *const f32,
    panel_step: usize,
    to: *mut f32,
) -> usize {
    use std::arch::x86_64::*;
    use std::mem::transmute;

    /// Two registers.
    const COLUMNS: usize = 32;
    // SAFETY: the caller's; the transmuted registers have the same size.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
        let add = |sums: &mut [[__m512; 2]; ROWS], at: usize, mask: i32| {
            let mask = _mm512_set1_epi32(mask);
            let panel = panel.add(at * panel_step);
            let pairs = |from: *const f32| -> __m512bh {
                transmute(_mm512_and_si512(_mm512_loadu_si512(from.cast()), mask))
            };
            let (w0, w1) = (pairs(panel), pairs(panel.add(COLUMNS / 2)));
            let x = x.add(2 * at * step);
            for number in 0..ROWS {
                let bits = (*x.add(number * row)).to_bits() as i32;
                let x: __m512bh = transmute(_mm512_and_si512(_mm512_set1_epi32(bits), mask));
                let [a, b] = sums[number];
                sums[number] = [_mm512_dpbf16_ps(a, x, w0), _mm512_dpbf16_ps(b, x, w1)];
            }
        };
        for i in 0..depth / 2 {
            add(&mut sums, i, -1);
        }
        if !depth.is_multiple_of(2) {
            // The last value has no successor in this sum.
            add(&mut sums, depth / 2, 0xFFFF);
        }
        for (row, [a, b]) in sums.into_iter().enumerate() {
            _mm512_storeu_ps(to.add(row * COLUMNS), a);
            _mm512_storeu_ps(to.add(row * COLUMNS + COLUMNS / 2), b);
        }
        ROWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_nearest_ties_to_even() {
        // Near 1, bfloat16 values are 1 / 128 apart.
        let step = 1.0 / 128.0;
        for (value, expected) in [
            (1.0, 1.0),
            (1.0 + 0.49 * step, 1.0),
            (1.0 + 0.51 * step, 1.0 + step),
            (1.0 + 0.5 * step, 1.0),
            (1.0 + 1.5 * step, 1.0 + 2.0 * step),
            (-1.0 - 0.51 * step, -1.0 - step),
            (0.0, 0.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
        ] {
            assert_eq!(rounded(value), expected, "{value}");
        }
        for bits in [0x7F80_0001, 0x7FFF_FFFF, 0xFF80_0001] {
            let [low, high] = halves(pair(rounded(f32::from_bits(bits)), 1.0));
            assert!(low.is_nan() && high == 1.0, "{bits:x}");
        }
    }

    fn halves(pair: f32) -> [f32; 2] {
        let bits = pair.to_bits();
        [f32::from_bits(bits << 16), f32::from_bits(bits & 0xFFFF_0000)]
    }

    #[test]
    fn every_value_is_paired_with_its_successor() {
        let mut values = [1.0, 2.0, -3.0, 0.5, 8.0];
        with_successors(&mut values, 2);
        let expected = [[1.0, -3.0], [2.0, 0.5], [-3.0, 8.0], [0.5, 0.0], [8.0, 0.0]];
        assert_eq!(values.map(halves), expected);
    }
}
