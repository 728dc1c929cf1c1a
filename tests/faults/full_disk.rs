//! A disk that fills up at any point of any verb: no partial results, no lost data, and with enough space the same
//! command succeeds. `reliability.rs` tests checkpoints.

use std::fs;
use std::path::Path;

use crate::support::{Finished, MEL, Workplace, json, small, wav};

/// Shell functions: `try NAME COMMAND` runs a command with increasing free space until it succeeds. Every failure must
/// be reported as a full disk and leave every file in `small` unchanged.
const TRY: &str = r#"
state() { (cd small && find . ! -name filler -type f -exec cksum {} + | sort; find . -name '.*' ! -name .); }
try() {
    name=$1; shift
    state > before
    for left in 0 4 8 12 16 24 32 48 64 96 128 192 256 512 1024 2048; do
        fill $left
        "$@" > out.txt 2> err.txt; code=$?
        empty
        echo "$name with $left KiB: code $code"
        [ $code = 0 ] && return
        cat err.txt >> errors.txt
        [ $code = 3 ] && grep -q 'No space left on device' err.txt && grep -q 'bytes are needed' err.txt \
            && grep -q 'free disk space' err.txt || { echo "BAD: $name"; cat err.txt; }
        state > after
        cmp -s before after || { echo "BAD: $name left"; diff before after; }
    done
    echo "BAD: $name never ended"; cat err.txt
}
"#;

/// Asserts that a script with [`TRY`] succeeded, and that each of `names` failed at least once before.
#[track_caller]
fn check(finished: &Finished, names: &[&str]) {
    let Finished { code, out, err } = finished;
    assert!(*code == 0 && !out.contains("BAD"), "code {code}\n{out}\n{err}");
    assert!(!out.contains("panicked") && !err.contains("panicked"), "{out}\n{err}");
    println!("{out}");
    for name in names {
        let count = |code: &str| {
            let of_name = out.lines().filter(|line| line.starts_with(&format!("{name} with ")));
            of_name.filter(|line| line.ends_with(code)).count()
        };
        assert!(count("code 3") > 0, "{name} never failed:\n{out}");
        assert_eq!(count("code 0"), 1, "{name} did not succeed:\n{out}");
    }
}

fn assert_same(a: &Path, b: &Path) {
    assert!(fs::read(a).unwrap() == fs::read(b).unwrap(), "{} differs", b.display());
}

#[test]
#[ignore = "needs a user namespace (unshare -rm) that may mount a tmpfs"]
fn results_are_complete_or_unchanged() {
    let place = Workplace::new();
    place.write_experiment("x", &small(MEL));
    place.write("audio/tone.wav", wav(2.0, 16_000));
    place.run("--device cpu train x.toml").ok();
    place.run("--device cpu evaluate runs/x-s1").ok();
    place.run("--device cpu map runs/x-s1 --perplexity 5 --out map.html").ok();
    // Every command writes new files, then replaces them.
    let script = format!(
        "{TRY}
         cp -r runs/x-s1 small/run
         rm small/run/scores.json
         try evaluate tonotopy --device cpu evaluate small/run
         try again tonotopy --device cpu evaluate small/run --checkpoint last
         try evaluate-back tonotopy --device cpu evaluate small/run
         try report tonotopy report small/run --out small/report
         try report-again tonotopy report small/run --out small/report
         try map tonotopy --device cpu map small/run --perplexity 5 --out small/map.html
         try embed tonotopy --device cpu embed small/run audio --out small/features.npy
         try embed-again tonotopy --device cpu embed small/run audio --out small/features.npy --force
         for format in safetensors onnx burnpack web; do
             try $format tonotopy --device cpu export small/run --format $format --out small/model.$format
             try $format-again tonotopy --device cpu export small/run --format $format --out small/model.$format --force
         done
         try taggram tonotopy --device cpu predict small/run audio/tone.wav --taggram small/tone.svg
         tonotopy --device cpu verify small/model.safetensors > verified || echo BAD: verify
         cp -r small kept"
    );
    let finished = place.in_own_space(&script);
    let formats = ["safetensors", "onnx", "burnpack", "web"];
    let formats_again: Vec<String> = formats.iter().map(|name| format!("{name}-again")).collect();
    let names = ["evaluate", "again", "report", "report-again", "map", "embed", "embed-again"];
    let all = names.into_iter().chain(formats).chain(formats_again.iter().map(String::as_str));
    check(&finished, &all.chain(["taggram"]).collect::<Vec<_>>());
    for file in ["predictions.csv", "scores.json"] {
        assert_same(&place.path("runs/x-s1").join(file), &place.path("kept/run").join(file));
    }
    assert!(place.path("kept/model.web/index.html").exists());
}

#[test]
#[ignore = "needs a user namespace (unshare -rm) that may mount a tmpfs"]
fn scan_continues_from_the_cached_entries() {
    let place = Workplace::new();
    let rows: Vec<String> = (0..12)
        .map(|track| {
            let name = format!("music/{track}.wav");
            place.write(&name, crate::support::tone(1.0, 16_000, 200.0 + f64::from(track)));
            format!("{track},{track}.wav,train,a\n")
        })
        .collect();
    place.write("music/manifest.csv", format!("id,path,split,tags\n{}", rows.concat()));
    // First the disk of the cache is full, then that of the manifest.
    let script = format!(
        "{TRY}
         for left in 0 4 40 100 100 100 100 100 2048; do
             fill $left
             tonotopy --cache-dir small/cache scan music --out made > out.txt 2> err.txt; code=$?
             empty
             echo cache with $left KiB: code $code, $(find small/cache -name '*.audio' | wc -l) entries
             [ $code = 0 ] && break
             [ $code = 3 ] && grep -q 'the disk of the audio cache small/cache is full: this track needs' err.txt \\
                 && grep -q 'TONOTOPY_CACHE' err.txt || {{ echo BAD; cat err.txt; }}
             [ -n \"$(ls -A small/cache/tmp 2>/dev/null)\" ] && echo BAD: left $(ls small/cache/tmp)
         done
         tonotopy --cache-dir small/cache scan music --verify --out made --json > scanned.json
         cat small/cache/CACHEDIR.TAG
         try manifest tonotopy scan music --out small/made
         cp -r small/made kept"
    );
    let finished = place.in_own_space(&script);
    check(&finished, &["manifest"]);
    let lines = || finished.out.lines().filter(|line| line.starts_with("cache with"));
    assert!(lines().filter(|line| line.contains("code 3")).count() >= 3, "{}", finished.out);
    assert!(lines().any(|line| line.contains("code 0, 12 entries")), "{}", finished.out);
    assert!(finished.out.contains("Signature: 8a477f597d28d172789f06886806bc55"));
    // The entries from the full disk are valid.
    let scanned = json(&place.read("scanned.json"));
    assert_eq!((&scanned["usable"], &scanned["from_cache"]), (&12.into(), &12.into()));
    place.run("scan music --out whole").ok();
    assert_same(&place.path("whole/quarantine.csv"), &place.path("kept/quarantine.csv"));
}

#[test]
#[ignore = "needs a user namespace (unshare -rm) that may mount a tmpfs"]
fn factorization_resumes_from_its_last_sweep() {
    let place = Workplace::new();
    let rows: String = (0..6_000).map(|i| format!("u{},i{},1\n", i % 300, i * 7 % 500)).collect();
    place.write("plays.csv", format!("user,item,count\n{rows}"));
    let command = "factorize plays.csv --factors 20 --iterations 6";
    place.run(&format!("{command} --out straight")).ok();
    let script = format!(
        "for left in 0 4 8 16 32 64 96 128 256 4096; do
             fill $left
             resume=; [ -d small/made.partial ] && resume=--resume
             tonotopy {command} --out small/made $resume > out.txt 2> err.txt; code=$?
             empty
             echo with $left KiB: code $code
             [ $code = 0 ] && break
             [ $code = 3 ] && grep -q 'No space left on device' err.txt && grep -q 'bytes are needed' err.txt \\
                 && ! grep -q 'writing-' err.txt || {{ echo BAD; cat err.txt; }}
             find small -name '.writing-*' -o -name .lock | sed 's/^/BAD: /'
         done
         find small -name '.*' ! -name . | sed 's/^/BAD: /'
         cp -r small/made kept"
    );
    let Finished { code, out, err } = place.in_own_space(&script);
    assert!(code == 0 && !out.contains("BAD"), "{out}\n{err}");
    assert!(out.contains("code 3") && out.contains("code 0"), "{out}");
    for name in ["user_factors.npy", "item_factors.npy", "users.txt", "items.txt"] {
        assert_same(&place.path("straight").join(name), &place.path("kept").join(name));
    }
}

#[test]
#[ignore = "needs a user namespace (unshare -rm) that may mount a tmpfs"]
fn log_on_a_full_disk_stays_valid_and_can_be_continued() {
    let place = Workplace::new();
    let chatty = small(MEL)
        .replace("steps = 12", "steps = 400")
        .replace("valid_every = 4", "valid_every = 400")
        .replace("log_every = 2", "log_every = 1");
    place.write_experiment("x", &chatty);
    // Only the log runs out of space; then space is freed.
    let script = "mkdir small/x-s1
         fill 64
         tonotopy --device cpu train x.toml --runs small > out.txt 2> err.txt; echo code $?
         cp small/x-s1/metrics.jsonl torn.jsonl
         empty
         tonotopy --device cpu train x.toml --runs small --resume > out.txt 2> resumed.txt; echo code $?
         cp -r small/x-s1 kept; cat err.txt resumed.txt";
    let Finished { out, err, .. } = place.in_own_space(script);
    let codes: Vec<&str> = out.lines().filter(|line| line.starts_with("code ")).collect();
    assert_eq!(codes, ["code 3", "code 0"], "{out}\n{err}");
    assert!(out.contains("metrics.jsonl: No space left on device"), "{out}");
    let log = place.read("torn.jsonl");
    assert!(log.lines().count() > 20 && log.ends_with('\n'), "{log}");
    for line in log.lines() {
        json(line);
    }
}
