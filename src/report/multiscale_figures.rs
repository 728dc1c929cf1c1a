//! Figures of multiscale features: scores per tag and level, and K-means centroids.
//!
//! # References
//! Dieleman, Schrauwen: "Multiscale approaches to music audio feature learning", ISMIR 2013, figures
//! 2 and 3.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::analysis::{Group, Section};
use super::evaluated_run::{EvaluatedRun, Multiscale, Patches};
use super::heat_map::{self, DIVERGING};
use super::svg::{Axis, Frame, extent, px};
use super::{figures, format};

/// Height of a row in pixels.
const PITCH: f64 = 22.0;
/// Most centroids per level that are drawn.
pub const MAX_CENTROIDS: usize = 64;
/// Settings that may differ between experiments whose levels are compared.
const LEVEL_SETTINGS: [&str; 2] = ["model.levels", "model.windows"];

/// A group with its position and its model.
type Found<'a> = (usize, &'a Group, &'a Multiscale);

/// All figures; nothing where no group has such a model.
pub fn section(section: &Section, runs: &[EvaluatedRun]) -> Markup {
    let groups = section.groups.iter().enumerate();
    let found: Vec<Found<'_>> = groups
        .filter_map(|(index, group)| {
            Some((index, group, runs[*group.members.first()?].multiscale.as_ref()?))
        })
        .collect();
    // Groups that differ in their levels only.
    let mut sets: BTreeMap<Vec<_>, Vec<Found<'_>>> = BTreeMap::new();
    for found in &found {
        let settings = found.1.settings.iter();
        let rest = settings.filter(|(key, _)| !LEVEL_SETTINGS.contains(&key.as_str())).collect();
        sets.entry(rest).or_default().push(*found);
    }
    let compared = |set: &Vec<Found<'_>>| {
        let (all, mut alone): (Vec<Found<'_>>, Vec<Found<'_>>) =
            set.iter().copied().partition(|own| own.2.all_levels);
        alone.retain(|own| own.2.levels.len() == 1);
        alone.sort_by_key(|own| own.2.levels[0]);
        match (all.first(), alone.first()) {
            (_, None) => html! {},
            (Some(all), _) => levels(section, *all, &alone),
            (None, Some(first)) => html! {
                p class="note" {
                    (features(first.2)) ": " (format::count(alone.len(), "single level"))
                    ", but no run of all levels to compare them with."
                }
            },
        }
    };
    html! {
        @if !found.is_empty() {
            h2 { "Multiscale features" }
            @for set in sets.values() { (compared(set)) }
            (centroids(&found, runs))
        }
    }
}

fn features(model: &Multiscale) -> String {
    match model.means {
        0 => format!("{}, PCA without K-means", model.representation),
        count => format!("{}, {count} centroids per level", model.representation),
    }
}

/// ROC-AUC per tag: by each level alone, and by all levels.
fn levels(section: &Section, all: Found<'_>, alone: &[Found<'_>]) -> Markup {
    let mut series: Vec<String> =
        alone.iter().map(|own| format!("level {}", own.2.levels[0])).collect();
    series.push("all levels".into());
    // Tags that every group can be scored on; scores in the order of the series.
    let mut tags: Vec<(&str, Vec<f64>)> = section
        .tags
        .iter()
        .filter_map(|tag| {
            let of = |own: &Found<'_>| Some(tag.roc_auc[own.0]?.mean);
            let scores: Option<Vec<f64>> = alone.iter().chain([&all]).map(of).collect();
            Some((tag.tag.as_str(), scores?))
        })
        .collect();
    let last = alone.len();
    tags.sort_by(|a, b| b.1[last].total_cmp(&a.1[last]).then(a.0.cmp(b.0)));
    let ahead =
        tags.iter().filter(|(_, scores)| scores[..last].iter().all(|one| scores[last] > *one));
    let ahead = ahead.count();
    let mut wins = vec![0; last];
    for (_, scores) in &tags {
        let best = (0..last).max_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(b.cmp(a)));
        best.into_iter().for_each(|best| wins[best] += 1);
    }
    html! {
        (dot_plot(&format!("ROC-AUC per tag and level: {}", features(all.2)), &series, &tags))
        p class="note" {
            "All levels together score higher than every single level for " b { (ahead) " of " (format::count(tags.len(), "tag")) }
            ". The best single level is "
            @for (number, (name, wins)) in series.iter().zip(&wins).enumerate() {
                @if number > 0 { ", " }
                (name) " for " (wins)
            }
            ". Means over seeds; of equal levels the finer one counts."
            @if tags.len() < section.tags.len() {
                " " (format::count(section.tags.len() - tags.len(), "tag")) " cannot be scored."
            }
        }
    }
}

/// One row per tag with one dot per series; the last series has rings.
fn dot_plot(title: &str, series: &[String], rows: &[(&str, Vec<f64>)]) -> Markup {
    let values = rows.iter().flat_map(|row| row.1.iter().copied());
    let Some((low, high)) = extent(values) else { return html! {} };
    let left = 232.0;
    let frame = Frame { left, top: 8.0, ..Frame::new(760.0, 52.0 + PITCH * rows.len() as f64) };
    let mut x = Axis::new("ROC-AUC", low, high, true, 6);
    let mut y = Axis::of_rows();
    frame.fit(&mut x, &mut y);
    let ring = series.len() - 1;
    let content = html! {
        @for (number, (tag, values)) in rows.iter().enumerate() {
            @let middle = frame.top + (number as f64 + 0.5) * PITCH;
            text x=(px(left - 10.0)) y=(px(middle + 4.0)) text-anchor="end" { (figures::shorten(tag, 38)) }
            line class="rule" x1=(px(left)) x2=(px(frame.width - frame.right)) y1=(px(middle)) y2=(px(middle)) {}
            @for (index, value) in values.iter().enumerate() {
                // Below each other, so that equal values are all visible.
                @let at = middle + (index as f64 - ring as f64 / 2.0) * (PITCH - 10.0) / series.len() as f64;
                g class=(format!("mark {}", figures::colour(index))) {
                    title { (tag) ", " (series[index]) ": " (format::score(*value)) }
                    @let (class, radius) = if index == ring { ("ring", 5) } else { ("dot", 4) };
                    circle class=(class) cx=(px(x.pixel(*value))) cy=(px(at)) r=(radius) {}
                }
            }
        }
    };
    html! {
        figure class="dots" {
            figcaption { (title) }
            ul class="legend" {
                @for (index, name) in series.iter().enumerate() {
                    li { span class=(format!("swatch {}{}", if index == ring { "hollow " } else { "" }, figures::colour(index))) {} (name) }
                }
            }
            (frame.draw(title, &x, &y, &content))
        }
    }
}

/// The centroids of the group with the most centroids per representation.
fn centroids(found: &[Found<'_>], runs: &[EvaluatedRun]) -> Markup {
    let mut best: BTreeMap<&str, &Found<'_>> = BTreeMap::new();
    for own in found.iter().filter(|own| own.2.all_levels && own.2.means > 0) {
        let most = best.entry(&own.2.representation).or_insert(own);
        if own.2.means > most.2.means {
            *most = own;
        }
    }
    html! {
        @for (number, own) in best.values().enumerate() {
            @if let Some(model) = drawn_model(own, runs) {
                details open[number == 0] {
                    summary { "Centroids: " (features(model)) }
                    div class="panels two" {
                        @for level in &model.patches {
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
                "K-means centroids as patches of a spectrogram: unwhitened, minus the mean window, low bands at the bottom, "
                "sorted by the band of their peak; at most " (MAX_CENTROIDS) " per level, evenly chosen. Red is above the mean, "
                "blue below; each patch has its own scale."
            }
        }
    }
}

/// The run of a group whose centroids are loaded.
fn drawn_model<'a>(own: &Found<'_>, runs: &'a [EvaluatedRun]) -> Option<&'a Multiscale> {
    let mut models = own.1.members.iter().filter_map(|&run| runs[run].multiscale.as_ref());
    models.find(|model| !model.patches.is_empty())
}

/// Patches side by side.
fn picture(patches: &Patches) -> Markup {
    let (frames, bands) = (patches.frames, patches.bands);
    let gap = usize::from(frames > 1);
    let width = (patches.count * (frames + gap)).saturating_sub(gap);
    // The gaps between patches are neutral, as 0 is.
    let mut pixels = vec![128_u8; width * bands];
    for (number, patch) in patches.values.chunks_exact(frames * bands).enumerate() {
        let peak = patch.iter().fold(0.0_f32, |peak, value| peak.max(value.abs()));
        for frame in 0..frames {
            for band in 0..bands {
                let value = patch[frame * bands + band] / peak.max(f32::MIN_POSITIVE);
                // NaN is drawn as 0.
                let value = if value.is_finite() { value } else { 0.0 };
                let column = number * (frames + gap) + frame;
                pixels[(bands - 1 - band) * width + column] =
                    (128.0 + 127.0 * value.clamp(-1.0, 1.0)).round() as u8;
            }
        }
    }
    let about = format!(
        "{} centroids of level {} as patches of {frames} by {bands}",
        patches.count, patches.level
    );
    html! {
        img class="heat patches" alt=(about) src=(heat_map::data_uri(width, bands, &pixels, &DIVERGING)) {}
    }
}
