//! Dense row-major matrices of vectors, one row per item or user, and the inner products of their rows.

use std::borrow::Cow;
use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

use crate::error::Error;

/// A row-major matrix of float32 values: `[row, column]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    data: Vec<f32>,
}

/// Why values do not form a matrix, or two matrices do not match.
#[allow(missing_docs, reason = "a variant is what its message says")]
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    #[error("{values} values do not fill {rows} rows of {columns} columns")]
    Size { rows: usize, columns: usize, values: usize },
    #[error(
        "row {row}, column {column} of the {what} is {value}, but values must be finite; find the step \
         at which they stopped being finite"
    )]
    NotFinite { what: &'static str, row: usize, column: usize, value: f32 },
    #[error(
        "the {what} have {columns} columns, the {other} {other_columns}; both must come from one \
         factorization"
    )]
    Columns { what: &'static str, columns: usize, other: &'static str, other_columns: usize },
    #[error("{rows} {what} are too many: positions have 32 bits, so at most 4294967295 fit")]
    TooMany { what: &'static str, rows: usize },
}

impl From<MatrixError> for Error {
    fn from(error: MatrixError) -> Self {
        Self::Data(error.to_string())
    }
}

impl Matrix {
    /// A matrix of row-major `data`.
    ///
    /// # Errors
    /// If `data` does not have `rows` times `columns` values.
    pub fn new(rows: usize, columns: usize, data: Vec<f32>) -> Result<Self, MatrixError> {
        if rows.checked_mul(columns) != Some(data.len()) {
            return Err(MatrixError::Size { rows, columns, values: data.len() });
        }
        Ok(Self { rows, columns, data })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All values, row-major.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// All values, row-major, without a copy.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// Row `row`.
    ///
    /// # Panics
    /// If `row` is not below [`Matrix::rows`].
    pub fn row(&self, row: usize) -> &[f32] {
        self.rows_at(row..row + 1)
    }

    /// Whether all values of a row are 0, as are the factors of a user or an item without plays.
    ///
    /// # Panics
    /// If `row` is not below [`Matrix::rows`].
    pub fn is_zero(&self, row: usize) -> bool {
        self.row(row).iter().all(|value| *value == 0.0)
    }

    /// The values of consecutive rows.
    pub(crate) fn rows_at(&self, rows: Range<usize>) -> &[f32] {
        &self.data[rows.start * self.columns..rows.end * self.columns]
    }

    /// The rows at `positions`, in that order.
    ///
    /// # Panics
    /// If a position is not below [`Matrix::rows`].
    pub fn gather(&self, positions: &[u32]) -> Self {
        let mut data = Vec::with_capacity(positions.len() * self.columns);
        for &position in positions {
            data.extend_from_slice(self.row(position as usize));
        }
        Self { rows: positions.len(), columns: self.columns, data }
    }

    /// The Gram matrix `[column, column]`: the sum over rows of their outer products, in float64. It does not depend
    /// on the number of threads.
    pub fn gram(&self) -> Vec<f64> {
        /// Rows per partial sum, and partial sums held at once.
        const ROWS: usize = 1 << 14;
        const PARTS: usize = 16;
        let n = self.columns;
        let part = |rows: &[f32]| {
            let rows: Vec<f64> = rows.iter().map(|value| f64::from(*value)).collect();
            let rows = MatRef::from_row_major_slice(&rows, rows.len() / n, n);
            let mut gram = Mat::zeros(n, n);
            matmul(gram.as_mut(), Accum::Replace, rows.transpose(), rows, 1.0, Par::Seq);
            gram
        };
        let mut gram = Mat::<f64>::zeros(n, n);
        for rows in self.data.chunks(ROWS * PARTS * n.max(1)) {
            let parts: Vec<Mat<f64>> = rows.par_chunks(ROWS * n).map(part).collect();
            parts.into_iter().for_each(|part| gram += part);
        }
        // Lower and upper triangle can be rounded differently.
        (0..n * n).map(|at| gram[((at / n).max(at % n), (at / n).min(at % n))]).collect()
    }

    /// Checks that all values are finite; `what` names the matrix in the error.
    ///
    /// # Errors
    /// [`MatrixError::NotFinite`] with the first value that is NaN or infinite.
    pub fn check_finite(&self, what: &'static str) -> Result<(), MatrixError> {
        match self.data.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(at) => Err(MatrixError::NotFinite {
                what,
                row: at / self.columns,
                column: at % self.columns,
                value: self.data[at],
            }),
        }
    }
}

/// With fewer left or right rows, `gemm` adds in another order; the operands are then padded with zeros.
const MIN_LEFT: usize = 2;
const MIN_RIGHT: usize = 129;

/// Inner products of rows: `out[i, j]` is the product of row `i` of `left` and row `j` of `right`, all with `columns`
/// values. Runs on the calling thread.
///
/// A product depends on its two rows only, bit for bit, and not on their positions or on the other rows: equal rows tie
/// exactly, and matrices can be split into blocks anywhere.
///
/// # Shapes
/// - `left`: `[left row, column]`, `right`: `[right row, column]`, `out`: `[left row, right row]`
pub(crate) fn products(left: &[f32], right: &[f32], columns: usize, out: &mut [f32]) {
    if columns == 0 || left.is_empty() || right.is_empty() {
        return out.fill(0.0);
    }
    let (m, n) = (left.len() / columns, right.len() / columns);
    assert!(m * columns == left.len() && n * columns == right.len() && m * n == out.len());
    if m >= MIN_LEFT && n >= MIN_RIGHT {
        return multiply(left, right, columns, out);
    }
    let (left, right) = (padded(left, MIN_LEFT * columns), padded(right, MIN_RIGHT * columns));
    let width = right.len() / columns;
    let mut wide = vec![0.0; left.len() / columns * width];
    multiply(&left, &right, columns, &mut wide);
    for (out, wide) in out.chunks_exact_mut(n).zip(wide.chunks_exact(width)) {
        out.copy_from_slice(&wide[..n]);
    }
}

fn padded(values: &[f32], least: usize) -> Cow<'_, [f32]> {
    if values.len() >= least {
        return Cow::Borrowed(values);
    }
    let mut padded = values.to_vec();
    padded.resize(least, 0.0);
    Cow::Owned(padded)
}

fn multiply(left: &[f32], right: &[f32], columns: usize, out: &mut [f32]) {
    let (m, n) = (left.len() / columns, right.len() / columns);
    assert!(m * columns == left.len() && n * columns == right.len() && m * n == out.len());
    // A slice has at most isize::MAX bytes, so the strides do not overflow.
    let (wide, long) = (n as isize, columns as isize);
    // SAFETY: the strides describe `out` as m rows of n, `left` as m rows of `columns` and `right`, transposed, as n
    // columns of `columns` values. The assertion checks that these shapes fit the slices exactly. `out` is borrowed
    // exclusively, so it does not overlap the others.
    unsafe {
        gemm::gemm(
            m,
            n,
            columns,
            out.as_mut_ptr(),
            1,
            wide,
            false,
            left.as_ptr(),
            1,
            long,
            right.as_ptr(),
            long,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::rng::philox;

    /// Uniform values in `[-1, 1)`.
    pub(crate) fn noise(stream: u64, rows: usize, columns: usize) -> Matrix {
        let data = (0..(rows * columns) as u64)
            .map(|i| (philox([stream, 77], [i, 0, 0, 0])[0] >> 40) as f32 / (1 << 23) as f32 - 1.0)
            .collect();
        Matrix::new(rows, columns, data).unwrap()
    }

    #[test]
    fn products_are_sums_of_products() {
        for (m, n, columns) in [(1, 1, 1), (3, 5, 2), (1, 300, 50), (70, 200, 7), (2, 129, 1100)] {
            let (left, right) = (noise(1, m, columns), noise(2, n, columns));
            let mut out = vec![f32::NAN; m * n];
            products(left.data(), right.data(), columns, &mut out);
            for i in 0..m {
                for j in 0..n {
                    let pairs = left.row(i).iter().zip(right.row(j));
                    let exact: f64 = pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                    // Each sum has an error of at most columns / 2^24 of sum |a b|.
                    let bound = columns as f64 * columns as f64 / (1 << 24) as f64;
                    let ours = f64::from(out[i * n + j]);
                    assert!((ours - exact).abs() <= bound, "{m} {n} {columns}: {ours} {exact}");
                }
            }
        }
    }

    #[test]
    fn products_depend_on_their_two_rows_only() {
        for columns in [1, 2, 3, 8, 50, 400, 513, 1100] {
            let (left, right) = (noise(3, 67, columns), noise(4, 1031, columns));
            let mut whole = vec![0.0; 67 * 1031];
            products(left.data(), right.data(), columns, &mut whole);
            for rows in [0..1, 0..2, 5..12, 1..66, 66..67] {
                for places in [0..1, 0..2, 7..135, 7..136, 500..1031, 1030..1031, 3..1000] {
                    let (a, b) = (left.rows_at(rows.clone()), right.rows_at(places.clone()));
                    let mut part = vec![0.0; rows.len() * places.len()];
                    products(a, b, columns, &mut part);
                    for (i, part) in rows.clone().zip(part.chunks_exact(places.len())) {
                        let of_whole = &whole[i * 1031..][places.clone()];
                        assert_eq!(part, of_whole, "{columns} columns, {rows:?}, {places:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn empty_matrices_have_empty_or_zero_products() {
        products(&[], &[1.0, 2.0], 2, &mut []);
        let mut out = [f32::NAN; 3];
        products(&[], &[], 0, &mut out);
        assert_eq!(out, [0.0; 3]);
    }

    #[test]
    fn gram_is_the_sum_of_outer_products() {
        for (rows, n) in [(40_000, 3), (5, 2), (0, 4), (3, 0)] {
            let x = noise(7, rows, n);
            let gram = x.gram();
            for (at, value) in gram.iter().enumerate() {
                let product = |row| f64::from(x.row(row)[at / n]) * f64::from(x.row(row)[at % n]);
                let exact: f64 = (0..rows).map(product).sum();
                assert!((value - exact).abs() <= 1e-9 * rows as f64, "{rows} {n}: {value} {exact}");
                assert_eq!(*value, gram[at % n * n + at / n]);
            }
        }
    }

    #[test]
    fn shapes_and_values_are_checked() {
        let error = Matrix::new(2, 3, vec![0.0; 5]).unwrap_err().to_string();
        assert_eq!(error, "5 values do not fill 2 rows of 3 columns");
        assert!(Matrix::new(usize::MAX, 2, vec![]).is_err());
        let matrix = Matrix::new(2, 2, vec![1.0, 2.0, 3.0, f32::NAN]).unwrap();
        let error = matrix.check_finite("item factors").unwrap_err().to_string();
        assert!(error.starts_with("row 1, column 1 of the item factors is NaN"), "{error}");
        assert_eq!(matrix.gather(&[1, 0, 1]).rows(), 3);
        assert_eq!(matrix.gather(&[0]).check_finite("items").map_err(|e| e.to_string()), Ok(()));
    }
}
