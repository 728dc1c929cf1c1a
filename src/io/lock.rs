//! One process at a time in a folder: `.lock`, held with the operating system's lock and naming its holder.
//!
//! The lock goes with the process, however that ends: what a killed process left behind holds nobody up.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::files::{create_folder, full};

const LOCK: &str = ".lock";

/// The right to write into a folder; given back when dropped.
#[derive(Debug)]
pub struct Lock {
    folder: PathBuf,
    /// Folders that were not there before, the deepest first.
    made: Vec<PathBuf>,
    /// Locked as long as it is open.
    _file: File,
}

/// Who holds a lock; the two lines of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    pid: u32,
    host: String,
}

impl Holder {
    fn this() -> Holder {
        Holder { pid: std::process::id(), host: host() }
    }

    fn parse(text: &str) -> Option<Holder> {
        let mut lines = text.lines();
        let pid = lines.next()?.strip_prefix("pid ")?.parse().ok()?;
        Some(Holder { pid, host: lines.next()?.strip_prefix("host ")?.to_string() })
    }

    /// Whether there is such a process; `None` where that cannot be known.
    fn is_alive(&self) -> Option<bool> {
        let here = self.host == host() && Path::new("/proc/self").exists();
        here.then(|| Path::new("/proc").join(self.pid.to_string()).exists())
    }
}

/// This machine's name.
fn host() -> String {
    crate::io::host::name().unwrap_or_else(|| "unknown".into())
}

impl Lock {
    /// Takes the lock of `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Data`] if another process holds it.
    pub fn take(folder: &Path) -> Result<Lock> {
        let made =
            folder.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists());
        let made = made.map(Path::to_owned).collect();
        create_folder(folder)?;
        let path = folder.join(LOCK);
        loop {
            let mut options = OpenOptions::new();
            let mut file =
                match options.read(true).write(true).create(true).truncate(false).open(&path) {
                    Ok(file) => file,
                    // Whoever held it removed the folder, which was empty.
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        create_folder(folder)?;
                        continue;
                    }
                    Err(error) => return Err(Error::io("open", &path)(error)),
                };
            let mut text = String::new();
            // What is no text names nobody.
            let _ = file.read_to_string(&mut text);
            let holder = Holder::parse(&text);
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(held(folder, holder.as_ref())),
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                    without_locks(folder, holder.as_ref())?;
                }
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
            }
            if !is_the_file(&file, &path) {
                // Its holder removed it between our opening and our locking it.
                continue;
            }
            if let Some(Holder { pid, host }) = holder {
                tracing::info!(
                    "{}: process {pid} on {host}, which held it, is gone",
                    folder.display()
                );
            }
            let Holder { pid, host } = Holder::this();
            let text = format!("pid {pid}\nhost {host}\n");
            let written = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| file.write_all(text.as_bytes()));
            // Dropped, and so removed, where the disk is too full to name its holder.
            let lock = Lock { folder: folder.to_owned(), made, _file: file };
            written.map_err(|error| Error::io("write", &path)(full(error, text.len())))?;
            return Ok(lock);
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A file that stays is as good: nobody locks it.
        let _ = fs::remove_file(self.folder.join(LOCK));
        // Folders in which nothing came about go too; those with anything in them are not empty and stay.
        for folder in &self.made {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn held(folder: &Path, holder: Option<&Holder>) -> Error {
    let (by, remedy) = match holder {
        Some(Holder { pid, host }) => {
            (format!("process {pid} on {host}"), "wait until it has ended, or stop it")
        }
        None => ("another process".into(), "wait until it has ended"),
    };
    Error::Data(format!("{} is in use by {by}: {remedy}", folder.display()))
}

/// On a file system without locks the file alone must do.
fn without_locks(folder: &Path, holder: Option<&Holder>) -> Result<()> {
    let Some(holder) = holder.filter(|holder| holder.is_alive() != Some(false)) else {
        tracing::warn!(
            "{}: its file system has no locks; see to it that only one process writes there",
            folder.display()
        );
        return Ok(());
    };
    Err(Error::Data(format!(
        "{}; if that process is gone, remove {}",
        held(folder, Some(holder)),
        folder.join(LOCK).display()
    )))
}

/// Whether the path still leads to the open file.
#[cfg(unix)]
fn is_the_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// An open file cannot be removed there.
#[cfg(not(unix))]
fn is_the_file(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_the_next_is_not() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("runs/x");
        let first = Lock::take(&folder).unwrap();
        let error = Lock::take(&folder).unwrap_err().to_string();
        let pid = format!("process {} on {}", std::process::id(), host());
        assert!(error.contains(&pid) && error.contains("runs/x"), "{error}");
        drop(first);
        assert!(!place.path().join("runs").exists(), "nothing came about, nothing stays");
        let again = Lock::take(&folder).unwrap();
        fs::write(folder.join("something"), "").unwrap();
        drop(again);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn what_a_dead_process_left_behind_holds_nobody_up() {
        let place = tempfile::tempdir().unwrap();
        for left in ["pid 4194305\nhost here\n", "", "pid x\n", "\u{1}"] {
            fs::write(place.path().join(LOCK), left).unwrap();
            drop(Lock::take(place.path()).unwrap());
        }
    }

    #[test]
    fn without_locks_only_the_dead_are_passed_over() {
        let folder = Path::new("x");
        let this = Holder::this();
        assert!(without_locks(folder, Some(&this)).is_err());
        // Beyond the largest that Linux gives.
        let dead = Holder { pid: 4_194_305, ..this.clone() };
        assert_eq!(without_locks(folder, Some(&dead)).is_ok(), dead.is_alive().is_some());
        let elsewhere = Holder { host: format!("not {}", this.host), ..this };
        assert!(without_locks(folder, Some(&elsewhere)).is_err());
        assert!(without_locks(folder, None).is_ok());
    }

    #[test]
    fn threads_that_race_are_never_two_at_once() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("x");
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
