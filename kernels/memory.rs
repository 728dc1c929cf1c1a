//! The memory of a device.

use burn::tensor::Device;

/// Memory limits of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Size of the largest possible tensor, in bytes.
    pub largest_tensor: u64,
    /// Total size in bytes, if the driver reports it.
    pub all: Option<u64>,
}

/// The memory limits of a device without autodiff; `None` for the CPU, which has no memory of its own.
pub fn memory(device: &Device) -> Option<Memory> {
    #[cfg(feature = "wgpu")]
    if let burn::backend::DispatchDevice::Cube(device) = device.as_dispatch() {
        let client = device.client();
        let memory = &client.properties().memory;
        return Some(Memory { largest_tensor: memory.max_page_size, all: memory.max_memory() });
    }
    let _ = device;
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_has_no_memory_limits() {
        assert_eq!(memory(&Device::flex()), None);
    }
}
