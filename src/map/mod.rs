//! A map of tracks: their vectors projected to a plane by t-SNE, as one interactive HTML page.
//!
//! [`tsne()`] computes coordinates from vectors, [`page`] writes a page of coordinates:
//!
//! ```no_run
//! # fn main() -> Result<(), tonotopy::map::MapError> {
//! # let vectors = tonotopy::listening::matrix::Matrix::new(0, 0, vec![])?;
//! # let (titles, tags, audio): (Vec<String>, Vec<Vec<String>>, Vec<Option<std::path::PathBuf>>) = Default::default();
//! use tonotopy::map::{Page, TsneConfig, page, tsne};
//!
//! let map = tsne(&vectors, &TsneConfig::default(), |_| ())?;
//! let about = Page { title: "My tracks", note: "Predicted factors" };
//! page(&map.points, &titles, &tags, &audio, &about, "map.html".as_ref())?;
//! # Ok(())
//! # }
//! ```
//!
//! - `tsne`: gradient descent; `neighbours`: affinities of nearest neighbours; `repulsion`: forces
//!   between all points
//! - `map_page`: the page

mod map_page;
mod neighbours;
mod repulsion;
mod tsne;

pub use map_page::{Page, page, render};
pub use tsne::{Tsne, TsneConfig, tsne};

use crate::listening::item_lists::ItemListError;
use crate::listening::matrix::{Matrix, MatrixError};
use crate::listening::top_k::TopKError;

/// Why a map cannot be made.
#[allow(missing_docs, reason = "the message of a variant describes it")]
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    #[error("no points; a map needs at least one")]
    NoPoints,
    #[error("{name} is {value}; it must be a finite number of at least 1")]
    Setting { name: &'static str, value: f32 },
    #[error("the points have {columns} coordinates; they must have two")]
    NotFlat { columns: usize },
    #[error("{points} points do not match {count} {what}; give one per point")]
    Lengths { what: &'static str, count: usize, points: usize },
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    #[error("cannot find nearest neighbours: {0}")]
    Search(#[from] TopKError),
    #[error("cannot find nearest neighbours: {0}")]
    Lists(#[from] ItemListError),
    #[error(transparent)]
    File(#[from] crate::error::Error),
}

/// Largest difference of equal values, relative to the largest value: what rounding to float32 leaves.
const ROUNDING: f32 = 1e-5;

/// Whether there are several points, and all are the same up to rounding. t-SNE gives them different positions, which
/// mean nothing.
pub fn are_equal(points: &Matrix) -> bool {
    let largest = points.data().iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
    let equals_first = |row: usize| {
        let pairs = points.row(row).iter().zip(points.row(0));
        pairs.into_iter().all(|(a, b)| (a - b).abs() <= ROUNDING * largest)
    };
    points.rows() > 1 && (1..points.rows()).all(equals_first)
}

#[cfg(test)]
mod tests;
