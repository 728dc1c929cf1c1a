use serde::Deserialize;

use super::neighbours::affinities;
use super::repulsion::Repulsion;
use super::tsne::attraction;
use super::*;
use crate::listening::matrix::Matrix;
use crate::listening::matrix::tests::noise;

/// Written by `reference.py` with scikit-learn.
#[derive(Deserialize)]
struct Case {
    dimensions: usize,
    perplexity: f32,
    points: Vec<f32>,
    /// Point, point, affinity.
    affinities: Vec<(usize, u32, f64)>,
}

/// Relative and absolute: scikit-learn searches widths to an entropy error of 1e-5, which has a larger
/// effect on the far tails.
const AFFINITY_TOLERANCE: f64 = 1e-3;
const TAIL_TOLERANCE: f64 = 1e-8;

#[test]
fn affinities_are_those_of_scikit_learn() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("reference.json")).unwrap();
    assert!(cases.len() >= 4);
    for case in cases {
        let n = case.points.len() / case.dimensions;
        let points = Matrix::new(n, case.dimensions, case.points).unwrap();
        let ours = affinities(&points, case.perplexity).unwrap();
        let pairs: Vec<(usize, u32, f64)> =
            (0..n).flat_map(|i| ours.row(i).map(move |(&j, &p)| (i, j, f64::from(p)))).collect();
        assert_eq!(pairs.len(), case.affinities.len());
        let sum: f64 = pairs.iter().map(|pair| pair.2).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        let mut theirs = case.affinities;
        theirs.sort_by_key(|pair| (pair.0, pair.1));
        for (ours, theirs) in pairs.iter().zip(&theirs) {
            assert_eq!((ours.0, ours.1), (theirs.0, theirs.1));
            let near = (ours.2 - theirs.2).abs() <= AFFINITY_TOLERANCE * theirs.2 + TAIL_TOLERANCE;
            assert!(near, "{ours:?} is not {theirs:?}");
        }
    }
}

/// The divergence by direct summation in double precision.
fn divergence(p: &[Vec<(usize, f64)>], map: &[[f64; 2]]) -> f64 {
    let kernel = |i: usize, j: usize| {
        let d = [map[i][0] - map[j][0], map[i][1] - map[j][1]];
        1.0 / (1.0 + d[0] * d[0] + d[1] * d[1])
    };
    let pairs = |i: usize| (0..map.len()).filter(move |&j| j != i);
    let sum: f64 = (0..map.len()).flat_map(|i| pairs(i).map(move |j| kernel(i, j))).sum();
    let terms = p.iter().enumerate().flat_map(|(i, row)| row.iter().map(move |&(j, p)| (i, j, p)));
    terms.map(|(i, j, p)| p * (p * sum / kernel(i, j)).ln()).sum()
}

#[test]
fn forces_are_the_gradient_of_the_divergence() {
    let points = noise(1, 40, 6);
    let sparse = affinities(&points, 5.0).unwrap();
    let p: Vec<Vec<(usize, f64)>> = (0..40)
        .map(|i| sparse.row(i).map(|(&j, &p)| (j as usize, f64::from(p))).collect())
        .collect();
    let map: Vec<[f32; 2]> = noise(2, 40, 2).data().chunks_exact(2).map(|p| [p[0], p[1]]).collect();
    let mut forces = vec![[0.0; 2]; 40];
    let sum = Repulsion::new().forces(&map, &mut forces);
    let wide: Vec<[f64; 2]> = map.iter().map(|p| p.map(f64::from)).collect();
    const STEP: f64 = 1e-5;
    for i in 0..40 {
        let pull = attraction(&sparse, &map, i);
        for axis in 0..2 {
            let at = |step: f64| {
                let mut moved = wide.clone();
                moved[i][axis] += step;
                divergence(&p, &moved)
            };
            let slope = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            // The learning rate contains the factor 4.
            let ours = 4.0 * (f64::from(pull[axis]) - f64::from(forces[i][axis]) / sum);
            assert!((ours - slope).abs() <= 1e-4 * slope.abs() + 2e-6, "{i}: {ours}, not {slope}");
        }
    }
}

/// Points around distant centres, and the index of the centre.
fn clusters(points: usize, centres: usize) -> (Matrix, Vec<usize>) {
    let (centre, spread) = (noise(5, centres, 10), noise(6, points, 10));
    let data = (0..points * 10)
        .map(|i| 4.0 * centre.data()[(i / 10 % centres) * 10 + i % 10] + 0.5 * spread.data()[i]);
    let matrix = Matrix::new(points, 10, data.collect()).unwrap();
    (matrix, (0..points).map(|i| i % centres).collect())
}

#[test]
fn clusters_stay_together_and_the_divergence_follows_its_definition() {
    let (points, labels) = clusters(600, 6);
    let config = TsneConfig::default();
    let mut told = Vec::new();
    let map = tsne(&points, &config, |step| told.push(step)).unwrap();
    assert_eq!(told, (1..=750).collect::<Vec<_>>());
    assert_eq!(map.perplexity, 30.0);
    let places: Vec<[f64; 2]> =
        map.points.data().chunks_exact(2).map(|p| [f64::from(p[0]), f64::from(p[1])]).collect();
    for i in 0..600 {
        let distance =
            |j: &usize| (places[i][0] - places[*j][0]).hypot(places[i][1] - places[*j][1]);
        let others = (0..600).filter(|&j| j != i);
        let nearest = others.min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap();
        assert_eq!(labels[nearest], labels[i], "point {i}");
    }
    let sparse = affinities(&points, 30.0).unwrap();
    let p: Vec<Vec<(usize, f64)>> = (0..600)
        .map(|i| sparse.row(i).map(|(&j, &p)| (j as usize, f64::from(p))).collect())
        .collect();
    let exact = divergence(&p, &places);
    // Error of the interpolated normalizer, and rounding.
    assert!((map.kl_divergence - exact).abs() <= 0.005, "{} is not {exact}", map.kl_divergence);
    // The divergence within clusters remains.
    assert!(exact > 0.0 && exact < 1.0, "{exact}");
}

#[test]
fn the_map_does_not_depend_on_the_number_of_threads() {
    let (points, _) = clusters(300, 4);
    let config = TsneConfig { exaggerated_steps: 60, steps: 60, ..TsneConfig::default() };
    let map = tsne(&points, &config, |_| ()).unwrap();
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| tsne(&points, &config, |_| ())).unwrap(), map);
    }
    let other = tsne(&points, &TsneConfig { seed: 2, ..config }, |_| ()).unwrap();
    assert_ne!(other.points, map.points);
}

#[test]
fn few_and_equal_points_have_a_map() {
    let config = TsneConfig::default();
    let one = tsne(&noise(1, 1, 5), &config, |_| ()).unwrap();
    assert_eq!((one.points.data(), one.kl_divergence), (&[0.0, 0.0][..], 0.0));
    for n in [2, 3, 4, 5, 10, 80] {
        let equal = Matrix::new(n, 5, vec![7.5; 5 * n]).unwrap();
        let nothing = Matrix::new(n, 0, vec![]).unwrap();
        let huge = Matrix::new(n, 1, noise(3, n, 1).data().iter().map(|v| v * 3e38).collect());
        for points in [noise(2, n, 5), equal, nothing, huge.unwrap()] {
            let map = tsne(&points, &config, |_| ()).unwrap();
            map.points.check_finite("map").unwrap();
            assert!(map.kl_divergence.is_finite(), "{n} points: {}", map.kl_divergence);
            assert_eq!((map.points.rows(), map.points.columns()), (n, 2));
            assert!(map.perplexity <= ((n - 1) as f32 / 3.0).max(1.5), "{}", map.perplexity);
        }
    }
}

#[test]
fn equal_points_are_recognised() {
    let equal = |rows, values: &[f32]| {
        are_equal(&Matrix::new(rows, values.len() / rows, values.to_vec()).unwrap())
    };
    assert!(equal(3, &[7.5, -1.0, 7.5, -1.0, 7.5, -1.0]));
    assert!(equal(3, &[0.0; 6]));
    assert!(equal(2, &[1000.0, 1e-4, 1000.001, 2e-4]));
    assert!(!equal(2, &[1e-7, 2e-7, 1e-7, 1e-7]));
    assert!(!equal(3, &[7.5, -1.0, 7.5, -1.0, 7.5, -1.001]));
    // One point alone is where it is.
    assert!(!equal(1, &[7.5, -1.0]));
    assert!(!are_equal(&noise(1, 50, 5)));
    assert!(!are_equal(&Matrix::new(0, 5, vec![]).unwrap()));
}

#[test]
fn errors_name_the_value_and_the_place() {
    let config = TsneConfig::default();
    let fails = |points: &Matrix, config| tsne(points, &config, |_| ()).unwrap_err().to_string();
    assert!(fails(&noise(1, 0, 5), config).starts_with("no points"));
    let nan = Matrix::new(2, 2, vec![0.0, 1.0, f32::NAN, 1.0]).unwrap();
    let error = fails(&nan, config);
    assert!(error.starts_with("row 1, column 0 of the points is NaN"), "{error}");
    for perplexity in [0.5, -1.0, f32::NAN, f32::INFINITY] {
        let error = fails(&noise(1, 50, 5), TsneConfig { perplexity, ..config });
        assert!(error.starts_with("perplexity is "), "{error}");
    }
    let error = fails(&noise(1, 50, 5), TsneConfig { exaggeration: 0.0, ..config });
    assert!(error.starts_with("exaggeration is 0"), "{error}");
}
