//! Other backends against the CPU reference.

use burn::tensor::Device;
use models::parity::compare;
use std::io::Write as _;

fn assert_agrees(device: &Device, name: &str) {
    let rows = compare(device, &Device::flex());
    for row in &rows {
        println!("{name}: {row}");
    }
    assert!(rows.len() > 60, "every layer, its output and its gradients: {} rows", rows.len());
    let differing: Vec<String> =
        rows.iter().filter(|row| !row.ok).map(ToString::to_string).collect();
    assert!(differing.is_empty(), "{name}:\n{}", differing.join("\n"));
}

#[test]
fn flex_agrees_with_itself() {
    assert_agrees(&Device::flex(), "flex");
}

#[cfg(feature = "ndarray")]
#[test]
fn ndarray_agrees() {
    #[expect(deprecated)]
    assert_agrees(&Device::ndarray(), "ndarray");
}

#[cfg(feature = "wgpu")]
#[test]
fn wgpu_agrees() {
    let adapters = Device::enumerate(burn::tensor::DeviceType::Wgpu).into_vec();
    if adapters.is_empty() {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: wgpu finds no adapter here (Debian: mesa-vulkan-drivers)"
        );
    }
    for (i, device) in adapters.iter().enumerate() {
        assert_agrees(device, &format!("wgpu:{i}"));
    }
}
