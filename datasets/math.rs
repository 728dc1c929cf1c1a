//! Elementary functions with the same bits on every platform.
//!
//! The standard library takes `sin`, `exp2` and `log2` from the platform, and their last bits differ
//! between platforms. These functions use only `+ - * /`, `floor` and bit operations, which IEEE 754
//! defines exactly, so a synthetic piece has the same samples on every machine. The relative error is
//! about 1e-14.

use std::f64::consts::{LN_2, SQRT_2, TAU};

/// Sine and cosine of `turns` full turns; those of 0 if `turns` is not finite.
pub(crate) fn sin_cos_turns(turns: f64) -> (f64, f64) {
    if !turns.is_finite() {
        return (0.0, 1.0);
    }
    let turns = turns - turns.floor();
    let quarter = (4.0 * turns + 0.5).floor();
    let x = TAU * (turns - 0.25 * quarter); // within an eighth of a turn of zero
    let y = x * x;
    let (mut sin, mut cos) = (0.0, 0.0);
    // Taylor series to x^17 and x^16 by Horner's rule; the first omitted terms are below 1e-17.
    for k in (1..=8).rev() {
        let k = 2.0 * f64::from(k);
        sin = -y / (k * (k + 1.0)) * (1.0 + sin);
        cos = -y / (k * (k - 1.0)) * (1.0 + cos);
    }
    let (sin, cos) = (x * (1.0 + sin), 1.0 + cos);
    match quarter as i64 & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// Sine of `turns` full turns.
pub(crate) fn sin_turns(turns: f64) -> f64 {
    sin_cos_turns(turns).0
}

/// 2 to the power `x`, clamped to the range of normal numbers.
pub(crate) fn exp2(x: f64) -> f64 {
    let x = x.clamp(-1000.0, 1000.0);
    let whole = x.floor();
    let y = (x - whole - 0.5) * LN_2;
    let mut sum = 0.0;
    for k in (1..=13).rev() {
        sum = y / f64::from(k) * (1.0 + sum);
    }
    f64::from_bits(((whole as i64 + 1023) as u64) << 52) * SQRT_2 * (1.0 + sum)
}

/// e to the power `x`.
pub(crate) fn exp(x: f64) -> f64 {
    exp2(x / LN_2)
}

/// The natural logarithm of `x`; for the range, see [`log2`].
pub(crate) fn ln(x: f64) -> f64 {
    log2(x) * LN_2
}

/// The logarithm of `x` to base 2 for normal `x` above 0; -1022 for anything else.
pub(crate) fn log2(x: f64) -> f64 {
    if x.is_nan() || x <= f64::MIN_POSITIVE {
        return -1022.0;
    }
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut mantissa = f64::from_bits(bits & ((1 << 52) - 1) | (1023 << 52));
    if mantissa > SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln m = 2 artanh((m - 1) / (m + 1)), a series in the square of the argument.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let y = s * s;
    let mut sum = 0.0;
    for k in (0..=10).rev() {
        sum = 1.0 / f64::from(2 * k + 1) + y * sum;
    }
    exponent as f64 + 2.0 * s * sum / LN_2
}

/// `x` to the power `y`, for `x` above 0.
pub(crate) fn pow(x: f64, y: f64) -> f64 {
    exp2(y * log2(x))
}

/// The amplitude factor of `db` decibels.
pub(crate) fn from_db(db: f64) -> f64 {
    pow(10.0, db / 20.0)
}

/// The frequency in hertz of a MIDI note number; 69 is 440 Hz.
pub(crate) fn midi_to_hz(pitch: f64) -> f64 {
    440.0 * exp2((pitch - 69.0) / 12.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NaN fails.
    fn close(ours: f64, theirs: f64, relative_to: f64) {
        assert!((ours - theirs).abs() <= 2e-13 * relative_to, "{ours} instead of {theirs}");
    }

    #[test]
    fn functions_agree_with_the_standard_library() {
        for i in -4000..4000 {
            let x = f64::from(i) * 0.00317;
            let (sin, cos) = sin_cos_turns(x);
            close(sin, (TAU * x).sin(), 1.0);
            close(cos, (TAU * x).cos(), 1.0);
            close(exp2(x), x.exp2(), x.exp2());
            close(exp(x), x.exp(), x.exp());
            let positive = x.exp();
            close(log2(positive), positive.log2(), 1.0 + positive.log2().abs());
            close(pow(positive, 0.7), positive.powf(0.7), positive.powf(0.7));
        }
        close(from_db(20.0), 10.0, 10.0);
        close(midi_to_hz(60.0), 261.625_565_300_598_6, 261.6);
    }

    #[test]
    fn results_are_finite_for_all_arguments() {
        for x in [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300] {
            let (sin, cos) = sin_cos_turns(x);
            assert!(sin.is_finite() && cos.is_finite() && log2(x).is_finite());
        }
        assert!(exp2(1e9).is_finite() && exp2(-1e9) > 0.0);
    }
}
