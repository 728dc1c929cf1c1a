//! Linear support vector machine: squared hinge loss, L2 regularisation, one class against the rest.
//!
//! For every class, with `y = 1` for its rows and `-1` for the others,
//!
//! ```text
//! 1/2 (|w|^2 + b^2)  +  C * sum of max(0, 1 - y (w'x + b))^2
//! ```
//!
//! is brought to its minimum: the bias is regularised as a weight of one more column of ones, as in
//! LIBLINEAR (Fan et al. 2008) and so in scikit-learn's `LinearSVC`. P4 (van den Oord, Dieleman &
//! Schrauwen 2014) classifies genres with a linear SVM.
//!
//! Newton's method in the primal (Chapelle 2007, Training a support vector machine in the primal): the
//! objective is quadratic as long as the same rows are short of their margin, so that a few exact steps,
//! shortened where they lead too far, end at the very minimum. Where there are more columns than rows,
//! rows are rotated into as many dimensions as there are rows first, which changes no product of two.

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve;
use faer::{Accum, Col, ColRef, Mat, MatRef, Par, Side};
use rayon::prelude::*;

use crate::ModelError;
use crate::error::in_range;

/// Everything that the weights depend on besides the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct SvmConfig {
    /// `C`: weight of the loss against that of the weights.
    pub cost: f64,
    /// The gradient is small enough at this share of its length at weights of zero.
    pub tolerance: f64,
}

impl Default for SvmConfig {
    fn default() -> Self {
        Self { cost: 1.0, tolerance: 1e-9 }
    }
}

/// Most Newton steps a class; some ten are usual.
const STEPS: usize = 200;

/// A classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Svm {
    /// `[class, column]`
    pub weights: Vec<f64>,
    /// `[class]`
    pub biases: Vec<f64>,
    /// The objective of each class at its end.
    pub objectives: Vec<f64>,
    /// Classes whose minimum was not reached.
    pub unfinished: usize,
}

/// Why there is no classifier.
#[allow(missing_docs, reason = "a variant is what its message says")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SvmError {
    #[error(transparent)]
    Config(#[from] ModelError),
    #[error("there is no row to learn from")]
    NoRows,
    #[error("row {row}, column {column} is {value}; only finite numbers can be told apart")]
    NotFinite { row: usize, column: usize, value: String },
    #[error("row {row} is of class {class}; there are {classes}")]
    NoSuchClass { row: usize, class: u32, classes: usize },
    #[error("all rows are of class {0}: there is nothing to tell apart")]
    OneClass(u32),
    #[error("the equations of class {0} could not be solved")]
    Singular(usize),
}

/// Rows brought into the form in which every fit needs them; costs are tried on the same.
#[derive(Clone, Debug)]
pub struct SvmRows {
    /// `[row, dimension]`, the last column of the rows being ones before they are rotated.
    x: Mat<f64>,
    /// `[column and one, dimension]`: back to the columns; `None` where nothing was rotated.
    back: Option<Mat<f64>>,
    columns: usize,
    classes: Vec<u32>,
    n_classes: usize,
}

impl SvmConfig {
    /// # Errors
    /// Names the first value that cannot be used.
    pub fn validate(&self) -> Result<(), ModelError> {
        in_range("cost", self.cost, 1e-12, 1e12)?;
        in_range("tolerance", self.tolerance, 1e-14, 0.1)
    }

    /// Learns to tell the classes of `rows` apart. A class without rows gets weights of zero and a bias of
    /// -1: it is never found.
    ///
    /// # Shapes
    /// - `rows`: `[row, column]`; `classes`: `[row]`, below `n_classes`
    ///
    /// # Errors
    /// If a value cannot be used, a number is not finite, or all rows are of one class.
    pub fn fit(
        &self,
        rows: &[f32],
        columns: usize,
        classes: &[u32],
        n_classes: usize,
    ) -> Result<Svm, SvmError> {
        self.fit_rows(&SvmRows::new(rows, columns, classes, n_classes)?, None)
    }

    /// The same of prepared rows; `from` (of the same rows) is where to begin.
    ///
    /// # Errors
    /// As [`SvmConfig::fit`].
    pub fn fit_rows(&self, rows: &SvmRows, from: Option<&Svm>) -> Result<Svm, SvmError> {
        self.validate()?;
        let d = rows.x.ncols();
        let found: Vec<Result<Binary, SvmError>> = (0..rows.n_classes)
            .into_par_iter()
            .map(|class| {
                if !rows.classes.iter().any(|own| *own as usize == class) {
                    return Ok(Binary { weights: None, objective: 0.0, done: true });
                }
                let first = from.map(|svm| rows.turned(svm, class));
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

    /// One class against the rest, from weights `w` on.
    fn binary(&self, rows: &SvmRows, class: usize, mut w: Col<f64>) -> Result<Binary, SvmError> {
        let (x, c) = (&rows.x, self.cost);
        let (n, d) = (x.nrows(), x.ncols());
        let y: Vec<f64> = rows
            .classes
            .iter()
            .map(|own| if *own as usize == class { 1.0 } else { -1.0 })
            .collect();
        // At weights of zero all rows are short of their margin.
        let start = 2.0 * c * norm((x.transpose() * ColRef::from_slice(&y)).as_ref());
        let mut f = x * &w;
        let mut short = vec![false; n];
        // Sum of the outer products of the rows that are short of their margin, below the diagonal.
        let mut sums = Mat::<f64>::zeros(d, d);
        let mut value = objective(&w, &f, &y, c);
        for step in 0.. {
            let now: Vec<bool> = (0..n).map(|row| y[row] * f[row] < 1.0).collect();
            // y - f of the rows that are short, 0 of the others
            let residual = Col::from_fn(n, |row| if now[row] { y[row] - f[row] } else { 0.0 });
            let pull = x.transpose() * &residual;
            let gradient = Col::from_fn(d, |i| w[i] - 2.0 * c * pull[i]);
            // Written so that NaN goes on to the last step.
            let done = norm(gradient.as_ref()) <= self.tolerance * start;
            if done || step == STEPS {
                return Ok(Binary { weights: Some(w), objective: value, done });
            }
            update(&mut sums, x, &short, &now);
            short = now;
            let hessian = Mat::from_fn(d, d, |i, j| {
                let (low, high) = (i.max(j), i.min(j));
                2.0 * c * sums[(low, high)] + if i == j { 1.0 } else { 0.0 }
            });
            let factors = hessian.llt(Side::Lower).map_err(|_| SvmError::Singular(class))?;
            let direction = factors.solve(&gradient);
            let df = x * &direction;
            // Down along it: the whole step, or as much of it as leads down far enough.
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
            // Where rounding leaves nothing to gain, this is the minimum.
            if next_value >= value {
                let done = norm(gradient.as_ref()) <= 1e-6 * start;
                return Ok(Binary { weights: Some(w), objective: value, done });
            }
            // Products with x gather rounding if they are only moved.
            f = if step % 8 == 7 { x * &next } else { next_f };
            (w, value) = (next, next_value);
        }
        unreachable!("the loop has a last step")
    }
}

/// One class against the rest.
struct Binary {
    /// `None` of a class without rows.
    weights: Option<Col<f64>>,
    objective: f64,
    done: bool,
}

fn norm(x: ColRef<'_, f64>) -> f64 {
    x.norm_l2()
}

fn objective(w: &Col<f64>, f: &Col<f64>, y: &[f64], cost: f64) -> f64 {
    let loss: f64 = y.iter().zip(f.iter()).map(|(y, f)| (1.0 - y * f).max(0.0).powi(2)).sum();
    0.5 * w.iter().map(|w| w * w).sum::<f64>() + cost * loss
}

/// Adds the outer products of the rows that are new among those that count, and takes away those of the
/// rows that are no longer; anew where that is less work.
fn update(sums: &mut Mat<f64>, x: &Mat<f64>, before: &[bool], now: &[bool]) {
    let rows = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
        (0..x.nrows()).filter(|&row| wanted(row)).collect()
    };
    let (come, gone) =
        (rows(&|row| now[row] && !before[row]), rows(&|row| !now[row] && before[row]));
    let all = rows(&|row| now[row]);
    if come.len() + gone.len() >= all.len() {
        sums.fill(0.0);
        add(sums, x, &all, 1.0);
    } else {
        add(sums, x, &come, 1.0);
        add(sums, x, &gone, -1.0);
    }
}

fn add(sums: &mut Mat<f64>, x: &Mat<f64>, rows: &[usize], sign: f64) {
    if rows.is_empty() {
        return;
    }
    let picked = Mat::from_fn(rows.len(), x.ncols(), |i, j| x[(rows[i], j)]);
    // A strip of columns at a time, from the diagonal down.
    const STRIP: usize = 64;
    for first in (0..x.ncols()).step_by(STRIP) {
        let (count, below) = (STRIP.min(x.ncols() - first), x.ncols() - first);
        let left = picked.submatrix(0, first, rows.len(), below).transpose();
        let right = picked.submatrix(0, first, rows.len(), count);
        let out = sums.as_mut().submatrix_mut(first, first, below, count);
        matmul(out, Accum::Add, left, right, sign, Par::Seq);
    }
}

impl SvmRows {
    /// # Errors
    /// If a number is not finite, a class is not there, or all rows are of one.
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
        assert_eq!(rows.len(), n * columns, "a class a row");
        let Some(first) = classes.first() else { return Err(SvmError::NoRows) };
        if let Some(at) = rows.iter().position(|value| !value.is_finite()) {
            let (row, column, value) = (at / columns, at % columns, rows[at].to_string());
            return Err(SvmError::NotFinite { row, column, value });
        }
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
                // wide' = Q R: the rows of R' have the same products as those of wide.
                let qr = wide.transpose().qr();
                (qr.thin_R().transpose().to_owned(), Some(qr.compute_thin_Q()))
            }
        };
        Ok(Self { x, back, columns, classes: classes.to_vec(), n_classes })
    }

    /// Weights of a class as they are in the rotated space.
    fn turned(&self, svm: &Svm, class: usize) -> Col<f64> {
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
    /// How far each row is on each class's side.
    ///
    /// # Shapes
    /// - `rows`: `[row, column]`
    /// - returns: `[row, class]`
    ///
    /// # Panics
    /// If the rows have other columns.
    pub fn decide(&self, rows: &[f32], columns: usize) -> Vec<f64> {
        let n_classes = self.biases.len();
        assert_eq!(self.weights.len(), n_classes * columns, "rows of as many columns");
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
