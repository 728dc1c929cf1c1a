//! Sparse matrices in compressed-row format (CSR).

use rayon::prelude::*;

/// A sparse `rows x columns` matrix: the entries of all rows in order.
///
/// Columns are strictly increasing within a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Csr {
    /// `rows + 1` values: row `r` has the entries `offsets[r]..offsets[r + 1]`.
    offsets: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
    n_columns: usize,
}

/// Invalid parts of a sparse matrix.
#[allow(missing_docs, reason = "the messages describe the variants")]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CsrError {
    #[error("{columns} column indices for {values} values: every entry needs both")]
    Lengths { columns: usize, values: usize },
    #[error(
        "{n_columns} columns are too many: column indices have 32 bits, so at most {} are possible",
        u32::MAX
    )]
    TooWide { n_columns: usize },
    #[error(
        "row offsets must begin with 0, not decrease and end with the number of entries, {entries}; \
         offset {index} is {offset:?}"
    )]
    Offsets { index: usize, offset: Option<usize>, entries: usize },
    #[error(
        "row {row} has an entry in column {column}, but the matrix has {n_columns} columns (from 0)"
    )]
    Column { row: usize, column: u32, n_columns: usize },
    #[error(
        "row {row}: column {column} follows column {before}; columns must be strictly increasing"
    )]
    Order { row: usize, before: u32, column: u32 },
    #[error("row {row}, column {column} is {value}: values must be finite")]
    Value { row: usize, column: u32, value: f32 },
}

impl Csr {
    /// A matrix of `offsets.len() - 1` rows and `n_columns` columns from its parts.
    ///
    /// # Errors
    /// If their lengths do not match, the columns of a row are not strictly increasing, or a value is not finite.
    pub fn new(
        offsets: Vec<usize>,
        columns: Vec<u32>,
        values: Vec<f32>,
        n_columns: usize,
    ) -> Result<Csr, CsrError> {
        let entries = columns.len();
        if values.len() != entries {
            return Err(CsrError::Lengths { columns: entries, values: values.len() });
        }
        if u32::try_from(n_columns).is_err() {
            return Err(CsrError::TooWide { n_columns });
        }
        let wrong = |index: usize| {
            Err(CsrError::Offsets { index, offset: offsets.get(index).copied(), entries })
        };
        if offsets.first() != Some(&0) {
            return wrong(0);
        }
        if let Some(index) = offsets.windows(2).position(|pair| pair[0] > pair[1]) {
            return wrong(index + 1);
        }
        if offsets.last() != Some(&entries) {
            return wrong(offsets.len() - 1);
        }
        let matrix = Csr { offsets, columns, values, n_columns };
        // The first invalid row, for any number of threads.
        match (0..matrix.n_rows()).into_par_iter().find_map_first(|row| matrix.check_row(row)) {
            Some(error) => Err(error),
            None => Ok(matrix),
        }
    }

    fn check_row(&self, row: usize) -> Option<CsrError> {
        let (columns, values) = self.row(row);
        if let Some(pair) = columns.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Some(CsrError::Order { row, before: pair[0], column: pair[1] });
        }
        let n_columns = self.n_columns;
        if let Some(&column) = columns.last().filter(|column| **column as usize >= n_columns) {
            return Some(CsrError::Column { row, column, n_columns });
        }
        let at = values.iter().position(|value| !value.is_finite())?;
        Some(CsrError::Value { row, column: columns[at], value: values[at] })
    }

    /// The number of rows, including empty ones.
    pub fn n_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The number of columns, including empty ones.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether the matrix has no entries.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The columns and values of a row's entries.
    ///
    /// # Panics
    /// If the row does not exist.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[row]..self.offsets[row + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// The transpose.
    ///
    /// # References
    /// Gustavson: "Two fast algorithms for sparse matrices", ACM TOMS 4(3), 1978.
    pub fn transposed(&self) -> Csr {
        let mut offsets = vec![0; self.n_columns + 1];
        for &column in &self.columns {
            offsets[column as usize + 1] += 1;
        }
        for column in 0..self.n_columns {
            offsets[column + 1] += offsets[column];
        }
        let mut next = offsets.clone();
        let (mut columns, mut values) = (vec![0; self.len()], vec![0.0; self.len()]);
        for row in 0..self.n_rows() {
            let (row_columns, row_values) = self.row(row);
            for (&column, &value) in row_columns.iter().zip(row_values) {
                let at = &mut next[column as usize];
                (columns[*at], values[*at]) = (row as u32, value);
                *at += 1;
            }
        }
        Csr { offsets, columns, values, n_columns: self.n_rows() }
    }

    /// The same entries with other values.
    ///
    /// # Errors
    /// If a new value is not finite.
    pub fn map_values(&self, new: impl Fn(f32) -> f32 + Sync) -> Result<Csr, CsrError> {
        let values = self.values.par_iter().map(|&value| new(value)).collect();
        let (offsets, columns) = (self.offsets.clone(), self.columns.clone());
        Csr::new(offsets, columns, values, self.n_columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a dense table, by the definition.
    fn dense(matrix: &Csr) -> Vec<Vec<Option<f32>>> {
        let mut table = vec![vec![None; matrix.n_columns()]; matrix.n_rows()];
        for (row, line) in table.iter_mut().enumerate() {
            let (columns, values) = matrix.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                line[column as usize] = Some(value);
            }
        }
        table
    }

    /// Pseudo-random entries; some rows and columns are empty.
    fn example(rows: usize, columns: usize) -> Csr {
        let mut state = 1_u64;
        let mut offsets = vec![0];
        let (mut numbers, mut values) = (Vec::new(), Vec::new());
        for row in 0..rows {
            for column in 0..columns {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if row % 7 != 3 && column % 5 != 1 && state >> 62 == 0 {
                    numbers.push(column as u32);
                    values.push((state >> 40) as f32);
                }
            }
            offsets.push(numbers.len());
        }
        Csr::new(offsets, numbers, values, columns).unwrap()
    }

    #[test]
    fn transpose_equals_its_definition() {
        for (rows, columns) in [(40, 63), (1, 9), (50, 1), (3, 200)] {
            let matrix = example(rows, columns);
            let transposed = matrix.transposed();
            let (table, other) = (dense(&matrix), dense(&transposed));
            for row in 0..rows {
                for column in 0..columns {
                    assert_eq!(table[row][column], other[column][row]);
                }
            }
            assert_eq!(transposed.transposed(), matrix);
        }
    }

    #[test]
    fn empty_matrices_are_valid() {
        let none = Csr::new(vec![0], vec![], vec![], 0).unwrap();
        assert_eq!((none.n_rows(), none.n_columns(), none.is_empty()), (0, 0, true));
        assert_eq!(none.transposed(), none);
        let blank = Csr::new(vec![0, 0, 0], vec![], vec![], 3).unwrap();
        assert_eq!((blank.transposed().n_rows(), blank.transposed().n_columns()), (3, 2));
    }

    #[test]
    fn invalid_parts_are_refused() {
        let new = |offsets: &[usize], columns: &[u32], values: &[f32], n| {
            Csr::new(offsets.to_vec(), columns.to_vec(), values.to_vec(), n).unwrap_err()
        };
        let says = |error: CsrError, part: &str| {
            assert!(error.to_string().contains(part), "{error}");
        };
        says(new(&[0, 1], &[0], &[], 1), "1 column indices for 0 values");
        says(new(&[], &[], &[], 1), "offset 0 is None");
        says(new(&[1, 1], &[0], &[1.0], 1), "offset 0 is Some(1)");
        says(new(&[0, 2, 1, 2], &[0, 1], &[1.0; 2], 2), "offset 2 is Some(1)");
        says(new(&[0, 1], &[0, 1], &[1.0; 2], 2), "offset 1 is Some(1)");
        says(new(&[0, 1, 2], &[0, 2], &[1.0; 2], 2), "row 1 has an entry in column 2");
        says(new(&[0, 2], &[1, 1], &[1.0; 2], 2), "column 1 follows column 1");
        says(new(&[0, 2], &[0, 1], &[1.0, f32::NAN], 2), "row 0, column 1 is NaN");
        says(new(&[0], &[], &[], usize::MAX), "at most 4294967295");
    }

    #[test]
    fn mapped_values_are_checked() {
        let matrix = example(5, 6);
        let doubled = matrix.map_values(|value| 2.0 * value).unwrap();
        assert!(matrix.values.iter().zip(&doubled.values).all(|(a, b)| 2.0 * a == *b));
        assert!(matrix.map_values(|_| f32::INFINITY).is_err());
    }
}
