//! The weights of a model by name, as other programs know them.
//!
//! Names are those of PyTorch's `state_dict` for modules of the same structure: `stages.0.conv.weight`. So is the
//! layout: the weights of a dense layer are `[output, input]` (here `[input, output]`), and a batch
//! normalisation has `weight` and `bias` (here `gamma` and `beta`).

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use models::Model;
use models::fitted::Array;

/// Weights by name.
pub type Weights = BTreeMap<String, Array>;

/// Where a visitor stands.
#[derive(Default)]
struct Place {
    /// Name and kind of every module that was entered; variants of the list of models have no name.
    parts: Vec<(Option<String>, String)>,
}

impl Place {
    fn enter(&mut self, name: &str, kind: &str) {
        // A variant is told by the kind of what holds it.
        let variant = kind.starts_with("Enum:");
        self.parts.push(((!variant).then(|| name.into()), kind.into()));
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

    /// Whether rows and columns are the other way round there.
    fn turned<const D: usize>(&self) -> bool {
        D == 2 && self.is_in(":Linear")
    }
}

/// The shapes of all weights, for which none of them has to be there yet.
pub fn shapes(model: &Model) -> BTreeMap<String, Vec<usize>> {
    #[derive(Default)]
    struct Shapes(Place, BTreeMap<String, Vec<usize>>);
    impl ModuleVisitor for Shapes {
        fn enter_module(&mut self, name: &str, kind: &str) {
            self.0.enter(name, kind);
        }

        fn exit_module(&mut self, _name: &str, _kind: &str) {
            self.0.exit();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let mut shape = param.lazy_shape().to_vec();
            if self.0.turned::<D>() {
                shape.reverse();
            }
            self.1.insert(self.0.name(), shape);
        }
    }
    let mut shapes = Shapes::default();
    model.visit(&mut shapes);
    shapes.1
}

/// All weights.
pub fn of(model: &Model) -> Weights {
    #[derive(Default)]
    struct Found(Place, Weights);
    impl ModuleVisitor for Found {
        fn enter_module(&mut self, name: &str, kind: &str) {
            self.0.enter(name, kind);
        }

        fn exit_module(&mut self, _name: &str, _kind: &str) {
            self.0.exit();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let tensor = param.val();
            let mut shape = tensor.dims().to_vec();
            let mut values: Vec<f32> = tensor.into_data().convert::<f32>().iter::<f32>().collect();
            if self.0.turned::<D>() {
                values = transposed(&values, shape[1]);
                shape.reverse();
            }
            self.1.insert(self.0.name(), Array { shape, values });
        }
    }
    let mut found = Found::default();
    model.visit(&mut found);
    found.1
}

/// What is wrong with weights for a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misfit {
    /// Names that the model has and the weights have not.
    pub missing: Vec<String>,
    /// Names that the weights have and the model has not.
    pub unknown: Vec<String>,
    /// Name, shape that is needed, shape that is there.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Those that hold NaN or infinity.
    pub infinite: Vec<String>,
}

impl std::fmt::Display for Misfit {
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
            parts.push(format!("not of this model: {}", list(&self.unknown)));
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

/// Whether weights are those of a model, all of them and no others, every number finite.
///
/// # Errors
/// With everything that is not so.
pub fn check(model: &Model, weights: &Weights) -> Result<(), Misfit> {
    let shapes = shapes(model);
    let mut misfit = Misfit::default();
    for (name, needed) in &shapes {
        match weights.get(name) {
            None => misfit.missing.push(name.clone()),
            Some(array) if array.shape != *needed => {
                misfit.shapes.push((name.clone(), needed.clone(), array.shape.clone()));
            }
            Some(array) if array.values.iter().any(|value| !value.is_finite()) => {
                misfit.infinite.push(name.clone());
            }
            Some(_) => {}
        }
    }
    misfit.unknown = weights.keys().filter(|name| !shapes.contains_key(*name)).cloned().collect();
    if misfit == Misfit::default() { Ok(()) } else { Err(misfit) }
}

/// The model with these weights.
///
/// # Errors
/// See [`check`].
pub fn put(model: Model, weights: &Weights) -> Result<Model, Misfit> {
    struct Put<'a>(Place, &'a Weights);
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
            if self.0.turned::<D>() {
                values = transposed(&values, shape[1]);
                shape.reverse();
            }
            let device = param.lazy_device();
            let tensor = Tensor::<D>::from_data(TensorData::new(values, shape), &device);
            let id = param.id;
            // Not by mapping the old value: that one would be drawn first.
            param.transform_for_load(tensor, id)
        }
    }
    check(&model, weights)?;
    Ok(model.map(&mut Put(Place::default(), weights)))
}

/// A matrix of so many columns, row-major, with rows and columns changed.
fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.len().checked_div(columns).unwrap_or(0);
    (0..matrix.len()).map(|at| matrix[at % rows * columns + at / rows]).collect()
}
