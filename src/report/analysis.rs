//! The numbers of a report: groups of runs, means and standard deviations over seeds, and differences.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::evaluated_run::{EvaluatedRun, ReportError, Task};
use super::settings;
use crate::evaluation::bootstrap::{Bootstrap, Comparison};
use crate::evaluation::metrics::retrieval::RecommendationScores;
use crate::evaluation::metrics::{Scores, TagScores, score, score_genres};
use crate::evaluation::recommendation::Recommendation;
use crate::evaluation::spread::Spread;
use crate::experiment::PaperFigure;

/// Up to this many groups, every two are compared; with more groups, each is compared with the best.
const ALL_PAIRS_UP_TO: usize = 4;

/// A score of a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Macro average of the tags' ROC-AUC.
    RocAuc,
    /// Macro average of the tags' average precision.
    PrAuc,
    /// Share of tracks whose genre is predicted correctly.
    Accuracy,
    /// Macro average of the genres' F1.
    F1,
    /// Mean average precision of recommendations.
    Map,
    /// Mean AUC of recommendations.
    Auc,
    /// Mean nDCG of recommendations.
    Ndcg,
    /// Squared error of predicted factors relative to their mean; lower is better.
    Nmse,
}

impl Metric {
    /// The name in `scores.json` and in experiment files.
    pub fn key(self) -> &'static str {
        self.names().0
    }

    /// The name in tables and charts.
    pub fn title(self) -> &'static str {
        self.names().1
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::RocAuc => ("roc_auc_macro", "ROC-AUC macro"),
            Self::PrAuc => ("pr_auc_macro", "PR-AUC macro"),
            Self::Accuracy => ("accuracy", "Accuracy"),
            Self::F1 => ("f1_macro", "F1 macro"),
            Self::Map => ("map", "mAP@500"),
            Self::Auc => ("auc", "AUC"),
            Self::Ndcg => ("ndcg", "nDCG@500"),
            Self::Nmse => ("nmse", "NMSE"),
        }
    }

    fn of_tags(self, scores: &Scores) -> Option<f64> {
        match self {
            Self::RocAuc => scores.roc_auc_macro,
            Self::PrAuc => scores.pr_auc_macro,
            Self::Accuracy => scores.accuracy,
            Self::F1 => scores.f1_macro,
            Self::Map | Self::Auc | Self::Ndcg | Self::Nmse => None,
        }
    }

    fn of_ranks(self, scores: &RecommendationScores) -> Option<f64> {
        match self {
            Self::Map => scores.map,
            Self::Auc => scores.auc,
            Self::Ndcg => scores.ndcg,
            Self::RocAuc | Self::PrAuc | Self::Accuracy | Self::F1 | Self::Nmse => None,
        }
    }
}

impl Serialize for Metric {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.key())
    }
}

/// The numbers of a report.
#[derive(Clone, Debug, Serialize)]
pub struct Analysis {
    /// One section per dataset and split; runs of different sections are not compared.
    pub sections: Vec<Section>,
}

/// Runs that were evaluated on the same tracks, tags and targets.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// Name of the dataset, such as `magnatagatune/pons2017`.
    pub dataset: String,
    /// Split that was predicted.
    pub split: String,
    /// What is scored, the same for all runs.
    pub task: Task,
    /// Why another section of the same dataset and split is separate.
    pub remark: Option<String>,
    /// Number of predicted tracks.
    pub n_tracks: usize,
    /// Size of the vocabulary; 0 where runs recommend.
    pub n_tags: usize,
    /// Tags with at least one positive and one negative track: those of the macro averages.
    pub n_tags_scored: usize,
    /// Metrics of the task; groups are ordered by the first.
    pub metrics: Vec<Metric>,
    /// Groups from best to worst, then those that cannot be scored.
    pub groups: Vec<Group>,
    /// Keys of the settings whose values differ between groups.
    pub varied: Vec<String>,
    /// Of every two groups, or of each group and the best; empty where runs recommend.
    pub differences: Vec<Difference>,
    /// Scores of other factors than the predicted ones, where runs recommend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<Bound>,
    /// Number of scored users and of all users, where runs recommend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<(usize, usize)>,
    /// Scores per tag, in the order of the vocabulary.
    pub tags: Vec<ScoredTag>,
    /// Number of distinct files left out, by reason.
    pub quarantine: BTreeMap<String, usize>,
}

/// Runs of one experiment, which differ in the seed.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Name of the experiment.
    pub name: String,
    /// The experiment in one sentence.
    pub about: String,
    /// The model in words.
    pub model: String,
    /// Seeds in ascending order.
    pub seeds: Vec<u64>,
    /// Positions in the list of all runs, in the order of the seeds.
    #[serde(skip)]
    pub members: Vec<usize>,
    /// Names of the run directories, in the order of the seeds.
    pub runs: Vec<String>,
    /// Settings that differ between the groups of the section.
    pub settings: BTreeMap<String, String>,
    /// Scores over seeds; `None` where a metric is not defined.
    pub scores: BTreeMap<Metric, Option<Spread>>,
    /// Published figure that the experiment reproduces.
    pub paper: Option<PaperFigure>,
    /// Fewest and most parameters of a run.
    pub parameters: (usize, usize),
    /// Fewest and most steps of a run; they differ if training stopped early.
    pub steps: (u64, u64),
    /// Training time of a run in seconds.
    pub seconds: Option<Spread>,
}

/// Difference between two groups on the same resamples: the better one minus the other.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Position in [`Section::groups`] of the group that is subtracted.
    pub other: usize,
    /// Position in [`Section::groups`] of the better group.
    pub better: usize,
    /// Name of the group `other`.
    pub other_name: String,
    /// Name of the group `better`.
    pub better_name: String,
    /// Its first model is `other`, its second `better`.
    pub comparison: Comparison,
}

/// Scores that need no network, as means over runs.
#[derive(Clone, Debug, Serialize)]
pub struct Bound {
    /// Heading of the table row.
    pub name: &'static str,
    /// Which factors these are.
    pub about: &'static str,
    /// Metrics that every run has.
    pub scores: BTreeMap<Metric, f64>,
}

/// Scores of one tag per group, over seeds.
#[derive(Clone, Debug, Serialize)]
pub struct ScoredTag {
    /// Name of the tag.
    pub tag: String,
    /// Number of tracks with the tag.
    pub positives: usize,
    /// ROC-AUC per group; `None` without a positive or without a negative track.
    pub roc_auc: Vec<Option<Spread>>,
    /// Average precision per group; `None` where `roc_auc` is.
    pub pr_auc: Vec<Option<Spread>>,
}

impl Analysis {
    /// Scores and compares `runs`.
    ///
    /// # Errors
    /// If `runs` is empty, a run cannot be scored, or two runs are the same seed of one group.
    pub fn new(runs: &[EvaluatedRun], bootstrap: &Bootstrap) -> Result<Self, ReportError> {
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

fn comparable(a: &EvaluatedRun, b: &EvaluatedRun) -> bool {
    let tracks = |run: &EvaluatedRun| run.recommendation.as_ref().map(|found| found.n_tracks);
    (&a.dataset, &a.split, a.task) == (&b.dataset, &b.split, b.task)
        && a.targets == b.targets
        && tracks(a) == tracks(b)
}

fn remark(earlier: &EvaluatedRun, run: &EvaluatedRun) -> String {
    let (a, b) = (&earlier.targets, &run.targets);
    let what = if a.tags != b.tags {
        format!("a different vocabulary ({} tags instead of {})", b.tags.len(), a.tags.len())
    } else if a.ids != b.ids {
        format!("different tracks ({} instead of {})", b.ids.len(), a.ids.len())
    } else if a.values != b.values {
        "different tags of the same tracks".to_owned()
    } else {
        "a different task".to_owned()
    };
    format!(
        "Evaluated on {what} than {} above, although the dataset and split have the same names. \
         The two sections are therefore not compared.",
        earlier.name
    )
}

impl Section {
    fn new(
        runs: &[EvaluatedRun],
        part: &[usize],
        bootstrap: &Bootstrap,
    ) -> Result<Self, ReportError> {
        use Metric::{Accuracy, Auc, F1, Map, Ndcg, Nmse, PrAuc, RocAuc};
        let first = &runs[part[0]];
        let metrics = match first.task {
            Task::Tags => vec![RocAuc, PrAuc],
            Task::Genres => vec![Accuracy, F1, RocAuc, PrAuc],
            Task::Recommendation => vec![Map, Auc, Ndcg, Nmse],
        };
        let mut scores: BTreeMap<usize, Scores> = BTreeMap::new();
        for &index in part {
            let run = &runs[index];
            let score = match run.task {
                Task::Tags => score,
                Task::Genres => score_genres,
                Task::Recommendation => continue,
            };
            let scored = score(&run.predictions, &run.targets, &run.dataset, &run.split).map_err(
                |source| ReportError::Score { run: run.name.clone(), source: Box::new(source) },
            )?;
            scores.insert(index, scored);
        }
        let mut groups = groups(runs, part, &scores, &metrics)?;
        let main = |group: &Group| {
            group.scores[&metrics[0]].map_or(f64::NEG_INFINITY, |spread| spread.mean)
        };
        groups.sort_by(|a, b| main(b).total_cmp(&main(a)).then_with(|| a.name.cmp(&b.name)));
        let varied = settings::varied(groups.iter().map(|group| &group.settings));
        for group in &mut groups {
            group.settings.retain(|key, _| varied.contains(key));
        }
        // The bootstrap resamples tracks, but recommendation scores are means over users.
        let differences = match first.task {
            Task::Recommendation => Vec::new(),
            Task::Tags | Task::Genres => differences(runs, &groups, bootstrap)?,
        };
        let found: Vec<&Recommendation> =
            part.iter().filter_map(|&run| runs[run].recommendation.as_ref()).collect();
        let left_out: BTreeSet<_> = part.iter().flat_map(|&run| &runs[run].quarantine).collect();
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
            tags: scored_tags(&groups, &scores, part[0]),
            bounds: bounds(&found, &metrics),
            users: found.first().map(|found| (found.scores.n_users_scored, found.scores.n_users)),
            metrics,
            groups,
            varied,
            differences,
            quarantine,
        })
    }

    /// The metric by which groups are ordered.
    pub fn main_metric(&self) -> Metric {
        self.metrics[0]
    }

    /// The difference between the two best groups.
    pub fn lead(&self) -> Option<&Difference> {
        self.differences.iter().find(|difference| (difference.better, difference.other) == (0, 1))
    }
}

fn groups(
    runs: &[EvaluatedRun],
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
        let own = || members.iter().map(|&index| &runs[index]);
        if let Some((a, b)) = own().zip(own().skip(1)).find(|(a, b)| a.seed == b.seed) {
            return Err(ReportError::SameSeed {
                first: a.name.clone(),
                second: b.name.clone(),
                seed: a.seed,
                group: name.to_owned(),
            });
        }
        let score = |metric: Metric, index: usize| match &runs[index].recommendation {
            Some(found) if metric == Metric::Nmse => found.nmse,
            Some(found) => metric.of_ranks(&found.scores),
            None => metric.of_tags(scores.get(&index)?),
        };
        let spread = |metric: Metric| {
            let values: Option<Vec<f64>> =
                members.iter().map(|&index| score(metric, index)).collect();
            Spread::of(&values?)
        };
        let first = &runs[members[0]];
        let parameters = own().map(|run| run.parameters);
        let steps = own().map(|run| run.steps);
        groups.push(Group {
            name: name.to_owned(),
            about: first.about.clone(),
            model: first.model.clone(),
            seeds: own().map(|run| run.seed).collect(),
            runs: own().map(|run| run.name.clone()).collect(),
            settings: first.settings.clone(),
            scores: metrics.iter().map(|&metric| (metric, spread(metric))).collect(),
            paper: own().find_map(|run| run.paper.clone()),
            parameters: (parameters.clone().min().unwrap_or(0), parameters.max().unwrap_or(0)),
            steps: (steps.clone().min().unwrap_or(0), steps.max().unwrap_or(0)),
            seconds: Spread::of(&own().map(|run| run.seconds).collect::<Vec<_>>()),
            members,
        });
    }
    Ok(groups)
}

fn scored_tags(groups: &[Group], scores: &BTreeMap<usize, Scores>, first: usize) -> Vec<ScoredTag> {
    let spreads = |tag: usize, value: fn(&TagScores) -> Option<f64>| {
        let of_group = |group: &Group| {
            let values = group.members.iter().map(|index| value(&scores[index].per_tag[tag].1));
            Spread::of(&values.collect::<Option<Vec<f64>>>()?)
        };
        groups.iter().map(of_group).collect()
    };
    let of_first = scores.get(&first).map_or(&[][..], |scores| &scores.per_tag[..]);
    let of_tag = |(index, (tag, scores)): (usize, &(String, TagScores))| ScoredTag {
        tag: tag.clone(),
        positives: scores.positives,
        roc_auc: spreads(index, |scores| scores.roc_auc),
        pr_auc: spreads(index, |scores| scores.pr_auc),
    };
    of_first.iter().enumerate().map(of_tag).collect()
}

fn differences(
    runs: &[EvaluatedRun],
    groups: &[Group],
    bootstrap: &Bootstrap,
) -> Result<Vec<Difference>, ReportError> {
    let predictions = |group: &Group| -> Vec<_> {
        group.members.iter().map(|&index| &runs[index].predictions).collect()
    };
    let mut found = Vec::new();
    let betters = if groups.len() <= ALL_PAIRS_UP_TO { groups.len() } else { 1 };
    for better in 0..betters {
        for other in better + 1..groups.len() {
            let (a, b) = (&groups[other], &groups[better]);
            let targets = &runs[a.members[0]].targets;
            let comparison = bootstrap
                .compare_runs(&predictions(a), &predictions(b), targets)
                .map_err(|source| ReportError::Compare {
                    first: a.name.clone(),
                    second: b.name.clone(),
                    source: Box::new(source),
                })?;
            let (other_name, better_name) = (a.name.clone(), b.name.clone());
            found.push(Difference { other, better, other_name, better_name, comparison });
        }
    }
    Ok(found)
}

/// The best and the worst possible scores.
fn bounds(found: &[&Recommendation], metrics: &[Metric]) -> Vec<Bound> {
    let mean = |of: fn(&Recommendation) -> Option<RecommendationScores>| {
        let one = |metric: &Metric| -> Option<(Metric, f64)> {
            let values = found.iter().map(|found| metric.of_ranks(&of(found)?));
            Some((*metric, Spread::of(&values.collect::<Option<Vec<f64>>>()?)?.mean))
        };
        metrics.iter().filter_map(one).collect::<BTreeMap<_, _>>()
    };
    let all = [
        Bound {
            name: "Upper bound",
            about: "the tracks' own factors, computed from their listeners",
            scores: mean(|found| Some(found.upper_bound)),
        },
        Bound {
            name: "Random factors",
            about: "factors without information",
            scores: mean(|found| found.random),
        },
    ];
    all.into_iter().filter(|bound| !bound.scores.is_empty()).collect()
}
