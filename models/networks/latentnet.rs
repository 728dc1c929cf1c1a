//! The larger convnet for latent factors, on any front end.
//!
//! Dieleman (2014), Recommending music on Spotify with deep learning (blog post): on 599 frames of
//! 128 mel bands, four convolutions over time of 4 frames with rectifiers (256, 256, 512, 512
//! filters), max-pooling over 4, 2 and 2 frames after the first three, then the mean, the maximum
//! and the L2 norm of each filter over all time (1536 features), two dense layers of 2048
//! rectified units with dropout, and one linear output a factor.
//!
//! Departures: the dropout is known to be there, its probability is not; 0.5 is what the author
//! used in other code of that time. The logarithm of the bands, the window and the hop that give
//! 599 frames of 30 s are not known either: the default front end has 22 050 Hz, windows of 2048
//! and a hop of 1024, which gives 599 frames of 27.87 s. The three poolings stand in the order
//! mean, maximum, L2 norm.
//!
//! To reproduce: nothing was published in numbers.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{fits_memory, in_range};
use crate::front_end::strided::ROOT_FLOOR;
use crate::front_end::{FrontEnd, FrontEndConfig, MelConfig, StridedConfig};
use crate::layers::init::{output_linear, rectified_linear};
use crate::layers::stages::{self, PartialPools, Plan, Stage, StageConfig};
use crate::onnx::{Graph, Lower, Lowered, Value};
use crate::{Example, Fitted, ModelError, NetworkConfig, OnFrontEnd};

/// Everything that [`LatentNet`] leaves open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LatentNetConfig {
    /// Decides the sample rate that the model expects.
    pub front_end: FrontEndConfig,
    /// Convolution, rectifier and max-pooling over time, one after the other.
    pub stages: Vec<StageConfig>,
    /// What becomes of frames that do not fill a pool.
    pub partial_pools: PartialPools,
    /// Units of each dense layer in turn; the last are the features of
    /// [`Network::embed`](crate::Network::embed).
    pub hidden: Vec<usize>,
    /// Probability of dropping the input of a dense layer after the first, in training.
    pub dropout: f64,
}

impl Default for LatentNetConfig {
    fn default() -> Self {
        let stage = |filters, pool| StageConfig { filters, length: 4, pool };
        let mel = MelConfig {
            sample_rate: 22_050,
            n_fft: 2048,
            hop_length: 1024,
            n_mels: 128,
            ..MelConfig::default()
        };
        Self {
            front_end: FrontEndConfig::Mel(mel),
            stages: vec![stage(256, 4), stage(256, 2), stage(512, 2), stage(512, 1)],
            partial_pools: PartialPools::Auto,
            hidden: vec![2048, 2048],
            dropout: 0.5,
        }
    }
}

/// What is taken of a filter over time: mean, maximum, L2 norm.
const POOLINGS: usize = 3;

impl LatentNetConfig {
    fn plan(&self, excerpt_samples: usize) -> Result<Plan<'_>, ModelError> {
        Plan::new(&self.front_end, &self.stages, self.partial_pools, excerpt_samples)
    }
}

impl NetworkConfig for LatentNetConfig {
    type Network = LatentNet;

    fn examples() -> Vec<Example<Self>> {
        let on = |front_end, pool| Self {
            front_end,
            stages: vec![StageConfig { filters: 4, length: 3, pool }; 2],
            hidden: vec![6, 5],
            dropout: 0.0,
            ..Self::default()
        };
        let strided = StridedConfig { filters: 8, length: 32, stride: 16, ..Default::default() };
        vec![
            Example {
                about: "mel",
                config: on(FrontEndConfig::Mel(MelConfig::small()), 2),
                samples: 700,
            },
            Example {
                about: "strided, no pools",
                config: on(FrontEndConfig::Strided(strided), 1),
                samples: 300,
            },
        ]
    }

    fn front_end(&self) -> Option<&FrontEndConfig> {
        Some(&self.front_end)
    }

    fn sample_rate(&self) -> u32 {
        self.front_end.sample_rate()
    }

    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        in_range("dropout", self.dropout, 0.0, 0.99)?;
        if !(1..=16).contains(&self.hidden.len()) {
            let count = self.hidden.len();
            return Err(ModelError::new("hidden", count, "out of range", "list 1 to 16 layers"));
        }
        for (i, &units) in self.hidden.iter().enumerate() {
            in_range(&format!("hidden[{i}]"), units, 1, 1_000_000)?;
        }
        let (channels, _) = self.plan(excerpt_samples)?.output();
        let mut inputs = POOLINGS * channels;
        for (i, &units) in self.hidden.iter().enumerate() {
            fits_memory(&format!("hidden[{i}]"), units, &[inputs, units])?;
            inputs = units;
        }
        Ok(())
    }

    fn init(
        &self,
        outputs: usize,
        excerpt_samples: usize,
        _fitted: &Fitted,
        device: &Device,
    ) -> Result<LatentNet, ModelError> {
        self.validate(excerpt_samples)?;
        let plan = self.plan(excerpt_samples)?;
        let mut inputs = POOLINGS * plan.output().0;
        let mut hidden = Vec::new();
        let stages = plan.init(device);
        for &units in &self.hidden {
            hidden.push(rectified_linear(inputs, units, device));
            inputs = units;
        }
        fits_memory("hidden", inputs, &[inputs, outputs])?;
        Ok(LatentNet {
            front_end: self.front_end.init(device)?,
            stages,
            hidden,
            dropout: DropoutConfig::new(self.dropout).init(),
            output: output_linear(inputs, outputs, device),
            samples: excerpt_samples,
        })
    }

    fn describe(&self) -> String {
        let stages = stages::describe(&self.stages);
        let hidden: Vec<String> = self.hidden.iter().map(usize::to_string).collect();
        let dropout =
            if self.dropout > 0.0 { format!(", dropout {}", self.dropout) } else { String::new() };
        format!(
            "latentnet: {}; {stages}mean, max and L2 over time, dense {}{dropout}",
            self.front_end.describe(),
            hidden.join(", ")
        )
    }
}

/// See the head of this file.
#[derive(Module, Debug)]
pub struct LatentNet {
    front_end: FrontEnd,
    stages: Vec<Stage>,
    hidden: Vec<Linear>,
    dropout: Dropout,
    output: Linear,
    /// Samples of an excerpt.
    samples: usize,
}

/// Mean, maximum and L2 norm over time, in this order.
///
/// # Shapes
/// - `x`: `[batch, channel, frame]`
/// - returns: `[batch, 3 channel]`
fn pool_over_time(x: Tensor<3>) -> Tensor<2> {
    let mean = x.clone().mean_dim(2);
    let largest = x.clone().max_dim(2);
    // The root has no slope at 0: a filter that was never active would give NaN.
    let norm = x.square().sum_dim(2).add_scalar(ROOT_FLOOR).sqrt();
    Tensor::cat(vec![mean, largest, norm], 1).squeeze_dim(2)
}

impl OnFrontEnd for LatentNet {
    fn stands_on(&self) -> &FrontEnd {
        &self.front_end
    }

    fn check_length(&self, samples: usize) {
        assert_eq!(samples, self.samples, "the model was built for excerpts of another length");
    }

    fn features(&self, mut x: Tensor<3>) -> Tensor<2> {
        for stage in &self.stages {
            x = stage.forward(x);
        }
        let mut x = pool_over_time(x); // [batch, feature]
        for (i, layer) in self.hidden.iter().enumerate() {
            if i > 0 {
                x = self.dropout.forward(x);
            }
            x = relu(layer.forward(x));
        }
        x
    }

    fn outputs(&self, features: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.dropout.forward(features))
    }
}

impl Lower for LatentNet {
    fn lower(&self, graph: &mut Graph, waveforms: Value) -> Lowered {
        let x = self.front_end.lower(graph, &waveforms);
        let x = stages::lower(&self.stages, graph, x);
        let mean = graph.reduce("ReduceMean", &x, 2, false);
        let largest = graph.reduce("ReduceMax", &x, 2, false);
        let squares = graph.binary("Mul", &x, &x);
        let sum = graph.sum(&squares, 2, false);
        let sum = graph.scalar("Add", &sum, ROOT_FLOOR);
        let norm = graph.unary("Sqrt", &sum);
        let mut features = graph.cat(&[mean, largest, norm], 1);
        for (number, layer) in self.hidden.iter().enumerate() {
            let hidden = graph.linear(&format!("hidden.{number}"), &features, layer);
            features = graph.relu(&hidden);
        }
        let outputs = graph.linear("output", &features, &self.output);
        Lowered { outputs, features }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples of 599 frames of the default front end.
    const SAMPLES: usize = 2048 + 598 * 1024;

    #[test]
    fn sizes_are_those_of_the_published_figure() {
        let config = LatentNetConfig::default();
        assert_eq!(config.front_end.frames(SAMPLES), 599);
        let frames: Vec<usize> = (1..=4)
            .map(|count| {
                let stages = &config.stages[..count];
                let plan =
                    Plan::new(&config.front_end, stages, PartialPools::Auto, SAMPLES).unwrap();
                plan.output().1
            })
            .collect();
        // 149, 73, 35 stand in the figure; the last convolution has no pool.
        assert_eq!(frames, [149, 73, 35, 32]);
        let model = config.init(40, SAMPLES, &Fitted::default(), &Device::flex()).unwrap();
        let convolutions =
            256 * (128 * 4 + 1) + 256 * (256 * 4 + 1) + 512 * (256 * 4 + 1) + 512 * (512 * 4 + 1);
        let dense = 2048 * (1536 + 1) + 2048 * (2048 + 1) + 40 * (2048 + 1);
        assert_eq!(model.num_params(), convolutions + dense);
    }

    #[test]
    fn pooling_over_time_by_hand() {
        let x = Tensor::<3>::from_data([[[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]]], &Device::flex());
        let pooled: Vec<f32> = pool_over_time(x).into_data().try_to_vec().unwrap();
        // mean, mean, max, max, norm, norm
        let expected = [5.0 / 3.0, 0.0, 2.0, 0.0, 3.0, ROOT_FLOOR.sqrt()];
        for (value, expected) in pooled.iter().zip(expected) {
            assert!((value - expected as f32).abs() < 1e-6, "{pooled:?}");
        }
    }
}
