//! Lists the audio files in the directories of a root.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::quoted;
use crate::{DatasetError, Split};

/// Extensions of audio files, in lower case. They select the files in a directory; decoding depends only on the
/// content. Files that have no decoder (ape, mpc, spx, tta, wma, wv) are listed too, so that the scan names them.
pub const EXTENSIONS: [&str; 28] = [
    "aac", "aif", "aifc", "aiff", "ape", "au", "bw64", "caf", "flac", "m4a", "m4b", "mp1", "mp2",
    "mp3", "mp4", "mpc", "oga", "ogg", "opus", "rf64", "snd", "spx", "tta", "w64", "wav", "wave",
    "wma", "wv",
];

/// Files that `tonotopy scan` writes beside the directories.
const WRITTEN_BY_SCAN: [&str; 2] = ["manifest-scanned.csv", "quarantine.csv"];

/// An audio file.
#[derive(Debug)]
pub(crate) struct File {
    /// The path below its [`Directory`], with `/` as separator.
    pub name: String,
    pub path: PathBuf,
}

/// A directory with at least one audio file, ordered by name.
#[derive(Debug)]
pub(crate) struct Directory {
    pub name: String,
    pub files: Vec<File>,
}

/// Counts of what was skipped.
#[derive(Default)]
struct Skipped {
    /// Files that are not audio, by extension.
    other: BTreeMap<String, usize>,
    /// Files beside the directories: their number, and the first by name.
    beside: Option<(usize, String)>,
    hidden: usize,
    links_to_directories: usize,
    broken_links: usize,
    /// Names whose text another name has already.
    ambiguous: usize,
    /// Pipes, sockets and devices.
    special: usize,
    empty: Vec<String>,
    latin_1: usize,
}

/// The directories directly below `root` with their audio files, ordered by name, and notes on what was skipped;
/// `remedy` is for a wrong root. Directories without audio are skipped.
pub(crate) fn list(
    root: &Path,
    remedy: &str,
) -> Result<(Vec<Directory>, Vec<String>), DatasetError> {
    if !root.exists() {
        return Err(DatasetError::Missing { path: root.to_owned(), remedy: remedy.into() });
    }
    let content = |problem: String| DatasetError::content(root, problem);
    if !root.is_dir() {
        return Err(content(format!("this is a file: {remedy}")));
    }
    let mut skipped = Skipped::default();
    let mut directories: Vec<Directory> = Vec::new();
    for entry in entries(root, &mut skipped)? {
        match entry.kind {
            // A link to a directory is followed here: one step cannot form a cycle.
            Kind::Directory | Kind::LinkToDirectory => {
                let files = files_below(&entry.path, &mut skipped)?;
                if files.is_empty() {
                    skipped.empty.push(entry.name);
                } else if entry.name.trim() != entry.name || entry.name.contains('|') {
                    return Err(content(not_a_tag(&entry.name)));
                } else {
                    directories.push(Directory { name: entry.name, files });
                }
            }
            Kind::File if WRITTEN_BY_SCAN.contains(&entry.name.as_str()) => {}
            Kind::File => {
                let (count, first) = skipped.beside.get_or_insert((0, entry.name.clone()));
                *count += 1;
                if entry.name < *first {
                    *first = entry.name;
                }
            }
        }
    }
    directories.sort_by(|a, b| a.name.cmp(&b.name));
    if directories.is_empty() {
        return Err(content(format!(
            "no directory contains audio files ({}): put the files of every tag into a directory, as in \
             jazz/01.mp3",
            EXTENSIONS.join(", ")
        )));
    }
    Ok((directories, skipped.notes()))
}

/// The split that a directory is named after.
pub(super) fn split_named(name: &str) -> Option<Split> {
    match name.to_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "valid" | "validation" | "val" | "dev" => Some(Split::Valid),
        "test" | "testing" => Some(Split::Test),
        _ => None,
    }
}

/// The problem of a directory whose name cannot be a tag.
pub(super) fn not_a_tag(name: &str) -> String {
    format!(
        "the directory {} cannot be a tag: rename it without | and without spaces at the ends",
        quoted(name)
    )
}

/// Whether at least two directories directly below `root` contain audio, in them or one directory further down
/// (albums); below a split's directory, albums are one directory further down.
pub(crate) fn is_root(root: &Path) -> bool {
    let inside = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| !path.file_name().is_some_and(is_hidden))
    };
    let has_audio = |directory: &Path| {
        let by_name = |path: &PathBuf| path.file_name().is_some_and(|n| is_audio(&text(n).0));
        inside(directory).any(|path| by_name(&path) && path.is_file())
    };
    let in_albums = |path: &Path| has_audio(path) || inside(path).any(|album| has_audio(&album));
    let is_split = |path: &Path| {
        path.file_name().is_some_and(|name| split_named(&name.to_string_lossy()).is_some())
    };
    let or_its_albums = |path: &PathBuf| {
        in_albums(path) || (is_split(path) && inside(path).any(|tag| in_albums(&tag)))
    };
    inside(root).filter(|path| path.is_dir()).filter(or_its_albums).nth(1).is_some()
}

/// The extension of a file name, in lower case.
pub(crate) fn extension(name: &str) -> Option<String> {
    Some(Path::new(name).extension()?.to_string_lossy().to_lowercase())
}

fn is_audio(name: &str) -> bool {
    extension(name).is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

fn is_hidden(name: &OsStr) -> bool {
    // macOS puts `._song.mp3` beside `song.mp3` into archives; it is not audio.
    name.as_encoded_bytes().starts_with(b".")
}

/// The audio files below a directory, ordered by name; see [`list`] for what is skipped.
///
/// # Errors
/// If a directory cannot be listed, or a name contains a control character.
pub(crate) fn audio_below(directory: &Path) -> Result<Vec<File>, DatasetError> {
    files_below(directory, &mut Skipped::default())
}

/// The audio files below a directory, ordered by name.
fn files_below(directory: &Path, skipped: &mut Skipped) -> Result<Vec<File>, DatasetError> {
    let mut files = Vec::new();
    let mut pending = vec![(directory.to_owned(), String::new())];
    while let Some((directory, prefix)) = pending.pop() {
        for entry in entries(&directory, skipped)? {
            let name = format!("{prefix}{}", entry.name);
            match entry.kind {
                Kind::Directory => pending.push((entry.path, name + "/")),
                Kind::LinkToDirectory => skipped.links_to_directories += 1,
                Kind::File if is_audio(&entry.name) => files.push(File { name, path: entry.path }),
                Kind::File => {
                    let extension = extension(&entry.name).unwrap_or_else(|| "no extension".into());
                    *skipped.other.entry(extension).or_default() += 1;
                }
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

enum Kind {
    File,
    Directory,
    LinkToDirectory,
}

struct Entry {
    name: String,
    path: PathBuf,
    kind: Kind,
}

/// The files and directories in a directory that are not hidden, in no particular order.
fn entries(directory: &Path, skipped: &mut Skipped) -> Result<Vec<Entry>, DatasetError> {
    let io = DatasetError::io("list", directory);
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).map_err(io)? {
        let entry = entry.map_err(io)?;
        if is_hidden(&entry.file_name()) {
            skipped.hidden += 1;
            continue;
        }
        let path = entry.path();
        let own = entry.file_type().map_err(io)?;
        let target =
            if own.is_symlink() { fs::metadata(&path).map(|of| of.file_type()) } else { Ok(own) };
        let kind = match target {
            Ok(target) if target.is_file() => Kind::File,
            Ok(target) if target.is_dir() && own.is_symlink() => Kind::LinkToDirectory,
            Ok(target) if target.is_dir() => Kind::Directory,
            Ok(_) => {
                skipped.special += 1;
                continue;
            }
            Err(_) => {
                skipped.broken_links += 1;
                continue;
            }
        };
        let (name, is_utf_8) = text(&entry.file_name());
        skipped.latin_1 += usize::from(!is_utf_8);
        if is_utf_8 && name.contains(char::is_control) {
            let problem = "contains a line break or another control character: rename it";
            let problem = format!("the name {} {problem}", quoted(&name));
            return Err(DatasetError::content(directory, problem));
        }
        entries.push(Entry { name, path, kind });
    }
    distinguish(&mut entries, skipped);
    Ok(entries)
}

/// Gives a name that is not UTF-8 escapes in place of its bytes, `Caf\xe9`, if it reads like the name beside it or
/// contains a control character, as every other encoding than Latin-1 makes likely.
fn distinguish(entries: &mut [Entry], skipped: &mut Skipped) {
    let known: HashSet<String> = entries
        .iter()
        .filter(|entry| entry.path.file_name().is_some_and(|name| name.to_str().is_some()))
        .map(|entry| entry.name.clone())
        .collect();
    for entry in entries {
        let Some(name) = entry.path.file_name().filter(|name| name.to_str().is_none()) else {
            continue;
        };
        if known.contains(&entry.name) || entry.name.contains(char::is_control) {
            skipped.ambiguous += 1;
            entry.name = name.as_encoded_bytes().escape_ascii().to_string();
        }
    }
}

/// A name as text, and whether it is UTF-8. Any other name is read as Latin-1, the encoding of old archives, so
/// that different names stay different.
fn text(name: &OsStr) -> (String, bool) {
    match name.to_str() {
        Some(text) => (text.to_owned(), true),
        None => (name.as_encoded_bytes().iter().copied().map(char::from).collect(), false),
    }
}

impl Skipped {
    fn notes(mut self) -> Vec<String> {
        const MOST: usize = 10;
        let list = |items: Vec<String>| {
            let more = if items.len() > MOST { ", ..." } else { "" };
            format!("({}{more})", items[..items.len().min(MOST)].join(", "))
        };
        let mut notes = Vec::new();
        if !self.other.is_empty() {
            let total: usize = self.other.values().sum();
            let mut counts: Vec<(String, usize)> = self.other.into_iter().collect();
            // The sort is stable: equal counts stay ordered by extension.
            counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let counts =
                counts.iter().map(|(extension, count)| format!("{} {count}", cut(extension)));
            let counts = list(counts.collect());
            notes.push(format!("files skipped because they are not audio: {total} {counts}"));
        }
        if let Some((count, first)) = self.beside {
            let first = quoted(&first);
            notes.push(format!(
                "files skipped because they are not in a tag's directory: {count} (first: {first})"
            ));
        }
        if !self.empty.is_empty() {
            self.empty.sort();
            let names = list(self.empty.iter().map(|name| quoted(name)).collect());
            let count = self.empty.len();
            notes.push(format!(
                "directories skipped because they contain no audio: {count} {names}"
            ));
        }
        for (what, count) in [
            ("hidden files and directories skipped", self.hidden),
            ("links to directories skipped", self.links_to_directories),
            ("broken links skipped", self.broken_links),
            ("pipes, sockets and devices skipped", self.special),
            ("names that are not UTF-8, read as Latin-1", self.latin_1 - self.ambiguous),
            ("names that are not UTF-8, written with escapes", self.ambiguous),
        ] {
            crate::note_count(&mut notes, what, count);
        }
        notes
    }
}

/// An extension, cut to fit into a list.
fn cut(extension: &str) -> String {
    const LONGEST: usize = 12;
    match extension.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &extension[..end]),
        None => extension.to_owned(),
    }
}
