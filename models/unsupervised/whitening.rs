//! PCA whitening: principal components scaled to unit variance.
//!
//! P1 (Dieleman & Schrauwen 2013, Multiscale approaches to music audio feature learning) whitens
//! windows of spectrogram frames before K-means and keeps 99 % of the variance. It does not say what it
//! adds to each variance to avoid amplifying weak components (Coates & Ng 2012, Learning feature
//! representations with K-means, section 3.1).

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

use crate::ModelError;
use crate::fitted::Fitted;
use crate::unsupervised::pca::Pca;

/// A whitening transform.
#[derive(Clone, Debug, PartialEq)]
pub struct Whitening {
    /// `[column]`
    mean: Vec<f64>,
    /// `[component, column]`, each of length one.
    components: Mat<f64>,
    /// Scale of each component: one over the root of its variance plus epsilon.
    scales: Vec<f64>,
}

impl Whitening {
    /// Whitening by principal components; `epsilon` is added to each variance.
    pub fn new(pca: &Pca, epsilon: f64) -> Self {
        let columns = pca.mean.len();
        Self {
            mean: pca.mean.clone(),
            components: Mat::from_fn(pca.variances.len(), columns, |i, j| {
                pca.components[i * columns + j]
            }),
            scales: pca.variances.iter().map(|value| (value + epsilon).sqrt().recip()).collect(),
        }
    }

    /// Length of a whitened row.
    pub fn components(&self) -> usize {
        self.scales.len()
    }

    /// Whitening as an affine map: `x . matrix + offset`.
    ///
    /// # Shapes
    /// - returns: `[column, component]`, `[component]`
    pub fn map(&self) -> (Vec<f32>, Vec<f32>) {
        let identity = Mat::<f64>::identity(self.components(), self.components());
        self.map_to_rows(&identity)
    }

    /// Whitening followed by products with `means`, as one affine map.
    ///
    /// # Shapes
    /// - `means`: `[mean, component]`
    /// - returns: `[column, mean]`, `[mean]`
    pub fn map_to(&self, means: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let components = self.components();
        let means = Mat::from_fn(means.len() / components, components, |i, j| {
            f64::from(means[i * components + j])
        });
        self.map_to_rows(&means)
    }

    fn map_to_rows(&self, means: &Mat<f64>) -> (Vec<f32>, Vec<f32>) {
        let (columns, count) = (self.mean.len(), means.nrows());
        let scaled = Mat::from_fn(self.components(), columns, |i, j| {
            self.scales[i] * self.components[(i, j)]
        });
        let mut matrix = Mat::zeros(columns, count);
        matmul(
            matrix.as_mut(),
            Accum::Replace,
            scaled.transpose(),
            means.transpose(),
            1.0,
            Par::Seq,
        );
        let mean = MatRef::from_row_major_slice(&self.mean, 1, columns);
        let mut offset = Mat::zeros(1, count);
        matmul(offset.as_mut(), Accum::Replace, mean, &matrix, -1.0, Par::Seq);
        let flat = (0..columns * count).map(|at| matrix[(at / count, at % count)] as f32);
        (flat.collect(), (0..count).map(|j| offset[(0, j)] as f32).collect())
    }

    /// The inverse of whitening without the mean, for visualisation.
    ///
    /// # Shapes
    /// - `rows`: `[row, component]`
    /// - returns: `[row, column]`
    pub fn undo(&self, rows: &[f32]) -> Vec<f32> {
        let columns = self.mean.len();
        let back = |row: &[f32]| -> Vec<f32> {
            let mut out = vec![0.0; columns];
            for (i, (value, scale)) in row.iter().zip(&self.scales).enumerate() {
                let weight = f64::from(*value) / scale;
                out.iter_mut()
                    .enumerate()
                    .for_each(|(j, out)| *out += weight * self.components[(i, j)]);
            }
            out.iter().map(|value| *value as f32).collect()
        };
        rows.chunks_exact(self.components()).flat_map(back).collect()
    }

    /// Stores the transform under names that end in `suffix`.
    pub fn insert(&self, suffix: &str, fitted: &mut Fitted) {
        let (count, columns) = (self.components(), self.mean.len());
        let single = |values: &[f64]| values.iter().map(|value| *value as f32).collect();
        let rows =
            (0..count * columns).map(|at| self.components[(at / columns, at % columns)] as f32);
        fitted.insert(&format!("window_mean{suffix}"), &[columns], single(&self.mean));
        fitted.insert(&format!("window_components{suffix}"), &[count, columns], rows.collect());
        fitted.insert(&format!("window_scales{suffix}"), &[count], single(&self.scales));
    }

    /// Loads the transform from names that end in `suffix`.
    ///
    /// # Errors
    /// If an array does not exist or has another size.
    pub fn get(suffix: &str, columns: usize, fitted: &Fitted) -> Result<Self, ModelError> {
        let double = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect();
        let mean = fitted.get(&format!("window_mean{suffix}"), [Some(columns)])?;
        let rows = fitted.get(&format!("window_components{suffix}"), [None, Some(columns)])?;
        let [count, _] = rows.shape();
        let scales = fitted.get(&format!("window_scales{suffix}"), [Some(count)])?;
        Ok(Self {
            mean: double(mean.values()),
            components: Mat::from_fn(count, columns, |i, j| {
                f64::from(rows.values()[i * columns + j])
            }),
            scales: double(scales.values()),
        })
    }
}

#[cfg(test)]
mod tests;
