//! GPU adapters, which wgpu lists before it opens any of them.

use super::DeviceInfo;
use crate::error::{Error, Result};

#[cfg(feature = "wgpu")]
use burn::tensor::{Device, DeviceKind, DeviceType};

/// Opens all adapters in a fixed order and leaves out those that fail.
///
/// `hardware_only` also leaves out the adapters whose driver declares itself a software renderer, without opening them.
#[cfg(feature = "wgpu")]
pub(super) fn open_all(hardware_only: bool) -> impl Iterator<Item = DeviceInfo> {
    let adapters = Device::enumerate(DeviceType::Wgpu).into_vec().into_iter().enumerate();
    adapters
        .filter(move |(_, device)| !hardware_only || *device != Device::wgpu(DeviceKind::Cpu))
        .filter_map(|(index, device)| open(index, device))
}

/// Opens the adapter `wgpu:index`.
///
/// # Errors
/// [`Error::Device`] if it does not exist or cannot be opened.
#[cfg(feature = "wgpu")]
pub(super) fn open_nth(index: usize) -> Result<DeviceInfo> {
    let mut adapters = Device::enumerate(DeviceType::Wgpu).into_vec();
    if index >= adapters.len() {
        return Err(Error::Device(format!(
            "adapter wgpu:{index} does not exist ({} found): see `tonotopy devices`",
            adapters.len()
        )));
    }
    open(index, adapters.swap_remove(index)).ok_or_else(|| {
        Error::Device(format!("adapter wgpu:{index} cannot be opened: check its driver"))
    })
}

/// Opens an adapter, which takes about as long as listing all of them.
#[cfg(feature = "wgpu")]
fn open(index: usize, device: Device) -> Option<DeviceInfo> {
    // A panic in one driver must not hide the other adapters.
    let identity = crate::io::catch_panic::catch_panic(|| device.identity());
    let Ok(Some(identity)) = identity else {
        let cause = identity.err().map(|message| format!(": {message}")).unwrap_or_default();
        tracing::warn!("adapter wgpu:{index} is listed but cannot be opened{cause}");
        return None;
    };
    Some(DeviceInfo {
        id: format!("wgpu:{index}"),
        name: identity.name,
        backend: identity.fingerprint,
        software: identity.physical.is_none(),
        device,
    })
}

#[cfg(not(feature = "wgpu"))]
pub(super) fn open_all(_: bool) -> std::iter::Empty<DeviceInfo> {
    std::iter::empty()
}

#[cfg(not(feature = "wgpu"))]
pub(super) fn open_nth(_: usize) -> Result<DeviceInfo> {
    Err(Error::Device("this build has no GPU support: build it with --features wgpu".into()))
}
