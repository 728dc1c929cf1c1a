//! The truth that predictions are held against.

use super::MetricError;
use crate::evaluation::predictions::check_matrix;

/// Which tags each track has.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// One a row, each once.
    pub ids: Vec<String>,
    /// One a column, each once.
    pub tags: Vec<String>,
    /// `[track, tag]`, row-major: true where the track has the tag.
    pub values: Vec<bool>,
}

impl Targets {
    /// Targets whose parts fit together.
    ///
    /// # Errors
    /// See [`Targets::validate`].
    pub fn new(
        ids: Vec<String>,
        tags: Vec<String>,
        values: Vec<bool>,
    ) -> Result<Self, MetricError> {
        let targets = Self { ids, tags, values };
        targets.validate()?;
        Ok(targets)
    }

    /// Targets from numbers, `[track, tag]` row-major, as a network is trained on them.
    ///
    /// # Errors
    /// As [`Targets::validate`], and if a number is neither 0 nor 1.
    pub fn from_numbers(
        ids: Vec<String>,
        tags: Vec<String>,
        values: &[f32],
    ) -> Result<Self, MetricError> {
        let values = values
            .iter()
            .enumerate()
            .map(|(position, &value)| match value {
                0.0 => Ok(false),
                1.0 => Ok(true),
                _ => Err(MetricError::NotATarget { position, value }),
            })
            .collect::<Result<_, _>>()?;
        Self::new(ids, tags, values)
    }

    /// Targets from the numbers (positions in `tags`) of the tags of each track.
    ///
    /// # Errors
    /// As [`Targets::validate`], and if a number is not one of a tag.
    pub fn from_indices<T: AsRef<[usize]>>(
        ids: Vec<String>,
        tags: Vec<String>,
        rows: impl IntoIterator<Item = T>,
    ) -> Result<Self, MetricError> {
        let mut values = Vec::with_capacity(ids.len() * tags.len());
        for (row, indices) in rows.into_iter().enumerate() {
            let start = values.len();
            values.resize(start + tags.len(), false);
            for &tag in indices.as_ref() {
                *values[start..].get_mut(tag).ok_or(MetricError::NoSuchTag {
                    row,
                    tag,
                    tags: tags.len(),
                })? = true;
            }
        }
        Self::new(ids, tags, values)
    }

    /// Checks that there are as many values as ids times tags, that every id and tag is there
    /// once, and that no id is empty.
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn validate(&self) -> Result<(), MetricError> {
        check_matrix(&self.ids, &self.tags, self.values.len()).map_err(MetricError::Targets)
    }
}
