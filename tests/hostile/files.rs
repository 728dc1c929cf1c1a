//! Hand-made, fuzzed and damaged files of every kind do not make the program panic.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use crate::hostile::parsers::PARSERS;
use crate::support::Random;

/// A damaged copy: cut off, with a range removed or repeated, with an inserted word, or with flipped bits.
fn damaged(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let (from, to) = (random.below(bytes.len()), random.below(bytes.len()));
    let range = from.min(to)..from.max(to);
    match random.below(5) {
        0 => bytes.truncate(from),
        1 => drop(bytes.drain(range)),
        2 => {
            let copy = bytes[range.clone()].to_vec();
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
            let word = WORDS[random.below(WORDS.len())];
            bytes.splice(from..from, word.iter().copied());
        }
        _ => (0..4).for_each(|_| {
            let at = random.below(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }),
    }
    bytes
}

#[test]
fn parsers_do_not_panic_on_any_file() {
    let corpus = Path::new("tests/corpus");
    let kinds = fs::read_dir(corpus).unwrap().count();
    assert_eq!(kinds, PARSERS.len(), "one directory per parser");
    let mut random = Random(2014);
    for (name, parse) in PARSERS {
        let mut files: Vec<_> =
            fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name}");
        for path in files {
            let good = fs::read(&path).unwrap();
            let tries = std::iter::once(good.clone());
            for (number, bytes) in
                tries.chain((0..60).map(|_| damaged(&good, &mut random))).enumerate()
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
