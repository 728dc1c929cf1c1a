//! What a comparison of runs that recommend shows besides its scores: which tracks prediction finds
//! alike, beside those that have the same listeners, and what factors know of tags.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::analysis::{Group, Section};
use super::data::RunSummary;
use super::{figures, format};
use crate::evaluation::similar_tracks::{Example, SimilarTracks};
use crate::evaluation::spread::Spread;
use crate::evaluation::tag_probe::{TagAuc, TagCheck};

/// A group with its number, and what those of its runs have that have it.
type Found<'a, T> = (usize, &'a Group, Vec<(&'a RunSummary, &'a T)>);

/// Similar tracks by listening and by prediction, side by side; nothing where no run has any.
pub fn similar_tracks(section: &Section, runs: &[RunSummary]) -> Markup {
    let found: Vec<Found<'_, SimilarTracks>> = section
        .groups
        .iter()
        .enumerate()
        .map(|(index, group)| (index, group, of_group(group, runs, |r| r.similar_tracks.as_ref())))
        .filter(|(_, _, members)| !members.is_empty())
        .collect();
    html! {
        @if !found.is_empty() {
            h2 { "Similar tracks" }
            table {
                thead {
                    tr {
                        th { "Model" }
                        th class="n" { "Shared neighbours" }
                        th class="n" { "By chance" }
                    }
                }
                tbody {
                    @for (index, group, members) in &found {
                        tr {
                            th scope="row" {
                                span class=(format!("swatch {}", figures::colour(*index))) {}
                                (group.name)
                            }
                            td class="n" { (mean(members.iter().map(|member| member.1.shared))) }
                            td class="n" { (mean(members.iter().map(|member| member.1.by_chance))) }
                        }
                    }
                }
            }
            p class="note" {
                "Of the " (found[0].2[0].1.nearest) " nearest tracks by predicted factors, the share that is among "
                "those by the factors that listening tells: a mean over the tracks of this split. Near are tracks "
                "that the same users would play (the cosine of usage patterns, as in van den Oord et al. 2013)."
            }
            @for (place, (index, group, members)) in found.iter().enumerate() {
                details open[place == 0] class="similar" {
                    summary {
                        span class=(format!("swatch {}", figures::colour(*index))) {}
                        (group.name) ", seed " (members[0].0.seed) ": the most played tracks and their neighbours"
                    }
                    (examples(members[0].0, &members[0].1.examples))
                }
            }
        }
    }
}

fn examples(run: &RunSummary, examples: &[Example]) -> Markup {
    let track = |id: &str| {
        let tags = run.example_tags.get(id).map(|tags| tags.join(", ")).unwrap_or_default();
        html! { span class="track" { (id) @if !tags.is_empty() { small { (tags) } } } }
    };
    html! {
        div class="scroll" {
            table class="examples" {
                thead { tr { th { "Track" } th { "Nearest by listening" } th { "Nearest by prediction" } } }
                tbody {
                    @for example in examples {
                        tr {
                            th scope="row" { (track(&example.id)) }
                            td { ol { @for id in &example.by_listening {
                                li class=[example.by_prediction.contains(id).then_some("both")] { (track(id)) }
                            } } }
                            td { ol { @for id in &example.by_prediction {
                                li class=[example.by_listening.contains(id).then_some("both")] { (track(id)) }
                            } } }
                        }
                    }
                }
            }
        }
        p class="note" { "Bold: found by both." }
    }
}

/// AUC of tags told from factors by logistic regression; nothing where no run has any.
pub fn tags_from_factors(section: &Section, runs: &[RunSummary]) -> Markup {
    let found: Vec<Found<'_, TagCheck>> = section
        .groups
        .iter()
        .enumerate()
        .map(|(index, group)| {
            (index, group, of_group(group, runs, |r| r.tags_from_factors.as_ref()))
        })
        .filter(|(_, _, members)| members.iter().any(|(_, check)| check.n_tags > 0))
        .collect();
    let Some((_, _, first)) = found.first() else { return html! {} };
    let mut tags: BTreeMap<&str, TagAuc> = BTreeMap::new();
    for (_, _, members) in &found {
        for (tag, auc) in members.iter().flat_map(|(_, check)| &check.per_tag) {
            tags.entry(tag).or_insert(*auc);
        }
    }
    let mut order: Vec<(&str, TagAuc)> = tags.into_iter().collect();
    order.sort_by(|a, b| b.1.positives.cmp(&a.1.positives).then(a.0.cmp(b.0)));
    // Models of one factorisation and the same seeds have the same factors to be compared with, those
    // of several have each their own.
    let own = found.iter().any(|(_, _, members)| !same_listening(members, first));
    let width = if own { 2 } else { 1 };
    let cells = |listening: &dyn Fn(&TagCheck) -> Option<f64>,
                 predicted: &dyn Fn(&TagCheck) -> Option<f64>| {
        let cell = |members: &[(&RunSummary, &TagCheck)], of: &dyn Fn(&TagCheck) -> Option<f64>| {
            let value = mean(members.iter().filter_map(|(_, check)| of(check)));
            html! { td class="n" { (value) } }
        };
        html! {
            @if !own { (cell(first, listening)) }
            @for (_, _, members) in &found {
                @if own { (cell(members, listening)) }
                (cell(members, predicted))
            }
        }
    };
    let simulated = found.iter().flat_map(|(_, _, members)| members).any(|(run, _)| run.simulated);
    html! {
        h2 { "Tags from factors" }
        div class="scroll tall" {
            table class="sortable tags" {
                thead {
                    tr {
                        th rowspan="2" { "Tag" }
                        th rowspan="2" class="n" { "Positives" }
                        @if !own { th rowspan="2" class="n" { "Listening" } }
                        th colspan=(found.len() * width) class="over" {
                            @if own { "Listening and prediction" } @else { "Prediction" }
                        }
                    }
                    tr {
                        @for (index, group, _) in &found {
                            @if own { th class="n" { (group.name) ", listening" } }
                            th class="n" {
                                span class=(format!("swatch {}", figures::colour(*index))) {}
                                (group.name)
                                @if own { ", prediction" }
                            }
                        }
                    }
                    // In the head, so that sorting leaves it on top.
                    tr class="mean" {
                        td { "Mean" }
                        td {}
                        (cells(&|check| check.listening, &|check| check.predicted))
                    }
                }
                tbody {
                    @for (tag, auc) in &order {
                        tr {
                            th scope="row" { (tag) }
                            td class="n" data-value=(auc.positives) { (auc.positives) }
                            (cells(
                                &|check| Some(check.per_tag.get(*tag)?.listening),
                                &|check| Some(check.per_tag.get(*tag)?.predicted),
                            ))
                        }
                    }
                }
            }
        }
        p class="note" {
            "AUC of a logistic regression a tag on the " (first[0].1.n_tracks) " tracks' factors, " (first[0].1.folds)
            "-fold cross-validation: from the factors that listening tells, and from those that were "
            "predicted from audio. "
            @if first[0].1.n_tags_left_out > 0 {
                (format::count(first[0].1.n_tags_left_out, "tag")) " with too few tracks for so many folds are left out. "
            }
            "On 9 330 songs and 50 tags van den Oord et al. (2013) report 0.86703 from factors and 0.69365 from "
            "the bag of words of the audio."
        }
        @if simulated {
            p class="remark" {
                "The listeners are simulated, and their tastes are made of these very tags: that factors know "
                "the tags is how the data were made, not a finding, and neither column is to be held "
                "against the published figures."
            }
        }
    }
}

/// Whether two groups' tags are told equally well from the factors of listening, run by run.
fn same_listening(a: &[(&RunSummary, &TagCheck)], b: &[(&RunSummary, &TagCheck)]) -> bool {
    let tags = |check: &TagCheck| -> Vec<(String, u64)> {
        let one = |(tag, auc): (&String, &TagAuc)| (tag.clone(), auc.listening.to_bits());
        check.per_tag.iter().map(one).collect()
    };
    let known = |members: &[(&RunSummary, &TagCheck)]| -> Vec<(u64, Vec<(String, u64)>)> {
        members.iter().map(|(run, check)| (run.seed, tags(check))).collect()
    };
    known(a) == known(b)
}

/// The runs of a group that have what is asked for.
fn of_group<'a, T>(
    group: &Group,
    runs: &'a [RunSummary],
    of: impl Fn(&'a crate::evaluation::recommendation::Recommendation) -> Option<&'a T>,
) -> Vec<(&'a RunSummary, &'a T)> {
    let members = group.members.iter().map(|&member| &runs[member]);
    members.filter_map(|run| Some((run, of(run.recommendation.as_ref()?)?))).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> String {
    let values: Vec<f64> = values.collect();
    Spread::of(&values).map_or(format::NONE.into(), |spread| format!("{:.3}", spread.mean))
}
