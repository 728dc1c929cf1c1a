//! Writing files so that a reader never meets half of one.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// What names begin with that are still being written.
pub const WRITING: &str = ".writing-";

/// Writes `bytes` to a neighbour of `path`, makes them durable, and renames the neighbour.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(WRITING);
    // Temporary files are private by default; what replaces an ordinary file should not be.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let full = |error: io::Error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => io::Error::new(
            error.kind(),
            format!("{error}; {} bytes are needed: make room, then go on", bytes.len()),
        ),
        _ => error,
    };
    let written = |error: io::Error| Error::io("write", path)(full(error));
    let mut file = builder
        .tempfile_in(folder)
        .map_err(|error| Error::io("create a file in", folder)(full(error)))?;
    file.write_all(bytes).map_err(written)?;
    file.as_file().sync_all().map_err(written)?;
    file.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    sync_folder(folder)
}

/// Makes a rename inside `folder` durable.
pub fn sync_folder(folder: &Path) -> Result<()> {
    // Windows cannot open folders, and needs no such call.
    if cfg!(unix) {
        let handle = File::open(folder).map_err(Error::io("open", folder))?;
        handle.sync_all().map_err(Error::io("sync", folder))?;
    }
    Ok(())
}

/// Removes what processes that were killed left half-written in `folder`, which nobody else may be writing to.
pub fn sweep_abandoned(folder: &Path) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("read", folder)(error)),
    };
    for entry in entries {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(WRITING) {
            tracing::debug!("{} was never finished: removed", path.display());
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            removed.map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Creates a folder and those above it.
pub fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))
}

/// Reads a whole text file.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::io("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_whole_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.json");
        write_atomic(&path, b"first, and longer").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write_atomic(&folder.path().join("no/such/file"), b"").unwrap_err();
        assert!(error.to_string().contains("no/such"));
    }
}
