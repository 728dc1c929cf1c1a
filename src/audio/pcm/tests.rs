//! Headers of uncompressed files as careless writers write them; the samples are known.

use super::*;
use crate::audio::decode::decode as decode_file;

fn au(encoding: u32, rate: u32, channels: u32, size: u32, samples: &[u8]) -> Vec<u8> {
    let mut bytes = b".snd".to_vec();
    for word in [28, size, encoding, rate, channels] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(b"text");
    bytes.extend(samples);
    bytes
}

fn decoded(bytes: &[u8]) -> Result<(Vec<f32>, u32), AudioError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.au");
    std::fs::write(&path, bytes).unwrap();
    let wave = decode_file(&path, 0.0, None, &Limits::default())?;
    Ok((wave.samples, wave.sample_rate))
}

#[test]
fn every_encoding_is_decoded() {
    let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>();
    let doubles = |values: &[f64]| values.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>();
    for (encoding, bytes) in [
        (2, vec![64, 0xc0]),
        (3, vec![0x40, 0, 0xc0, 0]),
        (4, vec![0x40, 0, 0, 0xc0, 0, 0]),
        (5, vec![0x40, 0, 0, 0, 0xc0, 0, 0, 0]),
        (6, floats(&[0.5, -0.5])),
        (7, doubles(&[0.5, -0.5])),
    ] {
        for size in [bytes.len() as u32, u32::MAX] {
            let (samples, rate) = decoded(&au(encoding, 22_050, 1, size, &bytes)).unwrap();
            assert_eq!((samples, rate), (vec![0.5, -0.5], 22_050), "{encoding}");
        }
        // Two channels are averaged.
        let (samples, _) = decoded(&au(encoding, 8_000, 2, u32::MAX, &bytes)).unwrap();
        assert_eq!(samples, [0.0]);
    }
    // The ends and the middle of the table in G.711, as 14-bit integers.
    let (samples, _) =
        decoded(&au(1, 8_000, 1, u32::MAX, &[0x80, 0x00, 0xff, 0x7f, 0xef])).unwrap();
    let wanted = [8_031.0, -8_031.0, 0.0, 0.0, 33.0].map(|value| value / 8_192.0);
    assert_eq!(samples, wanted);
}

#[test]
fn excerpt_is_part_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.au");
    let bytes: Vec<u8> = (0..20_000_i16).flat_map(i16::to_be_bytes).collect();
    std::fs::write(&path, au(3, 8_000, 1, bytes.len() as u32, &bytes)).unwrap();
    let whole = decode_file(&path, 0.0, None, &Limits::default()).unwrap().samples;
    assert_eq!(whole.len(), 20_000);
    let part = decode_file(&path, 0.75, Some(1.0), &Limits::default()).unwrap().samples;
    assert_eq!(part, whole[6_000..14_000]);
}

#[test]
fn unusable_file_has_a_reason() {
    let samples = [1; 4_000];
    let reason = |bytes: &[u8]| match decoded(bytes).unwrap_err() {
        AudioError::Unusable { reason, .. } => reason,
        other => panic!("{other}"),
    };
    let whole = au(3, 8_000, 1, 4_000, &samples);
    assert_eq!(reason(&whole[..12]), Reason::Truncated);
    assert_eq!(reason(&whole[..26]), Reason::Truncated);
    assert_eq!(reason(&whole[..2_000]), Reason::Truncated);
    assert_eq!(reason(&au(3, 8_000, 1, 0, &[])), Reason::Empty);
    assert_eq!(reason(&au(23, 8_000, 1, 4_000, &samples)), Reason::Unsupported);
    assert_eq!(reason(&au(3, 10, 1, 4_000, &samples)), Reason::LimitExceeded);
    assert_eq!(reason(&au(3, 8_000, 255, 4_000, &samples)), Reason::LimitExceeded);
    assert_eq!(reason(&au(3, 8_000, 0, 4_000, &samples)), Reason::Damaged);
    assert_eq!(reason(&au(6, 8_000, 1, 4, &f32::NAN.to_be_bytes())), Reason::NonFinite);
    let mut wild = whole.clone();
    wild[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(reason(&wild), Reason::Damaged);
}

/// Two channels of 16-bit samples, 600 frames.
fn stereo() -> Vec<u8> {
    let wave = |n: i32| ((n * 97) % 20_001 - 10_000) as i16;
    (0..600).flat_map(|n| [wave(n), wave(3 * n)]).flat_map(i16::to_le_bytes).collect()
}

/// The mean of the channels of [`stereo`].
fn mean() -> Vec<f32> {
    let bytes = stereo();
    let words = bytes.as_chunks::<2>().0.iter().map(|word| f64::from(i16::from_le_bytes(*word)));
    let words: Vec<f64> = words.collect();
    words.chunks(2).map(|frame| ((frame[0] + frame[1]) / 65_536.0) as f32).collect()
}

fn chunk(name: &[u8; 4], length: u32, body: &[u8]) -> Vec<u8> {
    [&name[..], &length.to_le_bytes(), body].concat()
}

/// The first 16 bytes of a `fmt` chunk at 44.1 kHz.
fn fmt(tag: u16, channels: u16, bits: u16) -> Vec<u8> {
    let align = channels * bits.div_ceil(8);
    let rates = [44_100, 44_100 * u32::from(align)].map(u32::to_le_bytes).concat();
    [
        &[tag, channels].map(u16::to_le_bytes).concat()[..],
        &rates,
        &[align, bits].map(u16::to_le_bytes).concat(),
    ]
    .concat()
}

fn riff(magic: &[u8; 4], length: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    [&magic[..], &length.to_le_bytes(), b"WAVE", &chunks.concat()].concat()
}

fn whole(bytes: &[u8]) -> Result<(Vec<f32>, bool), AudioError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    std::fs::write(&path, bytes).unwrap();
    let mut samples = Vec::new();
    let decoded = crate::audio::decode_resampled(
        &path,
        0.0,
        None,
        44_100,
        &Limits::default(),
        &mut |piece| {
            samples.extend_from_slice(piece);
            Ok(())
        },
    )?;
    Ok((samples, decoded.source.ends_early))
}

#[test]
fn wav_of_a_careless_writer_is_decoded_completely() {
    let data = stereo();
    let length = data.len() as u32;
    let plain = || chunk(b"fmt ", 16, &fmt(1, 2, 16));
    let samples = || chunk(b"data", length, &data);
    let list = |inner: u32| {
        let body = [&b"INFOIART"[..], &inner.to_le_bytes(), b"someone\0"].concat();
        chunk(b"LIST", body.len() as u32, &body)
    };
    let padded =
        |count: u32| chunk(b"fmt ", count, &[fmt(1, 2, 16), vec![0; count as usize - 16]].concat());
    // A GUID follows the valid bits and the channel mask.
    let extensible = |valid: u16| {
        let rest = [22, valid, 3, 0, 1].map(u16::to_le_bytes).concat();
        chunk(b"fmt ", 40, &[fmt(0xfffe, 2, 16), rest, vec![0; 14]].concat())
    };
    let mut kinds = vec![
        ("plain", riff(b"RIFF", length + 36, &[plain(), samples()])),
        (
            "fmt of 14 bytes",
            riff(b"RIFF", length + 34, &[chunk(b"fmt ", 14, &fmt(1, 2, 16)[..14]), samples()]),
        ),
        ("fmt of 18 bytes", riff(b"RIFF", length + 38, &[padded(18), samples()])),
        ("fmt of 20 bytes", riff(b"RIFF", length + 40, &[padded(20), samples()])),
        ("fmt of 50 bytes", riff(b"RIFF", length + 70, &[padded(50), samples()])),
        ("extensible, 16 valid bits", riff(b"RIFF", length + 60, &[extensible(16), samples()])),
        ("extensible, 0 valid bits", riff(b"RIFF", length + 60, &[extensible(0), samples()])),
        ("fact of 4 bytes", riff(b"RIFF", 0, &[plain(), chunk(b"fact", 4, &[1; 4]), samples()])),
        ("fact of 12 bytes", riff(b"RIFF", 0, &[plain(), chunk(b"fact", 12, &[1; 12]), samples()])),
        ("LIST", riff(b"RIFF", 0, &[plain(), list(8), samples()])),
        (
            "LIST with a wrong inner length",
            riff(b"RIFF", 0, &[plain(), list(4_000_000), samples()]),
        ),
        ("LIST behind", riff(b"RIFF", 0, &[plain(), samples(), list(8)])),
        (
            "odd chunk with padding",
            riff(b"RIFF", 0, &[plain(), chunk(b"junk", 3, &[0; 4]), samples()]),
        ),
        (
            "odd chunk without padding",
            riff(b"RIFF", 0, &[plain(), chunk(b"junk", 3, &[0; 3]), samples()]),
        ),
        (
            "a tag in front",
            [&b"ID3\x03\0\0\0\0\0\x05hello"[..], &riff(b"RIFF", 0, &[plain(), samples()])].concat(),
        ),
    ];
    for riff_length in [0, 8, length + 28, length + 44, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        kinds.push(("wrong length of the file", riff(b"RIFF", riff_length, &[plain(), samples()])));
    }
    for placeholder in
        [0, 0x7fff_f000, 0x7fff_ffff, 0x7fff_ffdb, 0x8000_0000, u32::MAX - 36, u32::MAX]
    {
        let streamed = chunk(b"data", placeholder, &data);
        kinds.push(("written to a pipe", riff(b"RIFF", placeholder, &[plain(), streamed])));
    }
    let ds64 = [0, u64::from(length), 600].map(u64::to_le_bytes).concat();
    for magic in [b"RF64", b"BW64"] {
        let long = [chunk(b"ds64", 28, &[ds64.clone(), vec![0; 4]].concat()), plain()];
        let long = [&long[..], &[chunk(b"data", u32::MAX, &data), list(8)]].concat();
        kinds.push(("RF64", riff(magic, u32::MAX, &long)));
    }
    for (kind, bytes) in kinds {
        let (found, ends_early) = whole(&bytes).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(found, mean(), "{kind}");
        assert!(!ends_early, "{kind}");
    }
}

#[test]
fn big_endian_and_wide_wav_files_are_decoded() {
    let swap = |bytes: &[u8]| {
        bytes.as_chunks::<2>().0.iter().flat_map(|&[a, b]| [b, a]).collect::<Vec<u8>>()
    };
    let length = stereo().len() as u32;
    let mut rifx = b"RIFX\0\0\0\0WAVEfmt \0\0\0\x10".to_vec();
    rifx.extend([1u16, 2].map(u16::to_be_bytes).concat());
    rifx.extend([44_100u32, 176_400].map(u32::to_be_bytes).concat());
    rifx.extend([4u16, 16].map(u16::to_be_bytes).concat());
    rifx.extend(b"data");
    rifx.extend(length.to_be_bytes());
    rifx.extend(swap(&stereo()));
    assert_eq!(whole(&rifx).unwrap(), (mean(), false));

    let guid = |name: &[u8; 4]| {
        let tail = [0xf3, 0xac, 0xd3, 0x11, 0x8c, 0xd1, 0x00, 0xc0, 0x4f, 0x8e, 0xdb, 0x8a];
        [&name[..], &tail].concat()
    };
    let wide = |name: &[u8; 4], body: &[u8], length: u64| {
        [&guid(name)[..], &length.to_le_bytes(), body].concat()
    };
    // A chunk of 3 bytes is padded to 8.
    let junk = wide(b"junk", &[0; 8], 27);
    for length in [24 + u64::from(length), u64::MAX] {
        let chunks =
            [junk.clone(), wide(b"fmt ", &fmt(1, 2, 16), 40), wide(b"data", &stereo(), length)];
        let bytes = [&wav::WAVE64[..], &[0; 8], &guid(b"wave"), &chunks.concat()].concat();
        assert_eq!(whole(&bytes).unwrap(), (mean(), false));
    }
}

#[test]
fn floats_and_companded_samples_ignore_valid_bits_and_missing_fields() {
    let floats: Vec<u8> = [0.5f32, -0.25, 1.5].into_iter().flat_map(f32::to_le_bytes).collect();
    let rest = [22, 0, 4, 0, 3].map(u16::to_le_bytes).concat();
    let fields = [fmt(0xfffe, 1, 32), rest, vec![0; 14]].concat();
    let bytes = riff(b"RIFF", 0, &[chunk(b"fmt ", 40, &fields), chunk(b"data", 12, &floats)]);
    assert_eq!(whole(&bytes).unwrap().0, [0.5, -0.25, 1.5]);
    // Values of G.711: the ends, the smallest, and 0x2a, whose inverted bits are 0x7f.
    let alaw = riff(
        b"RIFF",
        0,
        &[chunk(b"fmt ", 16, &fmt(6, 1, 8)), chunk(b"data", 5, &[0xd5, 0x55, 0xaa, 0x2a, 0xc5])],
    );
    let wanted = [1.0, -1.0, 4_032.0, -4_032.0, 33.0].map(|value| value / 4_096.0);
    assert_eq!(whole(&alaw).unwrap().0, wanted);
    // 20 bits in 3 bytes and 24 in 4 are aligned to the top.
    for (fields, data) in [
        (fmt(1, 1, 20), vec![0, 0, 0x40, 0, 0, 0xc0]),
        ([&fmt(1, 1, 24)[..12], &[4, 0, 24, 0]].concat(), vec![0, 0, 0, 0x40, 0, 0, 0, 0xc0]),
    ] {
        let data = chunk(b"data", data.len() as u32, &data);
        let bytes = riff(b"RIFF", 0, &[chunk(b"fmt ", 16, &fields), data]);
        assert_eq!(whole(&bytes).unwrap().0, [0.5, -0.5]);
    }
}

#[test]
fn frames_that_a_file_lacks_at_its_end_are_noted() {
    let data = stereo();
    let header = |declared: u32| {
        riff(b"RIFF", 0, &[chunk(b"fmt ", 16, &fmt(1, 2, 16)), chunk(b"data", declared, &[])])
    };
    // One frame more than there is, a part of the last frame, and a part of it written to a pipe.
    let length = data.len() as u32;
    for (declared, kept) in
        [(length + 4, 2_400), (length, 2_399), (length, 2_397), (u32::MAX, 2_399)]
    {
        let bytes = [header(declared), data[..kept].to_vec()].concat();
        let (samples, ends_early) = whole(&bytes).unwrap();
        assert_eq!(samples, mean()[..kept / 4], "{declared} {kept}");
        assert!(ends_early, "{declared} {kept}");
    }
    // More than 0.1 s.
    let error = whole(&[header(length + 4 * 5_000), data].concat()).unwrap_err();
    assert_eq!(error.reason(), Some(Reason::Truncated), "{error}");
}

#[test]
fn real_aiff_files_are_decoded_whatever_their_lengths_say() {
    let swap = |bytes: &[u8]| {
        bytes.as_chunks::<2>().0.iter().flat_map(|&[a, b]| [b, a]).collect::<Vec<u8>>()
    };
    let chunk = |name: &[u8; 4], length: u32, body: &[u8]| {
        [&name[..], &length.to_be_bytes(), body].concat()
    };
    let common = |frames: u32, kind: &[u8]| {
        let rate = [0x40, 0x0e, 0xac, 0x44, 0, 0, 0, 0, 0, 0];
        let fields = [&[0, 2][..], &frames.to_be_bytes(), &[0, 16], &rate, kind].concat();
        chunk(b"COMM", fields.len() as u32, &fields)
    };
    let sound = |length: u32, offset: u32, data: &[u8]| {
        let body = [&offset.to_be_bytes()[..], &[0; 4], &vec![7; offset as usize], data].concat();
        chunk(b"SSND", length, &body)
    };
    let form = |kind: &[u8; 4], chunks: &[Vec<u8>]| {
        [b"FORM\0\0\0\0", &kind[..], &chunks.concat()].concat()
    };
    let (big, little) = (swap(&stereo()), stereo());
    for bytes in [
        form(b"AIFF", &[common(600, b""), sound(2_408, 0, &big)]),
        form(b"AIFF", &[common(600, b""), sound(2_412, 4, &big)]),
        // The samples come first; the chunk is longer than its frames.
        form(b"AIFF", &[sound(2_410, 0, &[&big[..], &[9, 9]].concat()), common(600, b"")]),
        form(b"AIFC", &[common(600, b"sowt\0\0"), sound(2_408, 0, &little)]),
        form(b"AIFC", &[common(600, b"NONE\0\0"), sound(2_408, 0, &big)]),
        // Written to a pipe.
        form(b"AIFF", &[common(0, b""), sound(0, 0, &big)]),
        form(b"AIFF", &[common(0x1fc0_0000, b""), sound(0x7f00_0008, 0, &big)]),
        form(b"AIFF", &[common(u32::MAX, b""), sound(u32::MAX, 0, &big)]),
    ] {
        assert_eq!(whole(&bytes).unwrap(), (mean(), false));
    }
}

#[test]
fn codecs_inside_wav_and_aiff_are_named() {
    for (tag, name) in
        [(2, "Microsoft ADPCM"), (0x11, "IMA ADPCM"), (0x31, "GSM"), (0x161, "Windows Media")]
    {
        let bytes =
            riff(b"RIFF", 0, &[chunk(b"fmt ", 16, &fmt(tag, 1, 4)), chunk(b"data", 4, &[1; 4])]);
        let error = whole(&bytes).unwrap_err();
        assert_eq!(error.reason(), Some(Reason::Unsupported));
        let message = error.to_string();
        assert!(message.contains(name) && message.contains("is not supported"), "{message}");
    }
}
