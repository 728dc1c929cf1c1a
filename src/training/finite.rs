//! A check for weights that are NaN or infinite.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::error::Error;
use crate::training::parameter_groups::Place;

#[derive(Default)]
struct Search {
    place: Place,
    found: Option<String>,
}

impl ModuleVisitor for Search {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.place.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.place.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.found.is_none() {
            let data = param.val().into_data();
            if data.iter::<f32>().any(|value| !value.is_finite()) {
                self.found = Some(self.place.path());
            }
        }
    }
}

/// The path of the first parameter that holds NaN or an infinity.
pub fn first_not_finite<M: Module>(model: &M) -> Option<String> {
    let mut search = Search::default();
    model.visit(&mut search);
    search.found
}

/// The error for a parameter that a step made NaN or infinite.
pub fn spoilt(parameter: &str, step: u64) -> Error {
    Error::Diverged(format!(
        "the weights {parameter} are not finite after step {step}: its gradient was not finite or too large. They are not \
         saved, earlier checkpoints are kept. Lower training.optimizer.learning_rate, or set training.clip_norm"
    ))
}

#[cfg(test)]
mod tests {
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn the_first_parameter_that_is_not_finite_is_named() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let device = Device::flex();
            let mut layer = LinearConfig::new(3, 2).init(&device);
            assert_eq!(first_not_finite(&layer), None);
            let bias = Tensor::from_floats([0.0, value], &device);
            layer.bias = layer.bias.map(|old| Param::initialized(old.id, bias));
            assert_eq!(first_not_finite(&layer).as_deref(), Some("bias"));
        }
    }
}
