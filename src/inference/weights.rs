//! The weights of a model by name, with the names and layout of PyTorch.
//!
//! Names are those of a PyTorch `state_dict` for modules of the same structure: `stages.0.conv.weight`. The weights of a
//! dense layer are `[output, input]` (in burn `[input, output]`), and batch normalization has `weight` and `bias` (in burn
//! `gamma` and `beta`).

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use models::Model;
use models::fitted::Array;

/// Weights by name.
pub type Weights = BTreeMap<String, Array>;

/// The module that a visitor is in.
#[derive(Default)]
struct ModulePath {
    /// Name and kind of every entered module. Variants of the model enum have no name.
    parts: Vec<(Option<String>, String)>,
}

impl ModulePath {
    fn enter(&mut self, name: &str, kind: &str) {
        let is_variant = kind.starts_with("Enum:");
        self.parts.push(((!is_variant).then(|| name.into()), kind.into()));
    }

    fn exit(&mut self) {
        self.parts.pop();
    }

    fn is_in(&self, kind: &str) -> bool {
        self.parts.last().is_some_and(|(_, own)| own.ends_with(kind))
    }

    fn name(&self) -> String {
        let parts: Vec<&str> = self.parts.iter().filter_map(|(name, _)| name.as_deref()).collect();
        let name = parts.join(".");
        match (self.is_in(":BatchNorm"), name.rsplit_once('.')) {
            (true, Some((layer, "gamma"))) => format!("{layer}.weight"),
            (true, Some((layer, "beta"))) => format!("{layer}.bias"),
            _ => name,
        }
    }

    /// Whether PyTorch stores the matrix transposed.
    fn is_transposed<const D: usize>(&self) -> bool {
        D == 2 && self.is_in(":Linear")
    }
}

/// Shapes by name.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// Collects the shapes of all weights and, if `values` is set, the weights.
#[derive(Default)]
struct Collector {
    path: ModulePath,
    shapes: Shapes,
    values: Option<Weights>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, kind: &str) {
        self.path.enter(name, kind);
    }

    fn exit_module(&mut self, _name: &str, _kind: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let (name, transposed) = (self.path.name(), self.path.is_transposed::<D>());
        // Without initializing the weight.
        let mut shape = param.lazy_shape().to_vec();
        let columns = shape.last().copied().unwrap_or(1);
        if transposed {
            shape.reverse();
        }
        if let Some(weights) = &mut self.values {
            let values = param.val().into_data().convert::<f32>().iter::<f32>().collect::<Vec<_>>();
            let values = if transposed { transpose(&values, columns) } else { values };
            weights.insert(name.clone(), Array { shape: shape.clone(), values });
        }
        self.shapes.insert(name, shape);
    }
}

/// The shapes of all weights. Weights that are not initialized yet stay so.
pub fn shapes(model: &Model) -> Shapes {
    let mut collector = Collector::default();
    model.visit(&mut collector);
    collector.shapes
}

/// All weights.
pub fn of(model: &Model) -> Weights {
    let mut collector = Collector { values: Some(Weights::new()), ..Collector::default() };
    model.visit(&mut collector);
    collector.values.unwrap_or_default()
}

/// How weights differ from what a model needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Names that only the model has.
    pub missing: Vec<String>,
    /// Names that only the weights have.
    pub unknown: Vec<String>,
    /// Name, shape in the model, shape of the weight.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Names of weights that contain NaN or infinity.
    pub infinite: Vec<String>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        let list = |names: &[String]| {
            let shown: Vec<String> = names.iter().take(5).map(|name| format!("{name:?}")).collect();
            let more = names.len().saturating_sub(5);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{more}", shown.join(", "))
        };
        if !self.missing.is_empty() {
            parts.push(format!("missing: {}", list(&self.missing)));
        }
        if !self.unknown.is_empty() {
            parts.push(format!("not in the model: {}", list(&self.unknown)));
        }
        for (name, needed, found) in self.shapes.iter().take(5) {
            parts.push(format!("{name:?} has shape {found:?}, the model needs {needed:?}"));
        }
        if !self.infinite.is_empty() {
            parts.push(format!("not finite: {}", list(&self.infinite)));
        }
        f.write_str(&parts.join("; "))
    }
}

/// Checks that the weights have the names and shapes of the model and are finite.
///
/// # Errors
/// All differences.
pub fn check(model: &Model, weights: &Weights) -> Result<(), Mismatch> {
    let shapes = shapes(model);
    let mut mismatch = Mismatch::default();
    for (name, needed) in &shapes {
        match weights.get(name) {
            None => mismatch.missing.push(name.clone()),
            Some(array) if array.shape != *needed => {
                mismatch.shapes.push((name.clone(), needed.clone(), array.shape.clone()));
            }
            Some(array) if array.values.iter().any(|value| !value.is_finite()) => {
                mismatch.infinite.push(name.clone());
            }
            Some(_) => {}
        }
    }
    mismatch.unknown = weights.keys().filter(|name| !shapes.contains_key(*name)).cloned().collect();
    if mismatch == Mismatch::default() { Ok(()) } else { Err(mismatch) }
}

/// Replaces the weights of a model.
///
/// # Errors
/// Those of [`check`].
pub fn put(model: Model, weights: &Weights) -> Result<Model, Mismatch> {
    struct Put<'a>(ModulePath, &'a Weights);
    impl ModuleMapper for Put<'_> {
        fn enter_module(&mut self, name: &str, kind: &str) {
            self.0.enter(name, kind);
        }

        fn exit_module(&mut self, _name: &str, _kind: &str) {
            self.0.exit();
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(Array { shape, values }) = self.1.get(&self.0.name()) else { return param };
            let (mut shape, mut values) = (shape.clone(), values.clone());
            if self.0.is_transposed::<D>() {
                values = transpose(&values, shape[1]);
                shape.reverse();
            }
            let device = param.lazy_device();
            let tensor = Tensor::<D>::from_data(TensorData::new(values, shape), &device);
            let id = param.id;
            // Mapping the old value would initialize it first.
            param.transform_for_load(tensor, id)
        }
    }
    check(&model, weights)?;
    Ok(model.map(&mut Put(ModulePath::default(), weights)))
}

/// Transposes a row-major matrix.
fn transpose(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.len().checked_div(columns).unwrap_or(0);
    (0..matrix.len()).map(|at| matrix[at % rows * columns + at / rows]).collect()
}
