//! Whether a machine can have a GPU at all, which costs nothing to see: asking its drivers takes tenths of
//! a second, for they load compilers before they answer.

use std::fs;
use std::path::Path;

/// `false` where the system lists its hardware and there is surely no GPU; `true` if in doubt.
pub(super) fn possible() -> bool {
    // On other processors GPUs need not be on a bus that lists them.
    !cfg!(all(target_os = "linux", target_arch = "x86_64")) || listed(Path::new("/"))
}

/// The same for Linux with its root folder at `root`.
fn listed(root: &Path) -> bool {
    // Those of DRM, of NVIDIA's and AMD's drivers, and of Windows beneath a Linux of its own.
    let nodes = ["dev/dri", "dev/nvidiactl", "dev/kfd", "dev/dxg"];
    if nodes.iter().any(|node| root.join(node).exists()) {
        return true;
    }
    // Device files can come when a driver is first used; the hardware is there before.
    let Ok(devices) = fs::read_dir(root.join("sys/bus/pci/devices")) else { return true };
    devices.into_iter().any(|device| {
        let class = device.and_then(|device| fs::read_to_string(device.path().join("class")));
        let class = class
            .ok()
            .and_then(|text| u32::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok());
        // Base classes of PCI: display controllers, co-processors among others, accelerators.
        class.is_none_or(|class| matches!(class >> 16, 0x03 | 0x0b | 0x12))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with these classes of PCI devices.
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
    fn a_bus_without_a_gpu_has_none() {
        // A host bridge, a disk, a network card, and one that its maker gave no class.
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
    fn in_doubt_there_may_be_one() {
        let nothing = tempfile::tempdir().unwrap();
        assert!(listed(nothing.path()));
        assert!(listed(machine(&["nonsense"]).path()));
        let windows = machine(&["0x060000"]);
        fs::create_dir(windows.path().join("dev")).unwrap();
        fs::write(windows.path().join("dev/dxg"), "").unwrap();
        assert!(listed(windows.path()));
    }
}
