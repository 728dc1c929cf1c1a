//! How precise the factors of large products are.

use std::cell::Cell;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the factors of a convolution are rounded to before they are multiplied, forward and backward. Their
/// products are summed in single precision, and everything that is stored is of single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Nothing: 24 bits.
    #[default]
    Single,
    /// To 8 bits, with the exponents of single precision: the nearest, of two the even one. For the CPU only:
    /// other devices compute as for `Single`.
    Bfloat16,
}

thread_local! {
    static ASKED: Cell<Precision> = const { Cell::new(Precision::Single) };
}

impl Precision {
    /// Does some work with this precision: operations that begin in it, on this thread, and their gradients,
    /// whenever these are computed.
    pub fn during<T>(self, work: impl FnOnce() -> T) -> T {
        struct Before(Precision);
        impl Drop for Before {
            fn drop(&mut self) {
                ASKED.set(self.0);
            }
        }
        let _before = Before(ASKED.replace(self));
        work()
    }

    /// What was asked for.
    pub(crate) fn asked() -> Self {
        ASKED.get()
    }

    /// Whether this processor multiplies such numbers in its own instructions, faster than those of single
    /// precision; without them they are rounded all the same.
    pub fn is_native(self) -> bool {
        match self {
            Self::Single => true,
            #[cfg(target_arch = "x86_64")]
            Self::Bfloat16 => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Bfloat16 => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_before_is_asked_for_again() {
        assert_eq!(Precision::asked(), Precision::Single);
        Precision::Bfloat16.during(|| {
            assert_eq!(Precision::asked(), Precision::Bfloat16);
            Precision::Single.during(|| assert_eq!(Precision::asked(), Precision::Single));
            assert_eq!(Precision::asked(), Precision::Bfloat16);
        });
        let broken =
            std::panic::catch_unwind(|| Precision::Bfloat16.during(|| panic!("on purpose")));
        assert!(broken.is_err());
        assert_eq!(Precision::asked(), Precision::Single);
    }
}
