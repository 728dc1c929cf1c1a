//! Factorization of listening data that can be interrupted at any time and resumed.
//!
//! While `OUT` is computed, `OUT.partial` holds `factorization.json` (settings and data), `log.csv` (one line per sweep)
//! and the checkpoints `sweep-NNNNNN`: the factors after that many sweeps. At the end the log and `factorization.json` are
//! added to the last checkpoint, which is then renamed to `OUT`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datasets::listening::interactions::{Interactions, Parts};
use kernels::csr::Csr;
use models::factorization::wmf::{Factors, Solver, Wmf, WmfConfig};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::io::files::{
    folder_of, read_text, remove_folder, rename, sweep_abandoned, sync_folder, write_atomic,
};
use crate::io::lock::Lock;
use crate::listening::factors::{self, FactorTable, FactorTables};
use crate::listening::latent_factors::wmf_error;

/// Version of the directory's layout.
const FORMAT: u32 = 1;
const ABOUT: &str = "factorization.json";
const LOG: &str = "log.csv";
const LOG_HEADER: &str = "sweep,objective,seconds\n";
/// The longest time between checkpoints.
const BETWEEN_CHECKPOINTS: Duration = Duration::from_secs(60);
/// Checkpoints are written more often if writing takes less than one part in this many of the time.
const WRITING: u32 = 20;

/// Settings and data of a factorization: `factorization.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Version of the directory's layout.
    pub format: u32,
    /// Settings.
    pub config: WmfConfig,
    /// The number of users.
    pub users: usize,
    /// The number of items.
    pub items: usize,
    /// The number of pairs of a user and an item.
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
        update(&mut hasher, &parts.offsets, |x| (*x as u64).to_le_bytes());
        update(&mut hasher, &parts.columns, |x| x.to_le_bytes());
        update(&mut hasher, &parts.counts, |x| x.to_le_bytes());
        About {
            format: FORMAT,
            config: config.clone(),
            users: parts.users.len(),
            items: parts.items.len(),
            interactions: parts.columns.len(),
            interactions_hash: hasher.finalize().to_hex().to_string(),
        }
    }

    /// The settings that differ, by name.
    fn differences(&self, other: &About) -> Vec<String> {
        let plain = |about: &About| serde_json::to_value(about).expect("serializable");
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

/// One line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LogLine {
    /// Number of the sweep, from 1.
    pub sweep: usize,
    /// The objective after the sweep.
    pub objective: f64,
    /// Duration of the sweep in seconds, without checkpoints.
    pub seconds: f64,
}

/// Receives the progress of a factorization.
pub trait Observer: Sync {
    /// `rows` more users and items were solved; called from any thread. The first call of a resumed factorization
    /// reports the rows that were solved before.
    fn rows(&self, rows: usize);
    /// A sweep is finished; called from the thread of [`factorize`].
    fn sweep(&self, line: &LogLine);
}

/// The directory for the work before `out` exists.
pub fn partial(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    out.with_file_name(name)
}

/// The solver of the interrupted factorization into `out`; `None` if there is none, or it has no settings yet.
///
/// # Errors
/// If its settings cannot be read.
pub fn solver_of_interrupted(out: &Path) -> Result<Option<Solver>> {
    Ok(read_about(&partial(out))?.map(|about| about.config.solver))
}

/// The settings of the factorization in the directory `partial`; `None` before they are written.
fn read_about(partial: &Path) -> Result<Option<About>> {
    let path = partial.join(ABOUT);
    if !path.exists() {
        return Ok(None);
    }
    let about = serde_json::from_str(&read_text(&path)?)
        .map_err(|error| Error::Data(format!("{}: {error}", path.display())))?;
    Ok(Some(about))
}

/// Factorizes into the directory `out`, from the start or, with `resume`, from the last checkpoint of an interrupted
/// factorization. Returns the log.
///
/// # Errors
/// If the configuration or the interactions are invalid, `out` exists, the interrupted factorization had other settings,
/// or `stop` was set (after a checkpoint has been written).
pub fn factorize(
    config: &WmfConfig,
    interactions: Interactions,
    out: &Path,
    resume: bool,
    stop: &AtomicBool,
    observer: &dyn Observer,
) -> Result<Vec<LogLine>> {
    config.validate().map_err(|error| Error::Config(error.to_string()))?;
    if out.file_name().is_none() {
        return Err(Error::Config(format!("--out {}: name a directory to create", out.display())));
    }
    if out.exists() {
        return Err(Error::Config(format!(
            "{} exists and is never overwritten; remove it or choose another --out",
            out.display()
        )));
    }
    let partial = partial(out);
    let parts = interactions.into_parts();
    factors::check_ids("user", &parts.users)?;
    factors::check_ids("item", &parts.items)?;
    let about = About::new(config, &parts);
    let exists = partial.exists();
    let lock = Lock::take(&partial)?;
    sweep_abandoned(&partial)?;
    let found = match (resume, exists) {
        (false, true) => {
            return Err(Error::Config(format!(
                "{} is an interrupted factorization; resume it with --resume, or remove it",
                partial.display()
            )));
        }
        (true, false) => {
            return Err(Error::Config(format!(
                "nothing to resume: {} does not exist; remove --resume",
                partial.display()
            )));
        }
        (true, true) => load(&partial, &about, &parts)?,
        (false, false) => None,
    };
    let Parts { users, items, offsets, columns, counts } = parts;
    let failed = |error| wmf_error("", &error);
    let plays = Csr::new(offsets, columns, counts, items.len())
        .map_err(|error| Error::Data(error.to_string()))?;
    let (mut wmf, mut log) = match found {
        Some((factors, log)) => {
            (Wmf::resume(config, &plays, factors, log.len()).map_err(failed)?, log)
        }
        None => (Wmf::new(config, &plays).map_err(failed)?, Vec::new()),
    };
    drop(plays);
    let text = serde_json::to_string_pretty(&about).expect("serializable") + "\n";
    write_atomic(&partial.join(ABOUT), text.as_bytes())?;
    observer.rows(log.len() * (users.len() + items.len()));

    let (mut saved, mut took) = (Instant::now(), Duration::ZERO);
    while wmf.sweep() < config.iterations && !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let sweep = wmf.run_sweep(&|rows| observer.rows(rows)).map_err(failed)?;
        let seconds = begin.elapsed().as_secs_f64();
        let line = LogLine { sweep: sweep.sweep, objective: sweep.objective, seconds };
        log.push(line);
        write_log(&partial, &log)?;
        observer.sweep(&line);
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
            "interrupted after sweep {sweep} of {}; resume with --resume",
            config.iterations
        )));
    }
    // The rename makes the result appear complete.
    write_log(&last, &log)?;
    write_atomic(&last.join(ABOUT), text.as_bytes())?;
    rename(&last, out)?;
    sync_folder(folder_of(out))?;
    drop(lock);
    remove_folder("remove", &partial)?;
    Ok(log)
}

/// Adds `values` to the hash in large pieces, which is faster.
fn update<T, const N: usize>(
    hasher: &mut blake3::Hasher,
    values: &[T],
    bytes: impl Fn(&T) -> [u8; N],
) {
    for chunk in values.chunks(8192) {
        hasher.update(&chunk.iter().flat_map(&bytes).collect::<Vec<u8>>());
    }
}

fn tables(config: &WmfConfig, users: &[String], items: &[String], all: Factors) -> FactorTables {
    let table = |ids: &[String], rows| {
        FactorTable::from_rows(ids.to_vec(), rows, config.factors, config.bias)
    };
    FactorTables {
        users: table(users, all.users),
        items: table(items, all.items),
        n_factors: config.factors,
    }
}

fn checkpoint(partial: &Path, sweep: usize) -> PathBuf {
    partial.join(format!("sweep-{sweep:06}"))
}

/// Writes a checkpoint, then removes all others but the one before it.
fn save(partial: &Path, sweep: usize, tables: &FactorTables) -> Result<PathBuf> {
    let path = checkpoint(partial, sweep);
    if !path.exists() {
        factors::write(&path, tables)?;
    }
    let mut others = checkpoints(partial)?;
    others.retain(|(other, _)| *other != sweep);
    others.pop_if(|(other, _)| *other < sweep);
    for (_, folder) in others {
        remove_folder("remove", &folder)?;
    }
    Ok(path)
}

/// All checkpoints, in ascending order of sweeps.
fn checkpoints(partial: &Path) -> Result<Vec<(usize, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(partial).map_err(Error::io("read", partial))? {
        let path = entry.map_err(Error::io("read", partial))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(sweep) = name.strip_prefix("sweep-").and_then(|number| number.parse().ok()) {
            found.push((sweep, path));
        }
    }
    found.sort();
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
                "{} line {}: expected sweep,objective,seconds and found {line:?}; restore the file, or \
                 remove its directory and start again",
                path.display(),
                index + 2
            ))),
        }
    };
    text.lines().skip(1).enumerate().map(line).collect()
}

/// The factors of the last undamaged checkpoint and the log up to it; `None` before the first checkpoint.
fn load(partial: &Path, about: &About, parts: &Parts) -> Result<Option<(Factors, Vec<LogLine>)>> {
    let Some(before) = read_about(partial)? else { return Ok(None) };
    let differences = about.differences(&before);
    if !differences.is_empty() {
        return Err(Error::Config(format!(
            "{} is a different factorization and cannot be resumed: {}; use the same settings, or remove it",
            partial.display(),
            differences.join(", ")
        )));
    }
    let mut found = checkpoints(partial)?;
    if found.is_empty() {
        return Ok(None);
    }
    let (sweep, folder, tables) = loop {
        let Some((sweep, folder)) = found.pop() else {
            return Err(Error::Data(format!(
                "all checkpoints in {} are damaged; remove it and start again",
                partial.display()
            )));
        };
        match factors::read(&folder) {
            Ok(tables) => break (sweep, folder, tables),
            Err(error) => {
                tracing::warn!("{error}; using the checkpoint before it");
                remove_folder("remove", &folder)?;
            }
        }
    };
    let config = &about.config;
    if tables.users.ids != parts.users
        || tables.items.ids != parts.items
        || tables.n_factors != config.factors
        || tables.users.biases.is_some() != config.bias
    {
        return Err(Error::Data(format!(
            "{}: users, items or shapes do not match {}; remove it",
            folder.display(),
            partial.join(ABOUT).display()
        )));
    }
    let mut log = read_log(&partial.join(LOG))?;
    if log.len() < sweep {
        return Err(Error::Data(format!(
            "{} has only {} sweeps, but {} exists; remove {}",
            partial.join(LOG).display(),
            log.len(),
            folder.display(),
            partial.display()
        )));
    }
    // Later sweeps are computed again.
    log.truncate(sweep);
    let factors = Factors {
        users: tables.users.into_rows(config.factors),
        items: tables.items.into_rows(config.factors),
    };
    Ok(Some((factors, log)))
}
