//! Import of weights that another program trained.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use datasets::Split;
use models::Fitted;
use models::fitted::Array;
use pytorch_reader::{DType, PytorchReader};

use crate::error::{Error, Result};
use crate::evaluation::track_predictions;
use crate::evaluation::validation::{judge, listeners, measure};
use crate::experiment::Experiment;
use crate::inference::model_file::safetensors;
use crate::inference::weights::{self, Weights};
use crate::runs::folder::{Environment, RunFolder};
use crate::runs::model;
use crate::runs::session::Session;
use crate::runs::transfer_source;
use crate::training::log::{Log, LogLine};
use crate::training::objective::Objective;
use crate::training::state::LoopState;

/// Weights read from a file.
pub struct Imported {
    /// With the names and shapes of the file.
    pub weights: Weights,
    /// Fitted arrays; only in files of `tonotopy export`.
    pub fitted: Fitted,
    /// Names of ignored tensors: counters that do not affect predictions.
    pub passed_over: Vec<String>,
}

/// A rule `OLD=NEW` that renames weights, such as `conv1=stages.0.conv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    from: String,
    to: String,
}

impl std::str::FromStr for Rename {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((from, to)) if !from.is_empty() && !to.is_empty() => {
                Ok(Self { from: from.into(), to: to.into() })
            }
            _ => Err("expected OLD=NEW, such as conv1=stages.0.conv".into()),
        }
    }
}

impl Rename {
    /// The new name, if `name` is `from` or begins with `from` and a dot.
    fn apply(&self, name: &str) -> Option<String> {
        let rest = name.strip_prefix(&self.from)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{}{rest}", self.to))
    }
}

impl Imported {
    /// Reads `.safetensors`, or a PyTorch checkpoint (`.pth`, `.pt`). Only tensors are read from a checkpoint; its code is
    /// never executed. float64 is rounded to float32.
    ///
    /// # Errors
    /// If the file has another format, is damaged, or contains types other than float32 and float64.
    pub fn read(path: &Path) -> Result<Imported> {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        match ending.to_str() {
            Some("safetensors") => {
                let contents = safetensors::read(path)?;
                let (weights, fitted) = (contents.weights, contents.fitted);
                Ok(Imported { weights, fitted, passed_over: Vec::new() })
            }
            Some("pth" | "pt") => read_pytorch(path),
            _ => Err(Error::Config(format!(
                "{}: weights can be read from .safetensors, .pth and .pt files only; convert the file first",
                path.display()
            ))),
        }
    }

    /// Renames weights; the first rule that matches a name is applied.
    ///
    /// # Errors
    /// If a rule matches no name, or two weights get the same name.
    pub fn rename(mut self, rules: &[Rename]) -> Result<Imported> {
        let mut used = vec![false; rules.len()];
        let mut renamed = Weights::new();
        for (name, array) in self.weights {
            let rule =
                rules.iter().enumerate().find_map(|(at, rule)| Some((at, rule.apply(&name)?)));
            let new = rule.map_or(name, |(at, new)| {
                used[at] = true;
                new
            });
            if renamed.contains_key(&new) {
                return Err(Error::Config(format!("--rename gives two weights the name {new:?}")));
            }
            renamed.insert(new, array);
        }
        if let Some((rule, _)) = rules.iter().zip(used).find(|(_, used)| !used) {
            return Err(Error::Config(format!(
                "--rename {}={}: no weight is named {0} or begins with \"{0}.\"; the names are {}",
                rule.from,
                rule.to,
                renamed.keys().take(20).cloned().collect::<Vec<_>>().join(", ")
            )));
        }
        self.weights = renamed;
        Ok(self)
    }
}

fn read_pytorch(path: &Path) -> Result<Imported> {
    let place = path.display();
    let data = |problem: String| Error::Data(format!("{place} {problem}"));
    let broken = |error: pytorch_reader::PytorchError| {
        data(format!("is not a readable PyTorch checkpoint: {error}"))
    };
    let mut tensors = PytorchReader::new(path).map_err(broken)?.into_tensors();
    // Training scripts often wrap the state_dict.
    for key in ["state_dict", "model_state_dict", "model"] {
        let inner = format!("{key}.");
        if !tensors.is_empty() && tensors.keys().all(|name| name.starts_with(&inner)) {
            let stripped = |(name, tensor): (String, _)| (name[inner.len()..].to_string(), tensor);
            tensors = tensors.into_iter().map(stripped).collect();
        }
    }
    let mut imported =
        Imported { weights: Weights::new(), fitted: Fitted::default(), passed_over: Vec::new() };
    for (name, tensor) in tensors {
        if name.ends_with("num_batches_tracked") {
            imported.passed_over.push(name);
            continue;
        }
        let bytes =
            tensor.read().map_err(|error| data(format!("is damaged at {name:?}: {error}")))?;
        let values: Vec<f32> = match tensor.dtype() {
            DType::F32 => {
                let numbers = bytes.chunks_exact(4);
                numbers.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            DType::F64 => {
                let numbers = bytes.chunks_exact(8);
                let number = |b: &[u8]| f64::from_le_bytes(b.try_into().unwrap_or_default());
                numbers.map(|b| number(b) as f32).collect()
            }
            other => {
                return Err(data(format!(
                    "contains {name:?} as {other:?}, but only float32 and float64 can be read; save \
                     model.float().state_dict() instead"
                )));
            }
        };
        imported.weights.insert(name, Array { shape: tensor.shape().to_vec(), values });
    }
    imported.passed_over.sort();
    Ok(imported)
}

/// Reshapes weights whose shape differs from the model's only by dimensions of size one: other programs convolve over time
/// with 2-D convolutions.
fn reshaped(weights: Weights, shapes: &weights::Shapes) -> Weights {
    let core = |shape: &[usize]| -> Vec<usize> {
        shape.iter().copied().filter(|size| *size != 1).collect()
    };
    weights
        .into_iter()
        .map(|(name, array)| match shapes.get(&name) {
            Some(shape) if core(shape) == core(&array.shape) => {
                (name, Array { shape: shape.clone(), values: array.values })
            }
            _ => (name, array),
        })
        .collect()
}

/// Creates a run of the experiment with one checkpoint, which contains these weights and their validation scores.
///
/// # Errors
/// If the run exists, the weights do not match the experiment's model, or the data cannot be loaded.
pub fn import(
    session: &Session<'_>,
    experiment: &Experiment,
    folder: &RunFolder,
    imported: Imported,
    from: &Path,
) -> Result<LoopState> {
    if folder.exists() {
        return Err(Error::Config(format!(
            "{} exists; change the name or seed of the experiment",
            folder.path().display()
        )));
    }
    let experiment = &transfer_source::resolved(experiment, folder.beside())?;
    let _lock = folder.lock()?;
    let mut data = session.prepare(experiment, folder)?;
    let fitted = imported.fitted;
    let device = &session.device.device;
    let model = model::initial(experiment, data.outputs(), &fitted, device)?;
    let weights = reshaped(imported.weights, &weights::shapes(&model.valid()));
    let filled = weights::put(model.valid(), &weights).map_err(|mismatch| {
        Error::Data(format!(
            "the weights in {} do not match the experiment's model ({}): {mismatch}; rename them with --rename OLD=NEW, or \
             change the model",
            from.display(),
            experiment.model.name()
        ))
    })?;
    let model = model::with_weights(model, filled.clone().into_record(), from)?;

    data.notes.push(format!("weights imported from {}", from.display()));
    data.notes.extend(imported.passed_over.iter().map(|name| format!("{name} was ignored")));
    let environment = Environment::here(session.device, model.num_params(), data.notes.clone());
    folder.create(experiment, &environment, &fitted, &data)?;

    let heard = listeners(&data, experiment.training.loss, Split::Valid);
    let objective = Objective::new(experiment.training.loss, heard.as_ref(), device);
    let bar = session.progress.predict("validate");
    let stop = AtomicBool::new(false);
    let show = |done, total| bar.predict(done, total);
    let outcome = track_predictions::predict(&filled, &data.valid, &objective, device, &stop, show);
    bar.finish();
    let metrics = measure(experiment.training.loss, &outcome?, None, &data, Split::Valid)?;
    let mut state = LoopState::default();
    judge(&experiment.training.metric, &metrics, &mut state)?;
    let optimizer = experiment.training.optimizer.init();
    let keep = experiment.training.keep_checkpoints;
    folder.checkpoints().save(&model, &optimizer, &state, keep)?;
    let mut log = Log::open(folder.path(), 0)?;
    log.write(&LogLine::Valid { step: 0, metrics, best: true })?;
    log.write(&LogLine::End { step: 0, reason: "imported".into(), seconds: 0.0 })?;
    Ok(state)
}
