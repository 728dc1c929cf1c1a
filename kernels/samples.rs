//! Audio samples as 16 bits and as numbers.

use std::mem::MaybeUninit;

use crate::simd::{Kernel, Simd, Width};

/// Adds little-endian 16-bit samples, times `scale`, to `out`.
///
/// # Panics
/// If half a sample is among them.
pub fn append(bytes: &[u8], scale: f32, out: &mut Vec<f32>) {
    append_by(Width::best(), bytes, scale, out);
}

fn append_by(width: Width, bytes: &[u8], scale: f32, out: &mut Vec<f32>) {
    out.reserve(bytes.len() / 2);
    let count = write_by(width, bytes, scale, out.spare_capacity_mut()).len();
    // SAFETY: reserved, and written.
    unsafe { out.set_len(out.len() + count) };
}

/// The same at the beginning of `out`, and that part of it.
///
/// # Panics
/// If half a sample is among them, or they are more than `out` has room for.
pub fn write<'a>(bytes: &[u8], scale: f32, out: &'a mut [MaybeUninit<f32>]) -> &'a mut [f32] {
    write_by(Width::best(), bytes, scale, out)
}

fn write_by<'a>(
    width: Width,
    bytes: &[u8],
    scale: f32,
    out: &'a mut [MaybeUninit<f32>],
) -> &'a mut [f32] {
    let (pairs, rest) = bytes.as_chunks();
    assert!(rest.is_empty(), "{} bytes are no whole number of samples", bytes.len());
    let out = &mut out[..pairs.len()];
    width.run(Scaled { pairs, scale, out });
    // SAFETY: the kernel writes each.
    unsafe { out.assume_init_mut() }
}

/// Adds `samples` in steps of `scale`, rounded to the nearest one (halves away from zero) and kept within
/// 16 bits, to `out`, little-endian. What is no number becomes the lowest.
pub fn quantise(samples: &[f32], scale: f32, out: &mut Vec<u8>) {
    quantise_by(Width::best(), samples, scale, out);
}

fn quantise_by(width: Width, samples: &[f32], scale: f32, out: &mut Vec<u8>) {
    let first = out.len();
    out.resize(first + 2 * samples.len(), 0);
    let pairs = out[first..].as_chunks_mut().0;
    width.run(Quantised { samples, scale: f64::from(scale), pairs });
}

/// The largest absolute value, 0 of none; infinite if any is, and NaN if one is no number.
pub fn peak(samples: &[f32]) -> f32 {
    // Bits order positive numbers as they are, and what is no number above them all.
    let largest = samples.iter().fold(0, |largest: i32, x| largest.max(x.abs().to_bits() as i32));
    f32::from_bits(largest as u32)
}

struct Scaled<'a> {
    pairs: &'a [[u8; 2]],
    scale: f32,
    /// As many.
    out: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Scaled<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // The compiler makes vectors of it, of the width that is switched on.
        for (out, pair) in self.out.iter_mut().zip(self.pairs) {
            out.write(f32::from(i16::from_le_bytes(*pair)) * self.scale);
        }
    }
}

struct Quantised<'a> {
    samples: &'a [f32],
    scale: f64,
    /// As many.
    pairs: &'a mut [[u8; 2]],
}

impl Kernel for Quantised<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (pair, sample) in self.pairs.iter_mut().zip(self.samples) {
            let steps = (f64::from(*sample) / self.scale).round();
            // `max` never gives what is no number, unlike `clamp`.
            #[allow(clippy::manual_clamp, reason = "as said above")]
            let steps = steps.max(-32_768.0).min(32_767.0);
            // SAFETY: a number of 16 bits. A cast that asks first is slower by three.
            let steps = unsafe { steps.to_int_unchecked::<i32>() };
            *pair = (steps as i16).to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 16 bits times a power of two nothing is lost; of another scale the product is rounded once.
    #[test]
    fn every_sample_is_its_number_at_every_width() {
        let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        for scale in [1.0 / 32_768.0, 0.7 / 32_767.0] {
            let product = |sample: &i16| (f64::from(*sample) * f64::from(scale)) as f32;
            for width in Width::all() {
                for (from, to) in [(0, samples.len()), (3, 20), (1, 1), (7, 40)] {
                    let mut expected = vec![0.25];
                    expected.extend(samples[from..to].iter().map(product));
                    let mut out = vec![0.25];
                    append_by(width, &bytes[2 * from..2 * to], scale, &mut out);
                    assert_eq!(out, expected, "{width:?}, {from} to {to}");
                }
            }
        }
    }

    #[test]
    fn samples_become_the_nearest_step() {
        let largest = 3.0;
        for scale in [1.0 / 32_768.0, largest / 32_767.0] {
            // Steps, halves and what lies just beside them; far outside; and all between.
            let mut samples: Vec<f32> = (-40_000..=40_000)
                .map(|half| half as f32 * scale / 2.0)
                .flat_map(|x| [x, x.next_up(), x.next_down()])
                .collect();
            samples.extend([1e9, -1e9, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1.0, -1.0]);
            samples.extend((0..10_000).map(|n| largest * (n as f32 * 0.37).sin()));
            let nearest = |sample: &f32| {
                let steps = (f64::from(*sample) / f64::from(scale)).round();
                steps.clamp(-32_768.0, 32_767.0) as i16
            };
            let mut expected = vec![7];
            expected.extend(samples.iter().flat_map(|sample| nearest(sample).to_le_bytes()));
            for width in Width::all() {
                let mut out = vec![7];
                quantise_by(width, &samples, scale, &mut out);
                assert_eq!(out, expected, "{width:?}");
            }
        }
        let mut out = Vec::new();
        quantise(&[f32::NAN], 1.0, &mut out);
        assert_eq!(out, i16::MIN.to_le_bytes());
    }

    #[test]
    fn the_peak_is_the_largest_and_shows_what_is_no_number() {
        assert_eq!(peak(&[]), 0.0);
        assert_eq!(peak(&[0.5, -0.75, 0.25]), 0.75);
        assert_eq!(peak(&[f32::MAX, f32::NEG_INFINITY, 0.0]), f32::INFINITY);
        for nan in [f32::NAN, -f32::NAN] {
            assert!(peak(&[f32::INFINITY, nan, 3.0]).is_nan());
        }
    }

    #[test]
    #[should_panic(expected = "5 bytes are no whole number of samples")]
    fn half_a_sample_is_refused() {
        append(&[0; 5], 1.0, &mut Vec::new());
    }
}
