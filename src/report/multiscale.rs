//! What a comparison of multiscale features shows besides its scores: representations and numbers of
//! means side by side, tags by level, and what the means look for (the figures of Dieleman & Schrauwen
//! 2013).

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::analysis::{Group, Section};
use super::data::{Multiscale, Patches, RunSummary};
use super::svg::{Axis, Frame, extent, px};
use super::{figures, format, png};
use crate::evaluation::spread::Spread;

/// Height of a row, in pixels.
const PITCH: f64 = 22.0;
/// Means that are drawn of a level, at most.
pub const DRAWN: usize = 64;

/// A group with its model.
type Found<'a> = (&'a Group, &'a Multiscale);

/// Everything; nothing where no group has such a model.
pub fn section(section: &Section, runs: &[RunSummary]) -> Markup {
    let found: Vec<Found<'_>> = section
        .groups
        .iter()
        .filter_map(|group| Some((group, runs[*group.members.first()?].multiscale.as_ref()?)))
        .collect();
    html! {
        @if !found.is_empty() {
            h2 { "Multiscale features" }
            (by_representation(section, &found))
            (by_level(section, &found))
            (means(&found, runs))
        }
    }
}

/// A mark in a row of a dot plot.
struct Mark {
    /// Of the series, for its colour and name.
    series: usize,
    value: f64,
    deviation: Option<f64>,
    /// What was published, in the place of a value of ours.
    published: bool,
}

struct Row {
    label: String,
    marks: Vec<Mark>,
}

/// Rows with marks on one scale; series are named above.
fn dot_plot(
    title: &str,
    scale: &str,
    series: &[String],
    rows: &[Row],
    ring: Option<usize>,
) -> Markup {
    let ends = rows.iter().flat_map(|row| &row.marks).flat_map(|mark| {
        let deviation = mark.deviation.unwrap_or(0.0);
        [mark.value - deviation, mark.value + deviation]
    });
    let Some((low, high)) = extent(ends) else { return html! {} };
    let left = 232.0;
    let frame = Frame { left, top: 8.0, ..Frame::new(760.0, 52.0 + PITCH * rows.len() as f64) };
    let mut x = Axis::new(scale, low, high, true, 6);
    // Only to stretch the grid: the rows have places of their own.
    let mut y = Axis::new("", 0.0, 1.0, false, 1);
    y.clear_ticks();
    frame.fit(&mut x, &mut y);
    let content = html! {
        @for (number, row) in rows.iter().enumerate() {
            @let middle = frame.top + (number as f64 + 0.5) * PITCH;
            text x=(px(left - 10.0)) y=(px(middle + 4.0)) text-anchor="end" { (figures::shorten(&row.label, 38)) }
            line class="rule" x1=(px(left)) x2=(px(frame.width - frame.right)) y1=(px(middle)) y2=(px(middle)) {}
            @for mark in &row.marks {
                // Side by side, where their values are alike.
                @let at = middle + (mark.series as f64 - (series.len() as f64 - 1.0) / 2.0) * (PITCH - 10.0) / series.len() as f64;
                g class=(format!("mark {}", figures::colour(mark.series))) {
                    title { (row.label) ", " (series[mark.series]) @if mark.published { ", published" } ": " (format::score(mark.value))
                        @if let Some(deviation) = mark.deviation { " ± " (format::score(deviation)) } }
                    @if let Some(deviation) = mark.deviation {
                        line x1=(px(x.place(mark.value - deviation))) x2=(px(x.place(mark.value + deviation))) y1=(px(at)) y2=(px(at)) {}
                    }
                    @if mark.published {
                        line class="published" x1=(px(x.place(mark.value))) x2=(px(x.place(mark.value))) y1=(px(middle - 9.0)) y2=(px(middle + 9.0)) {}
                    } @else {
                        circle class=(if ring == Some(mark.series) { "ring" } else { "dot" }) cx=(px(x.place(mark.value))) cy=(px(at)) r=(if ring == Some(mark.series) { "5" } else { "4" }) {}
                    }
                }
            }
        }
    };
    html! {
        figure class="dots" {
            figcaption { (title) }
            ul class="legend" {
                @for (number, name) in series.iter().enumerate() {
                    li { span class=(format!("swatch {}{}", if ring == Some(number) { "hollow " } else { "" }, figures::colour(number))) {} (name) }
                }
            }
            (frame.draw(title, &x, &y, &content))
        }
    }
}

/// A group's score, and what was published for it.
struct Scored {
    means: usize,
    spread: Option<Spread>,
    published: Option<f64>,
}

/// Of the groups that use all levels: a row a representation, a mark a number of means.
fn by_representation(section: &Section, found: &[Found<'_>]) -> Markup {
    let metric = section.main_metric();
    let mut counts: Vec<usize> =
        found.iter().filter(|(_, model)| model.all_levels).map(|(_, model)| model.means).collect();
    counts.sort_unstable();
    counts.dedup();
    // Rows in the order of front ends and, of one, of frames.
    let mut rows: BTreeMap<(&str, usize, &str), (&str, Vec<Scored>)> = BTreeMap::new();
    for (group, model) in found.iter().filter(|(_, model)| model.all_levels) {
        let front_end = model.representation.split(',').next().unwrap_or_default();
        let row = rows
            .entry((front_end, model.frames, &model.rest))
            .or_insert((&model.representation, Vec::new()));
        let paper = group.paper.as_ref().filter(|paper| paper.metric == metric.key());
        row.1.push(Scored {
            means: model.means,
            spread: group.scores.get(&metric).copied().flatten(),
            published: paper.map(|paper| paper.value),
        });
    }
    if rows.len() < 2 && counts.len() < 2 {
        return html! {};
    }
    let series: Vec<String> = counts
        .iter()
        .map(|count| if *count == 0 { "PCA alone".into() } else { format!("{count} means") })
        .collect();
    let place = |count: usize| counts.iter().position(|known| *known == count).unwrap_or(0);
    let drawn: Vec<Row> = rows
        .values()
        .map(|(representation, scores)| Row {
            label: (*representation).into(),
            marks: scores
                .iter()
                .flat_map(|scored| {
                    let series = place(scored.means);
                    let ours = scored.spread.map(|spread| Mark {
                        series,
                        value: spread.mean,
                        deviation: spread.deviation,
                        published: false,
                    });
                    let theirs = scored.published.map(|value| Mark {
                        series,
                        value,
                        deviation: None,
                        published: true,
                    });
                    ours.into_iter().chain(theirs)
                })
                .collect(),
        })
        .collect();
    let published = rows.values().any(|(_, all)| all.iter().any(|one| one.published.is_some()));
    html! {
        (dot_plot(&format!("{} by representation and number of means, all levels", metric.title()), metric.title(), &series, &drawn, None))
        div class="scroll" {
            table {
                thead { tr { th { "Representation" } @for name in &series { th class="n" { (name) } } } }
                tbody {
                    @for (representation, scores) in rows.values() {
                        tr {
                            th scope="row" { (representation) }
                            @for count in &counts {
                                @let spread = scores.iter().find(|own| own.means == *count).and_then(|own| own.spread);
                                td class="n" { (spread.map_or(format::NONE.to_string(), |spread| format::spread(&spread))) }
                            }
                        }
                    }
                }
            }
        }
        p class="note" {
            "Bars span a standard deviation over seeds to either side."
            @if published { " Upright lines are what was published." }
        }
    }
}

/// For groups that differ in their levels alone: every tag by each level, and by all of them.
fn by_level(section: &Section, found: &[Found<'_>]) -> Markup {
    let mut sets: BTreeMap<(&str, usize, &str), Vec<Found<'_>>> = BTreeMap::new();
    for (group, model) in found {
        let key = (model.representation.as_str(), model.means, model.rest.as_str());
        sets.entry(key).or_default().push((group, model));
    }
    html! {
        @for ((representation, means, _), set) in sets {
            @let all = set.iter().find(|(_, model)| model.all_levels);
            @let alone: Vec<&Found<'_>> = set.iter().filter(|(_, model)| model.levels.len() == 1 && !model.all_levels).collect();
            @match (all, alone.is_empty()) {
                (_, true) => {},
                (Some(all), false) => (levels(section, representation, means, *all, &alone)),
                (None, false) => p class="note" {
                    (representation) ", " (means) " means: " (format::count(alone.len(), "single level"))
                    ", and no run of all levels together to hold them against."
                },
            }
        }
    }
}

fn levels(
    section: &Section,
    representation: &str,
    means: usize,
    all: Found<'_>,
    alone: &[&Found<'_>],
) -> Markup {
    let place = |group: &Group| section.groups.iter().position(|own| own.name == group.name);
    let mut alone: Vec<(usize, usize)> = alone
        .iter()
        .filter_map(|(group, model)| Some((*model.levels.first()?, place(group)?)))
        .collect();
    alone.sort_unstable();
    let Some(together) = place(all.0) else { return html! {} };
    let mut series: Vec<String> = alone.iter().map(|(level, _)| format!("level {level}")).collect();
    series.push("all levels".into());
    // Tags that all of them can be scored on, the best by all levels first.
    let mut tags: Vec<(&str, f64, Vec<f64>)> = section
        .tags
        .iter()
        .filter_map(|tag| {
            let of = |group: usize| Some(tag.roc_auc.get(group).copied().flatten()?.mean);
            let each: Option<Vec<f64>> = alone.iter().map(|(_, group)| of(*group)).collect();
            Some((tag.tag.as_str(), of(together)?, each?))
        })
        .collect();
    tags.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let ahead = tags.iter().filter(|(_, all, each)| each.iter().all(|one| all > one)).count();
    let mut wins = vec![0; alone.len()];
    for (_, _, each) in &tags {
        let best = (0..each.len()).max_by(|a, b| each[*a].total_cmp(&each[*b]).then(b.cmp(a)));
        best.into_iter().for_each(|best| wins[best] += 1);
    }
    let rows: Vec<Row> = tags
        .iter()
        .map(|(tag, all, each)| Row {
            label: (*tag).into(),
            marks: each
                .iter()
                .chain([all])
                .enumerate()
                .map(|(series, value)| Mark {
                    series,
                    value: *value,
                    deviation: None,
                    published: false,
                })
                .collect(),
        })
        .collect();
    let what = match means {
        0 => format!("{representation}, PCA alone"),
        count => format!("{representation}, {count} means"),
    };
    html! {
        (dot_plot(&format!("ROC-AUC by tag and level: {what}"), "ROC-AUC", &series, &rows, Some(alone.len())))
        p class="note" {
            "All levels together are above every single one for " b { (ahead) " of " (format::count(tags.len(), "tag")) }
            ". Among single levels the best is "
            @for (number, ((level, _), wins)) in alone.iter().zip(&wins).enumerate() {
                @if number > 0 { ", " }
                "level " (level) " for " (wins)
            }
            ". Means over seeds; of equal levels the finer counts."
            @if tags.len() < section.tags.len() {
                " " (format::count(section.tags.len() - tags.len(), "tag")) " cannot be scored."
            }
        }
    }
}

/// What the means look for: of each representation the group with the most means.
fn means(found: &[Found<'_>], runs: &[RunSummary]) -> Markup {
    let mut best: BTreeMap<&str, Found<'_>> = BTreeMap::new();
    for (group, model) in found.iter().filter(|(_, model)| model.all_levels && model.means > 0) {
        let kept = best.entry(&model.representation).or_insert((group, model));
        if model.means > kept.1.means {
            *kept = (group, model);
        }
    }
    html! {
        @for (number, (representation, (group, _))) in best.iter().enumerate() {
            @let patches = group.members.iter().find_map(|run| runs[*run].multiscale.as_ref().filter(|own| !own.patches.is_empty()));
            @if let Some(own) = patches {
                details open[number == 0] {
                    summary { "Means: " (representation) ", " (own.means) " of them" }
                    div class="panels two" {
                        @for level in &own.patches {
                            figure {
                                figcaption { "Level " (level.level) }
                                (picture(level))
                            }
                        }
                    }
                }
            }
        }
        @if !best.is_empty() {
            p class="note" {
                "What a mean looks for in a spectrogram, whitening undone, less the mean window: a patch each, low bands at the bottom, "
                "sorted by the band of its peak; " (DRAWN) " at most, evenly chosen. Red is more than usual, blue less; each patch has its own scale."
            }
        }
    }
}

/// Patches side by side.
fn picture(patches: &Patches) -> Markup {
    let (frames, bands) = (patches.frames, patches.bands);
    let gap = usize::from(frames > 1);
    let width = (patches.count * (frames + gap)).saturating_sub(gap);
    // What lies between them is as neutral as zero.
    let mut pixels = vec![128_u8; width * bands];
    for (number, patch) in patches.values.chunks_exact(frames * bands).enumerate() {
        let peak = patch.iter().fold(0.0_f32, |peak, value| peak.max(value.abs()));
        for frame in 0..frames {
            for band in 0..bands {
                let value = patch[frame * bands + band] / peak.max(f32::MIN_POSITIVE);
                // What is not a number is drawn as nothing.
                let value = if value.is_finite() { value } else { 0.0 };
                let column = number * (frames + gap) + frame;
                pixels[(bands - 1 - band) * width + column] =
                    (128.0 + 127.0 * value.clamp(-1.0, 1.0)).round() as u8;
            }
        }
    }
    let about = format!(
        "{} means of level {} as patches of {frames} by {bands}",
        patches.count, patches.level
    );
    html! {
        img class="heat patches" alt=(about) src=(png::data_uri(width, bands, &pixels, &png::ramp(&DIVERGING))) {}
    }
}

/// From less than usual to more.
const DIVERGING: [png::Rgb; 5] =
    [[33, 102, 172], [146, 197, 222], [247, 247, 247], [244, 165, 130], [178, 24, 43]];
