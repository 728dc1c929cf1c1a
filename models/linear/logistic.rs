//! Logistic regression: the probability of a tag as the sigmoid of a linear function of features.
//!
//! The objective is that of scikit-learn's `LogisticRegression(C)`:
//!
//! ```text
//! |w|^2 / 2 + C sum over rows of log(1 + exp(-s (w'x + b))),   s = 1 for positives, -1 for negatives
//! ```
//!
//! The bias `b` is not regularised. Newton's method with the exact Hessian and a line search finds the
//! unique minimum; it stops at a gradient below [`TOLERANCE`] relative to the initial gradient.

use faer::linalg::solvers::Solve;
use faer::{Col, Mat, MatRef, Side};

use crate::error::{NotFinite, all_finite};

/// A fitted logistic regression.
#[derive(Clone, Debug, PartialEq)]
pub struct Logistic {
    /// `[column]`
    pub weights: Vec<f64>,
    /// The logit of a row of zeros.
    pub bias: f64,
}

/// Why a fit failed.
#[allow(missing_docs, reason = "the messages describe the variants")]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LogisticError {
    #[error("C is {0}, but must be above 0 and finite")]
    Regularization(f64),
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
    #[error("all {rows} rows are {which}; positive and negative rows are needed")]
    OneClass { rows: usize, which: &'static str },
    #[error("Newton's method did not converge in {steps} steps: the gradient is {gradient}")]
    NotConverged { steps: usize, gradient: f64 },
}

/// Largest entry of the final gradient, relative to the gradient at 0.
pub const TOLERANCE: f64 = 1e-9;
/// Largest number of Newton steps; ten are usual.
const STEPS: usize = 100;

impl Logistic {
    /// Fits a regression.
    ///
    /// # Shapes
    /// - `rows`: `[row, column]`, preferably standardised
    /// - `positive`: one per row
    ///
    /// # Errors
    /// If `c` is not above 0, a value is not finite, or all rows are positive or all are negative.
    ///
    /// # Panics
    /// If `rows` and `positive` differ in length.
    pub fn fit(
        rows: MatRef<'_, f64>,
        positive: &[bool],
        c: f64,
    ) -> Result<Logistic, LogisticError> {
        assert_eq!(rows.nrows(), positive.len(), "one label per row");
        if !(c > 0.0 && c.is_finite()) {
            return Err(LogisticError::Regularization(c));
        }
        let (count, columns) = (rows.nrows(), rows.ncols());
        all_finite(rows.row_iter().flat_map(|row| row.iter().copied()), columns)?;
        let positives = positive.iter().filter(|positive| **positive).count();
        if positives == 0 || positives == count {
            let which = if positives == 0 { "negative" } else { "positive" };
            return Err(LogisticError::OneClass { rows: count, which });
        }
        // The last column is the bias.
        let x =
            Mat::from_fn(count, columns + 1, |i, j| if j < columns { rows[(i, j)] } else { 1.0 });
        let mut theta = Col::<f64>::zeros(columns + 1);
        let mut value = objective(&x, positive, c, &theta);
        let mut first = None;
        for step in 0.. {
            let (gradient, hessian) = derivatives(&x, positive, c, &theta);
            let size = gradient.norm_max();
            let scale = *first.get_or_insert(size.max(c));
            if size <= TOLERANCE * scale {
                break;
            }
            if step == STEPS || !size.is_finite() {
                return Err(LogisticError::NotConverged { steps: step, gradient: size });
            }
            let direction = match hessian.llt(Side::Lower) {
                Ok(factor) => factor.solve(&gradient),
                // If all predictions are certain, the Hessian of the bias vanishes.
                Err(_) => gradient.clone(),
            };
            let slope = gradient.transpose() * &direction;
            let mut length = 1.0;
            loop {
                let next = &theta - faer::Scale(length) * &direction;
                let next_value = objective(&x, positive, c, &next);
                let decreased = next_value <= value - 1e-4 * length * slope;
                // Near the minimum, rounding hides the decrease.
                if decreased || length < 1e-10 || slope <= 1e-12 * value.abs() {
                    (theta, value) = (next, next_value);
                    break;
                }
                length /= 2.0;
            }
        }
        let weights = (0..columns).map(|j| theta[j]).collect();
        Ok(Logistic { weights, bias: theta[columns] })
    }

    /// The logit of one row.
    pub fn logit(&self, row: impl Iterator<Item = f64>) -> f64 {
        self.weights.iter().zip(row).map(|(w, x)| w * x).sum::<f64>() + self.bias
    }
}

fn objective(x: &Mat<f64>, positive: &[bool], c: f64, theta: &Col<f64>) -> f64 {
    let logits = x * theta;
    let loss = |row: usize| {
        let m = if positive[row] { logits[row] } else { -logits[row] };
        // log(1 + exp(-m)) without overflow.
        (-m).max(0.0) + (-m.abs()).exp().ln_1p()
    };
    let losses: f64 = (0..positive.len()).map(loss).sum();
    let squares: f64 = (0..x.ncols() - 1).map(|j| theta[j].powi(2)).sum();
    squares / 2.0 + c * losses
}

/// Gradient and Hessian of the objective.
fn derivatives(x: &Mat<f64>, positive: &[bool], c: f64, theta: &Col<f64>) -> (Col<f64>, Mat<f64>) {
    let logits = x * theta;
    let (count, width) = (x.nrows(), x.ncols());
    let sigmoid = |z: f64| match z >= 0.0 {
        true => 1.0 / (1.0 + (-z).exp()),
        false => z.exp() / (1.0 + z.exp()),
    };
    let p: Vec<f64> = (0..count).map(|row| sigmoid(logits[row])).collect();
    let error = Col::from_fn(count, |row| c * (p[row] - f64::from(u8::from(positive[row]))));
    let weighted = Mat::from_fn(count, width, |i, j| c * x[(i, j)] * p[i] * (1.0 - p[i]));
    let (mut gradient, mut hessian) = (x.transpose() * &error, x.transpose() * &weighted);
    for j in 0..width - 1 {
        gradient[j] += theta[j];
        hessian[(j, j)] += 1.0;
    }
    (gradient, hessian)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Rows that `logistic/reference.py` repeats.
    fn rows(count: usize, columns: usize) -> Mat<f64> {
        Mat::from_fn(count, columns, |i, j| {
            let (x, y) = (i as f64, j as f64);
            (1.7 * x + 0.9 * y * y).sin() + 0.5 * (0.3 * x * (y + 1.0)).cos()
        })
    }

    fn positive(count: usize, cut: f64) -> Vec<bool> {
        let data = rows(count, 2);
        (0..count)
            .map(|i| data[(i, 0)] - 0.5 * data[(i, 1)] + 0.6 * (i as f64).cos() > cut)
            .collect()
    }

    #[test]
    fn weights_agree_with_scikit_learn() {
        let reference: Value =
            serde_json::from_str(include_str!("logistic/reference.json")).unwrap();
        for case in reference.as_array().unwrap() {
            let number = |key: &str| case[key].as_f64().unwrap();
            let (count, columns) = (number("rows") as usize, number("columns") as usize);
            let positive = positive(count, number("cut"));
            let found =
                Logistic::fit(rows(count, columns).as_ref(), &positive, number("c")).unwrap();
            let theirs = case["weights"].as_array().unwrap();
            assert_eq!(found.weights.len(), theirs.len());
            for (ours, theirs) in found.weights.iter().zip(theirs) {
                let theirs = theirs.as_f64().unwrap();
                assert!((ours - theirs).abs() < 1e-5 * theirs.abs().max(0.1), "{ours} {theirs}");
            }
            assert!(
                (found.bias - number("bias")).abs() < 1e-5,
                "{} {}",
                found.bias,
                number("bias")
            );
        }
    }

    #[test]
    fn separable_rows_and_constant_columns_have_a_minimum() {
        let x = Mat::from_fn(40, 3, |i, j| match j {
            0 => i as f64 - 19.5,
            1 => 1.0,
            _ => 0.0,
        });
        let positive: Vec<bool> = (0..40).map(|i| i >= 20).collect();
        let found = Logistic::fit(x.as_ref(), &positive, 1e4).unwrap();
        assert!(found.weights[0] > 1.0 && found.weights[2].abs() < 1e-9, "{found:?}");
        // The bias, which is not regularised, takes the place of a constant column.
        assert!(found.weights[1].abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn invalid_input_is_named() {
        let x = rows(10, 2);
        let fails =
            |positive: &[bool], c| Logistic::fit(x.as_ref(), positive, c).unwrap_err().to_string();
        assert!(fails(&[true; 10], 1.0).starts_with("all 10 rows are positive"));
        assert!(fails(&[false; 10], 1.0).starts_with("all 10 rows are negative"));
        assert!(fails(&[true; 10], 0.0).starts_with("C is 0"));
        assert!(fails(&[true; 10], f64::NAN).starts_with("C is NaN"));
        let mut broken = x.clone();
        broken[(3, 1)] = f64::NAN;
        let error = Logistic::fit(broken.as_ref(), &positive(10, 0.0), 1.0).unwrap_err();
        assert!(error.to_string().starts_with("row 3, column 1 is NaN"), "{error}");
    }
}
