//! Detects machines without a GPU from what the system lists. Asking GPU drivers instead takes tenths of a second, because
//! they load compilers first.

use std::fs;
use std::path::Path;

/// `false` if the system lists its hardware and no GPU is among it, `true` otherwise.
pub(super) fn possible() -> bool {
    // On other processors, a GPU need not be on a PCI bus.
    !cfg!(all(target_os = "linux", target_arch = "x86_64")) || listed(Path::new("/"))
}

/// As [`possible`], for Linux with its root directory at `root`.
fn listed(root: &Path) -> bool {
    // Device files of DRM, of the drivers of NVIDIA and AMD, and of the Windows Subsystem for Linux.
    let nodes = ["dev/dri", "dev/nvidiactl", "dev/kfd", "dev/dxg"];
    if nodes.iter().any(|node| root.join(node).exists()) {
        return true;
    }
    // A driver may create its device files at first use, but the hardware is always listed.
    let Ok(devices) = fs::read_dir(root.join("sys/bus/pci/devices")) else { return true };
    devices.into_iter().any(|device| {
        let class = device.and_then(|device| fs::read_to_string(device.path().join("class")));
        let class = class
            .ok()
            .and_then(|text| u32::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok());
        // PCI base classes: display controllers, processors (which include co-processors), accelerators.
        class.is_none_or(|class| matches!(class >> 16, 0x03 | 0x0b | 0x12))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root directory of a machine with PCI devices of these classes.
    fn machine(classes: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let devices = root.path().join("sys/bus/pci/devices");
        fs::create_dir_all(&devices).unwrap();
        for (number, class) in classes.iter().enumerate() {
            let device = devices.join(format!("0000:00:{number:02}.0"));
            fs::create_dir(&device).unwrap();
            fs::write(device.join("class"), format!("{class}\n")).unwrap();
        }
        root
    }

    #[test]
    fn machine_without_a_gpu_is_detected() {
        // A host bridge, a disk, a network card, and a device without a class.
        let classes = ["0x060000", "0x018000", "0x020000", "0xffff00"];
        assert!(!listed(machine(&classes).path()));
        assert!(!listed(machine(&[]).path()));
    }

    #[test]
    fn display_controllers_and_accelerators_may_be_gpus() {
        for gpu in ["0x030000", "0x030200", "0x038000", "0x0b4000", "0x120000"] {
            assert!(listed(machine(&["0x060000", gpu]).path()), "{gpu}");
        }
    }

    #[test]
    fn unknown_hardware_may_be_a_gpu() {
        let nothing = tempfile::tempdir().unwrap();
        assert!(listed(nothing.path()));
        assert!(listed(machine(&["nonsense"]).path()));
        let windows = machine(&["0x060000"]);
        fs::create_dir(windows.path().join("dev")).unwrap();
        fs::write(windows.path().join("dev/dxg"), "").unwrap();
        assert!(listed(windows.path()));
    }
}
