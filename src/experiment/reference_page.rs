//! The reference page of all keys, generated from the JSON Schema.

use std::collections::VecDeque;

use serde_json::Value;

use super::schema;

/// Longest line, in characters.
const WIDTH: usize = 110;
/// The order of the tables of an experiment; any others follow.
const TABLES: [&str; 8] = [
    "dataset",
    "model",
    "training",
    "listening",
    "factorization",
    "cross_validation",
    "paper",
    "grid",
];

const INTRODUCTION: &str = r##"# Experiment files

An experiment file is a TOML file that states a dataset, a model and how to train it. This page lists every
key. It is generated: `tonotopy schema --markdown > docs/experiments.md` renews it.

```toml
#:schema ../schema.json
about = "A mel-spectrogram network on synthetic music"

[dataset]
name = "synthetic"

[model]
name = "tagger"
front_end = { name = "mel", n_mels = 96 }

[training]
steps = 2_000
optimizer = { name = "adam", learning_rate = 0.001 }
```

`tonotopy schema` prints the JSON Schema of these files, which is also in `experiments/schema.json`. Editors
with a TOML language server (Taplo, Even Better TOML) complete and check keys with it if the first line of the
file names it, as above.

`tonotopy train FILE.toml` trains one experiment and `tonotopy run FILE.toml` also evaluates it. Both accept
`--set KEY=VALUE`, which changes a key by its dotted path: `--set training.optimizer.learning_rate=0.01`.
Every run saves its experiment with all defaults filled in as `experiment.toml`.

`[grid]` states many experiments in one file:

```toml
[grid]
"model.front_end.n_mels" = [64, 96, 128]
"training.optimizer.learning_rate" = [0.01, 0.001]
```

Each combination is a row, named `n_mels-64-learning_rate-0.001` and so on. `tonotopy run FILE.toml` runs all
rows. Every command that reads an experiment accepts one row as `FILE.toml#ROW`, or as `DIRECTORY/ROW.toml`,
as if each row were a file beside the grid's.
"##;

/// The page as Markdown: a section per table, an entry per key.
pub fn reference_page() -> String {
    let schema = schema().to_value();
    let mut page = Page {
        schema: &schema,
        text: INTRODUCTION.into(),
        sections: VecDeque::new(),
        linked: Vec::new(),
    };
    page.text.push_str("\n## Top-level keys\n\n");
    page.keys(&schema, "", &|key| !TABLES.contains(&key));
    let root = schema["properties"].as_object().into_iter().flatten();
    let mut tables: Vec<&str> = TABLES.to_vec();
    tables.extend(root.map(|(key, _)| key.as_str()).filter(|key| !TABLES.contains(key)));
    for table in tables {
        let node = &schema["properties"][table];
        if page.is_table(node) {
            page.link(node, table);
        }
        while let Some((path, node)) = page.sections.pop_front() {
            page.section(&path, node);
        }
    }
    page.text.trim_end().to_owned() + "\n"
}

struct Page<'a> {
    schema: &'a Value,
    text: String,
    /// Tables that still need a section, by the path of their first use.
    sections: VecDeque<(String, &'a Value)>,
    /// References to tables that have a section, with the path in its heading.
    linked: Vec<(&'a str, String)>,
}

impl<'a> Page<'a> {
    /// The schema that a node is or refers to.
    fn resolve(&self, node: &'a Value) -> &'a Value {
        match node["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
            Some(pointer) => self.schema.pointer(pointer).unwrap_or(node),
            None => node,
        }
    }

    /// Whether a node is a table with keys of its own.
    fn is_table(&self, node: &'a Value) -> bool {
        let node = self.resolve(node);
        node["properties"].is_object() || variants(node).next().is_some()
    }

    /// A link to the section of a table, which it queues at the first use.
    fn link(&mut self, node: &'a Value, path: &str) -> String {
        let name = node["$ref"].as_str().unwrap_or(path_key(path));
        let known = self.linked.iter().find(|(linked, _)| *linked == name);
        let path = match known {
            Some((_, path)) => path.clone(),
            None => {
                if let Some(name) = node["$ref"].as_str() {
                    self.linked.push((name, path.to_owned()));
                }
                self.sections.push_back((path.to_owned(), node));
                path.to_owned()
            }
        };
        let slug: String =
            path.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
        format!("[`[{path}]`](#{slug})")
    }

    fn section(&mut self, path: &str, node: &'a Value) {
        let table = self.resolve(node);
        self.heading(&format!("## `[{path}]`"));
        self.paragraphs(if table["description"].is_string() { table } else { node });
        if table["properties"].is_object() {
            self.keys(table, path, &|_| true);
        }
        for (name, variant) in variants(table) {
            self.heading(&format!("### `name = \"{name}\"`"));
            self.paragraphs(variant);
            self.keys(variant, path, &|key| key != "name");
        }
    }

    fn heading(&mut self, heading: &str) {
        self.text.truncate(self.text.trim_end().len());
        self.text.push_str(&format!("\n\n{heading}\n\n"));
    }

    fn paragraphs(&mut self, node: &Value) {
        for paragraph in description(node).split("\n\n").filter(|text| !text.is_empty()) {
            self.text.push_str(&wrapped(paragraph, ""));
            self.text.push('\n');
        }
    }

    /// An entry for each key of a table: required ones first.
    fn keys(&mut self, table: &'a Value, path: &str, shown: &dyn Fn(&str) -> bool) {
        let required: Vec<&str> =
            table["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut keys: Vec<(&'a String, &'a Value)> =
            table["properties"].as_object().into_iter().flatten().collect();
        keys.sort_by_key(|(key, _)| !required.contains(&key.as_str()));
        for (key, node) in keys.into_iter().filter(|(key, _)| shown(key)) {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let kind = self.kind(node, &path);
            let default = match &node["default"] {
                _ if required.contains(&key.as_str()) => "required".into(),
                Value::Null => "optional".into(),
                Value::Object(table) if table.get("name").is_none() => "optional".into(),
                default => format!("default `{}`", toml_text(default)),
            };
            let about = description(if node["description"].is_string() {
                node
            } else {
                self.resolve(node)
            });
            let about = without_default(&about.replace("\n\n", " "), &default).to_owned();
            self.text.push_str(&wrapped(&format!("- `{key}` ({kind}; {default}): {about}"), "  "));
            self.meanings(node);
        }
        if table["additionalProperties"].is_object() {
            let node = &table["additionalProperties"];
            let kind = self.kind(node, path);
            let about = description(self.resolve(node));
            self.text.push_str(&wrapped(&format!("- any other key ({kind}): {about}"), "  "));
        }
    }

    /// What each value of a set of named values means.
    fn meanings(&mut self, node: &'a Value) {
        let node = if node["items"].is_object() { &node["items"] } else { node };
        let values = self.resolve(node);
        for value in values["oneOf"].as_array().into_iter().flatten() {
            let about = description(value);
            if let (Some(name), false) = (value["const"].as_str(), about.is_empty()) {
                self.text.push_str(&wrapped(&format!("  - `\"{name}\"`: {about}"), "    "));
            }
        }
    }

    /// The type of a value, in words.
    fn kind(&mut self, node: &'a Value, path: &str) -> String {
        if self.is_table(node) {
            return format!("table {}", self.link(node, path));
        }
        let node = self.resolve(node);
        let either = |values: &Value| values.as_array().cloned().unwrap_or_default();
        let named: Vec<String> = either(&node["oneOf"])
            .iter()
            .map(|one| one["const"].clone())
            .chain(either(&node["enum"]))
            .filter(|name| name.is_string())
            .map(|name| format!("`{name}`"))
            .collect();
        if !named.is_empty() {
            return named.join(", ");
        }
        if let Some(all) = node["anyOf"].as_array() {
            let all: Vec<String> = all.iter().map(|one| self.kind(one, path)).collect();
            return all.join(" or ");
        }
        match node["type"].as_str() {
            Some("array") if node["items"].is_object() => {
                format!("list of {}", plural(&self.kind(&node["items"], path)))
            }
            Some("array") => "list".into(),
            Some("object") if node["additionalProperties"].is_object() => {
                format!("table of {}", plural(&self.kind(&node["additionalProperties"], path)))
            }
            Some("object") => "table".into(),
            Some(kind) => kind.into(),
            None => "any value".into(),
        }
    }
}

fn path_key(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn plural(kind: &str) -> String {
    match kind.split_once(' ') {
        _ if kind.starts_with('`') => kind.into(),
        Some(("any", _)) => "values".into(),
        Some((word, rest)) => format!("{word}s {rest}"),
        None => format!("{kind}s"),
    }
}

/// The tables that a `name` chooses from.
fn variants(node: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let all = node["oneOf"].as_array().into_iter().flatten();
    all.filter_map(|one| Some((one["properties"]["name"]["const"].as_str()?, one)))
}

/// A description without its closing sentence `Default: ...`, which would repeat the stated default.
fn without_default<'t>(about: &'t str, default: &str) -> &'t str {
    match about.rsplit_once(" Default: ") {
        Some((before, value)) if default.starts_with("default ") && !value.contains(". ") => before,
        _ => about,
    }
}

fn description(node: &Value) -> String {
    let text = node["description"].as_str().unwrap_or_default();
    let paragraphs: Vec<String> = text
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    paragraphs.join("\n\n")
}

/// A default as TOML; of a table with a `name`, only that.
fn toml_text(value: &Value) -> String {
    match value.get("name") {
        Some(name) => format!("name = {name}"),
        None => toml::Value::try_from(value).map_or_else(|_| value.to_string(), |v| v.to_string()),
    }
}

/// Lines of at most [`WIDTH`] characters, those after the first with an indent.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = String::new();
    let start = text.len() - text.trim_start().len();
    let mut line = text[..start].to_owned();
    for word in text[start..].split(' ') {
        if line.trim_start().is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= WIDTH {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push_str(&line);
            lines.push('\n');
            line = format!("{indent}{word}");
        }
    }
    lines + line.trim_end() + "\n"
}
