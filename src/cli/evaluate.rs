//! `evaluate`: predictions and scores of a trained run.

use std::path::PathBuf;

use datasets::Split;

use super::{Context, number, print, print_json};
use crate::error::Result;
use crate::evaluation::metrics::Scores;
use crate::evaluation::metrics::retrieval::RecommendationScores;
use crate::evaluation::recommendation::Recommendation;
use crate::runs::checkpoint::Which;
use crate::runs::evaluate::{Evaluated, evaluate};
use crate::runs::folder::RunFolder;

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
    print(&format!("{text}\nscores, and predictions beside them: {}\n", path.display()))
}

/// Scores of recommendations as text, beside the best there could be.
fn recommendation(found: &Recommendation) -> String {
    let row = |name: &str, scores: &RecommendationScores| {
        let values = [scores.map, scores.auc, scores.ndcg, scores.recall].map(number);
        format!(
            "{name:12}  {:>8}  {:>8}  {:>8}  {:>8}\n",
            values[0], values[1], values[2], values[3]
        )
    };
    let k = found.scores.k;
    let head = [format!("mAP@{k}"), "AUC".into(), format!("nDCG@{k}"), format!("recall@{k}")];
    format!(
        "{} {}: {} tracks, {} of {} users scored\n\n{:12}  {:>8}  {:>8}  {:>8}  {:>8}\n{}{}{}",
        found.dataset,
        found.split,
        found.n_tracks,
        found.scores.n_users_scored,
        found.scores.n_users,
        "",
        head[0],
        head[1],
        head[2],
        head[3],
        row("predicted", &found.scores),
        row("upper bound", &found.upper_bound),
        found.random.as_ref().map_or(String::new(), |random| row("random", random)),
    )
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
