//! Terminal escaping: names and tags from files may contain control sequences.

use std::borrow::Cow;
use std::io::{self, Write};

/// Whether a character reverses the direction of the text around it.
fn is_direction_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Replaces the characters that `unsafe_char` selects by their Unicode escapes, such as `\u{1b}`.
fn escape(text: &str, unsafe_char: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&unsafe_char) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match unsafe_char(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The text with control characters, except line feeds and tabs, and direction controls escaped.
pub fn escape_for_terminal(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_direction_control(c) || (c.is_control() && c != '\n' && c != '\t'))
}

/// Standard error for a coloured log: escapes direction controls and passes escape sequences.
///
/// The log itself escapes the control characters in its messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOutput;

impl Write for LogOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut err = io::stderr().lock();
        match std::str::from_utf8(bytes) {
            Ok(text) => err.write_all(escape(text, is_direction_control).as_bytes())?,
            Err(_) => err.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_are_escaped() {
        let escaped = escape_for_terminal;
        assert_eq!(escaped("plain, ä\n\tand 音"), "plain, ä\n\tand 音");
        assert!(matches!(escaped("plain"), Cow::Borrowed(_)));
        assert_eq!(escaped("\u{1b}[2Jx\u{7}\r"), "\\u{1b}[2Jx\\u{7}\\u{d}");
        assert_eq!(escaped("\u{9b}31m\0"), "\\u{9b}31m\\u{0}");
        assert_eq!(escaped("a\u{202e}gpj.exe"), "a\\u{202e}gpj.exe");
    }
}
