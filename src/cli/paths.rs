//! Files that a command line names, directly or by their directory.

use std::path::{Path, PathBuf};

use datasets::tracks::folders::EXTENSIONS;

use crate::error::{Error, Result};

/// The audio files that `paths` name: each file, and from directories the files with a known extension.
///
/// # Errors
/// If a path does not exist, or a directory contains no audio file.
pub fn audio_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() && !path.exists() {
            return Err(Error::Data(format!(
                "{} does not exist; name audio files, or directories of audio files",
                path.display()
            )));
        }
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let found = files_below(path, &EXTENSIONS)?;
        if found.is_empty() {
            return Err(Error::Data(format!(
                "{} contains no audio files (known extensions: {}); name the files themselves or another directory",
                path.display(),
                EXTENSIONS.join(", ")
            )));
        }
        files.extend(found);
    }
    Ok(files)
}

/// The files below `folder`, at any depth, that have one of the extensions `endings`; sorted by path. Links to
/// directories are not followed, since they can form a cycle.
///
/// # Errors
/// [`Error::Io`] if a directory cannot be read.
pub fn files_below(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
            let entry = entry.map_err(Error::io("read", &folder))?;
            let path = entry.path();
            let has_ending = path
                .extension()
                .is_some_and(|own| endings.iter().any(|known| own.eq_ignore_ascii_case(known)));
            if entry.file_type().map_err(Error::io("read", &path))?.is_dir() {
                folders.push(path);
            } else if has_ending && !path.is_dir() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn directories_are_searched_and_links_to_them_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("b/c.toml")).unwrap();
        for name in ["z.toml", "b/y.TOML", "b/c.toml/x.toml", "b/readme.md"] {
            std::fs::write(at(name), "").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), at("b/round.toml")).unwrap();
        std::os::unix::fs::symlink(at("z.toml"), at("a.toml")).unwrap();
        let found = files_below(folder.path(), &["toml"]).unwrap();
        let expected = ["a.toml", "b/c.toml/x.toml", "b/y.TOML", "z.toml"];
        assert_eq!(found, expected.map(at));
    }
}
