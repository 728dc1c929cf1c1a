//! Audio files that a command line names.

use std::path::PathBuf;

use datasets::tracks::folders::ENDINGS;

use super::search::files_below;
use crate::error::{Error, Result};

/// The files that the paths name: every named file, and in folders those with a known ending.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let found = files_below(path, &ENDINGS)?;
            if found.is_empty() {
                return Err(Error::Data(format!(
                    "there is no audio file in {}: name a folder that holds some (their names end in {}), or \
                     the files themselves",
                    path.display(),
                    ENDINGS.join(", ")
                )));
            }
            files.extend(found);
        } else if path.exists() {
            files.push(path.clone());
        } else {
            return Err(Error::Data(format!(
                "there is no file {}: name audio files, or folders that hold some",
                path.display()
            )));
        }
    }
    Ok(files)
}
