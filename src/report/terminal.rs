//! The comparison as plain text for a terminal or a file.

use std::fmt::Write;

use super::analysis::{Analysis, Section};
use super::format;

/// The comparison tables and the differences, in columns. With `emphasis`, the best group is bold
/// by an ANSI code; give it only for a terminal.
pub fn text(analysis: &Analysis, emphasis: bool) -> String {
    let mut text = String::new();
    for (index, section) in analysis.sections.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        write_section(&mut text, section, emphasis);
    }
    text
}

fn write_section(text: &mut String, section: &Section, emphasis: bool) {
    let scored = match section.users {
        Some((scored, all)) => format!("{scored} of {}", format::count(all, "user")),
        None => format!("{} of {}", section.n_tags_scored, format::count(section.n_tags, "tag")),
    };
    let _ = writeln!(
        text,
        "{} ({}): {}, {scored} scored",
        clean(&section.dataset),
        clean(&section.split),
        format::count(section.n_tracks, "track"),
    );
    if let Some(remark) = &section.remark {
        let _ = writeln!(text, "{}", clean(remark));
    }
    let papers = section.groups.iter().any(|group| group.paper.is_some());
    let mut head = vec!["experiment".to_owned()];
    head.extend(section.metrics.iter().map(|metric| metric.title().to_owned()));
    head.extend(["seeds".into(), "parameters".into(), "steps".into(), "time a run".into()]);
    if papers {
        head.push("published".into());
    }
    let mut rows = vec![head];
    for group in &section.groups {
        let mut row = vec![clean(&group.name)];
        row.extend(section.metrics.iter().map(|metric| {
            let spread = group.scores.get(metric).and_then(Option::as_ref);
            spread.map_or(format::NONE.into(), format::spread)
        }));
        row.push(group.seeds.len().to_string());
        row.push(format::range(group.parameters.0 as u64, group.parameters.1 as u64));
        row.push(format::range(group.steps.0, group.steps.1));
        let seconds = group.seconds.as_ref();
        row.push(seconds.map_or(format::NONE.into(), |spread| format::duration(spread.mean)));
        if papers {
            let figure = |paper: &crate::experiment::PaperFigure| {
                format!("{:.4} {} ({})", paper.value, clean(&paper.source), clean(&paper.certainty))
            };
            row.push(group.paper.as_ref().map_or(format::NONE.into(), figure));
        }
        rows.push(row);
    }
    for bound in &section.bounds {
        let mut row = vec![bound.name.to_lowercase()];
        row.extend(section.metrics.iter().map(|metric| {
            bound.scores.get(metric).map_or(format::NONE.into(), |v| format::score(*v))
        }));
        row.resize(rows[0].len(), String::new());
        rows.push(row);
    }
    let bold = (emphasis && section.groups.len() > 1).then_some(1);
    write_table(text, &rows, if papers { 1 } else { 0 }, bold);

    if !section.differences.is_empty() {
        let level = format::percent(section.differences[0].comparison.confidence);
        let _ = writeln!(
            text,
            "\ndifferences, with {level} intervals of a paired bootstrap over tracks"
        );
        let mut rows = vec![vec!["pair".into(), "ROC-AUC macro".into(), "PR-AUC macro".into()]];
        for difference in &section.differences {
            let comparison = &difference.comparison;
            let mut row = vec![format!(
                "{} - {}",
                clean(&difference.better_name),
                clean(&difference.other_name)
            )];
            row.extend([&comparison.roc_auc_macro, &comparison.pr_auc_macro].map(|compared| {
                compared.as_ref().map_or(format::NONE.into(), |compared| {
                    let d = compared.difference;
                    let [value, low, high] = [d.value, d.low, d.high].map(format::signed);
                    format!("{value} [{low}, {high}]")
                })
            }));
            rows.push(row);
        }
        write_table(text, &rows, 0, None);
    }
    let left_out: usize = section.quarantine.values().sum();
    if left_out > 0 {
        let reasons: Vec<String> = section
            .quarantine
            .iter()
            .map(|(why, count)| format!("{count} x {}", clean(why)))
            .collect();
        let files = format::count(left_out, "file");
        let _ = writeln!(text, "\nquarantine: {files} left out ({})", reasons.join("; "));
    }
}

/// A name without the control characters that could steer a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Rows in columns: the first column and the last `left` ones to the left, the others to the right.
fn write_table(text: &mut String, rows: &[Vec<String>], left: usize, bold: Option<usize>) {
    let columns = rows.first().map_or(0, Vec::len);
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (index, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            if column > 0 {
                line.push_str("  ");
            }
            let _ = if column == 0 || column >= columns - left {
                write!(line, "{cell:<width$}")
            } else {
                write!(line, "{cell:>width$}")
            };
        }
        let line = line.trim_end();
        let _ = match bold {
            Some(row) if row == index => writeln!(text, "\u{1b}[1m{line}\u{1b}[0m"),
            _ => writeln!(text, "{line}"),
        };
    }
}
