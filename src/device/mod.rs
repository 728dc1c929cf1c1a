//! Where tensors live: a GPU through wgpu, or the CPU.

mod adapter;
pub mod bench;
pub mod check;
pub mod failure;
mod gpu_presence;

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use kernels::precision::Precision;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::experiment::Training;
use adapter::Adapter;

/// What `--device` may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first real GPU, else [`DeviceChoice::Cpu`]; never a software adapter.
    #[default]
    Auto,
    /// burn-flex: the fast CPU backend.
    Cpu,
    /// burn-ndarray: the second CPU backend; slower, deprecated by burn.
    NdArray,
    /// The `n`-th adapter that `tonotopy devices` lists, or the best one.
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
    /// As `--device` takes it.
    pub id: String,
    /// The part's own name.
    pub name: String,
    /// What kernels are compiled for; for the CPU backends, the crate.
    pub backend: String,
    /// A GPU made of software: correct, and slow.
    pub software: bool,
    /// burn's handle, without autodiff.
    #[serde(skip)]
    pub device: Device,
}

impl DeviceInfo {
    /// Whether reading a value back costs no waiting.
    pub fn is_cpu(&self) -> bool {
        !self.id.starts_with("wgpu")
    }

    /// # Errors
    /// [`Error::Config`] if training asks for a precision that is not to be had here.
    pub fn suits(&self, training: &Training) -> Result<()> {
        match training.precision {
            Precision::Bfloat16 if self.id != "cpu" => Err(Error::Config(format!(
                "training.precision is \"bfloat16\", and the kernels for {} compute in single precision only: use \
                 --device cpu, or --set training.precision=single",
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
    // Deprecated by burn in favour of flex; here it is the second opinion that flex is held against.
    #[expect(deprecated)]
    let device = Device::ndarray();
    let (id, backend) = ("ndarray".into(), "burn-ndarray".into());
    Some(DeviceInfo { id, name: cpu_name(), backend, software: false, device })
}

#[cfg(not(feature = "ndarray"))]
fn ndarray() -> Option<DeviceInfo> {
    None
}

/// Everything that `--device` could name here. Opens each.
pub fn devices() -> Vec<DeviceInfo> {
    let mut all = vec![cpu()];
    all.extend(ndarray());
    all.extend(adapter::all().into_iter().filter_map(Adapter::open));
    all
}

/// The device that a choice stands for.
///
/// # Errors
/// [`Error::Device`] if this machine or this build has none such.
pub fn open(choice: DeviceChoice) -> Result<DeviceInfo> {
    match choice {
        DeviceChoice::Cpu => Ok(cpu()),
        DeviceChoice::Auto if !gpu_presence::possible() => Ok(cpu()),
        DeviceChoice::Auto => {
            let real = adapter::all().into_iter().filter(|adapter| !adapter.says_software());
            let mut open = real.filter_map(Adapter::open);
            Ok(open.find(|adapter| !adapter.software).unwrap_or_else(cpu))
        }
        DeviceChoice::NdArray => ndarray().ok_or_else(|| {
            Error::Device(
                "this build has no ndarray backend: build it with --features ndarray".into(),
            )
        }),
        DeviceChoice::Wgpu(_) if !cfg!(feature = "wgpu") => Err(Error::Device(
            "this build has no GPU support: build it with --features wgpu".into(),
        )),
        DeviceChoice::Wgpu(Some(index)) => {
            let adapters = adapter::all();
            let found = adapters.len();
            let named = adapters.into_iter().nth(index).ok_or_else(|| {
                Error::Device(format!(
                    "there is no adapter wgpu:{index} ({found} found): see `tonotopy devices`"
                ))
            })?;
            named.open().ok_or_else(|| {
                Error::Device(format!("the adapter wgpu:{index} does not open: check its driver"))
            })
        }
        DeviceChoice::Wgpu(None) => {
            let open = adapter::all().into_iter().filter_map(Adapter::open);
            open.min_by_key(|adapter| adapter.software).ok_or_else(|| {
                Error::Device(
                    "no GPU adapter was found: install its Vulkan driver (or Mesa's software one, \
                     mesa-vulkan-drivers), or use --device cpu"
                        .into(),
                )
            })
        }
    }
}

fn cpu_name() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_string())
    });
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    format!("{}, {cores} cores", model.unwrap_or_else(|| std::env::consts::ARCH.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_read_back_as_they_print() {
        for text in ["auto", "cpu", "ndarray", "wgpu", "wgpu:3"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for text in ["", "gpu", "wgpu:", "wgpu:-1", "wgpu:x", "CPU"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }

    #[test]
    fn auto_never_takes_a_software_adapter() {
        assert!(!open(DeviceChoice::Auto).unwrap().software);
    }
}
