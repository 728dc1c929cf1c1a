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
//! The first record names the version of the format. Only the fields that scalars need are written.
//!
//! # References
//! `event.proto` and `summary.proto` of TensorFlow; "TFRecord and tf.train.Example" of its guide.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message as _;

const PREFIX: &str = "events.out.tfevents.";
/// Size of the write buffer, in bytes.
const BUFFER: usize = 1 << 16;

/// Writes one event file.
#[derive(Debug)]
pub struct EventWriter {
    file: BufWriter<File>,
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
        let (_, file) = create_file(dir)?;
        let mut writer = Self { file: BufWriter::with_capacity(BUFFER, file) };
        writer.write(&version_event(wall_time()))?;
        if let Some(step) = resume_step {
            // TensorBoard discards the step of the start event too.
            writer.write(&start_event(wall_time(), step.saturating_add(1)))?;
        }
        writer.flush()?;
        Ok(writer)
    }

    /// Adds the point (`step`, `value`) to the curve `tag`; `a/b` is shown as curve `b` of group `a`. TensorBoard marks
    /// NaN and infinity.
    ///
    /// Points reach the disk on [`EventWriter::flush`], and when the writer is dropped.
    ///
    /// # Errors
    /// If writing fails.
    pub fn scalar(&mut self, tag: &str, step: i64, value: f32) -> io::Result<()> {
        self.write(&scalar_event(wall_time(), step, tag, value))
    }

    /// Writes all points, so that a reader sees them.
    ///
    /// # Errors
    /// If writing fails.
    pub fn flush(&mut self) -> io::Result<()> {
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

#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    /// Optional, because a value of 0 must be written too.
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

fn version_event(wall_time: f64) -> Vec<u8> {
    let file_version = Some("brain.Event:2".into());
    Event { wall_time, file_version, ..Event::default() }.encode_to_vec()
}

/// A session that starts at `step`.
fn start_event(wall_time: f64, step: i64) -> Vec<u8> {
    const START: i32 = 1;
    let session_log = Some(SessionLog { status: START });
    Event { wall_time, step, session_log, ..Event::default() }.encode_to_vec()
}

fn scalar_event(wall_time: f64, step: i64, tag: &str, value: f32) -> Vec<u8> {
    let value = vec![Value { tag: tag.into(), simple_value: Some(value) }];
    let summary = Some(Summary { value });
    Event { wall_time, step, summary, ..Event::default() }.encode_to_vec()
}

#[cfg(test)]
mod tests;
