//! `map`: write an interactive t-SNE map of the tracks of a run.

use std::path::PathBuf;

use datasets::{Audio, Split};

use super::{Context, print, print_json};
use crate::error::{Error, Result};
use crate::inference::items;
use crate::io::files::check_writable;
use crate::listening::catalogue::{Catalogue, VectorKind};
use crate::map::{self, MapError, Page, TsneConfig};
use crate::runs::checkpoint::Which;
use crate::runs::folder::RunFolder;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Directory of a trained run.
    run: PathBuf,
    /// Show only the tracks of this split: train, valid or test [default: all].
    #[arg(long)]
    split: Option<Split>,
    /// Arrange tracks by predicted factors or by the last hidden layer [default: factors if the run predicts them].
    #[arg(long)]
    by: Option<VectorKind>,
    /// Checkpoint to use: best or last.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// Write the page to this file [default: map.html in the run's directory].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Effective number of neighbours per track, typically 5 to 50.
    #[arg(long, default_value_t = 30.0)]
    perplexity: f32,
    /// Random seed of the layout.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the path of the page and the quality of the map as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct MapSummary {
    page: PathBuf,
    tracks: usize,
    perplexity: f32,
    kl_divergence: f64,
    /// Whether all tracks have the same vector, so that positions mean nothing.
    equal_points: bool,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    if !(arguments.perplexity >= 1.0 && arguments.perplexity.is_finite()) {
        return Err(Error::Config(format!(
            "--perplexity is {}, but must be at least 1; 5 to 50 is usual",
            arguments.perplexity
        )));
    }
    let folder = RunFolder::open(&arguments.run)?;
    let out = arguments.out.clone().unwrap_or_else(|| folder.file("map.html"));
    check_writable(&out)?;
    let device = context.open_device()?;
    let session = context.session(&device);
    let predicts_factors = folder.experiment()?.predicts_factors();
    let by = arguments.by.unwrap_or(VectorKind::preferred(predicts_factors));
    let catalogue = items::catalogue(&session, &folder, by, arguments.checkpoint)?;
    let Catalogue { items, vectors } = catalogue.in_split(arguments.split);
    let equal_points = map::are_equal(&vectors);
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
            "--perplexity {} is too large for {} tracks; using {:.1}",
            arguments.perplexity,
            items.len(),
            fitted.perplexity
        );
    }
    if equal_points {
        tracing::warn!(
            "the network computes the same {} for all {} tracks, so that their positions on the map mean nothing; train \
             longer or with another learning rate, and look whether the loss decreases",
            match by {
                VectorKind::Factors => "factors",
                VectorKind::Embedding => "last hidden layer",
            },
            items.len()
        );
    }

    let (mut titles, mut tags, mut audio) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        let (title, track) = (item.title(), item.track);
        titles.push(match track.as_ref().and_then(|track| track.artist.as_ref()) {
            Some(artist) => format!("{title} ({artist})"),
            None => title,
        });
        tags.push(item.tags);
        // Relative paths would refer to the directory of the page.
        audio.push(match track.map(|track| track.audio) {
            Some(Audio::File { path, .. }) => std::path::absolute(path).ok(),
            Some(Audio::Synthetic(_) | Audio::Frames(_)) | None => None,
        });
    }
    let name = folder.path().display().to_string();
    let title = format!("Map of {}", context.directories.load(&folder.experiment()?.dataset)?.name);
    let what = match by {
        VectorKind::Factors => "Latent factors predicted by the network of",
        VectorKind::Embedding => "Last hidden layer of the network of",
    };
    let equal = match equal_points {
        true => " It is the same for all tracks: their positions mean nothing.",
        false => "",
    };
    let note = format!(
        "{what} {name}, averaged over each track. t-SNE with perplexity {:.1}, Kullback-Leibler \
         divergence {:.3}.{equal}",
        fitted.perplexity, fitted.kl_divergence
    );
    let about = Page { title: &title, note: &note };
    map::page(&fitted.points, &titles, &tags, &audio, &about, &out).map_err(from_map)?;
    if arguments.json {
        return print_json(&MapSummary {
            page: out,
            tracks: titles.len(),
            perplexity: fitted.perplexity,
            kl_divergence: fitted.kl_divergence,
            equal_points,
        });
    }
    print(&format!("map of {} tracks: {}\n", titles.len(), out.display()))
}

fn from_map(error: MapError) -> Error {
    match error {
        MapError::File(error) => error,
        error => Error::Data(format!("the map cannot be computed: {error}")),
    }
}
