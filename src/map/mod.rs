//! A map of tracks: what a model says of each, laid out on a plane so that what is alike lies
//! together, as one interactive HTML page.
//!
//! [`tsne()`] makes coordinates of vectors, [`page`] a page of coordinates:
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
//! - `tsne`: the steps; `neighbours`: which points are near which; `repulsion`: what keeps the
//!   others apart
//! - `page`: the page

mod map_page;
mod neighbours;
mod repulsion;
mod tsne;

pub use map_page::{Page, page, render};
pub use tsne::{Tsne, TsneConfig, tsne};

use crate::listening::item_lists::ItemListError;
use crate::listening::matrix::MatrixError;
use crate::listening::top_k::TopKError;

/// Why there is no map.
#[allow(missing_docs, reason = "a variant is what its message says")]
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    #[error("there are no points; a map needs at least one")]
    NoPoints,
    #[error("{name} is {value}; it must be a finite number of at least 1")]
    Setting { name: &'static str, value: f32 },
    #[error("the points have {columns} coordinates; the page shows two")]
    NotFlat { columns: usize },
    #[error("there are {points} points and {count} {what}; give one a point")]
    Lengths { what: &'static str, count: usize, points: usize },
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    #[error("the nearest neighbours cannot be found: {0}")]
    Search(#[from] TopKError),
    #[error("the nearest neighbours cannot be found: {0}")]
    Lists(#[from] ItemListError),
    #[error(transparent)]
    File(#[from] crate::error::Error),
}

#[cfg(test)]
mod tests;
