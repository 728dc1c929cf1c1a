//! Writing files so that a reader never meets half of one.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// What names begin with that are still being written.
pub const WRITING: &str = ".writing-";

/// Writes `bytes` to a neighbour of `path`, makes them durable, and renames the neighbour.
///
/// # Errors
/// [`Error::Io`] if the disk refuses.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_together(&[(path, bytes)])
}

/// Writes files that belong together: the neighbours of all are whole before the first of them is renamed, so that
/// a full disk leaves what was there.
///
/// # Errors
/// [`Error::Io`] if the disk refuses.
pub fn write_together(files: &[(&Path, &[u8])]) -> Result<()> {
    let needed: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let neighbours = files.iter().map(|(path, bytes)| neighbour(path, bytes, needed));
    let neighbours = neighbours.collect::<Result<Vec<_>>>()?;
    for (neighbour, (path, _)) in neighbours.into_iter().zip(files) {
        neighbour.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    }
    let mut folders: Vec<&Path> = files.iter().map(|(path, _)| folder_of(path)).collect();
    folders.dedup();
    folders.into_iter().try_for_each(sync_folder)
}

/// A file beside `path` that holds `bytes`; `needed` are those of all that are being written.
fn neighbour(path: &Path, bytes: &[u8], needed: usize) -> Result<tempfile::NamedTempFile> {
    let folder = folder_of(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(WRITING);
    // Temporary files are private by default; what replaces an ordinary file should not be.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder
        .tempfile_in(folder)
        .map_err(|error| Error::io("create a file in", folder)(full(plain(error), needed)))?;
    file.as_file_mut()
        .write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(|error| Error::io("write", path)(full(error, needed)))?;
    Ok(file)
}

/// The error without the temporary name that it tells of.
fn plain(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|error| error.source());
    let code = inner.and_then(|error| error.downcast_ref::<io::Error>()?.raw_os_error());
    code.map_or(error, io::Error::from_raw_os_error)
}

/// The same error, and if the disk is full how many bytes there was no room for.
pub(crate) fn full(error: io::Error, needed: usize) -> io::Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            io::Error::new(error.kind(), format!("{error}; {needed} bytes are needed"))
        }
        _ => error,
    }
}

/// The folder that a file lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Finds out before long work whether its result can be written to `path`.
///
/// # Errors
/// [`Error::Io`] if its folder is not there or takes no file.
pub fn check_place(path: &Path) -> Result<()> {
    neighbour(path, &[], 0).map(drop)
}

/// Makes a folder that was not there, whole or not at all: `fill` writes into a neighbour, which is then renamed.
///
/// # Errors
/// Those of `fill`; [`Error::Io`] if the disk refuses.
pub fn create_whole(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = folder_of(folder);
    create_folder(parent)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(WRITING);
    // Temporary folders are private by default; what becomes an ordinary folder should not be.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let beside = builder
        .tempdir_in(parent)
        .map_err(|error| Error::io("create a folder in", parent)(plain(error)))?;
    fill(beside.path()).map_err(|error| renamed(error, beside.path(), folder))?;
    sync_folder(beside.path())?;
    fs::rename(beside.path(), folder).map_err(Error::io("write", folder))?;
    // Nothing is left under its old name.
    let _ = beside.keep();
    sync_folder(parent)
}

/// The error of writing in `beside`, told of `folder`, which that was to become.
pub(crate) fn renamed(error: Error, beside: &Path, folder: &Path) -> Error {
    match error {
        Error::Io { action, path, source } => {
            let path = path.strip_prefix(beside).map(|rest| folder.join(rest)).unwrap_or(path);
            Error::Io { action, path, source }
        }
        error => error,
    }
}

/// Makes a rename inside `folder` durable.
///
/// # Errors
/// [`Error::Io`] if the folder is not there, or the disk refuses.
pub fn sync_folder(folder: &Path) -> Result<()> {
    // Windows cannot open folders, and needs no such call.
    if cfg!(unix) {
        let handle = File::open(folder).map_err(Error::io("open", folder))?;
        handle.sync_all().map_err(Error::io("sync", folder))?;
    }
    Ok(())
}

/// Removes what processes that were killed left half-written in `folder`, which nobody else may be writing to.
///
/// # Errors
/// [`Error::Io`] if something cannot be read or removed; a missing folder is no error.
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
///
/// # Errors
/// [`Error::Io`] if one of them cannot be made.
pub fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))
}

/// Reads a whole text file.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, or is not UTF-8.
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

    #[test]
    fn of_files_that_belong_together_none_is_replaced_if_one_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let (model, card) = (folder.path().join("model"), folder.path().join("card"));
        write_together(&[(&model, b"old"), (&card, b"old")]).unwrap();
        write_together(&[(&model, b"new"), (&folder.path().join("none/card"), b"")]).unwrap_err();
        assert_eq!(fs::read(&model).unwrap(), b"old");
        write_together(&[(&model, b"new"), (&card, b"new")]).unwrap();
        assert_eq!(
            (fs::read(&model).unwrap(), fs::read(&card).unwrap()),
            (b"new".into(), b"new".into())
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
