//! Every kernel with every instruction set, against the definition in `f64`.

#![allow(clippy::needless_range_loop, reason = "matrices by row and column, as in the formulas")]

use super::*;
use crate::testing::noise;

/// Rows of `columns` random values, with zeros up to the leading dimension.
fn matrix(rows: usize, columns: usize, ld: usize, seed: u32) -> Vec<f32> {
    let mut values = noise(seed, rows * ld);
    for row in values.chunks_mut(ld) {
        row[columns..].fill(0.0);
    }
    values
}

/// For sums of up to a few hundred products of values below 1 in `f32`.
#[track_caller]
fn close(a: f32, b: f64, scale: f64) {
    let difference = (f64::from(a) - b).abs();
    assert!(difference <= 3e-6 * scale, "{a} instead of {b}");
}

const SIZES: [usize; 12] = [1, 2, 7, 8, 9, 15, 16, 17, 33, 50, 63, 100];

#[test]
fn gram_matrix_equals_its_definition() {
    for width in Width::all() {
        for n in SIZES {
            for depth in [1, 5, 40] {
                let ld = padded(n + 1);
                let a = matrix(depth, n + 1, ld, 1);
                let mut c = vec![7.0; padded_rows(n) * ld];
                for (times, more) in [(1.0, false), (2.0, true)] {
                    width.gram(&a, ld, depth, &mut c, n, n + 1, more);
                    for i in 0..n {
                        for j in i..n + 1 {
                            let sum: f64 = (0..depth)
                                .map(|k| f64::from(a[k * ld + i]) * f64::from(a[k * ld + j]))
                                .sum();
                            close(c[i * ld + j], times * sum, depth as f64);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn cholesky_factor_solves_the_system() {
    for width in Width::all() {
        for n in SIZES {
            let ld = padded(n + 1);
            let a = matrix(n + 3, n, ld, 2);
            let right = noise(3, n);
            let mut c = vec![0.0; padded_rows(n) * ld];
            width.gram(&a, ld, n + 3, &mut c, n, n + 1, false);
            for i in 0..n {
                c[i * ld + i] += n as f32;
                c[i * ld + n] = right[i];
            }
            let full = c.clone();
            let mut inverse = vec![0.0; padded_rows(n)];
            let mut w = vec![9.0; ld];
            assert!(width.cholesky(&mut c, ld, n, &mut inverse));
            width.back_substitute(&c, ld, n, &inverse, &mut w);
            assert!(w[n..].iter().all(|x| *x == 0.0));
            for i in 0..n {
                let sum: f64 = (0..n)
                    .map(|j| f64::from(full[i.min(j) * ld + i.max(j)]) * f64::from(w[j]))
                    .sum();
                close(right[i], sum, 4.0);
            }
            // u' z = r.
            for j in 0..n {
                let sum: f64 =
                    (0..=j).map(|i| f64::from(c[i * ld + j]) * f64::from(c[i * ld + n])).sum();
                close(right[j], sum, 4.0);
            }
        }
    }
}

#[test]
fn cholesky_refuses_matrices_that_are_not_positive_definite() {
    for width in Width::all() {
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            for at in [0, 5, 18] {
                let ld = padded(20);
                let mut c = vec![0.0; padded_rows(19) * ld];
                for i in 0..19 {
                    c[i * ld + i] = if i == at { bad } else { 1.0 };
                }
                assert!(!width.cholesky(&mut c, ld, 19, &mut vec![0.0; padded_rows(19)]));
            }
        }
    }
}

#[test]
fn triangular_products_equal_their_definition() {
    for width in Width::all() {
        for n in SIZES {
            for triangle in [Triangle::Lower, Triangle::Upper] {
                let (rows, lda, ld) = (11, n + 2, padded(n));
                let a = noise(4, rows * lda);
                let mut b = matrix(n, n, ld, 5);
                for i in 0..n {
                    for j in 0..n {
                        if (triangle == Triangle::Lower && i < j)
                            || (triangle == Triangle::Upper && i > j)
                        {
                            b[i * ld + j] = 0.0;
                        }
                    }
                }
                let mut c = vec![7.0; rows * ld];
                width.multiply(&a, lda, rows, &b, triangle, n, &mut c, ld);
                for i in 0..rows {
                    for j in 0..n {
                        let sum: f64 = (0..n)
                            .map(|k| f64::from(a[i * lda + k]) * f64::from(b[k * ld + j]))
                            .sum();
                        close(c[i * ld + j], sum, n as f64);
                    }
                }
            }
        }
    }
}

#[test]
fn gathered_rows_equal_their_definition() {
    for width in Width::all() {
        for n in SIZES {
            for picked in [0, 1, 7, 15, 16, 30] {
                let ld = padded(n);
                let rows = matrix(40, n, ld, 6);
                let indices: Vec<u32> = (0..picked).map(|k| (k * 17 + 3) % 40).collect();
                let scales = noise(7, picked as usize);
                let mut out = vec![7.0; picked as usize * ld];
                width.gather(&rows, ld, n, &indices, &scales, &mut out, ld);
                let ldt = padded(picked as usize + 1);
                let mut across = vec![7.0; n.div_ceil(16) * 16 * ldt];
                width.gather_transposed(&rows, ld, n, &indices, &scales, &mut across, ldt);
                let mut sum = noise(8, n.div_ceil(16) * 16);
                let before = sum.clone();
                width.combine(&rows, ld, n, &indices, &scales, &mut sum);
                let w = matrix(1, n, ld, 9);
                let mut dots_across = vec![7.0; ldt];
                width.apply_transposed(&across, ldt, n, picked as usize, &w, &mut dots_across);
                width.prefetch(&rows, ld, n, &indices);
                for (k, &index) in indices.iter().enumerate() {
                    let mut dot = 0.0;
                    for j in 0..n {
                        let expected = scales[k] * rows[index as usize * ld + j];
                        assert_eq!(out[k * ld + j], expected);
                        assert_eq!(across[j * ldt + k], expected);
                        dot += f64::from(expected) * f64::from(w[j]);
                    }
                    close(dots_across[k], dot, n as f64);
                }
                for j in 0..n {
                    assert_eq!(across[j * ldt + picked as usize], 0.0);
                    let expected: f64 = indices
                        .iter()
                        .zip(&scales)
                        .map(|(&index, &s)| f64::from(s) * f64::from(rows[index as usize * ld + j]))
                        .sum();
                    close(sum[j], f64::from(before[j]) + expected, 31.0);
                }
            }
        }
    }
}

#[test]
fn normal_products_equal_their_definition() {
    for width in Width::all() {
        for n in SIZES {
            for picked in [0, 1, 2, 3, 4, 7, 8, 15, 22, 39] {
                let (ld, whole) = (padded(n), n.div_ceil(ALIGNMENT) * ALIGNMENT);
                let rows = matrix(40, n, ld, 6);
                let indices: Vec<u32> = (0..picked).map(|k| (k * 17 + 3) % 40).collect();
                let ahead: Vec<u32> = (0..picked / 2).collect();
                let scales = noise(7, picked as usize);
                let goals = noise(8, picked as usize);
                let x = matrix(1, n, whole, 9);
                for targets in [None, Some(&goals[..])] {
                    let mut dots = vec![7.0; picked as usize + 1];
                    let mut product = matrix(1, n, whole, 10);
                    let before = product.clone();
                    width.normal_product(
                        &rows,
                        ld,
                        n,
                        &indices,
                        &ahead,
                        &scales,
                        targets,
                        &x,
                        &mut dots,
                        &mut product,
                    );
                    let mut expected: Vec<f64> = before.iter().map(|x| f64::from(*x)).collect();
                    for (k, &index) in indices.iter().enumerate() {
                        let row: Vec<f64> = (0..n)
                            .map(|j| {
                                f64::from(scales[k]) * f64::from(rows[index as usize * ld + j])
                            })
                            .collect();
                        let dot: f64 = row.iter().zip(&x).map(|(a, b)| a * f64::from(*b)).sum();
                        close(dots[k], dot, n as f64);
                        let weight = targets.map_or(dot, |targets| f64::from(targets[k]) - dot);
                        expected.iter_mut().zip(&row).for_each(|(sum, a)| *sum += weight * a);
                    }
                    assert_eq!(dots[picked as usize], 7.0);
                    for (product, expected) in product.iter().zip(expected) {
                        close(*product, expected, n as f64 * (1.0 + f64::from(picked)));
                    }
                }
            }
        }
    }
}

#[test]
fn vector_operations_equal_their_definition() {
    for width in Width::all() {
        for n in SIZES {
            let (x, y) = (noise(1, n), noise(2, n));
            let pairs = || x.iter().zip(&y).map(|(x, y)| (f64::from(*x), f64::from(*y)));
            close(width.dot(&x, &y), pairs().map(|(x, y)| x * y).sum(), n as f64);
            let (mut sum, mut turned) = (y.clone(), y.clone());
            width.add_scaled(-0.3, &x, &mut sum);
            width.scale_and_add(-0.3, &x, &mut turned);
            for ((sum, turned), (x, y)) in sum.iter().zip(turned).zip(pairs()) {
                close(*sum, y - 0.3 * x, 1.0);
                close(turned, x - 0.3 * y, 1.0);
            }
        }
    }
}

#[test]
fn invalid_dimensions_panic() {
    let width = Width::best();
    let catch =
        |work: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err();
    assert!(catch(&|| width.gram(&[0.0; 16], 16, 2, &mut [0.0; 128], 3, 4, false)));
    assert!(catch(&|| width.gram(&[0.0; 32], 16, 2, &mut [0.0; 64], 3, 4, false)));
    assert!(catch(&|| width.gather(&[0.0; 32], 16, 4, &[2], &[1.0], &mut [0.0; 16], 16)));
    assert!(catch(&|| width.combine(&[0.0; 32], 16, 4, &[1], &[], &mut [0.0; 16])));
    let normal_product = |index, targets: &[f32], dots: &mut [f32]| {
        let (rows, x, mut product) = ([0.0; 32], [0.0; 16], [0.0; 16]);
        let targets = Some(targets);
        width.normal_product(&rows, 16, 4, &[index], &[], &[1.0], targets, &x, dots, &mut product);
    };
    assert!(!catch(&|| normal_product(1, &[1.0], &mut [0.0])));
    assert!(catch(&|| normal_product(2, &[1.0], &mut [0.0])));
    assert!(catch(&|| normal_product(1, &[], &mut [0.0])));
    assert!(catch(&|| normal_product(1, &[1.0], &mut [])));
    assert!(catch(&|| assert_eq!(width.dot(&[0.0; 3], &[0.0; 2]), 0.0)));
}
