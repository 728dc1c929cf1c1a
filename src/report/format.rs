//! Numbers in readable form.

use crate::evaluation::spread::Spread;

/// Shown where a value is not defined.
pub const NONE: &str = "–";

/// A score with four decimals.
pub fn score(value: f64) -> String {
    format!("{value:.4}")
}

/// Mean and sample standard deviation over seeds.
pub fn spread(spread: &Spread) -> String {
    match spread.deviation {
        Some(deviation) => format!("{:.4} ± {deviation:.4}", spread.mean),
        None => score(spread.mean),
    }
}

/// A difference with its sign.
pub fn signed(value: f64) -> String {
    // A value that rounds to zero has no sign.
    if value.abs() < 5e-5 {
        return "0.0000".into();
    }
    let sign = if value < 0.0 { '−' } else { '+' };
    format!("{sign}{:.4}", value.abs())
}

/// An integer of five digits or more in groups of three digits, separated by narrow no-break spaces.
pub fn whole(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && digits.len() > 4 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Two integers as a range, or one if they are equal.
pub fn range(low: u64, high: u64) -> String {
    if low == high { whole(low) } else { format!("{} to {}", whole(low), whole(high)) }
}

/// A duration in its two largest units.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NONE.into();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (days, hours) = (whole / 86_400, whole / 3600 % 24);
    let (minutes, seconds) = (whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {seconds} s"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// A frequency in Hz, or in kHz from 1 kHz.
pub fn frequency(hertz: f64) -> String {
    if hertz < 999.5 {
        return format!("{hertz:.0} Hz");
    }
    let text = format!("{:.2}", hertz / 1000.0);
    format!("{} kHz", text.trim_end_matches(".00"))
}

/// A fraction in percent, with a decimal if it is not an integer.
pub fn percent(share: f64) -> String {
    let text = format!("{:.1}", share * 100.0);
    format!("{}\u{a0}%", text.trim_end_matches(".0"))
}

/// A number with its noun: `1 seed`, `3 seeds`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", whole(number as u64), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted() {
        assert_eq!(whole(999), "999");
        assert_eq!(whole(5329), "5329");
        assert_eq!(whole(74_974), "74\u{202f}974");
        assert_eq!(whole(1_000_000), "1\u{202f}000\u{202f}000");
        assert_eq!(range(5, 5), "5");
        assert_eq!(range(5, 9), "5 to 9");
        assert_eq!(signed(-0.01234), "−0.0123");
        assert_eq!(signed(0.5), "+0.5000");
        assert_eq!(signed(-0.000_01), "0.0000");
        assert_eq!(duration(4.26), "4.3 s");
        assert_eq!(duration(59.7), "1 min 0 s");
        assert_eq!(duration(3725.0), "1 h 2 min");
        assert_eq!(duration(200_000.0), "2 d 7 h");
        assert_eq!(duration(f64::NAN), NONE);
        assert_eq!(frequency(440.4), "440 Hz");
        assert_eq!(frequency(1234.0), "1.23 kHz");
        assert_eq!(frequency(16_000.0), "16 kHz");
        assert_eq!(frequency(4100.0), "4.10 kHz");
        assert_eq!(percent(0.95), "95\u{a0}%");
        assert_eq!(percent(0.975), "97.5\u{a0}%");
        assert_eq!(count(1, "seed"), "1 seed");
        assert_eq!(count(3, "seed"), "3 seeds");
    }
}
