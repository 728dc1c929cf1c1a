use serde_json::Value;

use super::*;
use crate::unsupervised::pca::PcaFit;

fn rows(count: usize, columns: usize) -> Vec<f32> {
    let value = |i: usize, j: usize| {
        let (x, y) = (i as f64, j as f64);
        (0.7 * x * (1.0 + (j % 3) as f64)).sin() * (3.0 / (1.0 + y))
            + (0.31 * x * y).cos() * 0.4
            + 5.0 * (j % 2) as f64
    };
    (0..count).flat_map(|i| (0..columns).map(move |j| value(i, j) as f32)).collect()
}

fn pca(rows: &[f32], columns: usize, share: f64) -> Pca {
    let mut fit = PcaFit::new(columns);
    fit.add(rows).unwrap();
    fit.finish(share).unwrap()
}

fn mapped(rows: &[f32], columns: usize, (matrix, offset): &(Vec<f32>, Vec<f32>)) -> Vec<f64> {
    let count = offset.len();
    let value = |row: &[f32], j: usize| -> f64 {
        let products =
            row.iter().enumerate().map(|(i, x)| f64::from(*x) * f64::from(matrix[i * count + j]));
        f64::from(offset[j]) + products.sum::<f64>()
    };
    rows.chunks_exact(columns).flat_map(|row| (0..count).map(move |j| value(row, j))).collect()
}

fn near(ours: impl IntoIterator<Item = f64>, theirs: &[f64], bound: f64) {
    let ours: Vec<f64> = ours.into_iter().collect();
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() <= bound, "{a} {b}");
    }
}

#[test]
fn whitened_rows_agree_with_scikit_learn() {
    let reference: Value = serde_json::from_str(include_str!("reference.json")).unwrap();
    for case in reference.as_array().unwrap() {
        let number = |key: &str| case[key].as_u64().unwrap() as usize;
        let numbers =
            |key: &str| -> Vec<f64> { serde_json::from_value(case[key].clone()).unwrap() };
        let (count, columns) = (number("rows"), number("columns"));
        let data = rows(count, columns);
        let whitening = Whitening::new(&pca(&data, columns, case["share"].as_f64().unwrap()), 0.0);
        let white = mapped(&data, columns, &whitening.map());
        near(white.iter().copied(), &numbers("whitened"), 1e-4);
        let single: Vec<f32> = white.iter().map(|value| *value as f32).collect();
        near(whitening.undo(&single).into_iter().map(f64::from), &numbers("back"), 1e-4);
    }
}

#[test]
fn epsilon_is_added_to_every_variance() {
    let data = rows(300, 5);
    let pca = pca(&data, 5, 1.0);
    let whitening = Whitening::new(&pca, 0.3);
    let white = mapped(&data, 5, &whitening.map());
    for (component, variance) in pca.variances.iter().enumerate() {
        let values = white.iter().skip(component).step_by(5);
        let found = values.map(|value| value * value).sum::<f64>() / 299.0;
        assert!((found - variance / (variance + 0.3)).abs() < 1e-5, "{found} {variance}");
    }
}

#[test]
fn map_to_means_equals_whitening_and_products() {
    let data = rows(100, 6);
    let whitening = Whitening::new(&pca(&data, 6, 0.99), 0.01);
    let count = whitening.components();
    let means: Vec<f32> = (0..3 * count).map(|i| ((i * 7) % 5) as f32 - 2.0).collect();
    let white = mapped(&data, 6, &whitening.map());
    let joined = mapped(&data, 6, &whitening.map_to(&means));
    for (row, found) in white.chunks_exact(count).zip(joined.chunks_exact(3)) {
        for (mean, found) in means.chunks_exact(count).zip(found) {
            let wanted: f64 = row.iter().zip(mean).map(|(a, b)| a * f64::from(*b)).sum();
            assert!((found - wanted).abs() < 1e-4, "{found} {wanted}");
        }
    }
}

#[test]
fn stored_transform_is_loaded_unchanged() {
    let data = rows(100, 6);
    let whitening = Whitening::new(&pca(&data, 6, 0.99), 0.01);
    let mut fitted = Fitted::default();
    whitening.insert("_3", &mut fitted);
    let again = Whitening::get("_3", 6, &fitted).unwrap();
    let (a, b) = (mapped(&data, 6, &whitening.map()), mapped(&data, 6, &again.map()));
    near(a, &b, 1e-5);
    assert!(Whitening::get("_3", 7, &fitted).unwrap_err().to_string().starts_with("window_mean_3"));
    assert!(Whitening::get("_2", 6, &fitted).unwrap_err().to_string().contains("never fitted"));
}
