//! Listening data in a table of one's own.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::listening::subset::Subset;
use crate::{DatasetError, Interactions};

/// `[listening] name = "file"`: a table of one's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// The table, as [`Interactions::read`] takes it.
    pub path: PathBuf,
    /// A smaller piece of it.
    #[serde(skip_serializing_if = "Subset::is_all")]
    pub subset: Subset,
}

impl FileConfig {
    /// Reads the table, relative to `data_dir` if given.
    ///
    /// # Errors
    /// If no table is named, it is missing, or a line of it is wrong.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Interactions, DatasetError> {
        let remedy = "name the table of user, item and count";
        crate::named("file", "path", &self.path, remedy)?;
        self.subset.of(Interactions::read(&crate::below(data_dir, &self.path))?)
    }
}
