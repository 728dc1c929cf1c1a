//! The items that can be recommended, with one vector each.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use datasets::{Audio, Collection, Split, Track};

use crate::error::{Error, Result};
use crate::io::files::{create_folder, read_text, write_atomic};
use crate::listening::factors::{self, FactorTable};
use crate::listening::matrix::Matrix;
use crate::listening::usage_space::usage_space;

/// A kind of vector that a network computes for a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum VectorKind {
    /// The predicted latent factors.
    Factors,
    /// The last hidden layer.
    Embedding,
}

impl VectorKind {
    /// The kind to use if none is chosen: factors if the model predicts them.
    pub fn preferred(predicts_factors: bool) -> Self {
        if predicts_factors { Self::Factors } else { Self::Embedding }
    }

    /// The value of `--by`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Factors => "factors",
            Self::Embedding => "embedding",
        }
    }
}

/// An item that can be recommended.
#[derive(Clone, Debug)]
pub struct Item {
    /// Id of the track, or of the row in a directory of factors.
    pub id: String,
    /// Names of the track's tags; empty for an item from a directory of factors.
    pub tags: Vec<String>,
    /// The track; `None` for an item from a directory of factors.
    pub track: Option<Track>,
}

impl Item {
    /// The name of the audio file, if the item has one.
    pub fn file_name(&self) -> Option<String> {
        match &self.track.as_ref()?.audio {
            Audio::File { path, .. } => Some(path.file_name()?.to_string_lossy().into_owned()),
            Audio::Synthetic(_) | Audio::Frames(_) => None,
        }
    }

    /// The id, followed by the file name if that adds information.
    pub fn title(&self) -> String {
        let Self { id, .. } = self;
        match self.file_name() {
            Some(file) if !file.starts_with(id) && !id.ends_with(&file) => format!("{id}  {file}"),
            _ => id.clone(),
        }
    }
}

/// Items with one vector each.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// In the order of the vectors.
    pub items: Vec<Item>,
    /// `[item, factor]` or `[item, feature]`
    pub vectors: Matrix,
}

impl Catalogue {
    /// A catalogue of tracks of a collection; `ids` can be a part of it.
    ///
    /// # Errors
    /// If the collection does not contain a track.
    pub fn new(collection: Collection, ids: Vec<String>, vectors: Matrix) -> Result<Catalogue> {
        let Collection { name, tags, tracks, .. } = collection;
        let mut by_id: HashMap<String, Track> =
            tracks.into_iter().map(|track| (track.id.clone(), track)).collect();
        let items = ids.into_iter().map(|id| {
            let track = by_id.remove(&id).ok_or_else(|| {
                Error::Data(format!(
                    "{name} does not contain track {id} of the run any more; restore the old files, or train again"
                ))
            })?;
            let tags = track.tags.iter().map(|&tag| tags[tag].clone()).collect();
            Ok(Item { id, tags, track: Some(track) })
        });
        Ok(Catalogue { items: items.collect::<Result<_>>()?, vectors })
    }

    /// A catalogue of the items of a directory of factors.
    ///
    /// # Errors
    /// If the items have biases.
    pub fn from_table(table: FactorTable, n_factors: usize, folder: &Path) -> Result<Catalogue> {
        let (ids, vectors) = table.without_biases(n_factors, folder)?;
        let items = ids.into_iter().map(|id| Item { id, tags: Vec::new(), track: None });
        Ok(Catalogue { items: items.collect(), vectors })
    }

    /// The row of an id.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.items.iter().position(|item| item.id == id)
    }

    /// The tracks of a split; all items if `split` is `None`.
    pub fn in_split(self, split: Option<Split>) -> Catalogue {
        if split.is_none() {
            return self;
        }
        let is_in = |item: &Item| item.track.as_ref().and_then(|track| track.split) == split;
        let (rows, items): (Vec<u32>, Vec<Item>) =
            (0..).zip(self.items).filter(|(_, item)| is_in(item)).unzip();
        Catalogue { vectors: self.vectors.gather(&rows), items }
    }

    /// The items whose vectors are not 0, and those without a vector: a vector of zeros has the same score for every
    /// query.
    pub fn with_vectors(self) -> (Catalogue, Vec<Item>) {
        let (mut rows, mut kept, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (row, item) in self.items.into_iter().enumerate() {
            match self.vectors.is_zero(row) {
                true => others.push(item),
                false => {
                    rows.push(row as u32);
                    kept.push(item);
                }
            }
        }
        (Catalogue { vectors: self.vectors.gather(&rows), items: kept }, others)
    }

    /// The same items with their usage patterns as vectors; see [`crate::listening::usage_space`].
    pub fn in_usage_space(self, users: &Matrix) -> Catalogue {
        Catalogue { vectors: usage_space(users, &self.vectors), ..self }
    }
}

/// The file that says which model the stored vectors are from.
fn fingerprint_file(folder: &Path) -> PathBuf {
    folder.join("model.txt")
}

/// Reads the stored ids and vectors if they are from this model. Damaged files are ignored with a warning.
///
/// # Errors
/// If the file with the model's fingerprint cannot be read.
pub fn read(folder: &Path, fingerprint: &str) -> Result<Option<(Vec<String>, Matrix)>> {
    let path = fingerprint_file(folder);
    if !path.exists() || read_text(&path)?.trim_end() != fingerprint {
        return Ok(None);
    }
    let stored = factors::read_items(folder).and_then(|(table, width)| {
        let vectors = Matrix::new(table.ids.len(), width, table.factors)
            .map_err(|error| Error::Data(format!("{}: {error}", folder.display())))?;
        Ok((table.ids, vectors))
    });
    if let Err(error) = &stored {
        tracing::warn!("{error}; the vectors will be computed again");
    }
    Ok(stored.ok())
}

/// Stores ids and vectors with the fingerprint of their model.
///
/// # Errors
/// If writing fails.
pub fn write(folder: &Path, fingerprint: &str, ids: &[String], vectors: &Matrix) -> Result<()> {
    create_folder(folder)?;
    let path = fingerprint_file(folder);
    if path.exists() {
        // Without a fingerprint, partly written files are not used.
        std::fs::remove_file(&path).map_err(Error::io("replace", &path))?;
    }
    factors::write_items(folder, ids, vectors.data())?;
    write_atomic(&path, format!("{fingerprint}\n").as_bytes())
}
