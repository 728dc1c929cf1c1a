use serde_json::Value;

use super::*;

fn rows(count: usize, columns: usize) -> Vec<f32> {
    let value = |i: usize, j: usize| {
        let (x, y) = (i as f64, j as f64);
        let slow = 0.1 * (i % 7) as f64 * (j % 2) as f64;
        (1.3 * x + 0.5 * y).sin() * 2.0 + (0.77 * x * (y + 1.0)).cos() + slow
    };
    (0..count).flat_map(|i| (0..columns).map(move |j| value(i, j) as f32)).collect()
}

fn config(means: usize, iterations: usize, spherical: bool) -> KMeansConfig {
    KMeansConfig { means, iterations, tolerance: 0.0, spherical, ..KMeansConfig::default() }
}

fn go_on(_: &Iteration) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Plain: Lloyd's algorithm of scikit-learn. Spherical: the update of the paper in NumPy.
#[test]
fn means_agree_with_the_references() {
    let reference: Value = serde_json::from_str(include_str!("reference.json")).unwrap();
    for case in reference.as_array().unwrap() {
        let number = |key: &str| case[key].as_u64().unwrap() as usize;
        let (columns, means) = (number("columns"), number("means"));
        let data = rows(number("rows"), columns);
        for (key, spherical) in [("plain", false), ("spherical", true)] {
            let config = config(means, number("updates"), spherical);
            let first = data[..means * columns].to_vec();
            let found = config.fit_from(&data, columns, first, &Device::flex(), go_on).unwrap();
            assert!(found.iterations.iter().all(|iteration| iteration.empty == 0));
            let theirs = case[key].as_array().unwrap();
            assert_eq!(found.means.len(), theirs.len());
            for (ours, theirs) in found.means.iter().zip(theirs) {
                let theirs = theirs.as_f64().unwrap();
                assert!((f64::from(*ours) - theirs).abs() < 1e-5, "{key}: {ours} {theirs}");
            }
        }
    }
}

#[test]
fn objective_matches_its_definition_and_never_gets_worse() {
    let data = rows(400, 6);
    for spherical in [false, true] {
        let found = config(5, 1, spherical).fit(&data, 6, &Device::flex(), go_on).unwrap();
        let longer = config(5, 30, spherical).fit(&data, 6, &Device::flex(), go_on).unwrap();
        // The second iteration reports the objective of the means after the first.
        let of_first = longer.iterations[1].objective;
        let definition = data
            .chunks_exact(6)
            .map(|row| {
                let fits = found.means.chunks_exact(6).map(|mean| {
                    let pairs = row.iter().zip(mean).map(|(a, b)| (f64::from(*a), f64::from(*b)));
                    match spherical {
                        true => -pairs.map(|(a, b)| a * b).sum::<f64>(),
                        false => pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>(),
                    }
                });
                fits.fold(f64::INFINITY, f64::min)
            })
            .sum::<f64>()
            / 400.0;
        let definition = if spherical { -definition } else { definition };
        assert!((of_first - definition).abs() < 1e-5, "{spherical} {of_first} {definition}");
        for pair in longer.iterations.windows(2) {
            let gain = pair[1].objective - pair[0].objective;
            assert!(if spherical { gain > -1e-6 } else { gain < 1e-6 }, "{spherical} {pair:?}");
        }
    }
}

#[test]
fn empty_mean_moves_to_a_row() {
    // Two clusters; two initial means in one of them, and one far from both.
    let mut data = vec![0.0_f32; 60];
    for (i, value) in data.iter_mut().enumerate() {
        *value = if i < 30 { 0.01 * i as f32 } else { 10.0 + 0.01 * i as f32 };
    }
    let found = config(3, 50, false)
        .fit_from(&data, 1, vec![0.0, 0.1, -90.0], &Device::flex(), go_on)
        .unwrap();
    assert!(found.iterations[0].empty == 1);
    assert!(found.iterations.last().unwrap().empty == 0);
    assert!(found.means.iter().all(|mean| *mean > -1.0), "{:?}", found.means);
    assert!(found.means.iter().any(|mean| *mean > 9.0), "{:?}", found.means);
}

#[test]
fn result_does_not_depend_on_the_number_of_threads() {
    let data = rows(3_000, 11);
    for spherical in [false, true] {
        let config = config(70, 8, spherical);
        let here = config.fit(&data, 11, &Device::flex(), go_on).unwrap();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(
                pool.install(|| config.fit(&data, 11, &Device::flex(), go_on)).unwrap() == here
            );
        }
    }
}

#[test]
fn initial_means_are_distinct_rows() {
    for (count, wanted) in [(10, 10), (1_000, 300), (5, 1)] {
        let mut drawn = distinct(count, wanted, 3);
        drawn.sort_unstable();
        drawn.dedup();
        assert!(drawn.len() == wanted && drawn.iter().all(|row| *row < count));
    }
}

#[test]
fn invalid_input_is_named() {
    let fails = |config: &KMeansConfig, rows: &[f32], columns| {
        config.fit(rows, columns, &Device::flex(), go_on).unwrap_err().to_string()
    };
    assert!(fails(&config(3, 1, false), &[1.0, 2.0], 1).starts_with("2 rows are too few for 3"));
    let error = fails(&config(1, 1, false), &[1.0, f32::NAN, 0.0, 0.0], 2);
    assert!(error.starts_with("row 0, column 1 is NaN"), "{error}");
    assert!(fails(&config(0, 1, true), &[1.0], 1).starts_with("means = 0"));
    let stopped =
        config(2, 9, false).fit(&rows(50, 2), 2, &Device::flex(), |_| ControlFlow::Break(()));
    assert_eq!(stopped, Err(KMeansError::Stopped(1)));
}

/// Mini-batches, computed from the module documentation of `kmeans.rs`.
#[test]
fn batches_match_their_definition() {
    let (count, columns, means, batch) = (97, 4, 6, 20);
    let data = rows(count, columns);
    for (spherical, weight) in
        [(false, RowWeight::One), (true, RowWeight::One), (true, RowWeight::Product)]
    {
        let config = KMeansConfig { batch: Some(batch), weight, ..config(means, 11, spherical) };
        let first = data[..means * columns].to_vec();
        let found = config.fit_from(&data, columns, first.clone(), &Device::flex(), go_on).unwrap();
        assert_eq!(found.iterations.len(), 11);
        let mut here: Vec<Vec<f64>> = first.chunks(columns).map(wide).collect();
        if spherical {
            here.iter_mut().for_each(|mean| unit(mean));
        }
        let mut sums = if spherical { here.clone() } else { vec![vec![0.0; columns]; means] };
        let mut counts = vec![0.0; means];
        let (mut update, mut pass) = (0, 0);
        while update < 11 {
            // Four whole batches per pass; the remaining rows are left out.
            for chosen in distinct(count, count, config.seed ^ (pass + 1)).chunks_exact(batch) {
                if update == 11 {
                    break;
                }
                let (before, mut total) = (here.clone(), 0.0);
                for &row in chosen {
                    let x = wide(&data[row * columns..][..columns]);
                    let product = |m: &[f64]| -> f64 { m.iter().zip(&x).map(|(m, x)| m * x).sum() };
                    let apart =
                        |m: &[f64]| -> f64 { m.iter().zip(&x).map(|(m, x)| (m - x).powi(2)).sum() };
                    let score = |m: &[f64]| if spherical { product(m) } else { -apart(m) };
                    let own = (0..means)
                        .max_by(|a, b| score(&before[*a]).total_cmp(&score(&before[*b])))
                        .unwrap();
                    total += score(&before[own]);
                    let share =
                        if weight == RowWeight::Product { product(&before[own]) } else { 1.0 };
                    sums[own].iter_mut().zip(&x).for_each(|(sum, x)| *sum += share * x);
                    counts[own] += 1.0;
                }
                for ((mean, sum), count) in here.iter_mut().zip(&sums).zip(&counts) {
                    if *count > 0.0 {
                        *mean =
                            sum.iter().map(|s| if spherical { *s } else { s / count }).collect();
                        if spherical {
                            unit(mean);
                        }
                    }
                }
                let objective = found.iterations[update].objective;
                assert!(
                    (objective - total.abs() / batch as f64).abs() < 1e-4,
                    "{update}: {objective}"
                );
                update += 1;
            }
            sums.iter_mut().flatten().for_each(|sum| *sum *= 0.5);
            counts.iter_mut().for_each(|count| *count *= 0.5);
            pass += 1;
        }
        for (ours, wanted) in found.means.iter().zip(here.iter().flatten()) {
            assert!(
                (f64::from(*ours) - wanted).abs() < 1e-4,
                "{spherical} {weight:?}: {ours} {wanted}"
            );
        }
    }
}

fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|value| f64::from(*value)).collect()
}

fn unit(row: &mut [f64]) {
    let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
    row.iter_mut().for_each(|value| *value /= length);
}

#[test]
fn batches_reach_the_objective_of_full_updates() {
    let data = rows(4_000, 8);
    let at_once = config(20, 30, true).fit(&data, 8, &Device::flex(), go_on).unwrap();
    let batches = KMeansConfig { batch: Some(250), ..config(20, 30 * 16, true) };
    let batches = batches.fit(&data, 8, &Device::flex(), go_on).unwrap();
    let score = |means: &[f32]| {
        let first = means.to_vec();
        let found = config(20, 1, true).fit_from(&data, 8, first, &Device::flex(), go_on).unwrap();
        found.iterations[0].objective
    };
    let (a, b) = (score(&at_once.means), score(&batches.means));
    assert!(b > 0.995 * a, "{a} {b}");
}

#[test]
fn batches_move_empty_means() {
    let data: Vec<f32> =
        (0..200).map(|i| (if i % 2 == 0 { 0.0 } else { 10.0 }) + i as f32 * 1e-3).collect();
    let config = KMeansConfig { batch: Some(50), ..config(3, 40, false) };
    let found = config.fit_from(&data, 1, vec![0.0, 0.1, -90.0], &Device::flex(), go_on).unwrap();
    assert_eq!(found.iterations[3].empty, 1, "counted at the end of the first pass");
    assert_eq!(found.iterations[..3].iter().map(|i| i.empty).sum::<usize>(), 0);
    assert!(found.means.iter().all(|mean| *mean > -1.0), "{:?}", found.means);
    assert!(found.means.iter().any(|mean| *mean > 9.0), "{:?}", found.means);
}

/// Coates & Ng's update, in `reference.py`.
#[test]
fn rows_weighted_by_products_match_the_reference() {
    let reference: Value = serde_json::from_str(include_str!("reference.json")).unwrap();
    for case in reference.as_array().unwrap() {
        let number = |key: &str| case[key].as_u64().unwrap() as usize;
        let (columns, means) = (number("columns"), number("means"));
        let data = rows(number("rows"), columns);
        let config =
            KMeansConfig { weight: RowWeight::Product, ..config(means, number("updates"), true) };
        let first = data[..means * columns].to_vec();
        let found = config.fit_from(&data, columns, first, &Device::flex(), go_on).unwrap();
        let theirs = case["by_product"].as_array().unwrap();
        for (ours, theirs) in found.means.iter().zip(theirs) {
            let theirs = theirs.as_f64().unwrap();
            assert!((f64::from(*ours) - theirs).abs() < 1e-5, "{ours} {theirs}");
        }
    }
}
