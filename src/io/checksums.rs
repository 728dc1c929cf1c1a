//! `checksums.json`: the BLAKE3 of every file of a folder that is written once and read for a long time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::files::{read_text, write_atomic};

/// The file's name; it is written last.
pub const CHECKSUMS: &str = "checksums.json";

/// What a folder's files are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksums {
    folder: PathBuf,
    sums: BTreeMap<String, String>,
}

/// In hexadecimal.
pub fn of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Whether it names a file of a folder, and not one below or above.
fn is_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let one = matches!(parts.next(), Some(Component::Normal(part)) if part == name);
    one && parts.next().is_none() && !name.contains(['/', '\\'])
}

impl Checksums {
    /// Of files that are there now.
    ///
    /// # Errors
    /// [`Error::Io`] if one of them cannot be read.
    pub fn of_files(folder: &Path, names: &[&str]) -> Result<Checksums> {
        let mut sums = BTreeMap::new();
        for name in names {
            let path = folder.join(name);
            let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
            sums.insert(name.to_string(), of(&bytes));
        }
        Ok(Checksums { folder: folder.to_owned(), sums })
    }

    /// The same list with a file that is yet to be written.
    pub fn with(mut self, name: &str, bytes: &[u8]) -> Checksums {
        self.sums.insert(name.to_string(), of(bytes));
        self
    }

    /// Reads the list; `None` if the folder has none.
    ///
    /// # Errors
    /// [`Error::Data`] if it is damaged.
    pub fn read(folder: &Path) -> Result<Option<Checksums>> {
        let path = folder.join(CHECKSUMS);
        if !path.exists() {
            return Ok(None);
        }
        let damaged = |error: String| {
            Error::Data(format!(
                "{} is damaged: {error}; restore it, or make its folder anew",
                path.display()
            ))
        };
        let sums: BTreeMap<String, String> =
            serde_json::from_str(&read_text(&path)?).map_err(|error| damaged(error.to_string()))?;
        // Whoever made the folder must not have us read anything outside of it.
        match sums.keys().find(|name| !is_name(name)) {
            Some(name) => Err(damaged(format!("{name:?} is no file of its folder"))),
            None => Ok(Some(Checksums { folder: folder.to_owned(), sums })),
        }
    }

    /// Writes the list into its folder.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses.
    pub fn write(&self) -> Result<()> {
        let text = serde_json::to_vec_pretty(&self.sums).expect("plain data becomes JSON");
        write_atomic(&self.folder.join(CHECKSUMS), &text)
    }

    /// The files that it knows.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sums.keys().map(String::as_str)
    }

    /// Reads a file and compares it.
    ///
    /// # Errors
    /// [`Error::Data`] if it is not what it was, or not in the list.
    pub fn read_file(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.folder.join(name);
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        match self.sums.get(name) {
            Some(sum) if *sum == of(&bytes) => Ok(bytes),
            found => Err(Error::Data(format!(
                "{} is damaged or was changed: {} its checksum in {CHECKSUMS}; restore it, or make {} anew",
                path.display(),
                if found.is_some() { "it does not match" } else { "there is none of" },
                self.folder.display()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_or_list_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "first").unwrap();
        fs::write(folder.path().join("b"), "second").unwrap();
        assert_eq!(Checksums::read(folder.path()).unwrap(), None);
        Checksums::of_files(folder.path(), &["a"]).unwrap().write().unwrap();
        let read = Checksums::read(folder.path()).unwrap().unwrap();
        assert_eq!(read.read_file("a").unwrap(), b"first");
        assert!(read.read_file("b").is_err(), "not in the list");
        fs::write(folder.path().join("a"), "fIrst").unwrap();
        let error = read.read_file("a").unwrap_err().to_string();
        assert!(error.contains("does not match"), "{error}");
        for list in [r#"{"a": 1}"#, r#"{"/dev/zero": "x"}"#, r#"{"../a": "x"}"#, r#"{"": "x"}"#] {
            fs::write(folder.path().join(CHECKSUMS), list).unwrap();
            assert!(Checksums::read(folder.path()).is_err(), "{list}");
        }
    }
}
