//! The mel spectrogram on the CPU: one FFT per frame, frames in parallel, sparse filters.

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn_flex::FlexTensor;
use rayon::prelude::*;
use realfft::num_complex::Complex;

use super::{Exponent, MelPlan, ROOT_FLOOR, vectorized};
use crate::simd::Width;

/// Frames per task.
const FRAMES_PER_TASK: usize = 16;

#[backend_extension(Flex, Autodiff)]
pub trait MelOps: Backend {
    fn log_mel(waveforms: FloatTensor<Self>, plan: Arc<MelPlan>) -> FloatTensor<Self>;
}

pub fn log_mel(waveforms: Tensor<2>, plan: Arc<MelPlan>) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as MelOps>::log_mel(waveforms.into_dispatch(), plan))
}

impl MelOps for Flex {
    fn log_mel(waveforms: FlexTensor, plan: Arc<MelPlan>) -> FlexTensor {
        let waveforms = waveforms.to_contiguous();
        let [batch, samples] = waveforms.shape().dims();
        let shape = [batch, plan.n_frames(samples), plan.n_bands()];
        let bands = forward(&plan, waveforms.storage::<f32>(), samples);
        FlexTensor::from_data(TensorData::new(bands, shape)).transpose(1, 2)
    }
}

impl<C: CheckpointStrategy> MelOps for Autodiff<Flex, C> {
    fn log_mel(waveforms: FloatTensor<Self>, plan: Arc<MelPlan>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct LogMel;

        impl Backward<Flex, 1> for LogMel {
            /// Waveforms, output and plan.
            type State = (FlexTensor, FlexTensor, Arc<MelPlan>);

            fn backward(
                self,
                ops: Ops<Self::State, 1>,
                gradients: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                unary::<Flex, _>(ops.parents, ops.node, gradients, |gradient| {
                    let (waveforms, output, plan) = ops.state;
                    log_mel_backward(&plan, waveforms, output, gradient)
                });
            }
        }

        let node = waveforms.node();
        let waveforms = waveforms.into_primitive();
        let output = Flex::log_mel(waveforms.clone(), plan.clone());
        match LogMel.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((waveforms, output.clone(), plan), output),
            OpsKind::UnTracked(step) => step.finish(output),
        }
    }
}

/// Bands `[batch, frame, band]` of waveforms `[batch, sample]`.
fn forward(plan: &MelPlan, waveforms: &[f32], samples: usize) -> Vec<f32> {
    match &plan.tables {
        Some(tables) => vectorized::forward(plan, tables, waveforms, samples, Width::best()),
        None => per_frame(plan, waveforms, samples),
    }
}

/// [`forward`] with one FFT per frame.
pub(super) fn per_frame(plan: &MelPlan, waveforms: &[f32], samples: usize) -> Vec<f32> {
    let (n_frames, n_bands) = (plan.n_frames(samples), plan.n_bands());
    let mut out = vec![0.0; waveforms.len() / samples.max(1) * n_frames * n_bands];
    out.par_chunks_mut(FRAMES_PER_TASK * n_bands).enumerate().for_each_init(
        || Scratch::new(plan),
        |scratch, (task, out)| {
            for (offset, bands) in out.chunks_exact_mut(n_bands).enumerate() {
                let row = task * FRAMES_PER_TASK + offset;
                let start = row / n_frames * samples + row % n_frames * plan.hop_length;
                scratch.transform(plan, &waveforms[start..start + plan.n_fft]);
                for (value, bin) in scratch.bins.iter_mut().zip(&scratch.spectrum) {
                    *value = match plan.exponent {
                        Exponent::Power => bin.norm_sqr(),
                        Exponent::Magnitude => (bin.norm_sqr() + ROOT_FLOOR).sqrt(),
                    };
                }
                for (out, band) in bands.iter_mut().zip(&plan.bands) {
                    let bins = &scratch.bins[band.first_bin..][..band.weights.len()];
                    let sum: f32 = bins.iter().zip(&band.weights).map(|(x, w)| x * w).sum();
                    *out = match plan.compression {
                        Some(c) => (c * sum).ln_1p(),
                        None => sum,
                    };
                }
            }
        },
    );
    out
}

/// The gradient of the waveforms, `[batch, sample]`.
///
/// The adjoint of each step in reverse order: the logarithm, the filterbank, the power, and the windowed Fourier transform,
/// whose adjoint is an inverse transform followed by the window and overlap-add.
fn log_mel_backward(
    plan: &MelPlan,
    waveforms: FlexTensor,
    output: FlexTensor,
    gradient: FlexTensor,
) -> FlexTensor {
    let [batch, samples] = waveforms.shape().dims();
    let n_bands = plan.n_bands();
    let frame_major = |tensor: FlexTensor| tensor.transpose(1, 2).to_contiguous();
    let (output, gradient) = (frame_major(output), frame_major(gradient));
    let waveforms = waveforms.to_contiguous();
    let per_item = plan.n_frames(samples) * n_bands;

    let mut result = vec![0.0; batch * samples];
    result
        .par_chunks_exact_mut(samples)
        .zip(waveforms.storage::<f32>().par_chunks_exact(samples))
        .zip(output.storage::<f32>().par_chunks_exact(per_item))
        .zip(gradient.storage::<f32>().par_chunks_exact(per_item))
        .for_each_init(
            || Scratch::new(plan),
            |scratch, (((result, waveform), output), gradient)| {
                let rows = output.chunks_exact(n_bands).zip(gradient.chunks_exact(n_bands));
                for (t, (output, gradient)) in rows.enumerate() {
                    let span = t * plan.hop_length..t * plan.hop_length + plan.n_fft;
                    scratch.transform(plan, &waveform[span.clone()]);
                    scratch.scatter_bands(plan, output, gradient);
                    scratch.transform_back(plan);
                    for ((sum, x), w) in
                        result[span].iter_mut().zip(&scratch.frame).zip(&plan.window)
                    {
                        *sum += x * w;
                    }
                }
            },
        );
    FlexTensor::from_data(TensorData::new(result, [batch, samples]))
}

/// Buffers of one thread.
struct Scratch {
    frame: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    bins: Vec<f32>,
    /// Scratch space of both transforms.
    fft: Vec<Complex<f32>>,
}

impl Scratch {
    fn new(plan: &MelPlan) -> Self {
        let scratch_len = plan.forward.get_scratch_len().max(plan.inverse.get_scratch_len());
        Self {
            frame: vec![0.0; plan.n_fft],
            spectrum: vec![Complex::default(); plan.n_bins()],
            bins: vec![0.0; plan.n_bins()],
            fft: vec![Complex::default(); scratch_len],
        }
    }

    /// Sets `spectrum` to that of the windowed frame.
    fn transform(&mut self, plan: &MelPlan, frame: &[f32]) {
        for ((value, x), w) in self.frame.iter_mut().zip(frame).zip(&plan.window) {
            *value = x * w;
        }
        plan.forward
            .process_with_scratch(&mut self.frame, &mut self.spectrum, &mut self.fft)
            .expect("the buffers have the lengths of this plan");
    }

    /// Replaces `spectrum` by the gradient of its real and imaginary parts.
    fn scatter_bands(&mut self, plan: &MelPlan, output: &[f32], gradient: &[f32]) {
        self.bins.fill(0.0);
        for ((band, y), g) in plan.bands.iter().zip(output).zip(gradient) {
            // The derivative of y = log(1 + C m) is C / (1 + C m) = C exp(-y).
            let g = plan.compression.map_or(*g, |c| g * c * (-y).exp());
            let bins = &mut self.bins[band.first_bin..][..band.weights.len()];
            for (bin, w) in bins.iter_mut().zip(&band.weights) {
                *bin += g * w;
            }
        }
        for (x, g) in self.spectrum.iter_mut().zip(&self.bins) {
            let slope = match plan.exponent {
                Exponent::Power => 2.0 * g,
                Exponent::Magnitude => g / (x.norm_sqr() + ROOT_FLOOR).sqrt(),
            };
            *x *= slope;
        }
    }

    /// `frame[n] = sum_k Re(spectrum[k] exp(2 pi i k n / n_fft))` over all bins.
    fn transform_back(&mut self, plan: &MelPlan) {
        // The inverse transform counts every bin twice (its mirror image is implied) except the first and, if n_fft is
        // even, the last, which are real.
        let last = self.spectrum.len() - 1;
        for (k, x) in self.spectrum.iter_mut().enumerate() {
            if k == 0 || (k == last && plan.n_fft.is_multiple_of(2)) {
                x.im = 0.0;
            } else {
                *x *= 0.5;
            }
        }
        plan.inverse
            .process_with_scratch(&mut self.spectrum, &mut self.frame, &mut self.fft)
            .expect("the buffers have the lengths of this plan, and the ends are real");
    }
}
