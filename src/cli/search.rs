//! Files that stand somewhere below a folder.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The files below `folder`, to any depth, whose name ends in a dot and one of `endings`, in order of name. Links
/// to folders are not followed: they may lead in a circle.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be read.
pub fn files_below(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>> {
    fn search(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) -> Result<()> {
        for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
            let entry = entry.map_err(Error::io("read", folder))?;
            let path = entry.path();
            if entry.file_type().map_err(Error::io("read", &path))?.is_dir() {
                search(&path, endings, found)?;
            } else if path.extension().is_some_and(|ending| {
                endings.iter().any(|known| ending.eq_ignore_ascii_case(known))
            }) && !path.is_dir()
            {
                found.push(path);
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    search(folder, endings, &mut found)?;
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn folders_are_searched_and_links_to_them_are_not() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        std::fs::create_dir_all(at("b/c.toml")).unwrap();
        for name in ["z.toml", "b/y.TOML", "b/c.toml/x.toml", "b/readme.md"] {
            std::fs::write(at(name), "").unwrap();
        }
        std::os::unix::fs::symlink(place.path(), at("b/round.toml")).unwrap();
        std::os::unix::fs::symlink(at("z.toml"), at("a.toml")).unwrap();
        let found = files_below(place.path(), &["toml"]).unwrap();
        let expected = ["a.toml", "b/c.toml/x.toml", "b/y.TOML", "z.toml"];
        assert_eq!(found, expected.map(at));
    }
}
