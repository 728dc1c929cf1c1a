//! `evaluate`: predictions and scores of a trained run.

use std::path::PathBuf;

use datasets::Split;

use super::{Context, number, print, print_json};
use crate::checkpoint::Which;
use crate::error::Result;
use crate::metrics::Scores;
use crate::run_folder::RunFolder;
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The run's folder.
    run: PathBuf,
    /// The split to predict: train, valid or test.
    #[arg(long, default_value = "test")]
    split: Split,
    /// Which checkpoint to use.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// Print scores.json.
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    let folder = RunFolder::open(&arguments.run)?;
    let device = context.open_device()?;
    let session = Session {
        device: &device,
        places: &context.places,
        stop: &context.stop,
        progress: &context.progress,
    };
    let scores = session.evaluate(&folder, arguments.split, arguments.checkpoint)?;
    if arguments.json { print_json(&scores) } else { print(&table(&scores)) }
}

/// Scores as text, a tag a line.
fn table(scores: &Scores) -> String {
    let width = scores.per_tag.iter().map(|(tag, _)| tag.chars().count()).max().unwrap_or(3);
    let mut text = format!(
        "{} {}: {} tracks, {} of {} tags scored\n\n{:width$}  positives  ROC-AUC  PR-AUC\n",
        scores.dataset,
        scores.split,
        scores.n_tracks,
        scores.n_tags_scored,
        scores.per_tag.len(),
        "tag",
    );
    for (tag, score) in &scores.per_tag {
        text += &format!(
            "{tag:width$}  {:>9}  {:>7}  {:>6}\n",
            score.positives,
            number(score.roc_auc),
            number(score.pr_auc)
        );
    }
    text += &format!(
        "{:width$}  {:>9}  {:>7}  {:>6}\n",
        "macro",
        "",
        number(scores.roc_auc_macro),
        number(scores.pr_auc_macro)
    );
    if let (Some(accuracy), Some(f1)) = (scores.accuracy, scores.f1_macro) {
        text += &format!("accuracy {accuracy:.4}, macro F1 {f1:.4}\n");
    }
    text
}
