//! The JSON Schema of experiment files.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::Experiment;
use super::grid::Grid;

/// An experiment.
#[derive(JsonSchema)]
#[schemars(rename = "Experiment")]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "describes the keys of a file")]
struct ExperimentFile {
    #[serde(flatten)]
    experiment: Experiment,
    /// Many experiments in one file.
    #[serde(default)]
    grid: Option<Grid>,
}

/// The JSON Schema (draft 2020-12) of experiment files, with defaults and descriptions.
pub fn schema() -> Schema {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<ExperimentFile>();
    RecursiveTransform(as_toml).transform(&mut schema);
    schema
}

/// Removes what does not concern TOML files: null, which optional values may have in JSON; the sizes of Rust's
/// numbers; and links between Rust's items.
fn as_toml(schema: &mut Schema) {
    let Some(keys) = schema.as_object_mut() else { return };
    keys.remove("format");
    if keys.get("default") == Some(&Value::Null) {
        keys.remove("default");
    }
    if let Some(types) = keys.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| kind != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            keys.insert("type".into(), one);
        }
    }
    if let Some(either) = keys.get_mut("anyOf").and_then(Value::as_array_mut) {
        either.retain(|one| *one != json!({ "type": "null" }));
        if let [Value::Object(one)] = either.as_slice() {
            let one = one.clone();
            keys.remove("anyOf");
            keys.extend(one);
        }
    }
    if let Some(Value::String(text)) = keys.get_mut("description") {
        *text = text.replace("[`", "`").replace("`]", "`");
    }
}
