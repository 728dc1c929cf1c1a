//! Tables of runs that recommend: similar tracks by listening data and by prediction, and tags
//! predicted from factors.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::analysis::{Group, Section};
use super::evaluated_run::EvaluatedRun;
use super::tables::{Cell, Column, Table};
use super::{figures, format};
use crate::evaluation::recommendation::Recommendation;
use crate::evaluation::similar_tracks::{Example, SimilarTracks};
use crate::evaluation::spread::Spread;
use crate::evaluation::tag_probe::{TagAuc, TagProbe};

/// The runs of a group that have a result `T`, with the position of the group.
type Found<'a, T> = (usize, &'a Group, Vec<(&'a EvaluatedRun, &'a T)>);

/// Groups with at least one run that has a result.
fn found<'a, T>(
    section: &'a Section,
    runs: &'a [EvaluatedRun],
    of: impl Fn(&'a Recommendation) -> Option<&'a T>,
) -> Vec<Found<'a, T>> {
    let of_group = |(index, group): (usize, &'a Group)| {
        let members = group.members.iter().map(|&member| &runs[member]);
        let own: Vec<_> =
            members.filter_map(|run| Some((run, of(run.recommendation.as_ref()?)?))).collect();
        (!own.is_empty()).then_some((index, group, own))
    };
    section.groups.iter().enumerate().filter_map(of_group).collect()
}

/// Similar tracks by listening data and by prediction, side by side; nothing where no run has any.
pub fn similar_tracks(section: &Section, runs: &[EvaluatedRun]) -> Markup {
    let found: Vec<Found<'_, SimilarTracks>> = found(section, runs, |r| r.similar_tracks.as_ref());
    let Some((_, _, first)) = found.first() else { return html! {} };
    let row = |(index, group, members): &Found<'_, SimilarTracks>| {
        let shared = mean(members.iter().map(|member| member.1.shared));
        let chance = mean(members.iter().map(|member| member.1.by_chance));
        vec![Cell::group(*index, &group.name), shared, chance]
    };
    let titles = ["Shared neighbours", "By chance"].map(Column::number);
    let columns = [Column::text("Experiment")].into_iter().chain(titles).collect();
    let table = Table { columns, rows: found.iter().map(row).collect(), ..Table::default() };
    html! {
        h2 { "Similar tracks" }
        (table.html())
        p class="note" {
            "Share of the " (first[0].1.nearest) " nearest tracks by predicted factors that are also among the nearest "
            "by the factors of the listening data; mean over the tracks of this split. The similarity of two tracks is the "
            "cosine of their usage patterns: of how much each user would like them (van den Oord et al. 2013)."
        }
        @for (number, (index, group, members)) in found.iter().enumerate() {
            details open[number == 0] class="similar" {
                summary {
                    (figures::swatch(*index))
                    (group.name) ", seed " (members[0].0.seed) ": nearest tracks of the most played tracks"
                }
                (examples(members[0].0, &members[0].1.examples))
            }
        }
    }
}

fn examples(run: &EvaluatedRun, examples: &[Example]) -> Markup {
    let track = |id: &str| {
        let tags = run.example_tags.get(id).map(|tags| tags.join(", ")).unwrap_or_default();
        html! { span class="track" { (id) @if !tags.is_empty() { small { (tags) } } } }
    };
    html! {
        div class="scroll" {
            table class="examples" {
                thead { tr { th { "Track" } th { "Nearest by listening data" } th { "Nearest by prediction" } } }
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
        p class="note" { "Bold: in both lists." }
    }
}

/// AUC of tags that a logistic regression predicts from factors; nothing where no run has any.
pub fn tag_probe(section: &Section, runs: &[EvaluatedRun]) -> Markup {
    let mut found: Vec<Found<'_, TagProbe>> =
        found(section, runs, |r| r.tags_from_factors.as_ref());
    found.retain(|(_, _, members)| members.iter().any(|(_, probe)| probe.n_tags > 0));
    let Some((_, _, first)) = found.first() else { return html! {} };
    let mut positives: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, probe) in found.iter().flat_map(|(_, _, members)| members) {
        positives.extend(probe.per_tag.iter().map(|(tag, auc)| (tag.as_str(), auc.positives)));
    }
    let mut tags: Vec<(&str, usize)> = positives.into_iter().collect();
    tags.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    // Groups of different factorizations have different factors of the listening data.
    let cells = |of: &dyn Fn(&TagProbe) -> Option<[f64; 2]>| {
        let pair = |(_, _, members): &Found<'_, TagProbe>| {
            let values: Vec<[f64; 2]> = members.iter().filter_map(|(_, probe)| of(probe)).collect();
            [0, 1].map(|at| mean(values.iter().map(|pair| pair[at])))
        };
        found.iter().flat_map(pair).collect::<Vec<Cell>>()
    };
    let of_tag = |auc: &TagAuc| [auc.listening, auc.predicted];
    let rows = tags.iter().map(|&(tag, positives)| {
        let mut row = vec![Cell::new(tag), Cell::number(positives.to_string(), positives as f64)];
        row.extend(cells(&|probe| probe.per_tag.get(tag).map(of_tag)));
        row
    });
    let rows = rows.collect();
    let mut pinned = vec![Cell::new("Mean"), Cell::new("")];
    pinned.extend(cells(&|probe| Some([probe.listening?, probe.predicted?])));
    let mut columns = vec![Column::text("Tag"), Column::number("Positives")];
    columns.extend(found.iter().flat_map(|(index, group, _)| {
        ["Listening", "Predicted"]
            .map(|kind| Column::number(kind).of_group(*index).below(&group.name))
    }));
    let class = "sortable tags";
    let table = Table { class, columns, pinned: Some(pinned), rows };
    let simulated = found.iter().flat_map(|(_, _, members)| members).any(|(run, _)| run.simulated);
    let left_out = first[0].1.n_tags_left_out;
    html! {
        h2 { "Tags from factors" }
        (table.html())
        p class="note" {
            "AUC of one logistic regression per tag on the factors of " (first[0].1.n_tracks) " tracks, with " (first[0].1.folds)
            "-fold cross-validation: on the factors of the listening data, and on those predicted from audio. "
            @if left_out > 0 {
                (format::count(left_out, "tag")) " with too few tracks for so many folds " (if left_out == 1 { "is" } else { "are" }) " left out. "
            }
            "For 9 330 songs and 50 tags, van den Oord et al. (2013) report 0.86703 with factors of listening data and 0.69365 "
            "with a bag-of-words representation of the audio."
        }
        @if simulated {
            p class="remark" {
                "The listeners are simulated, and their tastes are derived from these tags. It is therefore no finding "
                "that factors predict tags, and neither column is comparable with the published figures."
            }
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Cell {
    let values: Vec<f64> = values.collect();
    Cell::or_dash(Spread::of(&values), |spread| {
        Cell::number(format!("{:.3}", spread.mean), spread.mean)
    })
}
