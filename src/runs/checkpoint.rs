//! Checkpoints: everything that a run needs to go on, whole or absent.
//!
//! `checkpoints/step-00012000/` holds the model and the optimizer as burnpack records and the
//! state of the loop as JSON with a BLAKE3 checksum of each, and a file with the checksum of that JSON. It is
//! written under another name and renamed when complete. `checkpoints/last` and `checkpoints/best` are files that hold the
//! name of such a folder. What is random in training is a function of (seed, step), so the step is
//! all the generator's state there is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::optim::{ModuleOptimizer, OptimizerRecord};
use burn::store::ModuleRecord;
use burn::tensor::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::io::checksums;
use crate::io::files::{
    WRITING, create_folder, read_text, renamed, sweep_abandoned, sync_folder, write_atomic,
};
use crate::training::state::LoopState;

/// Which checkpoint to load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// The one with the best validation score.
    #[default]
    Best,
    /// The newest.
    Last,
}

/// A loaded checkpoint.
pub struct Checkpoint {
    /// Weights, and the running statistics of batch normalisation.
    pub model: ModuleRecord,
    /// Moments of the weights, as the optimizer left them.
    pub optimizer: OptimizerRecord,
    /// Where training goes on.
    pub state: LoopState,
    /// The folder that it was read from.
    pub path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    format: u32,
    state: LoopState,
    /// BLAKE3 of each file, in hexadecimal.
    checksums: BTreeMap<String, String>,
}

/// 1 had no checksum of the state.
const FORMAT: u32 = 2;
const MODEL: &str = "model.bpk";
const OPTIMIZER: &str = "optimizer.bpk";
const META: &str = "state.json";
const META_SUM: &str = "state.blake3";

/// The `checkpoints/` folder of a run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Looks at nothing yet: the folder is made by the first [`Checkpoints::save`].
    pub fn new(folder: PathBuf) -> Checkpoints {
        Checkpoints { folder }
    }

    /// Saves, then moves `last` (and `best`, if this is the best) to it, then deletes all but the
    /// newest `keep` and the best.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses, [`Error::Data`] if no record can be made; earlier checkpoints are
    /// then still there.
    pub fn save<M: Module>(
        &self,
        model: &M,
        optimizer: &ModuleOptimizer,
        state: &LoopState,
        keep: usize,
    ) -> Result<()> {
        create_folder(&self.folder)?;
        let name = format!("step-{:08}", state.step);
        let target = self.folder.join(&name);
        let staging = self.folder.join(format!("{WRITING}{name}"));
        if staging.exists() {
            fs::remove_dir_all(&staging).map_err(Error::io("clear", &staging))?;
        }
        create_folder(&staging)?;
        if let Err(error) = write_files(&staging, &target, model, optimizer, state) {
            // A full disk needs the room.
            let _ = fs::remove_dir_all(&staging);
            return Err(renamed(error, &staging, &target));
        }

        if target.exists() {
            fs::remove_dir_all(&target).map_err(Error::io("replace", &target))?;
        }
        fs::rename(&staging, &target).map_err(Error::io("write", &target))?;
        sync_folder(&self.folder)?;
        write_atomic(&self.folder.join("last"), name.as_bytes())?;
        if state.best.is_some_and(|best| best.step == state.step) {
            write_atomic(&self.folder.join("best"), name.as_bytes())?;
        }
        self.prune(keep, &name)
    }

    /// Removes what a killed run left half-written.
    ///
    /// # Errors
    /// [`Error::Io`] if something cannot be removed.
    pub fn sweep(&self) -> Result<()> {
        sweep_abandoned(&self.folder)
    }

    /// Sets the pointers right after a run was killed between a checkpoint and its pointers: `last` is the
    /// one that the run goes on from, `best` the one that its state names. If that is gone (others were damaged, of
    /// which one was better), the next to be validated is the best.
    ///
    /// # Errors
    /// [`Error::Io`] if a pointer cannot be written.
    pub fn repair(&self, newest: &mut Checkpoint) -> Result<()> {
        let name = |step: u64| format!("step-{step:08}");
        if newest.state.best.is_some_and(|best| !self.folder.join(name(best.step)).is_dir()) {
            newest.state.best = None;
            let path = self.folder.join("best");
            if path.exists() {
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        let best = newest.state.best.map(|best| name(best.step));
        for (pointer, name) in [("last", Some(name(newest.state.step))), ("best", best)] {
            let Some(name) = name.filter(|name| self.folder.join(name).is_dir()) else { continue };
            let path = self.folder.join(pointer);
            if fs::read_to_string(&path).ok().as_deref().map(str::trim) != Some(&name) {
                write_atomic(&path, name.as_bytes())?;
            }
        }
        Ok(())
    }

    /// The newest checkpoint that is whole; `None` if there is none at all. One that is damaged is
    /// passed over, with a warning.
    ///
    /// # Errors
    /// [`Error::Data`] if there are checkpoints and none is whole.
    pub fn newest(&self) -> Result<Option<Checkpoint>> {
        let mut names = self.names()?;
        let any = !names.is_empty();
        while let Some(name) = names.pop() {
            match read(&self.folder.join(&name)) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error) => tracing::warn!("{error}; going back to the checkpoint before it"),
            }
        }
        match any {
            false => Ok(None),
            true => Err(Error::Data(format!(
                "no checkpoint in {} is whole: delete the run folder and train again",
                self.folder.display()
            ))),
        }
    }

    /// The checkpoint that a pointer names.
    ///
    /// # Errors
    /// [`Error::Data`] if there is none, or it is damaged.
    pub fn load(&self, which: Which) -> Result<Checkpoint> {
        let path = self.folder.join(self.pointed(which)?);
        let checkpoint = read(&path)?;
        match which {
            Which::Best
                if checkpoint.state.best.map(|best| best.step) != Some(checkpoint.state.step) =>
            {
                Err(damaged(
                    &path,
                    "`best` names it, and it was not the best when it was saved".into(),
                ))
            }
            _ => Ok(checkpoint),
        }
    }

    /// What tells the model of one checkpoint from that of any other.
    ///
    /// # Errors
    /// As [`Checkpoints::load`].
    pub fn fingerprint(&self, which: Which) -> Result<String> {
        let name = self.pointed(which)?;
        let meta = meta(&self.folder.join(&name))?;
        Ok(format!("{name} {}", meta.checksums.get(MODEL).map_or("", String::as_str)))
    }

    /// The name of the checkpoint that a pointer names.
    ///
    /// # Errors
    /// [`Error::Data`] if there is none.
    pub fn pointed(&self, which: Which) -> Result<String> {
        let pointer = self.folder.join(match which {
            Which::Best => "best",
            Which::Last => "last",
        });
        let name = fs::read_to_string(&pointer).map_err(|error| {
            Error::Data(format!(
                "there is no checkpoint at {}: {error}; train the run first",
                pointer.display()
            ))
        })?;
        let name = name.trim();
        if !is_name(name) {
            return Err(Error::Data(format!(
                "{} holds {name:?}, which is no checkpoint's name: `train --resume` finds the newest without it, and \
                 writes it anew",
                pointer.display()
            )));
        }
        Ok(name.to_string())
    }

    /// Whether there is a checkpoint at all.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read.
    pub fn any(&self) -> Result<bool> {
        Ok(!self.names()?.is_empty())
    }

    /// Names of the complete checkpoints, oldest first.
    fn names(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", &self.folder)(error)),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| is_name(name))
            .collect();
        // By number: beyond 99 999 999 steps the names grow longer.
        names.sort_by_key(|name| (name.len(), name.clone()));
        Ok(names)
    }

    /// Removes checkpoints before the last `keep`, but for the best; and what is above the newest, which was damaged and passed
    /// over: its step will come again.
    fn prune(&self, keep: usize, newest: &str) -> Result<()> {
        let best = fs::read_to_string(self.folder.join("best")).unwrap_or_default();
        let names = self.names()?;
        let end = names.iter().position(|name| name == newest).map_or(names.len(), |at| at + 1);
        let (kept, above) = names.split_at(end);
        let old = kept.iter().rev().skip(keep.max(1)).filter(|name| **name != best);
        for name in old.chain(above) {
            let path = self.folder.join(name);
            fs::remove_dir_all(&path).map_err(Error::io("delete the old checkpoint", &path))?;
        }
        Ok(())
    }
}

/// The files of a checkpoint that is to become `target`.
fn write_files<M: Module>(
    folder: &Path,
    target: &Path,
    model: &M,
    optimizer: &ModuleOptimizer,
    state: &LoopState,
) -> Result<()> {
    let broken = |error: burn::store::RecordError| {
        Error::Data(format!("cannot write the checkpoint {}: {error}", target.display()))
    };
    let mut checksums = BTreeMap::new();
    let files: [(&str, Bytes); 2] = [
        // Without autodiff: batch norm hands its running statistics over only then.
        (MODEL, model.valid().into_record().into_bytes().map_err(broken)?),
        (OPTIMIZER, optimizer.into_bytes().map_err(broken)?),
    ];
    for (file, bytes) in &files {
        checksums.insert(file.to_string(), checksums::of(bytes));
        write_atomic(&folder.join(file), bytes)?;
    }
    let meta = Meta { format: FORMAT, state: state.clone(), checksums };
    let meta = serde_json::to_vec_pretty(&meta).expect("plain data becomes JSON");
    write_atomic(&folder.join(META), &meta)?;
    write_atomic(&folder.join(META_SUM), checksums::of(&meta).as_bytes())
}

fn is_name(name: &str) -> bool {
    name.strip_prefix("step-")
        .is_some_and(|step| step.len() >= 8 && step.bytes().all(|digit| digit.is_ascii_digit()))
}

fn damaged(path: &Path, why: String) -> Error {
    Error::Data(format!(
        "the checkpoint {} is damaged: {why}; `train --resume` goes back to the one before it, and \
         `--checkpoint last` takes the newest instead of the best",
        path.display()
    ))
}

fn meta(path: &Path) -> Result<Meta> {
    let text = read_text(&path.join(META))?;
    let meta: Meta =
        serde_json::from_str(&text).map_err(|error| damaged(path, format!("{META}: {error}")))?;
    match meta.format {
        1 => Ok(meta),
        FORMAT => match read_text(&path.join(META_SUM))? == checksums::of(text.as_bytes()) {
            true => Ok(meta),
            false => Err(damaged(path, format!("{META} does not match its checksum"))),
        },
        format => {
            Err(damaged(path, format!("its format is {format}, this program reads 1 and {FORMAT}")))
        }
    }
}

fn read(path: &Path) -> Result<Checkpoint> {
    let damaged = |why: String| damaged(path, why);
    let meta = meta(path)?;
    let read = |file: &str| -> Result<Bytes> {
        let file_path = path.join(file);
        let bytes = fs::read(&file_path).map_err(Error::io("read", &file_path))?;
        match meta.checksums.get(file) {
            Some(sum) if *sum == checksums::of(&bytes) => Ok(Bytes::from_bytes_vec(bytes)),
            _ => Err(damaged(format!("{file} does not match its checksum"))),
        }
    };
    Ok(Checkpoint {
        model: ModuleRecord::from_bytes(read(MODEL)?)
            .map_err(|error| damaged(format!("{MODEL}: {error}")))?,
        optimizer: OptimizerRecord::from_bytes(read(OPTIMIZER)?)
            .map_err(|error| damaged(format!("{OPTIMIZER}: {error}")))?,
        state: meta.state,
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::optim::SgdConfig;
    use burn::tensor::Device;

    use super::*;
    use crate::training::state::Best;

    fn checkpoints() -> (tempfile::TempDir, Checkpoints, Linear, ModuleOptimizer) {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path().join("checkpoints"));
        let layer = LinearConfig::new(3, 2).init(&Device::flex());
        (folder, checkpoints, layer, SgdConfig::new().init())
    }

    fn state(step: u64, best: Option<u64>) -> LoopState {
        let best = best.map(|step| Best { step, value: 0.5 });
        LoopState { step, best, ..LoopState::default() }
    }

    #[test]
    fn the_newest_and_the_best_are_kept() {
        let (_folder, checkpoints, layer, optimizer) = checkpoints();
        for (step, best) in [(10, 10), (20, 20), (30, 20), (40, 20), (50, 20)] {
            checkpoints.save(&layer, &optimizer, &state(step, Some(best)), 2).unwrap();
        }
        assert_eq!(
            checkpoints.names().unwrap(),
            ["step-00000020", "step-00000040", "step-00000050"]
        );
        assert_eq!(checkpoints.load(Which::Best).unwrap().state.step, 20);
        assert_eq!(checkpoints.load(Which::Last).unwrap().state.step, 50);
    }

    #[test]
    fn a_damaged_checkpoint_is_refused_and_the_one_before_it_used() {
        let (_folder, checkpoints, layer, optimizer) = checkpoints();
        assert!(checkpoints.newest().unwrap().is_none());
        checkpoints.save(&layer, &optimizer, &state(1, None), 3).unwrap();
        checkpoints.save(&layer, &optimizer, &state(2, None), 3).unwrap();
        let model = checkpoints.folder.join("step-00000002").join(MODEL);
        let mut bytes = fs::read(&model).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&model, bytes).unwrap();
        let error = checkpoints.load(Which::Last).err().unwrap().to_string();
        assert!(error.contains("does not match its checksum"), "{error}");
        assert_eq!(checkpoints.newest().unwrap().unwrap().state.step, 1);
    }

    /// The one that is damaged was the best, and the one that went before it as the best is gone.
    #[test]
    fn what_follows_a_damaged_checkpoint_takes_its_place() {
        let (_folder, checkpoints, layer, optimizer) = checkpoints();
        for (step, best) in [(10, 10), (20, 10), (30, 30), (40, 30), (50, 50)] {
            checkpoints.save(&layer, &optimizer, &state(step, Some(best)), 2).unwrap();
        }
        assert_eq!(checkpoints.names().unwrap(), ["step-00000040", "step-00000050"]);
        fs::write(checkpoints.folder.join("step-00000050").join(MODEL), "no model").unwrap();
        let mut newest = checkpoints.newest().unwrap().unwrap();
        assert_eq!((newest.state.step, newest.state.best.map(|best| best.step)), (40, Some(30)));
        checkpoints.repair(&mut newest).unwrap();
        assert_eq!(newest.state.best, None);
        assert!(checkpoints.load(Which::Best).is_err());
        checkpoints.save(&layer, &optimizer, &state(45, None), 1).unwrap();
        assert_eq!(checkpoints.names().unwrap(), ["step-00000045"]);
        assert_eq!(checkpoints.load(Which::Last).unwrap().state.step, 45);
        checkpoints.save(&layer, &optimizer, &state(46, Some(46)), 1).unwrap();
        assert_eq!(checkpoints.load(Which::Best).unwrap().state.step, 46);
    }

    /// Killed after a checkpoint was whole and before its pointers were written.
    #[test]
    fn pointers_that_a_killed_run_left_behind_are_set_right() {
        let (_folder, checkpoints, layer, optimizer) = checkpoints();
        checkpoints.save(&layer, &optimizer, &state(1, Some(1)), 3).unwrap();
        checkpoints.save(&layer, &optimizer, &state(2, Some(2)), 3).unwrap();
        for stale in [Some("step-00000001"), None] {
            for pointer in ["last", "best"] {
                let path = checkpoints.folder.join(pointer);
                match stale {
                    Some(name) => fs::write(path, name).unwrap(),
                    None => fs::remove_file(path).unwrap(),
                }
            }
            let mut newest = checkpoints.newest().unwrap().unwrap();
            checkpoints.repair(&mut newest).unwrap();
            for which in [Which::Last, Which::Best] {
                assert_eq!(checkpoints.load(which).unwrap().state.step, 2);
            }
        }
    }

    #[test]
    fn what_was_never_completed_is_not_seen() {
        let (_folder, checkpoints, layer, optimizer) = checkpoints();
        checkpoints.save(&layer, &optimizer, &state(1, None), 3).unwrap();
        fs::create_dir(checkpoints.folder.join(".writing-step-00000002")).unwrap();
        assert_eq!(checkpoints.newest().unwrap().unwrap().state.step, 1);
        // A pointer may not lead out of the folder.
        fs::write(checkpoints.folder.join("best"), "../../etc").unwrap();
        assert!(checkpoints.load(Which::Best).is_err());
    }
}
