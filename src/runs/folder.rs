//! The folder of a run: plain files that record what was run, on which data, and with which results.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasets::tracks::manifest::{Paths, to_csv};
use datasets::{Collection, Split};
use models::Fitted;
use serde::{Deserialize, Serialize};

use crate::data::directories::from_dataset;
use crate::data::prepare::{Prepared, factor_names};
use crate::device::DeviceInfo;
use crate::error::{Error, Result};
use crate::evaluation::predictions::Predictions;
use crate::experiment::Experiment;
use crate::io::checksums::{CHECKSUMS, Checksums};
use crate::io::files::{create_folder, read_text, sweep_abandoned, write_atomic, write_together};
use crate::io::lock::Lock;
use crate::listening::factors;
use crate::runs::checkpoint::{Checkpoints, Which};
use crate::runs::recorded_data::{RecordedData, audio_table};
use crate::runs::{command_line, fit};
use crate::training::log::{self, LogLine};

/// Version of the folder's layout.
const FORMAT: u32 = 1;
const FITTED: &str = "fitted";
const EXPERIMENT: &str = "experiment.toml";
const TAGS: &str = "tags.txt";
/// The hash of the listening data.
const PLAYS: &str = "plays.blake3";

/// The machine, device and program of a run: `environment.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Environment {
    /// Version of the folder's layout.
    pub format: u32,
    /// Version of the program.
    pub tonotopy: String,
    /// Commit that the program was built from; `unknown` without a repository.
    pub commit: String,
    /// Version of burn; `unknown` if built without a lock file.
    pub burn: String,
    /// The device, as `--device` takes it.
    pub device: String,
    /// The name that the device reports.
    pub device_name: String,
    /// The API that kernels are compiled for; on the CPU, the backend crate.
    pub backend: String,
    /// Operating system and architecture.
    pub os: String,
    /// The command line, quoted for a shell.
    pub command: String,
    /// Number of parameters: trained, frozen, and running statistics of batch normalization.
    pub parameters: usize,
    /// Notes on what was left out or cannot be scored.
    pub notes: Vec<String>,
}

impl Environment {
    /// The environment of this process.
    pub fn here(device: &DeviceInfo, parameters: usize, notes: Vec<String>) -> Environment {
        Environment {
            format: FORMAT,
            tonotopy: env!("CARGO_PKG_VERSION").into(),
            commit: env!("TONOTOPY_COMMIT").into(),
            burn: env!("TONOTOPY_BURN").into(),
            device: device.id.clone(),
            device_name: device.name.clone(),
            backend: device.backend.clone(),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            command: command_line::recorded(),
            parameters,
            notes,
        }
    }
}

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The tracks that the run was created with.
    pub const MANIFEST: &str = "manifest.csv";
    /// Where their decoded audio is, and its hashes.
    pub const AUDIO: &str = "audio.csv";

    /// The folder `<name>-s<seed>` below `runs`.
    pub fn of(runs: &Path, experiment: &Experiment) -> RunFolder {
        RunFolder { path: runs.join(format!("{}-s{}", experiment.name, experiment.seed)) }
    }

    /// Opens an existing run.
    ///
    /// # Errors
    /// [`Error::Data`] if the folder does not contain a run.
    pub fn open(path: &Path) -> Result<RunFolder> {
        let run = RunFolder { path: path.to_owned() };
        match run.exists() {
            true => Ok(run),
            false => Err(Error::Data(format!(
                "{} is not a run folder: it has no experiment.toml (`tonotopy train` creates one)",
                path.display()
            ))),
        }
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the run.
    pub fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The folder that holds this run and its neighbours.
    pub fn beside(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The path of a file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The run's checkpoints.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.file("checkpoints"))
    }

    /// Whether the run exists: `experiment.toml` is written last.
    pub fn exists(&self) -> bool {
        self.file(EXPERIMENT).is_file()
    }

    /// Reads a file that was written when the run was created, and checks its checksum.
    fn read(&self, name: &str) -> Result<String> {
        let Some(checksums) = Checksums::read(&self.path)? else {
            // The run is older than checksums.
            return read_text(&self.file(name));
        };
        String::from_utf8(checksums.read_file(name)?).map_err(|_| {
            Error::Data(format!(
                "{} is not a text file: train the run again",
                self.file(name).display()
            ))
        })
    }

    /// The text of [`MANIFEST`](Self::MANIFEST).
    ///
    /// # Errors
    /// [`Error::Data`] if it is damaged, [`Error::Io`] if it cannot be read.
    pub fn manifest(&self) -> Result<String> {
        self.read(Self::MANIFEST)
    }

    /// The text of [`AUDIO`](Self::AUDIO); `None` for runs of earlier versions, which had no hashes.
    ///
    /// # Errors
    /// [`Error::Data`] if it is damaged, [`Error::Io`] if it cannot be read.
    pub fn audio_table(&self) -> Result<Option<String>> {
        match self.has_checksum(Self::AUDIO)? {
            true => self.read(Self::AUDIO).map(Some),
            false => Ok(None),
        }
    }

    /// Whether a file has a checksum.
    fn has_checksum(&self, name: &str) -> Result<bool> {
        let checksums = Checksums::read(&self.path)?;
        Ok(checksums.is_some_and(|checksums| checksums.names().any(|known| known == name)))
    }

    /// Locks the run against other processes, and removes incomplete files of killed ones.
    ///
    /// # Errors
    /// [`Error::Data`] if another process holds the lock.
    pub fn lock(&self) -> Result<Lock> {
        let lock = Lock::take(&self.path)?;
        for folder in [self.path.clone(), self.file(FITTED), self.file("catalogue")] {
            sweep_abandoned(&folder)?;
        }
        self.checkpoints().sweep()?;
        Ok(lock)
    }

    /// The experiment with every default filled in, as it was when the run was created.
    ///
    /// # Errors
    /// [`Error::Data`] if it is damaged or has keys that this version does not know.
    pub fn experiment(&self) -> Result<Experiment> {
        Experiment::parse(&self.read(EXPERIMENT)?, &[]).map_err(|error| {
            Error::Data(format!("in {}: {error}", self.file(EXPERIMENT).display()))
        })
    }

    /// The vocabulary, in the order of the outputs.
    ///
    /// # Errors
    /// [`Error::Data`] if the file is damaged.
    pub fn tags(&self) -> Result<Vec<String>> {
        Ok(self.read(TAGS)?.lines().map(str::to_string).collect())
    }

    /// The environment that the run was created in.
    ///
    /// # Errors
    /// [`Error::Data`] if the file is damaged, [`Error::Io`] if it does not exist.
    pub fn environment(&self) -> Result<Environment> {
        let path = self.file("environment.json");
        serde_json::from_str(&read_text(&path)?)
            .map_err(|error| Error::Data(format!("in {}: {error}", path.display())))
    }

    /// The fitted part of the model; empty for most models.
    ///
    /// # Errors
    /// [`Error::Data`] if a file is missing or damaged.
    pub fn fitted(&self) -> Result<Fitted> {
        Ok(fit::read(&self.file(FITTED))?.unwrap_or_default())
    }

    /// The folder of the latent factors that the network learns.
    pub fn factors(&self) -> PathBuf {
        self.file("factors")
    }

    /// Names of the model's outputs: tags, or numbered factors.
    ///
    /// # Errors
    /// [`Error::Data`] if tags or factors are damaged.
    pub fn outputs(&self, experiment: &Experiment) -> Result<Vec<String>> {
        match experiment.listening {
            None => self.tags(),
            Some(_) => Ok(factor_names(factors::width(&self.factors())?)),
        }
    }

    /// The lines of the log; none before training.
    ///
    /// # Errors
    /// See [`log::read`].
    pub fn log(&self) -> Result<Vec<LogLine>> {
        let path = self.file("metrics.jsonl");
        if path.exists() { log::read(&path) } else { Ok(Vec::new()) }
    }

    /// Whether training finished.
    ///
    /// # Errors
    /// See [`log::read`].
    pub fn is_trained(&self) -> Result<bool> {
        Ok(self.exists()
            && matches!(self.log()?.last(), Some(LogLine::End { reason, .. })
                if ["steps", "patience", "imported"].contains(&reason.as_str())))
    }

    /// Writes experiment, data and environment. From then on the folder is a run.
    ///
    /// # Errors
    /// [`Error::Io`] if writing fails; the folder is then not a run.
    pub fn create(
        &self,
        experiment: &Experiment,
        environment: &Environment,
        fitted: &Fitted,
        data: &Prepared,
    ) -> Result<()> {
        create_folder(&self.path)?;
        if let Some(latent) = &data.latent {
            let folder = self.factors();
            if folder.exists() {
                // Left by a run that was stopped before it was created.
                std::fs::remove_dir_all(&folder).map_err(Error::io("clear", &folder))?;
            }
            factors::write(&folder, &latent.to_tables(&data.collection.tracks))?;
        }
        if !fitted.arrays.is_empty() {
            fit::write(fitted, &self.file(FITTED))?;
        }
        let tags: String = data.collection.tags.iter().map(|tag| format!("{tag}\n")).collect();
        write_atomic(&self.file(TAGS), tags.as_bytes())?;
        let Collection { tracks, .. } = &data.collection;
        write_atomic(&self.file(Self::MANIFEST), &manifest(data)?)?;
        write_atomic(&self.file(Self::AUDIO), &audio_table(tracks, &data.audio)?)?;
        let mut checked = vec![TAGS, Self::MANIFEST, Self::AUDIO];
        if let Some(plays) = &data.plays {
            write_atomic(&self.file(PLAYS), format!("{plays}\n").as_bytes())?;
            checked.push(PLAYS);
        }
        write_atomic(
            &self.file("quarantine.csv"),
            &crate::audio::quarantine_csv(&data.quarantine),
        )?;
        let environment = serde_json::to_vec_pretty(environment).expect("plain data becomes JSON");
        write_atomic(&self.file("environment.json"), &environment)?;
        let text = experiment.to_toml();
        let checksums = Checksums::of_files(&self.path, &checked)?;
        checksums.with(EXPERIMENT, text.as_bytes()).write()?;
        // Written last: it makes the folder a run.
        write_atomic(&self.file(EXPERIMENT), text.as_bytes())
    }

    /// Writes the predictions of a split and their scores, both or neither.
    ///
    /// # Errors
    /// [`Error::Data`] if a prediction is not a probability, [`Error::Io`] if writing fails.
    pub fn write_scored(
        &self,
        predictions: &Predictions,
        scores: &[u8],
        split: Split,
    ) -> Result<()> {
        let path = self.file(&format!("predictions{}.csv", suffix(split)));
        let mut csv = Vec::new();
        predictions
            .to_writer(&mut csv)
            .map_err(|error| Error::Data(format!("{}: {error}", path.display())))?;
        write_together(&[(&path, &csv), (&self.scores(split), scores)])
    }

    /// The path of a split's scores.
    pub fn scores(&self, split: Split) -> PathBuf {
        self.file(&format!("scores{}.json", suffix(split)))
    }

    /// Whether `scores.json` belongs to this checkpoint.
    ///
    /// # Errors
    /// If the pointer to the checkpoint cannot be read.
    pub fn is_scored(&self, which: Which) -> Result<bool> {
        #[derive(Deserialize)]
        struct Source {
            checkpoint: String,
        }
        let path = self.scores(Split::Test);
        if !path.is_file() {
            return Ok(false);
        }
        // Unreadable scores are written again.
        let source = read_text(&path).ok().and_then(|text| serde_json::from_str(&text).ok());
        let wanted = self.checkpoints().pointed(which)?;
        Ok(source.is_some_and(|Source { checkpoint }| checkpoint == wanted))
    }

    /// Warns if training has not finished.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Data`] if the log or the experiment cannot be read.
    pub fn warn_if_unfinished(&self) -> Result<()> {
        if self.is_trained()? {
            return Ok(());
        }
        let reached = self.log()?.iter().rev().find_map(|line| match line {
            LogLine::Train { step, .. } | LogLine::End { step, .. } => Some(*step),
            _ => None,
        });
        tracing::warn!(
            "{} was trained for {} of its {} steps: `tonotopy train --resume` continues",
            self.path.display(),
            reached.unwrap_or(0),
            self.experiment()?.training.steps
        );
        Ok(())
    }

    /// Removes predictions and scores, because the model is about to be trained further.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be removed.
    pub fn forget_scores(&self) -> Result<()> {
        for split in [Split::Train, Split::Valid, Split::Test] {
            let predictions = self.file(&format!("predictions{}.csv", suffix(split)));
            for path in [self.scores(split), predictions] {
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::io("remove", &path)(error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Checks that experiment and data are those that the run was created with.
    ///
    /// # Errors
    /// As [`RunFolder::check_experiment`] and [`RunFolder::check_data`].
    pub fn check_same(&self, experiment: &Experiment, data: &Prepared) -> Result<()> {
        self.check_experiment(experiment)?;
        self.check_data(data)
    }

    /// Checks that the experiment is the one that the run was created with.
    ///
    /// # Errors
    /// [`Error::Config`] with the keys whose values differ.
    pub fn check_experiment(&self, experiment: &Experiment) -> Result<()> {
        let saved = self.experiment()?;
        let differing = differing_keys(&saved, experiment);
        let steps = [saved.training.steps, experiment.training.steps];
        if differing == ["training.steps"] && steps[0] < steps[1] {
            let run = self.path.display();
            return Err(Error::Config(format!(
                "{run} was created with training.steps = {}, and a run keeps its number of steps: to train further, give \
                 the experiment another name and init_from = {:?}, which starts from the run's weights (except those of \
                 the output layer)",
                steps[0],
                run.to_string()
            )));
        }
        if !differing.is_empty() {
            return Err(Error::Config(format!(
                "{} was created with other values of {}: give the experiment another name, or delete the folder to start \
                 again",
                self.path.display(),
                differing.join(", ")
            )));
        }
        Ok(())
    }

    /// Stores where the data of the experiment is, if the run has another place for it: `evaluate` and others look there from
    /// then on. The caller has checked experiment and data.
    ///
    /// # Errors
    /// [`Error::Io`] if writing fails.
    pub fn update_places(&self, experiment: &Experiment) -> Result<()> {
        if !self.data_has_moved(experiment)? {
            return Ok(());
        }
        let mut updated = self.experiment()?;
        updated.dataset.clone_from(&experiment.dataset);
        updated.listening.clone_from(&experiment.listening);
        updated.factorization.clone_from(&experiment.factorization);
        let (path, text) = (self.file(EXPERIMENT), updated.to_toml());
        match Checksums::read(&self.path)? {
            None => write_atomic(&path, text.as_bytes()),
            Some(checksums) => {
                let checksums = checksums.with(EXPERIMENT, text.as_bytes()).to_bytes();
                write_together(&[(&self.file(CHECKSUMS), &checksums), (&path, text.as_bytes())])
            }
        }
    }

    /// Whether the experiment, which [`RunFolder::check_experiment`] accepted, has its data in other places than the run.
    ///
    /// # Errors
    /// [`Error::Data`] if the run's experiment is damaged.
    pub fn data_has_moved(&self, experiment: &Experiment) -> Result<bool> {
        let saved = self.experiment()?;
        Ok(saved.dataset != experiment.dataset
            || saved.listening != experiment.listening
            || saved.factorization != experiment.factorization)
    }

    /// Checks that the data is the one that the run was created with; its place does not matter.
    ///
    /// # Errors
    /// [`Error::Data`] with what differs, or if the record of the data is damaged.
    pub fn check_data(&self, data: &Prepared) -> Result<()> {
        RecordedData::read(self)?.check(&RecordedData::of(data), &data.quarantine, self)?;
        let (was, is) = (self.tags()?, &data.collection.tags);
        if was != *is {
            return Err(Error::Data(format!(
                "the dataset has {} tags, in which it differs from {}, with {}: restore the old tags, or train again",
                is.len(),
                self.file(TAGS).display(),
                was.len()
            )));
        }
        match &data.plays {
            Some(plays) => self.check_plays(plays),
            None => Ok(()),
        }
    }

    /// Checks that the listening data, by its hash, is the one that the run was created with.
    ///
    /// # Errors
    /// [`Error::Data`] if it differs, or the recorded hash is damaged.
    pub fn check_plays(&self, plays: &str) -> Result<()> {
        // Earlier versions did not record it.
        if !self.has_checksum(PLAYS)? || self.read(PLAYS)?.trim_end() == plays {
            return Ok(());
        }
        Err(Error::Data(format!(
            "the listening data is not the one that {} was trained on: restore it, or train again",
            self.path.display()
        )))
    }
}

/// The suffix of the files of a split: none for the test split.
pub fn suffix(split: Split) -> String {
    if split == Split::Test { String::new() } else { format!("-{split}") }
}

/// Keys whose values differ, except those that may change when a run is resumed.
fn differing_keys(a: &Experiment, b: &Experiment) -> Vec<String> {
    // Places are free because data is compared by its content.
    const FREE: &[&str] = &[
        "about",
        "dataset.absolute_paths",
        "dataset.annotations",
        "dataset.clip_table",
        "dataset.clips",
        "dataset.root",
        "listening.path",
        "listening.root",
        "name",
        "paper.certainty",
        "paper.metric",
        "paper.source",
        "paper.value",
        "training.audio_in_memory_mb",
        "training.keep_checkpoints",
        "training.loader_threads",
        "training.log_every",
        "training.patience",
    ];
    // Other runs and stored factors may be moved too. They were read when the run was created.
    const NAMED: &[&str] = &["factorization.root", "init_from", "model.run"];
    let flat = |experiment: &Experiment| {
        let mut keys = BTreeMap::new();
        let table = toml::Value::try_from(experiment).expect("an experiment becomes TOML");
        flatten("", &table, &mut keys);
        for key in NAMED {
            if let Some(path) = keys.get_mut(*key) {
                let last = path.trim_matches('"').rsplit(['/', '\\']).find(|part| !part.is_empty());
                *path = last.unwrap_or_default().to_string();
            }
        }
        keys
    };
    let (a, b) = (flat(a), flat(b));
    let mut keys: Vec<&String> =
        a.keys().chain(b.keys()).filter(|key| a.get(*key) != b.get(*key)).collect();
    keys.sort();
    keys.dedup();
    // `model.source` is read from the run that `model.run` names, which is compared by name.
    let free = |key: &str| FREE.contains(&key) || key.starts_with("model.source.");
    keys.into_iter().filter(|key| !free(key)).cloned().collect()
}

fn flatten(prefix: &str, value: &toml::Value, into: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let dot = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{dot}{key}"), value, into);
            }
        }
        value => drop(into.insert(prefix.to_string(), value.to_string())),
    }
}

/// `manifest.csv`, in the format of the `manifest` data set, with absolute paths.
fn manifest(data: &Prepared) -> Result<Vec<u8>> {
    to_csv(&data.collection, Paths::Absolute).map_err(from_dataset)
}
