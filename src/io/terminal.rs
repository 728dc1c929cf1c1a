//! Text from files, made safe to show: names may hold what terminals obey.

use std::borrow::Cow;
use std::io::{self, Write};

/// Whether a terminal would obey it, or it would change how the text around it reads.
fn is_unsafe(c: char) -> bool {
    let overrides =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    overrides || (c.is_control() && c != '\n' && c != '\t')
}

/// The text with control characters (but line ends and tabs) and those that turn the direction of writing shown as
/// `\u{1b}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_unsafe(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// stderr, for a log that colours what it writes: its own escape sequences pass, and what turns the direction of
/// writing is shown. Control characters in messages are escaped before they come here.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOutput;

impl Write for LogOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut err = io::stderr().lock();
        match std::str::from_utf8(bytes) {
            Ok(text) if text.contains(|c| is_unsafe(c) && !c.is_control()) => {
                let show = |c: char| match is_unsafe(c) && !c.is_control() {
                    true => c.escape_unicode().to_string(),
                    false => c.to_string(),
                };
                let text: String = text.chars().map(show).collect();
                err.write_all(text.as_bytes())?;
            }
            _ => err.write_all(bytes)?,
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
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(visible("plain, ä\n\tand 音"), "plain, ä\n\tand 音");
        assert!(matches!(visible("plain"), Cow::Borrowed(_)));
        assert_eq!(visible("\u{1b}[2Jx\u{7}\r"), "\\u{1b}[2Jx\\u{7}\\u{d}");
        assert_eq!(visible("\u{9b}31m\0"), "\\u{9b}31m\\u{0}");
        assert_eq!(visible("a\u{202e}gpj.exe"), "a\\u{202e}gpj.exe");
    }
}
