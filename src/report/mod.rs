//! Runs compared: one HTML page that needs no network, the same comparison as text, and as JSON.
//!
//! [`render`] makes the page from [`RunSummary`]s; [`Analysis`] holds the numbers that all three
//! forms show. Runs are compared only where they were evaluated on the same tracks, tags and truth.
//!
//! - `data`: what a run has to hand over; `load`: how it is read from run folders
//! - `analysis`: groups of runs, spread over seeds, differences with intervals
//! - `learning`, `operating`: learning curves; ROC and precision-recall curves
//! - `filters`: spectra of learned filters, similarity of the filters of a pool
//! - `svg`, `png`: axes, lines and heat maps; `figures`: the charts made of them
//! - `page`, `terminal`: the forms

mod analysis;
mod data;
mod figures;
mod filters;
pub(crate) mod format;
mod learning;
mod load;
mod multiscale;
mod operating;
mod page;
pub(crate) mod png;
mod recommendation;
mod svg;
pub mod taggram;
mod terminal;

pub use analysis::{Analysis, Difference, Group, Metric, Section, TagRow};
pub use data::{Filters, Pool, Quarantined, ReportError, RunSummary, Task};
pub(crate) use figures::{DARK, LIGHT};
pub use filters::{FilterBank, PoolFit, PoolFits, mel_centre};
pub use load::{Comparison, write};
pub use page::{Options, render, render_analysis};
pub use terminal::text;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
