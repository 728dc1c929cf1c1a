//! Compute devices: GPUs through wgpu, and the CPU.

mod adapter;
pub mod failure;
mod gpu_presence;

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use kernels::precision::Precision;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::experiment::Training;

/// A value of `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU that is not a software renderer, else [`DeviceChoice::Cpu`].
    #[default]
    Auto,
    /// The CPU through burn-flex, the faster backend.
    Cpu,
    /// The CPU through burn-ndarray, which is slower and deprecated by burn.
    NdArray,
    /// The adapter with this number in `tonotopy devices`, or the best one.
    Wgpu(Option<usize>),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "ndarray" => Ok(Self::NdArray),
            "wgpu" => Ok(Self::Wgpu(None)),
            _ => text
                .strip_prefix("wgpu:")
                .and_then(|index| index.parse().ok())
                .map(|index| Self::Wgpu(Some(index)))
                .ok_or_else(|| "expected auto, cpu, ndarray, wgpu or wgpu:N".into()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::NdArray => f.write_str("ndarray"),
            Self::Wgpu(None) => f.write_str("wgpu"),
            Self::Wgpu(Some(index)) => write!(f, "wgpu:{index}"),
        }
    }
}

/// A device that this build can use on this machine.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceInfo {
    /// The value of `--device` that selects it.
    pub id: String,
    /// Name of the hardware.
    pub name: String,
    /// The target of compiled kernels; for the CPU, the backend crate.
    pub backend: String,
    /// Whether this is a software renderer: correct, but slow.
    pub software: bool,
    /// burn's handle, without autodiff.
    #[serde(skip)]
    pub device: Device,
}

impl DeviceInfo {
    /// Whether this is the CPU.
    pub fn is_cpu(&self) -> bool {
        !self.id.starts_with("wgpu")
    }

    /// Checks that the device can train with these settings.
    ///
    /// # Errors
    /// [`Error::Config`] if it does not support the precision.
    pub fn suits(&self, training: &Training) -> Result<()> {
        match training.precision {
            Precision::Bfloat16 if self.id != "cpu" => Err(Error::Config(format!(
                "training.precision is \"bfloat16\", but {} computes in single precision only: use --device cpu, or --set \
                 training.precision=single",
                self.id
            ))),
            _ => Ok(()),
        }
    }
}

fn cpu() -> DeviceInfo {
    DeviceInfo {
        id: "cpu".into(),
        name: cpu_name(),
        backend: "burn-flex".into(),
        software: false,
        device: Device::flex(),
    }
}

#[cfg(feature = "ndarray")]
fn ndarray() -> Option<DeviceInfo> {
    // burn deprecates it in favour of flex; here it is the reference against which flex is tested.
    #[expect(deprecated)]
    let device = Device::ndarray();
    let (id, backend) = ("ndarray".into(), "burn-ndarray".into());
    Some(DeviceInfo { id, name: cpu_name(), backend, software: false, device })
}

#[cfg(not(feature = "ndarray"))]
fn ndarray() -> Option<DeviceInfo> {
    None
}

/// All devices that `--device` can select on this machine, opened.
pub fn devices() -> Vec<DeviceInfo> {
    let mut all = vec![cpu()];
    all.extend(ndarray());
    all.extend(adapter::open_all(false));
    all
}

/// Opens the device that `choice` selects.
///
/// # Errors
/// [`Error::Device`] if this machine or this build does not have it.
pub fn open(choice: DeviceChoice) -> Result<DeviceInfo> {
    match choice {
        DeviceChoice::Cpu => Ok(cpu()),
        DeviceChoice::Auto if !gpu_presence::possible() => Ok(cpu()),
        DeviceChoice::Auto => {
            Ok(adapter::open_all(true).find(|adapter| !adapter.software).unwrap_or_else(cpu))
        }
        DeviceChoice::NdArray => ndarray().ok_or_else(|| {
            Error::Device(
                "this build has no ndarray backend: build it with --features ndarray".into(),
            )
        }),
        DeviceChoice::Wgpu(Some(index)) => adapter::open_nth(index),
        DeviceChoice::Wgpu(None) if !cfg!(feature = "wgpu") => adapter::open_nth(0),
        DeviceChoice::Wgpu(None) => {
            adapter::open_all(false).min_by_key(|adapter| adapter.software).ok_or_else(|| {
                Error::Device(
                    "no GPU adapter was found: install its Vulkan driver (or the software renderer of Mesa, \
                     mesa-vulkan-drivers), or use --device cpu"
                        .into(),
                )
            })
        }
    }
}

fn cpu_name() -> String {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let model = cpu_model().filter(|model| !model.is_empty());
    format!("{}, {cores} cores", model.unwrap_or_else(|| std::env::consts::ARCH.to_string()))
}

/// The name of the processor, from where the system keeps it.
fn cpu_model() -> Option<String> {
    if cfg!(windows) {
        return std::env::var("PROCESSOR_IDENTIFIER").ok();
    }
    if cfg!(target_os = "macos") {
        let mut sysctl = std::process::Command::new("/usr/sbin/sysctl");
        let output = sysctl.args(["-n", "machdep.cpu.brand_string"]).output().ok()?;
        return Some(String::from_utf8(output.stdout).ok()?.trim().to_string());
    }
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choice_is_parsed_from_its_display() {
        for text in ["auto", "cpu", "ndarray", "wgpu", "wgpu:3"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for text in ["", "gpu", "wgpu:", "wgpu:-1", "wgpu:x", "CPU"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn auto_never_selects_a_software_renderer() {
        assert!(!open(DeviceChoice::Auto).unwrap().software);
    }
}
