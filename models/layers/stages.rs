//! Convolutions over time on top of a front end, each with its rectifier and max-pooling: the
//! trunk that the papers' networks share.
//!
//! At stride 1024, three seconds give 46 frames, and pools that drop what is left over leave
//! nothing: see [`PartialPools`].

use burn::module::Module;
use burn::nn::PaddingConfig1d;
use burn::nn::conv::Conv1d;
use burn::nn::pool::{MaxPool1d, MaxPool1dConfig};
use burn::tensor::{Device, Tensor};
use kernels::conv::{ConvOptions, End, conv};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::error::{fits_memory, in_range};
use crate::front_end::{FrontEndConfig, excerpt_too_short, output_length};
use crate::layers::init::rectified_conv1d;
use crate::onnx::{Graph, Value, Windows, numbers};

/// One convolution with its pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StageConfig {
    /// Filters of the convolution, the channels of the next stage.
    pub filters: usize,
    /// Frames of a filter.
    pub length: usize,
    /// Frames of a pool; 1 pools nothing.
    pub pool: usize,
}

/// What becomes of the last frames where they do not fill a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// P3's.
    fn default() -> Self {
        Self { filters: 32, length: 8, pool: 4 }
    }
}

/// Frames that a stage gives, and how many it must add to fill its last pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    frames: usize,
    padding: usize,
}

/// A front end and stages, worked out for excerpts of one length.
pub(crate) struct Plan<'a> {
    front_end: &'a FrontEndConfig,
    stages: &'a [StageConfig],
    extents: Vec<Extent>,
    /// Frames that come out of the front end.
    frames: usize,
}

impl<'a> Plan<'a> {
    /// # Errors
    /// Names the first value of `front_end`, `stages` or `partial_pools` that nothing can be built
    /// with, or an excerpt too short.
    pub fn new(
        front_end: &'a FrontEndConfig,
        stages: &'a [StageConfig],
        partial_pools: PartialPools,
        excerpt_samples: usize,
    ) -> Result<Self, ModelError> {
        front_end.validate(excerpt_samples).map_err(|error| match error.key.as_str() {
            "excerpt" => error,
            _ => error.within("front_end"),
        })?;
        if stages.len() > 64 {
            let remedy = "list 64 at most";
            return Err(ModelError::new("stages", stages.len(), "too many", remedy));
        }
        let mut channels = front_end.bands();
        for (i, &StageConfig { filters, length, pool }) in stages.iter().enumerate() {
            let key = |name| format!("stages[{i}].{name}");
            in_range(&key("filters"), filters, 1, 65_536)?;
            in_range(&key("length"), length, 1, 65_536)?;
            in_range(&key("pool"), pool, 1, 65_536)?;
            fits_memory(&key("filters"), filters, &[channels, filters, length])?;
            channels = filters;
        }
        let frames = front_end.frames(excerpt_samples);
        if frames == 0 {
            return Err(excerpt_too_short(excerpt_samples, 1));
        }
        let extents = extents(stages, partial_pools, frames)?;
        Ok(Self { front_end, stages, extents, frames })
    }

    /// Channels and frames that the last stage gives.
    pub fn output(&self) -> (usize, usize) {
        (
            self.stages.last().map_or(self.front_end.bands(), |stage| stage.filters),
            self.extents.last().map_or(self.frames, |extent| extent.frames),
        )
    }

    /// The stages with their first weights.
    pub fn init(&self, device: &Device) -> Vec<Stage> {
        let mut channels = self.front_end.bands();
        let mut stages = Vec::new();
        for (stage, extent) in self.stages.iter().zip(&self.extents) {
            stages.push(Stage::init(channels, stage, extent.padding, device));
            channels = stage.filters;
        }
        stages
    }
}

/// The extent of each stage in turn.
fn extents(
    stages: &[StageConfig],
    partial_pools: PartialPools,
    mut frames: usize,
) -> Result<Vec<Extent>, ModelError> {
    let mut extents = Vec::new();
    for (i, stage) in stages.iter().enumerate() {
        let length = stage.length;
        if frames < length {
            let problem = format!("longer than the {frames} frames that are left there");
            let remedy = "shorten it, the pools before it or the front end's hop, keep partial pools, \
                          or raise training.excerpt_seconds";
            let key = format!("stages[{i}].length");
            return Err(ModelError::new(key, length, problem, remedy));
        }
        let convolved = output_length(frames, length, 1);
        let (whole, all) = (convolved / stage.pool, convolved.div_ceil(stage.pool));
        let needed = stages.get(i + 1).map_or(1, |next| next.length);
        let keep = match partial_pools {
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
            let remedy = "set it to \"auto\", shrink the pools, or raise training.excerpt_seconds";
            Err(ModelError::new("partial_pools", "never", problem, remedy))
        }
        _ => Ok(extents),
    }
}

/// For reports.
pub(crate) fn describe(stages: &[StageConfig]) -> String {
    let one = |&StageConfig { filters, length, pool }: &StageConfig| match pool {
        1 => format!("conv {filters}x{length}, "),
        _ => format!("conv {filters}x{length}, max-pool {pool}, "),
    };
    stages.iter().map(one).collect()
}

/// Convolution, rectifier, max-pooling.
#[derive(Module, Debug)]
pub(crate) struct Stage {
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

    /// # Shapes
    /// - `x`: `[batch, channel, frame]`
    /// - returns: `[batch, filter, frame / pool]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let weights = self.conv.weight.val();
        let bias = match &self.conv.bias {
            Some(bias) => bias.val(),
            None => Tensor::zeros([weights.dims()[0]], &x.device()),
        };
        let end = End::RectifiedPool { pool: self.pool.kernel_size, partial: self.padding > 0 };
        conv(x, weights, bias, ConvOptions { stride: 1, end })
    }
}

impl Stage {
    /// [`Stage::forward`] as nodes; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(&self, graph: &mut Graph, name: &str, x: &Value) -> Value {
        let weights = numbers(self.conv.weight.val());
        let weights = (name, self.conv.weight.dims(), weights.as_slice());
        let bias = self.conv.bias.as_ref().map(|bias| numbers(bias.val()));
        let x = graph.conv(x, weights, bias.as_deref(), Windows { stride: 1, padding: 0 });
        let x = graph.relu(&x);
        graph.max_pool(&x, self.pool.kernel_size, self.padding)
    }
}

/// Stages one after the other, as nodes.
pub(crate) fn lower(stages: &[Stage], graph: &mut Graph, mut x: Value) -> Value {
    for (number, stage) in stages.iter().enumerate() {
        x = stage.lower(graph, &format!("stages.{number}.conv"), &x);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front_end::{MelConfig, StridedConfig};

    fn frames(stride: usize, partial_pools: PartialPools) -> Result<Vec<usize>, ModelError> {
        let strided = StridedConfig { length: stride, stride, ..Default::default() };
        let stages = [StageConfig::default(); 2];
        let plan_of = FrontEndConfig::Strided(strided);
        let plan = Plan::new(&plan_of, &stages, partial_pools, 48_000)?;
        Ok(plan.extents.iter().map(|extent| extent.frames).collect())
    }

    #[test]
    fn partial_pools_are_kept_only_where_nothing_else_is_left() {
        assert_eq!(frames(256, PartialPools::Auto).unwrap(), [45, 9]);
        assert_eq!(frames(256, PartialPools::Always).unwrap(), [45, 10]);
        assert_eq!(frames(1024, PartialPools::Auto).unwrap(), [9, 1]);
        let error = frames(1024, PartialPools::Never).unwrap_err().to_string();
        assert!(error.contains("partial_pools"), "{error}");
        // 37 frames, 30 after the first filter: whole pools give 7, too few for the next filter.
        assert_eq!(frames(1297, PartialPools::Auto).unwrap(), [8, 1]);
    }

    /// The arithmetic of the published convnet for latent factors: 128 frames of 3 s, filters of 6
    /// frames, pools of 4 leave 6 frames; the 5 of the author's talk take another last pool.
    #[test]
    fn the_latent_factor_convnet_of_the_paper_ends_at_6_or_5_frames() {
        let mel =
            MelConfig { sample_rate: 22_050, n_fft: 1024, hop_length: 512, ..MelConfig::default() };
        let samples = 1024 + 127 * 512;
        let front_end = FrontEndConfig::Mel(mel);
        let frames = |pools: [usize; 2]| {
            let stages = pools.map(|pool| StageConfig { filters: 8, length: 6, pool });
            Plan::new(&front_end, &stages, PartialPools::Auto, samples).unwrap().output().1
        };
        assert_eq!(front_end.frames(samples), 128);
        assert_eq!(frames([4, 4]), 6);
        assert_eq!(frames([4, 5]), 5);
    }
}
