//! Comparison of runs: one HTML page that needs no network, tables in plain text, and JSON.
//!
//! [`write()`] loads [`EvaluatedRun`]s, computes their [`Analysis`], and writes the page. Runs are
//! compared only if they were evaluated on the same tracks, tags and targets.
//!
//! - `load`, `evaluated_run`: what is read of a run
//! - `analysis`: groups of runs, scores over seeds, differences with confidence intervals
//! - `settings`: the settings that differ, and the grid of a sweep
//! - `learning_curves`, `roc_pr`, `filters`: the data of the charts
//! - `figures`, `filter_figures`, `multiscale_figures`, `recommendation_tables`: their HTML
//! - `svg`, `heat_map`, `tables`, `format`: axes and lines, images, tables, numbers
//! - `report_page`: the page and the plain text
//! - `taggram`: tag probabilities over time as an SVG file

mod analysis;
mod evaluated_run;
mod figures;
mod filter_figures;
mod filters;
pub(crate) mod format;
mod heat_map;
mod learning_curves;
mod load;
mod multiscale_figures;
mod recommendation_tables;
mod report_page;
mod roc_pr;
mod settings;
mod svg;
mod tables;
pub mod taggram;

pub use analysis::{Analysis, Bound, Difference, Group, Metric, ScoredTag, Section};
pub use evaluated_run::{
    EvaluatedRun, Filters, Multiscale, Patches, QuarantinedFile, ReportError, Task,
};
pub use load::{Comparison, write};
pub use report_page::{render, text};

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
