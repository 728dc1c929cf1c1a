//! `recommend`: recommend items to users, or new songs to their listeners.

use std::collections::HashMap;
use std::path::PathBuf;

use datasets::{Interactions, Split};
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
use crate::report::format::count;
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --user, lists the items with the highest scores, per user. With --audio, ranks a new song among the \
                        items for all users or for those of --user, and lists the users who would like it best. Users without \
                        factors (all are 0, since none of their plays was used) are left out and counted. Among items \
                        with the same score, the rank is the mean over all their orders.\n\n\
                        JSON: {\"users\": [{\"user\", \"recommended\": [{\"id\", \"file\", \"score\", \"tags\"}]}], \
                        \"songs\": [{\"file\", \"items\", \"users\", \"users_without_factors\", \"median_rank\", \
                        \"share_in_top\", \"top\", \"listeners\": [{\"user\", \"score\", \"rank\"}]}]}"
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
    /// Number of users who are left out because all their factors are 0.
    users_without_factors: usize,
    /// From 1.
    median_rank: f64,
    /// Share of these users for whom the song is among the `top` best. A song that ties with others around this rank
    /// counts with the share of their orders in which it is.
    share_in_top: f64,
    top: usize,
    /// The users who would like the song best, or those of `--user`.
    listeners: Vec<Listener>,
}

#[derive(Serialize)]
struct Listener {
    user: String,
    score: f32,
    #[serde(serialize_with = "whole_if_possible")]
    rank: f64,
}

/// Writes a rank without decimals unless it is between two.
fn whole_if_possible<S: serde::Serializer>(
    rank: &f64,
    out: S,
) -> std::result::Result<S::Ok, S::Error> {
    match rank.fract() == 0.0 {
        true => out.serialize_u64(*rank as u64),
        false => out.serialize_f64(*rank),
    }
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
        arguments.user.iter().map(|id| users.position_with_factors(id)).collect::<Result<_>>()?;
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
    if let Some(plays) = plays.as_ref().filter(|_| !arguments.include_heard) {
        check_plays(arguments, plays, &users, &catalogue)?;
    }
    let (catalogue, others) = catalogue.with_vectors();
    if let Some(first) = others.first() {
        tracing::warn!(
            "{} of the {} items have no factors (all are 0) and are not recommended, such as {:?}",
            others.len(),
            others.len() + catalogue.items.len(),
            first.id
        );
    }
    Ok((catalogue, users, Matrix::new(0, width, Vec::new())?))
}

/// Checks that the plays can be of the users and items with factors: with other ids, no item would be left out.
fn check_plays(
    arguments: &Arguments,
    plays: &Interactions,
    users: &Users,
    catalogue: &Catalogue,
) -> Result<()> {
    let known: HashMap<&str, usize> =
        plays.users().iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
    if !users.ids.iter().any(|id| known.contains_key(id.as_str())) {
        let example = |ids: &[String]| ids.first().cloned().unwrap_or_default();
        return Err(Error::Data(format!(
            "--interactions: none of its {} users is a user of {}: its ids look like {:?}, those of the factors like \
             {:?}; both must use the same ids",
            plays.users().len(),
            arguments.from.display(),
            example(plays.users()),
            example(&users.ids),
        )));
    }
    // An id that does not exist is reported later.
    for id in arguments.user.iter().filter(|id| users.ids.contains(id)) {
        let Some(&row) = known.get(id.as_str()) else {
            let other = plays.users().iter().find(|other| plain(other) == plain(id));
            if let Some(other) = other {
                return Err(Error::Data(format!(
                    "--interactions has no plays of user {id:?}, but of {other:?}; write the id in the same way in both"
                )));
            }
            tracing::warn!(
                "--interactions has no plays of user {id:?}: items that this user has played are recommended too"
            );
            continue;
        };
        let (items, _) = plays.of_user(row);
        let id_of = |item: &u32| plays.items()[*item as usize].as_str();
        if let Some(first) = items.first()
            && items.iter().all(|item| catalogue.position(id_of(item)).is_none())
        {
            tracing::warn!(
                "--interactions: none of the {} items that user {id:?} has played has factors, such as {:?}; if they have \
                 other ids there, use the same in both",
                items.len(),
                id_of(first)
            );
        }
    }
    Ok(())
}

/// An id without blanks, case and the decimals that a number gets in some tables.
fn plain(id: &str) -> String {
    let id = id.trim();
    let whole = id.strip_suffix(".0").filter(|whole| whole.bytes().all(|c| c.is_ascii_digit()));
    whole.unwrap_or(id).to_lowercase()
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
        [] => all.with_factors(),
        rows => rows.iter().map(|&user| user as u32).collect(),
    };
    if users.is_empty() {
        return Err(Error::Data(format!(
            "all factors of all {} users are 0: no play was used to compute them, so that no song can be ranked",
            all.ids.len()
        )));
    }
    if let Some(song) = (0..songs.rows()).find(|&song| songs.is_zero(song)) {
        return Err(Error::Data(format!(
            "the network predicts no factors for {} (all are 0): every user has the same score for it, so that it cannot \
             be ranked",
            arguments.audio[song].display()
        )));
    }
    let without_factors = if rows.is_empty() { all.ids.len() - users.len() } else { 0 };
    let factors = all.factors.gather(&users);
    let places = places(&factors, &catalogue.vectors, songs);
    let listed = arguments.top.max(rows.len());
    let best = top_k(songs, &factors, listed, Measure::InnerProduct, None)?;
    let songs = arguments.audio.iter().zip(best).enumerate().map(|(song, (file, best))| {
        let mut sorted: Vec<f64> = places.iter().map(|places| places[song].rank()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        let in_top: f64 = places.iter().map(|places| places[song].share_in(arguments.top)).sum();
        let listeners = best.iter().map(|hit| Listener {
            user: all.ids[users[hit.item as usize] as usize].clone(),
            score: hit.score,
            rank: places[hit.item as usize][song].rank(),
        });
        Song {
            file: file.display().to_string(),
            items: catalogue.items.len(),
            users: users.len(),
            users_without_factors: without_factors,
            median_rank: (low + high) / 2.0,
            share_in_top: in_top / users.len() as f64,
            top: arguments.top,
            listeners: listeners.collect(),
        }
    });
    Ok(songs.collect())
}

/// Where a song is among the items of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Place {
    /// Number of items with a higher score.
    better: usize,
    /// Number of items with the same score.
    equal: usize,
}

impl Place {
    /// The rank from 1, as the mean over all orders of the items with the same score.
    fn rank(self) -> f64 {
        1.0 + self.better as f64 + 0.5 * self.equal as f64
    }

    /// The share of these orders in which the song is among the `top` best.
    fn share_in(self, top: usize) -> f64 {
        (top.saturating_sub(self.better) as f64 / (self.equal + 1) as f64).min(1.0)
    }
}

/// The place of each song for each user, `[user][song]`.
fn places(users: &Matrix, items: &Matrix, songs: &Matrix) -> Vec<Vec<Place>> {
    /// Items whose scores are in memory at once.
    const ITEMS: usize = 4096;
    /// Users per task of a thread.
    const USERS: usize = 16;
    let width = users.columns();
    let block = |users: &[f32]| -> Vec<Vec<Place>> {
        let count = users.len() / width;
        let mut own = vec![0.0; count * songs.rows()];
        products(users, songs.data(), width, &mut own);
        let mut places = vec![vec![Place::default(); songs.rows()]; count];
        let mut scores = Vec::new();
        for items in items.data().chunks(ITEMS * width) {
            let n = items.len() / width;
            scores.resize(count * n, 0.0);
            products(users, items, width, &mut scores);
            for (user, scores) in scores.chunks_exact(n).enumerate() {
                for (song, place) in places[user].iter_mut().enumerate() {
                    let own = own[user * songs.rows() + song];
                    place.better += scores.iter().filter(|score| **score > own).count();
                    place.equal += scores.iter().filter(|score| **score == own).count();
                }
            }
        }
        places
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
        if song.users_without_factors > 0 {
            text += &format!(
                "  left out: {} without factors, since none of their plays was used to compute them\n",
                count(song.users_without_factors, "user")
            );
        }
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
        let places = places(&users, &items, &songs);
        assert_eq!(places.len(), 37);
        for (user, places) in places.iter().enumerate() {
            for (song, place) in places.iter().enumerate() {
                let mut all: Vec<f32> =
                    (0..5_000).map(|item| score(user, items.row(item))).collect();
                let own = score(user, songs.row(song));
                all.push(own);
                all.sort_unstable_by(|a, b| b.total_cmp(a));
                let rank = all.iter().position(|score| *score == own).unwrap() + 1;
                assert_eq!(place.rank(), rank as f64);
                assert_eq!(place.share_in(rank - 1), 0.0);
                assert_eq!(place.share_in(rank), 1.0);
            }
        }
    }

    /// The mean over all orders of the tied items.
    #[test]
    fn tied_items_share_their_ranks() {
        let matrix = |values: &[f32]| Matrix::new(values.len(), 1, values.to_vec()).unwrap();
        let places = places(&matrix(&[1.0]), &matrix(&[3.0, 2.0, 1.0, 2.0, 2.0]), &matrix(&[2.0]));
        // The song is second, third, fourth or fifth.
        assert_eq!(places, [[Place { better: 1, equal: 3 }]]);
        assert_eq!(places[0][0].rank(), 3.5);
        let shares = [1, 2, 3, 4, 5, 6].map(|top| places[0][0].share_in(top));
        assert_eq!(shares, [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]);
    }

    #[test]
    fn ids_that_differ_in_form_only_are_recognised() {
        for (a, b) in [("1", "1.0"), (" anna", "anna "), ("Anna", "anna"), ("1", "1")] {
            assert_eq!(plain(a), plain(b));
        }
        for (a, b) in [("1", "1.5"), ("1", "10"), ("v.0", "v")] {
            assert_ne!(plain(a), plain(b));
        }
    }
}
