//! What can be wrong with a model's config.

use std::fmt::Display;

/// A value in a config that no model can be built from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: {problem}; {remedy}")]
pub struct ModelError {
    /// Where it stands, as in the experiment file: `front_end.hop_length`.
    pub key: String,
    /// As it stands there.
    pub value: String,
    /// Why no model can be built from it.
    pub problem: String,
    /// What to do about it, as a request.
    pub remedy: String,
}

impl ModelError {
    /// What is wrong with a key of the table at hand; [`ModelError::within`] says which table that is.
    pub fn new(
        key: impl Into<String>,
        value: impl Display,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (key, value) = (key.into(), value.to_string());
        Self { key, value, problem: problem.into(), remedy: remedy.into() }
    }

    /// The same error seen from the table that `key` stands in.
    #[must_use]
    pub fn within(mut self, table: &str) -> Self {
        self.key = format!("{table}.{}", self.key);
        self
    }
}

/// `Ok` if `low <= value <= high`.
pub(crate) fn in_range<T: PartialOrd + Display>(
    key: &str,
    value: T,
    low: T,
    high: T,
) -> Result<(), ModelError> {
    // Written so that NaN fails.
    if value >= low && value <= high {
        return Ok(());
    }
    let remedy = format!("set it to {low} or more, up to {high}");
    Err(ModelError::new(key, value, "out of range", remedy))
}

/// Largest number of parameters that a model may have: 4 GB of weights, several times that in
/// training. Guards against a slip of the pen that would exhaust the memory.
const MAX_PARAMETERS: usize = 1_000_000_000;

/// `Ok` if the product of `factors` is a number of weights that fits into memory.
pub(crate) fn fits_memory(key: &str, value: usize, factors: &[usize]) -> Result<(), ModelError> {
    let weights = factors.iter().try_fold(1_usize, |product, &x| product.checked_mul(x));
    if weights.is_some_and(|weights| weights <= MAX_PARAMETERS) {
        return Ok(());
    }
    let problem = format!("that layer would have more than {MAX_PARAMETERS} weights");
    Err(ModelError::new(key, value, problem, "make the layer, or what it reads from, smaller"))
}
