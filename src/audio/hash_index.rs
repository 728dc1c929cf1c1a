//! An index of content hashes, so that a second scan need not read every file.
//!
//! `index.log` in the cache directory has one line per fact; of several lines about a file, the last one counts.
//! `file ID STAMP HASH CRC` gives the hash of a file, and `entry KEY STAMP HASH CRC` says that the checksum of a cache entry
//! was verified and gives the hash of its content. `ID` is the BLAKE3 hash of the canonical path. `STAMP` is the size and
//! modification time, on Unix also the inode's number and change time: a file with the same stamp is assumed to have the same
//! content. A stamp younger than two seconds is not stored, because a file can change twice within one tick of the clock.
//! `CRC` is the CRC-32C of the rest of the line. A line with a wrong CRC is ignored, which costs one more read of the file.

use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::io::files::{WRITING, persist};

/// Size, times and inode of a file, as text without spaces.
pub(super) type Stamp = String;

#[derive(Default)]
struct Facts {
    known: HashMap<(Kind, [u8; 32]), (Stamp, [u8; 32])>,
    /// Opened at the first write.
    file: Option<File>,
    /// Whether a write failed, which is reported once.
    failed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    File,
    Entry,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Entry => "entry",
        }
    }
}

/// The index in memory and its file.
pub(super) struct HashIndex {
    path: PathBuf,
    facts: Mutex<Facts>,
    /// Age from which a stamp is stored.
    settled: Duration,
}

impl HashIndex {
    /// Reads the index, which is empty if the file does not exist or belongs to a user who does not share it.
    pub fn open(path: PathBuf, settled: Duration) -> io::Result<HashIndex> {
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                tracing::debug!(
                    "cannot read {}: {error}; all files are read again",
                    path.display()
                );
                String::new()
            }
            Err(error) => return Err(error),
        };
        let mut facts = Facts::default();
        let mut lines = 0;
        for line in text.lines() {
            lines += 1;
            if let Some((kind, id, stamp, hash)) = parse(line) {
                facts.known.insert((kind, id), (stamp, hash));
            }
        }
        let index = HashIndex { path, facts: Mutex::new(facts), settled };
        if let Err(error) = index.compact(lines) {
            tracing::debug!("cannot compact {}: {error}", index.path.display());
        }
        Ok(index)
    }

    /// Rewrites a file that consists mostly of superseded lines.
    fn compact(&self, lines: usize) -> io::Result<()> {
        let facts = &self.lock().known;
        if lines < 2 * facts.len() + 10_000 {
            return Ok(());
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(WRITING);
        // Temporary files are private by default, but a cache may be shared.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        let mut text = String::new();
        for ((kind, id), (stamp, hash)) in facts {
            text += &line(*kind, id, stamp, hash);
        }
        file.write_all(text.as_bytes())?;
        persist(file, &self.path)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Facts> {
        // No panic can leave the facts half-updated.
        self.facts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn get(&self, kind: Kind, id: &[u8; 32], stamp: &Stamp) -> Option<[u8; 32]> {
        let guard = self.lock();
        let (known, hash) = guard.known.get(&(kind, *id))?;
        (known == stamp).then_some(*hash)
    }

    /// Stores a fact; only in memory if the file cannot be written.
    fn put(&self, kind: Kind, id: [u8; 32], stamp: Stamp, hash: [u8; 32]) {
        let line = line(kind, &id, &stamp, &hash);
        let mut facts = self.lock();
        if !facts.failed
            && let Err(error) = self.append(&mut facts.file, &line)
        {
            facts.failed = true;
            tracing::warn!(
                "cannot write {}: {error}; the next scan will read all files again",
                self.path.display()
            );
        }
        facts.known.insert((kind, id), (stamp, hash));
    }

    fn append(&self, file: &mut Option<File>, line: &str) -> io::Result<()> {
        let file = match file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().create(true).append(true).open(&self.path)?),
        };
        file.write_all(line.as_bytes())
    }

    /// The BLAKE3 hash and the stamp of a file. `verify` reads the file even if its hash is known.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn of_file(&self, path: &Path, verify: bool) -> io::Result<([u8; 32], Stamp)> {
        let canonical = fs::canonicalize(path)?;
        let id = *blake3::hash(canonical.as_os_str().as_encoded_bytes()).as_bytes();
        let mut file = File::open(path)?;
        let (stamp, settled) = self.stamp(&file.metadata()?);
        if !verify
            && settled
            && let Some(hash) = self.get(Kind::File, &id, &stamp)
        {
            return Ok((hash, stamp));
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut file)?;
        let hash = *hasher.finalize().as_bytes();
        // The hash of a file that changed during the read is not stored.
        let (after, _) = self.stamp(&fs::metadata(path)?);
        if settled && after == stamp {
            self.put(Kind::File, id, stamp.clone(), hash);
        }
        Ok((hash, stamp))
    }

    /// The content hash of the entry if its checksum was verified and it has not changed since.
    pub fn verified(&self, key: &[u8; 32], metadata: &Metadata) -> Option<[u8; 32]> {
        let (stamp, settled) = self.stamp(metadata);
        if settled { self.get(Kind::Entry, key, &stamp) } else { None }
    }

    /// Stores that the checksum of the entry is correct, and its content hash.
    pub fn set_verified(&self, key: [u8; 32], metadata: &Metadata, content: [u8; 32]) {
        if let (stamp, true) = self.stamp(metadata) {
            self.put(Kind::Entry, key, stamp, content);
        }
    }

    /// The stamp, and whether it is old enough to be stored.
    pub fn stamp(&self, metadata: &Metadata) -> (Stamp, bool) {
        let modified = metadata.modified().ok();
        let stamp = format!("{}:{}", metadata.len(), nanoseconds(modified));
        let (stamp, newest) = with_inode(stamp, modified, metadata);
        let settled = newest.is_some_and(|newest| {
            SystemTime::now().duration_since(newest).is_ok_and(|age| age >= self.settled)
        });
        (stamp, settled)
    }
}

/// The stamp with the number and the change time of the inode, and the later of both times.
#[cfg(unix)]
fn with_inode(
    stamp: String,
    modified: Option<SystemTime>,
    metadata: &Metadata,
) -> (Stamp, Option<SystemTime>) {
    use std::os::unix::fs::MetadataExt;
    let nanoseconds = metadata.ctime_nsec();
    let stamp = format!("{stamp}:{}.{nanoseconds}:{}", metadata.ctime(), metadata.ino());
    let since = Duration::new(metadata.ctime().max(0) as u64, nanoseconds.max(0) as u32);
    (stamp, modified.max(UNIX_EPOCH.checked_add(since)))
}

/// Other systems have no inodes.
#[cfg(not(unix))]
fn with_inode(
    stamp: String,
    modified: Option<SystemTime>,
    _: &Metadata,
) -> (Stamp, Option<SystemTime>) {
    (stamp, modified)
}

fn nanoseconds(time: Option<SystemTime>) -> i128 {
    match time.map(|time| time.duration_since(UNIX_EPOCH)) {
        Some(Ok(after)) => after.as_nanos() as i128,
        Some(Err(before)) => -(before.duration().as_nanos() as i128),
        None => i128::MIN,
    }
}

fn line(kind: Kind, id: &[u8; 32], stamp: &str, hash: &[u8; 32]) -> String {
    let text = format!("{} {} {stamp} {}", kind.name(), hex(id), hex(hash));
    format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()))
}

fn parse(line: &str) -> Option<(Kind, [u8; 32], Stamp, [u8; 32])> {
    let (text, checksum) = line.rsplit_once(' ')?;
    if u32::from_str_radix(checksum, 16).ok()? != crc32c::crc32c(text.as_bytes()) {
        return None;
    }
    let mut fields = text.split(' ');
    let kind = fields.next()?;
    let kind = [Kind::File, Kind::Entry].into_iter().find(|known| known.name() == kind)?;
    let id = *blake3::Hash::from_hex(fields.next()?).ok()?.as_bytes();
    let stamp = fields.next()?.to_string();
    // Earlier versions wrote `-` for an entry, which is then verified again.
    let hash = *blake3::Hash::from_hex(fields.next()?).ok()?.as_bytes();
    Some((kind, id, stamp, hash))
}

/// The hash as 64 hexadecimal digits.
pub(super) fn hex(hash: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(folder: &Path) -> HashIndex {
        HashIndex::open(folder.join("index.log"), Duration::ZERO).unwrap()
    }

    #[test]
    fn only_changed_files_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        fs::write(&path, b"first").unwrap();
        let hashes = index(folder.path());
        let (hash, stamp) = hashes.of_file(&path, false).unwrap();
        assert_eq!(hash, *blake3::hash(b"first").as_bytes());

        // A wrong hash under the right stamp shows that the index is used.
        let id = fs::canonicalize(&path).unwrap();
        let id = *blake3::hash(id.as_os_str().as_encoded_bytes()).as_bytes();
        hashes.put(Kind::File, id, stamp, [9; 32]);
        assert_eq!(hashes.of_file(&path, false).unwrap().0, [9; 32]);
        let reopened = index(folder.path());
        assert_eq!(reopened.of_file(&path, false).unwrap().0, [9; 32]);
        assert_eq!(reopened.of_file(&path, true).unwrap().0, hash);

        // The same length and modification time; the change time of the inode differs.
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&path, b"other").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        if cfg!(unix) {
            let (changed, _) = reopened.of_file(&path, false).unwrap();
            assert_eq!(changed, *blake3::hash(b"other").as_bytes());
        }
    }

    #[test]
    fn recently_changed_file_is_not_stored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        fs::write(&path, b"first").unwrap();
        let hashes =
            HashIndex::open(folder.path().join("index.log"), Duration::from_secs(3600)).unwrap();
        hashes.of_file(&path, false).unwrap();
        assert!(!folder.path().join("index.log").exists());
    }

    #[test]
    fn torn_and_edited_lines_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("index.log");
        let good = line(Kind::File, &[1; 32], "5:6", &[2; 32]);
        let edited = line(Kind::File, &[3; 32], "5:6", &[4; 32]).replace("5:6", "5:7");
        fs::write(&log, format!("{edited}\u{fffd}\n\n{good}{}", &good[..40])).unwrap();
        let hashes = index(folder.path());
        assert_eq!(hashes.lock().known.len(), 1);
        assert_eq!(hashes.get(Kind::File, &[1; 32], &"5:6".into()), Some([2; 32]));
        // The next line is appended to the torn one and is the only one lost.
        hashes.put(Kind::File, [5; 32], "1:1".into(), [6; 32]);
        hashes.put(Kind::File, [7; 32], "1:1".into(), [8; 32]);
        assert_eq!(index(folder.path()).lock().known.len(), 2);
    }

    #[test]
    fn superseded_lines_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("index.log");
        let lines: String =
            (0..12_000).map(|n| line(Kind::File, &[1; 32], &format!("{n}:0"), &[2; 32])).collect();
        fs::write(&log, lines).unwrap();
        let hashes = index(folder.path());
        assert_eq!(hashes.get(Kind::File, &[1; 32], &"11999:0".into()), Some([2; 32]));
        assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 1);
    }

    /// A cache directory may be shared by the users of a machine.
    #[cfg(unix)]
    #[test]
    fn rewritten_index_can_be_read_by_other_users() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode =
            |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        // What the umask of this process leaves of an ordinary file.
        fs::write(folder.path().join("ordinary"), "").unwrap();
        let lines: String =
            (0..12_000).map(|n| line(Kind::File, &[1; 32], &format!("{n}:0"), &[2; 32])).collect();
        fs::write(folder.path().join("index.log"), lines).unwrap();
        index(folder.path());
        assert_eq!(fs::read_to_string(folder.path().join("index.log")).unwrap().lines().count(), 1);
        assert_eq!(mode("index.log"), mode("ordinary"));
    }
}
