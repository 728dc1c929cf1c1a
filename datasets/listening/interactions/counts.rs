//! Play counts as text.

use crate::error::quoted;

/// Parses the counts of a table, and remembers what was unusual about them.
pub(super) struct Counts {
    /// Whether a comma in a number can only separate thousands, because it separates the values, too.
    comma_groups: bool,
    /// Counts with separators between thousands, and the first of them.
    grouped: (usize, String),
    /// Counts with a point, those of them that could be thousands such as `33.000`, and the first of these.
    points: (usize, usize, String),
}

impl Counts {
    pub fn new(comma_groups: bool) -> Counts {
        Counts { comma_groups, grouped: Default::default(), points: Default::default() }
    }

    /// The number of plays in a value.
    pub fn parse(&mut self, field: &[u8]) -> Result<f32, String> {
        let text = std::str::from_utf8(field).unwrap_or("\u{fffd}").trim();
        let wrong = |what: &str| {
            format!("the count {} is {what}: write a number of plays, at least 0", quoted(text))
        };
        if text.contains('.') {
            self.points.0 += 1;
            if has_groups(text, '.') {
                self.points.1 += 1;
                if self.points.1 == 1 {
                    self.points.2 = text.to_owned();
                }
            }
        }
        let parsed = match text.parse::<f32>() {
            Ok(count) => count,
            Err(_) => match without_separators(text) {
                Some((digits, ambiguous)) if !ambiguous || self.comma_groups => {
                    self.grouped.0 += 1;
                    if self.grouped.0 == 1 {
                        self.grouped.1 = format!("{} is {digits}", quoted(text));
                    }
                    digits.parse().map_err(|_| wrong("not a number"))?
                }
                Some((digits, _)) => {
                    return Err(wrong(&format!(
                        "ambiguous: write {digits} without a thousands separator, and decimals with a point"
                    )));
                }
                None if text.contains(',') => {
                    return Err(wrong("not a number: write decimals with a point"));
                }
                None => return Err(wrong("not a number")),
            },
        };
        match parsed {
            count if !count.is_finite() => Err(wrong("not finite")),
            count if count < 0.0 => Err(wrong("negative")),
            count => Ok(count),
        }
    }

    /// Notes on thousands separators.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let (number, example) = &self.grouped;
        if *number > 0 {
            notes.push(format!("counts with thousands separators: {number} ({example})"));
        }
        let (points, groups, example) = &self.points;
        if *points > 0 && points == groups {
            notes.push(format!(
                "every count with a point has three digits behind it, such as {example}: if the point separates \
                 thousands, remove it"
            ));
        }
        notes
    }
}

/// Whether a value is a number, possibly with thousands separators.
pub(super) fn is_number(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok() || without_separators(text.trim()).is_some()
}

/// The digits of a number with separators between thousands, and whether it could be a number with decimals.
fn without_separators(text: &str) -> Option<(String, bool)> {
    let is_separator = |c: &char| " '_,.\u{2019}\u{a0}\u{2009}\u{202f}".contains(*c);
    let separator = text.chars().find(is_separator)?;
    // Decimals follow the last group.
    let (whole, decimals) = match (separator, text.rsplit_once('.')) {
        (',' | '\'' | '\u{2019}' | '_', Some((whole, decimals))) => (whole, Some(decimals)),
        _ => (text, None),
    };
    if !has_groups(whole, separator) || decimals.is_some_and(|d| !all_digits(d)) {
        return None;
    }
    let ambiguous = matches!(separator, ',' | '.')
        && whole.matches(separator).count() == 1
        && decimals.is_none();
    let digits: String = whole.chars().filter(|c| *c != separator).collect();
    Some((decimals.map_or(digits.clone(), |decimals| format!("{digits}.{decimals}")), ambiguous))
}

/// Whether digits are grouped by thousands: one to three, then threes.
fn has_groups(text: &str, separator: char) -> bool {
    let mut groups = text.split(separator);
    let first = groups.next().unwrap_or_default();
    let mut others = groups.peekable();
    (1..=3).contains(&first.len())
        && all_digits(first)
        && !first.starts_with('0')
        && others.peek().is_some()
        && others.all(|group| group.len() == 3 && all_digits(group))
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}
