use serde_json::Value;

use super::*;

fn rows(count: usize, columns: usize) -> Vec<f32> {
    let value = |i: usize, j: usize| {
        let (x, y) = (i as f64, j as f64);
        (1.7 * x + 0.9 * y * y).sin()
            + 0.6 * (0.37 * x * (y + 1.0)).cos()
            + if i % 3 == j % 3 { 0.8 } else { 0.0 }
    };
    (0..count).flat_map(|i| (0..columns).map(move |j| value(i, j) as f32)).collect()
}

fn config(cost: f64) -> SvmConfig {
    SvmConfig { cost, tolerance: 1e-9 }
}

fn classes(count: usize, classes: usize) -> Vec<u32> {
    (0..count).map(|row| (row % classes) as u32).collect()
}

#[test]
fn weights_agree_with_liblinear() {
    let reference: Value = serde_json::from_str(include_str!("reference.json")).unwrap();
    for case in reference.as_array().unwrap() {
        let number = |key: &str| case[key].as_u64().unwrap() as usize;
        let numbers =
            |key: &str| -> Vec<f64> { serde_json::from_value(case[key].clone()).unwrap() };
        let (count, columns, n_classes) = (number("rows"), number("columns"), number("classes"));
        let config = config(case["cost"].as_f64().unwrap());
        let data = rows(count, columns);
        let svm = config.fit(&data, columns, &classes(count, n_classes), n_classes).unwrap();
        assert_eq!(svm.unfinished, 0);
        for (key, ours, bound) in [
            ("weights", &svm.weights, 1e-4),
            ("biases", &svm.biases, 1e-4),
            ("objectives", &svm.objectives, 1e-7),
        ] {
            let theirs = numbers(key);
            assert_eq!(ours.len(), theirs.len());
            let scale = theirs.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
            for (a, b) in ours.iter().zip(&theirs) {
                assert!((a - b).abs() <= bound * scale, "{key}, {count} x {columns}: {a} {b}");
            }
        }
        let found: Vec<f64> = svm
            .decide(&data, columns)
            .chunks_exact(n_classes)
            .map(|row| (0..n_classes).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap() as f64)
            .collect();
        assert_eq!(found, numbers("predicted"));
    }
}

/// Rows at -1 and 1, one of each class: by symmetry the bias is 0 and w of the second class has
/// w = 4 C (1 - w), both rows being short of their margin.
#[test]
fn two_rows_have_a_closed_form() {
    for cost in [0.01, 1.0, 50.0] {
        let svm = config(cost);
        let svm = svm.fit(&[-1.0, 1.0], 1, &[0, 1], 2).unwrap();
        let wanted = 4.0 * cost / (1.0 + 4.0 * cost);
        assert!((svm.weights[1] - wanted).abs() < 1e-9 && (svm.weights[0] + wanted).abs() < 1e-9);
        assert!(svm.biases.iter().all(|bias| bias.abs() < 1e-9));
    }
}

#[test]
fn where_it_begins_does_not_matter() {
    for (count, columns) in [(40, 6), (12, 20)] {
        let data = rows(count, columns);
        let prepared = SvmRows::new(&data, columns, &classes(count, 3), 3).unwrap();
        let low = config(0.01).fit_rows(&prepared, None).unwrap();
        let high = config(1.0);
        let (cold, warm) = (
            high.fit_rows(&prepared, None).unwrap(),
            high.fit_rows(&prepared, Some(&low)).unwrap(),
        );
        for (a, b) in cold.weights.iter().zip(&warm.weights) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }
}

#[test]
fn result_does_not_depend_on_the_number_of_threads() {
    let data = rows(50, 9);
    let fit = || config(1.0).fit(&data, 9, &classes(50, 4), 4).unwrap();
    let here = fit();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(fit) == here);
    }
}

#[test]
fn class_without_rows_is_never_predicted() {
    let svm = config(1.0).fit(&rows(20, 4), 4, &classes(20, 2), 3).unwrap();
    let decided = svm.decide(&rows(20, 4), 4);
    for row in decided.chunks_exact(3) {
        assert_eq!(row[2], -1.0);
        assert!(row[0] > -1.0 || row[1] > -1.0);
    }
}

#[test]
fn invalid_input_is_named() {
    let fails = |rows: &[f32], classes: &[u32], n: usize| {
        config(1.0).fit(rows, 2, classes, n).unwrap_err().to_string()
    };
    assert!(fails(&[], &[], 2).contains("no row"));
    assert!(fails(&[0.0, 1.0, f32::NAN, 0.0], &[0, 1], 2).starts_with("row 1, column 0 is NaN"));
    assert!(fails(&[0.0, 1.0, 1.0, 0.0], &[0, 2], 2).starts_with("row 1 is of class 2"));
    assert!(fails(&[0.0, 1.0, 1.0, 0.0], &[1, 1], 2).starts_with("all rows are of class 1"));
}

/// How long it takes: `cargo test --release svm_speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn svm_speed() {
    let (count, columns) = (1_000, 512);
    let data = rows(count, columns);
    for cost in [1e-3, 1.0] {
        let from = std::time::Instant::now();
        let config = config(cost);
        let svm = config.fit(&data, columns, &classes(count, 10), 10).unwrap();
        eprintln!(
            "{count} x {columns}, C = {cost}: {:.2} s, {} unfinished",
            from.elapsed().as_secs_f64(),
            svm.unfinished
        );
    }
}
