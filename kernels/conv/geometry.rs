//! Sizes of a convolution, worked out once.

use super::{ConvOptions, End};
use crate::precision::Precision;

/// See the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub batch: usize,
    pub channels: usize,
    /// Of the input.
    pub frames: usize,
    pub filters: usize,
    /// Frames of a filter.
    pub length: usize,
    pub stride: usize,
    /// Of the convolution, before pooling.
    pub windows: usize,
    pub rectify: bool,
    /// Windows of a pool; 1 where nothing is pooled.
    pub pool: usize,
    pub pools: usize,
    /// Of the factors of all products.
    pub precision: Precision,
}

impl Geometry {
    /// With the precision that this thread asks for.
    ///
    /// # Panics
    /// See [`super::conv`].
    pub fn new(
        [batch, channels, frames]: [usize; 3],
        [filters, of, length]: [usize; 3],
        options: ConvOptions,
    ) -> Self {
        let stride = options.stride;
        assert_eq!(channels, of, "the filters have another number of channels than the input");
        assert!(
            stride > 0 && length > 0 && channels > 0,
            "stride, length and channels are above 0"
        );
        assert!(frames >= length, "{frames} frames are fewer than the {length} of a filter");
        let windows = (frames - length) / stride + 1;
        let (rectify, pool, pools) = match options.end {
            End::Linear => (false, 1, windows),
            End::RectifiedPool { pool, partial } => {
                assert!(pool > 0, "a pool has frames");
                let pools = if partial { windows.div_ceil(pool) } else { windows / pool };
                assert!(pools > 0, "{windows} frames are fewer than the {pool} of a pool");
                (true, pool, pools)
            }
        };
        let precision = Precision::asked();
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

    /// Numbers of a window.
    pub fn depth(&self) -> usize {
        self.length * self.channels
    }

    /// Numbers from the beginning of one window to that of the next.
    pub fn hop(&self) -> usize {
        self.stride * self.channels
    }

    /// Numbers of an item of the input.
    pub fn item(&self) -> usize {
        self.frames * self.channels
    }

    /// Numbers of an item of the output.
    pub fn output_item(&self) -> usize {
        self.pools * self.filters
    }

    /// Pools whose windows stay in the first-level cache together.
    pub fn pools_per_block(&self) -> usize {
        const CACHED: usize = 6 * 1024;
        let windows = (CACHED.saturating_sub(self.depth()) / self.hop()).max(12);
        (windows / self.pool).max(1)
    }
}
