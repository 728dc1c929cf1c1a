//! Content sniffing: the error for a file in which symphonia finds no container.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use symphonia::core::errors::Error as Symphonia;

use super::error::{AudioError, Reason};
use super::stream_end::mp4_is_cut;

/// The error for a file without a known container, or whose container has an unreadable header.
pub(super) fn unrecognised(path: &Path, error: &Symphonia) -> AudioError {
    let mut head = Vec::new();
    if let Err(error) = File::open(path).and_then(|file| file.take(512).read_to_end(&mut head)) {
        return AudioError::unreadable(path, &error);
    }
    match error {
        Symphonia::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return AudioError::unreadable(path, error);
        }
        _ => {}
    }
    if let Some(container) = container(&head) {
        let (reason, what) = match error {
            _ if container == "mp4" && mp4_is_cut(path).unwrap_or(false) => {
                (Reason::Truncated, "has lost its end, which contains its index")
            }
            Symphonia::IoError(_) => (Reason::Truncated, "ends inside its header"),
            Symphonia::LimitError(_) => (Reason::LimitExceeded, "exceeds a limit of the decoder"),
            Symphonia::Unsupported(_) => (Reason::Unsupported, "has an unsupported header"),
            _ => (Reason::Damaged, "has a damaged header"),
        };
        let message = format!(
            "the {container} file {what} ({error}); download or copy it again, or convert it to another format"
        );
        return AudioError::file(path, reason, message);
    }
    let printable = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    let is_utf8 = match std::str::from_utf8(&head) {
        Ok(_) => true,
        // The last character may be cut.
        Err(error) => error.error_len().is_none(),
    };
    let found = match !head.is_empty() && head.iter().all(printable) && is_utf8 {
        true => "it contains text",
        false => "its format is unknown",
    };
    let message = format!(
        "is not an audio file: {found}; supported are mp3, aac and alac (m4a), flac, ogg vorbis, wav, aiff and au: \
         convert it, or remove it"
    );
    AudioError::file(path, Reason::Unsupported, message)
}

/// The container by its first bytes.
fn container(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [b'R', b'I', b'F', b'F', ..] => "wav",
        [b'F', b'O', b'R', b'M', ..] => "aiff",
        [b'f', b'L', b'a', b'C', ..] => "flac",
        [b'O', b'g', b'g', b'S', ..] => "ogg",
        [b'I', b'D', b'3', ..] => "mp3",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "mp4",
        [0xff, second, ..] if second & 0xe0 == 0xe0 => "mpeg audio",
        _ => return None,
    })
}
