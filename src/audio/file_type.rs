//! Content sniffing: the errors for files in which no supported audio is found.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use symphonia::core::errors::Error as Symphonia;

use super::error::{AudioError, Reason};
use super::stream_end::mp4_is_cut;

/// Bytes at the start of a file that show its format.
const HEAD: u64 = 512;

/// The error for a file without a known container, or whose container has an unreadable header.
pub(super) fn unrecognised(path: &Path, error: &Symphonia) -> AudioError {
    let head = match head(path) {
        Ok(head) => head,
        Err(error) => return AudioError::unreadable(path, &error),
    };
    match error {
        Symphonia::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return AudioError::unreadable(path, error);
        }
        _ => {}
    }
    if let Some(name) = unsupported(&head) {
        return AudioError::unsupported(path, name);
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
        "is not an audio file: {found}; supported are mp3, aac and alac (m4a), flac, ogg vorbis, opus, wav, aiff, au \
         and caf: convert it, or remove it"
    );
    AudioError::file(path, Reason::Unsupported, message)
}

/// The error for a known container without an audio stream that has a decoder.
pub(super) fn unknown_codec(path: &Path, container: &str) -> AudioError {
    match head(path).ok().as_deref().and_then(unsupported) {
        Some(name) => AudioError::unsupported(path, name),
        None => AudioError::file(
            path,
            Reason::Unsupported,
            format!(
                "the {container} file contains no audio of a known codec; convert it to flac, for example with `ffmpeg \
                 -i INPUT OUTPUT.flac`, or remove it"
            ),
        ),
    }
}

/// The start of a file, behind a tag in front.
fn head(path: &Path) -> io::Result<Vec<u8>> {
    let tag = super::section::id3v2_length(path)?;
    let mut file = File::open(path)?;
    // A tag that is longer than the file is all there is.
    let start = if tag < file.metadata()?.len() { tag } else { 0 };
    file.seek(SeekFrom::Start(start))?;
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// The container by its first bytes.
fn container(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [b'R', b'I', b'F', b'F', ..] => "riff",
        [b'F', b'O', b'R', b'M', ..] => "iff",
        [b'f', b'L', b'a', b'C', ..] => "flac",
        [b'O', b'g', b'g', b'S', ..] => "ogg",
        [b'I', b'D', b'3', ..] => "mp3",
        [b'c', b'a', b'f', b'f', ..] => "caf",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "mp4",
        [0xff, second, ..] if second & 0xe0 == 0xe0 => "mpeg audio",
        _ => return None,
    })
}

/// The name of an audio format without a decoder here, by its first bytes.
fn unsupported(head: &[u8]) -> Option<&'static str> {
    const ASF: &[u8] = &[0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11];
    const SIGNATURES: [(&[u8], &str); 26] = [
        (b"wvpk", "WavPack"),
        (ASF, "Windows Media Audio (wma)"),
        (b"MAC ", "Monkey's Audio (ape)"),
        (b"MPCK", "Musepack"),
        (b"MP+", "Musepack"),
        (b"TTA1", "True Audio (tta)"),
        (b"TTA2", "True Audio (tta)"),
        (b"OFR ", "OptimFROG"),
        (b"LA0", "Lossless Audio (la)"),
        (b"ajkg", "Shorten"),
        (b"TWIN97012000", "TwinVQ"),
        (b"DSD ", "DSD (dsf)"),
        (b"FRM8", "DSD (dff)"),
        (b"\x1a\x45\xdf\xa3", "Matroska (mka, webm)"),
        (b"#!AMR", "AMR"),
        (b"ADIF", "AAC in ADIF"),
        (b".ra\xfd", "RealAudio"),
        (b".RMF", "RealMedia"),
        (b"FLV", "Flash video"),
        (b"Creative Voice File", "Creative Voice"),
        (b"NIST_1A", "NIST SPHERE"),
        (b"MThd", "MIDI, which has notes instead of audio,"),
        (b"\x0b\x77", "Dolby AC-3"),
        (b"\x7f\xfe\x80\x01", "DTS"),
        (b"2BIT", "AVR"),
        (b"Extended Module: ", "XM, which has notes instead of audio,"),
    ];
    // The first packet of an Ogg stream, and what its name starts with.
    const IN_OGG: [(&[u8], &str); 5] = [
        (b"Speex   ", "Speex"),
        (b"PCM     ", "uncompressed audio in Ogg"),
        (b"CELT    ", "CELT"),
        (b"\x80theora", "Theora video without audio"),
        (b"fishead\0", "Ogg Skeleton without audio"),
    ];
    let at_start = SIGNATURES.iter().find(|(magic, _)| head.starts_with(magic));
    let in_ogg = || {
        let packet = head.strip_prefix(b"OggS").and_then(|_| head.get(28..))?;
        IN_OGG.iter().find(|(magic, _)| packet.starts_with(magic))
    };
    if let [b'F', b'O', b'R', b'M', _, _, _, _, b'8', b'S', b'V', b'X', ..] = head {
        return Some("8SVX");
    }
    at_start.or_else(in_ogg).map(|(_, name)| *name)
}
