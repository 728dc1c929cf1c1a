//! No data is lost, and damaged data is detected.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tonotopy::io::checksums::Checksums;
use tonotopy::listening::factors;
use tonotopy::runs::checkpoint::Which;
use tonotopy::runs::folder::RunFolder;

use crate::faults::resume::weights;
use crate::support::{MEL, Random, Workplace, kill, small, wait_for};

/// A bag of words on listening data: its run has checkpoints, factors and a fitted part.
fn listeners() -> String {
    let listening = "[listening]\nname = \"synthetic_listeners\"\nusers = 100\n\
                     [factorization]\nfactors = 4\nregularization = 5.0\n[model]";
    let network = format!("name = \"tagger\"\nfront_end = {MEL}");
    let bag = format!(
        "name = \"bag_of_words\"\nhidden = [20]\nbag = {{ words = 10, front_end = {MEL} }}"
    );
    small(MEL)
        .replace("[model]", listening)
        .replace(&network, &bag)
        .replace("steps = 12", "steps = 12\nloss = \"mean_squared_error\"\nmetric = \"auc\"")
}

/// The parts of a run as they are read; `None` if a part is refused.
fn parts_of(run: &Path) -> BTreeMap<&'static str, Option<Vec<u8>>> {
    let folder = RunFolder::open(run).unwrap();
    let text = |text: String| text.into_bytes();
    let debug = |value: &dyn std::fmt::Debug| format!("{value:?}").into_bytes();
    let whole =
        |which: &str, checkpoint: tonotopy::Result<tonotopy::runs::checkpoint::Checkpoint>| {
            let checkpoint = checkpoint.ok()?;
            let mut bytes = format!("{which} {:?} ", checkpoint.state).into_bytes();
            bytes.extend(checkpoint.model.into_bytes().unwrap().iter());
            bytes.extend(checkpoint.optimizer.into_bytes().unwrap().iter());
            Some(bytes)
        };
    let newest = folder
        .checkpoints()
        .newest()
        .and_then(|newest| newest.ok_or_else(|| tonotopy::Error::Data("no checkpoint".into())));
    let list = Checksums::read(run).ok().flatten();
    let recorded = |name: &str| list.as_ref().and_then(|list| list.read_file(name).ok());
    BTreeMap::from([
        ("best", whole("", folder.checkpoints().load(Which::Best))),
        ("experiment", folder.experiment().ok().map(|experiment| text(experiment.to_toml()))),
        ("factors", factors::read(&folder.factors()).ok().map(|tables| debug(&tables))),
        ("fitted", folder.fitted().ok().map(|fitted| debug(&fitted))),
        ("manifest", recorded("manifest.csv")),
        ("audio", recorded("audio.csv")),
        ("plays", recorded("plays.blake3")),
        ("newest", whole("", newest)),
        ("tags", folder.tags().ok().map(|tags| text(tags.join("\n")))),
    ])
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// `TONOTOPY_FLIPS` sets how many bits are flipped.
#[test]
fn flipped_bits_are_detected_or_harmless() {
    let flips = std::env::var("TONOTOPY_FLIPS").ok().and_then(|text| text.parse().ok());
    let flips: usize = flips.unwrap_or(150);
    let place = Workplace::new();
    place.write_experiment("x", &listeners());
    place.run("--device cpu train x.toml").ok();
    let run = place.path("runs/x-s1");
    let before = parts_of(&run);
    assert!(before.values().all(Option::is_some), "{:?}", before.keys());
    let folder = RunFolder::open(&run).unwrap();
    let newest = folder.checkpoints().newest().unwrap().unwrap().path;

    // Files that no result depends on are excluded.
    let ignored = ["environment.json", "metrics.jsonl", "quarantine.csv", "log.csv"];
    let files: Vec<PathBuf> = files(&run)
        .into_iter()
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            !ignored.contains(&name) && !name.starts_with("events.")
        })
        .collect();
    // The checkpoint before the newest, which replaces a damaged one.
    let older = {
        let hidden = run.join("hidden");
        fs::rename(&newest, &hidden).unwrap();
        let older = parts_of(&run)["newest"].clone();
        fs::rename(&hidden, &newest).unwrap();
        older
    };
    assert!(older.is_some() && older != before["newest"]);

    let mut random = Random(2024);
    let (mut detected, mut fell_back, mut harmless) = (0, 0, Vec::new());
    for flip in 0..flips {
        // Every file is damaged equally often.
        let path = &files[flip % files.len()];
        let good = fs::read(path).unwrap();
        let (at, bit) = (random.below(good.len()), random.below(8));
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        fs::write(path, bytes).unwrap();
        let after = parts_of(&run);
        fs::write(path, good).unwrap();
        let place = format!("{} byte {at} bit {bit}", path.display());
        let mut changed = false;
        for (part, value) in &after {
            match value {
                None => changed = true,
                Some(value) if Some(value) == before[part].as_ref() => {}
                Some(value) if *part == "newest" && Some(value) == older.as_ref() => {
                    fell_back += 1;
                    changed = true;
                }
                Some(_) => panic!("{place}: {part} is read with another value"),
            }
        }
        match changed {
            true => detected += 1,
            false => harmless.push(place),
        }
    }
    println!(
        "{flips} flips: {detected} detected, {fell_back} of them replaced by the previous checkpoint"
    );
    println!("{} harmless", harmless.len());
    // Only the pointers, which are recovered, and checkpoints that are neither the newest nor the best may go
    // undetected.
    let best = fs::read_to_string(run.join("checkpoints/best")).unwrap();
    for place in harmless {
        let pointer = place.contains("checkpoints/last") || place.contains("checkpoints/best");
        let spare = place.contains("checkpoints/step-") && !place.contains(best.trim());
        assert!(pointer || spare, "{place} was not detected");
    }
    assert!(detected > flips / 3 && fell_back > 0);
}

#[test]
fn damaged_cache_entries_are_recreated_with_a_warning() {
    let place = Workplace::new();
    place.write_experiment("x", &small(MEL));
    let train = |runs: &str| {
        place.run(&format!("--device cpu --cache-dir cache train x.toml --runs {runs}")).ok()
    };
    assert!(!train("first").err.contains("damaged"));
    let entries: Vec<PathBuf> = files(&place.path("cache"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "audio"))
        .collect();
    assert_eq!(entries.len(), 40);
    for entry in &entries[..3] {
        let mut bytes = fs::read(entry).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 0x10;
        fs::write(entry, bytes).unwrap();
    }
    let second = train("second");
    for words in
        ["3 damaged entries of the audio cache were replaced", "its checksum does not match"]
    {
        assert!(second.err.contains(words), "{}", second.err);
    }
    assert!(!train("third").err.contains("damaged"));
    let first = weights(&place.path("first/x-s1"));
    for runs in ["second", "third"] {
        assert!(first == weights(&place.path(&format!("{runs}/x-s1"))), "the weights differ");
    }
}

#[test]
fn run_is_locked_while_a_process_writes() {
    let place = Workplace::new();
    let long = small(MEL).replace("steps = 12", "steps = 1_000_000");
    place.write_experiment("x", &long);
    let mut first = place.start("--device cpu train x.toml");
    wait_for(&place.path("runs/x-s1/checkpoints/best"));
    let holder = format!("process {} on ", first.id());
    for second in ["train x.toml --resume", "evaluate runs/x-s1"] {
        place
            .run(&format!("--device cpu {second}"))
            .fails(3, &["runs/x-s1 is in use by", &holder, "wait until it ends"]);
    }
    // Reading is allowed.
    place.write("tone.wav", crate::support::wav(2.0, 16_000));
    place.run("--device cpu predict runs/x-s1 tone.wav").ok();
    assert!(first.try_wait().unwrap().is_none());
    kill(first);
    assert!(place.path("runs/x-s1/.lock").exists());
    let done = place.run("-v --device cpu evaluate runs/x-s1").ok();
    assert!(done.err.contains("is gone"), "{}", done.err);
    assert!(!place.path("runs/x-s1/.lock").exists());
}

#[test]
fn factorization_directory_is_locked() {
    let place = Workplace::new();
    let rows: String = (0..40_000).map(|i| format!("u{},i{},1\n", i % 900, i * 7 % 1100)).collect();
    place.write("plays.csv", format!("user,item,count\n{rows}"));
    let command = "factorize plays.csv --factors 30 --iterations 100000 --out made";
    let first = place.start(command);
    wait_for(&place.path("made.partial/log.csv"));
    place
        .run(&format!("{command} --resume"))
        .fails(3, &["made.partial is in use by", &format!("process {}", first.id())]);
    kill(first);
}

#[test]
fn nan_weights_are_never_saved() {
    let place = Workplace::new();
    let wild = small(MEL)
        .replace("steps = 12", "steps = 60\noptimizer = { name = \"sgd\", learning_rate = 1e30 }")
        .replace("valid_every = 4", "valid_every = 1");
    place.write_experiment("x", &wild);
    place.run("--device cpu train x.toml").fails(5, &["not finite", "learning_rate"]);
    let run = RunFolder::open(&place.path("runs/x-s1")).unwrap();
    assert!(run.checkpoints().newest().unwrap().is_none(), "a checkpoint with NaN was saved");
    // The same experiment with a suitable learning rate succeeds.
    let mild = wild.replace("1e30", "0.001");
    place.write_experiment("y", &mild);
    place.run("--device cpu train y.toml").ok();
}

#[test]
#[ignore = "needs a user namespace (unshare -rm) that may mount a tmpfs"]
#[cfg(target_os = "linux")]
fn training_on_a_full_disk_resumes_from_its_checkpoint() {
    let place = Workplace::new();
    let wide = small(MEL)
        .replace("front_end", "hidden = 300\nfront_end")
        .replace("steps = 12", "steps = 40")
        .replace("valid_every = 4", "valid_every = 2");
    place.write_experiment("x", &wide);
    place.run("--device cpu train x.toml --runs straight").ok();
    let checkpoint: u64 = files(&place.path("straight/x-s1/checkpoints"))
        .iter()
        .filter(|path| path.ends_with("model.bpk") || path.ends_with("optimizer.bpk"))
        .map(|path| fs::metadata(path).unwrap().len())
        .max()
        .unwrap();
    // Two checkpoints fit, the third does not; then the disk grows and training resumes.
    let size = checkpoint * 5 + 400_000;
    let script = format!(
        "mount -o remount,size={size} small
         tonotopy --device cpu train x.toml --runs small; echo code $?
         ls -a small/x-s1 small/x-s1/checkpoints; mount -o remount,size=200m small
         tonotopy --device cpu train x.toml --runs small --resume; echo code $?
         ls -a small/x-s1 small/x-s1/checkpoints; cp -r small/x-s1 kept"
    );
    let crate::support::Finished { out, err, .. } = place.in_own_space(&script);
    let codes: Vec<&str> = out.lines().filter(|line| line.starts_with("code ")).collect();
    assert_eq!(codes, ["code 3", "code 0"], "{out}\n{err}");
    assert!(err.contains("No space left on device") && err.contains("bytes are needed"), "{err}");
    assert!(!out.contains(".writing-") && !out.contains(".lock"), "{out}");
    let straight = weights(&place.path("straight/x-s1"));
    assert_eq!(straight.0, 40);
    assert!(straight == weights(&place.path("kept")), "the weights differ");
}
