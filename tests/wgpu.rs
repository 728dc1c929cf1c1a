//! The same run on a GPU adapter (or Mesa's software renderer) and on the CPU.

use crate::support::{MEL, STRIDED, Workplace, json, small};

/// Largest relative difference between the losses of a step on two devices, which sum in different orders; it grows
/// with the steps.
const LOSS_TOLERANCE: f64 = 1e-3;

fn losses(place: &Workplace, run: &str) -> Vec<f64> {
    let text = place.read(&format!("{run}/metrics.jsonl"));
    text.lines()
        .map(json)
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
        // NaN fails.
        assert!(difference <= LOSS_TOLERANCE, "{name}, step {}: {a} and {b}", step + 1);
    }
}

#[test]
#[ignore = "needs a GPU, or Mesa's software renderer"]
fn first_20_losses_on_gpus_equal_those_of_the_cpu() {
    let place = Workplace::new();
    for (name, front_end) in [
        ("mel", MEL),
        ("strided", STRIDED),
        (
            "pooled",
            r#"{ name = "strided", filters = 32, length = 256, stride = 256, pool = { kind = "l2", size = 4 } }"#,
        ),
    ] {
        place.write_experiment(name, &small(front_end));
        for device in ["cpu", "wgpu"] {
            let steps =
                "--set training.steps=20 --set training.log_every=1 --set training.valid_every=20";
            place.run(&format!("--device {device} train {name}.toml --runs {device} {steps}")).ok();
        }
        assert_losses_agree(&place, name, "cpu", "wgpu", 20);
    }
}
