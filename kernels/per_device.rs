//! Values that are created on first use, once per device.

use std::sync::{Mutex, PoisonError};

use burn::tensor::Device;

/// A value for each device that has asked for one; see the [module documentation](self).
pub struct PerDevice<T>(Mutex<Vec<(Device, T)>>);

impl<T> Default for PerDevice<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> PerDevice<T> {
    /// The value of `device` without autodiff, made by `make` at the first call.
    pub fn get(&self, device: &Device, make: impl FnOnce(&Device) -> T) -> T {
        let device = device.clone().without_autodiff();
        // A panic elsewhere cannot leave an incomplete entry, so poisoning is ignored.
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = made.iter().find(|(known, _)| *known == device) {
            return value.clone();
        }
        let value = make(&device);
        made.push((device, value.clone()));
        value
    }
}
