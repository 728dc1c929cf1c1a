//! Damaged files: the decoder must not panic, hang or use much memory, and every refusal must have a reason.
//!
//! Two environment variables extend the test: `TONOTOPY_MUTATIONS=100000` sets the number of files, and
//! `TONOTOPY_SEEDS=DIR` adds the files of a directory, such as `benches/faults/hostile_seeds.sh` creates.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::*;
use crate::rng::philox;

/// Longest time for one file.
const SLOWEST: Duration = Duration::from_secs(10);

/// Largest memory of the process in bytes, if the number of files is set.
const PEAK_MEMORY: u64 = 512 << 20;

/// Extreme values for the fields of headers.
const EXTREME: [u32; 21] = [
    0,
    1,
    2,
    3,
    8,
    16,
    44,
    255,
    256,
    999,
    0x7fff,
    0xffff,
    0x1_0000,
    3600,
    158_760_000,
    10_000_000,
    0x7fff_fff0,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff0,
    0xffff_ffff,
];

impl Random {
    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let length = bytes.len();
    if length == 0 {
        return;
    }
    // Half of the changes hit the first 300 bytes, where the headers are.
    let place = |random: &mut Random| match random.below(2) {
        0 => random.below(length.min(300)),
        _ => random.below(length),
    };
    let at = place(random);
    match random.below(8) {
        0 => bytes.truncate(at),
        1 => {
            for _ in 0..=random.below(16) {
                let at = place(random);
                bytes[at] ^= 1 << random.below(8);
            }
        }
        2 => {
            let end = (at + 1 + random.below(64)).min(length);
            bytes[at..end].fill(random.of(&[0x00, 0xff, 0x7f, 0x80]));
        }
        3 => {
            let count = random.below(400);
            let inserted: Vec<u8> = (0..count).map(|_| random.below(256) as u8).collect();
            bytes.splice(at..at, inserted);
        }
        4 => drop(bytes.drain(at..(at + random.below(200)).min(length))),
        5 => {
            // The start of one file and the end of another.
            let other = &seeds[random.below(seeds.len())];
            bytes.truncate(at);
            bytes.extend(&other[random.below(other.len())..]);
        }
        _ => {
            // A header field of two or four bytes in either byte order.
            let value = random.of(&EXTREME);
            let field = match random.below(4) {
                0 => value.to_le_bytes().to_vec(),
                1 => value.to_be_bytes().to_vec(),
                2 => (value as u16).to_le_bytes().to_vec(),
                _ => (value as u16).to_be_bytes().to_vec(),
            };
            for (to, from) in bytes[at..].iter_mut().zip(field) {
                *to = from;
            }
        }
    }
}

/// A WAV file with extreme values in its header and 1024 bytes of samples.
fn extreme_wav(random: &mut Random) -> Vec<u8> {
    let rates = [0, 1, 10, 100, 999, 1000, 8000, 44_100, 768_000, 768_001, 10_000_000, u32::MAX];
    let channels = random.of(&[0, 1, 2, 3, 6, 8, 63, 64, 65, 128, 254, 255, 256, 65_535u16]);
    let bits = random.of(&[0, 1, 7, 8, 12, 16, 24, 32, 48, 64, 255, 65_535u16]);
    let format = random.of(&[1, 1, 3, 3, 6, 7, 2, 0x11, 0xfffe, 0, 0xffff_u16]);
    let block = random.of(&[0, 1, 2, 4, channels.wrapping_mul(bits / 8), 65_535]);
    let hour = 44_100 * 2 * 3600;
    let size = random.of(&[0, 1, 1000, 1024, hour, u32::MAX, u32::MAX - 7, 0x8000_0000]);
    let mut bytes = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
    bytes.extend(format.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(random.of(&rates).to_le_bytes());
    bytes.extend((random.below(1 << 31) as u32).to_le_bytes());
    bytes.extend(block.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(size.to_le_bytes());
    let sample = random.of(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 0.25, 0.0]);
    for i in 0..256 {
        let wave = if i % 7 == 3 { sample } else { (i as f32 * 0.1).sin() * 0.3 };
        bytes.extend(wave.to_le_bytes());
    }
    bytes
}

#[test]
fn damaged_files_are_decoded_or_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let samples = chirp_at(8_000, 0.4);
    let mut seeds = vec![
        wav(8_000, 2, Store::I16, &samples),
        wav(8_000, 1, Store::F32, &samples),
        aiff(8_000, 1, Store::I24, &samples),
    ];
    let more = std::env::var_os("TONOTOPY_SEEDS")
        .into_iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let mut paths: Vec<PathBuf> = fixtures().into_iter().chain(more).collect();
    paths.sort();
    seeds.extend(paths.iter().map(|path| std::fs::read(path).unwrap()));
    let asked = std::env::var("TONOTOPY_MUTATIONS").ok().map(|text| text.parse().unwrap());
    let files: usize = asked.unwrap_or(5_000);
    let limits = Limits { max_seconds: 600.0, ..Limits::default() };
    let outcomes = Mutex::new(BTreeMap::new());
    (0..files).into_par_iter().for_each(|number| {
        let mut random = Random(philox([1, 97], [number as u64, 0, 0, 0])[0]);
        let mut bytes = match number % 8 {
            7 => extreme_wav(&mut random),
            _ => seeds[random.below(seeds.len())].clone(),
        };
        for _ in 0..=random.below(4) {
            mutate(&mut bytes, &seeds, &mut random);
        }
        let thread = rayon::current_thread_index().unwrap_or_default();
        let path = write(folder.path(), &format!("mutant{thread}"), &bytes);
        let start = Instant::now();
        let decoded = decode_resampled(&path, 0.0, None, 16_000, &limits, &mut |piece| {
            assert!(piece.iter().all(|sample| sample.is_finite()), "file {number}");
            Ok(())
        });
        let took = start.elapsed();
        assert!(took < SLOWEST, "file {number} took {took:?}");
        let outcome = match decoded {
            Ok(_) => "decoded",
            Err(AudioError::Unusable { reason, message, .. }) => {
                assert!(!message.is_empty() && !message.contains('\n'), "{message}");
                if reason == Reason::Panicked {
                    eprintln!("caught in file {number}: {message}");
                }
                reason.name()
            }
            Err(error) => panic!("file {number}: {error}"),
        };
        *outcomes.lock().unwrap().entry(outcome).or_insert(0) += 1;
    });
    let outcomes = outcomes.into_inner().unwrap();
    eprintln!("{outcomes:?}");
    // If one of the two never happened, the mutations would test nothing.
    let decoded = outcomes["decoded"];
    assert!(decoded > files / 20 && decoded < files);
    if let (Some(_), Some(peak)) = (asked, crate::runs::bench::peak_memory()) {
        assert!(peak < PEAK_MEMORY, "{} MiB", peak >> 20);
    }
}
