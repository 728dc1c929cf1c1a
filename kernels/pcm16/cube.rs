//! Unpacking on GPUs: one unit (thread) per word.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, DispatchDevice, TensorMetadata, backend_extension};
use burn::tensor::{DType, Int, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;

use crate::gpu::{empty, per_value};

/// Whether the kernel supports these tensors.
pub fn takes(words: &Tensor<2, Int>, scales: &Tensor<1>) -> bool {
    matches!(words.device().as_dispatch(), DispatchDevice::Cube(_))
        && words.dtype() == DType::I32
        && scales.dtype() == DType::F32
        && words.dims().iter().all(|&size| size > 0)
}

/// [`unpack`](super::unpack) for tensors that [`takes`] accepts.
pub fn unpack(words: Tensor<2, Int>, scales: Tensor<1>, samples: usize) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as UnpackOnGpus>::unpack_pcm16(
        words.into_dispatch(),
        scales.into_dispatch(),
        samples,
    ))
}

#[backend_extension(Cube, Fusion)]
pub trait UnpackOnGpus: Backend {
    #[fusion(dtype = scales, shape = Shape::from([words[0], *samples]))]
    fn unpack_pcm16(
        words: IntTensor<Self>,
        scales: FloatTensor<Self>,
        samples: usize,
    ) -> FloatTensor<Self>;
}

impl UnpackOnGpus for CubeBackend {
    fn unpack_pcm16(
        words: IntTensor<Self>,
        scales: FloatTensor<Self>,
        samples: usize,
    ) -> FloatTensor<Self> {
        let [words, scales] = [words, scales].map(into_contiguous);
        let [rows, words_per_row] = words.shape().dims();
        let out = empty(&words, Shape::from([rows, samples]), scales.dtype);
        let (count, units) = per_value(&words, rows * words_per_row);
        split::launch(
            &words.client.clone(),
            count,
            units,
            words.into_buffer_arg(),
            scales.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            samples,
        );
        out
    }
}

#[cube(launch)]
fn split(words: &[i32], scales: &[f32], out: &mut [f32], samples: usize) {
    if ABSOLUTE_POS < words.len() {
        let count = samples.div_ceil(2);
        let row = ABSOLUTE_POS / count;
        let at = ABSOLUTE_POS % count * 2;
        let (word, scale) = (words[ABSOLUTE_POS], scales[row]);
        // The arithmetic shift right extends the sign of the lower half.
        out[row * samples + at] = f32::cast_from((word << 16) >> 16) * scale;
        if at + 1 < samples {
            out[row * samples + at + 1] = f32::cast_from(word >> 16) * scale;
        }
    }
}
