//! Long trainings at a high learning rate, for parameters that could leave their range or become NaN.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::softplus;
use burn::tensor::{Device, Tensor, TensorData};
use models::Network;

use crate::cases::{Case, OUTPUTS, build, finite, tensor, toml, values};

const STEPS: u32 = 10_000;
const SAMPLES: usize = 1_200;
const BATCH: usize = 4;

/// Ten times the learning rate of the experiments.
const LEARNING_RATE: f64 = 0.01;

struct Finite(bool);

impl ModuleVisitor for Finite {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0 &= finite(&values(param.val()));
    }
}

/// Noise, a tone, and in turn silence, a constant, a click and a square wave of full scale.
fn waveforms(step: u32) -> Vec<f32> {
    let mut state = step.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut all: Vec<f32> = (0..2 * SAMPLES).map(|_| 0.5 * noise()).collect();
    let frequency = 1.5 * (1.0 + noise());
    all.extend((0..SAMPLES).map(|i| 0.8 * (frequency * i as f32).sin()));
    let extreme = |i: usize| match step % 4 {
        0 => 0.0,
        1 => 1.0,
        2 if i == SAMPLES / 2 => 1.0,
        2 => 0.0,
        _ if (i / 40).is_multiple_of(2) => 1.0,
        _ => -1.0,
    };
    all.extend((0..SAMPLES).map(extreme));
    all
}

#[test]
#[ignore = "takes minutes"]
fn front_ends_stay_finite_for_10_000_steps_at_10_times_the_learning_rate() {
    let small = "filters = 6, length = 65, window_length = 81, hop_length = 40";
    let front_ends = [
        format!("{{ name = 'gabor', {small} }}"),
        format!("{{ name = 'gabor', initial = 'random', normalize_windows = true, {small} }}"),
        format!("{{ name = 'gabor', groups = {{ count = 2 }}, {small} }}"),
        format!("{{ name = 'sinc', {small} }}"),
        format!("{{ name = 'sinc', output = 'rectified', {small} }}"),
        format!("{{ name = 'free', {small} }}"),
        "{ name = 'strided', filters = 12, length = 64, stride = 40, initial = 'gabor', \
         pool = { kind = 'squared', size = 2 } }"
            .to_string(),
    ];
    for front_end in front_ends {
        let network = "name = 'tagger'\nhidden = 8\ndropout = 0.0\n\
                       stages = [{ filters = 4, length = 3, pool = 2 }]";
        let config = toml(&format!("{network}\nfront_end = {front_end}"));
        let device = Device::flex().autodiff();
        let case = Case { config, samples: SAMPLES };
        let mut model = build(&case, 1, &device);
        let mut optimizer = AdamConfig::new().init();
        for step in 0..STEPS {
            let x = tensor(&waveforms(step), BATCH, &device);
            let targets: Vec<f32> = (0..BATCH * OUTPUTS)
                .map(|i| f32::from((i as u32 + step).is_multiple_of(3)))
                .collect();
            let targets = TensorData::new(targets, [BATCH, OUTPUTS]);
            let targets = Tensor::<2>::from_data(targets, &device);
            let logits = model.forward(x);
            // Binary cross-entropy.
            let loss = (softplus(logits.clone(), 1.0) - logits * targets).mean();
            let gradients = loss.backward();
            if step % 500 == 499 {
                let loss: f32 = loss.into_scalar();
                assert!(loss.is_finite(), "{front_end}, step {step}: {loss}");
            }
            let gradients = GradientsParams::from_grads(gradients, &model);
            model = optimizer.step(LEARNING_RATE, model, gradients);
        }
        let mut all = Finite(true);
        model.visit(&mut all);
        assert!(all.0, "{front_end}");
    }
}
