//! The tagger of P3 on any front end.
//!
//! Dieleman & Schrauwen (2014), End-to-end learning for music audio, ICASSP, section on the
//! experimental setup: two convolutions over time (32 filters of 8 frames, each reading every
//! band), each followed by a rectifier and max-pooling over 4 frames, a dense layer of 100
//! rectified units, and one sigmoid a tag (here: one logit; the loss applies the sigmoid). On 128
//! bands and 187 frames these are 74 974 parameters, the 75k that later papers count.
//!
//! Departures: the optimiser's settings are the experiment's. First weights are not known of the
//! paper; see `init.rs`. Dropout is off by default, as in the paper (from memory, unsure).
//!
//! To reproduce: ROC-AUC on MagnaTagATune of 0.8815 with the `mel` front end, 0.8487 with
//! `strided`.
//!
//! The same layers with filters of 6 frames and more of them are the convnet of P2 (van den Oord,
//! Dieleman & Schrauwen 2013, Deep content-based music recommendation, NIPS), whose outputs are a
//! song's latent factors instead of tags. Its widths are not in the paper; its depth, two
//! convolutions and two dense layers, is that of the author's later account. 128 frames end as 6
//! after filters of 6 and pools of 4, twice; the 5 that the author tells of take a last pool of 5.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{fits_memory, in_range};
use crate::front_end::strided::{FeaturePool, PoolKind};
use crate::front_end::{FrontEnd, FrontEndConfig, MelConfig, StridedConfig};
use crate::layers::init::{output_linear, rectified_linear};
use crate::layers::stages::{self, PartialPools, Plan, Stage, StageConfig};
use crate::onnx::{Graph, Lower, Lowered, Value};
use crate::{Example, Fitted, ModelError, NetworkConfig, OnFrontEnd};

/// Everything that [`Tagger`] leaves open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TaggerConfig {
    /// Decides the sample rate that the model expects.
    pub front_end: FrontEndConfig,
    /// Convolution, rectifier and max-pooling over time, one after the other.
    pub stages: Vec<StageConfig>,
    /// What becomes of frames that do not fill a pool.
    pub partial_pools: PartialPools,
    /// Units of the dense layer, the features of [`Network::embed`](crate::Network::embed).
    pub hidden: usize,
    /// Probability of dropping one of them in training.
    pub dropout: f64,
}

impl Default for TaggerConfig {
    fn default() -> Self {
        Self {
            front_end: FrontEndConfig::default(),
            stages: vec![StageConfig::default(); 2],
            partial_pools: PartialPools::Auto,
            hidden: 100,
            dropout: 0.0,
        }
    }
}

impl TaggerConfig {
    fn plan(&self, excerpt_samples: usize) -> Result<Plan<'_>, ModelError> {
        Plan::new(&self.front_end, &self.stages, self.partial_pools, excerpt_samples)
    }
}

impl NetworkConfig for TaggerConfig {
    type Network = Tagger;

    fn examples() -> Vec<Example<Self>> {
        let strided = StridedConfig { filters: 8, length: 32, stride: 16, ..Default::default() };
        let l2 = Some(FeaturePool { kind: PoolKind::L2, size: 4 });
        let pooled = StridedConfig { pool: l2, ..strided.clone() };
        let example = |about, front_end, pool, samples| {
            let stages = vec![StageConfig { filters: 4, length: 3, pool }; 2];
            let config = Self { front_end, stages, hidden: 6, ..Default::default() };
            Example { about, config, samples }
        };
        vec![
            example("mel", FrontEndConfig::Mel(MelConfig::small()), 2, 700),
            example("strided, partial pools", FrontEndConfig::Strided(strided), 4, 300),
            example("strided, L2 pools", FrontEndConfig::Strided(pooled), 2, 500),
        ]
    }

    fn front_end(&self) -> Option<&FrontEndConfig> {
        Some(&self.front_end)
    }

    fn sample_rate(&self) -> u32 {
        self.front_end.sample_rate()
    }

    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        in_range("hidden", self.hidden, 1, 1_000_000)?;
        in_range("dropout", self.dropout, 0.0, 0.99)?;
        let (channels, frames) = self.plan(excerpt_samples)?.output();
        fits_memory("hidden", self.hidden, &[channels, frames, self.hidden])
    }

    fn init(
        &self,
        outputs: usize,
        excerpt_samples: usize,
        _fitted: &Fitted,
        device: &Device,
    ) -> Result<Tagger, ModelError> {
        self.validate(excerpt_samples)?;
        fits_memory("hidden", self.hidden, &[self.hidden, outputs])?;
        let plan = self.plan(excerpt_samples)?;
        let (channels, frames) = plan.output();
        Ok(Tagger {
            front_end: self.front_end.init(device)?,
            stages: plan.init(device),
            hidden: rectified_linear(channels * frames, self.hidden, device),
            dropout: DropoutConfig::new(self.dropout).init(),
            output: output_linear(self.hidden, outputs, device),
            samples: excerpt_samples,
        })
    }

    fn describe(&self) -> String {
        let stages = stages::describe(&self.stages);
        let dropout =
            if self.dropout > 0.0 { format!(", dropout {}", self.dropout) } else { String::new() };
        format!("tagger: {}; {stages}dense {}{dropout}", self.front_end.describe(), self.hidden)
    }
}

/// See the head of this file.
#[derive(Module, Debug)]
pub struct Tagger {
    front_end: FrontEnd,
    stages: Vec<Stage>,
    hidden: Linear,
    dropout: Dropout,
    output: Linear,
    /// Samples of an excerpt; the dense layer reads exactly the frames that they give.
    samples: usize,
}

impl OnFrontEnd for Tagger {
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
        relu(self.hidden.forward(x.flatten(1, 2)))
    }

    fn outputs(&self, features: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.dropout.forward(features))
    }
}

impl Lower for Tagger {
    fn lower(&self, graph: &mut Graph, waveforms: Value) -> Lowered {
        let x = self.front_end.lower(graph, &waveforms);
        let x = stages::lower(&self.stages, graph, x);
        let flat = graph.reshape(&x, &[x.shape().iter().product()]);
        let hidden = graph.linear("hidden", &flat, &self.hidden);
        let features = graph.relu(&hidden);
        let outputs = graph.linear("output", &features, &self.output);
        Lowered { outputs, features }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_those_that_the_literature_counts() {
        let front_end = FrontEndConfig::Strided(StridedConfig::default());
        let config = TaggerConfig { front_end, ..Default::default() };
        let model = config.init(50, 48_000, &Fitted::default(), &Device::flex()).unwrap();
        // 187 frames; the front end has 128 filters of 256 and their biases.
        assert_eq!(model.num_params(), 74_974 + 128 * 257);
        let config = TaggerConfig::default();
        let model = config.init(50, 48_000, &Fitted::default(), &Device::flex()).unwrap();
        assert_eq!(model.num_params(), 74_974);
    }
}
