//! Dense linear algebra in `f32` on one thread, for many small systems.
//!
//! A matrix is a slice of rows that begin `ld` values apart (the leading dimension); [`padded`] returns an `ld` for which
//! every kernel works in whole registers. Values between the last column and `ld` must be finite: they are read and
//! overwritten, but do not affect results. Every kernel panics if a matrix exceeds its slice or lacks padding.
//!
//! Nearly all of the work is one micro-kernel, which keeps a tile of the output in registers during the sum. Each element
//! is summed in the order of the index.
//!
//! For `f64` and for large matrices, use faer. For small ones it is slower: on an AVX2 processor, the Cholesky factor and
//! solution of 50 (100, 400) unknowns take 3.5 (2.9, 1.1) times as long with faer 0.24, products of 32 rows with a triangle
//! 3.0 (2.1, 0.9) times, and a Gram matrix of 20 rows of 50 values 2.8 times, of 200 rows 1.08 times.
//!
//! # References
//! Goto, van de Geijn: "Anatomy of high-performance matrix multiplication", ACM TOMS 34(3), 2008.

#![allow(clippy::needless_range_loop, reason = "registers are indexed by constants")]

mod indexed;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
use crate::simd::{self, Kind, Portable, Simd};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use indexed::{combine, gather, gather_transposed, normal_product};

pub use crate::simd::Width;

/// Padded rows are a multiple of this number of values: one cache line.
pub const ALIGNMENT: usize = 16;

/// `rows` rounded up to whole blocks, for kernels that compute blocks of rows.
pub const fn padded_rows(rows: usize) -> usize {
    rows.div_ceil(8) * 8
}

/// A leading dimension for rows of `columns` values.
pub const fn padded(columns: usize) -> usize {
    let ld = columns.div_ceil(ALIGNMENT) * ALIGNMENT;
    // An odd number of cache lines, so that columns spread over all sets of the cache.
    if ld > 64 && (ld / ALIGNMENT).is_multiple_of(2) { ld + ALIGNMENT } else { ld }
}

/// The triangle of a square matrix that may be nonzero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Triangle {
    /// The diagonal and below.
    Lower,
    /// The diagonal and above.
    Upper,
}

/// Compiles a generic kernel once per instruction set and selects one at run time.
macro_rules! kernels {
    ($($(#[$doc:meta])* pub fn $name:ident($self:ident $(, $argument:ident: $kind:ty)* $(,)?)
        $(-> $result:ty)? { $($check:tt)* } => $generic:ident;)*) => {
        impl Width {$(
            $(#[$doc])*
            #[allow(clippy::too_many_arguments, reason = "matrices come with their dimensions")]
            pub fn $name($self $(, $argument: $kind)*) $(-> $result)? {
                $($check)*
                #[cfg(target_arch = "x86_64")]
                {
                    #[target_feature(enable = "avx512f")]
                    #[allow(clippy::too_many_arguments, reason = "as above")]
                    unsafe fn avx512($($argument: $kind),*) $(-> $result)? {
                        // SAFETY: the caller's.
                        unsafe { $generic::<Avx512, 8>($($argument),*) }
                    }
                    #[target_feature(enable = "avx2,fma")]
                    #[allow(clippy::too_many_arguments, reason = "as above")]
                    unsafe fn avx2($($argument: $kind),*) $(-> $result)? {
                        // SAFETY: the caller's.
                        unsafe { $generic::<Avx2, 4>($($argument),*) }
                    }
                    match $self.0 {
                        // SAFETY: a `Width` exists only if the processor supports it, and the
                        // dimensions were checked above.
                        Kind::Avx512 => return unsafe { avx512($($argument),*) },
                        // SAFETY: as above.
                        Kind::Avx2 => return unsafe { avx2($($argument),*) },
                        Kind::Portable => {}
                    }
                }
                #[cfg(target_arch = "aarch64")]
                if $self.0 == Kind::Neon {
                    // SAFETY: the target has NEON, and the dimensions were checked above.
                    return unsafe { $generic::<Neon, 4>($($argument),*) };
                }
                // SAFETY: the dimensions were checked above.
                unsafe { $generic::<Portable, 4>($($argument),*) }
            }
        )*}
    };
}

/// Panics unless `length` values hold `rows` padded rows.
#[track_caller]
fn check(length: usize, rows: usize, columns: usize, ld: usize) {
    assert!(ld.is_multiple_of(ALIGNMENT) && columns <= ld, "{columns} columns, ld {ld}");
    assert!(rows.checked_mul(ld).is_some_and(|needed| needed <= length), "{rows} rows of {ld}");
}

kernels! {
    /// The upper triangle of `c = a' a` or, if `add`, of `c += a' a`.
    ///
    /// # Shapes
    /// - `a`: `depth` rows of `columns`, `ld` apart
    /// - `c`: `rows` rows of `columns`, `rows <= columns`, `ld` apart, with padded rows. Values below the diagonal are
    ///   undefined.
    pub fn gram(self, a: &[f32], ld: usize, depth: usize, c: &mut [f32], rows: usize, columns: usize, add: bool) {
        check(a.len(), depth, columns, ld);
        check(c.len(), padded_rows(rows), columns, ld);
        assert!(rows <= columns && padded_rows(rows) <= ld);
    } => gram;

    /// The Cholesky factor of the symmetric `c = u' u`, in place, and the solution of `u' z = r`.
    ///
    /// Reads the upper triangle only. Returns false if `c` is not positive definite, or not finite.
    ///
    /// # Shapes
    /// - `c`: `n` rows, with padded rows; column `n` is the right-hand side `r`, which becomes `z`
    /// - `inverse_diagonal`: [`padded_rows`]`(n)` values, set to `1 / u[i][i]`
    pub fn cholesky(self, c: &mut [f32], ld: usize, n: usize, inverse_diagonal: &mut [f32]) -> bool {
        check(c.len(), padded_rows(n), n + 1, ld);
        assert!(inverse_diagonal.len() >= padded_rows(n) && padded_rows(n) <= ld);
    } => cholesky;

    /// The solution of `u w = z`, with `u` and `z` from [`Width::cholesky`].
    ///
    /// # Shapes
    /// - `w`: at least `ld` values; those from the `n`-th on become 0
    pub fn back_substitute(self, u: &[f32], ld: usize, n: usize, inverse_diagonal: &[f32], w: &mut [f32]) {
        check(u.len(), padded_rows(n), n + 1, ld);
        assert!(inverse_diagonal.len() >= padded_rows(n) && w.len() >= ld);
    } => back_substitute;

    /// `c = a b` for a triangular `b`.
    ///
    /// # Shapes
    /// - `a`: `rows` rows of `n`, `lda` apart, without padding
    /// - `b`: `n` rows of `n`, `ld` apart
    /// - `c`: `rows` rows of `n`, `ld` apart
    pub fn multiply(self, a: &[f32], lda: usize, rows: usize, b: &[f32], triangle: Triangle, n: usize, c: &mut [f32], ld: usize) {
        assert!(n <= lda && (rows == 0 || (rows - 1) * lda + n <= a.len()));
        check(b.len(), n, n, ld);
        check(c.len(), rows, n, ld);
    } => multiply;

    /// `out[k] = scales[k] * rows[indices[k]]`.
    ///
    /// # Shapes
    /// - `rows`: rows of at least `columns` values, `ld_rows` apart
    /// - `out`: `indices.len()` rows of `columns`, `ld` apart
    pub fn gather(self, rows: &[f32], ld_rows: usize, columns: usize, indices: &[u32], scales: &[f32], out: &mut [f32], ld: usize) {
        check_indices(rows, ld_rows, columns, indices, scales);
        check(out.len(), indices.len(), columns, ld);
    } => gather;

    /// The transpose of [`Width::gather`]: `out[j][k] = scales[k] * rows[indices[k]][j]`; further columns are 0.
    ///
    /// # Shapes
    /// - `out`: `columns` rows, rounded up to [`ALIGNMENT`], `ld > indices.len()` apart
    pub fn gather_transposed(self, rows: &[f32], ld_rows: usize, columns: usize, indices: &[u32], scales: &[f32], out: &mut [f32], ld: usize) {
        check_indices(rows, ld_rows, columns, indices, scales);
        check(out.len(), columns.div_ceil(ALIGNMENT) * ALIGNMENT, indices.len() + 1, ld);
    } => gather_transposed;

    /// `out += sum over k of weights[k] rows[indices[k]]`.
    ///
    /// # Shapes
    /// - `out`: `columns` rounded up to [`ALIGNMENT`]
    pub fn combine(self, rows: &[f32], ld_rows: usize, columns: usize, indices: &[u32], weights: &[f32], out: &mut [f32]) {
        check_indices(rows, ld_rows, columns, indices, weights);
        assert!(out.len() >= columns.div_ceil(ALIGNMENT) * ALIGNMENT);
    } => combine;

    /// `out = w' a`.
    ///
    /// # Shapes
    /// - `a`: `depth` rows of `columns`, `ld` apart
    /// - `w`: `depth` values
    /// - `out`: `columns` rounded up to [`ALIGNMENT`]
    pub fn apply_transposed(self, a: &[f32], ld: usize, depth: usize, columns: usize, w: &[f32], out: &mut [f32]) {
        check(a.len(), depth, columns, ld);
        assert!(w.len() >= depth && out.len() >= columns.div_ceil(ALIGNMENT) * ALIGNMENT);
    } => apply_transposed;

    /// `product += A' t` with `t = targets - A x`, or `t = A x` without targets, and `dots = A x`, in one pass over the
    /// rows `scales[k] * rows[indices[k]]` of `A`.
    ///
    /// # Shapes
    /// - `rows`: rows of at least `columns` values, `ld_rows` apart; zero from `columns` to the next whole register
    /// - `scales`, `targets`: one value per index
    /// - `x`, `product`: `columns` rounded up to [`ALIGNMENT`]
    /// - `dots`: at least one value per index
    /// - `ahead`: indices of rows to prefetch meanwhile, at most as many as `indices`
    pub fn normal_product(self, rows: &[f32], ld_rows: usize, columns: usize, indices: &[u32], ahead: &[u32], scales: &[f32], targets: Option<&[f32]>, x: &[f32], dots: &mut [f32], product: &mut [f32]) {
        check_indices(rows, ld_rows, columns, indices, scales);
        let whole = columns.div_ceil(ALIGNMENT) * ALIGNMENT;
        assert!(x.len() >= whole && product.len() >= whole && dots.len() >= indices.len());
        assert!(targets.is_none_or(|targets| targets.len() == indices.len()));
    } => normal_product;

    /// `a . b`.
    ///
    /// # Shapes
    /// - `a`, `b`: equal lengths
    pub fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
    } => dot;

    /// `y += factor x`.
    ///
    /// # Shapes
    /// - `x`, `y`: equal lengths
    pub fn add_scaled(self, factor: f32, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), y.len());
    } => add_scaled;

    /// `y = x + factor y`.
    ///
    /// # Shapes
    /// - `x`, `y`: equal lengths
    pub fn scale_and_add(self, factor: f32, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), y.len());
    } => scale_and_add;
}

impl Width {
    /// Prefetches the first `columns` values of rows that are `ld_rows` apart.
    pub fn prefetch(self, rows: &[f32], ld_rows: usize, columns: usize, indices: &[u32]) {
        for &index in indices {
            let row = rows.as_ptr().wrapping_add(index as usize * ld_rows);
            for column in (0..columns).step_by(ALIGNMENT) {
                simd::prefetch(row.wrapping_add(column));
            }
        }
    }
}

#[track_caller]
fn check_indices(rows: &[f32], ld: usize, columns: usize, indices: &[u32], scales: &[f32]) {
    check(ld, 1, columns, ld);
    let highest = indices.iter().copied().max().map_or(0, |index| index as usize + 1);
    assert!(highest <= rows.len() / ld && indices.len() == scales.len(), "index {highest}");
}

const SET: u8 = 0;
const ADD: u8 = 1;
const SUBTRACT: u8 = 2;

/// The micro-kernel: `c (=, +=, -=) sum over k < depth of a[r][k] b[k][..]` for `R` rows and `NV`
/// registers of columns; `a[r][k]` is at `r * row_step + k * depth_step`.
///
/// # Safety
/// The processor supports `S`, and all elements named above are within the allocations of the pointers.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "matrices come with their dimensions")]
unsafe fn tile<S: Simd, const R: usize, const NV: usize, const MODE: u8>(
    a: *const f32,
    (row_step, depth_step): (usize, usize),
    b: *const f32,
    ldb: usize,
    depth: usize,
    c: *mut f32,
    ldc: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[S::zero(); NV]; R];
        if MODE != SET {
            for r in 0..R {
                for v in 0..NV {
                    sums[r][v] = S::load(c.add(r * ldc + v * S::LANES));
                }
            }
        }
        for k in 0..depth {
            let mut row = [S::zero(); NV];
            for v in 0..NV {
                row[v] = S::load(b.add(k * ldb + v * S::LANES));
            }
            for r in 0..R {
                let x = S::splat(*a.add(r * row_step + k * depth_step));
                for v in 0..NV {
                    sums[r][v] = match MODE {
                        SUBTRACT => S::multiply_sub(x, row[v], sums[r][v]),
                        _ => S::multiply_add(x, row[v], sums[r][v]),
                    };
                }
            }
        }
        for r in 0..R {
            for v in 0..NV {
                S::store(c.add(r * ldc + v * S::LANES), sums[r][v]);
            }
        }
    }
}

/// [`tile`] for one, two or three registers of columns.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "as above")]
unsafe fn tile_of<S: Simd, const R: usize, const MODE: u8>(
    registers: usize,
    a: *const f32,
    steps: (usize, usize),
    b: *const f32,
    ldb: usize,
    depth: usize,
    c: *mut f32,
    ldc: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        match registers {
            1 => tile::<S, R, 1, MODE>(a, steps, b, ldb, depth, c, ldc),
            2 => tile::<S, R, 2, MODE>(a, steps, b, ldb, depth, c, ldc),
            _ => tile::<S, R, 3, MODE>(a, steps, b, ldb, depth, c, ldc),
        }
    }
}

/// How many of the remaining registers of columns the next strip of tiles covers.
#[inline(always)]
fn strip(left: usize) -> usize {
    // Two and two instead of three and one: loads limit the speed of a tile of one register.
    if left == 2 || left == 4 { 2 } else { left.min(3) }
}

#[inline(always)]
unsafe fn gram<S: Simd, const R: usize>(
    a: &[f32],
    ld: usize,
    depth: usize,
    c: &mut [f32],
    rows: usize,
    columns: usize,
    add: bool,
) {
    let registers = columns.div_ceil(S::LANES);
    let (a, c) = (a.as_ptr(), c.as_mut_ptr());
    let mut begin = 0;
    while begin < registers {
        let end = begin + strip(registers - begin);
        for row in (0..rows.min(end * S::LANES)).step_by(R) {
            let first = begin.max(row / S::LANES);
            let column = first * S::LANES;
            // SAFETY: rows and columns were checked, with padding.
            unsafe {
                let (left, right) = (a.add(row), a.add(column));
                let out = c.add(row * ld + column);
                if add {
                    tile_of::<S, R, ADD>(end - first, left, (1, ld), right, ld, depth, out, ld);
                } else {
                    tile_of::<S, R, SET>(end - first, left, (1, ld), right, ld, depth, out, ld);
                }
            }
        }
        begin = end;
    }
}

#[inline(always)]
unsafe fn cholesky<S: Simd, const R: usize>(
    c: &mut [f32],
    ld: usize,
    n: usize,
    inverse_diagonal: &mut [f32],
) -> bool {
    let registers = (n + 1).div_ceil(S::LANES);
    let c = c.as_mut_ptr();
    for top in (0..n).step_by(R) {
        let first = top / S::LANES;
        // Subtract the products of the rows above.
        let mut begin = first;
        while begin < registers && top > 0 {
            let width = strip(registers - begin);
            let column = begin * S::LANES;
            // SAFETY: as checked; the tile reads rows above `top` and writes below.
            unsafe {
                let (left, right) = (c.add(top), c.add(column));
                let out = c.add(top * ld + column);
                tile_of::<S, R, SUBTRACT>(width, left, (1, ld), right, ld, top, out, ld);
            }
            begin += width;
        }
        // The block on the diagonal, one value at a time; rows from `n` on are those of the identity.
        let mut square = [[0.0_f32; R]; R];
        let mut inverse = [1.0_f32; R];
        let rows = R.min(n - top);
        for i in 0..rows {
            for j in i..rows {
                // SAFETY: as checked.
                square[i][j] = unsafe { *c.add((top + i) * ld + top + j) };
            }
        }
        for i in 0..R {
            if i < rows {
                // NaN must fail.
                if !(square[i][i] > 0.0 && square[i][i] < f32::INFINITY) {
                    return false;
                }
                inverse[i] = 1.0 / square[i][i].sqrt();
            }
            for j in i + 1..R {
                square[i][j] *= inverse[i];
            }
            for k in i + 1..R {
                for j in k..R {
                    square[k][j] -= square[i][k] * square[i][j];
                }
            }
        }
        inverse_diagonal[top..top + R].copy_from_slice(&inverse);
        // Complete rows, including the block on the diagonal.
        for register in first..registers {
            // SAFETY: as checked; padded rows exist.
            unsafe {
                let at = c.add(top * ld + register * S::LANES);
                let mut x = [S::zero(); R];
                for i in 0..R {
                    x[i] = S::load(at.add(i * ld));
                }
                for i in 0..R {
                    x[i] = S::mul(x[i], S::splat(inverse[i]));
                    for k in i + 1..R {
                        x[k] = S::multiply_sub(S::splat(square[i][k]), x[i], x[k]);
                    }
                }
                for i in 0..R {
                    S::store(at.add(i * ld), x[i]);
                }
            }
        }
    }
    true
}

#[inline(always)]
unsafe fn back_substitute<S: Simd, const R: usize>(
    u: &[f32],
    ld: usize,
    n: usize,
    inverse_diagonal: &[f32],
    w: &mut [f32],
) {
    w.fill(0.0);
    let registers = n.div_ceil(S::LANES);
    for top in (0..n).step_by(R).rev() {
        let rows = R.min(n - top);
        // Unknowns that are not yet solved are zero.
        let mut known = [0.0_f32; R];
        // SAFETY: as checked; padded rows exist.
        unsafe {
            let mut sums = [S::zero(); R];
            for register in top / S::LANES..registers {
                let x = S::load(w.as_ptr().add(register * S::LANES));
                for r in 0..R {
                    let at = (top + r) * ld + register * S::LANES;
                    sums[r] = S::multiply_add(S::load(u.as_ptr().add(at)), x, sums[r]);
                }
            }
            for r in 0..R {
                known[r] = S::sum(sums[r]);
            }
        }
        for i in (0..rows).rev() {
            let row = &u[(top + i) * ld..];
            let mut x = row[n] - known[i];
            for j in i + 1..rows {
                x -= row[top + j] * w[top + j];
            }
            w[top + i] = x * inverse_diagonal[top + i];
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "as above")]
unsafe fn multiply<S: Simd, const R: usize>(
    a: &[f32],
    lda: usize,
    rows: usize,
    b: &[f32],
    triangle: Triangle,
    n: usize,
    c: &mut [f32],
    ld: usize,
) {
    let registers = n.div_ceil(S::LANES);
    let mut begin = 0;
    while begin < registers {
        let width = strip(registers - begin);
        let column = begin * S::LANES;
        let (from, to) = match triangle {
            Triangle::Upper => (0, n.min(column + width * S::LANES)),
            Triangle::Lower => (column, n),
        };
        let whole = rows / R * R;
        // SAFETY: as checked.
        unsafe {
            let right = b.as_ptr().add(from * ld + column);
            let step = |row: usize| a.as_ptr().add(row * lda + from);
            for row in (0..whole).step_by(R) {
                let out = c.as_mut_ptr().add(row * ld + column);
                let left = step(row);
                tile_of::<S, R, SET>(width, left, (lda, 1), right, ld, to - from, out, ld);
            }
            for row in whole..rows {
                let out = c.as_mut_ptr().add(row * ld + column);
                let left = step(row);
                tile_of::<S, 1, SET>(width, left, (lda, 1), right, ld, to - from, out, ld);
            }
        }
        begin += width;
    }
}

#[inline(always)]
unsafe fn apply_transposed<S: Simd, const R: usize>(
    a: &[f32],
    ld: usize,
    depth: usize,
    columns: usize,
    w: &[f32],
    out: &mut [f32],
) {
    let registers = columns.div_ceil(S::LANES);
    let mut begin = 0;
    while begin < registers {
        let column = begin * S::LANES;
        // SAFETY: as checked; the output is one row, so its leading dimension is not used. Tiles are wide because a
        // single row needs many independent sums.
        begin += unsafe {
            let (w, right) = (w.as_ptr(), a.as_ptr().add(column));
            let to = out.as_mut_ptr().add(column);
            match registers - begin {
                8.. => {
                    tile::<S, 1, 8, SET>(w, (0, 1), right, ld, depth, to, 0);
                    8
                }
                4.. => {
                    tile::<S, 1, 4, SET>(w, (0, 1), right, ld, depth, to, 0);
                    4
                }
                left => {
                    tile_of::<S, 1, SET>(left, w, (0, 1), right, ld, depth, to, 0);
                    left
                }
            }
        };
    }
}

#[inline(always)]
unsafe fn dot<S: Simd, const R: usize>(a: &[f32], b: &[f32]) -> f32 {
    let whole = a.len() / S::LANES * S::LANES;
    // Four independent sums hide the latency of an addition.
    // SAFETY: the processor has the instructions.
    let mut sums = [unsafe { S::zero() }; 4];
    for (k, at) in (0..whole).step_by(S::LANES).enumerate() {
        // SAFETY: below `whole`.
        unsafe {
            let (a, b) = (S::load(a.as_ptr().add(at)), S::load(b.as_ptr().add(at)));
            sums[k % 4] = S::multiply_add(a, b, sums[k % 4]);
        }
    }
    // SAFETY: as above.
    let sum = unsafe { S::sum(S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3]))) };
    sum + a[whole..].iter().zip(&b[whole..]).map(|(a, b)| a * b).sum::<f32>()
}

#[inline(always)]
unsafe fn add_scaled<S: Simd, const R: usize>(factor: f32, x: &[f32], y: &mut [f32]) {
    // The compiler vectorises this loop.
    y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x);
}

#[inline(always)]
unsafe fn scale_and_add<S: Simd, const R: usize>(factor: f32, x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = x + factor * *y);
}
