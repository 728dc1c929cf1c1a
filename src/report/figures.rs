//! The charts of a report.

use std::ops::Range;

use maud::{Markup, PreEscaped, html};

use super::analysis::{Difference, Metric, Section, TagRow};
use super::data::RunSummary;
use super::filters::{FilterBank, PoolFit, PoolFits, mel_centre};
use super::learning::{self, Line};
use super::operating::{Curves, INTERVALS, false_positive_rate, recall};
use super::svg::{Axis, Frame, area, extent, line, px};
use super::{format, png};
use crate::evaluation::bootstrap::Estimate;

/// Different colours there are; then they come again with broken lines.
const COLOURS: usize = 7;
/// Rows of the picture of spectra.
const SPECTRUM_ROWS: usize = 160;
/// Filters shown one by one, pools shown.
const EXAMPLES: usize = 24;
const POOLS: usize = 6;
/// Periods of the dominant frequency that pools are drawn over.
pub const PERIODS: usize = 12;
/// Points of a drawn waveform, at most.
const MAX_TAPS: usize = 512;

/// The class that gives a group its colour and, beyond the colours, its dashes.
pub fn colour(group: usize) -> String {
    format!("g{} d{}", group % COLOURS, group / COLOURS % 3)
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

/// What a panel of learning curves shows of a run.
type Reader<'a> = &'a dyn Fn(&RunSummary) -> Line;

/// Training loss, validation loss and the main validation metric over steps.
pub fn learning_curves(section: &Section, runs: &[RunSummary]) -> Markup {
    let metric = section.main_metric();
    let panels: [(&str, Reader<'_>); 3] = [
        ("Training loss", &learning::train_loss),
        ("Validation loss", &|run| learning::valid(run, "loss")),
        (valid_title(metric), &|run| learning::valid(run, metric.key())),
    ];
    html! {
        div class="panels" {
            @for (title, read) in panels {
                (learning_panel(title, section, runs, read))
            }
        }
    }
}

fn valid_title(metric: Metric) -> &'static str {
    match metric {
        Metric::RocAuc => "Validation ROC-AUC, macro",
        Metric::PrAuc => "Validation PR-AUC, macro",
        Metric::Accuracy => "Validation accuracy",
        Metric::F1 => "Validation F1, macro",
        Metric::Map => "Validation mAP@500",
        Metric::Auc => "Validation AUC",
        Metric::Ndcg => "Validation nDCG@500",
        Metric::Recall => "Validation recall@500",
        Metric::Nmse => "Validation NMSE",
    }
}

fn learning_panel(title: &str, section: &Section, runs: &[RunSummary], read: Reader<'_>) -> Markup {
    let lines: Vec<Vec<Line>> = section
        .groups
        .iter()
        .map(|group| group.members.iter().map(|&index| read(&runs[index])).collect())
        .collect();
    let points = || lines.iter().flatten().flatten();
    let Some((low, high)) = extent(points().map(|point| point.1)) else {
        return html! { figure { figcaption { (title) } p class="none" { "Nothing was logged." } } };
    };
    let last = extent(points().map(|point| point.0)).map_or(1.0, |range| range.1);
    let frame = Frame::new(400.0, 260.0);
    let mut x = Axis::new("step", 0.0, last, false, 5);
    let mut y = Axis::new("", low, high, true, 5);
    frame.fit(&mut x, &mut y);
    let content = html! {
        @for (index, lines) in lines.iter().enumerate() {
            path class=(format!("band {}", colour(index))) d=(area(&learning::band(lines), &x, &y)) {}
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

/// Differences of one pair, a row a tag, the largest first; the macro average on top.
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
    // Only to stretch the grid: the rows have places of their own.
    let mut y = Axis::new("", 0.0, 1.0, false, 1);
    y.clear_ticks();
    frame.fit(&mut x, &mut y);
    let row = |name: &str, e: Estimate, row: f64, class: &str| {
        // The colour of the group that is ahead; none while that is open.
        let ahead = match (e.low > 0.0, e.high < 0.0) {
            (true, _) => format!("sure {}", colour(difference.better)),
            (_, true) => format!("sure {}", colour(difference.other)),
            _ => String::new(),
        };
        let y = frame.top + (row + 0.5) * pitch;
        let level = format::percent(comparison.confidence);
        interval(name, e, &level, y, &x, &frame, &format!("interval {ahead} {class}"))
    };
    let (better, other) = without_shared_words(&difference.better_name, &difference.other_name);
    let content = html! {
        line class="zero" x1=(px(x.place(0.0))) x2=(px(x.place(0.0))) y1=(px(frame.top)) y2=(px(frame.height - frame.bottom)) {}
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
            line x1=(px(x.place(e.low))) x2=(px(x.place(e.high))) y1=(px(y)) y2=(px(y)) {}
            circle cx=(px(x.place(e.value))) cy=(px(y)) r="3.5" {}
        }
    }
}

/// Two names without the words, ended by a hyphen, that both begin with.
fn without_shared_words<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    let shared = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    // A hyphen is one byte, so what follows it begins a character in both.
    let start =
        a.as_bytes()[..shared].iter().rposition(|&byte| byte == b'-').map_or(0, |at| at + 1);
    (&a[start..], &b[start..])
}

/// At most `most` characters, the last of them an ellipsis where some are left out.
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// ROC and precision-recall curves: the macro average drawn, those of the tags in a script's data.
pub fn operating_curves(
    id: usize,
    section: &Section,
    macros: &[Option<Curves>],
    tags: &[Vec<Option<Curves>>],
) -> Markup {
    if macros.iter().all(Option::is_none) {
        return html! { p class="none" { "No tag has both a positive and a negative track, so there is no curve." } };
    }
    let frame = Frame::new(400.0, 360.0);
    let panel = |kind: &str,
                 title: &str,
                 x_label: &str,
                 y_label: &str,
                 places: &dyn Fn(usize) -> f64,
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
                        d=(line((0..=INTERVALS).map(places).zip(values(curves)), &x, &y)) {}
                }
            }
        };
        html! { figure data-kind=(kind) { figcaption { (title) } (frame.draw(title, &x, &y, &content)) } }
    };
    let options: Vec<(usize, &TagRow)> = section
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

/// `{"tag": {"roc": [[per mille, ...] or null, ... a group], "pr": ...}}`: numbers only, so there
/// is nothing to escape.
fn curve_data(tags: &[Vec<Option<Curves>>]) -> String {
    let width = tags.first().map_or(0, Vec::len);
    let mut entries = Vec::new();
    for tag in 0..width {
        let row: Vec<Option<&Curves>> =
            tags.iter().map(|group| group.get(tag).and_then(Option::as_ref)).collect();
        if row.iter().all(Option::is_none) {
            continue;
        }
        let list = |values: &dyn Fn(&Curves) -> Vec<f64>| -> String {
            let groups: Vec<String> = row
                .iter()
                .map(|curves| match curves {
                    None => "null".into(),
                    Some(curves) => {
                        let mille = |value: &f64| ((value * 1000.0).round() as i64).to_string();
                        let numbers: Vec<String> = values(curves).iter().map(mille).collect();
                        format!("[{}]", numbers.join(","))
                    }
                })
                .collect();
            format!("[{}]", groups.join(","))
        };
        entries.push(format!(
            "\"{tag}\":{{\"roc\":{},\"pr\":{}}}",
            list(&|c| c.roc.clone()),
            list(&|c| c.pr.clone())
        ));
    }
    format!("{{{}}}", entries.join(","))
}

/// Spectra as columns, sorted by dominant frequency, with the centres of as many mel bands.
pub fn spectra(bank: &FilterBank) -> Markup {
    let count = bank.len();
    let mut pixels = vec![0u8; count * SPECTRUM_ROWS];
    for (column, &filter) in bank.order().iter().enumerate() {
        for (row, value) in bank.bands(filter, SPECTRUM_ROWS).into_iter().enumerate() {
            let top = SPECTRUM_ROWS - 1 - row;
            pixels[top * count + column] = (value.clamp(0.0, 1.0) * 255.0).round() as u8;
        }
    }
    // As wide as it is shown, so that its letters are as large as those of other charts.
    let frame = Frame::new(680.0, 450.0);
    let mut x = Axis::new("filter, by dominant frequency", 0.0, count as f64, false, 8);
    let mut y = Axis::new("frequency / kHz", 0.0, bank.nyquist() / 1000.0, false, 8);
    frame.fit(&mut x, &mut y);
    let mel = (0..count)
        .map(|index| (index as f64 + 0.5, mel_centre(index, count, bank.nyquist()) / 1000.0));
    let peaks = bank.order().iter().enumerate().map(|(column, &filter)| {
        (column as f64 + 0.5, bank.dominant(filter).map_or(f64::NAN, |hertz| hertz / 1000.0))
    });
    let picture = |class: &str, palette: &[png::Rgb; 256]| {
        html! {
            image class=(format!("heat {class}")) x=(px(frame.left)) y=(px(frame.top))
                width=(px(frame.width - frame.left - frame.right))
                height=(px(frame.height - frame.top - frame.bottom))
                preserveAspectRatio="none"
                href=(png::data_uri(count, SPECTRUM_ROWS, &pixels, palette)) {}
        }
    };
    let content = html! {
        (picture("on-light", &png::ramp(&LIGHT)))
        (picture("on-dark", &png::ramp(&DARK)))
        path class="mel halo" d=(line(mel.clone(), &x, &y)) {}
        path class="mel" data-name="mel scale" data-unit="kHz" d=(line(mel, &x, &y)) {}
        path class="line peaks" data-name="dominant frequency" data-unit="kHz" d=(line(peaks, &x, &y)) {}
    };
    frame.draw("Magnitude spectra of the filters, sorted by dominant frequency", &x, &y, &content)
}

/// From the page's ground to its ink, evenly in lightness.
pub(crate) const LIGHT: [png::Rgb; 5] =
    [[250, 250, 248], [198, 219, 236], [109, 168, 212], [33, 102, 172], [8, 29, 68]];
pub(crate) const DARK: [png::Rgb; 5] =
    [[20, 23, 28], [22, 56, 98], [30, 108, 168], [98, 176, 222], [226, 244, 255]];

/// Waveforms of filters at equal distances in the order of dominant frequency.
pub fn examples(bank: &FilterBank) -> Markup {
    let known: Vec<usize> =
        bank.order().iter().copied().filter(|&filter| bank.dominant(filter).is_some()).collect();
    let shown = known.len().min(EXAMPLES);
    html! {
        div class="grid-small" {
            @for index in 0..shown {
                @let filter = known[index * known.len().saturating_sub(1) / shown.saturating_sub(1).max(1)];
                figure class="small" {
                    (waveforms(&[(bank.taps(filter), 0)], 0..bank.filters().length, &format!("Filter {filter}"), 150.0, 64.0))
                    figcaption { (bank.dominant(filter).map_or(format::NONE.into(), format::frequency)) }
                }
            }
        }
    }
}

/// Filters of the most alike pools, then of the median and the least alike one: as they are, and
/// shifted onto each other.
pub fn pools(bank: &FilterBank, fits: &PoolFits) -> Markup {
    let known: Vec<&PoolFit> = fits.pools.iter().filter(|fit| fit.similarity.is_some()).collect();
    let best = known.len().min(POOLS);
    let mut shown: Vec<(String, &PoolFit)> = known[..best]
        .iter()
        .enumerate()
        .map(|(rank, &fit)| (format!("rank {} of {}", rank + 1, known.len()), fit))
        .collect();
    if known.len() > POOLS + 2 {
        shown.push(("median pool".into(), known[known.len() / 2]));
        shown.push(("least alike pool".into(), known[known.len() - 1]));
    }
    html! {
        div class="grid-pools" {
            @for (name, fit) in &shown {
                figure class="small pool" {
                    figcaption {
                        b { (name) } br;
                        "similarity " (fit.similarity.map_or(format::NONE.into(), |s| format!("{s:.2}").replace('-', "−")))
                    }
                    @let as_they_are: Vec<_> = fit.members.iter().map(|m| (bank.taps(m.filter), 0)).collect();
                    @let aligned: Vec<_> = fit.members.iter().map(|m| (bank.taps(m.filter), m.shift)).collect();
                    span class="what" { "as learned" }
                    @let window = middle(bank, fit.anchor);
                    (waveforms(&as_they_are, window.clone(), "The filters of the pool as learned", 210.0, 74.0))
                    span class="what" {
                        "shifted by "
                        @for (index, member) in fit.members.iter().enumerate() {
                            @if index > 0 { ", " }
                            (member.shift.to_string().replace('-', "−"))
                        }
                    }
                    (waveforms(&aligned, window, "The filters of the pool shifted onto each other", 210.0, 74.0))
                }
            }
        }
    }
}

/// The samples of a filter that some periods about the middle of its energy take.
fn middle(bank: &FilterBank, filter: usize) -> Range<usize> {
    let taps = bank.taps(filter);
    let length = taps.len();
    let period = bank.dominant(filter).map_or(f64::INFINITY, |hertz| 2.0 * bank.nyquist() / hertz);
    // As a whole number, infinity becomes the largest.
    let wanted = ((PERIODS as f64 * period).ceil() as usize).clamp(1, length);
    let energy = |tap: &f32| f64::from(*tap).powi(2);
    let total: f64 = taps.iter().map(energy).sum();
    let moment: f64 = taps.iter().enumerate().map(|(place, tap)| place as f64 * energy(tap)).sum();
    let centre = if total > 0.0 { moment / total } else { length as f64 / 2.0 };
    let first = (centre - wanted as f64 / 2.0).round().clamp(0.0, (length - wanted) as f64);
    first as usize..first as usize + wanted
}

/// The samples `window` of waveforms over each other, each scaled to its own peak and delayed by
/// its shift in samples.
fn waveforms(
    filters: &[(&[f32], isize)],
    window: Range<usize>,
    title: &str,
    width: f64,
    height: f64,
) -> Markup {
    let (first, last) = (window.start, window.end.saturating_sub(1));
    let (mut x, mut y) =
        (Axis::new("", first as f64, last as f64, false, 1), Axis::new("", -1.0, 1.0, false, 1));
    Frame { width, height, left: 2.0, right: 2.0, top: 3.0, bottom: 3.0 }.fit(&mut x, &mut y);
    let stride = window.len().div_ceil(MAX_TAPS).max(1);
    html! {
        svg class="wave" viewBox=(format!("0 0 {width} {height}")) role="img" aria-label=(title) {
            line class="base" x1="0" x2=(px(width)) y1=(px(height / 2.0)) y2=(px(height / 2.0)) {}
            @for (index, (taps, shift)) in filters.iter().enumerate() {
                @let peak = taps.iter().fold(0.0f32, |peak, tap| peak.max(tap.abs())).max(f32::MIN_POSITIVE);
                @let points = taps.iter().enumerate().step_by(stride).filter_map(|(tap, &value)| {
                    let place = tap as isize + shift;
                    (first as isize..=last as isize).contains(&place)
                        .then(|| (place as f64, f64::from(value) / f64::from(peak)))
                });
                path class=(format!("tap t{}", index % 4)) d=(line(points, &x, &y)) {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_by_what_they_do_not_share() {
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
