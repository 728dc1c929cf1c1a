//! Features learned without labels: K-means, PCA, whitening.

pub mod codebook;
pub mod encoding;
pub mod even_sample;
pub mod kmeans;
pub mod moments;
pub mod pca;
pub mod whitening;
