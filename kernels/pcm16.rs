//! 16-bit samples on the host and on their way to a GPU.
pub use crate::pairs::{suit, unpack, unpack_composite, words};
pub use crate::samples::{append, peak, quantise};

/// Packs little-endian 16-bit samples into 32-bit words.
pub fn pack(bytes: &[u8], out: &mut [i32]) {
    let mut words = vec![std::mem::MaybeUninit::uninit(); out.len()];
    let packed = crate::pairs::pack(bytes, &mut words);
    out[..packed.len()].copy_from_slice(packed);
}
