//! `recommend`: items for a user, and users for new songs.

use std::path::PathBuf;

use datasets::Split;
use rayon::prelude::*;
use serde::Serialize;

use super::{Context, print, print_json};
use crate::data::directories::from_dataset;
use crate::error::{Error, Result};
use crate::evaluation::metrics::retrieval::ItemLists;
use crate::inference::items;
use crate::inference::predictor::Predictor;
use crate::listening::catalogue::{
    By, Catalogue, Item, Listening, is_factors, open_factors, titled,
};
use crate::listening::matrix::Matrix;
use crate::listening::top_k::{Measure, top_k};
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --user: the items with the highest scores, a list a user. With --audio: where a \
                        new song stands among the items, for all users or for those of --user, and who \
                        would like it best.\n\n\
                        JSON: {\"users\": [{\"user\", \"recommended\": [{\"id\", \"file\", \"score\", \"tags\"}]}], \
                        \"songs\": [{\"file\", \"items\", \"users\", \"median_rank\", \"share_in_top\", \"top\", \
                        \"listeners\": [{\"user\", \"score\", \"rank\"}]}]}"
)]
pub struct Arguments {
    /// The folder of a run that was trained on listening data, or a folder of factors.
    #[arg(value_name = "RUN|FACTORS")]
    from: PathBuf,
    /// The id of a user; may be repeated.
    #[arg(long, value_name = "ID")]
    user: Vec<String>,
    /// New songs: audio files.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    audio: Vec<PathBuf>,
    /// Show the N best of each.
    #[arg(long, default_value_t = 10, value_name = "N")]
    top: usize,
    /// Only the tracks of this split: train, valid or test [default: all].
    #[arg(long)]
    split: Option<Split>,
    /// Recommend what the user has heard too.
    #[arg(long)]
    include_heard: bool,
    /// For a folder of factors: who has heard what (a table of user, item and count, or a folder).
    #[arg(long, value_name = "TABLE")]
    interactions: Option<PathBuf>,
    /// Which checkpoint to use.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Output {
    users: Vec<ForUser>,
    songs: Vec<Song>,
}

#[derive(Serialize)]
struct ForUser {
    user: String,
    recommended: Vec<Recommended>,
}

#[derive(Serialize)]
struct Recommended {
    id: String,
    /// Name of its audio file.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    score: f32,
    tags: Vec<String>,
}

#[derive(Serialize)]
struct Song {
    file: String,
    /// Items that it is ranked among.
    items: usize,
    /// Users for whom it was ranked.
    users: usize,
    /// From 1.
    median_rank: f64,
    /// Share of these users in whose `top` it stands.
    share_in_top: f64,
    top: usize,
    /// Those who would like it best, or those that were asked for.
    listeners: Vec<Listener>,
}

#[derive(Serialize)]
struct Listener {
    user: String,
    score: f32,
    rank: usize,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    if arguments.top == 0 {
        return Err(Error::Config("--top is 0: ask for at least one".into()));
    }
    if arguments.user.is_empty() && arguments.audio.is_empty() {
        return Err(Error::Config(
            "name whom to recommend to (--user ID), or what (--audio FILE...)".into(),
        ));
    }
    let (catalogue, listening, songs) = match is_factors(&arguments.from) {
        true => from_factors(arguments)?,
        false => from_run(context, arguments)?,
    };
    if listening.ids.is_empty() {
        return Err(Error::Data(format!(
            "{} has no users: there is nobody to recommend to",
            arguments.from.display()
        )));
    }
    let users: Vec<usize> =
        arguments.user.iter().map(|id| listening.user(id)).collect::<Result<_>>()?;
    let output = match arguments.audio.is_empty() {
        true => Output {
            users: for_users(arguments, &catalogue, &listening, &users)?,
            songs: Vec::new(),
        },
        false => Output {
            users: Vec::new(),
            songs: for_songs(arguments, &catalogue, &listening, &users, &songs)?,
        },
    };
    match arguments.json {
        true => print_json(&output),
        false => print(&text(&output)),
    }
}

/// Items, users, and the factors of the new songs.
type Sources = (Catalogue, Listening, Matrix);

fn from_factors(arguments: &Arguments) -> Result<Sources> {
    let folder = &arguments.from;
    if !arguments.audio.is_empty() || arguments.split.is_some() {
        return Err(Error::Config(format!(
            "{} holds factors, and --audio and --split need a model and its tracks: name a run",
            folder.display()
        )));
    }
    let plays = match &arguments.interactions {
        Some(table) => Some(datasets::read_interactions(table).map_err(from_dataset)?),
        None => None,
    };
    let tables = open_factors(folder)?;
    let width = tables.n_factors;
    let catalogue = Catalogue::of_tables(tables.items, width, folder)?;
    match &plays {
        None if !arguments.include_heard => tracing::warn!(
            "what a user has heard is recommended too: --interactions TABLE says what that is (--include-heard if it is meant so)"
        ),
        Some(plays) if plays.items().iter().all(|item| catalogue.position(item).is_none()) => {
            return Err(Error::Data(format!(
                "--interactions: none of its {} items is one of {}: both must use the same ids",
                plays.items().len(),
                folder.display()
            )));
        }
        _ => {}
    }
    let listening = Listening::of_tables(tables.users, width, folder, plays.as_ref())?;
    let none = Matrix::new(0, width, Vec::new()).map_err(|error| data(&error))?;
    Ok((catalogue, listening, none))
}

fn from_run(context: &Context, arguments: &Arguments) -> Result<Sources> {
    if arguments.interactions.is_some() {
        return Err(Error::Config(
            "--interactions goes with a folder of factors: a run has its own".into(),
        ));
    }
    let folder = RunFolder::open(&arguments.from)?;
    let device = context.open_device()?;
    let session = context.session(&device);
    let listening = items::listening(&session, &folder)?;
    let mut catalogue = items::catalogue(&session, &folder, By::Factors, arguments.checkpoint)?;
    if let Some(split) = arguments.split {
        let of_split =
            |item: &Item| item.track.as_ref().is_some_and(|track| track.split == Some(split));
        let rows: Vec<u32> = (0..)
            .zip(&catalogue.items)
            .filter(|pair| of_split(pair.1))
            .map(|pair| pair.0)
            .collect();
        let items = rows.iter().map(|&row| catalogue.items[row as usize].clone()).collect();
        catalogue = Catalogue { items, vectors: catalogue.vectors.gather(&rows) };
    }
    let mut factors = Vec::new();
    if !arguments.audio.is_empty() {
        let predictor = Predictor::open(&arguments.from, arguments.checkpoint, &device.device)?;
        for file in &arguments.audio {
            factors.extend(predictor.predict_file(file)?);
        }
    }
    let width = catalogue.vectors.columns();
    let songs = Matrix::new(arguments.audio.len(), width, factors).map_err(|error| data(&error))?;
    if listening.users.columns() != width {
        return Err(Error::Config(format!(
            "{} predicts no factors that users have: choose a run of a network that does",
            folder.path().display()
        )));
    }
    Ok((catalogue, listening, songs))
}

fn data(error: &dyn std::fmt::Display) -> Error {
    Error::Data(error.to_string())
}

fn for_users(
    arguments: &Arguments,
    catalogue: &Catalogue,
    listening: &Listening,
    users: &[usize],
) -> Result<Vec<ForUser>> {
    let rows: Vec<u32> = users.iter().map(|&user| user as u32).collect();
    let heard = users.iter().map(|&user| match arguments.include_heard {
        true => Vec::new(),
        false => listening.heard(user, &catalogue.items),
    });
    let heard = ItemLists::from_rows(heard).map_err(|error| data(&error))?;
    let queries = listening.users.gather(&rows);
    let vectors = &catalogue.vectors;
    let hits = top_k(&queries, vectors, arguments.top, Measure::InnerProduct, Some(&heard))
        .map_err(|error| data(&error))?;
    let lists = arguments.user.iter().zip(hits).map(|(user, hits)| ForUser {
        user: user.clone(),
        recommended: hits
            .iter()
            .map(|hit| {
                let item = &catalogue.items[hit.item as usize];
                Recommended {
                    id: item.id.clone(),
                    file: item.file_name(),
                    score: hit.score,
                    tags: item.tags.clone(),
                }
            })
            .collect(),
    });
    Ok(lists.collect())
}

fn for_songs(
    arguments: &Arguments,
    catalogue: &Catalogue,
    listening: &Listening,
    asked: &[usize],
    songs: &Matrix,
) -> Result<Vec<Song>> {
    let users: Vec<u32> = match asked {
        [] => (0..listening.ids.len() as u32).collect(),
        asked => asked.iter().map(|&user| user as u32).collect(),
    };
    let factors = listening.users.gather(&users);
    let ranks = ranks(&factors, &catalogue.vectors, songs);
    let best = top_k(songs, &factors, arguments.top.max(asked.len()), Measure::InnerProduct, None)
        .map_err(|error| data(&error))?;
    let mut found = Vec::new();
    for (song, (file, best)) in arguments.audio.iter().zip(best).enumerate() {
        let mut sorted: Vec<usize> = ranks.iter().map(|ranks| ranks[song]).collect();
        sorted.sort_unstable();
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        let in_top = sorted.partition_point(|&rank| rank <= arguments.top);
        found.push(Song {
            file: file.display().to_string(),
            items: catalogue.items.len(),
            users: users.len(),
            median_rank: (low + high) as f64 / 2.0,
            share_in_top: in_top as f64 / users.len() as f64,
            top: arguments.top,
            listeners: best
                .iter()
                .map(|hit| Listener {
                    user: listening.ids[users[hit.item as usize] as usize].clone(),
                    score: hit.score,
                    rank: ranks[hit.item as usize][song],
                })
                .collect(),
        });
    }
    Ok(found)
}

/// `[user][song]`: one more than the items that the user likes better than the song.
fn ranks(users: &Matrix, items: &Matrix, songs: &Matrix) -> Vec<Vec<usize>> {
    /// Items whose scores are held at once.
    const ITEMS: usize = 4096;
    /// Users that a thread takes at a time.
    const USERS: usize = 16;
    let width = users.columns();
    let block = |users: &[f32]| -> Vec<Vec<usize>> {
        let count = users.len() / width;
        let mut own = vec![0.0; count * songs.rows()];
        crate::listening::matrix::products(users, songs.data(), width, &mut own);
        let mut ranks = vec![vec![1; songs.rows()]; count];
        let mut scores = Vec::new();
        for items in items.data().chunks(ITEMS * width) {
            let n = items.len() / width;
            scores.resize(count * n, 0.0);
            crate::listening::matrix::products(users, items, width, &mut scores);
            for (user, scores) in scores.chunks_exact(n).enumerate() {
                for (song, rank) in ranks[user].iter_mut().enumerate() {
                    let own = own[user * songs.rows() + song];
                    *rank += scores.iter().filter(|score| **score > own).count();
                }
            }
        }
        ranks
    };
    users.data().par_chunks(USERS * width).flat_map_iter(block).collect()
}

fn text(output: &Output) -> String {
    let mut text = String::new();
    for ForUser { user, recommended } in &output.users {
        text += &format!("{user}\n");
        for Recommended { id, file, score, tags } in recommended {
            let line =
                format!("  {score:>7.3}  {}  {}", titled(id, file.as_deref()), tags.join(", "));
            text += &format!("{}\n", line.trim_end());
        }
    }
    for song in &output.songs {
        text += &format!(
            "{}\n  median rank {} of {} for {}; in the top {} of {:.1} % of them\n",
            song.file,
            song.median_rank,
            song.items + 1,
            match song.users {
                1 => "one user".to_string(),
                users => format!("{users} users"),
            },
            song.top,
            100.0 * song.share_in_top,
        );
        for Listener { user, score, rank } in &song.listeners {
            text += &format!("  {score:>7.3}  {user}  rank {rank}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listening::matrix::tests::noise;

    #[test]
    fn ranks_are_those_of_a_full_sort() {
        let (users, items, songs) = (noise(1, 37, 6), noise(2, 5_000, 6), noise(3, 3, 6));
        let score = |user: usize, row: &[f32]| -> f32 {
            let mut out = [0.0];
            crate::listening::matrix::products(users.row(user), row, 6, &mut out);
            out[0]
        };
        let ranks = ranks(&users, &items, &songs);
        assert_eq!(ranks.len(), 37);
        for (user, ranks) in ranks.iter().enumerate() {
            for (song, rank) in ranks.iter().enumerate() {
                let mut all: Vec<f32> =
                    (0..5_000).map(|item| score(user, items.row(item))).collect();
                let own = score(user, songs.row(song));
                all.push(own);
                all.sort_unstable_by(|a, b| b.total_cmp(a));
                assert_eq!(all.iter().position(|score| *score == own), Some(rank - 1));
            }
        }
    }
}
