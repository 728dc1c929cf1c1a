//! What is this file, if no container was found in it?

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use symphonia::core::errors::Error as Symphonia;

use super::error::{AudioError, Reason};
use super::limits::unreadable;
use super::stream_end::mp4_is_cut;

/// No container was found, or one whose header cannot be read.
pub(super) fn not_recognised(path: &Path, error: &Symphonia) -> AudioError {
    let mut head = [0; 512];
    let length = File::open(path).and_then(|mut file| read_up_to(&mut file, &mut head));
    let head = match length {
        Ok(length) => &head[..length],
        Err(error) => return unreadable(path, &error),
    };
    match error {
        Symphonia::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return unreadable(path, error);
        }
        _ => {}
    }
    if let Some(container) = container_by_magic(head) {
        let (reason, what) = match error {
            _ if container == "mp4" && mp4_is_cut(path).unwrap_or(false) => {
                (Reason::Truncated, "has lost its end, and with it its index")
            }
            Symphonia::IoError(_) => (Reason::Truncated, "ends inside its header"),
            Symphonia::LimitError(_) => (Reason::LimitExceeded, "exceeds a limit of the decoder"),
            Symphonia::Unsupported(_) => (Reason::Unsupported, "has a header that cannot be used"),
            _ => (Reason::Damaged, "has a damaged header"),
        };
        return AudioError::unusable(
            path.display(),
            reason,
            format!(
                "the {container} file {what} ({error}); download or copy it again, or convert it to \
                 another format"
            ),
        );
    }
    let text = !head.is_empty()
        && head.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..));
    let guess = match text
        && std::str::from_utf8(head).map_or_else(|e| e.error_len().is_none(), |_| true)
    {
        true => "it holds text",
        false => "no known format was recognised",
    };
    AudioError::unusable(
        path.display(),
        Reason::Unsupported,
        format!(
            "is no audio file: {guess}; supported are mp3, aac and alac (m4a), flac, ogg vorbis, wav, \
             aiff and au: convert it, or leave it out"
        ),
    )
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Containers by their first bytes.
fn container_by_magic(head: &[u8]) -> Option<&'static str> {
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
