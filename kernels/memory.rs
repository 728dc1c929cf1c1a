//! What a device says of its memory.

use burn::tensor::Device;

/// Limits of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of the largest tensor.
    pub largest_tensor: u64,
    /// Bytes of all, where the driver tells.
    pub all: Option<u64>,
}

/// Of a device without gradients; `None` for the CPU, which shares its memory with everything else.
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
    fn the_cpu_has_no_limits_of_its_own() {
        assert_eq!(memory(&Device::flex()), None);
    }
}
