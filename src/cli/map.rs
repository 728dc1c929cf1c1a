//! `map`: the tracks of a run on a plane, what sounds alike together.

use std::path::PathBuf;

use datasets::{Audio, Split};

use super::{Context, print, print_json};
use crate::error::{Error, Result};
use crate::inference::items;
use crate::io::files::check_place;
use crate::listening::catalogue::{By, Catalogue, Item, titled};
use crate::map::{self, MapError, Page, TsneConfig};
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder of a trained run.
    run: PathBuf,
    /// Only the tracks of this split: train, valid or test [default: all].
    #[arg(long)]
    split: Option<Split>,
    /// What is laid out: predicted factors, or the last hidden layer [default: factors if the run
    /// predicts any].
    #[arg(long)]
    by: Option<By>,
    /// Which checkpoint to use.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// The page [default: map.html in the run's folder].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// About how many neighbours a track is to keep beside it.
    #[arg(long, default_value_t = 30.0)]
    perplexity: f32,
    /// Seed of the layout; another one lays the same tracks out otherwise.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print where the page is and how well the map fits as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Summary {
    page: PathBuf,
    tracks: usize,
    perplexity: f32,
    kl_divergence: f64,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    if !(arguments.perplexity >= 1.0 && arguments.perplexity.is_finite()) {
        return Err(Error::Config(format!(
            "--perplexity is {}: give a number of at least 1; 5 to 50 is usual",
            arguments.perplexity
        )));
    }
    let folder = RunFolder::open(&arguments.run)?;
    let out = arguments.out.clone().unwrap_or_else(|| folder.file("map.html"));
    check_place(&out)?;
    let device = context.open_device()?;
    let session = context.session(&device);
    let latent = folder.experiment()?.predicts_factors();
    let by = arguments.by.unwrap_or(if latent { By::Factors } else { By::Embedding });
    let Catalogue { items, vectors } =
        items::catalogue(&session, &folder, by, arguments.checkpoint)?;
    let of_split = |item: &Item| {
        let split = item.track.as_ref().and_then(|track| track.split);
        arguments.split.is_none() || arguments.split == split
    };
    let rows: Vec<u32> =
        (0..).zip(&items).filter(|(_, item)| of_split(item)).map(|(row, _)| row).collect();
    let vectors = vectors.gather(&rows);
    let config = TsneConfig {
        perplexity: arguments.perplexity,
        seed: arguments.seed,
        ..TsneConfig::default()
    };
    let steps = config.exaggerated_steps + config.steps;
    let bar = context.progress.map();
    let fitted = map::tsne(&vectors, &config, |step| bar.predict(step, steps));
    bar.finish();
    let fitted = fitted.map_err(from_map)?;
    if fitted.perplexity < arguments.perplexity {
        tracing::warn!(
            "--perplexity is {}: {} tracks have neighbours for {:.1}, which was taken",
            arguments.perplexity,
            rows.len(),
            fitted.perplexity
        );
    }

    let (mut titles, mut tags, mut audio) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let item = &items[row as usize];
        let track = item.track.as_ref();
        let title = titled(&item.id, item.file_name().as_deref());
        titles.push(match track.and_then(|track| track.artist.as_ref()) {
            Some(artist) => format!("{title} ({artist})"),
            None => title,
        });
        tags.push(item.tags.clone());
        // A file that is named relative to here would be sought beside the page.
        audio.push(match track.map(|track| &track.audio) {
            Some(Audio::File { path, .. }) => std::path::absolute(path).ok(),
            Some(Audio::Synthetic(_) | Audio::Frames(_)) | None => None,
        });
    }
    let name = folder.path().display().to_string();
    let title = format!("Map of {}", context.directories.load(&folder.experiment()?.dataset)?.name);
    let what = match by {
        By::Factors => "The latent factors predicted by the network of",
        By::Embedding => "The last hidden layer of the network of",
    };
    let note = format!(
        "{what} {name}, as a mean over each track. t-SNE with perplexity {:.1}, Kullback-Leibler \
         divergence {:.3}.",
        fitted.perplexity, fitted.kl_divergence
    );
    let about = Page { title: &title, note: &note };
    map::page(&fitted.points, &titles, &tags, &audio, &about, &out).map_err(from_map)?;
    if arguments.json {
        return print_json(&Summary {
            page: out,
            tracks: titles.len(),
            perplexity: fitted.perplexity,
            kl_divergence: fitted.kl_divergence,
        });
    }
    print(&format!("map of {} tracks: {}\n", titles.len(), out.display()))
}

fn from_map(error: MapError) -> Error {
    match error {
        MapError::File(error) => error,
        error => Error::Data(format!("no map can be made: {error}")),
    }
}
