//! The mel spectrogram in plain tensor operations, for every backend.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{Exponent, MelPlan, ROOT_FLOOR};

/// Constant tensors on one device.
#[derive(Clone)]
pub struct Constants {
    /// `[n_fft, 2 * bin]`
    basis: Tensor<2>,
    /// `[bin, band]`
    filters: Tensor<2>,
}

impl Constants {
    pub fn new(plan: &MelPlan, device: &Device) -> Self {
        let matrix =
            |values, shape: [usize; 2]| Tensor::from_data(TensorData::new(values, shape), device);
        Self {
            basis: matrix(plan.fourier_basis(), [plan.n_fft, 2 * plan.n_bins()]),
            filters: matrix(plan.filters_transposed(), [plan.n_bins(), plan.n_bands()]),
        }
    }
}

/// [`log_mel`](super::log_mel) by matrix products, on any backend.
///
/// # Shapes
/// - `waveforms`: `[batch, sample]`, at least `n_fft` samples
/// - returns: `[batch, band, frame]`
pub fn log_mel_composite(waveforms: Tensor<2>, plan: &MelPlan) -> Tensor<3> {
    let device = waveforms.device();
    let Constants { basis, filters } =
        plan.constants.get(&device, |device| Constants::new(plan, device));
    let [batch, _] = waveforms.dims();

    let frames = frame(waveforms, plan.n_fft, plan.hop_length); // [batch, frame, n_fft]
    let [_, n_frames, n_fft] = frames.dims();
    // One product for the whole batch instead of one per item.
    let spectrum = frames.reshape([batch * n_frames, n_fft]).matmul(basis.to_device(&device));
    let power = spectrum.square();
    let bins = plan.n_bins();
    let power = power.clone().narrow(1, 0, bins) + power.narrow(1, bins, bins);
    let bins = match plan.exponent {
        Exponent::Power => power,
        Exponent::Magnitude => power.add_scalar(ROOT_FLOOR).sqrt(),
    };
    let bands = bins.matmul(filters.to_device(&device));
    let bands = match plan.compression {
        Some(c) => bands.mul_scalar(c).log1p(),
        None => bands,
    };
    bands.reshape([batch, n_frames, plan.n_bands()]).swap_dims(1, 2)
}

/// The complete frames `[batch, frame, length]` of `[batch, sample]`, `hop` samples apart.
///
/// The gradient of `unfold` would be one assignment per frame.
fn frame(waveforms: Tensor<2>, length: usize, hop: usize) -> Tensor<3> {
    let [batch, samples] = waveforms.dims();
    let n_frames = (samples - length) / hop + 1;
    if length.is_multiple_of(hop) {
        // A frame is `overlap` consecutive blocks of `hop` samples.
        let overlap = length / hop;
        let n_blocks = n_frames + overlap - 1;
        let blocks = waveforms.narrow(1, 0, n_blocks * hop).reshape([batch, n_blocks, hop]);
        let shifted = (0..overlap).map(|shift| blocks.clone().narrow(1, shift, n_frames));
        return Tensor::cat(shifted.collect(), 2);
    }
    let index: Vec<i32> =
        (0..n_frames).flat_map(|t| (t * hop..t * hop + length).map(|i| i as i32)).collect();
    let index = TensorData::new(index, [n_frames * length]);
    let index = Tensor::<1, Int>::from_data(index, &waveforms.device());
    waveforms.select(1, index).reshape([batch, n_frames, length])
}
