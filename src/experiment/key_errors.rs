//! Wording of the errors that serde reports for keys and values.

use super::Training;

/// Adds a suggestion to serde's "unknown field `x`, expected one of `a`, `b`".
pub(super) fn with_suggestion(message: &str) -> String {
    let message = with_plain_types(message);
    let Some((_, rest)) = message.split_once("unknown ") else { return message };
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let Some(given) = quoted.next() else { return message };
    match nearest(given, quoted) {
        Some(known) => format!("{message}\ndid you mean `{known}`?"),
        None if toml::Table::try_from(Training::default()).is_ok_and(|t| t.contains_key(given)) => {
            format!("{message}\ndid you mean `training.{given}`?")
        }
        None => message,
    }
}

/// The known word that a misspelt one is most likely meant to be, if any is near.
pub(super) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (strsim::damerau_levenshtein(given, known), known))
        .min()
        .filter(|(distance, known)| *distance <= 2.max(known.len() / 2))
        .map(|(_, known)| known)
}

/// Replaces the names of Rust's number types.
fn with_plain_types(message: &str) -> String {
    let mut message = message.to_string();
    for (kinds, words) in [
        (&["u64", "u32", "u16", "usize", "a nonzero u64"][..], "a non-negative integer"),
        (&["i64", "i32"][..], "an integer"),
        (&["f64", "f32"][..], "a number"),
    ] {
        for kind in kinds {
            if let Some(start) = message.strip_suffix(&format!("expected {kind}")) {
                message = format!("{start}expected {words}");
            }
            message =
                message.replace(&format!("expected {kind}\n"), &format!("expected {words}\n"));
        }
    }
    message
}
