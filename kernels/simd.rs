//! Vectors of `f32`: AVX-512, AVX2 with FMA, NEON, and plain arrays for all other processors.
//!
//! Kernels are written once over [`Simd`] and compiled once per instruction set, inside functions that enable its
//! instructions, so that everything is inlined.
//!
//! The crate pulp computes as fast (AVX2: 1.00 times our time for a tile of the convolution, 1.02 for the Fourier transform),
//! but lacks transposition (5 times our time through memory), prefetching and bfloat16 products, and supports AVX-512 only
//! with a feature that compiles faer for AVX-512 too.

#![allow(clippy::needless_range_loop, reason = "registers are indexed by constants")]

use crate::precision::Precision;

/// A set of vector instructions that this processor supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width(pub(crate) Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

impl Width {
    /// All that this processor supports, the widest first.
    pub fn all() -> Vec<Width> {
        let mut widths = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                widths.push(Width(Kind::Avx512));
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                widths.push(Width(Kind::Avx2));
            }
        }
        // Every 64-bit ARM processor that Rust compiles for by default has it.
        #[cfg(target_arch = "aarch64")]
        widths.push(Width(Kind::Neon));
        widths.push(Width(Kind::Portable));
        widths
    }

    /// The widest.
    pub fn best() -> Width {
        Width::all()[0]
    }

    /// Values per register.
    pub(crate) fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => Avx512::LANES,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => Avx2::LANES,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => Neon::LANES,
            Kind::Portable => Portable::LANES,
        }
    }

    /// Whether products of this precision use instructions for pairs of bfloat16 values (`conv/bfloat16.rs`).
    pub(crate) fn multiplies_pairs(self, precision: Precision) -> bool {
        #[cfg(target_arch = "x86_64")]
        if self.0 == Kind::Avx512 {
            return precision == Precision::Bfloat16 && precision.is_native();
        }
        let _ = precision;
        false
    }

    /// Runs a kernel that is compiled with these instructions.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f")]
            unsafe fn avx512<K: Kernel>(kernel: K) -> K::Output {
                // SAFETY: the caller's.
                unsafe { kernel.run::<Avx512>() }
            }
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2<K: Kernel>(kernel: K) -> K::Output {
                // SAFETY: the caller's.
                unsafe { kernel.run::<Avx2>() }
            }
            match self.0 {
                // SAFETY: a `Width` exists only if the processor supports it.
                Kind::Avx512 => return unsafe { avx512(kernel) },
                // SAFETY: as above.
                Kind::Avx2 => return unsafe { avx2(kernel) },
                Kind::Portable => {}
            }
        }
        #[cfg(target_arch = "aarch64")]
        if self.0 == Kind::Neon {
            // SAFETY: the target has NEON.
            return unsafe { kernel.run::<Neon>() };
        }
        // SAFETY: needs no special instructions.
        unsafe { kernel.run::<Portable>() }
    }
}

/// Work that is written once over [`Simd`] and started by [`Width::run`].
pub(crate) trait Kernel {
    type Output;

    /// Implementations must be `#[inline(always)]`, so that they are compiled with the instructions of the caller.
    ///
    /// # Safety
    /// The processor supports the instructions of `S`.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

/// A register of `f32` values.
///
/// # Safety
/// For every method, the processor supports the instructions, and pointers are valid for [`Simd::LANES`] values,
/// aligned or not.
pub(crate) trait Simd {
    type V: Copy;
    /// Values per register; divides [`crate::linalg::ALIGNMENT`].
    const LANES: usize;
    /// Approximate number of registers.
    const REGISTERS: usize;

    unsafe fn zero() -> Self::V;
    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, x: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a b + c`.
    unsafe fn multiply_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c - a b`.
    unsafe fn multiply_sub(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The sum of the lanes.
    unsafe fn sum(x: Self::V) -> f32;
    /// Transposes the first `LANES` registers as a square matrix.
    unsafe fn transpose(square: &mut [Self::V; 16]);
}

/// Prefetches the cache line of an address, which need not be valid.
#[inline(always)]
pub(crate) fn prefetch(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor supports it, and it does not access memory.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a prefetch of an invalid address does nothing.
    unsafe {
        std::arch::asm!(
            "prfm pldl1keep, [{address}]",
            address = in(reg) address,
            options(readonly, nostack, preserves_flags)
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

/// `a b + c`, with one rounding if the processor has an instruction for it.
#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    // Without the instruction, `mul_add` calls a library function.
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

/// Arrays that the compiler maps to whatever registers exist.
pub(crate) struct Portable;

impl Simd for Portable {
    type V = [f32; 8];
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self::V {
        [0.0; 8]
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: the caller's.
        unsafe { from.cast::<[f32; 8]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: Self::V) {
        // SAFETY: the caller's.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn multiply_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| fused(a[i], b[i], c[i]))
    }
    #[inline(always)]
    unsafe fn multiply_sub(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| fused(-a[i], b[i], c[i]))
    }
    #[inline(always)]
    unsafe fn sum(x: Self::V) -> f32 {
        ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]))
    }
    #[inline(always)]
    unsafe fn transpose(square: &mut [Self::V; 16]) {
        for i in 0..8 {
            for j in 0..i {
                (square[i][j], square[j][i]) = (square[j][i], square[i][j]);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Simd;

    /// Methods that are one intrinsic each.
    macro_rules! intrinsics {
        ($($method:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)? = $intrinsic:ident;)*) => {$(
            #[inline(always)]
            unsafe fn $method($($argument: $kind),*) $(-> $result)? {
                // SAFETY: the caller's.
                unsafe { $intrinsic($($argument),*) }
            }
        )*};
    }

    pub struct Avx2;

    impl Simd for Avx2 {
        type V = __m256;
        const LANES: usize = 8;
        const REGISTERS: usize = 16;

        intrinsics! {
            zero() -> __m256 = _mm256_setzero_ps;
            splat(x: f32) -> __m256 = _mm256_set1_ps;
            load(from: *const f32) -> __m256 = _mm256_loadu_ps;
            store(to: *mut f32, x: __m256) = _mm256_storeu_ps;
            add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps;
            sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps;
            mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps;
            multiply_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps;
            multiply_sub(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fnmadd_ps;
        }
        #[inline(always)]
        unsafe fn sum(x: Self::V) -> f32 {
            // SAFETY: the caller's.
            unsafe {
                let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
                let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
                _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
            }
        }
        #[inline(always)]
        unsafe fn transpose(square: &mut [Self::V; 16]) {
            // SAFETY: the caller's.
            unsafe {
                // First column 4 b + q of four rows to half b of register q, then halves are exchanged.
                let mut halves = [_mm256_setzero_ps(); 8];
                for group in [0, 4] {
                    let [a, b, c, d] = [0, 1, 2, 3].map(|row| square[group + row]);
                    let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                    let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                    halves[group] = _mm256_shuffle_ps::<0x44>(ab_low, cd_low);
                    halves[group + 1] = _mm256_shuffle_ps::<0xEE>(ab_low, cd_low);
                    halves[group + 2] = _mm256_shuffle_ps::<0x44>(ab_high, cd_high);
                    halves[group + 3] = _mm256_shuffle_ps::<0xEE>(ab_high, cd_high);
                }
                for q in 0..4 {
                    square[q] = _mm256_permute2f128_ps::<0x20>(halves[q], halves[q + 4]);
                    square[q + 4] = _mm256_permute2f128_ps::<0x31>(halves[q], halves[q + 4]);
                }
            }
        }
    }

    pub struct Avx512;

    impl Simd for Avx512 {
        type V = __m512;
        const LANES: usize = 16;
        const REGISTERS: usize = 32;

        intrinsics! {
            zero() -> __m512 = _mm512_setzero_ps;
            splat(x: f32) -> __m512 = _mm512_set1_ps;
            load(from: *const f32) -> __m512 = _mm512_loadu_ps;
            store(to: *mut f32, x: __m512) = _mm512_storeu_ps;
            add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps;
            sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps;
            mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps;
            multiply_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps;
            multiply_sub(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fnmadd_ps;
            sum(x: __m512) -> f32 = _mm512_reduce_add_ps;
        }
        #[inline(always)]
        unsafe fn transpose(square: &mut [Self::V; 16]) {
            // SAFETY: the caller's.
            unsafe {
                // First column 4 b + q of four rows to quarter b of register q, then quarters are exchanged.
                let mut quarters = [_mm512_setzero_ps(); 16];
                for group in [0, 4, 8, 12] {
                    let [a, b, c, d] = [0, 1, 2, 3].map(|row| square[group + row]);
                    let (ab_low, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                    let (cd_low, cd_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
                    quarters[group] = _mm512_shuffle_ps::<0x44>(ab_low, cd_low);
                    quarters[group + 1] = _mm512_shuffle_ps::<0xEE>(ab_low, cd_low);
                    quarters[group + 2] = _mm512_shuffle_ps::<0x44>(ab_high, cd_high);
                    quarters[group + 3] = _mm512_shuffle_ps::<0xEE>(ab_high, cd_high);
                }
                for q in 0..4 {
                    let [a, b, c, d] = [0, 4, 8, 12].map(|group| quarters[group + q]);
                    let (ab_low, ab_high) =
                        (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xEE>(a, b));
                    let (cd_low, cd_high) =
                        (_mm512_shuffle_f32x4::<0x44>(c, d), _mm512_shuffle_f32x4::<0xEE>(c, d));
                    square[q] = _mm512_shuffle_f32x4::<0x88>(ab_low, cd_low);
                    square[q + 4] = _mm512_shuffle_f32x4::<0xDD>(ab_low, cd_low);
                    square[q + 8] = _mm512_shuffle_f32x4::<0x88>(ab_high, cd_high);
                    square[q + 12] = _mm512_shuffle_f32x4::<0xDD>(ab_high, cd_high);
                }
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub(crate) use arm::Neon;

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::*;

    use super::Simd;

    /// Pairs of NEON registers: the shape of [`super::Avx2`], for which the tiles of all kernels exist. A processor has 32
    /// registers of 4 values, hence 16 pairs. Sums have the order of [`super::Portable`], so values are equal bit for bit.
    pub struct Neon;

    /// Methods that are one intrinsic on each half.
    macro_rules! halves {
        ($($method:ident($($argument:ident),*) = $intrinsic:ident($($operand:ident),*);)*) => {$(
            #[inline(always)]
            unsafe fn $method($($argument: Self::V),*) -> Self::V {
                // SAFETY: the caller's.
                unsafe { [$intrinsic($($operand[0]),*), $intrinsic($($operand[1]),*)] }
            }
        )*};
    }

    impl Simd for Neon {
        type V = [float32x4_t; 2];
        const LANES: usize = 8;
        const REGISTERS: usize = 16;

        #[inline(always)]
        unsafe fn zero() -> Self::V {
            // SAFETY: the caller's.
            unsafe { Self::splat(0.0) }
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self::V {
            // SAFETY: the caller's.
            unsafe { [vdupq_n_f32(x); 2] }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::V {
            // SAFETY: the caller's.
            unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, x: Self::V) {
            // SAFETY: the caller's.
            unsafe {
                vst1q_f32(to, x[0]);
                vst1q_f32(to.add(4), x[1]);
            }
        }
        halves! {
            add(a, b) = vaddq_f32(a, b);
            sub(a, b) = vsubq_f32(a, b);
            mul(a, b) = vmulq_f32(a, b);
            multiply_add(a, b, c) = vfmaq_f32(c, a, b);
            multiply_sub(a, b, c) = vfmsq_f32(c, a, b);
        }
        #[inline(always)]
        unsafe fn sum(x: Self::V) -> f32 {
            // SAFETY: the caller's.
            unsafe {
                let x = vaddq_f32(x[0], x[1]);
                vpadds_f32(vadd_f32(vget_low_f32(x), vget_high_f32(x)))
            }
        }
        #[inline(always)]
        unsafe fn transpose(square: &mut [Self::V; 16]) {
            // SAFETY: the caller's.
            unsafe {
                let mut quarters = [[vdupq_n_f32(0.0); 4]; 4];
                for (at, quarter) in quarters.iter_mut().enumerate() {
                    let (top, side) = (at / 2 * 4, at % 2);
                    let [a, b, c, d] = [0, 1, 2, 3].map(|row| square[top + row][side]);
                    // Pairs of one column and two rows, then columns.
                    let (ab_even, ab_odd) = (pairs(vtrn1q_f32(a, b)), pairs(vtrn2q_f32(a, b)));
                    let (cd_even, cd_odd) = (pairs(vtrn1q_f32(c, d)), pairs(vtrn2q_f32(c, d)));
                    *quarter = [
                        vtrn1q_f64(ab_even, cd_even),
                        vtrn1q_f64(ab_odd, cd_odd),
                        vtrn2q_f64(ab_even, cd_even),
                        vtrn2q_f64(ab_odd, cd_odd),
                    ]
                    .map(|column| vreinterpretq_f32_f64(column));
                }
                for row in 0..4 {
                    square[row] = [quarters[0][row], quarters[2][row]];
                    square[row + 4] = [quarters[1][row], quarters[3][row]];
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn pairs(x: float32x4_t) -> float64x2_t {
        // SAFETY: the caller's.
        unsafe { vreinterpretq_f64_f32(x) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    /// Every operation on the first registers of the input.
    struct Operations<'a>(&'a [f32]);

    impl Kernel for Operations<'_> {
        type Output = Vec<Vec<f32>>;

        #[inline(always)]
        unsafe fn run<S: Simd>(self) -> Vec<Vec<f32>> {
            // SAFETY: the caller's; the input holds 16 registers.
            unsafe {
                let at = |register: usize| S::load(self.0.as_ptr().add(register * S::LANES));
                let (a, b, c) = (at(0), at(1), at(2));
                let mut square = [S::zero(); 16];
                for (register, row) in square.iter_mut().enumerate().take(S::LANES) {
                    *row = at(register);
                }
                S::transpose(&mut square);
                let registers = [
                    S::zero(),
                    S::splat(self.0[0]),
                    S::add(a, b),
                    S::sub(a, b),
                    S::mul(a, b),
                    S::multiply_add(a, b, c),
                    S::multiply_sub(a, b, c),
                ];
                let values = |register: &S::V| {
                    let mut values = vec![f32::NAN; S::LANES];
                    S::store(values.as_mut_ptr(), *register);
                    values
                };
                let mut all: Vec<Vec<f32>> =
                    registers.iter().chain(&square[..S::LANES]).map(values).collect();
                all.push(vec![S::sum(a)]);
                all
            }
        }
    }

    #[test]
    fn every_width_computes_the_definitions() {
        for width in Width::all() {
            let lanes = width.lanes();
            let input = noise(7, 16 * lanes);
            let found = width.run(Operations(&input));
            let at = |register: usize, lane: usize| f64::from(input[register * lanes + lane]);
            let definitions: [&dyn Fn(usize) -> f64; 7] = [
                &|_| 0.0,
                &|_| at(0, 0),
                &|i| at(0, i) + at(1, i),
                &|i| at(0, i) - at(1, i),
                &|i| at(0, i) * at(1, i),
                &|i| at(0, i) * at(1, i) + at(2, i),
                &|i| at(2, i) - at(0, i) * at(1, i),
            ];
            assert_eq!(found.len(), 7 + lanes + 1);
            for (number, definition) in definitions.iter().enumerate() {
                for (lane, value) in found[number].iter().enumerate() {
                    let difference = (f64::from(*value) - definition(lane)).abs();
                    assert!(difference <= 2e-7, "{width:?}, operation {number}, lane {lane}");
                }
            }
            for (row, values) in found[7..7 + lanes].iter().enumerate() {
                for (column, value) in values.iter().enumerate() {
                    assert_eq!(*value, input[column * lanes + row], "{width:?}, {row}, {column}");
                }
            }
            let sum: f64 = (0..lanes).map(|lane| at(0, lane)).sum();
            assert!((f64::from(found[7 + lanes][0]) - sum).abs() <= 2e-6, "{width:?}");
        }
    }

    /// Values do not depend on whether the compiler or an intrinsic chooses the instruction.
    #[cfg(target_arch = "aarch64")]
    #[test]
    fn neon_equals_the_plain_arrays_bit_for_bit() {
        let input = noise(7, 128);
        let [neon, plain] =
            [Kind::Neon, Kind::Portable].map(|kind| Width(kind).run(Operations(&input)));
        assert_eq!(neon, plain);
    }
}
