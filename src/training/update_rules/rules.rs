//! The update rules as burn's optimizers, in one pass each (see [`kernels::optimizer`]).
//!
//! Their state has the names that burn's own have in a record: checkpoints of either are read by the other.

use burn::optim::{
    AdamState, AdaptiveMomentumState, LearningRate, Optimizer, RecordState, StateSink, StateSource,
    join_path,
};
use burn::tensor::{Device, Tensor};
use kernels::optimizer::{Adam, Momentum, adam_step, momentum_step};

/// Gradient descent with momentum; the learning rate comes with every step.
#[derive(Clone, Copy, Debug)]
pub struct MomentumRule {
    pub momentum: f32,
    pub nesterov: bool,
    pub weight_decay: f32,
}

/// The velocity of a parameter.
#[derive(Clone)]
pub struct Velocity<const D: usize>(Tensor<D>);

impl<const D: usize> RecordState for Velocity<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        let prefix = join_path(prefix, "momentum");
        out.push_tensor(&prefix, "velocity", self.0.clone().into_data());
    }

    fn state_unflatten(prefix: &str, src: &mut StateSource, device: &Device) -> Option<Self> {
        let data = src.take_tensor(&join_path(prefix, "momentum"), "velocity")?;
        Some(Self(Tensor::from_data(data, device)))
    }
}

impl Optimizer for MomentumRule {
    type State<const D: usize> = Velocity<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Velocity<D>>,
    ) -> (Tensor<D>, Option<Velocity<D>>) {
        let Self { momentum, nesterov, weight_decay } = *self;
        let learning_rate = learning_rate as f32;
        let rule = Momentum { learning_rate, momentum, nesterov, weight_decay };
        let velocity = state.map_or_else(|| gradient.zeros_like(), |state| state.0);
        let (parameter, velocity) = momentum_step(parameter, gradient, velocity, rule);
        (parameter, Some(Velocity(velocity)))
    }

    fn to_device<const D: usize>(state: Velocity<D>, device: &Device) -> Velocity<D> {
        Velocity(state.0.to_device(device))
    }
}

/// Adam and AdamW; the learning rate comes with every step.
#[derive(Clone, Copy, Debug)]
pub struct AdamRule {
    pub beta_1: f32,
    pub beta_2: f32,
    pub epsilon: f32,
    pub weight_decay: f32,
    pub decoupled: bool,
}

impl Optimizer for AdamRule {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        let Self { beta_1, beta_2, epsilon, weight_decay, decoupled } = *self;
        let rule = Adam { learning_rate, beta_1, beta_2, epsilon, weight_decay, decoupled };
        let (done, moments) = match state.map(|state| state.momentum) {
            Some(state) => (state.time, [state.moment_1, state.moment_2]),
            None => (0, [gradient.zeros_like(), gradient.zeros_like()]),
        };
        let (parameter, [first, second]) = adam_step(parameter, gradient, moments, done + 1, rule);
        let state = AdamState::new(AdaptiveMomentumState::new(done + 1, first, second));
        (parameter, Some(state))
    }

    fn to_device<const D: usize>(state: AdamState<D>, device: &Device) -> AdamState<D> {
        AdamState::new(state.momentum.to_device(device))
    }
}
