//! Notes on tags that were probably meant otherwise: lists in one tag, one tag in two spellings, missing values.

use std::collections::BTreeMap;

use crate::error::quoted;

/// Words that programs write for a missing value, in lower case.
const MISSING: [&str; 6] = ["nan", "none", "null", "n/a", "<na>", "nil"];

/// Names in a note.
const SHOWN: usize = 3;

/// Notes on the tags of a vocabulary.
pub(crate) fn of(tags: &[String]) -> Vec<String> {
    let mut spellings: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for tag in tags {
        spellings.entry(plain(tag)).or_default().push(tag);
    }
    let is_missing = |tag: &&String| MISSING.contains(&tag.to_lowercase().as_str());
    let is_known = |part: &str| spellings.contains_key(&plain(part));
    let lists = tags.iter().filter(|tag| !is_missing(tag) && is_list(tag, is_known));
    let lists: Vec<String> = lists.map(|tag| quoted(tag)).collect();
    let alike = spellings.values().filter(|tags| tags.len() > 1);
    let alike: Vec<String> = alike
        .map(|tags| tags.iter().map(|tag| quoted(tag)).collect::<Vec<_>>().join(" and "))
        .collect();
    let missing: Vec<String> = tags.iter().filter(is_missing).map(|tag| quoted(tag)).collect();
    [
        note("tags that look like several", &lists, "in a manifest, tags are separated by |"),
        note(
            "tags that differ only in upper and lower case, spaces, - or _",
            &alike,
            "they are different tags; write them alike if they are not meant to be",
        ),
        note(
            "tags that look like a missing value",
            &missing,
            "leave the column empty for tracks without tags",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn note(what: &str, found: &[String], remedy: &str) -> Option<String> {
    let more = if found.len() > SHOWN { ", ..." } else { "" };
    let first = found[..found.len().min(SHOWN)].join(", ");
    (!found.is_empty()).then(|| format!("{what}: {} ({first}{more}); {remedy}", found.len()))
}

/// Whether a tag is a list of tags in the notation of another program.
fn is_list(tag: &str, is_known: impl Fn(&str) -> bool) -> bool {
    const AROUND: [(char, char); 5] =
        [('[', ']'), ('(', ')'), ('{', '}'), ('"', '"'), ('\'', '\'')];
    let is_around = |&(first, last): &(char, char)| {
        tag.chars().count() > 1 && tag.starts_with(first) && tag.ends_with(last)
    };
    if tag.contains([',', ';']) || AROUND.iter().any(is_around) {
        return true;
    }
    // Some names contain a slash, such as R&B/Soul: it separates only what is a tag by itself, or the same word twice.
    let parts: Vec<&str> = tag.split('/').collect();
    let is_repeated =
        |at: usize| parts[..at].iter().any(|before| plain(before) == plain(parts[at]));
    parts.len() > 1 && (0..parts.len()).any(|at| is_repeated(at) || is_known(parts[at]))
}

/// A tag in lower case, without spaces, `-` and `_` between letters.
fn plain(tag: &str) -> String {
    let characters: Vec<char> = tag.trim().to_lowercase().chars().collect();
    let is_gap = |c: char| c.is_whitespace() || c == '-' || c == '_';
    let is_letter = |at: Option<usize>| {
        at.and_then(|at| characters.get(at)).is_some_and(|c| c.is_alphabetic() || is_gap(*c))
    };
    let keeps = |at: usize| {
        !is_gap(characters[at]) || !is_letter(at.checked_sub(1)) || !is_letter(Some(at + 1))
    };
    (0..characters.len()).filter(|&at| keeps(at)).map(|at| characters[at]).collect()
}
