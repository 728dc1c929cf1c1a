//! Charts of a section: learning curves, differences, ROC and precision-recall curves.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};
use serde_json::json;

use super::analysis::{Difference, ScoredTag, Section};
use super::evaluated_run::EvaluatedRun;
use super::format;
use super::learning_curves::{self, Line};
use super::roc_pr::{Curves, INTERVALS, false_positive_rate, recall};
use super::svg::{Axis, Frame, area, extent, line, px};
use crate::evaluation::bootstrap::Estimate;

/// Number of colours; later groups repeat them with other dashes.
const COLOURS: usize = 7;

/// The CSS classes of a group's colour and dashes.
pub fn colour(group: usize) -> String {
    format!("g{} d{}", group % COLOURS, group / COLOURS % 3)
}

/// A dot in the colour of a group.
pub fn swatch(group: usize) -> Markup {
    html! { span class=(format!("swatch {}", colour(group))) {} }
}

/// Names of the groups with their colours.
pub fn legend(section: &Section) -> Markup {
    html! {
        ul class="legend" {
            @for (index, group) in section.groups.iter().enumerate() {
                li {
                    svg class="key" viewBox="0 0 24 10" aria-hidden="true" {
                        path class=(format!("line {}", colour(index))) d="M1 5L23 5" {}
                    }
                    (group.name)
                }
            }
        }
    }
}

/// Training loss, validation loss and the main validation metric over steps.
pub fn learning_curves(section: &Section, runs: &[EvaluatedRun]) -> Markup {
    let metric = section.main_metric();
    let validation =
        |key: &'static str| move |run: &EvaluatedRun| learning_curves::validation(run, key);
    html! {
        div class="panels" {
            (learning_panel("Training loss", section, runs, &learning_curves::training_loss))
            (learning_panel("Validation loss", section, runs, &validation("loss")))
            (learning_panel(&format!("{} (validation)", metric.title()), section, runs, &validation(metric.key())))
        }
    }
}

fn learning_panel(
    title: &str,
    section: &Section,
    runs: &[EvaluatedRun],
    read: &dyn Fn(&EvaluatedRun) -> Line,
) -> Markup {
    let lines: Vec<Vec<Line>> = section
        .groups
        .iter()
        .map(|group| group.members.iter().map(|&index| read(&runs[index])).collect())
        .collect();
    let points = || lines.iter().flatten().flatten();
    let Some((low, high)) = extent(points().map(|point| point.1)) else {
        return html! { figure { figcaption { (title) } p class="none" { "No values were logged." } } };
    };
    let last = extent(points().map(|point| point.0)).map_or(1.0, |range| range.1);
    let frame = Frame::new(400.0, 260.0);
    let mut x = Axis::new("step", 0.0, last, false, 5);
    let mut y = Axis::new("", low, high, true, 5);
    frame.fit(&mut x, &mut y);
    let content = html! {
        @for (index, lines) in lines.iter().enumerate() {
            path class=(format!("band {}", colour(index))) d=(area(&learning_curves::band(lines), &x, &y)) {}
        }
        @for (index, lines) in lines.iter().enumerate() {
            @for (run, points) in lines.iter().enumerate() {
                path class=(format!("line thin {}", colour(index)))
                    data-name=(format!("{}, seed {}", section.groups[index].name, section.groups[index].seeds[run]))
                    d=(line(points.iter().copied(), &x, &y)) {}
            }
        }
    };
    html! { figure { figcaption { (title) } (frame.draw(title, &x, &y, &content)) } }
}

/// Differences of one pair per tag, the largest first, with the macro average on top.
pub fn difference_plot(difference: &Difference) -> Markup {
    let comparison = &difference.comparison;
    let mut rows: Vec<(&str, Estimate)> = comparison
        .per_tag
        .iter()
        .filter_map(|tag| Some((tag.tag.as_str(), tag.roc_auc.as_ref()?.difference)))
        .collect();
    rows.sort_by(|a, b| b.1.value.total_cmp(&a.1.value).then(a.0.cmp(b.0)));
    let ends = rows.iter().flat_map(|row| [row.1.low, row.1.high, row.1.value]).chain([0.0]);
    let Some((low, high)) = extent(ends) else { return html! {} };
    let pitch = 15.0;
    let frame = Frame {
        left: 132.0,
        top: 30.0,
        ..Frame::new(400.0, 30.0 + 44.0 + pitch * (rows.len() + 2) as f64)
    };
    let mut x = Axis::new("difference in ROC-AUC", low, high, true, 4);
    let mut y = Axis::of_rows();
    frame.fit(&mut x, &mut y);
    let row = |name: &str, e: Estimate, row: f64, class: &str| {
        // The colour of the better group; none if the interval contains 0.
        let verdict = match (e.low > 0.0, e.high < 0.0) {
            (true, _) => format!("sure {}", colour(difference.better)),
            (_, true) => format!("sure {}", colour(difference.other)),
            _ => String::new(),
        };
        let y = frame.top + (row + 0.5) * pitch;
        let level = format::percent(comparison.confidence);
        interval(name, e, &level, y, &x, &frame, &format!("interval {verdict} {class}"))
    };
    let (better, other) = without_shared_words(&difference.better_name, &difference.other_name);
    let content = html! {
        line class="zero" x1=(px(x.pixel(0.0))) x2=(px(x.pixel(0.0))) y1=(px(frame.top)) y2=(px(frame.height - frame.bottom)) {}
        text class="side" x=(px(frame.left)) y="18" { "← " (shorten(other, 15)) }
        text class="side" x=(px(frame.width - frame.right)) y="18" text-anchor="end" { (shorten(better, 15)) " →" }
        @if let Some(overall) = &comparison.roc_auc_macro {
            (row("macro average", overall.difference, 0.0, "overall"))
        }
        @for (index, (tag, estimate)) in rows.iter().enumerate() {
            (row(tag, *estimate, index as f64 + 1.5, ""))
        }
    };
    let title = format!("{} minus {}", difference.better_name, difference.other_name);
    html! {
        figure {
            figcaption { (difference.better_name) " " span class="minus" { "minus" } " " (difference.other_name) }
            (frame.draw(&format!("Difference in ROC-AUC by tag, {title}"), &x, &y, &content))
        }
    }
}

fn interval(
    name: &str,
    e: Estimate,
    level: &str,
    y: f64,
    x: &Axis,
    frame: &Frame,
    class: &str,
) -> Markup {
    let text = format!(
        "{name}: {} ({level} interval {} to {})",
        format::signed(e.value),
        format::signed(e.low),
        format::signed(e.high)
    );
    html! {
        g class=(class) {
            title { (text) }
            rect class="hit" x="0" y=(px(y - 7.0)) width=(px(frame.width)) height="14" {}
            text x=(px(frame.left - 8.0)) y=(px(y + 4.0)) text-anchor="end" { (shorten(name, 20)) }
            line x1=(px(x.pixel(e.low))) x2=(px(x.pixel(e.high))) y1=(px(y)) y2=(px(y)) {}
            circle cx=(px(x.pixel(e.value))) cy=(px(y)) r="3.5" {}
        }
    }
}

/// Two names without the hyphenated words that both begin with.
fn without_shared_words<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    let shared = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    // A hyphen is one byte, so a character begins after it in both names.
    let start =
        a.as_bytes()[..shared].iter().rposition(|&byte| byte == b'-').map_or(0, |at| at + 1);
    (&a[start..], &b[start..])
}

/// The first `most` characters; an ellipsis replaces the last one if the text is longer.
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// ROC and precision-recall curves: macro averages as lines, the curves of single tags as JSON for the script.
pub fn operating_curves(
    id: usize,
    section: &Section,
    macros: &[Option<Curves>],
    tags: &[Vec<Option<Curves>>],
) -> Markup {
    if macros.iter().all(Option::is_none) {
        return html! { p class="none" { "Not defined: no tag has both a positive and a negative track." } };
    }
    let frame = Frame::new(400.0, 360.0);
    let panel = |kind: &str,
                 title: &str,
                 x_label: &str,
                 y_label: &str,
                 positions: &dyn Fn(usize) -> f64,
                 values: &dyn Fn(&Curves) -> Vec<f64>| {
        let mut x = Axis::new(x_label, 0.0, 1.0, false, 5);
        let mut y = Axis::new(y_label, 0.0, 1.0, false, 5);
        frame.fit(&mut x, &mut y);
        let content = html! {
            @if kind == "roc" {
                path class="chance" d=(line([(0.0, 0.0), (1.0, 1.0)], &x, &y)) {}
            }
            @for (index, curves) in macros.iter().enumerate() {
                @if let Some(curves) = curves {
                    path class=(format!("line {}", colour(index))) data-name=(section.groups[index].name)
                        data-group=(index)
                        d=(line((0..=INTERVALS).map(positions).zip(values(curves)), &x, &y)) {}
                }
            }
        };
        html! { figure data-kind=(kind) { figcaption { (title) } (frame.draw(title, &x, &y, &content)) } }
    };
    let options: Vec<(usize, &ScoredTag)> = section
        .tags
        .iter()
        .enumerate()
        .filter(|(tag, _)| tags.iter().any(|group| group.get(*tag).is_some_and(Option::is_some)))
        .collect();
    html! {
        div class="operating" data-curves=(format!("curves-{id}")) {
            p class="pick" hidden {
                label { "Tag " select {
                    option value="" { "macro average" }
                    @for (tag, row) in &options {
                        option value=(tag) { (row.tag) " (" (row.positives) ")" }
                    }
                } }
            }
            div class="panels two" {
                (panel("roc", "ROC", "false positive rate", "true positive rate", &false_positive_rate, &|c| c.roc.clone()))
                (panel("pr", "Precision and recall", "recall", "precision", &recall, &|c| c.pr.clone()))
            }
            script type="application/json" id=(format!("curves-{id}")) { (PreEscaped(curve_data(tags))) }
        }
    }
}

/// `{"<tag index>": {"roc": [[per mille, ...] or null per group], "pr": ...}}`
fn curve_data(tags: &[Vec<Option<Curves>>]) -> String {
    let per_mille = |values: &Vec<f64>| -> Vec<i64> {
        values.iter().map(|value| (value * 1000.0).round() as i64).collect()
    };
    let width = tags.first().map_or(0, Vec::len);
    let mut data = BTreeMap::new();
    for tag in 0..width {
        let curves: Vec<Option<&Curves>> = tags.iter().map(|group| group[tag].as_ref()).collect();
        if curves.iter().any(Option::is_some) {
            let roc: Vec<_> = curves.iter().map(|c| c.map(|c| per_mille(&c.roc))).collect();
            let pr: Vec<_> = curves.iter().map(|c| c.map(|c| per_mille(&c.pr))).collect();
            data.insert(tag, json!({ "roc": roc, "pr": pr }));
        }
    }
    // Only numbers: nothing needs to be escaped.
    serde_json::to_string(&data).expect("numbers serialize as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_words_at_the_start_of_names_are_left_out() {
        assert_eq!(
            without_shared_words("nsynth-pitch-mel", "nsynth-pitch-strided"),
            ("mel", "strided")
        );
        assert_eq!(
            without_shared_words("a-strided", "a-strided-pooled"),
            ("strided", "strided-pooled")
        );
        assert_eq!(without_shared_words("mel", "é-mel"), ("mel", "é-mel"));
        assert_eq!(without_shared_words("a-é", "a-è"), ("é", "è"));
    }
}
