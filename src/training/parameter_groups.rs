//! Parameter groups: frozen parameters and learning rates by path in the model.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use burn::module::{Flag, Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;

use crate::error::{Error, Result};

/// The path of a traversal of a model, as experiments write it. Variants of enums are not part of a path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    parts: Vec<Option<String>>,
}

impl Place {
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        self.parts.push((!container.starts_with("Enum:")).then(|| name.into()));
    }

    pub(crate) fn exit(&mut self) {
        self.parts.pop();
    }

    pub(crate) fn path(&self) -> String {
        let parts: Vec<&str> = self.parts.iter().flatten().map(String::as_str).collect();
        parts.join(".")
    }
}

/// The parameters of a model, by path.
#[derive(Default)]
struct Found {
    place: Place,
    parameters: Vec<(String, ParamId)>,
    /// Flags such as whether a layer is in training mode.
    flags: Vec<(String, ParamId)>,
}

impl ModuleVisitor for Found {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.place.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.place.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.parameters.push((self.place.path(), param.id));
    }

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        self.flags.push((self.place.path(), flag.id));
    }
}

/// Whether `path` is `prefix` or below it.
fn beneath(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Learning-rate factors and frozen parameters.
#[derive(Clone, Debug, Default)]
pub struct ParamGroups {
    /// Factors other than 1; frozen parameters have 0.
    factors: HashMap<ParamId, f64>,
    /// Frozen parameters, and the flags of frozen layers.
    frozen: Vec<ParamId>,
}

impl ParamGroups {
    /// Builds the groups. The longest matching path decides the factor; freezing overrides it.
    ///
    /// # Errors
    /// If a path matches no parameter or only running statistics, or if every parameter is frozen.
    pub fn new<M: Module>(
        model: &M,
        frozen: &[String],
        learning_rates: &BTreeMap<String, f64>,
    ) -> Result<Self> {
        let mut all = Found::default();
        model.visit(&mut all);
        let (rates, stays) = ("learning_rates", "frozen");
        let named = learning_rates.keys().map(|path| (rates, path));
        for (key, prefix) in named.chain(frozen.iter().map(|path| (stays, path))) {
            if prefix.contains("running_") {
                return Err(Error::Config(format!(
                    "training.{key}: {prefix:?} names running statistics, which gradients do not change: name their layer"
                )));
            }
            if !all.parameters.iter().any(|(path, _)| beneath(path, prefix)) {
                return Err(Error::Config(format!(
                    "training.{key}: {prefix:?} is not part of this model; similar parts: {}",
                    nearest(prefix, &all.parameters).join(", ")
                )));
            }
        }
        let is_frozen = |path: &str| frozen.iter().any(|prefix| beneath(path, prefix));
        let mut factors = HashMap::new();
        for (path, id) in &all.parameters {
            let rate = learning_rates
                .iter()
                .filter(|(prefix, _)| beneath(path, prefix))
                .max_by_key(|(prefix, _)| prefix.len())
                .map(|(_, factor)| *factor);
            if let Some(factor) = if is_frozen(path) { Some(0.0) } else { rate } {
                factors.insert(*id, factor);
            }
        }
        let learns = |(path, _): &(String, ParamId)| !path.contains("running_") && !is_frozen(path);
        if !frozen.is_empty() && !all.parameters.iter().any(learns) {
            return Err(Error::Config(
                "training.frozen: every parameter is frozen; remove at least one part".into(),
            ));
        }
        let both = all.parameters.iter().chain(&all.flags);
        let frozen = both.filter(|(path, _)| is_frozen(path)).map(|(_, id)| *id).collect();
        Ok(Self { factors, frozen })
    }

    /// Takes one optimizer step: each group at `learning_rate` times its factor.
    pub fn step<M: Module>(
        &self,
        optimizer: &mut ModuleOptimizer,
        learning_rate: f64,
        model: M,
        gradients: GradientsParams,
    ) -> M {
        if self.factors.is_empty() {
            return optimizer.step(learning_rate, model, gradients);
        }
        let parts = self.split(&model, gradients);
        parts.into_iter().fold(model, |model, (factor, part)| {
            optimizer.step(learning_rate * factor, model, part)
        })
    }

    /// Freezes parameters, and puts frozen batch normalization into evaluation mode: it uses its running statistics and does
    /// not update them.
    pub fn freeze<M: Module>(&self, model: M) -> M {
        match self.frozen.is_empty() {
            true => model,
            false => model.freeze_group(ParamGroup::from_ids(self.frozen.clone())),
        }
    }

    /// Splits gradients by factor; drops those of frozen parameters.
    pub fn split<M: Module>(
        &self,
        model: &M,
        gradients: GradientsParams,
    ) -> Vec<(f64, GradientsParams)> {
        let mut split = Split { groups: self, gradients, parts: Vec::new() };
        model.visit(&mut split);
        split.parts
    }

    fn factor(&self, id: ParamId) -> f64 {
        self.factors.get(&id).copied().unwrap_or(1.0)
    }
}

/// Up to five parts of the model whose paths are most similar.
fn nearest(path: &str, known: &[(String, ParamId)]) -> Vec<String> {
    let mut parts: BTreeSet<&str> = BTreeSet::new();
    for (known, _) in known {
        let ends = known.match_indices('.').map(|(at, _)| at).chain([known.len()]);
        parts.extend(ends.map(|end| &known[..end]));
    }
    let mut parts: Vec<&str> =
        parts.into_iter().filter(|part| !part.contains("running_")).collect();
    parts.sort_by_key(|part| (strsim::damerau_levenshtein(path, part), part.len()));
    parts.into_iter().take(5).map(String::from).collect()
}

struct Split<'a> {
    groups: &'a ParamGroups,
    gradients: GradientsParams,
    parts: Vec<(f64, GradientsParams)>,
}

impl ModuleVisitor for Split<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return };
        let factor = self.groups.factor(param.id);
        if factor == 0.0 {
            return;
        }
        let at = match self.parts.iter().position(|(own, _)| *own == factor) {
            Some(at) => at,
            None => {
                self.parts.push((factor, GradientsParams::new()));
                self.parts.len() - 1
            }
        };
        self.parts[at].1.register(param.id, gradient);
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
    use burn::tensor::Device;

    use super::*;
    use crate::experiment::Optimizer;

    #[derive(Module, Debug)]
    struct Inner {
        first: Linear,
        second: Linear,
    }

    /// As models are: one of several kinds.
    #[derive(Module, Debug)]
    enum Outer {
        Kind(Inner),
    }

    impl Outer {
        fn inner(&self) -> &Inner {
            let Self::Kind(inner) = self;
            inner
        }
    }

    fn model(device: &Device) -> Outer {
        device.seed(1);
        let layer = || LinearConfig::new(2, 2).with_bias(false).init(device);
        Outer::Kind(Inner { first: layer(), second: layer() })
    }

    fn weights(model: &Outer) -> [Vec<f32>; 2] {
        let of = |layer: &Linear| layer.weight.val().into_data().try_to_vec().unwrap();
        [of(&model.inner().first), of(&model.inner().second)]
    }

    /// Weights before, gradients, weights after one step.
    fn step(frozen: &[&str], rates: &[(&str, f64)], optimizer: &Optimizer) -> [[Vec<f32>; 2]; 3] {
        let device = Device::flex().autodiff();
        let mut model = model(&device);
        let frozen: Vec<String> = frozen.iter().map(|path| path.to_string()).collect();
        let rates = rates.iter().map(|(path, rate)| (path.to_string(), *rate)).collect();
        let groups = ParamGroups::new(&model, &frozen, &rates).unwrap();
        let x = || Tensor::<2>::from_floats([[1.0, -2.0]], &device);
        let run = |model: &Outer| {
            model.inner().second.forward(model.inner().first.forward(x())).square().sum().backward()
        };
        let before = weights(&model);
        let gradients = run(&model);
        let of = |layer: &Linear| {
            layer.weight.val().grad(&gradients).unwrap().into_data().try_to_vec().unwrap()
        };
        let slopes = [of(&model.inner().first), of(&model.inner().second)];
        model = groups.freeze(model);
        let gradients = GradientsParams::from_grads(run(&model), &model);
        let mut state = optimizer.init();
        for (factor, part) in groups.split(&model, gradients) {
            model = state.step(optimizer.learning_rate() * factor, model, part);
        }
        [before, slopes, weights(&model)]
    }

    #[test]
    fn a_factor_scales_the_step_and_frozen_parts_stay() {
        let sgd = Optimizer::Sgd {
            learning_rate: 0.1,
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.01,
        };
        let [before, slopes, after] = step(&[], &[("first", 0.5), ("first.weight", 0.25)], &sgd);
        for (layer, factor) in [(0, 0.25), (1, 1.0)] {
            for i in 0..4 {
                let (w, g) = (before[layer][i], slopes[layer][i]);
                let wanted = w - 0.1 * factor * (g + 0.01 * w);
                assert!((after[layer][i] - wanted).abs() < 1e-6);
            }
        }
        for optimizer in [
            sgd,
            Optimizer::AdamW {
                learning_rate: 0.1,
                beta_1: 0.9,
                beta_2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.1,
            },
        ] {
            // A rate for a part of it thaws nothing.
            let [before, _, after] = step(&["first"], &[("first.weight", 2.0)], &optimizer);
            assert_eq!(before[0], after[0]);
            assert_ne!(before[1], after[1]);
        }
    }

    #[derive(Module, Debug)]
    struct Normalised {
        first: BatchNorm,
        second: Linear,
    }

    #[test]
    fn statistics_of_frozen_layers_stay() {
        let device = Device::flex().autodiff();
        for frozen in [false, true] {
            let mut model = Normalised {
                first: BatchNormConfig::new(2).init(&device),
                second: LinearConfig::new(2, 1).init(&device),
            };
            let names = if frozen { vec!["first".to_string()] } else { Vec::new() };
            let groups = ParamGroups::new(&model, &names, &BTreeMap::new()).unwrap();
            model = groups.freeze(model);
            let x = Tensor::<2>::from_floats([[1.0, -2.0], [3.0, 5.0]], &device);
            let y = model.first.forward(x.reshape([2, 2, 1])).reshape([2, 2]);
            let _ = model.second.forward(y).sum().backward();
            let mean: Vec<f32> =
                model.valid().first.running_mean.value().into_data().try_to_vec().unwrap();
            assert_eq!(mean == [0.0, 0.0], frozen, "{mean:?}");
        }
    }

    #[test]
    fn paths_that_lead_nowhere_are_named() {
        let model = model(&Device::flex().autodiff());
        let none = BTreeMap::new();
        let error = ParamGroups::new(&model, &["fir".into()], &none).unwrap_err();
        assert!(error.to_string().contains("\"fir\" is not part"), "{error}");
        assert!(error.to_string().contains("similar parts: first, "), "{error}");
        let both = ["first".to_string(), "second".to_string()];
        let error = ParamGroups::new(&model, &both, &none).unwrap_err();
        assert!(error.to_string().contains("every parameter is frozen"), "{error}");
        let rates = BTreeMap::from([("third".to_string(), 0.5)]);
        let error = ParamGroups::new(&model, &[], &rates).unwrap_err();
        assert!(error.to_string().contains("learning_rates"), "{error}");
        assert!(ParamGroups::new(&model, &[], &BTreeMap::new()).unwrap().factors.is_empty());
    }
}
