//! Numbers of 8 bits: how they are rounded, laid out, and multiplied two at a time.
//!
//! The instruction for them adds the products of two pairs to every sum. A number here is stored as itself and
//! its successor, `(x[i], x[i + 1])` in the low and the high half of a word: so every stretch of numbers is one of pairs,
//! wherever it begins, and stands where it stood in single precision. Every second word is read; what always begins at
//! the same place needs only those.

use rayon::prelude::*;

/// Rounds to the nearest number of 8 bits, of two the even one.
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
    // The sum above could turn what is no number into one.
    if value.is_nan() { value } else { f32::from_bits(nearest) }
}

/// A pair of rounded numbers in the bits of one.
#[inline(always)]
pub(super) fn pair(low: f32, high: f32) -> f32 {
    f32::from_bits(half(low) | half(high) << 16)
}

/// What is no number may hold all it has in the lower half.
#[inline(always)]
fn half(value: f32) -> u32 {
    let bits = value.to_bits();
    let quiet = if value.is_nan() { 1 << 22 } else { 0 };
    (bits | quiet) >> 16
}

/// Pairs every number with the one `step` further on, and the last ones with 0.
pub(super) fn with_successors(values: &mut [f32], step: usize) {
    let last = values.len().saturating_sub(step);
    for i in 0..last {
        values[i] = pair(values[i], values[i + step]);
    }
    for value in &mut values[last..] {
        *value = pair(*value, 0.0);
    }
}

/// [`super::product::tile`] of rounded numbers: `depth` products a sum, two at a time.
///
/// The pairs of a row of `x` are `2 step` apart, those of the panel `panel_step` words.
///
/// # Safety
/// The processor has AVX-512 and its instructions for bfloat16; `x` is good for `ROWS` rows of so many pairs, the
/// panel for as many rows of two registers, and `to` for `ROWS` rows of two registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
#[allow(clippy::needless_range_loop, reason = "registers of constant numbers, by number")]
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
    // SAFETY: the caller's; registers of one size are as good as others.
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
            // The number has no successor in this sum.
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
    fn rounding_is_to_the_nearest_and_of_two_to_the_even_one() {
        // Numbers of 8 bits beside 1 are 1 / 128 apart.
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
    fn every_number_stands_beside_its_successor() {
        let mut values = [1.0, 2.0, -3.0, 0.5, 8.0];
        with_successors(&mut values, 2);
        let expected = [[1.0, -3.0], [2.0, 0.5], [-3.0, 8.0], [0.5, 0.0], [8.0, 0.0]];
        assert_eq!(values.map(halves), expected);
    }
}
