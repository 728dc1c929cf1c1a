//! Broken and hostile audio files by the hundred thousand, through the decoder that `scan` uses.
//!
//! ```sh
//! benches/faults/hostile_seeds.sh /tmp/seeds
//! cargo run --release --example hostile_audio -- /tmp/seeds 100000
//! ```
//!
//! Every file is decoded or refused with a reason. It ends with exit code 1 if a panic gets out, a file takes
//! more than ten seconds, a decoded sample is no number, or the process grows beyond 512 MiB.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tonotopy::audio::{AudioError, Limits, Reason, decode_resampled};

const SLOWEST: Duration = Duration::from_secs(10);
const MOST_KIB: u64 = 512 * 1024;

/// Numbers that look random (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// What fields of headers are set to: none, one, a little, an hour, ten megahertz, the sign bit, all.
const WILD: &[u32] = &[
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

fn mutate(bytes: &mut Vec<u8>, others: &[(String, Vec<u8>)], chance: &mut Chance) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    // Two of three changes hit the headers.
    let at =
        if chance.below(3) == 0 { chance.below(length) } else { chance.below(length.min(300)) };
    match chance.below(9) {
        0 => bytes.truncate(at),
        1 => (0..=chance.below(8)).for_each(|_| {
            let at = chance.below(length);
            bytes[at] ^= 1 << chance.below(8);
        }),
        2 => bytes[at] ^= 1 << chance.below(8),
        3 => {
            let end = (at + 1 + chance.below(64)).min(length);
            let value = chance.of(&[0x00, 0xff, 0x7f, 0x80]);
            bytes[at..end].fill(value);
        }
        4 => {
            let count = chance.below(400);
            let piece: Vec<u8> = (0..count).map(|_| chance.next() as u8).collect();
            bytes.splice(at..at, piece);
        }
        5 => {
            let end = (at + chance.below(200)).min(length);
            bytes.drain(at..end);
        }
        6 => {
            // The beginning of one, the rest of another.
            let (_, other) = &others[chance.below(others.len())];
            bytes.truncate(at);
            bytes.extend(&other[chance.below(other.len())..]);
        }
        _ => {
            // A field of a header: two or four bytes of either order.
            let value = chance.of(WILD);
            let field = match chance.below(4) {
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

/// A WAV file whose header says anything at all, over a kilobyte of samples.
fn wild_wav(chance: &mut Chance) -> Vec<u8> {
    let rates = [0, 1, 10, 100, 999, 1000, 8000, 44_100, 768_000, 768_001, 10_000_000, u32::MAX];
    let channels = chance.of(&[0, 1, 2, 3, 6, 8, 63, 64, 65, 128, 254, 255, 256, 65_535u16]);
    let bits = chance.of(&[0, 1, 7, 8, 12, 16, 24, 32, 48, 64, 255, 65_535u16]);
    let format = chance.of(&[1, 1, 3, 3, 6, 7, 2, 0x11, 0xfffe, 0, 0xffff_u16]);
    let block = chance.of(&[0, 1, 2, 4, channels.wrapping_mul(bits / 8), 65_535]);
    let hour = 44_100 * 2 * 3600;
    let size = chance.of(&[0, 1, 1000, 1024, hour, u32::MAX, u32::MAX - 7, 0x8000_0000]);
    let mut bytes = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
    bytes.extend(format.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(chance.of(&rates).to_le_bytes());
    bytes.extend((chance.next() as u32).to_le_bytes());
    bytes.extend(block.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(size.to_le_bytes());
    let sample = chance.of(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 0.25, 0.0]);
    for i in 0..256 {
        let wave = if i % 7 == 3 { sample } else { (i as f32 * 0.1).sin() * 0.3 };
        bytes.extend(wave.to_le_bytes());
    }
    bytes
}

/// What became of the files of one kind.
#[derive(Default)]
struct Kind {
    files: usize,
    decoded: usize,
    refused: BTreeMap<&'static str, usize>,
    slowest: Duration,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: hostile_audio SEEDS [FILES] [SEED]";
    let folder = arguments.next().expect(usage);
    let number = |text: Option<String>, default: usize| {
        text.map_or(default, |text| text.parse().expect(usage))
    };
    let files = number(arguments.next(), 100_000);
    let seed = number(arguments.next(), 1) as u64;
    let mut seeds: Vec<(String, Vec<u8>)> = std::fs::read_dir(&folder)
        .expect("the folder of seeds can be read")
        .map(|entry| entry.expect("the folder of seeds can be read").path())
        .map(|path| {
            let name =
                path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a seed can be read"))
        })
        .collect();
    seeds.sort();

    let place = tempfile::tempdir().expect("a folder can be made");
    let kinds: Mutex<BTreeMap<String, Kind>> = Mutex::default();
    let (next, violations) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let started = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let path = place.path().join(format!("hostile{thread}"));
            let (seeds, kinds, next, violations) = (&seeds, &kinds, &next, &violations);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= files {
                        break;
                    }
                    let mut chance = Chance(seed.wrapping_mul(0x1_0000_0000) + index as u64);
                    // One in eight is made from nothing.
                    let (name, bytes) = match index % 8 {
                        7 => ("wild.wav", wild_wav(&mut chance)),
                        _ => {
                            let (name, bytes) = &seeds[chance.below(seeds.len())];
                            let mut bytes = bytes.clone();
                            (0..=chance.below(4))
                                .for_each(|_| mutate(&mut bytes, seeds, &mut chance));
                            (name.as_str(), bytes)
                        }
                    };
                    std::fs::write(&path, &bytes).expect("a file can be written");
                    one(&path, name, index, kinds, violations);
                }
            });
        }
    });

    println!("| kind | files | decoded | refused | slowest, ms |\n|---|---|---|---|---|");
    let kinds = kinds.into_inner().expect("no thread panicked");
    let mut all = Kind::default();
    for (name, kind) in &kinds {
        let told: Vec<String> =
            kind.refused.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let slowest = kind.slowest.as_millis();
        println!(
            "| {name} | {} | {} | {} | {slowest} |",
            kind.files,
            kind.decoded,
            told.join(", ")
        );
        all.files += kind.files;
        all.decoded += kind.decoded;
        all.slowest = all.slowest.max(kind.slowest);
        for (reason, count) in &kind.refused {
            *all.refused.entry(reason).or_default() += count;
        }
    }
    let peak = peak_kib();
    println!(
        "\n{} files in {:.0} s: {} decoded, {:?}; slowest {:?}; peak memory {} MiB",
        all.files,
        started.elapsed().as_secs_f64(),
        all.decoded,
        all.refused,
        all.slowest,
        peak.map_or("?".into(), |kib| (kib / 1024).to_string()),
    );
    let accounted = all.decoded + all.refused.values().sum::<usize>();
    let violations = violations.into_inner() + usize::from(accounted != files);
    let violations = violations + usize::from(peak.is_some_and(|peak| peak > MOST_KIB));
    println!("{violations} violations");
    std::process::exit(i32::from(violations > 0));
}

fn one(
    path: &Path,
    name: &str,
    index: usize,
    kinds: &Mutex<BTreeMap<String, Kind>>,
    violations: &AtomicUsize,
) {
    let begin = Instant::now();
    let mut wrong = None;
    let limits = Limits::default();
    let outcome = decode_resampled(path, 0.0, None, 16_000, &limits, &mut |piece| {
        if piece.iter().any(|sample| !sample.is_finite()) {
            wrong = Some("a sample is no number");
        }
        Ok(())
    });
    let took = begin.elapsed();
    if took > SLOWEST {
        wrong = Some("it took too long");
    }
    let reason = match &outcome {
        Ok(_) => None,
        Err(AudioError::Unusable { reason, message, .. }) => {
            if message.is_empty() {
                wrong = Some("no message");
            }
            if *reason == Reason::Panicked {
                eprintln!("contained, {name}, number {index}: {message}");
            }
            Some(reason.name())
        }
        Err(error) => {
            eprintln!("{name}, number {index}: {error}");
            wrong = Some("it is no fault of a file");
            Some("other")
        }
    };
    if let Some(wrong) = wrong {
        violations.fetch_add(1, Ordering::Relaxed);
        eprintln!("VIOLATION: {name}, number {index}, {took:?}: {wrong}");
    }
    let mut kinds = kinds.lock().expect("no thread panicked");
    let kind = kinds.entry(name.into()).or_default();
    kind.files += 1;
    kind.slowest = kind.slowest.max(took);
    match reason {
        None => kind.decoded += 1,
        Some(reason) => *kind.refused.entry(reason).or_default() += 1,
    }
}

/// Most memory that this process ever had; Linux tells.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
