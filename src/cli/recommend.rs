//! `recommend`: recommend items to users, or new songs to their listeners.

use std::path::PathBuf;

use datasets::Split;
use rayon::prelude::*;
use serde::Serialize;

use super::{Context, print, print_json};
use crate::data::directories::from_dataset;
use crate::error::{Error, Result};
use crate::inference::items;
use crate::inference::predictor::Predictor;
use crate::listening::catalogue::{Catalogue, VectorKind};
use crate::listening::factors::{self, is_factors};
use crate::listening::item_lists::ItemLists;
use crate::listening::matrix::{Matrix, products};
use crate::listening::top_k::{Measure, top_k};
use crate::listening::users::Users;
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --user, lists the items with the highest scores, per user. With --audio, ranks a new song among the \
                        items for all users or for those of --user, and lists the users who would like it best.\n\n\
                        JSON: {\"users\": [{\"user\", \"recommended\": [{\"id\", \"file\", \"score\", \"tags\"}]}], \
                        \"songs\": [{\"file\", \"items\", \"users\", \"median_rank\", \"share_in_top\", \"top\", \
                        \"listeners\": [{\"user\", \"score\", \"rank\"}]}]}"
)]
pub struct Arguments {
    /// Run that was trained on listening data, or directory of factors.
    #[arg(value_name = "RUN|FACTORS")]
    from: PathBuf,
    /// Id of a user; repeatable.
    #[arg(long, value_name = "ID")]
    user: Vec<String>,
    /// Audio files of new songs.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    audio: Vec<PathBuf>,
    /// Show the N best items, or listeners.
    #[arg(long, default_value_t = 10, value_name = "N")]
    top: usize,
    /// Recommend only tracks of this split: train, valid or test [default: all].
    #[arg(long)]
    split: Option<Split>,
    /// Also recommend items that the user has played.
    #[arg(long)]
    include_heard: bool,
    /// For a directory of factors: table of user, item and play count, or directory of listening data.
    #[arg(long, value_name = "TABLE")]
    interactions: Option<PathBuf>,
    /// Checkpoint to use: best or last.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// Print the result as JSON.
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
    /// Name of the audio file.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    score: f32,
    tags: Vec<String>,
    #[serde(skip)]
    title: String,
}

#[derive(Serialize)]
struct Song {
    file: String,
    /// Number of items that the song is ranked among.
    items: usize,
    /// Number of users for whom the song is ranked.
    users: usize,
    /// From 1.
    median_rank: f64,
    /// Share of these users for whom the song is among the `top` best.
    share_in_top: f64,
    top: usize,
    /// The users who would like the song best, or those of `--user`.
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
        return Err(Error::Config("--top is 0, but must be at least 1".into()));
    }
    if arguments.user.is_empty() && arguments.audio.is_empty() {
        return Err(Error::Config("name users (--user ID) or new songs (--audio FILE...)".into()));
    }
    let (catalogue, users, songs) = match is_factors(&arguments.from) {
        true => from_factors(arguments)?,
        false => from_run(context, arguments)?,
    };
    if users.ids.is_empty() {
        return Err(Error::Data(format!("{} has no users", arguments.from.display())));
    }
    let rows: Vec<usize> =
        arguments.user.iter().map(|id| users.position(id)).collect::<Result<_>>()?;
    let mut output = Output { users: Vec::new(), songs: Vec::new() };
    match arguments.audio.is_empty() {
        true => output.users = for_users(arguments, &catalogue, &users, &rows)?,
        false => output.songs = for_songs(arguments, &catalogue, &users, &rows, &songs)?,
    }
    match arguments.json {
        true => print_json(&output),
        false => print(&text(&output)),
    }
}

/// Items, users, and the factors of the new songs.
type Sources = (Catalogue, Users, Matrix);

fn from_factors(arguments: &Arguments) -> Result<Sources> {
    let folder = &arguments.from;
    if !arguments.audio.is_empty() || arguments.split.is_some() {
        return Err(Error::Config(format!(
            "{} is a directory of factors, but --audio and --split need a model and its tracks; name a run",
            folder.display()
        )));
    }
    let plays = arguments.interactions.as_ref().map(|table| datasets::read_interactions(table));
    let plays = plays.transpose().map_err(from_dataset)?;
    let tables = factors::read(folder)?;
    let width = tables.n_factors;
    let catalogue = Catalogue::from_table(tables.items, width, folder)?;
    match &plays {
        None if !arguments.include_heard => tracing::warn!(
            "items that the user has played are recommended too; exclude them with --interactions TABLE, or silence this \
             warning with --include-heard"
        ),
        Some(plays) if plays.items().iter().all(|item| catalogue.position(item).is_none()) => {
            return Err(Error::Data(format!(
                "--interactions: none of its {} items is an item of {}; both must use the same ids",
                plays.items().len(),
                folder.display()
            )));
        }
        _ => {}
    }
    let users = Users::new(tables.users, width, folder, plays.as_ref())?;
    Ok((catalogue, users, Matrix::new(0, width, Vec::new())?))
}

fn from_run(context: &Context, arguments: &Arguments) -> Result<Sources> {
    if arguments.interactions.is_some() {
        return Err(Error::Config(
            "--interactions is only for a directory of factors, since a run has its own; remove it"
                .into(),
        ));
    }
    let folder = RunFolder::open(&arguments.from)?;
    let device = context.open_device()?;
    let session = context.session(&device);
    let users = items::users(&session, &folder)?;
    let catalogue = items::catalogue(&session, &folder, VectorKind::Factors, arguments.checkpoint)?;
    let mut factors = Vec::new();
    if !arguments.audio.is_empty() {
        let predictor = Predictor::open(&arguments.from, arguments.checkpoint, &device.device)?;
        for file in &arguments.audio {
            factors.extend(predictor.predict_file(file)?);
        }
    }
    let width = catalogue.vectors.columns();
    let songs = Matrix::new(arguments.audio.len(), width, factors)?;
    if users.factors.columns() != width {
        return Err(Error::Config(format!(
            "{} does not predict factors that match those of its users; choose a run whose network does",
            folder.path().display()
        )));
    }
    Ok((catalogue.in_split(arguments.split), users, songs))
}

fn for_users(
    arguments: &Arguments,
    catalogue: &Catalogue,
    users: &Users,
    rows: &[usize],
) -> Result<Vec<ForUser>> {
    let played = rows.iter().map(|&user| match arguments.include_heard {
        true => Vec::new(),
        false => users.played(user, &catalogue.items),
    });
    let played = ItemLists::from_rows(played)?;
    let rows: Vec<u32> = rows.iter().map(|&user| user as u32).collect();
    let (queries, vectors) = (users.factors.gather(&rows), &catalogue.vectors);
    let hits = top_k(&queries, vectors, arguments.top, Measure::InnerProduct, Some(&played))?;
    let lists = arguments.user.iter().zip(hits).map(|(user, hits)| {
        let recommended = hits.iter().map(|hit| {
            let item = &catalogue.items[hit.item as usize];
            Recommended {
                id: item.id.clone(),
                file: item.file_name(),
                score: hit.score,
                tags: item.tags.clone(),
                title: item.title(),
            }
        });
        ForUser { user: user.clone(), recommended: recommended.collect() }
    });
    Ok(lists.collect())
}

fn for_songs(
    arguments: &Arguments,
    catalogue: &Catalogue,
    all: &Users,
    rows: &[usize],
    songs: &Matrix,
) -> Result<Vec<Song>> {
    let users: Vec<u32> = match rows {
        [] => (0..all.ids.len() as u32).collect(),
        rows => rows.iter().map(|&user| user as u32).collect(),
    };
    let factors = all.factors.gather(&users);
    let ranks = ranks(&factors, &catalogue.vectors, songs);
    let count = arguments.top.max(rows.len());
    let best = top_k(songs, &factors, count, Measure::InnerProduct, None)?;
    let songs = arguments.audio.iter().zip(best).enumerate().map(|(song, (file, best))| {
        let mut sorted: Vec<usize> = ranks.iter().map(|ranks| ranks[song]).collect();
        sorted.sort_unstable();
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        let in_top = sorted.partition_point(|&rank| rank <= arguments.top);
        let listeners = best.iter().map(|hit| Listener {
            user: all.ids[users[hit.item as usize] as usize].clone(),
            score: hit.score,
            rank: ranks[hit.item as usize][song],
        });
        Song {
            file: file.display().to_string(),
            items: catalogue.items.len(),
            users: users.len(),
            median_rank: (low + high) as f64 / 2.0,
            share_in_top: in_top as f64 / users.len() as f64,
            top: arguments.top,
            listeners: listeners.collect(),
        }
    });
    Ok(songs.collect())
}

/// The rank of each song for each user, `[user][song]`: one more than the number of items with a higher score.
fn ranks(users: &Matrix, items: &Matrix, songs: &Matrix) -> Vec<Vec<usize>> {
    /// Items whose scores are in memory at once.
    const ITEMS: usize = 4096;
    /// Users per task of a thread.
    const USERS: usize = 16;
    let width = users.columns();
    let block = |users: &[f32]| -> Vec<Vec<usize>> {
        let count = users.len() / width;
        let mut own = vec![0.0; count * songs.rows()];
        products(users, songs.data(), width, &mut own);
        let mut ranks = vec![vec![1; songs.rows()]; count];
        let mut scores = Vec::new();
        for items in items.data().chunks(ITEMS * width) {
            let n = items.len() / width;
            scores.resize(count * n, 0.0);
            products(users, items, width, &mut scores);
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
        for Recommended { title, score, tags, .. } in recommended {
            let line = format!("  {score:>7.3}  {title}  {}", tags.join(", "));
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
    fn ranks_equal_those_of_a_full_sort() {
        let (users, items, songs) = (noise(1, 37, 6), noise(2, 5_000, 6), noise(3, 3, 6));
        let score = |user: usize, row: &[f32]| -> f32 {
            let mut out = [0.0];
            products(users.row(user), row, 6, &mut out);
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
