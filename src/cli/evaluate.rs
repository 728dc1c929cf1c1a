//! `evaluate`: predict a split of a trained run and compute its scores.

use std::path::PathBuf;

use datasets::Split;

use super::{Context, number, print, print_json};
use crate::error::Result;
use crate::evaluation::metrics::Scores;
use crate::evaluation::metrics::retrieval::{CUTOFF, RecommendationScores};
use crate::evaluation::recommendation::Recommendation;
use crate::runs::checkpoint::Which;
use crate::runs::evaluate::{Evaluated, evaluate};
use crate::runs::folder::RunFolder;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Directory of a trained run.
    run: PathBuf,
    /// Split to predict: train, valid or test.
    #[arg(long, default_value = "test")]
    split: Split,
    /// Checkpoint to use: best or last.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    /// Print scores.json.
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    let folder = RunFolder::open(&arguments.run)?;
    let device = context.open_device()?;
    let session = context.session(&device);
    let evaluation = evaluate(&session, &folder, arguments.split, arguments.checkpoint)?;
    if arguments.json {
        return print_json(&evaluation);
    }
    let text = match &evaluation.scores {
        Evaluated::Tags(scores) => table(scores),
        Evaluated::Recommendation(scores) => recommendation(scores),
    };
    let path = folder.scores(arguments.split);
    print(&format!("{text}\nscores: {} (predictions are in the same directory)\n", path.display()))
}

/// A table of recommendation scores, with those of a perfect and of a random model.
fn recommendation(found: &Recommendation) -> String {
    let mut text = format!(
        "{} {}: {} tracks, {} of {} users scored\n\n{:12}  {:>8}  {:>8}  {:>8}  {:>8}\n",
        found.dataset,
        found.split,
        found.n_tracks,
        found.scores.n_users_scored,
        found.scores.n_users,
        "",
        format!("mAP@{CUTOFF}"),
        "AUC",
        format!("nDCG@{CUTOFF}"),
        format!("recall@{CUTOFF}"),
    );
    let mut add = |name: &str, scores: &RecommendationScores| {
        text += &format!("{name:12}");
        for value in [scores.map, scores.auc, scores.ndcg, scores.recall] {
            text += &format!("  {:>8}", number(value));
        }
        text.push('\n');
    };
    add("predicted", &found.scores);
    add("upper bound", &found.upper_bound);
    found.random.iter().for_each(|random| add("random", random));
    text
}

/// A table of tag scores, one line per tag.
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
    let mut add = |name: &str, positives: &str, roc_auc, pr_auc| {
        let (roc_auc, pr_auc) = (number(roc_auc), number(pr_auc));
        text += &format!("{name:width$}  {positives:>9}  {roc_auc:>7}  {pr_auc:>6}\n");
    };
    for (tag, score) in &scores.per_tag {
        add(tag, &score.positives.to_string(), score.roc_auc, score.pr_auc);
    }
    add("macro", "", scores.roc_auc_macro, scores.pr_auc_macro);
    if let (Some(accuracy), Some(f1)) = (scores.accuracy, scores.f1_macro) {
        text += &format!("accuracy {accuracy:.4}, macro F1 {f1:.4}\n");
    }
    text
}
