//! An estimate of the GPU memory that a training step needs, for the error message when it did not suffice.

use std::fmt::Write as _;

use burn::module::Module;
use burn::tensor::Device;
use kernels::memory::{Memory, memory};
use models::onnx::{Intermediate, intermediates};
use models::{Fitted, NetworkConfig};

use crate::experiment::Experiment;
use crate::runs::folder::RunFolder;

/// Bytes of a float32.
const NUMBER: u64 = 4;

/// A tensor and its gradient.
const WITH_GRADIENT: u64 = 2;

/// Copies of every parameter: the value, its gradient and the moments of Adam.
const COPIES: u64 = 4;

/// Usable fraction of the memory: drivers and other programs take the rest.
const USABLE: f64 = 0.9;

/// Estimated memory of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Needs {
    /// Intermediate tensors per excerpt, largest first.
    tensors: Vec<Intermediate>,
    /// Bytes per excerpt, gradients included.
    each: u64,
    /// Bytes that do not depend on the batch.
    fixed: u64,
}

impl Needs {
    /// Estimates the network of an experiment, built on the CPU; `None` if it cannot be built.
    pub fn of(experiment: &Experiment, outputs: usize, fitted: &Fitted) -> Option<Needs> {
        let samples = experiment.excerpt_samples();
        let model = experiment.model.init(outputs, samples, fitted, &Device::flex()).ok()?;
        let mut tensors = intermediates(&model, samples);
        // A view needs no memory.
        tensors.retain(|made| made.operator != "Reshape");
        tensors.sort_by_key(|made| std::cmp::Reverse(bytes(made)));
        let each = WITH_GRADIENT * tensors.iter().map(bytes).sum::<u64>();
        Some(Needs { tensors, each, fixed: COPIES * NUMBER * model.num_params() as u64 })
    }

    /// The largest batch size below `batch` that should fit, after an allocation of `failed` bytes did not; 0 if none does.
    pub fn batch_size(&self, batch: usize, failed: Option<u64>, memory: Memory) -> usize {
        let batch = batch as u64;
        let largest = self.tensors.first().map_or(0, bytes);
        // Temporary buffers of kernels may be larger than the network's tensors.
        let at_once = failed.map_or(largest, |failed| largest.max(failed.div_ceil(batch)));
        let by_tensor = memory.largest_tensor / at_once.max(1);
        let by_all = memory.all.map_or(u64::MAX, |all| {
            ((all as f64 * USABLE) as u64).saturating_sub(self.fixed) / self.each.max(1)
        });
        by_tensor.min(by_all).min(batch.saturating_sub(1)) as usize
    }
}

fn bytes(made: &Intermediate) -> u64 {
    made.shape.iter().fold(NUMBER, |all, size| all.saturating_mul(*size as u64))
}

/// Advice for a training run whose allocation of `failed` bytes failed on `device`.
pub fn advice(
    folder: &RunFolder,
    experiment: &Experiment,
    failed: Option<u64>,
    device: &Device,
) -> String {
    let batch = experiment.training.batch_size;
    let needs = || {
        // As resolved in the folder, including the transfer source.
        let experiment = folder.experiment().ok()?;
        let (outputs, fitted) = (folder.outputs(&experiment).ok()?, folder.fitted().ok()?);
        Needs::of(&experiment, outputs.len(), &fitted)
    };
    let (Some(needs), Some(memory)) = (needs(), memory(device)) else {
        return format!("lower training.batch_size, which is {batch}, or use --device cpu");
    };
    let mut text = format!("the largest tensors of a step of {batch} excerpts are");
    let mut told: Vec<&Intermediate> = Vec::new();
    for made in &needs.tensors {
        if told.len() < 3 && !told.iter().any(|told| told.shape == made.shape) {
            let sizes: Vec<String> = made.shape.iter().map(ToString::to_string).collect();
            let all = megabytes(bytes(made).saturating_mul(batch as u64));
            let comma = if told.is_empty() { "" } else { "," };
            let _ = write!(text, "{comma} [{batch}, {}] of {all}", sizes.join(", "));
            told.push(made);
        }
    }
    let _ =
        write!(text, "; the device allows tensors of at most {}", megabytes(memory.largest_tensor));
    if let Some(all) = memory.all {
        let _ = write!(text, " and {} in total", megabytes(all));
    }
    let _ = match needs.batch_size(batch, failed, memory) {
        0 => write!(
            text,
            ". By estimate not even one excerpt fits: shorten training.excerpt_seconds, use a smaller model, or --device cpu"
        ),
        fits => write!(
            text,
            ". By estimate training.batch_size = {fits} fits. An existing run keeps its batch size: resume it on a device \
             with more memory, or with --device cpu"
        ),
    };
    text + ". Earlier checkpoints are kept"
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs() -> Needs {
        let text = "[dataset]\nname = \"synthetic\"\n[model]\nname = \"tagger\"\nhidden = 7\n\
                    front_end = { name = \"strided\", filters = 64, length = 16, stride = 4 }\n\
                    stages = [{ filters = 8, length = 3, pool = 4 }]\n[training]\nexcerpt_seconds = 1.0";
        let experiment = Experiment::parse(text, &[]).unwrap();
        assert_eq!(experiment.excerpt_samples(), 16_000);
        Needs::of(&experiment, 5, &Fitted::default()).unwrap()
    }

    #[test]
    fn the_front_end_has_the_largest_tensor() {
        let needs = needs();
        // (16 000 - 16) / 4 + 1 frames.
        assert_eq!(needs.tensors[0].shape, [64, 3_997]);
        // 16 weights and a bias a filter, at least.
        assert!(needs.fixed >= 16 * (64 * 17));
        assert!(needs.each >= 2 * 4 * 64 * 3_997);
    }

    #[test]
    fn the_advised_batch_fits_both_limits_and_is_smaller() {
        let needs = needs();
        let largest = 4 * 64 * 3_997;
        let all = |tensors: u64, all| Memory { largest_tensor: tensors, all };
        assert_eq!(needs.batch_size(100, None, all(10 * largest, None)), 10);
        assert_eq!(needs.batch_size(100, None, all(10 * largest - 1, None)), 9);
        // A temporary tensor of twice the size.
        assert_eq!(needs.batch_size(100, Some(200 * largest), all(10 * largest, None)), 5);
        assert_eq!(needs.batch_size(8, None, all(10 * largest, None)), 7);
        assert_eq!(needs.batch_size(8, None, all(largest - 1, None)), 0);
        let room = needs.fixed + 3 * needs.each;
        let room = (room as f64 / USABLE).ceil() as u64 + 2;
        assert_eq!(needs.batch_size(100, None, all(u64::MAX, Some(room))), 3);
        assert_eq!(needs.batch_size(100, None, all(u64::MAX, Some(1))), 0);
    }
}
