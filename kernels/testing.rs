//! What the tests of several kernels share.

use burn::tensor::{Device, Tensor};

/// Uniform in `[-1, 1)`; equal seeds give equal values.
pub(crate) fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// The largest difference, relative to the largest expected value; NaN if a value is NaN.
pub(crate) fn error(actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let scale = expected.iter().fold(1e-6, |max: f64, x| max.max(x.abs()));
    actual.iter().zip(expected).fold(0.0, |max: f64, (a, e)| {
        let difference = (f64::from(*a) - e).abs() / scale;
        if difference.is_nan() || difference > max { difference } else { max }
    })
}

/// The values of a tensor in row-major order.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| x.into()).collect()
}

/// The devices with kernels: the CPU and all GPUs.
pub(crate) fn devices() -> Vec<Device> {
    let devices = vec![Device::flex()];
    #[cfg(feature = "wgpu")]
    let devices = [devices, found()].concat();
    devices
}

#[cfg(feature = "wgpu")]
fn found() -> Vec<Device> {
    Device::enumerate(burn::tensor::DeviceType::Wgpu).into_vec()
}

/// All GPUs, including the software implementation of Mesa.
#[cfg(feature = "wgpu")]
pub(crate) fn adapters() -> Vec<Device> {
    let adapters = found();
    assert!(!adapters.is_empty(), "wgpu finds no adapter (Debian: install mesa-vulkan-drivers)");
    adapters
}

/// The tests that use [`devices`] pass on the CPU alone.
#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn tests_of_all_devices_run_on_gpus() {
    assert_eq!(devices().len(), 1 + adapters().len());
}
