//! Atomic writes: a reader never sees a partly written file or directory.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};

/// Name prefix of files and directories that are still being written.
pub const WRITING: &str = ".writing-";

/// Writes `bytes` to a temporary file beside `path`, syncs it and renames it to `path`.
///
/// # Errors
/// [`Error::Io`] if a step fails.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_together(&[(path, bytes)])
}

/// Writes files that belong together: all temporary files are complete before the first is renamed, so that a full disk
/// leaves the previous files unchanged.
///
/// # Errors
/// [`Error::Io`] if a step fails.
pub fn write_together(files: &[(&Path, &[u8])]) -> Result<()> {
    let needed: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let temporary = files.iter().map(|(path, bytes)| write_temporary(path, bytes, needed));
    let temporary = temporary.collect::<Result<Vec<_>>>()?;
    for (file, (path, _)) in temporary.into_iter().zip(files) {
        persist(file, path).map_err(Error::io("write", path))?;
    }
    let mut folders: Vec<&Path> = files.iter().map(|(path, _)| folder_of(path)).collect();
    folders.dedup();
    folders.into_iter().try_for_each(sync_folder)
}

/// A temporary file beside `path` with `bytes` in it. `needed` counts the bytes of all files of this write.
fn write_temporary(path: &Path, bytes: &[u8], needed: usize) -> Result<tempfile::NamedTempFile> {
    let folder = folder_of(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(WRITING);
    // Temporary files are private by default; this one becomes an ordinary file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(|error| {
        Error::io("create a file in", folder)(with_needed_bytes(without_path(error), needed))
    })?;
    file.as_file_mut()
        .write_all(bytes)
        .and_then(|()| if_supported(file.as_file().sync_all()))
        .map_err(|error| Error::io("write", path)(with_needed_bytes(error, needed)))?;
    Ok(file)
}

/// The error without the path of the temporary file that [`tempfile`] adds.
fn without_path(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|error| error.source());
    let code = inner.and_then(|error| error.downcast_ref::<io::Error>()?.raw_os_error());
    code.map_or(error, io::Error::from_raw_os_error)
}

/// Adds the number of bytes to write to the error of a full disk; other errors are unchanged.
pub(crate) fn with_needed_bytes(error: io::Error, needed: usize) -> io::Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            io::Error::new(error.kind(), format!("{error}; {needed} bytes are needed"))
        }
        _ => error,
    }
}

/// The directory that contains a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Checks, before long work, that its result can be written to `path`.
///
/// # Errors
/// [`Error::Io`] if the directory of `path` does not exist or is not writable.
pub fn check_writable(path: &Path) -> Result<()> {
    write_temporary(path, &[], 0).map(drop)
}

/// Checks, before long work, that its results replace no file unless `force` is set.
///
/// # Errors
/// [`Error::Config`] with the first path that exists.
pub fn check_absent(paths: &[&Path], force: bool) -> Result<()> {
    match paths.iter().find(|path| !force && path.exists()) {
        Some(path) => Err(Error::Config(format!(
            "{} exists; choose another --out, or replace it with --force",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// Creates a directory atomically: `fill` writes into a temporary directory beside it, which is then renamed.
///
/// # Errors
/// Those of `fill`; [`Error::Io`] if a step fails.
pub fn create_folder_atomic(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = folder_of(folder);
    create_folder(parent)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(WRITING);
    // Temporary directories are private by default; this one becomes an ordinary directory.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let temporary = builder
        .tempdir_in(parent)
        .map_err(|error| Error::io("create a directory in", parent)(without_path(error)))?;
    fill(temporary.path()).map_err(|error| with_path_in(error, temporary.path(), folder))?;
    sync_folder(temporary.path())?;
    rename(temporary.path(), folder)?;
    // The temporary name no longer exists, so there is nothing to remove.
    let _ = temporary.keep();
    sync_folder(parent)
}

/// The error of a write in `temporary`, with the path that the file would have had in `folder`.
pub(crate) fn with_path_in(error: Error, temporary: &Path, folder: &Path) -> Error {
    match error {
        Error::Io { action, path, source } => {
            let path = path.strip_prefix(temporary).map(|rest| folder.join(rest)).unwrap_or(path);
            Error::Io { action, path, source }
        }
        error => error,
    }
}

/// Makes a rename inside `folder` durable, where the file system can.
///
/// # Errors
/// [`Error::Io`] if the directory cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> Result<()> {
    // Windows cannot open directories and does not need this.
    if cfg!(unix) {
        let handle = File::open(folder).map_err(Error::io("open", folder))?;
        if_supported(handle.sync_all()).map_err(Error::io("sync", folder))?;
    }
    Ok(())
}

/// Success instead of the error of a file system that cannot sync (`EINVAL`, `ENOTSUP`, `ENOSYS`): network and user-space
/// file systems refuse it for directories, and macOS for all files of some disks.
fn if_supported(synced: io::Result<()>) -> io::Result<()> {
    match synced {
        Err(error) if [ErrorKind::InvalidInput, ErrorKind::Unsupported].contains(&error.kind()) => {
            Ok(())
        }
        synced => synced,
    }
}

/// Renames a temporary file to its final name.
///
/// # Errors
/// As [`retried`].
pub(crate) fn persist(file: tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
    // The file must be closed: Windows does not rename files that other programs may write.
    let mut closed = Some(file.into_temp_path());
    retried(|| match closed.take().map(|file| file.persist(path)) {
        Some(Err(failed)) => {
            closed = Some(failed.path);
            Err(failed.error)
        }
        _ => Ok(()),
    })
}

/// Renames a file or directory.
///
/// # Errors
/// [`Error::Io`] if it cannot be renamed.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    retried(|| fs::rename(from, to)).map_err(Error::io("write", to))
}

/// Removes a directory with all files in it. `action` names the purpose in errors.
///
/// # Errors
/// [`Error::Io`] if something in it cannot be removed.
pub fn remove_folder(action: &'static str, folder: &Path) -> Result<()> {
    retried(|| fs::remove_dir_all(folder)).map_err(Error::io(action, folder))
}

/// Repeats an operation for up to a second while another program has a file open. Only Windows refuses it then; indexers and
/// virus scanners open every new file for a moment.
///
/// # Errors
/// The last error.
fn retried(mut operation: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let mut pause = Duration::from_millis(1);
    loop {
        match operation() {
            Err(error) if is_in_use(&error) && pause < Duration::from_millis(600) => {
                thread::sleep(pause);
                pause *= 2;
            }
            result => return result,
        }
    }
}

/// Whether an operation failed because another program has a file open: access denied, a sharing violation, a lock
/// violation or a directory that is not empty yet. Elsewhere than on Windows, such errors have other causes.
fn is_in_use(error: &io::Error) -> bool {
    cfg!(windows) && error.raw_os_error().is_some_and(|code| [5, 32, 33, 145].contains(&code))
}

/// Removes the temporary files that killed processes left in `folder`. No other process may be writing there.
///
/// # Errors
/// [`Error::Io`] if an entry cannot be read or removed. The directory need not exist.
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
            tracing::debug!("removed {}, which was only partly written", path.display());
            match path.is_dir() {
                true => remove_folder("remove", &path)?,
                false => {
                    retried(|| fs::remove_file(&path)).map_err(Error::io("remove", &path))?;
                }
            }
        }
    }
    Ok(())
}

/// Creates a directory and its parents.
///
/// # Errors
/// [`Error::Io`] if one of them cannot be created.
pub fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("create the directory", folder))
}

/// Reads a UTF-8 file.
///
/// # Errors
/// [`Error::Io`] if it cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::io("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_replaces_the_file_and_leaves_no_temporary_file() {
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
    fn file_system_that_cannot_sync_is_not_an_error() {
        for kind in [ErrorKind::InvalidInput, ErrorKind::Unsupported] {
            assert!(if_supported(Err(kind.into())).is_ok());
        }
        let failed = if_supported(Err(io::Error::other("the disk is gone")));
        assert_eq!(failed.unwrap_err().to_string(), "the disk is gone");
        // fsync of a directory of procfs gives EINVAL.
        if cfg!(target_os = "linux") {
            assert!(File::open("/proc").unwrap().sync_all().is_err());
            sync_folder(Path::new("/proc")).unwrap();
        }
    }

    #[test]
    fn only_windows_repeats_an_operation_that_is_refused() {
        let mut calls = 0;
        let refused = retried(|| {
            calls += 1;
            // ERROR_SHARING_VIOLATION on Windows, EPIPE elsewhere.
            if calls < 3 { Err(io::Error::from_raw_os_error(32)) } else { Ok(()) }
        });
        assert_eq!((refused.is_ok(), calls), if cfg!(windows) { (true, 3) } else { (false, 1) });
    }

    #[test]
    fn files_written_together_are_unchanged_if_one_cannot_be_written() {
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
