//! Listening data in a table of user, item and count.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::listening::subset::Subset;
use crate::{DatasetError, Interactions};

/// `[listening] name = "file"`: a table of user, item and count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// The table of user, item and count (CSV, TSV or JSON lines, also compressed with gzip), relative to the
    /// data directory. Required.
    pub path: PathBuf,
    /// The most played items and a sample of the users. Default: all.
    #[serde(skip_serializing_if = "Subset::is_all")]
    pub subset: Subset,
}

impl FileConfig {
    /// Reads the table; a relative path is resolved against `data_dir` if given.
    ///
    /// # Errors
    /// If the path is empty, the table is missing, or a line is wrong.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Interactions, DatasetError> {
        let remedy = "name the table of user, item and count";
        let path = crate::resolve(data_dir, ("file", "path", &self.path), remedy)?;
        self.subset.of(Interactions::read(&path)?)
    }
}
