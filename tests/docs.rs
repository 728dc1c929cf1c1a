//! README.md and the guides in `docs/`: commands run as written, experiments are valid, links lead to files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tonotopy::experiment::Experiment;

use crate::support::{Workplace, tone};

const README: &str = "README.md";

/// The guides, in reading order: later guides use the files of earlier ones.
const GUIDES: [&str; 7] = [
    "docs/own-data.md",
    "docs/recommendation.md",
    "docs/front-ends.md",
    "docs/few-labels.md",
    "docs/export-and-inference.md",
    "docs/devices-and-speed.md",
    "docs/reliability.md",
];

/// Generated from the code; its own test compares it with the program.
const REFERENCE: &str = "docs/experiments.md";

/// Pages whose links and paths are checked, but not their commands.
const OTHERS: [&str; 11] = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "benches/README.md",
    "benches/browser/README.md",
    "benches/compare/README.md",
    "benches/faults/README.md",
    "experiments/README.md",
    "experiments/end_to_end/README.md",
    "experiments/multiscale/README.md",
    "experiments/recommendation/msd/README.md",
    "experiments/transfer/README.md",
];

/// Commands that these tests do not run, by their beginning, with the reason.
const NOT_RUN: [(&str, &str); 4] = [
    ("cargo ", ".ci/run builds the program and runs the tests and the quick start"),
    ("npm install ", "needs the network; `world` creates the directory that it would create"),
    ("python3 -m http.server ", "runs until it is stopped"),
    ("tonotopy devices --check", ".ci/run runs it"),
];

fn read(page: &str) -> String {
    fs::read_to_string(page).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// The fenced blocks of a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = read(page);
    let fenced = text.split("\n```").skip(1).step_by(2);
    let of_language = fenced.filter_map(|block| block.split_once('\n'));
    of_language.filter(|(name, _)| *name == language).map(|(_, text)| text.to_string()).collect()
}

/// The commands of all `sh` blocks, without comments.
fn commands(page: &str) -> Vec<String> {
    let text = blocks(page, "sh").join("\n").replace("\\\n", " ");
    let lines = text.lines().map(|line| line.split(" #").next().unwrap().trim());
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(String::from).collect()
}

/// The experiments of a page, with the file that the first line of each block names.
fn experiments(page: &str) -> Vec<(String, String)> {
    let named = |text: String| {
        let file = text.lines().next().and_then(|line| line.strip_prefix("# "));
        let file = file.filter(|file| file.ends_with(".toml")).map(String::from);
        let message =
            format!("{page}: a toml block must start with a comment that names its file:\n{text}");
        (file.expect(&message), text)
    };
    blocks(page, "toml").into_iter().map(named).collect()
}

/// The files that a reader of these pages has: music, a manifest, plays, new songs, experiments. The tables
/// are those of the pages, with more rows.
fn world(pages: &[&str]) -> Workplace {
    let place = Workplace::new();
    let fixture = |name: &str| fs::read(Path::new("src/audio/fixtures").join(name)).unwrap();
    place.write("my-music/first album/01.mp3", fixture("stereo-44k.mp3"));
    place.write("my-music/first album/02.flac", fixture("mono-8k.flac"));
    let table = |page: &str| blocks(page, "csv").pop().unwrap() + "\n";
    let mut manifest = table(pages[0]);
    let guide = pages.iter().find(|page| page.ends_with("recommendation.md"));
    let mut plays = guide.map(|page| table(page)).unwrap_or_default();
    for track in 0..60 {
        let (artist, path) = (track / 3, format!("album {}/{track}.wav", track / 3));
        let tags = ["guitar|slow", "piano", "guitar"][track % 3];
        let hertz = 200.0 + 40.0 * track as f64;
        place.write(&format!("my-music/{path}"), tone(6.0, 16_000, hertz));
        manifest += &format!("t{track},{path},,{tags},Artist {artist}\n");
        for user in (0..60).filter(|user| (track * 5 + user * 7) % 11 < 4) {
            plays += &format!("user-{user},t{track},{}\n", 1 + track % 4);
        }
    }
    place.write("my-music/manifest.csv", manifest);
    place.write("my-music/plays.csv", plays);
    for number in 0..12 {
        let hertz = 200.0 + 15.0 * f64::from(number);
        place.write(&format!("my-genres/low/{number}.wav"), tone(3.5, 16_000, hertz));
        place.write(&format!("my-genres/high/{number}.wav"), tone(3.5, 16_000, 9.0 * hertz));
    }
    for name in ["new-song.mp3", "demo.mp3", "folder/one.mp3", "folder/two.mp3"] {
        place.write(name, fixture("stereo-44k.mp3"));
    }
    place.write("tagger.pth", fs::read("tests/fixtures/torch_tagger.pth").unwrap());
    for name in [
        "ort.webgpu.bundle.min.mjs",
        "ort-wasm-simd-threaded.asyncify.mjs",
        "ort-wasm-simd-threaded.asyncify.wasm",
        "ort.wasm.bundle.min.mjs",
        "ort-wasm-simd-threaded.mjs",
        "ort-wasm-simd-threaded.wasm",
    ] {
        place.write(&format!("ort/node_modules/onnxruntime-web/dist/{name}"), "");
    }
    for page in pages {
        for (file, text) in experiments(page) {
            place.write(&file, text);
        }
    }
    place
}

/// The flags that make a command quick. They are the only change to what a reader would type.
fn quick(verb: &str) -> &'static str {
    match verb {
        "train" | "run" => " --set training.steps=20 --set training.valid_every=10",
        "bench" => " --steps 2",
        _ => "",
    }
}

/// The files that the pages promise from a command.
fn promised(words: &[&str]) -> Vec<String> {
    let [verb, target, ..] = words else { return Vec::new() };
    let stem = target.trim_end_matches(".toml").replace(".toml#", "-");
    let files: Vec<String> = match *verb {
        "scan" => {
            ["manifest-scanned.csv", "quarantine.csv"].map(|file| format!("{target}/{file}")).into()
        }
        "train" => {
            ["manifest.csv", "metrics.jsonl"].map(|file| format!("runs/{stem}-s1/{file}")).into()
        }
        "import" => vec!["runs/my-torch-s1/experiment.toml".into()],
        "evaluate" => {
            // Runs on listening data predict latent factors instead of tags.
            let predictions =
                if target.contains("listeners") { "predicted" } else { "predictions.csv" };
            [predictions, "scores.json"].map(|file| format!("{target}/{file}")).into()
        }
        "map" => vec![format!("{target}/map.html")],
        "run" => vec![format!("runs/report-{stem}/index.html")],
        "factorize" => {
            ["user_factors.npy", "items.txt"].map(|file| format!("factors/{file}")).into()
        }
        "embed" => vec!["features.txt".into()],
        "report" => vec!["my-report/index.html".into()],
        _ => Vec::new(),
    };
    let options = words.windows(2).filter(|pair| ["--out", "--taggram"].contains(&pair[0]));
    files.into_iter().chain(options.map(|pair| pair[1].to_string())).collect()
}

/// Runs the commands of the pages in one world; every one must succeed and leave what the pages promise.
fn run_all(pages: &[&str]) {
    let place = world(pages);
    for page in pages {
        for command in commands(page) {
            let shown = format!("{page}: {command}");
            if NOT_RUN.iter().any(|(beginning, _)| command.starts_with(beginning)) {
                continue;
            }
            let words: Vec<&str> = command.split_whitespace().collect();
            match words[..] {
                ["mkdir", directory] => fs::create_dir(place.path(directory)).expect(&shown),
                ["tonotopy", verb, ..] => {
                    let done = place.run(&(words[1..].join(" ") + quick(verb)));
                    assert_eq!(done.code, 0, "{shown}\n{}\n{}", done.out, done.err);
                    assert!(!done.out.trim().is_empty(), "{shown}: nothing was printed");
                    for file in promised(&words[1..]) {
                        assert!(place.path(&file).exists(), "{shown}: {file} is missing");
                    }
                }
                _ => panic!("{shown}: run it here, or add it to NOT_RUN with the reason"),
            }
        }
    }
}

#[test]
fn commands_of_the_readme_run() {
    run_all(&[README]);
}

#[test]
fn commands_of_the_guides_run() {
    run_all(&GUIDES);
}

#[test]
fn every_guide_is_tested() {
    let pages = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path());
    let found: BTreeSet<PathBuf> = pages.filter(|path| *path != Path::new(REFERENCE)).collect();
    assert_eq!(found, GUIDES.iter().map(PathBuf::from).collect());
    for (beginning, reason) in NOT_RUN {
        let is_used = |page: &&str| commands(page).iter().any(|line| line.starts_with(beginning));
        let pages = [README].into_iter().chain(GUIDES);
        assert!(pages.into_iter().any(|page| is_used(&page)), "{beginning} ({reason}) is not used");
    }
}

#[test]
fn experiments_of_all_pages_are_valid() {
    for page in [README].into_iter().chain(GUIDES) {
        for (file, text) in experiments(page) {
            let place = Workplace::new();
            let all = Experiment::read_all(&place.write(&file, text), &[])
                .unwrap_or_else(|error| panic!("{page}: {file}: {error}"));
            // The commands of the pages name runs after their files.
            let stem = file.trim_end_matches(".toml");
            assert!(
                all.iter().all(|experiment| experiment.name.starts_with(stem)),
                "{page}: {file}"
            );
        }
    }
}

/// The reference page shows an experiment, then a grid to add to it.
#[test]
fn experiments_of_the_reference_are_valid() {
    assert!(commands(REFERENCE).is_empty(), "add {REFERENCE} to GUIDES");
    let place = Workplace::new();
    let file = place.write("x.toml", blocks(REFERENCE, "toml").join("\n"));
    let names = Experiment::read_all(&file, &[]).unwrap().into_iter().map(|one| one.name);
    assert_eq!(names.filter(|name| name.ends_with("-n_mels-64-learning_rate-0.001")).count(), 1);
}

/// The id that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().replace(' ', "-")
}

#[test]
fn links_and_paths_lead_to_files() {
    let pages: Vec<&str> = [README].into_iter().chain(GUIDES).chain(OTHERS).collect();
    for page in pages {
        let text = read(page);
        let directory = Path::new(page).parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.into() } else { directory.join(file) };
            assert!(target.exists(), "{page}: {link} leads to no file");
            if !heading.is_empty() {
                let target = fs::read_to_string(&target).unwrap();
                let mut headings = target.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|line| anchor(line) == heading),
                    "{page}: {link} has no heading"
                );
            }
        }
        // Files of the repository in code spans; capital letters are placeholders.
        for span in
            text.split('`').skip(1).step_by(2).filter_map(|span| span.split_whitespace().next())
        {
            let directories =
                ["src/", "models/", "datasets/", "kernels/", "benches/", "tests/", "docs/"];
            let is_path = directories.iter().any(|directory| span.starts_with(directory));
            let is_general = span.contains(|c: char| c.is_ascii_uppercase() || "*{<[".contains(c));
            if is_path && !is_general {
                assert!(Path::new(span).exists(), "{page}: {span} does not exist");
            }
        }
    }
}
