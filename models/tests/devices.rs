//! Comparison of other backends with the CPU.

use burn::tensor::Device;
use models::self_check::compare;
#[cfg(feature = "wgpu")]
use models::unsupervised::kmeans::KMeansConfig;

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

/// Rows far from the boundaries between means, so that rounding does not change their means.
#[cfg(feature = "wgpu")]
fn assert_means_agree(device: &Device, name: &str) {
    let go_on = |_: &models::unsupervised::kmeans::Iteration| std::ops::ControlFlow::Continue(());
    let rows: Vec<f32> = (0..20_000 * 6)
        .map(|at| {
            let (row, column) = (at / 6, at % 6);
            let near = if row % 6 == column { 4.0 } else { 0.5 };
            near + ((row * 31 + column * 17) % 101) as f32 / 200.0
        })
        .collect();
    for (spherical, batch) in [(true, None), (false, None), (true, Some(3_000))] {
        let config =
            KMeansConfig { means: 6, iterations: 12, spherical, batch, ..Default::default() };
        let here = config.fit(&rows, 6, &Device::flex(), go_on).unwrap();
        let there = config.fit(&rows, 6, device, go_on).unwrap();
        assert_eq!(here.iterations.len(), there.iterations.len(), "{name}");
        for (a, b) in here.means.iter().zip(&there.means) {
            assert!((a - b).abs() < 1e-4, "{name}, {spherical}, {batch:?}: {a} {b}");
        }
    }
}

/// All adapters, including Mesa's software renderer.
#[cfg(feature = "wgpu")]
pub(crate) fn adapters() -> Vec<Device> {
    let adapters = Device::enumerate(burn::tensor::DeviceType::Wgpu).into_vec();
    assert!(!adapters.is_empty(), "wgpu finds no adapter (Debian: install mesa-vulkan-drivers)");
    adapters
}

#[cfg(feature = "wgpu")]
#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn networks_agree_on_gpus() {
    for (i, device) in adapters().iter().enumerate() {
        assert_agrees(device, &format!("wgpu:{i}"));
        assert_means_agree(device, &format!("wgpu:{i}"));
    }
}
