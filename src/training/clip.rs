//! Gradient clipping over all parameters at once.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Scales all gradients by one factor so that their joint L2 norm is at most `limit`
/// (Pascanu et al. 2013), and returns the norm before that as a tensor `[1]`.
///
/// burn's own clipping by norm scales each parameter tensor separately, which changes the direction of the step. Nothing is
/// read back from the device.
pub fn clip_by_global_norm<M: Module>(
    model: &M,
    gradients: GradientsParams,
    limit: f64,
) -> (GradientsParams, Option<Tensor<1>>) {
    let mut squares = SumOfSquares { gradients: &gradients, sum: None };
    model.visit(&mut squares);
    let Some(sum) = squares.sum else { return (gradients, None) };
    let norm = sum.sqrt();
    // PyTorch adds the same constant against division by zero.
    let factor = norm.clone().add_scalar(1e-6).recip().mul_scalar(limit).clamp_max(1.0);
    let mut scale = Scale { gradients, factor };
    model.visit(&mut scale);
    (scale.gradients, Some(norm))
}

struct SumOfSquares<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SumOfSquares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let square = gradient.square().sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + square,
                None => square,
            });
        }
    }
}

struct Scale {
    gradients: GradientsParams,
    factor: Tensor<1>,
}

impl ModuleVisitor for Scale {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            let factor = self.factor.clone().reshape([1; D]);
            self.gradients.register(param.id, gradient * factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    use super::*;

    fn gradients(layer: &Linear, device: &Device) -> GradientsParams {
        let x = Tensor::<2>::from_floats([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]], device);
        GradientsParams::from_grads(layer.forward(x).square().sum().backward(), layer)
    }

    fn flat(layer: &Linear, gradients: &GradientsParams) -> Vec<f32> {
        let weight =
            gradients.get::<2>(layer.weight.id).unwrap().into_data().try_to_vec::<f32>().unwrap();
        let bias = layer.bias.as_ref().unwrap().id;
        let bias = gradients.get::<1>(bias).unwrap().into_data().try_to_vec::<f32>().unwrap();
        [weight, bias].concat()
    }

    #[test]
    fn the_joint_norm_is_limited_and_the_direction_kept() {
        let device = Device::flex().autodiff();
        let layer = LinearConfig::new(3, 4).init(&device);
        let before = flat(&layer, &gradients(&layer, &device));
        let norm = before.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();

        let limit = norm / 3.0;
        let (clipped, reported) = clip_by_global_norm(&layer, gradients(&layer, &device), limit);
        let reported: f32 = reported.unwrap().into_scalar();
        assert!((f64::from(reported) / norm - 1.0).abs() < 1e-5);
        for (after, before) in flat(&layer, &clipped).iter().zip(&before) {
            assert!((after - before / 3.0).abs() <= 1e-5 * norm as f32, "{after} {before}");
        }

        let (untouched, _) = clip_by_global_norm(&layer, gradients(&layer, &device), norm * 2.0);
        assert_eq!(flat(&layer, &untouched), before);
    }
}
