//! The training loop, from outside.

use tonotopy::runs::folder::RunFolder;
use tonotopy::training::log::LogLine;

use crate::faults::resume::weights;
use crate::small_data::{data, write};
use crate::support::{MEL, STRIDED, Workplace, json, small, tone};

/// A learning rate so small that the weights do not change in any bit.
const NO_CHANGE: &str = "optimizer = { name = \"sgd\", learning_rate = 1e-30 }";

fn log(place: &Workplace) -> Vec<LogLine> {
    RunFolder::open(&place.path("runs/x-s1")).unwrap().log().unwrap()
}

#[test]
fn patience_is_the_number_of_validations_without_improvement() {
    for patience in [1, 3] {
        let place = Workplace::new();
        let steps = format!("steps = 40\npatience = {patience}\n{NO_CHANGE}");
        let text = small(MEL).replace("steps = 12", &steps);
        place.write_experiment("x", &text);
        place.run("--device cpu train x.toml").ok();
        let log = log(&place);
        let validations = log.iter().filter_map(|line| match line {
            LogLine::Valid { step, best, .. } => Some((*step, *best)),
            _ => None,
        });
        // The first validation remains the best.
        let expected: Vec<(u64, bool)> =
            (0..=patience).map(|number| (4 * (number + 1), number == 0)).collect();
        assert_eq!(validations.collect::<Vec<_>>(), expected);
        let last = log.last();
        assert!(
            matches!(last, Some(LogLine::End { reason, .. }) if reason == "patience"),
            "{last:?}"
        );
        // A finished run is not continued unless patience increases.
        place.run("--device cpu train x.toml --resume").ok();
        assert_eq!(self::log(&place), log);
        place.run("--device cpu train x.toml --resume --set training.patience=20").ok();
        assert_eq!(self::log(&place).last().map(LogLine::step), Some(40));
    }
}

/// Scores belong to a checkpoint: further training deletes them, and another checkpoint is evaluated again.
#[test]
fn scores_are_deleted_when_training_continues() {
    let place = Workplace::new();
    let text = small(MEL).replace("steps = 12", "steps = 16\npatience = 1");
    let text = text.replace("batch_size = 4", &format!("batch_size = 4\n{NO_CHANGE}"));
    place.write_experiment("x", &text);
    place.run("--device cpu train x.toml").ok();
    let folder = place.path("runs/x-s1");
    let checkpoint = || -> Option<String> {
        let text = std::fs::read_to_string(folder.join("scores.json")).ok()?;
        Some(json(&text)["checkpoint"].as_str().unwrap().to_owned())
    };
    place.run("--device cpu evaluate runs/x-s1").ok();
    place.run("--device cpu evaluate runs/x-s1 --split valid").ok();
    assert_eq!(checkpoint().unwrap(), "step-00000004");
    let files = ["scores.json", "predictions.csv", "scores-valid.json", "predictions-valid.csv"];
    let contents = || files.map(|name| std::fs::read(folder.join(name)).ok());
    let before = contents();
    assert!(before.iter().all(Option::is_some));
    // Resuming a run that ended by patience changes nothing.
    place.run("--device cpu train x.toml --resume").ok();
    assert!(contents() == before, "the scores were changed");
    place.run("--device cpu train x.toml --resume --set training.patience=9").ok();
    assert!(contents().iter().all(Option::is_none), "scores of earlier weights are left");
    place.run("--device cpu evaluate runs/x-s1 --checkpoint last").ok();
    assert_eq!(checkpoint().unwrap(), "step-00000016");
    place.run("--device cpu run x.toml --set training.patience=9").ok();
    assert_eq!(checkpoint().unwrap(), "step-00000004");
}

/// The outputs of a regression are clamped to probabilities.
#[test]
fn tags_can_be_learned_by_regression() {
    let place = Workplace::new();
    let text = small(MEL)
        .replace("steps = 12", "steps = 12\nloss = \"mean_squared_error\"\nmetric = \"loss\"");
    place.write_experiment("x", &text);
    place.write("tone.wav", tone(2.0, 16_000, 440.0));
    place.run("--device cpu run x.toml").ok();
    let path = place.path("runs/x-s1/predictions.csv");
    let predictions = tonotopy::evaluation::predictions::Predictions::read(&path).unwrap();
    assert!(predictions.values.iter().all(|value| (0.0..=1.0).contains(value)));
    place.run("--device cpu predict runs/x-s1 tone.wav --csv").ok();
}

/// With a single excerpt and constant weights, only dropout can change the loss.
#[test]
fn dropout_differs_in_every_step() {
    let place = data(&[
        ("train", "a", 1.0),
        ("valid", "a", 1.0),
        ("valid", "b", 1.0),
        ("test", "a", 1.0),
        ("test", "b", 1.0),
    ]);
    for (dropout, different) in [("0.0", 1), ("0.5", 6)] {
        let model = format!("name = \"tagger\"\ndropout = {dropout}");
        let steps = format!("steps = 6\n{NO_CHANGE}");
        write(
            &place,
            &[
                ("name = \"tagger\"", &model),
                ("steps = 12", &steps),
                ("batch_size = 4", "batch_size = 1"),
                ("log_every = 2", "log_every = 1"),
            ],
        );
        place.run("--device cpu train x.toml").ok();
        let mut losses: Vec<u64> = log(&place)
            .iter()
            .filter_map(|line| match line {
                LogLine::Train { loss, .. } => Some(loss.to_bits()),
                _ => None,
            })
            .collect();
        assert_eq!(losses.len(), 6);
        losses.sort_unstable();
        losses.dedup();
        assert_eq!(losses.len(), different, "dropout {dropout}");
        std::fs::remove_dir_all(place.path("runs")).unwrap();
    }
}

/// A track with three equal excerpts has the loss of one of them.
#[test]
fn loss_of_a_track_is_the_mean_over_its_excerpts() {
    let rows =
        ["train", "valid", "test"].map(|split| [(split, "a", 1.0), (split, "b", 1.0)]).concat();
    let validated = |times: u32| {
        let place = data(&rows);
        let one = tone(1.0, 16_000, 330.0);
        let (header, samples) = one.split_at(44);
        let mut track = [header, &samples.repeat(times as usize)].concat();
        let bytes = times * samples.len() as u32;
        track[4..8].copy_from_slice(&(36 + bytes).to_le_bytes());
        track[40..44].copy_from_slice(&bytes.to_le_bytes());
        place.write("music/2.wav", track);
        write(&place, &[("steps = 12", &format!("steps = 4\n{NO_CHANGE}"))]);
        place.run("--device cpu train x.toml").ok();
        let log = log(&place);
        let mut losses = log.iter().filter_map(|line| match line {
            LogLine::Valid { metrics, .. } => metrics["loss"],
            _ => None,
        });
        losses.next_back().unwrap()
    };
    let (one, three) = (validated(1), validated(3));
    assert!((one - three).abs() <= 1e-6 * one, "{one} {three}");
}

/// One step of gradient descent with half the learning rate moves the weights half as far.
#[test]
fn learning_rate_of_a_parameter_group_is_a_factor() {
    let place = Workplace::new();
    let after = |rate: &str, factors: &str| -> Vec<f32> {
        let plain = format!("momentum = 0.0, nesterov = false, learning_rate = {rate}");
        let steps = format!("steps = 1\noptimizer = {{ name = \"sgd\", {plain} }}\n{factors}");
        let text = small(MEL).replace("steps = 12", &steps);
        place.write_experiment("x", &text);
        place.run("--device cpu train x.toml").ok();
        let (step, bits) = weights(&place.path("runs/x-s1"));
        assert_eq!(step, 1);
        std::fs::remove_dir_all(place.path("runs")).unwrap();
        bits.into_iter().map(f32::from_bits).collect()
    };
    let (first, whole) = (after("1e-30", ""), after("0.5", ""));
    let halves = "learning_rates = { stages = 0.5, hidden = 0.5, output = 0.5 }";
    let half = after("0.5", halves);
    assert!(first != whole);
    for ((first, whole), half) in first.iter().zip(&whole).zip(&half) {
        let (wanted, got) = (0.5 * (whole - first), half - first);
        assert!((got - wanted).abs() <= 1e-6 + 1e-4 * wanted.abs(), "{got}, not {wanted}");
    }
}

/// bfloat16 changes the losses of a few steps only slightly; saved weights are float32.
#[test]
fn bfloat16_changes_training_slightly() {
    let place = Workplace::new();
    let train = |name: &str, precision: &str| {
        let text = small(STRIDED).replace("[training]", &format!("[training]\n{precision}"));
        place.write("x.toml", format!("name = \"{name}\"\n{text}"));
        place.run("--device cpu train x.toml").ok();
        let losses =
            RunFolder::open(&place.path(&format!("runs/{name}-s1"))).unwrap().log().unwrap();
        let losses: Vec<f64> = losses
            .iter()
            .filter_map(|line| match line {
                LogLine::Train { loss, .. } => Some(*loss),
                _ => None,
            })
            .collect();
        (losses, weights(&place.path(&format!("runs/{name}-s1"))).1)
    };
    let (single, _) = train("single", "precision = \"single\"");
    let (rounded, weights) = train("rounded", "precision = \"bfloat16\"");
    assert_eq!(train("again", "precision = \"bfloat16\"").1, weights);
    assert_eq!(train("default", "").0, single);
    assert_ne!(single, rounded);
    for (single, rounded) in single.iter().zip(&rounded) {
        assert!((single - rounded).abs() <= 0.02 * single, "{single} {rounded}");
    }
    assert!(weights.iter().any(|bits| bits & 0xFFFF != 0));
}

#[test]
fn unsupported_precision_is_refused_before_a_run_is_created() {
    let place = Workplace::new();
    place.write_experiment("x", &small(MEL));
    let text = "--device ndarray train x.toml --set training.precision=bfloat16";
    let words = ["training.precision", "bfloat16", "ndarray", "--device cpu"];
    if cfg!(feature = "ndarray") {
        place.run(text).fails(2, &words);
    }
    place
        .run("--device cpu train x.toml --set training.precision=half")
        .fails(2, &["half", "bfloat16"]);
    assert!(!place.path("runs").exists());
}
