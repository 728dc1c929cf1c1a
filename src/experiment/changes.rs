//! Changes to the TOML of an experiment: `--set` assignments, and the rows of a grid.

use toml::{Table, Value};

use crate::error::{Error, Result};

/// Applies `a.b.c=value` to `table`. The value is TOML, or a string if it is not valid TOML.
///
/// # Errors
/// [`Error::Config`] if this is not an assignment, or a parent of the key is not a table.
pub(super) fn assign(table: &mut Table, assignment: &str) -> Result<()> {
    let bad =
        |why: &str| Error::Config(format!("--set {assignment}: {why}; write --set key.key=value"));
    let (path, value) = assignment.split_once('=').ok_or_else(|| bad("'=' is missing"))?;
    let value: Value = match format!("value = {value}").parse::<Table>() {
        Ok(mut table) => table.remove("value").ok_or_else(|| bad("the value is missing"))?,
        Err(_) => Value::String(value.trim().to_string()),
    };
    insert(table, path.trim(), value).map_err(|why| bad(&why))
}

/// Sets the value at a dotted path, and creates the tables above it.
pub(super) fn insert(table: &mut Table, path: &str, value: Value) -> Result<(), String> {
    if path.split('.').any(str::is_empty) {
        return Err("a part of the key is empty".into());
    }
    let (parents, last) = path.rsplit_once('.').map_or((None, path), |(a, b)| (Some(a), b));
    let mut here = table;
    for key in parents.into_iter().flat_map(|parents| parents.split('.')) {
        here = here
            .entry(key.to_string())
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| format!("{key} is a value, not a table"))?;
    }
    here.insert(last.to_string(), value);
    Ok(())
}

/// The value at a dotted path.
pub(super) fn get<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let mut keys = path.split('.');
    let first = table.get(keys.next()?)?;
    keys.try_fold(first, |value, key| value.as_table()?.get(key))
}

/// Writes `changes` into `table`. Tables are merged key by key, except that a table with a `name` replaces the
/// table that it meets: other front ends or optimizers have other keys.
pub(super) fn merge(table: &mut Table, changes: &Table) {
    for (key, change) in changes {
        match (table.get_mut(key), change) {
            (Some(Value::Table(old)), Value::Table(new)) if !new.contains_key("name") => {
                merge(old, new);
            }
            _ => {
                table.insert(key.clone(), change.clone());
            }
        }
    }
}
