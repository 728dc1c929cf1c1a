//! Assignment of rows to means by the product of all rows with all means, on the CPU in blocks that fit into
//! a core's cache, or on a GPU.

use burn::backend::DispatchDevice;
use burn::tensor::{Device, Int, Tensor, TensorData};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Rows per product on the CPU; the scores fit into a core's cache.
const BLOCK: usize = 64;
/// Rows per product on a GPU.
const DEVICE_BLOCK: usize = 16_384;

/// Rows of equal length, row-major, on the device that computes products with them.
pub(super) enum Rows<'a> {
    Host(&'a [f32]),
    /// In blocks.
    Device(Vec<Tensor<2>>),
}

impl<'a> Rows<'a> {
    /// Copies the rows to `device` unless it is the CPU.
    pub(super) fn new(rows: &'a [f32], columns: usize, device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        match device.as_dispatch() {
            DispatchDevice::Flex(_) => Self::Host(rows),
            #[cfg(feature = "ndarray")]
            DispatchDevice::NdArray(_) => Self::Host(rows),
            _ => {
                let block = |rows: &[f32]| {
                    let shape = [rows.len() / columns, columns];
                    Tensor::from_data(TensorData::new(rows.to_vec(), shape), &device)
                };
                Self::Device(rows.chunks(DEVICE_BLOCK * columns).map(block).collect())
            }
        }
    }

    /// For every row `x`, the mean `m` with the largest `x'm + bias`, and that score; the first of equals on
    /// the CPU.
    pub(super) fn assign(
        &self,
        means: &[f32],
        columns: usize,
        bias: &[f32],
        owner: &mut [u32],
        top_scores: &mut [f32],
    ) {
        match self {
            Self::Host(rows) => assign_on_host(rows, means, columns, bias, owner, top_scores),
            Self::Device(blocks) => {
                let mut at = 0;
                for rows in blocks {
                    let count = rows.dims()[0];
                    let range = at..at + count;
                    let device = rows.device();
                    let shape = [bias.len(), columns];
                    let means =
                        Tensor::<2>::from_data(TensorData::new(means.to_vec(), shape), &device);
                    let bias = TensorData::new(bias.to_vec(), [1, bias.len()]);
                    let scores = rows.clone().matmul(means.transpose())
                        + Tensor::<2>::from_data(bias, &device);
                    let (top, place): (_, Tensor<2, Int>) = scores.max_dim_with_indices(1);
                    let (top, place) = (top.into_data(), place.into_data());
                    let places = place.convert::<u32>();
                    let (owner, top_scores) = (&mut owner[range.clone()], &mut top_scores[range]);
                    owner.iter_mut().zip(places.iter::<u32>()).for_each(|(o, place)| *o = place);
                    top_scores.iter_mut().zip(top.iter::<f32>()).for_each(|(s, top)| *s = top);
                    at += count;
                }
            }
        }
    }
}

fn assign_on_host(
    rows: &[f32],
    means: &[f32],
    columns: usize,
    bias: &[f32],
    owner: &mut [u32],
    top_scores: &mut [f32],
) {
    let count = bias.len();
    let owners = owner.par_chunks_mut(BLOCK);
    let top_scores = top_scores.par_chunks_mut(BLOCK);
    rows.par_chunks(BLOCK * columns).zip(owners).zip(top_scores).for_each_init(
        || vec![0.0; BLOCK * count],
        |scores, ((rows, owners), top_scores)| {
            let scores = &mut scores[..owners.len() * count];
            products(rows, means, columns, scores);
            for ((scores, owner), top_scores) in
                scores.chunks_exact(count).zip(owners).zip(top_scores)
            {
                (*owner, *top_scores) = largest(scores, bias);
            }
        },
    );
}

/// `out[i, j]` is the product of row `i` of `left` and row `j` of `right`.
fn products(left: &[f32], right: &[f32], columns: usize, out: &mut [f32]) {
    let (m, n) = (left.len() / columns, right.len() / columns);
    let out = MatMut::from_row_major_slice_mut(out, m, n);
    let left = MatRef::from_row_major_slice(left, m, columns);
    let right = MatRef::from_row_major_slice(right, n, columns);
    matmul(out, Accum::Replace, left, right.transpose(), 1.0, Par::Seq);
}

/// Index and value of the largest sum of a score and its bias; the first of equals.
fn largest(scores: &[f32], bias: &[f32]) -> (u32, f32) {
    // First the maximum, which vectorises, then its index.
    const LANES: usize = 16;
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, biases) = (scores.chunks_exact(LANES), bias.chunks_exact(LANES));
    let rest = chunks.remainder().iter().zip(biases.remainder());
    for (chunk, bias) in chunks.zip(biases) {
        for lane in 0..LANES {
            let value = chunk[lane] + bias[lane];
            lanes[lane] = if value > lanes[lane] { value } else { lanes[lane] };
        }
    }
    let top = rest.map(|(score, bias)| score + bias).chain(lanes).fold(f32::NEG_INFINITY, f32::max);
    let at = scores.iter().zip(bias).position(|(score, bias)| score + bias == top);
    (at.unwrap_or(0) as u32, top)
}
