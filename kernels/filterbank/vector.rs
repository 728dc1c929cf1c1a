//! Loops over rows of values, compiled for every width of registers.

use rustfft::num_complex::Complex32;

use crate::simd::{Kernel, Simd};

/// `to = a b`.
pub(super) struct Multiply<'a> {
    pub to: &'a mut [Complex32],
    pub a: &'a [Complex32],
    pub b: &'a [Complex32],
}

impl Kernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for ((to, a), b) in self.to.iter_mut().zip(self.a).zip(self.b) {
            *to = a * b;
        }
    }
}

/// `to += conj(a) b`.
pub(super) struct AddConjugate<'a> {
    pub to: &'a mut [Complex32],
    pub a: &'a [Complex32],
    pub b: &'a [Complex32],
}

impl Kernel for AddConjugate<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for ((to, a), b) in self.to.iter_mut().zip(self.a).zip(self.b) {
            *to += a.conj() * b;
        }
    }
}

/// `to += scale a`.
pub(super) struct AddScaled<'a> {
    pub to: &'a mut [f32],
    pub a: &'a [f32],
    pub scale: f32,
}

impl Kernel for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (to, a) in self.to.iter_mut().zip(self.a) {
            *to += self.scale * a;
        }
    }
}

/// The sum of products of two rows of equal length.
pub(super) struct Dot<'a> {
    pub a: &'a [f32],
    pub b: &'a [f32],
}

impl Kernel for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> f32 {
        assert_eq!(self.a.len(), self.b.len());
        let (a, b) = (self.a.chunks_exact(2 * S::LANES), self.b.chunks_exact(2 * S::LANES));
        let rest = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum::<f32>();
        // SAFETY: the caller's; chunks hold two registers.
        unsafe {
            let mut sums = [S::zero(), S::zero()];
            for (a, b) in a.zip(b) {
                let (a, b) = (a.as_ptr(), b.as_ptr());
                sums[0] = S::multiply_add(S::load(a), S::load(b), sums[0]);
                let (a, b) = (a.add(S::LANES), b.add(S::LANES));
                sums[1] = S::multiply_add(S::load(a), S::load(b), sums[1]);
            }
            S::sum(S::add(sums[0], sums[1])) + rest
        }
    }
}

/// `|u|^2` of complex responses; otherwise the squares of real and imaginary parts apart.
pub(super) struct Energies<'a> {
    pub complex: bool,
    pub responses: &'a [Complex32],
    pub first: &'a mut [f32],
    pub second: &'a mut [f32],
}

impl Kernel for Energies<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        if self.complex {
            for (u, first) in self.responses.iter().zip(self.first) {
                *first = u.re * u.re + u.im * u.im;
            }
            return;
        }
        for (u, (first, second)) in
            self.responses.iter().zip(self.first.iter_mut().zip(self.second))
        {
            (*first, *second) = (u.re * u.re, u.im * u.im);
        }
    }
}
