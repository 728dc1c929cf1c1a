//! Names with markup, escape sequences and paths are displayed escaped, and never leave their directory.

use std::path::Path;
use std::process::Command;

use crate::support::{Finished, MEL, Workplace, json, on_manifest, small, tone};

const TAGS: [&str; 5] = [
    "<script>document.title='owned'</script>",
    "\"><img src=x onerror=document.title='owned'>",
    "</script><script>document.title='owned'</script>",
    "&lt;b&gt; 'quoted' `ticks` $(touch owned)",
    "\u{202e}gnp.exe",
];

/// A dataset with hostile tags, ids, artists and file names, and an experiment on it.
fn hostile() -> Workplace {
    let place = Workplace::new();
    let mut manifest = String::from("id,path,split,tags,artist\n");
    for i in 0..25 {
        let split = ["train", "train", "train", "valid", "test"][i % 5];
        let (one, two) = (TAGS[i / 5], TAGS[i % 4]);
        let tags = if one == two { one.to_string() } else { format!("{one}|{two}") };
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        // Windows allows no markup in the names of files.
        let markup = if cfg!(windows) { "" } else { "<b>" };
        let file = format!("'{i}{markup}\u{202e}$(touch owned).wav");
        let id = format!("{i}\u{202e}<script>document.title='owned'</script>");
        manifest += &format!(
            "{},{},{split},{},{}\n",
            quoted(&id),
            quoted(&file),
            quoted(&tags),
            quoted("</script><script>document.title='owned'</script>")
        );
        place.write(&format!("music/{file}"), tone(1.5, 16_000, 200.0 + 40.0 * i as f64));
    }
    place.write("music/manifest.csv", manifest);
    let experiment = on_manifest("music")
        .replace("a small run for a test", "<script>document.title='owned'</script>\\u001B[2J");
    place.write("set/own.toml", experiment);
    place
}

/// Asserts that the output has no control characters and no change of writing direction.
#[track_caller]
fn escaped(finished: Finished) -> Finished {
    for (stream, text) in [("stdout", &finished.out), ("stderr", &finished.err)] {
        for bad in ['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}', '\0', '\r'] {
            assert!(!text.contains(bad), "{bad:?} on {stream}:\n{}", text.escape_debug());
        }
    }
    assert!(!finished.err.contains("panicked"), "{}", finished.err);
    finished
}

/// The DOM of a page in Chromium.
fn dom_of(page: &Path) -> String {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".into());
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-quic"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=3000", "--dump-dom"])
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("CHROMIUM, or chromium, runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn names_are_escaped_in_all_outputs() {
    let place = hostile();
    escaped(place.run("--device cpu run set")).ok();
    let run = "runs/set-own-s1";
    place.write("plain.wav", tone(1.5, 16_000, 300.0));
    let shown = escaped(place.run(&format!("--device cpu evaluate {run}"))).ok();
    assert!(shown.out.contains("\\u{202e}gnp.exe"), "{}", shown.out);
    escaped(place.run(&format!("--device cpu predict {run} music"))).ok();
    escaped(place.run(&format!("--device cpu predict {run} music --hop 1 --taggram taggrams")))
        .ok();
    escaped(place.run(&format!("--device cpu --log-format json similar {run} plain.wav"))).ok();
    escaped(place.run(&format!("--device cpu map {run} --perplexity 3"))).ok();
    escaped(place.run("report runs/set-own-s1 --out again")).ok();
    // JSON output has the original names.
    let output = place.run(&format!("--device cpu predict {run} music --json")).ok().out;
    assert!(output.contains("\u{202e}gnp.exe"), "{output}");
    assert!(!place.path("owned").exists());

    let pictures: Vec<_> = std::fs::read_dir(place.path("taggrams")).unwrap().collect();
    assert_eq!(pictures.len(), 25);
    for picture in pictures {
        let svg = std::fs::read_to_string(picture.unwrap().path()).unwrap();
        assert!(!svg.contains("<script") && !svg.contains("<img") && !svg.contains("<b>"), "{svg}");
    }
}

/// The pages' own scripts would set the title if a name were markup.
#[test]
#[ignore = "needs Chromium"]
fn names_are_text_in_a_browser() {
    let place = hostile();
    place.run("--device cpu run set").ok();
    let run = "runs/set-own-s1";
    place.run(&format!("--device cpu map {run} --perplexity 3")).ok();
    for page in ["runs/report-set/index.html", &format!("{run}/map.html")] {
        let page = place.path(page);
        let dom = dom_of(&page);
        let title = dom.split("<title>").nth(1).unwrap().split("</title>").next().unwrap();
        assert_ne!(title, "owned", "{}", page.display());
        assert!(
            dom.contains("&lt;script&gt;document.title='owned'&lt;/script&gt;"),
            "{}",
            page.display()
        );
        assert!(!dom.contains("<img src=\"x\""), "{}", page.display());
    }
}

#[test]
fn control_characters_in_manifests_are_refused() {
    let place = hostile();
    let manifest = place.read("music/manifest.csv");
    for (from, to) in
        [("gnp.exe", "\u{1b}[2Jclear\u{7}"), ("gnp.exe", "\u{9b}31m"), ("`ticks`", "a\nb")]
    {
        place.write("music/manifest.csv", manifest.replace(from, to));
        escaped(place.run("--device cpu run set")).fails(3, &["manifest.csv line", "\\"]);
    }
}

#[cfg(unix)]
#[test]
fn names_in_errors_are_escaped() {
    let place = Workplace::new();
    let name = "\u{1b}[2J\u{202e}.toml";
    place.write(name, "dataset = 1");
    escaped(place.run(&format!("train {name}"))).fails(2, &["\\u{1b}[2J\\u{202e}.toml"]);
    place.write("x.toml", small(MEL).replace("a small", "\\u001B[2J"));
    escaped(place.run("train x.toml --set training.\u{1b}[2J=1")).fails(2, &["\\u{1b}[2J"]);
}

#[test]
fn run_names_cannot_be_paths() {
    let place = Workplace::new();
    for name in ["../out", "/tmp/out", "a/b", "..", ".", "a\\u0000b", "a\\nb"] {
        place.write("x.toml", format!("name = \"{name}\"\n{}", small(MEL)));
        place.run("train x.toml").fails(2, &["name"]);
    }
    assert!(!place.path("runs").exists() && !place.path("../out").exists());
}

/// The provenance in a model file is displayed, but its paths are not opened.
#[test]
fn paths_in_a_model_file_are_not_opened() {
    let place = Workplace::new();
    place.write("x.toml", small(MEL));
    place.run("--device cpu train x.toml").ok();
    let run = place.only_run();
    place.run(&format!("--device cpu export {run} --format safetensors --out m.safetensors")).ok();
    let bytes = std::fs::read(place.path("m.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut card = json(header["__metadata__"]["tonotopy"].as_str().unwrap());
    place.write("tone.wav", tone(2.0, 16_000, 300.0));
    // A model that builds on this run, which must not be opened.
    let trap = place.path("trap");
    let source = serde_json::json!({ "name": "transferred", "run": trap.display().to_string() });
    *card.get_mut("model").expect("a card has a model") = source;
    header["__metadata__"]["tonotopy"] = card.to_string().into();
    let text = header.to_string();
    let mut forged = (text.len() as u64).to_le_bytes().to_vec();
    forged.extend(text.as_bytes());
    forged.extend(&bytes[8 + length..]);
    place.write("forged.safetensors", forged);
    for verb in ["verify forged.safetensors", "predict forged.safetensors tone.wav"] {
        let finished = place.run(&format!("--device cpu {verb}")).fails(3, &["forged.safetensors"]);
        assert!(!finished.err.contains("trap"), "{}", finished.err);
    }
}
