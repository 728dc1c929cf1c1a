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
//! At stride 1024, three seconds give 46 frames, and pools that drop what is left over leave
//! nothing: see [`PartialPools`].
//!
//! To reproduce: ROC-AUC on MagnaTagATune of 0.8815 with the `mel` front end, 0.8487 with
//! `strided`.

use burn::module::Module;
use burn::nn::conv::Conv1d;
use burn::nn::pool::{MaxPool1d, MaxPool1dConfig};
use burn::nn::{Dropout, DropoutConfig, Linear, PaddingConfig1d};
use burn::tensor::activation::relu;
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{fits_memory, in_range};
use crate::front_end::{
    FrontEnd, FrontEndConfig, LearnedFilters, excerpt_too_short, output_length,
};
use crate::init::{output_linear, rectified_conv1d, rectified_linear};
use crate::{ModelError, Network};

/// Everything that [`Tagger`] leaves open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaggerConfig {
    /// Decides the sample rate that the model expects.
    pub front_end: FrontEndConfig,
    /// Convolution, rectifier and max-pooling over time, one after the other.
    pub stages: Vec<StageConfig>,
    /// What becomes of frames that do not fill a pool.
    pub partial_pools: PartialPools,
    /// Units of the dense layer, the features of [`Network::embed`].
    pub hidden: usize,
    /// Probability of dropping one of them in training.
    pub dropout: f64,
}

/// One convolution with its pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StageConfig {
    pub filters: usize,
    /// Frames of a filter.
    pub length: usize,
    /// Frames of a pool; 1 pools nothing.
    pub pool: usize,
}

/// What becomes of the last frames where they do not fill a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartialPools {
    /// Kept where the next layer would else have too few frames; dropped elsewhere.
    #[default]
    Auto,
    /// Kept.
    Always,
    /// Dropped.
    Never,
}

impl Default for StageConfig {
    fn default() -> Self {
        Self { filters: 32, length: 8, pool: 4 }
    }
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

/// Frames that a stage gives, and how many it must add to fill its last pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    frames: usize,
    padding: usize,
}

impl TaggerConfig {
    /// The extent of each stage in turn.
    fn extents(&self, excerpt_samples: usize) -> Result<Vec<Extent>, ModelError> {
        let mut frames = self.front_end.frames(excerpt_samples);
        let mut extents = Vec::new();
        for (i, stage) in self.stages.iter().enumerate() {
            let length = stage.length;
            if frames < length {
                let problem = format!("longer than the {frames} frames that are left there");
                let remedy = "shorten it, the pools before it or the front end's hop, keep partial \
                              pools, or raise training.excerpt_seconds";
                let key = format!("stages[{i}].length");
                return Err(ModelError::new(key, length, problem, remedy));
            }
            let convolved = output_length(frames, length, 1);
            let (whole, all) = (convolved / stage.pool, convolved.div_ceil(stage.pool));
            let needed = self.stages.get(i + 1).map_or(1, |next| next.length);
            let keep = match self.partial_pools {
                PartialPools::Auto => whole < needed,
                PartialPools::Always => true,
                PartialPools::Never => false,
            };
            frames = if keep { all } else { whole };
            let padding = if keep { all * stage.pool - convolved } else { 0 };
            extents.push(Extent { frames, padding });
        }
        match frames {
            0 => {
                // Only dropped partial pools can do that; the smallest pool then decides.
                let problem = "drops every frame of the last pool";
                let remedy =
                    "set it to \"auto\", shrink the pools, or raise training.excerpt_seconds";
                Err(ModelError::new("partial_pools", "never", problem, remedy))
            }
            _ => Ok(extents),
        }
    }

    /// # Errors
    /// Names the first value that no model can be built with, or an excerpt too short.
    pub fn validate(&self, excerpt_samples: usize) -> Result<(), ModelError> {
        self.front_end.validate(excerpt_samples).map_err(|error| match error.key.as_str() {
            "excerpt" => error,
            _ => error.within("front_end"),
        })?;
        if self.stages.len() > 64 {
            let remedy = "list 64 at most";
            return Err(ModelError::new("stages", self.stages.len(), "too many", remedy));
        }
        let mut channels = self.front_end.bands();
        for (i, &StageConfig { filters, length, pool }) in self.stages.iter().enumerate() {
            let key = |name| format!("stages[{i}].{name}");
            in_range(&key("filters"), filters, 1, 65_536)?;
            in_range(&key("length"), length, 1, 65_536)?;
            in_range(&key("pool"), pool, 1, 65_536)?;
            fits_memory(&key("filters"), filters, &[channels, filters, length])?;
            channels = filters;
        }
        in_range("hidden", self.hidden, 1, 1_000_000)?;
        in_range("dropout", self.dropout, 0.0, 0.99)?;
        if self.front_end.frames(excerpt_samples) == 0 {
            return Err(excerpt_too_short(excerpt_samples, 1));
        }
        let extents = self.extents(excerpt_samples)?;
        let frames = extents.last().map_or(self.front_end.frames(excerpt_samples), |e| e.frames);
        fits_memory("hidden", self.hidden, &[channels, frames, self.hidden])
    }

    /// A model with its first weights.
    ///
    /// # Errors
    /// See [`TaggerConfig::validate`].
    pub fn init(
        &self,
        outputs: usize,
        excerpt_samples: usize,
        device: &Device,
    ) -> Result<Tagger, ModelError> {
        self.validate(excerpt_samples)?;
        fits_memory("hidden", self.hidden, &[self.hidden, outputs])?;
        let mut channels = self.front_end.bands();
        let mut frames = self.front_end.frames(excerpt_samples);
        let mut stages = Vec::new();
        for (stage, extent) in self.stages.iter().zip(self.extents(excerpt_samples)?) {
            stages.push(Stage::init(channels, stage, extent.padding, device));
            (channels, frames) = (stage.filters, extent.frames);
        }
        Ok(Tagger {
            front_end: self.front_end.init(device)?,
            stages,
            hidden: rectified_linear(channels * frames, self.hidden, device),
            dropout: DropoutConfig::new(self.dropout).init(),
            output: output_linear(self.hidden, outputs, device),
            samples: excerpt_samples,
        })
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        let stages = self.stages.iter().map(|StageConfig { filters, length, pool }| {
            format!("conv {filters}x{length}, max-pool {pool}, ")
        });
        let stages: String = stages.collect();
        let dropout =
            if self.dropout > 0.0 { format!(", dropout {}", self.dropout) } else { String::new() };
        format!("tagger: {}; {stages}dense {}{dropout}", self.front_end.describe(), self.hidden)
    }
}

#[derive(Module, Debug)]
struct Stage {
    conv: Conv1d,
    pool: MaxPool1d,
    /// Frames added at the end, so that the last pool is full.
    padding: usize,
}

impl Stage {
    fn init(channels: usize, config: &StageConfig, padding: usize, device: &Device) -> Self {
        let &StageConfig { filters, length, pool } = config;
        let conv = rectified_conv1d((channels, filters), length, 1, PaddingConfig1d::Valid, device);
        Self { conv, pool: MaxPool1dConfig::new(pool).init(), padding }
    }

    /// `[batch, channel, frame]` to `[batch, filter, frame / pool]`.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = relu(self.conv.forward(x));
        // After the rectifier 0 is as good as minus infinity: it wins over nothing.
        let x = match self.padding {
            0 => x,
            padding => x.pad([(0, padding)], PadMode::Constant(0.0)),
        };
        self.pool.forward(x)
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

impl Tagger {
    /// What the front end has learned, if it learns on raw audio.
    pub fn filters(&self) -> Option<LearnedFilters> {
        self.front_end.filters()
    }
}

impl Network for Tagger {
    fn forward(&self, waveforms: Tensor<2>) -> Tensor<2> {
        let features = self.embed(waveforms);
        self.output.forward(self.dropout.forward(features))
    }

    fn embed(&self, waveforms: Tensor<2>) -> Tensor<2> {
        let [_, samples] = waveforms.dims();
        assert_eq!(samples, self.samples, "the model was built for excerpts of another length");
        let mut x = self.front_end.forward(waveforms); // [batch, band, frame]
        for stage in &self.stages {
            x = stage.forward(x);
        }
        relu(self.hidden.forward(x.flatten(1, 2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front_end::StridedConfig;

    fn extents(stride: usize, partial_pools: PartialPools) -> Result<Vec<usize>, ModelError> {
        let strided = StridedConfig { length: stride, stride, ..Default::default() };
        let front_end = FrontEndConfig::Strided(strided);
        let config = TaggerConfig { front_end, partial_pools, ..Default::default() };
        Ok(config.extents(48_000)?.iter().map(|extent| extent.frames).collect())
    }

    #[test]
    fn partial_pools_are_kept_only_where_nothing_else_is_left() {
        assert_eq!(extents(256, PartialPools::Auto).unwrap(), [45, 9]);
        assert_eq!(extents(256, PartialPools::Always).unwrap(), [45, 10]);
        assert_eq!(extents(1024, PartialPools::Auto).unwrap(), [9, 1]);
        let error = extents(1024, PartialPools::Never).unwrap_err().to_string();
        assert!(error.contains("partial_pools"), "{error}");
        // 37 frames, 30 after the first filter: whole pools give 7, too few for the next filter.
        assert_eq!(extents(1297, PartialPools::Auto).unwrap(), [8, 1]);
    }

    #[test]
    fn parameters_are_those_that_the_literature_counts() {
        let front_end = FrontEndConfig::Strided(StridedConfig::default());
        let config = TaggerConfig { front_end, ..Default::default() };
        let model = config.init(50, 48_000, &Device::flex()).unwrap();
        // 187 frames; the front end has 128 filters of 256 and their biases.
        assert_eq!(model.num_params(), 74_974 + 128 * 257);
        let model = TaggerConfig::default().init(50, 48_000, &Device::flex()).unwrap();
        assert_eq!(model.num_params(), 74_974);
    }
}
