//! The audio cache: what it stores, and when it trusts an entry.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::audio::cache::Loaded;

fn load(cache: &AudioCache, path: &Path, rate: u32) -> Loaded {
    cache.load(&file(path), rate, &Limits::default()).unwrap()
}

/// Fills `out` with samples, starting at index `start`.
fn read(audio: &CachedAudio, start: usize, out: &mut [f32]) -> Result<(), AudioError> {
    let mut bytes = Vec::new();
    audio.stored(start, out.len(), &mut bytes)?;
    match audio.features(start, out.len()) {
        Some(values) => out.copy_from_slice(&values),
        None => {
            let mut values = Vec::new();
            kernels::pcm16::convert(&bytes, audio.scale(), &mut values);
            out.copy_from_slice(&values);
        }
    }
    Ok(())
}

fn samples(audio: &CachedAudio) -> Vec<f32> {
    let mut samples = vec![f32::NAN; audio.len()];
    read(audio, 0, &mut samples).unwrap();
    samples
}

#[test]
fn file_of_16_bits_at_its_own_rate_is_stored_without_loss() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AudioCache::open(&folder.path().join("cache")).unwrap();
    let mut wave = chirp_at(16_000, 0.5);
    wave[0] = -1.0;
    wave[1] = 1.0;
    let path = write(folder.path(), "a.wav", &wav(16_000, 1, Store::I16, &wave));
    let decoded = whole(&path).unwrap();
    let first = load(&cache, &path, 16_000);
    assert!(first.decoded);
    assert_eq!(samples(&first.audio), decoded.samples);
    assert_eq!((first.audio.len(), first.audio.sample_rate()), (8_000, 16_000));
    assert_eq!(first.source.codec, "pcm_s16le");
    let second = load(&cache, &path, 16_000);
    assert_eq!(second, Loaded { decoded: false, ..first });
    // As another process would see it.
    let reopened = AudioCache::open(cache.folder()).unwrap();
    assert_eq!(load(&reopened, &path, 16_000), second);
    assert_eq!(reopened.lookup(&file(&path), 16_000).unwrap(), Some(second.audio));
    assert_eq!(reopened.lookup(&file(&path), 22_050).unwrap(), None);
}

#[test]
fn any_range_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AudioCache::open(folder.path()).unwrap();
    let audio = load(&cache, &fixture("stereo-44k.mp3"), 16_000).audio;
    let all = samples(&audio);
    for (start, length) in [(0, 0), (0, 1), (1, 4_095), (5_000, 7_000), (audio.len() - 1, 1)] {
        let mut out = vec![f32::NAN; length];
        read(&audio, start, &mut out).unwrap();
        assert_eq!(out, all[start..start + length]);
    }
    for (start, length) in [(audio.len(), 1), (usize::MAX, 2), (audio.len() - 3, 4)] {
        let error = read(&audio, start, &mut vec![0.0; length]).unwrap_err();
        assert!(matches!(error, AudioError::Argument(_)), "{error}");
    }
    // Resampled audio is rounded to 16 bits.
    let exact = decode_at(&fixture("stereo-44k.mp3"), 0.0, None, 16_000, &Limits::default());
    for (a, b) in all.iter().zip(exact.unwrap().samples) {
        assert!((a - b).abs() <= 0.5 / 32_768.0 + 1e-7);
    }
}

#[test]
fn loud_audio_is_not_clipped() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AudioCache::open(&folder.path().join("cache")).unwrap();
    let loud: Vec<f64> = chirp_at(16_000, 0.5).iter().map(|x| 5.0 * x).collect();
    let path = write(folder.path(), "a.wav", &wav(16_000, 1, Store::F32, &loud));
    let stored = samples(&load(&cache, &path, 16_000).audio);
    for (a, b) in stored.iter().zip(&loud) {
        assert!((f64::from(*a) - b).abs() <= 0.51 * 2.5 / 32_767.0);
    }
}

#[test]
fn rates_and_excerpts_have_separate_entries() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AudioCache::open(folder.path()).unwrap();
    let path = fixture("mono-22k.ogg");
    let whole = load(&cache, &path, 16_000);
    let other = load(&cache, &path, 22_050);
    assert_ne!(whole.audio.path().unwrap(), other.audio.path().unwrap());
    assert_eq!((whole.audio.len(), other.audio.len()), (14_400, 19_845));
    let part = |offset_s, duration_s| Audio::File { path: path.clone(), offset_s, duration_s };
    for audio in [part(0.1, None), part(0.1, Some(0.3)), part(0.0, Some(0.3))] {
        let loaded = cache.load(&audio, 16_000, &Limits::default()).unwrap();
        assert!(loaded.decoded, "{audio:?}");
    }
    assert!(!cache.load(&part(-0.0, None), 16_000, &Limits::default()).unwrap().decoded);
    assert_eq!(load(&cache, &path, 16_000).audio, whole.audio);
}

#[test]
fn changed_file_is_decoded_again_but_not_a_moved_one() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AudioCache::open(&folder.path().join("cache")).unwrap();
    let quiet: Vec<f64> = chirp_at(16_000, 0.5).iter().map(|x| 0.5 * x).collect();
    let path = write(folder.path(), "a.wav", &wav(16_000, 1, Store::I16, &chirp_at(16_000, 0.5)));
    let first = load(&cache, &path, 16_000);
    // The same length, within the same tick of the clock.
    write(folder.path(), "a.wav", &wav(16_000, 1, Store::I16, &quiet));
    let second = load(&cache, &path, 16_000);
    assert!(second.decoded);
    assert_ne!(first.audio.path().unwrap(), second.audio.path().unwrap());
    assert_eq!(samples(&second.audio), whole(&path).unwrap().samples);
    let moved = folder.path().join("b.wav");
    std::fs::rename(&path, &moved).unwrap();
    let third = load(&cache, &moved, 16_000);
    assert!(!third.decoded);
    assert_eq!(third.audio, second.audio);
}

#[test]
fn damaged_entry_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = fixture("mono-8k.flac");
    let first = load(&AudioCache::open(folder.path()).unwrap(), &path, 16_000);
    let good = std::fs::read(first.audio.path().unwrap()).unwrap();
    let damages: [fn(&mut Vec<u8>); 6] = [
        |bytes| bytes.clear(),
        |bytes| bytes.truncate(100),
        |bytes| bytes.truncate(bytes.len() - 2),
        |bytes| bytes[0] = b'X',
        |bytes| bytes[26] ^= 0x80,
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        },
    ];
    for damage in damages {
        let mut bytes = good.clone();
        damage(&mut bytes);
        std::fs::write(first.audio.path().unwrap(), bytes).unwrap();
        let again = load(&AudioCache::open(folder.path()).unwrap(), &path, 16_000);
        assert!(again.decoded && again.rebuilt.is_some());
        assert_eq!(std::fs::read(first.audio.path().unwrap()).unwrap(), good);
    }
    // An entry that is removed or shortened after loading gives an error.
    let mut out = [0.0; 10];
    std::fs::write(first.audio.path().unwrap(), &good[..500]).unwrap();
    assert!(read(&first.audio, 0, &mut out).is_err());
    std::fs::remove_file(first.audio.path().unwrap()).unwrap();
    assert!(read(&first.audio, 0, &mut out).is_err());
}

#[test]
fn any_flipped_bit_of_an_entry_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    let path = fixture("mono-8k.flac");
    let first = load(&AudioCache::open(folder.path()).unwrap(), &path, 16_000);
    let entry = first.audio.path().unwrap();
    let (good, heard) = (std::fs::read(entry).unwrap(), samples(&first.audio));
    let mut random = Random(17);
    // Every field of the header as documented, the checksum, and the samples.
    let fields =
        [0..8, 8..12, 12..16, 16..24, 24..28, 28..32, 32..36, 36..40, 40..64, 64..96, 96..128];
    let header = fields.into_iter().flat_map(|field| std::iter::repeat_n(field, 12));
    let places: Vec<_> = header.chain(std::iter::repeat_n(128..good.len(), 168)).collect();
    assert_eq!(places.len(), 300);
    for place in places {
        let (at, bit) = (place.start + random.below(place.len()), random.below(8));
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        std::fs::write(entry, bytes).unwrap();
        let again = load(&AudioCache::open(folder.path()).unwrap(), &path, 16_000);
        assert!(again.decoded && again.rebuilt.is_some(), "byte {at} bit {bit}: {again:?}");
        assert_eq!(samples(&again.audio), heard, "byte {at} bit {bit}");
        assert_eq!(std::fs::read(entry).unwrap(), good, "byte {at} bit {bit}");
    }
}

#[test]
fn flipped_bit_of_the_index_never_changes_the_audio() {
    let folder = tempfile::tempdir().unwrap();
    let open = || AudioCache::open_with(&folder.path().join("cache"), Duration::ZERO).unwrap();
    let paths: Vec<PathBuf> = ["mono-8k.flac", "mono-16k.mp3"]
        .map(|name| {
            let copy = folder.path().join(name);
            std::fs::copy(fixture(name), &copy).unwrap();
            copy
        })
        .into();
    let heard = |cache: &AudioCache| -> Vec<Vec<f32>> {
        paths.iter().map(|path| samples(&load(cache, path, 16_000).audio)).collect()
    };
    let all = heard(&open());
    // The second time, the index also contains the entries.
    assert_eq!(heard(&open()), all);
    let index = folder.path().join("cache/index.log");
    let good = std::fs::read(&index).unwrap();
    assert_eq!(good.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count(), 4);
    let mut random = Random(18);
    for _ in 0..200 {
        let (at, bit) = (random.below(good.len()), random.below(8));
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        std::fs::write(&index, bytes).unwrap();
        assert_eq!(heard(&open()), all, "byte {at} bit {bit}");
    }
}

#[test]
fn no_temporary_files_remain() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AudioCache::open(&folder.path().join("cache")).unwrap();
    load(&cache, &fixture("mono-16k.mp3"), 16_000);
    let silent = write(folder.path(), "a.wav", &wav(16_000, 1, Store::I16, &[0.0; 9_000]));
    let error = cache.load(&file(&silent), 16_000, &Limits::default()).unwrap_err();
    assert_eq!(error.reason(), Some(Reason::Silent), "{error}");
    let cut = std::fs::read(fixture("stereo-44k.mp3")).unwrap();
    let cut = write(folder.path(), "b.mp3", &cut[..cut.len() - 900]);
    let error = cache.load(&file(&cut), 16_000, &Limits::default()).unwrap_err();
    assert_eq!(error.reason(), Some(Reason::Truncated), "{error}");
    assert_eq!(std::fs::read_dir(cache.folder().join("tmp")).unwrap().count(), 0);
}

#[test]
fn concurrent_loads_decode_a_track_once() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AudioCache::open(folder.path()).unwrap();
    let decoded = AtomicUsize::new(0);
    let paths: Vec<PathBuf> =
        ["stereo-44k.mp3", "stereo-48k.ogg", "mono-8k.flac"].map(fixture).into();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for path in &paths {
                    let loaded = load(&cache, path, 16_000);
                    decoded.fetch_add(usize::from(loaded.decoded), Ordering::Relaxed);
                    assert_eq!(samples(&loaded.audio).len(), loaded.audio.len());
                }
            });
        }
    });
    assert_eq!(decoded.into_inner(), paths.len());
}

#[test]
fn error_names_the_cache_directory() {
    let folder = tempfile::tempdir().unwrap();
    let taken = write(folder.path(), "file", b"x");
    let error = AudioCache::open(&taken.join("cache")).err().unwrap().to_string();
    assert!(error.contains("file/cache"), "{error}");
}

#[test]
fn excerpt_is_read_quickly() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AudioCache::open(&folder.path().join("cache")).unwrap();
    let long: Vec<f64> = (0..33).flat_map(|_| chirp_at(16_000, 0.9)).collect();
    let path = write(folder.path(), "a.wav", &wav(16_000, 1, Store::I16, &long));
    let audio = load(&cache, &path, 16_000).audio;
    let mut out = vec![0.0; 48_000];
    let mut times: Vec<_> = (0..200)
        .map(|n| {
            let start = Instant::now();
            read(&audio, n * 2_000, &mut out).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort();
    eprintln!("3 s at 16 kHz: median {:?}, worst {:?}", times[100], times[199]);
    // A loose bound: the machine may be busy and the build unoptimised.
    assert!(times[100].as_millis() < 5);
}

#[test]
fn features_are_read_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let cache = AudioCache::open(folder.path()).unwrap();
    let frames = datasets::Frames {
        width: 3,
        per_second: 2,
        bytes: [0, 1, 2, 253, 254, 255].into(),
        lowest: -2.0,
        step: 4.0 / 255.0,
    };
    let track = Audio::Frames(frames);
    let loaded = cache.load(&track, 6, &Limits::default()).unwrap();
    assert_eq!((loaded.audio.len(), loaded.audio.grain(), loaded.audio.seconds()), (6, 3, 1.0));
    assert_eq!((loaded.decoded, loaded.audio.path()), (false, None));
    let mut values = [f32::NAN; 3];
    read(&loaded.audio, 3, &mut values).unwrap();
    for (value, byte) in values.iter().zip([253.0, 254.0, 255.0]) {
        assert!((value - (byte * 4.0 / 255.0 - 2.0)).abs() < 1e-6, "{values:?}");
    }
    assert!(read(&loaded.audio, 4, &mut values).is_err());
    assert_eq!(cache.lookup(&track, 6).unwrap(), Some(loaded.audio));
    for rate in [16_000, 0] {
        let error = cache.load(&track, rate, &Limits::default()).unwrap_err().to_string();
        assert!(error.contains("width = 3") && error.contains(&rate.to_string()), "{error}");
    }
}

/// Entries that another version of a decoder or resampler wrote must have another key.
#[test]
fn cache_key_names_the_versions_in_the_lock_file() {
    let lock = include_str!("../../../Cargo.lock").replace("\r\n", "\n");
    for named in [decode::DECODER, resample::RESAMPLER] {
        let mut words = named.split([' ', ';']);
        let (package, version) = (words.next().unwrap(), words.next().unwrap());
        let entry = format!("name = \"{package}\"\nversion = \"{version}\"\n");
        assert!(lock.contains(&entry), "{named}");
    }
}
