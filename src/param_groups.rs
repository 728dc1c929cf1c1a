//! Which parameters learn, and how fast: groups by their paths in the model.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::error::{Error, Result};

/// Paths of a model's parameters, as experiments name them: without the name of the model's kind.
pub fn paths<M: Module>(model: &M) -> Vec<(String, ParamId)> {
    let mut found = Paths::default();
    model.visit(&mut found);
    found.found
}

#[derive(Default)]
struct Paths {
    path: Vec<String>,
    found: Vec<(String, ParamId)>,
}

impl ModuleVisitor for Paths {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.push((joined(&self.path), param.id));
    }
}

/// The path without the name of the model's kind, which is its first part.
pub(crate) fn joined(path: &[String]) -> String {
    path.get(1..).unwrap_or_default().join(".")
}

/// Whether `path` is `prefix` or beneath it.
fn beneath(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Factors on the learning rate; those of frozen parameters are 0.
#[derive(Clone, Debug, Default)]
pub struct ParamGroups {
    /// Of the parameters that are not at 1.
    factors: HashMap<ParamId, f64>,
}

impl ParamGroups {
    /// # Errors
    /// If a path is that of no parameter, or a frozen part keeps running statistics.
    pub fn new<M: Module>(
        model: &M,
        frozen: &[String],
        learning_rates: &BTreeMap<String, f64>,
    ) -> Result<Self> {
        let all = paths(model);
        let rules: Vec<(&str, f64)> = learning_rates
            .iter()
            .map(|(path, factor)| (path.as_str(), *factor))
            .chain(frozen.iter().map(|path| (path.as_str(), 0.0)))
            .collect();
        for (prefix, factor) in &rules {
            let key = if *factor == 0.0 { "frozen" } else { "learning_rates" };
            let mut own = all.iter().filter(|(path, _)| beneath(path, prefix)).peekable();
            if own.peek().is_none() {
                let known: BTreeSet<&str> =
                    all.iter().filter_map(|(path, _)| path.split('.').next()).collect();
                let known: Vec<&str> = known.into_iter().collect();
                return Err(Error::Config(format!(
                    "training.{key}: {prefix:?} is no part of this model; its parts are {}",
                    known.join(", ")
                )));
            }
            if *factor == 0.0 && own.any(|(path, _)| path.contains("running_")) {
                return Err(Error::Config(format!(
                    "training.frozen: {prefix:?} holds batch normalisation, whose statistics follow the audio \
                     in training: it cannot be frozen"
                )));
            }
        }
        let mut factors = HashMap::new();
        for (path, id) in &all {
            // The longest says most; of one length, frozen comes last and wins.
            let rule = rules
                .iter()
                .filter(|(prefix, _)| beneath(path, prefix))
                .max_by_key(|(prefix, _)| prefix.len());
            if let Some((_, factor)) = rule {
                factors.insert(*id, *factor);
            }
        }
        Ok(Self { factors })
    }

    /// Whether all parameters learn alike.
    pub fn is_one(&self) -> bool {
        self.factors.is_empty()
    }

    /// The model with no gradients for what is frozen.
    pub fn freeze<M: Module>(&self, model: M) -> M {
        match self.factors.values().any(|factor| *factor == 0.0) {
            true => model.map(&mut Freeze { groups: self }),
            false => model,
        }
    }

    /// Gradients by the factor of their parameters, those of frozen ones left out.
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

struct Freeze<'a> {
    groups: &'a ParamGroups,
}

impl ModuleMapper for Freeze<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.groups.factor(param.id) == 0.0 {
            true => param.set_require_grad(false),
            false => param,
        }
    }
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
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    use super::*;
    use crate::optimizer::Optimizer;

    #[derive(Module, Debug)]
    struct Inner {
        first: Linear,
        second: Linear,
    }

    /// As models are: one part that is the model's kind.
    #[derive(Module, Debug)]
    struct Outer {
        kind: Inner,
    }

    fn model(device: &Device) -> Outer {
        device.seed(1);
        let layer = || LinearConfig::new(2, 2).with_bias(false).init(device);
        Outer { kind: Inner { first: layer(), second: layer() } }
    }

    fn weights(model: &Outer) -> [Vec<f32>; 2] {
        let of = |layer: &Linear| layer.weight.val().into_data().try_to_vec().unwrap();
        [of(&model.kind.first), of(&model.kind.second)]
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
            model.kind.second.forward(model.kind.first.forward(x())).square().sum().backward()
        };
        let before = weights(&model);
        let gradients = run(&model);
        let of = |layer: &Linear| {
            layer.weight.val().grad(&gradients).unwrap().into_data().try_to_vec().unwrap()
        };
        let slopes = [of(&model.kind.first), of(&model.kind.second)];
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
            let [before, _, after] = step(&["first"], &[], &optimizer);
            assert_eq!(before[0], after[0]);
            assert_ne!(before[1], after[1]);
        }
    }

    #[test]
    fn paths_that_lead_nowhere_are_named() {
        let model = model(&Device::flex().autodiff());
        let error = ParamGroups::new(&model, &["fir".into()], &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("\"fir\" is no part"), "{error}");
        assert!(error.to_string().contains("first, second"), "{error}");
        let rates = BTreeMap::from([("third".to_string(), 0.5)]);
        let error = ParamGroups::new(&model, &[], &rates).unwrap_err();
        assert!(error.to_string().contains("learning_rates"), "{error}");
        assert!(ParamGroups::new(&model, &[], &BTreeMap::new()).unwrap().is_one());
    }
}
