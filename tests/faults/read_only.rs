//! Read-only file systems: reading verbs work, and writing verbs name the place that they cannot write to.

use crate::support::{Finished, MEL, Workplace, small, wav};

/// A shell function: `say NAME COMMAND` runs a command and prints its name, exit code and messages.
const SAY: &str = r#"
say() { name=$1; shift; "$@" > out.txt 2> err.txt; code=$?; echo "$name: code $code: $(tr '\n' ' ' < err.txt)"; }
"#;

#[track_caller]
fn says<'a>(out: &'a str, name: &str, code: i32, words: &[&str]) -> &'a str {
    let start = format!("{name}: code ");
    let line = out.lines().find(|line| line.starts_with(&start));
    let line = line.unwrap_or_else(|| panic!("no {name} in:\n{out}"));
    assert!(line.starts_with(&format!("{start}{code}: ")), "{line}");
    assert!(!line.contains("panicked"), "{line}");
    for word in words {
        assert!(line.contains(word), "no {word:?} in: {line}");
    }
    line
}

#[test]
#[ignore = "needs a user namespace (unshare -rm) that may mount a tmpfs"]
fn reading_verbs_work_on_a_read_only_run() {
    let place = Workplace::new();
    place.write_experiment("x", &small(MEL));
    place.write("tone.wav", wav(2.0, 16_000));
    place.run("--device cpu train x.toml").ok();
    place.run("--device cpu evaluate runs/x-s1").ok();
    let script = format!(
        "{SAY}
         cp -r runs/x-s1 small/
         find small -type f -exec cksum {{}} + | sort > before
         close
         say predict tonotopy --device cpu predict small/x-s1 tone.wav
         say embed tonotopy --device cpu embed small/x-s1 tone.wav --out features.npy
         say similar tonotopy --device cpu similar small/x-s1 tone.wav
         say map tonotopy --device cpu map small/x-s1 --perplexity 5 --out map.html
         say export tonotopy --device cpu export small/x-s1 --format onnx --out model.onnx
         say report tonotopy report small/x-s1 --out report
         say evaluate tonotopy --device cpu evaluate small/x-s1
         say resume tonotopy --device cpu train x.toml --runs small --resume
         say train tonotopy --device cpu train x.toml --runs small/new
         say run tonotopy --device cpu run x.toml --runs small/new
         say map-there tonotopy --device cpu map small/x-s1
         say embed-there tonotopy --device cpu embed small/x-s1 tone.wav --out small/features.npy
         say export-there tonotopy --device cpu export small/x-s1 --format safetensors --out small/model.safetensors
         say web-there tonotopy --device cpu export small/x-s1 --format web --out small/page
         say report-there tonotopy report small/x-s1 --out small/report
         find small -type f -exec cksum {{}} + | sort > after
         cmp before after"
    );
    let Finished { code, out, err } = place.in_own_space(&script);
    assert_eq!(code, 0, "{out}\n{err}");
    for name in ["predict", "embed", "export", "report"] {
        says(&out, name, 0, &[]);
    }
    // A finished run is left alone.
    says(&out, "resume", 0, &["already trained"]);
    for name in ["similar", "map"] {
        // What they computed is usually kept in the run.
        says(&out, name, 0, &["small/x-s1/catalogue", "not stored"]);
    }
    for (name, place) in [
        ("evaluate", "small/x-s1/.lock"),
        ("train", "small/new"),
        ("run", "small/new"),
        ("map-there", "small/x-s1"),
        ("embed-there", "small"),
        ("export-there", "small"),
        ("web-there", "small"),
        ("report-there", "small/report"),
    ] {
        says(&out, name, 3, &[place, "Read-only file system", "choose another directory"]);
    }
}

#[test]
#[ignore = "needs a user namespace (unshare -rm) that may mount a tmpfs"]
fn read_only_music_is_scanned_into_another_directory() {
    let place = Workplace::new();
    place.write("music/tone.wav", wav(2.0, 16_000));
    place.write("music/manifest.csv", "id,path,split,tags\n1,tone.wav,train,a\n");
    let script = format!(
        "{SAY}
         cp -r music small/
         close
         say there tonotopy scan small/music
         say elsewhere tonotopy scan small/music --out made
         say factorize tonotopy factorize plays.csv --out small/made"
    );
    place.write("plays.csv", "user,item,count\na,x,1\nb,y,2\n");
    let Finished { out, .. } = place.in_own_space(&script);
    says(&out, "there", 3, &["small/music: Read-only file system", "--out DIR"]);
    says(&out, "elsewhere", 0, &[]);
    says(&out, "factorize", 3, &["small/made.partial", "Read-only file system"]);
    let manifest = place.read("made/manifest-scanned.csv");
    assert!(manifest.contains("/small/music/tone.wav,train,a"), "{manifest}");
}

#[test]
#[ignore = "needs a user namespace (unshare -rm) that may mount a tmpfs"]
fn read_only_cache_provides_its_entries() {
    let place = Workplace::new();
    place.write_experiment("x", &small(MEL));
    place.run("--device cpu train x.toml --runs straight").ok();
    let script = format!(
        "{SAY}
         mkdir small/empty
         say fill tonotopy --device cpu --cache-dir small/cache train x.toml --runs first
         close
         say held tonotopy --device cpu --cache-dir small/cache train x.toml --runs second
         say other tonotopy --device cpu --cache-dir small/cache train x.toml --runs third --set dataset.seed=5
         say empty tonotopy --device cpu --cache-dir small/empty train x.toml --runs third
         say none tonotopy --device cpu --cache-dir small/none train x.toml --runs third"
    );
    let Finished { out, err, .. } = place.in_own_space(&script);
    says(&out, "fill", 0, &[]);
    says(&out, "held", 0, &[]);
    let remedy = ["Read-only file system", "--cache-dir or TONOTOPY_CACHE"];
    for (name, folder) in
        [("other", "small/cache"), ("empty", "small/empty"), ("none", "small/none")]
    {
        let line = says(&out, name, 3, &remedy);
        assert!(line.contains(folder), "{line}\n{err}");
    }
    assert!(!place.path("third").exists(), "no run was created");
    let runs = ["straight/x-s1", "second/x-s1"]
        .map(|run| crate::faults::resume::weights(&place.path(run)));
    assert!(runs[0] == runs[1], "the weights differ");
}
