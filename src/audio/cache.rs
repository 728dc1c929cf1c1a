//! Decoded audio on disk, from which training reads excerpts.
//!
//! A cache directory holds one file per track and sample rate, `<two digits>/<64 digits>.audio`. The name is the cache key: a
//! BLAKE3 hash over the content of the source (or the identity of a synthetic piece), the excerpt, the decoder, the
//! resampler, the sample rate and the format version. A change of any of these gives another file, so outdated entries are
//! never read. All numbers in a file are little-endian:
//!
//! | offset | type | content |
//! |---|---|---|
//! | 0 | 8 bytes | `TONOTOPY` |
//! | 8 | u32 | format version: 1 |
//! | 12 | u32 | sample rate, in Hz |
//! | 16 | u64 | number of samples |
//! | 24 | f32 | scale: the value of one step of a stored sample |
//! | 28 | f32 | peak: the largest absolute sample before rounding |
//! | 32 | u32 | sample rate of the source, in Hz |
//! | 36 | u16 | channels of the source |
//! | 38 | u16 | 1 if the source ends inside its last frame, which is left out; otherwise 0 |
//! | 40 | 24 bytes | codec of the source, ASCII, padded with zeros |
//! | 64 | 32 bytes | the cache key, as in the file name |
//! | 96 | 32 bytes | BLAKE3 hash of bytes 0 to 96 and the samples |
//! | 128 | i16 each | the samples |
//!
//! The scale is 1/32768 if the peak is at most 1, so that 16-bit sources at the same rate are stored without loss, and
//! peak/32767 otherwise. In Python:
//!
//! ```python
//! scale = numpy.fromfile(path, "<f4", count=1, offset=24)
//! samples = numpy.fromfile(path, "<i2", offset=128) * scale
//! ```
//!
//! Entries are written under a temporary name and renamed when complete. `index.log` stores the content hash of each file
//! by path, size and times; `scan --verify` reads every file and every entry again. The checksum of an entry is verified when
//! a process first uses an entry that it did not write; a damaged entry is replaced. Several processes may share a cache
//! directory. It may be deleted whenever no process uses it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use datasets::{Audio, Frames};

use super::decode::{DECODER, check_loudness, decode_resampled};
use super::entry::{self, FORMAT, HEADER, Header, SampleBuffer};
use super::error::{AudioError, Reason};
use super::hash_index::{HashIndex, hex};
use super::limits::Limits;
use super::resample::{RESAMPLER, StreamingResampler};
use super::source::{Decoded, SourceInfo};
use crate::io::files::persist;

/// Samples of one track that are kept in memory during decoding (32 MiB); longer tracks use a temporary file.
const IN_MEMORY: usize = 1 << 23;

/// Subdirectory for files that are being written.
const TEMPORARY: &str = "tmp";

/// Temporary files of this age were left by a killed process.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// A directory of decoded audio.
pub struct AudioCache {
    folder: PathBuf,
    hashes: HashIndex,
    /// Keys that a thread of this process is loading.
    busy: Mutex<HashSet<[u8; 32]>>,
    freed: Condvar,
}

/// A track at one sample rate in the cache. It is cheap to clone and keeps no file open.
#[derive(Clone, Debug, PartialEq)]
pub struct CachedAudio {
    storage: Storage,
    samples: usize,
    sample_rate: u32,
    scale: f32,
    hashes: Hashes,
}

/// What identifies a track by its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hashes {
    source: [u8; 32],
    content: [u8; 32],
}

/// Where the samples are stored.
#[derive(Clone, Debug, PartialEq)]
enum Storage {
    File(Arc<Path>),
    /// Features of a dataset without audio, in memory.
    Frames(Frames),
}

impl CachedAudio {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples
    }

    /// Whether the track has no samples.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// In Hz.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        self.samples as f64 / f64::from(self.sample_rate)
    }

    /// The file, in the format that [`cache`](self) documents; `None` for features.
    pub fn path(&self) -> Option<&Path> {
        match &self.storage {
            Storage::File(path) => Some(path),
            Storage::Frames(_) => None,
        }
    }

    /// The hash of the track's source: the bytes of its file and the excerpt, or what generates or describes a piece
    /// without a file. Equal on every machine and at every sample rate.
    pub fn source_hash(&self) -> &[u8; 32] {
        &self.hashes.source
    }

    /// The hash of the decoded samples: equal for two files with different tags but the same audio.
    pub fn content_hash(&self) -> &[u8; 32] {
        &self.hashes.content
    }

    /// Number of samples at whose multiples an excerpt may start: 1 for audio, the width of a frame for features.
    pub fn grain(&self) -> usize {
        match &self.storage {
            Storage::File(_) => 1,
            Storage::Frames(frames) => frames.width,
        }
    }

    /// Up to `count` values from index `start` on, fewer at the end of the track; `None` for audio.
    pub fn features(&self, start: usize, count: usize) -> Option<Vec<f32>> {
        let Storage::Frames(frames) = &self.storage else { return None };
        let start = start.min(self.samples);
        let end = start.saturating_add(count).min(self.samples);
        let value = |byte: &u8| frames.lowest + frames.step * f32::from(*byte);
        Some(frames.bytes[start..end].iter().map(value).collect())
    }

    /// Replaces `bytes` by `count` stored samples from index `start` on: 16-bit little-endian, in steps of
    /// [`scale`](Self::scale). `bytes` is empty for features, which are not stored.
    ///
    /// # Errors
    /// [`AudioError::Argument`] if the range is not inside the track, [`AudioError::Cache`] if the entry does not exist or its
    /// length has changed.
    pub fn stored(
        &self,
        start: usize,
        count: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<(), AudioError> {
        self.check(start, count)?;
        bytes.clear();
        let Storage::File(path) = &self.storage else { return Ok(()) };
        if count == 0 {
            return Ok(());
        }
        let file = File::open(path).map_err(AudioError::cache("open", path))?;
        let length = file.metadata().map_err(AudioError::cache("read", path))?.len();
        if length != entry::file_length(self.samples as u64) {
            return Err(AudioError::Cache {
                action: "read",
                path: path.to_path_buf(),
                source: io::Error::other("its length has changed; run the scan again"),
            });
        }
        bytes.resize(2 * count, 0);
        read_exact_at(&file, bytes, (HEADER + 2 * start) as u64)
            .map_err(AudioError::cache("read", path))
    }

    /// The value of one step of a stored sample.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    fn check(&self, start: usize, count: usize) -> Result<(), AudioError> {
        match start.checked_add(count).is_some_and(|end| end <= self.samples) {
            true => Ok(()),
            false => Err(AudioError::Argument(format!(
                "cannot read {count} samples from sample {start} on: {} has {}",
                self.path().map_or("the track".into(), |path| path.display().to_string()),
                self.samples
            ))),
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_read(file, bytes, offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[count..];
        offset += count as u64;
    }
    Ok(())
}

/// A track in the cache, and how it got there.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// At the requested sample rate.
    pub audio: CachedAudio,
    /// Properties of the source before resampling.
    pub source: SourceInfo,
    /// Whether this call decoded it.
    pub decoded: bool,
    /// What was wrong with the previous entry, if this call replaced a damaged one.
    pub rebuilt: Option<&'static str>,
}

/// Options for loading tracks.
#[derive(Clone, Copy)]
pub(super) struct Policy<'a> {
    pub limits: &'a Limits,
    pub verify: bool,
    pub stop: &'a AtomicBool,
}

impl AudioCache {
    /// Opens or creates a cache directory. If it is not writable, its existing entries are used.
    ///
    /// # Errors
    /// [`AudioError::Cache`] if the directory cannot be created or read.
    pub fn open(folder: &Path) -> Result<AudioCache, AudioError> {
        Self::open_with(folder, Duration::from_secs(2))
    }

    pub(super) fn open_with(folder: &Path, settled: Duration) -> Result<AudioCache, AudioError> {
        match prepare(folder) {
            Err(error) if is_read_only(&error) && folder.is_dir() => {
                tracing::debug!("{} is used read-only: {error}", folder.display());
            }
            prepared => {
                prepared.map_err(AudioError::cache("create the cache directory", folder))?
            }
        }
        let index = folder.join("index.log");
        let hashes =
            HashIndex::open(index.clone(), settled).map_err(AudioError::cache("read", &index))?;
        Ok(AudioCache {
            folder: folder.to_owned(),
            hashes,
            busy: Mutex::default(),
            freed: Condvar::new(),
        })
    }

    /// The cache directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The track at `sample_rate` Hz if the cache has a valid entry; decodes nothing.
    ///
    /// # Errors
    /// As [`load`](Self::load) for a source that must be read to compute its key.
    pub fn lookup(
        &self,
        audio: &Audio,
        sample_rate: u32,
    ) -> Result<Option<CachedAudio>, AudioError> {
        if let Audio::Frames(frames) = audio {
            return load_features(frames, sample_rate).map(|loaded| Some(loaded.audio));
        }
        let Key { key, source, .. } = self.key(audio, sample_rate, &Limits::default(), false)?;
        let entry = self.entry(&key, false)?.ok();
        Ok(entry.map(|(header, content)| self.cached(&key, &header, Hashes { source, content })))
    }

    /// The [`source_hash`](CachedAudio::source_hash) of a track, without decoding it.
    ///
    /// # Errors
    /// [`AudioError::Unusable`] if its file cannot be read.
    pub fn source_hash(&self, audio: &Audio) -> Result<[u8; 32], AudioError> {
        match audio {
            Audio::Frames(frames) => Ok(hash_of_frames(frames)),
            audio => Ok(self.key(audio, 1, &Limits::default(), false)?.source),
        }
    }

    /// The track at `sample_rate` Hz, decoded if it is not in the cache.
    ///
    /// # Errors
    /// [`AudioError::Unusable`] if the source cannot be used or is silent, [`AudioError::Argument`] if
    /// `sample_rate` is out of range, and other errors if the cache cannot be used.
    pub fn load(
        &self,
        audio: &Audio,
        sample_rate: u32,
        limits: &Limits,
    ) -> Result<Loaded, AudioError> {
        let stop = AtomicBool::new(false);
        self.load_with(audio, sample_rate, Policy { limits, verify: false, stop: &stop })
    }

    pub(super) fn load_with(
        &self,
        audio: &Audio,
        sample_rate: u32,
        policy: Policy<'_>,
    ) -> Result<Loaded, AudioError> {
        if let Audio::Frames(frames) = audio {
            return load_features(frames, sample_rate);
        }
        StreamingResampler::new(sample_rate, sample_rate)?;
        let Key { key, source, stamp } =
            self.key(audio, sample_rate, policy.limits, policy.verify)?;
        let _guard = self.lock(key);
        let rebuilt = match self.entry(&key, policy.verify)? {
            Ok((header, content)) => {
                let audio = self.cached(&key, &header, Hashes { source, content });
                return Ok(Loaded { audio, source: header.source, decoded: false, rebuilt: None });
            }
            Err(problem) => problem,
        };
        let (header, content) = self.decode(audio, sample_rate, &key, policy)?;
        if let Some(stamp) = stamp
            && let Audio::File { path, .. } = audio
        {
            let now = fs::metadata(path).map(|metadata| self.hashes.stamp(&metadata).0);
            let is_same = now.ok() == Some(stamp)
                || self
                    .key(audio, sample_rate, policy.limits, true)
                    .is_ok_and(|now| now.key == key);
            if !is_same {
                // The entry may hold the new content under the key of the old content.
                let entry = self.path(&key);
                fs::remove_file(&entry).map_err(AudioError::cache("remove", &entry))?;
                return Err(AudioError::file(
                    path,
                    Reason::Unreadable,
                    "changed while it was being read; run this again when it is complete",
                ));
            }
        }
        let audio = self.cached(&key, &header, Hashes { source, content });
        Ok(Loaded { audio, source: header.source, decoded: true, rebuilt })
    }

    fn cached(&self, key: &[u8; 32], header: &Header, hashes: Hashes) -> CachedAudio {
        CachedAudio {
            storage: Storage::File(self.path(key).into()),
            samples: header.samples as usize,
            sample_rate: header.sample_rate,
            scale: header.scale,
            hashes,
        }
    }

    fn path(&self, key: &[u8; 32]) -> PathBuf {
        let name = hex(key);
        self.folder.join(&name[..2]).join(name).with_extension("audio")
    }

    /// The key of a track's entry, and what it was computed from.
    fn key(
        &self,
        audio: &Audio,
        sample_rate: u32,
        limits: &Limits,
        verify: bool,
    ) -> Result<Key, AudioError> {
        let mut source = blake3::Hasher::new();
        let mut hasher = blake3::Hasher::new();
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        field(&FORMAT.to_le_bytes());
        field(RESAMPLER.as_bytes());
        field(&sample_rate.to_le_bytes());
        let stamp = match audio {
            Audio::File { path, offset_s, duration_s } => {
                limits.check_file(path)?;
                let hashed = self.hashes.of_file(path, verify);
                let (hash, stamp) = hashed.map_err(|error| AudioError::unreadable(path, &error))?;
                field(b"file");
                field(DECODER.as_bytes());
                field(&hash);
                // Adding 0 turns -0 into 0.
                let offset = (offset_s + 0.0).to_le_bytes();
                let duration =
                    duration_s.map_or(Vec::new(), |seconds| seconds.to_le_bytes().to_vec());
                field(&offset);
                field(&duration);
                source.update(b"file").update(&hash).update(&offset).update(&duration);
                Some(stamp)
            }
            Audio::Synthetic(piece) => {
                field(b"synthetic");
                field(piece.identity().as_bytes());
                source.update(b"synthetic").update(piece.identity().as_bytes());
                None
            }
            Audio::Frames(frames) => {
                field(b"frames");
                field(&frames.bytes);
                source.update(&hash_of_frames(frames));
                None
            }
        };
        let hash = |hasher: blake3::Hasher| *hasher.finalize().as_bytes();
        Ok(Key { key: hash(hasher), source: hash(source), stamp })
    }

    /// The header and the content hash of an entry, or what is wrong with it: `Err(None)` if it does not exist.
    #[allow(clippy::type_complexity, reason = "used once, and documented above")]
    fn entry(
        &self,
        key: &[u8; 32],
        verify: bool,
    ) -> Result<Result<(Header, [u8; 32]), Option<&'static str>>, AudioError> {
        let path = self.path(key);
        let header = match entry::open(&path, key) {
            Ok(Ok(header)) => header,
            Ok(Err(problem)) => return Ok(Err(Some(problem))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(None)),
            Err(error) => return Err(AudioError::cache("read", &path)(error)),
        };
        let metadata = fs::metadata(&path).map_err(AudioError::cache("read", &path))?;
        let known = self.hashes.verified(key, &metadata).filter(|_| !verify);
        let content = match known {
            Some(content) => content,
            None => {
                let content = entry::verify(&path).map_err(AudioError::cache("read", &path))?;
                let Some(content) = content else {
                    return Ok(Err(Some("its checksum does not match")));
                };
                self.hashes.set_verified(*key, &metadata, content);
                content
            }
        };
        Ok(Ok((header, content)))
    }

    /// Decodes a track and writes its entry. Returns the header and the content hash.
    fn decode(
        &self,
        audio: &Audio,
        sample_rate: u32,
        key: &[u8; 32],
        policy: Policy<'_>,
    ) -> Result<(Header, [u8; 32]), AudioError> {
        let temporary = self.folder.join(TEMPORARY);
        let mut buffer = SampleBuffer::new(&temporary, IN_MEMORY);
        let mut take = |piece: &[f32]| {
            if policy.stop.load(Ordering::Relaxed) {
                return Err(AudioError::Interrupted);
            }
            let needed = 4 * (buffer.samples() + piece.len() as u64);
            buffer.push(piece).map_err(self.failed("write to", &temporary, needed))
        };
        let (Decoded { source, channel_peak }, name) = match audio {
            Audio::File { path, offset_s, duration_s } => {
                let decoded = decode_resampled(
                    path,
                    *offset_s,
                    *duration_s,
                    sample_rate,
                    policy.limits,
                    &mut take,
                )?;
                (decoded, path.display().to_string())
            }
            Audio::Synthetic(piece) => {
                take(&piece.render(sample_rate))?;
                let source = SourceInfo { sample_rate, ..SourceInfo::mono("synthetic") };
                (Decoded { source, channel_peak: 0.0 }, piece.to_string())
            }
            Audio::Frames(_) => {
                return Err(AudioError::Argument("features are not decoded".into()));
            }
        };
        if !buffer.is_finite() {
            return Err(AudioError::unusable(
                name,
                Reason::NonFinite,
                "its samples are so large that resampling overflows; write the file again, scaled to [-1, 1]",
            ));
        }
        check_loudness(&name, buffer.peak(), channel_peak)?;
        let path = self.path(key);
        let shard = path.parent().unwrap_or(&self.folder);
        let needed = entry::file_length(buffer.samples());
        let failed = || self.failed("write", &path, needed);
        fs::create_dir_all(&temporary).map_err(failed())?;
        fs::create_dir_all(shard).map_err(failed())?;
        let mut file = temporary_file(&temporary, "entry-").map_err(failed())?;
        let header =
            buffer.write(file.as_file_mut(), sample_rate, source, *key).map_err(failed())?;
        persist(file, &path).map_err(failed())?;
        Ok((header, buffer.content_hash()))
    }

    /// A conversion for `map_err` after a write, which distinguishes a full disk from other failures.
    fn failed<'a>(
        &'a self,
        action: &'static str,
        path: &'a Path,
        needed: u64,
    ) -> impl Fn(io::Error) -> AudioError + 'a {
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                AudioError::CacheFull { folder: self.folder.clone(), needed, remaining: None }
            }
            _ => AudioError::cache(action, path)(error),
        }
    }

    /// Waits until no other thread of this process loads this key.
    fn lock(&self, key: [u8; 32]) -> KeyGuard<'_> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        while busy.contains(&key) {
            busy = self.freed.wait(busy).unwrap_or_else(PoisonError::into_inner);
        }
        busy.insert(key);
        KeyGuard { cache: self, key }
    }
}

/// Creates the cache directory and removes abandoned temporary files.
fn prepare(folder: &Path) -> io::Result<()> {
    let temporary = folder.join(TEMPORARY);
    fs::create_dir_all(&temporary)?;
    for entry in fs::read_dir(&temporary)?.flatten() {
        let age = entry.metadata().ok().and_then(|data| data.modified().ok());
        if age.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > ABANDONED) {
            // Another process may have removed it already.
            let _ = fs::remove_file(entry.path());
        }
    }
    // Tells backup programs to skip this directory: https://bford.info/cachedir/
    let tag = folder.join("CACHEDIR.TAG");
    if !tag.exists() {
        let text = "Signature: 8a477f597d28d172789f06886806bc55\n# Audio decoded by tonotopy.\n";
        let mut file = temporary_file(&temporary, "tag-")?;
        file.write_all(text.as_bytes())?;
        persist(file, &tag)?;
    }
    Ok(())
}

/// A temporary file, which is renamed when it is complete.
fn temporary_file(temporary: &Path, prefix: &str) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    // Temporary files are private by default, but a cache may be shared.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder.tempfile_in(temporary)
}

/// Whether the error of a write allows reading.
fn is_read_only(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    [PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull].contains(&error.kind())
}

/// Features, which are in memory and need no cache.
fn load_features(frames: &Frames, sample_rate: u32) -> Result<Loaded, AudioError> {
    let rate = (frames.width as u64).saturating_mul(u64::from(frames.per_second));
    if u64::from(sample_rate) != rate {
        return Err(AudioError::Argument(format!(
            "the dataset contains no audio but {} frames per second with {} features each, and the model takes \
             {sample_rate} samples per second; give it the front end {{ name = \"frames\", width = {}, \
             frames_per_second = {} }}",
            frames.per_second, frames.width, frames.width, frames.per_second
        )));
    }
    let source = SourceInfo { sample_rate, ..SourceInfo::mono("features") };
    let audio = CachedAudio {
        samples: frames.bytes.len(),
        storage: Storage::Frames(frames.clone()),
        sample_rate,
        scale: 1.0,
        hashes: Hashes { source: hash_of_frames(frames), content: hash_of_frames(frames) },
    };
    Ok(Loaded { audio, source, decoded: false, rebuilt: None })
}

/// The hash of precomputed features, which are not decoded.
fn hash_of_frames(frames: &Frames) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&frames.lowest.to_le_bytes()).update(&frames.step.to_le_bytes());
    *hasher.update(&frames.bytes).finalize().as_bytes()
}

/// The key of an entry, and what it was computed from.
struct Key {
    key: [u8; 32],
    source: [u8; 32],
    /// The stamp of the file at the time of hashing.
    stamp: Option<String>,
}

struct KeyGuard<'a> {
    cache: &'a AudioCache,
    key: [u8; 32],
}

impl Drop for KeyGuard<'_> {
    fn drop(&mut self) {
        self.cache.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.cache.freed.notify_all();
    }
}
