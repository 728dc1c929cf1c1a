//! The HTML page.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::analysis::{Analysis, Group, Section, TagRow};
use super::data::{Filters, ReportError, RunSummary, Task};
use super::filters::{FilterBank, PoolFits, mel_centre};
use super::operating::{self, Curves};
use super::{figures, format, learning, multiscale, recommendation};
use crate::evaluation::bootstrap::{Bootstrap, Compared};
use crate::evaluation::spread::Spread;
use crate::experiment::PaperFigure;

/// How a report is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Heading and name of the page; `Comparison of runs` where it is empty.
    pub title: String,
    /// How the intervals of differences are found.
    pub bootstrap: Bootstrap,
    /// The command that makes this page again; left out where it is empty.
    pub command: String,
}

/// The whole page for `runs`, in one file that loads nothing.
///
/// # Errors
/// See [`Analysis::new`]; and if filters do not fit their shape.
pub fn render(runs: &[RunSummary], options: &Options) -> Result<String, ReportError> {
    render_analysis(&Analysis::new(runs, &options.bootstrap)?, runs, options)
}

/// The same where `analysis` of the same runs is there already.
///
/// # Errors
/// If filters do not fit their shape.
pub fn render_analysis(
    analysis: &Analysis,
    runs: &[RunSummary],
    options: &Options,
) -> Result<String, ReportError> {
    let title =
        if options.title.trim().is_empty() { "Comparison of runs" } else { options.title.as_str() };
    let mut sections = Vec::with_capacity(analysis.sections.len());
    for (id, part) in analysis.sections.iter().enumerate() {
        sections.push(section(id, part, runs, analysis.sections.len() > 1)?);
    }
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Whatever a name in the data tries, nothing is fetched.
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";
                title { (title) }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                header {
                    div {
                        h1 { (title) }
                        button id="theme" type="button" hidden aria-label="Switch between light and dark" { "◐" }
                    }
                    @for part in &analysis.sections { (headline(part)) }
                }
                main {
                    @for part in &sections { (part) }
                    (provenance(runs, options))
                }
                footer { "Made by tonotopy " (env!("CARGO_PKG_VERSION")) "." }
                script { (PreEscaped(include_str!("page.js"))) }
            }
        }
    };
    Ok(page.into_string())
}

/// What came out, in a sentence or two.
fn headline(section: &Section) -> Markup {
    let metric = section.main_metric();
    let spread_of = |group: &Group| group.scores.get(&metric).copied().flatten();
    let best = section.groups.first().and_then(|group| Some((group, spread_of(group)?)));
    html! {
        p class="headline" {
            @match best {
                None => {
                    "On " b { (section.dataset) } " (" (section.split) "), " (metric.title())
                    " is not defined: no tag has both a positive and a negative track."
                },
                Some((group, spread)) => {
                    "On " b { (section.dataset) } " (" (section.split) ", "
                    (format::count(section.n_tracks, "track")) "), "
                    @if section.groups.len() > 1 {
                        b { (group.name) } " scores highest of " (section.groups.len()) ": "
                    } @else {
                        b { (group.name) } " scores "
                    }
                    (metric.title()) " " b { (format::spread(&spread)) }
                    " (" (format::count(spread.runs, "seed")) "). "
                    @if let Some(lead) = section.lead() {
                        @if let Some(gap) = &lead.comparison.roc_auc_macro { (gap_sentence(gap, &lead.other_name, &format::percent(lead.comparison.confidence))) }
                    }
                    (paper_order(section))
                },
            }
        }
    }
}

fn gap_sentence(gap: &Compared, other: &str, level: &str) -> Markup {
    let d = gap.difference;
    html! {
        "Its ROC-AUC is " b { (format::score(d.value.abs())) }
        @if d.value < 0.0 { " below " } @else { " above " }
        b { (other) }
        ", " (level) " interval over tracks " (format::signed(d.low)) " to " (format::signed(d.high))
        @if d.low <= 0.0 && d.high >= 0.0 { ": these tracks cannot tell the two apart. " } @else { ". " }
    }
}

/// Whether the groups with a published figure come in the order in which they were published.
fn paper_order(section: &Section) -> Markup {
    let metric = section.main_metric();
    let mut known: Vec<(&Group, f64, f64)> = section
        .groups
        .iter()
        .filter_map(|group| {
            let paper = group.paper.as_ref().filter(|paper| paper.metric == metric.key())?;
            Some((group, group.scores.get(&metric).copied().flatten()?.mean, paper.value))
        })
        .collect();
    if known.len() < 2 {
        return html! {};
    }
    let ours: Vec<&str> = known.iter().map(|row| row.0.name.as_str()).collect();
    known.sort_by(|a, b| b.2.total_cmp(&a.2));
    let theirs: Vec<&str> = known.iter().map(|row| row.0.name.as_str()).collect();
    html! {
        @if ours == theirs {
            "The order is the published one."
        } @else {
            "The published order is another: " (theirs.join(", ")) "."
        }
    }
}

fn section(
    id: usize,
    section: &Section,
    runs: &[RunSummary],
    several: bool,
) -> Result<Markup, ReportError> {
    let mut tags = Vec::with_capacity(section.groups.len());
    for group in &section.groups {
        let members: Vec<&RunSummary> = group.members.iter().map(|&index| &runs[index]).collect();
        tags.push(operating::per_tag(&members)?);
    }
    let macros: Vec<Option<Curves>> =
        tags.iter().map(|group| operating::mean(group.iter().flatten())).collect();
    let mut filters = Vec::new();
    for (index, group) in section.groups.iter().enumerate() {
        let learned = group
            .members
            .iter()
            .find_map(|&member| Some((&runs[member], runs[member].filters.as_ref()?)));
        if let Some((run, learned)) = learned {
            filters.push(filter_section(index, group, run, learned)?);
        }
    }
    Ok(html! {
        section class="dataset" {
            @if several { h2 class="set" { (section.dataset) " · " (section.split) } }
            @if let Some(remark) = &section.remark { p class="remark" { (remark) } }
            h2 { "Comparison" }
            (comparison_table(section))
            h2 { "Learning curves" }
            (figures::legend(section))
            (figures::learning_curves(section, runs))
            p class="note" {
                "A thin line a run; the band spans the runs of a group. The training loss is a moving "
                "average over 2 % of its points. A gap is a value that was not finite."
            }
            @if !section.differences.is_empty() {
                h2 { "Differences" }
                (difference_table(section))
                (difference_plots(section))
            }
            @if section.task != Task::Recommendation {
                h2 { "ROC and precision–recall curves" }
                (figures::legend(section))
                (figures::operating_curves(id, section, &macros, &tags))
                p class="note" {
                    "Means over seeds; the macro average is the mean of the tags' curves at equal false "
                    "positive rate and at equal recall."
                }
                h2 { "Tags" }
                (tag_table(section))
            }
            @if section.task == Task::Recommendation {
                (recommendation::similar_tracks(section, runs))
                (recommendation::tags_from_factors(section, runs))
            }
            (multiscale::section(section, runs))
            @if !filters.is_empty() {
                h2 { "Learned filters" }
                @for part in &filters { (part) }
            }
            h2 { "Data" }
            (data(section, runs))
        }
    })
}

fn comparison_table(section: &Section) -> Markup {
    let papers = section.groups.iter().any(|group| group.paper.is_some());
    html! {
        div class="scroll" {
            table class="sortable comparison" {
                thead { tr {
                    th { "Experiment" }
                    @for metric in &section.metrics { th class="n" { (metric.title()) } }
                    th class="n" { "Seeds" }
                    @if papers { th class="n" { "Published" } }
                    th class="n" { "Parameters" }
                    th class="n" { "Steps" }
                    th class="n" { "Time a run" }
                } }
                tbody {
                    @for (index, group) in section.groups.iter().enumerate() {
                        tr {
                            th scope="row" {
                                span class=(format!("swatch {}", figures::colour(index))) {}
                                (group.name)
                                @if !group.model.is_empty() { small { (group.model) } }
                            }
                            @for (place, metric) in section.metrics.iter().enumerate() {
                                (spread_cell(group.scores.get(metric).copied().flatten(), place == 0 && index == 0 && section.groups.len() > 1))
                            }
                            td class="n" data-value=(group.seeds.len()) { (group.seeds.len()) }
                            @if papers { (paper_cell(group.paper.as_ref())) }
                            td class="n" data-value=(group.parameters.0) { (format::range(group.parameters.0 as u64, group.parameters.1 as u64)) }
                            td class="n" data-value=(group.steps.1) { (format::range(group.steps.0, group.steps.1)) }
                            (time_cell(group.seconds))
                        }
                    }
                    @for bound in &section.bounds {
                        tr {
                            th scope="row" {
                                (bound.name)
                                small { (bound.about) }
                            }
                            @for metric in &section.metrics {
                                td class="n" { (bound.scores.get(metric).map_or(format::NONE.into(), |value| format::score(*value))) }
                            }
                            td class="n" colspan=(if papers { 5 } else { 4 }) {}
                        }
                    }
                }
            }
        }
        p class="note" {
            "Mean ± sample standard deviation over seeds. "
            @if let Some((scored, all)) = section.users {
                "Held-out tracks are ranked for " (format::count(scored, "user")) " of " (all)
                ", those that played one of them; scores are means over users. An AUC of 0.5 is chance."
            } @else {
                "Macro averages are over the "
                (section.n_tags_scored) " of " (format::count(section.n_tags, "tag"))
                " that have a positive and a negative track; PR-AUC is average precision."
            }
        }
    }
}

fn spread_cell(spread: Option<Spread>, best: bool) -> Markup {
    html! {
        @match spread {
            None => td class="n" { (format::NONE) },
            Some(spread) => td class=(if best { "n best" } else { "n" }) data-value=(spread.mean) {
                span class="value" { (format::score(spread.mean)) }
                @if let Some(deviation) = spread.deviation { span class="deviation" { " ± " (format::score(deviation)) } }
            },
        }
    }
}

fn paper_cell(paper: Option<&PaperFigure>) -> Markup {
    html! {
        @match paper {
            None => td class="n" { (format::NONE) },
            Some(paper) => td class="n" data-value=(paper.value) {
                span class="value" { (format::score(paper.value)) }
                small { (metric_title(&paper.metric)) (paper.source) " (" (paper.certainty) ")" }
            },
        }
    }
}

/// Names the metric of a published figure where it is not the one that everyone expects.
fn metric_title(key: &str) -> String {
    if key == "roc_auc_macro" { String::new() } else { format!("{key}; ") }
}

fn time_cell(seconds: Option<Spread>) -> Markup {
    html! {
        @match seconds {
            None => td class="n" { (format::NONE) },
            Some(seconds) => td class="n" data-value=(seconds.mean) { (format::duration(seconds.mean)) },
        }
    }
}

fn difference_table(section: &Section) -> Markup {
    let cell = |compared: &Option<Compared>| {
        html! {
            @match compared {
                None => td class="n" { (format::NONE) },
                Some(c) => td class="n" data-value=(c.difference.value) {
                    span class="value" { (format::signed(c.difference.value)) }
                    span class="deviation" { " [" (format::signed(c.difference.low)) ", " (format::signed(c.difference.high)) "]" }
                },
            }
        }
    };
    html! {
        div class="scroll" {
            table {
                thead { tr { th { "Pair" } th class="n" { "ROC-AUC macro" } th class="n" { "PR-AUC macro" } th class="n" { "Tags better / worse / open" } } }
                tbody {
                    @for difference in &section.differences {
                        @let (up, down, open) = verdicts(&difference.comparison.per_tag);
                        tr {
                            th scope="row" {
                                span class=(format!("swatch {}", figures::colour(difference.better))) {}
                                (difference.better_name) span class="minus" { " minus " }
                                span class=(format!("swatch {}", figures::colour(difference.other))) {}
                                (difference.other_name)
                            }
                            (cell(&difference.comparison.roc_auc_macro))
                            (cell(&difference.comparison.pr_auc_macro))
                            td class="n" { (up) " / " (down) " / " (open) }
                        }
                    }
                }
            }
        }
        @if let Some(first) = section.differences.first() {
            p class="note" {
                "In brackets " (format::percent(first.comparison.confidence)) " intervals of a paired bootstrap over the "
                (format::count(first.comparison.n_tracks, "test track")) " ("
                (format::count(first.comparison.resamples, "resample")) ", seed " (first.comparison.seed)
                "); a group's score on a resample is the mean over its seeds. They tell of other tracks of this kind, "
                "not of other seeds: for those see the ± of the comparison. A tag counts as better or worse where 0 lies "
                "outside its interval in ROC-AUC; of "
                (format::count(section.n_tags_scored, "tag")) " about "
                (format!("{:.0}", (section.n_tags_scored as f64 * (1.0 - first.comparison.confidence)).ceil()))
                " would by chance alone."
            }
        }
    }
}

/// How many tags have an interval above 0, below 0, or around it.
fn verdicts(tags: &[crate::evaluation::bootstrap::ComparedTag]) -> (usize, usize, usize) {
    let known = tags.iter().filter_map(|tag| tag.roc_auc.as_ref()).map(|c| c.difference);
    known.fold((0, 0, 0), |(up, down, open), d| match (d.low > 0.0, d.high < 0.0) {
        (true, _) => (up + 1, down, open),
        (_, true) => (up, down + 1, open),
        _ => (up, down, open + 1),
    })
}

fn difference_plots(section: &Section) -> Markup {
    let scored = section.n_tags_scored > 0;
    html! {
        @if scored && section.differences.len() <= 3 {
            div class="panels" {
                @for difference in &section.differences { (figures::difference_plot(difference)) }
            }
        } @else if scored {
            @for (index, difference) in section.differences.iter().enumerate() {
                details open[index == 0] {
                    summary { (difference.better_name) " minus " (difference.other_name) }
                    div class="panels" { (figures::difference_plot(difference)) }
                }
            }
        }
    }
}

fn tag_table(section: &Section) -> Markup {
    let several = section.groups.len() > 1;
    html! {
        div class="scroll tall" {
            table class="sortable tags" {
                thead {
                    tr {
                        th rowspan="2" { "Tag" }
                        th rowspan="2" class="n" { "Positives" }
                        th colspan=(section.groups.len()) class="over" { "ROC-AUC" }
                        th colspan=(section.groups.len()) class="over" { "PR-AUC" }
                    }
                    tr {
                        @for _ in 0..2 {
                            @for (index, group) in section.groups.iter().enumerate() {
                                th class="n" { span class=(format!("swatch {}", figures::colour(index))) {} (group.name) }
                            }
                        }
                    }
                }
                tbody {
                    @for row in &section.tags {
                        tr {
                            th scope="row" { (row.tag) }
                            td class="n" data-value=(row.positives) {
                                (row.positives) span class="deviation" { " · " (percent(row.positives, section.n_tracks)) }
                            }
                            (tag_cells(&row.roc_auc, several))
                            (tag_cells(&row.pr_auc, several))
                        }
                    }
                }
            }
        }
        p class="note" {
            "Means over seeds; the best of a row is bold. Point at a figure for its standard deviation, "
            "click a column's head to sort."
            @if section.n_tags_scored < section.n_tags {
                " A dash: the tag has no positive or no negative track and is not scored."
            }
        }
    }
}

fn tag_cells(values: &[Option<Spread>], several: bool) -> Markup {
    let best = values.iter().flatten().map(|spread| spread.mean).fold(f64::NEG_INFINITY, f64::max);
    html! {
        @for value in values {
            @match value {
                None => td class="n" { (format::NONE) },
                Some(spread) => td class=(if several && spread.mean >= best { "n best" } else { "n" })
                    data-value=(spread.mean) title=(format::spread(spread)) {
                    (format!("{:.3}", spread.mean))
                },
            }
        }
    }
}

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 {
        return format::NONE.into();
    }
    format!("{:.1} %", part as f64 * 100.0 / whole as f64)
}

fn filter_section(
    index: usize,
    group: &Group,
    run: &RunSummary,
    learned: &Filters,
) -> Result<Markup, ReportError> {
    let bank = FilterBank::new(&run.name, learned)?;
    let fits = bank.pool_fits(&run.name)?;
    let silent = bank.len() - bank.order().iter().filter(|&&f| bank.dominant(f).is_some()).count();
    let milliseconds = learned.length as f64 * 1000.0 / f64::from(learned.sample_rate);
    Ok(html! {
        section class="filters" {
            h3 { span class=(format!("swatch {}", figures::colour(index))) {} (group.name) }
            p class="note" {
                (format::count(bank.len(), "filter")) " of " (learned.length) " samples ("
                (format!("{milliseconds:.1}")) " ms at " (format::frequency(f64::from(learned.sample_rate)))
                "), seed " (run.seed) "."
                @if silent > 0 { " " (format::count(silent, "filter")) " without a spectrum: all weights are 0 or one is not finite." }
            }
            div class="panels filters" {
                figure class="wide" {
                    figcaption { "Spectra, sorted by dominant frequency" }
                    (figures::spectra(&bank))
                    p class="note" { (spectra_note(&bank)) }
                }
                figure class="wide" {
                    figcaption { "Example filters, low to high" }
                    (figures::examples(&bank))
                }
            }
            @if let Some(fits) = &fits {
                h4 { "Pools" }
                p class="note" { (pool_note(fits, learned)) }
                (figures::pools(&bank, fits))
            }
        }
    })
}

fn spectra_note(bank: &FilterBank) -> Markup {
    let corner = 2000.0;
    let bands = bank.len();
    let mel = (0..bands).filter(|&i| mel_centre(i, bands, bank.nyquist()) < corner).count();
    html! {
        "A column a filter, its magnitude scaled to a peak of 1; dark is high on light ground, light on dark. The dashed "
        "line marks the centres of as many bands on the mel scale. "
        @if let Some(share) = bank.share_below(corner) && bank.nyquist() > corner {
            (format!("{:.0} %", share * 100.0)) " of the filters peak below 2 kHz; on the mel scale it would be "
            (format!("{:.0} %", mel as f64 * 100.0 / bands as f64)) "."
        }
    }
}

fn pool_note(fits: &PoolFits, learned: &Filters) -> Markup {
    let kind = match learned.pool.as_ref().map_or("", |pool| pool.kind.as_str()) {
        "l2" => "L2",
        kind => kind,
    };
    let size = learned.pool.as_ref().map_or(0, |pool| pool.size);
    html! {
        (format::count(fits.pools.len(), &format!("{kind} pool"))) " of " (size) " filters. Similarity is the largest normalised cross-correlation "
        "over all shifts, a mean over the filters of a pool against the one with the most energy: 1 means that they are "
        "shifted copies. "
        @if let (Some(median), Some(chance)) = (fits.median(), fits.chance) {
            "The median pool has " (format!("{median:.2}")) "; two filters of different pools have "
            (format!("{chance:.2}")) " in the median. "
        }
        "Shifts are in samples. Drawn are some " (figures::PERIODS) " periods about the middle of the energy, or the whole filter if it is shorter."
    }
}

fn data(section: &Section, runs: &[RunSummary]) -> Markup {
    let unscored: Vec<&TagRow> =
        section.tags.iter().filter(|row| row.roc_auc.iter().all(Option::is_none)).collect();
    let positives: usize = section.tags.iter().map(|row| row.positives).sum();
    let members: Vec<&RunSummary> =
        section.groups.iter().flat_map(|group| &group.members).map(|&index| &runs[index]).collect();
    let mut files: Vec<(&str, &str)> = members
        .iter()
        .flat_map(|run| &run.quarantine)
        .map(|file| (file.path.as_str(), file.reason.as_str()))
        .collect();
    files.sort_unstable();
    files.dedup();
    let mut notes: Vec<&str> =
        members.iter().flat_map(|run| &run.notes).map(String::as_str).collect();
    notes.sort_unstable();
    notes.dedup();
    html! {
        dl {
            dt { "Data set" } dd { (section.dataset) }
            dt { "Split" } dd { (section.split) ", " (format::count(section.n_tracks, "track")) }
            @if section.task != Task::Recommendation { dt { "Tags" } dd {
                (section.n_tags_scored) " scored of " (section.n_tags)
                @if section.n_tracks > 0 { ", " (format!("{:.2}", positives as f64 / section.n_tracks as f64)) " a track" }
                @if !unscored.is_empty() {
                    ". Not scored: "
                    (unscored.iter().map(|row| format!("{} ({} positive)", row.tag, row.positives)).collect::<Vec<_>>().join(", "))
                }
            } }
            @if !notes.is_empty() {
                dt { "Notes" } dd { @for note in &notes { (note) br; } }
            }
            dt { "Quarantine" } dd {
                @if files.is_empty() {
                    "No file was left out."
                } @else {
                    (format::count(files.len(), "file")) " left out: "
                    (section.quarantine.iter().map(|(reason, count)| format!("{count} × {reason}")).collect::<Vec<_>>().join("; "))
                    details {
                        summary { "Files" }
                        div class="scroll" { table { tbody {
                            @for (path, reason) in files.iter().take(MAX_FILES) {
                                tr { td class="path" { (path) } td { (reason) } }
                            }
                        } } }
                        @if files.len() > MAX_FILES { p class="note" { "and " (files.len() - MAX_FILES) " more; see quarantine.csv of the runs." } }
                    }
                }
            }
        }
    }
}

/// Files in quarantine that are named.
const MAX_FILES: usize = 500;

/// What the runs came from, each command once, and nothing where `page` did all of it.
fn commands<'a>(runs: &'a [RunSummary], page: &str) -> Vec<&'a str> {
    let mut commands: Vec<&str> = Vec::new();
    for run in runs {
        if !commands.contains(&run.command.as_str()) {
            commands.push(&run.command);
        }
    }
    if commands == [page] { Vec::new() } else { commands }
}

fn provenance(runs: &[RunSummary], options: &Options) -> Markup {
    // What all runs have in common is said once.
    let mut common: BTreeMap<&str, &str> = BTreeMap::new();
    if let Some(first) = runs.first() {
        common = first
            .environment
            .iter()
            .filter(|(key, value)| runs.iter().all(|run| run.environment.get(*key) == Some(value)))
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
    }
    html! {
        section class="provenance" {
            h2 { "Provenance" }
            @if !common.is_empty() {
                dl { @for (key, value) in &common { dt { (key) } dd { (value) } } }
            }
            @if !options.command.is_empty() {
                p { "This page again:" }
                pre { (options.command) }
            }
            div class="scroll" {
                table class="sortable" {
                    thead { tr {
                        th { "Run" } th class="n" { "Seed" } th { "Data" } th class="n" { "Parameters" } th class="n" { "Steps" }
                        th class="n" { "Best at step" } th class="n" { "Time" } th { "Device" }
                    } }
                    tbody {
                        @for run in runs {
                            tr {
                                th scope="row" { (run.name) @if !run.about.is_empty() { small { (run.about) } } }
                                td class="n" data-value=(run.seed) { (run.seed) }
                                td { (run.dataset) ", " (run.split) }
                                td class="n" data-value=(run.parameters) { (format::whole(run.parameters as u64)) }
                                td class="n" data-value=(run.steps) { (format::whole(run.steps)) }
                                td class="n" { (learning::best_step(run).map_or(format::NONE.into(), format::whole)) }
                                td class="n" data-value=(run.seconds) { (format::duration(run.seconds)) }
                                td { (run.device) }
                            }
                        }
                    }
                }
            }
            @let commands = commands(runs, &options.command);
            @if !commands.is_empty() {
                h3 { "Commands" }
                pre { @for command in &commands { (command) "\n" } }
            }
            @let differing = runs.iter().any(|run| run.environment.len() > common.len());
            @if differing {
                details {
                    summary { "What differs between the environments of the runs" }
                    div class="scroll" { table { tbody {
                        @for run in runs {
                            @for (key, value) in run.environment.iter().filter(|(key, _)| !common.contains_key(key.as_str())) {
                                tr { th scope="row" { (run.name) } td { (key) } td class="path" { (value) } }
                            }
                        }
                    } } }
                }
            }
        }
    }
}
