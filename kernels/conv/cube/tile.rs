//! A product of two matrices, tile by tile: what the convolution and both of its gradients come to.
//!
//! A cube (workgroup) takes a tile of the result, a unit a part of it in registers. Rows of the left factor
//! and columns of the right one lie in shared memory, [`DEPTH`] numbers of each at a time.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

/// Units of a cube: `UNIT_ROWS` times `UNIT_COLUMNS`.
pub const UNITS: usize = UNIT_ROWS * UNIT_COLUMNS;
const UNIT_ROWS: usize = 8;
const UNIT_COLUMNS: usize = 16;
/// Products that are added to every sum between two barriers.
pub const DEPTH: usize = 16;
/// Rows and columns of sums that a unit holds, at most.
pub const MAX_SUMS: usize = 8;
/// What the units of a cube share, at most: both factors, and two tables of what belongs to a column. Less than
/// the 16 KiB that WebGPU promises.
pub const MAX_SHARED_BYTES: usize = {
    let (height, width) = (UNIT_ROWS * MAX_SUMS, UNIT_COLUMNS * MAX_SUMS);
    size_of::<f32>() * (DEPTH * (height + 1 + width + 1) + 2 * width)
};
/// Marks a row or column that lies beyond the matrix.
pub const NONE: u32 = u32::MAX;

/// Sums that a unit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    pub rows: usize,
    pub columns: usize,
    /// Whether a unit's rows are neighbours, else as far apart as a cube has units one below the other.
    pub rows_together: bool,
    /// Whether a unit's columns are neighbours; else they are as far apart as a cube has units side by
    /// side, and what the units write together is one stretch of memory.
    pub columns_together: bool,
}

impl Tile {
    /// For a matrix of so many rows: the fewer rows, the lower the tile.
    pub fn new(rows: usize, columns: usize) -> Self {
        let rows = (rows / UNIT_ROWS).clamp(1, MAX_SUMS);
        Self { rows: 1 << rows.ilog2(), columns, rows_together: false, columns_together: false }
    }

    /// A tile whose units hold whole groups of `size` neighbouring rows, a power of two up to [`MAX_SUMS`].
    pub fn with_groups_of_rows(self, size: usize) -> Self {
        Self { rows: self.rows.max(size), rows_together: true, ..self }
    }

    /// A tile whose units hold neighbouring columns.
    pub fn with_columns_together(self, columns_together: bool) -> Self {
        Self { columns_together, ..self }
    }

    /// Rows of a cube.
    pub fn height(self) -> usize {
        UNIT_ROWS * self.rows
    }

    /// Columns of a cube.
    pub fn width(self) -> usize {
        UNIT_COLUMNS * self.columns
    }

    /// Cubes for a matrix of so many rows and columns.
    pub fn cubes(self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.height()) * columns.div_ceil(self.width())
    }

    /// Shared values from one product to the next; odd, so that neighbours lie in different banks.
    pub fn left_stride(self) -> usize {
        self.height() + 1
    }

    /// See [`Tile::left_stride`].
    pub fn right_stride(self) -> usize {
        self.width() + 1
    }

    /// Values that a unit brings to shared memory in one step.
    pub fn left_turns(self) -> usize {
        self.height() * DEPTH / UNITS
    }

    /// See [`Tile::left_turns`].
    pub fn right_turns(self) -> usize {
        self.width() * DEPTH / UNITS
    }
}

/// Adds the products of [`DEPTH`] rows of both factors to a unit's sums.
#[cube]
pub fn multiply(
    left: &Shared<[f32]>,
    right: &Shared<[f32]>,
    sums: &mut Array<f32>,
    #[comptime] tile: Tile,
) {
    let (rows, columns) = comptime!((tile.rows, tile.columns));
    let mut of_left = Array::<f32>::new(rows);
    let mut of_right = Array::<f32>::new(columns);
    let row = UNIT_POS as usize / UNIT_COLUMNS;
    let column = UNIT_POS as usize % UNIT_COLUMNS;
    for k in 0..DEPTH {
        #[unroll]
        for i in 0..rows {
            of_left[i] = left[k * comptime!(tile.left_stride()) + row + i * UNIT_ROWS];
        }
        #[unroll]
        for j in 0..columns {
            of_right[j] = right[k * comptime!(tile.right_stride()) + column + j * UNIT_COLUMNS];
        }
        #[unroll]
        for i in 0..rows {
            #[unroll]
            for j in 0..columns {
                sums[i * columns + j] += of_left[i] * of_right[j];
            }
        }
    }
}

/// Sums of 0.
#[cube]
pub fn zeros(#[comptime] tile: Tile) -> Array<f32> {
    let count = comptime!(tile.rows * tile.columns);
    let mut sums = Array::<f32>::new(count);
    #[unroll]
    for i in 0..count {
        sums[i] = 0.0;
    }
    sums
}

/// Row of a unit's `i`-th sums, within its cube.
#[cube]
pub fn row_of_sum(#[comptime] i: usize, #[comptime] tile: Tile) -> usize {
    let unit = UNIT_POS as usize / UNIT_COLUMNS;
    if comptime!(tile.rows_together) {
        unit * comptime!(tile.rows) + i
    } else {
        unit + i * UNIT_ROWS
    }
}

/// Row, within its cube, of what stands at `place` of a column of the left factor.
#[cube]
pub fn row_at(place: usize, #[comptime] tile: Tile) -> usize {
    if comptime!(tile.rows_together) {
        place % UNIT_ROWS * comptime!(tile.rows) + place / UNIT_ROWS
    } else {
        place
    }
}

/// Column of a unit's `j`-th sums, within its cube.
#[cube]
pub fn column_of_sum(#[comptime] j: usize, #[comptime] tile: Tile) -> usize {
    let unit = UNIT_POS as usize % UNIT_COLUMNS;
    if comptime!(tile.columns_together) {
        unit * comptime!(tile.columns) + j
    } else {
        unit + j * UNIT_COLUMNS
    }
}

/// Column, within its cube, of what stands at `place` of a row of the right factor.
#[cube]
pub fn column_at(place: usize, #[comptime] tile: Tile) -> usize {
    if comptime!(tile.columns_together) {
        place % UNIT_COLUMNS * comptime!(tile.columns) + place / UNIT_COLUMNS
    } else {
        place
    }
}
