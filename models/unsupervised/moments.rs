//! Statistics of the columns of a matrix in one pass: mean and standard deviation (Welford 1962), and the Gram
//! matrix.

use burn::tensor::Tensor;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

use crate::fitted::{Corpus, FitError};
use crate::onnx::numbers;

/// Columns of the Gram matrix per task.
const STRIP: usize = 64;

/// Adds `sign * rows' rows` to the lower triangle of `gram`; the upper triangle becomes arbitrary.
///
/// The result does not depend on the number of threads.
///
/// # Shapes
/// - `rows`: `[row, column]`; `gram`: `[column, column]`
pub(crate) fn add_gram(gram: &mut Mat<f64>, rows: MatRef<'_, f64>, sign: f64) {
    let (count, columns) = (rows.nrows(), rows.ncols());
    let mut strips = Vec::new();
    let mut rest = gram.as_mut();
    while rest.ncols() > 0 {
        let width = STRIP.min(rest.ncols());
        let (strip, others) = rest.split_at_col_mut(width);
        strips.push(strip);
        rest = others;
    }
    strips.into_par_iter().enumerate().for_each(|(number, strip)| {
        let (first, width) = (number * STRIP, strip.ncols());
        let left = rows.submatrix(0, first, count, columns - first).transpose();
        let right = rows.submatrix(0, first, count, width);
        let out = strip.submatrix_mut(first, 0, columns - first, width);
        matmul(out, Accum::Add, left, right, sign, Par::Seq);
    });
}

/// Mean and standard deviation of every column.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    pub(crate) fn new(columns: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; columns], squares: vec![0.0; columns] }
    }

    /// Those of the features of all training excerpts, `[batch, feature]`.
    pub(crate) fn of_features<C: Corpus>(
        corpus: &C,
        features: impl Fn(Tensor<2>) -> Tensor<2>,
    ) -> Result<Self, FitError<C::Error>> {
        let mut moments: Option<Self> = None;
        corpus.progress("sizes of features").map_err(FitError::Corpus)?;
        corpus
            .excerpts(&mut |waveforms, _| {
                let features = features(waveforms);
                let [_, width] = features.dims();
                let moments = moments.get_or_insert_with(|| Self::new(width));
                numbers(features).chunks_exact(width).for_each(|row| moments.add(row));
            })
            .map_err(FitError::Corpus)?;
        moments.ok_or_else(|| FitError::Data("the training set is empty".into()))
    }

    pub(crate) fn add(&mut self, row: &[f32]) {
        self.count += 1.0;
        for ((mean, squares), value) in self.mean.iter_mut().zip(&mut self.squares).zip(row) {
            let delta = f64::from(*value) - *mean;
            *mean += delta / self.count;
            *squares += delta * (f64::from(*value) - *mean);
        }
    }

    /// Means and standard deviations. A deviation of 0 is returned as 1, so that division keeps constants.
    pub(crate) fn finish(self) -> (Vec<f64>, Vec<f64>) {
        let deviation = |squares: f64| (squares / self.count.max(1.0)).sqrt();
        let deviations = self.squares.iter().map(|squares| match deviation(*squares) {
            deviation if deviation > 1e-12 => deviation,
            _ => 1.0,
        });
        let deviations = deviations.collect();
        (self.mean, deviations)
    }
}
