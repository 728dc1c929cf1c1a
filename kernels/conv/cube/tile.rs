//! Matrix products in tiles: what the convolution and both of its gradients are computed as.
//!
//! A cube (workgroup) computes a tile of the result; each unit holds a part of it in registers. Rows of the left factor
//! and columns of the right one pass through shared memory, [`DEPTH`] values of each at a time.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

/// Units per cube.
pub const UNITS: usize = UNIT_ROWS * UNIT_COLUMNS;
const UNIT_ROWS: usize = 8;
const UNIT_COLUMNS: usize = 16;
/// Products that are added to every sum between two barriers.
pub const DEPTH: usize = 16;
/// The largest number of rows, and of columns, of sums that a unit holds.
pub const MAX_SUMS: usize = 8;
/// The largest amount of memory that the units of a cube share: both factors and two tables with one value per column.
/// WebGPU guarantees 16 KiB.
pub const MAX_SHARED_BYTES: usize = {
    let (height, width) = (UNIT_ROWS * MAX_SUMS, UNIT_COLUMNS * MAX_SUMS);
    size_of::<f32>() * (DEPTH * (height + 1 + width + 1) + 2 * width)
};
/// Marks a row or column beyond the matrix.
pub const NONE: u32 = u32::MAX;

/// The sums that a unit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    pub rows: usize,
    pub columns: usize,
    /// Whether a unit's rows are adjacent; otherwise they are `UNIT_ROWS` apart.
    pub rows_adjacent: bool,
    /// Whether a unit's columns are adjacent; otherwise they are `UNIT_COLUMNS` apart, and the units of a row write
    /// to consecutive addresses.
    pub columns_adjacent: bool,
}

impl Tile {
    /// For a matrix of `rows` rows: the fewer rows, the lower the tile.
    pub fn new(rows: usize, columns: usize) -> Self {
        let rows = (rows / UNIT_ROWS).clamp(1, MAX_SUMS);
        Self { rows: 1 << rows.ilog2(), columns, rows_adjacent: false, columns_adjacent: false }
    }

    /// A tile whose units hold whole groups of adjacent rows and columns: `rows`, a power of two, divides the rows of a
    /// unit, and `columns` its columns.
    pub fn with_groups(self, rows: usize, columns: usize) -> Self {
        Self {
            rows: self.rows.max(rows),
            rows_adjacent: rows > 1,
            columns_adjacent: columns > 1,
            ..self
        }
    }

    /// Rows per cube.
    pub fn height(self) -> usize {
        UNIT_ROWS * self.rows
    }

    /// Columns per cube.
    pub fn width(self) -> usize {
        UNIT_COLUMNS * self.columns
    }

    /// Cubes for a matrix of `rows` by `columns`.
    pub fn cubes(self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.height()) * columns.div_ceil(self.width())
    }

    /// Distance in shared memory from one value of a row to the next; odd, so that they are in different banks.
    pub fn left_stride(self) -> usize {
        self.height() + 1
    }

    /// The same for values of a column.
    pub fn right_stride(self) -> usize {
        self.width() + 1
    }

    /// Values of the left factor that a unit loads per step.
    pub fn left_turns(self) -> usize {
        self.height() * DEPTH / UNITS
    }

    /// Values of the right factor that a unit loads per step.
    pub fn right_turns(self) -> usize {
        self.width() * DEPTH / UNITS
    }
}

/// Adds the products of [`DEPTH`] rows of both factors to a unit's sums, once all units of the cube have loaded
/// theirs; on return they may load the next ones.
#[cube]
pub fn multiply(
    left: &Shared<[f32]>,
    right: &Shared<[f32]>,
    sums: &mut Array<f32>,
    #[comptime] tile: Tile,
) {
    sync_cube();
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
    sync_cube();
}

/// Sums that are 0.
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
    if comptime!(tile.rows_adjacent) {
        unit * comptime!(tile.rows) + i
    } else {
        unit + i * UNIT_ROWS
    }
}

/// Row, within its cube, of the value at `place` in a column of the left factor.
#[cube]
pub fn row_at(place: usize, #[comptime] tile: Tile) -> usize {
    if comptime!(tile.rows_adjacent) {
        place % UNIT_ROWS * comptime!(tile.rows) + place / UNIT_ROWS
    } else {
        place
    }
}

/// Column of a unit's `j`-th sums, within its cube.
#[cube]
pub fn column_of_sum(#[comptime] j: usize, #[comptime] tile: Tile) -> usize {
    let unit = UNIT_POS as usize % UNIT_COLUMNS;
    if comptime!(tile.columns_adjacent) {
        unit * comptime!(tile.columns) + j
    } else {
        unit + j * UNIT_COLUMNS
    }
}

/// Column, within its cube, of the value at `place` in a row of the right factor.
#[cube]
pub fn column_at(place: usize, #[comptime] tile: Tile) -> usize {
    if comptime!(tile.columns_adjacent) {
        place % UNIT_COLUMNS * comptime!(tile.columns) + place / UNIT_COLUMNS
    } else {
        place
    }
}
