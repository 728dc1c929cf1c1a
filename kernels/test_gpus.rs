//! GPUs to test on.

use std::io::Write as _;

use burn::tensor::{Device, DeviceType};

/// Every adapter that there is; Mesa's software one will do.
pub(crate) fn adapters() -> Vec<Device> {
    let adapters = Device::enumerate(DeviceType::Wgpu).into_vec();
    if adapters.is_empty() {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: wgpu finds no adapter here (Debian: mesa-vulkan-drivers)"
        );
    }
    adapters
}
