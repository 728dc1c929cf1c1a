//! Every way in which a file can be unusable has its reason and a message of one line.

use super::*;

/// Asserts the reason, and that the message names the file in one line.
fn refused(path: &Path, expected: Reason) -> String {
    refused_within(path, expected, &Limits::default())
}

fn refused_within(path: &Path, expected: Reason, limits: &Limits) -> String {
    let error = decode(path, 0.0, None, limits).expect_err(&format!("{}", path.display()));
    let message = error.to_string();
    assert_eq!(error.reason(), Some(expected), "{message}");
    assert!(message.starts_with(&path.display().to_string()), "{message}");
    assert!(!message.contains('\n') && message.len() < 400, "{message}");
    message
}

fn encoded(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    refused(&here.join("none.mp3"), Reason::Missing);
    refused(&write(here, "plain", b"x").join("below-a-file.mp3"), Reason::Missing);
    assert!(refused(here, Reason::IsDirectory).contains("directory"));
    refused(&write(here, "zero.wav", b""), Reason::Empty);
    let poem = "Nothing to hear.\n".repeat(300);
    assert!(refused(&write(here, "t.mp3", poem.as_bytes()), Reason::Unsupported).contains("text"));
    let page = b"<html><body>404 not found</body></html>";
    assert!(refused(&write(here, "page.mp3", page), Reason::Unsupported).contains("text"));
    refused(&write(here, "zeros.mp3", &[0; 10_000]), Reason::Unsupported);
    refused(&write(here, "one.mp3", &[0xff]), Reason::Unsupported);
    assert!(refused(&fixture("mono-48k-opus.ogg"), Reason::Unsupported).contains("Opus"));
}

#[cfg(unix)]
#[test]
fn pipe_is_refused_without_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe.wav");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    refused(&path, Reason::Unreadable);
    refused(Path::new("/dev/zero"), Reason::Unreadable);
}

#[test]
fn file_that_ends_too_early_is_truncated() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "mono-16k.mp3",
        "stereo-44k.mp3",
        "headerless-22k.mp3",
        "mono-22k.ogg",
        "stereo-48k.ogg",
        "stereo-44k.m4a",
        "mono-8k-alac.m4a",
        "mono-22k.aac",
        "mono-8k.flac",
    ] {
        let bytes = encoded(name);
        for share in [0.4, 0.61, 0.85] {
            let cut = &bytes[..(bytes.len() as f64 * share) as usize];
            let message = refused(&write(folder.path(), name, cut), Reason::Truncated);
            assert!(message.contains(" s ") || message.contains("its "), "{message}");
        }
    }
    let samples = chirp_at(16_000, 0.5);
    for (name, bytes) in [
        ("a.wav", wav(16_000, 1, Store::I16, &samples)),
        ("a.aiff", aiff(16_000, 1, Store::I16, &samples)),
    ] {
        for length in [bytes.len() / 2, bytes.len() - 2, bytes.len() - 1] {
            refused(&write(folder.path(), name, &bytes[..length]), Reason::Truncated);
        }
    }
}

#[test]
fn cut_header_is_truncated_and_not_unsupported() {
    let folder = tempfile::tempdir().unwrap();
    let wave = wav(16_000, 1, Store::I16, &chirp_at(16_000, 0.5));
    refused(&write(folder.path(), "a.wav", &wave[..30]), Reason::Truncated);
    refused(&write(folder.path(), "a.flac", &encoded("mono-8k.flac")[..30]), Reason::Truncated);
    refused(&write(folder.path(), "a.ogg", &encoded("mono-22k.ogg")[..40]), Reason::Truncated);
}

#[test]
fn faults_after_the_excerpt_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["mono-16k.mp3", "mono-8k.flac", "mono-22k.aac"] {
        let bytes = encoded(name);
        let path = write(folder.path(), name, &bytes[..bytes.len() * 9 / 10]);
        refused(&path, Reason::Truncated);
        let part = decode(&path, 0.1, Some(0.2), &Limits::default()).unwrap();
        assert!((part.seconds() - 0.2).abs() < 1e-3, "{name}");
        let error = decode(&path, 0.1, Some(0.75), &Limits::default()).unwrap_err();
        assert_eq!(error.reason(), Some(Reason::Truncated));
    }
}

#[test]
fn damaged_content_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    // One bit of a FLAC frame: its checksum or that of all samples differs.
    let mut flac = encoded("mono-8k.flac");
    let place = flac.len() - 2_000;
    flac[place] ^= 0x10;
    let error = whole(&write(folder.path(), "a.flac", &flac)).unwrap_err();
    assert!(matches!(error.reason(), Some(Reason::Damaged | Reason::Truncated)), "{error}");
    // Zeros in the middle of a file of known length.
    for name in ["stereo-44k.mp3", "stereo-48k.ogg", "mono-22k.ogg"] {
        let mut bytes = encoded(name);
        let (from, to) = (bytes.len() / 2, bytes.len() * 3 / 4);
        bytes[from..to].fill(0);
        let error = whole(&write(folder.path(), name, &bytes)).unwrap_err();
        assert!(matches!(error.reason(), Some(Reason::Damaged | Reason::Truncated)), "{error}");
    }
}

#[test]
fn non_samples_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (store, bad) in [
        (Store::F32, f64::NAN),
        (Store::F32, f64::INFINITY),
        (Store::F64, f64::NEG_INFINITY),
        (Store::F64, 1e300),
        // Finite, but too large for a sample.
        (Store::F32, 3e38),
    ] {
        let mut samples = chirp_at(16_000, 0.5);
        samples[4_000] = bad;
        let path = write(folder.path(), "a.wav", &wav(16_000, 1, store, &samples));
        let message = refused(&path, Reason::NonFinite);
        assert!(message.contains("sample 4000 (at 0.250 s)"), "{message}");
    }
}

#[test]
fn limits_are_enforced() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let samples = chirp_at(16_000, 0.65);
    let many = write(here, "many.wav", &wav(16_000, 8, Store::I16, &samples));
    let limits = Limits { max_channels: 7, ..Limits::default() };
    assert!(refused_within(&many, Reason::LimitExceeded, &limits).contains("8 channels"));
    for rate in [999, 768_001] {
        let path = write(here, "rate.wav", &wav(rate, 1, Store::I16, &samples));
        refused(&path, Reason::LimitExceeded);
    }
    let path = write(here, "long.wav", &wav(16_000, 1, Store::I16, &samples));
    let limits = Limits { max_seconds: 0.5, ..Limits::default() };
    refused_within(&path, Reason::LimitExceeded, &limits);
    // A length that no header declares.
    refused_within(&fixture("headerless-22k.mp3"), Reason::LimitExceeded, &limits);
    assert!(decode(&path, 0.0, Some(0.4), &limits).is_ok());
    let limits = Limits { max_bytes: 1_000, ..Limits::default() };
    refused_within(&path, Reason::LimitExceeded, &limits);
}

#[test]
fn file_without_samples_in_the_excerpt_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "none.wav", &wav(16_000, 1, Store::I16, &[]));
    refused(&path, Reason::Empty);
    let error = decode(&fixture("mono-16k.mp3"), 5.0, None, &Limits::default()).unwrap_err();
    assert_eq!(error.reason(), Some(Reason::TooShort), "{error}");
}

#[test]
fn invalid_excerpts_are_refused() {
    let path = fixture("mono-16k.mp3");
    for (offset, duration) in [
        (-1.0, None),
        (f64::NAN, None),
        (0.0, Some(0.0)),
        (0.0, Some(-1.0)),
        (0.0, Some(f64::INFINITY)),
    ] {
        let error = decode(&path, offset, duration, &Limits::default()).unwrap_err();
        assert!(matches!(error, AudioError::Argument(_)), "{error}");
    }
    let error = decode_at(&path, 0.0, None, 0, &Limits::default()).unwrap_err();
    assert!(matches!(error, AudioError::Argument(_)), "{error}");
}
