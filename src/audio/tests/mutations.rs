//! Thousands of broken files: no panic gets out, nothing hangs, every failure has a reason.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::*;

/// Mutations of each file.
const EACH: usize = 400;

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let length = bytes.len();
    // Half of the changes hit the first 200 bytes, where the headers are.
    let place = |random: &mut Random| match random.below(2) {
        0 => random.below(length.min(200)),
        _ => random.below(length),
    };
    match random.below(6) {
        0 => bytes.truncate(random.below(length)),
        1 => {
            for _ in 0..=random.below(16) {
                let at = place(random);
                bytes[at] ^= 1 << random.below(8);
            }
        }
        2 => {
            let at = place(random);
            let end = (at + 1 + random.below(64)).min(length);
            bytes[at..end].fill([0x00, 0xff, 0x7f, 0x80][random.below(4)]);
        }
        3 => {
            let at = place(random);
            let count = random.below(64);
            bytes.splice(at..at, (0..count).map(|n| n as u8));
        }
        4 => {
            let at = place(random);
            let end = (at + random.below(64)).min(length);
            bytes.drain(at..end);
        }
        _ => {
            for _ in 0..=random.below(4) {
                let at = place(random);
                bytes[at] = random.below(256) as u8;
            }
        }
    }
}

#[test]
fn broken_files_are_refused_or_decoded_and_never_worse() {
    let folder = tempfile::tempdir().unwrap();
    let samples = chirp_at(8_000, 0.4);
    let mut seeds: Vec<(String, Vec<u8>)> = fixtures()
        .iter()
        .map(|path| (path.display().to_string(), std::fs::read(path).unwrap()))
        .collect();
    seeds.push(("i16 wav".into(), wav(8_000, 2, Store::I16, &samples)));
    seeds.push(("f32 wav".into(), wav(8_000, 1, Store::F32, &samples)));
    seeds.push(("i24 aiff".into(), aiff(8_000, 1, Store::I24, &samples)));
    let limits = Limits { max_seconds: 600.0, ..Limits::default() };
    let mut outcomes = BTreeMap::new();
    let mut random = Random(1);
    for (name, bytes) in &seeds {
        let path = folder.path().join("mutant");
        for round in 0..EACH {
            let mut mutant = bytes.clone();
            for _ in 0..=random.below(3) {
                if !mutant.is_empty() {
                    mutate(&mut mutant, &mut random);
                }
            }
            std::fs::write(&path, &mutant).unwrap();
            let start = Instant::now();
            let outcome = match decode_at(&path, 0.0, None, 16_000, &limits) {
                Ok(wave) => {
                    assert!(wave.samples.iter().all(|sample| sample.is_finite()));
                    "decoded"
                }
                Err(AudioError::Unusable { reason, message, .. }) => {
                    assert!(!message.is_empty() && !message.contains('\n'), "{message}");
                    if reason == Reason::Panicked {
                        eprintln!("contained, mutation {round} of {name}: {message}");
                    }
                    reason.name()
                }
                // A rate between those of a limit and of the resampler cannot be: both are refused.
                Err(error) => panic!("mutation {round} of {name}: {error}"),
            };
            let took = start.elapsed();
            assert!(took < Duration::from_secs(10), "mutation {round} of {name} took {took:?}");
            *outcomes.entry(outcome).or_insert(0) += 1;
        }
    }
    eprintln!("{outcomes:?}");
    let total: usize = outcomes.values().sum();
    assert_eq!(total, EACH * seeds.len());
    // Both happen; otherwise the mutations would test nothing.
    assert!(outcomes["decoded"] > total / 20 && outcomes["decoded"] < total);
}
