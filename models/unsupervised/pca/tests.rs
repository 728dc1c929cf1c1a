use serde_json::Value;

use super::*;

fn rows(count: usize, columns: usize) -> Vec<f32> {
    let value = |i: usize, j: usize| {
        let (x, y) = (i as f64, j as f64);
        (0.7 * x * (1.0 + (j % 3) as f64)).sin() * (3.0 / (1.0 + y))
            + (0.31 * x * y).cos() * 0.4
            + 5.0 * (j % 2) as f64
    };
    (0..count).flat_map(|i| (0..columns).map(move |j| value(i, j) as f32)).collect()
}

/// No number of components is enough, so that all are kept.
const ALL: f64 = f64::INFINITY;

fn fit(rows: &[f32], columns: usize, share: f64) -> Pca {
    let mut fit = PcaFit::new(columns);
    // In parts of unequal size, which must not change the result.
    for part in rows.chunks(columns * 3) {
        fit.add(part).unwrap();
    }
    fit.finish(share).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn near(ours: &[f64], theirs: &[f64], bound: f64) {
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() <= bound, "{a} {b}");
    }
}

#[test]
fn components_agree_with_scikit_learn() {
    let reference: Value = serde_json::from_str(include_str!("reference.json")).unwrap();
    for case in reference.as_array().unwrap() {
        let count = case["rows"].as_u64().unwrap() as usize;
        let columns = case["columns"].as_u64().unwrap() as usize;
        let data = rows(count, columns);
        let rank = columns.min(count - 1);
        let pca = fit(&data, columns, ALL);
        near(&pca.mean, &numbers(&case["mean"]), 1e-6);
        near(&pca.variances, &numbers(&case["variances"]), 1e-6);
        near(&pca.components, &numbers(&case["components"]), 1e-4);
        assert_eq!(pca.components.len(), rank * columns);
        for pair in case["kept"].as_array().unwrap() {
            let pair = numbers(pair);
            let kept = fit(&data, columns, pair[0]).variances.len();
            assert_eq!(kept, pair[1] as usize, "{pair:?}");
        }
    }
}

#[test]
fn large_offset_does_not_reduce_precision() {
    let shifted: Vec<f32> = rows(200, 5).iter().map(|value| value + 4096.0).collect();
    // The values that rounding with the offset leaves, without the offset.
    let back: Vec<f32> = shifted.iter().map(|value| value - 4096.0).collect();
    let (a, b) = (fit(&shifted, 5, ALL), fit(&back, 5, ALL));
    near(&a.variances, &b.variances, 1e-9);
}

#[test]
fn invalid_input_is_named() {
    let mut one = PcaFit::new(2);
    one.add(&[1.0, 2.0]).unwrap();
    assert_eq!(one.clone().finish(0.9), Err(PcaError::TooFewRows(1)));
    one.add(&[1.0, 2.0]).unwrap();
    assert_eq!(one.clone().finish(0.9), Err(PcaError::Constant { rows: 2 }));
    let error = one.add(&[0.0, 0.0, 0.0, f32::NAN]).unwrap_err();
    assert!(error.to_string().starts_with("row 3, column 1 is NaN"), "{error}");
}
