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
}

#[test]
fn audio_in_a_format_without_a_decoder_is_called_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let asf =
        [0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, 0xa6, 0xd9, 0, 0xaa, 0, 0x62, 0xce, 0x6c];
    let mut speex = b"OggS\0\x02\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x01\x50".to_vec();
    speex.extend(b"Speex   1.2.0");
    for (name, head) in [
        ("WavPack", &b"wvpk\x00\x10\0\0"[..]),
        ("Windows Media", &asf),
        ("Monkey's Audio", b"MAC \x96\x0f\0\0"),
        ("Musepack", b"MPCKSH"),
        ("True Audio", b"TTA1\x01\0"),
        ("DSD", b"DSD \x1c\0\0\0"),
        ("Matroska", b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81"),
        ("AMR", b"#!AMR\n"),
        ("Speex", &speex),
        ("8SVX", b"FORM\0\x10\0\08SVXVHDR"),
        ("AC-3", b"\x0b\x77\x4c\x4b\x10\x40"),
    ] {
        // With and without a tag in front, as Monkey's Audio has it.
        for before in [&b""[..], b"ID3\x03\0\0\0\0\0\x05hello"] {
            let bytes = [before, head, &[0x11; 3_000]].concat();
            let message = refused(&write(folder.path(), "a.bin", &bytes), Reason::Unsupported);
            assert!(message.contains(name) && message.contains("is not supported"), "{message}");
            assert!(message.contains("ffmpeg") && !message.contains("not an audio"), "{message}");
        }
    }
}

/// A frame of mono AAC-LC without sound, with a fill element of `count` bytes of the given type.
fn aac_frame(kind: u32, count: u32) -> Vec<u8> {
    let mut bits = formats::BitWriter::default();
    // A single channel with a long window and no bands; neither pulses, nor shaping, nor gain control.
    bits.put(3, 0).put(4, 0).put(8, 100).put(4, 0).put(6, 0).put(1, 0).put(3, 0);
    bits.put(3, 6);
    match count {
        0..15 => bits.put(4, count),
        _ => bits.put(4, 15).put(8, count - 14),
    };
    bits.put(4, kind);
    for byte in 0..count - 1 {
        bits.put(8, (byte * 37) & 255);
    }
    bits.put(4, 5).put(3, 7).finish()
}

/// Frames as an ADTS stream at 22.05 kHz.
fn adts(frames: &[Vec<u8>]) -> Vec<u8> {
    let header = |length: usize| {
        let mut bits = formats::BitWriter::default();
        bits.put(16, 0xfff1).put(2, 1).put(4, 7).put(1, 0).put(3, 1).put(4, 0);
        bits.put(13, length as u32 + 7).put(11, 0x7ff).put(2, 0).finish()
    };
    frames.iter().flat_map(|frame| [header(frame.len()), frame.clone()].concat()).collect()
}

#[test]
fn he_aac_is_refused_however_it_is_declared() {
    let folder = tempfile::tempdir().unwrap();
    let refused_as_he = |name: &str, bytes: &[u8]| {
        let message = refused(&write(folder.path(), name, bytes), Reason::Unsupported);
        assert!(message.contains("HE-AAC") && message.contains("band"), "{message}");
    };
    // FFmpeg declares the absence of SBR in an extension that older decoders ignore: 11 bits 0x2b7, type 5, a bit 0.
    let plain = encoded("stereo-44k.m4a");
    let at = plain.windows(5).position(|five| five == [0x12, 0x10, 0x56, 0xe5, 0x00]).unwrap();
    let changed = |offset: usize, byte: u8| {
        let mut bytes = plain.clone();
        bytes[at + offset] = byte;
        bytes
    };
    // A rate of 88.2 kHz after the bit.
    refused_as_he("a.m4a", &changed(4, 0x80 | 1 << 3));
    // Types 5 and 29 in front.
    refused_as_he("a.m4a", &changed(0, 5 << 3 | 2));
    refused_as_he("a.m4a", &changed(0, 29 << 3 | 2));
    // Not declared at all: in the frames, with and without a checksum, of any length.
    for count in [1, 2, 14, 15, 16, 40, 200, 269] {
        for kind in [13, 14] {
            refused_as_he("a.aac", &adts(&vec![aac_frame(kind, count); 20]));
        }
        // Fill elements without SBR.
        let path = write(folder.path(), "a.aac", &adts(&vec![aac_frame(0, count); 20]));
        assert_eq!(whole(&path).unwrap().samples.len(), 20 * 1_024, "{count}");
    }
    // Another type of AAC.
    let path = write(folder.path(), "a.m4a", &changed(0, 1 << 3 | 2));
    assert!(refused(&path, Reason::Unsupported).contains("AAC Main"));
}

#[test]
fn file_that_ends_inside_its_last_frame_is_used_up_to_it() {
    let folder = tempfile::tempdir().unwrap();
    for (name, lost) in [
        ("mono-16k.mp3", 20),
        ("stereo-44k.mp3", 20),
        ("headerless-22k.mp3", 20),
        ("mono-22k.aac", 20),
        ("mono-8k.flac", 5),
    ] {
        let bytes = encoded(name);
        let expected = whole(&fixture(name)).unwrap().samples;
        let path = write(folder.path(), name, &bytes[..bytes.len() - lost]);
        let kept = whole(&path).unwrap_or_else(|error| panic!("{error}")).samples;
        assert!(kept.len() < expected.len() && !kept.is_empty(), "{name}: {}", kept.len());
        assert_eq!(kept, expected[..kept.len()], "{name}");
        assert!(info(&path).ends_early, "{name}");
        assert!(!info(&fixture(name)).ends_early, "{name}");
    }
    // Without a declared length, any frame may be the last.
    for name in ["headerless-22k.mp3", "mono-22k.aac"] {
        let bytes = encoded(name);
        for share in [0.4, 0.61, 0.85] {
            let cut = &bytes[..(bytes.len() as f64 * share) as usize];
            let path = write(folder.path(), name, cut);
            let kept = whole(&path).unwrap().samples;
            assert_eq!(kept, whole(&fixture(name)).unwrap().samples[..kept.len()]);
            assert!(info(&path).ends_early, "{name} {share}");
        }
    }
    // Pages of Ogg: the last page, and another one.
    let bytes = formats::opus_with_small_pages(&encoded("mono-48k-opus.ogg"), 10);
    let expected = whole(&fixture("mono-48k-opus.ogg")).unwrap().samples;
    assert_eq!(whole(&write(folder.path(), "a.opus", &bytes)).unwrap().samples, expected);
    let path = write(folder.path(), "a.opus", &bytes[..bytes.len() - 20]);
    let kept = whole(&path).unwrap().samples;
    assert!(kept.len() > 30_000 && kept == expected[..kept.len()], "{}", kept.len());
    assert!(info(&path).ends_early);
    refused(&write(folder.path(), "a.opus", &bytes[..bytes.len() / 2]), Reason::Truncated);
    // An MP4 file whose index is in front.
    let bytes = encoded("stereo-44k.m4a");
    let path = write(folder.path(), "a.m4a", &bytes[..bytes.len() - 20]);
    let kept = whole(&path).unwrap().samples;
    assert_eq!(kept, whole(&fixture("stereo-44k.m4a")).unwrap().samples[..kept.len()]);
    assert!(info(&path).ends_early);
}

#[test]
fn channels_that_cancel_are_not_called_silent_only() {
    let folder = tempfile::tempdir().unwrap();
    let samples: Vec<f64> = chirp_at(8_000, 0.8).iter().flat_map(|x| [*x, -x]).collect();
    let opposite = write(folder.path(), "opposite.wav", &wav(8_000, 2, Store::I16, &samples));
    let silent = write(folder.path(), "silent.wav", &wav(8_000, 2, Store::I16, &vec![0.0; 12_800]));
    let short =
        write(folder.path(), "short.wav", &wav(8_000, 1, Store::I16, &chirp_at(8_000, 0.2)));
    let cache = AudioCache::open(&folder.path().join("cache")).unwrap();
    for (path, reason, words) in [
        (&opposite, Reason::Silent, "channels cancel"),
        (&silent, Reason::Silent, "is silent: its peak"),
        (&short, Reason::TooShort, "0.200 s"),
    ] {
        let limits = Limits::default();
        let error = decode_usable(path, 8_000, 0.5, &limits, &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.reason(), Some(reason), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        // The scan says the same.
        let report = super::super::scan(
            &[track("a", file(path))],
            8_000,
            &cache,
            &ScanOptions::default(),
            &std::sync::atomic::AtomicBool::new(false),
            &|_| {},
        );
        let quarantine = report.unwrap().quarantine;
        assert_eq!(quarantine[0].message, error.to_string());
    }
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
        "mono-22k.ogg",
        "stereo-48k.ogg",
        "stereo-44k.m4a",
        "mono-8k-alac.m4a",
        "mono-48k-opus.ogg",
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
        for length in [bytes.len() / 2, bytes.len() * 3 / 4] {
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
    for name in ["mono-16k.mp3", "mono-8k.flac"] {
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
