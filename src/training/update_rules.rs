//! Update rules of the optimizers, with PyTorch's semantics.

mod rules;

use burn::optim::decay::WeightDecayConfig;
use burn::optim::{ModuleOptimizer, SgdConfig};

use crate::experiment::Optimizer;
use rules::{AdamRule, MomentumRule};

impl Optimizer {
    /// A new optimizer, without state.
    pub fn init(&self) -> ModuleOptimizer {
        let decay =
            |penalty: f64| (penalty > 0.0).then_some(WeightDecayConfig { penalty: penalty as f32 });
        let adam =
            |beta_1: f64, beta_2: f64, epsilon: f64, weight_decay: f64, decoupled| AdamRule {
                beta_1: beta_1 as f32,
                beta_2: beta_2 as f32,
                epsilon: epsilon as f32,
                weight_decay: weight_decay as f32,
                decoupled,
            };
        match *self {
            Self::Sgd { momentum: 0.0, weight_decay, .. } => {
                SgdConfig::new().with_weight_decay(decay(weight_decay)).init()
            }
            Self::Sgd { momentum, nesterov, weight_decay, .. } => {
                let (momentum, weight_decay) = (momentum as f32, weight_decay as f32);
                ModuleOptimizer::from(MomentumRule { momentum, nesterov, weight_decay })
            }
            Self::Adam { beta_1, beta_2, epsilon, weight_decay, .. } => {
                ModuleOptimizer::from(adam(beta_1, beta_2, epsilon, weight_decay, false))
            }
            Self::AdamW { beta_1, beta_2, epsilon, weight_decay, .. } => {
                ModuleOptimizer::from(adam(beta_1, beta_2, epsilon, weight_decay, true))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::module::{Module, Param, ParamId};
    use burn::optim::momentum::MomentumConfig;
    use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, OptimizerRecord};
    use burn::tensor::{Device, Tensor};

    use super::*;

    /// Values that single precision rounds to 1 or to 0.
    #[test]
    fn values_that_single_precision_rounds_away_are_refused() {
        let adam = |beta_1, beta_2, epsilon| Optimizer::Adam {
            learning_rate: 0.001,
            beta_1,
            beta_2,
            epsilon,
            weight_decay: 0.0,
        };
        let sgd = |momentum| Optimizer::Sgd {
            learning_rate: 0.001,
            momentum,
            nesterov: true,
            weight_decay: 0.0,
        };
        for (optimizer, key) in [
            (adam(0.99999999, 0.999, 1e-8), "beta_1 is 0.99999999"),
            (adam(0.9, 0.99999999, 1e-8), "beta_2 is 0.99999999"),
            (adam(0.9, 0.999, 1e-50), "epsilon is "),
            (adam(0.9, f64::NAN, 1e-8), "beta_2 is NaN"),
            (sgd(0.99999999), "momentum is 0.99999999"),
        ] {
            let message = optimizer.validate().unwrap_err().to_string();
            assert!(message.contains(key), "{message}");
        }
        for optimizer in [adam(0.9999999, 0.9999999, 1e-37), sgd(0.9999999)] {
            optimizer.validate().unwrap();
            let end = walk(optimizer);
            assert!(end.iter().all(|x| x.is_finite()), "{end:?}");
        }
    }

    #[derive(Module, Debug)]
    struct Point {
        at: Param<Tensor<1>>,
    }

    fn point() -> Point {
        let start = Tensor::from_floats([1.0, -2.0, 3.0], &Device::flex().autodiff());
        Point { at: Param::initialized(ParamId::from(1), start.require_grad()) }
    }

    /// Steps of 0.05 on f(x) = x0^2 / 2 + 2 x1^2 + x2.
    fn steps(
        mut optimizer: ModuleOptimizer,
        mut point: Point,
        n: usize,
    ) -> (Point, ModuleOptimizer) {
        let device = Device::flex().autodiff();
        for _ in 0..n {
            let x = point.at.val();
            let curve = Tensor::from_floats([0.5, 2.0, 0.0], &device);
            let slope = Tensor::from_floats([0.0, 0.0, 1.0], &device);
            let loss = (x.clone() * x.clone() * curve + x * slope).sum();
            let gradients = GradientsParams::from_grads(loss.backward(), &point);
            point = optimizer.step(0.05, point, gradients);
        }
        (point, optimizer)
    }

    fn walk(optimizer: Optimizer) -> Vec<f32> {
        let (end, _) = steps(optimizer.init(), point(), 3);
        end.at.val().into_data().try_to_vec::<f32>().unwrap()
    }

    fn close(got: Vec<f32>, want: [f64; 3]) {
        for (got, want) in got.iter().zip(want) {
            assert!((f64::from(*got) - want).abs() <= 2e-6 * want.abs().max(1.0), "{got} {want}");
        }
    }

    /// The reference computes the rules in f64.
    #[test]
    fn updates_follow_their_definitions() {
        let gradient = |x: [f64; 3]| [x[0], 4.0 * x[1], 1.0];
        let (rate, decay) = (0.05, 0.02);

        let (mut x, mut v) = ([1.0, -2.0, 3.0], [0.0; 3]);
        for _ in 0..3 {
            let g = gradient(x);
            for i in 0..3 {
                let g = g[i] + decay * x[i];
                v[i] = 0.8 * v[i] + g;
                x[i] -= rate * (g + 0.8 * v[i]);
            }
        }
        close(
            walk(Optimizer::Sgd {
                learning_rate: rate,
                momentum: 0.8,
                nesterov: true,
                weight_decay: decay,
            }),
            x,
        );

        for decoupled in [false, true] {
            let (mut x, mut m, mut v) = ([1.0, -2.0, 3.0], [0.0; 3], [0.0; 3]);
            for t in 1..=3 {
                let g = gradient(x);
                for i in 0..3 {
                    let g = if decoupled { g[i] } else { g[i] + decay * x[i] };
                    m[i] = 0.9 * m[i] + 0.1 * g;
                    v[i] = 0.99 * v[i] + 0.01 * g * g;
                    let (m, v) = (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.99f64.powi(t)));
                    let step = rate * m / (v.sqrt() + 1e-8);
                    x[i] -= step + if decoupled { rate * decay * x[i] } else { 0.0 };
                }
            }
            let (learning_rate, weight_decay, epsilon) = (rate, decay, 1e-8);
            let (beta_1, beta_2) = (0.9, 0.99);
            close(
                walk(match decoupled {
                    false => {
                        Optimizer::Adam { learning_rate, beta_1, beta_2, epsilon, weight_decay }
                    }
                    true => {
                        Optimizer::AdamW { learning_rate, beta_1, beta_2, epsilon, weight_decay }
                    }
                }),
                x,
            );
        }
    }

    /// Training continues with the other optimizer's record as with the own.
    #[test]
    fn records_are_interchangeable_with_burns() {
        let momentum = MomentumConfig::new().with_dampening(0.0).with_nesterov(true);
        let sgd = SgdConfig::new().with_momentum(Some(momentum)).init();
        let adam = AdamConfig::new().with_epsilon(1e-8).init();
        let adam_w = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.01).init();
        let ours = [
            r#"name = "sgd""#, //
            r#"name = "adam""#,
            r#"name = "adamw""#,
        ]
        .map(|text| -> Optimizer {
            toml::from_str(&format!("{text}\nlearning_rate = 0.05")).unwrap()
        });
        for (burns, ours) in [sgd, adam, adam_w].into_iter().zip(ours) {
            let ends = [[&burns, &ours.init()], [&ours.init(), &burns]].map(|[first, then]| {
                let (point, first) = steps(first.clone(), point(), 2);
                let record = OptimizerRecord::from_bytes(first.into_bytes().unwrap()).unwrap();
                let (point, _) = steps(then.clone().load_record(record), point, 3);
                point.at.val().into_data().try_to_vec::<f32>().unwrap()
            });
            let (whole, _) = steps(ours.init(), point(), 5);
            let whole = whole.at.val().into_data().try_to_vec::<f32>().unwrap();
            for end in ends {
                for (end, whole) in end.iter().zip(&whole) {
                    assert!((end - whole).abs() <= 2e-6, "{end} {whole}");
                }
            }
        }
    }
}
