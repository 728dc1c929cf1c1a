//! Experiments from files: a file holds one experiment, or a grid of them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

use super::grid::{Grid, Row};
use super::{Experiment, key_errors};
use crate::error::{Error, Result, remedy};

/// What a path names.
enum Found {
    /// A file with one experiment, and its text.
    One(PathBuf, String),
    /// A file with a grid, and those of its rows that are asked for.
    Rows(PathBuf, Vec<Row>),
}

impl Experiment {
    /// Reads one experiment: a file, or a row of a file with a `[grid]`, as `FILE.toml#ROW` or `DIRECTORY/ROW.toml`,
    /// as if the row were a file beside the grid's. Applies `--set` assignments such as `training.steps=100`, fills in
    /// every default and checks every value.
    ///
    /// # Errors
    /// [`Error::Config`] with file, key and remedy; for a file with several rows, with their names.
    pub fn read(path: &Path, set: &[String]) -> Result<Experiment> {
        match find(path)? {
            Found::One(path, text) => read_one(&path, &text, set),
            Found::Rows(path, rows) => match rows.as_slice() {
                [row] => read_row(&path, row, set),
                rows => Err(Error::Config(format!(
                    "{file} is a grid of {} experiments: name one as {file}#ROW, or use `tonotopy run {file}` for \
                     all of them; its rows are {}",
                    rows.len(),
                    names(rows),
                    file = path.display(),
                ))),
            },
        }
    }

    /// The row in `FILE.toml#ROW`.
    pub fn row_of(path: &Path) -> Option<&str> {
        split_row(path).map(|(_, row)| row)
    }

    /// Reads all experiments that a path names, as [`Experiment::read`]; of a file with a grid, all rows in order of
    /// name.
    ///
    /// # Errors
    /// As [`Experiment::read`]; also if two rows have the same name of a run directory.
    pub fn read_all(path: &Path, set: &[String]) -> Result<Vec<Experiment>> {
        let (path, rows) = match find(path)? {
            Found::One(path, text) => return Ok(vec![read_one(&path, &text, set)?]),
            Found::Rows(path, rows) => (path, rows),
        };
        let all: Vec<Experiment> =
            rows.iter().map(|row| read_row(&path, row, set)).collect::<Result<_>>()?;
        let mut runs: Vec<&str> = all.iter().map(|experiment| experiment.name.as_str()).collect();
        runs.sort_unstable();
        match runs.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::Config(format!(
                "in the experiment {}: two rows have the name {:?}: add {{row}} to name, or remove name",
                path.display(),
                pair[0]
            ))),
            None => Ok(all),
        }
    }
}

/// Whether a path is written like that of an experiment: `FILE.toml` or `FILE.toml#ROW`.
pub fn is_experiment(path: &Path) -> bool {
    split_row(path).is_some() || path.extension().is_some_and(|ending| ending == "toml")
}

fn read_one(path: &Path, text: &str, set: &[String]) -> Result<Experiment> {
    let experiment = Experiment::parse(text, set).map_err(in_file(path, ""))?;
    Ok(named(experiment, path, path.file_stem()))
}

fn read_row(path: &Path, row: &Row, set: &[String]) -> Result<Experiment> {
    let experiment = Experiment::from_table(row.table.clone(), set, || None)
        .map_err(in_file(path, &format!("#{}", row.name)))?;
    Ok(named(experiment, path, Some(OsStr::new(&row.name))))
}

fn in_file(path: &Path, row: &str) -> impl FnOnce(Error) -> Error {
    move |error| Error::Config(format!("in the experiment {}{row}: {error}", path.display()))
}

fn find(path: &Path) -> Result<Found> {
    if path.is_dir() {
        let place = path.display();
        return Err(Error::Config(format!(
            "{place} is a directory: name one experiment file, or use `tonotopy run {place}` for all of them"
        )));
    }
    let (file, row) = match split_row(path) {
        Some((file, row)) if !path.exists() => (file, Some(row)),
        _ => (path, None),
    };
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            if let (false, Some(found)) = (file.exists(), row_beside(file)?) {
                return Ok(found);
            }
            return Err(Error::Config(format!(
                "cannot read the experiment {}: {error}{}",
                file.display(),
                remedy(error.kind())
            )));
        }
    };
    match (rows(file, &text)?, row) {
        (None, None) => Ok(Found::One(file.into(), text)),
        (None, Some(row)) => Err(Error::Config(format!(
            "{}: the file has no [grid], so remove \"#{row}\"",
            path.display()
        ))),
        (Some(rows), None) => Ok(Found::Rows(file.into(), rows)),
        (Some(rows), Some(name)) => match rows.iter().find(|row| row.name == name) {
            Some(row) => Ok(Found::Rows(file.into(), vec![row.clone()])),
            None => {
                let near = key_errors::nearest(name, rows.iter().map(|row| row.name.as_str()));
                let near =
                    near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
                Err(Error::Config(format!(
                    "the grid {} does not have a row {name:?}{near}; its rows are {}",
                    file.display(),
                    names(&rows)
                )))
            }
        },
    }
}

/// Splits `FILE.toml#ROW`.
fn split_row(path: &Path) -> Option<(&Path, &str)> {
    let (file, row) = path.to_str()?.rsplit_once('#')?;
    file.ends_with(".toml").then_some((Path::new(file), row))
}

/// The rows of a file with a `[grid]`.
fn rows(path: &Path, text: &str) -> Result<Option<Vec<Row>>> {
    // A file that is not TOML is reported by who reads it as an experiment.
    let Ok(mut base) = text.parse::<Table>() else { return Ok(None) };
    let Some(grid) = base.remove("grid") else { return Ok(None) };
    let grid: Result<Grid, String> =
        grid.try_into().map_err(|error| format!("in [grid]: {}", error.to_string().trim_end()));
    match grid.and_then(|grid| grid.rows(&base)) {
        Ok(rows) => Ok(Some(rows)),
        Err(why) => Err(in_file(path, "")(Error::Config(why))),
    }
}

/// The row that `DIRECTORY/ROW.toml` names: of the grids in the directory, the one that has it.
fn row_beside(path: &Path) -> Result<Option<Found>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_stem().and_then(OsStr::to_str))
    else {
        return Ok(None);
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = fs::read_dir(folder) else { return Ok(None) };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let row = rows(&file, &text)?.into_iter().flatten().find(|row| row.name == name);
        if let Some(row) = row {
            return Ok(Some(Found::Rows(file, vec![row])));
        }
    }
    Ok(None)
}

fn names(rows: &[Row]) -> String {
    rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Gives an experiment without a name `directory-stem`, so that the runs of `rendered/mel.toml` and `nsynth/mel.toml`
/// do not share a directory.
fn named(mut experiment: Experiment, path: &Path, stem: Option<&OsStr>) -> Experiment {
    if !experiment.name.is_empty() {
        return experiment;
    }
    let fitting = |part: Option<&OsStr>| -> String {
        let part = part.unwrap_or_default().to_string_lossy();
        part.chars()
            .map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' })
            .collect()
    };
    let stem = fitting(stem);
    let folder = fitting(
        path.canonicalize().ok().as_deref().and_then(Path::parent).and_then(Path::file_name),
    );
    experiment.name = match folder.trim_start_matches('.') {
        "" => stem,
        folder => format!("{folder}-{stem}"),
    };
    experiment
}
