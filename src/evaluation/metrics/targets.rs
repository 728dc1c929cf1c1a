//! The true tags with which predictions are compared.

use super::MetricError;
use crate::evaluation::predictions::check_matrix;

/// The tags of each track.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// Distinct ids, one per row.
    pub ids: Vec<String>,
    /// Distinct tags, one per column.
    pub tags: Vec<String>,
    /// `[track, tag]`, row-major: whether the track has the tag.
    pub values: Vec<bool>,
}

impl Targets {
    /// Validated targets.
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

    /// Targets from the numbers that a network is trained on, `[track, tag]`, row-major.
    ///
    /// # Errors
    /// As [`Targets::validate`], and if a value is neither 0 nor 1.
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

    /// Targets from the positions in `tags` of the tags of each track.
    ///
    /// # Errors
    /// As [`Targets::validate`], and if a position is not below the number of tags.
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

    /// Checks that the number of values is ids times tags, that ids and tags are distinct, and that
    /// no id is empty.
    ///
    /// # Errors
    /// If a check fails.
    pub fn validate(&self) -> Result<(), MetricError> {
        check_matrix(&self.ids, &self.tags, self.values.len()).map_err(MetricError::Targets)
    }
}
