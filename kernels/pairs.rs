//! Samples in pairs: two of 16 bits in a word of 32, as which they travel to a GPU.
//!
//! ```text
//! word = first + 65536 second                     first as 0 to 65535, second as -32768 to 32767
//! x[b, 2 k] = scale[b] first(word[b, k])          first as -32768 to 32767
//! x[b, 2 k + 1] = scale[b] second(word[b, k])
//! ```
//!
//! Audio is stored in 16 bits, and what a network takes is 32: whoever turns the one into the other before the
//! way to a GPU carries twice as much, and has the host do it. Counted for 32 excerpts of 48 000 samples: 3.1 MB go to the
//! device instead of 6.1, and the host copies 3.1 MB where it read 3.1 and wrote 6.1; the device reads 3.1 and writes 6.1
//! once more, in a memory that is many times as fast as the way to it.
//!
//! [`unpack`] is one kernel on GPUs (`cube.rs`), and [`unpack_composite`] elsewhere. Both give the numbers that
//! [`samples::write`](crate::samples::write) gives, to the bit.

#[cfg(feature = "wgpu")]
mod cube;
#[cfg(test)]
mod tests;

use std::mem::MaybeUninit;

use burn::backend::DispatchDevice;
use burn::tensor::{Device, Int, Tensor};

/// Whether audio should go to this device in pairs: what the host computes on needs them as numbers, or takes them where
/// they lie ([`stretches`](crate::stretches)).
pub fn suit(device: &Device) -> bool {
    match device.clone().without_autodiff().as_dispatch() {
        DispatchDevice::Flex(_) => false,
        #[cfg(feature = "wgpu")]
        DispatchDevice::Cube(_) => true,
        _ => false,
    }
}

/// Words of so many samples; the last one is half empty where they are odd.
pub fn words(samples: usize) -> usize {
    samples.div_ceil(2)
}

/// Writes little-endian 16-bit samples as words to the beginning of `out`, and gives that part of it back. An odd one
/// at the end has a zero beside it.
///
/// # Panics
/// If half a sample is among them, or they are more than `out` has room for.
pub fn pack<'a>(bytes: &[u8], out: &'a mut [MaybeUninit<i32>]) -> &'a mut [i32] {
    assert!(bytes.len().is_multiple_of(2), "{} bytes are no whole number of samples", bytes.len());
    let (whole, rest) = bytes.as_chunks();
    let out = &mut out[..words(bytes.len() / 2)];
    for (word, bytes) in out.iter_mut().zip(whole) {
        word.write(i32::from_le_bytes(*bytes));
    }
    if let &[low, high] = rest {
        out[whole.len()].write(i32::from_le_bytes([low, high, 0, 0]));
    }
    // SAFETY: written above, the whole ones and the one at the end.
    unsafe { out.assume_init_mut() }
}

/// Samples as numbers.
///
/// # Shapes
/// - `words`: `[row, word]`, of 32 bits, on a device without autodiff
/// - `scales`: `[row]`, the value of a step, on the same device
/// - returns: `[row, sample]`
///
/// # Panics
/// If there are not as many scales as rows, or not as many words as so many samples have.
pub fn unpack(words: Tensor<2, Int>, scales: Tensor<1>, samples: usize) -> Tensor<2> {
    check(&words, &scales, samples);
    #[cfg(feature = "wgpu")]
    if cube::takes(&words, &scales) {
        return cube::unpack(words, scales, samples);
    }
    composite(words, scales, samples)
}

/// The same in plain operations, which every backend runs.
///
/// # Panics
/// As [`unpack`].
pub fn unpack_composite(words: Tensor<2, Int>, scales: Tensor<1>, samples: usize) -> Tensor<2> {
    check(&words, &scales, samples);
    composite(words, scales, samples)
}

fn check(words: &Tensor<2, Int>, scales: &Tensor<1>, samples: usize) {
    let ([rows, count], [factors]) = (words.dims(), scales.dims());
    assert!(rows == factors, "{factors} scales for {rows} rows");
    let needed = self::words(samples);
    assert!(count == needed, "{count} words a row, of which {samples} samples have {needed}");
}

fn composite(words: Tensor<2, Int>, scales: Tensor<1>, samples: usize) -> Tensor<2> {
    let [rows, count] = words.dims();
    // Right for words of 32 bits and of 64, which some devices have them in.
    let signed = |half: Tensor<2, Int>| {
        half.bitwise_and_scalar(0xffff).bitwise_xor_scalar(0x8000).sub_scalar(0x8000)
    };
    let first = signed(words.clone());
    let second = signed(words.bitwise_right_shift_scalar(16));
    let both: Tensor<3, Int> = Tensor::stack(vec![first, second], 2);
    let all = both.reshape([rows, 2 * count]).slice([0..rows, 0..samples]);
    all.float() * scales.reshape([rows, 1])
}
