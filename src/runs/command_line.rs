//! The command line of this process, quoted so that a shell runs it again.

use std::ffi::OsStr;

/// The command line as text.
pub fn recorded() -> String {
    let arguments = std::env::args_os().skip(1).map(|argument| quoted(&argument));
    std::iter::once("tonotopy".to_string()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// An argument as a word of a POSIX shell; on Windows, of its command line.
fn quoted(argument: &OsStr) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    let text = argument.to_string_lossy();
    if !text.is_empty() && text.chars().all(|c| is_plain(c) || (cfg!(windows) && c == '\\')) {
        return text.into_owned();
    }
    if cfg!(windows) {
        return format!("\"{}\"", text.replace('"', "\\\""));
    }
    match argument.to_str() {
        Some(text) if !text.contains(char::is_control) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        // bash and zsh understand this form. Octal escapes have a fixed length, so that no digit after them joins them.
        _ => {
            let byte = |byte: &u8| match byte {
                b'\\' | b'\'' => format!("\\{}", char::from(*byte)),
                b' '..=b'~' => char::from(*byte).to_string(),
                _ => format!("\\{byte:03o}"),
            };
            let bytes = argument.as_encoded_bytes();
            format!("$'{}'", bytes.iter().map(byte).collect::<String>())
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn shell_reads_the_arguments_that_were_quoted() {
        let arguments: [&[u8]; 12] = [
            b"train",
            b"--set",
            b"about=a b",
            b"",
            b"it's \"5 o'clock\"",
            b"$HOME `id` \\ !x; #y & * ?",
            b"~/x",
            b"a\nb\tc",
            b"caf\xe9 7",
            b"\xff0\xe91'\\",
            "Caf\u{e9}".as_bytes(),
            b"{a,b}",
        ];
        let words: Vec<String> = arguments.iter().map(|it| quoted(OsStr::from_bytes(it))).collect();
        assert_eq!(words[..3], ["train", "--set", "'about=a b'"]);
        let script = format!("printf '%s\\0' {}", words.join(" "));
        let out = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        let read: Vec<&[u8]> = out.stdout.split(|byte| *byte == 0).collect();
        assert_eq!(read[..12], arguments);
        assert_eq!((read.len(), out.status.success()), (13, true));
    }
}
