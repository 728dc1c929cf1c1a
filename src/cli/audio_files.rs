//! Audio files that a command line names.

use std::path::{Path, PathBuf};

use datasets::folders::ENDINGS;

use crate::error::{Error, Result};

/// The files that the paths name: every named file, and in folders those with a known ending.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    fn search(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
        for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
            let entry = entry.map_err(Error::io("read", folder))?;
            let path = entry.path();
            // Links to folders are not followed: they may lead in a circle.
            if entry.file_type().map_err(Error::io("read", &path))?.is_dir() {
                search(&path, found)?;
            } else if path.extension().is_some_and(|ending| {
                ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
            }) {
                found.push(path);
            }
        }
        Ok(())
    }
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut found = Vec::new();
            search(path, &mut found)?;
            found.sort();
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
