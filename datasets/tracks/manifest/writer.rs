//! Writes a collection as a manifest.

use std::path::{Path, PathBuf};

use super::COLUMNS;
use crate::error::quoted;
use crate::{Audio, Collection, DatasetError};

/// The form of the paths in a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths<'a> {
    /// Absolute, with replacement characters where they are not UTF-8. Such a manifest documents the location of the
    /// files.
    Absolute,
    /// Relative to this directory for files below it, absolute for others.
    RelativeTo(&'a Path),
}

/// A collection as a manifest.
///
/// With [`Paths::RelativeTo`] the directory of the manifest, it can be loaded again: tracks are then equal; the
/// vocabulary is sorted and lacks tags without a track. Synthetic music has the path `synthetic:SEED:INDEX`.
///
/// # Errors
/// If the directory of relative paths does not exist, a path to load is not UTF-8, or a tag is empty or contains `|`
/// or a control character.
pub fn to_csv(collection: &Collection, paths: Paths<'_>) -> Result<Vec<u8>, DatasetError> {
    let base = Base::new(paths)?;
    let name = Path::new(&collection.name);
    let refused = |id: &str, problem: String| {
        let id = quoted(id);
        DatasetError::content(
            name,
            format!("track {id} cannot be written into a manifest: {problem}"),
        )
    };
    let broken = |error: csv::Error| DatasetError::content(name, error.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).map_err(broken)?;
    for track in &collection.tracks {
        let (file, offset, duration) = match &track.audio {
            Audio::File { path, offset_s, duration_s } => {
                let file = base.name(path).ok_or_else(|| {
                    refused(&track.id, format!("{path:?} is not UTF-8: rename the file"))
                })?;
                (file, *offset_s, *duration_s)
            }
            Audio::Synthetic(piece) => (piece.to_string(), 0.0, None),
            Audio::Frames(frames) => {
                // The hash documents the features that a run was trained on.
                (format!("features {}", blake3::hash(&frames.bytes).to_hex()), 0.0, None)
            }
        };
        let mut tags = String::new();
        for &tag in &track.tags {
            let name = collection.tags.get(tag).map_or("", |name| name.trim());
            if name.is_empty() || name.contains('|') || name.contains(char::is_control) {
                return Err(refused(&track.id, format!("its tag is {}: rename it", quoted(name))));
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
    // Writing to a vector does not fail.
    writer.into_inner().map_err(|error| broken(error.into_error().into()))
}

/// Removes the tracks whose paths are not UTF-8, which a manifest that is read again cannot contain, with a note.
///
/// # Errors
/// If the directory of relative paths does not exist.
pub fn remove_unwritable(
    collection: &mut Collection,
    paths: Paths<'_>,
) -> Result<(), DatasetError> {
    let base = Base::new(paths)?;
    let before = collection.tracks.len();
    let mut first = None;
    collection.tracks.retain(|track| match &track.audio {
        Audio::File { path, .. } if base.name(path).is_none() => {
            first.get_or_insert_with(|| quoted(&track.id));
            false
        }
        _ => true,
    });
    if let Some(first) = first {
        collection.notes.push(format!(
            "tracks left out of the manifest because their file names are not UTF-8: {} (first: {first}); rename the files",
            before - collection.tracks.len()
        ));
    }
    Ok(())
}

/// The directory that paths are relative to.
enum Base {
    Root,
    /// As given, and with links resolved.
    Directory([PathBuf; 2]),
}

impl Base {
    fn new(paths: Paths<'_>) -> Result<Base, DatasetError> {
        let Paths::RelativeTo(directory) = paths else { return Ok(Base::Root) };
        let failed = DatasetError::io("open", directory);
        let given = std::path::absolute(directory).map_err(failed)?;
        Ok(Base::Directory([given, directory.canonicalize().map_err(failed)?]))
    }

    /// The path of a file in the manifest; `None` if it is not UTF-8.
    fn name(&self, path: &Path) -> Option<String> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let Base::Directory(bases) = self else {
            return portable(Path::new(&*absolute.to_string_lossy()));
        };
        let below = |path: &Path| {
            bases.iter().find_map(|base| path.strip_prefix(base).ok().map(Path::to_owned))
        };
        let goes_up = |path: &Path| path.components().any(|part| part.as_os_str() == "..");
        let resolved = || {
            // Only the directory is resolved: a link to a file keeps its name.
            let (parent, file) = (absolute.parent()?, absolute.file_name()?);
            below(&parent.canonicalize().ok()?.join(file))
        };
        let name = below(&absolute)
            .filter(|name| !goes_up(name))
            .or_else(resolved)
            // A missing directory cannot be resolved.
            .or_else(|| below(&absolute).filter(|name| stays_below(name)));
        portable(&name.unwrap_or(absolute))
    }
}

/// A path with `/` between its parts, as all systems read it; `None` if it is not UTF-8.
fn portable(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    // Elsewhere, a file name may contain a backslash.
    Some(if cfg!(windows) { text.replace('\\', "/") } else { text.to_owned() })
}

/// Whether a relative path never leaves the directory in which it begins.
fn stays_below(path: &Path) -> bool {
    let mut depth = 0i64;
    path.components().all(|part| {
        depth += if part.as_os_str() == ".." { -1 } else { 1 };
        depth >= 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_are_separated_by_slashes() {
        let path: PathBuf = ["jazz", "a\\b.wav"].iter().collect();
        let expected = if cfg!(windows) { "jazz/a/b.wav" } else { "jazz/a\\b.wav" };
        assert_eq!(portable(&path).as_deref(), Some(expected));
    }
}
