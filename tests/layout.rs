//! The layout that ARCHITECTURE.md draws: rooms import downwards only, and no folder becomes a drawer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The rooms of `src/`, from the bottom to the top.
const FLOORS: [&str; 16] = [
    "error",
    "rng",
    "io",
    "audio",
    "experiment",
    "device",
    "listening",
    "data",
    "training",
    "progress",
    "evaluation",
    "runs",
    "inference",
    "report",
    "map",
    "cli",
];

/// Most source files in one folder.
const MOST_FILES: usize = 20;

fn source_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The room that a file of `src/` belongs to.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix("src").unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_string()
}

#[test]
fn rooms_import_downwards_only() {
    let floor = |room: &str| FLOORS.iter().position(|name| *name == room);
    let mut files = Vec::new();
    source_files(Path::new("src"), &mut files);
    assert!(files.len() > 100, "found only {} files", files.len());
    let mut wrong = Vec::new();
    for path in &files {
        let room = room(path);
        if ["lib", "main"].contains(&room.as_str()) {
            continue;
        }
        let own = floor(&room).unwrap_or_else(|| panic!("{room} is not listed in FLOORS"));
        let text = std::fs::read_to_string(path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let is_test =
            path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
        let lines = code.lines().filter(|line| !is_test && !line.trim_start().starts_with("//"));
        for line in lines {
            for part in line.split("crate::").skip(1) {
                let name: String =
                    part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if floor(&name).is_some_and(|other| other > own) {
                    wrong.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "these import upwards:\n{}", wrong.join("\n"));
}

#[test]
fn no_folder_has_more_than_twenty_source_files() {
    let mut files = Vec::new();
    for root in ["src", "models", "datasets", "kernels", "tests", "benches"] {
        source_files(Path::new(root), &mut files);
    }
    let mut folders: BTreeMap<&Path, usize> = BTreeMap::new();
    for file in &files {
        *folders.entry(file.parent().unwrap()).or_default() += 1;
    }
    let full: Vec<_> = folders.iter().filter(|(_, files)| **files > MOST_FILES).collect();
    assert!(full.is_empty(), "{full:?}");
}
