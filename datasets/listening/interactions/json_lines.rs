//! Reads plays from JSON lines: one object per line, either with keys for user, item and count, or a listen of
//! ListenBrainz.
//!
//! A listen is one play. Its item is the recording's MusicBrainz id, else its MessyBrainz id, else artist and title
//! (ListenBrainz documentation, "JSON documentation" and "Data dumps").

use std::path::Path;

use serde_json::{Map, Value};

use super::Interactions;
use super::columns::Columns;
use super::counts::Counts;
use super::rows::Rows;
use crate::DatasetError;
use crate::error::quoted;
use crate::text_files::each_line;

/// What names the items of ListenBrainz, in the order of preference.
const ITEMS: [&str; 3] = ["MusicBrainz id", "MessyBrainz id", "artist and title"];

pub(super) fn read(path: &Path) -> Result<Interactions, DatasetError> {
    let mut rows = Rows::default();
    let mut counts = Counts::new(false);
    // Names of user, item and count in the first object with such keys.
    let mut keys: Option<[Option<String>; 3]> = None;
    let mut listens = [0_usize; ITEMS.len()];
    each_line(path, |line| {
        let object = match serde_json::from_str(line) {
            Ok(Value::Object(object)) => object,
            Ok(_) => return Err("the line is not a JSON object: write one object per line".into()),
            Err(_) => {
                return Err(
                    "the line is not a complete JSON object: write one object per line, as \
                            `jq -c` does"
                        .into(),
                );
            }
        };
        if let Some(metadata) = object.get("track_metadata") {
            let (user, (item, kind)) = (listener(&object)?, recording(&object, metadata)?);
            listens[kind] += 1;
            return rows.add(user.as_bytes(), item.as_bytes(), 1.0);
        }
        if object.contains_key("payload") {
            return Err(
                "the object is a whole answer of ListenBrainz: write one listen per line, as \
                        `jq -c '.payload.listens[]'` does"
                    .into(),
            );
        }
        let [user, item, count] = match &keys {
            Some(keys) => keys,
            None => keys.insert(names(&object)?),
        };
        let value = |key: &Option<String>| key.as_ref().map(|key| text(&object, key)).transpose();
        let (user, item) = (value(user)?.unwrap_or_default(), value(item)?.unwrap_or_default());
        let count = value(count)?.map_or(Ok(1.0), |count| counts.parse(count.as_bytes()))?;
        rows.add(user.as_bytes(), item.as_bytes(), count)
    })?;
    let number = rows.len();
    let mut interactions = rows.into_interactions();
    if interactions.is_empty() {
        let problem = format!(
            "all {number} counts are 0: select another key, or write only rows of songs that were played"
        );
        return Err(DatasetError::content(path, problem));
    }
    interactions.notes.extend(counts.notes());
    let named: Vec<String> = ITEMS
        .iter()
        .zip(listens)
        .filter(|(_, number)| *number > 0)
        .map(|(name, number)| format!("{number} by {name}"))
        .collect();
    if !named.is_empty() {
        let note = format!("each listen is one play; items are named: {}", named.join(", "));
        interactions.notes.insert(0, note);
    } else if matches!(keys, Some([.., None])) {
        let note = format!("the objects have no counts: each of the {number} lines is one play");
        interactions.notes.insert(0, note);
    }
    Ok(interactions)
}

/// The keys of user, item and count.
fn names(object: &Map<String, Value>) -> Result<[Option<String>; 3], String> {
    let keys: Vec<String> = object.keys().cloned().collect();
    let Columns { user, item, count, .. } = Columns::named(&keys, ("object", "key"))?;
    Ok([Some(user), Some(item), count].map(|at| at.map(|at| keys[at].clone())))
}

/// A string or a number as text.
fn text(object: &Map<String, Value>, key: &str) -> Result<String, String> {
    match object.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(other) => {
            Err(format!("{key} is {}: write a text or a number", quoted(&other.to_string())))
        }
        None => Err(format!("the object has no {key}: write it in every line")),
    }
}

fn listener(listen: &Map<String, Value>) -> Result<String, String> {
    let is_known = |key: &&str| listen.get(*key).is_some_and(|value| !value.is_null());
    match ["user_name", "user_id"].into_iter().find(is_known) {
        Some(key) => text(listen, key),
        None => Err("the listen has no user_name: add one to every line, since the plays of one person alone \
                     cannot be factorized"
            .into()),
    }
}

/// The id of a listen's recording, and its position in [`ITEMS`].
fn recording(listen: &Map<String, Value>, metadata: &Value) -> Result<(String, usize), String> {
    let empty = Value::Null;
    let top = |key: &str| listen.get(key).unwrap_or(&empty);
    let more = &metadata["additional_info"];
    let found = |values: &[&Value]| {
        let texts = values.iter().filter_map(|value| value.as_str());
        texts.map(str::trim).find(|text| !text.is_empty()).map(str::to_owned)
    };
    let mapped = &metadata["mbid_mapping"]["recording_mbid"];
    if let Some(id) = found(&[mapped, top("recording_mbid"), &more["recording_mbid"]]) {
        return Ok((id, 0));
    }
    if let Some(id) = found(&[top("recording_msid"), &more["recording_msid"]]) {
        return Ok((id, 1));
    }
    let artist = found(&[&metadata["artist_name"]]);
    let title = found(&[&metadata["track_name"]]);
    match (artist, title) {
        (Some(artist), Some(title)) => Ok((format!("{artist} - {title}"), 2)),
        _ => Err("the listen has no recording: it needs a recording_mbid, a recording_msid, or artist_name and \
                  track_name in its track_metadata"
            .into()),
    }
}
