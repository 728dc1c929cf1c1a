//! `similar`: the tracks of a run, or the items of a folder of factors, that are nearest to one of
//! them or to an audio file.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Context, print, print_json};
use crate::error::{Error, Result};
use crate::evaluation::metrics::retrieval::ItemLists;
use crate::inference::items;
use crate::inference::predictor::Predictor;
use crate::listening::catalogue::{By, Catalogue, Listening, is_factors, open_factors, titled};
use crate::listening::matrix::Matrix;
use crate::listening::top_k::{Measure, top_k};
use crate::listening::usage_space::usage_space;
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder of a trained run, or a folder of factors.
    #[arg(value_name = "RUN|FACTORS")]
    from: PathBuf,
    /// Ids of its tracks or items, or (for a run) audio files.
    #[arg(required = true, value_name = "TRACK|FILE")]
    queries: Vec<String>,
    /// Show the N nearest tracks of each.
    #[arg(long, default_value_t = 10, value_name = "N")]
    top: usize,
    /// What is compared: the usage patterns that predicted factors stand for, or the last hidden layer
    /// [default: factors if the run predicts any].
    #[arg(long)]
    by: Option<By>,
    /// Which checkpoint to use.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// Print JSON.
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
    /// Name of its audio file.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// Cosine of the angle between the two vectors.
    similarity: f32,
    tags: &'a [String],
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    if arguments.top == 0 {
        return Err(Error::Config("--top is 0: ask for at least one track".into()));
    }
    let (catalogue, own, queries) = match is_factors(&arguments.from) {
        true => from_factors(arguments)?,
        false => from_run(context, arguments)?,
    };
    let data = |error: &dyn std::fmt::Display| Error::Data(error.to_string());
    // A track is not similar to itself: it is itself.
    let own = ItemLists::from_rows(own).map_err(|error| data(&error))?;
    let hits = top_k(&queries, &catalogue.vectors, arguments.top, Measure::Cosine, Some(&own))
        .map_err(|error| data(&error))?;

    let all: Vec<Neighbours<'_>> = arguments
        .queries
        .iter()
        .zip(&hits)
        .map(|(query, hits)| Neighbours {
            query,
            similar: hits
                .iter()
                .map(|hit| {
                    let item = &catalogue.items[hit.item as usize];
                    Neighbour {
                        id: &item.id,
                        file: item.file_name(),
                        similarity: hit.score,
                        tags: &item.tags,
                    }
                })
                .collect(),
        })
        .collect();
    if arguments.json {
        return print_json(&all);
    }
    let mut text = String::new();
    for Neighbours { query, similar } in all {
        text += &format!("{query}\n");
        for Neighbour { id, file, similarity, tags } in similar {
            let line =
                format!("  {similarity:.3}  {}  {}", titled(id, file.as_deref()), tags.join(", "));
            text += &format!("{}\n", line.trim_end());
        }
    }
    print(&text)
}

/// Items, for each query the item that it is, and the vectors of the queries.
type Sources = (Catalogue, Vec<Vec<u32>>, Matrix);

fn from_factors(arguments: &Arguments) -> Result<Sources> {
    let folder = &arguments.from;
    if arguments.by == Some(By::Embedding) {
        return Err(Error::Config(format!(
            "{} holds factors: --by embedding needs a run",
            folder.display()
        )));
    }
    let tables = open_factors(folder)?;
    let width = tables.n_factors;
    let users = Listening::of_tables(tables.users, width, folder, None)?.users;
    let catalogue = Catalogue::of_tables(tables.items, width, folder)?.by_usage(&users);
    let mut rows = Vec::new();
    for query in &arguments.queries {
        match catalogue.position(query) {
            Some(row) => rows.push(row as u32),
            None => {
                return Err(Error::Data(format!(
                    "there is no item {query:?} in {}: its items stand in {}",
                    folder.display(),
                    folder.join(crate::listening::factors::ITEMS).display()
                )));
            }
        }
    }
    let queries = catalogue.vectors.gather(&rows);
    Ok((catalogue, rows.into_iter().map(|row| vec![row]).collect(), queries))
}

fn from_run(context: &Context, arguments: &Arguments) -> Result<Sources> {
    let folder = RunFolder::open(&arguments.from)?;
    let latent = folder.experiment()?.predicts_factors();
    let by = arguments.by.unwrap_or(if latent { By::Factors } else { By::Embedding });
    let device = context.open_device()?;
    let session = context.session(&device);
    let catalogue = items::catalogue(&session, &folder, by, arguments.checkpoint)?;
    let mut predictor = None;
    let (mut rows, mut own) = (Vec::new(), Vec::new());
    for query in &arguments.queries {
        match catalogue.position(query) {
            Some(track) => {
                rows.extend_from_slice(catalogue.vectors.row(track));
                own.push(vec![track as u32]);
            }
            None if Path::new(query).exists() => {
                if predictor.is_none() {
                    let (run, which) = (&arguments.from, arguments.checkpoint);
                    predictor = Some(Predictor::open(run, which, &device.device)?);
                }
                let predictor = predictor.as_ref().expect("made above");
                rows.extend(match by {
                    By::Embedding => predictor.embed_file(Path::new(query))?,
                    By::Factors => predictor.predict_file(Path::new(query))?,
                });
                own.push(Vec::new());
            }
            None => {
                return Err(Error::Data(format!(
                    "{query:?} is neither a track of {} nor an audio file: its tracks stand in {}",
                    folder.path().display(),
                    folder.file("manifest.csv").display()
                )));
            }
        }
    }
    let width = catalogue.vectors.columns();
    let queries = Matrix::new(arguments.queries.len(), width, rows)
        .map_err(|error| Error::Data(error.to_string()))?;
    if by == By::Embedding {
        return Ok((catalogue, own, queries));
    }
    let tables = crate::listening::factors::read(&folder.factors())?;
    if tables.n_factors != width {
        // What is predicted is not in the space of the users: it is compared as it is.
        return Ok((catalogue, own, queries));
    }
    let users = Matrix::new(tables.users.ids.len(), width, tables.users.factors)
        .map_err(|error| Error::Data(error.to_string()))?;
    let queries = usage_space(&users, &queries);
    Ok((catalogue.by_usage(&users), own, queries))
}
