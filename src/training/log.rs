//! The log of a run: `metrics.jsonl` and TensorBoard events.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::io::files::{read_text, with_needed_bytes, write_atomic};
use crate::training::tensorboard::EventWriter;

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum LogLine {
    /// Training starts or resumes at this step.
    Start {
        /// Steps done: 0, or those of the checkpoint that it resumes from.
        step: u64,
        /// Unix time, in seconds.
        unix_seconds: u64,
    },
    /// Means over the steps since the previous line.
    Train {
        /// Steps done.
        step: u64,
        /// Mean loss of the batches, with dropout.
        loss: f64,
        /// Learning rate of the last step, after schedule and warm-up, before the factors of `training.learning_rates`.
        learning_rate: f64,
        /// Speed, without validations and checkpoints, with the time spent waiting for batches.
        excerpts_per_second: f64,
        /// Fraction of the time spent waiting for batches.
        waiting: f64,
        /// Global L2 norm of the last step's gradients before clipping; `None` without clipping.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gradient_norm: Option<f64>,
    },
    /// A validation over whole tracks.
    Valid {
        /// Steps done.
        step: u64,
        /// Metrics by name; `None` where one is not defined on this split.
        metrics: BTreeMap<String, Option<f64>>,
        /// Whether this is the best validation so far.
        best: bool,
    },
    /// Training ended; `reason` is `steps`, `patience`, `interrupted`, `diverged`, `failed` or `imported`.
    End {
        /// Steps done.
        step: u64,
        /// One of the words above.
        reason: String,
        /// Training time over all sessions, in seconds.
        seconds: f64,
    },
}

impl LogLine {
    /// Steps done when the line was written.
    pub fn step(&self) -> u64 {
        match self {
            Self::Start { step, .. }
            | Self::Train { step, .. }
            | Self::Valid { step, .. }
            | Self::End { step, .. } => *step,
        }
    }
}

/// Reads `metrics.jsonl`. Ignores a last line that a crash cut off.
///
/// # Errors
/// [`Error::Data`] with the first invalid line, [`Error::Io`] if the file cannot be read.
pub fn read(path: &Path) -> Result<Vec<LogLine>> {
    let text = read_text(path)?;
    let whole = text.ends_with('\n');
    let count = text.lines().count();
    let mut lines = Vec::with_capacity(count);
    for (index, line) in text.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(line) => lines.push(line),
            Err(_) if index + 1 == count && !whole => break,
            Err(error) => {
                return Err(Error::Data(format!(
                    "{} line {} is not a log line: {error}; restore the file, or remove the line",
                    path.display(),
                    index + 1
                )));
            }
        }
    }
    Ok(lines)
}

/// Appends to `metrics.jsonl` and to the TensorBoard events of a run.
pub struct Log {
    path: PathBuf,
    file: File,
    events: EventWriter,
}

impl Log {
    /// Opens the log of a run that has done `step` steps. Drops lines of later steps: they will be done again.
    ///
    /// # Errors
    /// As [`read()`]; [`Error::Io`] if the folder is not writable.
    pub fn open(folder: &Path, step: u64) -> Result<Log> {
        let path = folder.join("metrics.jsonl");
        if path.exists() {
            let keep = |line: &LogLine| line.step() <= step && !matches!(line, LogLine::End { .. });
            let kept: String = read(&path)?.iter().filter(|line| keep(line)).map(to_line).collect();
            write_atomic(&path, kept.as_bytes())?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        let events = EventWriter::create(folder, (step > 0).then_some(step as i64))
            .map_err(Error::io("create TensorBoard events in", folder))?;
        let mut log = Log { path, file, events };
        log.write(&LogLine::Start { step, unix_seconds: unix_seconds() })?;
        Ok(log)
    }

    /// Writes a line to `metrics.jsonl`, and its numbers to the TensorBoard events.
    ///
    /// # Errors
    /// [`Error::Io`] if writing fails; `metrics.jsonl` then contains no partial line.
    pub fn write(&mut self, line: &LogLine) -> Result<()> {
        self.append(&to_line(line))?;
        let step = line.step() as i64;
        let mut scalars: Vec<(String, f64)> = Vec::new();
        match line {
            LogLine::Train { loss, learning_rate, excerpts_per_second, gradient_norm, .. } => {
                scalars.push(("train/loss".into(), *loss));
                scalars.push(("train/learning_rate".into(), *learning_rate));
                scalars.push(("train/excerpts_per_second".into(), *excerpts_per_second));
                scalars.extend(gradient_norm.map(|norm| ("train/gradient_norm".into(), norm)));
            }
            LogLine::Valid { metrics, .. } => {
                let named = |(name, value): (&String, &Option<f64>)| {
                    Some((format!("valid/{name}"), (*value)?))
                };
                scalars.extend(metrics.iter().filter_map(named));
            }
            LogLine::Start { .. } | LogLine::End { .. } => {}
        }
        for (tag, value) in scalars {
            self.events.scalar(&tag, step, value as f32).map_err(Error::io("write", &self.path))?;
        }
        self.events.flush().map_err(Error::io("write", &self.path))
    }

    /// Appends the whole line or nothing.
    fn append(&mut self, line: &str) -> Result<()> {
        let failed = |error| Error::io("write", &self.path)(with_needed_bytes(error, line.len()));
        let before = self.file.metadata().map_err(failed)?.len();
        self.file.write_all(line.as_bytes()).map_err(|error| {
            // If this fails too, reading the log reports it.
            let _ = self.file.set_len(before);
            failed(error)
        })
    }
}

fn to_line(line: &LogLine) -> String {
    let mut text = serde_json::to_string(line).expect("plain data becomes JSON");
    text.push('\n');
    text
}

/// Unix time, in seconds.
pub fn unix_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(step: u64) -> LogLine {
        LogLine::Train {
            step,
            loss: 0.25,
            learning_rate: 0.01,
            excerpts_per_second: 99.5,
            waiting: 0.0,
            gradient_norm: None,
        }
    }

    #[test]
    fn reopening_drops_what_will_be_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), 0).unwrap();
        for step in [10, 20, 30] {
            log.write(&train(step)).unwrap();
        }
        drop(log);
        let mut log = Log::open(folder.path(), 20).unwrap();
        log.write(&train(30)).unwrap();
        let lines = read(&folder.path().join("metrics.jsonl")).unwrap();
        let steps: Vec<u64> = lines.iter().map(LogLine::step).collect();
        assert_eq!(steps, [0, 10, 20, 20, 30]);
    }

    #[test]
    fn a_torn_last_line_is_passed_over_and_a_torn_middle_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, format!("{}{{\"event\":\"tra", to_line(&train(1)))).unwrap();
        assert_eq!(read(&path).unwrap(), [train(1)]);
        std::fs::write(&path, format!("{{\"event\":\"tra\n{}", to_line(&train(1)))).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("line 1"));
    }
}
