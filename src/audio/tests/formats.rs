//! The decoded samples of each format, compared with the closed form of the signal.

use super::*;

#[test]
fn wav_of_any_width_and_channel_count_is_averaged() {
    let folder = tempfile::tempdir().unwrap();
    for store in Store::ALL {
        for channels in 1..=8u16 {
            let gains: Vec<f64> = (1..=channels).map(|c| 0.1 * f64::from(c)).collect();
            let mono = chirp_at(8_000, 0.3);
            let samples: Vec<f64> =
                mono.iter().flat_map(|x| gains.iter().map(move |gain| x * gain)).collect();
            let path = write(folder.path(), "a.wav", &wav(8_000, channels, store, &samples));
            let wave = whole(&path).unwrap_or_else(|error| panic!("{store:?} {channels}: {error}"));
            assert_eq!((wave.sample_rate, wave.samples.len()), (8_000, mono.len()));
            let gain = gains.iter().sum::<f64>() / f64::from(channels);
            for (sample, x) in wave.samples.iter().zip(&mono) {
                let error = (f64::from(*sample) - x * gain).abs();
                assert!(error <= store.error(), "{store:?}, {channels} channels: {error:e}");
            }
        }
    }
}

#[test]
fn aiff_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    for store in [Store::I16, Store::I24, Store::I32] {
        for channels in [1, 2] {
            let mono = chirp_at(22_050, 0.3);
            let samples: Vec<f64> =
                mono.iter().flat_map(|&x| vec![x; usize::from(channels)]).collect();
            let path = write(folder.path(), "a.aiff", &aiff(22_050, channels, store, &samples));
            let wave = whole(&path).unwrap();
            assert_eq!((wave.sample_rate, wave.samples.len()), (22_050, mono.len()));
            for (sample, x) in wave.samples.iter().zip(&mono) {
                assert!((f64::from(*sample) - x).abs() <= store.error(), "{store:?}");
            }
        }
    }
}

#[test]
fn encoded_files_give_the_chirp_without_a_shift() {
    // Name, sample rate, samples before the chirp, total samples, minimum correlation.
    // MP3 without a header declares no delay (576 of LAME, 529 of the decoder); the 1024 priming samples of AAC
    // are kept.
    let expected = [
        ("mono-8k.flac", 8_000, 0, 7_200, 0.999_999),
        ("mono-8k-alac.m4a", 8_000, 0, 7_200, 0.999_999),
        ("mono-16k.mp3", 16_000, 0, 14_400, 0.999),
        ("stereo-44k.mp3", 44_100, 0, 39_690, 0.999),
        ("headerless-22k.mp3", 22_050, 1_105, 21_312, 0.999),
        ("mono-22k.ogg", 22_050, 0, 19_845, 0.995),
        ("stereo-48k.ogg", 48_000, 0, 43_200, 0.999),
        ("stereo-44k.m4a", 44_100, 1_024, 40_960, 0.95),
        ("mono-22k.aac", 22_050, 1_024, 21_504, 0.95),
    ];
    for (name, rate, before, samples, least) in expected {
        let wave = whole(&fixture(name)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((wave.sample_rate, wave.samples.len()), (rate, samples), "{name}");
        let correlation = |shift: i64| {
            let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
            for (n, &y) in wave.samples.iter().enumerate() {
                let x = chirp((n as i64 - before - shift) as f64 / f64::from(rate));
                xy += x * f64::from(y);
                xx += x * x;
                yy += f64::from(y) * f64::from(y);
            }
            xy / (xx * yy).sqrt()
        };
        let best = (-2..=2)
            .map(|shift| (correlation(shift), shift))
            .reduce(|a, b| if a.0 >= b.0 { a } else { b });
        let (best, shift) = best.unwrap();
        assert!(shift == 0 && best > least, "{name}: correlation {best}, shifted by {shift}");
    }
}

#[test]
fn lossless_files_are_bit_exact() {
    for name in ["mono-8k.flac", "mono-8k-alac.m4a"] {
        let wave = whole(&fixture(name)).unwrap();
        for (n, &sample) in wave.samples.iter().enumerate() {
            let stored = f64::from(sample) * 32_768.0;
            assert_eq!(stored, stored.round());
            // ffmpeg does not dither here, but may round halves either way and scale by 32767 or 32768.
            assert!((stored - 32_768.0 * chirp(n as f64 / 8_000.0)).abs() < 1.6, "{name} at {n}");
        }
    }
}

#[test]
fn excerpt_equals_that_part_of_the_whole() {
    for path in fixtures().into_iter().filter(|path| !path.ends_with("mono-48k-opus.ogg")) {
        let wave = whole(&path).unwrap();
        let rate = f64::from(wave.sample_rate);
        for (offset, duration) in
            [(0.0, Some(0.2)), (0.1, Some(0.333)), (0.5, None), (0.0, Some(0.9)), (0.8, Some(9.0))]
        {
            let part = decode(&path, offset, duration, &Limits::default()).unwrap();
            let from = (offset * rate).round() as usize;
            let to =
                duration.map_or(wave.samples.len(), |d| ((offset + d) * rate).round() as usize);
            let to = to.min(wave.samples.len());
            assert_eq!(part.samples, wave.samples[from..to], "{} {offset}", path.display());
        }
    }
}

#[test]
fn streamed_resampling_equals_resampling_afterwards() {
    for name in ["stereo-44k.mp3", "stereo-48k.ogg", "mono-8k.flac", "mono-16k.mp3"] {
        let path = fixture(name);
        let wave = whole(&path).unwrap();
        let direct = decode_at(&path, 0.0, None, 16_000, &Limits::default()).unwrap();
        let after = resample(&wave.samples, wave.sample_rate, 16_000).unwrap();
        assert_eq!(direct.sample_rate, 16_000);
        assert_eq!(direct.samples, after, "{name}");
        let ideal = (wave.samples.len() as f64 * 16_000.0 / f64::from(wave.sample_rate)).ceil();
        assert_eq!(direct.samples.len() as f64, ideal);
    }
}

#[test]
fn file_extension_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    for path in fixtures().into_iter().filter(|path| !path.ends_with("mono-48k-opus.ogg")) {
        let expected = whole(&path).unwrap();
        for name in ["a.wav", "b.mp3", "c"] {
            let copy = write(folder.path(), name, &std::fs::read(&path).unwrap());
            assert_eq!(whole(&copy).unwrap(), expected, "{} as {name}", path.display());
        }
    }
}

#[test]
fn tags_around_an_mp3_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["mono-16k.mp3", "headerless-22k.mp3"] {
        let path = fixture(name);
        let plain = std::fs::read(&path).unwrap();
        let expected = whole(&path).unwrap();
        // An ID3v2 tag of 2 MB with a picture whose bytes look like MPEG frames.
        let mut tagged = b"ID3\x03\0\0".to_vec();
        let size = 2_000_000u32;
        tagged.extend([21, 14, 7, 0].map(|shift| (size >> shift) as u8 & 0x7f));
        tagged.extend(b"APIC");
        tagged.extend((size - 10).to_be_bytes());
        tagged.extend([0, 0]);
        tagged.extend(b"\0image/jpeg\0\x03\0");
        let end = tagged.len() - 14 - 10 + size as usize - 10;
        while tagged.len() < end + 10 {
            tagged.extend([0xff, 0xfb, 0x90, 0x44]);
        }
        tagged.truncate(10 + size as usize);
        tagged.extend(&plain);
        tagged.extend(b"TAG");
        tagged.extend([b'x'; 125]);
        let tagged = write(folder.path(), "tagged.mp3", &tagged);
        assert_eq!(whole(&tagged).unwrap(), expected, "{name}");
    }
}

#[test]
fn concatenated_mp3_files_are_decoded_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let one = std::fs::read(fixture("stereo-44k.mp3")).unwrap();
    let path = write(folder.path(), "joined.mp3", &[one.clone(), one].concat());
    // The first header declares half of the samples; the second half must not be dropped.
    let wave = whole(&path).unwrap();
    assert!(wave.seconds() > 1.75, "{} s", wave.seconds());
    // Files of different formats are not one signal.
    let [a, b] =
        ["mono-16k.mp3", "stereo-44k.mp3"].map(|name| std::fs::read(fixture(name)).unwrap());
    let path = write(folder.path(), "joined.mp3", &[a, b].concat());
    assert_eq!(whole(&path).unwrap_err().reason(), Some(Reason::Unsupported));
}

#[test]
fn chained_ogg_streams_are_decoded_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let one = std::fs::read(fixture("mono-22k.ogg")).unwrap();
    let expected = whole(&fixture("mono-22k.ogg")).unwrap().samples;
    // The second stream needs another serial number, which changes the page checksums.
    let other = with_serial(&one, 77);
    let path = write(folder.path(), "chained.ogg", &[one, other].concat());
    assert_eq!(whole(&path).unwrap().samples, [expected.clone(), expected].concat());
    let other = std::fs::read(fixture("stereo-48k.ogg")).unwrap();
    let path = write(
        folder.path(),
        "mixed.ogg",
        &[std::fs::read(fixture("mono-22k.ogg")).unwrap(), with_serial(&other, 78)].concat(),
    );
    let error = whole(&path).unwrap_err();
    assert_eq!(error.reason(), Some(Reason::Unsupported), "{error}");
}

/// An Ogg file with another serial number on every page.
fn with_serial(bytes: &[u8], serial: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let segments = usize::from(bytes[at + 26]);
        let body: usize = bytes[at + 27..at + 27 + segments].iter().map(|&n| usize::from(n)).sum();
        let end = at + 27 + segments + body;
        bytes[at + 14..at + 18].copy_from_slice(&serial.to_le_bytes());
        bytes[at + 22..at + 26].fill(0);
        // CRC-32 with the polynomial 0x04c11db7, from the highest bit, starting at 0.
        let crc = bytes[at..end].iter().fold(0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| match crc >> 31 {
                1 => crc << 1 ^ 0x04c1_1db7,
                _ => crc << 1,
            })
        });
        bytes[at + 22..at + 26].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
    bytes
}
