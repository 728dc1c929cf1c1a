//! Weights in a file of another program: a PyTorch checkpoint, or safetensors.
//!
//! Programs store weights beside other entries (the state of an optimizer, the epoch) and below names of their own
//! (`state_dict.model.`, `module.`). [`Imported::select`] finds the weights that a model needs among them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use burn::tensor::{DType as Float, TensorData};
use models::Fitted;
use models::fitted::Array;
use pytorch_reader::{DType, PickleValue, PytorchReader};

use crate::error::{Error, Result};
use crate::inference::model_file::safetensors;
use crate::inference::weights::{Shapes, Weights};

/// Names below which training programs store weights, the preferred ones first: keys of checkpoint dictionaries, and
/// prefixes that wrapper modules add (`nn.DataParallel`, `torch.compile`, Lightning).
const WRAPPERS: [&str; 9] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "_orig_mod",
    "net",
    "network",
    "weights",
];

/// How many of [`WRAPPERS`] are keys of dictionaries, which have other keys beside them.
const DICTIONARIES: usize = 4;

/// Endings of PyTorch checkpoints.
const PYTORCH: [&str; 7] = ["pth", "pt", "ckpt", "bin", "tar", "th", "pkl"];

/// A tensor whose values may not have been read yet.
enum Stored {
    Read(Array),
    Checkpoint(pytorch_reader::Tensor),
    /// Not floating-point, with the name of its type.
    Other(String),
}

/// The contents of a weights file.
pub struct Imported {
    path: PathBuf,
    /// By the full name: keys of nested dictionaries, joined by dots.
    tensors: BTreeMap<String, Stored>,
    /// Top-level entries without tensors.
    entries: Vec<String>,
    /// Fitted arrays; only in files of `tonotopy export`.
    pub fitted: Fitted,
}

/// The weights of a model, selected from a file.
#[derive(Debug)]
pub struct Selection {
    /// As the model names them, with the shapes of the file.
    pub weights: Weights,
    /// The name below which they are stored; empty at the top level.
    pub below: String,
    /// What else the file contains: names of tensors, or of entries with their number of tensors.
    pub ignored: Vec<String>,
}

impl Selection {
    /// What was selected, for messages.
    pub fn place(&self) -> String {
        match self.below.as_str() {
            "" => "the weights".into(),
            name => format!("the weights below {name:?}"),
        }
    }
}

/// A rule `OLD=NEW` that renames weights, such as `conv1=stages.0.conv`. Without `NEW` it removes the prefix `OLD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    from: String,
    to: String,
}

impl std::str::FromStr for Rename {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let trimmed = |name: &str| name.strip_suffix('.').unwrap_or(name).to_string();
        match text.split_once('=').map(|(from, to)| (trimmed(from), trimmed(to))) {
            Some((from, to)) if !from.is_empty() => Ok(Self { from, to }),
            _ => {
                Err("expected OLD=NEW, such as conv1=stages.0.conv, or PREFIX= to remove a prefix"
                    .into())
            }
        }
    }
}

/// What follows `prefix` and a dot in a name; empty if they are equal.
fn below<'a>(prefix: &str, name: &'a str) -> Option<&'a str> {
    let rest = name.strip_prefix(prefix)?;
    if prefix.is_empty() || rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}

/// The name after all prefixes are removed and then the first rule that matches is applied, and whether a prefix was
/// removed. Marks the rules that matched.
fn renamed(rules: &[Rename], name: &str, used: &mut BTreeSet<usize>) -> (String, bool) {
    let (full, mut name) = (name, name);
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.to.is_empty()) {
        if let Some(rest) = below(&rule.from, name).filter(|rest| !rest.is_empty()) {
            used.insert(at);
            name = rest;
        }
    }
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| !rule.to.is_empty()) {
        if let Some(rest) = below(&rule.from, name) {
            used.insert(at);
            let dot = if rest.is_empty() { "" } else { "." };
            return (format!("{}{dot}{rest}", rule.to), name != full);
        }
    }
    (name.to_string(), name != full)
}

/// Every name above a tensor's, the shortest (empty) first: `a.b.c` is below ``, `a` and `a.b`.
fn above(name: &str) -> impl Iterator<Item = &str> {
    std::iter::once("").chain(name.match_indices('.').map(|(at, _)| &name[..at]))
}

/// How customary it is to store weights below a name; smaller is better.
fn rank(name: &str) -> (usize, bool) {
    let known = |part: &str| WRAPPERS.iter().position(|wrapper| *wrapper == part);
    match name.split('.').next().unwrap_or_default() {
        "" => (0, false),
        first => {
            let all_known = name.split('.').all(|part| known(part).is_some());
            (known(first).map_or(usize::MAX, |at| at + 1), !all_known)
        }
    }
}

/// Whether an entry at the top level of a flat file belongs to the training program, not to the network.
fn is_of_training(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    first.starts_with("optimizer")
        || first.starts_with("lr_scheduler")
        || ["epoch", "global_step", "rng_state", "cuda_rng_state"].contains(&first)
}

/// At most 20 names.
fn list(names: impl IntoIterator<Item = String>) -> String {
    let names: Vec<String> = names.into_iter().collect();
    let more = names.len().saturating_sub(20);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names[..names.len().min(20)].join(", "))
}

impl Imported {
    /// Reads `.safetensors`, or a PyTorch checkpoint (`.pth`, `.pt`, `.ckpt`, `.bin`, `.pth.tar`). Only tensors are read from
    /// a checkpoint; its code is never executed.
    ///
    /// # Errors
    /// If the file has another format or is damaged.
    pub fn read(path: &Path) -> Result<Imported> {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        let ending = ending.to_str().unwrap_or_default();
        if ending == "safetensors" || is_safetensors(path)? {
            let contents = safetensors::read(path)?;
            let read =
                contents.weights.into_iter().map(|(name, array)| (name, Stored::Read(array)));
            let others =
                contents.others.into_iter().map(|(name, kind)| (name, Stored::Other(kind)));
            return Ok(Imported {
                path: path.into(),
                tensors: read.chain(others).collect(),
                entries: Vec::new(),
                fitted: contents.fitted,
            });
        }
        if !PYTORCH.contains(&ending) {
            return Err(Error::Config(format!(
                "{}: weights can be read from .safetensors and from PyTorch checkpoints (.{}) only; convert the file first",
                path.display(),
                PYTORCH.join(", .")
            )));
        }
        read_pytorch(path)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Selects the weights that a model needs, and converts them to float32.
    ///
    /// The weights are all below one name, which is found by comparing names with those that the model needs, after
    /// renaming, or below the prefixes that `rules` remove. What is not below them is ignored, as are the counters of batch
    /// normalization and what `ignore` names: a tensor, or all tensors that begin with the name and a dot. Other tensors are
    /// kept, so that the comparison with the model refuses them.
    ///
    /// # Errors
    /// If a rule or a name in `ignore` matches nothing, two weights get the same name, it is ambiguous which weights are
    /// meant, or a needed weight is not floating-point or damaged.
    pub fn select(
        &self,
        needed: &Shapes,
        rules: &[Rename],
        ignore: &[String],
    ) -> Result<Selection> {
        let place = self.path.display();
        let start = self.start(needed, rules)?;
        let removes = rules.iter().any(|rule| rule.to.is_empty());
        let (mut used, mut ignoring) = (BTreeSet::new(), vec![false; ignore.len()]);
        let mut selection =
            Selection { weights: Weights::new(), below: start.clone(), ignored: Vec::new() };
        let mut outside: Vec<&str> = Vec::new();
        let mut sources: HashMap<String, &str> = HashMap::new();
        for (full, stored) in &self.tensors {
            let inside = below(&start, full).filter(|rest| !rest.is_empty());
            let (name, removed) = inside.map(|name| renamed(rules, name, &mut used)).unzip();
            let names = [Some(full.as_str()), inside, name.as_deref()];
            let mut named = false;
            for (ignored, seen) in ignore.iter().zip(&mut ignoring) {
                let ignored = ignored.strip_suffix('.').unwrap_or(ignored);
                if names.into_iter().flatten().any(|name| below(ignored, name).is_some()) {
                    (named, *seen) = (true, true);
                }
            }
            let name = match name {
                Some(name) if needed.contains_key(&name) && !named => name,
                Some(_) if named || full.ends_with("num_batches_tracked") => {
                    selection.ignored.push(full.clone());
                    continue;
                }
                Some(name)
                    if !((start.is_empty() && is_of_training(full))
                        || (removes && removed == Some(false))) =>
                {
                    name
                }
                _ => {
                    outside.push(full);
                    continue;
                }
            };
            if let Some(other) = sources.insert(name.clone(), full) {
                return Err(Error::Config(format!(
                    "--rename gives {other:?} and {full:?} the same name {name:?}: rename one of them to another name"
                )));
            }
            let array = stored
                .values(needed.contains_key(&name))
                .map_err(|problem| Error::Data(format!("{place}: {full:?} {problem}")))?;
            selection.weights.insert(name, array);
        }
        if let Some(at) = (0..rules.len()).find(|at| !used.contains(at)) {
            return Err(self.no_match(&rules[at], &start));
        }
        for (name, seen) in ignore.iter().zip(ignoring) {
            let entry = self.entries.iter().any(|entry| entry == name);
            if !seen && !entry {
                return Err(Error::Config(format!(
                    "--ignore {name}: nothing in {place} is named {name:?} or begins with \"{name}.\"; its names are {}",
                    list(self.tensors.keys().cloned())
                )));
            }
        }
        selection
            .ignored
            .splice(0..0, self.entries_of(&outside, sources.values().copied().collect()));
        Ok(selection)
    }

    /// The largest entries that contain tensors of `outside` and none of `taken`, with their number of tensors.
    fn entries_of(&self, outside: &[&str], taken: BTreeSet<&str>) -> Vec<String> {
        let is_above_taken = |name: &str| {
            let start = format!("{name}.");
            taken.range(start.as_str()..).next().is_some_and(|taken| taken.starts_with(&start))
        };
        let mut counts: BTreeMap<&str, usize> =
            self.entries.iter().map(|name| (name.as_str(), 0)).collect();
        for full in outside {
            let entry = above(full).find(|name| !name.is_empty() && !is_above_taken(name));
            *counts.entry(entry.unwrap_or(full)).or_default() += 1;
        }
        let entries = counts.into_iter().map(|(name, count)| match count {
            0 => name.to_string(),
            1 => format!("{name} (1 tensor)"),
            count => format!("{name} ({count} tensors)"),
        });
        entries.collect()
    }

    /// Checks, before long work, that every rule matches a name.
    ///
    /// # Errors
    /// If one matches none.
    pub fn check_rules(&self, rules: &[Rename]) -> Result<()> {
        let matches = |rule: &Rename| {
            let at = |name: &str, above: &str| below(&rule.from, below(above, name)?).map(drop);
            self.tensors.keys().any(|name| above(name).any(|above| at(name, above).is_some()))
        };
        match rules.iter().find(|rule| !matches(rule)) {
            Some(rule) => Err(self.no_match(rule, &self.customary())),
            None => Ok(()),
        }
    }

    fn no_match(&self, rule: &Rename, start: &str) -> Error {
        let names = self.tensors.keys().filter_map(|name| below(start, name));
        Error::Config(format!(
            "--rename {}={}: no weight is named {0} or begins with \"{0}.\"; the names are {}",
            rule.from,
            rule.to,
            list(names.map(String::from))
        ))
    }

    /// The name below which the weights are: the one with most of the needed names below it, and most rules that match;
    /// of several, the most customary one.
    fn start(&self, needed: &Shapes, rules: &[Rename]) -> Result<String> {
        let mut found: BTreeMap<&str, (usize, BTreeSet<usize>)> = BTreeMap::new();
        for full in self.tensors.keys() {
            for start in above(full) {
                let (count, used) = found.entry(start).or_default();
                let (name, _) = renamed(rules, below(start, full).unwrap_or_default(), used);
                *count += usize::from(needed.contains_key(&name));
            }
        }
        found.retain(|_, (count, _)| *count > 0);
        let score = |(count, used): &(usize, BTreeSet<usize>)| (*count, used.len());
        let Some(most) = found.values().map(score).max() else { return Ok(self.customary()) };
        found.retain(|_, found| score(found) == most);
        let best = found.keys().map(|name| rank(name)).min().unwrap_or_default();
        let best: Vec<&str> = found.into_keys().filter(|name| rank(name) == best).collect();
        match best[..] {
            [one] => Ok(one.to_string()),
            _ => Err(Error::Config(format!(
                "{} contains {} networks with the names of the model, below {}; select one with --rename {}=",
                self.path.display(),
                best.len(),
                best.join(", "),
                best[0]
            ))),
        }
    }

    /// The name below which weights customarily are.
    fn customary(&self) -> String {
        let mut start = String::new();
        loop {
            let names = self.tensors.keys().filter_map(|name| below(&start, name));
            let names: Vec<&str> = names.filter(|name| !is_of_training(name)).collect();
            let inside = |wrapper: &str| {
                names
                    .iter()
                    .filter(|name| below(wrapper, name).is_some_and(|rest| !rest.is_empty()))
                    .count()
            };
            let next = WRAPPERS.iter().enumerate().find(|(at, wrapper)| match inside(wrapper) {
                0 => false,
                count => *at < DICTIONARIES || count == names.len(),
            });
            let Some((_, wrapper)) = next else { return start };
            start =
                if start.is_empty() { wrapper.to_string() } else { format!("{start}.{wrapper}") };
        }
    }
}

impl Stored {
    /// The values as float32. Those of tensors that are not needed are not read.
    fn values(&self, needed: bool) -> Result<Array, String> {
        match self {
            Self::Read(array) => Ok(array.clone()),
            Self::Checkpoint(tensor) if !needed => {
                Ok(Array { shape: tensor.shape().to_vec(), values: Vec::new() })
            }
            Self::Other(_) if !needed => Ok(Array { shape: Vec::new(), values: Vec::new() }),
            Self::Checkpoint(tensor) => {
                let float = match tensor.dtype() {
                    DType::F32 => Float::F32,
                    DType::F64 => Float::F64,
                    DType::F16 => Float::F16,
                    DType::BF16 => Float::BF16,
                    other => return Err(not_float(&format!("{other:?}"))),
                };
                let bytes = tensor.read().map_err(|error| format!("is damaged: {error}"))?;
                Ok(to_f32(bytes, tensor.shape(), float))
            }
            Self::Other(kind) => Err(not_float(kind)),
        }
    }
}

fn not_float(kind: &str) -> String {
    format!(
        "has the type {kind}, but weights are floating-point numbers of 16, 32 or 64 bits; save \
         model.float().state_dict() instead"
    )
}

/// Floating-point numbers in native byte order as float32. The bytes are as many as the shape and the type need.
pub(crate) fn to_f32(bytes: Vec<u8>, shape: &[usize], kind: Float) -> Array {
    let data = TensorData::from_bytes_vec(bytes, shape.to_vec(), kind).convert::<f32>();
    Array { shape: shape.to_vec(), values: data.iter::<f32>().collect() }
}

/// Whether a file begins as safetensors do: with the length of a JSON header, and the header.
fn is_safetensors(path: &Path) -> Result<bool> {
    let mut first = [0; 9];
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let [size @ .., brace] = match file.read_exact(&mut first) {
        Ok(()) => first,
        Err(_) => return Ok(false),
    };
    Ok(brace == b'{' && u64::from_le_bytes(size) <= length.saturating_sub(8))
}

fn read_pytorch(path: &Path) -> Result<Imported> {
    let broken = |error: pytorch_reader::PytorchError| {
        Error::Data(format!(
            "{} is not a readable PyTorch checkpoint: {error}; save it with torch.save(model.state_dict(), FILE)",
            path.display()
        ))
    };
    let tensors = PytorchReader::new(path).map_err(broken)?.into_tensors();
    let entries = match PytorchReader::read_pickle_data(path, None).map_err(broken)? {
        PickleValue::Dict(entries) => entries.into_keys().collect(),
        _ => Vec::new(),
    };
    let tensors: BTreeMap<String, Stored> =
        tensors.into_iter().map(|(name, tensor)| (name, Stored::Checkpoint(tensor))).collect();
    let mut entries: Vec<String> = entries;
    // `_metadata` holds the versions of PyTorch's modules.
    entries.retain(|entry| {
        entry != "_metadata" && !tensors.keys().any(|name| below(entry, name).is_some())
    });
    entries.sort();
    Ok(Imported { path: path.into(), tensors, entries, fitted: Fitted::default() })
}

#[cfg(test)]
mod tests;
