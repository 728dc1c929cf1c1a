//! Event files for TensorBoard: `tensorboard --logdir runs` shows the curves of a run.
//!
//! An event file is a sequence of records, each a protocol-buffer message `Event` in TFRecord framing:
//!
//! | bytes | |
//! |---|---|
//! | 8 | length of the message, little-endian |
//! | 4 | masked CRC-32C of the length |
//! | length | the message |
//! | 4 | masked CRC-32C of the message |
//!
//! The first record names the version of the format. Only the fields that scalars need are written:
//! `Event { 1: double wall_time, 2: int64 step, 3: string file_version, 5: Summary summary,
//! 7: SessionLog session_log }`, `Summary { 1: repeated Value { 1: string tag, 2: float
//! simple_value } }`, `SessionLog { 1: enum status }`.
//!
//! # References
//! `event.proto` and `summary.proto` of TensorFlow; "TFRecord and tf.train.Example" of its guide.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How much is lost at most if the program is killed.
const FLUSH_EVERY: Duration = Duration::from_secs(10);
const PREFIX: &str = "events.out.tfevents.";
/// Size of the write buffer, in bytes.
const BUFFER: usize = 1 << 16;

/// Writes one event file.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
    flushed: Instant,
}

impl EventWriter {
    /// Creates an event file in the existing folder `dir`.
    ///
    /// `resume_step` is the step of the checkpoint that a run resumes from: TensorBoard then discards the points of earlier
    /// files after that step, so that curves do not run back and forth. Points of the step itself stay.
    ///
    /// The file is named `events.out.tfevents.<seconds>.<host>.<process>`. TensorBoard reads the files of a folder in the
    /// order of their names, so the seconds are those of the clock, but later than those of every existing file.
    ///
    /// # Errors
    /// If the folder cannot be read or written to.
    pub fn create(dir: &Path, resume_step: Option<i64>) -> io::Result<Self> {
        let (path, file) = create_file(dir)?;
        let file = BufWriter::with_capacity(BUFFER, file);
        let mut writer = Self { path, file, flushed: Instant::now() };
        writer.write(&version_event(wall_time()))?;
        if let Some(step) = resume_step {
            // TensorBoard discards the step of the start event too.
            writer.write(&start_event(wall_time(), step.saturating_add(1)))?;
        }
        writer.flush()?;
        Ok(writer)
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds the point (`step`, `value`) to the curve `tag`; `a/b` is shown as curve `b` of group `a`. TensorBoard marks
    /// NaN and infinity.
    ///
    /// Points reach the disk on [`EventWriter::flush`], every ten seconds, and when the writer is dropped.
    ///
    /// # Errors
    /// If writing fails, or `tag` is empty.
    pub fn scalar(&mut self, tag: &str, step: i64, value: f32) -> io::Result<()> {
        if tag.is_empty() {
            let message = format!("the curve of the value at step {step} has no name");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.write(&scalar_event(wall_time(), step, tag, value))?;
        if self.flushed.elapsed() >= FLUSH_EVERY {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes all points, so that a reader sees them.
    ///
    /// # Errors
    /// If writing fails.
    pub fn flush(&mut self) -> io::Result<()> {
        self.flushed = Instant::now();
        self.file.flush()
    }

    fn write(&mut self, event: &[u8]) -> io::Result<()> {
        self.file.write_all(&record(event))
    }
}

/// Unix time, in seconds; 0 if the clock is set before 1970.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn create_file(dir: &Path) -> io::Result<(PathBuf, File)> {
    let mut seconds = wall_time() as u64;
    for entry in fs::read_dir(dir)? {
        if let Some(theirs) = entry?.file_name().to_str().and_then(name_seconds) {
            seconds = seconds.max(theirs.saturating_add(1));
        }
    }
    let (host, process) = (host_name(), std::process::id());
    loop {
        let path = dir.join(format!("{PREFIX}{seconds:010}.{host}.{process}"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            // Another writer of this process has just taken the name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                seconds = seconds.saturating_add(1);
            }
            result => return result.map(|file| (path, file)),
        }
    }
}

/// The seconds in the name of an event file. Other numbers than those of ten digits do not sort by value.
fn name_seconds(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.split('.').next()?;
    // No successor of the last ten-digit number sorts after it.
    digits.parse().ok().filter(|&seconds| digits.len() == 10 && seconds < 9_999_999_999)
}

/// The host name, safe for a file name.
fn host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    let name: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// A message in TFRecord framing.
fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(message.len() + 16);
    record.extend(length);
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(message);
    record.extend(masked_crc(message).to_le_bytes());
    record
}

/// The masked CRC-32C of TFRecord files.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}

fn version_event(wall_time: f64) -> Vec<u8> {
    let mut event = Message::at(wall_time, 0);
    event.bytes(3, b"brain.Event:2");
    event.0
}

/// A session that starts at `step`.
fn start_event(wall_time: f64, step: i64) -> Vec<u8> {
    const START: u64 = 1;
    let mut log = Message::default();
    log.varint(1, START);
    let mut event = Message::at(wall_time, step);
    event.bytes(7, &log.0);
    event.0
}

fn scalar_event(wall_time: f64, step: i64, tag: &str, simple_value: f32) -> Vec<u8> {
    let mut value = Message::default();
    value.bytes(1, tag.as_bytes());
    value.fixed32(2, simple_value);
    let mut summary = Message::default();
    summary.bytes(1, &value.0);
    let mut event = Message::at(wall_time, step);
    event.bytes(5, &summary.0);
    event.0
}

/// A protocol-buffer message: fields of a key (number and wire type) and a value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// An event with its time and step.
    fn at(wall_time: f64, step: i64) -> Self {
        let mut event = Self::default();
        event.fixed64(1, wall_time);
        // The encoding omits the default, 0.
        if step != 0 {
            event.varint(2, step as u64);
        }
        event
    }

    fn key(&mut self, number: u64, wire_type: u64) {
        self.raw_varint(number << 3 | wire_type);
    }

    fn varint(&mut self, number: u64, value: u64) {
        self.key(number, 0);
        self.raw_varint(value);
    }

    fn fixed64(&mut self, number: u64, value: f64) {
        self.key(number, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, number: u64, value: &[u8]) {
        self.key(number, 2);
        self.raw_varint(value.len() as u64);
        self.0.extend(value);
    }

    fn fixed32(&mut self, number: u64, value: f32) {
        self.key(number, 5);
        self.0.extend(value.to_le_bytes());
    }

    /// A varint: seven bits per byte, lowest first; the top bit marks that more follow.
    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests;
