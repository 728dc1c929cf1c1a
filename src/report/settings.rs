//! Settings that differ between the groups of a section: a table of all groups, and a grid of two.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::analysis::{Group, Section};
use super::format;
use super::tables::{Cell, Column, Table};
use crate::experiment::Experiment;

/// With more settings that differ, experiments are not a sweep, and no table is shown.
const MAX_VARIED: usize = 12;

/// Settings by dotted key.
pub type Settings = BTreeMap<String, String>;

/// The settings of a resolved experiment by dotted key, such as `training.optimizer.name`, without
/// its name, description, seed and published figure.
pub fn flatten(experiment: &Experiment) -> Settings {
    let mut table: toml::Table = toml::from_str(&experiment.to_toml()).unwrap_or_default();
    for key in ["name", "about", "seed", "paper"] {
        table.remove(key);
    }
    let mut settings = Settings::new();
    insert(&mut settings, "", toml::Value::Table(table));
    settings
}

fn insert(settings: &mut Settings, key: &str, value: toml::Value) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                insert(settings, &key, value);
            }
        }
        toml::Value::String(text) => drop(settings.insert(key.to_owned(), text)),
        value => drop(settings.insert(key.to_owned(), value.to_string())),
    }
}

/// Keys whose value is not the same everywhere, or that do not exist everywhere.
pub fn varied<'a>(all: impl Iterator<Item = &'a Settings> + Clone) -> Vec<String> {
    let keys: BTreeSet<&String> = all.clone().flat_map(|settings| settings.keys()).collect();
    let differs = |key: &&String| {
        let values: BTreeSet<_> = all.clone().map(|settings| settings.get(*key)).collect();
        values.len() > 1
    };
    keys.into_iter().filter(differs).cloned().collect()
}

/// Every group with the settings that differ and its scores; `None` where settings do not differ or
/// groups have little in common.
pub fn table(section: &Section) -> Option<Table> {
    if section.varied.is_empty() || section.varied.len() > MAX_VARIED {
        return None;
    }
    let mut columns = vec![Column::text("Experiment")];
    columns.extend(section.varied.iter().map(Column::number));
    columns.extend(section.metrics.iter().map(|metric| Column::number(metric.title())));
    let row = |(index, group): (usize, &Group)| {
        let mut cells = vec![Cell::group(index, &group.name)];
        cells.extend(section.varied.iter().map(|key| value(group, key)));
        cells.extend(section.metrics.iter().map(|metric| {
            Cell::or_dash(group.scores[metric], |spread| match spread.interval {
                None => Cell::number(format::score(spread.mean), spread.mean),
                Some((low, high)) => Cell::with_detail(
                    format::score(spread.mean),
                    &format!("[{}, {}]", format::score(low), format::score(high)),
                    spread.mean,
                ),
            })
        }));
        cells
    };
    let rows = section.groups.iter().enumerate().map(row).collect();
    Some(Table { class: "sortable", columns, rows, ..Table::default() })
}

fn value(group: &Group, key: &str) -> Cell {
    Cell::or_dash(group.settings.get(key), |text| match text.parse() {
        Ok(number) => Cell::number(text, number),
        Err(_) => Cell::new(text),
    })
}

/// The heading, table and grid in HTML.
pub fn html(section: &Section) -> Markup {
    html! {
        @if let Some(table) = table(section) {
            h2 { "Settings" }
            (table.html())
            p class="note" {
                "Settings that differ between experiments, by key in the experiment file. In brackets: 95 % confidence "
                "intervals of the mean over seeds (Student's t)."
            }
            @if let Some(grid) = grid(section) {
                h3 { (section.main_metric().title()) " by " (grid.0) }
                (grid.1.html())
                p class="note" { "Mean ± sample standard deviation over seeds. Darker is higher." }
            }
        }
    }
}

/// The setting that is crossed with the others in most groups, and the main metric with its values as
/// columns and one row per combination of the other settings; `None` where no settings are crossed.
fn grid(section: &Section) -> Option<(&str, Table)> {
    let metric = section.main_metric();
    let rows_of = |key: &str| {
        let mut rows: BTreeMap<Vec<Option<&String>>, BTreeMap<&str, &Group>> = BTreeMap::new();
        for group in &section.groups {
            let Some(value) = group.settings.get(key) else { continue };
            let others = section.varied.iter().filter(|other| *other != key);
            let row = others.map(|other| group.settings.get(other)).collect();
            rows.entry(row).or_default().insert(value, group);
        }
        rows.retain(|_, groups| groups.len() > 1);
        rows
    };
    let crossed = |key: &&String| {
        let rows = rows_of(key);
        let groups: usize = rows.values().map(BTreeMap::len).sum();
        // Of two that cross each other, the one with fewer values becomes the columns.
        (rows.len() > 1).then_some((groups, rows.len()))
    };
    let key = section.varied.iter().filter(|key| crossed(key).is_some()).max_by_key(crossed)?;
    let rows = rows_of(key);

    let mut values: Vec<&str> = rows.values().flat_map(|groups| groups.keys().copied()).collect();
    values.sort_by(|a, b| order(a, b));
    values.dedup();
    let score = |group: &Group| group.scores[&metric];
    let means = rows.values().flat_map(BTreeMap::values).filter_map(|group| score(group));
    let (low, high) = super::svg::extent(means.map(|spread| spread.mean))?;
    // Only the settings that tell the rows apart.
    let others: Vec<&String> = section.varied.iter().filter(|other| *other != key).collect();
    let told: Vec<usize> = (0..others.len())
        .filter(|&at| rows.keys().map(|row| row[at]).collect::<BTreeSet<_>>().len() > 1)
        .collect();
    let mut columns: Vec<Column> = told.iter().map(|&at| Column::text(others[at])).collect();
    columns.extend(values.iter().map(|value| Column::number(*value).below(key)));
    let cells = |(row, groups): (&Vec<Option<&String>>, &BTreeMap<&str, &Group>)| {
        let own = told.iter().map(|&at| Cell::or_dash(row[at], Cell::new));
        let scores = values.iter().map(|value| {
            let spread = groups.get(value).copied().and_then(score);
            let heat = spread.map_or(0.0, |spread| (spread.mean - low) / (high - low).max(1e-12));
            Cell::spread(spread).with_heat(heat)
        });
        own.chain(scores).collect()
    };
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by(|a, b| {
        let text = |value: &Option<&String>| value.map_or(String::new(), String::clone);
        let pairs = a.0.iter().zip(b.0).map(|(a, b)| order(&text(a), &text(b)));
        pairs.fold(Ordering::Equal, Ordering::then)
    });
    let rows = rows.into_iter().map(cells).collect();
    Some((key, Table { class: "grid", columns, rows, ..Table::default() }))
}

/// Numbers in ascending order, then other values.
fn order(a: &str, b: &str) -> Ordering {
    let number = |text: &str| text.parse().unwrap_or(f64::INFINITY);
    number(a).total_cmp(&number(b)).then_with(|| a.cmp(b))
}
