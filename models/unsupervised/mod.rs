//! What is fitted to rows of features without labels: K-means, principal components, whitening, codebooks,
//! and the column statistics that they use.

pub(crate) mod affine;
pub mod codebook;
pub mod encoding;
pub(crate) mod even_sample;
pub mod kmeans;
pub(crate) mod moments;
pub mod pca;
pub mod whitening;
