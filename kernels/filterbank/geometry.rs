//! Sizes of a filterbank and the blocks in which its Fourier transforms are computed.

use super::{FilterbankOptions, Response};

/// The sizes of one call; see the [parent module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub batch: usize,
    /// Samples per waveform.
    pub samples: usize,
    pub filters: usize,
    /// 2 for complex filters, 1 for real ones.
    pub parts: usize,
    /// Taps per filter.
    pub taps: usize,
    /// Values per pooling window.
    pub window: usize,
    pub options: FilterbankOptions,
}

impl Geometry {
    /// # Panics
    /// See [`super::band_energies`].
    pub fn new(
        [batch, samples]: [usize; 2],
        [filters, parts, taps]: [usize; 3],
        [windows, window]: [usize; 2],
        options: FilterbankOptions,
    ) -> Self {
        let FilterbankOptions { stride, hop_length, response, .. } = options;
        assert!(windows == filters, "{windows} windows do not match {filters} filters");
        assert!(
            samples > 0 && filters > 0 && taps > 0 && window > 0,
            "{samples} samples, {filters} filters of {taps} taps, windows of {window} values: none can be 0"
        );
        assert!(
            stride > 0 && hop_length > 0 && hop_length.is_multiple_of(stride),
            "a stride of {stride} does not divide a hop length of {hop_length}"
        );
        assert!(
            parts == 1 || (parts == 2 && response == Response::Squared),
            "filters of {parts} parts have no {response:?} response"
        );
        Self { batch, samples, filters, parts, taps, window, options }
    }

    /// Responses per filter and waveform.
    pub fn responses(&self) -> usize {
        self.samples.div_ceil(self.options.stride)
    }

    /// Values of the responses to one waveform.
    pub fn item(&self) -> usize {
        self.responses() * self.filters * self.parts
    }

    /// Responses from one frame to the next.
    pub fn hop(&self) -> usize {
        self.options.hop_length / self.options.stride
    }

    /// One frame per hop, the last one included if it is incomplete.
    pub fn frames(&self) -> usize {
        self.samples.div_ceil(self.options.hop_length)
    }

    /// Taps before the centre of a filter.
    pub fn before_tap(&self) -> usize {
        (self.taps - 1) / 2
    }

    /// Values of a pooling window before its centre.
    pub fn before_window(&self) -> usize {
        (self.window - 1) / 2
    }

    /// Number of frames whose windows begin before the waveform.
    pub fn first_frames(&self) -> usize {
        self.before_window().div_ceil(self.hop()).min(self.frames())
    }

    /// The first frame whose window ends after the waveform.
    pub fn last_frames(&self) -> usize {
        let after = self.window - 1 - self.before_window();
        (self.responses().saturating_sub(after)).div_ceil(self.hop())
    }

    /// The part of the window of `frame` that lies on the waveform.
    pub fn inside(&self, frame: usize) -> std::ops::Range<usize> {
        let (before, at) = (self.before_window(), frame * self.hop());
        before.saturating_sub(at)..self.window.min(self.responses() + before - at)
    }
}

/// Overlapping blocks of a waveform: the responses of a block give the energies of `frames` frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Length of the Fourier transform.
    pub length: usize,
    /// Frames per block; the last block can have fewer.
    pub frames: usize,
    pub count: usize,
    /// The first response of a block is that many samples before the centre of its first frame.
    pub reach: usize,
}

/// Lengths are multiples of this, so that a transform can be decimated.
const MULTIPLE: usize = super::spectra::STEPS[0];

/// Longest transform, unless the windows of one frame need more: beyond it, transforms do not fit into a cache.
const LONGEST: usize = 10_400;

impl Blocks {
    /// The blocks that need the fewest operations; `margin` is the number of responses that are needed beyond the windows.
    pub fn new(geometry: &Geometry, margin: usize) -> Self {
        let after = geometry.window - 1 - geometry.before_window();
        let reach = (after.max(geometry.before_window()) + margin).next_multiple_of(MULTIPLE);
        let (frames, hop) = (geometry.frames(), geometry.options.hop_length);
        let of = |per_block: usize| {
            let needed = (per_block - 1) * hop + 2 * reach + geometry.taps;
            let length = smooth(needed);
            Self { length, frames: per_block, count: frames.div_ceil(per_block), reach }
        };
        // The filters are transformed once per call, every block once per waveform.
        let cost = |blocks: &Self| {
            let transforms = (blocks.count * geometry.batch.max(1) + 1) as f64;
            transforms * blocks.length as f64 * (blocks.length as f64).log2()
        };
        let mut best = of(1);
        // The number of blocks decides, so each number is tried once, from the longest blocks to the shortest.
        let mut count = 1;
        while count <= frames {
            let blocks = of(frames.div_ceil(count));
            if blocks.length <= LONGEST && cost(&blocks) < cost(&best) {
                best = blocks;
            }
            count = (count + 1).max(count * 9 / 8);
        }
        best
    }

    /// The first sample of a block; negative before the waveform.
    pub fn begin(&self, geometry: &Geometry, block: usize) -> isize {
        let centre = block * self.frames * geometry.options.hop_length;
        centre as isize - (self.reach + geometry.before_tap()) as isize
    }

    /// The frames of a block.
    pub fn of(&self, geometry: &Geometry, block: usize) -> std::ops::Range<usize> {
        block * self.frames..geometry.frames().min((block + 1) * self.frames)
    }
}

/// The smallest length from `least` on without prime factors above 5 that is a multiple of [`MULTIPLE`].
fn smooth(least: usize) -> usize {
    let is_smooth = |mut n: usize| {
        for factor in [2, 3, 5] {
            while n.is_multiple_of(factor) {
                n /= factor;
            }
        }
        n == 1
    };
    let mut length = least.next_multiple_of(MULTIPLE);
    while !is_smooth(length) {
        length += MULTIPLE;
    }
    length
}
