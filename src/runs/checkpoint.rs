//! Checkpoints: everything that a run needs to resume, complete or absent.
//!
//! `checkpoints/step-00012000/` holds model and optimizer as burnpack records, the loop's state as JSON with a BLAKE3
//! checksum of each record, and the checksum of that JSON. It is written under a temporary name and renamed when complete.
//! The files `checkpoints/last` and `checkpoints/best` contain the name of such a folder. Randomness in training is a
//! function of (seed, step), so the step is all the state that the generator has.

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
    WRITING, create_folder, read_text, remove_folder, rename, sweep_abandoned, sync_folder,
    with_path_in, write_atomic,
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
    /// The loop's state.
    pub state: LoopState,
    /// The folder it was read from.
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

/// Format 1 had no checksum of the state.
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
    /// Does not touch the disk: the first [`Checkpoints::save`] creates the folder.
    pub fn new(folder: PathBuf) -> Checkpoints {
        Checkpoints { folder }
    }

    /// Saves a checkpoint, points `last` (and `best`, if this is the best) to it, and deletes all but the newest `keep` and
    /// the best.
    ///
    /// # Errors
    /// [`Error::Io`] if writing fails, [`Error::Data`] if a record cannot be serialized. Earlier checkpoints are kept.
    pub fn save<M: Module>(
        &self,
        model: &M,
        optimizer: &ModuleOptimizer,
        state: &LoopState,
        keep: usize,
    ) -> Result<()> {
        create_folder(&self.folder)?;
        let name = name_of(state.step);
        let target = self.folder.join(&name);
        let staging = self.folder.join(format!("{WRITING}{name}"));
        if staging.exists() {
            remove_folder("clear", &staging)?;
        }
        create_folder(&staging)?;
        if let Err(error) = write_files(&staging, &target, model, optimizer, state) {
            // Free the space on a full disk.
            let _ = fs::remove_dir_all(&staging);
            return Err(with_path_in(error, &staging, &target));
        }

        if target.exists() {
            remove_folder("replace", &target)?;
        }
        rename(&staging, &target)?;
        sync_folder(&self.folder)?;
        write_atomic(&self.folder.join("last"), name.as_bytes())?;
        if state.best.is_some_and(|best| best.step == state.step) {
            write_atomic(&self.folder.join("best"), name.as_bytes())?;
        }
        self.prune(keep, &name, state.best.map(|best| name_of(best.step)).as_deref())
    }

    /// Removes incomplete files of a run that was killed.
    ///
    /// # Errors
    /// [`Error::Io`] if something cannot be removed.
    pub fn sweep(&self) -> Result<()> {
        sweep_abandoned(&self.folder)
    }

    /// Repairs the pointers of a run that was killed after it wrote a checkpoint and before it wrote its pointers: `last`
    /// becomes the checkpoint that the run resumes from, `best` the one that its state names. If that checkpoint is missing
    /// (a damaged one was better), the next validated checkpoint becomes the best.
    ///
    /// # Errors
    /// [`Error::Io`] if a pointer cannot be read or written.
    pub fn repair(&self, newest: &mut Checkpoint) -> Result<()> {
        let exists = |name: &String| self.folder.join(name).is_dir();
        let mut best = newest.state.best.map(|best| name_of(best.step));
        let is_named = self.pointer(Which::Best)?.is_some_and(|text| is_name(&text));
        if best.as_ref().is_some_and(|best| !exists(best)) || (best.is_none() && !is_named) {
            (newest.state.best, best) = (None, None);
            let path = self.pointer_path(Which::Best);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path)(error));
                }
                _ => {}
            }
        }
        for (which, name) in [(Which::Last, Some(name_of(newest.state.step))), (Which::Best, best)]
        {
            let Some(name) = name.filter(exists) else { continue };
            if self.pointer(which)?.as_ref() != Some(&name) {
                write_atomic(&self.pointer_path(which), name.as_bytes())?;
            }
        }
        Ok(())
    }

    /// The newest undamaged checkpoint, or `None` without any checkpoint. Damaged ones are skipped with a warning.
    ///
    /// # Errors
    /// [`Error::Data`] if all checkpoints are damaged.
    pub fn newest(&self) -> Result<Option<Checkpoint>> {
        let mut names = self.names()?;
        let any = !names.is_empty();
        while let Some(name) = names.pop() {
            match read(&self.folder.join(&name)) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error) => tracing::warn!("{error}; trying the checkpoint before it"),
            }
        }
        match any {
            false => Ok(None),
            true => Err(Error::Data(format!(
                "every checkpoint in {} is damaged: delete the run folder and train again",
                self.folder.display()
            ))),
        }
    }

    /// Loads the checkpoint that a pointer names.
    ///
    /// # Errors
    /// [`Error::Data`] if it is missing or damaged.
    pub fn load(&self, which: Which) -> Result<Checkpoint> {
        let path = self.folder.join(self.pointed(which)?);
        let checkpoint = read(&path)?;
        match which {
            Which::Best
                if checkpoint.state.best.map(|best| best.step) != Some(checkpoint.state.step) =>
            {
                Err(damaged(
                    &path,
                    "`best` names it, but it was not the best when it was saved".into(),
                ))
            }
            _ => Ok(checkpoint),
        }
    }

    /// Identifies the weights of a checkpoint.
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
    /// [`Error::Data`] if the pointer does not exist or is damaged.
    pub fn pointed(&self, which: Which) -> Result<String> {
        match self.pointer(which)? {
            Some(text) => self.named(which, &text),
            None => Err(Error::Data(format!(
                "{} does not exist; train the run first",
                self.pointer_path(which).display()
            ))),
        }
    }

    fn pointer_path(&self, which: Which) -> PathBuf {
        self.folder.join(match which {
            Which::Best => "best",
            Which::Last => "last",
        })
    }

    /// The text of a pointer without blanks around it; `None` if it does not exist.
    fn pointer(&self, which: Which) -> Result<Option<String>> {
        let path = self.pointer_path(which);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// The text of a pointer, which must be the name of a checkpoint.
    fn named(&self, which: Which, text: &str) -> Result<String> {
        match is_name(text) {
            true => Ok(text.to_owned()),
            false => Err(Error::Data(format!(
                "{} contains {text:?}, which is not the name of a checkpoint: `train --resume` finds the newest checkpoint \
                 without it and rewrites it",
                self.pointer_path(which).display()
            ))),
        }
    }

    /// Whether any checkpoint exists.
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
        // By number: names get longer after 99 999 999 steps.
        names.sort_by_key(|name| (name.len(), name.clone()));
        Ok(names)
    }

    /// Removes all checkpoints but the last `keep` and the best, and those after the newest: they were damaged and skipped,
    /// and their steps will be trained again. Kept as the best are `best` and what the pointer names.
    fn prune(&self, keep: usize, newest: &str, best: Option<&str>) -> Result<()> {
        let pointed = match self.pointer(Which::Best)? {
            Some(text) => Some(self.named(Which::Best, &text)?),
            None => None,
        };
        let is_best = |name: &str| [best, pointed.as_deref()].contains(&Some(name));
        let names = self.names()?;
        let end = names.iter().position(|name| name == newest).map_or(names.len(), |at| at + 1);
        let (kept, above) = names.split_at(end);
        let old = kept.iter().rev().skip(keep.max(1)).filter(|name| !is_best(name));
        for name in old.chain(above) {
            remove_folder("delete the old checkpoint", &self.folder.join(name))?;
        }
        Ok(())
    }
}

/// Writes the files of the checkpoint that becomes `target`.
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
        // Without autodiff: only then does batch normalization hand over its running statistics.
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

fn name_of(step: u64) -> String {
    format!("step-{step:08}")
}

fn is_name(name: &str) -> bool {
    name.strip_prefix("step-")
        .is_some_and(|step| step.len() >= 8 && step.bytes().all(|digit| digit.is_ascii_digit()))
}

fn damaged(path: &Path, why: String) -> Error {
    Error::Data(format!(
        "the checkpoint {} is damaged: {why}; `train --resume` uses the one before it, `--checkpoint last` the newest \
         instead of the best",
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
    fn best_checkpoint_is_kept_whatever_the_pointer_says() {
        let (_folder, checkpoints, layer, optimizer) = checkpoints();
        let best = checkpoints.folder.join("best");
        let save = |step| checkpoints.save(&layer, &optimizer, &state(step, Some(1)), 1);
        save(1).unwrap();
        for text in ["step-00000001\n", " step-00000001 \r\n"] {
            fs::write(&best, text).unwrap();
            save(2).unwrap();
            assert_eq!(checkpoints.names().unwrap(), ["step-00000001", "step-00000002"]);
            assert_eq!(checkpoints.load(Which::Best).unwrap().state.step, 1);
        }
        // A pointer that cannot be read: an error, and nothing is deleted.
        fs::remove_file(&best).unwrap();
        fs::create_dir(&best).unwrap();
        let error = save(3).unwrap_err().to_string();
        assert!(error.contains("cannot read") && error.contains("best"), "{error}");
        let error = checkpoints.pointed(Which::Best).unwrap_err().to_string();
        assert!(error.contains("cannot read"), "{error}");
        fs::remove_dir(&best).unwrap();
        fs::write(&best, [0xff, 0xfe]).unwrap();
        let error = save(4).unwrap_err().to_string();
        assert!(error.contains("not the name of a checkpoint"), "{error}");
        let all = [1, 2, 3, 4].map(name_of);
        assert_eq!(checkpoints.names().unwrap(), all);
        // Resuming repairs it.
        checkpoints.repair(&mut checkpoints.newest().unwrap().unwrap()).unwrap();
        save(5).unwrap();
        assert_eq!(checkpoints.names().unwrap(), [1, 5].map(name_of));
        // Without a pointer, the state still names the best.
        fs::remove_file(&best).unwrap();
        save(6).unwrap();
        assert_eq!(checkpoints.names().unwrap(), [1, 6].map(name_of));
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

    /// The damaged checkpoint was the best, and the previous best has been deleted.
    #[test]
    fn the_checkpoint_after_a_damaged_one_replaces_it() {
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

    /// Killed after a checkpoint was complete and before its pointers were written.
    #[test]
    fn stale_pointers_of_a_killed_run_are_repaired() {
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
