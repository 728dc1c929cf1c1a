//! The numbers of a report: groups of runs, their spread over seeds, and their differences.

use std::collections::BTreeMap;

use serde::Serialize;

use super::data::{ReportError, RunSummary, Task};
use crate::evaluation::bootstrap::{Bootstrap, Comparison};
use crate::evaluation::metrics::recommendation::RecommendationScores;
use crate::evaluation::metrics::{Scores, score, score_genres};
use crate::evaluation::recommendation::Recommendation;
use crate::evaluation::spread::Spread;
use crate::experiment::PaperFigure;

/// Up to this many groups each is compared with each; beyond, each with the best.
const ALL_PAIRS_UP_TO: usize = 4;

/// A score of a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Metric {
    /// Macro ROC-AUC of tags.
    #[serde(rename = "roc_auc_macro")]
    RocAuc,
    /// Macro average precision of tags.
    #[serde(rename = "pr_auc_macro")]
    PrAuc,
    /// Share of tracks whose genre was found.
    #[serde(rename = "accuracy")]
    Accuracy,
    /// Macro F1 of genres.
    #[serde(rename = "f1_macro")]
    F1,
    /// Mean average precision of recommendations.
    #[serde(rename = "map")]
    Map,
    /// Mean AUC of recommendations.
    #[serde(rename = "auc")]
    Auc,
    /// Mean nDCG of recommendations.
    #[serde(rename = "ndcg")]
    Ndcg,
    /// Mean recall of recommendations.
    #[serde(rename = "recall")]
    Recall,
    /// Squared error of predicted factors over that of their mean: the only one of which less is better.
    #[serde(rename = "nmse")]
    Nmse,
}

impl Metric {
    /// Its name in `scores.json` and in experiment files.
    pub fn key(self) -> &'static str {
        match self {
            Self::RocAuc => "roc_auc_macro",
            Self::PrAuc => "pr_auc_macro",
            Self::Accuracy => "accuracy",
            Self::F1 => "f1_macro",
            Self::Map => "map",
            Self::Auc => "auc",
            Self::Ndcg => "ndcg",
            Self::Recall => "recall",
            Self::Nmse => "nmse",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::RocAuc => "ROC-AUC macro",
            Self::PrAuc => "PR-AUC macro",
            Self::Accuracy => "Accuracy",
            Self::F1 => "F1 macro",
            Self::Map => "mAP@500",
            Self::Auc => "AUC",
            Self::Ndcg => "nDCG@500",
            Self::Recall => "recall@500",
            Self::Nmse => "NMSE",
        }
    }

    fn of(self, scores: Option<&Scores>, run: &RunSummary) -> Option<f64> {
        if let Some(found) = &run.recommendation {
            return match self {
                Self::Nmse => found.nmse,
                _ => self.of_recommendation(&found.scores),
            };
        }
        let scores = scores?;
        match self {
            Self::RocAuc => scores.roc_auc_macro,
            Self::PrAuc => scores.pr_auc_macro,
            Self::Accuracy => scores.accuracy,
            Self::F1 => scores.f1_macro,
            Self::Map | Self::Auc | Self::Ndcg | Self::Recall | Self::Nmse => None,
        }
    }

    fn of_recommendation(self, scores: &RecommendationScores) -> Option<f64> {
        match self {
            Self::Map => scores.map,
            Self::Auc => scores.auc,
            Self::Ndcg => scores.ndcg,
            Self::Recall => scores.recall,
            Self::RocAuc | Self::PrAuc | Self::Accuracy | Self::F1 | Self::Nmse => None,
        }
    }
}

/// All that a report says in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Analysis {
    /// One a data set and split; runs of different sections are not compared.
    pub sections: Vec<Section>,
}

/// Scores that need no network: means over the runs.
#[derive(Clone, Debug, Serialize)]
pub struct Bound {
    /// Heading of its row.
    pub name: &'static str,
    /// Which factors these are, in a few words.
    pub about: &'static str,
    /// Only of metrics that every run has.
    pub scores: BTreeMap<Metric, f64>,
}

/// The best and the worst that there is.
fn bounds(found: &[&Recommendation], metrics: &[Metric]) -> Vec<Bound> {
    let mean = |of: &dyn Fn(&Recommendation) -> Option<RecommendationScores>| {
        let one = |metric: &Metric| -> Option<(Metric, f64)> {
            let values = found.iter().map(|found| metric.of_recommendation(&of(found)?));
            let values: Option<Vec<f64>> = values.collect();
            Some((*metric, Spread::of(&values?)?.mean))
        };
        metrics.iter().filter_map(one).collect::<BTreeMap<_, _>>()
    };
    let all = [
        Bound {
            name: "Upper bound",
            about: "the tracks' own factors, which who played them tells",
            scores: mean(&|found| Some(found.upper_bound)),
        },
        Bound {
            name: "Random factors",
            about: "factors that say nothing",
            scores: mean(&|found| found.random),
        },
    ];
    all.into_iter().filter(|bound| !bound.scores.is_empty()).collect()
}

/// Runs that were evaluated on the same tracks.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// Such as `magnatagatune/pons2017`.
    pub dataset: String,
    /// The split that was predicted.
    pub split: String,
    /// The same of all its runs.
    pub task: Task,
    /// Set where another section has the same data set and split, but other tracks, tags or truth.
    pub remark: Option<String>,
    /// Tracks that were predicted.
    pub n_tracks: usize,
    /// Tags of the vocabulary; 0 where runs recommend.
    pub n_tags: usize,
    /// Those with a positive and a negative track, which the macro averages are over.
    pub n_tags_scored: usize,
    /// The first orders the groups.
    pub metrics: Vec<Metric>,
    /// The best first; those that could not be scored last.
    pub groups: Vec<Group>,
    /// Of every two groups if they are few, else of each and the best; none where runs recommend.
    pub differences: Vec<Difference>,
    /// What other factors than the predicted ones reach, where runs recommend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<Bound>,
    /// Users that are scored, of how many, where runs recommend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<(usize, usize)>,
    /// In the order of the vocabulary.
    pub tags: Vec<TagRow>,
    /// Distinct files left out, by reason.
    pub quarantine: BTreeMap<String, usize>,
}

/// Runs of one experiment, which differ in the seed.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Of the experiment.
    pub name: String,
    /// The experiment in one sentence.
    pub about: String,
    /// The model in words.
    pub model: String,
    /// Rising, one a run.
    pub seeds: Vec<u64>,
    /// Positions in the list of runs that was handed in, in the order of the seeds.
    #[serde(skip)]
    pub members: Vec<usize>,
    /// Names of the run folders, in the order of the seeds.
    pub runs: Vec<String>,
    /// `None` where a metric is not defined.
    pub scores: BTreeMap<Metric, Option<Spread>>,
    /// The figure that the experiment is to reproduce, if it names one.
    pub paper: Option<PaperFigure>,
    /// Fewest and most parameters of a run.
    pub parameters: (usize, usize),
    /// Fewest and most steps of a run; equal unless training stopped early.
    pub steps: (u64, u64),
    /// Training time of a run.
    pub seconds: Option<Spread>,
}

/// Two groups on the same draws of tracks: the better one less the other.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Position in [`Section::groups`]; its scores are subtracted.
    pub other: usize,
    /// Position in [`Section::groups`].
    pub better: usize,
    /// Name of the group `other`.
    pub other_name: String,
    /// Name of the group `better`.
    pub better_name: String,
    /// First the other, second the better one.
    pub comparison: Comparison,
}

/// A tag's scores, a mean over seeds a group.
#[derive(Clone, Debug, Serialize)]
pub struct TagRow {
    /// Its name.
    pub tag: String,
    /// Tracks that have it.
    pub positives: usize,
    /// In the order of the groups; `None` where the tag has no positive or no negative.
    pub roc_auc: Vec<Option<Spread>>,
    /// Average precision; `None` where `roc_auc` is.
    pub pr_auc: Vec<Option<Spread>>,
}

impl Analysis {
    /// Scores and compares `runs`.
    ///
    /// # Errors
    /// If there is no run, one cannot be scored, or two are the same seed of one group.
    pub fn new(runs: &[RunSummary], bootstrap: &Bootstrap) -> Result<Self, ReportError> {
        if runs.is_empty() {
            return Err(ReportError::NoRuns);
        }
        let mut parts: Vec<Vec<usize>> = Vec::new();
        for (index, run) in runs.iter().enumerate() {
            match parts.iter_mut().find(|part| comparable(&runs[part[0]], run)) {
                Some(part) => part.push(index),
                None => parts.push(vec![index]),
            }
        }
        let mut sections = Vec::with_capacity(parts.len());
        for (position, part) in parts.iter().enumerate() {
            let mut section = Section::new(runs, part, bootstrap)?;
            let earlier = parts[..position]
                .iter()
                .map(|part| &runs[part[0]])
                .find(|run| run.dataset == section.dataset && run.split == section.split);
            section.remark = earlier.map(|earlier| remark(earlier, &runs[part[0]]));
            sections.push(section);
        }
        Ok(Self { sections })
    }
}

fn comparable(a: &RunSummary, b: &RunSummary) -> bool {
    let tracks = |run: &RunSummary| run.recommendation.as_ref().map(|found| found.n_tracks);
    a.dataset == b.dataset
        && a.split == b.split
        && a.task == b.task
        && a.targets == b.targets
        && tracks(a) == tracks(b)
}

fn remark(earlier: &RunSummary, run: &RunSummary) -> String {
    let (a, b) = (&earlier.targets, &run.targets);
    let what = if a.tags != b.tags {
        format!("other tags ({} against {})", b.tags.len(), a.tags.len())
    } else if a.ids != b.ids {
        format!("other tracks ({} against {})", b.ids.len(), a.ids.len())
    } else if a.values != b.values {
        "other truth for the same tracks".to_owned()
    } else {
        "another task".to_owned()
    };
    format!(
        "Evaluated on {what} than {} above, though the data set and split have the same names; \
         the two are therefore not compared.",
        earlier.name
    )
}

impl Section {
    fn new(
        runs: &[RunSummary],
        part: &[usize],
        bootstrap: &Bootstrap,
    ) -> Result<Self, ReportError> {
        let first = &runs[part[0]];
        let mut metrics = vec![Metric::RocAuc, Metric::PrAuc];
        match first.task {
            Task::Tags => {}
            Task::Genres => drop(metrics.splice(0..0, [Metric::Accuracy, Metric::F1])),
            Task::Recommendation => {
                metrics = vec![Metric::Map, Metric::Auc, Metric::Ndcg, Metric::Nmse]
            }
        }
        let mut scores: BTreeMap<usize, Scores> = BTreeMap::new();
        for &index in part {
            let run = &runs[index];
            let scored = match run.task {
                Task::Tags => score(&run.predictions, &run.targets, &run.dataset, &run.split),
                Task::Genres => {
                    score_genres(&run.predictions, &run.targets, &run.dataset, &run.split)
                }
                Task::Recommendation => continue,
            };
            let scored = scored.map_err(|source| ReportError::Score {
                run: run.name.clone(),
                source: Box::new(source),
            })?;
            scores.insert(index, scored);
        }
        let mut groups = groups(runs, part, &scores, &metrics)?;
        let main = |group: &Group| group.scores.get(&metrics[0]).copied().flatten();
        groups.sort_by(|a, b| {
            let value = |group| main(group).map_or(f64::NEG_INFINITY, |spread| spread.mean);
            value(b).total_cmp(&value(a)).then_with(|| a.name.cmp(&b.name))
        });
        let tags = tag_rows(&groups, &scores, part[0]);
        // Tracks are drawn anew for differences, and here scores are means over users.
        let differences = match first.task {
            Task::Recommendation => Vec::new(),
            _ => differences(runs, &groups, bootstrap)?,
        };
        let found: Vec<_> =
            part.iter().filter_map(|&run| runs[run].recommendation.as_ref()).collect();
        let bounds = bounds(&found, &metrics);
        let users = found.first().map(|f| (f.scores.n_users_scored, f.scores.n_users));
        let mut left_out: Vec<_> = part.iter().flat_map(|&run| &runs[run].quarantine).collect();
        left_out.sort();
        left_out.dedup();
        let mut quarantine = BTreeMap::new();
        for file in left_out {
            *quarantine.entry(file.reason.clone()).or_insert(0) += 1;
        }
        Ok(Self {
            dataset: first.dataset.clone(),
            split: first.split.clone(),
            task: first.task,
            remark: None,
            n_tracks: found.first().map_or(first.targets.ids.len(), |found| found.n_tracks),
            n_tags: first.targets.tags.len(),
            n_tags_scored: scores.get(&part[0]).map_or(0, |scores| scores.n_tags_scored),
            metrics,
            groups,
            differences,
            bounds,
            users,
            tags,
            quarantine,
        })
    }

    /// The metric that orders the groups.
    pub fn main_metric(&self) -> Metric {
        self.metrics[0]
    }

    /// The difference between the two best groups.
    pub fn lead(&self) -> Option<&Difference> {
        self.differences.iter().find(|d| d.better == 0 && d.other == 1)
    }
}

fn groups(
    runs: &[RunSummary],
    part: &[usize],
    scores: &BTreeMap<usize, Scores>,
    metrics: &[Metric],
) -> Result<Vec<Group>, ReportError> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &index in part {
        by_name.entry(&runs[index].group).or_default().push(index);
    }
    let mut groups = Vec::with_capacity(by_name.len());
    for (name, mut members) in by_name {
        members.sort_by_key(|&index| runs[index].seed);
        for pair in members.windows(2) {
            let (a, b) = (&runs[pair[0]], &runs[pair[1]]);
            if a.seed == b.seed {
                return Err(ReportError::SameSeed {
                    first: a.name.clone(),
                    second: b.name.clone(),
                    seed: a.seed,
                    group: name.to_owned(),
                });
            }
        }
        let first = &runs[members[0]];
        let spread = |metric: Metric| {
            let values: Option<Vec<f64>> =
                members.iter().map(|index| metric.of(scores.get(index), &runs[*index])).collect();
            Spread::of(&values?)
        };
        let parameters = members.iter().map(|&index| runs[index].parameters);
        let steps = members.iter().map(|&index| runs[index].steps);
        let seconds: Vec<f64> = members.iter().map(|&index| runs[index].seconds).collect();
        groups.push(Group {
            name: name.to_owned(),
            about: first.about.clone(),
            model: first.model.clone(),
            seeds: members.iter().map(|&index| runs[index].seed).collect(),
            runs: members.iter().map(|&index| runs[index].name.clone()).collect(),
            scores: metrics.iter().map(|&metric| (metric, spread(metric))).collect(),
            paper: members.iter().find_map(|&index| runs[index].paper.clone()),
            parameters: (parameters.clone().min().unwrap_or(0), parameters.max().unwrap_or(0)),
            steps: (steps.clone().min().unwrap_or(0), steps.max().unwrap_or(0)),
            seconds: Spread::of(&seconds),
            members,
        });
    }
    Ok(groups)
}

fn tag_rows(groups: &[Group], scores: &BTreeMap<usize, Scores>, first: usize) -> Vec<TagRow> {
    let spread = |group: &Group, value: &dyn Fn(&Scores) -> Option<f64>| {
        let values: Option<Vec<f64>> =
            group.members.iter().map(|index| value(&scores[index])).collect();
        Spread::of(&values?)
    };
    let of_first = scores.get(&first).map_or(&[][..], |scores| &scores.per_tag[..]);
    of_first
        .iter()
        .enumerate()
        .map(|(position, (tag, of_first))| TagRow {
            tag: tag.clone(),
            positives: of_first.positives,
            roc_auc: groups.iter().map(|g| spread(g, &|s| s.per_tag[position].1.roc_auc)).collect(),
            pr_auc: groups.iter().map(|g| spread(g, &|s| s.per_tag[position].1.pr_auc)).collect(),
        })
        .collect()
}

fn differences(
    runs: &[RunSummary],
    groups: &[Group],
    bootstrap: &Bootstrap,
) -> Result<Vec<Difference>, ReportError> {
    let mut found = Vec::new();
    for other in 1..groups.len() {
        let betters = if groups.len() <= ALL_PAIRS_UP_TO { 0..other } else { 0..1 };
        for better in betters {
            let predictions = |group: usize| -> Vec<_> {
                groups[group].members.iter().map(|&index| &runs[index].predictions).collect()
            };
            let (a, b) = (&groups[other], &groups[better]);
            let targets = &runs[a.members[0]].targets;
            let comparison = bootstrap
                .compare_runs(&predictions(other), &predictions(better), targets)
                .map_err(|source| ReportError::Compare {
                    first: a.name.clone(),
                    second: b.name.clone(),
                    source: Box::new(source),
                })?;
            found.push(Difference {
                other,
                better,
                other_name: a.name.clone(),
                better_name: b.name.clone(),
                comparison,
            });
        }
    }
    found.sort_by_key(|d| (d.better, d.other));
    Ok(found)
}
