//! The tagger of P3 on any front end.
//!
//! Dieleman & Schrauwen (2014), End-to-end learning for music audio, ICASSP, section on the
//! experimental setup: two convolutions over time (32 filters of 8 frames, each reading every
//! band), each followed by a rectifier and max-pooling over 4 frames, a dense layer of 100
//! rectified units, and one sigmoid per tag (here one logit per tag; the loss applies the sigmoid). With
//! 128 bands and 187 frames this makes 74 974 parameters, the 75k that later papers report.
//!
//! Departures: the experiment sets the optimizer. The paper does not say how weights were initialised;
//! see `layers/init.rs`. Dropout is off by default, as in the paper (recalled from memory, unsure).
//!
//! To reproduce: ROC-AUC on MagnaTagATune of 0.8815 with the `mel` front end, 0.8487 with
//! `strided`.
//!
//! The same layers with more filters, of 6 frames each, are the convnet of P2 (van den Oord,
//! Dieleman & Schrauwen 2013, Deep content-based music recommendation, NIPS), whose outputs are the
//! latent factors of a song instead of tags. The paper does not give its widths; its depth, two
//! convolutions and two dense layers, follows the author's later account. Filters of 6 and pools of 4,
//! twice, reduce 128 frames to 6; the author's 5 frames need a last pool of 5.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{fits_memory, in_range, valid_dropout};
use crate::front_end::strided::{FeaturePool, PoolKind};
use crate::front_end::{FrontEnd, FrontEndConfig, MelConfig, StridedConfig};
use crate::layers::dense::DenseConfig;
use crate::layers::init::{output_linear, rectified_linear};
use crate::networks::stages::{self, PartialPools, Plan, Stage, StageConfig, check_length};
use crate::onnx::{Graph, Lower, Lowered, Value};
use crate::{Example, Fitted, ModelError, Network, NetworkConfig};

/// Settings of [`Tagger`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TaggerConfig {
    /// The front end, which also sets the sample rate of the model; a mel spectrogram by default.
    pub front_end: FrontEndConfig,
    /// Stages of convolution, rectifier and max-pooling over time, in order; two of 32 filters by default.
    pub stages: Vec<StageConfig>,
    /// Whether the last frames of a stage are kept if they do not fill a pool; `"auto"` by default.
    pub partial_pools: PartialPools,
    /// Units of the dense layer, which is the embedding; 100 by default.
    pub hidden: usize,
    /// Dropout probability of the hidden units in training; 0 by default.
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

    fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        in_range("hidden", self.hidden, 1, 1_000_000)?;
        valid_dropout(self.dropout)?;
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
        let dense = DenseConfig { hidden: &[self.hidden], dropout: self.dropout };
        format!("tagger: {}; {stages}{}", self.front_end.describe(), dense.describe())
    }
}

/// The network; see the module documentation.
#[derive(Module, Debug)]
pub struct Tagger {
    front_end: FrontEnd,
    stages: Vec<Stage>,
    hidden: Linear,
    dropout: Dropout,
    output: Linear,
    /// Length of an excerpt in samples, which the size of the dense layer depends on.
    samples: usize,
}

impl Network for Tagger {
    fn front_end_module(&self) -> Option<&FrontEnd> {
        Some(&self.front_end)
    }

    fn hidden(&self, waveforms: Tensor<2>) -> Tensor<2> {
        check_length(&waveforms, self.samples);
        let x = stages::forward(&self.stages, self.front_end.forward(waveforms));
        relu(self.hidden.forward(x.flatten(1, 2)))
    }

    fn outputs(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.dropout.forward(hidden))
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
    fn number_of_parameters_is_as_in_the_literature() {
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
