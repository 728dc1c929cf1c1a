//! Files of every kind that the program reads, made by hand, found by fuzzing, and damaged: none makes it panic.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use crate::parsers::PARSERS;

/// Numbers that look random, always the same.
fn below(state: &mut u64, end: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    ((*state >> 33) as usize) % end.max(1)
}

/// A damaged copy: bits flipped, a stretch cut out, put in twice, or overwritten with what numbers break on.
fn damaged(bytes: &[u8], state: &mut u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let (from, to) = (below(state, bytes.len()), below(state, bytes.len()));
    let stretch = from.min(to)..from.max(to);
    match below(state, 5) {
        0 => bytes.truncate(from),
        1 => drop(bytes.drain(stretch)),
        2 => {
            let copy = bytes[stretch.clone()].to_vec();
            bytes.splice(from..from, copy);
        }
        3 => {
            const WORDS: [&[u8]; 8] = [
                b"\xff\xff\xff\xff",
                b"\0\0\0\0",
                b"-1",
                b"1e999",
                b"NaN",
                b"\n",
                b"\"",
                b"\x1e\x1e",
            ];
            let word = WORDS[below(state, WORDS.len())];
            bytes.splice(from..from, word.iter().copied());
        }
        _ => (0..4).for_each(|_| {
            let at = below(state, bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << below(state, 8);
            }
        }),
    }
    bytes
}

#[test]
fn nothing_panics_whatever_a_file_holds() {
    let corpus = Path::new("tests/corpus");
    let kinds = fs::read_dir(corpus).unwrap().count();
    assert_eq!(kinds, PARSERS.len(), "a folder a parser");
    let mut state = 2014;
    for (name, parse) in PARSERS {
        let mut files: Vec<_> =
            fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name}");
        for path in files {
            let good = fs::read(&path).unwrap();
            let tries = std::iter::once(good.clone());
            for (number, bytes) in
                tries.chain((0..60).map(|_| damaged(&good, &mut state))).enumerate()
            {
                let result = catch_unwind(|| parse(&bytes));
                if result.is_err() {
                    let kept = std::env::temp_dir().join(format!("hostile-{name}"));
                    fs::write(&kept, &bytes).unwrap();
                    panic!("{}, try {number}: see {}", path.display(), kept.display());
                }
            }
        }
    }
}
