//! Errors in a model's config.

use std::fmt::Display;

/// An invalid value in a config.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: {problem}; {remedy}")]
pub struct ModelError {
    /// The key as in the experiment file: `front_end.hop_length`; `excerpt` for the length of an excerpt.
    pub key: String,
    /// The value as in the experiment file.
    pub value: String,
    /// Why it is invalid.
    pub problem: String,
    /// What to do about it, as an imperative.
    pub remedy: String,
}

impl ModelError {
    /// An error at a key of the current table; [`ModelError::within`] adds the name of the table.
    pub fn new(
        key: impl Into<String>,
        value: impl Display,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (key, value) = (key.into(), value.to_string());
        Self { key, value, problem: problem.into(), remedy: remedy.into() }
    }

    /// The same error with its key prefixed by the table that contains it. `excerpt`, which is not a key of
    /// any table, stays as it is.
    #[must_use]
    pub fn within(mut self, table: &str) -> Self {
        if self.key != "excerpt" {
            self.key = format!("{table}.{}", self.key);
        }
        self
    }
}

/// A value of a matrix that is not finite.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row}, column {column} is {value}; all values must be finite")]
pub struct NotFinite {
    /// Counted from 0.
    pub row: usize,
    /// Counted from 0.
    pub column: usize,
    /// The value as text.
    pub value: String,
}

/// `Ok` if all values of a row-major matrix are finite.
pub(crate) fn all_finite<T: Copy + Into<f64>>(
    values: impl IntoIterator<Item = T>,
    columns: usize,
) -> Result<(), NotFinite> {
    match values.into_iter().map(Into::into).enumerate().find(|(_, value)| !value.is_finite()) {
        Some((at, value)) => {
            Err(NotFinite { row: at / columns, column: at % columns, value: value.to_string() })
        }
        None => Ok(()),
    }
}

/// `Ok` if `low <= value <= high`; NaN is an error.
pub(crate) fn in_range<T: PartialOrd + Display>(
    key: &str,
    value: T,
    low: T,
    high: T,
) -> Result<(), ModelError> {
    let remedy = format!("set it to {low} or more, up to {high}");
    ensure(value >= low && value <= high, key, value, "out of range", remedy)
}

/// `Ok` if `valid`; otherwise an error at `key`.
pub(crate) fn ensure(
    valid: bool,
    key: &str,
    value: impl Display,
    problem: impl Into<String>,
    remedy: impl Into<String>,
) -> Result<(), ModelError> {
    if valid { Ok(()) } else { Err(ModelError::new(key, value, problem, remedy)) }
}

/// `Ok` if a list has between `least` and `most` entries.
pub(crate) fn list_length(
    key: &str,
    length: usize,
    least: usize,
    most: usize,
) -> Result<(), ModelError> {
    let remedy = format!("list {least} to {most}");
    ensure((least..=most).contains(&length), key, length, "out of range", remedy)
}

/// `Ok` if a dropout probability is valid.
pub(crate) fn valid_dropout(dropout: f64) -> Result<(), ModelError> {
    in_range("dropout", dropout, 0.0, 0.99)
}

/// The error for an excerpt that is shorter than the model's first window.
pub(crate) fn excerpt_too_short(excerpt_samples: usize, needed: usize) -> ModelError {
    ModelError::new(
        "excerpt",
        format!("{excerpt_samples} samples"),
        format!("shorter than the {needed} samples that the model needs"),
        "raise training.excerpt_seconds, or shorten the model's windows, strides and pools",
    )
}

/// Largest number of weights of a layer: 4 GB, several times that in training. Catches typing errors that
/// would exhaust the memory.
const MAX_PARAMETERS: usize = 1_000_000_000;

/// `Ok` if a layer with as many weights as the product of `factors` fits into memory.
pub(crate) fn fits_memory(key: &str, value: usize, factors: &[usize]) -> Result<(), ModelError> {
    let weights = factors.iter().try_fold(1_usize, |product, &x| product.checked_mul(x));
    let fits = weights.is_some_and(|weights| weights <= MAX_PARAMETERS);
    let problem = format!("that layer would have more than {MAX_PARAMETERS} weights");
    ensure(fits, key, value, problem, "make the layer or its input smaller")
}
