//! The optimizers an experiment may name, with PyTorch's semantics and default values.

mod rules;

use burn::optim::decay::WeightDecayConfig;
use burn::optim::{ModuleOptimizer, SgdConfig};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use rules::{AdamRule, MomentumRule};

/// An update rule with its settings; the schedule multiplies `learning_rate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent, with momentum (no dampening).
    Sgd {
        /// Before the schedule; above 0.
        learning_rate: f64,
        /// What is kept of the velocity from step to step, from 0 to below 1; 0.9 by default.
        #[serde(default = "nine_tenths")]
        momentum: f64,
        /// Whether the step looks ahead along the velocity (Sutskever et al. 2013); it does by default.
        #[serde(default = "yes")]
        nesterov: bool,
        /// Added to the gradient, times the parameter.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam (Kingma and Ba 2015).
    Adam {
        /// Before the schedule; above 0.
        learning_rate: f64,
        /// What is kept of the mean of gradients from step to step; 0.9 by default.
        #[serde(default = "nine_tenths")]
        beta_1: f64,
        /// What is kept of the mean of their squares from step to step; 0.999 by default.
        #[serde(default = "beta_2")]
        beta_2: f64,
        /// Added to the root of the mean of squares; 1e-8 by default.
        #[serde(default = "epsilon")]
        epsilon: f64,
        /// Added to the gradient, times the parameter.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    AdamW {
        /// Before the schedule; above 0.
        learning_rate: f64,
        /// As of Adam.
        #[serde(default = "nine_tenths")]
        beta_1: f64,
        /// As of Adam.
        #[serde(default = "beta_2")]
        beta_2: f64,
        /// As of Adam.
        #[serde(default = "epsilon")]
        epsilon: f64,
        /// Times learning rate and parameter, taken off the parameter.
        #[serde(default = "hundredth")]
        weight_decay: f64,
    },
}

fn nine_tenths() -> f64 {
    0.9
}
fn beta_2() -> f64 {
    0.999
}
fn epsilon() -> f64 {
    1e-8
}
fn hundredth() -> f64 {
    0.01
}
fn yes() -> bool {
    true
}

impl Default for Optimizer {
    /// P3's: minibatch SGD with Nesterov momentum. The paper's rate is not known; 0.01 is ours.
    fn default() -> Self {
        Self::Sgd { learning_rate: 0.01, momentum: 0.9, nesterov: true, weight_decay: 0.0 }
    }
}

impl Optimizer {
    /// The rate before the schedule.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Sgd { learning_rate, .. }
            | Self::Adam { learning_rate, .. }
            | Self::AdamW { learning_rate, .. } => *learning_rate,
        }
    }

    /// A fresh optimizer, without state.
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

    /// # Errors
    /// If a number is outside its range.
    pub fn validate(&self) -> Result<()> {
        let check = |key: &str, value: f64, ok: bool, range: &str| match ok {
            true => Ok(()),
            false => Err(Error::Config(format!(
                "training.optimizer.{key} is {value}: it must be {range}"
            ))),
        };
        let rate = self.learning_rate();
        check("learning_rate", rate, rate > 0.0 && rate.is_finite(), "above 0 and finite")?;
        // What steps are computed with, which what is close to 1 may be rounded to.
        let below_1 = |value: f64| (0.0..1.0).contains(&(value as f32));
        let at_least = |least: f32, value: f64| value as f32 >= least && value.is_finite();
        let range = "from 0 to below 1, in single precision at most 0.99999994";
        match *self {
            Self::Sgd { momentum, nesterov, weight_decay, .. } => {
                check("momentum", momentum, below_1(momentum), range)?;
                if nesterov && momentum == 0.0 {
                    return Err(Error::Config(
                        "training.optimizer.nesterov is true without momentum: \
                         set momentum above 0, or nesterov = false"
                            .into(),
                    ));
                }
                check(
                    "weight_decay",
                    weight_decay,
                    (0.0..1.0).contains(&weight_decay),
                    "from 0 to below 1",
                )
            }
            Self::Adam { beta_1, beta_2, epsilon, weight_decay, .. }
            | Self::AdamW { beta_1, beta_2, epsilon, weight_decay, .. } => {
                check("beta_1", beta_1, below_1(beta_1), range)?;
                check("beta_2", beta_2, below_1(beta_2), range)?;
                let least = f32::MIN_POSITIVE;
                check(
                    "epsilon",
                    epsilon,
                    at_least(least, epsilon),
                    "1.2e-38 or above, and finite",
                )?;
                check(
                    "weight_decay",
                    weight_decay,
                    (0.0..1.0).contains(&weight_decay),
                    "from 0 to below 1",
                )
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

    /// Numbers that are below 1, or above 0, only until a step is computed with them.
    #[test]
    fn what_single_precision_rounds_away_is_refused() {
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

    /// The rules written out in f64.
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
    /// A record of burn's optimizers goes on in ours as in burn's, and the other way round.
    #[test]
    fn records_are_those_of_burn() {
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
