//! A collection as a manifest.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{COLUMNS, folder_of};
use crate::error::shown;
use crate::{Audio, Collection, DatasetError};

/// How a manifest names audio files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths<'a> {
    /// From the root of the file system. Such a manifest says where things were; it cannot be loaded.
    Absolute,
    /// From this folder where the file lies below it, absolute elsewhere.
    RelativeTo(&'a Path),
}

/// Writes a collection as a manifest; whole, or not at all.
///
/// Paths are relative to the manifest where the files lie below its folder, so that it can be
/// loaded again; absolute elsewhere. Music made by the program is named `synthetic:SEED:INDEX`.
///
/// Tracks read back as they were. The vocabulary reads back sorted, and without tags that no track
/// has.
///
/// # Errors
/// If the file cannot be written, or a name cannot be told in a manifest.
pub fn write_manifest(collection: &Collection, path: &Path) -> Result<(), DatasetError> {
    let folder = folder_of(path);
    let bytes = to_csv(collection, Paths::RelativeTo(folder))?;
    replace(folder, path, &bytes).map_err(|source| DatasetError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

/// The bytes of a manifest.
///
/// # Errors
/// If the folder that paths are relative to is not there, or a name cannot be told in a manifest: a
/// path that is not UTF-8, or a tag that is empty or holds a `|`.
pub fn to_csv(collection: &Collection, paths: Paths<'_>) -> Result<Vec<u8>, DatasetError> {
    let namer = Namer::new(paths)?;
    let unnamable = |id: &str, problem: String| DatasetError::Table {
        path: collection.name.clone().into(),
        problem: format!("track {} cannot be written into a manifest: {problem}", shown(id)),
    };
    let broken = |error: csv::Error| DatasetError::Table {
        path: collection.name.clone().into(),
        problem: error.to_string(),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).map_err(broken)?;
    for track in &collection.tracks {
        let (file, offset, duration) = match &track.audio {
            Audio::File { path, offset_s, duration_s } => {
                let file = namer.name(path).ok_or_else(|| {
                    unnamable(&track.id, format!("{path:?} is not UTF-8: rename the file"))
                })?;
                (file, *offset_s, *duration_s)
            }
            Audio::Synthetic(piece) => (piece.to_string(), 0.0, None),
            Audio::Frames(frames) => {
                // What they are is part of what the run was made from.
                (format!("features {}", blake3::hash(&frames.bytes).to_hex()), 0.0, None)
            }
        };
        let mut tags = String::new();
        for &tag in &track.tags {
            let name = collection.tags.get(tag).map_or("", |name| name.trim());
            if name.is_empty() || name.contains('|') || name.contains(char::is_control) {
                return Err(unnamable(&track.id, format!("its tag is {}: rename it", shown(name))));
            }
            if !tags.is_empty() {
                tags.push('|');
            }
            tags += name;
        }
        writer
            .write_record([
                track.id.as_str(),
                &file,
                &track.split.map(|split| split.to_string()).unwrap_or_default(),
                &tags,
                track.artist.as_deref().unwrap_or_default(),
                &if offset == 0.0 { String::new() } else { offset.to_string() },
                &duration.map(|seconds| seconds.to_string()).unwrap_or_default(),
            ])
            .map_err(broken)?;
    }
    // A vector takes everything.
    writer.into_inner().map_err(|error| broken(error.into_error().into()))
}

/// Says how a file is called in a manifest.
enum Namer {
    Absolute,
    /// The folder as given, and without links.
    Relative([PathBuf; 2]),
}

impl Namer {
    fn new(paths: Paths<'_>) -> Result<Namer, DatasetError> {
        let Paths::RelativeTo(folder) = paths else { return Ok(Namer::Absolute) };
        let failed = |source| DatasetError::Io { action: "open", path: folder.to_owned(), source };
        let given = std::path::absolute(folder).map_err(failed)?;
        Ok(Namer::Relative([given, folder.canonicalize().map_err(failed)?]))
    }

    /// `None` if the path is not UTF-8.
    fn name(&self, path: &Path) -> Option<String> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let Namer::Relative(folders) = self else { return absolute.to_str().map(str::to_owned) };
        let below = |path: &Path| {
            folders.iter().find_map(|folder| path.strip_prefix(folder).ok().map(Path::to_owned))
        };
        let goes_up = |path: &Path| path.components().any(|part| part.as_os_str() == "..");
        let resolved = || {
            // The folder resolved, not the file: a link stays the name that the user gave.
            let (parent, file) = (absolute.parent()?, absolute.file_name()?);
            below(&parent.canonicalize().ok()?.join(file))
        };
        let name = below(&absolute)
            .filter(|name| !goes_up(name))
            .or_else(resolved)
            // What is not there cannot be resolved, and leads nowhere else than its name says.
            .or_else(|| below(&absolute).filter(|name| stays_below(name)));
        name.unwrap_or(absolute).to_str().map(str::to_owned)
    }
}

/// Whether a relative path never leaves the folder that it begins in.
fn stays_below(path: &Path) -> bool {
    let mut depth = 0i64;
    path.components().all(|part| {
        depth += if part.as_os_str() == ".." { -1 } else { 1 };
        depth >= 0
    })
}

/// Writes a neighbour of `path`, makes it durable, and renames it.
fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let neighbour = folder.join(format!(".manifest-{}-{number}.tmp", std::process::id()));
    let written = fs::File::create(&neighbour)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&neighbour, path));
    if written.is_err() {
        // The cause is returned; a leftover would only add to it.
        let _ = fs::remove_file(&neighbour);
    }
    written
}
