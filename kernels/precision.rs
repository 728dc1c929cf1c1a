//! Precision of the factors of large matrix products.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

/// The precision to which the factors of a convolution are rounded before they are multiplied, forward and backward.
/// Products are summed, and all tensors are stored, in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Not rounded: a significand of 24 bits.
    #[default]
    Single,
    /// bfloat16: a significand of 8 bits and the exponents of single precision, rounded to nearest, ties to even. Only
    /// the CPU supports it; other devices compute as for `Single`.
    Bfloat16,
}

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::Single) };
}

impl Precision {
    /// Runs `work` with this precision. It applies to the operations that `work` starts on this thread, and to their
    /// gradients, even if these are computed later.
    pub fn during<T>(self, work: impl FnOnce() -> T) -> T {
        struct Before(Precision);
        impl Drop for Before {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }
        let _before = Before(CURRENT.replace(self));
        work()
    }

    /// The precision that is set on this thread.
    pub(crate) fn current() -> Self {
        CURRENT.get()
    }

    /// Whether this processor has instructions for this precision that are faster than those for single precision. Without
    /// them, factors are rounded all the same.
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
    fn precision_is_restored_afterwards() {
        assert_eq!(Precision::current(), Precision::Single);
        Precision::Bfloat16.during(|| {
            assert_eq!(Precision::current(), Precision::Bfloat16);
            Precision::Single.during(|| assert_eq!(Precision::current(), Precision::Single));
            assert_eq!(Precision::current(), Precision::Bfloat16);
        });
        let broken =
            std::panic::catch_unwind(|| Precision::Bfloat16.during(|| panic!("on purpose")));
        assert!(broken.is_err());
        assert_eq!(Precision::current(), Precision::Single);
    }
}
