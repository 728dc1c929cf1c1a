//! Whether all weights of a model are numbers.

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

/// What to say of a parameter that a step spoilt.
pub fn spoilt(parameter: &str, step: u64) -> Error {
    Error::Diverged(format!(
        "the weights {parameter} are not finite after step {step}, whose gradient was not or was too large; no \
         checkpoint is made of them, and earlier ones are kept. Lower training.optimizer.learning_rate, or set \
         training.clip_norm"
    ))
}

#[cfg(test)]
mod tests {
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn the_first_that_is_no_number_is_named() {
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
