//! Convolutions over time on a front end, each with its rectifier and max-pooling: the trunk that several
//! networks share.
//!
//! At stride 1024, 3 s make 46 frames, and pools that drop incomplete pools leave none: see
//! [`PartialPools`].

use burn::module::Module;
use burn::nn::PaddingConfig1d;
use burn::nn::conv::Conv1d;
use burn::nn::pool::{MaxPool1d, MaxPool1dConfig};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::error::{ensure, excerpt_too_short, fits_memory, in_range, list_length};
use crate::front_end::{FrontEndConfig, output_length};
use crate::layers::rectified_conv::{lower_rectified, rectified_conv1d, rectified_pool};
use crate::onnx::{Graph, Value};

/// One convolution with its rectifier and max-pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StageConfig {
    /// Number of filters of the convolution; 32 by default.
    pub filters: usize,
    /// Length of a filter, in frames; 8 by default.
    pub length: usize,
    /// Size and stride of the max-pooling, in frames; 4 by default, 1 for no pooling.
    pub pool: usize,
}

/// What happens to the last frames of a stage if they do not fill a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PartialPools {
    /// Kept if the next layer would otherwise have too few frames; dropped otherwise.
    #[default]
    Auto,
    /// Kept.
    Always,
    /// Dropped.
    Never,
}

impl Default for StageConfig {
    /// The values of P3.
    fn default() -> Self {
        Self { filters: 32, length: 8, pool: 4 }
    }
}

/// Frames that a stage outputs, and frames of padding that fill its last pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    frames: usize,
    padding: usize,
}

/// A front end and stages with the sizes that follow from the length of an excerpt.
pub(crate) struct Plan<'a> {
    front_end: &'a FrontEndConfig,
    stages: &'a [StageConfig],
    extents: Vec<Extent>,
    /// Frames that the front end outputs.
    frames: usize,
}

impl<'a> Plan<'a> {
    /// # Errors
    /// Names the first invalid value of `front_end`, `stages` or `partial_pools`, or says that an excerpt is
    /// too short.
    pub fn new(
        front_end: &'a FrontEndConfig,
        stages: &'a [StageConfig],
        partial_pools: PartialPools,
        excerpt_samples: usize,
    ) -> Result<Self, ModelError> {
        front_end.validate(excerpt_samples).map_err(|error| error.within("front_end"))?;
        list_length("stages", stages.len(), 0, 64)?;
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

    /// Channels and frames that the last stage outputs.
    pub fn output(&self) -> (usize, usize) {
        (
            self.stages.last().map_or(self.front_end.bands(), |stage| stage.filters),
            self.extents.last().map_or(self.frames, |extent| extent.frames),
        )
    }

    /// The stages with their initial weights.
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
        let problem = format!("longer than the {frames} frames of its input");
        let remedy = "shorten it, the pools before it or the front end's hop, keep partial pools, \
                      or raise training.excerpt_seconds";
        ensure(frames >= length, &format!("stages[{i}].length"), length, problem, remedy)?;
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
    let problem = "drops every frame of the last pool";
    let remedy = "set it to \"auto\", shrink the pools, or raise training.excerpt_seconds";
    ensure(frames > 0, "partial_pools", "never", problem, remedy)?;
    Ok(extents)
}

/// The stages in words, for reports.
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
    /// Frames of padding at the end that fill the last pool.
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
        rectified_pool(&self.conv, x, self.pool.kernel_size, self.padding > 0)
    }

    /// [`Stage::forward`] as nodes; see [`Lower`](crate::onnx::Lower).
    pub(crate) fn lower(&self, graph: &mut Graph, name: &str, x: &Value) -> Value {
        let x = lower_rectified(&self.conv, graph, name, x, 0);
        graph.max_pool(&x, self.pool.kernel_size, self.padding)
    }
}

/// Panics if an excerpt does not have the length that a network was built for.
pub(crate) fn check_length(waveforms: &Tensor<2>, samples: usize) {
    let found = waveforms.dims()[1];
    assert_eq!(found, samples, "the model was built for excerpts of another length");
}

/// All stages in order.
///
/// # Shapes
/// - `x`: `[batch, band, frame]`
/// - returns: `[batch, filter, frame]`
pub(crate) fn forward(stages: &[Stage], x: Tensor<3>) -> Tensor<3> {
    stages.iter().fold(x, |x, stage| stage.forward(x))
}

/// [`forward`] as nodes.
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
