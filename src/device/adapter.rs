//! Adapters: what wgpu can compute on, listed before any of it is opened.

use super::DeviceInfo;

#[cfg(feature = "wgpu")]
use burn::tensor::{Device, DeviceKind, DeviceType};

/// One that wgpu lists; not open yet.
#[cfg(feature = "wgpu")]
pub(super) struct Adapter {
    index: usize,
    device: Device,
}

/// There is none in a build without wgpu.
#[cfg(not(feature = "wgpu"))]
pub(super) enum Adapter {}

/// Every adapter, in a fixed order.
#[cfg(feature = "wgpu")]
pub(super) fn all() -> Vec<Adapter> {
    let devices = Device::enumerate(DeviceType::Wgpu).into_vec();
    devices.into_iter().enumerate().map(|(index, device)| Adapter { index, device }).collect()
}

#[cfg(not(feature = "wgpu"))]
pub(super) fn all() -> Vec<Adapter> {
    Vec::new()
}

#[cfg(feature = "wgpu")]
impl Adapter {
    /// Opens it, which takes as long again as finding it. `None` if it does not open.
    pub fn open(self) -> Option<DeviceInfo> {
        let Self { index, device } = self;
        // A driver that fails to open must not take the others down with it.
        let identity = crate::io::catch_panic::contain(|| device.identity());
        let Ok(Some(identity)) = identity else {
            let why = identity.err().map(|message| format!(": {message}")).unwrap_or_default();
            tracing::warn!("adapter wgpu:{index} is listed but does not open{why}");
            return None;
        };
        let software = identity.physical.is_none();
        let (id, name, backend) = (format!("wgpu:{index}"), identity.name, identity.fingerprint);
        Some(DeviceInfo { id, name, backend, software, device })
    }

    /// Whether its driver says that it is made of software.
    pub fn says_software(&self) -> bool {
        self.device == Device::wgpu(DeviceKind::Cpu)
    }
}

#[cfg(not(feature = "wgpu"))]
impl Adapter {
    pub fn open(self) -> Option<DeviceInfo> {
        match self {}
    }

    pub fn says_software(&self) -> bool {
        match *self {}
    }
}
