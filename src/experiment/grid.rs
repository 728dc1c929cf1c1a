//! `[grid]`: many experiments in one file, which differ in few keys.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use toml::{Table, Value};

use super::changes;

/// Most rows of a grid, counted before `exclude`.
const MAX_ROWS: usize = 10_000;

/// Many experiments in one file: every combination of the values of its axes is a row, which is an experiment.
///
/// Every key besides `name`, `exclude` and `rows` is an axis. A dotted experiment key in quotes varies that key:
/// `"model.frames" = [1, 2, 4]`. Any other word is an axis of named choices, each a table of the experiment keys that
/// it sets and an optional `about`: `k200 = { about = "200 means", model.means = 200 }`. A table with a `name`
/// replaces the table of the same key; other tables are merged. The file without `[grid]` must be an experiment.
///
/// In every string of the experiment, `{axis}` is the name of the row's choice or its value, and in `about` the
/// choice's `about`; `{row}` is the name of the row, and `{key}` the value of any dotted key of the experiment.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Grid {
    /// Name of a row, with a placeholder for each axis: `"{front_end}-{model.frames}"`. An empty choice leaves no
    /// dash behind. By default the choices and `key-value` pairs in the order of the axes' names. The row's name takes the
    /// place of the file's name in the name of the run directory.
    name: Option<String>,
    /// Names of rows that are left out; `*` matches any text.
    #[serde(default)]
    exclude: Vec<String>,
    /// Experiment keys to change in the rows with this name; `*` matches any text.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, BTreeMap<String, serde_json::Value>>")]
    rows: BTreeMap<String, Table>,
    /// The axes.
    #[serde(flatten)]
    axes: BTreeMap<String, Axis>,
}

/// What varies along one axis.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "an axis is a list of values, or a table of named choices")]
enum Axis {
    /// Values of the experiment key that the axis is named after.
    Values(#[schemars(with = "Vec<serde_json::Value>")] Vec<Value>),
    /// The experiment keys that each choice sets.
    Choices(
        #[schemars(with = "BTreeMap<String, BTreeMap<String, serde_json::Value>>")]
        BTreeMap<String, Table>,
    ),
}

/// One experiment of a grid.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The name, unique in its file.
    pub name: String,
    /// The experiment as TOML, without `[grid]`.
    pub table: Table,
}

/// One value of one axis.
struct Choice<'a> {
    axis: &'a str,
    /// The text for `about`.
    about: String,
    /// The text in names.
    name: String,
    /// The part of the row's name where the grid has no template.
    part: String,
    /// The value of the axis's key, or the keys that a named choice sets.
    sets: Result<&'a Value, Table>,
}

impl Grid {
    /// The rows in order of name, each made from `base`, the file without `[grid]`.
    ///
    /// # Errors
    /// Says which key of the grid is wrong, and why.
    pub(super) fn rows(&self, base: &Table) -> Result<Vec<Row>, String> {
        let mut combinations: Vec<Vec<&Choice<'_>>> = vec![Vec::new()];
        let axes = self.choices()?;
        for (axis, choices) in self.axes.keys().zip(&axes) {
            if choices.is_empty() {
                return Err(format!("grid.{axis:?} is empty: give at least one value"));
            }
            if combinations.len() * choices.len() > MAX_ROWS {
                return Err(format!("[grid] has more than {MAX_ROWS} rows: split it"));
            }
            combinations = combinations
                .iter()
                .flat_map(|row| choices.iter().map(|choice| [&row[..], &[choice]].concat()))
                .collect();
        }
        let mut used = BTreeSet::new();
        let mut matches = |pattern: &str, name: &str| {
            let matches = matches_pattern(pattern, name);
            if matches {
                used.insert(pattern.to_owned());
            }
            matches
        };
        let mut rows = BTreeMap::new();
        for choices in &combinations {
            let name = self.name_of(base, choices)?;
            // Not `any`: every pattern that matches counts as used.
            if self.exclude.iter().filter(|pattern| matches(pattern, &name)).count() > 0 {
                continue;
            }
            let mut table = base.clone();
            for choice in choices {
                match &choice.sets {
                    Ok(value) => changes::insert(&mut table, choice.axis, (*value).clone())
                        .map_err(|why| format!("grid.{:?}: {why}", choice.axis))?,
                    Err(keys) => changes::merge(&mut table, keys),
                }
            }
            for (pattern, keys) in &self.rows {
                if matches(pattern, &name) {
                    changes::merge(&mut table, keys);
                }
            }
            fill_strings(&mut table, choices, &name)?;
            if rows.insert(name.clone(), table).is_some() {
                return Err(format!(
                    "two rows of [grid] have the name {name:?}: grid.name must tell them apart"
                ));
            }
        }
        if let Some(unused) =
            self.exclude.iter().chain(self.rows.keys()).find(|pattern| !used.contains(*pattern))
        {
            let names: Vec<&str> = rows.keys().map(String::as_str).collect();
            return Err(format!(
                "{unused:?} in [grid] matches no row; its rows are {}",
                names.join(", ")
            ));
        }
        Ok(rows.into_iter().map(|(name, table)| Row { name, table }).collect())
    }

    fn choices(&self) -> Result<Vec<Vec<Choice<'_>>>, String> {
        if matches!(self.axes.get("about"), Some(Axis::Values(_))) {
            return Err("grid.about cannot be an axis: give the choices an about".into());
        }
        Ok(self
            .axes
            .iter()
            .map(|(axis, values)| match values {
                Axis::Values(values) => values
                    .iter()
                    .map(|value| {
                        let key = axis.rsplit('.').next().unwrap_or(axis);
                        let name = label(value);
                        let part = format!("{key}-{name}");
                        Choice { axis, about: text_of(value), name, part, sets: Ok(value) }
                    })
                    .collect(),
                Axis::Choices(choices) => choices
                    .iter()
                    .map(|(name, keys)| {
                        let mut keys = keys.clone();
                        let about = match keys.remove("about") {
                            Some(about) => text_of(&about),
                            None => name.clone(),
                        };
                        let (name, part) = (name.clone(), name.clone());
                        Choice { axis, about, name, part, sets: Err(keys) }
                    })
                    .collect(),
            })
            .collect())
    }

    fn name_of(&self, base: &Table, choices: &[&Choice<'_>]) -> Result<String, String> {
        let name = match &self.name {
            Some(template) => fill(template, |key| {
                let choice = choices.iter().find(|choice| choice.axis == key);
                choice
                    .map(|choice| choice.name.clone())
                    .or_else(|| changes::get(base, key).map(label))
            })
            .map_err(|why| format!("grid.name: {why}"))?,
            None => choices.iter().map(|choice| choice.part.as_str()).collect::<Vec<_>>().join("-"),
        };
        let name = name.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        let unfit = |c: char| !(c.is_alphanumeric() || "-_.".contains(c));
        if name.is_empty() || name.starts_with('.') || name.contains(unfit) {
            return Err(format!(
                "[grid] has a row with the name {name:?}: it names a directory, so use letters, digits, '-', '_' \
                 and '.'"
            ));
        }
        Ok(name)
    }
}

/// Fills in the placeholders of every string in `table`.
fn fill_strings(table: &mut Table, choices: &[&Choice<'_>], row: &str) -> Result<(), String> {
    let values = table.clone();
    let fill_one = |text: &mut String, is_about: bool| -> Result<(), String> {
        let filled = fill(text, |key| match choices.iter().find(|choice| choice.axis == key) {
            Some(choice) if is_about => Some(choice.about.clone()),
            Some(choice) => Some(choice.name.clone()),
            None if key == "row" => Some(row.to_owned()),
            None => changes::get(&values, key).map(text_of),
        });
        *text = filled.map_err(|why| format!("row {row}, {text:?}: {why}"))?;
        Ok(())
    };
    if let Some(Value::String(about)) = table.get_mut("about") {
        fill_one(about, true)?;
    }
    let mut left: Vec<&mut Value> =
        table.iter_mut().filter(|(key, _)| *key != "about").map(|(_, value)| value).collect();
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => fill_one(text, false)?,
            Value::Array(values) => left.extend(values),
            Value::Table(table) => left.extend(table.iter_mut().map(|(_, value)| value)),
            _ => {}
        }
    }
    Ok(())
}

/// `template` with every `{key}` replaced by its value.
fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut parts = template.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (key, rest) = part.split_once('}').ok_or("a '{' without '}'")?;
        let value = value(key)
            .ok_or_else(|| format!("{{{key}}} is neither an axis nor a key of the row"))?;
        text.push_str(&value);
        text.push_str(rest);
    }
    Ok(text)
}

/// A value as text: of a string its characters, of a table its `name`.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Table(table) => table.get("name").map_or_else(|| value.to_string(), text_of),
        other => other.to_string(),
    }
}

/// A value as part of a directory's name.
fn label(value: &Value) -> String {
    let text = text_of(value);
    let unfit = |c: char| !(c.is_alphanumeric() || "-_.".contains(c));
    text.split(unfit).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// Whether `name` matches `pattern`, in which `*` matches any text.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<Vec<Row>, String> {
        let mut base: Table = text.parse().unwrap();
        let grid = base.remove("grid").unwrap();
        grid.try_into::<Grid>().map_err(|error| error.message().to_owned())?.rows(&base)
    }

    fn names(text: &str) -> Vec<String> {
        rows(text).unwrap().into_iter().map(|row| row.name).collect()
    }

    #[test]
    fn a_row_is_a_combination_named_by_what_varies() {
        let text = r#"
            about = "{model.frames} frames at {training.optimizer.learning_rate}, seed {seed}"
            seed = 3
            model = { name = "multiscale", hidden = [7] }
            grid = { "model.frames" = [1, 2], "training.optimizer.learning_rate" = [0.01, 0.001] }
        "#;
        let expected = ["1-learning_rate-0.001", "1-learning_rate-0.01", "2-learning_rate-0.001"];
        assert_eq!(names(text)[..3], expected.map(|name| format!("frames-{name}")));
        let last = rows(text).unwrap().pop().unwrap();
        let want: Table = r#"
            about = "2 frames at 0.01, seed 3"
            seed = 3
            model = { name = "multiscale", hidden = [7], frames = 2 }
            training.optimizer.learning_rate = 0.01
        "#
        .parse()
        .unwrap();
        assert_eq!(last.table, want);
    }

    #[test]
    fn choices_merge_tables_and_replace_those_with_a_name() {
        let text = r#"
            name = "study-{row}"
            about = "P0: {kind}, {size}"
            model = { name = "tagger", hidden = 5, front_end = { name = "mel", n_mels = 3 } }
            paper = { value = 0.5, source = "{size}" }
            [grid]
            name = "t-{kind}-{size}"
            exclude = ["t-raw-*g"]
            [grid.kind]
            mel = { about = "on mel" }
            raw.model.front_end = { name = "strided", length = 9 }
            [grid.size]
            "" = { about = "small" }
            big = { model.hidden = 50 }
            [grid.rows."t-m*l"]
            paper.value = 0.75
        "#;
        assert_eq!(names(text), ["t-mel", "t-mel-big", "t-raw"]);
        let [mel, big, raw] = rows(text).unwrap().try_into().unwrap();
        let get = |row: &Row, key: &str| changes::get(&row.table, key).map(text_of);
        let is =
            |row: &Row, key: &str, text: &str| assert_eq!(get(row, key).as_deref(), Some(text));
        is(&mel, "name", "study-t-mel");
        is(&mel, "about", "P0: on mel, small");
        is(&mel, "paper.value", "0.75");
        is(&mel, "paper.source", "");
        is(&big, "about", "P0: on mel, big");
        is(&big, "model.hidden", "50");
        is(&big, "model.front_end.n_mels", "3");
        is(&big, "paper.value", "0.5");
        is(&raw, "model.front_end.length", "9");
        assert_eq!(get(&raw, "model.front_end.n_mels"), None);
        assert_eq!(get(&raw, "model.hidden").as_deref(), Some("5"));
    }

    #[test]
    fn mistakes_name_the_key() {
        for (grid, words) in [
            (r#"seed = []"#, "grid.\"seed\" is empty"),
            (r#"seed = 3"#, "an axis is a list of values, or a table of named choices"),
            (r#"seed = [1, 1]"#, "two rows of [grid] have the name \"seed-1\""),
            ("name = \"{sed}\"\nseed = [1]", "{sed} is neither an axis nor a key"),
            ("name = \"{seed\"\nseed = [1]", "a '{' without '}'"),
            ("name = \"a/{seed}\"\nseed = [1]", "\"a/1\": it names a directory"),
            (
                "exclude = [\"*-2\"]\nseed = [1]",
                "\"*-2\" in [grid] matches no row; its rows are seed-1",
            ),
            ("rows.x.seed = 2\nseed = [1]", "\"x\" in [grid] matches no row"),
            (r#"about = ["x"]"#, "grid.about cannot be an axis"),
            (r#""seed.x" = [1]"#, "grid.\"seed.x\": seed is a value, not a table"),
        ] {
            let error = rows(&format!("seed = 1\n[grid]\n{grid}")).unwrap_err();
            assert!(error.contains(words), "{grid}: {error}");
        }
        let many = "x = [1,2,3,4,5,6,7,8,9,10]\n";
        let many: String = ["a", "b", "c", "d", "e"].map(|axis| format!("{axis}{many}")).concat();
        assert!(rows(&format!("[grid]\n{many}")).unwrap_err().contains("more than 10000 rows"));
    }

    #[test]
    fn stars_match_any_text() {
        for (pattern, name, matches) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "ab", true),
            ("a*a", "a", false),
            ("a*c*e", "abcde", true),
            ("a*d*c", "abcd", false),
            ("*-x", "a-x", true),
        ] {
            assert_eq!(matches_pattern(pattern, name), matches, "{pattern} {name}");
        }
    }
}
