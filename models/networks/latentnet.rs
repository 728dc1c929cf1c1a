//! The larger convnet for latent factors, on any front end.
//!
//! Dieleman (2014), Recommending music on Spotify with deep learning (blog post): on 599 frames of
//! 128 mel bands, four convolutions over time of 4 frames with rectifiers (256, 256, 512, 512
//! filters), max-pooling over 4, 2 and 2 frames after the first three, then the mean, the maximum
//! and the L2 norm of each filter over the whole excerpt (1536 features), two dense layers of 2048
//! rectified units with dropout, and one linear output per factor.
//!
//! Departures: the post mentions dropout without its probability; 0.5 is what the author used in other
//! code of that time. It does not give the compression of the bands either, nor the window and hop that
//! make 599 frames of 30 s: the default front end has 22 050 Hz, windows of 2048 samples and a hop of
//! 1024, which makes 599 frames of 27.87 s. The order of the three poolings is mean, maximum, L2 norm.
//!
//! To reproduce: no numbers were published.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{fits_memory, list_length};
use crate::front_end::strided::ROOT_FLOOR;
use crate::front_end::{FrontEnd, FrontEndConfig, MelConfig, StridedConfig};
use crate::layers::dense::{DenseConfig, forward_hidden, lower_hidden};
use crate::layers::init::output_linear;
use crate::networks::stages::{self, PartialPools, Plan, Stage, StageConfig, check_length};
use crate::onnx::{Graph, Lower, Lowered, Value};
use crate::{Example, Fitted, ModelError, Network, NetworkConfig};

/// Settings of [`LatentNet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LatentNetConfig {
    /// The front end, which also sets the sample rate of the model; by default a mel spectrogram at
    /// 22 050 Hz with windows of 2048 samples and a hop of 1024.
    pub front_end: FrontEndConfig,
    /// Stages of convolution, rectifier and max-pooling over time, in order; by default four of length 4
    /// with 256, 256, 512 and 512 filters.
    pub stages: Vec<StageConfig>,
    /// Whether the last frames of a stage are kept if they do not fill a pool; `"auto"` by default.
    pub partial_pools: PartialPools,
    /// Units of each dense layer in order, at least one, the last of which is the embedding; `[2048, 2048]` by
    /// default.
    pub hidden: Vec<usize>,
    /// Dropout probability of the inputs of all dense layers but the first, in training; 0.5 by default.
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

/// Poolings of each filter over time: mean, maximum, L2 norm.
const POOLINGS: usize = 3;

impl LatentNetConfig {
    fn plan(&self, excerpt_samples: usize) -> Result<Plan<'_>, ModelError> {
        Plan::new(&self.front_end, &self.stages, self.partial_pools, excerpt_samples)
    }

    fn dense(&self) -> DenseConfig<'_> {
        DenseConfig { hidden: &self.hidden, dropout: self.dropout }
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

    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        list_length("hidden", self.hidden.len(), 1, 16)?;
        // Ranges first, since the number of inputs is known only if the stages are valid.
        self.dense().validate(1)?;
        self.dense().validate(POOLINGS * self.plan(excerpt_samples)?.output().0)
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
        let units = *self.hidden.last().unwrap_or(&0);
        fits_memory("hidden", units, &[units, outputs])?;
        Ok(LatentNet {
            front_end: self.front_end.init(device)?,
            stages: plan.init(device),
            hidden: self.dense().init_hidden(POOLINGS * plan.output().0, device),
            dropout: DropoutConfig::new(self.dropout).init(),
            output: output_linear(units, outputs, device),
            samples: excerpt_samples,
        })
    }

    fn describe(&self) -> String {
        format!(
            "latentnet: {}; {}mean, max and L2 over time, {}",
            self.front_end.describe(),
            stages::describe(&self.stages),
            self.dense().describe()
        )
    }
}

/// The network; see the module documentation.
#[derive(Module, Debug)]
pub struct LatentNet {
    front_end: FrontEnd,
    stages: Vec<Stage>,
    hidden: Vec<Linear>,
    dropout: Dropout,
    output: Linear,
    /// Length of an excerpt in samples.
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
    // The root has no finite slope at 0: a filter that was never active would get a NaN gradient.
    let norm = x.square().sum_dim(2).add_scalar(ROOT_FLOOR).sqrt();
    Tensor::cat(vec![mean, largest, norm], 1).squeeze_dim(2)
}

impl Network for LatentNet {
    fn front_end_module(&self) -> Option<&FrontEnd> {
        Some(&self.front_end)
    }

    fn hidden(&self, waveforms: Tensor<2>) -> Tensor<2> {
        check_length(&waveforms, self.samples);
        let x = stages::forward(&self.stages, self.front_end.forward(waveforms));
        forward_hidden(&self.hidden, &self.dropout, pool_over_time(x))
    }

    fn outputs(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.dropout.forward(hidden))
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
        let pooled = graph.cat(&[mean, largest, norm], 1);
        let features = lower_hidden(&self.hidden, graph, "hidden", pooled);
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
    fn sizes_are_as_in_the_published_figure() {
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
        // The figure shows 149, 73 and 35; the last convolution has no pool.
        assert_eq!(frames, [149, 73, 35, 32]);
        let model = config.init(40, SAMPLES, &Fitted::default(), &Device::flex()).unwrap();
        let convolutions =
            256 * (128 * 4 + 1) + 256 * (256 * 4 + 1) + 512 * (256 * 4 + 1) + 512 * (512 * 4 + 1);
        let dense = 2048 * (1536 + 1) + 2048 * (2048 + 1) + 40 * (2048 + 1);
        assert_eq!(model.num_params(), convolutions + dense);
    }

    #[test]
    fn pooling_over_time_matches_a_calculation_by_hand() {
        let x = Tensor::<3>::from_data([[[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]]], &Device::flex());
        let pooled: Vec<f32> = pool_over_time(x).into_data().try_to_vec().unwrap();
        // mean, mean, max, max, norm, norm
        let expected = [5.0 / 3.0, 0.0, 2.0, 0.0, 3.0, ROOT_FLOOR.sqrt()];
        for (value, expected) in pooled.iter().zip(expected) {
            assert!((value - expected as f32).abs() < 1e-6, "{pooled:?}");
        }
    }
}
