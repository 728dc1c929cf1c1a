//! `similar`: the tracks of a run that are nearest to a track or an audio file.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Context, print, print_json};
use crate::checkpoint::Which;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::metrics::recommendation::ItemLists;
use crate::predict::Predictor;
use crate::run_folder::RunFolder;
use crate::topk::{Measure, top_k};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder of a trained run.
    run: PathBuf,
    /// Ids of tracks of the run's data set, or audio files.
    #[arg(required = true, value_name = "TRACK|FILE")]
    queries: Vec<String>,
    /// Show the N nearest tracks of each.
    #[arg(long, default_value_t = 10, value_name = "N")]
    top: usize,
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
    /// Cosine of the angle between the two embeddings.
    similarity: f32,
    tags: Vec<&'a str>,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    if arguments.top == 0 {
        return Err(Error::Config("--top is 0: ask for at least one track".into()));
    }
    let folder = RunFolder::open(&arguments.run)?;
    let device = context.open_device()?;
    let session = context.session(&device);
    let embedded = session.embed(&folder, None, arguments.checkpoint)?;
    let predictor = Predictor::load(&arguments.run, arguments.checkpoint, &device.device)?;

    let (mut rows, mut own) = (Vec::new(), Vec::new());
    for query in &arguments.queries {
        match embedded.tracks.iter().position(|track| track.id == *query) {
            Some(track) => {
                rows.extend_from_slice(embedded.features.row(track));
                own.push(vec![track as u32]);
            }
            None if Path::new(query).exists() => {
                rows.extend(predictor.embed_file(Path::new(query))?);
                own.push(Vec::new());
            }
            None => {
                return Err(Error::Data(format!(
                    "{query:?} is neither a track of {} nor an audio file: its tracks stand in {}",
                    embedded.dataset,
                    folder.file("manifest.csv").display()
                )));
            }
        }
    }
    let data = |error: &dyn std::fmt::Display| Error::Data(error.to_string());
    let queries = Matrix::new(arguments.queries.len(), embedded.features.columns(), rows)
        .map_err(|error| data(&error))?;
    // A track is not similar to itself: it is itself.
    let own = ItemLists::from_rows(own).map_err(|error| data(&error))?;
    let hits = top_k(&queries, &embedded.features, arguments.top, Measure::Cosine, Some(&own))
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
                    let track = &embedded.tracks[hit.item as usize];
                    let tags = track.tags.iter().map(|&tag| embedded.tags[tag].as_str()).collect();
                    Neighbour { id: &track.id, similarity: hit.score, tags }
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
        for Neighbour { id, similarity, tags } in similar {
            text += &format!("  {similarity:.3}  {id}  {}\n", tags.join(", "));
        }
    }
    print(&text)
}
