//! Sizes of a convolution.

use super::{ConvOptions, End};
use crate::precision::Precision;

/// All sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub batch: usize,
    pub channels: usize,
    /// Of the input.
    pub frames: usize,
    pub filters: usize,
    /// Frames per filter.
    pub length: usize,
    pub stride: usize,
    /// Frames of the convolution, before pooling.
    pub windows: usize,
    pub rectify: bool,
    /// Windows per pool; 1 without pooling.
    pub pool: usize,
    pub pools: usize,
    /// Precision of the factors of all products.
    pub precision: Precision,
}

impl Geometry {
    /// With the precision that is set on this thread.
    ///
    /// # Panics
    /// See [`super::conv`].
    pub fn new(
        [batch, channels, frames]: [usize; 3],
        [filters, of, length]: [usize; 3],
        options: ConvOptions,
    ) -> Self {
        let stride = options.stride;
        assert_eq!(channels, of, "the numbers of channels of input and filters differ");
        assert!(
            stride > 0 && length > 0 && channels > 0,
            "stride, length and number of channels must be positive"
        );
        assert!(frames >= length, "{frames} frames are fewer than the {length} frames of a filter");
        let windows = (frames - length) / stride + 1;
        let (rectify, pool, pools) = match options.end {
            End::Linear => (false, 1, windows),
            End::RectifiedPool { pool, partial } => {
                assert!(pool > 0, "the pool size must be positive");
                let pools = if partial { windows.div_ceil(pool) } else { windows / pool };
                assert!(pools > 0, "{windows} frames are fewer than the {pool} frames of a pool");
                (true, pool, pools)
            }
        };
        let precision = Precision::current();
        Self {
            batch,
            channels,
            frames,
            filters,
            length,
            stride,
            windows,
            rectify,
            pool,
            pools,
            precision,
        }
    }

    /// Values per window.
    pub fn depth(&self) -> usize {
        self.length * self.channels
    }

    /// Values from the start of one window to the start of the next.
    pub fn hop(&self) -> usize {
        self.stride * self.channels
    }

    /// Values per item of the input.
    pub fn item(&self) -> usize {
        self.frames * self.channels
    }

    /// Values per item of the output.
    pub fn output_item(&self) -> usize {
        self.pools * self.filters
    }

    /// The number of pools whose windows fit into the first-level cache together.
    pub fn pools_per_block(&self) -> usize {
        const CACHED: usize = 6 * 1024;
        let windows = (CACHED.saturating_sub(self.depth()) / self.hop()).max(12);
        (windows / self.pool).max(1)
    }
}
