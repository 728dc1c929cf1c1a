//! Warm start: initial weights from another run (`init_from`).

use std::collections::HashMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use models::{Fitted, Model, ModelConfig, NetworkConfig};

use crate::error::{Error, Result};
use crate::experiment::Experiment;
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;
use crate::runs::model;
use crate::runs::transfer_source::find;
use crate::training::parameter_groups::Place;

/// Keys that must agree, because weights depend on them: the front end and the time scale.
const MEANING: [&str; 5] = ["name", "front_end", "sample_rate", "stem_length", "pool"];

/// Keys of the layers on top of the fitted part, which may differ.
const FREE: [&str; 3] = ["dropout", "hidden", "head"];

/// Another run whose weights are reused.
pub struct WarmStart {
    folder: RunFolder,
    experiment: Experiment,
}

impl WarmStart {
    /// The run that the experiment names in `init_from`, if any.
    ///
    /// # Errors
    /// If the run does not exist, or its model differs.
    pub fn of(experiment: &Experiment, beside: &Path) -> Result<Option<WarmStart>> {
        let Some(run) = &experiment.init_from else { return Ok(None) };
        let folder = find("init_from", run, experiment.seed, beside)?;
        let source = folder.experiment()?;
        let (ours, theirs) = (table(&experiment.model), table(&source.model));
        let place = folder.path().display().to_string();
        // Layers may differ and are then initialized; what precedes them may not.
        let fitted = experiment.model.is_fitted();
        let keys: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
        for key in keys {
            let layer = !fitted && !MEANING.contains(&key.as_str());
            if layer || FREE.contains(&key.as_str()) || ours.get(key) == theirs.get(key) {
                continue;
            }
            let shown = |value: Option<&toml::Value>| {
                value.map_or("missing".to_string(), ToString::to_string)
            };
            return Err(Error::Config(format!(
                "init_from: model.{key} is {} here and {} in {place}, whose weights would not fit: use the same value",
                shown(ours.get(key)),
                shown(theirs.get(key)),
            )));
        }
        Ok(Some(WarmStart { folder, experiment: source }))
    }

    /// The fitted part of that run, which is reused.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn fitted(&self) -> Result<Fitted> {
        self.folder.fitted()
    }

    /// Copies the weights of that run wherever path and shape agree, except the output layer. Also returns a note on what was
    /// copied.
    ///
    /// # Errors
    /// If the run's checkpoint cannot be read, or none of its weights fit.
    pub fn put_into(&self, model: Model) -> Result<(Model, String)> {
        let host = burn::tensor::Device::flex();
        let outputs = self.folder.outputs(&self.experiment)?.len();
        let source = model::trained(&self.folder, &self.experiment, outputs, Which::Best, &host)?;
        let mut theirs = Weights::default();
        source.visit(&mut theirs);
        let mut put = Put {
            theirs: &theirs.found,
            place: Place::default(),
            taken: 0,
            numbers: 0,
            anew: Vec::new(),
        };
        let model = model.map(&mut put);
        let place = self.folder.path().display();
        if put.taken == 0 && self.folder.fitted()?.arrays.is_empty() {
            return Err(Error::Config(format!(
                "init_from: no weight of {place} has a place in this model: the layers of the two differ"
            )));
        }
        let note = format!(
            "weights of {place}: {} tensors with {} numbers; begun anew: {}",
            put.taken,
            put.numbers,
            if put.anew.is_empty() { "none".into() } else { put.anew.join(", ") }
        );
        Ok((model, note))
    }
}

/// The settings of a model by name.
fn table(model: &ModelConfig) -> toml::Table {
    toml::Table::try_from(model).unwrap_or_default()
}

#[derive(Default)]
struct Weights {
    place: Place,
    found: HashMap<String, TensorData>,
}

impl ModuleVisitor for Weights {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.place.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.place.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.insert(self.place.path(), param.val().into_data());
    }
}

struct Put<'a> {
    theirs: &'a HashMap<String, TensorData>,
    place: Place,
    taken: usize,
    numbers: usize,
    anew: Vec<String>,
}

impl ModuleMapper for Put<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.place.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.place.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.place.path();
        // Outputs stand for other tags, even where there are as many.
        let output = path.split('.').any(|part| part == "output");
        let shape = param.val().dims();
        let fits = |data: &&TensorData| data.shape().as_slice() == shape.as_slice();
        match self.theirs.get(&path).filter(fits).filter(|_| !output) {
            None => {
                self.anew.push(path);
                param
            }
            Some(data) => {
                self.taken += 1;
                self.numbers += data.num_elements();
                let data = data.clone();
                param.map(|own| {
                    // What is made from data asks for no gradient by itself.
                    let learns = own.is_require_grad();
                    Tensor::from_data(data, &own.device()).set_require_grad(learns)
                })
            }
        }
    }
}
