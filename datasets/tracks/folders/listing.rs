//! What lies in the folders of a root.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::DatasetError;
use crate::error::shown;

/// Endings of the names of audio files, in lower case: what is looked for in folders. That a file ends so does
/// not say that it can be decoded; a decoder goes by the content.
pub const ENDINGS: [&str; 16] = [
    "aac", "aif", "aifc", "aiff", "au", "flac", "m4a", "m4b", "mp1", "mp2", "mp3", "mp4", "oga",
    "ogg", "wav", "wave",
];

/// An audio file.
#[derive(Debug)]
pub(crate) struct File {
    /// Below its [`Folder`], with `/` between folders.
    pub name: String,
    pub path: PathBuf,
}

/// A folder with at least one audio file below it, in the order of their names.
#[derive(Debug)]
pub(crate) struct Folder {
    pub name: String,
    pub files: Vec<File>,
}

/// The folders right below a root, in the order of their names.
#[derive(Debug)]
pub(crate) struct Listing {
    pub folders: Vec<Folder>,
    /// What was left out, with counts.
    pub notes: Vec<String>,
}

/// What was met and not taken.
#[derive(Default)]
struct LeftOut {
    /// By ending.
    other: BTreeMap<String, usize>,
    /// Files that lie beside the folders: how many, and the first.
    beside: Option<(usize, String)>,
    hidden: usize,
    links_to_folders: usize,
    dead_links: usize,
    /// Neither files nor folders: pipes, sockets, devices.
    special: usize,
    empty: Vec<String>,
    latin_1: usize,
}

/// Lists the folders below `root` and the audio files in them; `remedy` is for a root that is not
/// there. Folders without audio are left out.
pub(crate) fn list(root: &Path, remedy: &str) -> Result<Listing, DatasetError> {
    if !root.exists() {
        let remedy = remedy.into();
        return Err(DatasetError::Missing { path: root.to_owned(), remedy });
    }
    let table = |problem: String| DatasetError::Table { path: root.to_owned(), problem };
    if !root.is_dir() {
        return Err(table(format!("this is a file: {remedy}")));
    }
    let mut left_out = LeftOut::default();
    let mut folders: Vec<Folder> = Vec::new();
    for entry in entries(root, &mut left_out)? {
        match entry.kind {
            // A folder that is a link is a folder here: no circle has one step.
            Kind::Folder | Kind::LinkToFolder => {
                let files = files_below(&entry.path, &mut left_out)?;
                let unfit = entry.name.trim() != entry.name || entry.name.contains('|');
                match files.is_empty() {
                    true => left_out.empty.push(entry.name),
                    false if unfit => {
                        return Err(table(format!(
                            "the folder {} cannot be a tag: rename it, without | and without a space at \
                             its ends",
                            shown(&entry.name)
                        )));
                    }
                    false => folders.push(Folder { name: entry.name, files }),
                }
            }
            Kind::File => {
                let (number, first) = left_out.beside.get_or_insert((0, entry.name.clone()));
                *number += 1;
                if entry.name < *first {
                    *first = entry.name;
                }
            }
        }
    }
    folders.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = folders.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let name = shown(&pair[0].name);
        return Err(table(format!("two folders are called {name} (one is not UTF-8): rename one")));
    }
    if folders.is_empty() {
        return Err(table(format!(
            "there is no folder with audio in it (files that end in {}); a tag is a folder, as in \
             jazz/01.mp3",
            ENDINGS.join(", ")
        )));
    }
    Ok(Listing { folders, notes: left_out.notes() })
}

/// Whether at least two folders right below `root` hold audio, right in them or one folder further
/// down (in an album's).
pub(crate) fn is_root(root: &Path) -> bool {
    let inside = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| !path.file_name().is_some_and(is_hidden))
    };
    let holds_audio = |folder: &Path| {
        let by_name = |path: &PathBuf| path.file_name().is_some_and(|n| is_audio(&text(n).0));
        inside(folder).any(|path| by_name(&path) && path.is_file())
    };
    let or_its_albums =
        |folder: &PathBuf| holds_audio(folder) || inside(folder).any(|album| holds_audio(&album));
    inside(root).filter(|path| path.is_dir()).filter(or_its_albums).nth(1).is_some()
}

/// The ending of a file's name, in lower case.
pub(crate) fn ending(name: &str) -> Option<String> {
    let ending = Path::new(name).extension()?;
    Some(ending.to_string_lossy().to_lowercase())
}

fn is_audio(name: &str) -> bool {
    ending(name).is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

fn is_hidden(name: &OsStr) -> bool {
    // `._song.mp3`, beside `song.mp3`, is what macOS packs into archives: no audio.
    name.as_encoded_bytes().starts_with(b".")
}

/// The audio files below a folder, in the order of their names.
fn files_below(folder: &Path, left_out: &mut LeftOut) -> Result<Vec<File>, DatasetError> {
    let mut files = Vec::new();
    let mut waiting = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = waiting.pop() {
        for entry in entries(&folder, left_out)? {
            let name = format!("{prefix}{}", entry.name);
            match entry.kind {
                Kind::Folder => waiting.push((entry.path, name + "/")),
                Kind::LinkToFolder => left_out.links_to_folders += 1,
                Kind::File if is_audio(&entry.name) => files.push(File { name, path: entry.path }),
                Kind::File => {
                    let ending = ending(&entry.name).unwrap_or_else(|| "no ending".into());
                    *left_out.other.entry(ending).or_default() += 1;
                }
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    match files.windows(2).find(|pair| pair[0].name == pair[1].name) {
        None => Ok(files),
        Some(pair) => Err(DatasetError::Table {
            path: pair[0].path.clone(),
            problem: format!(
                "two files are called {} (the name of one is not UTF-8): rename one",
                shown(&pair[0].name)
            ),
        }),
    }
}

enum Kind {
    File,
    Folder,
    LinkToFolder,
}

struct Entry {
    name: String,
    path: PathBuf,
    kind: Kind,
}

/// What a folder holds, in no order, without what is hidden and what is neither file nor folder.
fn entries(folder: &Path, left_out: &mut LeftOut) -> Result<Vec<Entry>, DatasetError> {
    let io = |source| DatasetError::Io { action: "list", path: folder.to_owned(), source };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        if is_hidden(&name) {
            left_out.hidden += 1;
            continue;
        }
        let path = entry.path();
        let kind = entry.file_type().map_err(io)?;
        let target = match kind.is_symlink() {
            false => kind,
            true => match fs::metadata(&path) {
                Ok(target) => target.file_type(),
                Err(_) => {
                    left_out.dead_links += 1;
                    continue;
                }
            },
        };
        let kind = if target.is_file() {
            Kind::File
        } else if target.is_dir() {
            if kind.is_symlink() { Kind::LinkToFolder } else { Kind::Folder }
        } else {
            left_out.special += 1;
            continue;
        };
        let (name, is_utf_8) = text(&name);
        left_out.latin_1 += usize::from(!is_utf_8);
        if name.contains(char::is_control) {
            return Err(DatasetError::Table {
                path: folder.to_owned(),
                problem: format!(
                    "the name {} holds a line break or another control character: rename it",
                    shown(&name)
                ),
            });
        }
        entries.push(Entry { name, path, kind });
    }
    Ok(entries)
}

/// A name as text, and whether it is UTF-8. What is not is taken as Latin-1, as names from old
/// archives are: names that differ stay different.
fn text(name: &OsStr) -> (String, bool) {
    match name.to_str() {
        Some(text) => (text.to_owned(), true),
        None => (name.as_encoded_bytes().iter().copied().map(char::from).collect(), false),
    }
}

impl LeftOut {
    fn notes(self) -> Vec<String> {
        const SHOWN: usize = 10;
        let mut notes = Vec::new();
        let others: usize = self.other.values().sum();
        if others > 0 {
            let mut kinds: Vec<(String, usize)> = self.other.into_iter().collect();
            kinds.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            let more = if kinds.len() > SHOWN { ", ..." } else { "" };
            let kinds: Vec<String> = kinds
                .iter()
                .take(SHOWN)
                .map(|(ending, number)| format!("{} {number}", cut(ending)))
                .collect();
            notes.push(format!(
                "files left out because they do not end as audio does: {others} ({}{more})",
                kinds.join(", ")
            ));
        }
        if let Some((number, first)) = self.beside {
            notes.push(format!(
                "files left out because they lie in no tag's folder: {number} ({} is one)",
                shown(&first)
            ));
        }
        if !self.empty.is_empty() {
            let mut empty = self.empty;
            empty.sort();
            let more = if empty.len() > SHOWN { ", ..." } else { "" };
            let first: Vec<String> = empty.iter().take(SHOWN).map(|name| shown(name)).collect();
            notes.push(format!(
                "folders left out because there is no audio in them: {} ({}{more})",
                empty.len(),
                first.join(", ")
            ));
        }
        for (number, what) in [
            (self.hidden, "hidden files and folders left out"),
            (self.links_to_folders, "links to folders left out"),
            (self.dead_links, "links left out because they lead nowhere"),
            (self.special, "pipes, sockets and devices left out"),
            (self.latin_1, "names that are not UTF-8, taken as Latin-1"),
        ] {
            if number > 0 {
                notes.push(format!("{what}: {number}"));
            }
        }
        notes
    }
}

/// An ending that fits a list.
fn cut(ending: &str) -> String {
    const LONGEST: usize = 12;
    match ending.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &ending[..end]),
        None => ending.to_owned(),
    }
}
