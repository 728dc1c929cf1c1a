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
        ("stereo-96k.m4a", 96_000, 1_024, 88_064, 0.95),
        ("mono-88k.m4a", 88_200, 1_024, 80_896, 0.95),
        // Channels that differ and whose mean is the chirp.
        ("three-44k.ogg", 44_100, 0, 39_690, 0.999),
        ("six-44k.ogg", 44_100, 0, 39_690, 0.998),
        // At this bit rate, libopus itself is early by two samples.
        ("mono-48k-opus.ogg", 48_000, -2, 43_200, 0.99),
        ("stereo-44k.opus", 48_000, 0, 43_200, 0.999),
        ("six-48k.opus", 48_000, 0, 43_200, 0.99),
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
    for path in fixtures() {
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
    for path in fixtures() {
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

/// The file of an Ogg Opus stream of packets of 20 ms with `count` packets per page.
pub(super) fn opus_with_small_pages(bytes: &[u8], count: usize) -> Vec<u8> {
    let (mut packets, mut packet, mut at) = (Vec::new(), Vec::<u8>::new(), 0);
    let mut samples = [0; 8];
    while at < bytes.len() {
        let segments = usize::from(bytes[at + 26]);
        samples.copy_from_slice(&bytes[at + 6..at + 14]);
        let mut place = at + 27 + segments;
        for &length in &bytes[at + 27..at + 27 + segments] {
            packet.extend(&bytes[place..place + usize::from(length)]);
            place += usize::from(length);
            if length < 255 {
                packets.push(std::mem::take(&mut packet));
            }
        }
        at = place;
    }
    let mut pages = vec![&packets[..1], &packets[1..2]];
    pages.extend(packets[2..].chunks(count));
    let last = pages.len() - 1;
    let mut file = Vec::new();
    let mut position = 0;
    for (number, page) in pages.into_iter().enumerate() {
        position += if number < 2 { 0 } else { 960 * page.len() as u64 };
        // The position of the last page says where the padding starts.
        let position = if number == last { u64::from_le_bytes(samples) } else { position };
        let mark = if number == 0 { 2 } else { 4 * u8::from(number == last) };
        let lengths = page.iter().flat_map(|packet| {
            let full = std::iter::repeat_n(255, packet.len() / 255);
            full.chain([(packet.len() % 255) as u8])
        });
        let lengths: Vec<u8> = lengths.collect();
        file.extend(b"OggS\0");
        file.push(mark);
        file.extend(position.to_le_bytes());
        file.extend([7, number as u32, 0].map(u32::to_le_bytes).concat());
        file.push(lengths.len() as u8);
        file.extend(lengths);
        file.extend(page.concat());
    }
    with_serial(&file, 7)
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

#[test]
fn opus_gain_of_the_header_is_applied() {
    let folder = tempfile::tempdir().unwrap();
    let plain = whole(&fixture("mono-48k-opus.ogg")).unwrap().samples;
    let mut bytes = std::fs::read(fixture("mono-48k-opus.ogg")).unwrap();
    // -6.0 dB in steps of 1/256 dB, in the header behind that of its page (28 bytes).
    bytes[28 + 16..28 + 18].copy_from_slice(&(-6 * 256i16).to_le_bytes());
    let softer = whole(&write(folder.path(), "a.opus", &with_serial(&bytes, 5))).unwrap().samples;
    assert_eq!(plain.len(), softer.len());
    let factor = 10f32.powf(-6.0 / 20.0);
    for (a, b) in plain.iter().zip(&softer) {
        assert!((a * factor - b).abs() < 1e-6);
    }
}

/// A FLAC file of 7200 samples that does not say how many it has.
fn flac_of_unknown_length() -> Vec<u8> {
    let mut bytes = std::fs::read(fixture("mono-8k.flac")).unwrap();
    // The lower 36 bits of the 8 bytes behind block and frame sizes.
    bytes[8 + 13] &= 0xf0;
    bytes[8 + 14..8 + 18].fill(0);
    bytes
}

#[test]
fn tags_behind_a_flac_file_cost_no_samples() {
    let folder = tempfile::tempdir().unwrap();
    let expected = whole(&fixture("mono-8k.flac")).unwrap();
    let id3v1 = [&b"TAG"[..], &[b'x'; 125]].concat();
    let item = b"\x06\0\0\0\0\0\0\0Artist\0nobody";
    let tag = |flags: u32| {
        let rest = [2_000, item.len() as u32 + 32, 1, flags].map(u32::to_le_bytes).concat();
        [&b"APETAGEX"[..], &rest, &[0; 8]].concat()
    };
    let ape = [&item[..], &tag(0)].concat();
    let headed = [&tag(0xa000_0000)[..], item, &tag(0x8000_0000)].concat();
    let lyrics = b"LYRICSBEGININD00003110000022LYRICS200".to_vec();
    let id3v2 = [&b"ID3\x03\0\0\0\0\x01\x00"[..], &[0; 128]].concat();
    for flac in [std::fs::read(fixture("mono-8k.flac")).unwrap(), flac_of_unknown_length()] {
        for behind in [
            vec![],
            id3v1.clone(),
            ape.clone(),
            headed.clone(),
            [&ape[..], &id3v1].concat(),
            [&lyrics[..], &id3v1].concat(),
            [&ape[..], &lyrics, &id3v1].concat(),
        ] {
            for before in [&[][..], &id3v2] {
                let path = write(folder.path(), "a.flac", &[before, &flac, &behind].concat());
                assert_eq!(whole(&path).unwrap(), expected, "{} bytes of tags", behind.len());
                assert!(!info(&path).ends_early);
            }
        }
    }
}

#[test]
fn flac_block_sizes_that_contradict_the_frames_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(fixture("mono-8k.flac")).unwrap();
    let expected = whole(&fixture("mono-8k.flac")).unwrap();
    let largest = u16::from_be_bytes([bytes[10], bytes[11]]);
    for sizes in [[0, largest], [0, 0], [16, largest], [largest - 1, largest], [largest, 0]] {
        let mut bytes = bytes.clone();
        bytes[8..12].copy_from_slice(&sizes.map(u16::to_be_bytes).concat());
        let path = write(folder.path(), "a.flac", &bytes);
        assert_eq!(whole(&path).unwrap_or_else(|error| panic!("{sizes:?}: {error}")), expected);
    }
}

#[test]
fn mp3_inside_wav_is_the_same_as_outside() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["mono-16k.mp3", "stereo-44k.mp3", "headerless-22k.mp3"] {
        let expected = whole(&fixture(name)).unwrap();
        let mp3 = std::fs::read(fixture(name)).unwrap();
        for length in [mp3.len() as u32, u32::MAX, 0] {
            let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x1e\0\0\0\x55\0\x02\0".to_vec();
            bytes.extend([44_100u32, 16_000].map(u32::to_le_bytes).concat());
            bytes.extend([1u16, 0, 12, 1].map(u16::to_le_bytes).concat());
            bytes.extend([0; 10]);
            bytes.extend(b"data");
            bytes.extend(length.to_le_bytes());
            bytes.extend(&mp3);
            if length == mp3.len() as u32 {
                bytes.extend(b"LIST\x04\0\0\0INFO");
            }
            let path = write(folder.path(), "a.wav", &bytes);
            assert_eq!(whole(&path).unwrap(), expected, "{name}, {length}");
            assert!(!info(&path).ends_early);
        }
    }
}

/// Bits from the highest of each byte on.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    used: usize,
}

impl BitWriter {
    pub fn put(&mut self, count: usize, value: u32) -> &mut Self {
        for bit in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> bit & 1) as u8) << (7 - self.used % 8);
            self.used += 1;
        }
        self
    }

    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(self).bytes
    }
}

/// Whether a pair of frequencies is negative: of the frame, the granule and the pair with these numbers.
type Signs = fn(u32, u32, u32) -> bool;

/// An MP3 file at 44.1 kHz and 128 kbit/s whose first channel has long blocks and whose second has short ones. In each of 8
/// frames, 8 of the lowest 16 frequencies of both channels are 1 or -1, coded with the first Huffman table. The channels are
/// left and right, or middle and side. (ISO/IEC 11172-3, sections 2.4.1 and 2.4.2.)
fn mp3_with_both_block_types(is_mid_side: bool, signs: [Signs; 2]) -> Vec<u8> {
    let pairs = 8;
    let mut file = Vec::new();
    for frame in 0..8 {
        let mut bits = BitWriter::default();
        // Layer III without a checksum, 128 kbit/s, 44.1 kHz, no padding, joint or separate channels.
        bits.put(16, 0xfffb).put(8, 0x90).put(8, if is_mid_side { 0x60 } else { 0x00 });
        // The main data starts in this frame; no scale factors are shared.
        bits.put(9, 0).put(3, 0).put(8, 0);
        for _granule in 0..2 {
            for channel in 0..2 {
                // Codes of two bits and a sign for every pair; the gain.
                bits.put(12, 3 * pairs).put(9, pairs).put(8, 190).put(4, 0);
                // Window switching: start blocks, which are long, or short blocks that are not mixed.
                bits.put(1, 1).put(2, if channel == 0 { 1 } else { 2 }).put(1, 0);
                // Huffman table 1 in both regions; gains of the short windows; no scaling.
                bits.put(5, 1).put(5, 1).put(9, 0).put(3, 0);
            }
        }
        for granule in 0..2 {
            for signs in signs {
                for pair in 0..pairs {
                    bits.put(2, 1).put(1, u32::from(signs(frame, granule, pair)));
                }
            }
        }
        let mut bytes = bits.finish();
        bytes.resize(417, 0);
        file.extend(bytes);
    }
    file
}

#[test]
fn joint_stereo_is_right_where_the_channels_differ_in_block_type() {
    let folder = tempfile::tempdir().unwrap();
    let decoded = |is_mid_side, signs| {
        let path = write(folder.path(), "a.mp3", &mp3_with_both_block_types(is_mid_side, signs));
        whole(&path).unwrap().samples
    };
    let middle: Signs = |frame, granule, pair| (frame + granule + pair) % 2 == 0;
    let side: Signs = |frame, granule, pair| (frame + pair / 3 + granule) % 3 == 0;
    let opposite: Signs = |frame, granule, pair| (frame + pair / 3 + granule) % 3 != 0;
    // Left is (middle + side) / sqrt(2) in long blocks, right is (middle - side) / sqrt(2) in short ones. Synthesis is linear,
    // so their mean is the sum of two files with separate channels: the middle in both, and the side and its negative.
    let joint = decoded(true, [middle, side]);
    let middles = decoded(false, [middle, middle]);
    let sides = decoded(false, [side, opposite]);
    assert_eq!((joint.len(), middles.len(), sides.len()), (8 * 1_152, 8 * 1_152, 8 * 1_152));
    let loudest = joint.iter().fold(0f32, |peak, sample| peak.max(sample.abs()));
    assert!(loudest > 1e-2, "{loudest}");
    for (sample, (a, b)) in joint.iter().zip(middles.iter().zip(&sides)) {
        let expected = (a + b) / 2f32.sqrt();
        assert!((sample - expected).abs() < 1e-5 * loudest, "{sample} {expected} {loudest}");
    }
}
