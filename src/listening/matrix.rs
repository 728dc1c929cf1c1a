//! A plain matrix of factors, a row an item or a user, and the products of its rows.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

/// `rows` times `columns` numbers, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    data: Vec<f32>,
}

/// Why numbers are not a matrix, or two matrices do not go together.
#[allow(missing_docs, reason = "a variant is what its message says")]
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    #[error("{rows} rows of {columns} columns need as many values, not {values}")]
    Size { rows: usize, columns: usize, values: usize },
    #[error(
        "row {row}, column {column} of the {what} is {value}; only finite numbers can be used, so \
         look for the step at which the factors stopped being finite"
    )]
    NotFinite { what: &'static str, row: usize, column: usize, value: f32 },
    #[error(
        "the {what} have {columns} columns, the {other} {other_columns}; both must come from one \
         factorisation"
    )]
    Columns { what: &'static str, columns: usize, other: &'static str, other_columns: usize },
    #[error("{rows} {what} are too many: their positions are counted in 32 bits")]
    TooMany { what: &'static str, rows: usize },
}

impl Matrix {
    /// A matrix of `data`, row after row.
    ///
    /// # Errors
    /// Unless there are `rows` times `columns` values.
    pub fn new(rows: usize, columns: usize, data: Vec<f32>) -> Result<Self, MatrixError> {
        if rows.checked_mul(columns) != Some(data.len()) {
            return Err(MatrixError::Size { rows, columns, values: data.len() });
        }
        Ok(Self { rows, columns, data })
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Length of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All values, row after row.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// All values, row after row, given away.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// Row number `row`, which must be below [`Matrix::rows`].
    pub fn row(&self, row: usize) -> &[f32] {
        self.rows_at(row..row + 1)
    }

    /// The values of neighbouring rows.
    pub(crate) fn rows_at(&self, rows: Range<usize>) -> &[f32] {
        &self.data[rows.start * self.columns..rows.end * self.columns]
    }

    /// The rows at `positions`, in that order; each must be below [`Matrix::rows`].
    pub fn gather(&self, positions: &[u32]) -> Self {
        let mut data = Vec::with_capacity(positions.len() * self.columns);
        for &position in positions {
            data.extend_from_slice(self.row(position as usize));
        }
        Self { rows: positions.len(), columns: self.columns, data }
    }

    /// `[column, column]`: the sum over rows of their outer products, in double precision.
    pub fn gram(&self) -> Vec<f64> {
        let n = self.columns;
        // Partial sums of fixed stretches, so that threads change nothing.
        const STRETCH: usize = 1 << 14;
        let part = |rows: &[f32]| {
            let mut sums = vec![0.0; n * n];
            for row in rows.chunks_exact(n) {
                for (i, (a, sums)) in row.iter().zip(sums.chunks_exact_mut(n)).enumerate() {
                    let a = f64::from(*a);
                    for (sum, b) in sums[i..].iter_mut().zip(&row[i..]) {
                        *sum += a * f64::from(*b);
                    }
                }
            }
            sums
        };
        let mut gram = vec![0.0; n * n];
        if n == 0 {
            return gram;
        }
        for stretches in self.data.chunks(STRETCH * n * 16) {
            let parts: Vec<Vec<f64>> = stretches.par_chunks(STRETCH * n).map(part).collect();
            for part in parts {
                gram.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
            }
        }
        for i in 0..n {
            for j in 0..i {
                gram[i * n + j] = gram[j * n + i];
            }
        }
        gram
    }

    /// Checks that every value is finite; `what` names the rows in the error.
    ///
    /// # Errors
    /// Names the first value that is NaN or infinite.
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

/// Fewer left or right rows than these would take other paths through the matrix product, which
/// add in another order. The product is then padded with zeros.
const MIN_LEFT: usize = 2;
const MIN_RIGHT: usize = 129;

/// The inner products of rows: `out[i, j]` is the product of row `i` of `left` and row `j` of
/// `right`, all of `columns` numbers. Runs on the calling thread.
///
/// A product depends on its two rows alone, bit for bit, and not on their places or on which other
/// rows are there: equal rows tie exactly, and blocks may be cut anywhere.
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
    // A slice is of at most isize::MAX bytes, so no stride overflows.
    let (wide, long) = (n as isize, columns as isize);
    // SAFETY: the strides describe `out` as m rows of n, `left` as m rows of `columns` and `right`,
    // transposed, as n columns of `columns` numbers; the assertion makes them fit the slices
    // exactly, and `out`, borrowed exclusively, overlaps neither.
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

    /// Numbers in `[-1, 1)`.
    pub(crate) fn noise(stream: u64, rows: usize, columns: usize) -> Matrix {
        let data = (0..(rows * columns) as u64)
            .map(|i| (philox([stream, 77], [i, 0, 0, 0])[0] >> 40) as f32 / (1 << 23) as f32 - 1.0)
            .collect();
        Matrix::new(rows, columns, data).unwrap()
    }

    #[test]
    fn products_are_the_sums_written_out() {
        for (m, n, columns) in [(1, 1, 1), (3, 5, 2), (1, 300, 50), (70, 200, 7), (2, 129, 1100)] {
            let (left, right) = (noise(1, m, columns), noise(2, n, columns));
            let mut out = vec![f32::NAN; m * n];
            products(left.data(), right.data(), columns, &mut out);
            for i in 0..m {
                for j in 0..n {
                    let pairs = left.row(i).iter().zip(right.row(j));
                    let exact: f64 = pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                    // Each of the sums has an error of at most columns / 2^24 of sum |a b|.
                    let bound = columns as f64 * columns as f64 / (1 << 24) as f64;
                    let ours = f64::from(out[i * n + j]);
                    assert!((ours - exact).abs() <= bound, "{m} {n} {columns}: {ours} {exact}");
                }
            }
        }
    }

    /// What rankings rely on: a product is the same wherever its rows lie.
    #[test]
    fn products_depend_on_their_two_rows_alone() {
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
    fn without_rows_or_columns_there_is_nothing_or_zero() {
        products(&[], &[1.0, 2.0], 2, &mut []);
        let mut out = [f32::NAN; 3];
        products(&[], &[], 0, &mut out);
        assert_eq!(out, [0.0; 3]);
    }

    #[test]
    fn a_matrix_is_whole_and_finite() {
        let error = Matrix::new(2, 3, vec![0.0; 5]).unwrap_err().to_string();
        assert_eq!(error, "2 rows of 3 columns need as many values, not 5");
        assert!(Matrix::new(usize::MAX, 2, vec![]).is_err());
        let matrix = Matrix::new(2, 2, vec![1.0, 2.0, 3.0, f32::NAN]).unwrap();
        let error = matrix.check_finite("item factors").unwrap_err().to_string();
        assert!(error.starts_with("row 1, column 1 of the item factors is NaN"), "{error}");
        assert_eq!(matrix.gather(&[1, 0, 1]).rows(), 3);
        assert_eq!(matrix.gather(&[0]).check_finite("items").map_err(|e| e.to_string()), Ok(()));
    }
}
