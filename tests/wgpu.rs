//! The same run on a GPU adapter (Mesa's software one will do) and on the CPU.

use crate::support::{MEL, STRIDED, Workplace, small};
use std::io::Write as _;

/// Largest relative difference of a step's loss between devices: reductions are summed in another
/// order, and the difference grows with the steps.
const LOSS_TOLERANCE: f64 = 1e-3;

fn losses(place: &Workplace, run: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(place.path(&format!("{run}/metrics.jsonl"))).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["event"] == "train")
        .map(|line| line["loss"].as_f64().unwrap())
        .collect()
}

/// Asserts that the first losses of a run on two devices agree.
pub fn assert_losses_agree(place: &Workplace, name: &str, a: &str, b: &str, steps: usize) {
    let [a, b] = [a, b].map(|device| losses(place, &format!("{device}/{name}-s1")));
    assert_eq!(a.len(), steps);
    assert_eq!(b.len(), steps);
    for (step, (a, b)) in a.iter().zip(&b).enumerate() {
        let difference = (a - b).abs() / a.abs();
        // Written so that NaN fails.
        assert!(difference <= LOSS_TOLERANCE, "{name}, step {}: {a} and {b}", step + 1);
    }
}

#[test]
fn the_first_twenty_losses_are_the_cpus() {
    let place = Workplace::new();
    if !place.run("devices").ok().out.lines().any(|line| line.starts_with("wgpu")) {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: wgpu finds no adapter here (Debian: mesa-vulkan-drivers)"
        );
        return;
    }
    for (name, front_end) in [
        ("mel", MEL),
        ("strided", STRIDED),
        (
            "pooled",
            r#"{ name = "strided", filters = 32, length = 256, stride = 256, pool = { kind = "l2", size = 4 } }"#,
        ),
    ] {
        place.write(&format!("{name}.toml"), format!("name = \"{name}\"\n{}", small(front_end)));
        for device in ["cpu", "wgpu"] {
            let steps =
                "--set training.steps=20 --set training.log_every=1 --set training.valid_every=20";
            place.run(&format!("--device {device} train {name}.toml --runs {device} {steps}")).ok();
        }
        assert_losses_agree(&place, name, "cpu", "wgpu", 20);
    }
}
