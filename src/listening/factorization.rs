//! A factorisation that can be stopped at any moment: the work in a folder of its own beside the
//! result, which appears when it is finished.
//!
//! While `OUT` is being made there is `OUT.partial`, with `factorization.json` (what is being
//! done), `log.csv` (a sweep a line) and `sweep-NNNNNN`, the factors that stood after so many
//! sweeps. At the end the last of these gets the log and `factorization.json` too and becomes `OUT`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datasets::listening::interactions::{Interactions, Parts};
use kernels::csr::Csr;
use models::factorization::wmf::{Factors, Wmf, WmfConfig, WmfError};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::io::files::{folder_of, read_text, sweep_abandoned, sync_folder, write_atomic};
use crate::io::lock::Lock;
use crate::listening::factors::{self, FactorTables, Side};

/// Version of the folder's layout.
const FORMAT: u32 = 1;
const ABOUT: &str = "factorization.json";
const LOG: &str = "log.csv";
const LOG_HEADER: &str = "sweep,objective,seconds\n";
/// Longest time between checkpoints.
const BETWEEN_CHECKPOINTS: Duration = Duration::from_secs(60);
/// They come more often where writing one takes less than this part of the time.
const WRITING: u32 = 20;

/// What is being done; `factorization.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Version of the folder's layout.
    pub format: u32,
    /// What was asked for.
    pub config: WmfConfig,
    /// Rows of the plays.
    pub users: usize,
    /// Columns of the plays.
    pub items: usize,
    /// Pairs of a user and an item that was played.
    pub interactions: usize,
    /// BLAKE3 of the ids and the counts.
    pub interactions_hash: String,
}

impl About {
    fn new(config: &WmfConfig, parts: &Parts) -> About {
        let mut hasher = blake3::Hasher::new();
        for ids in [&parts.users, &parts.items] {
            hasher.update(&(ids.len() as u64).to_le_bytes());
            for id in ids {
                hasher.update(&(id.len() as u64).to_le_bytes());
                hasher.update(id.as_bytes());
            }
        }
        for chunk in parts.offsets.chunks(8192) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|x| (*x as u64).to_le_bytes()).collect();
            hasher.update(&bytes);
        }
        for chunk in parts.columns.chunks(8192) {
            hasher.update(&chunk.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        }
        for chunk in parts.counts.chunks(8192) {
            hasher.update(&chunk.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
        }
        About {
            format: FORMAT,
            config: config.clone(),
            users: parts.users.len(),
            items: parts.items.len(),
            interactions: parts.columns.len(),
            interactions_hash: hasher.finalize().to_hex().to_string(),
        }
    }

    /// What differs, name by name.
    fn differences(&self, other: &About) -> Vec<String> {
        let plain = |about: &About| serde_json::to_value(about).expect("plain data becomes JSON");
        let (mine, theirs) = (plain(self), plain(other));
        let mut found = Vec::new();
        for (a, b) in [(&mine, &theirs), (&mine["config"], &theirs["config"])] {
            for (key, value) in a.as_object().into_iter().flatten() {
                if key != "config" && b[key] != *value {
                    found.push(format!("{key} is {value} now and was {}", b[key]));
                }
            }
        }
        found
    }
}

/// A line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LogLine {
    /// From 1.
    pub sweep: usize,
    /// What is minimised, after the sweep.
    pub objective: f64,
    /// That the sweep took, without writing checkpoints.
    pub seconds: f64,
}

/// What a factorisation says of itself.
pub trait Listener: Sync {
    /// So many rows (users and items) were solved since the last call (before it was stopped, at the
    /// first call of a resumed one); from any thread.
    fn rows(&self, rows: usize);
    /// A sweep is over; from the thread that called [`factorize`].
    fn sweep(&self, line: &LogLine);
}

/// Where the work goes on before `out` is there.
pub fn partial(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    out.with_file_name(name)
}

/// Factorises into the folder `out`, from the beginning or, with `resume`, from where a stopped
/// one left off. Returns the log.
///
/// # Errors
/// If the config or the interactions cannot be used, `out` is there, what is to be resumed is
/// something else, or `stop` was set: then a checkpoint has been written first.
pub fn factorize(
    config: &WmfConfig,
    interactions: Interactions,
    out: &Path,
    resume: bool,
    stop: &AtomicBool,
    listener: &dyn Listener,
) -> Result<Vec<LogLine>> {
    config.validate().map_err(|error| Error::Config(error.to_string()))?;
    if out.file_name().is_none() {
        return Err(Error::Config(format!("--out {}: name a folder to make", out.display())));
    }
    if out.exists() {
        return Err(Error::Config(format!(
            "{} is there already and is never overwritten; remove it or choose another --out",
            out.display()
        )));
    }
    let partial = partial(out);
    let parts = interactions.into_parts();
    factors::check_ids("user", &parts.users)?;
    factors::check_ids("item", &parts.items)?;
    let about = About::new(config, &parts);
    let there = partial.exists();
    let lock = Lock::take(&partial)?;
    sweep_abandoned(&partial)?;
    let found = match (resume, there) {
        (false, true) => {
            return Err(Error::Config(format!(
                "{} holds a factorisation that was stopped; go on with --resume, or remove it",
                partial.display()
            )));
        }
        (true, false) => {
            return Err(Error::Config(format!(
                "there is nothing to resume: {} does not exist; leave --resume out",
                partial.display()
            )));
        }
        (true, true) => take_up(&partial, &about, &parts)?,
        (false, false) => None,
    };
    let Parts { users, items, offsets, columns, counts } = parts;
    let plays = Csr::new(offsets, columns, counts, items.len())
        .map_err(|error| Error::Data(error.to_string()))?;
    let (mut wmf, mut log) = match found {
        Some((factors, log)) => {
            (Wmf::resume(config, &plays, factors, log.len()).map_err(from_wmf)?, log)
        }
        None => (Wmf::new(config, &plays).map_err(from_wmf)?, Vec::new()),
    };
    drop(plays);
    let text = serde_json::to_string_pretty(&about).expect("plain data becomes JSON") + "\n";
    write_atomic(&partial.join(ABOUT), text.as_bytes())?;
    listener.rows(log.len() * (users.len() + items.len()));

    let (mut saved, mut took) = (Instant::now(), Duration::ZERO);
    while wmf.sweep() < config.iterations && !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let sweep = wmf.run_sweep(&|rows| listener.rows(rows)).map_err(from_wmf)?;
        let seconds = begin.elapsed().as_secs_f64();
        let line = LogLine { sweep: sweep.sweep, objective: sweep.objective, seconds };
        log.push(line);
        write_log(&partial, &log)?;
        listener.sweep(&line);
        let due = saved.elapsed() >= BETWEEN_CHECKPOINTS.min(took * WRITING);
        if due && wmf.sweep() < config.iterations {
            let begin = Instant::now();
            let tables = tables(config, &users, &items, wmf.factors().clone());
            save(&partial, wmf.sweep(), &tables)?;
            took = begin.elapsed();
            saved = Instant::now();
        }
    }
    let sweep = wmf.sweep();
    let tables = tables(config, &users, &items, wmf.into_factors());
    let last = save(&partial, sweep, &tables)?;
    if sweep < config.iterations {
        return Err(Error::Interrupted(format!(
            "stopped after sweep {sweep} of {}; --resume goes on from there",
            config.iterations
        )));
    }
    // The last checkpoint, made complete, is the result: one rename, so it is whole when it is there.
    write_log(&last, &log)?;
    write_atomic(&last.join(ABOUT), text.as_bytes())?;
    fs::rename(&last, out).map_err(Error::io("write", out))?;
    sync_folder(folder_of(out))?;
    drop(lock);
    fs::remove_dir_all(&partial).map_err(Error::io("remove", &partial))?;
    Ok(log)
}

fn tables(config: &WmfConfig, users: &[String], items: &[String], all: Factors) -> FactorTables {
    let side =
        |ids: &[String], rows| Side::from_rows(ids.to_vec(), rows, config.factors, config.bias);
    FactorTables {
        users: side(users, all.users),
        items: side(items, all.items),
        n_factors: config.factors,
    }
}

fn checkpoint(partial: &Path, sweep: usize) -> PathBuf {
    partial.join(format!("sweep-{sweep:06}"))
}

/// Writes a checkpoint, then removes all but it and the one before.
fn save(partial: &Path, sweep: usize, tables: &FactorTables) -> Result<PathBuf> {
    let path = checkpoint(partial, sweep);
    if !path.exists() {
        factors::write(&path, tables)?;
    }
    let mut others: Vec<_> =
        checkpoints(partial)?.into_iter().filter(|(other, _)| *other != sweep).collect();
    others.sort();
    if others.last().is_some_and(|(other, _)| *other < sweep) {
        others.pop();
    }
    for (_, folder) in others {
        fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder))?;
    }
    Ok(path)
}

/// All that are there.
fn checkpoints(partial: &Path) -> Result<Vec<(usize, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(partial).map_err(Error::io("read", partial))? {
        let path = entry.map_err(Error::io("read", partial))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(sweep) = name.strip_prefix("sweep-").and_then(|number| number.parse().ok()) {
            found.push((sweep, path));
        }
    }
    Ok(found)
}

fn write_log(folder: &Path, log: &[LogLine]) -> Result<()> {
    let mut text = LOG_HEADER.to_string();
    for LogLine { sweep, objective, seconds } in log {
        text += &format!("{sweep},{objective},{seconds:.3}\n");
    }
    write_atomic(&folder.join(LOG), text.as_bytes())
}

fn read_log(path: &Path) -> Result<Vec<LogLine>> {
    let text = read_text(path)?;
    let line = |(index, line): (usize, &str)| {
        let mut values = line.split(',');
        let mut next = || values.next().and_then(|value| value.parse::<f64>().ok());
        match (next(), next(), next()) {
            (Some(sweep), Some(objective), Some(seconds)) if sweep == (index + 1) as f64 => {
                Ok(LogLine { sweep: index + 1, objective, seconds })
            }
            _ => Err(Error::Data(format!(
                "{} line {}: {line:?} is no sweep, objective and seconds; put the file back as it was, or \
                 remove its folder and begin anew",
                path.display(),
                index + 2
            ))),
        }
    };
    text.lines().skip(1).enumerate().map(line).collect()
}

/// The factors of the last checkpoint and the log up to it; `None` if there is none yet.
fn take_up(
    partial: &Path,
    about: &About,
    parts: &Parts,
) -> Result<Option<(Factors, Vec<LogLine>)>> {
    let path = partial.join(ABOUT);
    if !path.exists() {
        // Killed before anything was done.
        return Ok(None);
    }
    let before: About = serde_json::from_str(&read_text(&path)?)
        .map_err(|error| Error::Data(format!("{}: {error}", path.display())))?;
    let differences = about.differences(&before);
    if !differences.is_empty() {
        return Err(Error::Config(format!(
            "{} is another factorisation and cannot be resumed with this one: {}; give the same \
             values, or remove it",
            partial.display(),
            differences.join(", ")
        )));
    }
    let mut found = checkpoints(partial)?;
    found.sort();
    if found.is_empty() {
        return Ok(None);
    }
    let whole = loop {
        let Some((sweep, folder)) = found.pop() else {
            return Err(Error::Data(format!(
                "no checkpoint in {} is whole: remove it and begin anew",
                partial.display()
            )));
        };
        match factors::read(&folder) {
            Ok(tables) => break (sweep, folder, tables),
            Err(error) => {
                tracing::warn!("{error}; going back to the checkpoint before it");
                fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder))?;
            }
        }
    };
    let (sweep, folder, tables) = whole;
    let config = &about.config;
    if tables.users.ids != parts.users
        || tables.items.ids != parts.items
        || tables.n_factors != config.factors
        || tables.users.biases.is_some() != config.bias
    {
        return Err(Error::Data(format!(
            "{}: users, items or shapes are not those of {}; remove it",
            folder.display(),
            path.display()
        )));
    }
    let mut log = read_log(&partial.join(LOG))?;
    if log.len() < sweep {
        return Err(Error::Data(format!(
            "{}: {} sweeps, but {} is there; remove {}",
            partial.join(LOG).display(),
            log.len(),
            folder.display(),
            partial.display()
        )));
    }
    // What came after the checkpoint is done again.
    log.truncate(sweep);
    let factors = Factors {
        users: tables.users.into_rows(config.factors),
        items: tables.items.into_rows(config.factors),
    };
    Ok(Some((factors, log)))
}

fn from_wmf(error: WmfError) -> Error {
    let text = error.to_string();
    match error {
        WmfError::Config(_) | WmfError::TooManyFactors { .. } | WmfError::Confidence { .. } => {
            Error::Config(text)
        }
        WmfError::Breakdown { .. } => Error::Diverged(text),
        _ => Error::Data(text),
    }
}
