//! Linear support vector machine: squared hinge loss, L2 regularisation, one versus rest.
//!
//! The objective of every class, with `y = 1` for its rows and `-1` for the others, is
//!
//! ```text
//! 1/2 (|w|^2 + b^2)  +  C * sum of max(0, 1 - y (w'x + b))^2
//! ```
//!
//! The bias is regularised like the weight of an additional column of ones, as in LIBLINEAR (Fan et al. 2008)
//! and therefore in scikit-learn's `LinearSVC`. P4 (van den Oord, Dieleman & Schrauwen 2014) classifies genres
//! with a linear SVM.
//!
//! Newton's method in the primal (Chapelle 2007, Training a support vector machine in the primal): the
//! objective is quadratic as long as the same rows violate the margin, so that a few exact steps with line
//! search reach the minimum. If there are more columns than rows, the rows are first rotated into as many
//! dimensions as there are rows, which preserves all inner products.

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve;
use faer::{Accum, Col, ColRef, Mat, MatRef, Par, Side};
use rayon::prelude::*;

use crate::error::{NotFinite, all_finite};
use crate::unsupervised::moments::add_gram;

/// Settings of the classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct SvmConfig {
    /// `C`: weight of the loss relative to the regularisation, above 0.
    pub cost: f64,
    /// Length of the gradient at which Newton's method stops, relative to its length at weights of 0.
    pub tolerance: f64,
}

/// Largest number of Newton steps per class; about ten are usual.
const STEPS: usize = 200;

/// A classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Svm {
    /// `[class, column]`
    pub weights: Vec<f64>,
    /// `[class]`
    pub biases: Vec<f64>,
    /// Final objective of each class.
    pub objectives: Vec<f64>,
    /// Number of classes whose minimum was not reached.
    pub unfinished: usize,
}

/// Why a fit failed.
#[allow(missing_docs, reason = "the messages describe the variants")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SvmError {
    #[error("the training set has no rows")]
    NoRows,
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
    #[error("row {row} is of class {class}, but there are {classes} classes")]
    NoSuchClass { row: usize, class: u32, classes: usize },
    #[error("all rows are of class {0}; a classifier needs at least two classes")]
    OneClass(u32),
    #[error("the Hessian of class {0} is not positive definite")]
    Singular(usize),
}

/// Training rows, prepared once for fits with several costs.
#[derive(Clone, Debug)]
pub struct SvmRows {
    /// `[row, dimension]`: the rows with a last column of ones, rotated if there are more columns than rows.
    x: Mat<f64>,
    /// `[column + 1, dimension]`: the inverse rotation; `None` without rotation.
    back: Option<Mat<f64>>,
    columns: usize,
    classes: Vec<u32>,
    n_classes: usize,
}

impl SvmConfig {
    /// Trains a classifier. A class without rows has weights of 0 and a bias of -1, so that it is never
    /// predicted.
    ///
    /// # Shapes
    /// - `rows`: `[row, column]`; `classes`: `[row]`, below `n_classes`
    ///
    /// # Errors
    /// If a value is not finite, or all rows are of the same class.
    pub fn fit(
        &self,
        rows: &[f32],
        columns: usize,
        classes: &[u32],
        n_classes: usize,
    ) -> Result<Svm, SvmError> {
        self.fit_rows(&SvmRows::new(rows, columns, classes, n_classes)?, None)
    }

    /// [`SvmConfig::fit`] on prepared rows; `from`, a classifier of the same rows, is a warm start.
    ///
    /// # Errors
    /// As [`SvmConfig::fit`].
    pub fn fit_rows(&self, rows: &SvmRows, from: Option<&Svm>) -> Result<Svm, SvmError> {
        let d = rows.x.ncols();
        let found: Vec<Result<Binary, SvmError>> = (0..rows.n_classes)
            .into_par_iter()
            .map(|class| {
                if !rows.classes.iter().any(|own| *own as usize == class) {
                    return Ok(Binary { weights: None, objective: 0.0, done: true });
                }
                let first = from.map(|svm| rows.rotated(svm, class));
                self.binary(rows, class, first.unwrap_or_else(|| Col::zeros(d)))
            })
            .collect();
        let mut svm = Svm {
            weights: Vec::with_capacity(rows.n_classes * rows.columns),
            biases: Vec::with_capacity(rows.n_classes),
            objectives: Vec::with_capacity(rows.n_classes),
            unfinished: 0,
        };
        for found in found {
            let found = found?;
            match found.weights {
                None => {
                    svm.weights.extend(std::iter::repeat_n(0.0, rows.columns));
                    svm.biases.push(-1.0);
                }
                Some(w) => {
                    let w = match &rows.back {
                        Some(back) => back * &w,
                        None => w,
                    };
                    svm.weights.extend((0..rows.columns).map(|column| w[column]));
                    svm.biases.push(w[rows.columns]);
                }
            }
            svm.objectives.push(found.objective);
            svm.unfinished += usize::from(!found.done);
        }
        Ok(svm)
    }

    /// One class against the rest, starting from weights `w`.
    fn binary(&self, rows: &SvmRows, class: usize, mut w: Col<f64>) -> Result<Binary, SvmError> {
        let (x, c) = (&rows.x, self.cost);
        let (n, d) = (x.nrows(), x.ncols());
        let y: Vec<f64> = rows
            .classes
            .iter()
            .map(|own| if *own as usize == class { 1.0 } else { -1.0 })
            .collect();
        // At weights of 0 all rows violate the margin.
        let start = 2.0 * c * (x.transpose() * ColRef::from_slice(&y)).norm_l2();
        let mut f = x * &w;
        let mut violating = vec![false; n];
        // Gram matrix of the rows that violate the margin, lower triangle.
        let mut gram = Mat::<f64>::zeros(d, d);
        let mut value = objective(&w, &f, &y, c);
        for step in 0.. {
            let now: Vec<bool> = (0..n).map(|row| y[row] * f[row] < 1.0).collect();
            // y - f of the violating rows, 0 for the others
            let residual = Col::from_fn(n, |row| if now[row] { y[row] - f[row] } else { 0.0 });
            let pull = x.transpose() * &residual;
            let gradient = Col::from_fn(d, |i| w[i] - 2.0 * c * pull[i]);
            // With NaN the loop runs to its last step.
            let done = gradient.norm_l2() <= self.tolerance * start;
            if done || step == STEPS {
                return Ok(Binary { weights: Some(w), objective: value, done });
            }
            update_gram(&mut gram, x, &violating, &now);
            violating = now;
            let hessian = Mat::from_fn(d, d, |i, j| {
                let (low, high) = (i.max(j), i.min(j));
                2.0 * c * gram[(low, high)] + if i == j { 1.0 } else { 0.0 }
            });
            let factors = hessian.llt(Side::Lower).map_err(|_| SvmError::Singular(class))?;
            let direction = factors.solve(&gradient);
            let df = x * &direction;
            // Backtracking line search.
            let slope: f64 = (0..d).map(|i| gradient[i] * direction[i]).sum();
            let mut length = 1.0;
            let (mut next, mut next_f, mut next_value);
            loop {
                next = Col::from_fn(d, |i| w[i] - length * direction[i]);
                next_f = Col::from_fn(n, |i| f[i] - length * df[i]);
                next_value = objective(&next, &next_f, &y, c);
                if next_value <= value - 1e-4 * length * slope || length < 1e-10 {
                    break;
                }
                length *= 0.5;
            }
            // If rounding hides any progress, this is the minimum.
            if next_value >= value {
                let done = gradient.norm_l2() <= 1e-6 * start;
                return Ok(Binary { weights: Some(w), objective: value, done });
            }
            // Updates of f accumulate rounding errors.
            f = if step % 8 == 7 { x * &next } else { next_f };
            (w, value) = (next, next_value);
        }
        unreachable!("the loop has a last step")
    }
}

/// The classifier of one class against the rest.
struct Binary {
    /// `None` for a class without rows.
    weights: Option<Col<f64>>,
    objective: f64,
    done: bool,
}

fn objective(w: &Col<f64>, f: &Col<f64>, y: &[f64], cost: f64) -> f64 {
    let loss: f64 = y.iter().zip(f.iter()).map(|(y, f)| (1.0 - y * f).max(0.0).powi(2)).sum();
    0.5 * w.iter().map(|w| w * w).sum::<f64>() + cost * loss
}

/// Updates the Gram matrix of the violating rows from `before` to `now`, from scratch if that is less work.
fn update_gram(gram: &mut Mat<f64>, x: &Mat<f64>, before: &[bool], now: &[bool]) {
    let rows = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
        (0..x.nrows()).filter(|&row| wanted(row)).collect()
    };
    let (added, removed) =
        (rows(&|row| now[row] && !before[row]), rows(&|row| !now[row] && before[row]));
    let all = rows(&|row| now[row]);
    let add = |gram: &mut Mat<f64>, rows: &[usize], sign| {
        let subset = Mat::from_fn(rows.len(), x.ncols(), |i, j| x[(rows[i], j)]);
        add_gram(gram, subset.as_ref(), sign);
    };
    if added.len() + removed.len() >= all.len() {
        gram.fill(0.0);
        add(gram, &all, 1.0);
    } else {
        add(gram, &added, 1.0);
        add(gram, &removed, -1.0);
    }
}

impl SvmRows {
    /// # Errors
    /// If a value is not finite, a class does not exist, or all rows are of the same class.
    ///
    /// # Panics
    /// If rows and classes differ in number.
    pub fn new(
        rows: &[f32],
        columns: usize,
        classes: &[u32],
        n_classes: usize,
    ) -> Result<Self, SvmError> {
        let n = classes.len();
        assert_eq!(rows.len(), n * columns, "one class per row");
        let Some(first) = classes.first() else { return Err(SvmError::NoRows) };
        all_finite(rows.iter().copied(), columns)?;
        if let Some(row) = classes.iter().position(|class| *class as usize >= n_classes) {
            return Err(SvmError::NoSuchClass { row, class: classes[row], classes: n_classes });
        }
        if classes.iter().all(|class| class == first) {
            return Err(SvmError::OneClass(*first));
        }
        let wide = Mat::from_fn(n, columns + 1, |row, column| match column == columns {
            true => 1.0,
            false => f64::from(rows[row * columns + column]),
        });
        let (x, back) = match n < columns + 1 {
            false => (wide, None),
            true => {
                // With wide' = Q R, the rows of R' have the same inner products as those of wide.
                let qr = wide.transpose().qr();
                (qr.thin_R().transpose().to_owned(), Some(qr.compute_thin_Q()))
            }
        };
        Ok(Self { x, back, columns, classes: classes.to_vec(), n_classes })
    }

    /// The weights of a class in the rotated space.
    fn rotated(&self, svm: &Svm, class: usize) -> Col<f64> {
        let weights = &svm.weights[class * self.columns..][..self.columns];
        let w = Col::from_fn(self.columns + 1, |i| match i == self.columns {
            true => svm.biases[class],
            false => weights[i],
        });
        match &self.back {
            Some(back) => back.transpose() * &w,
            None => w,
        }
    }
}

impl Svm {
    /// Decision values.
    ///
    /// # Shapes
    /// - `rows`: `[row, column]`
    /// - returns: `[row, class]`
    ///
    /// # Panics
    /// If the number of columns is not that of the training rows.
    pub fn decide(&self, rows: &[f32], columns: usize) -> Vec<f64> {
        let n_classes = self.biases.len();
        assert_eq!(self.weights.len(), n_classes * columns, "the columns of the training rows");
        let x =
            Mat::from_fn(rows.len() / columns, columns, |i, j| f64::from(rows[i * columns + j]));
        let w = MatRef::from_row_major_slice(&self.weights, n_classes, columns);
        let mut out = Mat::zeros(x.nrows(), n_classes);
        matmul(out.as_mut(), Accum::Replace, &x, w.transpose(), 1.0, Par::Seq);
        let count = x.nrows() * n_classes;
        (0..count)
            .map(|at| out[(at / n_classes, at % n_classes)] + self.biases[at % n_classes])
            .collect()
    }
}

#[cfg(test)]
mod tests;
