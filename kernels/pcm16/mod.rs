//! 16-bit PCM samples: how audio is stored, and how it is sent to GPUs.
//!
//! A stored sample is a signed 16-bit integer, little-endian. Times the scale of its track it is an `f32` sample:
//! [`convert`] and [`quantise`] translate one into the other on the host. GPUs receive two stored samples per
//! 32-bit word and translate them there:
//!
//! ```text
//! word = first + 65536 second                     first: 0 to 65535, second: -32768 to 32767
//! x[b, 2 k] = scale[b] first(word[b, k])          first as a signed number
//! x[b, 2 k + 1] = scale[b] second(word[b, k])
//! ```
//!
//! This halves the transfer: a batch of 32 excerpts of 48 000 samples is 3.1 MB instead of 6.1 MB, and the host
//! copies 3.1 MB instead of reading 3.1 MB and writing 6.1 MB. The GPU reads 3.1 MB and writes 6.1 MB in addition.
//!
//! [`unpack`] is one kernel on GPUs (`cube.rs`) and plain tensor operations ([`unpack_composite`]) elsewhere. All
//! of them return exactly the values of [`convert`].

#[cfg(feature = "wgpu")]
mod cube;
#[cfg(test)]
mod tests;

use burn::backend::DispatchDevice;
use burn::tensor::{Device, Int, Tensor};

use crate::simd::{Kernel, Simd, Width};

/// Appends the little-endian 16-bit samples in `bytes`, times `scale`, to `out`.
///
/// Appending instead of overwriting spares a caller with a new buffer the pass that clears it.
///
/// # Panics
/// If the last sample is incomplete.
pub fn convert(bytes: &[u8], scale: f32, out: &mut Vec<f32>) {
    convert_with(Width::best(), bytes, scale, out);
}

fn convert_with(width: Width, bytes: &[u8], scale: f32, out: &mut Vec<f32>) {
    let (stored, rest) = bytes.as_chunks();
    assert!(rest.is_empty(), "{} bytes are not a whole number of 16-bit samples", bytes.len());
    width.run(Convert { stored, scale, out });
}

struct Convert<'a> {
    stored: &'a [[u8; 2]],
    scale: f32,
    out: &'a mut Vec<f32>,
}

impl Kernel for Convert<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // The compiler vectorises this loop for the instructions of `S`.
        let sample = |stored: &[u8; 2]| f32::from(i16::from_le_bytes(*stored)) * self.scale;
        self.out.extend(self.stored.iter().map(sample));
    }
}

/// Appends `samples` to `out` as little-endian 16-bit samples in steps of `scale`.
///
/// Values are rounded to the nearest step (halves away from zero) and clipped to 16 bits. NaN becomes the lowest
/// value.
pub fn quantise(samples: &[f32], scale: f32, out: &mut Vec<u8>) {
    quantise_with(Width::best(), samples, scale, out);
}

fn quantise_with(width: Width, samples: &[f32], scale: f32, out: &mut Vec<u8>) {
    let first = out.len();
    out.resize(first + 2 * samples.len(), 0);
    let stored = out[first..].as_chunks_mut().0;
    width.run(Quantise { samples, scale: f64::from(scale), stored });
}

struct Quantise<'a> {
    samples: &'a [f32],
    scale: f64,
    stored: &'a mut [[u8; 2]],
}

impl Kernel for Quantise<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (stored, sample) in self.stored.iter_mut().zip(self.samples) {
            let steps = (f64::from(*sample) / self.scale).round();
            // Unlike `clamp`, `max` returns the other operand if one is NaN.
            #[allow(clippy::manual_clamp, reason = "as said above")]
            let steps = steps.max(-32_768.0).min(32_767.0);
            // SAFETY: the value fits into 16 bits. A checked cast takes three times as long.
            let steps = unsafe { steps.to_int_unchecked::<i32>() };
            *stored = (steps as i16).to_le_bytes();
        }
    }
}

/// The largest absolute value; 0 for an empty slice, NaN if any value is NaN.
pub fn peak(samples: &[f32]) -> f32 {
    // As integers, the bits of positive numbers have the order of the numbers, and NaN is above infinity.
    let largest = samples.iter().fold(0, |largest: i32, x| largest.max(x.abs().to_bits() as i32));
    f32::from_bits(largest as u32)
}

/// Whether batches for this device should be packed words; on the CPU and on devices without the kernel, `f32`
/// samples are faster.
pub fn suits(device: &Device) -> bool {
    match device.clone().without_autodiff().as_dispatch() {
        DispatchDevice::Flex(_) => false,
        #[cfg(feature = "wgpu")]
        DispatchDevice::Cube(_) => true,
        _ => false,
    }
}

/// The number of words for this many samples; if it is odd, half of the last word is unused.
pub fn words(samples: usize) -> usize {
    samples.div_ceil(2)
}

/// Writes the little-endian 16-bit samples in `bytes` as words to the beginning of `out`. If their number is odd,
/// the second half of the last word is 0.
///
/// # Panics
/// If the last sample is incomplete, or `out` is too short.
pub fn pack(bytes: &[u8], out: &mut [i32]) {
    assert!(
        bytes.len().is_multiple_of(2),
        "{} bytes are not a whole number of 16-bit samples",
        bytes.len()
    );
    let (whole, rest) = bytes.as_chunks();
    let out = &mut out[..words(bytes.len() / 2)];
    for (word, bytes) in out.iter_mut().zip(whole) {
        *word = i32::from_le_bytes(*bytes);
    }
    if let &[low, high] = rest {
        out[whole.len()] = i32::from_le_bytes([low, high, 0, 0]);
    }
}

/// Packed words as `f32` samples.
///
/// # Shapes
/// - `words`: `[row, word]`, 32-bit integers, on a device without autodiff
/// - `scales`: `[row]`, on the same device
/// - returns: `[row, sample]`
///
/// # Panics
/// If the number of scales is not the number of rows, or the number of words per row is not [`words`]`(samples)`.
pub fn unpack(words: Tensor<2, Int>, scales: Tensor<1>, samples: usize) -> Tensor<2> {
    check(&words, &scales, samples);
    #[cfg(feature = "wgpu")]
    if cube::takes(&words, &scales) {
        return cube::unpack(words, scales, samples);
    }
    unpack_composite(words, scales, samples)
}

/// [`unpack`] in plain tensor operations, for every backend.
///
/// # Panics
/// As [`unpack`].
pub fn unpack_composite(words: Tensor<2, Int>, scales: Tensor<1>, samples: usize) -> Tensor<2> {
    check(&words, &scales, samples);
    let [rows, count] = words.dims();
    // Correct for 32-bit and for 64-bit words; some backends store integers in 64 bits.
    let signed = |half: Tensor<2, Int>| {
        half.bitwise_and_scalar(0xffff).bitwise_xor_scalar(0x8000).sub_scalar(0x8000)
    };
    let first = signed(words.clone());
    let second = signed(words.bitwise_right_shift_scalar(16));
    let both: Tensor<3, Int> = Tensor::stack(vec![first, second], 2);
    let all = both.reshape([rows, 2 * count]).slice([0..rows, 0..samples]);
    all.float() * scales.reshape([rows, 1])
}

fn check(words: &Tensor<2, Int>, scales: &Tensor<1>, samples: usize) {
    let ([rows, count], [factors]) = (words.dims(), scales.dims());
    assert!(rows == factors, "{factors} scales for {rows} rows");
    let needed = self::words(samples);
    assert!(count == needed, "{count} words per row, but {samples} samples have {needed}");
}
