//! `.lock`: lets one process at a time write to a directory.
//!
//! The file is locked through the operating system (`flock` on Unix, the share mode on Windows) and names the process that
//! holds it, which others can read. The system releases the lock when that process ends, however it ends, so a killed
//! process blocks nobody.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::files::{create_folder, with_needed_bytes};

const LOCK: &str = ".lock";

/// The right to write to a directory; released when dropped.
#[derive(Debug)]
pub struct Lock {
    folder: PathBuf,
    /// Directories that [`Lock::take`] created, the deepest first.
    created: Vec<PathBuf>,
    /// Locked as long as it is open.
    file: Option<File>,
}

/// The process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    pid: u32,
    host: String,
}

impl Holder {
    fn current() -> Holder {
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        Holder { pid: std::process::id(), host }
    }

    fn parse(text: &str) -> Option<Holder> {
        let mut lines = text.lines();
        let pid = lines.next()?.strip_prefix("pid ")?.parse().ok()?;
        Some(Holder { pid, host: lines.next()?.strip_prefix("host ")?.to_string() })
    }
}

impl Lock {
    /// Locks `folder` and creates it if it does not exist.
    ///
    /// # Errors
    /// [`Error::Data`] if another process holds the lock, [`Error::Io`] if the lock file cannot be written.
    pub fn take(folder: &Path) -> Result<Lock> {
        let missing =
            folder.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists());
        let created = missing.map(Path::to_owned).collect();
        create_folder(folder)?;
        let path = folder.join(LOCK);
        loop {
            let (mut file, text) = match open_locked(&path) {
                Ok(Attempt::Locked(file, text)) => (file, text),
                Ok(Attempt::Held(text)) => {
                    return Err(in_use(folder, Holder::parse(&text).as_ref()));
                }
                Ok(Attempt::Outdated) => continue,
                // The previous holder removed the directory, which was empty.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    create_folder(folder)?;
                    continue;
                }
                Err(error) => return Err(Error::io("lock", &path)(error)),
            };
            let holder = Holder::parse(&text);
            if let Some(Holder { pid, host }) = holder {
                tracing::info!(
                    "{}: process {pid} on {host}, which had locked it, is gone",
                    folder.display()
                );
            }
            let Holder { pid, host } = Holder::current();
            let text = format!("pid {pid}\nhost {host}\n");
            let written = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| file.write_all(text.as_bytes()));
            // Constructed first, so that an error below drops it and removes the file.
            let lock = Lock { folder: folder.to_owned(), created, file: Some(file) };
            written
                .map_err(|error| Error::io("write", &path)(with_needed_bytes(error, text.len())))?;
            return Ok(lock);
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // On Unix, a file is removed while it is locked, so that nobody locks a file that is about to be removed. Windows
        // removes no file that is open without sharing its removal, neither here nor in a process that locked it meanwhile.
        if cfg!(windows) {
            self.file = None;
        }
        // A file that remains does no harm, as nobody holds its lock.
        let _ = fs::remove_file(self.folder.join(LOCK));
        // Removes the directories that are still empty.
        for folder in &self.created {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn in_use(folder: &Path, holder: Option<&Holder>) -> Error {
    let (by, remedy) = match holder {
        Some(Holder { pid, host }) => {
            (format!("process {pid} on {host}"), "wait until it ends, or stop it")
        }
        None => ("another process".into(), "wait until it ends"),
    };
    Error::Data(format!("{} is in use by {by}: {remedy}", folder.display()))
}

/// The result of an attempt to lock a file.
enum Attempt {
    /// Locked, with the previous content.
    Locked(File, String),
    /// Another process holds the lock; the content names it.
    Held(String),
    /// The previous holder removed the file after it was opened here.
    Outdated,
}

/// The text of a file; empty if it cannot be read: then it names no holder.
fn text_of(mut file: &File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) => text,
        Err(_) => String::new(),
    }
}

/// Opens a file and locks it, if nobody holds its lock.
#[cfg(unix)]
fn open_locked(path: &Path) -> io::Result<Attempt> {
    use std::fs::TryLockError;

    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let text = text_of(&file);
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Attempt::Held(text)),
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
            tracing::warn!(
                "{}: its file system does not support locks; make sure that only one process writes there",
                path.display()
            );
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    match is_same_file(&file, path) {
        true => Ok(Attempt::Locked(file, text)),
        false => Ok(Attempt::Outdated),
    }
}

/// As on Unix. The lock is that no other process may open the file for writing or remove it (the share mode). A lock of its
/// range would also keep others from reading who holds it.
#[cfg(windows)]
fn open_locked(path: &Path) -> io::Result<Attempt> {
    use std::os::windows::fs::OpenOptionsExt;

    const SHARE_READ: u32 = 1;
    const SHARE_ALL: u32 = 7;
    /// `ERROR_SHARING_VIOLATION`.
    const IN_USE: i32 = 32;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).share_mode(SHARE_READ);
    match options.open(path) {
        Ok(file) => {
            let text = text_of(&file);
            Ok(Attempt::Locked(file, text))
        }
        Err(error) if error.raw_os_error() == Some(IN_USE) => {
            match OpenOptions::new().read(true).share_mode(SHARE_ALL).open(path) {
                Ok(file) => Ok(Attempt::Held(text_of(&file))),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Attempt::Outdated),
                Err(_) => Ok(Attempt::Held(String::new())),
            }
        }
        Err(error) => Err(error),
    }
}

/// Whether the path still leads to the open file.
#[cfg(unix)]
fn is_same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_lock_is_refused_until_the_first_is_released() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("runs/x");
        let first = Lock::take(&folder).unwrap();
        let error = Lock::take(&folder).unwrap_err().to_string();
        let Holder { pid, host } = Holder::current();
        assert!(error.contains(&format!("process {pid} on {host}")), "{error}");
        assert!(error.contains("runs/x"), "{error}");
        drop(first);
        assert!(!root.path().join("runs").exists(), "empty directories are removed");
        let again = Lock::take(&folder).unwrap();
        fs::write(folder.join("something"), "").unwrap();
        drop(again);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn lock_file_of_a_dead_process_does_not_block() {
        let root = tempfile::tempdir().unwrap();
        for content in ["pid 4194305\nhost here\n", "", "pid x\n", "\u{1}"] {
            fs::write(root.path().join(LOCK), content).unwrap();
            drop(Lock::take(root.path()).unwrap());
        }
    }

    #[test]
    fn racing_threads_never_hold_the_lock_together() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("x");
        let (inside, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        let Ok(lock) = Lock::take(&folder) else { continue };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        taken.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert!(taken.load(Ordering::SeqCst) > 0);
    }
}
