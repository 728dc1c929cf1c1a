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
    KMeansConfig { means, iterations, tolerance: 0.0, spherical, seed: 1 }
}

fn go_on(_: &Iteration) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Plain: scikit-learn's Lloyd. Spherical: the update of the paper written out.
#[test]
fn means_are_those_of_the_references() {
    let reference: Value = serde_json::from_str(include_str!("reference.json")).unwrap();
    for case in reference.as_array().unwrap() {
        let number = |key: &str| case[key].as_u64().unwrap() as usize;
        let (columns, means) = (number("columns"), number("means"));
        let data = rows(number("rows"), columns);
        for (key, spherical) in [("plain", false), ("spherical", true)] {
            let config = config(means, number("updates"), spherical);
            let first = data[..means * columns].to_vec();
            let found = config.fit_from(&data, columns, first, go_on).unwrap();
            assert!(found.iterations.iter().all(|iteration| iteration.dead == 0));
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
fn the_objective_is_its_definition_and_never_gets_worse() {
    let data = rows(400, 6);
    for spherical in [false, true] {
        let found = config(5, 1, spherical).fit(&data, 6, go_on).unwrap();
        let longer = config(5, 30, spherical).fit(&data, 6, go_on).unwrap();
        // What the second iteration reports belongs to the means after the first.
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
fn a_mean_without_rows_is_put_to_use() {
    // Two clumps, and first means that lie all in one of them but one, far off.
    let mut data = vec![0.0_f32; 60];
    for (i, value) in data.iter_mut().enumerate() {
        *value = if i < 30 { 0.01 * i as f32 } else { 10.0 + 0.01 * i as f32 };
    }
    let found = config(3, 50, false).fit_from(&data, 1, vec![0.0, 0.1, -90.0], go_on).unwrap();
    assert!(found.iterations[0].dead == 1);
    assert!(found.iterations.last().unwrap().dead == 0);
    assert!(found.means.iter().all(|mean| *mean > -1.0), "{:?}", found.means);
    assert!(found.means.iter().any(|mean| *mean > 9.0), "{:?}", found.means);
}

#[test]
fn any_number_of_threads_gives_the_same() {
    let data = rows(3_000, 11);
    for spherical in [false, true] {
        let config = config(70, 8, spherical);
        let here = config.fit(&data, 11, go_on).unwrap();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(|| config.fit(&data, 11, go_on)).unwrap() == here);
        }
    }
}

#[test]
fn first_means_are_different_rows() {
    for (count, wanted) in [(10, 10), (1_000, 300), (5, 1)] {
        let mut drawn = distinct(count, wanted, 3);
        drawn.sort_unstable();
        drawn.dedup();
        assert!(drawn.len() == wanted && drawn.iter().all(|row| *row < count));
    }
}

#[test]
fn bad_input_is_named() {
    let fails = |config: &KMeansConfig, rows: &[f32], columns| {
        config.fit(rows, columns, go_on).unwrap_err().to_string()
    };
    assert!(fails(&config(3, 1, false), &[1.0, 2.0], 1).starts_with("2 rows are too few for 3"));
    let error = fails(&config(1, 1, false), &[1.0, f32::NAN, 0.0, 0.0], 2);
    assert!(error.starts_with("row 0, column 1 is NaN"), "{error}");
    assert!(fails(&config(0, 1, true), &[1.0], 1).starts_with("means = 0"));
    let stopped = config(2, 9, false).fit(&rows(50, 2), 2, |_| ControlFlow::Break(()));
    assert_eq!(stopped, Err(KMeansError::Stopped(1)));
}
