//! What is recommended, and to whom: items with a vector each, users with theirs.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use datasets::{Audio, Collection, Interactions, Track};

use crate::error::{Error, Result};
use crate::io::files::{create_folder, read_text, write_atomic};
use crate::listening::factors::{self, FactorTables, Side};
use crate::listening::matrix::Matrix;
use crate::listening::usage_space::usage_space;

/// Which of a run's vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// The latent factors that the network predicts.
    Factors,
    /// The network's last hidden layer.
    Embedding,
}

impl By {
    /// As `--by` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Factors => "factors",
            Self::Embedding => "embedding",
        }
    }
}

/// An item, and what is known of it.
#[derive(Clone, Debug)]
pub struct Item {
    /// Of the track, or of the row in a folder of factors.
    pub id: String,
    /// Names of the track's tags; none for what comes from a folder of factors.
    pub tags: Vec<String>,
    /// Of a run's tracks.
    pub track: Option<Track>,
}

impl Item {
    /// The name of its audio file, if it has one.
    pub fn file_name(&self) -> Option<String> {
        match &self.track.as_ref()?.audio {
            Audio::File { path, .. } => Some(path.file_name()?.to_string_lossy().into_owned()),
            Audio::Synthetic(_) | Audio::Frames(_) => None,
        }
    }
}

/// An id with the name of the file, where that says more.
pub fn titled(id: &str, file: Option<&str>) -> String {
    match file {
        Some(file) if !file.starts_with(id) && !id.ends_with(file) => format!("{id}  {file}"),
        _ => id.to_owned(),
    }
}

/// Items with a vector each.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// In the order of the vectors.
    pub items: Vec<Item>,
    /// `[item, factor]` or `[item, feature]`
    pub vectors: Matrix,
}

impl Catalogue {
    /// Vectors of tracks of a collection, which has them and maybe more.
    ///
    /// # Errors
    /// If a track is no longer in the collection.
    pub fn new(collection: Collection, ids: Vec<String>, vectors: Matrix) -> Result<Catalogue> {
        let Collection { name, tags, tracks, .. } = collection;
        let mut found: HashMap<String, Track> =
            tracks.into_iter().map(|track| (track.id.clone(), track)).collect();
        let items = ids
            .into_iter()
            .map(|id| {
                let track = found.remove(&id).ok_or_else(|| {
                    Error::Data(format!(
                        "track {id} of the run is no longer in {name}: put the old files back, or \
                         train anew"
                    ))
                })?;
                let tags = track.tags.iter().map(|&tag| tags[tag].clone()).collect();
                Ok(Item { id, tags, track: Some(track) })
            })
            .collect::<Result<Vec<Item>>>()?;
        Ok(Catalogue { items, vectors })
    }

    /// The items of a folder of factors.
    ///
    /// # Errors
    /// If they have biases.
    pub fn of_tables(side: Side, n_factors: usize, folder: &Path) -> Result<Catalogue> {
        let rows = side.ids.len();
        let vectors = plain(side.factors, side.biases, rows, n_factors, folder)?;
        let items = side.ids.into_iter().map(|id| Item { id, tags: Vec::new(), track: None });
        Ok(Catalogue { items: items.collect(), vectors })
    }

    /// Where an id stands.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.items.iter().position(|item| item.id == id)
    }

    /// The same items by their usage patterns; see [`crate::listening::usage_space`].
    pub fn by_usage(self, users: &Matrix) -> Catalogue {
        Catalogue { vectors: usage_space(users, &self.vectors), ..self }
    }
}

/// Users with their factors, and what each has heard.
#[derive(Clone, Debug)]
pub struct Listening {
    /// In the order of the factors.
    pub ids: Vec<String>,
    /// `[user, factor]`
    pub users: Matrix,
    /// Ids of items, by user id.
    heard: HashMap<String, HashSet<String>>,
}

impl Listening {
    /// # Errors
    /// If the factors are not whole rows.
    pub fn new(side: Side, n_factors: usize, plays: &Interactions) -> Result<Listening> {
        let (ids, rows) = (side.ids, side.factors);
        let users = Matrix::new(ids.len(), n_factors, rows)
            .map_err(|error| Error::Data(error.to_string()))?;
        Ok(Listening { ids, users, heard: heard(plays) })
    }

    /// The users of a folder of factors; nobody has heard anything unless `plays` say so.
    ///
    /// # Errors
    /// If they have biases.
    pub fn of_tables(
        side: Side,
        n_factors: usize,
        folder: &Path,
        plays: Option<&Interactions>,
    ) -> Result<Listening> {
        let rows = side.ids.len();
        let users = plain(side.factors, side.biases, rows, n_factors, folder)?;
        Ok(Listening { ids: side.ids, users, heard: plays.map(heard).unwrap_or_default() })
    }

    /// The row of a user.
    ///
    /// # Errors
    /// With the ids that are most like it.
    pub fn user(&self, id: &str) -> Result<usize> {
        if let Some(row) = self.ids.iter().position(|known| known == id) {
            return Ok(row);
        }
        let mut near: Vec<(usize, &String)> =
            self.ids.iter().map(|known| (strsim::damerau_levenshtein(id, known), known)).collect();
        near.sort();
        let near: Vec<String> = near.iter().take(3).map(|(_, id)| format!("{id:?}")).collect();
        Err(Error::Data(format!(
            "there is no user {id:?}: {} have factors, of which {} are most like it",
            self.ids.len(),
            near.join(", ")
        )))
    }

    /// Rows of the items that a user has heard, rising.
    pub fn heard(&self, user: usize, items: &[Item]) -> Vec<u32> {
        match self.heard.get(&self.ids[user]) {
            None => Vec::new(),
            Some(heard) => {
                let rows = (0..).zip(items).filter(|(_, item)| heard.contains(&item.id));
                rows.map(|(row, _)| row).collect()
            }
        }
    }
}

fn heard(plays: &Interactions) -> HashMap<String, HashSet<String>> {
    let mut heard: HashMap<String, HashSet<String>> = HashMap::new();
    for (user, id) in plays.users().iter().enumerate() {
        let (items, _) = plays.of_user(user);
        let items = items.iter().map(|&item| plays.items()[item as usize].clone()).collect();
        heard.insert(id.clone(), items);
    }
    heard
}

/// Factors without biases: a bias is one more factor, that meets a one on the other side.
fn plain(
    factors: Vec<f32>,
    biases: Option<Vec<f32>>,
    rows: usize,
    n_factors: usize,
    folder: &Path,
) -> Result<Matrix> {
    if biases.is_some() {
        return Err(Error::Config(format!(
            "the factors of {} have biases, which no ranking of items by sound knows: factorise \
             without --bias",
            folder.display()
        )));
    }
    Matrix::new(rows, n_factors, factors).map_err(|error| Error::Data(error.to_string()))
}

/// A folder that `factorize` or another program made.
///
/// # Errors
/// If the folder is none, or a file of it is damaged.
pub fn open_factors(folder: &Path) -> Result<FactorTables> {
    factors::read(folder)
}

/// Whether a folder holds factors rather than a run.
pub fn is_factors(folder: &Path) -> bool {
    folder.join(factors::ITEMS).is_file() && !folder.join("experiment.toml").exists()
}

fn fingerprint_file(folder: &Path) -> PathBuf {
    folder.join("model.txt")
}

/// The ids and vectors that were kept, if they are of this model. Damaged ones are passed over, with a warning.
///
/// # Errors
/// If the file that names the model cannot be read.
pub fn read(folder: &Path, fingerprint: &str) -> Result<Option<(Vec<String>, Matrix)>> {
    let of = fingerprint_file(folder);
    if !of.exists() || read_text(&of)?.trim_end() != fingerprint {
        return Ok(None);
    }
    let kept = factors::read_items(folder).and_then(|(side, width)| {
        let vectors = Matrix::new(side.ids.len(), width, side.factors)
            .map_err(|error| Error::Data(format!("{}: {error}", folder.display())))?;
        Ok((side.ids, vectors))
    });
    match kept {
        Ok(kept) => Ok(Some(kept)),
        Err(error) => {
            tracing::warn!("{error}; it is computed again");
            Ok(None)
        }
    }
}

/// Keeps vectors, and says of which model they are.
///
/// # Errors
/// If writing fails.
pub fn write(folder: &Path, fingerprint: &str, ids: &[String], vectors: &Matrix) -> Result<()> {
    create_folder(folder)?;
    let of = fingerprint_file(folder);
    if of.exists() {
        // While the files change, they are of no model.
        std::fs::remove_file(&of).map_err(Error::io("replace", &of))?;
    }
    factors::write_items(folder, ids, vectors.data())?;
    write_atomic(&of, format!("{fingerprint}\n").as_bytes())
}
