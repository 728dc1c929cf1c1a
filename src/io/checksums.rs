//! `checksums.json`: the BLAKE3 hash of every file in a directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::files::{read_text, write_atomic};

/// Name of the checksum file, which is written after all other files.
pub const CHECKSUMS: &str = "checksums.json";

/// The expected hash of each file in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksums {
    folder: PathBuf,
    sums: BTreeMap<String, String>,
}

/// The BLAKE3 hash of `bytes` in hexadecimal.
pub fn of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Whether `name` is a plain file name, without any directory.
fn is_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let one = matches!(parts.next(), Some(Component::Normal(part)) if part == name);
    one && parts.next().is_none() && !name.contains(['/', '\\'])
}

impl Checksums {
    /// Hashes existing files.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read.
    pub fn of_files(folder: &Path, names: &[&str]) -> Result<Checksums> {
        let mut sums = BTreeMap::new();
        for name in names {
            let path = folder.join(name);
            let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
            sums.insert(name.to_string(), of(&bytes));
        }
        Ok(Checksums { folder: folder.to_owned(), sums })
    }

    /// Adds a file that is not written yet.
    pub fn with(mut self, name: &str, bytes: &[u8]) -> Checksums {
        self.sums.insert(name.to_string(), of(bytes));
        self
    }

    /// Reads the checksums of a directory; `None` if it has none.
    ///
    /// # Errors
    /// [`Error::Data`] if the checksum file is damaged.
    pub fn read(folder: &Path) -> Result<Option<Checksums>> {
        let path = folder.join(CHECKSUMS);
        if !path.exists() {
            return Ok(None);
        }
        let damaged = |error: String| {
            Error::Data(format!(
                "{} is damaged: {error}; restore it, or create its directory again",
                path.display()
            ))
        };
        let sums: BTreeMap<String, String> =
            serde_json::from_str(&read_text(&path)?).map_err(|error| damaged(error.to_string()))?;
        // A crafted list must not make the program read files elsewhere.
        match sums.keys().find(|name| !is_file_name(name)) {
            Some(name) => Err(damaged(format!("{name:?} is not a file name"))),
            None => Ok(Some(Checksums { folder: folder.to_owned(), sums })),
        }
    }

    /// Writes the checksum file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn write(&self) -> Result<()> {
        write_atomic(&self.folder.join(CHECKSUMS), &self.to_bytes())
    }

    /// The content of the checksum file.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(&self.sums).expect("plain data becomes JSON")
    }

    /// The names of the files.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sums.keys().map(String::as_str)
    }

    /// Reads a file and verifies its hash.
    ///
    /// # Errors
    /// [`Error::Data`] if the file has another hash or is not listed; [`Error::Io`] if it cannot be read.
    pub fn read_file(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.folder.join(name);
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        match self.sums.get(name) {
            Some(sum) if *sum == of(&bytes) => Ok(bytes),
            found => Err(Error::Data(format!(
                "{} is damaged or was changed: {CHECKSUMS} has {} checksum for it; restore it, or create {} again",
                path.display(),
                if found.is_some() { "another" } else { "no" },
                self.folder.display()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_file_or_list_is_refused() {
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
        assert!(error.contains("has another checksum"), "{error}");
        for list in [r#"{"a": 1}"#, r#"{"/dev/zero": "x"}"#, r#"{"../a": "x"}"#, r#"{"": "x"}"#] {
            fs::write(folder.path().join(CHECKSUMS), list).unwrap();
            assert!(Checksums::read(folder.path()).is_err(), "{list}");
        }
    }
}
