//! The report as an HTML page and as plain text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::analysis::{Analysis, Difference, Group, ScoredTag, Section};
use super::evaluated_run::{EvaluatedRun, ReportError, Task};
use super::roc_pr::{self, Curves};
use super::tables::{Cell, Column, Table, printable};
use super::{
    figures, filter_figures, format, learning_curves, multiscale_figures, recommendation_tables,
    settings,
};
use crate::evaluation::bootstrap::{Compared, ComparedTag};
use crate::evaluation::spread::Spread;
use crate::experiment::PaperFigure;

const TITLE: &str = "Comparison of runs";
/// Most quarantined files that are listed.
const MAX_FILES: usize = 500;

/// The page for an analysis of `runs`, in one file that loads no other; `command` is the command line
/// that wrote it.
///
/// # Errors
/// If filters do not fit their shape.
pub fn render(
    analysis: &Analysis,
    runs: &[EvaluatedRun],
    command: &str,
) -> Result<String, ReportError> {
    let several = analysis.sections.len() > 1;
    let sections = analysis.sections.iter().enumerate();
    let sections: Vec<Markup> =
        sections.map(|(id, part)| section(id, part, runs, several)).collect::<Result<_, _>>()?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Nothing can be fetched, whatever a name in the data contains.
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";
                title { (TITLE) }
                style { (PreEscaped(include_str!("report.css"))) }
            }
            body {
                header {
                    div {
                        h1 { (TITLE) }
                        button id="theme" type="button" hidden aria-label="Switch between light and dark" { "◐" }
                    }
                    @for part in &analysis.sections { (headline(part)) }
                }
                main {
                    @for part in &sections { (part) }
                    (provenance(runs, command))
                }
                footer { "Written by tonotopy " (env!("CARGO_PKG_VERSION")) "." }
                script { (PreEscaped(include_str!("report.js"))) }
            }
        }
    };
    Ok(page.into_string())
}

/// The tables of an analysis as plain text, in aligned columns.
pub fn text(analysis: &Analysis) -> String {
    analysis.sections.iter().map(section_text).collect::<Vec<_>>().join("\n")
}

fn section_text(section: &Section) -> String {
    let scored = match section.users {
        Some((scored, all)) => format!("{scored} of {}", format::count(all, "user")),
        None => format!("{} of {}", section.n_tags_scored, format::count(section.n_tags, "tag")),
    };
    let mut text = format!(
        "{} ({}): {}, {scored} scored\n",
        printable(&section.dataset),
        printable(&section.split),
        format::count(section.n_tracks, "track"),
    );
    if let Some(remark) = &section.remark {
        let _ = writeln!(text, "{}", printable(remark));
    }
    text += &comparison_table(section).text();
    if let Some(table) = settings::table(section) {
        let _ = write!(
            text,
            "\nsettings that differ, with 95 % confidence intervals over seeds\n{}",
            table.text()
        );
    }
    if let Some(first) = section.differences.first() {
        let level = format::percent(first.comparison.confidence);
        let _ = write!(
            text,
            "\ndifferences, with {level} confidence intervals of a paired bootstrap over tracks\n{}",
            difference_table(section).text()
        );
    }
    let left_out: usize = section.quarantine.values().sum();
    if left_out > 0 {
        let files = format::count(left_out, "file");
        let _ = writeln!(text, "\nquarantine: {files} left out ({})", printable(&reasons(section)));
    }
    text
}

/// The main result in a sentence or two.
fn headline(section: &Section) -> Markup {
    let metric = section.main_metric();
    let best = section.groups.first().and_then(|group| Some((group, group.scores[&metric]?)));
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
                        b { (group.name) } " has the best score of " (section.groups.len()) " experiments: "
                    } @else {
                        b { (group.name) } " scores "
                    }
                    (metric.title()) " " b { (format::spread(&spread)) }
                    " (" (format::count(spread.runs, "seed")) "). "
                    @if let Some(lead) = section.lead() && let Some(gap) = &lead.comparison.roc_auc_macro {
                        (gap_sentence(gap, &lead.other_name, &format::percent(lead.comparison.confidence)))
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
        @if d.low <= 0.0 && d.high >= 0.0 { ": on these tracks, the two do not differ significantly. " } @else { ". " }
    }
}

/// Whether the groups with published figures have the published order.
fn paper_order(section: &Section) -> Markup {
    let metric = section.main_metric();
    let mut known: Vec<(&Group, f64, f64)> = section
        .groups
        .iter()
        .filter_map(|group| {
            let paper = group.paper.as_ref().filter(|paper| paper.metric == metric.key())?;
            Some((group, group.scores[&metric]?.mean, paper.value))
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
            "The order agrees with the published one."
        } @else {
            "The published order is different: " (theirs.join(", ")) "."
        }
    }
}

fn section(
    id: usize,
    section: &Section,
    runs: &[EvaluatedRun],
    several: bool,
) -> Result<Markup, ReportError> {
    let (mut tags, mut filters) = (Vec::new(), Vec::new());
    for (index, group) in section.groups.iter().enumerate() {
        let members: Vec<&EvaluatedRun> = group.members.iter().map(|&at| &runs[at]).collect();
        tags.push(roc_pr::per_tag(&members)?);
        let learned = members.iter().find_map(|run| Some((*run, run.filters.as_ref()?)));
        if let Some((run, learned)) = learned {
            filters.push(filter_figures::section(index, group, run, learned)?);
        }
    }
    let macros: Vec<Option<Curves>> =
        tags.iter().map(|group| roc_pr::mean(group.iter().flatten())).collect();
    Ok(html! {
        section class="dataset" {
            @if several { h2 class="set" { (section.dataset) " · " (section.split) } }
            @if let Some(remark) = &section.remark { p class="remark" { (remark) } }
            h2 { "Comparison" }
            (comparison(section))
            (settings::html(section))
            h2 { "Learning curves" }
            (figures::legend(section))
            (figures::learning_curves(section, runs))
            p class="note" {
                "One thin line per run; the band is the range over the runs of an experiment. The training loss is a "
                "moving average over 2 % of its points. Gaps are values that were not finite."
            }
            @if !section.differences.is_empty() {
                h2 { "Differences" }
                (differences(section))
                (difference_plots(section))
            }
            @if section.task == Task::Recommendation {
                (recommendation_tables::similar_tracks(section, runs))
                (recommendation_tables::tag_probe(section, runs))
            } @else {
                h2 { "ROC and precision–recall curves" }
                (figures::legend(section))
                (figures::operating_curves(id, section, &macros, &tags))
                p class="note" {
                    "Means over seeds. The macro average is the mean of the tags' curves at equal false positive rate "
                    "and at equal recall."
                }
                h2 { "Tags" }
                (tag_table(section).html())
                p class="note" {
                    "Means over seeds; the best value of each row is bold. Point at a value for its standard deviation; "
                    "click a column heading to sort."
                    @if section.n_tags_scored < section.n_tags {
                        " A dash: the tag has no positive or no negative track and is not scored."
                    }
                }
            }
            (multiscale_figures::section(section, runs))
            @if !filters.is_empty() {
                h2 { "Learned filters" }
                @for part in &filters { (part) }
            }
            h2 { "Data" }
            (data(section, runs))
        }
    })
}

fn comparison(section: &Section) -> Markup {
    html! {
        (comparison_table(section).html())
        p class="note" {
            "Mean ± sample standard deviation over seeds. "
            @if let Some((scored, all)) = section.users {
                "Held-out tracks are ranked for " (format::count(scored, "user")) " of " (all)
                ", those who have factors and played at least one of them; scores are means over users. An AUC of 0.5 is chance."
            } @else {
                "Macro averages are over the "
                (section.n_tags_scored) " of " (format::count(section.n_tags, "tag"))
                " with at least one positive and one negative track; PR-AUC is average precision."
            }
        }
    }
}

fn comparison_table(section: &Section) -> Table {
    let papers = section.groups.iter().any(|group| group.paper.is_some());
    let mut columns = vec![Column::text("Experiment")];
    columns.extend(section.metrics.iter().map(|metric| Column::number(metric.title())));
    columns.extend(["Seeds", "Parameters", "Steps", "Time per run"].map(Column::number));
    columns.extend(papers.then(|| Column::number("Published")));
    let several = section.groups.len() > 1;
    let of_group = |(index, group): (usize, &Group)| {
        let mut row = vec![Cell::group(index, &group.name).with_note(&group.model)];
        row.extend(section.metrics.iter().enumerate().map(|(at, metric)| {
            Cell::spread(group.scores[metric]).bold_if(several && (at, index) == (0, 0))
        }));
        let (parameters, steps) = (group.parameters, group.steps);
        row.extend([
            Cell::number(group.seeds.len().to_string(), group.seeds.len() as f64),
            range(parameters.0 as u64, parameters.1 as u64),
            range(steps.0, steps.1),
            Cell::or_dash(group.seconds, |time| {
                Cell::number(format::duration(time.mean), time.mean)
            }),
        ]);
        row.extend(papers.then(|| Cell::or_dash(group.paper.as_ref(), published)));
        row
    };
    let mut rows: Vec<Vec<Cell>> = section.groups.iter().enumerate().map(of_group).collect();
    for bound in &section.bounds {
        let mut row = vec![Cell::new(bound.name).with_note(bound.about)];
        row.extend(section.metrics.iter().map(|metric| {
            Cell::or_dash(bound.scores.get(metric), |&value| {
                Cell::number(format::score(value), value)
            })
        }));
        row.resize(columns.len(), Cell::new(""));
        rows.push(row);
    }
    Table { class: "sortable comparison", columns, rows, ..Table::default() }
}

fn range(low: u64, high: u64) -> Cell {
    Cell::number(format::range(low, high), high as f64)
}

fn published(paper: &PaperFigure) -> Cell {
    let value = format::score(paper.value);
    let mut source = format!("{} ({})", paper.source, paper.certainty);
    // Most published figures are ROC-AUC.
    if paper.metric != "roc_auc_macro" {
        source = format!("{}; {source}", paper.metric);
    }
    let html = html! { (value) small { (source) } };
    Cell::number(format!("{value} {source}"), paper.value).with_html(html)
}

fn difference_table(section: &Section) -> Table {
    let compared = |compared: &Option<Compared>| {
        Cell::or_dash(compared.as_ref(), |compared| {
            let d = compared.difference;
            let detail = format!("[{}, {}]", format::signed(d.low), format::signed(d.high));
            Cell::with_detail(format::signed(d.value), &detail, d.value)
        })
    };
    let row = |difference: &Difference| {
        let (better, other) = (&difference.better_name, &difference.other_name);
        let pair = html! {
            (figures::swatch(difference.better)) (better) span class="minus" { " minus " }
            (figures::swatch(difference.other)) (other)
        };
        let comparison = &difference.comparison;
        let (up, down, open) = verdicts(&comparison.per_tag);
        vec![
            Cell::new(format!("{better} - {other}")).with_html(pair),
            compared(&comparison.roc_auc_macro),
            compared(&comparison.pr_auc_macro),
            Cell::new(format!("{up} / {down} / {open}")),
        ]
    };
    let mut columns = vec![Column::text("Pair")];
    columns.extend(
        ["ROC-AUC macro", "PR-AUC macro", "Tags better / worse / undecided"].map(Column::number),
    );
    let rows = section.differences.iter().map(row).collect();
    Table { columns, rows, ..Table::default() }
}

fn differences(section: &Section) -> Markup {
    html! {
        (difference_table(section).html())
        @if let Some(first) = section.differences.first() {
            p class="note" {
                "In brackets: " (format::percent(first.comparison.confidence)) " confidence intervals of a paired bootstrap over the "
                (format::count(first.comparison.n_tracks, "test track")) " ("
                (format::count(first.comparison.resamples, "resample")) ", seed " (first.comparison.seed)
                "); the score of an experiment on a resample is the mean over its seeds. These intervals describe other "
                "tracks of the same kind, not other seeds: for seeds see the ± in the comparison. A tag is better or worse "
                "if the interval of its ROC-AUC does not contain 0; by chance alone, this would be so for about "
                (format!("{:.0}", (section.n_tags_scored as f64 * (1.0 - first.comparison.confidence)).ceil()))
                " of " (format::count(section.n_tags_scored, "tag")) "."
            }
        }
    }
}

/// Number of tags whose interval is above 0, below 0, or contains 0.
fn verdicts(tags: &[ComparedTag]) -> (usize, usize, usize) {
    let known = tags.iter().filter_map(|tag| tag.roc_auc.as_ref()).map(|c| c.difference);
    known.fold((0, 0, 0), |(better, worse, open), d| match (d.low > 0.0, d.high < 0.0) {
        (true, _) => (better + 1, worse, open),
        (_, true) => (better, worse + 1, open),
        _ => (better, worse, open + 1),
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

fn tag_table(section: &Section) -> Table {
    let several = section.groups.len() > 1;
    let mut columns = vec![Column::text("Tag"), Column::number("Positives")];
    for metric in ["ROC-AUC", "PR-AUC"] {
        let groups = section.groups.iter().enumerate();
        columns.extend(
            groups.map(|(at, group)| Column::number(&group.name).of_group(at).below(metric)),
        );
    }
    let scores = |values: &[Option<Spread>]| -> Vec<Cell> {
        let best =
            values.iter().flatten().map(|spread| spread.mean).fold(f64::NEG_INFINITY, f64::max);
        let cell = |spread: Spread| {
            Cell::number(format!("{:.3}", spread.mean), spread.mean)
                .with_hint(format::spread(&spread))
                .bold_if(several && spread.mean >= best)
        };
        values.iter().map(|value| Cell::or_dash(*value, cell)).collect()
    };
    let row = |tag: &ScoredTag| {
        let share = format!("· {}", percent(tag.positives, section.n_tracks));
        let positives = tag.positives as f64;
        let mut row = vec![
            Cell::new(&tag.tag),
            Cell::with_detail(tag.positives.to_string(), &share, positives),
        ];
        row.extend(scores(&tag.roc_auc));
        row.extend(scores(&tag.pr_auc));
        row
    };
    let rows = section.tags.iter().map(row).collect();
    Table { class: "sortable tags", columns, rows, ..Table::default() }
}

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 {
        return format::NONE.into();
    }
    format!("{:.1} %", part as f64 * 100.0 / whole as f64)
}

/// Number of quarantined files per reason.
fn reasons(section: &Section) -> String {
    let reasons = section.quarantine.iter().map(|(reason, count)| format!("{count} × {reason}"));
    reasons.collect::<Vec<_>>().join("; ")
}

fn data(section: &Section, runs: &[EvaluatedRun]) -> Markup {
    let unscored: Vec<String> = section
        .tags
        .iter()
        .filter(|tag| tag.roc_auc.iter().all(Option::is_none))
        .map(|tag| format!("{} ({} positive)", tag.tag, tag.positives))
        .collect();
    let positives: usize = section.tags.iter().map(|tag| tag.positives).sum();
    let members = section.groups.iter().flat_map(|group| &group.members).map(|&at| &runs[at]);
    let files: BTreeSet<_> = members.clone().flat_map(|run| &run.quarantine).collect();
    let notes: BTreeSet<&String> = members.flat_map(|run| &run.notes).collect();
    html! {
        dl {
            dt { "Dataset" } dd { (section.dataset) }
            dt { "Split" } dd { (section.split) ", " (format::count(section.n_tracks, "track")) }
            @if section.task != Task::Recommendation { dt { "Tags" } dd {
                (section.n_tags_scored) " of " (section.n_tags) " scored"
                @if section.n_tracks > 0 { ", " (format!("{:.2}", positives as f64 / section.n_tracks as f64)) " per track" }
                @if !unscored.is_empty() { ". Not scored: " (unscored.join(", ")) }
            } }
            @if !notes.is_empty() {
                dt { "Notes" } dd { @for note in &notes { (note) br; } }
            }
            dt { "Quarantine" } dd {
                @if files.is_empty() {
                    "No files were left out."
                } @else {
                    (format::count(files.len(), "file")) " left out: " (reasons(section))
                    details {
                        summary { "Files" }
                        div class="scroll" { table { tbody {
                            @for file in files.iter().take(MAX_FILES) {
                                tr { td class="path" { (file.path) } td { (file.reason) } }
                            }
                        } } }
                        @if files.len() > MAX_FILES { p class="note" { (files.len() - MAX_FILES) " more are listed in quarantine.csv of the runs." } }
                    }
                }
            }
        }
    }
}

fn provenance(runs: &[EvaluatedRun], command: &str) -> Markup {
    let mut common: BTreeMap<&String, &String> =
        runs.first().map(|run| run.environment.iter().collect()).unwrap_or_default();
    common.retain(|&key, value| runs.iter().all(|run| run.environment.get(key) == Some(*value)));
    let mut commands: Vec<&str> = Vec::new();
    for run in runs.iter().filter(|run| run.command != command) {
        if !commands.contains(&run.command.as_str()) {
            commands.push(&run.command);
        }
    }
    let differing = runs.iter().any(|run| run.environment.len() > common.len());
    html! {
        section class="provenance" {
            h2 { "Provenance" }
            @if !common.is_empty() {
                dl { @for (key, value) in &common { dt { (key) } dd { (value) } } }
            }
            p { "This page was written by" }
            pre { (command) }
            (run_table(runs).html())
            @if !commands.is_empty() {
                h3 { "Commands" }
                pre { @for command in &commands { (command) "\n" } }
            }
            @if differing {
                details {
                    summary { "Differences between the environments of the runs" }
                    div class="scroll" { table { tbody {
                        @for run in runs {
                            @for (key, value) in run.environment.iter().filter(|(key, _)| !common.contains_key(key)) {
                                tr { th scope="row" { (run.name) } td { (key) } td class="path" { (value) } }
                            }
                        }
                    } } }
                }
            }
        }
    }
}

fn run_table(runs: &[EvaluatedRun]) -> Table {
    let row = |run: &EvaluatedRun| {
        let whole = |value: u64| Cell::number(format::whole(value), value as f64);
        vec![
            Cell::new(&run.name).with_note(&run.about),
            Cell::number(run.seed.to_string(), run.seed as f64),
            Cell::new(format!("{}, {}", run.dataset, run.split)),
            whole(run.parameters as u64),
            whole(run.steps),
            Cell::or_dash(learning_curves::best_step(run), whole),
            Cell::number(format::duration(run.seconds), run.seconds),
            Cell::new(&run.device),
        ]
    };
    let mut columns = vec![Column::text("Run"), Column::number("Seed"), Column::text("Data")];
    columns.extend(["Parameters", "Steps", "Best step", "Training time"].map(Column::number));
    columns.push(Column::text("Device"));
    Table { class: "sortable", columns, rows: runs.iter().map(row).collect(), ..Table::default() }
}
