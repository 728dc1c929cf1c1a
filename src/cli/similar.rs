//! `similar`: find the tracks of a run, or the items of a directory of factors, that are most similar to one of them or to
//! an audio file.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Context, print, print_json};
use crate::error::{Error, Result};
use crate::inference::items;
use crate::inference::predictor::Predictor;
use crate::listening::catalogue::{Catalogue, Item, VectorKind};
use crate::listening::factors::{self, is_factors};
use crate::listening::item_lists::ItemLists;
use crate::listening::matrix::Matrix;
use crate::listening::top_k::{Measure, top_k};
use crate::listening::usage_space::usage_space;
use crate::listening::users::Users;
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Trained run, or directory of factors.
    #[arg(value_name = "RUN|FACTORS")]
    from: PathBuf,
    /// Ids of tracks or items; for a run also audio files.
    #[arg(required = true, value_name = "TRACK|FILE")]
    queries: Vec<String>,
    /// Show the N most similar tracks.
    #[arg(long, default_value_t = 10, value_name = "N")]
    top: usize,
    /// Compare usage patterns, computed from predicted factors, or the last hidden layer [default: factors if the run
    /// predicts them].
    #[arg(long)]
    by: Option<VectorKind>,
    /// Checkpoint to use: best or last.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Neighbours<'a> {
    query: &'a str,
    similar: Vec<Neighbour<'a>>,
}

#[derive(Serialize)]
struct Neighbour<'a> {
    id: &'a str,
    /// Name of the audio file.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// Cosine between the two vectors.
    similarity: f32,
    tags: &'a [String],
    #[serde(skip)]
    title: String,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    if arguments.top == 0 {
        return Err(Error::Config("--top is 0, but must be at least 1".into()));
    }
    let Sources { catalogue, itself, queries } = match is_factors(&arguments.from) {
        true => from_factors(arguments)?,
        false => from_run(context, arguments)?,
    };
    let itself = ItemLists::from_rows(itself)?;
    let hits = top_k(&queries, &catalogue.vectors, arguments.top, Measure::Cosine, Some(&itself))?;
    let neighbour = |hit: &crate::listening::top_k::Hit| {
        let item = &catalogue.items[hit.item as usize];
        let (file, title) = (item.file_name(), item.title());
        Neighbour { id: &item.id, file, similarity: hit.score, tags: &item.tags, title }
    };
    let all: Vec<Neighbours<'_>> = arguments
        .queries
        .iter()
        .zip(&hits)
        .map(|(query, hits)| Neighbours { query, similar: hits.iter().map(neighbour).collect() })
        .collect();
    if arguments.json {
        return print_json(&all);
    }
    let mut text = String::new();
    for Neighbours { query, similar } in all {
        text += &format!("{query}\n");
        for Neighbour { title, similarity, tags, .. } in similar {
            let line = format!("  {similarity:.3}  {title}  {}", tags.join(", "));
            text += &format!("{}\n", line.trim_end());
        }
    }
    print(&text)
}

/// What is searched, and for what.
struct Sources {
    catalogue: Catalogue,
    /// For each query: the row of the item that it is, if it is one.
    itself: Vec<Vec<u32>>,
    /// `[query, feature]`
    queries: Matrix,
}

fn from_factors(arguments: &Arguments) -> Result<Sources> {
    let folder = &arguments.from;
    if arguments.by == Some(VectorKind::Embedding) {
        return Err(Error::Config(format!(
            "{} is a directory of factors, but --by embedding needs a run",
            folder.display()
        )));
    }
    let tables = factors::read(folder)?;
    let width = tables.n_factors;
    let users = Users::new(tables.users, width, folder, None)?.factors;
    let catalogue = Catalogue::from_table(tables.items, width, folder)?.in_usage_space(&users);
    let (catalogue, others) = catalogue.with_vectors();
    warn_of(&others, "factors");
    let row = |query: &String| {
        catalogue.position(query).map(|row| row as u32).ok_or_else(|| {
            if others.iter().any(|item| item.id == *query) {
                return without_vector(
                    query,
                    "factors",
                    "nobody played it when they were computed",
                );
            }
            Error::Data(format!(
                "{} has no item {query:?}; its items are listed in {}",
                folder.display(),
                folder.join(factors::ITEMS).display()
            ))
        })
    };
    let rows: Vec<u32> = arguments.queries.iter().map(row).collect::<Result<_>>()?;
    let queries = catalogue.vectors.gather(&rows);
    Ok(Sources { catalogue, itself: rows.into_iter().map(|row| vec![row]).collect(), queries })
}

/// Warns of items that cannot be similar to others.
fn warn_of(others: &[Item], what: &str) {
    if let Some(first) = others.first() {
        tracing::warn!(
            "{} items have no {what} (all values are 0) and are left out, such as {:?}",
            others.len(),
            first.id
        );
    }
}

/// The error of a query that is similar to nothing.
fn without_vector(query: &str, what: &str, reason: &str) -> Error {
    Error::Data(format!(
        "{query:?} has no {what} (all values are 0), since {reason}: nothing is similar to it; choose another"
    ))
}

fn from_run(context: &Context, arguments: &Arguments) -> Result<Sources> {
    let folder = RunFolder::open(&arguments.from)?;
    let predicts_factors = folder.experiment()?.predicts_factors();
    let by = arguments.by.unwrap_or(VectorKind::preferred(predicts_factors));
    let device = context.open_device()?;
    let session = context.session(&device);
    let mut catalogue = items::catalogue(&session, &folder, by, arguments.checkpoint)?;
    let mut predictor = None;
    let (mut rows, mut tracks) = (Vec::new(), Vec::new());
    for query in &arguments.queries {
        let path = Path::new(query);
        if let Some(track) = catalogue.position(query) {
            rows.extend_from_slice(catalogue.vectors.row(track));
            tracks.push(Some(query));
        } else if path.exists() {
            let predictor = match &mut predictor {
                Some(predictor) => predictor,
                none => none.insert(Predictor::open(
                    &arguments.from,
                    arguments.checkpoint,
                    &device.device,
                )?),
            };
            rows.extend(match by {
                VectorKind::Embedding => predictor.embed_file(path)?,
                VectorKind::Factors => predictor.predict_file(path)?,
            });
            tracks.push(None);
        } else {
            return Err(Error::Data(format!(
                "{query:?} is neither a track of {} nor an audio file; the tracks are listed in {}",
                folder.path().display(),
                folder.file("manifest.csv").display()
            )));
        }
    }
    let width = catalogue.vectors.columns();
    let mut queries = Matrix::new(arguments.queries.len(), width, rows)?;
    if by == VectorKind::Factors {
        let tables = factors::read(&folder.factors())?;
        // Other predictions than the users' factors, such as points in a plane, are compared directly.
        if tables.n_factors == width {
            let users = Matrix::new(tables.users.ids.len(), width, tables.users.factors)?;
            queries = usage_space(&users, &queries);
            catalogue = catalogue.in_usage_space(&users);
        }
    }
    if let Some(zero) = (0..queries.rows()).find(|&query| queries.is_zero(query)) {
        let reason = "the network computes only zeros for it";
        return Err(without_vector(&arguments.queries[zero], by.name(), reason));
    }
    let (catalogue, others) = catalogue.with_vectors();
    warn_of(&others, by.name());
    let position = |id: &Option<&String>| id.and_then(|id| catalogue.position(id));
    let itself = tracks.iter().map(|id| position(id).map(|row| row as u32).into_iter().collect());
    let itself = itself.collect();
    Ok(Sources { catalogue, itself, queries })
}
