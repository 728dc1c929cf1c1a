use serde_json::{Value, json};

use super::*;

const COUNT: usize = 90;
const COLUMNS: usize = 7;

fn rows() -> Vec<f32> {
    let value = |i: usize, j: usize| {
        let (x, y) = (i as f64, j as f64);
        (1.7 * x + 0.9 * y * y).sin()
            + 0.6 * (0.37 * x * (y + 1.0)).cos()
            + if i % 3 == j % 3 { 0.9 } else { 0.0 }
            + 5.0 * y
    };
    (0..COUNT).flat_map(|i| (0..COLUMNS).map(move |j| value(i, j) as f32)).collect()
}

fn classes() -> Vec<u32> {
    (0..COUNT).map(|row| (row % 3) as u32).collect()
}

fn config() -> CrossValidationConfig {
    CrossValidationConfig { folds: 5, costs: vec![1e-4, 1e-2, 1.0], ..Default::default() }
}

fn labelled<'a>(rows: &'a [f32], classes: &'a [u32], groups: Option<&'a [u32]>) -> Labelled<'a> {
    Labelled { rows, columns: COLUMNS, classes, n_classes: 3, groups }
}

fn go_on(_: usize, _: &Fold) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The folds in `folds.json`, which `reference.py` reads.
fn folds() -> Value {
    let (rows, classes) = (rows(), classes());
    let of = labelled(&rows, &classes, None);
    let outer = config().folds_of(&of, 5, 1).unwrap();
    let inner = |fold: usize| {
        let train: Vec<usize> = (0..COUNT).filter(|row| outer[*row] != fold).collect();
        let own = Subset::new(&of, &train);
        config().folds_of(&own.labelled(&of), 3, 1 ^ 0x5eed).unwrap()
    };
    let inner: serde_json::Map<String, Value> =
        (0..5).map(|fold| (fold.to_string(), json!(inner(fold)))).collect();
    json!({ "outer": outer, "inner": inner })
}

#[test]
fn scores_agree_with_scikit_learn() {
    let given: Value = serde_json::from_str(include_str!("folds.json")).unwrap();
    assert_eq!(given, folds(), "run reference.py again, with\n{}", folds());
    let reference: Value = serde_json::from_str(include_str!("reference.json")).unwrap();
    let (rows, classes) = (rows(), classes());
    let found = config().run(&labelled(&rows, &classes, None), go_on).unwrap();
    let outer = config().folds_of(&labelled(&rows, &classes, None), 5, 1).unwrap();
    assert_eq!(found.folds.len(), 5);
    for (number, (fold, theirs)) in
        found.folds.iter().zip(reference.as_array().unwrap()).enumerate()
    {
        assert_eq!(fold.cost, theirs["cost"].as_f64().unwrap());
        assert!((fold.accuracy - theirs["accuracy"].as_f64().unwrap()).abs() < 1e-9);
        let held = (0..COUNT).filter(|row| outer[*row] == number);
        let ours = held.flat_map(|row| found.decisions[row * 3..row * 3 + 3].to_vec());
        let theirs: Vec<f64> = serde_json::from_value(theirs["decisions"].clone()).unwrap();
        assert_eq!(theirs.len(), fold.rows * 3);
        for (a, b) in ours.zip(theirs) {
            assert!((f64::from(a) - b).abs() < 1e-4, "{a} {b}");
        }
    }
    assert!(found.notes.is_empty());
}

#[test]
fn accuracy_on_noise_is_at_chance_level() {
    let rows: Vec<f32> =
        (0..600 * 5).map(|at| ((at * at * 31 + at * 7) % 997) as f32 / 500.0).collect();
    let classes: Vec<u32> = (0..600).map(|row| (row * row / 7 % 3) as u32).collect();
    let of = Labelled { rows: &rows, columns: 5, classes: &classes, n_classes: 3, groups: None };
    let found = CrossValidationConfig { folds: 4, ..Default::default() }.run(&of, go_on).unwrap();
    let most = (0..3).map(|c| classes.iter().filter(|own| **own == c).count()).max().unwrap();
    let accuracy = found.folds.iter().map(|fold| fold.accuracy).sum::<f64>() / 4.0;
    assert!(accuracy < most as f64 / 600.0 + 0.06, "{accuracy}");
}

#[test]
fn class_in_a_single_fold_is_reported() {
    let (rows, mut classes) = (rows(), classes());
    // One artist has all tracks of class 2.
    let groups: Vec<u32> =
        (0..COUNT).map(|row| if row % 3 == 2 { 0 } else { 1 + row as u32 }).collect();
    let found = config().run(&labelled(&rows, &classes, Some(&groups)), go_on).unwrap();
    assert!(
        found.notes.iter().any(|note| note.starts_with("1 times a held-out class")),
        "{:?}",
        found.notes
    );
    classes.iter_mut().for_each(|class| *class = 1);
    let error = config().run(&labelled(&rows, &classes, None), go_on).unwrap_err();
    assert!(error.to_string().contains("all rows are of class 1"), "{error}");
}

#[test]
fn invalid_input_is_named() {
    let (rows, classes) = (rows(), classes());
    let of = labelled(&rows, &classes, None);
    let fails = |config: CrossValidationConfig| config.run(&of, go_on).unwrap_err().to_string();
    assert!(fails(CrossValidationConfig { folds: 1, ..config() }).starts_with("folds = 1"));
    assert!(fails(CrossValidationConfig { folds: 91, ..config() }).contains("there are 90"));
    assert!(fails(CrossValidationConfig { costs: Vec::new(), ..config() }).starts_with("costs"));
    assert!(
        fails(CrossValidationConfig { costs: vec![f64::NAN], ..config() }).starts_with("costs[0]")
    );
    let stopped = config().run(&of, |_, _| ControlFlow::Break(()));
    assert_eq!(stopped.unwrap_err(), CrossValidationError::Stopped(1));
}
